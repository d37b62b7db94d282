# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers in networks: attached by their hook, with real traffic, on each engine."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.namespaces import HOST, HOST6, listening
from ansible_collections.fleet.containerd.tests.support.networked import Networked, address, pid_of

Web = t.Callable[..., t.Dict[str, t.Any]]


@pytest.fixture
def site(networked_site: Networked) -> Networked:
    return networked_site


@pytest.fixture
def web(site: Networked) -> Web:
    return site.web


def test_a_page_from_a_published_port(site: Networked, web: Web) -> None:
    ports = ["8080:80", f"{HOST}:8081:80", "127.0.0.1:8082:80", "90"]
    made = web(published_ports=ports)
    network = made["container"]["NetworkSettings"]
    assert network["IPAddress"] == address(made)
    (chosen,) = network["Ports"]["90/tcp"]
    assert network["Ports"]["80/tcp"] == [
        {"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": HOST, "HostPort": "8081"}, {"HostIp": "127.0.0.1", "HostPort": "8082"}
    ]  # fmt: skip
    assert site.page(f"http://{address(made)}/") == "hello from web"
    assert site.page("http://127.0.0.1:8080/") == "hello from web"
    assert site.page("http://127.0.0.1:8082/") == "hello from web"
    assert site.page(f"http://{HOST}:8080/", outside=True) == "hello from web"
    assert site.page(f"http://{HOST}:8081/", outside=True) == "hello from web"
    assert site.page(f"http://{HOST}:8082/", outside=True, patience=0) == ""
    assert site.inside(pid_of(made), "wget", "-qO-", f"http://{HOST}:8080/") == "hello from web"
    assert not web(published_ports=ports)["changed"]
    # A chosen port stays over a restart, in which the container gets its networks anew.
    again = site.container("web", restart=True)
    assert again["container"]["NetworkSettings"]["Ports"]["90/tcp"] == [chosen]
    assert site.page(f"http://{HOST}:8080/", outside=True) == "hello from web"
    stopped = site.container("web", state="stopped")
    assert address(stopped) == ""
    assert site.left() == [[], [], []]
    web(published_ports=ports)
    site.container("web", state="absent")
    assert site.left() == [[], [], []]


def test_names_and_changes_of_what_runs(site: Networked, web: Web) -> None:
    site.network("front", "10.9.1.0/24", "fd00:9::/64")
    site.network("back", "10.9.2.0/24")
    made = web(networks=[{"name": "front", "aliases": ["www"]}], published_ports=["8080:80"])
    other = web("other", networks=[{"name": "front"}, {"name": "back", "ipv4_address": "10.9.2.9"}])
    assert made["container"]["HostConfig"]["NetworkMode"] == "front"
    assert address(other, "back") == "10.9.2.9"
    for name in ("web", "www"):
        assert site.page_inside(pid_of(other), f"http://{name}/") == "hello from web"
    assert site.page(f"http://[{HOST6}]:8080/", outside=True) == "hello from web"
    # Networks and ports change while it runs.
    changed = web(networks=[{"name": "back", "aliases": ["api"]}], published_ports=["8081:80"])
    assert changed["actions"] == ["update networks, published_ports of container web"]
    assert pid_of(changed) == pid_of(made)
    assert list(changed["container"]["NetworkSettings"]["Networks"]) == ["back"]
    assert site.page(f"http://{HOST}:8081/", outside=True) == "hello from web"
    assert site.page(f"http://{HOST}:8080/", outside=True, patience=0) == ""
    assert site.inside(pid_of(other), "wget", "-qO-", "http://api/") == "hello from web"
    assert "www" not in site.inside(pid_of(other), "cat", "/etc/hosts")
    assert not web(networks=[{"name": "back", "aliases": ["api"]}], published_ports=["8081:80"])["changed"]
    # What cannot be had changes nothing.
    failed = web(networks=[{"name": "back", "ipv4_address": "10.9.2.9"}], published_ports=["8081:80"], failing=True)
    assert "10.9.2.9" in failed["msg"]
    assert site.page(f"http://{HOST}:8081/", outside=True) == "hello from web"
    assert site.inside(pid_of(other), "wget", "-qO-", "http://api/") == "hello from web"
    again = site.container("web", restart=True)
    assert address(again, "back")
    assert site.page(f"http://{HOST}:8081/", outside=True) == "hello from web"
    for name in ("web", "other"):
        site.container(name, state="absent")
    assert site.left() == [[], [], []]


