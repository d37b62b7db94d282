# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All networks of a container: attached at a start, detached at an end, changed while it runs; killed in between, they converge."""

from __future__ import annotations

import ipaddress
import json
import os
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    AlreadyExists,
    DataLoss,
    EngineError,
    InvalidArgument,
    NotFound,
    Unavailable,
)
from ansible_collections.fleet.containerd.plugins.module_utils.network import netns
from ansible_collections.fleet.containerd.plugins.module_utils.network.attachment import Host
from ansible_collections.fleet.containerd.plugins.module_utils.network.conflist import ConfDir
from ansible_collections.fleet.containerd.plugins.module_utils.network.connected import Connected, Endpoint
from ansible_collections.fleet.containerd.plugins.module_utils.network.container import Connection
from ansible_collections.fleet.containerd.plugins.module_utils.network.definition import Network
from ansible_collections.fleet.containerd.plugins.module_utils.network.ipam import Reservations
from ansible_collections.fleet.containerd.plugins.module_utils.network.names import Names
from ansible_collections.fleet.containerd.plugins.module_utils.network.networks import Networks
from ansible_collections.fleet.containerd.plugins.module_utils.network.places import Places
from ansible_collections.fleet.containerd.plugins.module_utils.network.ports import Published
from ansible_collections.fleet.containerd.tests.support.namespaces import HOST, OUTSIDE, World, ip, listening, seen

address = ipaddress.ip_address


class Site:
    """Networks front, back (internal) and bridge, and containers in them."""

    def __init__(self, world: World, host: Host, base: pathlib.Path) -> None:
        self.world, self.host, self._base = world, host, base
        pins, state = str(world.directory), str(base / "state")
        self.places = Places(str(base / "net.d"), "", tuple(host.bin_dirs), host.cache_dir, host.data_dir, pins, state)
        self.networks = Networks(ConfDir(self.places.conf_dir), host)
        with self.networks.directory.locked():
            for name, internal in (("front", False), ("back", True), ("bridge", False)):
                self.networks.put(self.networks.completed(Network(name, internal=internal)))

    def container(self, name: str, *endpoints: Endpoint, ports: t.Tuple[Published, ...] = ()) -> Connected:
        hosts = self._base / f"hosts-{name}"
        hosts.write_text("127.0.0.1\tlocalhost\n")
        return Connected(f"default-{name * 60}", (name,), endpoints, ports, str(hosts), self.places)

    def connection(self, connected: Connected) -> Connection:
        return Connection(Connected.of(json.dumps(connected.to_json()).encode()), self.host.rules)

    def leftovers(self) -> t.List[t.Any]:
        links = [link["ifname"] for link in ip(self.world.host, "link", "show") if link["ifname"].startswith("veth")]
        reserved = [Reservations(name, self.host.data_dir).list() for name in ("front", "back", "bridge")]
        ports = [one.owner for one in self.host.rules.elements() if one.value is not None]
        results = os.listdir(os.path.join(self.host.cache_dir, "results"))
        return [links, [one for one in reserved if one], ports, results]


@pytest.fixture
def here(site: World, host: Host, tmp_path: pathlib.Path) -> Site:
    return Site(site, host, tmp_path)


WEB = Published(None, 8080, 80)


def test_a_container_comes_and_goes(here: Site) -> None:
    web = here.container("w", Endpoint("back", (address("10.4.2.77"),), aliases=("db",)), Endpoint("front"), ports=(WEB,))
    other = here.container("o", Endpoint("back"))
    namespaces = {one: here.world.namespace(f"ns-{one.names[0]}") for one in (web, other)}
    for one, namespace in namespaces.items():
        assert here.connection(one).up(namespace) == []
    shown = {link["ifname"]: link["addr_info"][0]["local"] for link in ip(namespaces[web], "address", "show", "up") if link}
    assert shown == {"eth0": "10.4.2.77", "eth1": "10.4.1.2"}
    found = web.results()
    assert {name: str(result.addresses[0].ip) for name, result in found.items() if result} == {
        "back": "10.4.2.77",
        "front": "10.4.1.2",
    }
    assert "10.4.2.77\tw db\n" in pathlib.Path(other.hosts).read_text()
    assert "10.4.2.78\to\n" in pathlib.Path(web.hosts).read_text()
    with listening(namespaces[web], 80) as server:
        # The first network that publishes at all has the ports.
        assert seen(server, here.world.outside, HOST, 8080) == OUTSIDE
        assert seen(server, namespaces[other], "10.4.2.77", 80) == "10.4.2.78"
    # Its processes are gone, and so is their namespace, but for the pin.
    netns.remove(namespaces[web])
    assert here.connection(web).down() == []
    assert "w db" not in pathlib.Path(other.hosts).read_text()
    assert not os.path.exists(here.connection(web).pin)
    assert here.connection(web).down() == []
    assert here.connection(other).down() == []
    assert here.leftovers() == [[], [], [], []]


