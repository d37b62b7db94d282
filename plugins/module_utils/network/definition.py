# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network as a value, and the conflist that says the same: what is written can be read back, and nerdctl's own can too."""

from __future__ import annotations

import json
import typing as t

from ..errors import InvalidArgument, printable
from . import ipam
from .conflist import CNI_VERSION, DEFAULT_LABEL, DEFAULT_NETWORK, Conflist, Document, bridge_name
from .drivers import IPVLAN_MODES, MACVLAN_MODES, MTU_LIMITS
from .links import check_link_name
from .meta import SAME_BRIDGE, built_in
from .result import Route
from .subnets import IPAddress, Subnet, check_usual, parse_address

DRIVERS = ("bridge", "macvlan", "ipvlan")
#: Reserved addresses and their names, of which a conflist has only the gaps between its ranges.
_AUX_LABEL = "fleet.containerd/aux-addresses"
#: That masquerade is off, which the conflist of a network without a way out cannot tell.
_MASQUERADE_LABEL = "fleet.containerd/masquerade"
_MODES = {"macvlan": MACVLAN_MODES, "ipvlan": IPVLAN_MODES}
_ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
#: What plugins after the first one say here, and address management; who says more wants something that Network does not have.
_SAID = {"type", "capabilities", "ingressPolicy"}
_SAID_OF_ADDRESSES = {"type", "ranges", "routes", "subnet", "rangeStart", "rangeEnd", "gateway"}
#: What the first one may know, and Network does not.
_UNSAID = ("args", "dns", "mac")
#: The smallest packet of IPv6.
_MTU_IPV6 = 1280


