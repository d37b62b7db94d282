# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Use an OCI runtime (runc, crun) through its command line, and explain its errors briefly."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import typing as t

from ..errors import (
    AlreadyExists,
    EngineError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unavailable,
    Unimplemented,
    printable,
)
from ..hostfs.atomic import read_file

_SECONDS = 60.0
_SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Releases before these have known ways out of the container (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881).
_FIXED = ((1, 2, 8), (1, 3, 3))


def find_binary(name: str) -> str:
    """The absolute path of a runtime. NotFound tells what to install."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + _SEARCH)
    if not found:
        raise missing(name)
    return found


def missing(name: str) -> NotFound:
    """The error for a missing runtime."""
    package = os.path.basename(name)
    return NotFound(
        f"runtime: {printable(name, 100)} is not installed on the target: install the package {printable(package, 40)}"
    )


class RuntimeProgram:
    """One runtime binary with one state directory (--root). command: the beginning of every call.

    systemd: it asks systemd for the control groups. runc before 1.1 must be told so with each verb.
    """

    def __init__(self, binary: str, root: str, systemd: bool = False) -> None:
        self.binary = find_binary(binary)
        self.command = [self.binary, "--root", root, *(["--systemd-cgroup"] if systemd else [])]

    def run(self, *arguments: str, log: str = "", timeout: float = _SECONDS, **more: t.Any) -> subprocess.CompletedProcess[bytes]:
        """Run <runtime> --root R arguments. Raises the error for its failure."""
        command = [*self.command, *(["--log", log, "--log-format", "json"] if log else []), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, timeout=timeout, check=False, **more)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{os.path.basename(self.binary)} {arguments[0]} did not end within {timeout:g} s") from None
        except OSError as error:
            raise FailedPrecondition(f"{self.binary} cannot be run: {error.strerror}") from error
        if done.returncode:
            raise failure(arguments[0], last_message(log) or done.stderr.decode("utf-8", "replace"))
        return done

    def delete(self, container_id: str, force: bool = False) -> None:
        """Remove the runtime's state, if there is any."""
        try:
            self.run("delete", *(["--force"] if force else []), container_id)
        except NotFound:
            return


def last_message(log: str) -> str:
    """The last error of a runtime's JSON log."""
    data = read_file(log) if log else None
    for line in reversed((data or b"").splitlines()):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") in ("error", "fatal"):
            return str(entry.get("msg", ""))
    return ""


_MEANINGS: t.Tuple[t.Tuple[str, t.Type[EngineError], str], ...] = (
    (
        r'exec: \\?"?(?P<what>[^"\\]+)\\?"?: executable file not found',
        InvalidArgument,
        "the command {what} is not in the image's PATH",
    ),
    (
        r'exec: \\?"?(?P<what>[^"\\]+)\\?"?: (?:stat .*: )?no such file or directory',
        InvalidArgument,
        "the command {what} is not in the image",
    ),
    (r"executable file `(?P<what>[^`]+)` not found", InvalidArgument, "the command {what} is not in the image's PATH"),
    (r'exec: \\?"?(?P<what>[^"\\]+)\\?"?: permission denied', InvalidArgument, "the command {what} may not be executed"),
    (
        r"exec format error",
        InvalidArgument,
        "the command is not made for this machine (another architecture, or a script without #!)",
    ),
    (
        r'mounting "(?P<what>[^"]+)".*: not a directory',
        InvalidArgument,
        "a file cannot be mounted on a directory, nor the other way round: {what}",
    ),
    (r'(?:mounting|mount) "?(?P<what>/[^" ]+)"?.*no such file', InvalidArgument, "the volume's source {what} is not there"),
    (
        r"container (?:with given ID|.*) already exists|container with id exists",
        AlreadyExists,
        "the runtime has a container of that id",
    ),
    (
        r"container .*does not exist|container not running|error opening file .*status|no such process",
        NotFound,
        "it does not run",
    ),
    (
        r"unable to set memory limit|memory\.limit_in_bytes.*busy",
        FailedPrecondition,
        "memory: the container uses more than that now",
    ),
    (r"cannot pause|cannot resume|container not paused|container not running or created", FailedPrecondition, "{all}"),
    (r"operation not permitted|permission denied", PermissionDenied, "{all}"),
    (r"systemd not running", Unimplemented, "{all}"),
)


def failure(verb: str, text: str) -> EngineError:
    """The error for a runtime's message: a short text for known ones, else the last clauses of the message."""
    message = text.strip().splitlines()[-1] if text.strip() else "no message"
    for pattern, kind, words in _MEANINGS:
        found = re.search(pattern, message)
        if found:
            names = {key: printable(value, 200) for key, value in found.groupdict().items() if value}
            return kind(words.format(all=_tail(message), **names))
    advice = "; with update_in_place=false a new container is made" if verb == "update" else ""
    return FailedPrecondition(f"the runtime cannot {verb} the container: {_tail(message)}{advice}")


def _tail(message: str) -> str:
    clauses = [part.strip() for part in re.sub(r"^time=.*?msg=", "", message).split(": ") if part.strip()]
    return printable(": ".join(clauses[-3:]), 300)


def runtime_warnings(name: str) -> t.List[str]:
    """Warnings about the installed runtime. A missing runtime is reported elsewhere."""
    try:
        done = subprocess.run([find_binary(name), "--version"], capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired, NotFound):
        return []
    return version_warnings(done.stdout.decode("utf-8", "replace"))


def version_warnings(text: str) -> t.List[str]:
    """Warnings from the output of runc --version, for releases with known security holes."""
    found = re.search(r"runc version (\d+)\.(\d+)\.(\d+)", text)
    if not found:
        return []
    version = tuple(int(part) for part in found.groups())
    if any(version[:2] == fixed[:2] and version >= fixed for fixed in _FIXED) or version[:2] > _FIXED[-1][:2]:
        return []
    return [
        f"runc {'.'.join(map(str, version))} may not have the fixes of CVE-2025-31133, 52565 and 52881: 1.2.8 and 1.3.3 have them"
    ]
