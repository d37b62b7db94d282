# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of networks on each engine: what differs and what does not, what is refused and why, what facts and files tell."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import time
import typing as t

import pytest
import yaml

from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult
from ansible_collections.fleet.containerd.tests.support.guides import blocks_of
from ansible_collections.fleet.containerd.tests.support.leftovers import processes_with
from ansible_collections.fleet.containerd.tests.support.namespaces import HOST, listening
from ansible_collections.fleet.containerd.tests.support.networked import Networked
from ansible_collections.fleet.containerd.tests.support.waiting import until

STATIC = {"name": "front", "ipv4_address": "10.9.1.7", "aliases": ["www"], "mac_address": "02:42:0a:09:01:07"}

BUSYBOX = "docker.io/library/busybox:1.36"

Result = t.Dict[str, t.Any]


class Host:
    """A host with an engine and containers."""

    def __init__(self, site: Networked, image: str) -> None:
        self.site, self.image = site, image

    def web(self, name: str = "web", /, failing: bool = False, check: bool = False, **options: t.Any) -> Result:
        """A container with a page."""
        return self.site.web(name, failing=failing, _ansible_check_mode=check, _ansible_diff=True, **options)

    def network(self, name: str, **options: t.Any) -> Result:
        return self.site.modules.run("containerd_network", **{**self.site.defaults, "name": name, **options})

    def state(self) -> t.List[t.Any]:
        """What check mode must not touch."""
        left = self.site.settled()
        links = json.loads(self.site.run("ip", "-j", "addr"))
        addresses = [(one["ifname"], [each["local"] for each in one["addr_info"] if each["scope"] == "global"]) for one in links]
        return [left, self.site.ruleset(), addresses, sorted(map(str, self.site.data.rglob("*")))]

    def converge(self, name: str = "web", /, **options: t.Any) -> Result:
        """In check mode, which touches nothing, for real, and again."""
        before = self.state()
        told = self.web(name, check=True, **options)
        assert self.state() == before
        real, again = self.web(name, **options), self.web(name, **options)
        assert told["actions"] == real["actions"] != []
        assert told["diff"]["after"].keys() == real["diff"]["after"].keys()
        assert (again["changed"], again["actions"]) == (False, [])
        return real

    def refused(self, name: str = "web", /, **options: t.Any) -> str:
        """The same words in check mode and for real, and nothing is changed."""
        before = self.state()
        told, real = self.web(name, True, check=True, **options), self.web(name, True, **options)
        assert told["msg"] == real["msg"]
        assert "undone" not in real
        assert self.state() == before
        return str(real["msg"])

    def inside(self, result: Result, *command: str) -> str:
        return self.site.inside(int(result["container"]["State"]["Pid"]), *command)

    def links(self, result: Result) -> t.Dict[str, str]:
        """Of a container: network by link."""
        return {one["Interface"]: name for name, one in networks(result).items()}

    def gateway(self, result: Result) -> str:
        return self.inside(result, "ip", "route", "show", "default").split()[2]


def warnings(result: Result) -> t.List[str]:
    """As text: ansible-core has more about each."""
    return [one if isinstance(one, str) else one["event"]["msg"] for one in result.get("warnings", [])]


def networks(result: Result) -> t.Dict[str, t.Any]:
    return t.cast(t.Dict[str, t.Any], result["container"]["NetworkSettings"]["Networks"])


@pytest.fixture
def host(networked_site: Networked, busybox: str) -> Host:
    for number, name in enumerate(("front", "back", "side"), 1):
        networked_site.network(name, f"10.9.{number}.0/24", f"fd00:9:{number}::/64")
    return Host(networked_site, busybox)


#: For what is the same whichever containerd it is.
BOTH_ENGINES = pytest.mark.parametrize("networked_site", ["", "2.1"], indirect=True, ids=["embedded", "2.1"])


