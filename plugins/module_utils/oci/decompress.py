# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decompress gzip and zstd streams, told apart by their first bytes. Untrusted input is read in blocks only.

isal (Intel's ISA-L for Python) is used in place of zlib where it is installed.
"""

from __future__ import annotations

import typing as t
import zlib

from ..errors import DataLoss, MissingLibrary

_READ = 256 * 1024
_FIRST = 4096
_BLOCK = 1024 * 1024
_MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}


def compression_of(start: bytes) -> str:
    """The compression of a stream (none, gzip or zstd), from its first bytes, at least four."""
    return next((name for name, magic in _MAGIC.items() if start.startswith(magic)), "none")


def decompressed(stream: t.BinaryIO, what: str, compressed: bool = False) -> t.Iterator[bytes]:
    """Decompress a seekable stream from its beginning. Its first bytes decide how, as in containerd: media types are often wrong.

    what names the stream in errors ("layer"). Raises DataLoss for a damaged stream, and for an empty one that should be
    compressed; MissingLibrary for zstd without its library.
    """
    start = stream.read(4)
    stream.seek(0)
    if compressed and not start:
        raise DataLoss(f"the compressed {what} is empty")
    kind = compression_of(start)
    if kind == "gzip":
        return _gzip_blocks(stream, what)
    if kind == "zstd":
        return _zstd_blocks(stream, what)
    return iter(lambda: stream.read(_BLOCK), b"")


def _zlib() -> t.Any:
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib
    return isal_zlib


def _gzip_blocks(stream: t.BinaryIO, what: str) -> t.Iterator[bytes]:
    """Read all members of a gzip stream. Each begins with a small piece, so that many small members do not copy the input often."""
    library = _zlib()
    failures: t.Tuple[t.Type[Exception], ...] = (zlib.error, getattr(library, "error", zlib.error))
    try:
        inflater, piece = library.decompressobj(31), _FIRST
        data = memoryview(stream.read(_READ))
        while data:
            given = data[:piece]
            block = inflater.decompress(given, _BLOCK)
            rest = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
            data, piece = data[len(given) - len(rest) :], min(2 * piece, _READ)
            if block:
                yield block
            if inflater.eof:
                if len(data) < len(_MAGIC["gzip"]):
                    data = memoryview(bytes(data) + stream.read(_READ))
                if data[:2] != _MAGIC["gzip"]:
                    return
                inflater, piece = library.decompressobj(31), _FIRST
            elif not data:
                data = memoryview(stream.read(_READ))
        raise DataLoss(f"the compressed {what} ends too early")
    except failures as error:
        raise DataLoss(f"the compressed {what} is damaged: {error}") from error


def _zstd_blocks(stream: t.BinaryIO, what: str) -> t.Iterator[bytes]:
    try:
        import zstandard
    except ImportError as error:
        raise MissingLibrary(
            "zstandard", f"to read a {what} that is compressed with zstd", "python3-zstandard", "zstandard"
        ) from error
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=128 * 1024 * 1024).stream_reader(stream, read_across_frames=True)
        yield from iter(lambda: reader.read(_BLOCK), b"")
    except zstandard.ZstdError as error:
        raise DataLoss(f"the compressed {what} is damaged: {error}") from error
