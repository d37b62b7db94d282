# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image configs (OCI image-spec, config.md), read strictly. Healthcheck is Docker's extension."""

from __future__ import annotations

import typing as t

from ..errors import InvalidArgument
from .digest import Digest
from .documents import Reader, load_object
from .platform import Platform


class ImageConfig(t.NamedTuple):
    """The platform, the defaults for containers, and diff_ids (uncompressed layers, bottom first)."""

    platform: Platform
    diff_ids: t.Tuple[Digest, ...]
    created: str = ""
    author: str = ""
    user: str = ""
    env: t.Tuple[str, ...] = ()
    entrypoint: t.Tuple[str, ...] = ()
    cmd: t.Tuple[str, ...] = ()
    working_dir: str = ""
    labels: t.Mapping[str, str] = {}
    stop_signal: str = ""
    exposed_ports: t.Tuple[str, ...] = ()
    volumes: t.Tuple[str, ...] = ()
    healthcheck: t.Mapping[str, t.Any] = {}

    @classmethod
    def parse(cls, data: bytes, what: str = "image config") -> ImageConfig:
        """Raise InvalidArgument, naming what, unless data is a well-formed image config."""
        read = Reader(load_object(data, what), what)
        rootfs = read.child("rootfs")
        if rootfs.text("type", "layers") != "layers":
            raise InvalidArgument(f"rootfs of {what} is not of type layers")
        config = read.child("config")
        return cls(
            Platform.normalised(read.text("os", "linux"), read.text("architecture", ""), read.text("variant", "")),
            tuple(Digest.parse(d) for d in rootfs.texts("diff_ids")),
            read.text("created", ""),
            read.text("author", ""),
            config.text("User", ""),
            config.texts("Env"),
            config.texts("Entrypoint"),
            config.texts("Cmd"),
            config.text("WorkingDir", ""),
            config.text_map("Labels"),
            config.text("StopSignal", ""),
            config.keys("ExposedPorts"),
            config.keys("Volumes"),
            config.child("Healthcheck").raw(),
        )
