# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets which image from whom, in a distribution to the hosts of a play (docs/adr/0050). It only computes."""

from __future__ import annotations

import typing as t

#: A piece is passed on when it is complete, so a chain costs the time of one piece a host: this part of all in the end.
_PIPE_SHARE = 0.01
_LEAST_PIECE, _MOST_PIECE = 16 * 1024, 256 * 1024
#: A host remembers the tags of all pieces.
_PIECES = 65536
#: Distances to the hosts before it that a host knows, besides the first one of the chain.
_BEFORE = (1, 2, 3, 5, 8)
#: How many heads of other chains, and hosts at the end of its own.
_OTHERS, _LAST = 3, 3


class Host(t.NamedTuple):
    """A host, as it was found. group: what order_by said. holds: digests of the images that it has completely, for its platform."""

    name: str
    address: str
    platform: str
    group: str = ""
    holds: t.FrozenSet[str] = frozenset()


class Sources(t.NamedTuple):
    """Whom a host asks for an image: names, in order. last: the end of its chain, whom it asks if it turns out to be slow, and whom
    it outlives. holds: it has the image. head: who asks the registry for its chain; empty where nobody does.
    """

    sources: t.Tuple[str, ...]
    last: t.Tuple[str, ...]
    holds: bool = False
    head: str = ""


def in_order(hosts: t.Sequence[Host]) -> t.List[Host]:
    """Those of one group side by side: groups and hosts as the inventory has them first."""
    groups = {group: number for number, group in enumerate(dict.fromkeys(host.group for host in hosts))}
    return sorted(hosts, key=lambda host: groups[host.group])


def chains(takers: t.Sequence[str], holders: t.Sequence[str], heads: int) -> t.List[t.List[str]]:
    """The chains for one image, each in the order in which the bytes go. Without holders each begins at the registry."""
    count = max(1, min(len(takers), len(holders) or heads))
    found = []
    for number in range(count):
        begin, end = (len(takers) * one // count for one in (number, number + 1))
        found.append([*holders[number : number + 1], *takers[begin:end]])
    return found


def sources_of(hosts: t.Sequence[Host], digest: str, heads: int = 1) -> t.Dict[str, Sources]:
    """For one image, by host. Hosts of one platform are among themselves, since others need other blobs."""
    found: t.Dict[str, Sources] = {}
    ordered = in_order(hosts)
    for platform in dict.fromkeys(host.platform for host in ordered):
        same = [host for host in ordered if host.platform == platform]
        holders = [host.name for host in same if digest in host.holds]
        takers = [host.name for host in same if digest not in host.holds]
        found.update((name, Sources((), (), True)) for name in holders)
        if takers:
            found.update(_chained(chains(takers, holders, heads), holders))
    return found


def _chained(lines: t.Sequence[t.Sequence[str]], holders: t.Sequence[str]) -> t.Iterator[t.Tuple[str, Sources]]:
    held = set(holders)
    for number, line in enumerate(lines):
        # Chains next to this one first; and those who have it and lead no chain.
        heads = [lines[(number + step) % len(lines)][0] for step in range(1, min(len(lines), _OTHERS + 1))]
        heads += holders[len(lines) : len(lines) + _OTHERS]
        for place, name in enumerate(line):
            last = tuple(reversed(line[place + 1 :]))[:_LAST]
            if name in held:
                yield name, Sources((), last, True)
                continue
            before = [line[place - step] for step in _BEFORE if step <= place]
            before += line[:1] if place and line[0] not in before else []
            # The first one of a chain asks the registry, and nobody whose chain begins there, too.
            others = heads if place or held else []
            yield name, Sources((*before, *others), last, head="" if held else line[0])
    for name in holders[len(lines) :]:
        yield name, Sources((), tuple(line[-1] for line in lines[:_LAST]), True)


def piece_of(size: int, hosts: int) -> int:
    """Bytes of a piece, a power of two. size: of all images of the play."""
    wanted, piece = max(size * _PIPE_SHARE / max(1, hosts), size / _PIECES), _MOST_PIECE
    while piece > _LEAST_PIECE and piece // 2 >= wanted:
        piece //= 2
    return piece