@BOTH_ENGINES
def test_networks_are_compared_as_in_docker(host: Host) -> None:
    made = host.converge(networks=[STATIC])
    pid = made["container"]["State"]["Pid"]
    # What an entry does not give is no difference, and a network more is connected to what runs.
    assert not host.web(networks=[{"name": "front"}])["changed"]
    both = host.converge(networks=[{"name": "front"}, {"name": "back", "aliases": ["api"]}])
    assert both["actions"] == ["update networks of container web"]
    assert both["diff"]["before"]["networks"] == [STATIC]
    assert both["diff"]["after"]["networks"] == [STATIC, {"name": "back", "aliases": ["api"]}]
    assert both["container"]["State"]["Pid"] == pid
    assert host.links(both) == {"eth0": "front", "eth1": "back"}
    assert host.gateway(both) == "10.9.1.1"
    assert networks(both)["front"]["IPAddress"] == "10.9.1.7"
    # Networks that are not named stay, unless that is asked for.
    assert not host.web(networks=[{"name": "front"}])["changed"]
    assert not host.web(networks=[{"name": "front"}, {"name": "back", "aliases": ["api"]}])["changed"]
    only = host.converge(networks=[{"name": "front"}], comparisons={"networks": "strict"})
    assert networks(only).keys() == {"front"}
    assert networks(only)["front"]["IPAMConfig"] is None
    assert networks(only)["front"]["Aliases"] == []
    # Another first network is another beginning: it has the default route.
    turned = host.converge(networks=[{"name": "back"}, {"name": "front"}])
    assert host.links(turned) == {"eth0": "back", "eth1": "front"}
    assert host.gateway(turned) == "10.9.2.1"
    moved = host.converge(networks=[{"name": "side", "ipv6_address": "fd00:9:3::7"}])
    assert host.links(moved) == {"eth0": "side"}
    assert networks(moved)["side"]["GlobalIPv6Address"] == "fd00:9:3::7"
    assert moved["container"]["State"]["Pid"] == pid
    again = host.site.container("web", restart=True)
    assert host.links(again) == {"eth0": "side"}
    assert host.gateway(again) == "10.9.3.1"
    host.site.container("web", state="absent")
    assert host.site.left() == [[], [], []]


def test_what_the_network_module_connects_stays(host: Host) -> None:
    ports = {"networks": [{"name": "front"}], "published_ports": ["8080:80"]}
    host.web(**ports)
    host.network("back", connected=["web"])
    assert not host.web(**ports)["changed"]
    # A change of something else leaves it.
    changed = host.converge(networks=[{"name": "front"}], published_ports=["8081:80"])
    assert changed["actions"] == ["update published_ports of container web"]
    assert host.links(changed) == {"eth0": "front", "eth1": "back"}
    assert host.site.page(f"http://{HOST}:8081/", outside=True) == "hello from web"
    # Who takes a network away that the container's own task names makes a difference.
    host.network("front", connected=[])
    assert host.links({"container": host.site.facts("web")}) == {"eth1": "back"}
    back = host.converge(networks=[{"name": "front"}], published_ports=["8081:80"])
    assert networks(back)["front"]["IPAddress"]
    host.site.container("web", state="absent")
    assert host.site.left() == [[], [], []]


