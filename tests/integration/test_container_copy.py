# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container_copy with real containers on each engine: what processes in them see, and that a hostile one leads nowhere."""

from __future__ import annotations

import os
import pathlib
import random
import stat
import subprocess
import tempfile
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mount_points
from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.attack import FULL
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.site import Site
from ansible_collections.fleet.containerd.tests.support.stories import copying as stories
from ansible_collections.fleet.containerd.tests.support.waiting import until

Result = t.Dict[str, t.Any]
TWO = pytest.mark.parametrize("backend", ["embedded", "containerd-2.1"], indirect=True)
CALLS = "write,pwrite64,mkdir,rename,renameat,renameat2,symlinkat,linkat,unlink,unlinkat,rmdir,ftruncate,fchown,chown,chmod,mount,umount2"
FEW = 5


@pytest.fixture
def image(registry: Registry, layout: Layout) -> str:
    registry.push(layout.path, busybox_image(layout, stories.image_layers()), "copies", "1")
    return f"{registry.address}/copies:1"


class Host:
    """The modules against a site, without a playbook."""

    def __init__(self, site: Site, modules: Modules, image: str, directory: pathlib.Path) -> None:
        self.site, self.modules, self.image, self.directory = site, modules, image, directory
        directory.mkdir()

    def container(self, **options: t.Any) -> Result:
        how = {"image": self.image, "network_mode": "none", "stop_signal": "KILL", "command": ["sleep", "1000"], "user": "www"}
        if options.get("state") in ("absent", "stopped"):
            how = {}
        return self.modules.run("containerd_container", **self.site.defaults, **{**how, "name": "web", **options})

    def copy(self, container_path: str, failing: bool = False, **options: t.Any) -> Result:
        given = {**self.site.defaults, "container": "web", "container_path": container_path, **options}
        result = self.modules.result("containerd_container_copy", **given)
        assert bool(result.get("failed")) is failing, result
        return result

    def file(self, name: str, content: bytes, mode: int = 0o644) -> str:
        path = self.directory / name
        path.write_bytes(content)
        path.chmod(mode)
        return str(path)

    def inside(self, script: str) -> t.List[str]:
        """What a process of the container's root says."""
        given = {**self.site.defaults, "container": "web", "argv": ["sh", "-c", script], "user": "0:0"}
        result = self.modules.run("containerd_container_exec", **given)
        assert result["rc"] == 0, result
        return t.cast(t.List[str], result["stdout"].splitlines())


@pytest.fixture
def host(site: Site, modules: Modules, image: str, tmp_path: pathlib.Path) -> Host:
    return Host(site, modules, image, tmp_path / "host")


def test_what_processes_see(host: Host) -> None:
    """Running, paused, stopped and never started: on the root file system, a volume, a tmpfs and a file that is mounted."""
    source = host.file("new", b"new\n", 0o640)
    given: Result = {"volumes": ["data:/data"], "tmpfs": ["/quick"]}
    look = "cat {0}; stat -c '%U %g %a' {0}"
    host.container(state="present", **given)
    host.copy("/data/before", path=source)
    host.copy("/etc/before", path=source, owner="root", mode="0600")
    host.container(**given)
    assert host.inside(look.format("/data/before")) == ["new", "www 44 640"]
    assert host.inside(look.format("/etc/before")) == ["new", "root 44 600"]
    assert host.inside("cat /data/seed") == ["from the image"]
    for path in ("/data/running", "/etc/running", "/quick/running"):
        done = [host.copy(path, path=source, _ansible_check_mode=check)["changed"] for check in (True, False, False)]
        assert done == [True, True, False]
        assert host.inside(look.format(path)) == ["new", "www 44 640"]
    host.copy("/named", path=source, container=None, volume="data", owner="33", group="44", mode="0604")
    assert host.inside(look.format("/data/named")) == ["new", "www 44 604"]
    inode = host.inside("stat -c %i /etc/hosts")
    host.copy("/etc/hosts", path=source, owner="root", group="root", mode="0644")
    assert host.inside("cat /etc/hosts; stat -c %i /etc/hosts") == ["new", *inode]
    host.container(paused=True, **given)
    host.copy("/etc/paused", path=source)
    there = host.directory / "back"
    assert host.copy("/data/running", path=str(there), direction="from")["container_path"] == "/data/running"
    assert there.read_bytes() == b"new\n"
    host.container(paused=False, **given)
    assert host.inside(look.format("/etc/paused")) == ["new", "www 44 640"]
    host.container(state="stopped")
    host.copy("/data/stopped", path=source)
    host.copy("/etc/stopped", path=source)
    host.copy("/quick/stopped", path=source, failing=True)
    host.container(**given)
    assert host.inside("cat /data/stopped /etc/stopped /etc/running; ls /quick; ls -A /etc /data | grep -c fleet || true") == [
        *["new"] * 3,
        "0",
    ]
    host.container(state="absent", keep_volumes=False)


