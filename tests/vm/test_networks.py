# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks on top of an interface of the host, by a kernel of Debian: with containers of both engines, and a machine at that cable."""

from __future__ import annotations

import json
import typing as t

import pytest

from .conftest import IMAGE, Host

pytestmark = pytest.mark.timeout(3600)

#: A machine in a namespace at the other end of the host's link trunk, with a page. Its address is in a network of documentation.
_LAN = """
ip netns add lan && ip link add trunk type veth peer name far netns lan && ip link set trunk up
ip -n lan link set lo up && ip -n lan link set far up && ip -n lan address add 192.0.2.2/24 dev far
mkdir -p /run/lan && echo hello from lan >/run/lan/index.html
ip netns exec lan busybox httpd -p 80 -h /run/lan
"""
_WEB = ["sh", "-c", "mkdir -p /www && echo hello from $HOSTNAME >/www/index.html && exec busybox httpd -f -p 80 -h /www"]
_ENGINES = {"192.0.2.70": "embedded", "192.0.2.71": "containerd"}


@pytest.fixture(scope="module")
def lan(host: Host, image: str) -> None:
    host.sh(_LAN)


def _page(host: Host, address: str, pid: t.Optional[int] = None) -> str:
    """What the machine at the cable gets from an address, or a container, by the process id."""
    enter = f"nsenter -t {pid} -n" if pid else "ip netns exec lan"
    return host.until(f"{enter} busybox wget -qO- http://{address}/", patience=60).strip()


@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_containers_are_in_the_network_of_an_interface(host: Host, lan: None, driver: str) -> None:
    given = {
        "name": "lan",
        "driver": driver,
        "driver_options": {"parent": "trunk"},
        "ipam_config": [{"subnet": "192.0.2.0/24", "gateway": "192.0.2.2", "iprange": "192.0.2.64/26"}],
    }
    assert host.module("containerd_network", **given)["changed"]
    options = [
        {"name": engine, "engine": engine, "image": IMAGE, "command": _WEB, "hostname": engine, "stop_signal": "KILL",
         "networks": [{"name": "lan", "ipv4_address": address}]}
        for address, engine in _ENGINES.items()
    ]  # fmt: skip
    made = [host.module("containerd_container", **one)["container"] for one in options]
    kinds = [json.loads(host.sh(f"nsenter -t {one['State']['Pid']} -n ip -d -j link show eth0")) for one in made]
    assert [one[0]["linkinfo"]["info_kind"] for one in kinds] == [driver] * 2
    for address, engine in _ENGINES.items():
        assert _page(host, address) == f"hello from {engine}"
    for one, other in zip(made, reversed(_ENGINES)):
        assert _page(host, "192.0.2.2", one["State"]["Pid"]) == "hello from lan"
        assert _page(host, other, one["State"]["Pid"]) == f"hello from {_ENGINES[other]}"
    # They stay in the network when it changes, and find it again when they start.
    changed = host.module("containerd_network", name="lan", mtu=1400)
    assert changed["actions"][2] == "change network lan: mtu"
    restarted = [host.module("containerd_container", name=engine, engine=engine, restart=True) for engine in _ENGINES.values()]
    assert [one["changed"] for one in restarted] == [True, True]
    for address, engine in _ENGINES.items():
        assert _page(host, address) == f"hello from {engine}"
    again = [host.module("containerd_network", **given), *(host.module("containerd_container", **one) for one in options)]
    assert [one["changed"] for one in again] == [False] * 3
    for engine in _ENGINES.values():
        host.module("containerd_container", name=engine, engine=engine, state="absent")
    assert host.module("containerd_network", name="lan", state="absent")["actions"] == ["remove network lan"]
    assert "lan" not in host.sh("ls /var/lib/cni/results /var/lib/cni/networks")
