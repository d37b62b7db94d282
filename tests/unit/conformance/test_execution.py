# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TaskService.exec: processes beside the first one, over the engines that run real ones."""

from __future__ import annotations

import gc
import os
import pathlib
import signal
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import FailedPrecondition, InvalidArgument, NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.talk import Talk
from ansible_collections.fleet.containerd.tests.support.waiting import until
from ansible_collections.fleet.containerd.tests.unit.conformance.test_tasks import as_a_poor_service

from .box import Box

if t.TYPE_CHECKING:
    from ansible_collections.fleet.containerd.plugins.module_utils.engine.api import Engine
    from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Container

REAL = ("embedded-overlayfs", "containerd-1.6", "containerd-1.7", "containerd-2.1")
pytestmark = pytest.mark.parametrize("harness", REAL, indirect=True)


class Done(t.NamedTuple):
    """status: None for one that was ended."""

    status: t.Optional[int]
    stdout: bytes
    stderr: bytes


def process_in(made: Container, words: t.Sequence[str], **more: t.Any) -> t.Dict[str, t.Any]:
    return {**made.spec["process"], "args": list(words), "terminal": False, **more}


def run(
    engine: Engine,
    made: Container,
    *words: str,
    stdin: t.Optional[bytes] = None,
    seconds: float = 20.0,
    **more: t.Any,
) -> Done:
    said: t.Dict[str, t.List[bytes]] = {"stdout": [], "stderr": []}
    with engine.tasks.exec(made, process_in(made, words, **more), stdin is not None) as execution:
        talk = Talk(execution, lambda name, data: said[name].append(data))
        talk.send(stdin or b"")
        talk.finish()
        status = talk.run(seconds)
    return Done(status, b"".join(said["stdout"]), b"".join(said["stderr"]))


def processes(engine: Engine, made: Container) -> t.List[str]:
    return sorted(run(engine, made, "ps", "-o", "args").stdout.decode().splitlines()[1:])


def test_its_streams_and_its_end(box: Box) -> None:
    made, engine = box.run("sleep", "1000"), box.engine
    assert run(engine, made, "sh", "-c", "echo out; echo err >&2; exit 7") == (7, b"out\n", b"err\n")
    assert run(engine, made, "sh", "-c", "kill -9 $$") == (137, b"", b"")
    assert run(engine, made, "sh", "-c", "pwd; echo $A", cwd="/tmp", env=["PATH=/bin", "A=b"]).stdout == b"/tmp\nb\n"
    assert run(engine, made, "cat") == (0, b"", b"")
    assert run(engine, made, "cat", stdin=b"") == (0, b"", b"")
    every = bytes(range(256)) * 5000
    assert run(engine, made, "cat", stdin=every) == (0, every, b"")
    # More than it reads.
    assert run(engine, made, "head", "-c", "3", stdin=every) == (0, every[:3], b"")


_LOOK = """
ulimit -Sn; umask; read -r line </proc/self/stat; set -- $line; shift 18; echo "nice $1"
sed -n 's/^Sig[BI]..:.//p' /proc/self/status
"""


def test_nothing_depends_on_who_runs_it(box: Box) -> None:
    made, engine = box.run("sleep", "1000"), box.engine
    with as_a_poor_service():
        files, *said, ignored = run(engine, made, "sh", "-c", _LOOK).stdout.decode().split()
    assert said == ["0022", "nice", "0", "0" * 16]
    # 32 and 33 are the C library's: it does not let Python change them, and make, for one, has its children ignore the first.
    assert int(ignored, 16) & ~(0b11 << 31) == 0
    # runc, as all that is written in Go, raises its own soft limit to the hard one, and runc 1.1.5 may do so after it has set ours.
    # The runc that a daemon starts has the daemon's, and gives that back at any time.
    (limit,) = (one for one in made.spec["process"]["rlimits"] if one["type"] == "RLIMIT_NOFILE")
    assert files in (str(limit["soft"]), str(limit["hard"])) or not isinstance(engine, EmbeddedEngine)


def test_a_bad_command_is_named(box: Box) -> None:
    made, engine = box.run("sleep", "1000"), box.engine
    for word in ("nope", "/nope", "/etc"):
        with pytest.raises((InvalidArgument, FailedPrecondition), match=word):
            run(engine, made, word)


