# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters of containerd_container_info, by the names of docker ps --filter. They look at facts, so they hold for everybody's containers."""

from __future__ import annotations

import re
import typing as t

from ...errors import InvalidArgument, printable
from ...oci.reference import Reference

Facts = t.Mapping[str, t.Any]
Test = t.Callable[[Facts], bool]

_STATUS = ("created", "running", "paused", "restarting", "removing", "exited", "dead", "unknown")
_HEALTH = ("starting", "healthy", "unhealthy", "none")


def parse_filters(given: t.Mapping[str, t.Any]) -> t.List[Test]:
    """Tests that a container has to pass, all of them. InvalidArgument names option and value."""
    tests: t.List[Test] = []
    for key, value in given.items():
        make = _FILTERS.get(key)
        if make is None:
            raise InvalidArgument(f"filters: {printable(key, 80)} is none of {', '.join(sorted(_FILTERS))}")
        if key == "label" and isinstance(value, dict):
            value = [name if item in (None, "") else f"{name}={_text(item, key)}" for name, item in value.items()]
        found = [make(_text(one, key), f"filters: {key}") for one in (value if isinstance(value, list) else [value])]
        # As docker: a container needs all labels, and one of everything else.
        tests += found if key == "label" else [_any(found)]
    return tests


def _text(value: t.Any, key: str) -> str:
    if isinstance(value, (dict, list, bool)) or value in (None, ""):
        raise InvalidArgument(f"filters: {key}: {printable(value, 80)!r} is no text")
    return str(value)


def _any(tests: t.Sequence[Test]) -> Test:
    return lambda facts: any(test(facts) for test in tests)


def _label(value: str, what: str) -> Test:
    name, equals, wanted = value.partition("=")

    def test(facts: Facts) -> bool:
        labels = facts["Config"]["Labels"]
        return name in labels and (not equals or labels[name] == wanted)

    return test


def _word(place: t.Callable[[Facts], str], known: t.Sequence[str]) -> t.Callable[[str, str], Test]:
    def make(value: str, what: str) -> Test:
        if value not in known:
            raise InvalidArgument(f"{what}: {printable(value, 80)!r} is none of {', '.join(known)}")
        return lambda facts: place(facts) == value

    return make


def _name(value: str, what: str) -> Test:
    try:
        pattern = re.compile(value)
    except re.error as error:
        raise InvalidArgument(f"{what}: {printable(value, 80)!r} is no regular expression: {error}") from error
    return lambda facts: bool(pattern.search(str(facts["Name"])[1:]))


def _id(value: str, what: str) -> Test:
    return lambda facts: str(facts["Id"]).startswith(value)


def _image(value: str, what: str) -> Test:
    if value.startswith("sha256:"):
        places = (lambda facts: facts["Image"], *(_of_containerd(key) for key in ("ImageDigest", "ManifestDigest")))
        return lambda facts: any(place(facts) == value for place in places)
    name = Reference.parse(value, what).record
    return lambda facts: facts["Config"]["Image"] == name


def _of_containerd(key: str) -> t.Callable[[Facts], str]:
    return lambda facts: str(facts["Containerd"][key])


def _network(value: str, what: str) -> Test:
    return lambda facts: value in facts["NetworkSettings"]["Networks"] or facts["HostConfig"]["NetworkMode"] == value


def _volume(value: str, what: str) -> Test:
    keys = ("Name", "Source", "Destination")
    return lambda facts: any(one.get(key) == value for one in facts["Mounts"] for key in keys)


def _exited(value: str, what: str) -> Test:
    if not value.isdecimal():
        raise InvalidArgument(f"{what}: {printable(value, 80)!r} is no exit status")
    return lambda facts: facts["State"]["Status"] == "exited" and facts["State"]["ExitCode"] == int(value)


_FILTERS: t.Mapping[str, t.Callable[[str, str], Test]] = {
    "ancestor": _image,
    "exited": _exited,
    "health": _word(lambda facts: str((facts["State"].get("Health") or {}).get("Status", "none")), _HEALTH),
    "id": _id,
    "image": _image,
    "label": _label,
    "name": _name,
    "network": _network,
    "status": _word(lambda facts: str(facts["State"]["Status"]), _STATUS),
    "volume": _volume,
}
