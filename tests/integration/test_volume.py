# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes with real containers on each engine: what processes see in them, who keeps them from a removal, and what is left."""

from __future__ import annotations

import os
import pathlib
import random
import signal
import subprocess
import typing as t

import pytest
import yaml

from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mount, mount_points, unmount
from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.attack import FULL
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.guides import blocks_of
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.site import EmbeddedSite, Site
from ansible_collections.fleet.containerd.tests.support.stories import volume as stories
from ansible_collections.fleet.containerd.tests.support.stories.volume import Volumes
from ansible_collections.fleet.containerd.tests.support.waiting import until

Result = t.Dict[str, t.Any]
TWO = pytest.mark.parametrize("backend", ["embedded", "containerd-2.1"], indirect=True)
CALLS = "write,pwrite64,mkdir,rename,renameat,renameat2,symlink,link,unlink,unlinkat,rmdir,ftruncate,mount,umount2,kill"
#: How many moments are tried of each operation when not all are.
FEW = 4


@pytest.fixture
def image(registry: Registry, layout: Layout) -> str:
    registry.push(layout.path, busybox_image(layout, stories.image_layers()), "volumes", "1")
    return f"{registry.address}/volumes:1"


@pytest.fixture
def volumes(site: Site, image: str) -> Volumes:
    return Volumes(site, image)


class Host:
    """The modules against a site, without a playbook."""

    def __init__(self, site: Site, modules: Modules, image: str) -> None:
        self.site, self.modules, self.image = site, modules, image

    def volume(self, name: str, failing: bool = False, **options: t.Any) -> Result:
        result = self.modules.result("containerd_volume", **{**self.site.defaults, "name": name, **options})
        assert bool(result.get("failed")) is failing, result
        return result

    def container(self, name: str, failing: bool = False, **options: t.Any) -> Result:
        how: Result = {"image": self.image, "network_mode": "none", "stop_signal": "KILL"}
        if options.get("state") == "absent":
            how = {}
        result = self.modules.result("containerd_container", **self.site.defaults, **{**how, "name": name, **options})
        assert bool(result.get("failed")) is failing, result
        return result

    def job(self, name: str, script: str, **options: t.Any) -> t.List[str]:
        """What a script says in a container that goes."""
        done = self.container(name, command=["sh", "-c", script], detach=False, cleanup=True, **options)
        return t.cast(t.List[str], done["container"]["Output"].splitlines())

    def data(self, name: str) -> pathlib.Path:
        return self.site.data / "volumes" / self.site.namespace / name / "_data"


@pytest.fixture
def host(site: Site, modules: Modules, image: str) -> Host:
    return Host(site, modules, image)


@TWO
def test_containers_use_volumes(volumes: Volumes) -> None:
    stories.containers_use_volumes(volumes)


@TWO
def test_volumes_of_a_container_alone(volumes: Volumes) -> None:
    stories.volumes_of_a_container_alone(volumes)


@TWO
def test_volumes_of_another_container(volumes: Volumes, tmp_path: pathlib.Path) -> None:
    stories.volumes_of_another_container(volumes, tmp_path)


@TWO
def test_as_mounts(volumes: Volumes) -> None:
    stories.as_mounts(volumes)


@TWO
def test_parts_of_volumes(volumes: Volumes) -> None:
    stories.parts_of_volumes(volumes)


@TWO
def test_labels_of_mounts(volumes: Volumes) -> None:
    stories.labels_of_mounts(volumes)


