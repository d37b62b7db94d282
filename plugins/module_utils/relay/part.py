# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's part of the plan of a distribution, as the controller sends it (docs/adr/0050)."""

from __future__ import annotations

import os
import socket
import struct
import typing as t

from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..oci.documents import Reader
from ..oci.reference import Reference


class Peer(t.NamedTuple):
    """A host of the play. port: the first of those that its process may have."""

    name: str
    address: str
    port: int


class ImagePart(t.NamedTuple):
    """An image. sources: whom to ask, by number, in this order; the registry is the last one of all. last: whom to ask first, when this
    host turns out to be slow. head: who asks the registry for its chain; -1 where nobody does.
    """

    name: Reference
    top: Descriptor
    sources: t.Tuple[int, ...]
    last: t.Tuple[int, ...]
    head: int = -1


class Part(t.NamedTuple):
    """me: the number of this host. hosts: how many there are. piece: bytes. timeout: seconds. blobs: the sizes of all that may be asked
    for.

    documents: the small blobs, which come with the plan. certificate and key: PEM texts of the play; empty without TLS.
    """

    id: str
    me: int
    hosts: int
    secret: bytes
    piece: int
    timeout: float
    peers: t.Mapping[int, Peer]
    images: t.Tuple[ImagePart, ...]
    blobs: t.Mapping[Digest, int]
    documents: t.Mapping[Digest, bytes]
    certificate: str = ""
    key: str = ""

    def __repr__(self) -> str:
        return f"Part({self.id!r})"

    @classmethod
    def from_json(cls, data: t.Any) -> Part:
        """InvalidArgument for what no controller of this release sends."""
        read = Reader(data, "part")
        images = tuple(_image(one) for one in data["images"])
        return cls(
            read.text("id"),
            read.size("me"),
            read.size("hosts"),
            bytes.fromhex(read.text("secret")),
            read.size("piece"),
            float(data["timeout"]),
            {int(number): Peer(*peer) for number, peer in data["peers"].items()},
            images,
            {Digest.parse(digest): int(size) for digest, size in data["blobs"].items()},
            {Digest.parse(digest): text.encode() for digest, text in data["documents"].items()},
            read.text("certificate", ""),
            read.text("key", ""),
        )


def _image(data: t.Any) -> ImagePart:
    return ImagePart(
        Reference.parse(data["name"], "part"),
        Descriptor.from_json(data["top"], "part"),
        tuple(map(int, data["sources"])),
        tuple(map(int, data["last"])),
        int(data["head"]),
    )


def is_ours(connection: socket.socket) -> bool:
    """Whether a process of our own user is at the other end of a socket of this host (unix(7)): anybody may use an abstract name."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", credentials)[1] == os.geteuid())


def control_address(part_id: str, number: int) -> str:
    """The socket on which the result can be asked for: an abstract one, so that nothing of it stays (unix(7))."""
    return f"\0fleet-relay-{part_id}-{number}"
