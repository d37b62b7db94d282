# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read untrusted JSON documents: sizes are limited, and the type of every field is checked."""

from __future__ import annotations

import json
import typing as t

from ..errors import InvalidArgument, printable

MANIFEST_LIMIT = 4 * 1024 * 1024
_DEPTH_LIMIT = 64


def _refuse_constant(name: str) -> t.Any:
    raise ValueError(f"{name} is not JSON")


def _integer(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _pairs(pairs: t.List[t.Tuple[str, t.Any]]) -> t.Dict[str, t.Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("an object has the same key twice")
    return out


def _check_depth(data: bytes) -> None:
    depth = 0
    in_string = escaped = False
    for byte in data:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in (0x7B, 0x5B):
            depth += 1
            if depth > _DEPTH_LIMIT:
                raise ValueError(f"nested deeper than {_DEPTH_LIMIT}")
        elif byte in (0x7D, 0x5D):
            depth -= 1


def load_object(data: bytes, what: str, limit: int = MANIFEST_LIMIT) -> t.Dict[str, t.Any]:
    """Parse one JSON object of at most limit bytes; raise InvalidArgument naming what otherwise."""
    if len(data) > limit:
        raise InvalidArgument(f"{what} is larger than {limit} bytes")
    try:
        if data.count(b"[") + data.count(b"{") > _DEPTH_LIMIT:
            _check_depth(data)
        found = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant, parse_int=_integer, object_pairs_hook=_pairs)
        if b"\\u" in data:
            # Half of a surrogate pair cannot be encoded as UTF-8 later.
            json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{what} is not valid JSON: {printable(error, 160)}") from error
    if not isinstance(found, dict):
        raise InvalidArgument(f"{what} is not a JSON object")
    return found


_MISSING = object()


class Reader:
    """Typed access to one JSON object; what names it in errors. Absent and null are the same."""

    __slots__ = ("_data", "_what")

    def __init__(self, data: object, what: str) -> None:
        if not isinstance(data, dict):
            raise InvalidArgument(f"{what} is not an object")
        self._data, self._what = data, what

    def has(self, key: str) -> bool:
        return self._data.get(key) is not None

    def raw(self) -> t.Dict[str, t.Any]:
        """The object itself."""
        return self._data

    def _get(self, key: str, kind: t.Any, words: str, default: t.Any) -> t.Any:
        value = self._data.get(key)
        if value is None:
            if default is _MISSING:
                raise InvalidArgument(f"{self._what} has no {key}")
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InvalidArgument(f"{key} of {self._what} is not {words}: {printable(value, 80)!r}")
        return value

    def text(self, key: str, default: t.Any = _MISSING) -> str:
        value: str = self._get(key, str, "a string", default)
        if "\x00" in value:
            raise InvalidArgument(f"{key} of {self._what} holds a NUL character")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        return bool(self._get(key, bool, "true or false", default))

    def size(self, key: str, default: t.Any = _MISSING) -> int:
        value: int = self._get(key, int, "an integer", default)
        if not 0 <= value < 2**63:
            raise InvalidArgument(f"{key} of {self._what} is out of range: {value}")
        return value

    def texts(self, key: str) -> t.Tuple[str, ...]:
        """A list of strings; empty when absent."""
        values = self._get(key, list, "a list", [])
        if not all(isinstance(v, str) and "\x00" not in v for v in values):
            raise InvalidArgument(f"{key} of {self._what} is not a list of strings")
        return tuple(values)

    def text_map(self, key: str) -> t.Dict[str, str]:
        """A map of strings; empty when absent."""
        values = self._get(key, dict, "an object", {})
        if not all(isinstance(v, str) and "\x00" not in v and "\x00" not in k for k, v in values.items()):
            raise InvalidArgument(f"{key} of {self._what} is not a map of strings")
        return dict(values)

    def keys(self, key: str) -> t.Tuple[str, ...]:
        """The keys of an object that is a set ({"8080/tcp": {}}); empty when absent."""
        return tuple(self._get(key, dict, "an object", {}))

    def items(self, key: str, default: t.Any = _MISSING) -> t.List[t.Any]:
        values: t.List[t.Any] = self._get(key, list, "a list", default)
        return values

    def child(self, key: str) -> Reader:
        """The object below key; an empty one when absent."""
        return Reader(self._get(key, dict, "an object", {}), f"{key} of {self._what}")
