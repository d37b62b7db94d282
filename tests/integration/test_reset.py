# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role reset and containerd_reset, on both engines: the host afterwards is what it was before, compared by pictures."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import time
import typing as t

import pytest
import yaml

from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.starting import unit_of
from ansible_collections.fleet.containerd.plugins.module_utils.rpc.channel import Channel
from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.guides import blocks_of
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.networked import Networked
from ansible_collections.fleet.containerd.tests.support.pictures import Picture, differences, picture
from ansible_collections.fleet.containerd.tests.support.waiting import until

Result = t.Dict[str, t.Any]
#: What needs only one kind of engine, or one of each.
EMBEDDED, DAEMON, TWO = (
    pytest.mark.parametrize(
        "networked_site", versions, indirect=True, ids=[f"containerd-{one}" if one else "embedded" for one in versions]
    )
    for versions in ([""], ["1.7"], ["", "2.1"])
)
#: Directories of the host that are its own, so that nobody else changes them meanwhile.
_PLACES = ("/etc/cni", "/var/lib/cni", "/run/netns", "/run/fleet-containerd", "/var/cache", "/var/tmp")
#: What a daemon makes once below its directories, and keeps: empty directories, and its own files.
_OF_DAEMON = ("io.containerd.", "containerd.sock", "log", "tmpmounts")


class Host:
    """A host with containers of every kind."""

    def __init__(self, site: Networked, modules: Modules, image: str) -> None:
        self.site, self.outside_modules, self.image = site, modules, image
        for place in ("/var/cache", "/var/tmp", "/run/fleet-containerd-progress"):
            site.run("mkdir", "-p", place)
            site.run("mount", "-t", "tmpfs", "none", place)
        self.namespaces = [site.namespace] if site.daemon else []
        self.before = self.look()

    def look(self) -> t.Tuple[Picture, t.List[str]]:
        site = self.site
        daemon = [str(site.daemon.base)] if site.daemon else []
        found = picture(site.under, site.under.pid, _PLACES, [str(site.data), str(site.state), *daemon], [site.namespace])
        if site.daemon:
            below = f"{site.daemon.base}/"
            files = [one for one in found["files"] if not (one.startswith(below) and any(name in one for name in _OF_DAEMON))]
            found["files"] = [*files, *map(str, site.daemon.base.glob("**/rootfs/*"))]
        return found, self.records()

    def at_rest(self) -> t.Tuple[Picture, t.List[str]]:
        """The same as soon as nothing changes: what has ended gives back what it had, and a daemon collects garbage, in the background."""
        before = self.look()
        while True:
            time.sleep(0.5)
            now = self.look()
            if now == before:
                return now
            before = now

    def records(self) -> t.List[str]:
        """What the daemon has, in any namespace."""
        if not self.site.daemon:
            return []
        ctr = self.site.daemon.ctr
        found = []
        for namespace in ctr("namespaces", "list", "-q").stdout.split():
            for words in (["images"], ["containers"], ["tasks"], ["snapshots"], ["content"], ["leases"]):
                lines = ctr(
                    *words, "list", *(["-q"] if words[0] not in ("snapshots", "leases") else []), namespace=namespace
                ).stdout
                found += [f"{namespace} {words[0]} {line}" for line in lines.splitlines() if not line.startswith(("KEY", "ID"))]
            found.append(f"{namespace} is there")
        return found

    def module(self, kind: str, /, failing: bool = False, check: bool = False, **options: t.Any) -> Result:
        given = {**self.site.defaults, **options, **({"_ansible_check_mode": True} if check else {})}
        result = self.site.modules.result(kind, **given)
        assert bool(result.get("failed")) is failing, result
        return result

    def outside(self, kind: str, /, **options: t.Any) -> None:
        """A module where registries on loopback are reached."""
        self.outside_modules.run(kind, **{**self.site.defaults, **options})

    def fill(self) -> t.Dict[str, Result]:
        """Containers that run, are stopped, paused, restarted and watched; networks with published ports; volumes; secrets."""
        site = self.site
        site.fetch(self.image, self.outside_modules)
        self.module("containerd_network", name="net", ipam_config=[{"subnet": "10.9.0.0/24"}])
        self.module("containerd_volume", name="plain")
        self.module("containerd_volume", name="memory", driver_options={"type": "tmpfs", "device": "tmpfs"})
        # Nothing is checked, and nothing is started again, while the host is looked at.
        check = {"test": ["CMD", "true"], "interval": "1h"}
        late = {"restart_delay": "1h", "restart_max_delay": "1h"}
        made = {
            "web": site.web(
                "web",
                networks=[{"name": "net"}],
                published_ports=["8080:80"],
                restart_policy="always",
                volumes=["plain:/plain", "memory:/memory", "/alone"],
                secrets=[{"name": "key", "content": "hush"}],
            ),
            "watched": site.web(
                "watched", networks=[{"name": "bridge"}], healthcheck=check, restart_policy="on-failure", restart_delay="100ms"
            ),
            "paused": site.web("paused", networks=[{"name": "net"}], paused=True),
        }
        site.web("job", command=["sh", "-c", "echo done"], detach=False)
        site.web("failing", command=["sh", "-c", "sleep 2; exit 1"], restart_policy="always", **late)
        site.container("joined", image=self.image, command=["sleep", "1000"], stop_signal="KILL", network_mode="container:web")
        assert site.page("http://127.0.0.1:8080/") == "hello from web"
        until(lambda: site.facts("failing")["State"]["Restarting"])
        return made

    def small(self) -> None:
        """One container with a network and a volume."""
        self.site.fetch(self.image, self.outside_modules)
        self.module("containerd_network", name="net", ipam_config=[{"subnet": "10.9.0.0/24"}])
        self.module("containerd_volume", name="plain")
        self.site.web("web", networks=[{"name": "net"}], published_ports=["8080:80"], volumes=["plain:/plain"])

    def play(self, check: bool = False, failing: bool = False, **variables: t.Any) -> ansible.Play:
        """The role, as users have it."""
        tasks = [{"name": "reset", "ansible.builtin.include_role": {"name": "fleet.containerd.reset"}, "vars": variables}]
        return ansible.play(tasks, check=check, failing=failing, defaults=self.site.defaults, under=self.site.under)

    def reset(self, **options: t.Any) -> Result:
        return self.module("containerd_reset", namespaces=self.namespaces, **options)

    def assert_clean(self) -> None:
        """As before it was used; what a daemon removes in the background may take a moment."""
        deadline = time.monotonic() + 30
        while True:
            (picture_now, records), (picture_before, records_before) = self.look(), self.before
            found = differences(picture_before, picture_now)
            if not found and records == records_before:
                return
            if time.monotonic() > deadline:
                assert not found, "\n".join(found)
                assert records == records_before
            time.sleep(0.1)