def test_the_network_of_another_container(host: Host) -> None:
    """It follows the other one, which may be started again, or be made anew."""
    again = "as the container web has another network namespace by now"
    restarted = [f"stop container pod, {again}", "start container pod"]

    def pod(**options: t.Any) -> Result:
        return host.converge("pod", command=["sleep", "1000"], network_mode="container:web", **options)

    def page(result: Result) -> str:
        return host.inside(result, "wget", "-qO-", "http://127.0.0.1/")

    web = host.web(networks=[{"name": "front", "aliases": ["www"]}])
    first = pod()
    assert first["container"]["HostConfig"]["NetworkMode"] == f"container:{web['container']['Id']}"
    assert first["container"]["NetworkSettings"]["SandboxKey"] == web["container"]["NetworkSettings"]["SandboxKey"]
    assert page(first) == "hello from web"
    # As in Docker it has the host name of the other one, which is in the hosts file of both.
    third = host.web("third", command=["sleep", "1000"], network_mode="container:web", hostname=None)
    assert host.inside(third, "hostname") == "web"
    host.site.container("third", state="absent")
    options = {"command": ["sleep", "1000"], "hostname": "pod"}
    assert not host.web("pod", network_mode=f"container:{web['container']['Id']}", **options)["changed"]
    # Started again.
    warned = host.site.container("web", restart=True)
    assert "the container pod uses namespaces of web (network), and is to be started again" in warnings(warned)
    assert pod()["actions"] == restarted
    # Made anew: without a new pod.
    new = host.web(networks=[{"name": "front", "aliases": ["www"]}], env={"A": "1"})
    assert new["recreated_because"] == ["env"]
    assert "the container pod uses namespaces of web (network), and is to be started again" in warnings(new)
    second = pod()
    assert second["actions"] == restarted
    assert second["container"]["Id"] == first["container"]["Id"]
    assert second["container"]["HostConfig"]["NetworkMode"] == f"container:{new['container']['Id']}"
    assert page(second) == "hello from web"
    assert "www" in host.inside(second, "cat", "/etc/hosts")
    # Without the option, too: it is in no network of its own.
    host.site.container("web", restart=True)
    assert host.site.container("pod", state="started")["actions"] == restarted
    # One that has ended by itself.
    host.site.end("web")
    warned = host.site.container("web", state="started")
    assert "the container pod uses namespaces of web (network), and is to be started again" in warnings(warned)
    assert host.site.container("pod", state="started")["actions"] == restarted
    # Not there.
    stopped = host.site.container("web", state="stopped")
    assert "the container pod uses namespaces of web (network), and has none then" in warnings(stopped)
    words = "network_mode: container:web: the container web does not run: start it first"
    assert host.refused("pod", network_mode="container:web", **options) == words
    host.site.container("pod", state="stopped")
    assert host.refused("pod", network_mode="container:web", **options) == words
    host.web(networks=[{"name": "front", "aliases": ["www"]}], env={"A": "1"})
    assert pod()["actions"] == ["start container pod"]
    gone = host.site.container("web", state="absent")
    assert "the container pod uses namespaces of web (network), and has none then" in warnings(gone)
    assert (
        host.refused("pod", network_mode="container:web", **options) == "network_mode: container:web: there is no such container"
    )
    host.site.container("pod", state="absent")
    assert host.site.left() == [[], [], []]


@BOTH_ENGINES
def test_a_namespace_of_the_host(host: Host) -> None:
    host.site.run("ip", "netns", "add", "blue")
    host.site.run("ip", "-n", "blue", "link", "add", "blue0", "type", "veth", "peer", "name", "blue9")
    mode = {"network_mode": "ns:/run/netns/blue"}
    assert "blue0" in host.inside(host.converge(**mode), "ip", "link")
    host.site.run("ip", "netns", "delete", "blue")
    assert host.refused(**mode) == "network_mode: ns:/run/netns/blue: the network namespace is not there"
    host.site.run("ip", "netns", "add", "blue")
    host.site.run("ip", "-n", "blue", "link", "add", "blue1", "type", "veth", "peer", "name", "blue9")
    again = host.converge(**mode)
    assert again["actions"][-1] == "start container web"
    assert "blue1" in host.inside(again, "ip", "link")
    host.site.container("web", state="absent")
    host.site.run("ip", "netns", "delete", "blue")


