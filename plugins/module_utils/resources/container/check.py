# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the errors that a container would meet at its creation and start, before anything is changed."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ...errors import InvalidArgument, NotFound, PermissionDenied, Unimplemented
from .differences import coming
from .draft import drafted
from .networks import context_of
from .options.mounts import made_sources
from .options.namespaces import users_of
from .options.process import unseen as unseen_of
from .options.record import find_runtime
from .options.row import Host
from .options.table import effective, image_defaults, values_of
from .shared import is_memory
from .user_ranges import choose
from .volumes import check_named, named, owner

if t.TYPE_CHECKING:
    from ...engine.models import Container
    from ...image.inspect import ImageView
    from .values import FoundContainer, WantedContainer


class Outlook:
    """For a container that will be made, or exists already."""

    def __init__(self, host: Host, want: WantedContainer, have: FoundContainer, makes: bool) -> None:
        self._host, self._want, self._have, self._makes = host, want, have, makes

    def foresee(self) -> t.List[str]:
        """kernel/converge.py: Plan."""
        host, container = self._host, self._have.container
        warnings = self._image() if self._makes else []
        if not self._makes and container and host.starts and not self._have.running:
            self._start(container)
        return [*warnings, *([f"check mode cannot tell {' and '.join(host.unseen)}"] if host.unseen else [])]

    def _start(self, container: Container) -> None:
        places = named(self._host.engine, container)
        check_named(self._host.engine, set(places.values()))
        for mount in container.spec.get("mounts") or ():
            source = str(mount.get("source", ""))
            made = mount.get("destination") in places or _is_made(mount, container)
            by_the_user = mount.get("type") == "bind" and source.startswith("/") and not made
            if by_the_user and not os.path.exists(source):
                raise InvalidArgument(f"the volume's source {source} is not there")
        find_runtime(self._host, container.runtime.binary)

    def _image(self) -> t.List[str]:
        """Raise the errors that pulling the image and making the container would find."""
        engine, want = self._host.engine, self._want
        found, warnings = coming(want, self._have), []
        image = found or self._have.image
        if want.image is None or image is None or image.view is None:
            return []
        if found:
            from ..image.room import Room

            warnings = Room(engine, want.engine.snapshotter).take(want.image.label, found)[1]
        config = image.view.image_config
        values = effective(want.given, image_defaults(config))
        unseen = unseen_of(values, want.image.label)
        with contextlib.ExitStack() as stack:
            root = self._opened(stack, want.engine.snapshotter, image.view)
            if root >= 0:
                mapping = choose(users_of(values), engine.data_root)
                context = context_of(engine, "0" * 64, values, "", want.name, want.places)
                context = context._replace(image=want.image.label, image_volumes=config.volumes, root=root, mapping=mapping)
                drafted(engine.namespace, context, {})
            else:
                self._host.unseen.append(unseen)
        return warnings

    def _opened(self, stack: contextlib.ExitStack, snapshotter: str, view: ImageView) -> int:
        """The files of the image if it is unpacked; -1 if they cannot be read."""
        from ...runtime.rootfs import opened

        store = self._host.engine.snapshotter(snapshotter)
        try:
            target = stack.enter_context(store.look(view.chain_id))
            return stack.enter_context(opened(target.mounts()))
        except (NotFound, Unimplemented, PermissionDenied):
            return -1


def _is_made(mount: t.Mapping[str, t.Any], container: Container) -> bool:
    """Whether the start makes the source of a mount."""
    made = made_sources(values_of(container))
    return bool(owner(mount)) or is_memory(mount) or mount.get("source") in made
