# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The namespaces of others that a container uses. They are named; a start uses what the other one has then, and a task starts a container
again that runs in what the other one had before. docs/adr/0037.
"""

from __future__ import annotations

import os
import typing as t

from ...engine import labels as L
from ...engine.models import PAUSED, RUNNING
from ...errors import FailedPrecondition, InvalidArgument, printable
from .find import find_container, task_of
from .options.network import mode_of
from .options.network_seen import kept
from .options.others import OPTIONS, mode_with, others
from .options.table import values_of

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container, TaskState
    from ...network.connected import Connected
    from .options.row import Values
    from .values import FoundContainer, WantedContainer

#: The names in /proc/<pid>/ns of kinds that have others in specifications.
_IN_PROC = {"network": "net"}


class Joined(t.NamedTuple):
    """A namespace that a container uses, of another one or of the host. told: the option and what it says; kind: as in specifications;
    name: what has it; path: where it is; container: the other one; pid: of its process; connected: its networks.
    """

    told: str
    kind: str
    name: str
    path: str
    container: t.Optional[Container] = None
    pid: int = 0
    connected: t.Optional[Connected] = None

    def check(self) -> None:
        """FailedPrecondition when it is not there."""
        from ...network import netns

        if not netns.is_namespace(self.path):
            raise self.missing()

    def missing(self) -> FailedPrecondition:
        return FailedPrecondition(
            f"{self.told}: {self.name} {'does not run: start it first' if self.container else 'is not there'}"
        )

    def used_by(self, task: TaskState) -> bool:
        """Whether what runs is in it, and not in one that was there before."""
        try:
            return os.path.samestat(os.stat(_path(task.pid, self.kind)), os.stat(self.path))
        except OSError:
            return False


def _path(pid: int, kind: str) -> str:
    return f"/proc/{pid}/ns/{_IN_PROC.get(kind, kind)}"


def joined(engine: Engine, values: Values, kinds: t.Collection[str] = tuple(OPTIONS)) -> t.List[Joined]:
    """What a container with these values uses, of these kinds. InvalidArgument for another container that has nothing to use."""
    mode, found = mode_of(values), t.cast(t.List[Joined], [])
    if mode.path and "network" in kinds:
        found.append(Joined(f"network_mode: {printable(mode.name, 200)}", "network", "the network namespace", mode.path))
    names = {kind: name for kind, name in others(values).items() if kind in kinds}
    there = {name: find_container(engine, name) for name in set(names.values())}
    return found + [_of(engine, kind, name, there[name]) for kind, name in names.items()]


def _of(engine: Engine, kind: str, name: str, other: t.Optional[Container]) -> Joined:
    from .shared import shares_memory

    told, who = f"{OPTIONS[kind]}: {printable(mode_with(name), 200)}", f"the container {printable(name, 100)}"
    if other is None:
        raise InvalidArgument(f"{told}: there is no such container")
    if kind == "ipc" and not shares_memory(other):
        raise InvalidArgument(f"{told}: the container does not share its memory: give it ipc_mode shareable")
    if kind != "network":
        task = task_of(engine, other)
        pid = task.pid if task else 0
        return Joined(told, kind, who, _path(pid, kind), other, pid)
    connected = kept(other)
    if connected is None:
        raise InvalidArgument(f"{told}: the container is in no network of its own: give network_mode as it has it")
    return Joined(told, kind, who, connected.pin, other, connected=connected)


def astray(engine: Engine, want: WantedContainer, have: FoundContainer) -> str:
    """Why a container that runs has to be started again: what it joined is there no more, or has other namespaces by now. Empty if not."""
    if not (have.container and have.task and have.running and want.state == "started" and want.detach):
        return ""
    task, all_of_them = have.task, joined(engine, {**values_of(have.container), **want.given})
    return next((f"{one.name} has another {one.kind} namespace by now" for one in all_of_them if not one.used_by(task)), "")


def users(engine: Engine, name: str) -> t.List[t.Tuple[str, t.List[str]]]:
    """The containers that run in namespaces of another one, and the kinds of these."""
    found = []
    for one in engine.containers.list({L.USES + name: ""}):
        task = task_of(engine, one)
        if task and task.status in (RUNNING, PAUSED):
            kinds = [kind for kind, other in others(values_of(one)).items() if other == name]
            found.append((one.labels.get(L.NAME) or one.id[:12], kinds))
    return sorted(found)
