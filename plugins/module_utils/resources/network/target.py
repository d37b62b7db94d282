# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network that a task leads to: what it gives, and the rest as it is. Only reads."""

from __future__ import annotations

import typing as t

from ...errors import FailedPrecondition, InvalidArgument, NotFound
from ...kernel.field import Change, compare
from ...network.conflist import DEFAULT_LABEL, DEFAULT_NETWORK, Conflist, bridge_name
from ...network.definition import Network
from ...network.networks import Networks
from ...network.result import Document
from ...network.subnets import Subnet
from .desired import checked, named
from .values import CONFLIST, FIELDS, IN_PLACE, LABELS, FoundNetwork, WantedNetwork, WantedSubnet, options_of

#: What is ours, and nerdctl's, in a conflist.
_PRIVATE = ("nerdctlID", "nerdctlLabels")


class Target(t.NamedTuple):
    """conflist: as it will be. changes: options that differ, all of them for a new network. network: None in raw mode."""

    conflist: Conflist
    changes: t.Sequence[Change]
    network: t.Optional[Network] = None

    @property
    def in_place(self) -> bool:
        """Whether members may stay attached during the change."""
        return all(change.field.option in IN_PLACE for change in self.changes)


def target_of(want: WantedNetwork, have: FoundNetwork, networks: Networks) -> Target:
    """InvalidArgument when it cannot be had."""
    if have.conflist and not want.asks:
        return Target(have.conflist, (), have.network)
    if have.conflist and not have.conflist.id:
        raise FailedPrecondition(
            f"name: the network {want.name} belongs to somebody else ({have.conflist.path}), and is not changed: choose another "
            "name, or remove that file"
        )
    if want.document is not None:
        return _raw(want, have, networks)
    if have.conflist and have.network is None:
        return _unknown(want, have.conflist, networks)
    old = have.network
    base = old or Network(want.name)
    if want.settings.get("driver", base.driver) != base.driver:
        base = Network(want.name, subnets=base.subnets, labels=base.labels)
    network = base._replace(**want.settings, labels=_labels(want, dict(base.labels)))
    if network.link == bridge_name(want.name):
        network = network._replace(link="")
    versions = want.versions(base.subnets)
    network = network._replace(subnets=frozenset(_subnets(want, base, versions)))
    if versions - {one.network.version for one in network.subnets}:
        network = networks.completed(network, sorted(versions))
    checked(network, want.settings)
    before, after = options_of(old) if old else {}, options_of(network)
    changes = compare(FIELDS, after, before) if old else [Change(one, None, after[one.option]) for one in FIELDS]
    if changes:
        try:
            networks.check(network)
        except InvalidArgument as error:
            raise InvalidArgument(named(str(error))) from error
    return Target(_written(network.document(), networks), changes, network)


def _subnets(want: WantedNetwork, base: Network, versions: t.Set[int]) -> t.List[Subnet]:
    """Those that are given; a family without one keeps what it has."""
    there = {one.network: one for one in base.subnets}
    given = [_filled(one, there.get(one.network)) for one in want.subnets or ()]
    families = {one.network.version for one in given}
    return given + [one for one in base.subnets if one.network.version in versions - families]


def _filled(wanted: WantedSubnet, there: t.Optional[Subnet]) -> Subnet:
    had = there or WantedSubnet(wanted.network)
    try:
        return Subnet.checked(
            wanted.network,
            wanted.gateway or had.gateway,
            had.ip_range if wanted.ip_range is None else wanted.ip_range,
            (had.aux if wanted.aux is None else wanted.aux) or (),
        )
    except InvalidArgument as error:
        raise InvalidArgument(f"ipam_config: {error}") from error


def _labels(want: WantedNetwork, there: t.Dict[str, str]) -> t.Tuple[t.Tuple[str, str], ...]:
    """Labels of others stay; an explicitly empty mapping removes all."""
    if want.labels is None:
        return tuple(sorted(there.items()))
    return tuple(sorted({**(there if want.labels else {}), **want.labels}.items()))


def _raw(want: WantedNetwork, have: FoundNetwork, networks: Networks) -> Target:
    """A chain of plugins: it is compared as a whole, its labels apart."""
    document = dict(want.document or {})
    default = {DEFAULT_LABEL: "true"} if want.name == DEFAULT_NETWORK else {}
    there = {**default, **(have.conflist.labels if have.conflist else {})}
    labels = {**default, **dict(_labels(want, there))}
    before = _plain(have.conflist.document) if have.conflist else None
    changes = [] if before == document else [Change(CONFLIST, before, document)]
    changes += compare([LABELS], {"labels": labels}, {"labels": there})
    try:
        if changes:
            networks.check_document(document)
        return Target(_written({**document, "nerdctlLabels": labels}, networks), changes)
    except (InvalidArgument, NotFound) as error:
        raise type(error)(f"conflist: {error}") from error


def _unknown(want: WantedNetwork, there: Conflist, networks: Networks) -> Target:
    """A chain that our options cannot describe is replaced only by what the task says it shall be instead."""
    if "driver" not in want.settings:
        raise FailedPrecondition(
            f"name: the network {want.name} ({there.path}) has plugins or settings that the options of this module cannot "
            "describe: give driver to replace it, or conflist to change it"
        )
    made = target_of(want, FoundNetwork(None), networks)
    return made._replace(changes=[Change(CONFLIST, _plain(there.document), _plain(made.conflist.document))])


def _plain(document: t.Mapping[str, t.Any]) -> Document:
    return {key: value for key, value in document.items() if key not in _PRIVATE}


def _written(document: Document, networks: Networks) -> Conflist:
    """As it will be on disk."""
    return networks.directory.written(document)