def test_what_processes_see_of_parts_of_volumes(host: Host) -> None:
    """The part alone, and never the host: a program that may write to the volume makes a link, which the next start follows inside only."""
    host.volume("site")
    whole = {"source": "site", "target": "/site"}
    make = "mkdir -p /site/pages/etc /site/etc; echo page >/site/pages/index; echo inside >/site/etc/passwd"
    assert host.job("maker", make, mounts=[whole]) == []
    part = {"source": "site", "target": "/part", "subpath": "pages"}
    assert host.job("reader", "cat /part/index; ls /part; echo more >/part/index", mounts=[part]) == ["page", "etc", "index"]
    only = {**part, "read_only": True, "subpath": "pages/index", "target": "/one"}
    assert host.job("reader", "cat /one; (: >/one) 2>&1 | grep -c Read-only", mounts=[only]) == ["more", "1"]
    link = "rm -r /site/pages/etc && ln -s /etc /site/pages/etc"
    assert host.job("maker", link, mounts=[whole]) == []
    linked = {**part, "subpath": "pages/etc"}
    assert host.job("reader", "cat /part/passwd", mounts=[linked]) == ["inside"]
    host.volume("site", state="absent")


@TWO
def test_a_part_of_a_volume_after_a_kill_and_after_a_boot(host: Host) -> None:
    """Whoever starts the container mounts it anew: what a killed run has left is no obstacle, and without the mount there is no place."""
    host.volume("site")
    (host.data("site") / "pages").mkdir()
    part = {"source": "site", "target": "/part", "subpath": "pages"}
    web: Result = {"command": ["sleep", "1000"], "mounts": [part], "restart_policy": "always"}
    made = host.container("web", **web)
    labels = made["container"]["Config"]["Labels"]
    assert not [one for one in labels if one.startswith("containerd.io/restart.")]
    (place,) = stories.parts_below(host.site.data)
    host.container("web", state="stopped")
    assert not os.path.exists(place)
    assert not stories.parts_below(host.site.data)
    tmpfs = place[: place.index("/parts/")] + "/parts"
    mount("tmpfs", "tmpfs", tmpfs)
    os.makedirs(place)
    mount("", str(host.data("site")), place, ["bind"])
    (host.data("site") / "pages" / "page").write_text("kept")
    host.container("web", **web)
    assert stories.parts_below(host.site.data) == [place]
    assert os.listdir(place) == ["page"]
    host.container("web", state="absent")
    assert not stories.parts_below(host.site.data)
    assert (host.data("site") / "pages" / "page").read_text() == "kept"
    host.volume("site", state="absent")


@TWO
def test_force(volumes: Volumes) -> None:
    stories.force(volumes)


def test_what_processes_see(host: Host) -> None:
    """First content with its owners, the same files in two containers at once, read-only, and what a new container finds."""
    look = "stat -c '%n %u %g %a' /data /data/seed; cat /data/seed"
    write = "echo from the writer > /data/line; touch /ro/x 2>&1 | grep -o 'Read-only file system'; touch /end; sleep 1000"
    writer = host.container(
        "writer", command=["sh", "-c", f"{{ {look}; }} > /out/writer; {write}"], volumes=["data:/data", "data:/ro:ro", "out:/out"]
    )
    said = host.job(
        "reader",
        f"until test -s /data/line; do sleep 0.05; done; {look}; cat /data/line /out/writer",
        volumes=["data:/data", "out:/out"],
    )
    first = ["/data 1000 2000 750", "/data/seed 1000 1000 640", "from the image"]
    assert said == [*first, "from the writer", *first]
    running = host.volume("data", state="absent", failing=True, force=True)
    assert running["msg"].startswith("name: the volume data is mounted by what runs: s")
    assert str(writer["container"]["State"]["Pid"]) in running["msg"]
    anew = host.container(
        "writer", command=["sh", "-c", "cat /data/line > /out/anew; sleep 1000"], volumes=["data:/data", "out:/out"]
    )
    assert anew["recreated_because"] == ["command"]
    until((host.data("out") / "anew").read_text)
    host.container("writer", state="absent")
    assert host.job("last", "cat /data/line; cat /out/anew", volumes=["data:/data:ro", "out:/out"]) == ["from the writer"] * 2
    for name in ("data", "out"):
        assert host.volume(name, state="absent")["changed"]
    assert not host.data("data").parent.exists()


