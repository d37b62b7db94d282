# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users and groups of the host that containers have as their own: from /etc/subuid and /etc/subgid (subuid(5)).

The range of a container is in a file of its directory. It is given back with that, also when a run is killed that makes or removes the
container. All containers below data_root are looked at, of each engine and namespace: they are on one host.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import typing as t

from ...errors import FailedPrecondition, printable
from ...hostfs.atomic import make_dir, read_file, write_file
from ...runtime_spec.user_namespace import Mapping
from .options.namespaces import HOST, REMAP, size_of

#: Docker's name with userns-remap=default: what its containers own belongs to these, too. The other one is ours.
_USER_OF = {REMAP: "dockremap"}
_USER = "fleet-containerd"
_UIDS, _GIDS = "/etc/subuid", "/etc/subgid"
_FILE = "users.json"

#: The first number, and how many.
Range = t.Tuple[int, int]


def choose(mode: str, data_root: str) -> t.Optional[Mapping]:
    """The users of a container with this userns_mode, as things are now; None for those of the host. FailedPrecondition."""
    if mode == HOST:
        return None
    user = _USER_OF.get(mode, _USER)
    uids, gids = _ranges(_UIDS, user, mode), _ranges(_GIDS, user, mode)
    if mode == REMAP:
        return Mapping(uids[0][0], gids[0][0], min(*uids[0], *gids[0]))
    size, taken = size_of(mode), _taken(data_root)
    first = _free(_UIDS, uids, [(one.uid, one.size) for one in taken], size, mode)
    return Mapping(first, _free(_GIDS, gids, [(one.gid, one.size) for one in taken], size, mode), size)


@contextlib.contextmanager
def chosen(mode: str, data_root: str) -> t.Iterator[t.Optional[Mapping]]:
    """The same, and nobody else chooses until the end of the context: it has to be kept (keep) by then."""
    if mode == HOST:
        yield None
        return
    from ...hostfs.lock import locked

    directory = os.path.join(data_root, "containers")
    make_dir(directory)
    with locked(directory, "the choice of users for containers"):
        yield choose(mode, data_root)


def keep(mapping: Mapping, directory: str) -> None:
    """Record it with a container."""
    write_file(os.path.join(directory, _FILE), json.dumps(mapping).encode())


def _taken(data_root: str) -> t.List[Mapping]:
    found = []
    for path in glob.glob(os.path.join(glob.escape(data_root), "containers", "*", "*", "*", _FILE)):
        data = read_file(path)
        if data is not None:
            with contextlib.suppress(ValueError, TypeError):
                found.append(Mapping(*json.loads(data)))
    return found


def _ranges(path: str, user: str, mode: str) -> t.List[Range]:
    """Those of a user."""
    text = (read_file(path) or b"").decode("utf-8", "replace")
    parts = [line.strip().split(":") for line in text.splitlines()]
    found = [(int(one[1]), int(one[2])) for one in parts if len(one) == 3 and one[0] == user and (one[1] + one[2]).isdecimal()]
    found = [(first, count) for first, count in found if first and count]
    if not found:
        raise FailedPrecondition(
            f"userns_mode: {mode}: {path} on the target has no line for {user}: add one to {_UIDS} and to {_GIDS}, "
            f"for example {user}:{'200000:65536' if mode == REMAP else '1000000000:65536000'}, of numbers that nothing else has"
        )
    return found


def _free(path: str, ranges: t.Sequence[Range], taken: t.Sequence[Range], size: int, mode: str) -> int:
    """None begins below its own size: an owner in an image would look like one on the host (runtime/mapped.py)."""
    for first, count in sorted(ranges):
        at = max(first, size)
        for other, others in sorted(taken):
            if at < other + others and other < at + size:
                at = other + others
        if at + size <= first + count:
            return at
    used = f"{len(taken)} containers have some already" if taken else "no container has any yet"
    raise FailedPrecondition(
        f"userns_mode: {printable(mode, 40)}: there are no {size} numbers in a row left of those that {path} has for {_USER}, and {used}: "
        "give it a larger range, or remove containers"
    )
