# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writing image archives: a tar, compressed or not, or a directory. The same content gives the same bytes.

Members stand in a fixed order, the small ones that tell what is in it first: so a look at the beginning and the length of
an archive tells whether it is up to date. Owners are 0, times are 0, and nothing is held in memory but a block.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import struct
import tarfile
import typing as t
import zlib

from ..errors import DataLoss, FailedPrecondition, MissingLibrary, from_os_error, printable
from ..hostfs.atomic import replacing
from ..hostfs.places import place, subdirectory
from ..oci.decompress import compression_of, decompressed
from ..oci.descriptor import Descriptor
from .layout import BLOBS, LAYOUT_FILE, blob_name

Open = t.Callable[[Descriptor], t.BinaryIO]
_BLOCK = 1024 * 1024
_END = b"\0" * 1024
#: The algorithms of an image layout, and the names of their blobs.
_NAMES = {"sha256": re.compile(r"[0-9a-f]{64}\Z"), "sha512": re.compile(r"[0-9a-f]{128}\Z")}


class Pack(t.NamedTuple):
    """What an archive holds: small files first, in this order, then blobs. origin: where those come from, for errors."""

    files: t.Tuple[t.Tuple[str, bytes], ...]
    blobs: t.Tuple[Descriptor, ...]
    origin: str = "the store: pull the image again"


# A tar


def write_archive(path: str, pack: Pack, open_blob: Open, compression: str) -> None:
    """Replace path by an archive, atomically; a file that is there keeps its owner and mode, and a link is replaced itself.

    DataLoss for a damaged blob.
    """
    with place(path) as there:
        found = there.regular()
        mode = stat.S_IMODE(found.st_mode) if found else 0o600
        with replacing(path, mode, unnamed=True, parent=there.fd) as stream:
            if found:
                os.fchown(stream.fileno(), found.st_uid, found.st_gid)
                os.fchmod(stream.fileno(), mode)
            for block in archive_blocks(pack, open_blob, compression):
                stream.write(block)


def archive_blocks(pack: Pack, open_blob: Open, compression: str) -> t.Iterator[bytes]:
    """The bytes of an archive. DataLoss for a damaged blob."""
    return _compressed(_tar(pack, open_blob), compression, _length(pack))


def is_archive_of(path: str, pack: Pack, compression: str) -> bool:
    """Whether a file is what write_archive would write: by its beginning and its length, without reading the blobs."""
    try:
        with _regular(path) as stream:
            if compression_of(stream.read(4)) != compression:
                return False
            stream.seek(0)
            beginning, found = _beginning(pack), bytearray()
            for block in decompressed(stream, "archive"):
                found += block
                if len(found) >= len(beginning):
                    break
            return found[: len(beginning)] == beginning and _has_length(stream, _length(pack), compression)
    except (FileNotFoundError, _NotRegular, DataLoss):
        return False
    except OSError as error:
        raise from_os_error(error, f"reading {printable(path, 200)}") from error


class _NotRegular(OSError):
    """A directory, a link, a FIFO."""