@BOTH_ENGINES
def test_what_is_refused(host: Host) -> None:
    """Before anything is changed, and in check mode, too."""
    host.web("other", networks=[{"name": "front", "ipv4_address": "10.9.1.7"}], published_ports=["8080:80", f"{HOST}:8081:80"])
    words = "published_ports: the host's port"
    taken = f"{words} 8080/tcp is taken: the container other has published it"
    assert host.refused(published_ports=["8080:80"]) == taken
    assert host.refused(published_ports=["8081:80"]) == f"{words} 8081/tcp is taken: the container other has published it"
    with listening(host.site.world.host, 8090):
        own = f"{pathlib.Path('/proc/self/comm').read_text().strip()} (process {os.getpid()})"
        assert host.refused(published_ports=["8090:80"]) == f"{words} 8090/tcp is taken: {own} listens there"
    assert "is published twice" in host.refused(published_ports=["80:80", "0.0.0.0:80:81"])
    address = "networks.ipv4_address: 10.9"
    front = {"name": "front"}
    assert host.refused(networks=[{**front, "ipv4_address": "10.9.1.7"}]) == (
        f"{address}.1.7 is taken in the network front: the container other has it"
    )
    assert host.refused(networks=[{**front, "ipv4_address": "10.9.2.7"}]) == (
        f"{address}.2.7 is in no subnet of the network front (10.9.1.0/24, fd00:9:1::/64)"
    )
    assert host.refused(networks=[{**front, "ipv4_address": "10.9.1.1"}]) == f"{address}.1.1 is the gateway of the network front"
    assert host.refused(networks=[{"name": "frnt"}]) == (
        "networks: there is no network 'frnt' in /etc/cni/net.d; there are back, bridge, front, side"
    )
    assert host.refused(network_mode="frnt").startswith("network_mode: there is no network 'frnt'")
    assert host.refused(network_mode="ns:blue") == (
        "network_mode: 'ns:blue' is not one of default, bridge, host, none, container:NAME, ns:/PATH and the name of a network"
    )
    itself = "network_mode: container:web is the container itself: give the name of another one"
    assert host.refused(network_mode="container:web") == itself
    # Nobody would reach it, and it would not reach the host.
    host.network("wall", internal=True)
    publishes = "no network of the container (wall) publishes ports: an internal one does not, nor does macvlan or ipvlan"
    wall: t.Dict[str, t.Any] = {"networks": [{"name": "wall"}]}
    assert host.refused(**wall, published_ports=["8085:80"]) == f"published_ports: {publishes}"
    assert host.refused(**wall, publish_all_ports=True) == f"publish_all_ports: {publishes}"
    assert host.refused(**wall, etc_hosts={"docker": "host-gateway"}) == (
        "etc_hosts: docker: host-gateway needs a network of the container's own in which this host has an address"
    )
    needs = "needs a network of the container's own, and network_mode is"
    assert host.refused(network_mode="host", published_ports=["80:80"]) == f"published_ports: 80:80/tcp {needs} host"
    assert host.refused(network_mode="none", networks=[front]) == f"networks: front {needs} none"
    assert host.refused(network_mode="none", mac_address="02:42:0a:00:00:01") == f"mac_address: 02:42:0a:00:00:01 {needs} none"
    # So it is with a container that runs, and with one that was stopped meanwhile.
    made = host.web(networks=[front], published_ports=["8082:80"])
    assert host.refused(networks=[front], published_ports=["8080:80"]) == taken
    assert host.refused(networks=[{**front, "ipv4_address": "10.9.1.7"}], published_ports=["8082:80"]).startswith(
        f"{address}.1.7 is taken"
    )
    assert host.refused(networks=[front], published_ports=["8080:80"], env={"A": "1"}) == taken
    assert host.refused(**wall, published_ports=["8082:80"]) == f"published_ports: {publishes}"
    both = {"networks": [*wall["networks"], front], "published_ports": ["8082:80"]}
    assert not host.web(check=True, **both).get("failed")
    assert host.refused(network_mode=f"container:{made['container']['Id']}").endswith(
        "is the container itself: give the name of another one"
    )
    assert host.inside(made, "wget", "-qO-", "http://127.0.0.1/") == "hello from web"
    host.site.container("other", state="stopped")
    host.web(networks=[front], published_ports=["8080:80"])
    again = host.site.container("other", True, state="started")
    assert again["msg"] == f"{words} 8080/tcp is taken: the container web has published it"
    for name in ("web", "other"):
        host.site.container(name, state="absent")
    assert host.site.left() == [[], [], []]


