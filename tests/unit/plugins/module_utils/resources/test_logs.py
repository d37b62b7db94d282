# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container_logs: what is chosen of a log, and logs that grow and are rotated while they are read."""

from __future__ import annotations

import gzip
import json
import os
import pathlib
import shutil
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.resources.logs import query
from ansible_collections.fleet.containerd.plugins.module_utils.resources.logs.find import Log
from ansible_collections.fleet.containerd.plugins.module_utils.resources.logs.follow import Tail
from ansible_collections.fleet.containerd.plugins.module_utils.resources.logs.formats import (
    Record,
    from_cri,
    joined,
    nanoseconds,
    parse_moment,
)
from ansible_collections.fleet.containerd.plugins.module_utils.runtime import json_log
from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.wrong_values import complaint


class Logs:
    """A container in memory whose log is written here."""

    def __init__(self, site: MemorySite, image: str, **options: t.Any) -> None:
        self.site = site
        made = site.play(task("containerd_container", name="web", image=image, command=["sleep", "9"], **options)).last
        self.id = made.value("container")["Id"]
        self.path = pathlib.Path(site.memory.container_path(self.id)) / f"{self.id}-json.log"

    def write(self, *lines: t.Tuple[str, str, str], number: int = 0) -> None:
        """Lines of a second, a stream and a text."""
        path = self.path.with_name(f"{self.path.name}.{number}") if number else self.path
        with path.open("a") as stream:
            for second, name, text in lines:
                stream.write(json.dumps({"log": text, "stream": name, "time": f"2026-11-28T09:00:{second}Z"}) + "\n")

    def read(self, failing: bool = False, **options: t.Any) -> t.Any:
        one = task("containerd_container_logs", container="web", **options)
        return self.site.play(one, failing=failing).last


@pytest.fixture
def logs(site: MemorySite, busybox: str) -> Logs:
    return Logs(site, busybox)


def test_what_is_chosen(logs: Logs) -> None:
    logs.write(("00.5", "stdout", "zero\n"), number=2)
    logs.write(("01", "stdout", "one\n"), ("02.000000001", "stderr", "two\n"), number=1)
    logs.write(("03", "stdout", "th"), ("03", "stderr", "four\n"), ("04", "stdout", "ree\n"), ("05", "stdout", "five"))
    everything = logs.read()
    assert everything.value("output") == "zero\none\ntwo\nfour\nthree\nfive"
    assert (everything.value("stdout"), everything.value("stderr")) == ("zero\none\nthree\nfive", "two\nfour")
    assert (everything.value("lines"), everything.value("status"), everything.value("running")) == (6, "running", True)
    assert not everything.changed
    assert [logs.read(tail=number).value("lines") for number in ("0", "1", "6", "100")] == [0, 1, 6, 6]
    for number, wanted in ((1, "five"), (2, "three\nfive"), (3, "four\nthree\nfive"), (5, "one\ntwo\nfour\nthree\nfive")):
        assert logs.read(tail=str(number)).value("output") == wanted
    assert logs.read(streams=["stderr"], tail="1").value("output") == "four"
    assert logs.read(since="2026-11-28T09:00:02Z", until="2026-11-28 09:00:03").value("output") == "two\nfour\nth"
    assert logs.read(since="2026-11-28T11:00:02.000000002+02:00").value("stdout") == "three\nfive"
    assert logs.read(until="1795856401").value("output") == "zero\none"
    assert logs.read(since="100000h", tail="2", timestamps=True).value("output") == (
        "2026-11-28T09:00:03Z three\n2026-11-28T09:00:05Z five"
    )
    matched = [logs.read(pattern=pattern).value("matched") for pattern in ("^thr..$", "nothing")]
    assert matched == [True, False]


