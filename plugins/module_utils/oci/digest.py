# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Content digests (OCI image-spec, descriptor.md#digests)."""

from __future__ import annotations

import hashlib
import re
import typing as t

from ..errors import InvalidArgument, printable

_HEX_LENGTH = {"sha256": 64, "sha512": 128}
_DIGEST = re.compile(r"(sha256|sha512):([a-f0-9]+)\Z")


class Digest(str):
    """A validated digest; a str, so that dictionaries, JSON and SQL take it. Make one with parse()."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: object) -> Digest:
        """Raise InvalidArgument unless text is <algorithm>:<hex> with a known algorithm and its exact length."""
        found = _DIGEST.match(text) if isinstance(text, str) else None
        if not found or len(found.group(2)) != _HEX_LENGTH[found.group(1)]:
            raise InvalidArgument(f"invalid digest {printable(text, 160)!r}: expected sha256:<64 hex digits> or sha512:<128>")
        return cls(text)

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """The sha256 digest of data."""
        return cls("sha256:" + hashlib.sha256(data).hexdigest())

    @property
    def algorithm(self) -> str:
        return self.partition(":")[0]

    @property
    def hex(self) -> str:
        return self.partition(":")[2]

    def hasher(self) -> t.Any:
        """A hashlib object of this digest's algorithm."""
        return hashlib.new(self.algorithm)
