# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container would meet with on its way to run: looked at before anything is changed."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ...errors import InvalidArgument, NotFound, PermissionDenied, Unimplemented
from .options import effective, image_defaults

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container
    from ...image.inspect import ImageView
    from ...runtime_spec.users import User
    from .values import FoundContainer, WantedContainer


class Outlook:
    """For a container that is to be made, or else is there already. What the host lacks is an error at once, in every mode:
    before an image is pulled, and before an old container is stopped for nothing.
    """

    def __init__(self, engine: Engine, want: WantedContainer, have: FoundContainer, makes: bool) -> None:
        self._engine, self._want, self._have, self._makes = engine, want, have, makes
        self._unseen: t.List[str] = []
        for volume in (want.given.get("volumes") or ()) if makes else ():
            if not os.path.exists(volume["source"]):
                raise InvalidArgument(f"volumes: the source {volume['source']} is not there on the target: create it first")
        if makes and want.state == "started":
            self._find_runtime(want.given.get("runtime") or "runc")

    def _find_runtime(self, binary: str) -> None:
        if not self._engine.tasks.find_runtime(binary):
            self._unseen.append(f"whether containerd finds the runtime {binary}")

    def foresee(self) -> t.List[str]:
        """kernel/converge.py: Plan."""
        warnings = self._image() if self._makes else []
        if not self._makes and self._have.container and self._want.state == "started" and not self._have.running:
            self._start(self._have.container)
        return [*warnings, *([f"check mode cannot tell {' and '.join(self._unseen)}"] if self._unseen else [])]

    def _start(self, container: Container) -> None:
        from .volumes import is_declared

        for mount in container.spec.get("mounts") or ():
            source = str(mount.get("source", ""))
            by_the_user = mount.get("type") == "bind" and source.startswith("/") and not is_declared(mount, container.id)
            if by_the_user and not os.path.exists(source):
                raise InvalidArgument(f"the volume's source {source} is not there")
        self._find_runtime(container.runtime.binary)

    def _image(self) -> t.List[str]:
        """What pulling it and making the container would find out."""
        from .differences import coming

        engine, want = self._engine, self._want
        found, warnings = coming(want, self._have), []
        image = found or self._have.image
        if want.image is None or image is None or image.view is None:
            return []
        snapshotter = want.engine.snapshotter
        if found:
            from ..image.room import Room

            warnings = Room(engine, snapshotter).take(want.image.label, found)[1]
        options = effective(want.given, image_defaults(image.view.image_config))
        args = command_line(want, options)
        with contextlib.ExitStack() as stack:
            root = self._opened(stack, snapshotter, image.view)
            if root >= 0:
                check_root(root, options, args)
            else:
                named = options["user"] if not options["user"].replace(":", "").isdigit() else ""
                self._unseen.append(f"whether the image has the command {args[0]}" + (f" and the user {named}" if named else ""))
        return warnings

    def _opened(self, stack: contextlib.ExitStack, snapshotter: str, view: ImageView) -> int:
        """The image's files, where it is unpacked already; -1 where they cannot be looked at."""
        import tempfile

        from ...runtime.rootfs import opened

        store = self._engine.snapshotter(snapshotter)
        try:
            target = stack.enter_context(store.look(view.chain_id))
            return stack.enter_context(opened(target.mounts(), tempfile.gettempdir()))
        except (NotFound, Unimplemented, PermissionDenied):
            return -1


def command_line(want: WantedContainer, options: t.Mapping[str, t.Any]) -> t.Tuple[str, ...]:
    """Entry point and command. InvalidArgument when there is neither."""
    args = (*options["entrypoint"], *options["command"])
    if not args:
        label = want.image.label if want.image else ""
        raise InvalidArgument(f"command: the image {label} has neither a command nor an entry point: give one")
    return args


def check_root(root_fd: int, options: t.Mapping[str, t.Any], args: t.Sequence[str]) -> User:
    """A root file system, and what is asked for in it. The user that the container runs as."""
    from ...runtime import rootfs
    from ...runtime.executables import check_command
    from ...runtime_spec.build import DEFAULT_PATH
    from ...runtime_spec.users import resolve_user

    rootfs.check_rootfs(root_fd)
    rootfs.check_working_dir(root_fd, options["working_dir"])
    user = resolve_user(root_fd, options["user"])
    rootfs.check_targets(root_fd, options["volumes"])
    targets = [volume["target"] for volume in options["volumes"]]
    check_command(root_fd, args[0], options["env"].get("PATH", DEFAULT_PATH), options["working_dir"], targets)
    return user
