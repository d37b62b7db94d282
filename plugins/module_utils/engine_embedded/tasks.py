# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of the embedded engine: a bundle, a shim and an OCI runtime for each container."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ..engine.models import CREATED, PAUSED, RUNNING, STOPPED, Container, Mount, TaskIO, TaskState
from ..engine_host.place import Place
from ..errors import AlreadyExists, EngineError, FailedPrecondition, NotFound, Unavailable, printable
from ..hostfs.atomic import make_dir
from ..hostfs.lock import locked
from ..hostfs.remove import remove_tree, sweep
from ..runtime import remains
from ..runtime.bundle import Bundle
from ..runtime.launch import Launch
from ..runtime.processes import Process, arguments_of, began, boot_id, boot_time, frozen, with_argument
from ..runtime.runc import Runtime, failure, find_binary, last_message
from ..runtime.task_files import Ending, Facts
from ..runtime_spec.cgroups import made_by_systemd, remove_parents

_UNKNOWN = 255
_CREATE_SECONDS = 60.0
_RECORD_SECONDS = 10.0
_KILL = 9


class EmbeddedTasks:
    """TaskService (engine/api.pyi) for one namespace."""

    def __init__(self, namespace: str, data_root: str, state_root: str, place: Place) -> None:
        self._data_root, self._place = data_root, place
        self._state = os.path.join(state_root, namespace)
        self._runtime_root = os.path.join(state_root, "runc", namespace)

    def _bundle(self, container_id: str) -> Bundle:
        return Bundle(os.path.join(self._state, container_id))

    def _file(self, container_id: str, name: str) -> str:
        """start.json and exit.json, which the shim writes: they are there after a reboot, when the bundle is gone."""
        return os.path.join(self._place.container_path(container_id), name)

    def _runtime(self, facts: Facts) -> Runtime:
        return Runtime(facts.runtime, self._runtime_root, facts.systemd)

    # Making and starting

    def start(self, container: Container, rootfs: t.Sequence[Mount], io: TaskIO) -> TaskState:
        with contextlib.suppress(NotFound):
            raise AlreadyExists(f"the container {container.id[:12]} has a task already, it is {self.state(container.id).status}")
        systemd = made_by_systemd(container.spec)
        runtime = Runtime(container.runtime.binary, self._runtime_root, systemd)
        bundle = self._bundle(container.id)
        sweep(self._state)
        self._clean(container.id)
        self._place.container_dir(container.id)
        try:
            make_dir(self._state)
            # Nobody removes the groups that the runtime makes its own in.
            with locked(self._state, "the state directory", shared=True):
                pid, started, shim = self._make(container, bundle, runtime, rootfs, io)
            facts = Facts(boot_id(), Process.of(pid), shim, runtime.binary, systemd, io.log_path, started)
            bundle.record(facts)
        except EngineError:
            self._clean(container.id)
            raise
        return self.state(container.id)

    def _make(
        self, container: Container, bundle: Bundle, runtime: Runtime, rootfs: t.Sequence[Mount], io: TaskIO
    ) -> t.Tuple[int, float, Process]:
        """Make the bundle, start runtime and shim, and wait until the container runs: its init, since when, the shim."""
        from ..libexec.install import command

        make_dir(self._runtime_root)
        bundle.make(container.spec, rootfs, runtime.binary)
        with Launch(bundle, runtime, container.id, ["run", "--detach"], io.terminal, io.stdin) as launch:
            directory = os.path.dirname(self._file(container.id, "exit.json"))
            arguments = [bundle.path, directory, io.log_path, str(io.log_max_size), str(io.log_max_files), "1"]
            shim = launch.start([*command(self._data_root), *arguments])
            text = launch.answer(_CREATE_SECONDS)
        if text in (b"", b"failed\n"):
            message = last_message(os.path.join(bundle.path, "runtime.log"))
            if message:
                raise failure("start", message)
            raise Unavailable(
                "the shim ended before the container was made" if text != b"failed\n" else "the runtime failed silently"
            )
        pid, started = text.split()
        return int(pid), float(started), shim

    # Looking

    def find_runtime(self, binary: str) -> str:
        return find_binary(binary)

    def _known(self, container_id: str) -> t.Optional[Facts]:
        """What was written down about a task, or can be found out where that is damaged; None when there is no task."""
        bundle = self._bundle(container_id)
        found = bundle.facts()
        if found is None:
            found = Facts.read(self._file(container_id, "start.json"))
            # start.json is there before task.json: in between, while it starts, a run may have been interrupted.
            if bundle.recorded or (found and found.boot == boot_id() and os.path.lexists(bundle.path)):
                found = self._found_out(bundle, container_id, found or Facts())
        return found

    def _found_out(self, bundle: Bundle, container_id: str, kept: Facts) -> Facts:
        init = remains.find_init(container_id)
        shims = _shims(bundle.path)
        shim, log = (shims[0][0], shims[0][1][2]) if shims else (kept.shim, kept.log)
        waits = os.path.exists(os.path.join(self._runtime_root, container_id, "exec.fifo"))
        started_at = 0.0 if waits else kept.started_at or began(init.pid)
        boot = boot_id() if init.alive else kept.boot
        return Facts(boot, init, shim, bundle.runtime, kept.systemd, log, started_at)

    def _facts(self, container_id: str) -> Facts:
        facts = self._known(container_id)
        if facts is None:
            raise NotFound(f"the container {printable(container_id, 80)} has no task")
        return facts

    def _ended(self, container_id: str) -> t.Optional[Ending]:
        """The shim has written it into the bundle where the disk was full."""
        return Ending.read(self._file(container_id, "exit.json"), os.path.join(self._bundle(container_id).path, "exit.json"))

    def state(self, container_id: str) -> TaskState:
        facts, ended = self._known(container_id), self._ended(container_id)
        if facts is None:
            if ended is None:
                raise NotFound(f"the container {printable(container_id, 80)} has no task")
            return _stopped(container_id, Facts(), ended)
        if ended is None and facts.boot == boot_id():
            if facts.init.alive:
                status = CREATED if not facts.started_at else PAUSED if frozen(facts.init.pid) else RUNNING
                return TaskState(container_id, status, facts.init.pid, 0, facts.started_at, 0.0, False, facts.log)
            # It has just ended: the shim is about to say how.
            facts.shim.wait(_RECORD_SECONDS)
            ended = self._ended(container_id)
        return _stopped(container_id, facts, ended)

    def list(self) -> t.List[TaskState]:
        try:
            names = sorted(os.listdir(self._state))
        except FileNotFoundError:
            return []
        found = []
        for name in names:
            if not name.startswith("."):
                with contextlib.suppress(NotFound):
                    found.append(self.state(name))
        return found

    def wait(self, container_id: str, timeout: t.Optional[float] = None) -> TaskState:
        state = self.state(container_id)
        if state.status == STOPPED:
            return state
        facts = self._facts(container_id)
        if not facts.init.wait(timeout):
            raise Unavailable(f"the container {container_id[:12]} has not ended within {timeout:g} s")
        return self.state(container_id)

    # Changing

    def signal(self, container_id: str, signal: int) -> None:
        facts, state = self._facts(container_id), self.state(container_id)
        if state.status == STOPPED:
            raise FailedPrecondition(f"the container {container_id[:12]} does not run")
        if not facts.init.signal(signal):
            raise FailedPrecondition(f"the container {container_id[:12]} does not run")

    def pause(self, container_id: str) -> None:
        self._freeze(container_id, "pause", RUNNING)

    def resume(self, container_id: str) -> None:
        self._freeze(container_id, "resume", PAUSED)

    def _freeze(self, container_id: str, verb: str, wanted: str) -> None:
        facts, state = self._facts(container_id), self.state(container_id)
        if state.status != wanted:
            raise FailedPrecondition(f"the container {container_id[:12]} cannot {verb}: it is {state.status}")
        self._runtime(facts).run(verb, container_id)

    def delete(self, container_id: str, force: bool = False) -> TaskState:
        try:
            state = self.state(container_id)
        except NotFound:
            if force:
                self._clean(container_id)
            raise
        if state.status in (RUNNING, PAUSED) and not force:
            raise FailedPrecondition(f"the container {container_id[:12]} is {state.status}: stop it first")
        self._clean(container_id)
        return state._replace(status=STOPPED)

    def _clean(self, container_id: str) -> None:
        """Whatever is left of a task goes: processes, the runtime's state, the mount, the bundle, what was written down."""
        bundle, state = self._bundle(container_id), os.path.join(self._runtime_root, container_id)
        if os.path.lexists(bundle.path) or os.path.lexists(state):
            self._end(container_id, bundle, state)
            bundle.remove()
            self._remove_groups()
        for name in ("start.json", "exit.json"):
            remove_tree(self._file(container_id, name))

    def _remove_groups(self) -> None:
        """The namespace's own control groups go with its last bundle, unless one is being made."""
        if os.path.isdir(self._state):
            with contextlib.suppress(EngineError, OSError), locked(self._state, "the state directory", wait=0):
                if not os.listdir(self._state):
                    remove_parents(os.path.basename(self._state))

    def _end(self, container_id: str, bundle: Bundle, state: str) -> None:
        """End the processes. What the runtime does not end, since it is not there any more or its state is damaged, we end."""
        facts, config = bundle.facts(), os.path.join(bundle.path, "config.json")
        if facts is None:
            shims = self._makers(bundle)
        else:
            shims = [facts.shim] if bundle.path in arguments_of(facts.shim.pid) else []
            if facts.boot == boot_id() and remains.belongs(facts.init.pid, container_id) and facts.init.signal(_KILL):
                # Faster than leaving it to <runtime> delete --force, which looks only every 100 ms.
                if frozen(facts.init.pid):
                    remains.thaw(facts.init.pid)
                facts.init.wait(_RECORD_SECONDS)
        if os.path.isdir(state):
            with contextlib.suppress(EngineError):
                runtime = Runtime(bundle.runtime or "runc", self._runtime_root, facts is not None and facts.systemd)
                runtime.delete(container_id, force=True)
        if facts is None or os.path.lexists(state) or remains.has_groups(container_id, config):
            remains.end(container_id, config)
            remove_tree(state)
        for shim in shims:
            if not shim.wait(_RECORD_SECONDS):
                shim.signal(_KILL)

    def sweep(self) -> bool:
        """Remove what killed runs have left of bundles that nobody needs. False when some of it cannot be removed."""
        return sweep(self._state)

    def _makers(self, bundle: Bundle) -> t.List[Process]:
        """The shim of a run that was killed while it made the task. Its runtime is waited for: it cleans up after itself,
        or has made a container that can be deleted."""
        for process, arguments in with_argument(bundle.path):
            if "--pid-file" in arguments:
                process.wait(_CREATE_SECONDS)
        return [process for process, _arguments in _shims(bundle.path)]


def _shims(bundle: str) -> t.List[t.Tuple[Process, t.List[str]]]:
    """The shim of a bundle, and its arguments from the bundle on: that, the container's directory, the log."""
    from ..libexec.install import COMMAND

    return [(one, words[words.index(bundle) :]) for one, words in with_argument(bundle) if COMMAND in words]


def _stopped(container_id: str, facts: Facts, ended: t.Optional[Ending]) -> TaskState:
    """An end that nobody saw (a killed shim, a reboot) has the status 255, as in containerd. Nothing outlives a reboot."""
    if ended is None:
        rebooted = facts.boot not in ("", boot_id())
        ended = Ending(_UNKNOWN, 0.0, max(facts.started_at, boot_time()) if rebooted else 0.0, False)
    started_at = facts.started_at or ended.started_at
    return TaskState(container_id, STOPPED, 0, ended.exit_status, started_at, ended.exited_at, ended.oom_killed, facts.log)
