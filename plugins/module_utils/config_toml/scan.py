# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Split a TOML text into its statements. The pieces, joined, are the text.

TOML 1.0 has one statement on a line (a value may take several lines), so a text consists of complete lines: blank, comment,
table header, key with value. Values are not read here. A TOML library has parsed the text before, so it is valid.
"""

from __future__ import annotations

import re
import typing as t

from ..errors import InvalidArgument, printable

#: Keys from the root; an int counts the elements of an array of tables.
Path = t.Tuple[t.Union[str, int], ...]
Span = t.Tuple[int, int]

BLANK, COMMENT, TABLE, ARRAY, PAIR = "blank", "comment", "table", "array", "pair"

_BASIC = r'"(?:[^"\\\r\n]|\\.)*"'
_LITERAL = r"'[^'\r\n]*'"
_PART = rf"(?:[A-Za-z0-9_-]+|{_BASIC}|{_LITERAL})"
_KEY = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*")
_ONE_PART = re.compile(_PART)
_SPACE = re.compile(r"[ \t]*")
_FREE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_REST = re.compile(r"[ \t]*(?:#[^\r\n]*)?(?:\r?\n|\Z)")
_STRINGS = re.compile(rf'"""(?:[^"\\]|\\.|"(?!""))*"{{3,5}}|\'\'\'(?:[^\']|\'(?!\'\'))*\'{{3,5}}|{_BASIC}|{_LITERAL}', re.DOTALL)
_PLAIN = re.compile(r"[^\s,\]}#=]+(?: \d\d:[^\s,\]}#]+)?")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))", re.DOTALL)
_SHORT = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b", '"': '"', "\\": "\\"}


class Piece(t.NamedTuple):
    """One or more whole lines, with their newline.

    path: that of a header's table, or of a pair's key. table: the path of the header above a pair. key and value: their
    places in text.
    """

    text: str
    kind: str
    path: Path = ()
    table: Path = ()
    key: Span = (0, 0)
    value: Span = (0, 0)

    @property
    def value_text(self) -> str:
        return self.text[self.value[0] : self.value[1]]

    @property
    def indent(self) -> str:
        return self.text[: len(self.text) - len(self.text.lstrip(" \t"))]


class Unreadable(ValueError):
    """The text is not TOML that this file can split. position: an offset in it."""

    def __init__(self, position: int) -> None:
        super().__init__(f"unreadable at offset {position}")
        self.position = position


def _unescape(match: t.Match[str]) -> str:
    code = match.group(1) or match.group(2)
    return chr(int(code, 16)) if code else _SHORT.get(match.group(3), match.group(0))


def _part(text: str) -> str:
    if text.startswith('"'):
        return _ESCAPE.sub(_unescape, text[1:-1])
    return text[1:-1] if text.startswith("'") else text


def split_key(text: str) -> t.Tuple[str, ...]:
    """The parts of a dotted key such as plugins."a.b".c."""
    return tuple(_part(match.group()) for match in _ONE_PART.finditer(text))


def parse_path(value: t.Any, option: str) -> t.Tuple[str, ...]:
    """Parse a key in an option: a dotted key as in TOML, or the list of its parts. Raises InvalidArgument."""
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(part, str) for part in value):
            return check_name(tuple(value), option, value)
        raise InvalidArgument(f"{option}: {printable(value, 200)} must be a list of strings, which are the parts of one key")
    text = str(value).strip()
    if not isinstance(value, str) or not _KEY.fullmatch(text):
        raise InvalidArgument(
            f'{option}: {printable(value, 200)!r} is not a dotted key such as grpc.address or plugins."io.containerd.grpc.v1.cri"'
        )
    return check_name(split_key(text), option, text)


