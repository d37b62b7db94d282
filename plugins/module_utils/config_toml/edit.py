# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Edit a TOML text by splices: everything else keeps every byte.

Each change is made twice, in the tree and in the text, by code that has nothing in common. finish() parses the text and
compares it with the tree. So a text that this file cannot edit correctly gives an error, never a wrong file.
"""

from __future__ import annotations

import typing as t

from ..errors import FailedPrecondition
from .arrays import array_text
from .reading import parse, read
from .scan import ARRAY, BLANK, COMMENT, PAIR, TABLE, Path, Piece, split
from .values import Keys, dotted, drop, get, key_text, leaves, put, same, value_text, without_empty

_NOTHING = object()
_NEST = "  "


def _below(path: Path, top: Path) -> bool:
    return path[: len(top)] == top


def _plain(path: Path) -> bool:
    """Whether a path is not in an array of tables."""
    return all(isinstance(key, str) for key in path)


class Document:
    """A TOML text and its tree. A path has the keys from the root to a value or a table."""

    def __init__(self, text: str, name: str) -> None:
        """name: the text's name in errors. Raises FailedPrecondition for invalid TOML."""
        self.name = name
        self.tree, self._pieces = read(text, name)
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._literal = text.count("'") > text.count('"')
        headers = self._headers()
        self._nested = any(self._pieces[index].indent for index in headers)
        self._spaced = not headers or any(index and self._pieces[index - 1].kind == BLANK for index in headers)

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self._pieces)

    def finish(self) -> str:
        """The text, after a check that it means the same as the tree. FailedPrecondition when it does not."""
        text = self.text
        found = parse(text, self.name)
        empty = [path for path, value in leaves(self.tree) if value == {}]
        if not same(without_empty(found), without_empty(self.tree)) or any(get(found, path) != {} for path in empty):
            raise FailedPrecondition(f"{self.name} is written in a way that cannot be edited safely: nothing was changed")
        return text

    # Changes

    def set(self, path: Keys, value: t.Any) -> None:
        """Set a key to a value. An empty table makes that table; other tables are not allowed."""
        old = get(self.tree, path, _NOTHING)
        if (value == {} and isinstance(old, dict)) or same(old, value):
            return
        put(self.tree, path, value)
        host = self._host(path)
        if host is None:
            if isinstance(old, list):
                self._cut([index for index in self._headers() if _below(self._pieces[index].path, path)])
            self._insert(path, value)
            return
        piece = self._pieces[host]
        literal = self._literal or piece.value_text.startswith("'")
        if piece.path != path:
            text = value_text(get(self.tree, t.cast(Keys, piece.path)), literal)
        elif isinstance(old, list) and isinstance(value, list):
            text = array_text(piece.value_text, old, value, literal)
        else:
            text = value_text(value, literal)
        self._replace(host, piece.text[: piece.value[0]] + text + piece.text[piece.value[1] :])

    def remove(self, path: Keys) -> None:
        """Remove a key, or a table with everything in it. A table header goes with the last key below it."""
        drop(self.tree, path)
        host = self._host(path)
        if host is not None and self._pieces[host].path != path:
            top = t.cast(Keys, self._pieces[host].path)
            if get(self.tree, top) is None:
                self._cut([host])
            else:
                piece, text = self._pieces[host], value_text(get(self.tree, top), self._literal)
                self._replace(host, piece.text[: piece.value[0]] + text + piece.text[piece.value[1] :])
            return
        self._cut([index for index, piece in enumerate(self._pieces) if piece.path and _below(piece.path, path)])

    def move(self, old: Keys, new: Keys) -> None:
        """Move a key with its written value and the comments right above it. In the same table it keeps its place."""
        put(self.tree, new, drop(self.tree, old))
        index = next(index for index, piece in enumerate(self._pieces) if piece.kind == PAIR and piece.path == old)
        piece, above = self._pieces[index], index
        if old[:-1] == new[:-1]:
            begin, end = piece.key
            name = dotted(new[len(piece.table) :], self._literal)
            self._replace(index, piece.text[:begin] + name + piece.text[end:])
            return
        while above and self._pieces[above - 1].kind == COMMENT:
            above -= 1
        lead = [comment.text.lstrip(" \t") for comment in self._pieces[above:index]]
        del self._pieces[above:index]
        self._cut([above])
        self._insert(new, None, lead, piece.text[piece.value[0] :])

    def mark(self, path: Keys, comment: str) -> None:
        """Set the comment on the line of a key ("" removes it). A key without its own line gets none."""
        host = self._host(path)
        if host is not None and self._pieces[host].path == path:
            piece = self._pieces[host]
            self._replace(host, piece.text[: piece.value[1]] + (f" {comment}" if comment else "") + self._newline)

    def marked(self, comment: str) -> t.List[Keys]:
        """The keys with exactly this comment on their line."""
        pieces = [piece for piece in self._pieces if piece.kind == PAIR and _plain(piece.path)]
        return [t.cast(Keys, piece.path) for piece in pieces if piece.text[piece.value[1] :].strip() == comment]

    def rename(self, old: Keys, new: Keys) -> None:
        """Rename the table with the header old, with the keys below that header. Tables below it keep their names."""
        pairs = [t.cast(Keys, piece.path) for piece in self._pieces if piece.kind == PAIR and piece.table == old]
        for path in pairs:
            put(self.tree, new + path[len(old) :], drop(self.tree, path))
        if not pairs and get(self.tree, old) == {}:
            put(self.tree, new, drop(self.tree, old))
        index = next(index for index in self._headers() if self._pieces[index].path == old)
        begin, end = self._pieces[index].key
        text = self._pieces[index].text
        self._replace(index, text[:begin] + dotted(new, self._literal) + text[end:])

    def defined(self, path: Keys) -> bool:
        """True when a table has its own header, or is made by dotted keys or as an inline table."""
        return any(self._pieces[index].path == path for index in self._headers()) or any(
            piece.kind == PAIR and len(piece.table) < len(path) and (_below(piece.path, path) or _below(path, piece.path))
            for piece in self._pieces
        )

    def headers(self) -> t.List[Keys]:
        """The tables with a header, in order, without arrays of tables and their content."""
        return [t.cast(Keys, piece.path) for piece in self._pieces if piece.kind == TABLE and _plain(piece.path)]

    def pairs(self) -> t.List[t.Tuple[Keys, Keys]]:
        """The keys as written (an inline table is one key), each with the table of the header above it."""
        found = [(piece.path, piece.table) for piece in self._pieces if piece.kind == PAIR and _plain(piece.path)]
        return t.cast(t.List[t.Tuple[Keys, Keys]], found)

    def arrays(self) -> t.List[Keys]:
        """The outermost arrays of tables."""
        paths = {t.cast(Keys, piece.path[:-1]): None for piece in self._pieces if piece.kind == ARRAY and _plain(piece.path[:-1])}
        return list(paths)

    # The text

    def _load(self, text: str) -> None:
        self._pieces = split(text)

    def _headers(self) -> t.List[int]:
        return [index for index, piece in enumerate(self._pieces) if piece.kind in (TABLE, ARRAY)]

    def _host(self, path: Keys) -> t.Optional[int]:
        """The pair of this path, or the one whose inline table has it."""
        pairs = (index for index, piece in enumerate(self._pieces) if piece.kind == PAIR and _below(path, piece.path))
        return next(pairs, None)

    def _replace(self, index: int, text: str) -> None:
        self._splice(index, index + 1, text)

    def _splice(self, start: int, end: int, text: str) -> None:
        texts = [piece.text for piece in self._pieces]
        if text and start and not texts[start - 1].endswith("\n"):
            texts[start - 1] += self._newline
        self._load("".join([*texts[:start], text, *texts[end:]]))

    def _block_end(self, start: int) -> int:
        """The index of the next header after the piece at start."""
        return next((index for index in self._headers() if index > start), len(self._pieces))

    def _content_end(self, start: int) -> int:
        """The index after the last statement of the block at start (-1: the root) and the comments right below it.

        Comments right above the next header belong to that header.
        """
        end = self._block_end(start)
        statements = [index for index in range(max(start, 0), end) if self._pieces[index].kind not in (BLANK, COMMENT)]
        last = statements[-1] + 1 if statements else max(start, 0)
        tail = last
        while tail < end and self._pieces[tail].kind == COMMENT:
            tail += 1
        return last if tail == end < len(self._pieces) else tail

    def _cut(self, indexes: t.Sequence[int]) -> None:
        """Remove pieces: a pair, or a header with its block. Then remove the headers above that have become empty."""
        gone = set(indexes)
        for index in indexes:
            if self._pieces[index].kind in (TABLE, ARRAY):
                gone.update(range(index, self._content_end(index)))
        for index in self._headers():
            content = range(index + 1, self._content_end(index))
            if self._pieces[index].kind == TABLE and gone.intersection(content) and gone.issuperset(content):
                gone.add(index)
        kept: t.List[Piece] = []
        joint = False
        for index, piece in enumerate(self._pieces):
            if index in gone:
                joint = joint or piece.kind in (TABLE, ARRAY)
                continue
            if joint and piece.kind == BLANK and kept and kept[-1].kind == BLANK:
                kept.pop()
            kept.append(piece)
            joint = False
        if joint and kept and kept[-1].kind == BLANK:
            kept.pop()
        self._load("".join(piece.text for piece in kept))

    def _insert(self, path: Keys, value: t.Any, lead: t.Sequence[str] = (), written: str = "") -> None:
        """Insert a new key. written: its value and the rest of its line; lead: the lines above it."""
        tables = isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
        if value == {} or tables:
            self._insert_header(path, "".join(self._element(path, item) for item in value) if tables else "")
            return
        written = written or value_text(value, self._literal) + self._newline
        written += "" if written.endswith("\n") else self._newline
        place = self._home(path[:-1])
        if place is None:
            indent = self._header_indent(path[:-1]) + self._pair_step()
            lines = [*lead, f"{key_text(path[-1], self._literal)} = {written}"]
            self._insert_header(path[:-1], "".join(indent + line for line in lines))
            return
        index, table, indent = place
        lines = [*lead, f"{dotted(path[len(table) :], self._literal)} = {written}"]
        text = "".join(indent + line for line in lines)
        if not table and index < len(self._pieces) and self._pieces[index].kind != PAIR and not self._has_root():
            text += "" if self._pieces[index].kind == BLANK else self._newline
        self._splice(index, index, text)

    def _has_root(self) -> bool:
        return any(piece.kind == PAIR and not piece.table for piece in self._pieces)

    def _home(self, table: Keys) -> t.Optional[t.Tuple[int, Path, str]]:
        """The place for a new key of a table: index, path of the header above it, indent. None: the table needs a header."""
        if not table:
            return self._end_of_pairs(-1), (), ""
        for index in self._headers():
            if self._pieces[index].path == table:
                pairs = [piece for piece in self._pieces[index : self._block_end(index)] if piece.kind == PAIR]
                indent = pairs[-1].indent if pairs else self._pieces[index].indent + self._pair_step()
                return self._end_of_pairs(index), table, indent
        for size in range(len(table), 0, -1):
            top = table[:size]
            if size < len(table) and any(_below(self._pieces[index].path, top) for index in self._headers()):
                return None
            defined = [
                index
                for index, piece in enumerate(self._pieces)
                if piece.kind == PAIR and len(piece.table) < size < len(piece.path) and _below(piece.path, top)
            ]
            if defined:
                piece = self._pieces[defined[-1]]
                return defined[-1] + 1, piece.table, piece.indent
        return None

    def _end_of_pairs(self, start: int) -> int:
        pairs = [index for index in range(max(start, 0), self._block_end(start)) if self._pieces[index].kind == PAIR]
        if pairs:
            return pairs[-1] + 1
        return self._content_end(-1) if start < 0 else start + 1

    def _pair_step(self) -> str:
        """How far keys are indented relative to their header."""
        for index in self._headers():
            following = self._pieces[index + 1 : index + 2]
            if following and following[0].kind == PAIR:
                return following[0].indent[len(self._pieces[index].indent) :]
        return _NEST

    def _header_indent(self, path: Path) -> str:
        headers = [self._pieces[index] for index in self._headers()]
        siblings = [piece for piece in headers if piece.path[:-1] == path[:-1]]
        if siblings:
            return siblings[-1].indent
        above = [piece for piece in headers if _below(path, piece.path)]
        if above:
            top = max(above, key=lambda piece: len(piece.path))
            return top.indent + _NEST * (len(path) - len(top.path)) if self._nested else top.indent
        below = [piece for piece in headers if _below(piece.path, path)]
        if below:
            return below[0].indent[: -len(_NEST) * (len(below[0].path) - len(path)) or None]
        return ""

    def _element(self, path: Keys, item: t.Mapping[str, t.Any]) -> str:
        """An element of an array of tables."""
        indent = self._header_indent(path)
        inner = indent + self._pair_step()
        lines = [f"{indent}[[{dotted(path, self._literal)}]]"]
        lines += [f"{inner}{key_text(key, self._literal)} = {value_text(value, self._literal)}" for key, value in item.items()]
        return "".join(line + self._newline for line in lines)

    def _insert_header(self, path: Keys, body: str) -> None:
        """Insert a table that has no header yet. For an array of tables body has the headers."""
        index = self._place_of_header(path)
        text = body if body.lstrip().startswith("[[") else ""
        text = text or f"{self._header_indent(path)}[{dotted(path, self._literal)}]{self._newline}{body}"
        following = self._pieces[index].kind if index < len(self._pieces) else ""
        if index and self._pieces[index - 1].kind == BLANK:
            text += self._newline if following not in ("", BLANK) else ""
        elif index and (following == BLANK or (not following and self._spaced)):
            text = self._newline + text
        self._splice(index, index, text)

    def _place_of_header(self, path: Keys) -> int:
        headers = self._headers()
        below = [index for index in headers if _below(self._pieces[index].path, path)]
        if below:
            index = below[0]
            while index and self._pieces[index - 1].kind == COMMENT:
                index -= 1
            return index
        for size in range(len(path) - 1, 0, -1):
            family = [index for index in headers if _below(self._pieces[index].path, path[:size])]
            if family:
                return self._content_end(family[-1])
        return len(self._pieces)
