# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the kernel that a start sets: limits of each process, sysctls, shared memory, who is killed first for memory."""

from __future__ import annotations

import os
import re
import typing as t

from ....errors import InvalidArgument, printable
from ....kernel.field import MORE, Field
from .limits import number, parse_bytes
from .row import Base, Context, Draft, Host, Live, Row, Seen, Value, Values, bad, fixed, parse_text

_SHM = "/dev/shm"
_SHM_SIZE = 64 << 20
#: Those of namespaces that a container has of its own (runc, libcontainer/configs/validate). Others would change the host.
_OWN = r"(kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced|domainname)|(fs\.mqueue|net)\.\S+)\Z"


def parse_ulimits(value: Value, option: str) -> t.List[t.Dict[str, t.Any]]:
    from ....runtime_spec.limits import NAMES

    found: t.Dict[str, t.Dict[str, t.Any]] = {}
    for text in value:
        name, *numbers = str(text).lower().split(":")
        if name.upper() not in NAMES:
            raise bad(option, text, f"a limit: known are {', '.join(sorted(NAMES)).lower()}")
        if len(numbers) not in (1, 2) or not all(re.match(r"(-1|[0-9]{1,18})\Z", one) for one in numbers):
            raise bad(option, text, "name:soft[:hard], with -1 for no limit")
        soft, hard = int(numbers[0]), int(numbers[-1])
        if hard != -1 and not 0 <= soft <= hard:
            raise bad(option, text, "usable: the soft limit is above the hard one")
        if name in found:
            raise InvalidArgument(f"{option}: {name} is named twice")
        found[name] = {"name": name, "soft": soft, "hard": hard}
    return list(found.values())


def parse_sysctls(value: Value, option: str) -> t.Dict[str, str]:
    found = {}
    for name, one in value.items():
        if not re.match(_OWN, str(name)):
            raise bad(option, name, "a sysctl that a container has of its own: those are net.*, fs.mqueue.* and some of kernel.*")
        if isinstance(one, bool) or not isinstance(one, (str, int)):
            raise bad(f"{option}.{printable(name, 80)}", one, "a string or a whole number")
        found[str(name)] = parse_text(str(one), option)
    return found


def check_together(values: Values) -> None:
    """What the options of a task say together. Raises an error that names both."""
    sysctls = values.get("sysctls") or {}
    for name in sysctls:
        option = "network_mode" if name.startswith("net.") else "uts" if name == "kernel.domainname" else "ipc_mode"
        mode = values.get(option)
        if getattr(mode, "name", mode) == "host":
            raise InvalidArgument(f"sysctls: {name} would be that of the host, since {option} is host")
    if "kernel.domainname" in sysctls and values.get("domainname"):
        raise InvalidArgument(f"domainname: {values['domainname']} and sysctls: kernel.domainname say the same: give one of them")


def _check_ulimits(host: Host, value: t.Optional[t.Sequence[t.Mapping[str, t.Any]]]) -> None:
    from ....runtime_spec.limits import highest

    for one in value or ():
        most = highest(one["name"].upper())
        if most != -1 and not 0 <= one["hard"] <= most:
            raise InvalidArgument(f"ulimits: {one['name']}:{one['soft']}:{one['hard']} is more than the target allows: {most}")


def _check_sysctls(host: Host, value: t.Optional[t.Mapping[str, str]]) -> None:
    """The container has other interfaces, but the same settings for each."""
    for name in value or ():
        if not os.path.exists("/proc/sys/" + re.sub(r"/(conf|neigh)/[^/]+/", r"/\1/default/", name.replace(".", "/"))):
            raise InvalidArgument(f"sysctls: the kernel of the target has no {printable(name, 200)}")


def _ulimits(draft: Draft, value: t.Sequence[t.Mapping[str, t.Any]], _context: Context) -> None:
    from ....runtime_spec.limits import in_specification

    given = {f"RLIMIT_{one['name'].upper()}": one for one in value}
    left = [one for one in draft.process["rlimits"] if one["type"] not in given]
    draft.process["rlimits"] = left + [in_specification(kind, one["soft"], one["hard"]) for kind, one in given.items()]


def _sysctls(draft: Draft, value: t.Mapping[str, str], _context: Context) -> None:
    if value:
        draft.spec["linux"].setdefault("sysctl", {}).update(value)


def _shm_size(draft: Draft, value: int, _context: Context) -> None:
    for mount in draft.spec["mounts"]:
        if mount["destination"] == _SHM and mount["type"] == "tmpfs":
            mount["options"] = [one for one in mount["options"] if not one.startswith("size=")] + [f"size={value}"]


def memory_size(values: Values) -> int:
    """Of the memory that a container shares with others, in bytes."""
    return int(values["shm_size"])


def _shm_seen(seen: Seen) -> int:
    if seen.values.get("ipc_mode") == "shareable":
        return memory_size(seen.values)
    options = [
        one for mount in seen.spec.get("mounts") or () if mount.get("destination") == _SHM for one in mount.get("options") or ()
    ]
    sizes = [one[5:] for one in options if one.startswith("size=")]
    return parse_bytes(sizes[-1], "shm_size") if sizes and re.match(r"[0-9]+[kmg]?\Z", sizes[-1]) else 0


def _score(draft: Draft, value: int, _context: Context) -> None:
    if value:
        draft.process["oomScoreAdj"] = value


ROWS = (
    Row(
        Field("oom_score_adj"),
        number(-1000, 1000, "-1000 to 1000"),
        fixed(0),
        _score,
        Live.NEVER,
        {"HostConfig.OomScoreAdj": lambda seen: seen.process.get("oomScoreAdj") or 0},
    ),
    Row(
        Field("ulimits", "set", MORE),
        parse_ulimits,
        fixed([]),
        _ulimits,
        Live.NEVER,
        {
            "HostConfig.Ulimits": lambda seen: [
                {"Name": one["name"], "Soft": one["soft"], "Hard": one["hard"]} for one in seen.values.get("ulimits") or ()
            ]
        },
        host=_check_ulimits,
    ),
    Row(
        Field("sysctls", "dict", MORE),
        parse_sysctls,
        fixed({}),
        _sysctls,
        Live.NEVER,
        {"HostConfig.Sysctls": lambda seen: dict(seen.values.get("sysctls") or {})},
        host=_check_sysctls,
    ),
    Row(
        Field("shm_size"),
        parse_bytes,
        Base(lambda defaults, given: _SHM_SIZE, lambda base, value, given: value or base),
        _shm_size,
        Live.NEVER,
        {"HostConfig.ShmSize": _shm_seen},
    ),
)
