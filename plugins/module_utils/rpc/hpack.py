# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Header compression of HTTP/2 (RFC 7541): a plain encoder, and a complete decoder, since the peer chooses what it sends."""

from __future__ import annotations

import functools
import typing as t

Header = t.Tuple[bytes, bytes]

_TABLE_SIZE = 4096
_ENTRY_OVERHEAD = 32
#: Appendix A.
_STATIC: t.Tuple[Header, ...] = tuple(
    (name.encode(), value.replace("_", " ").encode())
    for name, _bar, value in (
        entry.partition("|")
        for entry in (
            ":authority :method|GET :method|POST :path|/ :path|/index.html :scheme|http :scheme|https :status|200 :status|204 "
            ":status|206 :status|304 :status|400 :status|404 :status|500 accept-charset accept-encoding|gzip,_deflate "
            "accept-language accept-ranges accept access-control-allow-origin age allow authorization cache-control "
            "content-disposition content-encoding content-language content-length content-location content-range content-type "
            "cookie date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since "
            "last-modified link location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after "
            "server set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate"
        ).split()
    )
)
#: Appendix B: the code is canonical, so the lengths are enough; one base-36 digit for each symbol, the end of string last.
_LENGTHS = (
    "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad67777777777777777777777878djde6f5656566657766"
    "6567655677777fbedskmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmnqqkjmnmpqqqrrqopjlqrrqrollqq"
    "srrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu"
)


class Malformed(Exception):
    """The peer's header block breaks the rules."""


def encode(headers: t.Iterable[Header]) -> bytes:
    """A header block of literals, without indexing or compression (headers of a request are sent once)."""
    out = bytearray()
    for name, value in headers:
        out.append(0)
        for text in (name, value):
            out += _integer(len(text), 7)
            out += text
    return bytes(out)


def _integer(value: int, bits: int) -> bytes:
    most = (1 << bits) - 1
    if value < most:
        return bytes((value,))
    out = bytearray((most,))
    value -= most
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Decoder:
    """The decoder of one connection: its dynamic table lives as long as the connection."""

    def __init__(self) -> None:
        self._table: t.List[Header] = []
        self._size, self._limit = 0, _TABLE_SIZE

    def decode(self, block: bytes) -> t.List[Header]:
        """The headers of a complete block. Raises Malformed."""
        found: t.List[Header] = []
        position = 0
        while position < len(block):
            first = block[position]
            if first & 0x80:
                index, position = _read_integer(block, position, 7)
                found.append(self._entry(index))
            elif first & 0xE0 == 0x20:
                limit, position = _read_integer(block, position, 5)
                if limit > _TABLE_SIZE or found:
                    raise Malformed("a table size that is not allowed")
                self._limit = limit
                self._evict()
            else:
                keep = bool(first & 0x40)
                index, position = _read_integer(block, position, 6 if keep else 4)
                name, position = (self._entry(index)[0], position) if index else _read_string(block, position)
                value, position = _read_string(block, position)
                found.append((name, value))
                if keep:
                    self._table.insert(0, (name, value))
                    self._size += len(name) + len(value) + _ENTRY_OVERHEAD
                    self._evict()
        return found

    def _entry(self, index: int) -> Header:
        if 0 < index <= len(_STATIC):
            return _STATIC[index - 1]
        if len(_STATIC) < index <= len(_STATIC) + len(self._table):
            return self._table[index - len(_STATIC) - 1]
        raise Malformed(f"no header has the index {index}")

    def _evict(self) -> None:
        while self._size > self._limit:
            name, value = self._table.pop()
            self._size -= len(name) + len(value) + _ENTRY_OVERHEAD


def _read_integer(block: bytes, position: int, bits: int) -> t.Tuple[int, int]:
    most = (1 << bits) - 1
    value = block[position] & most
    position += 1
    if value < most:
        return value, position
    shift = 0
    while True:
        if position >= len(block) or shift > 28:
            raise Malformed("a number is cut off or too large")
        byte = block[position]
        position += 1
        value += (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


def _read_string(block: bytes, position: int) -> t.Tuple[bytes, int]:
    if position >= len(block):
        raise Malformed("a string is cut off")
    packed = block[position] & 0x80
    length, position = _read_integer(block, position, 7)
    if position + length > len(block):
        raise Malformed("a string is cut off")
    data = block[position : position + length]
    return (_unpack(data) if packed else data), position + length


@functools.cache
def _codes() -> t.Dict[t.Tuple[int, int], int]:
    """The canonical code: shorter codes first, symbols in order, each code one more than the last."""
    found = {}
    code = last = 0
    for length, symbol in sorted((int(digit, 36), symbol) for symbol, digit in enumerate(_LENGTHS)):
        code <<= length - last
        found[length, code] = symbol
        code, last = code + 1, length
    return found


def _unpack(data: bytes) -> bytes:
    """Huffman decoding (section 5.2)."""
    codes, out = _codes(), bytearray()
    code = length = 0
    for byte in data:
        for shift in range(7, -1, -1):
            code, length = code << 1 | byte >> shift & 1, length + 1
            symbol = codes.get((length, code)) if length >= 5 else None
            if symbol is not None:
                if symbol > 0xFF:
                    raise Malformed("the end of string is in a string")
                out.append(symbol)
                code = length = 0
            elif length > 30:
                raise Malformed("a code without a symbol")
    if length > 7 or code != (1 << length) - 1:
        raise Malformed("a string with wrong padding")
    return bytes(out)
