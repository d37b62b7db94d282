# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare an unpacked layer with its blob: present, missing and hidden files, with owners, modes, attributes and bytes.

The layer is unpacked again, as an outline, and the two trees are compared by their meaning: containerd and we make different marks
where there is nothing to hide.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import typing as t

from ..engine.models import LayerTarget
from ..errors import from_os_error, printable
from ..oci import tar_reader as tar
from ..oci.descriptor import Descriptor
from .diff_apply import UMASK, Applied, size_limit
from .inflate import Inflater
from .outline import SAID, SUM, Notes, Outliner, hasher, scratch
from .overlay_marks import is_opaque, is_whiteout
from .paths import Path
from .tree import Tree

if t.TYPE_CHECKING:
    from ..engine.api import Engine

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOATIME
_READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOATIME | os.O_NONBLOCK
_BLOCK = 1024 * 1024
_OVERLAY = "trusted.overlay."
_CAPABILITY = "security.capability"


def verify_snapshot(engine: Engine, layer: Descriptor, name: str, snapshotter: str = "") -> t.Tuple[Applied, str]:
    """Compare a stored layer with its committed snapshot.

    NotFound without such a snapshot; Unimplemented if it is not in a directory of this host.
    """
    with engine.snapshotter(snapshotter).look(name, view=True) as target, engine.content.open(layer) as stream:
        return verify_layer(stream, layer.media_type, target, limit=size_limit(layer.size), beside=engine.data_root)


def verify_layer(stream: t.BinaryIO, media_type: str, target: LayerTarget, *, limit: int, beside: str) -> t.Tuple[Applied, str]:
    """The diff id and size of the layer, and the first difference of the target ("" for none).

    beside: a directory whose file system can keep the names of the layer (but no bytes of files) meanwhile. DataLoss for a broken
    stream.
    """
    root, overlay = target.root, target.overlay
    lowers = target.lowers if overlay else target.lowers[:1]
    try:
        with scratch(beside) as outline, UMASK.none(), Inflater(stream, media_type, limit) as source:
            notes = Notes()
            with Tree(outline, lowers, limit) as tree:
                rooted = Outliner(tree, notes).run(tar.TarReader(source))
                while source.read():
                    pass
                below = "" if overlay else "".join(lowers)
                problem = _Comparer(tree, notes, (outline, root, below), overlay).run(rooted)
            return Applied(source.digest, source.size, rooted), problem
    except OSError as error:
        raise from_os_error(error, f"comparing a layer with {root}") from error


class _Problem(Exception):
    """A difference, in words."""


