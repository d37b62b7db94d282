# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive, whatever it is: a tar, a compressed one, a directory. Never imported at run time."""

import typing as t

class Archive(t.Protocol):
    """where: as a user calls it. Names are relative, with slashes. A context manager."""

    where: str

    def __enter__(self) -> Archive: ...
    def __exit__(self, *exc: object) -> None: ...
    def has(self, name: str) -> bool: ...
    def size(self, name: str) -> int:
        """NotFound."""

    def open(self, name: str) -> t.BinaryIO:
        """NotFound. Threads may read different members at the same time."""

    def read(self, name: str, limit: int) -> bytes:
        """A small member. NotFound; InvalidArgument when it is longer than limit."""
