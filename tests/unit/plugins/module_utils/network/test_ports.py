# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published ports: how they are written, which collide, which are in use."""

from __future__ import annotations

import ipaddress
import os
import pathlib
import re
import socket
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import AlreadyExists, InvalidArgument
from ansible_collections.fleet.containerd.plugins.module_utils.network.ports import (
    Published,
    check_twice,
    check_unused,
    choose_free,
    collide,
    parse_published,
)
from ansible_collections.fleet.containerd.tests.support.namespaces import World, listening

address = ipaddress.ip_address


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("80", [Published(None, 0, 80)]),
        ("8080:80", [Published(None, 8080, 80)]),
        ("8080:80/UDP", [Published(None, 8080, 80, "udp")]),
        ("0.0.0.0:8080:80", [Published(address("0.0.0.0"), 8080, 80)]),
        ("127.0.0.1:8080:80/tcp", [Published(address("127.0.0.1"), 8080, 80)]),
        ("127.0.0.1::80", [Published(address("127.0.0.1"), 0, 80)]),
        ("[::1]:8080:80", [Published(address("::1"), 8080, 80)]),
        ("[fd00::0:1]:8080-8081:80-81/sctp", [Published(address("fd00::1"), 8080 + n, 80 + n, "sctp") for n in (0, 1)]),
        ("9000-9002", [Published(None, 0, 9000 + n) for n in range(3)]),
    ],
)
def test_what_is_written(text: str, ports: t.List[Published]) -> None:
    assert parse_published(text) == ports


@pytest.mark.parametrize(
    "text",
    ["", "x", ":", "80:", "0", "0:80", "65536", "8080:65536", "80-79", "8080-8081:80", "80/icmp", "1.2.3:80:80", "::1:80:80", "[::g]:80:80",
     "80:80:80:80", " 80", "80\n", "٣", "999999", "80-", "-80", "[1.2.3.4:80:80"],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match="published_ports: "):
        parse_published(text)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Published(None, 80, 1), Published(None, 80, 2), True),
        (Published(None, 80, 1), Published(None, 80, 1, "udp"), False),
        (Published(None, 80, 1), Published(address("127.0.0.1"), 80, 1), True),
        (Published(address("127.0.0.1"), 80, 1), Published(address("127.0.0.2"), 80, 1), False),
        (Published(address("0.0.0.0"), 80, 1), Published(address("127.0.0.2"), 80, 1), True),
        (Published(address("::"), 80, 1), Published(address("127.0.0.2"), 80, 1), False),
        (Published(address("::1"), 80, 1), Published(address("::1"), 80, 3), True),
    ],
)
def test_which_collide(first: Published, second: Published, expected: bool) -> None:
    assert (collide(first, second), collide(second, first)) == (expected, expected)
    if expected:
        with pytest.raises(InvalidArgument, match="is published twice"):
            check_twice([first, second])
    else:
        check_twice([first, second])


@pytest.mark.parametrize(
    "document",
    [5, {}, {"hostPort": 1}, {"hostPort": "1", "containerPort": 1}, {"hostPort": True, "containerPort": 1}, {"hostPort": 0, "containerPort": 1},
     {"hostPort": 1, "containerPort": 70000}, {"hostPort": 1, "containerPort": 1, "protocol": "x"}, {"hostPort": 1, "containerPort": 1, "hostIP": "x"}],
)  # fmt: skip
def test_mappings_that_are_none(document: t.Any) -> None:
    with pytest.raises(InvalidArgument):
        Published.of(document)


def test_mappings_as_nerdctl_writes_them() -> None:
    document = {"HostPort": 8080, "ContainerPort": 80, "Protocol": "tcp", "HostIP": "0.0.0.0"}
    assert Published.of(document) == Published(address("0.0.0.0"), 8080, 80)
    assert Published.of(Published(address("::1"), 1, 2, "udp").to_json()) == Published(address("::1"), 1, 2, "udp")


def test_ports_that_are_in_use(site: World) -> None:
    taken = [
        (Published(None, 80, 1), True),
        (Published(address("127.0.0.1"), 80, 1), True),
        (Published(address("::1"), 80, 1), True),
        (Published(None, 81, 1), True),
        (Published(None, 82, 1, "udp"), True),
        (Published(address("192.0.2.1"), 81, 1), False),
        (Published(None, 82, 1), False),
        (Published(None, 83, 1, "sctp"), False),
        # An address of another host is nobody's here: what is published there waits for it to come.
        (Published(address("198.51.100.1"), 80, 1), False),
    ]
    with listening(site.host, 80), listening(site.host, 81, address="127.0.0.1"), listening(site.host, 82, "udp"):
        for port, expected in taken:
            if expected:
                name = pathlib.Path("/proc/self/comm").read_text().strip()
                words = rf"the host's port {re.escape(str(port))} is taken: {name} \(process {os.getpid()}\) listens there"
                with pytest.raises(AlreadyExists, match=words):
                    check_unused([port])
            else:
                check_unused([port])
    check_unused([port for port, _expected in taken])


def test_a_connection_that_begins_at_a_port_does_not_take_it(site: World) -> None:
    with listening(site.outside, 80), socket.socket() as client:
        client.bind(("192.0.2.1", 45000))
        client.connect(("192.0.2.2", 80))
        check_unused([Published(None, 45000, 1)])


def test_free_ports(site: World) -> None:
    # The address of another host may come to this one.
    other = Published(address("198.51.100.1"), 0, 5)
    asked = [
        *parse_published("1-50"),
        other,
        Published(None, 0, 5, "udp"),
        Published(None, 0, 5, "sctp"),
        Published(None, 8080, 1),
    ]
    found = choose_free(asked, [])
    check_twice(found)
    assert [one._replace(host_port=0) for one in found[:-1]] == asked[:-1]
    assert found[-1] == asked[-1]
    assert all(one.host_port >= 1024 for one in found)
