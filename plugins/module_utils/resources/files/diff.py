# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The diff of a copy, as ansible.builtin.copy has it: texts, or why they are not shown; of a directory, what is written in it."""

from __future__ import annotations

import os
import stat
import time
import typing as t

from ...hostfs.put import Attributes
from .source import bytes_of
from .target import Target
from .values import FILE, Difference, Entry, kind_of

#: Bytes of a file that a diff shows; Ansible's default of max_file_size_for_diff.
LIMIT = 104448
#: What a terminal may take for an order.
_CONTROL = {one: f"\\x{one:02x}" for one in (*range(0x20), *range(0x7F, 0xA0)) if chr(one) not in "\n\t\r"}
#: How many files of a directory a diff names.
_MOST = 1000


class Diff(t.NamedTuple):
    """more: other keys of the result's diff."""

    before: t.Any = {}
    after: t.Any = {}
    more: t.Mapping[str, t.Any] = {}


def diff_of(
    source: t.Any, target: Target, found: t.Sequence[Difference], owner: t.Callable[[int, int], t.Tuple[int, int]]
) -> Diff:
    """owner: from an owner of this host to what the reader knows."""
    if not found:
        return Diff()
    first = found[0]
    if len(found) == 1 and not first.entry.path and first.content and first.entry.kind == FILE:
        return _file(source, target, first, owner)
    before = {target.name(one.entry.path): _have(one, owner) for one in found[:_MOST]}
    after = {target.name(one.entry.path): _want(one, owner) for one in found[:_MOST]}
    return Diff(before, after)


def _file(source: t.Any, target: Target, one: Difference, owner: t.Callable[[int, int], t.Tuple[int, int]]) -> Diff:
    name, before, after = target.name(""), _have(one, owner), _want(one, owner)
    there = _there(target) if one.have and one.have.st_size <= LIMIT else b""
    here = _here(source, one.entry) if one.entry.size <= LIMIT else b""
    if here is None:
        return Diff({name: before}, {name: after})
    sizes = {"dst": one.have.st_size if one.have else 0, "src": one.entry.size}
    more: t.Dict[str, t.Any] = {f"{side}_larger": LIMIT for side, size in sizes.items() if size > LIMIT}
    more.update({f"{side}_binary": 1 for side, data in (("dst", there), ("src", here)) if b"\0" in data})
    headers = {"before_header": _header(name, before), "after_header": _header(name, after)}
    if more:
        return Diff({name: before}, {name: after}, {**headers, **more})
    return Diff(_text(there), _text(here), headers)


def _text(data: bytes) -> str:
    """For a terminal, which is not to obey what a container has written."""
    return data.decode("utf-8", "backslashreplace").translate(_CONTROL)


def _header(name: str, state: t.Mapping[str, t.Any]) -> str:
    known = [f"{key} {state[key]}" for key in ("owner", "group", "mode") if key in state]
    return f"{name} ({', '.join(known or [state['state']])})"


def _there(target: Target) -> bytes:
    with target.find("") as spot:
        if kind_of(spot.found.st_mode if spot.found else 0) != FILE:
            return b""
        fd = spot.open(os.O_RDONLY)
        try:
            return os.pread(fd, LIMIT, 0)
        finally:
            os.close(fd)


def _here(source: t.Any, entry: Entry) -> t.Optional[bytes]:
    """None for what the controller has not sent."""
    if entry.digest and source.unsent([entry]):
        return None
    return b"".join(bytes_of(source, entry))


def _have(one: Difference, owner: t.Callable[[int, int], t.Tuple[int, int]]) -> t.Dict[str, t.Any]:
    have = one.have
    if not have:
        return {"state": "absent"}
    kind = kind_of(have.st_mode)
    mtime = have.st_mtime_ns if one.want.mtime is not None else None
    shown = _shown(kind, Attributes(have.st_uid, have.st_gid, stat.S_IMODE(have.st_mode), mtime, one.extended), owner)
    return {**shown, **({"size": have.st_size} if kind == FILE and one.content else {})}


def _want(one: Difference, owner: t.Callable[[int, int], t.Tuple[int, int]]) -> t.Dict[str, t.Any]:
    entry = one.entry
    more: t.Dict[str, t.Any] = {"size": entry.size} if entry.kind == FILE and one.content else {}
    if entry.link:
        more["link"] = entry.link
    return {**_shown(entry.kind, one.want, owner), **more}


def _shown(kind: str, attributes: Attributes, owner: t.Callable[[int, int], t.Tuple[int, int]]) -> t.Dict[str, t.Any]:
    uid, gid = owner(attributes.uid, attributes.gid)
    found: t.Dict[str, t.Any] = {"state": kind, "owner": uid, "group": gid, "mode": f"{attributes.mode:04o}"}
    if attributes.mtime is not None:
        found["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(attributes.mtime // 10**9))
    if attributes.extended:
        found["attributes"] = sorted(attributes.extended)
    return found
