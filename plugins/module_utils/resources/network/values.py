# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task asks of a network, what is there, and the options of a network as values that can be compared."""

from __future__ import annotations

import typing as t

from ...errors import DataLoss
from ...kernel.field import Field
from ...network.conflist import Conflist
from ...network.definition import Network
from ...network.members import Member
from ...network.places import Places
from ...network.result import Document
from ...network.subnets import IPAddress, IPNetwork, Subnet


class WantedSubnet(t.NamedTuple):
    """One entry of ipam_config; None is what the task does not give, and what is there stays."""

    network: IPNetwork
    gateway: t.Optional[IPAddress] = None
    ip_range: t.Optional[IPNetwork] = None
    aux: t.Optional[t.Tuple[t.Tuple[str, IPAddress], ...]] = None


class WantedNetwork(t.NamedTuple):
    """settings: fields of Network that are given. subnets, ipv6, labels, connected: None when not given.

    document: the raw mode; its labels are not part of it.
    """

    name: str
    present: bool
    settings: t.Mapping[str, t.Any]
    subnets: t.Optional[t.Tuple[WantedSubnet, ...]]
    ipv6: t.Optional[bool]
    labels: t.Optional[t.Mapping[str, str]]
    document: t.Optional[Document]
    connected: t.Optional[t.Tuple[str, ...]]
    appends: bool
    force: bool
    data_root: str
    namespace: str
    places: Places

    @property
    def asks(self) -> bool:
        """Whether it asks for more than that there is such a network, and who is in it."""
        given = (self.subnets, self.ipv6, self.labels, self.document)
        return bool(self.settings) or any(one is not None for one in given)

    def versions(self, there: t.Collection[Subnet]) -> t.Set[int]:
        """The families of addresses that a network with those subnets gets."""
        given: t.Set[int] = {one.network.version for one in (there if self.subnets is None else self.subnets)}
        if self.ipv6 is not None:
            given = given | {6} if self.ipv6 else given - {6}
        return given or {4}


class FoundNetwork(t.NamedTuple):
    """conflist: None when there is none. members: containers of ours, running or not. others: those of nerdctl. all: of the host.

    lost: files of containers that cannot be read. problems: files of networks that cannot be used.
    """

    conflist: t.Optional[Conflist]
    members: t.Tuple[Member, ...] = ()
    others: t.Tuple[str, ...] = ()
    all: t.Tuple[Member, ...] = ()
    lost: t.Tuple[DataLoss, ...] = ()
    problems: t.Tuple[str, ...] = ()

    @property
    def network(self) -> t.Optional[Network]:
        """None also for a chain of plugins that says more than our options can."""
        return Network.of(self.conflist) if self.conflist else None


LABELS = Field("labels", "dict")
#: How the options are compared. Those of an existing network that a task does not give are those that it has.
FIELDS = (
    Field("driver"),
    Field("ipam_config", "set"),
    Field("enable_ipv6"),
    Field("internal"),
    Field("mtu"),
    Field("isolate"),
    Field("masquerade"),
    Field("driver_options", "dict"),
    LABELS,
)
#: Raw mode.
CONFLIST = Field("conflist")
#: What a running network changes while its members stay attached.
IN_PLACE = {"isolate", "masquerade", "labels"}


def options_of(network: Network) -> t.Dict[str, t.Any]:
    """A network by the options of the module, in the one form that equal ones have in common."""
    driver_options = {"parent": network.parent, "mode": network.mode, "com.docker.network.bridge.name": network.link}
    ordered = sorted(network.subnets, key=lambda one: (one.network.version, int(one.network.network_address)))
    return {
        "driver": network.driver,
        "ipam_config": [_entry(one) for one in ordered],
        "enable_ipv6": any(one.network.version == 6 for one in network.subnets),
        "internal": network.internal,
        "mtu": network.mtu,
        "isolate": network.isolate,
        "masquerade": network.masquerade,
        "driver_options": {key: value for key, value in driver_options.items() if value},
        "labels": dict(network.labels),
    }


def _entry(subnet: Subnet) -> t.Dict[str, t.Any]:
    found: t.Dict[str, t.Any] = {"subnet": str(subnet.network), "gateway": str(subnet.gateway)}
    if subnet.ip_range is not None:
        found["iprange"] = str(subnet.ip_range)
    if subnet.aux:
        found["aux_addresses"] = {name: str(address) for name, address in subnet.aux}
    return found
