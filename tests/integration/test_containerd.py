# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules on real daemons, through ansible-playbook: containers that end, and what others do."""

from __future__ import annotations

import pathlib
import signal
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.rpc.channel import Channel
from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES, Daemon, running_containerd


def image(name: str, **options: t.Any) -> Task:
    return task("containerd_image", name=name, plain_http=True, **options)


def container(name: str, **options: t.Any) -> Task:
    return task("containerd_container", name=name, **options)


class DaemonSite:
    """Tasks against one namespace of a daemon."""

    def __init__(self, daemon: Daemon, data: pathlib.Path, namespace: str) -> None:
        self.daemon, self.data, self.namespace = daemon, data, namespace
        self.defaults = {"engine": "containerd", "address": daemon.address, "namespace": namespace, "data_root": str(data)}
        self.rpc = Channel(daemon.address, namespace)

    def converge(self, *tasks: Task) -> t.List[TaskResult]:
        """In check mode, for real, and again; the results of the real run."""
        number = len(tasks)
        checks = [{**one, "check_mode": True} for one in tasks]
        done = ansible.play([*checks, *tasks, *tasks], defaults=self.defaults).results
        predicted, real, again = done[:number], done[number : 2 * number], done[2 * number :]
        assert [one.actions for one in predicted] == [one.actions for one in real]
        assert all(one.changed for one in [*predicted, *real])
        assert [one.actions for one in again] == [[]] * number
        assert not any(one.changed for one in again)
        return real

    def ctr(self, *arguments: str) -> str:
        return self.daemon.ctr(*arguments, namespace=self.namespace).stdout

    def left(self) -> t.Dict[str, t.Any]:
        """What there is of this namespace in the daemon."""
        snapshots = self.rpc.stream("snapshots.v1.Snapshots/List", {"snapshotter": "overlayfs"})
        return {
            "images": self.rpc.call("images.v1.Images/List")["images"],
            "containers": self.rpc.call("containers.v1.Containers/List")["containers"],
            "tasks": self.rpc.call("tasks.v1.Tasks/List")["tasks"],
            "leases": self.rpc.call("leases.v1.Leases/List")["leases"],
            "ingests": self.rpc.call("content.v1.Content/ListStatuses")["statuses"],
            "blobs": [info for answer in self.rpc.stream("content.v1.Content/List") for info in answer["info"]],
            "snapshots": [info for answer in snapshots for info in answer["info"]],
        }


@pytest.fixture(scope="module", params=sorted(RELEASES))
def daemon(request: pytest.FixtureRequest) -> t.Iterator[Daemon]:
    with running_containerd(request.param) as running:
        yield running


@pytest.fixture
def site(daemon: Daemon, tmp_path: pathlib.Path) -> DaemonSite:
    # The runtime's state is one for all daemons of a machine.
    return DaemonSite(daemon, tmp_path / "data", f"of-a-playbook-{daemon.version}")


@pytest.mark.parametrize("tty", [False, True])
def test_a_container_that_ends(site: DaemonSite, busybox: str, tty: bool) -> None:
    command = ["sh", "-c", "echo out; echo err >&2; exit 0"]
    once = container("once", image=busybox, command=command, detach=False, tty=tty, plain_http=True)
    failing = container("failing", image=busybox, command=["sh", "-c", "echo no; exit 3"], detach=False, cleanup=True)
    play = ansible.play([once, once, {**failing, "ignore_errors": True}], defaults=site.defaults)
    first, second, third = play.results
    end = "\r\n" if tty else "\n"
    assert first.value("container")["Output"] == f"out{end}err{end}"
    assert (first.value("status"), first.changed, second.changed) == (0, True, False)
    assert second.value("container")["Output"] == f"out{end}err{end}"
    assert (third.failed, third.value("status")) == (True, 3)
    ansible.play([container("once", state="absent"), image(busybox, state="absent")], defaults=site.defaults)
    assert site.left() == {key: [] for key in site.left()}


def test_what_others_do_is_seen(site: DaemonSite, busybox: str) -> None:
    site.ctr("images", "pull", "--plain-http", busybox)
    tasks = [image(busybox), container("web", image=busybox, command=["sleep", "1000"])]
    present, made = ansible.play(tasks, defaults=site.defaults).results
    assert not present.changed
    container_id = made.value("container")["Id"]
    site.ctr("task", "kill", "--signal", str(int(signal.SIGKILL)), container_id)
    site.rpc.call("tasks.v1.Tasks/Wait", {"container_id": container_id})
    (again,) = site.converge(tasks[1])
    assert again.actions == ["start container web"]
    site.ctr("run", "-d", busybox, "theirs", "/bin/sleep", "1000")
    theirs = ansible.play([container("theirs", state="stopped", force_kill=True)], defaults=site.defaults).last
    assert theirs.changed
    refused = ansible.play(
        [{**container("theirs", image=busybox, command=["sleep", "5"]), "ignore_errors": True}], defaults=site.defaults
    ).last
    assert "adopt" in refused.msg
    names = ("web", "theirs")
    ansible.play(
        [*(container(name, state="absent", stop_timeout=1) for name in names), image(busybox, state="absent")],
        defaults=site.defaults,
    )
    assert site.left() == {key: [] for key in site.left()}


def test_no_daemon(tmp_path: pathlib.Path) -> None:
    defaults = {"engine": "containerd", "address": str(tmp_path / "no.sock"), "data_root": str(tmp_path / "data")}
    failed = ansible.play([{**image("x", state="absent"), "ignore_errors": True}], defaults=defaults).last
    assert failed.failed
    assert "is not there: start containerd" in failed.msg