def check_name(path: t.Tuple[str, ...], option: str, value: t.Any) -> t.Tuple[str, ...]:
    """Returns the path. Raises InvalidArgument when the dots in an unquoted plugin's name have split the name."""
    if path[:3] == ("plugins", "io", "containerd"):
        raise InvalidArgument(
            f'{option}: {printable(value, 200)}: quote the plugin\'s name, as in plugins."io.containerd.grpc.v1.cri".registry'
        )
    return path


def _value_end(text: str, position: int) -> int:
    """The end of the value that begins at position."""
    first = text[position : position + 1]
    if first in ("[", "{"):
        return _enclosed(text, position, first)[1]
    match = (_STRINGS if first in ('"', "'") else _PLAIN).match(text, position)
    if not match or match.end() == position:
        raise Unreadable(position)
    return match.end()


def _enclosed(text: str, position: int, first: str) -> t.Tuple[t.List[Span], int]:
    """The spans of the elements of an array (of the values of a table), and its end."""
    close = "]" if first == "[" else "}"
    spans: t.List[Span] = []
    position += 1
    while True:
        position = _after(_FREE, text, position)
        if text.startswith(close, position):
            return spans, position + 1
        if first == "{":
            position = _after(_FREE, text, _after(_KEY, text, position))
            if not text.startswith("=", position):
                raise Unreadable(position)
            position = _after(_FREE, text, position + 1)
        end = _value_end(text, position)
        spans.append((position, end))
        position = _after(_FREE, text, end)
        if text.startswith(",", position):
            position += 1
        elif not text.startswith(close, position):
            raise Unreadable(position)


def elements(text: str) -> t.List[Span]:
    """The spans of the elements of an array in its text."""
    return _enclosed(text, 0, "[")[0]


def _after(pattern: t.Pattern[str], text: str, position: int) -> int:
    match = pattern.match(text, position)
    if not match:
        raise Unreadable(position)
    return match.end()


class _Tables:
    """Resolves the keys of headers to paths, and counts the elements of arrays of tables."""

    def __init__(self) -> None:
        self._counts: t.Dict[Path, int] = {}

    def resolve(self, keys: t.Sequence[str], new_element: bool) -> Path:
        path: Path = ()
        for key in keys[:-1]:
            path = self._into(path + (key,))
        path += (keys[-1],)
        if new_element:
            self._counts[path] = self._counts.get(path, 0) + 1
        return self._into(path)

    def _into(self, path: Path) -> Path:
        return path + (self._counts[path] - 1,) if path in self._counts else path


def split(text: str) -> t.List[Piece]:
    """The pieces of a text. Raises Unreadable when it is not valid TOML."""
    pieces: t.List[Piece] = []
    tables = _Tables()
    table: Path = ()
    position = 0
    while position < len(text):
        start = position
        position = _after(_SPACE, text, position)
        first = text[position : position + 1]
        if first in ("", "#", "\r", "\n"):
            position = _after(_REST, text, position)
            pieces.append(Piece(text[start:position], COMMENT if first == "#" else BLANK))
        elif first == "[":
            kind = ARRAY if text.startswith("[[", position) else TABLE
            begin = _after(_SPACE, text, position + (2 if kind == ARRAY else 1))
            end = _after(_KEY, text, begin)
            close = _after(_SPACE, text, end)
            if not text.startswith("]]" if kind == ARRAY else "]", close):
                raise Unreadable(close)
            position = _after(_REST, text, close + (2 if kind == ARRAY else 1))
            table = tables.resolve(split_key(text[begin:end]), kind == ARRAY)
            pieces.append(Piece(text[start:position], kind, table, table, (begin - start, end - start)))
        else:
            end = _after(_KEY, text, position)
            equals = _after(_SPACE, text, end)
            if not text.startswith("=", equals):
                raise Unreadable(equals)
            value = _after(_SPACE, text, equals + 1)
            value_end = _value_end(text, value)
            path = table + split_key(text[position:end])
            place = (position - start, end - start)
            position = _after(_REST, text, value_end)
            pieces.append(Piece(text[start:position], PAIR, path, table, place, (value - start, value_end - start)))
    return pieces