@TWO
def test_what_processes_see_of_volumes_of_others(host: Host, tmp_path: pathlib.Path) -> None:
    """The same files, at once; with :ro nothing can be written, also where the other container writes."""
    (tmp_path / "page").write_text("of the host\n")
    given = ["data:/data", "/own", f"{tmp_path}:/host:ro"]
    host.container("giver", command=["sh", "-c", "echo line > /data/line; touch /own/end; exec sleep 1000"], volumes=given)
    script = "until test -e /own/end; do sleep 0.05; done; cat /data/line /own/more /host/page; touch /data/x /own/x 2>&1 | grep -c Read-only"
    said = host.job("reader", script, volumes_from=["giver:ro"])
    assert said == ["line", "of the image", "of the host", "2"]
    assert host.job(
        "writer", "echo more >> /data/line; cat /data/line; touch /host/x 2>&1 | grep -c Read-only", volumes_from=["giver"]
    ) == [
        "line",
        "more",
        "1",
    ]
    host.container("giver", state="absent", keep_volumes=False)
    assert (host.data("data") / "line").read_text() == "line\nmore\n"
    host.volume("data", state="absent")


def test_a_tool_of_others_has_it_mounted(host: Host) -> None:
    """A process is known by its mounts, whatever has made them."""
    host.volume("data")
    command = f"mount --bind {host.data('data')} /mnt && echo ready && exec sleep 100"
    # starts: sh, mount, sleep
    other = subprocess.Popen(["unshare", "-m", "sh", "-c", command], stdout=subprocess.PIPE)
    try:
        assert other.stdout
        assert other.stdout.readline() == b"ready\n"
        until(lambda: pathlib.Path(f"/proc/{other.pid}/comm").read_text() == "sleep\n")
        said = host.volume("data", state="absent", failing=True)["msg"]
        assert said == f"name: the volume data is mounted by what runs: sleep (process {other.pid}): stop it first"
    finally:
        other.kill()
        other.communicate()
    host.volume("data", state="absent")


@TWO
def test_file_systems_that_are_mounted(host: Host, tmp_path: pathlib.Path) -> None:
    """A tmpfs that two containers share, with its size; unmounted with the last of them. A directory of the host."""
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=1777"}
    host.volume("memory", driver_options=options, state_root=str(tmp_path / "run"))
    (tmp_path / "pages").mkdir()
    host.volume("pages", driver_options={"type": "none", "o": "bind", "device": str(tmp_path / "pages")})
    point = pathlib.Path(os.readlink(host.data("memory")))
    given: Result = {"volumes": ["memory:/m", "pages:/p"]}
    host.container("one", command=["sh", "-c", "echo shared > /m/x; sleep 1000"], **given)
    look = "until test -s /m/x; do sleep 0.05; done; cat /m/x; stat -f -c %T /m; df -k /m | awk 'END {print $2}'; echo hello > /p/page"
    assert host.job("two", look, **given) == ["shared", "tmpfs", "1024"]
    assert (tmp_path / "pages" / "page").read_text() == "hello\n"
    assert mount_points(str(point)) == [str(point)]
    host.container("one", state="absent")
    assert mount_points(str(point)) == []
    # As after a reboot: what is not mounted is not written beside.
    host.container("one", command=["sleep", "1000"], state="present", **given)
    host.container("one", command=["sleep", "1000"], **given)
    host.volume("memory", state="absent", failing=True)
    host.container("one", state="absent")
    for name in ("memory", "pages"):
        host.volume(name, state="absent")
    assert not point.exists()
    assert (tmp_path / "pages" / "page").exists()


