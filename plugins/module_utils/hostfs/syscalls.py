# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""System calls that are missing in the standard library, through ctypes: mount, umount2, syncfs, openat2, prctl, ioprio_set."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import sys
import typing as t

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_NOATIME, MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE, MS_RELATIME = 1024, 4096, 16384, 1 << 18, 1 << 19, 1 << 21
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
RESOLVE_NO_XDEV, RESOLVE_BENEATH, RESOLVE_IN_ROOT = 1, 8, 16
_SYS_OPENAT2 = 437
#: Each architecture has its own number of this old call. A 32-bit Python on a 64-bit kernel would make another call.
_SYS_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282} if sys.maxsize > 2**32 else {}
_PR_SET_PDEATHSIG = 1
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_AT_FDCWD, _RENAME_NOREPLACE = -100, 1
#: File systems in which a file is not data but a word with the kernel (linux/magic.h): proc, sysfs, cgroup, cgroup2, debugfs, tracefs,
#: securityfs, bpf, pstore, efivarfs, selinuxfs, smackfs, binfmt_misc, configfs, mqueue, devpts, nsfs, fusectl.
_KERNEL = {
    *(0x9FA0, 0x62656572, 0x27E0EB, 0x63677270, 0x64626720, 0x74726163, 0x73636673, 0xCAFE4A11, 0x6165676C, 0xDE5E81E4),
    *(0xF97CFF8C, 0x43415D53, 0x42494E4D, 0x62656570, 0x19800202, 0x1CD1, 0x6E736673, 0x65735543),
}


#: capabilities(7), for capable().
CAP_SYS_PTRACE, CAP_SYS_RESOURCE = 19, 24
_PR_GET_SECUREBITS, _PR_SET_SECUREBITS, _NO_SETUID_FIXUP = 27, 28, 1 << 2


@functools.cache
def libc() -> t.Any:
    return ctypes.CDLL(None, use_errno=True)


def capable(capability: int) -> bool:
    """Whether this process has a capability, in its own user namespace (proc(5))."""
    with open("/proc/self/status", encoding="utf-8") as stream:
        sets = next((line.split()[1] for line in stream if line.startswith("CapEff:")), "0")
    return bool(int(sets, 16) >> capability & 1)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). OSError on failure."""
    _check(
        libc().mount(os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), os.fsencode(data) or None),
        target,
    )


def umount(target: str, flags: int = UMOUNT_NOFOLLOW) -> None:
    """umount2(2). OSError on failure."""
    _check(libc().umount2(os.fsencode(target), flags), target)


def enter_users(namespace: int) -> None:
    """setns(2): be in a namespace of users, for a process with one thread. OSError."""
    _check(libc().setns(namespace, _CLONE_NEWUSER), "setns")


def unshare_mounts() -> None:
    """unshare(2): mounts of its own for this thread. Those of others still arrive; its own are seen by nobody else. OSError."""
    _check(libc().unshare(_CLONE_NEWNS), "unshare")
    mount("", "/", "", MS_REC | MS_SLAVE)


def syncfs(fd: int) -> None:
    """syncfs(2): write back the whole file system of fd. OSError reports write-back errors too."""
    _check(libc().syncfs(fd), "syncfs")


def end_with_parent(parent: int, number: int) -> None:
    """prctl(2), PR_SET_PDEATHSIG: send this process a signal when the thread of parent that forked it ends."""
    _check(libc().prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(number), 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


@contextlib.contextmanager
def files_as(uid: int, gid: int) -> t.Iterator[None]:
    """What this thread makes in the context belongs to them. Its rights stay (securebits of capabilities(7)), if it may have it so."""
    call = libc()
    bits = call.prctl(_PR_GET_SECUREBITS, 0, 0, 0, 0)
    call.prctl(_PR_SET_SECUREBITS, ctypes.c_ulong(bits | _NO_SETUID_FIXUP), 0, 0, 0)
    old_gid, old_uid = call.setfsgid(gid), call.setfsuid(uid)
    try:
        yield
    finally:
        call.setfsuid(old_uid)
        call.setfsgid(old_gid)
        call.prctl(_PR_SET_SECUREBITS, ctypes.c_ulong(bits), 0, 0, 0)


def set_io_priority(value: int) -> None:
    """ioprio_set(2) for this process; 0 is the default. OSError on failure."""
    number = _SYS_IOPRIO_SET.get(os.uname().machine)
    if number:
        _check(libc().syscall(number, 1, 0, value), "ioprio_set")


def rename_new(old: str, new: str) -> None:
    """renameat2(2) with RENAME_NOREPLACE. Raises FileExistsError when the new name exists; OSError."""
    call = getattr(libc(), "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), old)
    _check(call(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), ctypes.c_uint(_RENAME_NOREPLACE)), new)


def is_of_kernel(fd: int) -> bool:
    """fstatfs(2): whether fd is on a file system that is an interface of the kernel. OSError on failure."""
    found = ctypes.create_string_buffer(256)
    _check(libc().fstatfs(fd, found), "fstatfs")
    return int.from_bytes(found.raw[:4], sys.byteorder) in _KERNEL


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def openat2(dir_fd: int, path: bytes, flags: int, resolve: int, mode: int = 0) -> int:
    """openat2(2): a new file descriptor with O_CLOEXEC. Raises OSError; ENOSYS before Linux 5.6."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    return _check(
        libc().syscall(_SYS_OPENAT2, dir_fd, ctypes.c_char_p(path), ctypes.byref(how), ctypes.sizeof(how)), os.fsdecode(path)
    )
