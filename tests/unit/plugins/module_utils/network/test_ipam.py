# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses, held against the CNI plugin host-local: the same files, the same order, the same refusals; and each manages what the
other has given out.
"""

from __future__ import annotations

import ipaddress
import json
import multiprocessing
import os
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    AlreadyExists,
    EngineError,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
)
from ansible_collections.fleet.containerd.plugins.module_utils.network.external import find
from ansible_collections.fleet.containerd.plugins.module_utils.network.ipam import Owner, Plan, Reservations
from ansible_collections.fleet.containerd.plugins.module_utils.network.places import BIN_DIRS
from ansible_collections.fleet.containerd.plugins.module_utils.network.result import Result

DUAL = {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/29"}], [{"subnet": "fd00:1::/64", "gateway": "fd00:1::2"}]]}


def host_local(command: str, ipam: t.Dict[str, t.Any], directory: pathlib.Path, owner: Owner, *ips: str) -> t.List[str]:
    """What the plugin gives. EngineError with its words."""
    conf = {"cniVersion": "1.0.0", "name": "net", "type": "any", "ipam": {**ipam, "dataDir": str(directory)}}
    conf["runtimeConfig"] = {"ips": list(ips)}
    names = {"COMMAND": command, "CONTAINERID": owner.container_id, "IFNAME": owner.interface, "NETNS": "/none", "PATH": "/none"}
    done = subprocess.run(
        [find("host-local", BIN_DIRS)],  # starts: (of containernetworking-plugins)
        input=json.dumps(conf),
        env={f"CNI_{name}": value for name, value in names.items()},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise EngineError(json.loads(done.stdout)["msg"])
    return [str(one.interface) for one in Result.of(json.loads(done.stdout)).addresses] if done.stdout.strip() else []


class Ours:
    """The same by our own code."""

    def __call__(self, command: str, ipam: t.Dict[str, t.Any], directory: pathlib.Path, owner: Owner, *ips: str) -> t.List[str]:
        store = Reservations("net", str(directory))
        if command == "DEL":
            store.release(owner)
            return []
        return [str(one.interface) for one in store.allocate(Plan.of(ipam), owner, [ipaddress.ip_address(ip) for ip in ips])]


def files(directory: pathlib.Path) -> t.Dict[str, t.Tuple[bytes, int]]:
    return {
        path.name: (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in (directory / "net").iterdir()
        if path.name != "lock"
    }


Do = t.Tuple[str, str, t.Tuple[str, ...]]
ADD, DEL = "ADD", "DEL"
SMALL = {"type": "host-local", "subnet": "10.1.0.0/29"}
SPLIT = {
    "type": "host-local",
    "ranges": [
        [
            {"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.10", "gateway": "10.1.0.10"},
            {"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.20", "rangeEnd": "10.1.0.21", "gateway": "10.1.0.10"},
        ]
    ],
}
STORIES: t.Dict[str, t.Tuple[t.Dict[str, t.Any], t.List[Do]]] = {
    "round robin": (SMALL, [(ADD, "a", ()), (ADD, "b", ()), (DEL, "a", ()), (ADD, "c", ()), (ADD, "d", ()), (DEL, "b", ())]),
    "to the end and round": (
        SMALL,
        [(ADD, one, ()) for one in "abcde"] + [(DEL, "b", ()), (ADD, "f", ()), (DEL, "c", ()), (DEL, "a", ())],
    ),
    "full": (SMALL, [(ADD, one, ()) for one in "abcdef"]),
    "twice": (SMALL, [(ADD, "a", ()), (ADD, "a", ())]),
    "static": (
        SMALL,
        [(ADD, "a", ("10.1.0.4",)), (ADD, "b", ()), (ADD, "c", ("10.1.0.4",)), (ADD, "d", ("10.1.0.1",)), (ADD, "e", ())],
    ),
    "none to give back": (SMALL, [(ADD, "a", ()), (DEL, "b", ()), (DEL, "a", ()), (DEL, "a", ())]),
    "two ranges": (SPLIT, [(ADD, one, ()) for one in "abc"] + [(DEL, "b", ()), (ADD, "d", ()), (ADD, "e", ())]),
    "both families": (DUAL, [(ADD, "a", ()), (ADD, "b", ("fd00:1::9",)), (ADD, "c", ("10.1.0.6", "fd00:1::a")), (ADD, "d", ())]),
    "a family that is full": (DUAL, [(ADD, one, ()) for one in "abcdef"] + [(ADD, "g", ())]),
}


@pytest.mark.parametrize("name", STORIES)
def test_the_same_as_host_local(tmp_path: pathlib.Path, name: str) -> None:
    ipam, story = STORIES[name]
    sides: t.List[t.Tuple[t.Callable[..., t.List[str]], pathlib.Path]] = [
        (host_local, tmp_path / "theirs"),
        (Ours(), tmp_path / "ours"),
    ]
    for step, (command, container, ips) in enumerate(story):
        answers = []
        for side, directory in sides:
            try:
                answers.append(side(command, ipam, directory, Owner(container, "eth0"), *ips))
            except EngineError:
                answers.append(["refused"])
        assert answers[0] == answers[1], f"step {step}"
        theirs, ours = (files(directory) for _side, directory in sides)
        if "refused" not in answers[0]:
            assert theirs == ours, f"step {step}"
        else:
            # Of two families, the plugin first gives out of the one and notices then that the other is full.
            assert {key for key in theirs if "last" not in key} == {key for key in ours if "last" not in key}


def test_each_manages_what_the_other_has_given_out(tmp_path: pathlib.Path) -> None:
    ours = Ours()
    assert ours(ADD, SMALL, tmp_path, Owner("a", "eth0")) == ["10.1.0.2/29"]
    assert host_local(ADD, SMALL, tmp_path, Owner("b", "eth0")) == ["10.1.0.3/29"]
    assert ours(ADD, SMALL, tmp_path, Owner("c", "eth1")) == ["10.1.0.4/29"]
    assert Reservations("net", str(tmp_path)).list() == {
        "10.1.0.2": Owner("a", "eth0"),
        "10.1.0.3": Owner("b", "eth0"),
        "10.1.0.4": Owner("c", "eth1"),
    }
    with pytest.raises(EngineError, match="duplicate allocation is not allowed"):
        host_local(ADD, SMALL, tmp_path, Owner("a", "eth0"))
    with pytest.raises(FailedPrecondition, match="duplicate allocation is not allowed"):
        ours(ADD, SMALL, tmp_path, Owner("b", "eth0"))
    host_local(DEL, SMALL, tmp_path, Owner("a", "eth0"))
    ours(DEL, SMALL, tmp_path, Owner("b", "eth0"))
    host_local(DEL, SMALL, tmp_path, Owner("c", "eth0"))
    assert Reservations("net", str(tmp_path)).list() == {"10.1.0.4": Owner("c", "eth1")}


def test_an_address_that_is_wanted_need_not_be_in_the_range(tmp_path: pathlib.Path) -> None:
    store = Reservations("net", str(tmp_path))
    plan = Plan.of(SPLIT)
    (given,) = store.allocate(plan, Owner("a", "eth0"), [ipaddress.ip_address("10.1.0.200")])
    assert str(given.interface) == "10.1.0.200/24"
    for wanted, kind, words in (
        ("10.1.0.200", AlreadyExists, "10.1.0.200 is taken in the network net, by a"),
        ("10.1.0.10", InvalidArgument, "is the gateway of 10.1.0.0/24"),
        ("10.1.0.255", InvalidArgument, "10.1.0.255 is in no subnet of the network net"),
        ("10.9.0.1", InvalidArgument, "10.9.0.1 is in no subnet of the network net"),
        ("fd00::1", InvalidArgument, "is in no subnet"),
    ):
        with pytest.raises(kind, match=words):
            store.allocate(plan, Owner("b", "eth0"), [ipaddress.ip_address(wanted)])
    assert list(store.list()) == ["10.1.0.200"]


def test_all_or_none(tmp_path: pathlib.Path) -> None:
    store = Reservations("net", str(tmp_path))
    plan = Plan.of({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.2.0.0/30"}]]})
    store.allocate(plan, Owner("a", "eth0"))
    with pytest.raises(ResourceExhausted, match=r"no IP addresses available in the network net \(10.2.0.1-10.2.0.2\)"):
        store.allocate(plan, Owner("b", "eth0"))
    assert sorted(store.list()) == ["10.1.0.2", "10.2.0.2"]


def test_leaks_are_given_back(tmp_path: pathlib.Path) -> None:
    store = Reservations("net", str(tmp_path))
    for container in "abc":
        store.allocate(Plan.of(SMALL), Owner(container, "eth0"))
    (tmp_path / "net" / "10.1.0.6").touch()  # host-local was killed between two calls
    (tmp_path / "net" / "notes").write_text("of somebody else")
    # We were killed between two calls.
    os.link(tmp_path / "net" / "10.1.0.3", tmp_path / "net" / ".new")
    assert store.release(Owner("b", "eth0")) == ["10.1.0.3"]
    assert sorted(os.listdir(tmp_path / "net")) == ["10.1.0.2", "10.1.0.4", "10.1.0.6", "last_reserved_ip.0", "lock", "notes"]
    store.forget()
    assert os.listdir(tmp_path / "net") == ["notes"]
    Reservations("other", str(tmp_path)).forget()
    assert Reservations("other", str(tmp_path)).release(Owner("a", "eth0")) == []


def test_what_is_in_the_directory_besides_harms_nothing(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "net"
    directory.mkdir()
    (directory / "last_reserved_ip.0").write_bytes(b"\xffno address")
    (directory / "10.1.0.2").write_bytes(b"\xff" * 10_000)
    (directory / "10.1.0.3").write_bytes(b"old\neth0\n")  # as plugins before 0.7 wrote them
    store = Reservations("net", str(tmp_path))
    assert store.list()["10.1.0.3"] == Owner("old", "eth0")
    assert [str(one.ip) for one in store.allocate(Plan.of(SMALL), Owner("a", "eth0"))] == ["10.1.0.4"]
    assert store.release(Owner("old", "eth0")) == ["10.1.0.3"]


@pytest.mark.parametrize(
    ("ipam", "words"),
    [
        ({}, "no IP ranges specified"),
        ({"ranges": {}}, "ranges must be a list"),
        ({"ranges": [{}]}, "ranges must be a list of lists of ranges"),
        ({"ranges": [[]]}, "ranges must be a list of lists of ranges"),
        ({"ranges": [[{}]]}, "ipam: subnet: '' is no subnet"),
        ({"ranges": [[{"subnet": "10.1.0.0/31"}]]}, "too small"),
        ({"ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "10.1.0.0/25"}]]}, "ranges of 10.1.0.0/25 overlap"),
        ({"ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.1.0.0/25"}]]}, "range sets of .* overlap"),
        ({"ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "fd00::/64"}]]}, "IPv4 and IPv6"),
        ({"subnet": "10.1.0.0/24", "rangeStart": "10.2.0.1"}, "rangeStart 10.2.0.1 is not inside 10.1.0.0/24"),
        ({"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9", "rangeEnd": "10.1.0.8"}, "comes after"),
        ({"subnet": "10.1.0.0/24", "gateway": "x"}, "ipam: gateway: 'x' is no IP address"),
        ({"subnet": ["10.1.0.0/24"]}, "is no subnet"),
        ({"subnet": "10.1.0.0/24", "routes": [{"dst": "x"}]}, "is no route"),
        ({"subnet": "10.1.0.0/24", "routes": [1]}, "is no route"),
        ({"subnet": "10.1.0.0/24", "dataDir": 1}, "dataDir must be text"),
    ],
)
def test_what_is_no_plan(ipam: t.Dict[str, t.Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        Plan.of(ipam)


def _allocate(directory: str, number: int, given: t.Any) -> None:
    store = Reservations("net", directory)
    owner = Owner(f"c{number}", "eth0")
    for again in range(3):
        if again:
            store.release(owner)
        addresses = store.allocate(Plan.of({"ranges": [[{"subnet": "10.1.0.0/25"}], [{"subnet": "fd00::/64"}]]}), owner)
    given.put((owner.container_id, [str(one.ip) for one in addresses]))


def test_64_processes_at_once_get_64_addresses(tmp_path: pathlib.Path) -> None:
    context = multiprocessing.get_context("fork")
    given = context.Queue()
    processes = [context.Process(target=_allocate, args=(str(tmp_path), number, given)) for number in range(64)]
    for process in processes:
        process.start()
    answers = dict(given.get(timeout=120) for _process in processes)
    for process in processes:
        process.join()
    assert len(answers) == 64
    assert len({one for addresses in answers.values() for one in addresses}) == 128
    there = Reservations("net", str(tmp_path)).list()
    assert {ip: owner.container_id for ip, owner in there.items()} == {ip: name for name, ips in answers.items() for ip in ips}
    assert sorted(os.listdir(tmp_path / "net")) == sorted([*there, "lock", "last_reserved_ip.0", "last_reserved_ip.1"])
