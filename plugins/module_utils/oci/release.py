# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release file: which bytes the names of images mean (docs/adr/0048). The modules and the controller read it."""

from __future__ import annotations

import json
import typing as t

from ..errors import InvalidArgument, NotFound, printable
from .digest import Digest
from .documents import Reader, load_object
from .platform import Platform
from .reference import Reference

#: The version of the format, and the most bytes of a file.
VERSION, LIMIT = 1, 16 * 1024 * 1024


class ReleasedPlatform(t.NamedTuple):
    """An image for one platform. digest: of its manifest; size: bytes of its config and layers, as they are in the registry."""

    digest: Digest
    size: int


class ReleasedImage(t.NamedTuple):
    """What a name means. digest: of the index, or of the manifest where there is no index. platforms: those of the fleet."""

    digest: Digest
    platforms: t.Mapping[Platform, ReleasedPlatform]


class Release(t.NamedTuple):
    """The images by their full names (Reference.record)."""

    images: t.Mapping[str, ReleasedImage]

    @classmethod
    def parse(cls, data: bytes, path: str) -> Release:
        """Read the bytes of a file. InvalidArgument names the path and what is wrong in it."""
        what = f"the release file {printable(path, 300)}"
        reader = Reader(load_object(data, what, LIMIT), what)
        if reader.size("version") != VERSION:
            raise InvalidArgument(f"{what} has version {reader.size('version')}, and this collection reads version {VERSION}")
        images = reader.child("images")
        return cls({_name(name, what): _image(images.child(name), f"{name} in {what}") for name in images.raw()})

    def text(self) -> str:
        """The file's text: the same release is always the same text."""
        images = {
            name: {
                "digest": image.digest,
                "platforms": {str(key): one._asdict() for key, one in sorted(image.platforms.items())},
            }
            for name, image in sorted(self.images.items())
        }
        return json.dumps({"version": VERSION, "images": images}, indent=2) + "\n"

    def pinned(self, reference: Reference, option: str, path: str) -> Reference:
        """The reference with the digest that the release gives it. One that has a digest and is not in the release stays as it is.

        NotFound for a name that is not there; InvalidArgument for another digest. Both name the option and the path of the file.
        """
        found = self.images.get(reference.record)
        if found is None:
            if reference.digest:
                return reference
            raise NotFound(
                f"{option}: {reference.record} is not in the release file {printable(path, 300)}: add it with containerd_image_lock, "
                "give the name with a digest, or set release to an empty string for this task"
            )
        if reference.digest not in (None, found.digest):
            raise InvalidArgument(
                f"{option}: {reference} contradicts the release file {printable(path, 300)}, where it is {found.digest}"
            )
        return reference._replace(digest=found.digest)


def _name(text: str, what: str) -> str:
    record = Reference.parse(text, what).record
    if record != text:
        raise InvalidArgument(f"{what} has the name {printable(text, 300)!r}, which is {record} in full: write that")
    return text


def _image(reader: Reader, what: str) -> ReleasedImage:
    platforms = reader.child("platforms")
    found = {}
    for key in platforms.raw():
        one = platforms.child(key)
        found[Platform.parse(key, f"platforms of {what}")] = ReleasedPlatform(_digest(one, f"{key} of {what}"), one.size("size"))
    return ReleasedImage(_digest(reader, what), found)


def _digest(reader: Reader, what: str) -> Digest:
    try:
        return Digest.parse(reader.text("digest"))
    except InvalidArgument as error:
        raise InvalidArgument(f"digest of {what}: {error}") from error