@BOTH_ENGINES
def test_where_a_port_is_published(host: Host) -> None:
    ports = ["8080:80", "0.0.0.0:8081:80", f"{HOST}:8082:80", "[::1]:8083:80/udp", "9000-9001:90-91/udp"]
    made = host.converge(networks=[{"name": "front"}], published_ports=ports, default_host_ip="127.0.0.1")
    assert made["container"]["NetworkSettings"]["Ports"] == {
        "80/tcp": [
            {"HostIp": "127.0.0.1", "HostPort": "8080"},
            {"HostIp": "0.0.0.0", "HostPort": "8081"},
            {"HostIp": "::", "HostPort": "8081"},
            {"HostIp": HOST, "HostPort": "8082"},
        ],
        "80/udp": [{"HostIp": "::1", "HostPort": "8083"}],
        "90/udp": [{"HostIp": "127.0.0.1", "HostPort": "9000"}],
        "91/udp": [{"HostIp": "127.0.0.1", "HostPort": "9001"}],
    }
    assert host.site.page("http://127.0.0.1:8080/") == "hello from web"
    assert host.site.page(f"http://{HOST}:8080/", outside=True, patience=0) == ""
    for port in (8081, 8082):
        assert host.site.page(f"http://{HOST}:{port}/", outside=True) == "hello from web"
    # Without the default, where an address is given and where none is means the same.
    moved = host.converge(networks=[{"name": "front"}], published_ports=["8080:80"], default_host_ip="")
    assert moved["actions"] == ["update default_host_ip, published_ports of container web"]
    assert not host.web(networks=[{"name": "front"}], published_ports=["0.0.0.0:8080:80"], default_host_ip="")["changed"]
    assert host.site.page(f"http://{HOST}:8080/", outside=True) == "hello from web"
    every = host.converge(
        networks=[{"name": "front"}], publish_all_ports=True, exposed_ports=["80", "90/udp"], published_ports=[]
    )
    chosen = every["container"]["NetworkSettings"]["Ports"]
    assert chosen.keys() == {"80/tcp", "90/udp"}
    assert host.site.page(f"http://{HOST}:{chosen['80/tcp'][0]['HostPort']}/", outside=True) == "hello from web"
    # Two for the same port of the container, which stay when another one comes.
    twice = host.converge(networks=[{"name": "front"}], publish_all_ports=False, published_ports=["80", "80"])
    chosen = twice["container"]["NetworkSettings"]["Ports"]["80/tcp"]
    assert len({one["HostPort"] for one in chosen}) == 2
    third = host.converge(networks=[{"name": "front"}], publish_all_ports=False, published_ports=["80", "80", "8099:80"])
    ports = third["container"]["NetworkSettings"]["Ports"]["80/tcp"]
    assert {one["HostPort"] for one in ports} == {"8099", *(one["HostPort"] for one in chosen)}
    host.site.container("web", state="absent")


@pytest.mark.parametrize("mode", ["host", "none"])
@BOTH_ENGINES
def test_networks_for_a_container_that_had_none(host: Host, mode: str) -> None:
    """As in Docker's module the first one is its network_mode now, although the task names none."""
    host.web(network_mode=mode, command=["sleep", "1000"])
    front = [{"name": "front"}]
    assert host.refused(published_ports=["8080:80"], command=["sleep", "1000"]) == (
        "published_ports: 8080:80/tcp needs a network of the container's own, "
        f"and network_mode is {mode}, as the container was made: give network_mode, too"
    )
    assert not host.web(networks=front, command=["sleep", "1000"], comparisons={"network_mode": "ignore"})["changed"]
    made = host.converge(networks=front, published_ports=["8080:80"])
    assert made["actions"][0] == "create container web anew (command, network_mode changed)"
    assert (made["diff"]["before"]["network_mode"], made["diff"]["after"]["network_mode"]) == (mode, "front")
    assert host.site.page(f"http://{HOST}:8080/", outside=True) == "hello from web"
    host.site.container("web", state="absent")
    assert host.site.left() == [[], [], []]


