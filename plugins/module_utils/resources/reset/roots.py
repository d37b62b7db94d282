# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directories that a reset removes: only with what is known in them, and never across a mount that is not ours."""

from __future__ import annotations

import os
import re
import typing as t

from ...engine.models import VOLUMES
from ...errors import FailedPrecondition, from_os_error
from ...hostfs.mounts import mount_points
from ...hostfs.remove import DOOMED, remove_tree, rename_then_remove
from ...network.rules import LOCK
from .values import WantedReset

_DATABASE = "metadata.db"
_DATA = ("containers", "content", "libexec", "locks", "snapshots", "volumes")
_STATE = ("config.lock", "exec", "exits", "health", "networks", "rules.json", "rules.lock", "runc", "volumes")
#: What tasks make beside these for a moment, and leave when they are killed.
_MADE = r"\.fleet-verify-|tmp[a-z0-9_]{8}\Z"
#: Of a file system that is mounted there.
_OF_MOUNT = "lost+found"
_ID = r"[0-9a-f]{64}\Z"
#: Where all engines of a host have their rules and the names of their networks, and what of it they share.
_RUN, _SHARED = os.path.dirname(LOCK), {"networks", "rules.json", "rules.lock"}


def check(want: WantedReset) -> None:
    """FailedPrecondition where there is something that a reset must not remove: it names that."""
    for option, root, is_ours in (("data_root", want.data_root, _is_data), ("state_root", want.state_root, _is_state)):
        others = [name for name in names(root) if not is_ours(root, name)]
        if others:
            raise FailedPrecondition(
                f"{option}: {root} has something that this collection has not made ({', '.join(others[:5])}): is it the right "
                "directory? Then move that elsewhere first"
            )
    check_mounts(want)


def check_mounts(want: WantedReset, ours: bool = True) -> None:
    """FailedPrecondition where something is mounted below what goes. ours: what containers and volumes have mounted does not count."""
    for root in (want.data_root, want.state_root, *want.paths):
        points = [one for one in mount_points(os.path.realpath(root)) if one != os.path.realpath(root)]
        foreign = [one for one in points if not (ours and _is_mount_of_ours(want, os.path.realpath(root), one))]
        if foreign:
            raise FailedPrecondition(
                f"something is mounted below {root} that no container or volume of this collection has mounted: {', '.join(foreign)}. "
                "Unmount it first: nothing behind it is removed"
            )


def _is_mount_of_ours(want: WantedReset, root: str, point: str) -> bool:
    parts = os.path.relpath(point, root).split(os.sep)
    if root == os.path.realpath(want.data_root):
        return parts[0] == "containers" and len(parts) > 4 and parts[4] != VOLUMES
    if root == os.path.realpath(want.state_root):
        return (parts[0] == "volumes" and len(parts) == 3) or (len(parts) > 2 and bool(re.match(_ID, parts[1])))
    # The daemon's own, of the containers that go before.
    return want.daemon_goes and any(part.startswith("io.containerd.") for part in parts[:-1])


def _is_data(_root: str, name: str) -> bool:
    return name in (*_DATA, _OF_MOUNT) or name.startswith((_DATABASE, DOOMED)) or bool(re.match(_MADE, name))


def _is_state(root: str, name: str) -> bool:
    """Others are namespaces, with a bundle for each container."""
    return name in (*_STATE, _OF_MOUNT) or name.startswith(DOOMED) or is_of_bundles(os.path.join(root, name))


def is_of_bundles(path: str) -> bool:
    """Whether it is a directory with nothing but bundles of containers."""
    return os.path.isdir(path) and all(re.match(_ID, one) or one.startswith(DOOMED) for one in names(path))


def namespaces(want: WantedReset) -> t.Set[str]:
    """Those of the embedded engine, as far as directories show them."""
    found = {name for name in names(want.state_root) if name not in _STATE and not name.startswith(".")}
    below = os.path.join(want.data_root, "containers", "embedded")
    return {name for name in found | set(names(below)) if not name.startswith(".") and name != _OF_MOUNT}


def names(directory: str) -> t.List[str]:
    """Sorted; empty for what is no directory."""
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise from_os_error(error, f"reading {directory}") from error


def _stays(root: str) -> bool:
    """Whether a root is a mount point, or a link to a directory, which somebody else has made: then what is in it goes."""
    return os.path.isdir(root) and (os.path.islink(root) or os.path.realpath(root) in mount_points(root))


def _kept(root: str, shared: bool) -> t.Set[str]:
    """What stays in a root. shared: containers of others are in networks."""
    return {_OF_MOUNT, *(_SHARED if shared and root == _RUN else ())}


def there(path: str) -> t.List[str]:
    """What is to be removed of a path: itself, and what an interrupted removal of it has left."""
    parent, name = os.path.split(path)
    pattern = f"{re.escape(DOOMED)}{re.escape(name[:64])}-[0-9a-f]{{8}}\\Z"
    found = [os.path.join(parent, one) for one in names(parent) if re.match(pattern, one)]
    return [*found, *([path] if os.path.lexists(path) else [])]


def root_there(root: str, shared: bool) -> t.List[str]:
    """The same for a root, which may have to stay itself."""
    stays = (_stays(root) or names(root)) and set(names(root)) <= _kept(root, shared)
    return [one for one in there(root) if one != root or not stays]


def remove(path: str) -> None:
    """The name goes first: whoever is killed leaves nothing that looks whole."""
    if os.path.basename(path).startswith(DOOMED):
        remove_tree(path)
    else:
        rename_then_remove(path)


def remove_root(root: str, shared: bool) -> None:
    """The same for a root. Of a mount point, or behind a link, what is in it goes."""
    kept = _kept(root, shared)
    if not _stays(root) and not kept & set(names(root)):
        remove(root)
        return
    # Without its database, nobody takes the rest for a store.
    for name in sorted(set(names(root)) - kept, key=lambda one: (not one.startswith(_DATABASE), one)):
        remove(os.path.join(os.path.realpath(root), name))
