# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container asks of one network, and what a plugin is called with, ours or another."""

from __future__ import annotations

import typing as t

from ..errors import InvalidArgument, Unimplemented, printable
from .ipam import Owner
from .links import check_link_name
from .nftables import Nftables
from .places import BIN_DIRS, CACHE_DIR, DATA_DIR
from .ports import Published
from .programs import find
from .result import Document, Result
from .rules import Rules
from .subnets import IPAddress

_KINDS: t.Dict[type, str] = {bool: "true or false", int: "a number", str: "text", dict: "an object"}


class Host(t.NamedTuple):
    """Where networks of this host have their files, and who filters its packets."""

    rules: Rules
    bin_dirs: t.Sequence[str] = BIN_DIRS
    cache_dir: str = CACHE_DIR
    data_dir: str = DATA_DIR


def rules_of_host() -> Rules:
    """nftables; iptables where only that is installed."""
    if find("iptables") and not find("nft"):
        from .iptables import Iptables

        return Iptables()
    return Nftables()


def check_rules() -> None:
    """Unimplemented where this host has nothing that filters packets."""
    if not find("nft") and not find("iptables"):
        raise Unimplemented(
            "bridges need nft or iptables on the target, and neither is installed: install the package nftables (it has the same"
            " name in all distributions)"
        )


class Attachment(t.NamedTuple):
    """A container in one network. netns: the path of its namespace; empty when it is gone. ips, mac: none means any."""

    container_id: str
    netns: str
    interface: str = "eth0"
    ips: t.Tuple[IPAddress, ...] = ()
    mac: str = ""
    ports: t.Tuple[Published, ...] = ()

    @property
    def owner(self) -> Owner:
        return Owner(self.container_id, self.interface)

    def capabilities(self) -> Document:
        """As runtimeConfig has them, for plugins that say that they can take them."""
        found: Document = {}
        if self.ports:
            found["portMappings"] = [one.to_json() for one in self.ports]
        if self.ips:
            found["ips"] = [str(one) for one in self.ips]
        if self.mac:
            found["mac"] = self.mac
        return found


class Call(t.NamedTuple):
    """One plugin of a network, for one attachment. conf: its part of the list, complete; previous: what the plugins before it gave."""

    network: str
    version: str
    conf: Document
    attachment: Attachment
    host: Host
    previous: t.Optional[Result] = None

    @property
    def kind(self) -> str:
        return str(self.conf["type"])

    def setting(self, key: str, default: t.Any) -> t.Any:
        """A value of the configuration, which has the type of the default; InvalidArgument."""
        found = self.conf.get(key)
        if found is None:
            return default
        if not isinstance(found, type(default)) or isinstance(found, bool) != isinstance(default, bool):
            kind = _KINDS[type(default)]
            raise InvalidArgument(
                f"network {self.network}: {key} of the plugin {self.kind} must be {kind}: {printable(found, 80)}"
            )
        return found

    def link(self, key: str) -> str:
        """The name of a link; empty when it is not given."""
        found = self.setting(key, "")
        return check_link_name(found, f"network {self.network}: {key}") if found else ""
