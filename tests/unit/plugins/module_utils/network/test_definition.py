# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks as values: what is written is read back; nerdctl's files are understood; more than we understand is not guessed."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import InvalidArgument
from ansible_collections.fleet.containerd.plugins.module_utils.network import external
from ansible_collections.fleet.containerd.plugins.module_utils.network.attachment import Attachment, Host
from ansible_collections.fleet.containerd.plugins.module_utils.network.chain import Chain
from ansible_collections.fleet.containerd.plugins.module_utils.network.conflist import ConfDir, Conflist
from ansible_collections.fleet.containerd.plugins.module_utils.network.definition import Network
from ansible_collections.fleet.containerd.plugins.module_utils.network.subnets import Subnet
from ansible_collections.fleet.containerd.tests.support import nerdctl
from ansible_collections.fleet.containerd.tests.support.namespaces import World, ip

V4, V6 = Subnet.of("10.1.0.0/24"), Subnet.of("fd00:1::/64", "fd00:1::9")
AUX = {"router": "10.1.0.9", "printer": "10.1.0.20"}
NETWORKS = {
    "plain": Network("front", subnets=frozenset({V4})),
    "default": Network("bridge", subnets=frozenset({Subnet.of("10.4.0.0/24")})),
    "both families": Network("front", subnets=frozenset({V6, V4}), mtu=1400, labels=(("a", "b"), ("c", ""))),
    "internal": Network("back", subnets=frozenset({V4}), internal=True),
    "internal, and masquerade is off": Network("back", subnets=frozenset({V4}), internal=True, masquerade=False),
    "open": Network("front", subnets=frozenset({V4}), isolate=False, masquerade=False),
    "a part": Network("front", subnets=frozenset({Subnet.of("10.1.0.0/24", "10.1.0.254", "10.1.0.128/26")})),
    "reserved": Network("front", subnets=frozenset({Subnet.of("10.1.0.0/24", None, None, AUX), V6})),
    "a part with reserved": Network("front", subnets=frozenset({Subnet.of("10.1.0.0/24", None, "10.1.0.0/27", AUX)})),
    "reserved by the same names": Network(
        "front",
        subnets=frozenset(
            {Subnet.of("10.1.0.0/24", None, None, {"a": "10.1.0.9"}), Subnet.of("fd00:1::/64", None, None, {"a": "fd00:1::7"})}
        ),
    ),
    "another bridge": Network("front", subnets=frozenset({V4}), link="br-mine"),
    "macvlan": Network("lan", "macvlan", frozenset({V4}), parent="eth0", mode="private", mtu=1400),
    "ipvlan": Network("lan", "ipvlan", frozenset({V4, V6}), parent="eth0", mode="l3"),
    "macvlan of the default route": Network("lan", "macvlan", frozenset({V4})),
    "without addresses": Network("lan", "macvlan", parent="eth0"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_written_is_read_back(tmp_path: pathlib.Path, name: str) -> None:
    directory = ConfDir(str(tmp_path))
    directory.put(NETWORKS[name].document())
    assert Network.of(directory.get(NETWORKS[name].name)) == NETWORKS[name]


def test_reserved_addresses_are_given_to_nobody(site: World, host: Host) -> None:
    network = Network("net", subnets=frozenset({Subnet.of("10.1.0.0/29", None, None, {"a": "10.1.0.3", "b": "10.1.0.5"})}))
    chain = Chain(Conflist.of(network.document()), host)
    given = [str(chain.attach(Attachment(name, site.namespace(name))).addresses[0].ip) for name in "abc"]
    assert given == ["10.1.0.2", "10.1.0.4", "10.1.0.6"]


def test_the_plugins_of_others_can_use_what_we_write(
    site: World, host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    from ansible_collections.fleet.containerd.plugins.module_utils.network import meta

    monkeypatch.setattr(meta, "PLUGINS", {})
    for number, network in enumerate(NETWORKS.values()):
        document = json.loads(json.dumps(network.document()).replace('"eth0"', '"uplink"'))
        document["plugins"][0]["ipam"].update({"dataDir": str(tmp_path / f"addresses{number}")} if network.subnets else {})
        if network.driver == "ipvlan":
            continue  # this kernel need not have it
        chain, one = Chain(Conflist.of(document), host), Attachment(f"c{number}", site.namespace(f"c{number}"))
        chain.attach(one)
        assert chain.detach(one) == []
        if network.bridge:
            ip(site.host, "link", "delete", network.bridge)
    assert external.find("bridge", host.bin_dirs)


NERDCTL = nerdctl.network(
    "bridge",
    "17f29b073143d8cd97b5bbe492bdeffec1c5fee55cc1fe2112c8b9335f8b6121",
    "nerdctl0",
    {"nerdctl/default-network": "true"},
    "10.4.0.0/24",
    "10.4.0.1",
)


def test_nerdctls_default_network_is_ours() -> None:
    assert Network.of(Conflist.of(NERDCTL)) == NETWORKS["default"]


def test_a_part_as_nerdctl_writes_it() -> None:
    document = json.loads(json.dumps(NERDCTL))
    one = {
        "subnet": "10.4.0.0/24",
        "gateway": "10.4.0.1",
        "ipRange": "10.4.0.128/25",
        "rangeStart": "10.4.0.129",
        "rangeEnd": "10.4.0.254",
    }
    document["plugins"][0]["ipam"]["ranges"] = [[one]]
    found = Network.of(Conflist.of(document))
    assert found is not None
    assert found.subnets == {Subnet.of("10.4.0.0/24", None, "10.4.0.128/25")}


ADDRESSES = {"type": "host-local", "subnet": "10.1.0.0/24"}
GATEWAY = {"type": "bridge", "isGateway": True}
MORE: t.List[t.Tuple[str, t.Any]] = [
    ("another driver", [{"type": "calico"}]),
    ("another plugin", [GATEWAY, {"type": "bandwidth"}]),
    ("a setting", [{**GATEWAY, "vlan": 7}]),
    ("another policy", [GATEWAY, {"type": "firewall", "ingressPolicy": "isolated"}]),
    ("a setting of the kernel", [GATEWAY, {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}}]),
    ("ports under the container's own address", [GATEWAY, {"type": "portmap", "snat": False}]),
    ("neither a way out nor a wall", [{"type": "bridge"}]),
    ("routes of its own", [{**GATEWAY, "ipam": {**ADDRESSES, "routes": [{"dst": "10.0.0.0/8"}]}}]),
    ("another router", [{**GATEWAY, "ipam": {**ADDRESSES, "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.9"}]}}]),
    ("addresses elsewhere", [{**GATEWAY, "ipam": {**ADDRESSES, "dataDir": "/run/own"}}]),
    ("other addresses", [{"type": "macvlan", "ipam": {"type": "dhcp"}}]),
    (
        "ranges of its own",
        [{**GATEWAY, "ipam": {**ADDRESSES, "rangeStart": "10.1.0.7"}}],
    ),
    ("name servers", [{**GATEWAY, "ipam": ADDRESSES, "dns": {"nameservers": ["10.1.0.1"]}}]),
    ("an mtu of containers alone", [{**GATEWAY, "ipam": ADDRESSES}, {"type": "tuning", "mtu": 1400}]),
]


