# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory tree for writing layers: every name is relative to a directory descriptor, and no link is followed.

Directories are found by walking from the root one component at a time. Symbolic links in the path of an entry are resolved
inside the root, as the container would see them. For an overlay the root is the layer's own (upper) directory, and lowers are the
layers below: a directory that only a lower layer has is made here with its owner, mode, times and attributes, as the kernel's
copy-up would do it.

The lower layers may be written at the same time. They are read only when something depends on them, and only when they are
complete. Whiteouts, which need lower layers, can wait for that.
"""

from __future__ import annotations

import collections
import contextlib
import os
import stat
import typing as t

from ..errors import InvalidArgument, ResourceExhausted, from_os_error, printable
from ..hostfs.remove import empty_directory
from .overlay_marks import drop_whiteouts, is_opaque, is_whiteout, make_whiteout, mark_opaque
from .paths import PREFIX, Path, check_depth

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINK_LIMIT = 255
_STEP_LIMIT = 20_000
_OPEN_DIRECTORIES = 96
_KNOWN_PATHS = 512
_HIDDEN = 1024


class Directory:
    """An open directory of the tree. path: resolved. lowers: the indexes of the lower layers that show through it (None: not known
    yet; then it is not below an opaque directory of this layer).

    The tree closes it when it opens others. To use it longer, hold it as a context manager.

    At the close the directory gets the time that it had when it was opened (or mtime_ns, if set since). So no times have to be
    remembered, even for millions of directories.
    """

    __slots__ = ("_done", "_holders", "fd", "lowers", "mtime_ns", "path")

    def __init__(self, path: Path, fd: int, lowers: t.Optional[t.Tuple[int, ...]]) -> None:
        self.path, self.fd, self.lowers = path, fd, lowers
        self.mtime_ns = os.fstat(fd).st_mtime_ns
        self._holders, self._done = 0, False

    def __enter__(self) -> Directory:
        self._holders += 1
        return self

    def __exit__(self, *exc: object) -> None:
        self._holders -= 1
        if self._done:
            self.close()

    def close(self) -> None:
        """Called by the tree. It takes effect when nobody holds the directory."""
        self._done = True
        if not self._holders:
            fd, self.fd = self.fd, -1
            try:
                if os.fstat(fd).st_mtime_ns != self.mtime_ns:
                    os.utime(fd, ns=(self.mtime_ns, self.mtime_ns))
            finally:
                os.close(fd)


class Tree:
    """The tree below root. lowers: the roots of the lower layers, top first. A context manager.

    limit: how many bytes may be written in addition to the data of the layer's files. below: returns when the lower layers are
    complete; it is called before they are read.
    """

    def __init__(
        self, root: str, lowers: t.Sequence[str] = (), limit: int = 2**63, below: t.Optional[t.Callable[[], None]] = None
    ) -> None:
        self.root, self._limit, self._spent = root, limit, 0
        self._below = below if lowers else None
        self._hidden: t.Set[Path] = set()
        self._whiteouts = False
        self._roots: t.List[int] = []
        self._open: collections.OrderedDict[Path, Directory] = collections.OrderedDict()
        self._known: t.Dict[Path, Path] = {}
        try:
            for path in (root, *lowers):
                self._roots.append(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as error:
            for fd in self._roots:
                os.close(fd)
            raise from_os_error(error, f"opening {path}") from error
        self._top = Directory((), os.dup(self._roots[0]), tuple(range(1, len(self._roots))))

    def close(self) -> None:
        """Close everything, also if a directory cannot have its time."""
        with contextlib.ExitStack() as stack:
            for fd in self._roots:
                stack.callback(os.close, fd)
            for one in (self._top, *self._open.values()) if self._roots else ():
                stack.callback(one.close)
            self._roots = []
            self._open.clear()
            self._known.clear()

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # Finding directories

    def directory(self, wanted: Path) -> Directory:
        """The directory at a path, with links resolved inside the tree. A missing one is made with mode 0755."""
        known = self._known.get(wanted)
        if known is not None:
            found = self._open.get(known)
            if found is not None:
                self._open.move_to_end(known)
                return found
        found = self._walk(wanted)
        if len(self._known) >= _KNOWN_PATHS:
            self._known.clear()
        self._known[wanted] = found.path
        return found

    def _walk(self, wanted: Path) -> Directory:
        current, rest, links, steps = self._top, list(reversed(wanted)), 0, 0
        while rest:
            if links > _LINK_LIMIT or steps > _STEP_LIMIT:
                raise InvalidArgument(f"too many symbolic links in the path {printable(b'/'.join(wanted), 200)!r} of the layer")
            name = rest.pop()
            steps += 1
            if name == b"..":
                path = current.path[:-1]
                while rest and rest[-1] == b"..":
                    rest.pop()
                    path = path[:-1]
                steps += len(path)
                current = self._walk(path)
                continue
            target = self._link(current, name)
            if target is None:
                current = self._child(current, name)
                continue
            links += 1
            if target.startswith(b"/"):
                current = self._top
            rest.extend(part for part in reversed(target.split(b"/")) if part not in (b"", b"."))
        return current

    def _link(self, parent: Directory, name: bytes) -> t.Optional[bytes]:
        """The target when name is a symbolic link, here or (not hidden) in a lower layer."""
        if parent.path + (name,) in self._open:
            return None
        try:
            found = os.lstat(name, dir_fd=parent.fd)
            return os.readlink(name, dir_fd=parent.fd) if stat.S_ISLNK(found.st_mode) else None
        except FileNotFoundError:
            lower = self.lower(parent, name)
        if lower is None or not stat.S_ISLNK(lower[1].st_mode):
            return None
        with self._lower_parent(lower[0], parent.path) as fd:
            return os.readlink(name, dir_fd=fd)

    def _child(self, parent: Directory, name: bytes) -> Directory:
        """Open the real directory name in parent. A missing one is made; other files are replaced."""
        path = parent.path + (name,)
        found = self._open.get(path)
        if found is not None:
            self._open.move_to_end(path)
            return found
        try:
            fd = os.open(name, _DIRECTORY, dir_fd=parent.fd)
        except FileNotFoundError:
            self.make_directory(parent, name)
            fd = os.open(name, _DIRECTORY, dir_fd=parent.fd)
        except NotADirectoryError:
            self.make_directory(parent, name)
            fd = os.open(name, _DIRECTORY, dir_fd=parent.fd)
        return self._remember(path, fd, parent)

    def _remember(self, path: Path, fd: int, parent: Directory) -> Directory:
        lowers: t.Optional[t.Tuple[int, ...]] = None
        if parent.lowers == () or is_opaque(fd):
            lowers = ()
        while len(self._open) >= _OPEN_DIRECTORIES:
            self._open.popitem(last=False)[1].close()
        self._open[path] = found = Directory(path, fd, lowers)
        return found

    def forget(self, path: Path) -> None:
        """The directory at path is gone: forget everything below it."""
        length = len(path)
        for known in [one for one in self._open if one[:length] == path]:
            self._open.pop(known).close()
        self._known.clear()
        self._hidden.difference_update([one for one in self._hidden if one[:length] == path])

    # Lower layers

    def settle(self) -> None:
        """Make the whiteouts that waited for the lower layers."""
        hidden, self._hidden = self._hidden, set()
        for path in sorted(hidden):
            parent = self._walk(path[:-1])
            self._white_out(parent, path[-1])

    def _look_below(self) -> None:
        below, self._below = self._below, None
        if below:
            below()

    def _lowers(self, directory: Directory) -> t.Tuple[int, ...]:
        """The lower layers that show through, by the kernel's rules: down to an opaque directory or a file of another kind."""
        if directory.lowers is None:
            self._look_below()
            directory.lowers = tuple(self.showing(directory.path))
        elif directory.lowers:
            self._look_below()
        return directory.lowers

    def showing(self, path: Path) -> t.Iterator[int]:
        """The lower layers that show through at a directory, if this one hides nothing."""
        for index in range(1, len(self._roots)):
            fd, last = os.dup(self._roots[index]), False
            try:
                for name in path:
                    child = os.open(name, _DIRECTORY, dir_fd=fd)
                    os.close(fd)
                    fd = child
                    last = last or is_opaque(fd)
                yield index
            except FileNotFoundError:
                pass
            except OSError:
                last = True
            finally:
                os.close(fd)
            if last:
                return

    @contextlib.contextmanager
    def _lower_parent(self, index: int, path: Path) -> t.Iterator[int]:
        """The directory path of a lower layer; every component is a real directory there."""
        fd = os.dup(self._roots[index])
        try:
            for name in path:
                following = os.open(name, _DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = following
            yield fd
        finally:
            os.close(fd)

    def lower(self, parent: Directory, name: bytes) -> t.Optional[t.Tuple[int, os.stat_result]]:
        """The topmost lower layer that has name in parent, and its stat result; None when none has it, or a whiteout hides it."""
        if parent.path + (name,) in self._hidden:
            return None
        for index in self._lowers(parent):
            with self._lower_parent(index, parent.path) as fd:
                try:
                    found = os.lstat(name, dir_fd=fd)
                except FileNotFoundError:
                    continue
            return None if is_whiteout(found) else (index, found)
        return None

    def copy_up(self, parent: Directory, name: bytes) -> bool:
        """Copy a file of a lower layer with all its attributes; False when no lower layer has it."""
        found = self.lower(parent, name)
        if found is None or stat.S_ISDIR(found[1].st_mode):
            return False
        from ..hostfs.copy_tree import copy_entry

        self.spend(found[1].st_size)
        with self._lower_parent(found[0], parent.path) as fd:
            copy_entry(fd, name, parent.fd)
        return True

    # Changing the tree

    def spend(self, count: int) -> None:
        """Count bytes that take space on the disk. ResourceExhausted beyond the limit."""
        self._spent += count
        if self._spent > self._limit:
            raise ResourceExhausted(f"the layer unpacks to more than {self._limit} bytes, which is the limit for one of its size")

    def set_time(self, path: Path, fd: int, nanoseconds: int) -> None:
        """Set the time of the directory at path, open as fd, and keep it while more is written into the directory."""
        os.utime(fd, ns=(nanoseconds, nanoseconds))
        known = self._open.get(path) if path else self._top
        if known is not None:
            known.mtime_ns = nanoseconds

    def ensure_directory(self, parent: Directory, name: bytes) -> None:
        """Make the directory unless this tree has it already."""
        if parent.path + (name,) in self._open:
            return
        try:
            found = os.lstat(name, dir_fd=parent.fd)
        except FileNotFoundError:
            self._make_directory(parent, name)
            return
        if not stat.S_ISDIR(found.st_mode):
            self._make_directory(parent, name)

    def make_directory(self, parent: Directory, name: bytes) -> None:
        """Make a directory without an entry in the layer, with the metadata of the lower one if there is one."""
        if self._make_directory(parent, name):
            return
        found = self.lower(parent, name)
        if found is not None and stat.S_ISDIR(found[1].st_mode):
            self._copy_metadata(parent, name, found)

    def _make_directory(self, parent: Directory, name: bytes) -> bool:
        """Make a directory. If it replaces something else (a file, a whiteout) and there are lower layers, it is opaque, since the
        name in lower layers was hidden already. Returns whether it is opaque.
        """
        path = parent.path + (name,)
        check_depth(path)
        if name.startswith(PREFIX):
            raise InvalidArgument(f"the layer has a link that leads to a marker: {printable(b'/'.join(path), 200)!r}")
        replaces = path in self._hidden
        self._hidden.discard(path)
        try:
            os.mkdir(name, 0o755, dir_fd=parent.fd)
        except FileExistsError:
            replaces = True
            self.remove(parent, name)
            os.mkdir(name, 0o755, dir_fd=parent.fd)
        if replaces and parent.lowers != ():
            self.set_opaque(parent, name)
        return replaces

    def _copy_metadata(self, parent: Directory, name: bytes, found: t.Tuple[int, os.stat_result]) -> None:
        fd = os.open(name, _DIRECTORY, dir_fd=parent.fd)
        try:
            os.fchown(fd, found[1].st_uid, found[1].st_gid)
            os.fchmod(fd, stat.S_IMODE(found[1].st_mode))
            with self._lower_parent(found[0], parent.path + (name,)) as lower:
                for attribute in os.listxattr(lower):
                    if not attribute.startswith("trusted.overlay."):
                        os.setxattr(fd, attribute, os.getxattr(lower, attribute))
            os.utime(fd, ns=(found[1].st_mtime_ns, found[1].st_mtime_ns))
        finally:
            os.close(fd)

    def remove(self, parent: Directory, name: bytes) -> None:
        """Remove what this tree itself has under the name, if anything."""
        try:
            if stat.S_ISDIR(os.lstat(name, dir_fd=parent.fd).st_mode):
                self.forget(parent.path + (name,))
                empty_directory(parent.fd, os.fsdecode(name))
                os.rmdir(name, dir_fd=parent.fd)
            else:
                os.unlink(name, dir_fd=parent.fd)
        except FileNotFoundError:
            return

    def white_out(self, parent: Directory, name: bytes, overlay: bool) -> None:
        """Make the name absent; in an overlay by a whiteout if a lower layer has it."""
        self.remove(parent, name)
        if not overlay or parent.lowers == ():
            return
        if self._below and len(self._hidden) < _HIDDEN:
            self._hidden.add(parent.path + (name,))
        else:
            self._white_out(parent, name)

    def _white_out(self, parent: Directory, name: bytes) -> None:
        """Make a whiteout, unless the name exists by now, or there is nothing to hide."""
        try:
            if self.lower(parent, name) is not None:
                self._make_whiteout(parent, name)
        except FileExistsError:
            return

    def _make_whiteout(self, parent: Directory, name: bytes) -> None:
        make_whiteout(parent.fd, name)
        self._whiteouts = True

    def white_out_all(self, parent: Directory) -> None:
        """Hide everything that lower layers have in parent. The entries of this tree stay."""
        if parent is not self._top:
            self.set_opaque(parent, None)
            return
        # The kernel ignores the mark on the root of a layer, so hide the names one by one.
        for index in self._lowers(parent):
            with os.scandir(self._roots[index]) as entries:
                for entry in entries:
                    self._hide(parent, os.fsencode(entry.name))

    def _hide(self, parent: Directory, name: bytes) -> None:
        try:
            if stat.S_ISDIR(os.lstat(name, dir_fd=parent.fd).st_mode):
                self.set_opaque(parent, name)
        except FileNotFoundError:
            if self.lower(parent, name) is not None:
                self._make_whiteout(parent, name)

    def set_opaque(self, parent: Directory, name: t.Optional[bytes]) -> None:
        """Hide what lower layers have in parent/name (for None in parent itself)."""
        fd = os.dup(parent.fd) if name is None else os.open(name, _DIRECTORY, dir_fd=parent.fd)
        try:
            if self._whiteouts and not is_opaque(fd):
                drop_whiteouts(fd)
            mark_opaque(fd)
        except OSError as error:
            raise from_os_error(error, "marking a directory as opaque") from error
        finally:
            os.close(fd)
        path = parent.path if name is None else parent.path + (name,)
        for known in [one for one in self._open if one[: len(path)] == path]:
            self._open[known].lowers = ()
        if name is None:
            parent.lowers = ()
