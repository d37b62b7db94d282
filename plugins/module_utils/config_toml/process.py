# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the containerd that runs with a configuration file, and its start time."""

from __future__ import annotations

import os
import time
import typing as t

DEFAULT = "/etc/containerd/config.toml"
#: Flags of the daemon that take no value.
_SWITCHES = {"-h", "--help", "-v", "--version"}


class Running(t.NamedTuple):
    """A running daemon. started: seconds since the epoch."""

    pid: int
    started: float


def running(config: str) -> t.Optional[Running]:
    """The daemon that was started with the file config on this host; None without one."""
    wanted = os.path.realpath(config)
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found = _look(f"/proc/{name}", wanted)
            except OSError:
                continue
            if found:
                return Running(int(name), found)
    return None


def _look(proc: str, config: str) -> float:
    """The start time of the process if it is a daemon with that file, else 0."""
    with open(f"{proc}/cmdline", "rb") as stream:
        arguments = [os.fsdecode(one) for one in stream.read().split(b"\0")[:-1]]
    if not arguments or not _is_containerd(proc, arguments[0]):
        return 0.0
    given = _config_of(arguments[1:])
    if given is None or not os.path.samestat(os.stat(f"{proc}/root/"), os.stat("/")):
        return 0.0
    if os.path.realpath(os.path.join(os.readlink(f"{proc}/cwd"), given)) != config:
        return 0.0
    with open(f"{proc}/stat", "rb") as stream:
        ticks = int(stream.read().rpartition(b")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def _is_containerd(proc: str, first: str) -> bool:
    program = os.readlink(f"{proc}/exe")
    # The kernel adds " (deleted)" after an upgrade of a running daemon's package.
    program = program[: -len(" (deleted)")] if program.endswith(" (deleted)") else program
    return "containerd" in (os.path.basename(program), os.path.basename(first))


def _config_of(arguments: t.Sequence[str]) -> t.Optional[str]:
    """The file that a daemon with these arguments reads; None for the arguments of a subcommand."""
    config, position = DEFAULT, 0
    while position < len(arguments):
        flag, equals, value = arguments[position].partition("=")
        if not flag.startswith("-"):
            return None
        if not equals and flag not in _SWITCHES:
            position += 1
            value = arguments[position] if position < len(arguments) else ""
        if flag.lstrip("-") in ("config", "c"):
            config = value
        position += 1
    return config
