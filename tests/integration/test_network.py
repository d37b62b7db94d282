# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_network with real containers in it, on each engine, and real traffic between them."""

from __future__ import annotations

import json
import pathlib
import random
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult
from ansible_collections.fleet.containerd.tests.support.attack import FULL
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.namespaces import HOST, OUTSIDE, OUTSIDE6, listening, seen
from ansible_collections.fleet.containerd.tests.support.networked import Networked, networked, pid_of

Result = t.Dict[str, t.Any]
#: How many calls of each operation are tried when not all are.
MOMENTS = 3


class Host:
    """A host with an engine, and the module against it."""

    def __init__(self, site: Networked) -> None:
        self.site, self.web = site, site.web

    def network(self, name: str, failing: bool = False, check: bool = False, **options: t.Any) -> Result:
        given = {**self.site.defaults, "name": name, **options, "_ansible_check_mode": check}
        result = self.site.modules.result("containerd_network", **given)
        assert bool(result.get("failed")) is failing, result.get("msg", result)
        return result

    def converge(self, name: str, **options: t.Any) -> Result:
        """In check mode, for real, and again."""
        told, real, again = (
            self.network(name, check=True, **options),
            self.network(name, **options),
            self.network(name, **options),
        )
        assert told["actions"] == real["actions"] != []
        assert told["network"].get("IPAM") == real["network"].get("IPAM")
        assert (again["changed"], again["actions"]) == (False, [])
        return real

    def page(self, container: Result, host: str, there: bool = True) -> str:
        """What one container gets from another. there: so it is to be, and it may take a moment."""
        return self.site.page_inside(pid_of(container), f"http://{host}/", **({} if there else {"patience": 0.0}))


@pytest.fixture
def host(networked_site: Networked) -> Host:
    return Host(networked_site)


def addresses(result: Result) -> t.Dict[str, str]:
    """Of a network's members, by their names."""
    return {one["Name"]: one["IPv4Address"].partition("/")[0] for one in result["network"]["Containers"].values()}


def test_a_changed_network_keeps_its_members(host: Host) -> None:
    before = host.site.left()
    made = host.converge("net", ipam_config=[{"subnet": "10.9.0.0/24"}])
    assert made["actions"] == ["create network net"]
    static: Result = {
        "networks": [{"name": "net", "ipv4_address": "10.9.0.70", "aliases": ["www"]}],
        "published_ports": ["8080:80"],
    }
    web, other = host.web("web", **static), host.web("other", networks=[{"name": "net"}])
    assert [host.page(other, name) for name in ("web", "www", "10.9.0.70")] == ["hello from web"] * 3
    wider: Result = {"ipam_config": [{"subnet": "10.9.0.0/23"}, {"subnet": "fd00:9::/64"}], "mtu": 1400}
    changed = host.converge("net", **wider)
    assert changed["actions"] == [
        "detach container other from network net",
        "detach container web from network net",
        "change network net: ipam_config, enable_ipv6, mtu",
        "attach container other to network net",
        "attach container web to network net",
    ]
    assert addresses(changed)["web"] == "10.9.0.70"
    assert [host.page(other, name) for name in ("web", "www")] == ["hello from web"] * 2
    assert host.page(web, "other") == "hello from other"
    assert host.site.page(f"http://{HOST}:8080/", outside=True) == "hello from web"
    again = host.web("web", **static)
    assert not again["changed"]
    assert again["container"]["State"]["Pid"] == web["container"]["State"]["Pid"]
    # A start finds the changed network, too.
    host.site.container("web", restart=True)
    assert host.page(other, "www") == "hello from web"
    said = host.network("net", failing=True, state="absent")["msg"]
    assert said == "name: the network net has members: other, web: remove or disconnect them first, or give force=true"
    for name in ("web", "other"):
        host.site.container(name, state="absent")
    assert host.converge("net", state="absent")["actions"] == ["remove network net"]
    assert host.site.left() == before
    assert "br-" not in host.site.run("ip", "-o", "link")


def test_containers_are_connected_while_they_run(host: Host) -> None:
    host.network("front")
    host.network("back", internal=True)
    web, other = host.web("web", networks=[{"name": "front"}]), host.web("other", networks=[{"name": "front"}])
    done = host.converge("back", connected=["web"])
    assert done["actions"] == ["connect container web to network back"]
    (address,) = addresses(done).values()
    # Networks do not reach each other, but for whoever is in both.
    assert host.page(other, address, there=False) == ""
    more = host.converge("back", connected=["other"], appends=True)
    assert host.page(other, address) == "hello from web"
    assert host.page(web, addresses(more)["other"]) == "hello from other"
    # Nobody has been restarted, and the containers' own tasks find nothing to do.
    own = [host.web(name, networks=[{"name": "front"}]) for name in ("web", "other")]
    assert [one["changed"] for one in own] == [False, False]
    assert [one["container"]["State"]["Pid"] for one in own] == [one["container"]["State"]["Pid"] for one in (web, other)]
    assert sorted(own[0]["container"]["NetworkSettings"]["Networks"]) == ["back", "front"]
    less = host.converge("back", connected=["other"])
    assert less["actions"] == ["disconnect container web from network back"]
    assert host.page(other, address, there=False) == ""
    assert host.page(other, "web") == "hello from web"


