# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start containers while no task is there: for a log writer (libexec/log.py), and after a boot. docs/adr/0040. Remove those that are to go
when they have ended. docs/adr/0045.

It runs from a file of its own (starting.py), by the system's Python, without Ansible.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import typing as t

from ...engine import labels as L
from ...engine.models import ASKED, PAUSED, RESTARTING, RUNNING, START_ERROR, STOPPED
from ...errors import EngineError, NotFound, Unavailable, printable
from ...hostfs.atomic import read_file, write_file
from ...kernel.engines import EngineOptions, open_engine, used_engines
from ...libexec.keep import NOT_STARTED, Keeper, read
from ...libexec.state import beginning, write
from ...runtime.processes import Process, boot_id
from . import steps
from .find import find_container, heir, leftovers
from .options.depends_on import HEALTHY
from .options.supervision import supervision_of
from .options.table import values_of

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container

#: How long to wait before those that failed are tried again after a boot (seconds): networks may come late.
_TURNS = (2.0, 5.0, 10.0, 20.0, 0.0)
_DAEMON_SECONDS = 60.0
#: How long those that depend on others wait for them.
_NEEDS_SECONDS = 300.0
#: How often somebody who waits for the lock on a name looks whether the container's end is wanted.
_LOOK_SECONDS = 0.2


class _Waits(Unavailable):
    """What a container depends on is not ready yet."""


class _Never(Unavailable):
    """What a container depends on is not to run."""


class Place(t.NamedTuple):
    """Where a container is kept. directory: its own."""

    options: EngineOptions
    directory: str

    @property
    def container_id(self) -> str:
        return os.path.basename(self.directory)


def main(arguments: t.Sequence[str]) -> None:
    """arguments: again, the directory of a container, the number of this start and the last delay; or restore and data_root; or remove and
    the directory.
    """
    verb, path, *rest = arguments
    try:
        if verb == "again":
            failed = _again(path, int(rest[0]), float(rest[1]))
        else:
            failed = remove_ended(path) if verb == "remove" else restore(path)
    except EngineError as error:
        failed = [str(error)]
    for line in failed:
        sys.stderr.write(f"{printable(line, 2000)}\n")
    raise SystemExit(1 if failed else 0)


def _again(directory: str, restarts: int, waited: float) -> t.List[str]:
    """Start a container that has ended, and, as long as that fails and is wanted, try again. Why it failed; nothing when it was done."""
    place = _place(directory)
    if place is None:
        return []
    keeper = Keeper((directory,), place.container_id, restarts, waited)
    while True:
        try:
            with contextlib.closing(open_engine(place.options)) as engine:
                _start(engine, place, lambda container: _attempt(engine, container, directory, keeper), lambda: _asked(place))
            return []
        except EngineError as problem:
            delay = keeper.delay(NOT_STARTED, 0.0)
            if delay < 0 or not keeper.wait(delay, NOT_STARTED):
                # Only what we have written ourselves: somebody else may have started it.
                if _known(directory).get("shim") == _me():
                    _record(directory, keeper, {"restarting": False})
                return [str(problem)]
            keeper.start()


def _place(directory: str) -> t.Optional[Place]:
    """None when it is gone, or nothing is asked for."""
    places = _places(directory.rsplit("/containers/", 1)[0])
    return next((one for one in places if one.directory == directory and read(directory)), None)


def remove_ended(directory: str) -> t.List[str]:
    """Remove a container with auto_remove that has ended. Nothing to tell: what fails raises an error, and the next task removes it."""
    place = _place(directory)
    if place:
        with contextlib.closing(open_engine(place.options)) as engine:
            _remove(engine, place)
    return []


def _remove(engine: Engine, place: Place) -> None:
    """A task that waits for its end still reads what it printed, so it comes first; and it may have been started again."""
    try:
        container = engine.containers.get(place.container_id)
    except NotFound:
        return
    name = container.labels.get(L.NAME)
    if not name:
        return
    with engine.lock(f"job {name}"), engine.lock(f"container {name}"), contextlib.suppress(NotFound):
        container = engine.containers.get(container.id)
        if engine.tasks.state(container.id).status == STOPPED and "remove" in read(place.directory):
            steps.remove(engine, container)