@pytest.fixture
def host(networked_site: Networked, modules: Modules, busybox: str) -> Host:
    if networked_site.daemon:
        # The fixture has fetched an image already.
        defaults = networked_site.defaults
        modules.run("containerd_image", **{**defaults, "name": busybox, "state": "absent"})
        remove = ("namespaces", "remove", networked_site.namespace)
        # Not before all that was in it has been collected.
        until(lambda: not t.cast(t.Any, networked_site.daemon).ctr(*remove, check=False).returncode)
    else:
        modules.run("containerd_image", **{**networked_site.defaults, "name": busybox, "state": "absent"})
    for root in (networked_site.data, networked_site.state):
        subprocess.run(["rm", "-rf", str(root)], check=True)
    return Host(networked_site, modules, busybox)


def test_a_host_as_it_was(host: Host) -> None:
    """Without a confirmation nothing goes; check mode tells what would; the second run changes nothing."""
    host.fill()
    filled = host.at_rest()
    assert differences(host.before[0], filled[0]), "nothing was made"
    named = {"reset_namespaces": host.namespaces}
    refused = host.play(failing=True, **named).last
    assert "set reset_confirm to localhost" in refused.msg
    assert not differences(filled[0], host.look()[0])
    told = host.play(check=True, **named)
    assert not differences(filled[0], host.look()[0])
    done = host.play(reset_confirm="localhost", **named)
    host.assert_clean()
    again = host.play(reset_confirm=["other", "localhost"], **named)
    host.assert_clean()
    (foreseen,), (real,), (last,) = (
        [one for one in play.results if "space_reclaimed" in one.result] for play in (told, done, again)
    )
    names = {"web", "watched", "paused", "job", "failing", "joined"}
    for one in (foreseen, real):
        assert {name.partition("/")[2] for name in one.value("containers")} == names
        assert [name.partition("/")[2] for name in one.value("volumes")] == ["memory", "plain"]
        assert sorted(one.value("networks")) == ["bridge", "net"]
        assert len(one.value("images")) == 1
        assert one.value("space_reclaimed") > 1_000_000
    assert [one.partition(" (")[0] for one in foreseen.actions] == [one.partition(" (")[0] for one in real.actions]
    assert not last.changed
    assert done.last.value("msg")[-1] == f"localhost  {real.value('space_reclaimed')} bytes"
    assert again.last.value("msg") == ["localhost  clean"]


