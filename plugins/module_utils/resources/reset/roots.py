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
_ID, _NAMESPACE = r"[0-9a-f]{64}\Z", r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*\Z"
#: Where all engines of a host have their rules and the names of their networks, and what of it they share.
_RUN, _SHARED = os.path.dirname(LOCK), {"networks", "rules.json", "rules.lock"}


def check(want: WantedReset) -> None:
    """FailedPrecondition where there is something that a reset must not remove: it names that."""
    both = [("data_root", want.data_root, _is_data), ("state_root", want.state_root, _is_state)]
    for option, root, is_ours in both:
        others = [name for name in names(root) if not is_ours(root, name)]
        # One may be below the other.
        others = [one for one in others if not any(f"{other}/".startswith(f"{root}/{one}/") for _option, other, _is in both)]
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
        foreign = [one for one in points if not (ours and _is_mount_of_ours(want, one))]
        if foreign:
            raise FailedPrecondition(
                f"something is mounted below {root} that no container or volume of this collection has mounted: {', '.join(foreign)}. "
                "Unmount it first: nothing behind it is removed"
            )


def _is_mount_of_ours(want: WantedReset, point: str) -> bool:
    data, state = _parts(want.data_root, point), _parts(want.state_root, point)
    if data[:1] == ["containers"]:
        return len(data) > 4 and data[4] != VOLUMES
    if state:
        return (state[0] == "volumes" and len(state) == 3) or (len(state) > 2 and bool(re.match(_ID, state[1])))
    # The daemon's own, of the containers that go before.
    return want.daemon_goes and any(one.startswith("io.containerd.") for one in os.path.dirname(point).split(os.sep))


def _parts(root: str, point: str) -> t.List[str]:
    """The path of a mount point below a root; empty for one elsewhere."""
    real = os.path.realpath(root) + os.sep
    return point[len(real) :].split(os.sep) if point.startswith(real) else []


def _is_data(_root: str, name: str) -> bool:
    return name in (*_DATA, _OF_MOUNT) or name.startswith((_DATABASE, DOOMED)) or bool(re.match(_MADE, name))


def _is_state(root: str, name: str) -> bool:
    """Others are namespaces, with a bundle for each container."""
    return name in (*_STATE, _OF_MOUNT) or name.startswith(DOOMED) or is_of_bundles(os.path.join(root, name))


def is_of_bundles(path: str) -> bool:
    """Whether it is a directory of a namespace, with nothing but bundles of containers."""
    bundles = all(re.match(_ID, one) or one.startswith(DOOMED) for one in names(path))
    return bundles and os.path.isdir(path) and bool(re.match(_NAMESPACE, os.path.basename(path)))


def namespaces(want: WantedReset) -> t.Set[str]:
    """Those of the embedded engine, as far as directories show them."""
    found = {name for name in names(want.state_root) if name not in _STATE and is_of_bundles(os.path.join(want.state_root, name))}
    below = os.path.join(want.data_root, "containers", "embedded")
    return found | {name for name in names(below) if re.match(_NAMESPACE, name)}


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
