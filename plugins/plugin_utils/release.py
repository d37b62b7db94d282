# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release file of a task (docs/adr/0048): it is on the controller, and the module gets names with digests."""

from __future__ import annotations

import functools
import typing as t

from ansible.errors import AnsibleFileNotFound
from ansible.plugins.action import ActionBase

from ..module_utils.errors import EngineError, InvalidArgument, NotFound, from_os_error, printable
from ..module_utils.oci.reference import Reference
from ..module_utils.oci.release import Release

Arguments = t.Dict[str, t.Any]
#: Reads a release file. Puts what it says into the arguments of a module.
Read = t.Callable[[t.Any, str], Release]
Pin = t.Callable[[Read, Arguments], Arguments]


def read_release(action: ActionBase, path: t.Any, option: str = "release") -> Release:
    """A release file of an action's task. It is found as the src of ansible.builtin.copy is. NotFound, InvalidArgument."""
    if not isinstance(path, str):
        raise InvalidArgument(f"{option}: {printable(path, 80)!r} is not the path of a release file")
    try:
        found: str = action._find_needle("files", path)  # type: ignore[no-untyped-call]  # ansible-core has no types
        with open(found, "rb") as stream:
            return Release.parse(stream.read(), path)
    except AnsibleFileNotFound as error:
        raise NotFound(f"{option}: there is no {printable(path, 300)} on the controller") from error
    except OSError as error:
        raise from_os_error(error, f"{option}: reading {printable(path, 300)} on the controller") from error


def pin(action: ActionBase, how: Pin) -> Arguments:
    """Pin the arguments of an action's task, which names release files. The result if that fails, else nothing."""
    try:
        action._task.args = how(functools.partial(read_release, action), dict(action._task.args))
    except EngineError as error:
        return {"failed": True, "msg": str(error), "error": type(error).__name__}
    return {}


def pin_image(read: Read, arguments: Arguments) -> Arguments:
    """Of a task that has one image."""
    release = read(arguments["release"], "release")
    if arguments.get("image"):
        arguments["image"] = _pinned(release, arguments["release"], arguments["image"], "image")
    return arguments


def pin_images(read: Read, arguments: Arguments) -> Arguments:
    """Of a task that has many images; all of the release, if it names none. What shall be absent may have any digest."""
    path = arguments["release"]
    if arguments.get("state") == "absent":
        return arguments
    release = read(path, "release")
    names, images, tag = arguments.get("name") or [], arguments.get("images") or [], arguments.pop("tag", None)
    if not names and not images:
        names = list(release.images)
    names = names.split(",") if isinstance(names, str) else names
    arguments["name"] = [_pinned(release, path, name, "name", tag) for name in names]
    arguments["images"] = [
        {**one, "name": _pinned(release, path, one.get("name"), "images", tag)} if isinstance(one, dict) else one
        for one in images
    ]
    return arguments


def pin_kept(read: Read, arguments: Arguments) -> Arguments:
    """Of a task that keeps what release files name."""
    paths = arguments["keep_releases"]
    releases = [read(path, "keep_releases") for path in (paths.split(",") if isinstance(paths, str) else paths)]
    pins = [str(Reference.parse(name)._replace(digest=one.digest)) for each in releases for name, one in each.images.items()]
    arguments["keep_releases"] = sorted(set(pins))
    return arguments


def _pinned(release: Release, path: str, text: t.Any, option: str, tag: t.Any = None) -> t.Any:
    """A name with its digest. What is no name (an image id, a wrong value) is left to the module, which says so."""
    try:
        reference = Reference.parse(text, option, "")
        if not reference.tag and not reference.digest:
            # A tag may be a digest, as in the module.
            digest = str(tag).startswith("sha256:")
            reference = Reference.parse(f"{reference.name}{'@' if digest else ':'}{tag or 'latest'}", "tag" if tag else option)
    except InvalidArgument:
        return text
    return str(release.pinned(reference, option, path))
