# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules: what nft is told, what is done again when somebody else changed the table, what is told when it cannot be done."""

from __future__ import annotations

import functools
import ipaddress
import os
import pathlib
import subprocess
import threading
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    AlreadyExists,
    EngineError,
    Unavailable,
    Unimplemented,
)
from ansible_collections.fleet.containerd.plugins.module_utils.network import netns
from ansible_collections.fleet.containerd.plugins.module_utils.network import rules as rules_module
from ansible_collections.fleet.containerd.plugins.module_utils.network.nftables import Nftables
from ansible_collections.fleet.containerd.plugins.module_utils.network.ports import Published
from ansible_collections.fleet.containerd.plugins.module_utils.network.rules import owner_name
from ansible_collections.fleet.containerd.plugins.module_utils.network.ruleset import Bridge, port_elements, skeleton
from ansible_collections.fleet.containerd.tests.support.namespaces import World
from ansible_collections.fleet.containerd.tests.support.waiting import until

address = ipaddress.ip_address
BRIDGE = Bridge(
    "br-a", (ipaddress.ip_network("10.1.0.0/24"), ipaddress.ip_network("fd00:1::/64")), masquerade=True, isolated=True
)
HERE, HERE6 = address("10.1.0.2"), address("fd00:1::2")


def listed() -> str:
    return subprocess.run(["nft", "list", "ruleset"], check=True, capture_output=True, text=True).stdout


def test_twice_is_once(site: World) -> None:
    rules = Nftables()
    rules.put_bridge(BRIDGE)
    rules.publish("c eth0", [Published(None, 80, 80, "sctp")], [HERE, HERE6])
    before = listed()
    rules.put_bridge(BRIDGE)
    rules.publish("c eth0", [Published(None, 80, 80, "sctp")], [HERE, HERE6])
    assert listed() == before
    assert before.count('"br-a" comment "br-a"') == 3


def test_rules_of_another_release_are_replaced_around_their_elements(site: World) -> None:
    rules = Nftables()
    rules.put_bridge(BRIDGE)
    rules.publish("c eth0", [Published(None, 80, 80)], [HERE])
    before = listed()
    subprocess.run(["nft", "flush", "chain", "inet", "fleet_containerd", "forward"], check=True)
    assert not rules._state().current
    rules.put_bridge(BRIDGE)
    assert listed() == before


def test_what_others_left_at_an_address_goes(site: World) -> None:
    rules = Nftables()
    rules.publish("dead eth0", [Published(None, 80, 80), Published(None, 81, 80)], [HERE])
    rules.publish("other eth0", [Published(None, 82, 80)], [address("10.1.0.3")])
    rules.publish("new eth0", [Published(None, 81, 80)], [HERE])
    assert {(one.owner, one.key["concat"][1]) for one in rules.elements()} == {("other eth0", 82), ("new eth0", 81)}
    with pytest.raises(AlreadyExists, match="the host's port 82/tcp is taken: the container other has published it"):
        rules.publish("new eth0", [Published(None, 82, 80)], [HERE])
    rules.unpublish("other eth0")
    assert {one.owner for one in rules.elements()} == {"new eth0"}
    rules.unpublish("new eth0")
    rules.unpublish("new eth0")
    assert listed() == ""


def test_many_at_once(site: World) -> None:
    failures: t.List[BaseException] = []

    def run(number: int) -> None:
        try:
            with netns.entered(site.host):
                rules, owner = Nftables(), f"c{number} eth0"
                for _again in range(5):
                    rules.put_bridge(Bridge(f"br-{number}", (ipaddress.ip_network(f"10.{number}.0.0/24"),)))
                    rules.publish(owner, [Published(None, 8000 + number, 80)], [address(f"10.{number}.0.2")])
                    rules.unpublish(owner)
                    rules.remove_bridge(f"br-{number}")
        except EngineError as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert listed() == ""


def test_owners_have_room_in_a_comment() -> None:
    assert owner_name("c", "eth0") == "c eth0"
    long = owner_name("default-" + "f" * 200, "eth0")
    assert len(long) == 69
    assert long != owner_name("default-" + "e" * 200, "eth0")


def test_what_nft_says_is_told(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nft"
    # starts: sh
    program.write_text("#!/bin/sh\necho 'Error: no\033 luck' >&2\nexit 1\n")
    program.chmod(0o755)
    with pytest.raises(EngineError, match=r"nft -j list table inet fleet_containerd: Error: no\\x1b luck$"):
        Nftables(str(program)).unpublish("c eth0")
    with pytest.raises(Unimplemented, match="absent is not installed .*package nftables"):
        Nftables(str(tmp_path / "absent")).unpublish("c eth0")
    # starts: sh, sleep
    program.write_text("#!/bin/sh\nexec sleep 30\n")
    monkeypatch.setattr(rules_module, "_TIMEOUT", 0.2)
    with pytest.raises(Unavailable, match="nft has not ended"):
        Nftables(str(program)).unpublish("c eth0")


def test_a_port_has_two_elements() -> None:
    one, other = port_elements(Published(address("127.0.0.1"), 8080, 80), HERE, "c eth0")
    assert (one.of, one.value, other.of, other.value) == ("ports4", "10.1.0.2", "ports_to4", 80)
    assert one.key == other.key == {"concat": ["127.0.0.1", "tcp", 8080]}
    assert [each.of for each in port_elements(Published(address("::"), 8080, 80), HERE6, "c")] == ["any6", "any_to6"]


def test_the_table_is_the_same_text_every_time() -> None:
    assert skeleton() == skeleton()


_ZONES = (
    "table inet firewalld { flags owner; chain filter_FORWARD { type filter hook forward priority 10; policy accept; jump zones; reject; };"
    " chain zones { }; }\n"
)
#: Does what firewalld would do, by the only one who may.
# starts: sh, dirname, cat
_CLIENT = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/asked"
case "$*" in
*--add*) echo 'add rule inet firewalld zones iifname "br-a" accept' > "$(dirname "$0")/owner" ;;
*) echo 'flush chain inet firewalld zones' > "$(dirname "$0")/owner" ;;
esac
cat "$(dirname "$0")/done"
"""


def test_firewalld_that_owns_its_table_is_asked(site: World, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, asked = tmp_path / "firewall-cmd", tmp_path / "asked"
    client.write_text(_CLIENT)
    client.chmod(0o755)
    for name in ("owner", "done"):
        os.mkfifo(tmp_path / name)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with subprocess.Popen(["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as owner:
        assert owner.stdin is not None

        def obeyed(accepts: bool) -> bool:
            return ('iifname "br-a" accept' in listed()) is accepts

        def obey() -> None:
            for accepts in (True, False):
                with (tmp_path / "owner").open() as stream:
                    owner.stdin.write(stream.read())  # type: ignore[union-attr]
                    owner.stdin.flush()  # type: ignore[union-attr]
                # Its client ends when it has done so.
                until(functools.partial(obeyed, accepts), 30)
                (tmp_path / "done").write_text("")

        owner.stdin.write(_ZONES)
        owner.stdin.flush()
        while "firewalld" not in listed():
            time.sleep(0.01)
        firewalld = threading.Thread(target=obey, daemon=True)
        firewalld.start()
        rules = Nftables()
        for _again in range(2):
            rules.put_bridge(BRIDGE)
        assert asked.read_text().splitlines() == ["--quiet --zone=trusted --add-interface=br-a"]
        for _again in range(2):
            rules.remove_bridge("br-a")
        assert asked.read_text().splitlines()[1:] == ["--quiet --zone=trusted --remove-interface=br-a"]
        firewalld.join()
        owner.stdin.close()