@TWO
def test_trees(site: Site, image: str, tmp_path: pathlib.Path) -> None:
    """Into one that runs, by playbooks. Links, and all else, are in the unit tests: with one that does not run."""
    stories.trees(stories.Copies(site, image, tmp_path / "host", "started"))


@TWO
def test_a_container_leads_nowhere(host: Host) -> None:
    """Its links, devices, fifos, mounts and /proc lead to nothing of this host, in either direction."""
    victim = host.directory / "victim"
    victim.mkdir()
    (victim / "file").write_text("precious")
    source, other = host.file("new", b"new\n"), host.file("other", b"other\n")
    script = (
        f"mkdir -p /bad; cd /bad; ln -s {victim} abs; ln -s ../../../../../..{victim} up; ln -s /proc/1/root{victim} proc; mkfifo fifo;"
        f"ln -s {victim}/file file; mknod null c 1 3; ln -s /proc/1/cwd cwd; ln -s /proc/1/ns/mnt ns; ln -s loop loop; echo ready"
    )
    host.container(user="root")
    assert host.inside(script) == ["ready"]
    for name in ("abs", "up", "proc"):
        host.copy(f"/bad/{name}/new", path=source, failing=True)
        host.copy(f"/bad/{name}", path=source, follow=True, failing=True)
        host.copy(f"/bad/{name}/file", path=other, direction="from", failing=True)
        host.copy(f"/bad/{name}", path=other, direction="from", follow=True, failing=True)
    host.copy("/bad/loop/x", path=source, failing=True)
    assert "too many levels" in host.copy("/bad/loop", path=source, follow=True, failing=True)["msg"].lower()
    for path in ("/proc/sys/kernel/hostname", "/sys/kernel/x", "/proc/1/oom_score_adj", f"/proc/1/root{victim}/file"):
        host.copy(path, path=source, failing=True)
    assert "a file system of the kernel" in host.copy("/proc/1/environ", path=other, direction="from", failing=True)["msg"]
    # To where the link leads in the container; and in the place of what is no file.
    host.copy("/bad/cwd/new", path=source)
    assert host.inside("cat /proc/1/cwd/new") == ["new"]
    for name in ("fifo", "null", "file", "ns"):
        host.copy(f"/bad/{name}", path=source)
        assert host.inside(f"test -h /bad/{name} || cat /bad/{name}") == ["new"]
    assert host.inside("mkfifo /bad/again; mknod /bad/zero c 1 5; ls /bad | wc -l") == ["11"]
    for name, kind in (("again", "fifo"), ("zero", "device")):
        said = host.copy(f"/bad/{name}", path=other, direction="from", failing=True)["msg"]
        assert said == f"container_path: /bad/{name} is a {kind}: only files, directories and links can be copied"
    out = host.directory / "out"
    taken = host.copy("/bad", path=str(out), direction="from", archive=True)
    assert "): /bad/again, /bad/zero" in str(taken["warnings"])
    assert not [one for one in out.iterdir() if not stat.S_ISREG(one.lstat().st_mode) and not one.is_symlink()]
    # A link that came out of the container is replaced here by the next copy.
    assert (out / "file").is_file()
    (out / "file").unlink()
    (out / "file").symlink_to(victim / "file")
    host.copy("/bad", path=str(out), direction="from", archive=True)
    assert (out / "file").read_bytes() == b"new\n"
    assert not (out / "file").is_symlink()
    assert [one.name for one in victim.iterdir()] == ["file"]
    assert (victim / "file").read_text() == "precious"
    assert pathlib.Path(other).read_bytes() == b"other\n"
    host.container(state="absent")