@BOTH_ENGINES
def test_facts(host: Host) -> None:
    """As docker inspect has them, for what runs and for what does not."""
    made = host.web(
        networks=[STATIC, {"name": "back"}], published_ports=["8080:80"], exposed_ports=["90"], dns_servers=["192.0.2.53"]
    )
    settings, front = made["container"]["NetworkSettings"], networks(made)["front"]
    assert {key: value for key, value in front.items() if key not in ("NetworkID", "DNSNames", "GlobalIPv6Address")} == {
        "IPAMConfig": {"IPv4Address": "10.9.1.7"},
        "Links": None,
        "DriverOpts": None,
        "Aliases": ["www"],
        "MacAddress": "02:42:0a:09:01:07",
        "IPAddress": "10.9.1.7",
        "IPPrefixLen": 24,
        "Gateway": "10.9.1.1",
        "GlobalIPv6PrefixLen": 64,
        "IPv6Gateway": "fd00:9:1::1",
        "Interface": "eth0",
    }
    assert front["GlobalIPv6Address"].startswith("fd00:9:1::")
    assert front["DNSNames"] == ["web", made["container"]["Id"][:12], "www"]
    shown = host.site.modules.run("containerd_network_info", **{**host.site.defaults, "name": ["front"]})["networks"][0]
    assert front["NetworkID"] == shown["Id"] != ""
    assert settings["HairpinMode"] is True
    assert settings["IPAddress"] == ""  # of the default network, in which it is not
    assert settings["Ports"] == {
        "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}], "90/tcp": None
    }  # fmt: skip
    config = made["container"]["HostConfig"]
    assert config["PortBindings"] == {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}
    assert (config["NetworkMode"], config["Dns"]) == ("front", ["192.0.2.53"])
    assert (
        host.site.run("ip", "netns", "exec", os.path.basename(settings["SandboxKey"]), "ip", "-4", "-o", "addr").count(
            "inet 10.9."
        )
        == 2
    )
    assert host.site.facts("web")["NetworkSettings"] == settings
    stopped = host.site.container("web", state="stopped")
    assert (stopped["container"]["NetworkSettings"]["SandboxKey"], stopped["container"]["NetworkSettings"]["Ports"]) == ("", {})
    off = networks(stopped)
    assert list(off) == ["front", "back"]
    assert (off["front"]["IPAMConfig"], off["front"]["IPAddress"]) == ({"IPv4Address": "10.9.1.7"}, "")
    assert stopped["container"]["HostConfig"]["PortBindings"] == config["PortBindings"]
    # One that has ended by itself has none, either.
    host.site.container("web", state="started")
    host.site.end("web")
    dead = host.site.facts("web")
    assert (dead["State"]["Status"], dead["NetworkSettings"]["Networks"]["front"]["IPAddress"]) == ("exited", "")
    host.site.container("web", state="absent")


@pytest.mark.parametrize("networked_site", ["1.7"], indirect=True)
def test_labels_that_nerdctl_reads(host: Host) -> None:
    made = host.web(networks=[{**STATIC, "ipv6_address": "fd00:9:1::7"}], published_ports=["8080:80", "127.0.0.1:8081:80/udp"])
    assert host.site.daemon

    def labels() -> t.Dict[str, t.Any]:
        assert host.site.daemon
        raw = host.site.daemon.ctr("containers", "info", made["container"]["Id"], namespace=host.site.namespace)
        return t.cast(t.Dict[str, t.Any], json.loads(raw.stdout)["Labels"])

    found = labels()
    assert json.loads(found["nerdctl/networks"]) == ["front"]
    assert json.loads(found["nerdctl/ports"]) == [
        {"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": "0.0.0.0"},
        {"HostPort": 8081, "ContainerPort": 80, "Protocol": "udp", "HostIP": "127.0.0.1"},
    ]
    assert [found[f"nerdctl/{key}"] for key in ("ip", "ip6", "mac-address")] == ["10.9.1.7", "fd00:9:1::7", STATIC["mac_address"]]
    host.web(networks=[{"name": "back"}], published_ports=["8082:80"])
    found = labels()
    assert json.loads(found["nerdctl/networks"]) == ["back"]
    assert [one["HostPort"] for one in json.loads(found["nerdctl/ports"])] == [8082]
    assert not {"nerdctl/ip", "nerdctl/ip6", "nerdctl/mac-address"} & set(found)
    host.site.container("web", state="absent")


