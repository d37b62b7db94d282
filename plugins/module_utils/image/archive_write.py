# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing image archives: a tar, compressed or not, or a directory. The same content gives the same bytes.

Members stand in a fixed order, the small ones that tell what is in it first: so a look at the beginning and the length of
an archive tells whether it is up to date. Owners are 0, times are 0, and nothing is held in memory but a block.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import tarfile
import typing as t
import zlib

from ..errors import DataLoss, FailedPrecondition, MissingLibrary, from_os_error, printable
from ..hostfs.atomic import make_dir, replacing, write_file
from ..oci.decompress import compression_of, decompressed
from ..oci.descriptor import Descriptor

Open = t.Callable[[Descriptor], t.BinaryIO]
LAYOUT_FILE, INDEX_FILE, DOCKER_FILE, BLOBS = "oci-layout", "index.json", "manifest.json", "blobs"
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
_BLOCK = 1024 * 1024
_END = b"\0" * 1024


class Pack(t.NamedTuple):
    """What an archive holds: small files first, in this order, then blobs. origin: where those come from, for errors."""

    files: t.Tuple[t.Tuple[str, bytes], ...]
    blobs: t.Tuple[Descriptor, ...]
    origin: str = "the store: pull the image again"


def blob_name(descriptor: Descriptor) -> str:
    """Where a blob is in an image layout (OCI image-spec, image-layout.md)."""
    return f"{BLOBS}/{descriptor.digest.algorithm}/{descriptor.digest.hex}"


# A tar


def write_archive(path: str, pack: Pack, open_blob: Open, compression: str) -> None:
    """Replace path by an archive, atomically; a file that is there keeps its owner and mode. DataLoss for a damaged blob."""
    mode, owner = 0o600, None
    with contextlib.suppress(FileNotFoundError):
        found = os.stat(path)
        mode, owner = stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid)
    with replacing(os.path.realpath(path), mode, unnamed=True) as stream:
        if owner:
            os.fchown(stream.fileno(), *owner)
            os.fchmod(stream.fileno(), mode)
        for block in archive_blocks(pack, open_blob, compression):
            stream.write(block)


def archive_blocks(pack: Pack, open_blob: Open, compression: str) -> t.Iterator[bytes]:
    """The bytes of an archive. DataLoss for a damaged blob."""
    return _compressed(_tar(pack, open_blob), compression, _length(pack))


def is_archive_of(path: str, pack: Pack, compression: str) -> bool:
    """Whether a file is what write_archive would write: by its beginning and its length, without reading the blobs."""
    try:
        with open(path, "rb") as stream:
            if compression_of(stream.read(4)) != compression:
                return False
            stream.seek(0)
            beginning, found = _beginning(pack), bytearray()
            for block in decompressed(stream, "archive"):
                found += block
                if len(found) >= len(beginning):
                    break
            return found[: len(beginning)] == beginning and _has_length(stream, _length(pack), compression)
    except (FileNotFoundError, IsADirectoryError, DataLoss):
        return False
    except OSError as error:
        raise from_os_error(error, f"reading {printable(path, 200)}") from error


def _header(name: str, size: int, directory: bool = False) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o755 if directory else 0o444
    member.type = tarfile.DIRTYPE if directory else tarfile.REGTYPE
    return member.tobuf(tarfile.GNU_FORMAT)


def _beginning(pack: Pack) -> bytes:
    """All that stands before the first blob."""
    parts = []
    for name, data in pack.files:
        parts += [_header(name, len(data)), data, b"\0" * (-len(data) % tarfile.BLOCKSIZE)]
    algorithms = sorted({blob.digest.algorithm for blob in pack.blobs})
    parts += [_header(name, 0, directory=True) for name in (BLOBS, *(f"{BLOBS}/{one}" for one in algorithms))]
    return b"".join(parts)


def _length(pack: Pack) -> int:
    """The length of the uncompressed archive, bytes."""
    blobs = sum(len(_header(blob_name(one), one.size)) + one.size + -one.size % tarfile.BLOCKSIZE for one in pack.blobs)
    return len(_beginning(pack)) + blobs + len(_END)


def _tar(pack: Pack, open_blob: Open) -> t.Iterator[bytes]:
    yield _beginning(pack)
    for blob in pack.blobs:
        yield _header(blob_name(blob), blob.size)
        yield from _verified(blob, open_blob, pack.origin)
        yield b"\0" * (-blob.size % tarfile.BLOCKSIZE)
    yield _END