def _regular(name: str, directory: t.Optional[int] = None) -> t.BinaryIO:
    """A regular file, open. FileNotFoundError, _NotRegular."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise _NotRegular from error
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _NotRegular
    return open(fd, "rb")


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
    """Make path the image layout of a pack: missing blobs (with force: all), then the index, then what it no longer needs goes.

    A run that ends in between leaves what was there before. FailedPrecondition for a directory that is something else. path
    may be a link that place() follows; none inside of it is followed, and only blobs are removed.
    """
    with place(path, follow=True) as there, _opened(there.fd, there.name, path, 0o755) as top:
        _check_names(os.listdir(top), path)
        with _opened(top, BLOBS, os.path.join(path, BLOBS), 0o755) as blobs:
            for algorithm in sorted({blob.digest.algorithm for blob in pack.blobs}):
                where = os.path.join(path, BLOBS, algorithm)
                with _opened(blobs, algorithm, where, 0o755) as directory:
                    for blob in _of(algorithm, pack):
                        if force or _size(blob.digest.hex, directory) != blob.size:
                            _write(directory, where, blob.digest.hex, _verified(blob, open_blob, pack.origin))
            for name, data in pack.files:
                _write(top, path, name, [data])
            _remove_others(blobs, path, pack)


def _of(algorithm: str, pack: Pack) -> t.List[Descriptor]:
    return [blob for blob in pack.blobs if blob.digest.algorithm == algorithm]


def _write(directory: int, path: str, name: str, blocks: t.Iterable[bytes]) -> None:
    with replacing(os.path.join(path, name), 0o644, unnamed=True, parent=directory) as stream:
        for block in blocks:
            stream.write(block)


def is_directory_of(path: str, pack: Pack) -> bool:
    """Whether a directory has the same index, and all blobs by their sizes. FailedPrecondition where links are in the way."""
    with place(path, follow=True) as there, _opened(there.fd, there.name, path) as top:
        if top < 0:
            return False
        try:
            for name, data in pack.files:
                with _regular(name, top) as stream:
                    if stream.read(len(data) + 1) != data:
                        return False
        except (FileNotFoundError, _NotRegular):
            return False
        except OSError as error:
            raise from_os_error(error, f"reading {printable(path, 200)}") from error
        with _opened(top, BLOBS, os.path.join(path, BLOBS)) as blobs:
            return blobs >= 0 and all(
                _has_all(blobs, os.path.join(path, BLOBS), algorithm, pack)
                for algorithm in {blob.digest.algorithm for blob in pack.blobs}
            )


def check_directory(path: str) -> None:
    """FailedPrecondition unless a directory may become an image layout: it is one, or empty, or not there."""
    with place(path, follow=True) as there, _opened(there.fd, there.name, path) as top:
        if top >= 0:
            _check_names(os.listdir(top), path)
            with _opened(top, BLOBS, os.path.join(path, BLOBS)) as blobs:
                for algorithm in _NAMES if blobs >= 0 else ():
                    with _opened(blobs, algorithm, os.path.join(path, BLOBS, algorithm)):
                        continue


def _check_names(names: t.Sequence[str], path: str) -> None:
    # A first export that was interrupted has made blobs.
    if names and names != [BLOBS] and LAYOUT_FILE not in names:
        raise FailedPrecondition(f"path: {printable(path, 200)} is a directory with other things in it: give one that is empty")


@contextlib.contextmanager
def _opened(parent: int, name: str, path: str, make: t.Optional[int] = None) -> t.Iterator[int]:
    """A directory's descriptor; -1 where it is not there and not to be made."""
    fd = subdirectory(parent, name, path, make)
    try:
        yield fd
    finally:
        if fd >= 0:
            os.close(fd)


def _has_all(blobs: int, path: str, algorithm: str, pack: Pack) -> bool:
    with _opened(blobs, algorithm, os.path.join(path, algorithm)) as directory:
        return directory >= 0 and all(_size(blob.digest.hex, directory) == blob.size for blob in _of(algorithm, pack))


def _size(name: str, directory: int) -> int:
    try:
        found = os.lstat(name, dir_fd=directory)
    except OSError:
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else -1


def _remove_others(blobs: int, path: str, pack: Pack) -> None:
    """Blobs of what the directory held before."""
    needed = {blob.digest.hex for blob in pack.blobs}
    try:
        for algorithm, name_of_blob in _NAMES.items():
            with _opened(blobs, algorithm, os.path.join(path, BLOBS, algorithm)) as directory:
                for name in os.listdir(directory) if directory >= 0 else ():
                    if name_of_blob.match(name) and name not in needed and _size(name, directory) >= 0:
                        os.unlink(name, dir_fd=directory)
    except OSError as error:
        raise from_os_error(error, f"removing blobs of {printable(path, 200)}") from error