@BOTH_ENGINES
def test_networks_of_another_directory(host: Host) -> None:
    """Both modules mean the same networks by cni_conf_dir, and the hook finds them without being told again."""
    place = {"cni_conf_dir": "/etc/cni/own.d"}
    host.network("inner", **place, ipam_config=[{"subnet": "10.9.8.0/24"}])
    assert "there is no network 'inner' in /etc/cni/net.d" in host.refused(networks=[{"name": "inner"}])
    options = {**place, "networks": [{"name": "inner"}], "published_ports": ["8080:80"]}
    made = host.converge(**options)
    assert networks(made)["inner"]["IPAddress"].startswith("10.9.8.")
    shown = host.site.modules.run("containerd_network_info", **{**host.site.defaults, **place, "name": ["inner"]})["networks"][0]
    assert [one["Name"] for one in shown["Containers"].values()] == ["web"]
    again = host.site.container("web", restart=True)
    assert networks(again)["inner"]["IPAddress"].startswith("10.9.8.")
    assert host.site.page(f"http://{HOST}:8080/", outside=True) == "hello from web"
    # A default network of its own, too.
    other = host.web("other", **place, network_mode="bridge")
    assert host.site.path("/etc/cni/own.d/nerdctl-bridge.conflist").exists()
    assert networks(other)["bridge"]["IPAddress"]
    for name in ("web", "other"):
        host.site.container(name, state="absent")
    assert host.site.left() == [[], [], []]


def test_names_of_members(host: Host) -> None:
    """Kept current in the hosts file of each: as members come, change, stop, are killed and go."""
    a = host.web("a", networks=[{"name": "front", "aliases": ["one"]}])

    def known(result: Result) -> t.Set[str]:
        lines = host.inside(result, "cat", "/etc/hosts").splitlines()
        return {word for line in lines if line.startswith("10.9.1.") for word in line.split()[1:]} & {"a", "one", "b", "two", "c"}

    b = host.web("b", networks=[{"name": "front", "aliases": ["two"]}, {"name": "back"}])
    assert known(a) == known(b) == {"a", "one", "b", "two"}
    assert host.site.page_inside(int(a["container"]["State"]["Pid"]), "http://two/") == "hello from b"
    host.web("b", networks=[{"name": "front", "aliases": ["c"]}, {"name": "back"}])
    assert known(a) == {"a", "one", "b", "c"}
    host.site.container("b", state="stopped")
    assert known(a) == {"a", "one"}
    b = host.site.container("b", state="started")
    assert known(a) == known(b) == {"a", "one", "b", "c"}
    # Killed: whoever runs it next, or removes it, tells the others.
    host.site.end("b")
    b = host.site.container("b", state="started")
    assert known(a) == known(b) == {"a", "one", "b", "c"}
    os.kill(int(b["container"]["State"]["Pid"]), signal.SIGKILL)
    host.site.container("b", state="absent")
    assert known(a) == {"a", "one"}
    host.site.container("a", state="absent")
    assert host.site.left() == [[], [], []]


