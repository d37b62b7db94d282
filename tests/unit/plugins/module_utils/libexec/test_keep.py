# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a supervisor decides, by itself: it handles signals, so it is asked in a process of its own."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import HealthCheck, Supervision
from ansible_collections.fleet.containerd.plugins.module_utils.errors import InvalidArgument
from ansible_collections.fleet.containerd.plugins.module_utils.libexec.keep import read
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.supervision import mark_asked, results, tell
from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS
from ansible_collections.fleet.containerd.tests.support.waiting import until

_ASK = """
import json, sys, time
from ansible_collections.fleet.containerd.plugins.module_utils.libexec.keep import Keeper
keeper, found = Keeper((sys.argv[1],), "some-id"), []
for status, seconds in json.loads(sys.argv[2]):
    found.append(round(keeper.delay(status, seconds), 3))
    if found[-1] >= 0:
        keeper.start()
print(json.dumps([found, keeper.restarts]))
"""
_WAIT = """
import sys, time
from ansible_collections.fleet.containerd.plugins.module_utils.libexec.keep import Keeper
keeper, began = Keeper((sys.argv[1],), "some-id"), time.monotonic()
keeper.delay(1, 0.0)
print("waits", flush=True)
print(keeper.wait(float(sys.argv[2]), 1), keeper.down, time.monotonic() - began < float(sys.argv[2]))
"""
_HAND_OVER = """
import sys
from ansible_collections.fleet.containerd.plugins.module_utils.libexec.keep import Keeper
keeper = Keeper((sys.argv[1],), "some-id")
keeper.delay(1, 0.0)
print(keeper.hand_over(0.0, 1), keeper.down)
"""
Runs = t.Sequence[t.Tuple[int, float]]


def start(code: str, directory: pathlib.Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, str(directory), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(COLLECTIONS)})


def asked(directory: pathlib.Path, **options: t.Any) -> None:
    tell(str(directory), Supervision(**options), ["runc"], "/run/x.json", {})


def delays(directory: pathlib.Path, runs: Runs) -> t.Tuple[t.List[float], int]:
    with start(_ASK, directory, json.dumps(runs)) as process:
        found, restarts = json.loads(process.communicate()[0])
    return found, restarts


def test_the_delays_of_docker(tmp_path: pathlib.Path) -> None:
    """100 ms, doubling up to a minute; who was up for ten seconds begins anew."""
    asked(tmp_path, policy="always")
    found, restarts = delays(tmp_path, [(1, 0.0)] * 12 + [(0, 9.9), (0, 10.0), (0, 1.0)])
    assert found == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60.0, 60.0, 60.0, 0.1, 0.2]
    assert restarts == 15


@pytest.mark.parametrize(
    ("options", "runs", "found"),
    [
        ({"policy": "no"}, [(1, 0.0)], []),
        ({"policy": "always"}, [(0, 0.0), (1, 0.0)], [0.1, 0.2]),
        ({"policy": "unless-stopped"}, [(0, 0.0)], [0.1]),
        ({"policy": "on-failure"}, [(0, 0.0)], [-1.0]),
        ({"policy": "on-failure"}, [(1, 0.0)] * 4, [0.1, 0.2, 0.4, 0.8]),
        ({"policy": "on-failure", "retries": 2}, [(1, 20.0)] * 3, [0.1, 0.1, -1.0]),
        ({"policy": "always", "delay": 3.0, "max_delay": 5.0}, [(0, 0.0)] * 3, [3.0, 5.0, 5.0]),
        ({"policy": "always", "delay": 90.0}, [(0, 0.0)], [60.0]),
    ],
)
def test_who_is_started_again(tmp_path: pathlib.Path, options: t.Dict[str, t.Any], runs: Runs, found: t.List[float]) -> None:
    asked(tmp_path, **options)
    assert delays(tmp_path, runs)[0] == (found or [-1.0])


def test_a_stop_wins(tmp_path: pathlib.Path) -> None:
    asked(tmp_path, policy="always")
    mark_asked(str(tmp_path))
    assert delays(tmp_path, [(1, 0.0)]) == ([-1.0], 0)


@pytest.mark.parametrize("how", ["mark", "mark, untold", "policy", "host"])
def test_a_delay_ends_early(tmp_path: pathlib.Path, how: str) -> None:
    """When somebody asks for its end, also where we are not told; when the policy goes; and when the host goes down."""
    asked(tmp_path, policy="on-failure")
    with start(_WAIT, tmp_path, "60") as process:
        assert process.stdout
        assert process.stdout.readline() == "waits\n"
        if how.startswith("mark"):
            mark_asked(str(tmp_path))
        elif how == "policy":
            asked(tmp_path, policy="no")
        if how != "mark, untold":
            process.send_signal(signal.SIGTERM if how == "host" else signal.SIGHUP)
        assert process.stdout.readline().split() == ["False", str(how == "host"), "True"]


def test_who_has_handed_over_ends_when_it_is_told(tmp_path: pathlib.Path) -> None:
    """containerd's shim, which goes with the old task, waits for that; also when the next start is not wanted any more."""
    more = {"again": f"{shutil.which('sleep')}\t60"}
    tell(str(tmp_path), Supervision("always"), ["runc"], "/h", more)
    with start(_HAND_OVER, tmp_path) as process:
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
        until(lambda: children.read_text().split())
        (child,) = map(int, children.read_text().split())
        try:
            until(lambda: b"sleep" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes())
            tell(str(tmp_path), Supervision("no"), ["runc"], "/h", more)
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGTERM)
            # The program has our standard output, too.
            process.wait(10)
            assert process.stdout
            assert process.stdout.readline() == "True True\n"
        finally:
            os.kill(child, signal.SIGKILL)


def test_what_a_supervisor_is_told(tmp_path: pathlib.Path) -> None:
    """It has no parser: what it reads is what was asked for, and nothing is left where nothing is."""
    check = HealthCheck({"args": ["true"], "env": ["A=1"]}, 1.5, 2.0, 4, 0.5, 0.25, "restart")
    odd = tmp_path / "a b\tc=\udce9"
    os.mkdir(odd)
    tell(str(odd), Supervision("on-failure", 3, 0.5, 7.0, check, 2, 4.0), ["/usr/bin/runc", "--root", "/r"], "/h", {"more": "x"})
    assert read(str(odd)) == {
        "more": "x",
        "policy": "on-failure",
        "retries": "3",
        "delay": "0.5",
        "max-delay": "7.0",
        "exec": "/usr/bin/runc\t--root\t/r",
        "process": f"{odd}/health-process.json",
        "health": "/h",
        "on-failure": "restart",
        "interval": "1.5",
        "timeout": "2.0",
        "health-retries": "4",
        "start-period": "0.5",
        "start-interval": "0.25",
        "stop-signal": "2",
        "stop-timeout": "4.0",
    }
    assert json.loads((odd / "health-process.json").read_text()) == check.process
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in odd.iterdir())
    asked(odd)
    assert list(odd.iterdir()) == []
    with pytest.raises(InvalidArgument, match="line break"):
        tell(str(odd), Supervision("always"), ["runc"], "/h", {"state-root": "/a\nb"})


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_results_that_are_damaged_are_none(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "health.json"
    assert results(str(path)) == {}
    path.write_text(text)
    assert results(str(path)) == {}


def test_a_delay_that_nobody_ends(tmp_path: pathlib.Path) -> None:
    asked(tmp_path, policy="always")
    began = time.monotonic()
    with start(_WAIT, tmp_path, "0.2") as process:
        assert process.communicate()[0].split() == ["waits", "True", "False", "False"]
    assert time.monotonic() - began > 0.2