@pytest.mark.parametrize("backend", ["containerd-1.7", "containerd-2.1"], indirect=True)
def test_what_has_to_be_mounted_is_not_left_to_the_daemon(host: Host, tmp_path: pathlib.Path) -> None:
    """Its restart monitor would start the container without the mount, as after a reboot: ours mounts it first."""
    options = {"type": "tmpfs", "device": "tmpfs"}
    host.volume("memory", driver_options=options, state_root=str(tmp_path / "run"))
    script = "mkdir /m/x; exec sleep 1000"
    made = host.container("web", command=["sh", "-c", script], volumes=["memory:/m"], restart_policy="always")
    first, container_id = made["container"]["State"]["Pid"], made["container"]["Id"]
    point = os.readlink(host.data("memory"))
    until(lambda: os.path.exists(f"{point}/x"))
    unmount(point, lazy=True)
    os.kill(first, signal.SIGKILL)

    def restarted() -> bool:
        with host.site.engine() as engine:
            task = engine.tasks.state(container_id)
        return bool(task.pid and task.pid != first and os.path.exists(f"{point}/x"))

    until(restarted, 30)
    assert mount_points(point) == [point]
    host.container("web", state="absent")
    host.volume("memory", state="absent")


@TWO
def test_a_device_that_is_not_there(host: Host, tmp_path: pathlib.Path) -> None:
    options = {"type": "none", "o": "bind", "device": str(tmp_path / "pages")}
    for check in (True, False):
        said = host.volume("pages", failing=True, driver_options=options, _ansible_check_mode=check)["msg"]
        assert said == f"the device {tmp_path}/pages of the volume pages is not there on the target: create it first"
    assert not host.data("pages").parent.exists()
    (tmp_path / "pages").mkdir()
    host.volume("pages", driver_options=options)
    (tmp_path / "pages").rmdir()
    options = {"command": ["sleep", "1000"], "volumes": ["pages:/p"]}
    for check in (True, False):
        failed = host.container("web", failing=True, **options, _ansible_check_mode=check)
        assert (failed["msg"], failed.get("actions", [])) == (said, [])
    (tmp_path / "pages").mkdir()
    host.container("web", **options, state="present")
    (tmp_path / "pages").rmdir()
    for check in (True, False):
        assert said in host.container("web", failing=True, **options, _ansible_check_mode=check)["msg"]
    host.container("web", state="absent")
    host.volume("pages", state="absent")


@TWO
def test_something_is_mounted_in_it(host: Host) -> None:
    host.volume("data")
    inside = host.data("data") / "disk"
    inside.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(inside)], check=True)
    try:
        (inside / "precious").write_text("x")
        said = host.volume("data", state="absent", failing=True)["msg"]
        assert said == f"name: the volume data has something mounted in it, at {inside}: unmount that first"
        assert (inside / "precious").read_text() == "x"
    finally:
        subprocess.run(["umount", str(inside)], check=True)
    host.volume("data", state="absent")


def wrong_after(host: Host, made: bool) -> t.List[str]:
    """What is not as it would be had nothing been killed."""
    found = host.site.strays()
    directory = host.data("data").parent.parent
    names = sorted(os.listdir(directory)) if directory.exists() else []
    found += [f"volumes {names}"] * (names != (["data"] if made else []))
    parts = stories.parts_below(host.site.data)
    found += [f"parts {parts}"] * (len(parts) != made)
    if made:
        there = sorted(os.listdir(host.data("data").parent))
        found += [f"in the volume {there}"] * (there != ["_data", "volume.json"])
        content = sorted(os.listdir(host.data("data")))
        found += [f"content {content}"] * (content != ["seed"])
        found += [f"access {stories.access(host.data('data'))}"] * (stories.access(host.data("data")) != (1000, 2000, 0o750))
    return found


