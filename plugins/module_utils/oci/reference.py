# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image references, by the grammar of distribution/reference: hello-world is docker.io/library/hello-world:latest."""

from __future__ import annotations

import re
import typing as t

from ..errors import InvalidArgument, printable
from .digest import Digest

_DOMAIN = re.compile(
    r"(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*"
    r"|\[[a-fA-F0-9:]+\])(?::[0-9]+)?\Z"
)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_NAME_LIMIT = 255
DEFAULT_DOMAIN = "docker.io"


class Reference(t.NamedTuple):
    """domain (registry host[:port]), path (repository), tag and digest (one of the two may be empty)."""

    domain: str
    path: str
    tag: str = ""
    digest: t.Optional[Digest] = None

    @classmethod
    def parse(cls, text: object, option: str = "name", default_tag: str = "latest") -> Reference:
        """The fully qualified reference that text means. It gets default_tag when it has neither tag nor digest.

        Raises InvalidArgument naming the option and the value.
        """
        if not isinstance(text, str) or not text:
            raise InvalidArgument(f"{option}: an image reference is needed, got {printable(text, 80)!r}")
        if len(text) > 1024:
            raise InvalidArgument(f"{option}: the image reference is longer than 1024 characters: {printable(text, 80)!r}")
        rest, at, digest_text = text.partition("@")
        try:
            digest = Digest.parse(digest_text) if at else None
        except InvalidArgument as error:
            raise InvalidArgument(f"{option}: invalid image reference {printable(text, 300)!r}: {error}") from error
        name, tag = rest, ""
        colon = rest.rfind(":")
        if colon > rest.rfind("/"):
            name, tag = rest[:colon], rest[colon + 1 :]
            if not _TAG.match(tag):
                raise InvalidArgument(
                    f"{option}: invalid tag {printable(tag, 160)!r} in image reference {printable(text, 300)!r}"
                )
        domain, path = _split(name)
        problem = _problem(domain, path)
        if problem:
            raise InvalidArgument(f"{option}: invalid image reference {printable(text, 300)!r}: {problem}")
        return cls(domain, path, tag or ("" if digest else default_tag), digest)

    @property
    def name(self) -> str:
        """domain/path, without tag and digest."""
        return f"{self.domain}/{self.path}"

    @property
    def object(self) -> str:
        """The name of the manifest in requests: the digest if there is one, else the tag."""
        return str(self.digest or self.tag)

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def familiar(self) -> str:
        """The short form: without docker.io/library/ or docker.io/, where the rest still means the same image."""
        for name in (self.path.removeprefix("library/"), self.path):
            if _split(name) == (self.domain, self.path):
                return name + str(self)[len(self.name) :]
        return str(self)

    @property
    def record(self) -> str:
        """The image record's name: name:tag, or name@digest where there is no tag."""
        return f"{self.name}:{self.tag}" if self.tag else str(self)


def _split(name: str) -> t.Tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        domain, path = DEFAULT_DOMAIN, name
    else:
        domain, path = first, rest
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = "library/" + path
    return domain, path


def _problem(domain: str, path: str) -> str:
    if not _DOMAIN.match(domain):
        return f"invalid registry host {printable(domain, 160)!r}"
    if path != path.lower():
        return "the repository name must be lower case"
    if re.match(r"[a-f0-9]{64}\Z", path.rpartition("/")[2]) and path.startswith("library/"):
        return "64 hex digits are an image id, not a repository name"
    if not _PATH.match(path):
        return f"invalid repository name {printable(path, 160)!r}"
    if len(domain) + 1 + len(path) > _NAME_LIMIT:
        return f"the repository name is longer than {_NAME_LIMIT} characters"
    return ""
