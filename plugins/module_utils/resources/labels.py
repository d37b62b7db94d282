# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels, and other texts that YAML takes for something else, of networks and volumes."""

from __future__ import annotations

import typing as t

from ..errors import InvalidArgument, printable

_RESERVED = ("nerdctl/", "fleet.containerd/")


def labels_of(given: t.Mapping[str, t.Any], option: str = "labels") -> t.Dict[str, str]:
    """InvalidArgument names option and label."""
    for key, value in given.items():
        if key.startswith(_RESERVED):
            raise InvalidArgument(f"{option}: {printable(key, 80)} is not for playbooks: nerdctl and this collection use it")
        if isinstance(value, (dict, list)):
            raise InvalidArgument(f"{option}: {printable(key, 80)}: {printable(value, 80)} is no text")
    return {key: text_of(value) for key, value in given.items()}


def text_of(value: t.Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