@pytest.mark.parametrize(("name", "plugins"), MORE)
def test_what_says_more_is_not_guessed(name: str, plugins: t.Any) -> None:
    assert Network.of(Conflist.of({"cniVersion": "1.0.0", "name": "x", "plugins": plugins})) is None


@pytest.mark.parametrize("label", ["{", "[]", '{"a": "10.1.0.9"}', '{"10.9.9.9": "x"}', "[" * 9999])
def test_a_label_that_somebody_has_changed_harms_nothing(label: str) -> None:
    document = {**NERDCTL, "nerdctlLabels": {"fleet.containerd/aux-addresses": label}}
    assert Network.of(Conflist.of(document)) == NETWORKS["default"]


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Network("x", "overlay"), "driver: 'overlay' is none of bridge, macvlan, ipvlan"),
        (Network("x", mtu=20), "mtu: 20 is not from 68 to 65535"),
        (Network("x", mode="l2"), r"mode: 'l2' is not possible \(none, with the driver bridge\)"),
        (Network("x", "macvlan", mode="l2"), r"mode: 'l2' is not possible \(bridge, private, vepa, passthru\)"),
        (Network("x", "macvlan", parent="eth0/1"), "parent: 'eth0/1' is no name of a link"),
        (Network("x", link="a" * 16), "bridge: '.*' is no name of a link"),
        (
            Network("x", subnets=frozenset({Subnet.of("10.1.0.0/24", None, "10.1.0.8/31", {"a": "10.1.0.8", "b": "10.1.0.9"})})),
            "ipam_config: 10.1.0.0/24 has no address left for a container",
        ),
    ],
)
def test_what_cannot_be(network: Network, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        network.document()
