# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All networks of a host: which subnets are free, what a network is made of besides its file, and who is in it."""

from __future__ import annotations

import os
import typing as t

from ..errors import InvalidArgument
from . import external
from .attachment import Attachment, Call, Host
from .conflist import DEFAULT_NETWORK, ConfDir, Conflist, Document, bridge_name, check_type
from .definition import Network
from .drivers import parent_of
from .ipam import Plan
from .links import Links
from .meta import bridge_of, built_in, reservations_of, subnets_of
from .result import Address, IPInterface
from .ruleset import Bridge
from .subnets import IPNetwork, Subnet, check_free, free_ipv4, free_ipv6

_MACHINE_ID = "/etc/machine-id"
_USUAL_MTU = 1500


class Networks:
    """Those of a directory. What changes them is called under ConfDir.locked()."""

    def __init__(self, directory: ConfDir, host: Host) -> None:
        self.directory, self._host = directory, host

    def taken(self, name: str) -> t.Dict[IPNetwork, str]:
        """Subnets that a network of this name cannot have, and whose they are. Its own are not among them."""
        there = self.directory.read().networks.get(name)
        # One that has lost its file has its bridge still.
        bridge = bridge_of(there) if there else None
        own = {bridge_name(name), bridge.name if bridge else ""}
        with Links() as links:
            names = {link.ifindex: link.name for link in links.list()}
            routes = [(one.destination, one.ifindex) for one in links.routes()]
            routes += [(one.interface.network, one.ifindex) for one in links.addresses()]
        found: t.Dict[IPNetwork, str] = {}
        for destination, ifindex in routes:
            link = names.get(ifindex, "?")
            common = destination.is_link_local or destination.is_multicast or destination.is_loopback
            if destination.prefixlen and not common and link not in own:
                found.setdefault(destination, f"a route of this host, by {link}")
        for network in self._others(there):
            found.update(dict.fromkeys(subnets_of(network), f"the network {network.name}"))
        return found

    def _others(self, there: t.Optional[Conflist]) -> t.List[Conflist]:
        """All networks of the host but this one."""
        return [one for one in self.directory.every() if not there or one.path != there.path]

    def completed(self, network: Network, versions: t.Collection[int] = (4,)) -> Network:
        """With a subnet for each family that is wanted and has none: the one it has already, or a free one."""
        there = self._there(network.name)
        missing = [version for version in versions if all(one.network.version != version for one in network.subnets)]
        kept = [one for one in (there.subnets if there else ()) if one.network.version in missing]
        subnets = [*network.subnets, *kept]
        missing = [version for version in missing if all(one.network.version != version for one in kept)]
        if missing:
            taken = [*self.taken(network.name), *(one.network for one in subnets)]
            makers: t.Dict[int, t.Callable[[], Subnet]] = {
                4: lambda: free_ipv4(taken, network.name == DEFAULT_NETWORK),
                6: lambda: free_ipv6(network.name, _machine_id(), taken),
            }
            subnets += [makers[version]() for version in missing]
        return network._replace(subnets=frozenset(subnets))

    def check(self, network: Network) -> None:
        """InvalidArgument for what put() refuses; nothing is changed."""
        network.check()
        ordered, there = sorted(network.subnets, key=lambda one: str(one.network)), self._there(network.name)
        check_free(ordered, {})
        if network.driver == "bridge":
            # A route that came later does not forbid everything else about the network.
            had = {one.network for one in there.subnets} if there else set()
            check_free([one for one in ordered if one.network not in had], self.taken(network.name))
        self._check_bridge(Conflist.of(network.document()), bool(network.link))
        if network.driver != "bridge":
            with Links() as links:
                parent = parent_of(links, network.parent)
            if parent is None and network.parent:
                raise InvalidArgument(f"parent: there is no link {network.parent} on this host")
            if parent is None:
                raise InvalidArgument("parent: none is given, and this host has no default route whose link it could be")
            if network.mtu > parent.mtu:
                raise InvalidArgument(f"mtu: {network.mtu} is more than that of {parent.name}, the parent ({parent.mtu})")

    def check_document(self, document: Document) -> None:
        """The same for put_document(): plugins that are missing and their settings, too."""
        conflist, there = Conflist.of(document), self.directory.read().networks.get(document["name"])
        for plugin in conflist.plugins:
            driver = built_in(plugin)
            if driver is not None:
                driver.foresee(Call(conflist.name, conflist.version, plugin, Attachment("", ""), self._host))
            kinds = [plugin["type"]] if driver is None else []
            address = plugin.get("ipam") or {}
            if not isinstance(address, dict):
                raise InvalidArgument(f"ipam of the plugin {plugin['type']} must be an object")
            if address.get("type") == "host-local":
                Plan.of(address)
            elif address.get("type"):
                kinds.append(check_type(address["type"], f"ipam of the plugin {plugin['type']}"))
            for kind in kinds:
                if not external.find(kind, self._host.bin_dirs):
                    raise InvalidArgument(f"the plugin {kind} is in none of {', '.join(self._host.bin_dirs)}")
        bridge = bridge_of(conflist)
        if bridge is not None:
            had = subnets_of(there) if there else []
            check_free([Subnet.of(str(one)) for one in bridge.subnets if one not in had], self.taken(conflist.name))
        self._check_bridge(conflist, True)

    def _check_bridge(self, conflist: Conflist, given: bool) -> None:
        """It is nobody else's. given: it has not the name that the network's own has."""
        bridge, there = bridge_of(conflist), self.directory.read().networks.get(conflist.name)
        if bridge is None:
            return
        for other in self._others(there):
            theirs = bridge_of(other)
            if theirs and bridge.name == theirs.name:
                raise InvalidArgument(f"bridge: {bridge.name} belongs to the network {other.name} ({other.path})")
        with Links() as links:
            found = links.find(bridge.name)
        own = bridge_of(there) if there else None
        if found and found.kind != "bridge":
            raise InvalidArgument(f"bridge: {bridge.name} is a link of another kind ({found.kind or 'a device'})")
        if found and given and not (own and own.name == bridge.name):
            raise InvalidArgument(
                f"bridge: {bridge.name} is there already, and belongs to no network: somebody else has made it. Give another name"
            )

    def put(self, network: Network) -> Conflist:
        """Write a network down and have its rules; what it was before goes. InvalidArgument before anything is changed."""
        self.check(network)
        return self._put(network.document())

    def put_document(self, document: Document) -> Conflist:
        """The same for any chain of plugins."""
        self.check_document(document)
        return self._put(document)

    def _put(self, document: Document) -> Conflist:
        """What it was before goes first: nobody would know it any more. Whoever starts meanwhile has the rules by the new file."""
        old = self.directory.read().networks.get(document["name"])
        if old is not None:
            self._leave(old, self.directory.written(document))
        conflist = self.directory.put(document)
        self.put_rules(conflist)
        return conflist

    def put_rules(self, conflist: Conflist) -> None:
        """Have its rules, if it has its link: else the first container that is attached brings both."""
        bridge = self._bridge_there(conflist)
        if bridge is not None:
            self._host.rules.put_bridge(bridge)

    def lacks_rules(self, conflist: Conflist) -> bool:
        """Whether they are not what they should be: somebody has flushed them, or a run was killed before it could change them."""
        bridge = self._bridge_there(conflist)
        if bridge is None:
            return False
        there, wanted = [one for one in self._host.rules.elements() if one.owner == bridge.name], bridge.elements()
        return any(one not in there for one in wanted) or any(one not in wanted for one in there)

    def _bridge_there(self, conflist: Conflist) -> t.Optional[Bridge]:
        bridge = bridge_of(conflist)
        if bridge is not None:
            with Links() as links:
                return bridge if links.find(bridge.name) else None
        return None

    def restore(self, conflist: Conflist) -> Conflist:
        """As it was: for undoing a put()."""
        return self._put(dict(conflist.document))

    def put_default(self) -> Conflist:
        """The network of containers that ask for none: as it is, or a new one."""
        found = self.directory.read().networks.get(DEFAULT_NETWORK)
        return found or self.put(self.completed(Network(DEFAULT_NETWORK)))

    def remove(self, name: str) -> bool:
        """Rules, link, addresses, and last the file: killed in between, the next run finds it and goes on. False without one."""
        conflist = self.directory.read().networks.get(name)
        if conflist is None:
            return False
        bridge = bridge_of(conflist) if conflist.id else None
        if bridge is not None:
            self._host.rules.remove_bridge(bridge.name)
            with Links() as links:
                found = links.find(bridge.name)
                if found is not None and found.kind == "bridge":
                    links.remove(bridge.name)
        if conflist.id:
            reservations_of(conflist, self._host.data_dir).forget()
        return self.directory.remove(name)

    def _there(self, name: str) -> t.Optional[Network]:
        found = self.directory.read().networks.get(name)
        return Network.of(found) if found is not None else None

    def _leave(self, before: Conflist, after: Conflist) -> None:
        """Take from the bridge what the network does not have any more; the whole bridge, when it is another one."""
        left = bridge_of(before)
        if left is None:
            return
        old, new, bridge = Network.of(before), Network.of(after), bridge_of(after)
        with Links() as links:
            link = links.find(left.name)
            if bridge is None or left.name != bridge.name or (before.plugins != after.plugins and not (old and new)):
                self._host.rules.remove_bridge(left.name)
                if link is not None and link.kind == "bridge":
                    links.remove(left.name)
            elif link is not None and old is not None and new is not None:
                wanted = _gateways(new) if not new.internal else set()
                for address in links.addresses(link.ifindex):
                    if address.interface in _gateways(old) - wanted:
                        links.remove_address(link.ifindex, address.interface)
                mtu = new.mtu or (_USUAL_MTU if old.mtu else link.mtu)
                if link.mtu != mtu:
                    links.change(link.ifindex, mtu=mtu)


def _gateways(network: Network) -> t.Set[IPInterface]:
    """With their prefixes, as the bridge has them."""
    return {Address.of(one.gateway, one.network, None).interface for one in network.subnets}


def _machine_id() -> str:
    try:
        with open(_MACHINE_ID, encoding="ascii") as stream:
            return stream.read().strip() or os.uname().nodename
    except (OSError, UnicodeDecodeError):
        return os.uname().nodename