@BOTH_ENGINES
def test_the_resolver_is_that_of_the_start(host: Host, tmp_path: pathlib.Path) -> None:
    """What the task does not give comes from the host, each time that the container starts."""
    own = tmp_path / "resolv.conf"
    own.write_text("nameserver 192.0.2.1\nsearch old.example\n")
    host.site.run("mount", "--bind", str(own), "/etc/resolv.conf")
    try:
        made = host.web(networks=[{"name": "front"}], dns_opts=["ndots:2"])
        assert host.inside(made, "cat", "/etc/resolv.conf") == "nameserver 192.0.2.1\nsearch old.example\noptions ndots:2"
        own.write_text("nameserver 127.0.0.53\nnameserver 192.0.2.2\nsearch new.example\noptions edns0\n")
        assert not host.web(networks=[{"name": "front"}], dns_opts=["ndots:2"])["changed"]
        again = host.site.container("web", restart=True)
        assert host.inside(again, "cat", "/etc/resolv.conf") == "nameserver 192.0.2.2\nsearch new.example\noptions ndots:2"
        # Also after a change of networks.
        host.web(networks=[{"name": "front"}, {"name": "back"}], dns_opts=["ndots:2"])
        own.write_text("nameserver 192.0.2.3\n")
        last = host.site.container("web", restart=True)
        assert host.inside(last, "cat", "/etc/resolv.conf") == "nameserver 192.0.2.3\noptions ndots:2"
    finally:
        host.site.container("web", state="absent")
        host.site.run("umount", "/etc/resolv.conf")


@pytest.mark.parametrize("networked_site", [""], indirect=True, ids=["embedded"])
def test_the_guide(host: Host) -> None:
    """Its playbooks, in order: in check mode as far as that goes, for real, and again."""
    tasks = [one for block in blocks_of("guide_container_networks", {BUSYBOX: host.image}) for one in yaml.safe_load(block)]

    def play(*these: Task, **how: t.Any) -> t.List[TaskResult]:
        return ansible.play(these, under=host.site.under, defaults=host.site.defaults, **how).results

    for name in ("front", "back", "side"):
        host.site.modules.run("containerd_network", **{**host.site.defaults, "name": name, "state": "absent"})
    first = play(*tasks)
    assert [one.changed for one in first] == [True, True, True, True, False, True]
    address = first[4].result["msg"]
    assert "root:" in host.site.page(f"{address}passwd")
    assert "root:" in host.site.page(f"http://{HOST}:8080/passwd", outside=True)
    web = {"container": host.site.facts("web")}
    assert host.inside(web, "ping", "-c", "1", "-W", "2", "db").splitlines()[0].startswith("PING db (172.30.8.10)")
    assert not any(one.changed for one in play(*tasks))
    assert [one.changed for one in play(*tasks, check=True)] == [False] * 6
    for name in ("exporter", "preview", "web", "postgres"):
        host.site.container(name, state="absent", force_kill=True)
    assert host.site.left() == [[], [], []]


def test_after_a_reboot_the_order_does_not_matter(host: Host) -> None:
    """A container in the network of another one that is not started yet says so; then it is in the new one."""
    web = {"networks": [{"name": "front"}]}
    pod = {"command": ["sleep", "1000"], "network_mode": "container:web", "hostname": "pod"}
    host.web(**web)
    host.web("pod", **pod)
    for name in ("web", "pod"):
        host.site.end(name)
    # What looks after them runs the hook, and ends, a moment later.
    until(lambda: not processes_with(host.site.data))
    for one in host.site.path("/run/netns").iterdir():
        host.site.run("umount", f"/run/netns/{one.name}")
        one.unlink()
    shutil.rmtree(host.site.path("/run/fleet-containerd/networks"))
    while host.site.left(patience=0)[1]:
        time.sleep(0.05)  # the kernel takes its time to remove a namespace
    assert host.refused("pod", **pod) == "network_mode: container:web: the container web does not run: start it first"
    assert host.web(**web)["actions"] == ["start container web"]
    assert host.inside(host.converge("pod", **pod), "wget", "-qO-", "http://127.0.0.1/") == "hello from web"
    for name in ("pod", "web"):
        host.site.container(name, state="absent")
    assert host.site.left() == [[], [], []]
