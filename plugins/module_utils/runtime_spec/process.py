# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of a specification."""

from __future__ import annotations

import typing as t

from .users import User


def add_env(spec: t.Mapping[str, t.Any], more: t.Mapping[str, str]) -> None:
    """Add variables. Each variable appears once: with its last value, in its first place."""
    env = dict(item.split("=", 1) for item in spec["process"]["env"])
    spec["process"]["env"] = [f"{key}={value}" for key, value in {**env, **more}.items()]


def env_of(spec: t.Mapping[str, t.Any], name: str) -> str:
    return next((item.partition("=")[2] for item in spec["process"]["env"] if item.startswith(f"{name}=")), "")


def run_as(spec: t.Mapping[str, t.Any], user: User) -> None:
    """Set the user. Users other than root have no capabilities except those of a program's file."""
    process = spec["process"]
    process["user"].update(uid=user.uid, gid=user.gid, additionalGids=list(user.groups))
    if user.uid != 0:
        process["capabilities"].update(effective=[], permitted=[])
    if user.home:
        add_env(spec, {"HOME": user.home})
