# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container_exec: a command in a container that runs."""

from __future__ import annotations

import base64
import contextlib
import os
import typing as t

from ...errors import InvalidArgument, printable
from ...kernel.converge import Facts, Plan, Step
from ...kernel.engines import EngineOptions
from .entry import As, Inside, enter, process_of
from .options.process import parse_env, parse_user, parse_words
from .options.row import bad, parse_absolute
from .talk import Talk

if t.TYPE_CHECKING:
    from ...engine.api import Engine

_SKIPPED = "Command would have run if not in check mode"


class WantedCommand(t.NamedTuple):
    """stdin: None for an empty one. timeout: seconds. creates, removes: patterns of paths in the container; empty for none."""

    inside: Inside
    words: t.Tuple[str, ...]
    how: As
    stdin: t.Optional[bytes]
    detach: bool
    timeout: t.Optional[float]
    strip: bool
    creates: str
    removes: str


class Reason(t.NamedTuple):
    """H: why there is nothing to do; empty if there is something."""

    text: str = ""


class _Done:
    """What has come of a command."""

    def __init__(self) -> None:
        self.exec_id: t.Optional[str] = None
        self.status: t.Optional[int] = None
        self.late = False
        self.said = {"stdout": bytearray(), "stderr": bytearray()}

    def receive(self, name: str, data: bytes) -> None:
        self.said[name] += data


class ContainerExecResource:
    """A command is no object that could be compared: it is run, unless a file says that this is not needed."""

    def desired(self, params: t.Mapping[str, t.Any], engine: Engine) -> WantedCommand:
        words = _words(params)
        user = parse_user(params["user"], "user") if params["user"] else ""
        chdir = parse_absolute(params["chdir"], "chdir") if params["chdir"] else ""
        how = As(user, chdir, parse_env(params["env"] or {}, "env"), params["tty"], params["privileged"])
        stdin = None if params["stdin"] is None else _input(params)
        timeout = params["timeout"]
        if timeout is not None and not 0 < timeout < float("inf"):
            raise bad("timeout", timeout, "a number of seconds above 0")
        if params["detach"]:
            _check_detached(params)
        paths = [parse_absolute(params[name], name) if params[name] else "" for name in ("creates", "removes")]
        inside = enter(engine, EngineOptions.of(params), params["container"])
        process_of(inside, words, how)
        return WantedCommand(inside, tuple(words), how, stdin, params["detach"], timeout, params["strip_empty_ends"], *paths)

    def observe(self, want: WantedCommand, engine: Engine) -> Reason:
        if want.creates and _exists(want.inside, want.creates):
            return Reason(f"{want.creates} exists")
        if want.removes and not _exists(want.inside, want.removes):
            return Reason(f"{want.removes} does not exist")
        return Reason()

    def lock(self, want: WantedCommand, engine: Engine) -> t.ContextManager[None]:
        """None: commands may run at the same time."""
        return contextlib.nullcontext()

    def plan(self, want: WantedCommand, have: Reason, engine: Engine) -> Plan:
        done = _Done()
        if have.text:
            return Plan(facts=lambda _have: Facts({"msg": f"Did not run command since {have.text}", **_outcome(want, done)}))
        step = Step(f"run {printable(want.words[0], 80)} in the container {want.inside.name}", lambda: _run(want, done))
        return Plan([step], facts=lambda _have: _facts(want, done))


def _words(params: t.Mapping[str, t.Any]) -> t.List[str]:
    given = [name for name in ("argv", "command") if params[name] is not None]
    if len(given) != 1:
        if given:
            raise InvalidArgument(f"argv: {printable(params['argv'], 200)} is given, and command, too: give one of them")
        raise InvalidArgument("command: it is needed, or argv")
    words = parse_words(params[given[0]], given[0])
    if not words or not words[0]:
        raise bad(given[0], params[given[0]], "a command")
    return words


def _input(params: t.Mapping[str, t.Any]) -> bytes:
    text = params["stdin"] + ("\n" if params["stdin_add_newline"] else "")
    return str(text).encode("utf-8", "surrogateescape")


def _check_detached(params: t.Mapping[str, t.Any]) -> None:
    for name in ("stdin", "timeout"):
        if params[name] is not None:
            value = printable(params[name], 80)
            raise InvalidArgument(f"{name}: {value!r} is not possible with detach=true: nobody waits for the command")
    if params["tty"]:
        raise InvalidArgument("tty: it is not possible with detach=true: nobody sits at the terminal")


def _exists(inside: Inside, pattern: str) -> bool:
    """Whether a path of the container exists, or, of a pattern, one that matches."""
    with inside.root() as root:
        return any(_matches(root, "", [part for part in pattern.split("/") if part]))


def _matches(root: int, path: str, parts: t.Sequence[str]) -> t.Iterator[bool]:
    import fnmatch

    from ...hostfs.atomic import closing
    from ...hostfs.inside import open_inside

    if not parts:
        with contextlib.suppress(OSError), closing(open_inside(root, path or ".", os.O_PATH)):
            yield True
        return
    first, names = parts[0], [parts[0]]
    if any(letter in first for letter in "*?["):
        names = []
        with contextlib.suppress(OSError), closing(open_inside(root, path or ".", os.O_RDONLY | os.O_DIRECTORY)) as fd:
            hidden = first.startswith(".")
            names = [one for one in sorted(os.listdir(fd)) if hidden == one.startswith(".") and fnmatch.fnmatchcase(one, first)]
    for name in names:
        yield from _matches(root, f"{path}/{name}", parts[1:])


def _run(want: WantedCommand, done: _Done) -> None:
    inside, tasks = want.inside, want.inside.engine.tasks
    process = process_of(inside, want.words, want.how)
    if want.detach:
        done.exec_id = tasks.spawn(inside.container, process)
        return
    with tasks.exec(inside.container, process, want.stdin is not None or want.how.terminal) as execution:
        talk = Talk(execution, done.receive)
        talk.send(want.stdin or b"")
        talk.finish()
        done.status = talk.run(want.timeout)
        if done.status is None:
            done.late = True
            execution.kill()


def _facts(want: WantedCommand, done: _Done) -> Facts:
    result = _outcome(want, done)
    if done.late:
        return Facts(result, failure=f"timeout: the command has not ended within {want.timeout:g} s, and was ended")
    if done.exec_id is None and done.status is None:
        # Check mode, as ansible.builtin.command has it.
        if want.creates or want.removes:
            return Facts({"msg": _SKIPPED})
        return Facts({"msg": _SKIPPED, "skipped": True, "changed": False})
    return Facts(result)


def _outcome(want: WantedCommand, done: _Done) -> t.Dict[str, t.Any]:
    if want.detach:
        return {} if done.exec_id is None else {"exec_id": done.exec_id}
    result: t.Dict[str, t.Any] = {} if done.late else {"rc": done.status or 0}
    for name, data in done.said.items():
        text = bytes(data).decode("utf-8", "replace")
        result[name] = text.rstrip("\r\n") if want.strip else text
        if text.encode() != data:
            result[f"{name}_b64"] = base64.b64encode(data).decode()
    return result
