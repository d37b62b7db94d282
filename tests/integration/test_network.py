# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_network with real containers in it, on each engine, and real traffic between them."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.namespaces import HOST
from ansible_collections.fleet.containerd.tests.support.networked import Networked, networked

Result = t.Dict[str, t.Any]
WEB = ["sh", "-c", "mkdir -p /www && echo hello from $HOSTNAME >/www/index.html && exec httpd -f -p 80 -h /www"]


class Host:
    """A host with an engine, and the module against it."""

    def __init__(self, site: Networked, image: str) -> None:
        self.site, self._image = site, image

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

    def web(self, name: str, **options: t.Any) -> Result:
        return self.site.container(
            name, **{"image": self._image, "command": WEB, "hostname": name, "stop_signal": "KILL", **options}
        )

    def page(self, container: Result, host: str) -> str:
        """What one container gets from another."""
        command = ("timeout", "2", "busybox", "wget", "-qO-", f"http://{host}/")
        return self.site.inside(container["container"]["State"]["Pid"], *command)


@pytest.fixture(params=["", *sorted(RELEASES)], ids=lambda version: version or "embedded")
def host(request: pytest.FixtureRequest, tmp_path: pathlib.Path, modules: Modules, busybox: str) -> t.Iterator[Host]:
    with networked(tmp_path, request.param) as made:
        made.fetch(busybox, modules)
        yield Host(made, busybox)


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
    assert host.page(other, address) == ""
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
    assert host.page(other, address) == ""
    assert host.page(other, "web") == "hello from web"


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


def test_the_examples(tmp_path: pathlib.Path) -> None:
    with networked(tmp_path, "") as site:
        network, info = examples_of("containerd_network"), examples_of("containerd_network_info")

        def run(tasks: t.Sequence[t.Mapping[str, t.Any]], module: str) -> t.List[Result]:
            options = [one[f"fleet.containerd.{module}"] or {} for one in tasks]
            return [site.modules.run(module, **{**site.defaults, **one}) for one in options]

        assert [one["changed"] for one in run(network[:4], "containerd_network")] == [True] * 4
        assert [one["changed"] for one in run(network[:4], "containerd_network")] == [False] * 4
        one, every = run(info, "containerd_network_info")
        assert one["network"]["Name"] == "front"
        assert [each["Name"] for each in every["networks"]] == ["back", "chain", "front"]
        assert [one["changed"] for one in run([network[4], network[4]], "containerd_network")] == [True, False]
