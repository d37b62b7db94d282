# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way into a container that runs, also one of other tools: its root directory, and a process beside the others in it."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ...engine.models import PAUSED, RUNNING, Container
from ...errors import FailedPrecondition, InvalidArgument, Unavailable, from_os_error, printable
from ...hostfs.atomic import closing
from ...kernel.engines import EngineOptions
from .find import task_of, wanted

if t.TYPE_CHECKING:
    from ...engine.api import Engine

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


class Inside(t.NamedTuple):
    """A container that runs. name: as the user has it. pid: its first process, as this host has it."""

    engine: Engine
    container: Container
    name: str
    pid: int

    @contextlib.contextmanager
    def process(self) -> t.Iterator[int]:
        """The directory of its first process in /proc. The descriptor is never that of another process, which gets the number later."""
        with closing(self._opened(f"/proc/{self.pid}")) as process:
            state = task_of(self.engine, self.container)
            if state is None or state.pid != self.pid or state.status not in (RUNNING, PAUSED):
                raise Unavailable(f"the container {printable(self.name, 100)} has just ended: run the task again")
            yield process

    @contextlib.contextmanager
    def root(self) -> t.Iterator[int]:
        """Its root directory, with all that is mounted in it. Nothing on the way to a file may be followed blindly (hostfs/inside.py)."""
        with self.process() as process, self.root_of(process) as root:
            yield root

    def root_of(self, process: int) -> t.ContextManager[int]:
        """The same, where its first process is known already."""
        return closing(self._opened("root", process))

    def _opened(self, path: str, beside: t.Optional[int] = None) -> int:
        try:
            return os.open(path, _DIRECTORY, dir_fd=beside)
        except OSError as error:
            raise from_os_error(error, f"looking into the container {printable(self.name, 100)}") from error


class As(t.NamedTuple):
    """What a process has of its own; the rest is as with the first process of the container.

    user: as in docker exec; empty: that of the container. terminal: it has one. privileged: it has all capabilities.
    """

    user: str = ""
    chdir: str = ""
    env: t.Mapping[str, str] = {}
    terminal: bool = False
    privileged: bool = False


def enter(engine: Engine, options: EngineOptions, name: str, option: str = "container") -> Inside:
    """The container by its name, its id or a unique beginning of its id. NotFound; FailedPrecondition when it does not run."""
    container = wanted(engine, options, name, option)
    state = task_of(engine, container)
    if state is None or state.status != RUNNING:
        status = state.status if state else "stopped"
        advice = "resume it first" if status == PAUSED else "start it first"
        raise FailedPrecondition(f"{option}: {printable(name, 100)} is {status}: {advice}")
    return Inside(engine, container, name, state.pid)


def process_of(inside: Inside, words: t.Sequence[str], how: As) -> t.Dict[str, t.Any]:
    """A process, as in the runtime spec: with the user, variables, directory, limits and profiles of the container's own one.

    InvalidArgument for what cannot be in it.
    """
    for text in (*words, how.chdir, *how.env, *how.env.values()):
        _check_text(text)
    own = inside.container.spec.get("process") or {}
    process = {**own, "args": list(words), "terminal": how.terminal}
    process.pop("consoleSize", None)
    if how.user or how.privileged:
        _become(inside, process, how)
    if how.terminal:
        process["env"] = _with({"TERM": "xterm"}, process.get("env"))
    process["env"] = _with(process.get("env"), how.env)
    if how.chdir:
        process["cwd"] = how.chdir
    return process


def _check_text(text: str) -> None:
    # A runtime would put something else in the place of bytes that are no UTF-8.
    if "\0" in text or text != text.encode("utf-8", "replace").decode():
        raise InvalidArgument(
            f"{printable(text, 200)!r} cannot be in a command: it has a NUL character, or bytes that are no UTF-8"
        )


def _become(inside: Inside, process: t.Dict[str, t.Any], how: As) -> None:
    from ...runtime_spec.capabilities import grant, possible
    from ...runtime_spec.process import run_as
    from ...runtime_spec.users import resolve_user

    bounding = list((process.get("capabilities") or {}).get("bounding") or ())
    process["user"] = dict(process.get("user") or {})
    process["env"] = list(process.get("env") or ())
    spec = {"process": process}
    if how.user:
        with inside.root() as root:
            user = resolve_user(root, how.user)
        # Without a home the runtime chooses.
        process["env"] = [one for one in process["env"] if not one.startswith("HOME=")]
        grant(spec, bounding)
        run_as(spec, user)
    if how.privileged:
        grant(spec, possible())
        process.pop("apparmorProfile", None)


def _with(
    env: t.Union[t.Sequence[str], t.Mapping[str, str], None], more: t.Union[t.Sequence[str], t.Mapping[str, str], None]
) -> t.List[str]:
    """Variables, the later ones of which count."""
    found: t.Dict[str, str] = {}
    for one in (env, more):
        found.update(one if isinstance(one, t.Mapping) else (item.partition("=")[::2] for item in one or ()))
    return [f"{name}={value}" for name, value in found.items()]
