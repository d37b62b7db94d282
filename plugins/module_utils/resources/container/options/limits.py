# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of limits: processors, memory, processes, weights and rates of disks. Values and defaults are those of Docker.

Options of one kind depend on each other, so each of them renders all of its kind.
"""

from __future__ import annotations

import functools
import math
import os
import stat
import typing as t

from ....errors import InvalidArgument, printable
from ....kernel.field import MORE, Field
from ....oci.sizes import parse_size, size_text
from .row import Base, Context, Defaults, Draft, Host, Live, Row, Seen, Value, Values, bad, fixed, nothing, parse_flag

_PERIOD = 100_000
_LEAST_QUOTA = 1000
_LEAST_MEMORY = 6 << 20
_MOST = 2**63 - 1
#: Options that a given one takes the place of, where a container was made with them.
REPLACED: t.Mapping[str, t.Tuple[str, ...]] = {
    "cpus": ("cpu_period", "cpu_quota"),
    "cpu_period": ("cpus",),
    "cpu_quota": ("cpus",),
}


# Reading


def number(least: int, most: int, wanted: str, free: t.Optional[int] = None) -> t.Callable[[Value, str], int]:
    """Reads a whole number from least to most. free: the value for "no limit"; what is not above 0 stands for it."""

    def parse(value: Value, option: str) -> int:
        if free is not None and value <= 0:
            return free
        if not least <= value <= most:
            raise bad(option, value, wanted)
        return int(value)

    return parse


def parse_cpus(value: Value, option: str) -> float:
    if not math.isfinite(value) or value < 0 or 0 < value < _LEAST_QUOTA / _PERIOD:
        raise bad(option, value, "a number of processors: at least 0.01, or 0 for no limit")
    return round(float(value), 5)


def parse_set(value: Value, option: str) -> str:
    """Processors or memory nodes, such as 0-2,4; in order, and each once. Empty: all."""
    found: t.Set[int] = set()
    for part in str(value).replace(" ", "").split(",") if str(value).strip() else []:
        first, dash, last = part.partition("-")
        if not all(one.isascii() and one.isdigit() and len(one) < 5 for one in (first, last if dash else first)):
            raise bad(option, value, "a list of numbers and ranges, such as 0-2,4")
        if int(last or first) < int(first):
            raise bad(option, value, "usable: a range goes from the smaller number to the larger one")
        found.update(range(int(first), int(last or first) + 1))
    return written(found)


def written(numbers: t.Collection[int]) -> str:
    """As the kernel writes them."""
    parts: t.List[t.List[int]] = []
    for one in sorted(numbers):
        if parts and parts[-1][-1] == one - 1:
            parts[-1].append(one)
        else:
            parts.append([one])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def parse_bytes(value: Value, option: str) -> int:
    """Bytes; 0: no limit."""
    found = 0 if str(value) in ("-1", "unlimited") else parse_size(value, option)
    if found > _MOST:
        raise bad(option, value, "a size below 8 EiB")
    return found


def parse_memory(value: Value, option: str) -> int:
    found = parse_bytes(value, option)
    if 0 < found < _LEAST_MEMORY:
        raise bad(option, value, "enough for a container: it needs 6m")
    return found


def parse_swap(value: Value, option: str) -> int:
    """Bytes of memory and swap together; -1: no limit, 0: the default."""
    return -1 if str(value) in ("-1", "unlimited") else parse_bytes(value, option)


def parse_rates(value: Value, option: str) -> t.List[t.Dict[str, t.Any]]:
    """Bytes or operations in a second, by device."""
    found: t.Dict[str, int] = {}
    for one in value:
        path = os.path.normpath(str(one["path"]))
        if not path.startswith("/dev/"):
            raise bad(f"{option}.path", one["path"], "the path of a device below /dev")
        if path in found:
            raise InvalidArgument(f"{option}: {printable(path, 200)} is named twice")
        found[path] = one["rate"] if isinstance(one["rate"], int) else parse_size(one["rate"], f"{option}.rate")
        if found[path] <= 0:
            raise bad(f"{option}.rate", one["rate"], "more than 0")
    return [{"path": path, "rate": rate} for path, rate in sorted(found.items())]


def check_together(values: Values) -> None:
    """What the options of a task (or with it, those that a container has) say together. Raises an error that names both."""
    for other in REPLACED["cpus"]:
        if values.get("cpus") and values.get(other):
            raise InvalidArgument(f"cpus: {values['cpus']:g} and {other}: {values[other]} say the same: give one of them")
    memory, swap = values.get("memory") or 0, values.get("memory_swap") or 0
    if swap > 0 and not memory:
        raise InvalidArgument(f"memory_swap: {size_text(swap)} is the sum of memory and swap, so it needs memory")
    if 0 < swap < memory:
        raise InvalidArgument(
            f"memory_swap: {size_text(swap)} is less than memory: {size_text(memory)}; it is the sum of memory and swap"
        )
    least = values.get("memory_reservation") or 0
    if memory and least > memory:
        raise InvalidArgument(f"memory_reservation: {size_text(least)} is more than memory: {size_text(memory)}")


# What a target must have


def _check_cpus(host: Host, value: t.Optional[float]) -> None:
    there = os.cpu_count() or 0
    if value and there and value > there:
        raise InvalidArgument(f"cpus: {value:g} is more than the target has: {there}")


def _check_online(kind: str, _host: Host, value: t.Optional[str]) -> None:
    from ....runtime_spec.resources import online

    there = online(kind) if value else ""
    if value and there and not _numbers(value) <= _numbers(there):
        raise InvalidArgument(f"cpuset_{kind}: {value} is not there on the target: it has {there}")


def _numbers(text: str) -> t.Set[int]:
    parts = (part.partition("-") for part in text.split(","))
    return {one for first, _dash, last in parts for one in range(int(first), int(last or first) + 1)}


def _unless(useful: t.Callable[[], bool], option: str, why: str) -> t.Callable[[Host, Value], None]:
    """Warns about an option that has no effect on this target."""

    def check(host: Host, value: Value) -> None:
        if value not in (None, False, -1, 0) and not useful():
            host.warnings.append(f"{option}: it has no effect: {why}")

    return check


def _first_version() -> bool:
    from ....runtime_spec.cgroups import version

    return version() == 1


def _swap_is_limited() -> bool:
    from ....runtime_spec.cgroups import limits_swap

    return limits_swap()


def _disks_are_weighed() -> bool:
    from ....runtime_spec.cgroups import weighs_disks

    return weighs_disks()


def _check_devices(option: str, host: Host, value: t.Optional[t.Sequence[t.Mapping[str, t.Any]]]) -> None:
    for one in value or ():
        path = one["path"]
        try:
            found = os.stat(path)
        except OSError as error:
            raise InvalidArgument(f"{option}: {printable(path, 200)} on the target: {error.strerror}") from error
        if not stat.S_ISBLK(found.st_mode):
            raise InvalidArgument(f"{option}: {printable(path, 200)} is not a block device on the target")
        if os.path.exists(f"/sys/dev/block/{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}/partition"):
            raise InvalidArgument(f"{option}: {printable(path, 200)} is a partition: the kernel limits whole disks")


# Rendering


def _write(draft: Draft, section: str, **values: t.Any) -> None:
    from ....runtime_spec.resources import limit

    limit(draft.spec, section, **values)


def _cpu(draft: Draft, _value: Value, context: Context) -> None:
    values = context.values
    quota, period = values["cpu_quota"], values["cpu_period"]
    if values["cpus"]:
        quota, period = round(values["cpus"] * _PERIOD), _PERIOD
    _write(
        draft, "cpu",
        shares=values["cpu_shares"] or None, quota=quota or None, period=period or None,
        cpus=values["cpuset_cpus"] or None, mems=values["cpuset_mems"] or None,
    )  # fmt: skip


def _memory(draft: Draft, _value: Value, context: Context) -> None:
    values = context.values
    memory, swap, first = values["memory"], values["memory_swap"], _first_version()
    _write(
        draft, "memory",
        limit=memory or None,
        swap=swap if memory and _swap_is_limited() else None,
        reservation=values["memory_reservation"] or None,
        swappiness=values["memory_swappiness"] if first and values["memory_swappiness"] >= 0 else None,
        disableOOMKiller=True if first and values["oom_killer"] else None,
    )  # fmt: skip


def _pids(draft: Draft, value: int, _context: Context) -> None:
    _write(draft, "pids", limit=value if value > 0 else None)


def _weight(draft: Draft, value: t.Optional[int], _context: Context) -> None:
    _write(draft, "blockIO", weight=value if value and _disks_are_weighed() else None)


def _rates(name: str, draft: Draft, value: t.Sequence[t.Mapping[str, t.Any]], _context: Context) -> None:
    numbers = [(os.stat(one["path"]).st_rdev, one["rate"]) for one in value]
    found = [{"major": os.major(device), "minor": os.minor(device), "rate": rate} for device, rate in numbers]
    _write(draft, "blockIO", **{name: found or None})


def twice_the_memory(_defaults: Defaults, given: Values) -> int:
    return 2 * int(given.get("memory") or 0)


# Reading back


def _seen(option: str, section: str, name: str, without: t.Any = 0) -> t.Callable[[Seen], t.Any]:
    """The value that it was made with; for a container of another tool, that of its specification."""

    def tell(seen: Seen) -> t.Any:
        found = seen.values.get(option)
        resources = (seen.spec.get("linux") or {}).get("resources") or {}
        return (resources.get(section) or {}).get(name, without) if found is None else found

    return tell


def _or_none(tell: t.Callable[[Seen], t.Any]) -> t.Callable[[Seen], t.Any]:
    """Docker has null there for no limit."""

    def found(seen: Seen) -> t.Any:
        value = tell(seen)
        return None if value == -1 else value

    return found


def _rates_seen(option: str) -> t.Callable[[Seen], t.List[t.Dict[str, t.Any]]]:
    return lambda seen: [{"Path": one["path"], "Rate": one["rate"]} for one in seen.values.get(option) or ()]


class _Limit(t.NamedTuple):
    """A row of one number or text. section, name: the place in linux.resources. without: what stands for "no limit"."""

    option: str
    parse: t.Callable[[Value, str], Value]
    without: t.Any
    render: t.Callable[[Draft, Value, Context], None]
    fact: str
    section: str
    name: str
    host: t.Callable[[Host, Value], None] = nothing
    live: Live = Live.LIMITS

    def row(self) -> Row:
        tell = _or_none(_seen(self.option, self.section, self.name, self.without))
        facts = {f"HostConfig.{self.fact}": tell}
        return Row(Field(self.option), self.parse, fixed(self.without), self.render, self.live, facts, host=self.host)


_FIRST_ONLY = "only version 1 of the control groups has it"
_LIMITS = (
    _Limit("cpu_period", number(_LEAST_QUOTA, 10 * _PERIOD, "1000 to 1000000, or 0", 0), 0, _cpu, "CpuPeriod", "cpu", "period"),
    _Limit("cpu_quota", number(_LEAST_QUOTA, _MOST, "at least 1000, or 0", 0), 0, _cpu, "CpuQuota", "cpu", "quota"),
    _Limit("cpu_shares", number(2, 1 << 18, "2 to 262144, or 0", 0), 0, _cpu, "CpuShares", "cpu", "shares"),
    _Limit("cpuset_cpus", parse_set, "", _cpu, "CpusetCpus", "cpu", "cpus", functools.partial(_check_online, "cpus")),
    _Limit("cpuset_mems", parse_set, "", _cpu, "CpusetMems", "cpu", "mems", functools.partial(_check_online, "mems")),
    _Limit("memory", parse_memory, 0, _memory, "Memory", "memory", "limit"),
    _Limit("memory_reservation", parse_bytes, 0, _memory, "MemoryReservation", "memory", "reservation"),
    _Limit(
        "memory_swappiness", number(-1, 100, "0 to 100, or -1"), -1, _memory, "MemorySwappiness", "memory", "swappiness",
        _unless(_first_version, "memory_swappiness", _FIRST_ONLY), Live.NEVER,
    ),
    _Limit(
        "oom_killer", parse_flag, False, _memory, "OomKillDisable", "memory", "disableOOMKiller",
        _unless(_first_version, "oom_killer", _FIRST_ONLY), Live.NEVER,
    ),
    _Limit("pids_limit", number(1, _MOST, "a number of processes", -1), -1, _pids, "PidsLimit", "pids", "limit"),
    _Limit(
        "blkio_weight", number(10, 1000, "10 to 1000, or 0", 0), 0, _weight, "BlkioWeight", "blockIO", "weight",
        _unless(_disks_are_weighed, "blkio_weight", "the kernel of the target weighs no disks"),
    ),
)  # fmt: skip

_RATES = (
    ("device_read_bps", "throttleReadBpsDevice", "BlkioDeviceReadBps"),
    ("device_write_bps", "throttleWriteBpsDevice", "BlkioDeviceWriteBps"),
    ("device_read_iops", "throttleReadIOPSDevice", "BlkioDeviceReadIOps"),
    ("device_write_iops", "throttleWriteIOPSDevice", "BlkioDeviceWriteIOps"),
)


def changed_by_others(pid: int, spec: t.Mapping[str, t.Any], given: t.Mapping[str, t.Any]) -> t.List[str]:
    """The options whose limits something else has changed. pid: the first process of the container. given: the values in its tasks."""
    resources = (spec.get("linux") or {}).get("resources") or {}
    if not {"memory", "pids", "cpu"} & resources.keys():
        return []
    from ....runtime.memory import drifted

    names = {"cpu_quota": "cpus"} if given.get("cpus") is not None else {}
    return sorted(names.get(option, option) for option in drifted(pid, resources))


ROWS = (
    Row(
        Field("cpus"),
        parse_cpus,
        fixed(0.0),
        _cpu,
        Live.LIMITS,
        {"HostConfig.NanoCpus": lambda seen: round((seen.values.get("cpus") or 0) * 10**9)},
        host=_check_cpus,
    ),
    Row(
        Field("memory_swap"),
        parse_swap,
        Base(twice_the_memory, lambda base, value, given: value or base),
        _memory,
        Live.LIMITS,
        {"HostConfig.MemorySwap": _seen("memory_swap", "memory", "swap")},
        host=_unless(_swap_is_limited, "memory_swap", "the kernel of the target does not limit swap space"),
    ),
    *(one.row() for one in _LIMITS),
    *(
        Row(
            Field(option, "set", MORE),
            parse_rates,
            fixed([]),
            functools.partial(_rates, name),
            Live.NEVER,
            {f"HostConfig.{fact}": _rates_seen(option)},
            host=functools.partial(_check_devices, option),
        )
        for option, name, fact in _RATES
    ),
)
