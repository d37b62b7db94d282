# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published ports as values."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import typing as t

from ..errors import AlreadyExists, InvalidArgument, ResourceExhausted, printable
from ..hostfs.atomic import read_file
from .subnets import IPAddress, parse_address

PROTOCOLS = ("tcp", "udp", "sctp")
_LAST = 65535
_EPHEMERAL = (49152, _LAST)
_TRIES = 200
_TABLE_LIMIT = 64 * 1024 * 1024
_TEXT = (
    r"(?:(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<ip>[0-9]+\.[0-9.]+)):)?(?:(?P<host>\d{1,5}(?:-\d{1,5})?|):)?"
    r"(?P<container>\d{1,5}(?:-\d{1,5})?)(?:/(?P<protocol>\w+))?"
)


class Published(t.NamedTuple):
    """A port of the host that leads to one of a container. host_ip: None for every address of the host."""

    host_ip: t.Optional[IPAddress]
    host_port: int
    container_port: int
    protocol: str = "tcp"

    @classmethod
    def of(cls, document: t.Any) -> Published:
        """From an entry of portMappings, as the CNI plugin portmap takes them; InvalidArgument."""
        if not isinstance(document, dict):
            raise InvalidArgument(f"{printable(document, 80)} is no port mapping")
        found = {key.lower(): value for key, value in document.items()}
        protocol = str(found.get("protocol") or "tcp").lower()
        if protocol not in PROTOCOLS:
            raise InvalidArgument(
                f"the protocol of a published port is one of {', '.join(PROTOCOLS)}, not {printable(protocol, 40)!r}"
            )
        host_ip = str(found.get("hostip") or "")
        host_port, container_port = (_number(found.get(key)) for key in ("hostport", "containerport"))
        return cls(parse_address(host_ip, "host IP") if host_ip else None, host_port, container_port, protocol)

    def to_json(self) -> t.Dict[str, t.Any]:
        found = {"hostPort": self.host_port, "containerPort": self.container_port, "protocol": self.protocol}
        return {**found, "hostIP": str(self.host_ip)} if self.host_ip is not None else found

    def reaches(self, address: IPAddress) -> bool:
        """Whether packets for it can be sent on to this address: families do not mix."""
        return self.host_ip is None or self.host_ip.version == address.version

    def __str__(self) -> str:
        host = "" if self.host_ip is None else f"[{self.host_ip}]:" if self.host_ip.version == 6 else f"{self.host_ip}:"
        return f"{host}{self.host_port}/{self.protocol}"


def _number(found: t.Any) -> int:
    if not isinstance(found, int) or isinstance(found, bool) or not 0 < found <= _LAST:
        raise InvalidArgument(f"{printable(found, 40)!r} is no number of a port (1 to {_LAST})")
    return found


def parse_published(text: str, option: str = "published_ports") -> t.List[Published]:
    """What docker takes: [IP:][HOST:]CONTAINER[/PROTOCOL], where both ports may be ranges of the same length; an IPv6 address in brackets.
    A host port that is not given is 0: some free one is chosen for it (choose_free). InvalidArgument.
    """
    wrong = InvalidArgument(
        f"{option}: {printable(text, 80)!r} is not [IP:][PORT:]PORT[/PROTOCOL], with ports from 1 to {_LAST} or ranges of the same length"
    )
    found = re.fullmatch(_TEXT, text, re.ASCII)
    if found is None:
        raise wrong
    protocol = (found["protocol"] or "tcp").lower()
    if protocol not in PROTOCOLS:
        raise InvalidArgument(f"{option}: the protocol in {printable(text, 80)!r} is none of {', '.join(PROTOCOLS)}")
    inner, outer = _numbers(found["container"]), _numbers(found["host"] or "")
    outer = outer or [0] * len(inner)
    if not inner or len(inner) != len(outer) or (found["host"] and 0 in outer):
        raise wrong
    host_ip = found["ipv6"] or found["ip"]
    address = parse_address(host_ip, option) if host_ip else None
    return [Published(address, host, container, protocol) for host, container in zip(outer, inner)]


def _numbers(text: str) -> t.List[int]:
    """Empty for what is no port, and no range that goes up."""
    first, _dash, last = text.partition("-")
    numbers = range(int(first or 0), int(last or first or 0) + 1)
    return list(numbers) if numbers and numbers[0] > 0 and numbers[-1] <= _LAST else []


