# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Paths inside a layer: tuples of names."""

from __future__ import annotations

import typing as t

from ..errors import InvalidArgument, printable

_NAME_BYTES = 255
_DEPTH = 400
_PATH_BYTES = 3500

#: Markers of a layer (OCI image-spec, layer.md, Whiteouts): a name with this prefix is never part of a tree. OPAQUE hides everything in
#: the directory of lower layers, META are AUFS' own files, and LINKS is the directory with the targets of AUFS' hard links.
PREFIX, META = b".wh.", b".wh..wh."
OPAQUE, LINKS = META + b".opq", META + b"plnk"

Path = t.Tuple[bytes, ...]


def split(name: bytes) -> Path:
    """The components of a member's name. InvalidArgument for .. and for names that no file system can have."""
    parts = tuple([part for part in name.split(b"/") if part not in (b"", b".")])
    if b".." in parts or b"\0" in name:
        raise InvalidArgument(f"the layer has an entry that leaves its tree: {printable(name, 200)!r}")
    if len(name) > _NAME_BYTES:
        for part in parts:
            if len(part) > _NAME_BYTES:
                raise InvalidArgument(
                    f"the layer has a name of {len(part)} bytes; a file system takes 255: {printable(part, 60)!r}"
                )
        check_depth(parts)
    return parts


def marker(path: Path) -> int:
    """The number of the first component that is a marker; -1 for none."""
    return next((number for number, name in enumerate(path) if name.startswith(PREFIX)), -1)


def check_depth(path: Path) -> None:
    """Raise InvalidArgument for a path that no program could use: the kernel's limit is 4095 bytes, including that of the tree."""
    if len(path) > _DEPTH or sum(map(len, path)) + len(path) > _PATH_BYTES:
        raise InvalidArgument(f"the layer has a path of {len(path)} components: {printable(b'/'.join(path), 60)!r}")
