# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_network and containerd_network_info in a namespace of the test's own, with containers that are namespaces and files."""

from __future__ import annotations

import ipaddress
import json
import pathlib
import subprocess
import time
import typing as t

import pytest
import yaml

from ansible_collections.fleet.containerd.plugins.module_utils.engine_host.place import Place
from ansible_collections.fleet.containerd.plugins.module_utils.network import netns
from ansible_collections.fleet.containerd.plugins.module_utils.network.attachment import Attachment, Host
from ansible_collections.fleet.containerd.plugins.module_utils.network.chain import Chain
from ansible_collections.fleet.containerd.plugins.module_utils.network.conflist import ConfDir
from ansible_collections.fleet.containerd.plugins.module_utils.network.connected import Connected, Endpoint
from ansible_collections.fleet.containerd.plugins.module_utils.network.container import Connection
from ansible_collections.fleet.containerd.plugins.module_utils.network.external import find as find_plugin
from ansible_collections.fleet.containerd.plugins.module_utils.network.members import find
from ansible_collections.fleet.containerd.plugins.module_utils.network.nftables import Nftables
from ansible_collections.fleet.containerd.plugins.module_utils.network.places import BIN_DIRS, Places
from ansible_collections.fleet.containerd.plugins.module_utils.network.ports import Published
from ansible_collections.fleet.containerd.plugins.module_utils.resources.network import desired
from ansible_collections.fleet.containerd.tests.support import nerdctl, trees
from ansible_collections.fleet.containerd.tests.support.ansible import Play, Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.guides import blocks_of
from ansible_collections.fleet.containerd.tests.support.memory_site import play
from ansible_collections.fleet.containerd.tests.support.namespaces import HOST, OUTSIDE, World, ip, listening, seen, world

Options = t.Dict[str, t.Any]


class Site:
    """A host with the files of its networks below the directory of the test."""

    def __init__(self, made: World, base: pathlib.Path) -> None:
        self.world, self.base = made, base
        directories = [str(base / name) for name in ("cache", "addresses")]
        self.places = Places(str(base / "net.d"), "", BIN_DIRS, *directories, str(made.directory), str(base / "state"))
        self.defaults = {"cni_conf_dir": self.places.conf_dir, "data_root": str(base / "data")}
        self.host = Host(Nftables(), BIN_DIRS, *directories)

    def play(self, *tasks: Task, **how: t.Any) -> Play:
        return play(tasks, self.defaults, **how)

    def network(self, name: str, **options: t.Any) -> TaskResult:
        return self.play(task("containerd_network", name=name, **options)).last

    def fails(self, name: str, **options: t.Any) -> str:
        """The message of a task that fails, in check mode and for real, and changes nothing."""
        before, links = self.files(), self.links()
        one = task("containerd_network", name=name, **options)
        said = [self.play(one, failing=True, check=check).last.msg for check in (True, False)]
        assert said[0] == said[1]
        self.unchanged(before)
        assert self.links() == links
        return said[0]

    def converge(self, name: str, **options: t.Any) -> TaskResult:
        """In check mode, which tells the truth and touches nothing; for real; and again."""
        before, links = self.files(), self.links()
        one = task("containerd_network", name=name, **options)
        told = self.play(one, check=True).last
        self.unchanged(before)
        assert self.links() == links
        real, again = self.play(one, one).results
        assert told.actions == real.actions
        assert told.get("diff") == real.get("diff")
        assert self.stable(told) == self.stable(real) or options.get("connected") is not None
        assert real.changed
        assert (again.changed, again.actions) == (False, [])
        return real

    @staticmethod
    def stable(result: TaskResult) -> Options:
        """Facts without what only a real run can know."""
        network = dict(result.result["network"])
        network.pop("Created", None)
        network.pop("Containers", None)
        return network

    def info(self, *names: str) -> TaskResult:
        return self.play(task("containerd_network_info", **({"name": list(names)} if names else {}))).last

    def files(self) -> t.Dict[str, t.Any]:
        return {name: trees.snapshot(self.base / name) for name in ("net.d", "data", "addresses") if (self.base / name).exists()}

    def unchanged(self, before: t.Mapping[str, t.Any]) -> None:
        now = self.files()
        assert set(now) == set(before)
        for name, tree in before.items():
            trees.assert_same(tree, now[name])

    def links(self) -> t.List[str]:
        return sorted(link["ifname"] for link in ip(self.world.host, "link", "show"))

    def document(self, name: str) -> Options:
        return t.cast(Options, json.loads((self.base / "net.d" / f"nerdctl-{name}.conflist").read_text()))

    # Containers

    def container(
        self,
        name: str,
        *endpoints: Endpoint,
        run: bool = True,
        ports: t.Tuple[Published, ...] = (),
        namespace: str = "default",
        number: int = 0,
        daemon: str = "",
    ) -> Container:
        place = Place(self.defaults["data_root"], namespace, daemon)
        container_id = f"{number}{name.encode().hex() * 64}"[:64]
        directory = pathlib.Path(place.container_dir(container_id))
        hosts = directory / "hosts"
        hosts.write_text("127.0.0.1\tlocalhost\n")
        numbered = tuple(one._replace(interface=f"eth{number}") for number, one in enumerate(endpoints))
        places = self.places._replace(namespace=namespace)
        connected = Connected(f"{namespace}-{container_id}", (f"host-{name}", name), numbered, ports, str(hosts), places)
        (directory / "networks.json").write_text(json.dumps(connected.to_json()))
        made = Container(self, name, directory)
        if run:
            made.start()
        return made


class Container:
    """Its directory is that of an engine, and its processes are a namespace."""

    def __init__(self, site: Site, name: str, directory: pathlib.Path) -> None:
        self.site, self.name, self.directory = site, name, directory
        self.namespace = ""

    @property
    def connected(self) -> Connected:
        return Connected.of((self.directory / "networks.json").read_bytes())

    def start(self) -> None:
        self.namespace = self.site.world.namespace(f"ns-{self.name}")
        assert Connection(self.connected, self.site.host.rules).up(self.namespace) == []

    @property
    def networks(self) -> t.List[str]:
        return [one.network for one in self.connected.endpoints]

    def addresses(self) -> t.Dict[str, t.List[str]]:
        shown = [link for link in ip(self.namespace, "address", "show") if link and link["ifname"] != "lo"]
        return {
            link["ifname"]: [one["local"] for one in link["addr_info"] if one["scope"] == "global"]
            for link in sorted(shown, key=lambda one: str(one["ifname"]))
        }

    @property
    def hosts(self) -> str:
        return (self.directory / "hosts").read_text()


