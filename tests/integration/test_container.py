# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container through ansible-playbook: making, changing, comparing and removing containers that really run."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.containerds import Daemon
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.site import Site, finished, new_site

Options = t.Dict[str, t.Any]
#: A command that runs until it is killed, and no waiting for that.
RUNS: Options = {"command": ["sleep", "1000"], "stop_signal": "KILL"}


def container(name: str, ignore_errors: bool = False, **options: t.Any) -> Task:
    return {**task("containerd_container", name=name, **options), "ignore_errors": ignore_errors}


def pid(result: TaskResult) -> int:
    return int(result.value("container")["State"]["Pid"])


def read(path: str) -> str:
    return pathlib.Path(path).read_text()


def environment(number: int) -> t.Dict[str, str]:
    lines = read(f"/proc/{number}/environ").rstrip("\0").split("\0")
    return dict(line.partition("=")[::2] for line in lines)


def inside(number: int, *command: str) -> str:
    """What a command prints in the namespaces of a process."""
    enter = ["nsenter", "-t", str(number), "-m", "-u", "-n", "-p", "-r", "-w"]
    # starts: nsenter (and what the image has)
    return subprocess.run([*enter, *command], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.packed
def test_create_again_and_absent(site: Site, host: t.Any, busybox: str) -> None:
    (made,) = site.converge(container("web", image=busybox, **RUNS), diff=True)
    assert made.actions == [f"pull image {busybox}", "create container web", "start container web"]
    diff = made.value("diff")
    assert diff["before"] == {"exists": False}
    assert diff["after"]["exists"] is True
    assert diff["after"]["state"] == "running"
    assert diff["after"]["command"] == ["sleep", "1000"]
    assert diff["after"]["image"]["name"] == busybox
    facts = made.value("container")
    assert diff["after"]["image"]["digest"] == facts["Containerd"]["ManifestDigest"]
    assert facts["Name"] == "/web"
    assert facts["Config"]["Image"] == busybox
    assert (facts["Path"], facts["Args"]) == ("sleep", ["1000"])
    process = host.process.get(pid=pid(made))
    assert process.args == "sleep 1000"
    assert process.user == "root"
    assert len(site.cgroups()) > 1
    network = os.open(f"/proc/{pid(made)}/ns/net", os.O_RDONLY)
    assert len(processes_inside(network)) == 1
    assert host.mount_point(str(site.bundle(facts["Id"]) / "rootfs")).filesystem == "overlay"
    (gone,) = site.converge(container("web", state="absent"), diff=True)
    assert gone.actions == ["remove container web"]
    assert gone.value("diff") == {"before": {"exists": True, "state": "running"}, "after": {"exists": False}}
    assert gone.value("container") == {}
    assert site.leftovers() == []
    assert not host.file(f"/proc/{pid(made)}").exists
    # Still open here, so that nobody else's can have its number by now.
    assert processes_inside(network) == []
    os.close(network)


def processes_inside(network: int) -> t.List[pathlib.Path]:
    """Those of an open network namespace."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/ns/net"):
        with contextlib.suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(network)):
                found.append(path)
    return found


def test_states(site: Site, host: t.Any, busybox: str) -> None:
    (present,) = site.converge(container("one", image=busybox, state="present", **RUNS))
    assert present.actions[-1] == "create container one"
    assert present.value("container")["State"]["Status"] == "created"
    assert site.cgroups() == []
    (started,) = site.converge(container("one", image=busybox, **RUNS))
    assert started.actions == ["start container one"]
    assert host.process.get(pid=pid(started)).comm == "sleep"
    same = site.play(container("one", image=busybox, state="present", **RUNS), container("one")).results
    assert not any(result.changed for result in same)
    assert pid(same[1]) == pid(started)
    (stopped,) = site.converge(container("one", state="stopped"), diff=True)
    assert stopped.actions == ["stop container one"]
    assert stopped.value("container")["State"]["Status"] == "exited"
    assert stopped.value("container")["State"]["ExitCode"] == 137
    assert stopped.value("diff") == {"before": {"state": "running"}, "after": {"state": "stopped"}}
    assert not host.file(f"/proc/{pid(started)}").exists
    again, restarted, fresh = site.play(
        container("one"), container("one", restart=True), container("two", image=busybox, state="stopped", **RUNS)
    ).results
    assert again.actions == ["start container one"]
    assert restarted.actions == ["stop container one", "start container one"]
    assert pid(again) != pid(restarted)
    assert fresh.actions == ["create container two"]
    assert fresh.value("container")["State"]["Running"] is False


#: Options that need a new container: how it is made, and what then changes. VOLUME stands for the test's directory.
RECREATING: t.Dict[str, t.Tuple[Options, Options]] = {
    "command": ({}, {"command": "sleep '1001'"}),
    "entrypoint": ({"command": ["1000"], "entrypoint": ["sleep"]}, {"command": ["1000"], "entrypoint": ["/bin/sleep"]}),
    "env": ({"env": {"A": "1", "B": "1"}}, {"env": {"A": "2"}}),
    "hostname": ({"hostname": "one"}, {"hostname": "two"}),
    "interactive": ({}, {"interactive": True}),
    "log_driver": ({}, {"log_driver": "none"}),
    "log_options": ({"log_options": {"max-size": "1m"}}, {"log_options": {"max-size": "2m", "max-file": 2}}),
    "network_mode": ({}, {"network_mode": "host"}),
    "read_only": ({}, {"read_only": True}),
    "runtime": ({}, {"runtime": "/usr/sbin/runc"}),
    "tty": ({}, {"tty": True}),
    "user": ({"user": "user"}, {"user": "1000:2000"}),
    "volumes": ({"volumes": ["VOLUME:/v"]}, {"volumes": ["VOLUME:/v:ro"]}),
    "working_dir": ({}, {"working_dir": "/tmp/"}),
}


@pytest.fixture(scope="module")
def changed_options(
    registry: Registry, busybox: str, backend: t.Optional[Daemon], tmp_path_factory: pytest.TempPathFactory
) -> t.Iterator[t.Dict[str, t.Tuple[TaskResult, TaskResult]]]:
    """A container for every row, made and then changed: both results."""
    base = tmp_path_factory.mktemp("options")
    (base / "volume").mkdir()

    def filled(options: Options) -> Options:
        return t.cast(Options, json.loads(json.dumps(options).replace("VOLUME", str(base / "volume"))))

    with finished(new_site(base, backend)) as site:
        names = sorted(RECREATING)
        first = site.play(
            *(container(name.replace("_", "-"), image=busybox, **{**RUNS, **filled(RECREATING[name][0])}) for name in names)
        )
        second = site.converge(
            *(container(name.replace("_", "-"), image=busybox, **{**RUNS, **filled(RECREATING[name][1])}) for name in names),
            diff=True,
        )
        yield {name: (one, other) for name, one, other in zip(names, first.results, second)}


# In one process of those that run tests, so that the containers are made once.
@pytest.mark.xdist_group("changed_options")
@pytest.mark.parametrize("option", sorted(RECREATING))
def test_an_option_that_changes_makes_the_container_anew(
    changed_options: t.Dict[str, t.Tuple[TaskResult, TaskResult]], option: str
) -> None:
    first, second = changed_options[option]
    name, old = option.replace("_", "-"), first.value("container")["Id"]
    assert second.value("recreated_because") == [option]
    assert second.actions == [
        f"create container {name} anew ({option} changed)",
        f"stop the old container {name}",
        f"give the name {name} to the new container",
        f"start container {name}",
        f"remove the old container {old[:12]}",
    ]
    diff = second.value("diff")
    assert set(diff["before"]) == set(diff["after"]) == {"state", option}
    assert diff["before"][option] != diff["after"][option]
    assert second.value("container")["Id"] != old
    assert not pathlib.Path(f"/proc/{pid(first)}").exists()


@pytest.mark.xdist_group("changed_options")
def test_the_changed_options_took_effect(changed_options: t.Dict[str, t.Tuple[TaskResult, TaskResult]], host: t.Any) -> None:
    now = {option: pid(results[1]) for option, results in changed_options.items()}
    facts = {option: results[1].value("container") for option, results in changed_options.items()}
    assert host.process.get(pid=now["command"]).args == "sleep 1001"
    assert host.process.get(pid=now["entrypoint"]).args == "/bin/sleep 1000"
    env = environment(now["env"])
    assert (env["A"], env.get("B")) == ("2", None)
    assert env["PATH"].startswith("/usr/local/sbin")
    assert env["HOSTNAME"] == facts["env"]["Id"][:12]
    assert inside(now["hostname"], "/bin/hostname") == "two"
    assert read(f"/proc/{now['hostname']}/environ").count("HOSTNAME=two") == 1
    assert pathlib.Path(f"/proc/{now['interactive']}/fd/0").readlink().name.startswith("pipe:")
    assert str(pathlib.Path(f"/proc/{now['command']}/fd/0").readlink()) == "/dev/null"
    assert facts["log_driver"]["HostConfig"]["LogConfig"]["Type"] == "none"
    assert facts["log_driver"]["LogPath"] == ""
    assert facts["log_options"]["HostConfig"]["LogConfig"]["Config"] == {"max-size": str(2 << 20), "max-file": "2"}
    assert pathlib.Path(f"/proc/{now['network_mode']}/ns/net").readlink() == pathlib.Path("/proc/self/ns/net").readlink()
    links = inside(now["command"], "/bin/ip", "-o", "link")
    assert links.startswith("1: lo:")
    assert "\n" not in links
    root = [line.split() for line in read(f"/proc/{now['read_only']}/mountinfo").splitlines() if line.split()[4] == "/"]
    assert "ro" in root[-1][5].split(",")
    assert facts["runtime"]["HostConfig"]["Runtime"] == "/usr/sbin/runc"
    assert str(pathlib.Path(f"/proc/{now['tty']}/fd/0").readlink()).startswith("/dev/pts/")
    status = read(f"/proc/{now['user']}/status")
    assert "Uid:\t1000\t1000\t1000\t1000\n" in status
    assert "Gid:\t2000\t2000\t2000\t2000\n" in status
    before = read(f"/proc/{now['volumes']}/mountinfo")
    volume = [line.split() for line in before.splitlines() if line.split()[4] == "/v"]
    assert "ro" in volume[0][5].split(",")
    assert str(pathlib.Path(f"/proc/{now['working_dir']}/cwd").readlink()) == "/tmp"


def test_live_changes(site: Site, host: t.Any, busybox: str) -> None:
    options: Options = {"image": busybox, "command": ["sleep", "1000"]}
    first = site.play(container("live", labels={"tier": "front"}, stop_timeout=1, stop_signal="KILL", **options)).last
    (changed,) = site.converge(
        container("live", labels={"tier": "back"}, stop_timeout=2, stop_signal="INT", **options), diff=True
    )
    assert changed.actions == ["update labels, stop_signal, stop_timeout of container live"]
    assert changed.value("diff") == {
        "before": {"labels": {"tier": "front"}, "stop_signal": 9, "stop_timeout": 1},
        "after": {"labels": {"tier": "back"}, "stop_signal": 2, "stop_timeout": 2},
    }
    assert "recreated_because" not in changed.result
    facts = changed.value("container")
    assert pid(changed) == pid(first)
    assert facts["Config"]["Labels"] == {"tier": "back"}
    assert (facts["Config"]["StopSignal"], facts["Config"]["StopTimeout"]) == ("SIGINT", 2)
    added, more, strict, emptied = site.play(
        container("live", labels={"extra": "1"}, stop_signal="KILL"),
        container("live", labels={"tier": "back"}),
        container("live", labels={"extra": "1"}, comparisons={"labels": "strict"}),
        container("live", labels={}),
    ).results
    assert added.value("container")["Config"]["Labels"] == {"tier": "back", "extra": "1"}
    assert not more.changed
    assert strict.actions == ["update labels of container live"]
    assert strict.value("container")["Config"]["Labels"] == {"extra": "1"}
    assert emptied.changed
    assert emptied.value("container")["Config"]["Labels"] == {}
    assert host.process.get(pid=pid(first)).comm == "sleep"


def test_comparisons(site: Site, busybox: str, tmp_path: pathlib.Path) -> None:
    volumes = [f"{tmp_path}:/a", f"{tmp_path}:/b"]
    base: Options = {"image": busybox, **RUNS}
    site.play(container("c", env={"A": "1", "B": "2"}, volumes=volumes, hostname="one", **base))
    same = [
        container("c", **base),
        container("c", env={"B": "2"}, volumes=volumes[1:], **base),
        container("c", env={"A": "0"}, volumes=[f"{tmp_path}:/z"], comparisons={"env": "ignore", "volumes": "ignore"}),
        container("c", env={"A": "0"}, hostname="two", comparisons={"*": "ignore"}),
        container("c", command=["sleep"], comparisons={"command": "allow_more_present"}),
        container("c", volumes=volumes[::-1], comparisons={"volumes": "strict"}),
        container("c", env={"A": "1", "B": "2", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}),
    ]
    different = {
        "env": container("c", env={"A": "1"}, comparisons={"env": "strict"}, **base),
        "volumes": container("c", volumes=volumes[:1], comparisons={"volumes": "strict"}, **base),
        "hostname": container("c", env={"A": "0"}, hostname="two", comparisons={"*": "ignore", "hostname": "strict"}, **base),
        "command": container("c", command=["true"], image=busybox),
    }
    results = site.predict(*same, *different.values()).results
    assert [one.actions for one in results[: len(same)]] == [[]] * len(same)
    assert [one.value("recreated_because") for one in results[len(same) :]] == [[option] for option in different]


def test_options_that_are_taken_back(site: Site, busybox: str, tmp_path: pathlib.Path) -> None:
    base: Options = {"image": busybox, "stop_signal": "KILL"}
    volumes = [f"{tmp_path}:/a"]
    site.play(container("c", command=["sleep", "1000"], env={"A": "1"}, volumes=volumes, working_dir="/tmp", **base))
    (emptied,) = site.converge(container("c", command=["sleep", "1000"], env={}, volumes=[], **base), diff=True)
    assert emptied.value("recreated_because") == ["env", "volumes"]
    assert "reset to the image's default: working_dir" in emptied.actions[0]
    diff = emptied.value("diff")
    assert (diff["before"]["working_dir"], diff["after"]["working_dir"]) == ("/tmp", "/")
    facts = emptied.value("container")
    assert not [item for item in facts["Config"]["Env"] if item.startswith("A=")]
    assert facts["Mounts"] == []
    assert facts["Config"]["WorkingDir"] == "/"
    image_command = site.play(container("c", command=[], tty=True, interactive=True, **base)).last
    assert image_command.value("container")["Path"] == "sh"
    assert image_command.value("container")["State"]["Running"] is True


def test_the_image_moves(site: Site, registry: Registry, layout: Layout) -> None:
    name = f"{registry.address}/release:1"
    options: Options = {"image": name, **RUNS}
    registry.push(layout.path, busybox_image(layout, Labels={"release": "1"}), "release", "1")
    first = site.play(container("app", **options)).last
    digest = registry.push(layout.path, busybox_image(layout, Labels={"release": "2"}), "release", "1")
    assert not site.play(container("app", **options)).last.changed
    (moved,) = site.converge(container("app", pull="always", **options), diff=True)
    assert moved.value("recreated_because") == ["image"]
    assert moved.actions[0].startswith(f"pull image {name} (the registry has {digest[:19]}")
    assert moved.actions[1] == "create container app anew (image changed)"
    assert moved.value("diff")["after"]["image"] == {"name": name, "digest": digest}
    assert moved.value("container")["Config"]["Labels"] == {"release": "2"}
    assert not pathlib.Path(f"/proc/{pid(first)}").exists()
    third = registry.push(layout.path, busybox_image(layout, Labels={"release": "3"}), "release", "1")
    newer, by_id, other_id = site.play(
        container("app", pull="newer", **options),
        container("app", **{**options, "image": third}),
        container("app", ignore_errors=True, **{**options, "image": "sha256:" + "1" * 64}),
    ).results
    assert newer.value("recreated_because") == ["image"]
    assert not by_id.changed
    assert other_id.failed
    assert "an image id cannot be pulled" in other_id.msg


def test_image_name_mismatch(site: Site, registry: Registry, layout: Layout) -> None:
    descriptor = busybox_image(layout)
    for tag in ("1", "alias"):
        registry.push(layout.path, descriptor, "named", tag)
    name, alias = f"{registry.address}/named:1", f"{registry.address}/named:alias"
    site.play(container("app", image=name, **RUNS), task("containerd_image", name=alias))
    ignored = site.play(container("app", image=alias, **RUNS)).last
    assert not ignored.changed
    (renamed,) = site.converge(container("app", image=alias, image_name_mismatch="recreate", **RUNS))
    assert renamed.value("recreated_because") == ["image"]
    assert renamed.value("container")["Config"]["Image"] == alias


def test_a_failed_change_leaves_the_old_container_running(site: Site, host: t.Any, busybox: str) -> None:
    first = site.play(container("app", image=busybox, env={"A": "1"}, **RUNS)).last
    bad, missing = site.play(
        container("app", image=busybox, stop_signal="KILL", command=["no-such-command"], ignore_errors=True),
        container("app", image=busybox, user="nobody-knows", ignore_errors=True, **RUNS),
    ).results
    assert bad.failed
    assert bad.msg == "the command no-such-command is not in the image's PATH"
    assert bad.value("failed_action").startswith("create container app anew (command changed)")
    assert missing.failed
    assert missing.msg.startswith("user: ")
    assert "nobody-knows" in missing.msg
    with site.engine() as engine:
        (left,) = engine.containers.list()
        state = engine.tasks.state(left.id)
    assert left.id == first.value("container")["Id"]
    assert left.labels["nerdctl/name"] == "app"
    assert host.process.get(pid=state.pid).args == "sleep 1000"
    assert environment(state.pid)["A"] == "1"
    assert not site.play(container("app", image=busybox, env={"A": "1"}, **RUNS)).last.changed


def test_recreate_and_restart(site: Site, busybox: str) -> None:
    first = site.play(container("app", image=busybox, **RUNS)).last
    recreate, restart = site.play(
        container("app", image=busybox, recreate=True, **RUNS), container("app", image=busybox, restart=True, **RUNS)
    ).results
    assert recreate.value("recreated_because") == ["recreate"]
    assert recreate.value("container")["Id"] != first.value("container")["Id"]
    assert restart.actions == ["stop container app", "start container app"]
    assert restart.value("container")["Id"] == recreate.value("container")["Id"]


def test_a_foreign_container_is_not_touched(site: Site, busybox: str) -> None:
    site.play(container("app", image=busybox, **RUNS))
    with site.engine() as engine:
        (record,) = engine.containers.list()
        engine.containers.update(record._replace(extensions={}), ["extensions"])
    alone, refused = site.play(container("app"), container("app", image=busybox, ignore_errors=True, **RUNS)).results
    assert not alone.changed
    assert refused.failed
    assert "was not made by this collection" in refused.msg
    assert "adopt" in refused.msg
    (adopted,) = site.converge(container("app", image=busybox, adopt=True, **RUNS))
    assert adopted.value("recreated_because") == ["adopt"]
