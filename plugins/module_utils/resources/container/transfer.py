# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open files of a container that runs, as one of its users: no program of the container is needed for it.

The user's rights count, as with a process of his. Links stay inside; only regular files are opened, and none of the kernel's own, since
devices and the kernel would be those of this host.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import typing as t

from ...errors import EngineError, FailedPrecondition, NotFound, from_os_error, printable
from ...hostfs.atomic import closing
from ...hostfs.inside import open_file_inside, open_inside
from ...hostfs.syscalls import enter_users, is_of_kernel

if t.TYPE_CHECKING:
    from .entry import Inside

_MODE = 0o644
#: The kernel's limit (path_resolution(7)).
_LINKS = 40
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def open_to_read(inside: Inside, user: str, path: str) -> int:
    """A descriptor. NotFound, PermissionDenied, FailedPrecondition name the path."""
    return _opened(inside, user, path, lambda root: open_file_inside(root, path, os.O_RDONLY))


def open_to_write(inside: Inside, user: str, path: str) -> int:
    """The same. The file is empty then; one that was not there has the user's owner."""
    fd = _opened(inside, user, path, lambda root: _there_or_made(root, path))
    os.ftruncate(fd, 0)
    return fd


def _there_or_made(root: int, path: str) -> int:
    for _turn in range(_LINKS):
        with contextlib.suppress(FileNotFoundError):
            return open_file_inside(root, path, os.O_WRONLY)
        directory, name = os.path.split(path.rstrip("/"))
        with closing(open_inside(root, directory, os.O_PATH | os.O_DIRECTORY)) as parent:
            try:
                fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE, dir_fd=parent)
            except FileExistsError:
                # A link to what is not there: that is made. Or somebody else has just made it.
                with contextlib.suppress(OSError):
                    path = os.path.join(directory, os.readlink(name, dir_fd=parent))
                continue
        os.fchmod(fd, _MODE)
        return fd
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _opened(inside: Inside, user: str, path: str, function: t.Callable[[int], int]) -> int:
    what = f"{printable(path, 300)} in the container {printable(inside.name, 100)}"
    try:
        with inside.process() as process, inside.root_of(process) as root:
            fd = _as(_ids(inside, root, user), _users(process), lambda: function(root))
            if is_of_kernel(fd):
                os.close(fd)
                raise FailedPrecondition(f"{what} is not data, but an interface of the kernel: use a command for it")
    except FileNotFoundError as error:
        raise NotFound(f"there is no {what}, or no directory for it") from error
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.EISDIR):
            raise FailedPrecondition(f"{what} is not a regular file") from error
        raise from_os_error(error, f"opening {what}") from error
    os.set_blocking(fd, True)
    return fd


class _Ids(t.NamedTuple):
    """A user, as the container has it."""

    uid: int
    gid: int
    groups: t.Tuple[int, ...]


def _ids(inside: Inside, root: int, user: str) -> _Ids:
    if user:
        from ...runtime_spec.users import resolve_user

        found = resolve_user(root, user)
        return _Ids(found.uid, found.gid, found.groups)
    own = (inside.container.spec.get("process") or {}).get("user") or {}
    return _Ids(own.get("uid", 0), own.get("gid", 0), tuple(own.get("additionalGids") or ()))


def _users(process: int) -> t.Optional[str]:
    """A path to the namespace of users that a container has for itself; None without one."""
    path = f"/proc/self/fd/{process}/ns/user"
    return None if os.path.samestat(os.stat(path), os.stat("/proc/self/ns/user")) else path


def _as(ids: _Ids, users: t.Optional[str], function: t.Callable[[], int]) -> int:
    """What a function opens with the rights of a user of a container. Root with the host's users has all of ours."""
    if users is None and ids[:2] == (0, 0):
        return function()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        child = os.fork()
        if not child:
            try:
                for one in _SIGNALS:
                    signal.signal(one, signal.SIG_DFL)
                _send(theirs, ids, users, function)
            finally:
                os._exit(0)
        theirs.close()
        answer, fds, _flags, _address = socket.recv_fds(ours, 64, 1, socket.MSG_CMSG_CLOEXEC)
        os.waitpid(child, 0)
    if fds:
        return fds[0]
    number = int(answer or errno.EIO)
    raise OSError(number, os.strerror(number))


def _send(answer: socket.socket, ids: _Ids, users: t.Optional[str], function: t.Callable[[], int]) -> None:
    """In the fork."""
    number, fds = 0, []
    try:
        if users:
            with closing(os.open(users, os.O_RDONLY | os.O_CLOEXEC)) as namespace:
                enter_users(namespace)
            # Who has not been root there does not lose root's rights.
            os.setresuid(0, 0, 0)
        os.setgroups(ids.groups)
        os.setresgid(ids.gid, ids.gid, ids.gid)
        os.setresuid(ids.uid, ids.uid, ids.uid)
        fds.append(function())
    except OSError as error:
        number = error.errno or errno.EIO
    except EngineError:
        number = errno.EIO
    socket.send_fds(answer, [str(number).encode()], fds)
