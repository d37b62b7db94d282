# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What confines a container besides its capabilities: options of security as in docker run --security-opt."""

from __future__ import annotations

import os
import re
import typing as t

from ..errors import InvalidArgument, printable
from .capabilities import ALL, DEFAULT_CAPABILITIES

UNCONFINED, BUILTIN, NO_NEW = "unconfined", "builtin", "no-new-privileges"
#: What a label is made of that is given only in part, in the order of the parts.
_LABEL = {"user": "system_u", "role": "system_r", "type": "container_t", "level": "s0"}
_FILES_LABEL = "system_u:object_r:container_file_t"
_KNOWN = ("seccomp", "apparmor", "label", NO_NEW, "systempaths", "mask", "unmask")


Spec = t.Mapping[str, t.Any]


def _bad(option: str, value: object, wanted: str) -> InvalidArgument:
    return InvalidArgument(f"{option}: {printable(value, 200)!r} is not {wanted}")


def parse_security_opts(value: t.Iterable[object], option: str) -> t.List[str]:
    """Each as key=value, in one spelling. A seccomp profile is its text: so it is compared by what it says, not by where it is."""
    found = {one for text in value for one in (_parsed(text, option),) if one}
    for key in ("seccomp", "apparmor"):
        if sum(one.startswith(f"{key}=") for one in found) > 1:
            twice = ", ".join(printable(one, 80) for one in sorted(found) if one.startswith(f"{key}="))
            raise InvalidArgument(f"{option}: {key} is given twice: {twice}")
    return sorted(found)


def _parsed(text: object, option: str) -> str:
    key, value = re.split(r"[=:]", str(text), maxsplit=1) if re.search(r"[=:]", str(text)) else (str(text), "")
    if key == NO_NEW and value in ("", "true", "false"):
        return "" if value == "false" else NO_NEW
    if key not in _KNOWN or key == NO_NEW or not value or "\x00" in value:
        raise _bad(option, text, f"one of {', '.join(_KNOWN)}, with a value, such as seccomp=unconfined")
    if key == "seccomp":
        value = _profile(value, option)
    if key == "systempaths" and value != UNCONFINED:
        raise _bad(option, text, "systempaths=unconfined")
    if key == "label" and value != "disable" and value.partition(":")[0] not in _LABEL:
        raise _bad(option, text, f"label=disable, nor label={', '.join(_LABEL)}:VALUE")
    if key in ("mask", "unmask"):
        paths = [one for one in value.split(":") if one]
        if not all(one.startswith("/") for one in paths) and not (key == "unmask" and paths == [ALL]):
            raise _bad(option, text, "a list of absolute paths, separated by colons")
        value = ":".join(sorted(set(paths)))
    return f"{key}={value}"


def _profile(value: str, option: str) -> str:
    from .seccomp_profile import canonical, read_profile

    if value in (UNCONFINED, BUILTIN):
        return value
    if value.startswith("{"):
        return canonical(value, f"{option}: seccomp={printable(value, 80)}")
    if not value.startswith("/"):
        raise _bad(
            option, f"seccomp={value}", "seccomp=unconfined, seccomp=builtin, nor the absolute path of a profile on the target"
        )
    return read_profile(value, option)


def given(value: t.Iterable[str], key: str) -> t.List[str]:
    """The values of a key."""
    return [one.partition("=")[2] for one in value if one.startswith(f"{key}=")]


def confine(spec: Spec, value: t.Sequence[str], privileged: bool) -> None:
    """Write the options (parse_security_opts) into a specification that has its capabilities."""
    linux, process = spec["linux"], spec["process"]
    process["noNewPrivileges"] = NO_NEW in value
    _seccomp(spec, next(iter(given(value, "seccomp")), UNCONFINED if privileged else BUILTIN))
    for name in given(value, "apparmor"):
        if name != UNCONFINED:
            process["apparmorProfile"] = name
    labels = dict(one.partition(":")[::2] for one in given(value, "label") if one != "disable")
    if labels and "disable" not in given(value, "label"):
        parts = {**_LABEL, **labels}
        process["selinuxLabel"] = ":".join(parts.values())
        linux["mountLabel"] = f"{_FILES_LABEL}:{parts['level']}"
    if "systempaths=unconfined" in value:
        linux["maskedPaths"], linux["readonlyPaths"] = [], []
    for paths in given(value, "unmask"):
        _unmask(linux, paths.split(":"))
    for paths in given(value, "mask"):
        linux["maskedPaths"] += [one for one in paths.split(":") if one not in linux["maskedPaths"]]


def _unmask(linux: t.Dict[str, t.Any], patterns: t.Sequence[str]) -> None:
    import fnmatch

    for key in ("maskedPaths", "readonlyPaths"):
        linux[key] = [one for one in linux[key] if ALL not in patterns and not any(fnmatch.fnmatchcase(one, p) for p in patterns)]


def _seccomp(spec: Spec, profile: str) -> None:
    from .seccomp import default_profile

    linux, has = spec["linux"], spec["process"]["capabilities"]["bounding"]
    if profile == UNCONFINED:
        linux.pop("seccomp", None)
    elif profile != BUILTIN:
        import json

        from . import seccomp_profile

        linux["seccomp"] = seccomp_profile.profile(json.loads(profile), has, os.uname().machine)
    elif set(has) != set(DEFAULT_CAPABILITIES):
        linux["seccomp"] = default_profile(has)
