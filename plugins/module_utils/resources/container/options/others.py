# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which namespaces of other containers a container uses: they are named, and each start finds those that the other one has then."""

from __future__ import annotations

import typing as t

from ....engine import labels as L
from ....errors import InvalidArgument, printable
from ....runtime_spec.namespaces import path_of
from .row import Value, Values

if t.TYPE_CHECKING:
    from ....engine.api import Engine

_CONTAINER = "container:"
#: The options, by kind of namespace as the specification has it.
OPTIONS = {"network": "network_mode", "ipc": "ipc_mode", "pid": "pid_mode", "uts": "uts"}


def mode_with(name: str) -> str:
    return _CONTAINER + name


def container_of(mode: t.Optional[str]) -> str:
    """The container whose namespace is used; empty for none."""
    return mode[len(_CONTAINER) :] if mode and mode.startswith(_CONTAINER) else ""


def others(values: Values) -> t.Dict[str, str]:
    """The containers whose namespaces are used, by kind."""
    modes = {kind: values.get(option) for kind, option in OPTIONS.items()}
    found = {kind: container_of(getattr(mode, "name", mode)) for kind, mode in modes.items()}
    return {kind: other for kind, other in found.items() if other}


def other_id(spec: t.Mapping[str, t.Any], kind: str) -> str:
    """The id of the container whose namespace a specification has: it is at the end of the path."""
    return path_of(spec, kind).rpartition("-")[2]


def named(engine: Engine, own: str, option: str, mode: str) -> str:
    """A mode with the name of the other container where a task gives its id. own: the name of this one. InvalidArgument for itself."""
    from ..find import find_container

    told = container_of(mode)
    other = find_container(engine, told) if told else None
    name = (other.labels.get(L.NAME) if other else None) or told
    if told and own in (told, name):
        raise InvalidArgument(f"{option}: {printable(mode, 200)} is the container itself: give the name of another one")
    return mode_with(name) if told else mode


def by_name(option: str) -> t.Callable[[Engine, str, Value], Value]:
    """The column known, for modes that are texts."""
    return lambda engine, own, mode: named(engine, own, option, mode)
