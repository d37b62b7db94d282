# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the process inside sees of options of security, devices, namespaces and mounts: one line an option, on each engine."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import secrets
import subprocess
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.inside import CASES, Ground, matches
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.site import DaemonSite, Site
from ansible_collections.fleet.containerd.tests.support.waiting import until

#: All versions of containerd do with a specification what the newest does.
TWO = ("embedded", "containerd-2.1")


@pytest.mark.parametrize("backend", TWO, indirect=True)
def test_what_the_process_inside_sees(site: Site, modules: Modules, ground: Ground) -> None:
    before = {path: (os.lstat(path).st_mtime_ns, sorted(os.listdir(path))) for path in ("/etc", "/")}
    common = {**site.defaults, "image": ground.image, "detach": False, "network_mode": "none", "cleanup": True}
    wrong = []
    for number, (name, case) in enumerate(CASES.items()):
        options = {**common, **ground.filled(case.options), "command": ["sh", "-c", ground.filled(case.script)]}
        result = modules.result("containerd_container", name=f"case-{number}", **options)
        printed = (result.get("container") or {}).get("Output", "").strip("\n")
        if not matches(printed, ground.filled(case.printed)):
            wrong.append(f"{name}: {result.get('msg', '')} printed {printed!r}, not {ground.filled(case.printed)!r}")
        assert ground.secret not in json.dumps({key: value for key, value in result.items() if key != "container"})
    assert not wrong, "\n".join(wrong)
    assert before == {path: (os.lstat(path).st_mtime_ns, sorted(os.listdir(path))) for path in ("/etc", "/")}
    assert (ground.here / "tree/sub/in/file").read_text() == "back\n"


RUNS: t.Dict[str, t.Any] = {"command": ["sleep", "1000"], "stop_signal": "KILL", "network_mode": "none"}


@pytest.mark.parametrize("backend", TWO, indirect=True)
def test_namespaces_of_another_container(site: Site, modules: Modules, busybox: str) -> None:
    """They are those that it has when the user starts. One whose giver has others by now is started again, and nothing stays mounted
    (the fixture looks).

    I6: another container is the same by its name and by its id.
    """

    def run(name: str, **options: t.Any) -> t.Dict[str, t.Any]:
        return modules.result("containerd_container", **{**site.defaults, "image": busybox, **RUNS, "name": name, **options})

    def namespaces(result: t.Dict[str, t.Any]) -> t.List[str]:
        pid = result["container"]["State"]["Pid"]
        return [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("ipc", "pid", "uts")]

    def pins() -> t.List[str]:
        return [one for one in site.leftovers_of_mounts() if "/ns-" in one]

    look = "for one in ipc pid uts; do readlink /proc/self/ns/$one; done; cat /dev/shm/word; ps | grep -c 'sleep 1000$'; hostname"
    joins = dict.fromkeys(("ipc_mode", "pid_mode", "uts"), "container:giver")
    shares = {"ipc_mode": "shareable", "shm_size": "1m"}
    giver = run("giver", **shares, hostname="giver")
    pid = giver["container"]["State"]["Pid"]
    pathlib.Path(f"/proc/{pid}/root/dev/shm/word").write_text("shared\n")
    memory = os.statvfs(f"/proc/{pid}/root/dev/shm")
    assert memory.f_blocks * memory.f_bsize == 1 << 20
    assert giver["container"]["HostConfig"]["ShmSize"] == 1 << 20
    seen = run("taker", command=["sh", "-c", look], detach=False, cleanup=True, **joins)["container"]["Output"].splitlines()
    assert seen == [*namespaces(giver), "shared", "1", "giver"]
    assert site.leftovers_of_mounts() == [f"{site.container_directory(giver)}/shm"]

    stays = run("stays", **joins)
    assert stays["container"]["HostConfig"]["PidMode"] == f"container:{giver['container']['Id']}"
    assert not run("stays", **joins)["changed"]
    by_id = dict.fromkeys(joins, f"container:{giver['container']['Id']}")
    assert not run("stays", **by_id)["changed"]
    words = "the container stays uses namespaces of giver (ipc, pid, uts), and is to be started again"
    anew = run("giver", **shares, hostname="other")
    assert anew["recreated_because"] == ["hostname"]
    assert words in json.dumps(anew["warnings"])
    # With the giver's processes its own have ended; without that namespace it runs on, in what nobody else has.
    follows = run("stays", **joins)
    assert follows["actions"] == ["start container stays"]
    assert follows["container"]["Id"] == stays["container"]["Id"]
    assert follows["container"]["HostConfig"]["IpcMode"] == f"container:{anew['container']['Id']}"
    assert namespaces(follows) == namespaces(anew)
    assert not run("stays", **joins)["changed"]

    run("stays", state="stopped")
    assert pins() == []
    kept = {option: mode for option, mode in joins.items() if option != "pid_mode"}
    run("other", **kept)
    again = run("giver", **shares, hostname="other", restart=True)
    started = run("other", **kept)
    stop = "stop container other, as the container giver has another ipc namespace by now"
    assert started["actions"] == [stop, "start container other"]
    assert namespaces(started)[::2] == namespaces(again)[::2]
    assert len(pins()) == len(kept)

    run("giver", state="stopped", **shares, hostname="other")
    failed = run("stays", **joins)
    assert failed["msg"] == "ipc_mode: container:giver: the container giver does not run: start it first"
    assert run("no", ipc_mode="container:nobody")["msg"] == "ipc_mode: container:nobody: there is no such container"
    assert run("no", uts="container:no")["msg"] == "uts: container:no is the container itself: give the name of another one"
    run("closed")
    words = "ipc_mode: container:closed: the container does not share its memory: give it ipc_mode shareable"
    assert run("no", ipc_mode="container:closed")["msg"] == words