def test_what_the_containers_own_task_says(host: Host) -> None:
    """It compares with what is there, leaves alone what it does not name, and puts back what it names."""
    for name in ("front", "back"):
        host.network(name, ipam_config=[{"subnet": f"10.9.{len(name)}.0/24"}])
    asked: Result = {
        "networks": [{"name": "front", "ipv4_address": "10.9.5.70", "aliases": ["www"]}],
        "published_ports": ["8080:80"],
    }
    _web, other = host.web("web", **asked), host.web("other", network_mode="back")
    host.network("back", connected=["web"], appends=True)

    def looks(result: Result, *networks: str) -> Result:
        there = result["container"]["NetworkSettings"]["Networks"]
        assert sorted(there) == sorted(networks)
        assert "front" not in networks or there["front"]["IPAddress"] == "10.9.5.70"
        assert ("hello from web" if "back" in networks else "") == host.page(other, "web", there="back" in networks)
        return result

    assert not looks(host.web("web", **asked), "front", "back")["changed"]
    # A change of something else leaves its networks alone, ...
    ports = looks(host.web("web", **{**asked, "published_ports": ["8081:80"]}), "front", "back")
    assert ports["actions"] == ["update published_ports of container web"]
    assert host.site.page(f"http://{HOST}:8081/", outside=True) == "hello from web"
    # ... and a new container takes the place of the old one, so that both tasks have nothing to do afterwards.
    anew = looks(host.web("web", **asked, env={"A": "b"}), "front", "back")
    assert anew["actions"][0] == "create container web anew (env changed)"
    assert not host.web("web", **asked, env={"A": "b"})["changed"]
    assert not host.network("back", connected=["web", "other"])["changed"]
    # What it names and is not in any more is put back, as it names it.
    host.network("front", connected=[])
    looks({"container": host.site.facts("web")}, "back")
    back = looks(host.web("web", **asked, env={"A": "b"}), "front", "back")
    assert back["actions"] == ["update networks of container web"]
    assert host.site.page(f"http://{HOST}:8080/", outside=True) == "hello from web"
    host.network("back", connected=["web"])
    mode = host.web("other", network_mode="back")
    assert mode["actions"] == ["update networks of container other"]
    assert mode["container"]["State"]["Pid"] == other["container"]["State"]["Pid"]
    # The docker way to be in no other network.
    strict: Result = {**asked, "env": {"A": "b"}, "comparisons": {"networks": "strict"}}
    assert looks(host.web("web", **strict), "front")["actions"] == ["update networks of container web"]
    assert not host.web("web", **strict)["changed"]
    # A network that is gone is a clear error, and nothing is changed.
    host.network("front", state="absent", force=True)
    said = host.web("web", **asked, env={"A": "b"}, failing=True)["msg"]
    assert said.startswith("networks: there is no network 'front'")
    assert host.site.facts("web")["State"]["Pid"] == back["container"]["State"]["Pid"]


def test_a_network_that_is_removed_by_force_disconnects(host: Host) -> None:
    host.network("front")
    host.network("back")
    web = host.web("web", networks=[{"name": "front"}, {"name": "back"}], published_ports=["8080:80"])
    gone = host.converge("front", state="absent", force=True)
    assert gone["actions"] == ["disconnect container web from network front", "remove network front"]
    # Its ports are published by the network that is left.
    assert host.site.page(f"http://{HOST}:8080/", outside=True) == "hello from web"
    assert list(host.site.facts("web")["NetworkSettings"]["Networks"]) == ["back"]
    assert host.site.facts("web")["State"]["Pid"] == web["container"]["State"]["Pid"]
    host.site.container("web", restart=True)
    assert host.site.page(f"http://{HOST}:8080/", outside=True) == "hello from web"


class Operation(t.NamedTuple):
    """A task that is killed, and the tasks before it."""

    prepare: t.Sequence[Result]
    task: Result


