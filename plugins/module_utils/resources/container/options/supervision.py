# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of what happens to a container while nobody looks: its health checks, and when it is started again."""

from __future__ import annotations

import typing as t

from ....engine.models import HealthCheck, Supervision
from ....errors import InvalidArgument, printable
from ....kernel.field import MORE, Field
from ....oci.durations import SECOND, parse_duration, show_duration
from .depends_on import needs_of
from .life import Stop, stopping
from .row import Base, Defaults, Live, Row, Seen, Value, Values, bad, fixed, nothing, parse_flag, parse_text

_NO = "no"
_ALWAYS = ("always", "unless-stopped")
_NONE = ["NONE"]
_MILLISECOND = SECOND // 1000
#: The keys of a health check, as docker inspect has them, and the smallest value of each.
_KEYS = {"interval": "Interval", "timeout": "Timeout", "start_period": "StartPeriod", "start_interval": "StartInterval"}
_LEAST = {"interval": _MILLISECOND, "timeout": _MILLISECOND, "start_period": 0, "start_interval": _MILLISECOND}


def parse_count(value: Value, option: str) -> int:
    if value < 0:
        raise bad(option, value, "a number of starts; 0 means that there is no limit")
    return int(value)


def parse_delay(value: Value, option: str) -> int:
    return parse_duration(value, option, _MILLISECOND)


def parse_health(value: Value, option: str) -> t.Dict[str, t.Any]:
    """What is given, in nanoseconds. Without a test, and without test_cli_compatible, there is no check."""
    found: t.Dict[str, t.Any] = {}
    if value.get("test") is not None:
        found["test"] = _parse_test(value["test"], f"{option}.test")
    elif not value.get("test_cli_compatible"):
        return {"test": _NONE}
    for key, least in _LEAST.items():
        if value.get(key) is not None:
            found[key] = parse_duration(value[key], f"{option}.{key}", least)
    if value.get("retries") is not None:
        if value["retries"] < 1:
            raise bad(f"{option}.retries", value["retries"], "a number above 0")
        found["retries"] = int(value["retries"])
    if value.get("on_failure") is not None:
        found["on_failure"] = value["on_failure"]
    return {"test": _NONE} if found.get("test") == _NONE else found


def _parse_test(value: Value, option: str) -> t.List[str]:
    if isinstance(value, str):
        return ["CMD-SHELL", parse_text(value, option)] if value.strip() else _NONE
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise bad(option, value, "a command: give a string for a shell, or a list that begins with CMD, CMD-SHELL or NONE")
    words = [parse_text(one, option) for one in value]
    if not words or words == _NONE:
        return _NONE
    if words[0] not in ("CMD", "CMD-SHELL") or len(words) < 2 or (words[0] == "CMD-SHELL" and len(words) > 2):
        raise InvalidArgument(
            f"{option}: {printable(words, 200)} is not a check: the list is CMD and the words of a command, CMD-SHELL and one "
            "string, or NONE"
        )
    return words