class _Comparer:
    """trees: the roots of the outline (the same as tree), of the unpacked layer, and for a plain tree of the layer below."""

    def __init__(self, tree: Tree, notes: Notes, trees: t.Tuple[str, str, str], overlay: bool) -> None:
        self._tree, self._notes, self._trees, self._overlay = tree, notes, trees, overlay
        #: The inodes of files with several names, in the outline and in the unpacked layer.
        self._links: t.Dict[int, int] = {}
        #: Directories to compare, and whether the unpacked layer hides the layers below there.
        self._todo: t.List[t.Tuple[Path, bool]] = [((), False)]

    def run(self, rooted: bool) -> str:
        """The first difference. rooted: the layer has an entry for its root directory."""
        try:
            if rooted:
                _compare_owner_and_mode(os.stat(self._trees[0]), os.stat(self._trees[1]), "/")
            while self._todo:
                self._directory(*self._todo.pop())
        except _Problem as problem:
            return str(problem)
        return ""

    def _directory(self, path: Path, hidden: bool) -> None:
        with contextlib.ExitStack() as stack:
            mine, real, below = [stack.enter_context(_opened(root, path)) for root in self._trees]
            hides = mine >= 0 and self._tree.directory(path).lowers == ()
            hidden = hidden or (self._overlay and bool(path) and is_opaque(real))
            if self._overlay and path and hides != hidden and next(self._tree.showing(path), None) is not None:
                raise _Problem(f"{_text(path)} {'shows' if hides else 'hides'} what the layers below have there")
            if hides:
                below = -1
            for name in _names(mine):
                self._expected(path, name, (mine, real), hidden)
            for name in _names(below):
                if _lstat(name, mine) is None:
                    self._expected(path, name, (below, real), hidden, of_layer=False)
            for name in _names(real):
                if _lstat(name, mine) is None and _lstat(name, below) is None:
                    self._unexpected(path, name, real)

    def _expected(self, parent: Path, name: str, pair: t.Tuple[int, int], hidden: bool, of_layer: bool = True) -> None:
        """Compare a name with the one in the first directory of the pair."""
        path = (*parent, os.fsencode(name))
        want, found = _lstat(name, pair[0]), _lstat(name, pair[1])
        if want is None:
            return
        if is_whiteout(want):
            if found is None and self._overlay and not hidden:
                raise _Problem(f"{_text(path)} is not hidden, although the layer removes it")
            if found is not None and not (self._overlay and is_whiteout(found)):
                raise _Problem(f"{_text(path)} exists, although the layer removes it")
            return
        if found is None:
            raise _Problem(f"{_text(path)} is missing")
        if stat.S_IFMT(found.st_mode) != stat.S_IFMT(want.st_mode) or is_whiteout(found):
            raise _Problem(f"{_text(path)} is of another kind")
        if stat.S_ISDIR(want.st_mode):
            if not of_layer or self._is_said(name, pair[0]):
                _compare_owner_and_mode(want, found, _text(path))
                self._compare_attributes(name, pair, _text(path))
            self._todo.append((path, hidden))
            return
        _compare_owner_and_mode(want, found, _text(path))
        self._compare_attributes(name, pair, _text(path))
        self._compare_content(name, pair, want, found, _text(path), of_layer)

    def _unexpected(self, parent: Path, name: str, real: int) -> None:
        path, found = (*parent, os.fsencode(name)), _lstat(name, real)
        if found is None or not (self._overlay and is_whiteout(found)):
            raise _Problem(f"{_text(path)} is not in the layer")
        # containerd makes a whiteout even if there is nothing to hide.
        if self._tree.lower(self._tree.directory(parent), path[-1]) is not None:
            raise _Problem(f"{_text(path)} is hidden, although the layer does not remove it")

    def _is_said(self, name: str, parent: int) -> bool:
        """Whether the layer has an entry for a directory; without one its metadata are those below, or the unpacker's choice."""
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            return bool(self._notes.read(fd, SAID))
        finally:
            os.close(fd)

    @staticmethod
    def _compare_attributes(name: str, pair: t.Tuple[int, int], what: str) -> None:
        want, found = (_attributes(f"/proc/self/fd/{fd}/{name}") for fd in pair)
        for key, value in want.items():
            if found.get(key) != value:
                raise _Problem(f"{what} has {'another' if key in found else 'lost its'} attribute {key}")
        if _CAPABILITY in found and _CAPABILITY not in want:
            raise _Problem(f"{what} has capabilities that it does not have in the layer")

    def _compare_content(
        self, name: str, pair: t.Tuple[int, int], want: os.stat_result, found: os.stat_result, what: str, of_layer: bool
    ) -> None:
        if stat.S_ISLNK(want.st_mode):
            if os.readlink(name, dir_fd=pair[0]) != os.readlink(name, dir_fd=pair[1]):
                raise _Problem(f"{what} leads elsewhere")
        elif not stat.S_ISREG(want.st_mode):
            if found.st_rdev != want.st_rdev:
                raise _Problem(f"{what} is another device")
        elif found.st_size != want.st_size:
            raise _Problem(f"{what} has {found.st_size} bytes, not {want.st_size}")
        elif of_layer and want.st_ino in self._links:
            if self._links[want.st_ino] != found.st_ino:
                raise _Problem(f"{what} is no hard link any more")
        elif of_layer:  # files of the layers below in a plain tree are compared with those layers
            if want.st_nlink > 1:
                self._links[want.st_ino] = found.st_ino
            if not self._has_same_bytes(name, pair, want.st_size):
                raise _Problem(f"{what} has other content")

    def _has_same_bytes(self, name: str, pair: t.Tuple[int, int], size: int) -> bool:
        with contextlib.ExitStack() as stack:
            mine, real = (stack.enter_context(open(os.open(name, _READ_FILE, dir_fd=fd), "rb", buffering=0)) for fd in pair)
            checksum = self._notes.read(mine.fileno(), SUM)
            if not checksum:
                return all(
                    os.pread(mine.fileno(), count, offset) == os.pread(real.fileno(), count, offset)
                    for stream in (mine, real)
                    for offset, count in _stretches(stream.fileno(), size)
                )
            done = hasher()
            for block in iter(lambda: real.read(_BLOCK), b""):
                done.update(block)
            return bool(done.digest() == checksum)


def _compare_owner_and_mode(want: os.stat_result, found: os.stat_result, what: str) -> None:
    if (found.st_uid, found.st_gid) != (want.st_uid, want.st_gid):
        raise _Problem(f"{what} has another owner")
    if not stat.S_ISLNK(want.st_mode) and stat.S_IMODE(found.st_mode) != stat.S_IMODE(want.st_mode):
        raise _Problem(f"{what} has another mode")


def _attributes(path: str) -> t.Dict[str, bytes]:
    """The attributes that come from a layer: without the marks of overlayfs and the labels of the host."""
    found = {}
    for key in os.listxattr(path, follow_symlinks=False):
        if key == _CAPABILITY or not (key.startswith((_OVERLAY, "security.")) or Notes.is_note(key)):
            found[key] = os.getxattr(path, key, follow_symlinks=False)
    return found


def _stretches(fd: int, size: int) -> t.Iterator[t.Tuple[int, int]]:
    """The parts of a file that are not holes, in blocks: offset and length."""
    offset = 0
    while offset < size:
        try:
            offset = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(fd, offset, os.SEEK_HOLE)
        while offset < end:
            count = min(_BLOCK, end - offset)
            yield offset, count
            offset += count


@contextlib.contextmanager
def _opened(root: str, path: Path) -> t.Iterator[int]:
    fd = _open(root, path)
    try:
        yield fd
    finally:
        if fd >= 0:
            os.close(fd)


def _open(root: str, path: Path) -> int:
    """Open the directory path below root, without following links; -1 if it is missing."""
    if not root:
        return -1
    fd = os.open(root, _DIRECTORY)
    for name in path:
        parent = fd
        try:
            fd = os.open(name, _DIRECTORY, dir_fd=parent)
        except (FileNotFoundError, NotADirectoryError):
            return -1
        finally:
            os.close(parent)
    return fd


def _names(fd: int) -> t.Iterator[str]:
    if fd >= 0:
        with os.scandir(fd) as entries:
            for entry in entries:
                yield entry.name


def _lstat(name: str, fd: int) -> t.Optional[os.stat_result]:
    try:
        return os.lstat(name, dir_fd=fd) if fd >= 0 else None
    except FileNotFoundError:
        return None


def _text(path: Path) -> str:
    return printable(b"/".join(path), 200)