def _attempt(engine: Engine, container: Container, directory: str, keeper: Keeper) -> None:
    """Start it. We are its supervisor until it runs, and tell why it does not."""
    try:
        engine.tasks.state(container.id)
    except NotFound:
        # A task has taken its start back.
        return
    _record(directory, keeper, {"restarting": True})
    try:
        steps.start(engine, container, (keeper.restarts, keeper.waited))
    except EngineError as problem:
        with contextlib.suppress(EngineError):
            write_file(os.path.join(directory, START_ERROR), str(problem).encode(), durable=False)
        ended = {"exit_status": NOT_STARTED, "exited_at": time.time(), "oom_killed": False, "dropped": 0}
        _record(directory, keeper, {**ended, "restarting": True})
        raise


def _me() -> t.List[int]:
    return list(Process.of(os.getpid()))


def _known(directory: str) -> t.Dict[str, t.Any]:
    try:
        found = json.loads(read_file(os.path.join(directory, "state.json")) or b"null")
    except (EngineError, ValueError):
        found = None
    return found if isinstance(found, dict) else {}


def _record(directory: str, keeper: Keeper, changes: t.Mapping[str, t.Any]) -> None:
    """Change the state of the task, which no supervisor of the usual kind does now."""
    path = os.path.join(directory, "state.json")
    log = os.path.join(directory, f"{os.path.basename(directory)}-json.log")
    known = {**json.loads(f"{{{beginning(log, 0.0)}}}"), **_known(directory)}
    known.update(boot=boot_id(), shim=_me(), restarts=keeper.restarts, **changes)
    write(json.dumps(known) + "\n", path, f"{path}.spare")


def _start(engine: Engine, place: Place, start: t.Callable[[Container], t.Any], asked: t.Callable[[], bool]) -> None:
    """Start it, if nobody else has. asked: whether somebody has asked for its end."""
    with contextlib.ExitStack() as held:
        try:
            name = engine.containers.get(place.container_id).labels.get(L.NAME)
            # Without a name a recreation was interrupted before the new one was proved.
            if not name or not _lock(engine, name, held, asked):
                return
            container = engine.containers.get(place.container_id)
        except NotFound:
            return
        with contextlib.suppress(NotFound):
            if engine.tasks.state(container.id).status not in (STOPPED, RESTARTING):
                return
        if not asked():
            start(container)


def _lock(engine: Engine, name: str, held: contextlib.ExitStack, asked: t.Callable[[], bool]) -> bool:
    """Take the lock on a name. False if somebody has asked for the end: who does may have the lock, and wait for us."""
    while not asked():
        with contextlib.suppress(Unavailable):
            held.enter_context(engine.lock(f"container {name}", _LOOK_SECONDS))
            return True
    return False


def _asked(place: Place) -> bool:
    return os.path.lexists(os.path.join(place.directory, ASKED))


def restore(data_root: str) -> t.List[str]:
    """Start the containers that are to run after a boot. Why some could not be started, a line each."""
    asked = _in_order({one: read(one.directory) for one in _places(data_root)})
    left = [one for one, found in asked.items() if _by_us(found) or (one.options.engine == "containerd" and not found)]
    failed: t.List[str] = []
    due: t.Set[str] = set()
    waiting: t.List[Place] = []
    hopeless: t.List[str] = []
    deadline = time.monotonic() + _DAEMON_SECONDS
    for seconds in _TURNS:
        failed, again = [], []
        for place in left:
            try:
                _restore(place, deadline, due)
            except _Waits:
                waiting.append(place)
            except _Never as error:
                hopeless.append(_failure(place, error))
            except EngineError as error:
                failed.append(_failure(place, error))
                again.append(place)
        left = again
        if not left:
            break
        time.sleep(seconds)
    deadline = time.monotonic() + _NEEDS_SECONDS
    while waiting and time.monotonic() < deadline:
        time.sleep(1.0)
        waiting = [place for place in waiting if not _tried(place, due, failed)]
    return (
        failed
        + hopeless
        + [f"the container {one.container_id[:12]} is not started: what it depends on is not ready" for one in waiting]
    )


def _tried(place: Place, due: t.Set[str], failed: t.List[str]) -> bool:
    """Whether a container that depends on others waits no longer."""
    try:
        _restore(place, 0.0, due)
    except _Waits:
        return False
    except EngineError as error:
        failed.append(_failure(place, error))
    return True


def _failure(place: Place, error: EngineError) -> str:
    return f"the container {place.container_id[:12]} cannot be started: {error}"


def _in_order(asked: t.Mapping[Place, t.Mapping[str, str]]) -> t.Dict[Place, t.Mapping[str, str]]:
    """Containers come after those that they depend on."""
    by_name = {(place.options, found.get("name", "")): place for place, found in asked.items() if not _asked(place)}
    ordered: t.Dict[Place, t.Mapping[str, str]] = {}
    seen: t.Set[Place] = set()

    def add(place: Place) -> None:
        if place in seen:
            return
        seen.add(place)
        for name, _condition in _needs(asked[place]):
            other = by_name.get((place.options, name))
            if other:
                add(other)
        ordered[place] = asked[place]

    for place in asked:
        add(place)
    return ordered


