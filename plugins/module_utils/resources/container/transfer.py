# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open files of a container that runs, as one of its users: no program of the container is needed for it.

The user's rights count, as with a process of his. Links stay inside; only regular files are opened, as a device would be one of this host.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import stat
import typing as t

from ...errors import EngineError, FailedPrecondition, NotFound, from_os_error, printable
from ...hostfs.atomic import closing
from ...hostfs.inside import open_inside
from ...runtime_spec.user_namespace import Mapping

if t.TYPE_CHECKING:
    from .entry import Inside

#: A fifo must not block us, and a terminal not become ours.
_SAFE = os.O_NONBLOCK | os.O_NOCTTY
_MODE = 0o644


def open_to_read(inside: Inside, user: str, path: str) -> int:
    """A descriptor. NotFound, PermissionDenied, FailedPrecondition name the path."""
    return _opened(inside, user, path, lambda root, _owner: open_inside(root, path, os.O_RDONLY | _SAFE))


def open_to_write(inside: Inside, user: str, path: str) -> int:
    """The same. The file is empty then; one that was not there has the user's owner."""

    def create(root: int, owner: t.Tuple[int, int]) -> int:
        try:
            return open_inside(root, path, os.O_WRONLY | _SAFE)
        except FileNotFoundError:
            pass
        directory, name = os.path.split(path.rstrip("/"))
        with closing(open_inside(root, directory, os.O_PATH | os.O_DIRECTORY)) as parent:
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE, dir_fd=parent)
        os.fchmod(fd, _MODE)
        if os.geteuid() == 0 and owner != (0, 0):
            os.fchown(fd, *owner)
        return fd

    fd = _opened(inside, user, path, create)
    os.ftruncate(fd, 0)
    return fd


def _opened(inside: Inside, user: str, path: str, function: t.Callable[[int, t.Tuple[int, int]], int]) -> int:
    what = f"{printable(path, 300)} in the container {printable(inside.name, 100)}"
    try:
        with inside.root() as root:
            fd = _as(_ids(inside, root, user), lambda owner: function(root, owner))
    except FileNotFoundError as error:
        raise NotFound(f"there is no {what}, or no directory for it") from error
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.EISDIR):
            # A fifo that nobody reads; a directory.
            raise FailedPrecondition(f"{what} is not a regular file") from error
        raise from_os_error(error, f"opening {what}") from error
    if stat.S_ISREG(os.fstat(fd).st_mode):
        os.set_blocking(fd, True)
        return fd
    os.close(fd)
    raise FailedPrecondition(f"{what} is not a regular file")


class _Ids(t.NamedTuple):
    """A user, as this host has it. root: inside the container."""

    uid: int
    gid: int
    groups: t.Tuple[int, ...]
    root: bool


def _ids(inside: Inside, root: int, user: str) -> _Ids:
    spec = inside.container.spec
    if user:
        from ...runtime_spec.users import resolve_user

        found = resolve_user(root, user)
        uid, gid, groups = found.uid, found.gid, found.groups
    else:
        own = (spec.get("process") or {}).get("user") or {}
        uid, gid, groups = own.get("uid", 0), own.get("gid", 0), tuple(own.get("additionalGids") or ())
    mapping = Mapping.of(spec)
    if mapping is None:
        return _Ids(uid, gid, groups, uid == 0)
    owner = mapping.owner(uid, gid, "user")
    return _Ids(*owner, tuple(mapping.gid + one for one in groups), uid == 0)


def _as(ids: _Ids, function: t.Callable[[t.Tuple[int, int]], int]) -> int:
    """What a function opens with the rights of a user. Root of a container has those of ours, as far as its root directory goes."""
    owner = ids.uid, ids.gid
    if ids.root:
        return function(owner)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        child = os.fork()
        if not child:
            try:
                for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(one, signal.SIG_DFL)
                _send(theirs, ids, function)
            finally:
                os._exit(0)
        theirs.close()
        answer, fds, _flags, _address = socket.recv_fds(ours, 64, 1)
        os.waitpid(child, 0)
    if fds:
        return fds[0]
    number = int(answer or errno.EIO)
    raise OSError(number, os.strerror(number))


def _send(answer: socket.socket, ids: _Ids, function: t.Callable[[t.Tuple[int, int]], int]) -> None:
    """In the fork."""
    number, fds = 0, []
    try:
        os.setgroups(ids.groups)
        os.setresgid(ids.gid, ids.gid, ids.gid)
        os.setresuid(ids.uid, ids.uid, ids.uid)
        fds.append(function((ids.uid, ids.gid)))
    except OSError as error:
        number = error.errno or errno.EIO
    except EngineError:
        number = errno.EIO
    socket.send_fds(answer, [str(number).encode()], fds)