@EMBEDDED
def test_the_playbook_of_the_guide(host: Host, tmp_path: pathlib.Path) -> None:
    host.small()
    play = yaml.safe_load(blocks_of("guide_distribute", {"hosts: builders": "hosts: localhost"})[-1])[0]
    play.update(become=False, module_defaults={"group/fleet.containerd.containerd": host.site.defaults})
    playbook = tmp_path / "play.json"
    playbook.write_text(json.dumps([play]))
    assert "set reset_confirm" in ansible.play(playbook, failing=True, under=host.site.under).last.msg
    done = ansible.play(playbook, under=host.site.under, variables={"reset_confirm": "localhost"})
    assert "localhost  remove container" in done.last.value("msg")[0]
    host.assert_clean()


@TWO
def test_killed_again_and_again(host: Host) -> None:
    """Each run goes on where the one before was killed, wherever that was; the last one leaves nothing."""
    host.fill()
    options = {**host.site.defaults, "namespaces": host.namespaces}
    for tenths in (1, 2, 3, 4, 6):
        host.site.modules.kill_after(tenths / 10, "containerd_reset", **options)
    host.reset()
    host.assert_clean()
    assert not host.reset()["changed"]


@EMBEDDED
def test_nothing_of_others_goes(host: Host, tmp_path: pathlib.Path) -> None:
    """Mounts in the roots, files that nobody here knows, a wrong directory: an error that names them, before anything is removed."""
    site = host.site
    host.small()
    volume = site.data / "volumes" / site.namespace / "plain" / "_data"
    (volume / "disk").mkdir()
    before = host.at_rest()
    for point in (volume / "disk", site.data / "content" / "disk", site.state / "volumes" / "disk"):
        made = [one for one in (point, point.parent) if not one.exists()]
        point.mkdir(parents=True, exist_ok=True)
        site.run("mount", "-t", "tmpfs", "none", str(point))
        site.run("touch", str(point / "precious"))
        for check in (True, False):
            assert str(point) in host.reset(failing=True, check=check)["msg"]
        assert site.run("ls", str(point)) == "precious"
        site.run("umount", str(point))
        for one in made:
            one.rmdir()
    (site.data / "family photos").mkdir()
    assert "family photos" in host.reset(failing=True)["msg"]
    (site.data / "family photos").rmdir()
    assert not differences(before[0], host.look()[0])
    assert site.facts("web")["State"]["Running"]
    keep = tmp_path / "keep"
    keep.mkdir()
    (keep / "file").touch()
    assert "is a directory of the system" in host.reset(failing=True, paths=["/var/lib"])["msg"]
    host.reset(paths=[str(keep)])
    assert not keep.exists()
    host.assert_clean()


@EMBEDDED
def test_a_root_that_is_a_disk_of_its_own(host: Host) -> None:
    """It stays, and so does its lost+found. The unit of the boot, and what killed removals left, go."""
    site = host.site
    site.data.mkdir()
    site.run("mount", "--bind", str(site.data), str(site.data))
    site.run("mount", "-t", "tmpfs", "none", "/etc/systemd/system")
    (site.data / "lost+found").mkdir()
    host.before = host.look()
    host.small()
    unit, half = site.path(unit_of(str(site.data))), site.state.with_name(f".rm-{site.state.name}-0123abcd")
    unit.write_text("[Unit]\n")
    (unit.parent / "multi-user.target.wants").mkdir()
    (unit.parent / "multi-user.target.wants" / unit.name).symlink_to(unit)
    (half / "runc").mkdir(parents=True)
    site.path("/var/tmp/.fleet-verify-0123abcd").mkdir()
    done = host.reset()
    assert done["actions"][0] == f"remove {unit_of(str(site.data))}"
    assert not unit.exists()
    assert not os.listdir(unit.parent / "multi-user.target.wants")
    assert not half.exists()
    host.assert_clean()
    assert not host.reset()["changed"]
    site.run("umount", "/etc/systemd/system")
    site.run("umount", str(site.data))


