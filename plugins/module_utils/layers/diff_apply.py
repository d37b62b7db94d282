# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply a layer: a tar stream to a directory tree (OCI image-spec, layer.md), by directory descriptors only."""

from __future__ import annotations

import array
import contextlib
import errno
import os
import stat
import threading
import typing as t

from ..engine.models import LayerTarget
from ..errors import InvalidArgument, from_os_error, printable
from ..oci import tar_reader as tar
from ..oci.digest import Digest
from .inflate import Inflater
from .overlay_marks import is_whiteout
from .paths import LINKS, META, OPAQUE, PREFIX, Path, marker, split
from .tree import Directory, Tree

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LEAST_LIMIT = 10 * 1024**3
_BLOCK = 4096
_HOLE = 64 * 1024
_DEVICES = {tar.CHARACTER: stat.S_IFCHR, tar.BLOCK_DEVICE: stat.S_IFBLK, tar.FIFO: stat.S_IFIFO}
_UNSUPPORTED = (errno.ENOTSUP, errno.EPERM)


class Applied(t.NamedTuple):
    """An unpacked layer. diff_id: the digest of the uncompressed tar. size: its length. root: whether the layer has an entry for
    the root directory; else the owner and mode of the layer below stay.
    """

    diff_id: Digest
    size: int
    root: bool = True


def size_limit(compressed: int) -> int:
    """The limit for the unpacked size of a layer: ten times its compressed size, and at least 10 GiB."""
    return max(_LEAST_LIMIT, 10 * compressed)


class _Umask:
    """Removes the umask while layers are written. The process has only one, and several layers may be written at once."""

    def __init__(self) -> None:
        self._lock, self._users, self._old = threading.Lock(), 0, 0

    @contextlib.contextmanager
    def none(self) -> t.Iterator[None]:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._old = os.umask(0)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    os.umask(self._old)


UMASK = _Umask()


def apply_layer(
    stream: t.BinaryIO,
    media_type: str,
    target: LayerTarget,
    limit: int = _LEAST_LIMIT,
    below: t.Optional[t.Callable[[], None]] = None,
) -> Applied:
    """Extract a layer into a directory.

    On an overlay, whiteouts are those of overlayfs. Otherwise the directory has the content of the layers below, and whiteouts
    remove files from it.
    below (on an overlay): the lower layers may still be written; this returns when they are complete.
    Raises InvalidArgument for content that no layer may have, DataLoss for a broken stream, ResourceExhausted beyond limit (bytes).
    """
    try:
        with UMASK.none(), Inflater(stream, media_type, limit) as source:
            with Tree(target.root, target.lowers if target.overlay else (), limit, below) as tree:
                rooted = Applier(tree, target.overlay).run(tar.TarReader(source))
            while source.read():
                pass
            return Applied(source.digest, source.size, rooted)
    except OSError as error:
        raise from_os_error(error, f"unpacking a layer into {target.root}") from error


def _write(fd: int, size: int, reader: tar.TarReader) -> None:
    """Write the data of a file. Long stretches of zeros become holes, so that a bomb of zeros takes no space."""
    holes = False
    for block in reader.blocks():
        if len(block) >= _HOLE and not block[0] and not block[-1] and bytes(block) == bytes(len(block)):
            os.lseek(fd, len(block), os.SEEK_CUR)
            holes = True
            continue
        while block:
            block = block[os.write(fd, block) :]
    if holes:
        os.ftruncate(fd, size)


def _no_target(entry: tar.Entry) -> InvalidArgument:
    return InvalidArgument(
        f"the layer has a hard link {printable(entry.name, 200)!r} to {printable(entry.link, 200)!r}, which is not there"
    )


class _Paths:
    """A set of paths that keeps only their hashes, of eight bytes each, since a layer may have millions.

    Two paths with the same hash would count as one. Python's hashes have a random key, so no layer can cause that.
    """

    def __init__(self) -> None:
        self._parts: t.Dict[int, array.array[int]] = {}

    def __contains__(self, path: Path) -> bool:
        value = hash(path)
        return value in self._parts.get(value % 65536, ())

    def add(self, path: Path) -> None:
        value = hash(path)
        self._parts.setdefault(value % 65536, array.array("q")).append(value)