NARROW: Result = {"name": "front", "ipam_config": [{"subnet": "10.9.0.0/24"}], "mtu": 0, "isolate": True}
WIDE: Result = {"name": "front", "ipam_config": [{"subnet": "10.9.0.0/23"}, {"subnet": "fd00:9::/64"}], "mtu": 1400}
OPERATIONS = {
    "create": Operation([{"name": "new", "state": "absent"}], {"name": "new", "labels": {"a": "b"}}),
    "change": Operation([NARROW], WIDE),
    "change its bridge": Operation(
        [{"name": "front", "driver_options": {"com.docker.network.bridge.name": "br-old"}}],
        {"name": "front", "driver_options": {"com.docker.network.bridge.name": "br-new"}},
    ),
    "change in place": Operation([NARROW], {"name": "front", "isolate": False}),
    "connect": Operation([{"name": "back", "connected": []}], {"name": "back", "connected": ["web", "other"]}),
    "disconnect": Operation([{"name": "back", "connected": ["web", "other"]}], {"name": "back", "connected": []}),
    "remove": Operation([{"name": "back", "connected": ["web", "other"]}], {"name": "back", "state": "absent", "force": True}),
}
#: What changes something: files, netlink, and programs that are started (the first write after it).
CALLS = "write,pwrite64,sendto,sendmsg,mkdir,rename,link,unlink,rmdir,ftruncate,mount,umount2,fork,vfork,clone,clone3"


def whole(host: Host) -> t.Set[str]:
    """All that networks have on a host. Which addresses are given out, and their files' times, may differ."""
    site, found = host.site, t.cast(t.Set[str], set())
    for place in ("/etc/cni/net.d", "/var/lib/cni/networks", "/var/lib/cni/results", "/run/netns", "/run/fleet-containerd"):
        for one in site.path(place).rglob("*"):
            # Lock files of killed runs stay until somebody takes the lock again.
            if one.is_file() and ".locks" not in one.parts and not one.name.startswith(("lock", "last_", ".lock", "rules.")):
                address = place.endswith("networks") and not one.name.startswith(".")
                found.add(f"{one.parent.name if address else one}: {one.read_text() if '/cni/net' in place else ''}")
    found.update(f"{one}: {json.loads(one.read_text())['endpoints']}" for one in site.data.rglob("networks.json"))
    found.update(str(one) for one in site.data.rglob(".*.????????????????"))
    found.update(line.split()[1].partition("@")[0] for line in site.run("ip", "-o", "link").splitlines())
    return found | elements(site)


def elements(site: Networked) -> t.Set[str]:
    """Of all sets and maps, without the addresses that ports lead to."""
    listing = json.loads(site.run("nft", "-j", "list", "ruleset"))["nftables"]
    sets = [one.get("set") or one.get("map") or {} for one in listing]
    found = [(one["name"], each[0] if isinstance(each, list) else each) for one in sets for each in one.get("elem", [])]
    return set(map(str, found))


@pytest.mark.timeout(3000 if FULL else 900)
@pytest.mark.parametrize("networked_site", [""], indirect=True, ids=["embedded"])
def test_a_task_that_is_killed_at_any_call(host: Host) -> None:
    """The next run leaves everything as if nothing had been killed."""
    wrong: t.List[str] = []
    choose = random.Random(7)
    host.network(**NARROW)
    host.network("back")
    static = {"web": "10.9.0.70", "other": "10.9.0.71"}
    _web, other = (
        host.web(name, networks=[{"name": "front", "ipv4_address": address}], published_ports=[f"{port}:80"])
        for port, (name, address) in enumerate(static.items(), 8080)
    )

    def prepare(operation: Operation) -> None:
        for task in operation.prepare:
            host.network(**task)

    for name, operation in OPERATIONS.items():
        prepare(operation)
        host.network(**operation.task)
        wanted = whole(host)
        prepare(operation)
        given = {**host.site.defaults, **operation.task}
        calls = host.site.modules.killed_at(CALLS, 0, "containerd_network", **given)
        assert len(calls) > 5, calls
        assert whole(host) == wanted, name
        moments = range(1, len(calls) + 1)
        for number in moments if FULL else sorted(choose.sample(moments, min(MOMENTS, len(calls)))):
            prepare(operation)
            killed = host.site.modules.killed_at(CALLS, number, "containerd_network", **given)
            where = f"{name}, killed at call {number} of {len(calls)}: {killed[-2][:100] if killed[1:] else ''}"
            result = host.site.modules.result("containerd_network", **given)
            if result.get("failed"):
                wrong.append(f"{where}: {result['msg']}")
                continue
            found = whole(host)
            wrong += [f"{where}: left {one}" for one in found - wanted] + [f"{where}: no {one}" for one in wanted - found]
            if host.page(other, "web") != "hello from web" or host.site.page(f"http://{HOST}:8080/", outside=True) == "":
                wrong.append(f"{where}: web cannot be reached")
    assert not wrong, "\n".join(wrong)
    for name in ("web", "other"):
        host.site.container(name, state="absent")
    host.network("front", state="absent")
    assert host.site.left() == [[], [], []]


