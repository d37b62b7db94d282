# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of docker_container that are not here, and what takes their place."""

from __future__ import annotations

import typing as t

from ....errors import InvalidArgument, printable

_INSTEAD = {
    "kernel_memory": "kernels and runtimes no longer have this limit, and count the memory of the kernel with the rest: use memory",
}


def check_dropped(params: t.Mapping[str, t.Any]) -> None:
    """InvalidArgument for the first one that a task gives."""
    for option, instead in _INSTEAD.items():
        if params.get(option) is not None:
            raise InvalidArgument(f"{option}: {printable(params[option], 80)!r} cannot be had: {instead}")