def _needs(asked: t.Mapping[str, str]) -> t.List[t.Tuple[str, str]]:
    return [(name, condition) for name, _colon, condition in (word.rpartition(":") for word in asked.get("needs", "").split())]


def _check_needs(engine: Engine, place: Place) -> None:
    """_Waits, _Never, or NotFound, when what a container depends on is not as it has to be."""
    from .needs import is_healthy

    for name, condition in _needs(read(place.directory)):
        other = find_container(engine, name)
        if other is None:
            raise NotFound(f"it depends on {name}, and there is no such container")
        try:
            status = engine.tasks.state(other.id).status
        except NotFound:
            status = STOPPED
        if status not in (RUNNING, PAUSED) and steps.was_stopped(engine, other):
            raise _Never(f"it depends on {name}, which somebody has stopped")
        if status not in (RUNNING, PAUSED):
            raise _Waits(f"it depends on {name}, which is {status}")
        if condition == HEALTHY and not is_healthy(engine, other):
            raise _Waits(f"it depends on {name}, which is not healthy")


def _by_us(asked: t.Mapping[str, str]) -> bool:
    return asked.get("policy", "no") != "no" or "remove" in asked


def _restore(place: Place, deadline: float, due: t.Set[str]) -> None:
    """Where the daemon's monitor starts containers (nothing is asked of us), it does not know of a recreation that was interrupted."""
    options = place.options
    while options.engine == "containerd" and not os.path.exists(options.address) and time.monotonic() < deadline:
        time.sleep(0.2)
    if not _by_us(read(place.directory)) and not os.path.exists(options.address):
        return
    with contextlib.closing(open_engine(options)) as engine:
        if "remove" in read(place.directory):
            _remove(engine, place)
            return
        with contextlib.suppress(NotFound):
            _name(engine, engine.containers.get(place.container_id))
            stopped_for_new = L.TO_RUN in engine.containers.get(place.container_id).labels
            asked = (lambda: False) if stopped_for_new else lambda: _asked(place)
            _start(engine, place, lambda container: _start_after_boot(engine, container, place, due), asked)


def _name(engine: Engine, container: Container) -> None:
    """Complete a swap of names that the end of the host interrupted, if this is who gets the name."""
    name = container.labels.get(L.STAGE)
    if not name:
        return
    with engine.lock(f"container {name}"):
        chosen = None if engine.containers.list({L.NAME: name}) else heir(leftovers(engine, name))
        if chosen and chosen.id == container.id:
            steps.take_name(engine, name, chosen)


def _start_after_boot(engine: Engine, container: Container, place: Place, due: t.Set[str]) -> None:
    """due: the containers that were to run when an earlier start failed, which has left no task to ask."""
    if container.id in due or _is_to_run(engine, container, place):
        due.add(container.id)
        _check_needs(engine, place)
        steps.start(engine, container, (0, 0.0))


def _is_to_run(engine: Engine, container: Container, place: Place) -> bool:
    """Whether its policy has it run, now that nothing of it does."""
    try:
        state = engine.tasks.state(container.id)
    except NotFound:
        # It was never started, or a task was about to start it.
        return False
    if state.status != STOPPED:
        # Its supervisor is there.
        return False
    if L.TO_RUN in container.labels:
        # A task that was interrupted had stopped it for a new one.
        return supervision_of(container.spec, values_of(container)).policy != "no"
    asked = read(place.directory)
    if asked.get("policy") in ("always", "unless-stopped"):
        return True
    retries = int(asked.get("retries", "0"))
    return asked.get("policy") == "on-failure" and state.exit_status != 0 and (not retries or state.restarts < retries)


def _places(data_root: str) -> t.Iterator[Place]:
    """The containers of all engines and namespaces."""
    for options, directory in used_engines(data_root):
        for namespace in _names(directory):
            for name in _names(os.path.join(directory, namespace)):
                path = os.path.join(directory, namespace, name)
                state_root = read(path).get("state-root", options.state_root)
                yield Place(options._replace(namespace=namespace, state_root=state_root), path)


def _names(directory: str) -> t.List[str]:
    try:
        return sorted(name for name in os.listdir(directory) if not name.startswith("."))
    except OSError as error:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return []
        raise Unavailable(f"reading {directory}: {error.strerror}") from error