@TWO
def test_links_that_change_while_files_are_copied(host: Host) -> None:
    """A process swaps the directory, and the file, for links to the host, and back, as fast as it can."""
    victim = host.directory / "victim"
    victim.mkdir()
    (victim / "file").write_text("precious")
    swap = (
        f"mkdir -p /swap/real /swap/tree; echo x > /swap/real/file; ln -s {victim} /swap/link; ln -s {victim}/file /swap/filelink; "
        "while :; do mv -T /swap/real /swap/now; mv -T /swap/now /swap/real; mv -T /swap/link /swap/now; mv -T /swap/now /swap/link;"
        "ln -sf /swap/filelink /swap/real/file; rm -f /swap/real/file; done"
    )
    host.container(user="root", command=["sh", "-c", swap])
    tree = host.directory / "tree"
    (tree / "now").mkdir(parents=True)
    for number in range(10):
        (tree / "now" / f"f{number}").write_bytes(os.urandom(1000))
    results = []
    for number in range(20 if not FULL else 500):
        source = host.file("new", b"new %d\n" % number)
        for path, given in (("/swap/now/file", source), ("/swap/real/file", source), ("/swap", str(tree))):
            options = {**host.site.defaults, "container": "web", "container_path": path, "path": given, "follow": number % 2 == 0}
            results.append(host.modules.result("containerd_container_copy", **options))
        taken = {**host.site.defaults, "container": "web", "container_path": "/swap", "direction": "from", "follow": True}
        host.modules.result("containerd_container_copy", **taken, path=str(host.directory / "out"))
    assert [one.name for one in victim.iterdir()] == ["file"]
    assert (victim / "file").read_text() == "precious"
    taken_files = [path for path in (host.directory / "out").rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in taken_files if b"precious" in path.read_bytes()]
    assert any(not one.get("failed") for one in results)
    host.container(state="absent")


@TWO
def test_a_file_system_that_never_answers(host: Host) -> None:
    """One that a program of the container serves (FUSE): whoever asks it anything waits, and cannot even be killed."""
    serve = (
        "mkdir -p /own/fuse /mem; echo file >/own/file; exec 3<>/dev/fuse; mount -t tmpfs mem /mem; echo in memory >/mem/file;"
        "mount -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0 none /own/fuse && touch /ready; exec sleep 1000"
    )
    host.container(user="root", command=["sh", "-c", serve], capabilities=["SYS_ADMIN"], devices=["/dev/fuse"])
    until(lambda: host.inside("test -e /ready && echo ready || true") == ["ready"])
    source, out = host.file("new", b"new\n"), host.directory / "out"
    said = "/own/fuse is on a file system that the container itself has mounted (fuse), which may never answer: copy another path"
    for path in ("/own/fuse/new", "/own/fuse"):
        assert host.copy(path, path=source, failing=True)["msg"] == said
        assert host.copy(path, path=str(out), direction="from", failing=True)["msg"] == said
    taken = host.copy("/own", path=str(out), direction="from")
    assert [one.name for one in out.iterdir()] == ["file"]
    assert "own): /own/fuse" in str(taken["warnings"])
    # What it has in memory are files.
    host.copy("/mem/file", path=str(out / "memory"), direction="from")
    assert (out / "memory").read_text() == "in memory\n"
    host.copy("/mem/new", path=source, owner="www")
    assert host.inside("cat /mem/new; stat -c %U /mem/new") == ["new", "www"]
    host.container(state="absent")


def looks() -> t.Set[str]:
    """What modules have mounted, or made, to look into root file systems."""
    made = [f"directory {one}" for one in os.listdir(tempfile.gettempdir()) if one.startswith(".look")]
    return {*made, *(f"mount {point}" for point in mount_points(tempfile.gettempdir()) if "/.look" in point)}


def users_of_a_container(path: pathlib.Path) -> str:
    found = path.stat()
    return f"{found.st_uid}:{found.st_gid}"


@TWO
def test_a_hundred_copies_leave_nothing(host: Host) -> None:
    """No descriptor that a container would see, no process, mount or directory; while it runs and when it does not."""

    def traces() -> t.Dict[str, t.Any]:
        return {
            "processes": len(host.site.shims()),
            "strays": host.site.strays(),
            "directories": sorted(str(one) for one in host.site.data.glob("containers/*/*/*/.*")),
        }

    for state in ("started", "stopped"):
        host.container(volumes=["data:/data"])
        host.container(state=state, **({"volumes": ["data:/data"]} if state == "started" else {}))
        if state == "stopped":
            host.site.wait_for_ends()
        before, seen = traces(), looks()
        for number in range(50):
            host.copy(f"/data/file{number % 3}", path=host.file("new", b"%d" % number))
        assert traces() == before
        # Those of other tests go.
        until(lambda seen=seen: looks() <= seen)  # type: ignore[misc]  # mypy wants a type for the default
    host.container(state="absent", keep_volumes=False)