@EMBEDDED
@pytest.mark.parametrize("damage", [pathlib.Path.unlink, lambda path: path.write_bytes(b"x" * 9000)], ids=["missing", "damaged"])
def test_containers_whose_records_are_lost(host: Host, damage: t.Callable[[pathlib.Path], t.Any]) -> None:
    host.small()
    damage(host.site.data / "metadata.db")
    assert len(host.reset()["containers"]) == 1
    host.assert_clean()


@EMBEDDED
def test_the_containers_of_another_root_stay(host: Host, tmp_path: pathlib.Path) -> None:
    """With the network in which they are, and its rules."""
    site = host.site
    host.small()
    other = {
        "data_root": str(tmp_path / "other"),
        "state_root": str(tmp_path / "other-state"),
        "namespace": f"{site.namespace}-b",
    }
    host.outside("containerd_image", **other, name=host.image)
    options = {**site.page_options("other"), "networks": [{"name": "net"}], "published_ports": ["8081:80"]}
    host.module("containerd_container", **other, **options, name="other")
    done = host.reset()
    assert done["networks"] == []
    assert "the network net stays: it has containers that are not below" in str(done["warnings"])
    assert site.page("http://127.0.0.1:8081/") == "hello from other"
    assert not host.reset()["changed"]
    host.module("containerd_reset", **other)
    for root in ("data", "state"):
        assert not (site.base / root).exists()
    host.assert_clean()


@DAEMON
def test_a_layer_that_counts_a_child_that_was_collected(host: Host) -> None:
    """The daemon does not remove it on demand: where its collector was faster than the removal of a container, the count stays."""
    host.small()
    daemon = t.cast(t.Any, host.site.daemon)
    with contextlib.closing(Channel(daemon.address, host.site.namespace)) as rpc:
        (listed,) = rpc.stream("snapshots.v1.Snapshots/List", {"snapshotter": "overlayfs"})
        (layer,) = [one["parent"] for one in listed["info"] if one["parent"]]
        rpc.call("snapshots.v1.Snapshots/Prepare", {"snapshotter": "overlayfs", "key": "garbage", "parent": layer})
        rpc.call("leases.v1.Leases/Create", {"id": "collect"})
        rpc.call("leases.v1.Leases/Delete", {"id": "collect", "sync": True})
    host.reset()
    host.assert_clean()


@DAEMON
def test_only_what_is_named_goes(host: Host) -> None:
    """Containers of ours whose namespace is not named, and a daemon that has more than what is named."""
    site, ctr = host.site, t.cast(t.Any, host.site.daemon).ctr
    host.small()
    theirs = f"{site.namespace}-b"
    host.outside("containerd_image", namespace=theirs, name=host.image)
    ctr("run", "--detach", "--null-io", host.image, "theirs", "sleep", "1000", namespace=theirs)
    before = host.at_rest()
    refused = host.module("containerd_reset", failing=True)["msg"]
    assert f"containers in {site.namespace} of the containerd" in refused
    refused = host.reset(failing=True, daemon_goes=True)["msg"]
    assert theirs in refused
    assert before == host.look()
    host.reset()
    records = host.records()
    assert {one.split()[0] for one in records} == {theirs}
    assert ctr("tasks", "list", "-q", namespace=theirs).stdout.split() == ["theirs"]
    host.namespaces = [site.namespace, theirs]
    told = host.reset(check=True, daemon_goes=True)
    assert told["containers"] == [f"{theirs}/theirs"]
    daemon = t.cast(t.Any, site.daemon)
    daemon.kill()
    assert "its containers do: start it first" in host.reset(failing=True, daemon_goes=True)["msg"]
    daemon.start()
    host.reset(daemon_goes=True, stop_timeout=0)
    host.assert_clean()
    daemon.kill()
    assert not host.reset(daemon_goes=True)["changed"]
    daemon.start()


@DAEMON
def test_the_examples(host: Host) -> None:
    """An image in the daemon, which goes only where its namespace is named, and a volume."""
    site = host.site
    site.fetch(host.image, host.outside_modules)
    host.module("containerd_volume", name="plain")
    tasks = examples_of("containerd_reset", {"- ci": f"- {site.namespace}"})
    told, done = ansible.play(tasks, defaults=site.defaults, under=site.under).results
    assert (told.value("images"), done.value("images")) == ([], [f"{site.namespace}/{host.image}"])
    assert told.value("volumes") == done.value("volumes") == [f"{site.namespace}/plain"]
    assert done.value("space_reclaimed") > told.value("space_reclaimed") > 0
    host.assert_clean()
