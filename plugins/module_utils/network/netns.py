# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network namespaces: made, pinned to a path by a bind mount, entered, and removed."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ..errors import EngineError, FailedPrecondition, from_os_error, printable
from ..hostfs import syscalls
from ..hostfs.atomic import closing, make_dir
from ..hostfs.lock import locked
from ..hostfs.mounts import mount, unmount

_CLONE_NEWNET = 0x40000000
_OWN = "/proc/thread-self/ns/net"


def _call(function: str, *arguments: int) -> None:
    if getattr(syscalls.libc(), function)(*arguments) < 0:
        import ctypes

        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextlib.contextmanager
def entered(path: str) -> t.Iterator[int]:
    """This thread is in the namespace for the length of the context, which gets a descriptor of the one it came from."""
    with _opened(_OWN) as before, _opened(path) as there:
        try:
            _call("setns", there, _CLONE_NEWNET)
        except OSError as error:
            raise from_os_error(error, f"entering the network namespace {printable(path, 200)}") from error
        try:
            yield before
        finally:
            _call("setns", before, _CLONE_NEWNET)


def _opened(path: str) -> t.ContextManager[int]:
    try:
        return closing(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        raise from_os_error(error, f"opening the network namespace {printable(path, 200)}") from error


@contextlib.contextmanager
def opened(path: str) -> t.Iterator[int]:
    """A descriptor, for links that go there. FailedPrecondition when the path is that of something else."""
    with _opened(path) as fd:
        if not is_namespace(path):
            raise FailedPrecondition(f"{printable(path, 200)} is not a network namespace")
        yield fd


def is_namespace(path: str) -> bool:
    """Whether a namespace is there: not when only the file is left that it was mounted on."""
    try:
        return os.stat(path).st_dev == os.stat(_OWN).st_dev
    except OSError:
        return False


def is_another(path: str) -> bool:
    """Whether a namespace is there which is not the one that this thread is in: nothing for containers is done to that."""
    try:
        return is_namespace(path) and not os.path.samestat(os.stat(path), os.stat(_OWN))
    except OSError:
        return False


def pin(source: str, path: str) -> None:
    """Keep the namespace source (/proc/<pid>/ns/net) under a path, instead of what may be there from an earlier run."""
    _share(os.path.dirname(path))
    unmount(path, lazy=True)
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o444))
    except OSError as error:
        raise from_os_error(error, f"making {path}") from error
    mount("", source, path, ("bind",))


def make(path: str) -> None:
    """Pin a new namespace to a path. A thread of its own makes it, so that nothing else of this process is ever in it."""
    import threading

    failures: t.List[t.Union[OSError, EngineError]] = []

    def run() -> None:
        try:
            _call("unshare", _CLONE_NEWNET)
            pin(_OWN, path)
        except (OSError, EngineError) as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for error in failures:
        if isinstance(error, OSError):
            raise from_os_error(error, "making a network namespace") from error
        raise error


def remove(path: str) -> bool:
    """Unmount and remove it; False when it was not there. It goes when no process is in it any more."""
    unmount(path, lazy=True)
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise from_os_error(error, f"removing {path}") from error
    return True


def _share(directory: str) -> None:
    """As ip netns does it: what is mounted there is seen in other mount namespaces, and what is unmounted goes there too. With its lock:
    the first ones after a boot come at the same time, and each would mount the directory over those of the others.
    """
    make_dir(directory, 0o755)
    with locked(directory, f"the namespaces in {directory}"):
        try:
            syscalls.mount("", directory, "", _MS_SHARED | syscalls.MS_REC)
        except OSError:
            mount("", directory, directory, ("rbind",))
            try:
                syscalls.mount("", directory, "", _MS_SHARED | syscalls.MS_REC)
            except OSError as error:
                raise from_os_error(error, f"sharing the mounts of {directory}") from error


_MS_SHARED = 1 << 20