def test_too_much(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last part of it is returned."""
    monkeypatch.setattr(query, "_LIMIT", 1000)
    logs.write(*(("01", "stdout", f"line {number}\n") for number in range(100)))
    found = logs.read()
    assert (found.value("truncated"), found.value("lines"), found.value("output").split("\n")[-1]) == (True, 15, "line 99")
    assert not logs.read(tail="3").value("truncated")
    logs.write(*(("01", "stderr", f"{number}" * 300 + "\n") for number in range(3)))
    assert logs.read(tail="2").value("lines") == 2


def test_lines_that_are_not_in_order(logs: Logs) -> None:
    """Each stream has a writer; and a time may be damaged."""
    logs.write(("05", "stdout", "a\n"), ("04.9", "stderr", "earlier\n"), ("..", "stdout", "never\n"), ("05.1", "stdout", "b\n"))
    assert logs.read(since="2026-11-28T09:00:05Z").value("output") == "a\nb"
    assert logs.read().value("output") == "a\nearlier\nnever\nb"


def test_since_the_start(logs: Logs) -> None:
    logs.write(("00", "stdout", "old\n"))
    logs.site.memory.tasks.say(logs.id, "no time\n")
    assert logs.read(since="start").value("output") == ""


def test_follow(logs: Logs) -> None:
    """What is there already counts; an end and a timeout are no errors without a pattern."""
    logs.write(("00", "stdout", "ready\n"))
    assert logs.read(follow=True, pattern="^ready$").value("matched")
    late = logs.read(follow=True, timeout=0.01, tail="0")
    assert (late.value("timed_out"), late.value("output")) == (True, "")
    failed = logs.read(failing=True, follow=True, timeout=0.01, pattern="never")
    assert failed.msg == "pattern: 'never' was not printed by the container web within 0.01 s (timeout)"
    assert failed.value("output") == "ready"
    logs.site.memory.tasks.finish(logs.id, 3)
    ended = logs.read(follow=True)
    assert (ended.value("timed_out"), ended.value("status"), ended.value("output")) == (False, "stopped", "ready")
    failed = logs.read(failing=True, follow=True, pattern="never")
    assert failed.msg == "pattern: the container web does not run with the exit status 3, and has not printed 'never'"


def test_nobody_keeps_it(site: MemorySite, busybox: str) -> None:
    said = Logs(site, busybox, log_driver="none").read(failing=True).msg
    assert said == "container: web has log_driver none, and nobody keeps what it prints: give it log_driver json-file"
    other = site.play(task("containerd_container_logs", container="other"), failing=True).last.msg
    assert other == "container: no container other in the namespace default of the engine embedded"


def of_nerdctl(logs: Logs, state: pathlib.Path) -> None:
    """The container as one that nerdctl has made."""
    container = logs.site.memory.containers.get(logs.id)
    changed = container._replace(extensions={}, labels={**container.labels, "nerdctl/state-dir": str(state)})
    logs.site.memory.containers.update(changed, ("extensions", "labels"))


def test_of_nerdctl(logs: Logs, tmp_path: pathlib.Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    logs.write(("00", "stdout", "of nerdctl\n"))
    shutil.move(logs.path, state)
    of_nerdctl(logs, state)
    assert logs.read().value("output") == "of nerdctl"
    (state / "log-config.json").write_text('{"driver": "json-file", "opts": {"log-path": "%s"}}' % (tmp_path / "elsewhere"))
    (state / logs.path.name).rename(tmp_path / "elsewhere")
    assert logs.read().value("output") == "of nerdctl"
    (state / "log-config.json").write_text('{"driver": "journald"}')
    said = logs.read(failing=True).msg
    assert (
        said
        == f"container: web has the log driver journald, which is not read here: journalctl CONTAINER_ID={logs.id[:12]} has it"
    )


def test_of_somebody(logs: Logs) -> None:
    container = logs.site.memory.containers.get(logs.id)
    logs.site.memory.containers.update(container._replace(extensions={}), ("extensions",))
    assert "was made neither by this collection nor by nerdctl" in logs.read(failing=True).msg


def test_of_the_kubelet(tmp_path: pathlib.Path) -> None:
    """Tags, pieces, and rotated files, of which all but one are compressed."""
    path = tmp_path / "0.log"
    lines = [f"2026-11-28T09:00:0{number}.5Z stdout F line {number}\n" for number in range(6)]
    with gzip.open(f"{path}.20261128-090000.gz", "wt") as packed:
        packed.writelines(lines[:2])
    pathlib.Path(f"{path}.20261128-090100").write_text("".join(lines[2:4]))
    pathlib.Path(f"{path}.20261128-090200.tmp").write_text("unfinished")
    path.write_text(lines[4] + "2026-11-28T09:00:05Z stderr P a pi\n2026-11-28T09:00:05Z stderr F ece\n" + "rubbish\n")
    with Tail(Log(str(path), cri=True)) as tail:
        found = list(joined(reversed(list(tail.before()))))
    assert [one.text for one in found] == [*(f"line {number}" for number in range(5)), "a piece"]
    assert from_cri(b"2026-11-28T09:00:05+01:00 stdout F") == Record("2026-11-28T09:00:05+01:00", "stdout", "", True)


@pytest.mark.parametrize("files", [1, 2, 5])
def test_a_log_that_grows_and_is_rotated(tmp_path: pathlib.Path, files: int) -> None:
    """Each line comes once and in order, before the moment or after it; unless the writer has removed it already."""
    path = str(tmp_path / "log")
    writer = json_log.Log(path, 1000, files)
    for number in range(30):
        writer.feed("stdout", b"before %d\n" % number)
    with Tail(Log(path)) as tail:
        before = [one.text for one in tail.before()][::-1]
        assert before == [f"before {number}" for number in range(30 - len(before), 30)]
        assert len(before) == 30 if files == 5 else 0 < len(before) < 30
        seen: t.List[str] = []
        for number in range(200):
            writer.feed("stdout", b"after %d\n" % number)
            if number % 3 == 0:
                seen += [one.text for one in tail.new()]
        seen += [one.text for one in tail.new()]
        numbers = [int(one.split()[1]) for one in seen]
        assert numbers == sorted(set(numbers))
        # With one file the lines between two looks may be gone.
        assert numbers == list(range(200)) or files == 1
    assert len(os.listdir("/proc/self/fd")) < 200


def test_a_line_that_is_half_written(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    line = json.dumps({"log": "x\n", "stream": "stdout", "time": "2026-11-28T09:00:00Z"})
    path.write_text(f"{line}\n{line[:9]}")
    with Tail(Log(str(path))) as tail:
        assert [one.text for one in tail.before()] == ["x"]
        assert list(tail.new()) == []
        with path.open("a") as stream:
            stream.write(f"{line[9:]}\nrubbish\n")
        assert [one.text for one in tail.new()] == ["x"]


def test_times() -> None:
    day = 1795824000 * 10**9
    assert nanoseconds("2026-11-28") == day
    assert nanoseconds("2026-11-28T01:00:00.123456789+01:00") == day + 123456789
    assert [nanoseconds(text) for text in ("2026-13-01", "2026-11-28T25:00:00Z", "yesterday", "")] == [None] * 4
    assert parse_moment("1m30s", "since", day, 0) == day - 90 * 10**9
    assert parse_moment("1795824000.5", "since", 0, 0) == day + 5 * 10**8
    assert parse_moment("start", "since", 0, 7) == 7


WRONG: t.List[t.Tuple[str, t.Any]] = [
    ("tail", "-1"),
    ("tail", "some"),
    ("since", "yesterday"),
    ("until", "5 minutes"),
    ("streams", ["stdlog"]),
    ("pattern", "a("),
    ("follow", "perhaps"),
    ("timeout", "nan"),
    ("timeout", -1),
    ("timestamps", "perhaps"),
]


@pytest.mark.parametrize(("option", "value"), WRONG, ids=str)
def test_wrong_values(site: MemorySite, busybox: str, option: str, value: t.Any) -> None:
    result = Logs(site, busybox).read(failing=True, **{option: value})
    assert not complaint(option, value, result.result)


def test_options_that_contradict_each_other(logs: Logs) -> None:
    assert logs.read(failing=True, follow=True, until="5m").msg == "until: '5m' has no meaning with follow=true: give timeout"
    assert logs.read(failing=True, since="1m", until="5m").msg == "until: '5m' is before since: '1m'"
