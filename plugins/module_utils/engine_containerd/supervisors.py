# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who supervises a task of containerd's: the daemon's monitor where it can, else our log writer. docs/adr/0040."""

from __future__ import annotations

import os
import typing as t

from ..engine.models import Container, Supervision, TaskIO
from ..engine_host.place import Place
from ..hostfs.atomic import make_dir
from ..runtime.processes import Process, parent_of
from ..runtime.supervision import tell, wanted
from .monitor import Monitor

if t.TYPE_CHECKING:
    from ..rpc.channel import Channel
    from .stdio import Stdio

#: Where containerd's shims have the runtime keep its state.
_RUNTIME_ROOT = "/run/containerd/runc"


class Supervisors:
    """The supervisors of one namespace. files: those with the state of a container, as the log writer writes them.

    find_runtime: as TaskService.
    """

    def __init__(
        self,
        rpc: Channel,
        place: Place,
        data_root: str,
        state_root: str,
        files: t.Callable[[str], t.Tuple[str, str]],
        find_runtime: t.Callable[[str], str],
    ) -> None:
        self.monitor, self._runtime_root = Monitor(rpc), f"{_RUNTIME_ROOT}/{rpc.namespace}"
        self._directory, self._data_root, self._state_root = place.container_path, data_root, state_root
        self._files, self._find_runtime = files, find_runtime

    def stdio(self, container_id: str, io: TaskIO, asked: Supervision) -> Stdio:
        from .stdio import Stdio

        spare, counters = self._files(container_id)[0], (asked.restarts, asked.waited)
        return Stdio(self._data_root, self._directory(container_id), spare, io, *counters)

    def results(self, container_id: str) -> str:
        """The file with what the health check has found: in memory, since it is written often."""
        return os.path.join(self._state_root, "health", f"{container_id}.json")

    def ours(self, container_id: str) -> bool:
        """Whether the log writer has something to do besides the log."""
        return wanted(self._directory(container_id))

    def begin(self, container: Container, io: TaskIO, asked: Supervision) -> None:
        """Before a start."""
        self.monitor.clear(container.id)
        self._tell(container, io, asked)

    def begun(self, container_id: str, io: TaskIO, asked: Supervision, anew: bool = True) -> None:
        """It runs. The monitor would start it again from here on."""
        uri = self._by_monitor(container_id, io, asked)
        if uri:
            self.monitor.follow(container_id, asked, uri, anew)

    def change(self, container: Container, io: TaskIO, asked: Supervision, runs: bool) -> None:
        """Other things are asked for."""
        self._tell(container, io, asked)
        if runs:
            if not self._by_monitor(container.id, io, asked):
                self.monitor.leave(container.id)
            self.begun(container.id, io, asked, anew=False)

    def _by_monitor(self, container_id: str, io: TaskIO, asked: Supervision) -> str:
        """The URI for the output of starts by the daemon's monitor; empty if it cannot do what is asked for."""
        if asked.policy == "no":
            return ""
        uri = self.stdio(container_id, io, asked).lasting_uri()
        return uri if self.monitor.can(asked, io.terminal, io.stdin, uri) else ""

    def _tell(self, container: Container, io: TaskIO, asked: Supervision) -> None:
        """Tell the log writer what it has to do. What the monitor does, it does not."""
        directory, results = self._directory(container.id), self.results(container.id)
        if self._by_monitor(container.id, io, asked):
            asked = asked._replace(policy="no")
        more, runtime = {"state-root": self._state_root}, [""] * 0
        if asked.wanted:
            from ..libexec.starter import command

            more["again"] = "\t".join(command(self._data_root, "again", directory))
            if asked.remove:
                more["remove"] = "\t".join(command(self._data_root, "remove", directory))
        if asked.health:
            make_dir(os.path.dirname(results))
            runtime = self.runtime_of(container)
        tell(directory, asked, runtime, results, more)

    def runtime_of(self, container: Container) -> t.List[str]:
        """The command of its runtime up to the verb, with the state that containerd's shim has it keep."""
        from ..runtime.runc import find_binary
        from ..runtime_spec.cgroups import made_by_systemd

        binary = self._find_runtime(container.runtime.binary) or find_binary(container.runtime.binary)
        return [binary, "--root", self._runtime_root, *(["--systemd-cgroup"] if made_by_systemd(container.spec) else [])]

    def watch(self, container_id: str, pid: int) -> None:
        """Have a supervisor for a container whose log writer was killed. pid: its first process, whose parent is containerd's shim."""
        from ..libexec.install import command
        from ..runtime.launch import start_apart

        (spare, path), init, bundle = self._files(container_id), Process.of(pid), f"/proc/{parent_of(pid)}/cwd"
        place = [self._directory(container_id), container_id, path, spare, str(init.pid), str(init.started), bundle, "containerd"]
        words = [*command(self._data_root, "watch"), *place]
        start_apart(f"fleet-watch-{container_id}", f"Supervisor of the container {container_id}", words)