class Network(t.NamedTuple):
    """subnets: a set, as their order tells nothing. parent, mode: of macvlan and ipvlan; link: the bridge, when it is not the usual one."""

    name: str
    driver: str = "bridge"
    subnets: t.FrozenSet[Subnet] = frozenset()
    internal: bool = False
    isolate: bool = True
    masquerade: bool = True
    mtu: int = 0
    parent: str = ""
    mode: str = ""
    link: str = ""
    labels: t.Tuple[t.Tuple[str, str], ...] = ()

    def check(self) -> None:
        """InvalidArgument names the option and its value."""
        if self.driver not in DRIVERS:
            raise InvalidArgument(f"driver: {printable(self.driver, 40)!r} is none of {', '.join(DRIVERS)}")
        if self.mtu and not MTU_LIMITS[0] <= self.mtu <= MTU_LIMITS[1]:
            raise InvalidArgument(f"mtu: {self.mtu} is not from {MTU_LIMITS[0]} to {MTU_LIMITS[1]}")
        six = next((one.network for one in self.subnets if one.network.version == 6), None)
        if six is not None and 0 < self.mtu < _MTU_IPV6:
            raise InvalidArgument(f"mtu: {self.mtu} is less than {_MTU_IPV6}, which IPv6 needs ({six})")
        if self.mode and self.mode not in _MODES.get(self.driver, ()):
            modes = ", ".join(_MODES.get(self.driver, ())) or f"none, with the driver {self.driver}"
            raise InvalidArgument(f"mode: {printable(self.mode, 40)!r} is not possible ({modes})")
        for option, name in (("parent", self.parent), ("bridge", self.link)):
            if name:
                check_link_name(name, option)
        for subnet in self.subnets:
            check_usual(subnet.network)
            if not any(one.first != one.last or one.first != subnet.gateway for one in subnet.spans):
                raise InvalidArgument(f"ipam_config: {subnet.network} has no address left for a container")

    @property
    def bridge(self) -> str:
        """The link on the host; empty when there is none of its own."""
        return (self.link or bridge_name(self.name)) if self.driver == "bridge" else ""

    def document(self) -> Document:
        """What ConfDir.put() takes."""
        self.check()
        labels = dict(self.labels)
        if self.name == DEFAULT_NETWORK:
            labels.setdefault(DEFAULT_LABEL, "true")
        aux = {str(address): name for subnet in self._ordered() for name, address in subnet.aux}
        if aux:
            labels[_AUX_LABEL] = json.dumps(aux, sort_keys=True)
        if self.internal and not self.masquerade:
            labels[_MASQUERADE_LABEL] = "false"
        return {"cniVersion": CNI_VERSION, "name": self.name, "nerdctlLabels": labels, "plugins": self._plugins()}

    def _ordered(self) -> t.List[Subnet]:
        return sorted(self.subnets, key=lambda one: (one.network.version, int(one.network.network_address)))

    def _plugins(self) -> t.List[Document]:
        mtu = {"mtu": self.mtu} if self.mtu else {}
        if self.driver != "bridge":
            link = {
                "type": self.driver,
                **({"master": self.parent} if self.parent else {}),
                **({"mode": self.mode} if self.mode else {}),
            }
            return [{**link, **mtu, "capabilities": {"ips": True}, "ipam": self._ipam()}]
        way_out = not self.internal
        bridge = {
            "type": "bridge",
            "bridge": self.bridge,
            "isGateway": way_out,
            "ipMasq": self.masquerade and way_out,
            "hairpinMode": True,
            **mtu,
            "capabilities": {"ips": True},
            "ipam": self._ipam(),
        }
        ports = [{"type": "portmap", "capabilities": {"portMappings": True}}] if way_out else []
        wall = {"type": "firewall", "ingressPolicy": SAME_BRIDGE if self.isolate else "open"}
        return [bridge, *ports, wall, {"type": "tuning"}]

    def _ipam(self) -> Document:
        if not self.subnets:
            return {}
        versions = sorted({one.network.version for one in self.subnets})
        routes = [] if self.internal else [{"dst": _ANYWHERE[version]} for version in versions]
        return {"type": "host-local", "ranges": [_ranges(one) for one in self._ordered()], "routes": routes}

    @classmethod
    def of(cls, conflist: Conflist) -> t.Optional[Network]:
        """What a conflist says; None when it says more than this can: another plugin chain, or settings that are not known here."""
        try:
            return cls._of(conflist)
        except InvalidArgument:
            return None

    @classmethod
    def _of(cls, conflist: Conflist) -> t.Optional[Network]:
        first, *more = conflist.plugins
        if first["type"] not in DRIVERS or any(built_in(one) is None for one in conflist.plugins):
            return None
        if any(set(one) - _SAID for one in more) or any(first.get(key) for key in _UNSAID):
            return None
        labels = conflist.labels
        aux = _aux(labels.pop(_AUX_LABEL, ""))
        masquerades = labels.pop(_MASQUERADE_LABEL, "") != "false"
        labels.pop(DEFAULT_LABEL, None)
        document = first.get("ipam") or {}
        if not isinstance(document, dict) or (document and document.get("type") != "host-local"):
            return None
        texts = [first.get(key) or "" for key in ("master", "mode", "bridge")]
        mtu = first.get("mtu") or 0
        if not isinstance(mtu, int) or not all(isinstance(one, str) for one in texts):
            return None
        plan = ipam.Plan.of(document) if document else ipam.Plan(())
        if set(document) - _SAID_OF_ADDRESSES or any(
            one != Route(one.destination) or one.destination.prefixlen for one in plan.routes
        ):
            return None
        subnets = [_subnet(one, aux) for one in plan.sets]
        bridge = first["type"] == "bridge"
        gateway = bool(first.get("isGateway") or first.get("isDefaultGateway"))
        wall = conflist.plugin("firewall") or {}
        if None in subnets or (bridge and not gateway and not wall):
            return None
        found = cls(
            conflist.name,
            first["type"],
            frozenset(one for one in subnets if one),
            internal=bridge and not gateway,
            isolate=not bridge or wall.get("ingressPolicy") == SAME_BRIDGE,
            masquerade=not bridge or bool(first.get("ipMasq")) or (not gateway and masquerades),
            mtu=mtu,
            parent=texts[0],
            mode=texts[1],
            labels=tuple(sorted(labels.items())),
        )
        link = texts[2] or ("cni0" if bridge else "")
        return found._replace(link="" if link == found.bridge else link)


def _ranges(subnet: Subnet) -> t.List[Document]:
    """Whole subnets stay short; ipRange is nerdctl's, and tells it and us what was asked for."""
    base: Document = {"subnet": str(subnet.network), "gateway": str(subnet.gateway)}
    if subnet.ip_range is not None:
        base["ipRange"] = str(subnet.ip_range)
    if subnet.ip_range is None and not subnet.aux:
        return [base]
    return [{**base, "rangeStart": str(one.first), "rangeEnd": str(one.last)} for one in subnet.spans]


def _subnet(ranges: t.Sequence[ipam.Range], aux: t.Mapping[IPAddress, str]) -> t.Optional[Subnet]:
    """None for ranges that do not come from one subnet, a part of it and reserved addresses."""
    first = ranges[0]
    inside = tuple(sorted((name, address) for address, name in aux.items() if address in first.network))
    found = Subnet.checked(first.network, first.gateway, first.part, inside)
    same = [one.span for one in ranges] == found.spans and all(one[::2] == first[::2] for one in ranges)
    # nerdctl leaves out the first address of a part.
    return found if same or (len(ranges) == 1 and first.part and not inside) else None


def _aux(text: str) -> t.Dict[IPAddress, str]:
    try:
        return {parse_address(address, name): str(name) for address, name in json.loads(text).items()} if text else {}
    except (ValueError, AttributeError, TypeError, RecursionError, InvalidArgument):
        return {}