@pytest.fixture
def site(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Site]:
    with world(tmp_path / "namespaces") as made, netns.entered(made.host):
        found = Site(made, tmp_path)
        usual = desired.Places

        def places(**known: t.Any) -> Places:
            return found.places._replace(**known) if known else usual()

        monkeypatch.setattr(desired, "Places", places)
        yield found


def address(text: str) -> t.Any:
    return ipaddress.ip_address(text)


# The network itself


def test_a_network_comes_and_goes(site: Site) -> None:
    made = site.converge("front")
    assert made.actions == ["create network front"]
    assert made.result["diff"]["before"] == {"exists": False}
    assert made.result["diff"]["after"]["ipam_config"] == [{"subnet": "10.4.1.0/24", "gateway": "10.4.1.1"}]
    network = made.result["network"]
    assert (network["Name"], network["Driver"], network["Internal"]) == ("front", "bridge", False)
    assert network["IPAM"]["Config"] == [{"Subnet": "10.4.1.0/24", "Gateway": "10.4.1.1"}]
    document = site.document("front")
    assert network["Id"] == document["nerdctlID"]
    assert [one["type"] for one in document["plugins"]] == ["bridge", "portmap", "firewall", "tuning"]
    gone = site.converge("front", state="absent")
    assert gone.actions == ["remove network front"]
    assert gone.result["diff"]["after"] == {"exists": False}
    assert gone.result["network"] == {}
    assert list((site.base / "net.d").glob("*.conflist")) == []


def test_an_automatic_subnet_stays(site: Site) -> None:
    """I16: what was chosen automatically stays, and is compared with nothing."""
    ip(site.world.host, "route", "add", "10.4.1.0/24", "via", OUTSIDE)
    assert site.network("front").result["network"]["IPAM"]["Config"][0]["Subnet"] == "10.4.2.0/24"
    ip(site.world.host, "route", "del", "10.4.1.0/24", "via", OUTSIDE)
    assert not site.network("front").changed
    more = site.converge("front", enable_ipv6=True)
    assert more.actions == ["change network front: ipam_config, enable_ipv6"]
    subnets = [one["Subnet"] for one in more.result["network"]["IPAM"]["Config"]]
    assert subnets[0] == "10.4.2.0/24"
    assert subnets[1].startswith("fd")
    assert not site.network("front", enable_ipv6=True, ipam_config=[{"subnet": "10.4.2.0/24"}]).changed
    less = site.converge("front", enable_ipv6=False)
    assert [one["Subnet"] for one in less.result["network"]["IPAM"]["Config"]] == ["10.4.2.0/24"]


def test_only_ipv6_is_only_ipv6(site: Site) -> None:
    """I16: a network gets no subnet of IPv4 that nobody has asked for."""
    made = site.converge("six", ipam_config=[{"subnet": "fd00:6::/64"}]).result["network"]
    assert (made["EnableIPv4"], made["EnableIPv6"]) == (False, True)
    assert not site.network("six", enable_ipv6=True).changed


SUBNETS: t.List[Options] = [
    {"subnet": "172.30.8.0/24", "gateway": "172.30.8.254", "iprange": "172.30.8.64/26", "aux_addresses": {"a": "172.30.8.70"}},
    {"subnet": "fd00:30:8::/64", "aux_addresses": {"a": "fd00:30:8::70"}},
]


@pytest.mark.parametrize(
    "same",
    [
        list(reversed(SUBNETS)),
        [SUBNETS[0], {"subnet": "FD00:0030:0008:0:0:0:0:0/64", "gateway": "fd00:30:8:0::0:1"}],
        [{"subnet": "172.30.8.0/24"}, {"subnet": "fd00:30:8::/64"}],
        [{**SUBNETS[0], "gateway": None}, SUBNETS[1]],
    ],
)
def test_subnets_are_compared_as_what_they_mean(site: Site, same: t.List[Options]) -> None:
    site.network("back", ipam_config=SUBNETS)
    assert not site.network("back", ipam_config=same).changed


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({"internal": True}, ["internal"]),
        ({"mtu": 1400}, ["mtu"]),
        ({"isolate": False}, ["isolate"]),
        ({"masquerade": False}, ["masquerade"]),
        ({"labels": {"tier": "web"}}, ["labels"]),
        ({"driver_options": {"com.docker.network.driver.mtu": "1400"}}, ["mtu"]),
        ({"driver_options": {"com.docker.network.bridge.enable_ip_masquerade": "false"}}, ["masquerade"]),
        ({"driver_options": {"com.docker.network.bridge.name": "br-own"}}, ["driver_options"]),
        ({"ipam_config": [{"subnet": "10.9.0.0/24"}]}, ["ipam_config"]),
        ({"ipam_config": [{"subnet": "10.4.1.0/24", "gateway": "10.4.1.9"}]}, ["ipam_config"]),
        ({"ipam_config": [{"subnet": "10.4.1.0/24", "iprange": "10.4.1.128/25"}]}, ["ipam_config"]),
        ({"driver": "macvlan", "driver_options": {"parent": "uplink"}}, ["driver", "driver_options"]),
    ],
)
def test_every_option_alone(site: Site, options: Options, changed: t.List[str]) -> None:
    site.network("net")
    result = site.converge("net", **options)
    assert result.actions == [f"change network net: {', '.join(changed)}"]
    assert sorted(result.result["diff"]["before"]) == sorted(result.result["diff"]["after"]) == sorted(changed)
    assert not site.network("net").changed


def test_masquerade_is_kept_while_there_is_no_way_out(site: Site) -> None:
    assert site.converge("net", internal=True, masquerade=False).changed
    assert site.converge("net", internal=False).actions == ["change network net: internal"]
    assert not site.network("net", masquerade=False).changed


def test_the_usual_name_of_its_bridge_is_no_difference(site: Site) -> None:
    site.network("bridge", driver_options={"com.docker.network.bridge.name": "nerdctl0"})
    assert not site.network("bridge", driver_options={"com.docker.network.bridge.name": "nerdctl0"}).changed
    assert site.info("bridge").result["network"]["Options"] == {}


def test_a_route_that_came_later_forbids_nothing_else(site: Site) -> None:
    site.network("net", ipam_config=[{"subnet": "10.9.0.0/24"}])
    ip(site.world.host, "route", "add", "10.9.0.0/16", "via", OUTSIDE)
    assert site.converge("net", labels={"a": "b"}).changed
    assert "overlaps 10.9.0.0/16" in site.fails("net", ipam_config=[{"subnet": "10.9.1.0/24"}])


def test_labels_of_others_stay(site: Site) -> None:
    site.network("net", labels={"a": "1", "b": True})
    assert site.converge("net", labels={"a": "2"}).result["network"]["Labels"] == {"a": "2", "b": "true"}
    assert not site.network("net", labels={"b": "true"}).changed
    assert site.converge("net", labels={}).result["network"]["Labels"] == {}