def test_one_network_that_refuses_undoes_all(here: Site) -> None:
    here.connection(here.container("o", Endpoint("front"), ports=(WEB,))).up(here.world.namespace("o"))
    before = here.leftovers()
    web = here.container("w", Endpoint("back"), Endpoint("front"), ports=(WEB,))
    namespace = here.world.namespace("w")
    with pytest.raises(AlreadyExists, match="the host's port 8080/tcp is taken: the container default-o"):
        here.connection(web).up(namespace)
    with pytest.raises(NotFound, match="there is no network 'gone'"):
        here.connection(web._replace(endpoints=(Endpoint("back"), Endpoint("gone")), ports=())).up(namespace)
    with pytest.raises(InvalidArgument, match="is no name of a host"):
        here.connection(web._replace(endpoints=(Endpoint("back", aliases=("a b",)),), ports=())).up(namespace)
    assert here.leftovers() == before
    assert [link["ifname"] for link in ip(namespace, "link", "show")] == ["lo"]
    assert not os.path.exists(here.connection(web).pin)


def test_a_restart_without_an_end_attaches_again(here: Site) -> None:
    web = here.container("w", Endpoint("front"), Endpoint("back"), ports=(WEB,))
    here.connection(web).up(here.world.namespace("first"))
    netns.remove(str(here.world.directory / "first"))
    second = here.world.namespace("second")
    assert here.connection(web).up(second) == []
    with listening(second, 80) as server:
        assert seen(server, here.world.outside, HOST, 8080) == OUTSIDE
    assert [len(one) for one in here.leftovers()] == [2, 2, 2, 2]
    assert here.connection(web).down() == []
    assert here.leftovers() == [[], [], [], []]


def test_it_changes_while_it_runs(here: Site) -> None:
    web = here.container("w", Endpoint("bridge"))
    namespace = here.world.namespace("w")
    here.connection(web).up(namespace)
    both = web._replace(endpoints=(Endpoint("bridge"), Endpoint("front")))
    assert here.connection(both).connect(1) == []
    assert {link["ifname"] for link in ip(namespace, "link", "show")} == {"lo", "eth0", "eth1"}
    published = both._replace(ports=(WEB,))
    here.connection(published).publish()
    with listening(namespace, 80) as server:
        assert seen(server, here.world.outside, HOST, 8080) == OUTSIDE
    here.connection(both).publish()
    assert here.leftovers()[2] == []
    assert here.connection(both).disconnect(1) == []
    assert {link["ifname"] for link in ip(namespace, "link", "show")} == {"lo", "eth0"}
    assert here.connection(web).down() == []


def test_the_way_out_is_that_of_the_first_network(here: Site) -> None:
    three = here.container(
        "w", *(Endpoint(name, interface=f"eth{number}") for number, name in enumerate(("back", "front", "bridge")))
    )
    namespace = here.world.namespace("w")
    here.connection(three).up(namespace)

    def way_out() -> t.List[t.Tuple[str, str]]:
        with listening(here.world.outside, 80) as server:
            assert seen(server, namespace, OUTSIDE, 80) == HOST
        return [(one["gateway"], one["dev"]) for one in ip(namespace, "route", "show", "default")]

    assert way_out() == [("10.4.1.1", "eth1")]
    less = three._replace(endpoints=(three.endpoints[0], three.endpoints[2]))
    assert here.connection(three).change(less, lambda one: None) == []
    assert way_out() == [("10.4.0.1", "eth2")]
    assert here.connection(less).change(three, lambda one: None) == []
    assert way_out() == [("10.4.1.1", "eth1")]


def test_names_of_the_default_network_are_ones_own(here: Site) -> None:
    one, other = here.container("a", Endpoint("bridge")), here.container("b", Endpoint("bridge"))
    for each in (one, other):
        here.connection(each).up(here.world.namespace(each.names[0]))
    assert "\tb\n" not in pathlib.Path(one.hosts).read_text()
    assert "10.4.0.2\ta\n" in pathlib.Path(one.hosts).read_text()


def test_a_network_that_was_removed_meanwhile_is_left(here: Site) -> None:
    web = here.container("w", Endpoint("front"), ports=(WEB,))
    here.connection(web).up(here.world.namespace("w"))
    os.unlink(here.networks.directory.get("front").path)
    (problem,) = here.connection(web).down()
    assert problem.startswith("there is no network 'front'")
    assert here.leftovers() == [[], [], [], []]
    assert here.connection(web).down() == []


def test_the_end_goes_on_past_errors(here: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    web = here.container("w", Endpoint("front"), Endpoint("back"), ports=(WEB,))
    here.connection(web).up(here.world.namespace("w"))

    def refuse(*_arguments: t.Any) -> t.Any:
        raise Unavailable("locked")

    monkeypatch.setattr(Names, "leave", refuse)
    assert here.connection(web).down() == ["locked", "locked"]
    assert here.leftovers() == [[], [], [], []]
    assert not os.path.exists(here.connection(web).pin)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b"[" * 99999, b'{"places": 5}'])
def test_what_is_kept_and_cannot_be_read(raw: bytes) -> None:
    with pytest.raises(DataLoss, match="cannot be read"):
        Connected.of(raw)
    assert issubclass(DataLoss, EngineError)
