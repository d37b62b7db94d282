# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Daemons that run with what containerd_config wrote, and do what it says; and when they have to be restarted."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import tempfile
import time
import typing as t

import grpc  # type: ignore[import-untyped]  # has no types
import pytest
import yaml

from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.configs import at, default
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES, Daemon, binaries
from ansible_collections.fleet.containerd.tests.support.etc import Etc, plugins
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.registry import Registry

CRI, IMAGES = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"
RUNC = plugins("containerd", "runtimes", "runc", runtime_type="io.containerd.runc.v2")


class Configured(Daemon):
    """A daemon with the file that the module wrote."""

    def __init__(self, etc: Etc, base: pathlib.Path) -> None:
        super().__init__(etc.version, base, cri=True)
        self.etc = etc

    def _configure(self) -> pathlib.Path:
        return self.etc.path

    def restart(self) -> None:
        self.kill(signal.SIGTERM)
        self.start()

    def pull(self, image: str) -> None:
        """As the kubelet does it."""
        name = image.encode()
        spec = b"\x0a" + bytes([len(name)]) + name
        request = b"\x0a" + bytes([len(spec)]) + spec
        deadline = time.monotonic() + 20
        while True:
            with grpc.insecure_channel(f"unix:{self.address}") as channel:
                try:
                    channel.unary_unary("/runtime.v1.ImageService/PullImage")(request, timeout=60)
                    return
                except grpc.RpcError as error:  # the plugin is there a moment later than the socket
                    starting = error.code() in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNAVAILABLE)
                    starting = starting or "not initialized yet" in str(error.details())
                    if not starting or time.monotonic() > deadline:
                        raise AssertionError(f"{image}: {error.details()}\n{self.log.read_text()[-3000:]}") from error
            time.sleep(0.1)

    def snapshots(self, snapshotter: str) -> t.List[str]:
        listed = self.ctr("snapshots", "--snapshotter", snapshotter, "ls", namespace="k8s.io").stdout
        return listed.splitlines()[1:]

    def oom_score(self) -> int:
        return int(pathlib.Path(f"/proc/{self.pid}/oom_score_adj").read_text())