def test_the_default_network(site: Site) -> None:
    made = site.converge("bridge").result["network"]
    assert made["IPAM"]["Config"][0]["Subnet"] == "10.4.0.0/24"
    assert (made["Containerd"]["Bridge"], made["Labels"]) == ("nerdctl0", {})
    assert site.document("bridge")["nerdctlLabels"] == {"nerdctl/default-network": "true"}
    own = {"plugins": [{**CHAIN["plugins"][0], "bridge": "br-own"}]}
    assert site.converge("bridge", conflist=own, labels={"a": "b"}).actions == ["change network bridge: conflist, labels"]
    assert site.converge("bridge", conflist=own, labels={}).actions == ["change network bridge: labels"]
    assert site.document("bridge")["nerdctlLabels"] == {"nerdctl/default-network": "true"}


CHAIN: Options = {
    "plugins": [
        {
            "type": "bridge",
            "bridge": "br-chain",
            "isGateway": True,
            "ipMasq": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "172.30.9.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
}


def test_a_chain_of_plugins(site: Site) -> None:
    made = site.converge("chain", conflist=CHAIN, labels={"a": "b"})
    assert made.result["network"]["Containerd"]["Plugins"] == ["bridge", "portmap"]
    assert site.document("chain")["plugins"] == CHAIN["plugins"]
    assert not site.network("chain").changed
    assert not site.network("chain", conflist={"cniVersion": "1.0.0", "name": "chain", **CHAIN}).changed
    other = {"plugins": [*CHAIN["plugins"], {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}}]}
    assert site.converge("chain", conflist=other).actions == ["change network chain: conflist"]
    assert site.document("chain")["nerdctlLabels"] == {"a": "b"}
    # What the options cannot describe is not taken for something else.
    strange = {"plugins": [{**CHAIN["plugins"][0], "vlan": 7}]}
    (site.base / "bin").mkdir()
    # starts: (a plugin that does nothing)
    (site.base / "bin" / "bridge").write_text("#!/bin/sh\n")
    (site.base / "bin" / "bridge").chmod(0o755)
    bins = {"cni_bin_dir": [str(site.base / "bin")]}
    assert site.converge("chain", conflist=strange, **bins).result["network"]["Containerd"]["Raw"]
    assert not site.network("chain").changed
    assert "give driver to replace it" in site.fails("chain", mtu=1400)
    assert site.converge("chain", driver="bridge", mtu=1400).result["network"]["Containerd"]["MTU"] == 1400


def test_networks_of_others_are_seen_and_left_alone(site: Site) -> None:
    path = site.base / "net.d" / "10-theirs.conflist"
    path.parent.mkdir()
    path.write_text(json.dumps({"cniVersion": "1.0.0", "name": "theirs", **CHAIN}))
    (path.parent / "20-bad.conflist").write_text("{")
    shown = site.info()
    assert [(one["Name"], one["Id"], one["Containerd"]["ManagedByUs"]) for one in shown.result["networks"]] == [
        ("theirs", "", False)
    ]
    assert [one.partition("20-bad.conflist")[2] for one in shown.result["warnings"]] != [""]
    assert not site.network("theirs").changed
    for options in ({"mtu": 1400}, {"conflist": CHAIN}, {"state": "absent"}, {"state": "absent", "force": True}):
        assert "belongs to somebody else" in site.fails("theirs", **options)
    assert "172.30.9.0/24 overlaps 172.30.9.0/24 (the network theirs)" in site.fails(
        "x", ipam_config=[{"subnet": "172.30.9.0/24"}]
    )


def test_info(site: Site) -> None:
    site.network("front")
    site.network("back", internal=True)
    web = site.container("web", Endpoint("front", aliases=("www",)))
    site.container("db", Endpoint("back"), run=False)
    assert [one["Name"] for one in site.info().result["networks"]] == ["back", "front"]
    front = site.info("front")
    assert front.result["exists"]
    ((container_id, shown),) = front.result["network"]["Containers"].items()
    assert container_id == web.directory.name
    assert (shown["Name"], shown["IPv4Address"], shown["IPv6Address"]) == ("web", "10.4.1.2/24", "")
    assert shown["MacAddress"] == ip(web.namespace, "link", "show", "eth0")[0]["address"]
    assert site.info(front.result["network"]["Id"]).result["network"]["Name"] == "front"
    assert [one["IPv4Address"] for one in site.info("back").result["network"]["Containers"].values()] == [""]
    missing = site.info("front", "nothing")
    assert (missing.result["exists"], len(missing.result["networks"]), "network" in missing.result) == (False, 1, False)
    assert site.info("nothing").result["network"] == {}


# Wrong values


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "a/b"}, "name: the network name 'a/b' is not valid"),
        ({"name": "-x"}, "name: the network name '-x' is not valid"),
        ({"name": "host"}, "name: host is a network_mode of containers, and no network can be called so"),
        ({"driver": "overlay"}, "driver must be one of"),
        ({"name": "a b"}, "name: the network name 'a b' is not valid"),
        ({"name": ".."}, "name: the network name '..' is not valid"),
        ({"name": "n" * 129}, "name: the network name 'nnnn"),
        ({"mtu": 10}, "mtu: 10 is not from 68 to 65535"),
        ({"mtu": 65536}, "mtu: 65536 is not from 68 to 65535"),
        ({"mtu": -1}, "mtu: -1 is not from 68 to 65535"),
        ({"mtu": "large"}, "argument 'mtu' is of type str and we were unable to convert to int"),
        (
            {"mtu": 1200, "ipam_config": [{"subnet": "fd00:1::/64"}]},
            "mtu: 1200 is less than 1280, which IPv6 needs (fd00:1::/64)",
        ),
        ({"mtu": 1200, "enable_ipv6": True}, "mtu: 1200 is less than 1280, which IPv6 needs (fd"),
        (
            {"driver": "macvlan", "mtu": 9000, "driver_options": {"parent": "uplink"}},
            "mtu: 9000 is more than that of uplink, the parent (1500)",
        ),
        ({"driver_options": {"icc": "false"}}, "driver_options: icc is none of com.docker.network.bridge"),
        ({"driver_options": {"mtu": "many"}}, "driver_options: mtu: 'many' is no number"),
        ({"driver_options": {"mtu": "1400"}, "mtu": 1500}, "driver_options: mtu (1400) contradicts mtu (1500)"),
        (
            {"driver_options": {"com.docker.network.bridge.enable_ip_masquerade": "perhaps"}},
            "driver_options: com.docker.network.bridge.enable_ip_masquerade: 'perhaps' is neither true nor false",
        ),
        ({"driver_options": {"com.docker.network.bridge.name": "a/b"}}, "driver_options: bridge: "),
        ({"driver_options": {"parent": "uplink"}}, "driver_options: parent: only networks with the driver macvlan or ipvlan"),
        (
            {"driver": "macvlan", "driver_options": {"parent": "eth77"}},
            "driver_options: parent: there is no link eth77 on this host",
        ),
        ({"driver": "macvlan", "driver_options": {"mode": "l2"}}, "driver_options: mode: 'l2' is not possible (bridge, private"),
        ({"driver": "macvlan", "internal": True}, "internal: only networks with the driver bridge have it"),
        ({"driver": "ipvlan", "isolate": True}, "isolate: only networks with the driver bridge have it"),
        ({"labels": {"nerdctl/default-network": "true"}}, "labels: nerdctl/default-network is not for playbooks"),
        ({"labels": {"a": ["b"]}}, "labels: a: ['b'] is no text"),
        (
            {"ipam_config": [{"subnet": "127.1.0.0/24"}]},
            "ipam_config: subnet: 127.1.0.0/24 cannot be that of a network: 127.0.0.0/8",
        ),
        ({"ipam_config": [{"subnet": "0.0.0.0/0"}]}, "ipam_config: subnet: 0.0.0.0/0 cannot be that of a network"),
        ({"ipam_config": [{"subnet": "224.1.0.0/24"}]}, "224.0.0.0/4 has multicast"),
        ({"ipam_config": [{"subnet": "fe80::/64"}]}, "fe80::/10 has addresses of one link"),
        ({"ipam_config": [{"subnet": "10.1.0.0/24", "gateway": "10.1.0.255"}]}, "gateway: 10.1.0.255 is no address of a host in"),
        ({"ipam_config": [{"subnet": "10.1.0.0/24", "gateway": "10.1.0.0"}]}, "gateway: 10.1.0.0 is no address of a host in"),
        ({"ipam_config": [{"subnet": "10.1.0.0/24", "gateway": "fd00::1"}]}, "gateway: fd00::1 is no address of a host in"),
        ({"ipam_config": [{"subnet": "10.1.0.0/24", "gateway": "10.1.0.1/24"}]}, "gateway: '10.1.0.1/24' is no IP address"),
        (
            {"ipam_config": [{"subnet": "10.1.0.0/24", "iprange": "10.1.0.77/26"}]},
            "ipam_config: iprange: '10.1.0.77/26' is the address of a host in the subnet 10.1.0.64/26",
        ),
        ({"ipam_config": [{"subnet": "10.1.0.0/24", "iprange": "10.1.0.0/16"}]}, "iprange: 10.1.0.0/16 is not inside the subnet"),
        (
            {"ipam_config": [{"subnet": "10.1.0.0/30", "aux_addresses": {"a": "10.1.0.2"}, "gateway": "10.1.0.1"}]},
            "ipam_config: 10.1.0.0/30 has no address left for a container",
        ),
        (
            {"ipam_config": [{"subnet": "10.1.0.0/24", "aux_addresses": {"a": "10.1.0.9", "b": "10.1.0.9"}}]},
            "ipam_config: aux_addresses: 10.1.0.9 (b) is taken: it is that of a",
        ),
        (
            {"ipam_config": [{"subnet": "10.1.0.0/24", "aux_addresses": {"a": "10.1.0.1"}}]},
            "ipam_config: aux_addresses: 10.1.0.1 (a) is taken: it is that of the gateway",
        ),
        ({"ipam_config": [{"subnet": "10.1.0.0/24", "aux_addresses": {"a": "x"}}]}, "aux_addresses: 'x' is no IP address"),
        ({"ipam_config": [{"subnet": "10.1.0.0/24", "mask": 1}]}, "Unsupported parameters"),
        (
            {"ipam_config": [{"subnet": "2001:db8::/56"}]},
            "2001:db8::/56 overlaps 2001:db8::/64 (a route of this host, by uplink)",
        ),
        ({"ipam_config": [{"subnet": "10.1.0.0/33"}]}, "ipam_config: subnet: '10.1.0.0/33' is no subnet"),
        ({"ipam_config": [{"subnet": "10.1.0.5/24"}]}, "ipam_config: subnet: '10.1.0.5/24' is the address of a host"),
        ({"ipam_config": [{"subnet": "10.1.0.0/32"}]}, "ipam_config: subnet: 10.1.0.0/32 is too small"),
        ({"ipam_config": [{"gateway": "10.1.0.1"}]}, "subnet found in ipam_config"),
        ({"ipam_config": [{"subnet": "10.1.0.0/24", "gateway": "10.2.0.1"}]}, "ipam_config: gateway: 10.2.0.1 is no address of"),
        (
            {"ipam_config": [{"subnet": "10.1.0.0/24", "iprange": "10.2.0.0/25"}]},
            "ipam_config: iprange: 10.2.0.0/25 is not inside",
        ),
        (
            {"ipam_config": [{"subnet": "10.1.0.0/24", "aux_addresses": {"a": "10.2.0.1"}}]},
            "ipam_config: aux_addresses: 10.2.0.1 (a) is not inside the subnet 10.1.0.0/24",
        ),
        (
            {"ipam_config": [{"subnet": "10.1.0.0/24"}, {"subnet": "10.1.0.0/25"}]},
            "ipam_config: subnet: 10.1.0.0/25 overlaps 10.1.0.0/24 (another subnet of this network)",
        ),
        ({"ipam_config": [{"subnet": "192.0.2.0/25"}]}, "192.0.2.0/25 overlaps 192.0.2.0/24 (a route of this host, by uplink)"),
        ({"enable_ipv6": False, "ipam_config": [{"subnet": "fd00::/64"}]}, "enable_ipv6: false contradicts the subnet fd00::/64"),
        ({"conflist": CHAIN, "mtu": 1400}, "conflist: it says everything itself: give it without mtu"),
        ({"conflist": {}}, "conflist: plugins must be a list of at least one plugin"),
        ({"conflist": {**CHAIN, "name": "other"}}, "conflist: its name 'other' is not that of the task (net)"),
        ({"conflist": {**CHAIN, "cniVersion": "9"}}, "conflist: cniVersion '9' is not known"),
        ({"conflist": {**CHAIN, "nerdctlLabels": {}}}, "conflist: nerdctlLabels is not part of it: give labels"),
        ({"conflist": {"plugins": [{"type": "../x"}]}}, "conflist: plugin 1 has no valid type"),
        (
            {"conflist": {"plugins": [{"type": "no-such-plugin"}]}},
            "conflist: the plugin no-such-plugin is in none of /opt/cni/bin",
        ),
        (
            {"conflist": {"plugins": [{"type": "bridge", "ipam": {"type": "host-local", "ranges": [[{"subnet": "x"}]]}}]}},
            "conflist: ipam: subnet: 'x' is no subnet",
        ),
        (
            {"conflist": {"plugins": [{"type": "bridge", "mtu": "many"}]}},
            "conflist: network net: mtu of the plugin bridge must be a number: many",
        ),
        (
            {"conflist": {"plugins": [{"type": "bridge", "isGateway": "yes"}]}},
            "conflist: network net: isGateway of the plugin bridge must be true or false: yes",
        ),
        ({"conflist": {"plugins": [{"type": "bridge", "mtu": 7}]}}, "conflist: network net: mtu 7 is not from 68 to 65535"),
        ({"conflist": {"plugins": [{"type": "bridge", "bridge": "a/b"}]}}, "conflist: network net: bridge: 'a/b'"),
        (
            {"conflist": {"plugins": [{"type": "macvlan", "master": "uplink", "mode": "l2"}]}},
            "conflist: network net: mode 'l2' of macvlan is none of bridge, private",
        ),
        ({"conflist": {"plugins": [{"type": "ipvlan", "master": "eth77"}]}}, "the parent link eth77 is not there"),
        (
            {"conflist": {"plugins": [{"type": "macvlan", "master": "uplink", "mtu": 9000}]}},
            "conflist: network net: mtu 9000 is more than that of uplink (1500)",
        ),
        (
            {"conflist": {"plugins": [{"type": "bridge"}, {"type": "tuning", "sysctl": ["a"]}]}},
            "conflist: network net: sysctl of the plugin tuning must be an object: ['a']",
        ),
        (
            {"conflist": {"plugins": [{"type": "bridge", "ipam": {"type": "host-local", "subnet": "192.0.2.0/25"}}]}},
            "conflist: subnet: 192.0.2.0/25 overlaps 192.0.2.0/24 (a route of this host, by uplink)",
        ),
        (
            {"conflist": {"plugins": [{"type": "bridge", "more": "x" * 1024 * 1024}]}, "cni_bin_dir": ["/usr/lib/cni"]},
            "conflist: the network net would take 1048",
        ),
        (
            {"conflist": {"plugins": [{"type": "bridge", "bridge": "uplink"}]}},
            "conflist: bridge: uplink is a link of another kind",
        ),
        ({"connected": ["nobody"]}, "connected: there is no container nobody with networks of its own in the namespace default"),
        ({"connected": ["a", "a"]}, "connected: a is listed twice"),
        ({"cni_conf_dir": "relative"}, "cni_conf_dir: 'relative' is not an absolute path"),
        ({"cni_bin_dir": ["relative"]}, "cni_bin_dir: 'relative' is not an absolute path"),
        ({"data_root": "relative"}, "data_root: 'relative' is not an absolute path"),
    ],
)
def test_wrong_values(site: Site, options: Options, message: str) -> None:
    given = dict(options)
    assert message in site.fails(given.pop("name", "net"), **given)
    assert not (site.base / "net.d").exists()