@pytest.mark.parametrize("backend", ["embedded"], indirect=True)
def test_memory(host: Host) -> None:
    """Of a large file as of a small one."""
    host.container()
    peaks = []
    for size in (1, 200 << 20):
        path = host.file("large", b"")
        with open(path, "wb") as stream:
            # No holes: they would be skipped.
            for _number in range(max(1, size >> 20)):
                stream.write(os.urandom(1 << 10) * 1024 if size > 1 else b"x")
        host.copy("/out/large", path=path)
        peaks.append(host.modules.peak)
        host.copy("/out/large", path=path)
        peaks.append(host.modules.peak)
        host.copy("/out/large", path=str(host.directory / "back"), direction="from")
        peaks.append(host.modules.peak)
        assert subprocess.run(["cmp", path, str(host.directory / "back")], check=False).returncode == 0
    assert max(peaks[3:]) < max(peaks[:3]) + 8192, peaks
    host.container(state="absent")


@pytest.mark.timeout(3000 if FULL else 300)
@TWO
def test_killed_at_each_call(host: Host, modules: Modules) -> None:
    """The next run has the files there, and nothing else."""
    tree = host.directory / "tree"
    tree.mkdir()
    for name in ("a", "b"):
        (tree / name).write_text(name)
    wrong: t.List[str] = []
    choose = random.Random(5)
    host.container(volumes=["data:/data"])
    host.container(state="stopped")
    options: Result = {**host.site.defaults, "container": "web", "path": str(tree), "mode": "0600"}
    seen = looks()

    def run(path: str, number: int) -> t.List[str]:
        return modules.killed_at(CALLS, number, "containerd_container_copy", **options, container_path=path)

    calls = [line for line in run("/data/tree", 0) if not line.startswith("write(1,")]
    assert len(calls) > 10, calls
    moments = range(1, len(calls) + 1)
    for number in moments if FULL else sorted(choose.sample(moments, FEW)):
        run(f"/data/{number}", number)
        result = modules.result("containerd_container_copy", **options, container_path=f"/data/{number}")
        wrong += [f"killed at {number}: {result['msg']}"] if result.get("failed") else []
        there = host.site.data / "volumes" / host.site.namespace / "data" / "_data" / str(number)
        found = {one.name: one.read_text() for one in there.iterdir()}
        wrong += [f"killed at {number}: {found}"] * (found != {"a": "a", "b": "b"})
        wrong += [f"killed at {number}: {one}" for one in host.site.strays()]
    assert not wrong, "\n".join(wrong)
    until(lambda: looks() <= seen)
    host.container(state="absent", keep_volumes=False)


@pytest.mark.parametrize("backend", ["embedded"], indirect=True)
def test_from_the_controller(site: Site, image: str, tmp_path: pathlib.Path) -> None:
    """Only what lacks is sent; a content is in no log, and a file that is encrypted arrives in plain."""
    copies = stories.Copies(site, image, tmp_path / "host", "started")
    stories.from_the_controller(copies)


def test_examples(site: Site, image: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<p>hello</p>")
    (tmp_path / "settings.ini").write_text("[app]\n")
    web = task(
        "containerd_container", name="web", image=image, command=["sleep", "1000"], volumes=["www:/www"], stop_signal="KILL"
    )
    played = site.play(
        task("containerd_volume", name="settings"),
        {
            **web,
            "fleet.containerd.containerd_container": {**web["fleet.containerd.containerd_container"], "network_mode": "none"},
        },
        *examples_of(
            "containerd_container_copy",
            {"/srv/app/": f"{tmp_path}/", "path: site\n": f"path: {tmp_path}/site\n", "/srv/backup/site": f"{tmp_path}/backup"},
        ),
    ).results
    assert all(one.changed for one in played)
    assert (tmp_path / "backup" / "index.html").read_text() == "<p>hello</p>"
    assert users_of_a_container(tmp_path / "backup" / "index.html") == "0:0"