def _verified(blob: Descriptor, open_blob: Open, origin: str) -> t.Iterator[bytes]:
    """The bytes of a blob; DataLoss at the end when they are not what the digest says."""
    hasher = blob.digest.hasher()
    with open_blob(blob) as stream:
        for block in iter(lambda: stream.read(_BLOCK), b""):
            hasher.update(block)
            yield block
    if hasher.hexdigest() != blob.digest.hex:
        raise DataLoss(f"the blob {blob.digest} is damaged in {origin}")


# Compression


def _zstandard() -> t.Any:
    try:
        import zstandard
    except ImportError as error:
        raise MissingLibrary(
            "zstandard", "for archives that are compressed with zstd", "python3-zstandard", "zstandard"
        ) from error
    return zstandard


def _compressed(blocks: t.Iterator[bytes], compression: str, total: int) -> t.Iterator[bytes]:
    """gzip without name and time, zstd with the total length in its header: so that is_archive_of can read it."""
    if compression == "none":
        yield from blocks
        return
    if compression == "gzip":
        compressor: t.Any = zlib.compressobj(6, zlib.DEFLATED, 31)
    else:
        compressor = _zstandard().ZstdCompressor(write_checksum=True).compressobj(size=total)
    for block in blocks:
        yield compressor.compress(block)
    yield compressor.flush()


def _has_length(stream: t.BinaryIO, total: int, compression: str) -> bool:
    size = os.fstat(stream.fileno()).st_size
    if compression == "gzip":
        stream.seek(max(0, size - 4))
        return stream.read() == struct.pack("<I", total % 2**32)
    if compression == "zstd":
        stream.seek(0)
        return bool(_zstandard().frame_content_size(stream.read(32)) == total)
    return size == total


# A directory


def write_directory(path: str, pack: Pack, open_blob: Open, force: bool) -> None:
    """Make path the image layout of a pack: blobs that lack (with force: all), then the index, then what it no longer needs goes.

    A run that ends in between leaves what was there before. FailedPrecondition for a directory that is something else.
    """
    check_directory(path)
    make_dir(path, 0o755)
    for blob in pack.blobs:
        target = os.path.join(path, blob_name(blob))
        if force or _size(target) != blob.size:
            make_dir(os.path.dirname(target), 0o755)
            with replacing(target, 0o644, unnamed=True) as stream:
                for block in _verified(blob, open_blob, pack.origin):
                    stream.write(block)
    for name, data in pack.files:
        write_file(os.path.join(path, name), data, 0o644)
    _remove_others(path, pack)


def is_directory_of(path: str, pack: Pack) -> bool:
    """Whether a directory has the same index, and all blobs by their sizes."""
    try:
        for name, data in pack.files:
            with open(os.path.join(path, name), "rb") as stream:
                if stream.read(len(data) + 1) != data:
                    return False
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise from_os_error(error, f"reading {printable(path, 200)}") from error
    return all(_size(os.path.join(path, blob_name(blob))) == blob.size for blob in pack.blobs)


def check_directory(path: str) -> None:
    """FailedPrecondition unless a directory may become an image layout: it is one, or empty, or not there."""
    try:
        names = os.listdir(path)
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        raise FailedPrecondition(f"path: {printable(path, 200)} is a file, and oci-dir is a directory") from error
    except OSError as error:
        raise from_os_error(error, f"reading {printable(path, 200)}") from error
    # A first export that was interrupted has made blobs.
    if names and names != [BLOBS] and LAYOUT_FILE not in names:
        raise FailedPrecondition(f"path: {printable(path, 200)} is a directory with other things in it: give one that is empty")


def _size(path: str) -> int:
    try:
        found = os.lstat(path)
    except OSError:
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1


def _remove_others(path: str, pack: Pack) -> None:
    """Blobs of what the directory held before."""
    needed = {blob_name(blob) for blob in pack.blobs}
    try:
        for algorithm in os.listdir(os.path.join(path, BLOBS)):
            for name in os.listdir(os.path.join(path, BLOBS, algorithm)):
                if f"{BLOBS}/{algorithm}/{name}" not in needed:
                    os.unlink(os.path.join(path, BLOBS, algorithm, name))
    except OSError as error:
        raise from_os_error(error, f"removing blobs of {printable(path, 200)}") from error