def test_a_bridge_of_somebody_else_is_not_taken(site: Site) -> None:
    ip(site.world.host, "link", "add", "br0", "type", "bridge")
    name = "com.docker.network.bridge.name"
    said = site.fails("net", driver_options={name: "br0"})
    assert said.startswith("driver_options: bridge: br0 is there already, and belongs to no network")
    site.network("first", driver_options={name: "br1"})
    said = site.fails("net", driver_options={name: "br1"})
    assert said == f"driver_options: bridge: br1 belongs to the network first ({site.base}/net.d/nerdctl-first.conflist)"
    assert site.fails("net", conflist={"plugins": [{"type": "bridge", "bridge": "br1"}]}).startswith(
        "conflist: bridge: br1 belongs"
    )
    # A chain of plugins does not take it either: with its network, the bridge would be removed.
    said = site.fails("net", conflist={"plugins": [{"type": "bridge", "bridge": "br0"}]})
    assert said.startswith("conflist: bridge: br0 is there already, and belongs to no network: somebody else has made it")


def test_addresses_that_a_change_would_take_twice(site: Site) -> None:
    site.network("net", ipam_config=[{"subnet": "10.9.0.0/24", "aux_addresses": {"printer": "10.9.0.9"}}])
    said = site.fails("net", ipam_config=[{"subnet": "10.9.0.0/24", "gateway": "10.9.0.9"}])
    assert said == "ipam_config: aux_addresses: 10.9.0.9 (printer) is taken: it is that of the gateway"
    site.network("net", ipam_config=[{"subnet": "10.9.0.0/24", "iprange": "10.9.0.128/25"}])
    said = site.fails("net", ipam_config=[{"subnet": "10.9.0.0/25"}, {"subnet": "10.9.0.128/25"}], state="present", mtu=1)
    assert said == "mtu: 1 is not from 68 to 65535"


