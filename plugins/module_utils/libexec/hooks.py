# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the hook of containers with networks, at a path that stays: it is written into each container's specification.

That path is a link to the file of the newest release, and the command follows it once: so what is replaced meanwhile does not
change under a hook that runs. It has a file of its own, as tasks without networks do not send its code, and the shim's memory would
hold its table of contents.
"""

from __future__ import annotations

import os
import typing as t

from .. import errors
from ..hostfs import atomic, edit, inside, lock, mounts, syscalls
from ..network import (
    attachment,
    chain,
    conflist,
    connected,
    conntrack,
    container,
    drivers,
    external,
    ipam,
    iptables,
    links,
    meta,
    names,
    netlink,
    netns,
    nftables,
    places,
    ports,
    programs,
    resolver,
    result,
    rules,
    ruleset,
    strangers,
    subnets,
    sysctl,
)
from . import hook, install, secret_files

MODULES = (
    *(errors, atomic, edit, inside, lock, mounts, syscalls, hook, secret_files),
    *(attachment, chain, conflist, connected, conntrack, container, drivers),
    *(external, ipam, iptables, links, meta, names, netlink, netns, nftables, places, ports, programs, resolver, result, rules),
    *(ruleset, strangers, subnets, sysctl),
)
_LINK = "hook.pyz"
_COMMAND = "import sys,posix;sys.path.insert(0,posix.readlink(sys.argv[1]));from fleet.libexec.{} import main;main(sys.argv[2:])"
#: A runtime gives a hook no environment of its own.
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def link_path(data_root: str) -> str:
    return os.path.join(data_root, "libexec", _LINK)


def install_hook(data_root: str) -> None:
    """Have the hook of this release; containers that exist use it from their next start."""
    install.link(data_root, _LINK, install.install(data_root, MODULES))


Hooks = t.Dict[str, t.List[t.Dict[str, t.Any]]]


def _hook(data_root: str, module: str, *arguments: str) -> t.List[t.Dict[str, t.Any]]:
    start = [install.interpreter(), "-I", "-S", "-E", "-c", _COMMAND.format(module), link_path(data_root)]
    return [{"path": start[0], "args": [*start, *arguments], "env": [_PATH], "timeout": 120}]


def hooks(data_root: str, networks: str) -> Hooks:
    """The hooks of networks. networks: the path of networks.json."""
    return {moment: _hook(data_root, "hook", moment, networks) for moment in ("createRuntime", "poststop")}


def secret_hooks(data_root: str, directory: str) -> Hooks:
    """The hook that gives a container the secrets in a directory."""
    return {"createRuntime": _hook(data_root, "secret_files", directory)}


def add_hooks(spec: t.Dict[str, t.Any], ours: Hooks) -> None:
    """Put hooks before those of a specification, and instead of those that end with the same argument."""
    there = spec.setdefault("hooks", {})
    for moment, new in ours.items():
        last = {one["args"][-1] for one in new}
        there[moment] = [*new, *(one for one in there.get(moment) or () if (one.get("args") or [""])[-1] not in last)]
