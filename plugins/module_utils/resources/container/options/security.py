# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of security: capabilities, seccomp, AppArmor, SELinux, paths that are hidden or read-only."""

from __future__ import annotations

import hashlib
import os
import typing as t

from ....errors import FailedPrecondition, printable
from ....kernel.field import MORE, Field
from .row import Context, Draft, Host, Live, Row, Seen, Value, fixed, nothing, parse_flag

_APPARMOR, _PROFILES = "/sys/module/apparmor/parameters/enabled", "/sys/kernel/security/apparmor/profiles"
_SELINUX = "/sys/fs/selinux/enforce"


def parse_capabilities(value: Value, option: str) -> t.List[str]:
    from ....runtime_spec.capabilities import parse_capability

    return sorted({parse_capability(one, option) for one in value})


def _shown(value: t.Iterable[str]) -> t.List[str]:
    """Profiles by their digests."""
    return [_short(one) if one.startswith("seccomp={") else one for one in value]


def _short(one: str) -> str:
    return f"seccomp=sha256:{hashlib.sha256(one.partition('=')[2].encode()).hexdigest()[:16]}"


def parse_security_opts(value: Value, option: str) -> t.List[str]:
    """Each as key=value, in one spelling."""
    from ....runtime_spec.confinement import parse_security_opts as parse

    return parse(value, option)


def _capabilities(draft: Draft, value: t.Sequence[str], context: Context) -> None:
    """Of all three options. A user other than root has none of them in effect; the row of the user comes later."""
    from ....runtime_spec.capabilities import grant, granted

    values = context.values
    grant(draft.spec, granted(value, values["cap_drop"], values["privileged"]))


def _check_capabilities(host: Host, value: t.Optional[t.Sequence[str]]) -> None:
    if not value:
        return
    from ....runtime_spec.capabilities import ALL, possible

    there = possible()
    for name in value:
        if name != ALL and f"CAP_{name}" not in there:
            raise FailedPrecondition(
                f"capabilities: {name} cannot be given: this kernel, or the container that this host is, has it not"
            )


def _privileged(draft: Draft, value: bool, context: Context) -> None:
    """Everything of the host: its devices, and the files of the kernel, which can be written."""
    if not value:
        return
    from ....runtime_spec.devices import add_all_devices

    linux = draft.spec["linux"]
    add_all_devices(draft.spec)
    linux["maskedPaths"], linux["readonlyPaths"] = [], []
    for one in draft.spec["mounts"]:
        if one["destination"] in ("/sys", "/sys/fs/cgroup"):
            one["options"] = [option if option != "ro" else "rw" for option in one["options"]]


def _security_opts(draft: Draft, value: t.Sequence[str], context: Context) -> None:
    if value or context.values["privileged"] or context.values["capabilities"] or context.values["cap_drop"]:
        from ....runtime_spec.confinement import confine

        confine(draft.spec, value, context.values["privileged"])


def _check_modules(host: Host, value: t.Optional[t.Sequence[str]]) -> None:
    """What confines must be there: a container that runs without it is worse than none."""
    if not value:
        return
    from ....runtime_spec.confinement import UNCONFINED, given

    for name in given(value, "apparmor"):
        if name != UNCONFINED:
            _check_apparmor(name)
    if any(one != "disable" for one in given(value, "label")) and not os.path.exists(_SELINUX):
        labels = ", ".join(given(value, "label"))
        raise FailedPrecondition(f"security_opts: label={printable(labels, 200)}: SELinux is not on, on the target")


def _check_apparmor(name: str) -> None:
    what = f"security_opts: apparmor={printable(name, 100)}"
    try:
        with open(_APPARMOR, encoding="ascii") as stream:
            on = stream.read().startswith("Y")
    except OSError:
        on = False
    if not on:
        raise FailedPrecondition(f"{what}: AppArmor is not on, on the target")
    try:
        with open(_PROFILES, encoding="utf-8", errors="replace") as stream:
            loaded = {line.rpartition(" (")[0] for line in stream}
    except OSError:
        return
    if name not in loaded:
        raise FailedPrecondition(f"{what}: no such profile is loaded on the target: load it first (apparmor_parser)")


def _seen_of(key: str) -> t.Callable[[Seen], t.Any]:
    return lambda seen: seen.values.get(key) or None


ROWS = (
    Row(
        Field("capabilities", "set", MORE),
        parse_capabilities,
        fixed([]),
        _capabilities,
        Live.NEVER,
        {"HostConfig.CapAdd": _seen_of("capabilities")},
        host=_check_capabilities,
    ),
    Row(
        Field("cap_drop", "set", MORE),
        parse_capabilities,
        fixed([]),
        nothing,
        Live.NEVER,
        {"HostConfig.CapDrop": _seen_of("cap_drop")},
    ),
    Row(
        Field("privileged"),
        parse_flag,
        fixed(False),
        _privileged,
        Live.NEVER,
        {"HostConfig.Privileged": lambda seen: bool(seen.values.get("privileged"))},
    ),
    Row(
        Field("security_opts", "set", MORE, _shown),
        parse_security_opts,
        fixed([]),
        _security_opts,
        Live.NEVER,
        {
            "HostConfig.SecurityOpt": lambda seen: _shown(seen.values.get("security_opts") or ()) or None,
            "HostConfig.MaskedPaths": lambda seen: list((seen.spec.get("linux") or {}).get("maskedPaths") or ()),
            "HostConfig.ReadonlyPaths": lambda seen: list((seen.spec.get("linux") or {}).get("readonlyPaths") or ()),
            "AppArmorProfile": lambda seen: seen.process.get("apparmorProfile", ""),
            "ProcessLabel": lambda seen: seen.process.get("selinuxLabel", ""),
        },
        host=_check_modules,
    ),
)
