# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Descriptors (OCI image-spec, descriptor.md)."""

from __future__ import annotations

import re
import typing as t

from ..errors import InvalidArgument, printable
from .digest import Digest
from .documents import Reader
from .platform import Platform

_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
#: RFC 6838, section 4.2. Media types go into request headers.
_MEDIA_TYPE = re.compile(rf"{_NAME}/{_NAME}\Z")


class Descriptor(t.NamedTuple):
    """The type (media_type), identity (digest) and length (size, in bytes) of a blob."""

    media_type: str
    digest: Digest
    size: int
    platform: t.Optional[Platform] = None
    annotations: t.Mapping[str, str] = {}
    artifact_type: str = ""

    @classmethod
    def from_json(cls, data: object, what: str) -> Descriptor:
        """Raise InvalidArgument, naming what, unless data is a well-formed descriptor."""
        read = Reader(data, what)
        platform = None
        if read.has("platform"):
            sub = read.child("platform")
            platform = Platform.normalised(sub.text("os", ""), sub.text("architecture", ""), sub.text("variant", ""))
        media_type = read.text("mediaType")
        if not _MEDIA_TYPE.match(media_type):
            raise InvalidArgument(f"mediaType of {what} is not a media type: {printable(media_type, 100)!r}")
        return cls(
            media_type,
            Digest.parse(read.text("digest")),
            read.size("size"),
            platform,
            read.text_map("annotations"),
            read.text("artifactType", ""),
        )

    def to_json(self) -> t.Dict[str, t.Any]:
        """The JSON form; optional fields only where set."""
        out: t.Dict[str, t.Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.artifact_type:
            out["artifactType"] = self.artifact_type
        if self.platform:
            out["platform"] = {k: v for k, v in self.platform._asdict().items() if v}
        if self.annotations:
            out["annotations"] = dict(self.annotations)
        return out


class Resolved(t.NamedTuple):
    """What a name stands for, and the document itself where the answer carried it. host: who answered, as a URL."""

    descriptor: Descriptor
    body: bytes = b""
    host: str = ""
