# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Platforms: os/architecture/variant, normalised by containerd's rules (platforms/database.go)."""

from __future__ import annotations

import os
import re
import typing as t

from ..errors import InvalidArgument, printable

_PART = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_ARCH = {
    "i386": ("386", ""),
    "i686": ("386", ""),
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv6l": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv8l": ("arm", "v7"),
    "mips64el": ("mips64le", ""),
    "loongarch64": ("loong64", ""),
}
_KNOWN_ARCH = frozenset(
    [
        "386",
        "amd64",
        "arm",
        "arm64",
        "loong64",
        "mips",
        "mipsle",
        "mips64",
        "mips64le",
        "ppc64",
        "ppc64le",
        "riscv64",
        "s390x",
        "wasm",
    ]
)
_KNOWN_OS = frozenset(
    ["linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "solaris", "plan9", "aix", "android", "wasip1"]
)


class Platform(t.NamedTuple):
    """os and architecture in Go's words (linux, amd64); variant is v7, v8, ... or empty."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in self if part)

    @classmethod
    def parse(cls, text: str, option: str = "platform") -> Platform:
        """os/arch[/variant], or os or arch alone (the other part is the host's). InvalidArgument names option."""
        parts = text.split("/") if isinstance(text, str) else []
        if not 1 <= len(parts) <= 3 or not all(_PART.match(p) for p in parts):
            raise InvalidArgument(f"{option}: invalid platform {printable(text, 80)!r}, expected os/architecture[/variant]")
        if len(parts) == 1:
            word = parts[0].lower()
            if word in _KNOWN_OS:
                return cls.host()._replace(os=word)
            arch, variant = _ARCH.get(word, (word, ""))
            if arch not in _KNOWN_ARCH:
                raise InvalidArgument(
                    f"{option}: invalid platform {printable(text, 80)!r}, there is no operating system or architecture of that name"
                )
            return cls.normalised("linux", arch, variant)
        return cls.normalised(*parts)

    @classmethod
    def normalised(cls, os_name: str, architecture: str, variant: str = "") -> Platform:
        """The canonical form: linux/x86_64 is linux/amd64, linux/arm64/v8 is linux/arm64, linux/arm is linux/arm/v7.

        Parts may be empty. Raises InvalidArgument for a part that no platform has.
        """
        for part in (os_name, architecture, variant):
            if part and not _PART.match(part):
                raise InvalidArgument(f"{printable(part, 80)!r} is not part of a platform's name")
        os_name = {"macos": "darwin"}.get(os_name.lower(), os_name.lower())
        arch, implied = _ARCH.get(architecture.lower(), (architecture.lower(), ""))
        variant = (variant.lower() or implied).replace("armv", "v")
        if variant.isdigit():
            variant = "v" + variant
        if (arch, variant) in (("arm64", "v8"), ("amd64", "v1"), ("arm64", "8")):
            variant = ""
        if arch == "arm" and not variant:
            variant = "v7"
        return cls(os_name, arch, variant)

    @classmethod
    def host(cls) -> Platform:
        """The platform of this machine."""
        return cls.normalised("linux", os.uname().machine)

    def candidates(self) -> t.Tuple[Platform, ...]:
        """The platforms whose programs run on this one, best first, as in containerd (platforms/compare.go: platformVector).

        arm/v7 runs v6 and v5. arm64/v9 runs plain arm64, which runs arm/v8 and below. amd64/v3 runs v2 and v1; every amd64 runs 386.
        """
        number = int(self.variant[1:]) if self.variant[1:].isdigit() else 0
        if self.architecture == "arm" and number:
            return tuple(self._replace(variant=f"v{n}") for n in range(number, 4, -1))
        if self.architecture == "arm64":
            plain = (self._replace(variant=""),) if self.variant else ()
            return (self, *plain, *(Platform(self.os, "arm", f"v{n}") for n in (8, 7, 6, 5)))
        if self.architecture == "amd64":
            levels = (self._replace(variant=f"v{n}") for n in range(number, 1, -1))
            return tuple(dict.fromkeys((self, *levels, self._replace(variant=""), Platform(self.os, "386"))))
        return (self,)