def test_a_terminal(box: Box) -> None:
    made, engine = box.run("sleep", "1000"), box.engine
    found = run(engine, made, "sh", "-c", "tty; read -r line; echo got $line >&2; exit 4", terminal=True, stdin=b"typed\n")
    assert (found.status, found.stderr) == (4, b"")
    assert b"/dev/pts/" in found.stdout
    assert b"got typed\r\n" in found.stdout
    # Nobody types: it reads the end, and does not wait for ever.
    assert run(engine, made, "cat", terminal=True, stdin=b"").status == 0
    # The end comes also when there was no room for it at first.
    lines = b"0123456789\n" * 20000
    counted = run(engine, made, "sh", "-c", "stty -echo; echo now; sleep 0.5; wc -c", terminal=True, stdin=lines)
    assert counted.stdout.split()[-1] == b"%d" % len(lines)


def test_what_is_in_the_background_stays(box: Box) -> None:
    made, engine = box.run("sleep", "1000"), box.engine
    began = time.monotonic()
    assert run(engine, made, "sh", "-c", "sleep 1001 & echo left") == (0, b"left\n", b"")
    assert time.monotonic() - began < 5
    assert "sleep 1001" in processes(engine, made)


def test_what_takes_too_long_ends_with_its_children(box: Box) -> None:
    made, engine = box.run("sleep", "1000"), box.engine
    said: t.List[t.Tuple[str, bytes]] = []
    process = process_in(made, ["sh", "-c", "trap '' TERM; echo begun; sleep 1002; echo late"])
    with engine.tasks.exec(made, process) as execution:
        talk = Talk(execution, lambda name, data: said.append((name, data)))
        while not said:
            assert talk.run(0.1) is None
        assert talk.run(0.5) is None
    assert said == [("stdout", b"begun\n")]
    # Who has been killed may be seen for a moment.
    until(lambda: [one for one in processes(engine, made) if one.startswith("sleep")] == ["sleep 1000"])


def test_signals(box: Box) -> None:
    made, engine = box.run("sleep", "1000"), box.engine
    with engine.tasks.exec(made, process_in(made, ["sleep", "1003"])) as execution:
        execution.signal(signal.SIGKILL)
        assert execution.status() == 137
        execution.signal(signal.SIGKILL)


def test_one_that_nobody_waits_for(box: Box) -> None:
    made, engine = box.run("sleep", "1000"), box.engine
    engine.tasks.spawn(made, process_in(made, ["sh", "-c", "sleep 1; exec sleep 1004"]))
    until(lambda: "sleep 1004" in processes(engine, made))
    with pytest.raises((InvalidArgument, FailedPrecondition), match="nope"):
        engine.tasks.spawn(made, process_in(made, ["nope"]))


def test_it_ends_with_whoever_waits_for_it(box: Box) -> None:
    """Also by SIGKILL; and nothing of it is left."""
    made, engine = box.run("sleep", "1000"), box.engine
    before = leftovers(box)
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            other = box.harness.open()
            with other.tasks.exec(made, process_in(made, ["sh", "-c", "sleep 1005"]), stdin=True):
                os.write(writer, b".")
                time.sleep(60)
        finally:
            os._exit(1)
    os.close(writer)
    assert os.read(reader, 1) == b"."
    os.close(reader)
    assert len(leftovers(box)) > len(before)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    until(lambda: leftovers(box) == before)
    until(lambda: [one for one in processes(engine, made) if one.startswith("sleep")] == ["sleep 1000"])


def leftovers(box: Box) -> t.List[str]:
    """The directories of executions."""
    state = pathlib.Path(box.engine.data_root).parent / "state"
    return sorted(path.name for path in (*state.glob("exec/*/*/*"), *state.glob(f"*/{box.made[0].id}/exec-*")))


def test_nothing_is_left(box: Box) -> None:
    made, engine = box.run("sleep", "1000"), box.engine
    run(engine, made, "true")
    # What earlier tests have open goes now.
    gc.collect()
    before = (leftovers(box), len(os.listdir("/proc/self/fd")))
    for turn in range(20):
        run(engine, made, "sh", "-c", f"exit {turn}", stdin=b"x")
        run(engine, made, "true", terminal=True)
    assert (leftovers(box), len(os.listdir("/proc/self/fd"))) == before


def test_it_has_to_run(box: Box) -> None:
    made, tasks = box.run("sleep", "1000"), box.engine.tasks
    tasks.pause(made.id)
    with pytest.raises(FailedPrecondition):
        run(box.engine, made, "true")
    tasks.resume(made.id)
    tasks.signal(made.id, signal.SIGKILL)
    tasks.wait(made.id, 10)
    with pytest.raises(FailedPrecondition):
        run(box.engine, made, "true")
    tasks.delete(made.id)
    with pytest.raises(NotFound):
        run(box.engine, made, "true")
