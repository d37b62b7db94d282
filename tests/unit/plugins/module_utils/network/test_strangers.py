# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What strangers wrote, files of networks above all: refused in one printable line, or understood, and never a traceback."""

from __future__ import annotations

import copy
import functools
import json
import typing as t

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError
from ansible_collections.fleet.containerd.plugins.module_utils.network.attachment import Attachment, Call, Host
from ansible_collections.fleet.containerd.plugins.module_utils.network.chain import Chain, _Saved
from ansible_collections.fleet.containerd.plugins.module_utils.network.conflist import Conflist
from ansible_collections.fleet.containerd.plugins.module_utils.network.connected import Connected, Endpoint
from ansible_collections.fleet.containerd.plugins.module_utils.network.definition import Network
from ansible_collections.fleet.containerd.plugins.module_utils.network.drivers import DRIVERS, allocate, release
from ansible_collections.fleet.containerd.plugins.module_utils.network.external import _document
from ansible_collections.fleet.containerd.plugins.module_utils.network.meta import bridge_of, built_in
from ansible_collections.fleet.containerd.plugins.module_utils.network.netlink import unpack
from ansible_collections.fleet.containerd.plugins.module_utils.network.nftables import Nftables
from ansible_collections.fleet.containerd.plugins.module_utils.network.ports import Published, parse_published
from ansible_collections.fleet.containerd.plugins.module_utils.network.result import Result
from ansible_collections.fleet.containerd.plugins.module_utils.network.subnets import Subnet

SUBNETS = frozenset({Subnet.of("10.1.0.0/24", None, "10.1.0.0/25", {"a": "10.1.0.9"}), Subnet.of("fd00::/64")})
SEEDS: t.List[t.Any] = [
    {**Network("net", subnets=SUBNETS, mtu=1400, labels=(("a", "b"),)).document(), "nerdctlID": "x"},
    Network("net", "macvlan", SUBNETS, parent="eth0", mode="bridge").document(),
    {
        "cniVersion": "0.4.0",
        "name": "net",
        "type": "bridge",
        "ipam": {"type": "host-local", "subnet": "10.1.0.0/24", "routes": []},
    },
]
RESULT = {
    "interfaces": [{"name": "eth0", "mac": "x", "sandbox": "/x"}],
    "ips": [{"address": "10.1.0.2/24", "gateway": "10.1.0.1", "interface": 0}],
    "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1", "mtu": 1}],
    "dns": {},
}
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["10.1.0.1", "::1", "0.0.0.0/0", "eth0"]),
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
)


@st.composite
def changed(draw: t.Any, seeds: t.Sequence[t.Any]) -> t.Any:
    """A good document in which one or two values are something else, or are missing."""
    found = copy.deepcopy(draw(st.sampled_from(seeds)))
    for _number in range(draw(st.integers(1, 2))):
        where = found
        while True:
            keys = list(where) if isinstance(where, dict) else list(range(len(where)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(where[key], (dict, list)) and where[key] and draw(st.booleans()):
                where = where[key]
                continue
            if draw(st.booleans()):
                where[key] = draw(documents)
            else:
                del where[key]
            break
    return found


def understood(read: t.Callable[[], t.Any]) -> t.Any:
    """What it gives; None when it refuses, in one line that a terminal can show."""
    try:
        return read()
    except EngineError as error:
        assert str(error).isprintable()
        return None


many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
#: No directory can be made there.
NOWHERE = "/dev/null/nowhere"
HOST = Host(Nftables(), (NOWHERE,), NOWHERE, NOWHERE)
ONE = Attachment("c1", NOWHERE)


@many
@given(changed(SEEDS))
def test_conflists(document: t.Any) -> None:
    conflist = understood(lambda: Conflist.of(document))
    if conflist is None:
        return
    network = understood(lambda: Network.of(conflist))
    if network is not None:
        understood(network.document)
    understood(lambda: bridge_of(conflist))
    understood(lambda: Chain(conflist, HOST))
    for plugin in conflist.plugins:
        _look_at(Call("net", conflist.version, plugin, ONE, HOST))


def _look_at(call: Call) -> None:
    understood(lambda: built_in(call.conf))
    understood(lambda: json.dumps(_document(call)))
    for key, default in (("ipam", {}), ("mtu", 0), ("isGateway", False), ("mode", "")):
        understood(functools.partial(call.setting, key, default))
    understood(lambda: call.link("bridge"))
    if built_in(call.conf) in DRIVERS.values():
        understood(lambda: allocate(call))
        understood(lambda: release(call))


@many
@given(changed([RESULT]))
def test_results_of_plugins(document: t.Any) -> None:
    result = understood(lambda: Result.of(document))
    if result is not None:
        assert Result.of(json.loads(json.dumps(result.to_json("1.0.0")))) is not None


@many
@given(
    changed(
        [
            {
                "containerId": "c",
                "netns": "/x",
                "ifName": "e",
                "capabilityArgs": {"ips": ["::1"], "mac": "", "portMappings": []},
                "result": RESULT,
            }
        ]
    )
)
def test_what_is_kept_of_attachments(document: t.Any) -> None:
    assert isinstance(_Saved.of(json.dumps(document).encode()), _Saved)


@many
@given(changed([Connected("c", ("n",), (Endpoint("net", aliases=("a",)),), (Published(None, 1, 2),)).to_json()]))
def test_what_is_kept_of_containers(document: t.Any) -> None:
    understood(lambda: Connected.of(json.dumps(document).encode()))


@many
@given(st.one_of(documents, changed([{"hostPort": 80, "containerPort": 80, "protocol": "tcp", "hostIP": "::1"}])))
def test_mappings_of_ports(document: t.Any) -> None:
    understood(lambda: Published.of(document))


@many
@given(st.text(alphabet="0123456789:.-[]/tcpudf", max_size=30) | st.text(max_size=20))
def test_ports_as_text(text: str) -> None:
    found = understood(lambda: parse_published(text))
    assert found is None or found


@many
@given(st.binary(max_size=64))
def test_attributes_of_the_kernel(raw: bytes) -> None:
    assert isinstance(unpack(raw), dict)


@pytest.mark.parametrize("text", ["1-65535", "1-65535:1-65535", "[" + ":" * 10_000, "1" * 100_000])
def test_long_texts_take_no_time(text: str) -> None:
    understood(lambda: parse_published(text))
