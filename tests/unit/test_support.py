# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests are run with leaves nothing behind."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.containerds import running_containerd
from ansible_collections.fleet.containerd.tests.support.memory_store import World
from ansible_collections.fleet.containerd.tests.support.modules import running_modules
from ansible_collections.fleet.containerd.tests.support.namespaces import world
from ansible_collections.fleet.containerd.tests.support.own_host import host_in
from ansible_collections.fleet.containerd.tests.support.pictures import differences, picture
from ansible_collections.fleet.containerd.tools import vm


def test_a_store_in_memory_that_nobody_closes() -> None:
    world = World()
    directory = world.directory
    assert os.path.isdir(directory)
    del world
    assert not os.path.exists(directory)


def test_a_module_whose_test_fails_meanwhile_is_killed(tmp_path: pathlib.Path) -> None:
    def act(pid: int) -> None:
        raise LookupError(pid)

    started = time.monotonic()
    with running_modules(tmp_path / "output") as modules:
        with pytest.raises(LookupError):
            modules.meanwhile(act, "command", _raw_params="sleep 30")
        with pytest.raises(LookupError):
            modules.interrupted(0.05, lambda: act(0), "command", _raw_params="sleep 30")
        with pytest.raises(AssertionError, match="strace"):
            modules.with_fault("no such call:error=EIO", "command", _raw_params="sleep 30")
        assert modules.run("command", _raw_params="echo next")["stdout"] == "next"
    assert time.monotonic() - started < 30


@pytest.mark.daemon
def test_a_daemon_takes_the_runtimes_directories_of_its_namespaces_with_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    name = f"test-{os.urandom(4).hex()}"
    runtime = f"/run/containerd/runc/{name}"
    with running_containerd("2.1") as daemon:
        # As the shim leaves them when a container has ended.
        os.makedirs(runtime)
        os.makedirs(daemon.state / "io.containerd.runtime.v2.task" / name)
    assert not os.path.exists(runtime)


def test_a_machine_has_stopped_when_it_was_told_to(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm, "WHERE", tmp_path)
    machine = vm.Vm("bookworm")
    machine.base.mkdir()
    slow = (
        "import signal, sys, time\nsignal.signal(15, lambda *_: (time.sleep(0.5), sys.exit()))\nprint(flush=True)\nsignal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", slow, str(machine.image)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        (machine.base / "pid").write_text(str(process.pid))
        assert machine.running()
        machine.stop()
        assert not machine.running()


def test_pictures_tell_what_has_come_and_gone(tmp_path: pathlib.Path) -> None:
    with world(tmp_path / "namespaces") as made, host_in(made.host) as host:
        mark, root = f"test-{os.urandom(4).hex()}", tmp_path / "root"
        (root / "old").mkdir(parents=True)
        change = f"""
            rmdir {root}/old; mkdir {root}/new; touch {root}/new/file; mount -t tmpfs none {root}/new
            ip link add one type bridge; nft add table inet two; ip netns add three
        """

        def look() -> t.Dict[str, t.List[str]]:
            return picture(host.under, host.pid, ["/run/netns"], [str(root)], [mark])

        before = look()
        assert differences(before, look()) == []
        top = pathlib.Path("/sys/fs/cgroup")
        group = next(iter(sorted(top.glob("*/cgroup.procs"))), top / "cgroup.procs").parent / mark
        # starts: nsenter, sh, rmdir, mkdir, touch, mount, ip, nft, python3
        subprocess.run([*host.under, "sh", "-ec", change], check=True)
        serve = "import socket, sys; one = socket.socket(socket.AF_UNIX); one.bind(sys.argv[1]); print(flush=True); input()"
        with subprocess.Popen(
            [*host.under, sys.executable, "-c", serve, f"{root}/socket"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout
            process.stdout.readline()
            group.mkdir()
            found = differences(before, look())
            group.rmdir()
            process.kill()
        (root / "socket").unlink()
        assert f"control groups: come: {group}" in found
        assert f"files: gone: {root}/old/" in found
        assert {
            f"files: come: {root}/new/",
            f"mounts: come: {root}/new",
            "links: come: one:",
            "rules: come: table inet two {",
        } <= set(found)
        assert f"sockets: come: {root}/socket" in found
        for kind in ("namespaces of networks: come: three", f"processes: come: {sys.executable} -c "):
            assert any(line.startswith(kind) for line in found), found
