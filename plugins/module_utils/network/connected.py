# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of one container as a value, as they are kept in a file, and what they gave."""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from ..errors import DataLoss, InvalidArgument, NotFound, printable
from ..hostfs.atomic import make_dir, read_file, write_file
from ..hostfs.lock import locked
from .places import Places

if t.TYPE_CHECKING:
    # What these modules define is imported where it is needed: a target compiles what a task imports.
    from .ports import Published
    from .resolver import Resolver
    from .result import Document, Result
    from .subnets import IPAddress

_PIN = "fleet-"
#: Of a container's id, without its namespace. Somebody else may call a namespace fleet-red.
_ID_LENGTH = 64
#: Beside the directories of networks, whose names begin with a letter or a digit.
_LOCKS = ".locks"


class Endpoint(t.NamedTuple):
    """What a container asks of one network. aliases: its names there besides those that it has everywhere. interface: its link
    inside; that of its number (eth0, eth1 ...) when it is empty.
    """

    network: str
    ips: t.Tuple[IPAddress, ...] = ()
    mac: str = ""
    aliases: t.Tuple[str, ...] = ()
    interface: str = ""

    def to_json(self) -> Document:
        return {**self._asdict(), "ips": [str(one) for one in self.ips]}

    @classmethod
    def of(cls, document: t.Mapping[str, t.Any]) -> Endpoint:
        return cls(
            document["network"], _addresses(document["ips"]), document["mac"], tuple(document["aliases"]), document["interface"]
        )


class Connected(t.NamedTuple):
    """container_id: unique on the host, so that networks can tell containers of all engines apart. names: its own, the first is its
    host name. endpoints: in their order; ports are published in the first network that can. resolver: its resolv.conf, if it has one of its
    own. silent: the other members of its networks do not get its names, since another container has them yet.
    """

    container_id: str
    names: t.Tuple[str, ...]
    endpoints: t.Tuple[Endpoint, ...]
    ports: t.Tuple[Published, ...] = ()
    hosts: str = ""
    places: Places = Places()
    resolver: t.Optional[Resolver] = None
    silent: bool = False

    def to_json(self) -> Document:
        return {
            **self._asdict(),
            "endpoints": [one.to_json() for one in self.endpoints],
            "ports": [one.to_json() for one in self.ports],
            "places": self.places._asdict(),
        }

    @classmethod
    def of(cls, raw: bytes) -> Connected:
        """From what to_json() gave; DataLoss."""
        try:
            document = json.loads(raw)
            places = document["places"]
            return cls(
                document["container_id"],
                tuple(document["names"]),
                tuple(Endpoint.of(one) for one in document["endpoints"]),
                _ports(document["ports"]),
                document["hosts"],
                Places(**{**places, "bin_dirs": tuple(places["bin_dirs"])}),
                _resolver(document.get("resolver")),
                bool(document.get("silent")),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InvalidArgument) as error:
            raise DataLoss(f"what is kept of a container's networks cannot be read: {printable(error, 120)}") from error

    def results(self) -> t.Dict[str, t.Optional[Result]]:
        """What each network gave; None for one that it is not attached to."""
        from .result import kept

        return {one.network: kept(self.kept_at(number)) for number, one in enumerate(self.endpoints)}

    def begun(self) -> t.List[str]:
        """The networks that it is attached to, or that an interrupted run has begun to attach it to."""
        return [one.network for number, one in enumerate(self.endpoints) if os.path.lexists(self.kept_at(number))]

    @property
    def attached(self) -> bool:
        """Whether it is, or may be, attached to some of them."""
        return os.path.lexists(self.pin) or any(self.begun())

    def interface(self, number: int) -> str:
        return self.endpoints[number].interface or f"eth{number}"

    def kept_at(self, number: int) -> str:
        """The file in which is what a network gave. InvalidArgument where it could not be written."""
        from .result import kept_at

        return kept_at(self.places.cache_dir, self.endpoints[number].network, self.container_id, self.interface(number))

    @property
    def pin(self) -> str:
        """Where the namespace is kept: for detaching when its last process is gone, and for ip netns."""
        return os.path.join(self.places.pin_dir, f"{_PIN}{self.container_id}")


def pinned(name: str) -> str:
    """Whose namespace a file in the directory of pins is, by its name; empty when it is none of ours."""
    container_id = name[len(_PIN) :] if name.startswith(_PIN) else ""
    return container_id if len(container_id.rpartition("-")[2]) == _ID_LENGTH else ""


@contextlib.contextmanager
def alone(container_id: str, places: Places, wait: t.Optional[float] = None) -> t.Iterator[None]:
    """Nobody else attaches or detaches this container meanwhile, or changes what is kept of its networks. Unavailable after wait seconds.

    Whoever starts or deletes a task must not hold it: the hook takes it. Under it come only the locks of the room itself.
    """
    path = os.path.join(places.names_dir, _LOCKS, container_id)
    make_dir(os.path.dirname(path))
    with locked(path, f"the networks of {printable(container_id, 100)}", wait):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.unlink(path)


@contextlib.contextmanager
def held(path: str, wait: t.Optional[float] = None) -> t.Iterator[Connected]:
    """What is kept at a path, alone. NotFound, DataLoss."""
    before = _read(path)
    with alone(before.container_id, before.places, wait):
        yield _read(path)


def keep(path: str, connected: Connected) -> None:
    """The counterpart, for who holds it, and for a new container."""
    write_file(path, json.dumps(connected.to_json()).encode(), 0o644, alone=True)


def _read(path: str) -> Connected:
    raw = read_file(path)
    if raw is None:
        raise NotFound(f"{path} is not there: it says which networks a container has")
    return Connected.of(raw)


def _addresses(found: t.Sequence[str]) -> t.Tuple[IPAddress, ...]:
    if not found:
        return ()
    from .subnets import parse_address

    return tuple(parse_address(one, "ips") for one in found)


def _resolver(found: t.Optional[t.Sequence[t.Any]]) -> t.Optional[Resolver]:
    """None for what an older release has written."""
    if not found:
        return None
    from .resolver import Resolver

    return Resolver.of(found)


def _ports(found: t.Sequence[t.Any]) -> t.Tuple[Published, ...]:
    if not found:
        return ()
    from .ports import Published

    return tuple(Published.of(one) for one in found)