def everything_below(*roots: pathlib.Path) -> t.Iterator[t.Tuple[pathlib.Path, bytes]]:
    """The files and their contents, but what is mounted below."""
    for root in roots:
        # starts: find
        found = subprocess.run(["find", str(root), "-xdev", "-type", "f", "-print0"], check=True, capture_output=True).stdout
        for name in filter(None, found.decode().split("\0")):
            yield pathlib.Path(name), pathlib.Path(name).read_bytes()


@pytest.mark.packed
@pytest.mark.parametrize("backend", TWO, indirect=True)
def test_where_a_secret_is(site: Site, busybox: str) -> None:
    """In a file for root only, and in the memory of the container. In nothing else: no record, log, argument, environment, result.

    I34: a secret is compared by a salted digest, so a new value is a difference, and the value is nowhere.
    """
    word = f"hush-{secrets.token_hex(16)}"
    options = {"name": "keeper", "image": busybox, **RUNS, "command": ["sh", "-c", "cp /run/secrets/key /tmp/k; exec sleep 1000"]}
    given = [{"name": "key", "content": word, "owner": "user", "mode": "0400"}]
    first = site.play(task("containerd_container", **options, secrets=given), diff=True, arguments=["-vvv"])
    assert "module_args" in first.output
    assert word not in first.output
    made = first.last
    container = made.value("container")
    assert made.value("diff")["after"]["secrets"] == {"key": "(secret)"}
    assert word not in json.dumps(made.result)
    root = pathlib.Path(f"/proc/{container['State']['Pid']}/root")
    assert (root / "run/secrets/key").read_text() == word
    assert ((root / "run/secrets/key").stat().st_uid, (root / "run/secrets").stat().st_mode & 0o777) == (1000, 0o755)
    until(lambda: (root / "tmp/k").read_text() == word)
    (root / "tmp/k").unlink()
    kept = site.container_directory(made.result) / "secrets" / "0"
    directories = [site.data, site.state, *([site.daemon.base] if isinstance(site, DaemonSite) else [])]
    holders = [path for path, content in everything_below(*filter(pathlib.Path.exists, directories)) if word.encode() in content]
    assert holders == [kept]
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                assert word.encode() not in (process / name).read_bytes(), process

    other = [{**given[0], "content": f"{word}-new"}]
    second = site.play(
        task("containerd_container", **options, secrets=given, restart=True),
        task("containerd_container", **options, secrets=other),
        diff=True,
        arguments=["-vvv"],
    )
    assert word not in second.output
    restarted, changed = second.results
    assert restarted.actions == ["stop container keeper", "start container keeper"]
    assert changed.value("recreated_because") == ["secrets"]
    assert changed.value("diff")["after"]["secrets"] == "(secret, changed)"
    assert not kept.exists()
    root = pathlib.Path(f"/proc/{changed.value('container')['State']['Pid']}/root")
    assert (root / "run/secrets/key").read_text() == f"{word}-new"


@pytest.mark.parametrize("backend", TWO, indirect=True)
def test_a_mounted_image_stays(site: Site, modules: Modules, ground: Ground, busybox: str) -> None:
    """While a container has it mounted, its files are not collected; then they are."""
    mounted = [{"type": "image", "source": ground.image, "target": "/i"}]
    user = {**site.defaults, "name": "user", "image": busybox, **RUNS}
    absent = modules.result("containerd_container", **user, mounts=[{**mounted[0], "source": "127.0.0.1:1/no:1"}])
    assert absent["msg"] == "mounts.source: the image 127.0.0.1:1/no:1 is not there: pull it with containerd_image"
    modules.run("containerd_image", **site.defaults, name=ground.image)
    made = modules.run("containerd_container", **user, mounts=mounted)
    before = len(site.snapshots())
    modules.run("containerd_image", **site.defaults, name=ground.image, state="absent")
    restarted = modules.run("containerd_container", **user, mounts=mounted, restart=True)
    root = pathlib.Path(f"/proc/{restarted['container']['State']['Pid']}/root")
    assert (root / "i/data/seed").read_text() == "from the image\n"
    assert len(site.snapshots()) == before
    assert [one["Type"] for one in made["container"]["HostConfig"]["Mounts"]] == ["image"]
    assert [(one["Type"], one["Destination"], one["RW"]) for one in made["container"]["Mounts"]] == [("image", "/i", False)]
    modules.run("containerd_container", **site.defaults, name="user", state="absent")
    modules.run("containerd_image", **site.defaults, name=busybox, state="absent")
    site.collect()
    assert site.snapshots() == []


@pytest.mark.parametrize("backend", TWO, indirect=True)
def test_a_file_that_cannot_be(site: Site, modules: Modules, ground: Ground) -> None:
    """Nothing is left of what could not be made."""
    for wrong, words in {
        "/data": "/data is a directory in the image, and cannot become a file",
        "/bin/busybox/x": "/bin/busybox/x has something else than directories on its way in the image",
        "/tmp/a": "files: /tmp/a cannot be seen in the container, since /tmp is mounted there",
    }.items():
        made = modules.result(
            "containerd_container",
            **{**site.defaults, "image": ground.image, **RUNS},
            name="app",
            tmpfs=["/tmp"],
            files=[{"path": wrong, "content": "x"}],
        )
        assert made["failed"]
        assert words in made["msg"]
    assert site.leftovers() == []
