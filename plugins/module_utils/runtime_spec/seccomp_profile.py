# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seccomp profiles that users bring: the format of Docker, which has conditions, and that of the runtime specification."""

from __future__ import annotations

import json
import os
import re
import typing as t

from ..errors import InvalidArgument, printable

_LIMIT = 1 << 20
#: The names of architectures in conditions (those of Go), by uname(2).
_ARCHITECTURES = {
    "x86_64": ("amd64", "x86", "x32"),
    "i686": ("x86",),
    "aarch64": ("arm64", "arm"),
    "armv7l": ("arm",),
    "s390x": ("s390x", "s390"),
    "ppc64le": ("ppc64le",),
    "riscv64": ("riscv64",),
}
_NATIVE = {"x86_64": "X86_64", "i686": "X86", "aarch64": "AARCH64", "armv7l": "ARM", "s390x": "S390X", "ppc64le": "PPC64LE"}
_ACTION = r"SCMP_ACT_[A-Z_]+"
_ARGUMENTS = ("index", "value", "valueTwo", "op")


def read_profile(path: str, option: str) -> str:
    """The text of a profile: JSON, in a form that does not depend on white space and order."""
    what = f"{option}: seccomp={printable(path, 200)}"
    try:
        with open(path, "rb") as stream:
            data = stream.read(_LIMIT + 1)
    except OSError as error:
        raise InvalidArgument(f"{what} cannot be read: {error.strerror}") from error
    if len(data) > _LIMIT:
        raise InvalidArgument(f"{what} is too large for a seccomp profile")
    return canonical(data.decode("utf-8", "replace"), what)


def canonical(text: str, what: str) -> str:
    """The same for a text. InvalidArgument, which begins with what, unless it is a profile."""
    try:
        found = json.loads(text)
        profile(found, (), os.uname().machine)
        return json.dumps(found, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError, TypeError, AttributeError, KeyError) as error:
        raise InvalidArgument(f"{what} is not a seccomp profile: {printable(error, 200)}") from error


def profile(document: t.Mapping[str, t.Any], capabilities: t.Collection[str], machine: str) -> t.Dict[str, t.Any]:
    """The linux.seccomp object for a container with these capabilities on this machine. ValueError tells what is wrong in it."""
    found: t.Dict[str, t.Any] = {
        "defaultAction": _action(document["defaultAction"]),
        "architectures": _architectures(document, machine),
    }
    for key in ("defaultErrnoRet", "flags", "listenerPath", "listenerMetadata"):
        if document.get(key) is not None:
            found[key] = document[key]
    rules = document.get("syscalls") or []
    found["syscalls"] = [_rule(one) for one in rules if _applies(one, capabilities, machine)]
    return found


def _action(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(_ACTION, value):
        raise ValueError(f"{value!r} is not an action")
    return value


def _architectures(document: t.Mapping[str, t.Any], machine: str) -> t.List[str]:
    if document.get("architectures"):
        return [str(one) for one in document["architectures"]]
    native = f"SCMP_ARCH_{_NATIVE.get(machine, machine.upper())}"
    for one in document.get("archMap") or ():
        if one["architecture"] == native:
            return [native, *(str(sub) for sub in one.get("subArchitectures") or ())]
    return []


def _rule(rule: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    names = rule.get("names") or ([rule["name"]] if rule.get("name") else [])
    if not names or not all(isinstance(one, str) for one in names):
        raise ValueError("a rule names no system call")
    found: t.Dict[str, t.Any] = {"names": list(names), "action": _action(rule["action"])}
    if rule.get("errnoRet") is not None:
        found["errnoRet"] = int(rule["errnoRet"])
    if rule.get("args"):
        found["args"] = [{key: one[key] for key in _ARGUMENTS if key in one} for one in rule["args"]]
    return found


def _applies(rule: t.Mapping[str, t.Any], capabilities: t.Collection[str], machine: str) -> bool:
    """Whether all of includes holds, and nothing of excludes."""
    ours = _ARCHITECTURES.get(machine, (machine,))
    needs, bars = rule.get("includes") or {}, rule.get("excludes") or {}
    if needs.get("arches") and not set(needs["arches"]) & set(ours):
        return False
    if not set(needs.get("caps") or ()) <= set(capabilities):
        return False
    if needs.get("minKernel") and not _at_least(needs["minKernel"]):
        return False
    if set(bars.get("arches") or ()) & set(ours) or set(bars.get("caps") or ()) & set(capabilities):
        return False
    return not (bars.get("minKernel") and _at_least(bars["minKernel"]))


def _at_least(version: str) -> bool:
    return kernel() >= tuple(int(part) for part in str(version).split(".")[:2])


def kernel() -> t.Tuple[int, ...]:
    """Major and minor version of the kernel that runs."""
    return tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