def health_of_image(given: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """The check that an image brings, as an option. One that cannot be understood is none: an image must not prevent a container."""
    test = given.get("Test")
    if not isinstance(test, list) or not test:
        return {}
    try:
        found = {"test": _parse_test(test, "HEALTHCHECK")}
    except InvalidArgument:
        return {}
    if found["test"] == _NONE:
        return {}
    numbers = {key: given.get(name) for key, name in {**_KEYS, "retries": "Retries"}.items()}
    return {**found, **{key: value for key, value in numbers.items() if isinstance(value, int) and 0 < value < 2**62}}


def _base(defaults: Defaults, given: Values) -> t.Dict[str, t.Any]:
    return dict(defaults.get("healthcheck") or {"test": _NONE})


def _joined(base: Value, given: Value, _values: Values) -> Value:
    return given if given.get("test") == _NONE else {**base, **given}


def _checks(value: Value) -> bool:
    return bool(value.get("test", _NONE) != _NONE)


def _health_seen(seen: Seen) -> t.Optional[t.Dict[str, t.Any]]:
    value = seen.values.get("healthcheck")
    if value is None or not _checks(value):
        return None
    names = {**_KEYS, "test": "Test", "retries": "Retries"}
    return {name: value[key] for key, name in names.items() if key in value}


def _shown(value: t.Optional[Value]) -> t.Optional[t.Dict[str, t.Any]]:
    if value is None:
        return None
    return {key: show_duration(item) if key in _LEAST else item for key, item in value.items()}


def supervision_of(spec: t.Mapping[str, t.Any], values: Values) -> Supervision:
    """What the supervisor of a container is told. spec: its runtime spec; values: those of all options."""
    signal, timeout = stopping(Stop(), values)
    return Supervision(
        policy=values.get("restart_policy") or _NO,
        retries=values.get("restart_retries") or 0,
        delay=(values.get("restart_delay") or 0) / SECOND,
        max_delay=(values.get("restart_max_delay") or 0) / SECOND,
        health=_health_check(spec.get("process") or {}, values.get("healthcheck")),
        stop_signal=signal,
        stop_timeout=timeout,
        remove=goes_by_itself(values),
        needs=tuple(needs_of(values)),
    )


def goes_by_itself(values: Values) -> bool:
    """Whether a container is removed when it has ended. values: also as they are stored."""
    return bool(values.get("auto_remove"))


def check_together(values: Values) -> None:
    """InvalidArgument for options that contradict each other."""
    policy = values.get("restart_policy") or _NO
    if goes_by_itself(values) and policy != _NO:
        raise InvalidArgument(
            f"auto_remove: true and restart_policy: {policy}: a container that goes when it has ended is not started again"
        )


def _health_check(process: t.Mapping[str, t.Any], value: t.Optional[Value]) -> t.Optional[HealthCheck]:
    if value is None or not _checks(value):
        return None
    kind, *words = value["test"]
    arguments = words if kind == "CMD" else ["/bin/sh", "-c", *words]
    times = {key: value[key] / SECOND for key in _LEAST if key in value}
    more = {key: value[key] for key in ("retries", "on_failure") if key in value}
    return HealthCheck({**process, "terminal": False, "args": arguments}, **times, **more)


def _delay_seen(option: str) -> t.Callable[[Seen], t.Optional[str]]:
    def look(seen: Seen) -> t.Optional[str]:
        value = seen.values.get(option)
        return None if value is None else show_duration(value)

    return look


def _delay(option: str) -> Row:
    place = "Containerd." + "".join(word.capitalize() for word in option.split("_"))
    return Row(
        Field(option, show=lambda value: value and show_duration(value)),
        parse_delay,
        fixed(None),
        nothing,
        Live.SUPERVISOR,
        {place: _delay_seen(option)},
    )


ROWS = (
    Row(
        Field("auto_remove"),
        parse_flag,
        fixed(False),
        nothing,
        Live.SUPERVISOR,
        {"HostConfig.AutoRemove": lambda seen: bool(seen.values.get("auto_remove"))},
    ),
    Row(
        Field("restart_policy"),
        parse_text,
        fixed(_NO),
        nothing,
        Live.SUPERVISOR,
        {"HostConfig.RestartPolicy.Name": lambda seen: seen.values.get("restart_policy") or _NO},
    ),
    Row(
        Field("restart_retries"),
        parse_count,
        fixed(0),
        nothing,
        Live.SUPERVISOR,
        {"HostConfig.RestartPolicy.MaximumRetryCount": lambda seen: seen.values.get("restart_retries") or 0},
    ),
    _delay("restart_delay"),
    _delay("restart_max_delay"),
    Row(
        Field("healthcheck", "dict", MORE, show=_shown),
        parse_health,
        Base(_base, _joined),
        nothing,
        Live.SUPERVISOR,
        {"Config.Healthcheck": _health_seen},
    ),
)
