# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of devices: those of the host, and those that vendors describe (CDI)."""

from __future__ import annotations

import typing as t

from ....errors import InvalidArgument, printable
from ....kernel.field import MORE, Field
from .row import Context, Draft, Host, Live, Row, Seen, Value, Values, bad, fixed, nothing

if t.TYPE_CHECKING:
    from ....runtime_spec.devices import Device, DeviceRule

#: What nvidia-ctk calls graphics processors.
_GPU = "nvidia.com/gpu="
_REQUEST = ("capabilities", "count", "device_ids", "driver", "options")
_MOST = 256
_OPTIONS = ("devices", "cdi_devices", "gpus", "device_requests")


def parse_devices(value: Value, option: str) -> t.List[Device]:
    from ....runtime_spec.devices import parse_device

    found = [parse_device(one, option) for one in value]
    targets = [one.target for one in found if one.target]
    for target in targets:
        if targets.count(target) > 1:
            raise InvalidArgument(f"{option}: {printable(target, 200)} is the target of two devices")
    return sorted(found)


def parse_rules(value: Value, option: str) -> t.List[DeviceRule]:
    from ....runtime_spec.devices import parse_device_rule

    return sorted({parse_device_rule(one, option) for one in value})


def parse_cdi(value: Value, option: str) -> t.List[str]:
    from ....runtime_spec.devices import is_cdi

    for one in value:
        if not is_cdi(str(one)):
            raise bad(option, one, "the name of a CDI device, such as vendor.com/class=name")
    return sorted({str(one) for one in value})


def parse_gpus(value: Value, option: str) -> t.List[str]:
    return parse_cdi([one if "=" in str(one) else f"{_GPU}{one}" for one in value], option)


def parse_requests(value: Value, option: str) -> t.List[str]:
    """Docker's requests of devices: names of CDI devices, as far as CDI can have them."""
    found: t.Set[str] = set()
    for one in value:
        for key in one:
            if key not in _REQUEST:
                raise InvalidArgument(f"{option}: {printable(key, 80)!r} is none of {', '.join(_REQUEST)}")
        ids, driver, count = list(one.get("device_ids") or ()), one.get("driver") or "", one.get("count")
        if one.get("options"):
            raise InvalidArgument(
                f"{option}.options: {printable(one['options'], 80)}: CDI has no options: use cdi_devices or gpus"
            )
        if driver == "cdi":
            found.update(parse_cdi(ids, f"{option}.device_ids"))
        elif driver in ("", "nvidia"):
            found.update(parse_gpus(ids or _counted(count, option), f"{option}.device_ids"))
        else:
            raise bad(f"{option}.driver", driver, "cdi nor nvidia: so far only these can be asked for devices")
    return sorted(found)


def _counted(count: Value, option: str) -> t.List[str]:
    if count in (None, -1):
        return ["all"]
    if not 0 < int(count) <= _MOST:
        raise bad(f"{option}.count", count, f"-1 (all) or a number up to {_MOST}")
    return [str(number) for number in range(int(count))]


def _devices(draft: Draft, value: t.Sequence[Device], context: Context) -> None:
    """Those of all four options."""
    for one in value:
        if not one.of_cdi:
            from ....runtime_spec.devices import add_device

            add_device(draft.spec, one, "devices")
    names = [(one.source, "devices") for one in value if one.of_cdi]
    names += [(name, option) for option in _OPTIONS[1:] for name in context.values[option]]
    if names:
        from ....runtime_spec.cdi import Registry, apply

        registry = Registry()
        for name, option in dict(names).items():
            apply(draft.spec, name, registry.edits(name, option), option)


def _rules(draft: Draft, value: t.Sequence[DeviceRule], context: Context) -> None:
    for one in value:
        from ....runtime_spec.devices import allow

        allow(draft.spec, one)


def _check_devices(host: Host, value: t.Optional[t.Sequence[Device]]) -> None:
    for one in value or ():
        if not one.of_cdi:
            from ....runtime_spec.devices import check_device

            check_device(one, "devices")
    _check_cdi([one.source for one in value or () if one.of_cdi], "devices")


def _check_cdi(names: t.Sequence[str], option: str) -> None:
    if names:
        from ....runtime_spec.cdi import Registry

        registry = Registry()
        for name in names:
            registry.edits(name, option)


def _checker(option: str) -> t.Callable[[Host, t.Optional[t.Sequence[str]]], None]:
    return lambda host, value: _check_cdi(value or (), option)


def _texts(value: t.Iterable[t.Any]) -> t.List[str]:
    return [str(one) for one in value]


def _load_devices(found: t.Sequence[t.Sequence[str]]) -> t.List[Device]:
    if not found:
        return []
    from ....runtime_spec.devices import Device

    return [Device(*one) for one in found]


def _load_rules(found: t.Sequence[t.Sequence[t.Any]]) -> t.List[DeviceRule]:
    if not found:
        return []
    from ....runtime_spec.devices import DeviceRule

    return [DeviceRule(*one) for one in found]


def _inspected(seen: Seen) -> t.List[t.Dict[str, str]]:
    given = seen.values.get("devices") or ()
    return [
        {"PathOnHost": one.source, "PathInContainer": one.target, "CgroupPermissions": one.access}
        for one in given
        if not one.of_cdi
    ]


def _requests_seen(seen: Seen) -> t.List[t.Dict[str, t.Any]]:
    """Docker has all of them there."""
    names = [one.source for one in seen.values.get("devices") or () if one.of_cdi]
    names += [name for option in _OPTIONS[1:] for name in seen.values.get(option) or ()]
    return [{"Driver": "cdi", "DeviceIDs": names}] if names else []


def _cdi_row(option: str, parse: t.Callable[[Value, str], Value]) -> Row:
    return Row(
        Field(option, "set", MORE),
        parse,
        fixed([]),
        nothing,
        Live.NEVER,
        {"HostConfig.DeviceRequests": _requests_seen},
        host=_checker(option),
    )


def devices_of(values: Values) -> t.Set[str]:
    """The devices of the host, and those of CDI, that a container has."""
    return {one.source for one in values.get("devices") or ()}


ROWS = (
    Row(
        Field("devices", "set", MORE, _texts),
        parse_devices,
        fixed([]),
        _devices,
        Live.NEVER,
        {"HostConfig.Devices": _inspected},
        dump=lambda value: [list(one) for one in value],
        load=_load_devices,
        host=_check_devices,
    ),
    Row(
        Field("device_cgroup_rules", "set", MORE, _texts),
        parse_rules,
        fixed([]),
        _rules,
        Live.NEVER,
        {"HostConfig.DeviceCgroupRules": lambda seen: _texts(seen.values.get("device_cgroup_rules") or ())},
        dump=lambda value: [list(one) for one in value],
        load=_load_rules,
    ),
    _cdi_row("cdi_devices", parse_cdi),
    _cdi_row("gpus", parse_gpus),
    _cdi_row("device_requests", parse_requests),
)
