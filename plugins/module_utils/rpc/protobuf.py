# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocol buffers for the messages of descriptors.py: dictionaries to bytes and back.

Source: protobuf.dev, "Encoding". A decoded message has every field: a zero value where the sender left it out, None for a
missing message. Unknown fields of newer daemons are skipped. Why not the protobuf package: docs/adr.
"""

from __future__ import annotations

import functools
import typing as t

from .descriptors import MESSAGES

Values = t.Mapping[str, t.Any]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZE = {_FIXED64: 8, _FIXED32: 4}
_DEPTH = 32
_ZERO: t.Dict[str, t.Any] = {"s": "", "b": b"", "i": 0, "u": 0, "?": False, "m": None}


class Field(t.NamedTuple):
    """mode: "" (one), "*" (repeated), "%" (a map from string). kind: a letter of descriptors.py; type: the message's name."""

    name: str
    number: int
    mode: str
    kind: str
    type: str


class Malformed(Exception):
    """The bytes are not a message of that type."""


@functools.cache
def _sources() -> t.Dict[str, t.List[str]]:
    found: t.Dict[str, t.List[str]] = {}
    current: t.List[str] = []
    for token in MESSAGES.split():
        if ":" in token:
            current.append(token)
        else:
            current = found[token] = []
    return found


@functools.cache
def fields(name: str) -> t.Dict[int, Field]:
    """The fields of a message by number. KeyError for a message that is not in descriptors.py."""
    found = [_field(token) for token in _sources()[name]]
    return {field.number: field for field in found}


def _field(token: str) -> Field:
    name, number, kind = token.split(":")
    mode = kind[0] if kind[0] in "*%" else ""
    kind, _equals, of = kind[len(mode) :].partition("=")
    return Field(name, int(number), mode, kind, of)


def varint(value: int) -> bytes:
    """An unsigned number; a negative one as its two's complement of 64 bits."""
    if 0 <= value < 0x80:
        return bytes((value,))
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode(name: str, values: Values) -> bytes:
    """Encode a message. None and zero values are left out. KeyError for a field that the message does not have."""
    by_name = {field.name: field for field in fields(name).values()}
    out: t.List[bytes] = []
    for key, value in values.items():
        field = by_name[key]
        if field.mode == "%":
            for map_key, item in value.items():
                pair = _one(1, "s", "", map_key) + _one(2, field.kind, field.type, item)
                out.append(varint(field.number << 3 | _BYTES) + varint(len(pair)) + pair)
        elif field.mode == "*":
            out += [_one(field.number, field.kind, field.type, item) for item in value]
        elif value is not None and (field.kind == "m" or value != _ZERO[field.kind]):
            out.append(_one(field.number, field.kind, field.type, value))
    return b"".join(out)


def _one(number: int, kind: str, of: str, value: t.Any) -> bytes:
    if kind in "iu?":
        return varint(number << 3 | _VARINT) + varint(int(value))
    data = encode(of, value) if kind == "m" else value.encode("utf-8", "replace") if kind == "s" else value
    return b"".join((varint(number << 3 | _BYTES), varint(len(data)), data))


def decode(name: str, data: bytes, depth: int = 0) -> t.Dict[str, t.Any]:
    """Decode a message to a dictionary. Raises Malformed."""
    if depth > _DEPTH:
        raise Malformed("messages are nested too deeply")
    by_number = fields(name)
    out = {f.name: {} if f.mode == "%" else [] if f.mode == "*" else _ZERO[f.kind] for f in by_number.values()}
    position = 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        field, wire = by_number.get(tag >> 3), tag & 7
        if wire == _VARINT:
            number, position = _read_varint(data, position)
            if field is not None and field.kind in "iu?":
                _keep(out, field, _number(field.kind, number))
            continue
        length = _FIXED_SIZE.get(wire, -1)
        if wire == _BYTES:
            length, position = _read_varint(data, position)
        if length < 0 or position + length > len(data):
            raise Malformed(f"a field of {name} is cut off, or of an unknown wire type ({wire})")
        if wire == _BYTES and field is not None:
            _take(out, field, data[position : position + length], depth)
        position += length
    return out


def _take(out: t.Dict[str, t.Any], field: Field, data: bytes, depth: int) -> None:
    """Decode a field with a length: a string, bytes, a message, an entry of a map, or packed numbers."""
    if field.mode == "%":
        key, value = _entry(field, data, depth)
        out[field.name][key] = value
    elif field.kind in "iu?":
        position = 0
        while position < len(data):
            number, position = _read_varint(data, position)
            _keep(out, field, _number(field.kind, number))
    else:
        _keep(out, field, _value(field, data, depth))


def _keep(out: t.Dict[str, t.Any], field: Field, value: t.Any) -> None:
    if field.mode == "*":
        out[field.name].append(value)
    else:
        out[field.name] = value


def _entry(field: Field, data: bytes, depth: int) -> t.Tuple[str, t.Any]:
    key: str = ""
    value: t.Any = decode(field.type, b"", depth) if field.kind == "m" else _ZERO[field.kind]
    position = 0
    while position < len(data):
        tag, position = _read_varint(data, position)
        length, position = _read_varint(data, position)
        if tag & 7 != _BYTES or position + length > len(data):
            raise Malformed(f"an entry of the map {field.name} is cut off")
        part = data[position : position + length]
        if tag >> 3 == 1:
            key = part.decode("utf-8", "replace")
        elif tag >> 3 == 2:
            value = _value(field, part, depth)
        position += length
    return key, value


def _value(field: Field, data: bytes, depth: int) -> t.Any:
    if field.kind == "m":
        return decode(field.type, data, depth + 1)
    return data.decode("utf-8", "replace") if field.kind == "s" else data


def _number(kind: str, number: int) -> t.Union[int, bool]:
    if kind == "?":
        return number != 0
    return number - (1 << 64) if kind == "i" and number >> 63 else number


def _read_varint(data: bytes, position: int) -> t.Tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise Malformed("a number is cut off")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