def choose_free(ports: t.Sequence[Published], taken: t.Sequence[Published]) -> t.List[Published]:
    """With a host port for each that has none: one of the range of ephemeral ports that nobody has, here or listening."""
    done: t.List[Published] = []
    for port in ports:
        number, tries = port, 0
        while not number.host_port or (any(collide(number, one) for one in (*taken, *done)) and not port.host_port):
            number, tries = port._replace(host_port=_free_number(port)), tries + 1
            if tries > _TRIES:
                raise ResourceExhausted("no free port of the host was found")
        done.append(number)
    return done


def _free_number(port: Published) -> int:
    """What the kernel would give a program that asks for any."""
    if port.protocol == "sctp":
        import random

        return random.randint(*_EPHEMERAL)  # noqa: S311  # no secret; few kernels can listen to it
    with _socket(port) as made:
        try:
            _bind(made, port, 0)
        except OSError:
            if port.host_ip is None:
                raise
            # It is not, or not yet, an address of this host.
            return _free_number(port._replace(host_ip=None))
        return int(made.getsockname()[1])


def check_unused(ports: t.Sequence[Published]) -> None:
    """AlreadyExists, with its name, for a program of this host that listens there (in the namespace that this thread is in): it would
    not be reached any more.
    """
    for port in ports:
        if _bound(port):
            inodes = _listeners(port)
            if inodes:
                raise AlreadyExists(f"the host's port {port} is taken: {_program(inodes)} listens there")


def _bound(port: Published) -> bool:
    """Also for a connection to elsewhere that begins at this port."""
    if port.protocol == "sctp":
        return False
    try:
        with _socket(port) as made:
            if port.protocol == "tcp":
                # What has ended a moment ago does not count.
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(made, port, port.host_port)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _listeners(port: Published) -> t.Set[str]:
    """The inodes of sockets that wait for others at this port (proc_net(5))."""
    found = set()
    waiting = "0A" if port.protocol == "tcp" else "07"
    for name in (port.protocol, f"{port.protocol}6"):
        for line in (read_file(f"/proc/thread-self/net/{name}", _TABLE_LIMIT) or b"").decode("ascii", "replace").splitlines()[1:]:
            fields = line.split()
            if fields[3] == waiting and int(fields[1].rpartition(":")[2], 16) == port.host_port:
                found.add(fields[9])
    return found


def _program(inodes: t.Set[str]) -> str:
    """Whose sockets these are."""
    links = {f"socket:[{one}]" for one in inodes}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if _link(f"/proc/{pid}/fd/{fd}") in links:
                    return f"{printable((read_file(f'/proc/{pid}/comm') or b'?').strip(), 40)} (process {pid})"
    return "a program of this host"


def _link(path: str) -> str:
    """Empty when it is gone."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _bind(made: socket.socket, port: Published, number: int) -> None:
    made.bind((str(port.host_ip or ("::" if made.family == socket.AF_INET6 else "0.0.0.0")), number))


def _socket(port: Published) -> socket.socket:
    """IPv6 serves both families, where there is IPv6."""
    kind = socket.SOCK_DGRAM if port.protocol == "udp" else socket.SOCK_STREAM
    if port.host_ip is not None and port.host_ip.version == 4:
        return socket.socket(socket.AF_INET, kind)
    try:
        made = socket.socket(socket.AF_INET6, kind)
    except OSError:
        return socket.socket(socket.AF_INET, kind)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(port.host_ip is not None))
    return made


def check_twice(ports: t.Sequence[Published]) -> None:
    """InvalidArgument when two of them want the same port of the host."""
    for number, one in enumerate(ports):
        for other in ports[:number]:
            if collide(one, other):
                raise InvalidArgument(f"the host's port {one} is published twice")


def collide(one: Published, other: Published) -> bool:
    """Whether a packet could be for both."""
    if (one.protocol, one.host_port) != (other.protocol, other.host_port):
        return False
    first, second = one.host_ip, other.host_ip
    if first is None or second is None or first == second:
        return True
    return first.version == second.version and (first.is_unspecified or second.is_unspecified)
