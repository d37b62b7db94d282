# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write state.json, the record of a task. runtime/task_record.py reads it."""

from __future__ import annotations

import posix as os
import sys

from ..runtime.json_log import escape


def write(text: str, path: str, spare: str, durable: bool = True) -> str:
    """Replace the file atomically. Returns its path: path, or on a full or broken disk the spare one (which is read first), so that
    no exit status is lost; empty when neither can be written.
    """
    for place in (path, spare):
        try:
            replace(place, text, durable)
            if place == path:
                _unlink(spare)
            return place
        except OSError:
            continue
    return ""


def replace(path: str, text: str, durable: bool) -> None:
    """Write a file atomically. OSError."""
    fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        data = text.encode()
        if os.write(fd, data) < len(data):
            raise OSError(f"{path}.new: no room")
        if durable:
            os.fsync(fd)
        os.rename(path + ".new", path)
        if durable:
            # Makes the rename durable, too: else a power cut would bring back the previous file.
            os.fsync(fd)
    except OSError:
        _unlink(path + ".new")
        raise
    finally:
        os.close(fd)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


def encoded(text: str) -> bytes:
    """os.fsencode()"""
    return text.encode(sys.getfilesystemencoding(), "surrogateescape")


def beginning(log: str, started_at: float) -> str:
    """The members of the JSON object about the start, so that after a power cut the next boot knows what ran."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as stream:
            boot = stream.read().strip()
    except OSError:
        boot = ""
    return f'"boot":"{boot}","log":"{escape(encoded(log))}","started_at":{started_at:.6f}'


def settle(path: str) -> None:
    """Make a file durable that was written without that."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        os.fsync(fd)
        os.close(fd)
    except OSError:
        return


def ending(status: int, exited_at: float, oom_killed: int, dropped: int) -> str:
    """The members of the JSON object about the end of a container."""
    killed = "true" if oom_killed else "false"
    return f'"exit_status":{status},"exited_at":{exited_at:.6f},"oom_killed":{killed},"dropped":{dropped}'
