# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts of a specification: of generated files, and of volumes."""

from __future__ import annotations

import typing as t

from .volumes import Volume

Spec = t.Dict[str, t.Any]


def mount(destination: str, kind: str, source: str, options: str) -> t.Dict[str, t.Any]:
    return {"destination": destination, "type": kind, "source": source, "options": options.split()}


def bind_files(spec: Spec, files: t.Mapping[str, str]) -> None:
    """Bind files to their paths in the container. Files of the host itself (the same path) are read-only."""
    for path, source in files.items():
        spec["mounts"].append(mount(path, "bind", source, f"rbind rprivate {'ro' if source == path else 'rw'}"))


def bind_volumes(spec: Spec, volumes: t.Iterable[Volume]) -> None:
    """Bind volumes, those with short paths first, so that no volume hides another."""
    for volume in sorted(volumes, key=lambda one: one.target.count("/")):
        options = [option for option in volume.options if option not in ("z", "Z", "nocopy")]
        if not any(option.endswith(("private", "shared", "slave")) for option in options):
            options.append("rprivate")
        spec["mounts"].append(mount(volume.target, "bind", volume.source, " ".join(["rbind", *options])))