@pytest.mark.timeout(3000 if FULL else 300)
@TWO
def test_killed_at_each_call(host: Host, modules: Modules) -> None:
    """A container that makes and fills a volume, and has a part of it, and the removal of the volume: the next run completes it."""
    web: Result = {
        "name": "web",
        "image": host.image,
        "command": ["sleep", "1000"],
        "stop_signal": "KILL",
        "network_mode": "none",
        "volumes": ["data:/data"],
        "mounts": [{"source": "data", "target": "/part", "subpath": "seed"}],
    }
    defaults = host.site.defaults
    wrong: t.List[str] = []
    choose = random.Random(3)

    def clear() -> None:
        host.container("web", state="absent")
        host.volume("data", state="absent")

    def filled() -> None:
        host.container(**web)
        host.container("web", state="absent")

    operations: t.Dict[str, t.Tuple[str, Result, t.Callable[[], None], bool]] = {
        "the first use": ("containerd_container", web, clear, True),
        "the removal": ("containerd_volume", {"name": "data", "state": "absent"}, filled, False),
    }
    for name, (kind, options, prepare, made) in operations.items():
        prepare()
        calls = [line for line in modules.killed_at(CALLS, 0, kind, **defaults, **options) if not line.startswith("write(1,")]
        assert len(calls) > 3, calls
        moments = range(1, len(calls) + 1)
        for number in moments if FULL else sorted(choose.sample(moments, min(FEW, len(calls)))):
            prepare()
            killed = modules.killed_at(CALLS, number, kind, **defaults, **options)
            result = modules.result(kind, **defaults, **options)
            where = f"{name}, killed at call {number} of {len(calls)}: {killed[-2][:120] if killed[1:] else ''}"
            wrong += [f"{where}: failed: {result['msg']}"] if result.get("failed") else []
            wrong += [f"{where}: {one}" for one in wrong_after(host, made)]
    clear()
    assert not wrong, "\n".join(wrong)


def test_examples(embedded_site: EmbeddedSite, image: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "www").mkdir()
    site = embedded_site
    played = site.play(*examples_of("containerd_volume", {"/srv/www": f"{tmp_path}/www"})).results
    assert all(one.changed for one in played)
    job = task(
        "containerd_container", name="job", image=image, command=["true"], detach=False, volumes=["/own"], network_mode="none"
    )
    site.play(job, task("containerd_container", name="job", state="absent"), task("containerd_volume", name="db"))
    shown, dangling, removed = site.play(*examples_of("containerd_volume_info")).results
    assert shown.value("volume")["Name"] == "db"
    assert [one["Containerd"]["Anonymous"] for one in dangling.value("volumes")].count(True) == 1
    assert removed.changed
    left = site.play({"name": "look", "fleet.containerd.containerd_volume_info": {}}).last.value("volumes")
    assert [one["Name"] for one in left] == ["db", "pages", "scratch"]


def test_the_guide(embedded_site: EmbeddedSite, registry: Registry, layout: Layout) -> None:
    made = busybox_image(layout, stories.image_layers(), Cmd=["sleep", "1000"], StopSignal="SIGKILL")
    for name in ("postgres", "app"):
        registry.push(layout.path, made, name, "1")
    replace = {f"docker.io/library/{name}:{tag}": f"{registry.address}/{name}:1" for name, tag in (("postgres", 16), ("app", 1))}
    tasks = [one for block in blocks_of("guide_volumes", replace) for one in yaml.safe_load(block)]
    part = tasks.pop(-3)
    results = embedded_site.play(*tasks[:-2]).results
    assert [one.actions[-1] for one in results] == [
        "start container db",
        "remove container db",
        "remove the files of volume db",
        "create volume uploads",
        "create volume scratch",
        "start container app",
    ]
    own = task("containerd_container", name="own", image=f"{registry.address}/app:1", volumes=["/own"])
    gone = task("containerd_container", name="own", state="absent")
    left = embedded_site.play(own, gone, *tasks[-2:]).results
    assert len(left[-2].value("volumes")) == 1
    assert left[-1].changed
    (embedded_site.data / "volumes" / embedded_site.namespace / "uploads" / "_data" / "public" / "today").mkdir(parents=True)
    assert embedded_site.play(part).last.actions[-1] == "start container show"
    embedded_site.play(*(task("containerd_container", name=name, state="absent") for name in ("app", "show")))
