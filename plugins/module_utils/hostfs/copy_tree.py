# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy or move a tree with everything: owners, modes, times, xattrs, hardlinks, devices, holes."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import typing as t

_BLOCK = 4 * 1024 * 1024
_FICLONE = 0x40049409


def copy_tree(source: str, target: str) -> None:
    """Copy the directory source to the new directory target. Both are trusted. Links are copied, not followed."""
    links: t.Dict[t.Tuple[int, int], str] = {}
    os.mkdir(target, 0o700)
    for base, directories, files in os.walk(source, onerror=_raise):
        relative = os.path.relpath(base, source)
        for name in directories + files:
            _copy(os.path.join(base, name), os.path.normpath(os.path.join(target, relative, name)), links)
    for base, _directories, _files in os.walk(source, topdown=False, onerror=_raise):
        _metadata(base, os.path.normpath(os.path.join(target, os.path.relpath(base, source))), os.lstat(base))


def _raise(error: OSError) -> None:
    """Without it os.walk skips what it cannot read."""
    raise error


def move_tree(source: str, target: str) -> None:
    """Move the content and metadata of a directory to an empty one on the same file system. The result is durable."""
    found = os.lstat(source)
    fds = [os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC) for path in (source, target)]
    try:
        for name in os.listdir(fds[0]):
            os.rename(name, name, src_dir_fd=fds[0], dst_dir_fd=fds[1])
        _metadata(source, target, found)
        os.fsync(fds[1])
    finally:
        for fd in fds:
            os.close(fd)


def copy_root(source: str, target: str) -> None:
    """Give the directory target the owner, mode, attributes and time of the directory source. Its content stays."""
    _metadata(source, target, os.lstat(source), ("trusted.overlay.",))


def copy_entry(source_fd: int, name: bytes, target_fd: int) -> None:
    """Copy one entry (not a directory) to another directory, under the same name."""
    text = os.fsdecode(name)
    _copy(f"/proc/self/fd/{source_fd}/{text}", f"/proc/self/fd/{target_fd}/{text}", {})


def _copy(source: str, target: str, links: t.Dict[t.Tuple[int, int], str]) -> None:
    found = os.lstat(source)
    kind = stat.S_IFMT(found.st_mode)
    identity = (found.st_dev, found.st_ino)
    if kind == stat.S_IFDIR:
        os.mkdir(target, 0o700)
        return
    if found.st_nlink > 1 and identity in links:
        os.link(links[identity], target, follow_symlinks=False)
        return
    if found.st_nlink > 1:
        links[identity] = target
    if kind == stat.S_IFREG:
        copy_file(source, target, found.st_size)
    elif kind == stat.S_IFLNK:
        os.symlink(os.readlink(source), target)
    elif kind == stat.S_IFSOCK:
        return
    else:
        os.mknod(target, found.st_mode, found.st_rdev)
    _metadata(source, target, found)


def _metadata(source: str, target: str, found: os.stat_result, without: t.Tuple[str, ...] = ()) -> None:
    os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        os.chmod(target, stat.S_IMODE(found.st_mode))
    for name in os.listxattr(source, follow_symlinks=False):
        if name.startswith(without):
            continue
        with contextlib.suppress(OSError):
            os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)


def copy_file(source: str, target: str, size: int) -> None:
    """Copy the bytes of a file: as a reflink where possible, else sparsely."""
    import fcntl

    with open(source, "rb") as reader, open(target, "xb") as writer:
        try:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
            return
        except OSError:
            os.ftruncate(writer.fileno(), size)
        offset = 0
        while offset < size:
            try:
                offset = os.lseek(reader.fileno(), offset, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                raise
            end = os.lseek(reader.fileno(), offset, os.SEEK_HOLE)
            while offset < end:
                block = os.pread(reader.fileno(), min(_BLOCK, end - offset), offset)
                os.pwrite(writer.fileno(), block, offset)
                offset += len(block)