@pytest.fixture(params=sorted(RELEASES), ids=lambda version: f"containerd-{version}")
def daemon(request: pytest.FixtureRequest, modules: Modules) -> t.Iterator[Configured]:
    """Not started: there is no file yet. Its directory has a short name, for the sockets in it."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="fleet-config-"))
    made = Configured(Etc(base, modules, request.param), base)
    try:
        yield made
    finally:
        made.clean()
        shutil.rmtree(base)


def own(daemon: Configured) -> t.Dict[str, t.Any]:
    """What keeps a daemon to its own directory."""
    off = ["aufs", "btrfs", "devmapper", "zfs", "blockfile", "erofs"]
    # Pulls of 2.1 unpack what this says, whatever the CRI plugin is told.
    unpack = {"unpack_config": [{"platform": "linux/amd64", "snapshotter": "native"}]} if daemon.version == "2.1" else {}
    return {
        "root": str(daemon.base / "data"),
        "state_dir": str(daemon.base / "run"),
        "oom_score": 321,
        "grpc": {"address": daemon.address},
        "settings": {"disabled_plugins": [f"io.containerd.snapshotter.v1.{name}" for name in off]},
        "plugins": {
            "io.containerd.internal.v1.opt": {"path": str(daemon.base / "opt")},
            "io.containerd.nri.v1.nri": {"disable": True},
            "io.containerd.transfer.v1.local": unpack,
            CRI: {**RUNC, "registry": {"config_path": str(daemon.base / "certs.d")}},
            IMAGES: {"snapshotter": "native"},
        },
    }


def mirror(daemon: Configured, registry: Registry, name: str) -> None:
    directory = daemon.base / "certs.d" / name
    directory.mkdir(parents=True)
    text = f'server = "https://{name}"\n[host."http://{registry.address}"]\n  capabilities = ["pull", "resolve"]\n'
    (directory / "hosts.toml").write_text(text)


@pytest.mark.parametrize("base", ["minimal", "default"])
def test_a_daemon_does_what_its_file_says(daemon: Configured, registry: Registry, busybox: str, base: str) -> None:
    etc = daemon.etc
    etc.run(base=base, **own(daemon))
    daemon.start()
    assert daemon.oom_score() == 321
    assert (daemon.base / "data" / "io.containerd.metadata.v1.bolt" / "meta.db").is_file()
    assert (daemon.base / "run" / "io.containerd.runtime.v2.task").is_dir()
    assert (daemon.base / "opt").is_dir()
    assert "zfs" not in daemon.ctr("plugins", "ls").stdout
    mirror(daemon, registry, "one.test")
    daemon.pull("one.test/busybox:1")
    assert daemon.snapshots("native")
    assert not daemon.snapshots("overlayfs")
    # A drop-in, whose table must not make the daemon forget the one of the main file.
    etc.run(drop_in="50-more", oom_score=100, plugins={CRI: {"max_concurrent_downloads": 2}})
    daemon.restart()
    assert daemon.oom_score() == 100
    mirror(daemon, registry, "two.test")
    daemon.pull("two.test/busybox:1")
    assert not daemon.snapshots("overlayfs")
    etc.run(drop_in="50-more", state="absent")
    daemon.restart()
    assert daemon.oom_score() == 321
    assert busybox


def test_inline_mirrors_go_on_working(daemon: Configured, registry: Registry, busybox: str) -> None:
    etc = daemon.etc
    options = own(daemon)
    inline = {"mirrors": {"inline.test": {"endpoint": [f"http://{registry.address}"]}}}
    options["plugins"][CRI]["registry"] = inline
    etc.run(**options)
    daemon.start()
    daemon.pull("inline.test/busybox:1")
    wanted = plugins(CRI, "registry", config_path=str(daemon.base / "certs.d"))
    moved = etc.run(migrate_mirrors=True, plugins=wanted)
    assert moved.actions[0] == f"create {daemon.base}/certs.d/inline.test/hosts.toml"
    daemon.restart()
    daemon.ctr("images", "rm", "inline.test/busybox:1", namespace="k8s.io")
    daemon.pull("inline.test/busybox:1")
    assert "inline.test" not in etc.text
    assert busybox


def test_a_migrated_file_says_the_same(daemon: Configured, registry: Registry, busybox: str) -> None:
    """From version 2, which every release reads, to the newest that it knows."""
    etc = daemon.etc
    etc.write("version = 2\n")
    etc.run(**own(daemon))
    mirror(daemon, registry, "one.test")
    etc.run(migrate=True)
    daemon.start()
    assert daemon.oom_score() == 321
    daemon.pull("one.test/busybox:1")
    assert daemon.snapshots("native")
    assert not daemon.snapshots("overlayfs")
    assert busybox


def test_whether_a_restart_is_required(daemon: Configured) -> None:
    etc = daemon.etc
    before = etc.run(**own(daemon))
    assert (before.value("restart_required"), before.value("restart_reason")) == (False, f"no containerd runs with {etc.path}")
    daemon.start()
    with contextlib.ExitStack() as stack:
        other = Configured(Etc(stack.enter_context(_directory()), etc._modules, etc.version), stack.enter_context(_directory()))
        other.etc.run(**own(other))
        stack.callback(other.clean)
        other.start()
        assert etc.one(**own(daemon)).value("restart_required") is False
        changed = etc.run(oom_score=5)
        reason = f"this task changes {etc.path}, and containerd (pid {daemon.pid}) runs"
        assert (changed.value("restart_required"), changed.value("restart_reason")) == (True, reason)
        later = etc.one(oom_score=5)
        assert not later.changed
        assert later.value("restart_required") is True
        assert later.value("restart_reason") == f"{etc.path} was changed after containerd (pid {daemon.pid}) was started"
        assert other.etc.one(oom_score=321).value("restart_required") is False
    daemon.restart()
    assert etc.one(oom_score=5).value("restart_reason") == ""
    # Not the file's own time counts, which any tool can set.
    os.utime(etc.path, (1, 1))
    assert etc.one(oom_score=5).value("restart_required") is True
    daemon.restart()
    etc.run(drop_in="a", root=str(daemon.base / "data"))
    daemon.restart()
    assert etc.one(drop_in="a").value("restart_required") is False
    etc.run(drop_in="a", state="absent")
    gone = etc.one(oom_score=5)
    assert gone.value("restart_reason").startswith(f"{etc.directory}, {etc.directory}/conf.d was changed") or gone.value(
        "restart_reason"
    ).startswith(f"{etc.directory}/conf.d was changed")
    daemon.kill(signal.SIGTERM)
    assert etc.one(oom_score=5).value("restart_required") is False


@contextlib.contextmanager
def _directory() -> t.Iterator[pathlib.Path]:
    path = pathlib.Path(tempfile.mkdtemp(prefix="fleet-config-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


# The examples of the documentation

#: What is not there on this machine: systemd.
RESTART = "ansible.builtin.systemd_service"


def examples(marker: pathlib.Path) -> t.List[t.Dict[str, t.Any]]:
    """As they are, but for the hosts, and that a restart leaves a file instead."""
    plays = examples_of("containerd_config")

    def runnable(task: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
        rest = {key: value for key, value in task.items() if key != RESTART}
        return {**rest, "ansible.builtin.command": f"touch {marker}"} if RESTART in task else task

    return [
        {
            **play,
            "hosts": "localhost",
            "gather_facts": False,
            "tasks": [runnable(task) for task in play["tasks"]],
            "handlers": [runnable(task) for task in play.get("handlers", ())],
        }
        for play in plays
    ]


@pytest.mark.parametrize("version", [pytest.param(version, id=f"containerd-{version}") for version in sorted(RELEASES)])
def test_the_examples(version: str, tmp_path: pathlib.Path) -> None:
    """All in one playbook, with their own paths, over another /etc/containerd and another containerd; and once more."""
    etc, marker, playbook = tmp_path / "etc", tmp_path / "restarted", tmp_path / "play.json"
    etc.mkdir()
    (etc / "config.toml").write_text(default("1.7" if version == "2.1" else version))
    playbook.write_text(yaml.safe_dump(examples(marker)))
    mounts = f"mount --bind {etc} /etc/containerd && mount --bind {binaries(version)}/containerd /usr/bin/containerd"
    under = ("unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh")
    how: t.Dict[str, t.Any] = {"variables": {"registry_password": "very-secret-word"}, "under": under, "diff": True}
    first = ansible.play(playbook, **how)
    ours = [one for one in first.results if "config_file" in one.result]
    assert len(ours) == 9
    unchanged = [one.name for one in ours if not one.changed]
    assert unchanged == ([] if version == "2.1" else ["After an upgrade to containerd 2, " + ours[7].name.partition(", ")[2]])
    assert marker.exists()
    assert "very-secret-word" not in first.output
    assert "very-secret-word" in (etc / "conf.d" / "60-credentials.toml").read_text()
    assert oct((etc / "conf.d" / "60-credentials.toml").stat().st_mode & 0o777) == "0o600"
    text = (etc / "config.toml").read_text()
    assert at(_tree(text), ("version",)) == (3 if version == "2.1" else 2)
    assert not (etc / "conf.d" / "50-pause.toml").exists()


def _tree(text: str) -> t.Dict[str, t.Any]:
    import tomllib

    return tomllib.loads(text)