def test_a_new_container_takes_the_address_and_the_port_of_the_old_one(site: Networked, web: Web) -> None:
    site.network("front", "10.9.1.0/24")
    options = {
        "networks": [{"name": "front", "ipv4_address": "10.9.1.7", "mac_address": "02:42:0a:09:01:07"}],
        "published_ports": ["8080:80"],
    }
    made = web(**options)
    new = web(**options, env={"A": "1"})
    assert new["recreated_because"] == ["env"]
    assert address(new, "front") == address(made, "front") == "10.9.1.7"
    assert new["container"]["NetworkSettings"]["Networks"]["front"]["MacAddress"] == "02:42:0a:09:01:07"
    assert site.page(f"http://{HOST}:8080/", outside=True) == "hello from web"
    # A new one that fails leaves the old one as it was.
    web(**options, command=["false"], ready={"tcp": "80"}, failing=True)
    assert site.page(f"http://{HOST}:8080/", outside=True) == "hello from web"
    # One that ended by itself is in nobody's way.
    site.end("web")
    assert address(web(**options, env={"A": "2"}), "front") == "10.9.1.7"
    site.container("web", state="absent")
    assert site.left() == [[], [], []]


def test_what_is_taken_or_missing(site: Networked, web: Web) -> None:
    web(published_ports=["8080:80"])
    taken = web("other", published_ports=["8080:80"], failing=True)
    assert "8080" in taken["msg"]
    assert taken["msg"] == "published_ports: the host's port 8080/tcp is taken: the container web has published it"
    with listening(site.world.host, 8090):
        assert "8090/tcp is taken: " in web("other", published_ports=["8090:80"], failing=True)["msg"]
    missing = web("other", networks=[{"name": "gone"}], failing=True)
    assert missing["msg"].startswith("networks: there is no network 'gone'")
    assert "network_mode is none" in web("other", network_mode="none", published_ports=["80:80"], failing=True)["msg"]
    assert "no such container" in web("other", network_mode="container:gone", failing=True)["msg"]
    # Taken after the task has looked: the hook finds out, and the task tells it.
    site.container("web", state="absent")
    assert site.left() == [[], [], []]


def test_the_network_of_another(site: Networked, web: Web, busybox: str) -> None:
    made = web(published_ports=["8080:80"])
    pod = site.container("pod", image=busybox, command=["sleep", "1000"], network_mode="container:web", stop_signal="KILL")
    assert site.page_inside(pid_of(pod), "http://127.0.0.1/") == "hello from web"
    path = made["container"]["NetworkSettings"]["SandboxKey"]
    third = site.container("third", image=busybox, command=["sleep", "1000"], network_mode=f"ns:{path}", stop_signal="KILL")
    assert site.inside(pid_of(third), "wget", "-qO-", "http://127.0.0.1/") == "hello from web"
    for name in ("third", "pod", "web"):
        site.container(name, state="absent")
    assert site.left() == [[], [], []]


def test_names_that_are_given(site: Networked, web: Web) -> None:
    made = web(
        domainname="example.org",
        etc_hosts={"db": "192.0.2.9", "host": "host-gateway"},
        dns_servers=["192.0.2.53"],
        dns_search_domains=["example.org"],
        dns_opts=["ndots:2"],
        published_ports=["80"],
    )
    hosts = site.inside(pid_of(made), "cat", "/etc/hosts").splitlines()
    assert "192.0.2.9\tdb" in hosts
    assert f"{address(made)}\tweb.example.org web {made['container']['Id'][:12]}" in hosts
    resolver = site.inside(pid_of(made), "cat", "/etc/resolv.conf").splitlines()
    assert resolver == ["nameserver 192.0.2.53", "search example.org", "options ndots:2"]
    assert site.inside(pid_of(made), "cat", "/proc/sys/kernel/domainname") == "example.org"
    gateway = made["container"]["NetworkSettings"]["Gateway"]
    assert gateway
    assert f"{gateway}\thost" in hosts
    site.container("web", state="absent")
