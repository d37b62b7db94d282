# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of containers, kept as the CNI plugin host-local keeps them, so that both can manage the same network.

A directory for each network; a file for each address, with the container and its interface; flock on the file "lock".
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import typing as t

from ..errors import AlreadyExists, FailedPrecondition, InvalidArgument, ResourceExhausted, from_os_error, printable
from ..hostfs.atomic import make_dir, read_file
from ..hostfs.lock import locked
from .places import DATA_DIR
from .result import Address, Route
from .subnets import IPAddress, IPNetwork, Span, parse_address, parse_network, usable

_BREAK = "\r\n"
_LAST = "last_reserved_ip."
#: An address that is being reserved.
_NEW = ".new"
_LIMIT = 4096


class Range(t.NamedTuple):
    """Addresses of a subnet that are given out, but for the gateway. part: what was asked for, as nerdctl notes it down besides."""

    network: IPNetwork
    span: Span
    gateway: IPAddress
    part: t.Optional[IPNetwork] = None


class Plan(t.NamedTuple):
    """The ipam object of a plugin's configuration. sets: one address is given out of each. data_dir: where; empty for the usual place."""

    sets: t.Tuple[t.Tuple[Range, ...], ...]
    routes: t.Tuple[Route, ...] = ()
    data_dir: str = ""

    @classmethod
    def of(cls, document: t.Mapping[str, t.Any]) -> Plan:
        """InvalidArgument says which of its values is wrong."""
        sets = _typed(document, "ranges", list) or []
        old = [{key: document[key] for key in ("subnet", "rangeStart", "rangeEnd", "gateway") if key in document}]
        found = [_range_set(one) for one in [*([old] if "subnet" in document else []), *sets]]
        if not found:
            raise InvalidArgument("ipam: no IP ranges specified")
        for number, one in enumerate(found):
            for other in found[:number]:
                if any(_overlaps(a.span, b.span) for a in one for b in other):
                    raise InvalidArgument(f"ipam: the range sets of {one[0].network} and {other[0].network} overlap")
        routes = tuple(Route.of(one) for one in _typed(document, "routes", list) or [])
        return cls(tuple(found), routes, data_dir_of(document, ""))

    def place(self, address: IPAddress) -> t.Optional[Range]:
        """Where an address is that is asked for; None when it is in no subnet."""
        return next((one for one in (_range_of(address, ranges) for ranges in self.sets) if one), None)


def data_dir_of(document: t.Mapping[str, t.Any], default: str) -> str:
    """Where the addresses of a network are: a list may have a place of its own."""
    return _typed(document, "dataDir", str) or default


def _typed(document: t.Mapping[str, t.Any], key: str, kind: t.Type[t.Any]) -> t.Any:
    found = document.get(key)
    if found is not None and not isinstance(found, kind):
        raise InvalidArgument(f"ipam: {key} must be {'text' if kind is str else 'a list'}")
    return found


def _range_set(document: t.Any) -> t.Tuple[Range, ...]:
    if not isinstance(document, list) or not document or not all(isinstance(one, dict) for one in document):
        raise InvalidArgument("ipam: ranges must be a list of lists of ranges")
    found: t.List[Range] = []
    for one in document:
        new = _range(one)
        if found and found[0].network.version != new.network.version:
            raise InvalidArgument("ipam: one range set has IPv4 and IPv6 ranges")
        if any(_overlaps(new.span, other.span) for other in found):
            raise InvalidArgument(f"ipam: ranges of {new.network} overlap")
        found.append(new)
    return tuple(found)


def _range(document: t.Mapping[str, t.Any]) -> Range:
    texts = {key: str(document.get(key) or "") for key in ("subnet", "rangeStart", "rangeEnd", "gateway", "ipRange")}
    network = parse_network(texts["subnet"], "ipam: subnet")
    if network.max_prefixlen - network.prefixlen < 2:
        raise InvalidArgument(f"ipam: subnet {network} is too small to give addresses of it")
    whole = usable(network)
    first = parse_address(texts["rangeStart"], "ipam: rangeStart") if texts["rangeStart"] else whole.first
    last = parse_address(texts["rangeEnd"], "ipam: rangeEnd") if texts["rangeEnd"] else whole.last
    gateway = parse_address(texts["gateway"], "ipam: gateway") if texts["gateway"] else network.network_address + 1
    for name, one in (("rangeStart", first), ("rangeEnd", last), ("gateway", gateway)):
        if one not in network:
            raise InvalidArgument(f"ipam: {name} {one} is not inside {network}")
    if int(first) > int(last):
        raise InvalidArgument(f"ipam: rangeStart {first} comes after rangeEnd {last}")
    part = parse_network(texts["ipRange"], "ipam: ipRange") if texts["ipRange"] else None
    return Range(network, Span(first, last), gateway, part)


def _overlaps(one: Span, other: Span) -> bool:
    return one.first in other or one.last in other or other.first in one


class Owner(t.NamedTuple):
    """Who has an address."""

    container_id: str
    interface: str

    @property
    def text(self) -> str:
        return f"{self.container_id}{_BREAK}{self.interface}"


