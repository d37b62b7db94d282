# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages of netlink(7), and the socket that they go over: no links yet, and nothing that knows what a message is for."""

from __future__ import annotations

import os
import socket
import struct
import typing as t

REQUEST, ACK, REPLACE, EXCLUSIVE, CREATE, DUMP = 0x1, 0x4, 0x100, 0x200, 0x400, 0x300
_ERROR, _DONE = 2, 3
_DUMP_INTERRUPTED, _ACK_TLVS, _CAPPED = 0x10, 0x200, 0x100
_SOL_NETLINK, _EXT_ACK, _STRICT_CHECK = 270, 11, 12
_MESSAGE = 1
_HEADER, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=HH")
_TYPE_MASK = 0x3FFF
#: The kernel's datagrams of a dump are at most half of it.
_RECEIVE = 65536
_TIMEOUT = 30.0

Value = t.Union[bytes, str, int, t.Sequence[t.Tuple[int, t.Any]]]
Attributes = t.Dict[int, bytes]


class Message(t.NamedTuple):
    """kind: RTM_NEWLINK or the like; body: its fixed part; attributes: type and value, nested ones as lists."""

    kind: int
    flags: int
    body: bytes
    attributes: t.Sequence[t.Tuple[int, Value]] = ()


def pack(attributes: t.Iterable[t.Tuple[int, Value]]) -> bytes:
    """Attributes on the wire: text ends with a zero byte, an int has 32 bits."""
    parts = []
    for kind, value in attributes:
        if isinstance(value, bytes):
            raw = value
        elif isinstance(value, str):
            raw = os.fsencode(value) + b"\0"
        elif isinstance(value, int):
            raw = struct.pack("=I", value)
        else:
            raw = pack(value)
        parts.append(_ATTRIBUTE.pack(len(raw) + 4, kind) + raw + bytes(-len(raw) % 4))
    return b"".join(parts)


def unpack(raw: bytes) -> Attributes:
    """Attributes by type; what is nested is unpacked by whoever needs it."""
    found: Attributes = {}
    at = 0
    while at + 4 <= len(raw):
        length, kind = _ATTRIBUTE.unpack_from(raw, at)
        if length < 4:
            break
        found[kind & _TYPE_MASK] = raw[at + 4 : at + length]
        at += length + -length % 4
    return found


def text(raw: t.Optional[bytes]) -> str:
    return os.fsdecode((raw or b"").partition(b"\0")[0])


def number(raw: t.Optional[bytes]) -> int:
    return int.from_bytes(raw or b"", _ORDER)


_ORDER: t.Any = "little" if struct.pack("=H", 1)[0] else "big"


class Netlink:
    """A socket in the network namespace that this thread was in when it was opened. A context manager."""

    def __init__(self, protocol: int = 0) -> None:
        """protocol: NETLINK_ROUTE, or another one (netlink(7))."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._socket.settimeout(_TIMEOUT)
        self._sequence = 0
        for option in (_EXT_ACK, _STRICT_CHECK):
            try:
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            except OSError:
                continue  # an older kernel: its errors have no text, and it tells more than was asked for
        self._socket.bind((0, 0))

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_error: object) -> None:
        self._socket.close()

    def send(self, messages: t.Sequence[Message]) -> None:
        """Have all of them done in this order. OSError for the first that is refused; those before it are done, those after it
        are not looked at.
        """
        for message in messages:
            self._talk(message._replace(flags=message.flags | ACK))

    def ask(self, message: Message) -> t.List[t.Tuple[bytes, Attributes]]:
        """The answer, or all answers of a dump. OSError."""
        size = _BODY.get(message.kind, 4)
        while True:
            answers, whole = self._talk(message)
            if whole:
                return [(raw[:size], unpack(raw[size:])) for raw in answers]

    def _talk(self, message: Message) -> t.Tuple[t.List[bytes], bool]:
        """The bodies that came back; and False when what is dumped changed meanwhile, so that it must be asked for again."""
        self._sequence += 1
        raw = message.body + pack(message.attributes)
        header = _HEADER.pack(len(raw) + 16, message.kind, message.flags | REQUEST, self._sequence, 0)
        self._socket.send(header + raw)
        answers: t.List[bytes] = []
        whole, dump = True, message.flags & DUMP == DUMP
        while True:
            for kind, flags, body in self._received():
                whole = whole and not flags & _DUMP_INTERRUPTED
                if kind == _ERROR:
                    _check(flags, body)
                    return answers, whole
                if kind == _DONE:
                    if len(body) >= 4 and number(body[:4]):
                        _check(flags, body)
                    return answers, whole
                answers.append(body)
                if not dump and not message.flags & ACK:
                    return answers, whole

    def _received(self) -> t.Iterator[t.Tuple[int, int, bytes]]:
        """Messages for the last request, from one datagram."""
        raw = self._socket.recv(_RECEIVE)
        at = 0
        while at + 16 <= len(raw):
            length, kind, flags, sequence, _port = _HEADER.unpack_from(raw, at)
            if length < 16:
                return
            if sequence == self._sequence:
                yield kind, flags, raw[at + 16 : at + length]
            at += length + -length % 4


def _check(flags: int, body: bytes) -> None:
    """OSError with the kernel's own words, where it has some."""
    code = -struct.unpack_from("=i", body)[0]
    if not code:
        return
    words = ""
    if flags & _ACK_TLVS:
        # The request comes back after the code, whole or only its header.
        request = 16 if flags & _CAPPED else struct.unpack_from("=I", body, 4)[0]
        words = text(unpack(body[4 + request + -request % 4 :]).get(_MESSAGE))
    reason = os.strerror(code)
    raise OSError(code, f"{reason} ({words})" if words else reason)


#: The length of the fixed part of answers, by what is asked: links, addresses, routes; everything of netfilter has four bytes.
_BODY = {18: 16, 22: 8, 26: 12}
NETFILTER = 12