def test_containers_in_the_network_of_an_interface(host: Host) -> None:
    """Real traffic with the machine outside, and among them; the host itself does not reach who is on top of its own link."""
    lan: Result = {
        "driver": "macvlan",
        "driver_options": {"parent": "uplink"},
        "ipam_config": [
            {"subnet": "192.0.2.0/24", "gateway": OUTSIDE, "iprange": "192.0.2.64/26", "aux_addresses": {"host": HOST}},
            {"subnet": "2001:db8::/64", "gateway": OUTSIDE6},
        ],
    }
    before = host.site.left()
    assert host.converge("lan", **lan)["actions"] == ["create network lan"]
    host.network("front")
    static: Result = {"networks": [{"name": "lan", "ipv4_address": "192.0.2.99"}]}
    web, other = host.web("web", **static), host.web("other", networks=[{"name": "front"}])

    def reached() -> None:
        assert host.site.page("http://192.0.2.99/", outside=True) == "hello from web"
        assert host.page(other, "web") == "hello from web"
        pin = host.site.path(host.site.facts("web")["NetworkSettings"]["SandboxKey"])
        with listening(host.site.world.outside, 80) as server:
            # Under its own address, as there is nobody in between.
            assert seen(server, str(pin), OUTSIDE, 80) == "192.0.2.99"
        addresses = [one["GlobalIPv6Address"] for one in host.site.facts("web")["NetworkSettings"]["Networks"].values()]
        with listening(host.site.world.outside, 80) as server:
            assert [seen(server, str(pin), OUTSIDE6, 80)] == addresses

    joined = host.converge("lan", connected=["other"], appends=True)
    assert joined["actions"] == ["connect container other to network lan"]
    assert addresses(joined)["other"] == "192.0.2.100"
    reached()
    changed = host.converge("lan", mtu=1400)
    assert changed["actions"][2:3] == ["change network lan: mtu"]
    assert addresses(changed)["web"] == "192.0.2.99"
    reached()
    assert "mtu 1400" in host.site.inside(web["container"]["State"]["Pid"], "ip", "link", "show", "eth0")
    host.site.container("web", restart=True)
    reached()
    assert not host.web("web", **static)["changed"]
    for name in ("web", "other"):
        host.site.container(name, state="absent")
    for name in ("lan", "front"):
        host.converge(name, state="absent")
    assert host.site.left() == before


def test_the_examples(tmp_path: pathlib.Path) -> None:
    """As playbooks: in check mode, for real, and again."""
    network, info = examples_of("containerd_network"), examples_of("containerd_network_info")
    with networked(tmp_path, "") as site:

        def play(*tasks: Task, **how: t.Any) -> t.List[TaskResult]:
            return ansible.play(tasks, under=site.under, defaults=site.defaults, diff=True, **how).results

        told = play(*network, check=True)
        assert [one.changed for one in told] == [True, True, True, True, False]
        assert [one.result["diff"]["before"] for one in told[:4]] == [{"exists": False}] * 4
        assert not site.path("/etc/cni/net.d").exists()
        first, second, shown = (slice(number, number + 4) for number in (0, 4, 8))
        done = play(*network[:4], *network[:4], *info, network[4], network[4])
        assert [one.changed for one in done[first]] == [True] * 4
        assert [one.changed for one in done[second]] == [False] * 4
        assert [one.result["network"]["IPAM"] for one in done[:2]] == [one.result["network"]["IPAM"] for one in told[:2]]
        assert done[2].result["diff"] == {"before": {"mtu": 0}, "after": {"mtu": 9000}}
        one, every, *gone = done[shown]
        assert one.result["network"]["Name"] == "front"
        assert [each["Name"] for each in every.result["networks"]] == ["back", "chain", "front"]
        assert [each.changed for each in gone] == [True, False]
        assert gone[0].result["diff"]["after"] == {"exists": False}


def test_a_group_of_options(tmp_path: pathlib.Path) -> None:
    """module_defaults: where networks are is said once."""
    with networked(tmp_path, "") as site:
        tasks = [
            {"fleet.containerd.containerd_network": {"name": "net"}},
            {"fleet.containerd.containerd_network_info": {"name": "net"}},
        ]
        groups = {
            "group/fleet.containerd.containerd": site.defaults,
            "group/fleet.containerd.network": {"cni_conf_dir": "/etc/cni/own", "cni_bin_dir": ["/opt/own"]},
        }
        playbook = tmp_path / "play.json"
        playbook.write_text(
            json.dumps([{"hosts": "localhost", "gather_facts": False, "module_defaults": groups, "tasks": tasks}])
        )
        made, shown = ansible.play(playbook, under=site.under).results
        assert made.changed
        assert shown.result["network"]["Containerd"]["Path"] == "/etc/cni/own/nerdctl-net.conflist"
        assert [one.name for one in site.path("/etc/cni/own").glob("*.conflist")] == ["nerdctl-net.conflist"]