class Reservations:
    """The addresses of one network."""

    def __init__(self, network: str, data_dir: str = DATA_DIR) -> None:
        self.network = network
        self._path = os.path.join(data_dir, network)

    def owners(self) -> t.List[Owner]:
        """Who is known to have an address."""
        return sorted(set(self.list().values()) - {Owner("", "")})

    def list(self) -> t.Dict[str, Owner]:
        """Who has which address. A file that tells nobody (its writer was killed) has an empty owner."""
        try:
            names = os.listdir(self._path)
        except FileNotFoundError:
            return {}
        found = {}
        for name in names:
            if _is_address(name):
                raw = read_file(os.path.join(self._path, name), _LIMIT)
                if raw is not None:
                    container, _break, interface = raw.decode("utf-8", "replace").strip().partition("\n")
                    found[name] = Owner(container.rstrip("\r"), interface)
        return found

    def allocate(self, plan: Plan, owner: Owner, wanted: t.Sequence[IPAddress] = ()) -> t.List[Address]:
        """An address of each set: the one that is wanted of it, or the next free one. All of them, or none and an error.

        An address that is wanted need not be in a range, which is for those that are not wanted: any of the subnet will do.
        """
        left = list(wanted)
        with self._locked():
            there = self.list()
            again = next((address for address, one in there.items() if one == owner), None)
            if again:
                raise FailedPrecondition(
                    f"{again} has been allocated to {printable(owner.container_id, 100)}, duplicate allocation is not allowed"
                )
            given: t.List[Address] = []
            with contextlib.ExitStack() as undo:
                undo.callback(lambda: [self._remove(str(one.ip)) for one in given])
                for number, ranges in enumerate(plan.sets):
                    address = next((one for one in left if _range_of(one, ranges)), None)
                    if address is not None:
                        left.remove(address)
                        given.append(self._static(address, ranges, owner, number, there))
                    else:
                        given.append(self._next(ranges, owner, number, there))
                if left:
                    raise InvalidArgument(f"{left[0]} is in no subnet of the network {self.network}")
                undo.pop_all()
        return given

    def _static(
        self, address: IPAddress, ranges: t.Sequence[Range], owner: Owner, number: int, there: t.Mapping[str, Owner]
    ) -> Address:
        found = t.cast(Range, _range_of(address, ranges))
        if any(address == one.gateway for one in ranges):
            raise InvalidArgument(f"{address} is the gateway of {found.network}, and no container can have it")
        if not self._reserve(address, owner, number):
            holder = there.get(str(address), Owner("", ""))
            by = printable(holder.container_id, 100) or "somebody else"
            raise AlreadyExists(f"{address} is taken in the network {self.network}, by {by}")
        return Address.of(address, found.network, found.gateway)

    def _next(self, ranges: t.Sequence[Range], owner: Owner, number: int, there: t.Mapping[str, Owner]) -> Address:
        for address, one in _candidates(ranges, self._last(number)):
            if str(address) not in there and self._reserve(address, owner, number):
                return Address.of(address, one.network, one.gateway)
        names = ", ".join(f"{one.span.first}-{one.span.last}" for one in ranges)
        raise ResourceExhausted(f"no IP addresses available in the network {self.network} ({names})")

    def release(self, owner: Owner) -> t.List[str]:
        """Give back whatever this owner has; it may be nothing."""
        if not os.path.isdir(self._path):
            return []
        with self._locked():
            return [self._remove(address) for address, one in self.list().items() if one == owner]

    def forget(self) -> None:
        """The network is removed. What is in its directory and is not ours stays, and so does the directory then."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._path):
                if _is_address(name) or name.startswith(_LAST) or name in ("lock", _NEW):
                    self._remove(name)
            with contextlib.suppress(OSError):
                os.rmdir(self._path)

    @contextlib.contextmanager
    def _locked(self) -> t.Iterator[None]:
        make_dir(self._path, 0o755)
        with locked(os.path.join(self._path, "lock"), f"the addresses of the network {self.network}"):
            # A process was killed. It may be the file of an address by now, under another name: it is not written again.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self._path, _NEW))
            yield

    def _reserve(self, address: IPAddress, owner: Owner, number: int) -> bool:
        """False when it is taken. The name appears with its content: a process that is killed leaves no file without an owner."""
        path = os.path.join(self._path, str(address))
        temporary = os.path.join(self._path, _NEW)
        try:
            _write(temporary, owner.text)
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            finally:
                os.unlink(temporary)
            _write(os.path.join(self._path, f"{_LAST}{number}"), str(address), os.O_TRUNC)
        except OSError as error:
            raise from_os_error(error, f"writing {path}") from error
        return True

    def _last(self, number: int) -> t.Optional[IPAddress]:
        raw = read_file(os.path.join(self._path, f"{_LAST}{number}"), _LIMIT)
        try:
            return ipaddress.ip_address((raw or b"").decode("ascii", "replace").strip())
        except ValueError:
            return None

    def _remove(self, name: str) -> str:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._path, name))
        return name


def _write(path: str, text: str, how: int = os.O_EXCL) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | how, 0o644)
    with open(fd, "w", encoding="utf-8", newline="") as stream:
        stream.write(text)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _range_of(address: IPAddress, ranges: t.Sequence[Range]) -> t.Optional[Range]:
    return next((one for one in ranges if address in one.network and address in usable(one.network)), None)


def _candidates(ranges: t.Sequence[Range], last: t.Optional[IPAddress]) -> t.Iterator[t.Tuple[IPAddress, Range]]:
    """Each address once, in host-local's order: from the one after the last that was given out, round to it."""
    start = next((number for number, one in enumerate(ranges) if last in one.span), 0)
    begin = last if last is not None and last in ranges[start].span else None
    order = [*ranges[start:], *ranges[:start]]
    parts = [(one, int(one.span.first), int(one.span.last)) for one in order]
    if begin is not None:
        one, first, end = parts[0]
        parts = [(one, int(begin) + 1, end), *parts[1:], (one, first, int(begin))]
    for one, first, end in parts:
        kind = type(one.span.first)
        for number in range(first, end + 1):
            if number != int(one.gateway):
                yield kind(number), one
