# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A picture of a host: what containers could leave on it, a line each, so that two pictures can be compared."""

from __future__ import annotations

import os
import pathlib
import subprocess
import typing as t

from .leftovers import mounts_below, processes_with

#: By kind: what there is of it.
Picture = t.Dict[str, t.List[str]]

_CGROUPS = pathlib.Path("/sys/fs/cgroup")
#: The rules of packets: iptables' own as well, unless it is the old one, of which the kernel tells only the tables.
_RULES = (["nft", "list", "ruleset"], ["cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"])


def picture(
    under: t.Sequence[str], pid: int, places: t.Sequence[str], roots: t.Sequence[str] = (), marks: t.Sequence[str] = ()
) -> Picture:
    """The host of a process. under: the beginning of a command that runs in its network. places: directories whose files and mounts count, as that
    host names them. What only this host has on the machine: roots, more such directories, which processes name; marks, words in
    the names of control groups.
    """
    places = [*places, *roots]

    def run(*command: str) -> t.List[str]:
        # starts: nsenter, ip, nft, cat
        done = subprocess.run([*under, *command], check=False, capture_output=True, text=True)
        return done.stdout.splitlines()

    root = pathlib.Path(f"/proc/{pid}/root")
    return {
        "mounts": [point for place in places for point in mounts_below(place, pid)],
        "links": [line.split()[1] for line in run("ip", "-o", "link")],
        "addresses": [" ".join(line.split()[1:4]) for line in run("ip", "-o", "address")],
        "routes": [line.strip() for version in "46" for line in run("ip", f"-{version}", "route", "show", "table", "all")],
        "rules": [line for command in _RULES for line in run(*command)],
        "namespaces of networks": sorted(one.name for one in (root / "run/netns").glob("*")),
        "control groups": sorted(_groups(marks)),
        "processes": sorted(" ".join(words) for root in roots for words in processes_with(root).values()),
        "files": sorted(one for place in places for one in _files(root, place)),
        # Those with a name have eight words, and are those of this network.
        "sockets": sorted(line.split()[7] for line in run("cat", "/proc/net/unix")[1:] if len(line.split()) > 7),
    }


def _groups(marks: t.Sequence[str]) -> t.Iterator[str]:
    for base, directories, _files_of_it in os.walk(_CGROUPS):
        yield from (os.path.join(base, one) for one in directories if any(mark in one for mark in marks))


def _files(root: pathlib.Path, place: str) -> t.Iterator[str]:
    """Directories have a slash at their end. What is in a file is not looked at."""
    top = root / place.lstrip("/")
    if not os.path.lexists(top):
        return
    for base, directories, files in os.walk(top):
        inside = "/" + os.path.relpath(base, root)
        yield f"{inside}/"
        yield from (os.path.join(inside, one) for one in files)
        yield from (os.path.join(inside, one) for one in directories if os.path.islink(os.path.join(base, one)))


def differences(before: Picture, after: Picture) -> t.List[str]:
    """What differs, a line each: what has gone and what has come."""
    found = []
    for kind in before:
        gone, come = list(before[kind]), []
        for one in after[kind]:
            if one in gone:
                gone.remove(one)
            else:
                come.append(one)
        found += [f"{kind}: gone: {one}" for one in gone] + [f"{kind}: come: {one}" for one in come]
    return found
