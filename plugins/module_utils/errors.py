# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception tree. Every method of every Protocol in engine/api.pyi raises only these.

EngineError
├── NotFound               the named thing does not exist
├── AlreadyExists          the name is taken
├── InvalidArgument        the caller's value is wrong (names the option and the value)
├── FailedPrecondition     right request, wrong state (digest mismatch, task running, ...)
├── Unavailable            locked, timed out, daemon or registry gone: trying again may help
├── Unauthenticated        who are you
├── PermissionDenied       you may not (EACCES, EPERM, HTTP 403)
├── Unimplemented          this engine, version or kernel cannot do it
├── DataLoss               stored data are damaged
├── ResourceExhausted      disk full, or one of our limits reached
├── MissingLibrary         a Python library is not installed on the target
└── RegistryError          an HTTP answer of a registry that is none of the above
"""

from __future__ import annotations

import errno
import typing as t


def printable(text: object, limit: int = 400) -> str:
    """Make text from outside safe for a terminal and a log: escape control characters, limit the length."""
    raw = text.decode("utf-8", "surrogateescape") if isinstance(text, bytes) else str(text)
    cut = raw if len(raw) <= limit else raw[:limit] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii") for c in cut)


class EngineError(Exception):
    """The base class. str(error) is one line that tells what is wrong and, if we know, what to do."""

    def __init__(self, message: str, **details: t.Any) -> None:
        super().__init__(message)
        self.details: t.Dict[str, t.Any] = details


class NotFound(EngineError):
    pass


class AlreadyExists(EngineError):
    pass


class InvalidArgument(EngineError):
    pass


class FailedPrecondition(EngineError):
    pass


class Unavailable(EngineError):
    pass


class Unauthenticated(EngineError):
    pass


class PermissionDenied(EngineError):
    pass


class Unimplemented(EngineError):
    pass


class DataLoss(EngineError):
    pass


class ResourceExhausted(EngineError):
    """room: what does not fit on a disk, with its bytes, and why."""

    room: t.Optional[t.Tuple[str, str]] = None


class MissingLibrary(EngineError):
    """A library is missing on the target.

    library: import name. why: what needs it. debian / pypi: the packages that have it.
    """

    def __init__(self, library: str, why: str, debian: str, pypi: str) -> None:
        super().__init__(
            f"the Python library {library} is needed {why}: install the package {debian} (Debian, Ubuntu) or {pypi} (pip)",
            library=library,
            debian=debian,
            pypi=pypi,
        )
        self.library, self.why, self.debian, self.pypi = library, why, debian, pypi


class RegistryError(EngineError):
    """An answer of a registry. errors has the (code, message) pairs of its body (distribution-spec)."""

    def __init__(
        self, message: str, method: str = "", url: str = "", status: int = 0, errors: t.Sequence[t.Tuple[str, str]] = ()
    ) -> None:
        super().__init__(message, method=method, url=url, status=status)
        self.method, self.url, self.status, self.errors = method, url, status, tuple(errors)


_BY_ERRNO: t.Dict[int, t.Type[EngineError]] = {
    errno.ENOENT: NotFound,
    errno.EEXIST: AlreadyExists,
    errno.EACCES: PermissionDenied,
    errno.EPERM: PermissionDenied,
    errno.EROFS: PermissionDenied,
    errno.ENOSPC: ResourceExhausted,
    errno.EDQUOT: ResourceExhausted,
    errno.EMFILE: ResourceExhausted,
    errno.ENOSYS: Unimplemented,
    errno.EOPNOTSUPP: Unimplemented,
}


def from_os_error(error: OSError, doing: str) -> EngineError:
    """The engine error for an OSError. doing: what was tried ("writing /var/lib/...")."""
    kind = _BY_ERRNO.get(error.errno or 0, EngineError)
    reason = error.strerror or str(error)
    return kind(f"{doing}: {printable(reason)}", errno=error.errno)