def test_a_parent_that_is_not_there(site: Site) -> None:
    ip(site.world.host, "route", "del", "default")
    assert site.fails("lan", driver="macvlan") == (
        "driver_options: parent: none is given, and this host has no default route whose link it could be"
    )
    assert "no parent link is given" in site.fails("lan", conflist={"plugins": [{"type": "macvlan"}]})
    ip(site.world.host, "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
    site.network("lan", driver="macvlan", driver_options={"parent": "lan0"}, ipam_config=[{"subnet": "10.9.0.0/24"}])
    ip(site.world.host, "link", "del", "lan0")
    assert site.fails("lan", ipam_config=[{"subnet": "10.8.0.0/24"}]).startswith("driver_options: parent: there is no link lan0")
    # What is as it is stays so, and it can go.
    assert not site.network("lan").changed
    assert site.converge("lan", state="absent").actions == ["remove network lan"]


def test_networks_of_a_namespace_of_nerdctl(site: Site) -> None:
    """nerdctl 2 keeps those of a namespace in a directory of its own."""
    path = site.base / "net.d" / "prod" / "nerdctl-theirs.conflist"
    path.parent.mkdir(parents=True)
    link = {**CHAIN["plugins"][0], "bridge": "br-theirs"}
    path.write_text(json.dumps({"cniVersion": "1.0.0", "name": "theirs", "nerdctlID": "e" * 64, "plugins": [link]}))
    assert site.info().result["networks"] == []
    shown = site.play(task("containerd_network_info", namespace="prod")).last.result["networks"]
    assert [(one["Name"], one["Containerd"]["Path"]) for one in shown] == [("theirs", str(path))]
    # Their subnets and bridges are taken, whoever asks.
    said = site.fails("net", ipam_config=[{"subnet": "172.30.9.128/25"}])
    assert said.endswith("172.30.9.128/25 overlaps 172.30.9.0/24 (the network theirs)")
    said = site.fails("net", driver_options={"com.docker.network.bridge.name": "br-theirs"})
    assert said == f"driver_options: bridge: br-theirs belongs to the network theirs ({path})"
    # Only containers of that namespace see it.
    here = site.container("web", run=False, namespace="prod")
    site.container("web", run=False)
    done = site.converge("theirs", connected=["web"], namespace="prod")
    assert [one["Name"] for one in done.result["network"]["Containers"].values()] == ["web"]
    assert here.networks == ["theirs"]
    other = site.container("other", run=False)
    said = site.fails("theirs", connected=[other.directory.name], appends=True, namespace="prod")
    assert said.endswith("is in the namespace default, and only those of prod see this network")
    gone = site.converge("theirs", state="absent", force=True, namespace="prod")
    assert gone.actions == ["disconnect container web from network theirs", "remove network theirs"]
    assert not path.exists()


# Members


def test_names_that_are_too_long_together(site: Site) -> None:
    network, namespace = "n" * 128, "s" * 76
    site.network(network)
    usual, long = site.container("web"), site.container("web", run=False, namespace=namespace)
    assert site.converge(network, connected=["web"]).changed
    assert list(usual.addresses()) == ["eth0"]
    said = site.fails(network, connected=["web"], appends=True, namespace=namespace)
    assert "are too long to be in one network: with its id they make 275 bytes, and files of attachments can have 237" in said
    assert long.networks == []


def test_a_container_that_is_made_anew_meanwhile(site: Site) -> None:
    """Both have its name for a moment, or until its own task runs again if that was killed."""
    site.network("net")
    old, new = site.container("web"), site.container("web", run=False, number=1)
    assert site.converge("net", connected=["web"]).actions == ["connect container web to network net"] * 2
    assert (old.networks, new.networks) == (["net"], ["net"])
    site.container("web", run=False, daemon="/run/other.sock")
    assert "connected: web is more than one container" in site.fails("net", connected=["web"], appends=True)


def test_containers_are_connected_and_disconnected_while_they_run(site: Site) -> None:
    for name in ("front", "back"):
        site.network(name)
    web, db = site.container("web", Endpoint("front")), site.container("db", Endpoint("front"))
    off = site.container("off", Endpoint("front"), run=False)
    done = site.converge("back", connected=["web", db.directory.name, "off"])
    assert done.actions == [f"connect container {name} to network back" for name in ("web", "db", "off")]
    assert (done.result["diff"]["before"]["connected"], done.result["diff"]["after"]["connected"]) == ([], ["db", "off", "web"])
    assert web.addresses() == {"eth0": ["10.4.1.2"], "eth1": ["10.4.2.2"]}
    assert "10.4.2.3\thost-db db\n" in web.hosts
    assert off.networks == ["front", "back"]
    with listening(web.namespace, 80) as server:
        assert seen(server, db.namespace, "10.4.2.2", 80) == "10.4.2.3"
    # A name more, and the others stay only with appends.
    assert not site.network("back", connected=["web"], appends=True).changed
    less = site.converge("back", connected=["web"])
    assert less.actions == [f"disconnect container {name} from network back" for name in ("db", "off")]
    assert (db.addresses(), db.networks, off.networks) == ({"eth0": ["10.4.1.3"]}, ["front"], ["front"])
    assert "10.4.2.3" not in web.hosts
    assert not site.network("back").changed
    assert site.converge("back", connected=[]).actions == ["disconnect container web from network back"]
    off.start()
    assert list(off.addresses()) == ["eth0"]


def test_a_link_in_the_middle_goes_and_its_name_comes_again(site: Site) -> None:
    for name in ("a", "b", "c"):
        site.network(name)
    web = site.container("web", Endpoint("a"), Endpoint("b"), Endpoint("c"))
    site.converge("b", connected=[])
    assert list(web.addresses()) == ["eth0", "eth2"]
    site.converge("b", connected=["web"])
    assert list(web.addresses()) == ["eth0", "eth1", "eth2"]
    assert Connection(web.connected, site.host.rules).down() == []
    assert [link for link in site.links() if link.startswith("veth")] == []


def test_containers_are_found_by_namespace_and_id(site: Site) -> None:
    site.network("net")
    here, there = site.container("web", run=False), site.container("web", run=False, namespace="other")
    assert site.converge("net", connected=["web"]).result["diff"]["after"]["connected"] == ["web"]
    assert (here.networks, there.networks) == (["net"], [])
    assert site.converge("net", connected=["web"], namespace="other", appends=True).actions
    assert there.networks == ["net"]
    same = site.play(task("containerd_network", name="net", connected=["web"], appends=True), check=True).last
    assert (same.changed, same.get("diff")) == (False, None)
    # Whoever removes the network hears of both.
    assert site.fails("net", state="absent").startswith("name: the network net has members: web, web:")


def test_a_changed_network_keeps_its_members(site: Site) -> None:
    site.network("net", ipam_config=[{"subnet": "10.9.0.0/24"}])
    web = site.container("web", Endpoint("net", (address("10.9.0.77"),), aliases=("www",)), ports=(Published(None, 8080, 80),))
    db = site.container("db", Endpoint("net"))
    off = site.container("off", Endpoint("net", (address("10.9.0.88"),)), run=False)
    done = site.converge("net", ipam_config=[{"subnet": "10.9.0.0/23", "gateway": "10.9.1.1"}], mtu=1400, enable_ipv6=True)
    assert done.actions == [
        "detach container db from network net",
        "detach container web from network net",
        "change network net: ipam_config, enable_ipv6, mtu",
        "attach container db to network net",
        "attach container web to network net",
    ]
    assert web.addresses()["eth0"][0] == "10.9.0.77"
    assert len(web.addresses()["eth0"]) == 2
    assert ip(web.namespace, "link", "show", "eth0")[0]["mtu"] == 1400
    assert "10.9.0.77\thost-web web www\n" in db.hosts
    assert off.connected.endpoints[0].ips == (address("10.9.0.88"),)
    with listening(web.namespace, 80) as server:
        assert seen(server, site.world.outside, HOST, 8080) == OUTSIDE
    off.start()
    assert off.addresses()["eth0"][0] == "10.9.0.88"


def test_what_changes_in_place_leaves_members_attached(site: Site) -> None:
    for name in ("front", "back"):
        site.network(name)
    web, db = site.container("web", Endpoint("front")), site.container("db", Endpoint("back"))
    with listening(db.namespace, 80) as server:
        assert seen(server, web.namespace, "10.4.2.2", 80, 0.3) == ""
        # The kernel tells a moment late that a link works.
        before = ip(web.namespace, "address", "show")
        for name in ("front", "back"):
            changed = site.converge(name, isolate=False, masquerade=False, labels={"a": "b"})
            assert changed.actions == [f"change network {name}: isolate, masquerade, labels"]
        assert seen(server, web.namespace, "10.4.2.2", 80) == "10.4.1.2"
    assert ip(web.namespace, "address", "show") == before


def test_rules_that_somebody_has_flushed_come_back(site: Site) -> None:
    site.network("net")
    web = site.container("web", Endpoint("net"), ports=(Published(None, 8080, 80),))
    site.container("off", Endpoint("net"), run=False)
    assert not site.network("net").changed
    with listening(web.namespace, 80) as server:
        assert seen(server, site.world.outside, HOST, 8080) == OUTSIDE
        # starts: nft
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        assert seen(server, site.world.outside, HOST, 8080, 0.3) == ""
        back = site.converge("net")
        assert back.actions == ["restore the rules of network net"]
        assert back.result["diff"] == {"before": {"rules": "missing"}, "after": {"rules": "there"}}
        assert seen(server, site.world.outside, HOST, 8080) == OUTSIDE
        # Also when the network changes in the same run.
        subprocess.run(["nft", "flush", "ruleset"], check=True)
        changed = site.converge("net", isolate=False)
        assert changed.actions == ["restore the rules of network net", "change network net: isolate"]
        assert changed.result["diff"] == {
            "before": {"isolate": True, "rules": "missing"},
            "after": {"isolate": False, "rules": "there"},
        }
        assert seen(server, site.world.outside, HOST, 8080) == OUTSIDE


def test_labels_of_a_chain_of_plugins_disturb_nobody(site: Site) -> None:
    site.network("chain", conflist=CHAIN)
    web, db = (site.container(name, Endpoint("chain")) for name in ("web", "db"))
    assert site.converge("chain", conflist=CHAIN, labels={"a": "b"}).actions == ["change network chain: labels"]
    with listening(web.namespace, 80) as server:
        assert seen(server, db.namespace, "172.30.9.2", 80) == "172.30.9.3"


def test_a_member_that_a_killed_run_has_detached_comes_back(site: Site) -> None:
    site.network("net")
    web = site.container("web", Endpoint("net"))
    assert Connection(web.connected, site.host.rules).disconnect(0) == []
    assert site.converge("net").actions == ["attach container web to network net"]
    assert list(web.addresses()) == ["eth0"]
    assert Connection(web.connected, site.host.rules).disconnect(0) == []
    again = site.converge("net", isolate=False)
    assert again.actions == ["change network net: isolate", "attach container web to network net"]
    assert list(web.addresses()) == ["eth0"]


def test_a_static_address_is_kept_or_the_change_is_refused(site: Site) -> None:
    site.network("net", ipam_config=[{"subnet": "10.9.0.0/24"}])
    web = site.container("web", Endpoint("net", (address("10.9.0.77"),)))
    moved = {"ipam_config": [{"subnet": "10.8.0.0/24"}]}
    said = site.fails("net", **moved)
    assert said.startswith("ipam_config: the static address 10.9.0.77 of the container web is not inside 10.8.0.0/24")
    said = site.fails("net", ipam_config=[{"subnet": "10.9.0.0/24", "gateway": "10.9.0.77"}])
    assert "is the gateway of 10.9.0.0/24" in said
    assert web.addresses() == {"eth0": ["10.9.0.77"]}
    site.converge("net", force=True, **moved)
    assert web.addresses() == {"eth0": ["10.8.0.2"]}


def test_published_ports_stay_published_or_the_change_is_refused(site: Site) -> None:
    for name in ("net", "more"):
        site.network(name)
    site.container("web", Endpoint("net"), ports=(Published(None, 8080, 80),))
    for options, word in (
        ({"internal": True}, "internal"),
        ({"driver": "macvlan", "driver_options": {"parent": "uplink"}}, "driver, driver_options"),
        ({"conflist": {"plugins": [CHAIN["plugins"][0]]}}, "conflist"),
    ):
        said = site.fails("net", **options)
        assert said.startswith(
            f"{word}: the container web publishes ports of the host (8080/tcp), which the network net would not"
        )
    # Another of its networks can do it.
    site.network("more", connected=["web"])
    assert site.converge("net", internal=True).changed
    assert [one.owner.split()[1] for one in site.host.rules.elements() if one.value is not None] == ["eth1"] * 2


def test_a_chain_of_plugins_keeps_static_addresses_too(site: Site) -> None:
    site.network("chain", conflist=CHAIN)
    web = site.container("web", Endpoint("chain", (address("172.30.9.77"),)))
    ip(site.world.host, "route", "add", "172.30.9.0/25", "via", OUTSIDE)
    # That route came later, so it forbids nothing but another subnet.
    more = {"plugins": [*CHAIN["plugins"], {"type": "tuning"}]}
    assert site.converge("chain", conflist=more).actions[1:2] == ["change network chain: conflist"]
    assert web.addresses() == {"eth0": ["172.30.9.77"]}
    ipam = {**CHAIN["plugins"][0]["ipam"], "ranges": [[{"subnet": "172.30.10.0/24"}]]}
    moved = {"plugins": [{**CHAIN["plugins"][0], "ipam": ipam}]}
    said = site.fails("chain", conflist=moved)
    assert said.startswith("conflist: the static address 172.30.9.77 of the container web is not inside 172.30.10.0/24")
    assert site.converge("chain", conflist=moved, force=True).changed
    assert web.addresses() == {"eth0": ["172.30.10.2"]}


def test_a_network_with_members_is_not_removed(site: Site) -> None:
    site.network("net")
    web, off = site.container("web", Endpoint("net")), site.container("off", Endpoint("net"), run=False)
    said = site.fails("net", state="absent")
    assert said == "name: the network net has members: off, web: remove or disconnect them first, or give force=true"
    gone = site.converge("net", state="absent", force=True)
    assert gone.actions == [
        "disconnect container off from network net",
        "disconnect container web from network net",
        "remove network net",
    ]
    assert (web.networks, off.networks, web.addresses()) == ([], [], {})
    assert site.links() == ["lo", "uplink"]
    assert site.host.rules.elements() == []


def test_containers_of_nerdctl_are_members_too(site: Site) -> None:
    site.network("net")
    namespace = site.world.namespace("theirs")
    one = Attachment(f"default-{'e' * 64}", namespace)
    conflist = ConfDir(site.places.conf_dir).get("net")
    Chain(conflist, site.host).attach(one)
    assert f"has members: default-{'e' * 64}" in site.fails("net", state="absent")
    assert "cannot be disconnected" in site.fails("net", connected=[])
    assert "cannot be connected again" in site.fails("net", mtu=1400)
    assert site.converge("net", isolate=False).actions == ["change network net: isolate"]
    # One of ours, of another data_root, whose end nobody has seen: no process is in its namespace.
    gone = f"default-{'a' * 64}"
    Chain(conflist, site.host).attach(Attachment(gone, site.world.namespace(f"fleet-{gone}")))
    assert gone not in site.fails("net", state="absent")
    assert netns.remove(str(site.world.directory / f"fleet-{gone}"))
    # After a reboot only the reservation is left, and nobody is a member.
    netns.remove(namespace)
    while any(name.startswith("veth") for name in site.links()):
        time.sleep(0.01)  # the kernel takes a namespace apart when it has time
    assert site.converge("net", state="absent").actions == ["remove network net"]


def test_a_file_that_cannot_be_read_may_be_a_members(site: Site) -> None:
    site.network("net")
    web = site.container("web", Endpoint("net"), run=False)
    (web.directory / "networks.json").write_text("{")
    assert str(web.directory / "networks.json") in site.fails("net", state="absent")
    (warning,) = site.network("net").result["warnings"]
    assert "cannot be read" in warning
    assert site.converge("net", state="absent", force=True).actions == ["remove network net"]


def test_a_network_whose_file_was_lost_comes_back_to_its_members(site: Site) -> None:
    site.network("net", ipam_config=[{"subnet": "10.9.0.0/24"}])
    web = site.container("web", Endpoint("net", (address("10.9.0.77"),)))
    (site.base / "net.d" / "nerdctl-net.conflist").unlink()
    site.converge("net", ipam_config=[{"subnet": "10.9.0.0/24"}])
    assert web.addresses() == {"eth0": ["10.9.0.77"]}


def test_a_change_that_fails_is_undone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.network("net", ipam_config=[{"subnet": "10.9.0.0/24"}])
    web = site.container("web", Endpoint("net", (address("10.9.0.77"),)))
    db = site.container("db", Endpoint("net"))
    document, db_address = site.document("net"), db.addresses()
    # Another one has the only other address.
    tiny = [{"subnet": "10.9.0.0/24", "iprange": "10.9.0.77/32"}]
    failed = site.play(task("containerd_network", name="net", ipam_config=tiny), failing=True).last
    assert "no IP addresses available" in failed.msg or "taken" in failed.msg
    assert site.document("net") == document
    assert web.addresses() == {"eth0": ["10.9.0.77"]}
    assert list(db.addresses()) == list(db_address)
    assert len(db.addresses()["eth0"]) == 1


# Others can use it


def test_plugins_of_debian_use_it(site: Site) -> None:
    if not find_plugin("bridge", BIN_DIRS):
        pytest.skip("containernetworking-plugins is not installed")
    site.network("net", ipam_config=[{"subnet": "10.9.0.0/24"}, {"subnet": "fd00:9::/64"}], isolate=False)
    document = site.document("net")
    first = {key: value for key, value in document["plugins"][0].items() if key != "capabilities"}
    namespace = site.world.namespace("cni")
    from ansible_collections.fleet.containerd.plugins.module_utils.network import external
    from ansible_collections.fleet.containerd.plugins.module_utils.network.attachment import Call

    first["ipam"]["dataDir"] = site.places.data_dir
    call = Call("net", document["cniVersion"], first, Attachment("by-hand", namespace), site.host)
    result = external.run("ADD", call)
    assert result is not None
    assert [str(one.ip) for one in result.addresses] == ["10.9.0.2", "fd00:9::2"]
    # Both give addresses out of the same book, into the same bridge.
    web = site.container("web", Endpoint("net"))
    assert web.addresses()["eth0"][0] == "10.9.0.3"
    with listening(namespace, 80) as server:
        assert seen(server, web.namespace, "10.9.0.2", 80) == "10.9.0.3"
    external.run("DEL", call._replace(previous=result))


def test_what_nerdctl_writes_is_understood(site: Site) -> None:
    theirs = "54dd1dd9b05ca1e4c4bb0a1dbf9b2bcfcb7e1e5a2a9c6cbd0b4e5c4b9a3c1d2e"
    made = nerdctl.network("theirs", theirs, "br-54dd1dd9b05c", {"a": "b"}, "10.77.0.0/24", "10.77.0.1")
    directory = site.base / "net.d"
    directory.mkdir()
    (directory / "nerdctl-theirs.conflist").write_text(json.dumps(made))
    assert not site.network("theirs", ipam_config=[{"subnet": "10.77.0.0/24"}], labels={"a": "b"}, isolate=True).changed
    assert not site.network("theirs", driver="bridge", internal=False, masquerade=True, enable_ipv6=False, mtu=0).changed
    assert site.converge("theirs", mtu=1400).result["network"]["Containerd"]["MTU"] == 1400


def test_the_files_of_engines_are_found(tmp_path: pathlib.Path) -> None:
    """network/members.py knows their layout by itself."""
    connected = Connected("x", ("a",), (Endpoint("net"),))
    for number, daemon in enumerate(("", "/run/a.sock")):
        directory = Place(str(tmp_path), f"space{number}", daemon).container_dir(str(number) * 64)
        pathlib.Path(directory, "networks.json").write_text(json.dumps(connected.to_json()))
    found = find(str(tmp_path)).members
    assert [(one.engine.partition("-")[0], one.namespace, one.id[:2]) for one in found] == [
        ("containerd", "space1", "11"),
        ("embedded", "space0", "00"),
    ]


def test_the_examples(site: Site) -> None:
    done = site.play(*examples_of("containerd_network")).results
    assert [one.changed for one in done] == [True] * 5
    again = site.play(*examples_of("containerd_network")[:4]).results
    assert [one.changed for one in again] == [True, False, False, False]
    shown = site.play(*examples_of("containerd_network_info")).results
    assert shown[0].result["network"]["Name"] == "front"
    assert [one["Name"] for one in shown[1].result["networks"]] == ["back", "chain", "front"]


def test_the_guide(site: Site) -> None:
    site.container("monitoring", run=False)
    ip(site.world.host, "link", "add", "eth0", "type", "veth", "peer", "name", "far0")
    tasks = [one for block in blocks_of("guide_networks") for one in yaml.safe_load(block)]
    done = site.play(*tasks).results
    assert [one.changed for one in done] == [True] * 7
    assert [one.changed for one in site.play(*tasks).results] == [False] * 7