class Applier:
    """Writes entries into a tree."""

    def __init__(self, tree: Tree, overlay: bool) -> None:
        self._tree, self._overlay = tree, overlay
        self._written = _Paths()
        self._rooted = self._links = False

    def run(self, reader: tar.TarReader) -> bool:
        """Write all entries. Returns whether the layer has an entry for its root."""
        for entry in reader:
            # Every entry takes a block on the disk, and space for its attributes.
            self._tree.spend(_BLOCK + sum(map(len, entry.xattrs.values())))
            try:
                self._entry(entry, reader)
            except OSError as error:
                raise from_os_error(error, f"unpacking {printable(entry.name, 200)} into {self._tree.root}") from error
        self._tree.settle()
        if self._links:
            self._tree.remove(self._tree.directory(()), LINKS)
        return self._rooted

    def _entry(self, entry: tar.Entry, reader: tar.TarReader) -> None:
        path = split(entry.name)
        if not path:
            if entry.kind != tar.DIRECTORY:
                raise InvalidArgument("the layer has an entry for its root that is not a directory")
            self._root(entry)
            return
        if PREFIX in entry.name:
            number = marker(path)
            if number >= 0:
                self._marker(path, number, entry, reader)
                return
        name = path[-1]
        parent = self._tree.directory(path[:-1])
        if not self._overlay:
            self._note(parent.path, name)
        if entry.kind == tar.REGULAR:
            self._file(parent, name, entry, reader)
        elif entry.kind == tar.DIRECTORY:
            self._directory(parent, name, entry)
        elif entry.kind == tar.SYMLINK:
            self._symlink(parent, name, entry)
        elif entry.kind == tar.HARDLINK:
            self._hardlink(parent, name, entry)
        elif entry.kind in _DEVICES:
            self._device(parent, name, entry)
        else:
            raise InvalidArgument(
                f"the layer has an entry of unknown type {printable(entry.kind)}: {printable(entry.name, 200)!r}"
            )

    def _note(self, parent: Path, name: bytes) -> None:
        """Remember paths of this layer on a plain tree, which opaque directories must keep."""
        path = parent + (name,)
        while path and path not in self._written:
            self._written.add(path)
            path = path[:-1]

    def _marker(self, path: Path, number: int, entry: tar.Entry, reader: tar.TarReader) -> None:
        """Apply a whiteout, of any kind of entry. The content of a marker is never visible."""
        if number == len(path) - 1:
            parent = self._tree.directory(path[:-1])
            if not self._overlay and parent.path:
                self._note(parent.path[:-1], parent.path[-1])
            self._whiteout(parent, path[-1])
        elif path[0] == LINKS and len(path) == 2 and entry.kind == tar.REGULAR:
            top = self._tree.directory(())
            if not self._links:
                self._tree.remove(top, LINKS)
                os.mkdir(LINKS, 0o700, dir_fd=top.fd)
                self._links = True
            self._file(self._tree.directory((LINKS,)), path[1], entry, reader)

    def _whiteout(self, parent: Directory, name: bytes) -> None:
        if name == OPAQUE:
            if self._overlay:
                self._tree.white_out_all(parent)
            else:
                self._clear(parent)
        elif name.startswith(META):
            return
        else:
            hidden = name[len(PREFIX) :]
            if hidden in (b"", b".", b".."):
                raise InvalidArgument(f"the layer has a whiteout without a name: {printable(name, 80)!r}")
            self._tree.white_out(parent, hidden, self._overlay)

    def _clear(self, parent: Directory) -> None:
        """Remove the content of lower layers from a plain directory."""
        with parent, os.scandir(parent.fd) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                path = parent.path + (name,)
                if path not in self._written:
                    self._tree.remove(parent, name)
                elif entry.is_dir(follow_symlinks=False):
                    self._clear(self._tree.directory(path))

    def _root(self, entry: tar.Entry) -> None:
        self._rooted = True
        top = self._tree.directory(())
        self._metadata(top.fd, entry)
        self._tree.set_time((), top.fd, entry.mtime_ns)

    def _file(self, parent: Directory, name: bytes, entry: tar.Entry, reader: tar.TarReader) -> None:
        try:
            fd = os.open(name, _NEW_FILE, entry.mode & 0o777, dir_fd=parent.fd)
        except FileExistsError:
            self._tree.remove(parent, name)
            fd = os.open(name, _NEW_FILE, entry.mode & 0o777, dir_fd=parent.fd)
        try:
            self._data(fd, entry, reader)
            self._finish_file(fd, entry)
        finally:
            os.close(fd)

    def _data(self, fd: int, entry: tar.Entry, reader: tar.TarReader) -> None:
        if entry.segments is not None:
            self._sparse(fd, entry, reader)
        elif entry.size:
            _write(fd, entry.size, reader)

    def _finish_file(self, fd: int, entry: tar.Entry) -> None:
        if entry.uid or entry.gid:
            os.fchown(fd, entry.uid, entry.gid)
        if entry.mode & 0o7000:
            os.fchmod(fd, entry.mode & 0o7777)
        if entry.xattrs:
            self._xattrs(fd, entry)
        os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))

    @staticmethod
    def _sparse(fd: int, entry: tar.Entry, reader: tar.TarReader) -> None:
        os.ftruncate(fd, entry.real_size)
        blocks = reader.blocks()
        rest = memoryview(b"")
        for offset, length in entry.segments or ():
            while length:
                rest = rest or next(blocks)
                done = os.pwrite(fd, rest[:length], offset)
                rest, offset, length = rest[done:], offset + done, length - done

    def _directory(self, parent: Directory, name: bytes, entry: tar.Entry) -> None:
        self._tree.ensure_directory(parent, name)
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent.fd)
        try:
            self._metadata(fd, entry)
            self._tree.set_time(parent.path + (name,), fd, entry.mtime_ns)
        finally:
            os.close(fd)

    def _metadata(self, fd: int, entry: tar.Entry) -> None:
        os.fchown(fd, entry.uid, entry.gid)
        os.fchmod(fd, entry.mode & 0o7777)
        if entry.xattrs:
            self._xattrs(fd, entry)

    def _replace(self, parent: Directory, name: bytes, make: t.Callable[[], None]) -> None:
        try:
            make()
        except FileExistsError:
            self._tree.remove(parent, name)
            make()

    def _symlink(self, parent: Directory, name: bytes, entry: tar.Entry) -> None:
        if not entry.link or len(entry.link) > 4095 or b"\0" in entry.link:
            raise InvalidArgument(f"the layer has a symbolic link without a usable target: {printable(entry.name, 200)!r}")
        self._replace(parent, name, lambda: os.symlink(entry.link, name, dir_fd=parent.fd))
        self._finish(parent, name, entry)

    def _hardlink(self, parent: Directory, name: bytes, entry: tar.Entry) -> None:
        path = split(entry.link)
        if not path:
            raise InvalidArgument(f"the layer has a hard link without a target: {printable(entry.name, 200)!r}")
        if marker(path) >= 0 and not (self._links and path[0] == LINKS):
            raise _no_target(entry)
        with parent, self._tree.directory(path[:-1]) as source:
            if source.path + path[-1:] == parent.path + (name,):
                return
            kind = self._kind_of_target(source, path[-1])
            if kind is None:
                raise _no_target(entry)
            if stat.S_ISDIR(kind):
                raise InvalidArgument(f"the layer has a hard link to a directory: {printable(entry.name, 200)!r}")
            self._replace(
                parent,
                name,
                lambda: os.link(path[-1], name, src_dir_fd=source.fd, dst_dir_fd=parent.fd, follow_symlinks=False),
            )

    def _kind_of_target(self, source: Directory, name: bytes) -> t.Optional[int]:
        """The mode of a hard link's target, copied up from a lower layer if necessary; None when it is missing."""
        try:
            found = os.lstat(name, dir_fd=source.fd)
        except FileNotFoundError:
            return stat.S_IFREG if self._tree.copy_up(source, name) else None
        return None if self._overlay and is_whiteout(found) else found.st_mode

    def _device(self, parent: Directory, name: bytes, entry: tar.Entry) -> None:
        kind = _DEVICES[entry.kind]
        if entry.kind == tar.CHARACTER and not entry.major and not entry.minor:
            raise InvalidArgument(f"the layer has a device 0:0, which is overlayfs' own whiteout: {printable(entry.name, 200)!r}")
        try:
            number = os.makedev(entry.major, entry.minor)
        except OverflowError as error:
            raise InvalidArgument(f"the layer has a device with an impossible number: {printable(entry.name, 200)!r}") from error
        self._replace(parent, name, lambda: os.mknod(name, kind | (entry.mode & 0o7777), number, dir_fd=parent.fd))
        self._finish(parent, name, entry)

    def _finish(self, parent: Directory, name: bytes, entry: tar.Entry) -> None:
        """Set owner, mode, attributes and time of an entry that cannot be opened."""
        if entry.uid or entry.gid:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent.fd, follow_symlinks=False)
        if entry.kind != tar.SYMLINK and entry.mode & 0o7000:
            os.chmod(name, entry.mode & 0o7777, dir_fd=parent.fd)
        if entry.xattrs:
            self._xattrs(f"/proc/self/fd/{parent.fd}/{os.fsdecode(name)}", entry)
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent.fd, follow_symlinks=False)

    @staticmethod
    def _xattrs(target: t.Union[int, str], entry: tar.Entry) -> None:
        """Set extended attributes, except those of overlayfs, which would change what the kernel shows."""
        for key, value in entry.xattrs.items():
            if key.startswith((b"trusted.overlay.", b"user.overlay.")):
                continue
            try:
                os.setxattr(target, key, value, follow_symlinks=isinstance(target, int))
            except OSError as error:
                if error.errno not in _UNSUPPORTED or not key.startswith((b"user.", b"system.")):
                    raise
