# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""log_driver and log_options on each engine: what a journal and a syslog server of the test's own get, and what stays on the host."""

from __future__ import annotations

import functools
import json
import os
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.log_receivers import journal, server_at
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.site import Site

Run = t.Callable[..., t.Dict[str, t.Any]]
SPEAKS = ["sh", "-c", "echo out; echo err >&2; printf 'no end'"]


@pytest.fixture
def run(site: Site, modules: Modules, busybox: str) -> Run:
    common: t.Dict[str, t.Any] = {**site.defaults, "image": busybox, "command": SPEAKS, "network_mode": "none"}
    return functools.partial(modules.run, "containerd_container", **common)


def test_the_journal_and_a_copy(run: Run, busybox: str) -> None:
    """Fields and priorities as with Docker's driver. The task shows the output, as the host has a copy."""
    with journal() as (namespace, receiver):
        options = {
            "tag": "{{.Name}}/{{ .ID }}",
            "labels": "team,not-there",
            "env-regex": "^VERSION",
            "journald-namespace": namespace,
        }
        made = run(
            name="web",
            detach=False,
            log_driver="journald",
            log_options=options,
            labels={"team": "a\nb", "other": "x"},
            env={"VERSION_1": "2", "OTHER": "y"},
        )
        entries = {one["MESSAGE"]: one for one in receiver.entries(3)}
        container = made["container"]
        tag = f"web/{container['Id'][:12]}".encode()
        fields = {
            "CONTAINER_ID": container["Id"][:12].encode(),
            "CONTAINER_ID_FULL": container["Id"].encode(),
            "CONTAINER_NAME": b"web",
            "CONTAINER_TAG": tag,
            "SYSLOG_IDENTIFIER": tag,
            "IMAGE_NAME": busybox.encode(),
            "TEAM": b"a\nb",
            "VERSION_1": b"2",
        }
        assert entries == {
            text: {"MESSAGE": text, "PRIORITY": priority, **fields}
            for text, priority in ((b"out", b"6"), (b"err", b"3"), (b"no end", b"6"))
        }
        assert sorted(container["Output"].splitlines()) == ["err", "no end", "out"]
        log = container["HostConfig"]["LogConfig"]
        assert (log["Type"], log["Config"]) == ("journald", options)

        # How much of a copy there is changes while it runs; the rest needs a new container.
        same = {"labels": {"team": "a\nb", "other": "x"}, "env": {"VERSION_1": "2", "OTHER": "y"}, "log_driver": "journald"}
        smaller = run(name="web", detach=False, **same, log_options={**options, "cache-max-size": "100"})
        assert smaller["actions"] == ["update log_options of container web"]
        other = run(name="web", detach=False, **same, log_options={**options, "cache-disabled": True, "tag": "new"})
        assert other["recreated_because"] == ["log_options"]
        assert other["container"]["Output"] == ""
        assert receiver.entries(6)[-1]["CONTAINER_TAG"] == b"new"
        assert not os.path.exists(container["LogPath"])


def test_a_job_that_fails_says_why(site: Site, modules: Modules, busybox: str) -> None:
    with journal() as (namespace, receiver):
        failed = modules.result(
            "containerd_container",
            **site.defaults,
            image=busybox,
            name="bad",
            command=["sh", "-c", "echo why; exit 3"],
            network_mode="none",
            log_driver="journald",
            log_options={"journald-namespace": namespace},
            detach=False,
        )
        (entry,) = receiver.entries(1)
    assert failed["msg"] == "the container bad ended: exit status 3\nThe last that it printed:\nwhy"
    assert entry["MESSAGE"] == b"why"
    assert entry["SYSLOG_IDENTIFIER"] == failed["container"]["Id"][:12].encode()


@pytest.mark.parametrize("scheme", ["unixgram", "tcp"])
@pytest.mark.parametrize("backend", ["embedded", "containerd-2.1"], indirect=True)
def test_syslog(run: Run, tmp_path: pathlib.Path, scheme: str) -> None:
    """Also of a service that its supervisor starts again."""
    with server_at(scheme, tmp_path) as (address, receiver):
        options = {"syslog-address": address, "syslog-facility": "local1", "syslog-format": "rfc5424", "tag": "{{.Name}} 1"}
        script = "if test -e /again; then echo again; exec sleep 9999; fi; touch /again; echo out; exit 1"
        made = run(
            name="web",
            command=["sh", "-c", script],
            log_driver="syslog",
            log_options=options,
            restart_policy="on-failure",
            restart_delay="100ms",
            ready={"for": 0},
            stop_signal="KILL",
        )
        first, second = (one.decode() for one in receiver.messages(2))
        assert first.startswith("<142>1 ")
        assert first.split()[3::2] == ["web_1", "web_1"] + ["out"]
        assert second.endswith(" again")
        assert made["container"]["HostConfig"]["LogConfig"]["Config"] == {**options, "syslog-facility": "17"}


def test_attributes_in_the_file(run: Run) -> None:
    options = {"labels-regex": "^te", "env": ["A", "B"], "tag": "{{.Name}}", "max-size": "1m"}
    made = run(name="web", detach=False, log_options=options, labels={"team": "a", "x": "y"}, env={"A": '"1"'})
    entries = [json.loads(line) for line in pathlib.Path(made["container"]["LogPath"]).read_text().splitlines()]
    assert [one["attrs"] for one in entries] == [{"team": "a", "A": '"1"', "tag": "web"}] * 3
    again = run(name="web", detach=False, log_options=options, labels={"team": "a", "x": "y"}, env={"A": '"1"'})
    assert not again["changed"]


def test_nobody_takes_the_output(site: Site, modules: Modules, busybox: str, tmp_path: pathlib.Path) -> None:
    """A socket that is not there is an error before anything is done; a server that does not answer is a warning."""
    common: t.Dict[str, t.Any] = {**site.defaults, "image": busybox, "name": "web", "network_mode": "none", "detach": False}
    fails = functools.partial(modules.result, "containerd_container", **common, command=SPEAKS)
    wrong: t.List[t.Tuple[t.Dict[str, t.Any], str]] = [
        (
            {"log_driver": "journald", "log_options": {"journald-namespace": "no-such"}},
            "log_driver: journald: there is no journal at /run/systemd/journal.no-such/socket: have systemd-journald run, or "
            "choose json-file",
        ),
        (
            {"log_driver": "syslog", "log_options": {"syslog-address": f"unix://{tmp_path}/none"}},
            f"log_options.syslog-address: there is no socket {tmp_path}/none: start a syslog daemon, or name another address",
        ),
        (
            {
                "log_driver": "syslog",
                "log_options": {"syslog-address": "tcp+tls://127.0.0.1", "syslog-tls-ca-cert": f"{tmp_path}/none"},
            },
            f"log_options.syslog-tls-ca-cert: there is no file {tmp_path}/none",
        ),
    ]
    for options, message in wrong:
        for check in (True, False):
            assert fails(**options, _ansible_check_mode=check)["msg"] == message
    with site.engine() as engine:
        assert not engine.containers.list()
    done = fails(log_driver="syslog", log_options={"syslog-address": "tcp://127.0.0.1:1"})
    assert not done.get("failed"), done
    warning = "log_options.syslog-address: 127.0.0.1:1 does not answer (Connection refused): what the container prints is lost until it does"
    assert warning in str(done["warnings"])
    assert sorted(done["container"]["Output"].splitlines()) == ["err", "no end", "out"]
