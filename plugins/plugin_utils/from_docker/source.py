# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a YAML file, where its nodes stand in it, and edits of it. What no edit names stays as it is, byte by byte."""

from __future__ import annotations

import re
import typing as t

import yaml

#: A value that only a run knows: a template, or a tag such as !vault.
UNKNOWN: t.Any = object()
_ALIAS = re.compile(r"\s*:\s*(\*[^\s,\]}]+)")
#: What may stand before a value: an anchor, a tag.
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")
_MERGE = "tag:yaml.org,2002:merge"


class Span(t.NamedTuple):
    """A part of the text: from start, up to and without end."""

    start: int
    end: int


class Pair(t.NamedTuple):
    """A key of a mapping, and where it and its value stand. shared: the value stands elsewhere (an alias)."""

    name: str
    key: yaml.ScalarNode
    value: yaml.Node
    span: Span
    shared: bool


class Source:
    """A file, and what is to be changed in it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.documents: t.List[yaml.Node] = [node for node in yaml.compose_all(text, yaml.SafeLoader) if node is not None]
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self._edits: t.Dict[Span, str] = {}

    def line(self, at: int) -> int:
        """The number of a line, from 1."""
        return self.text.count("\n", 0, at) + 1

    def line_start(self, at: int) -> int:
        return self.text.rfind("\n", 0, at) + 1

    def line_end(self, at: int) -> int:
        """Where the next line begins."""
        found = self.text.find("\n", at)
        return len(self.text) if found < 0 else found + 1

    def replace(self, span: Span, new: str) -> bool:
        """Whether the edit could be noted: a text that is used twice (an anchor) can only become one thing."""
        over = any(one.start < span.end and span.start < one.end for one in self._edits if one != span)
        if over or self._edits.get(span, new) != new:
            return False
        self._edits[span] = new
        return True

    def insert(self, at: int, new: str) -> None:
        self._edits[Span(at, at)] = self._edits.get(Span(at, at), "") + new

    @property
    def edited(self) -> bool:
        return bool(self._edits)

    def moved(self, at: int) -> int:
        """The number of a line in the result."""
        lines = self.text.count("\n", 0, at) + 1
        before = [(span, new) for span, new in self._edits.items() if span.end <= at]
        return lines + sum(new.count("\n") - self.text.count("\n", *span) for span, new in before)

    def result(self) -> str:
        found, at = [], 0
        for span in sorted(self._edits):
            found += [self.text[at : span.start], self._edits[span]]
            at = span.end
        return "".join([*found, self.text[at:]])

    def pairs(self, node: yaml.Node) -> t.List[Pair]:
        """The keys of a mapping, with << where others are merged into it."""
        found = []
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode):
                start, after = key.start_mark.index, key.end_mark.index
                shared = value.start_mark.index < after
                alias = _ALIAS.match(self.text, after) if shared else None
                end = alias.end() if alias else self.end_of(value)
                found.append(Pair(key.value, key, value, Span(start, max(after, end)), shared))
        return found

    def merged(self, node: yaml.Node) -> t.List[yaml.Node]:
        """The mapping, and those that its keys << merge into it."""
        found = [node]
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.tag == _MERGE:
                others = value.value if isinstance(value, yaml.SequenceNode) else [value]
                found += [more for one in others for more in self.merged(one)]
        return found

    def end_of(self, node: yaml.Node) -> int:
        """Where the last character of a node stands. The marks of block collections are at what follows, after comments."""
        if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
            last = node.value[-1]
            key, value = last if isinstance(last, tuple) else (None, last)
            before = key.end_mark.index if key else node.start_mark.index
            if value.start_mark.index >= before:
                return self.end_of(value)
            return self._end_of_alias(before if key else self._end_of_all_but_last(node), node)
        return len(self.text[: node.end_mark.index].rstrip())

    def content(self, node: yaml.ScalarNode) -> Span:
        """Where a scalar stands, without its anchor and tag; with its quotes."""
        end, found = self.end_of(node), _PROPERTIES.match(self.text, node.start_mark.index)
        return Span(min(found.end() if found else end, end), end)

    def _end_of_all_but_last(self, node: yaml.CollectionNode) -> int:
        return self.end_of(node.value[-2]) if len(node.value) > 1 else node.start_mark.index

    def _end_of_alias(self, after: int, node: yaml.Node) -> int:
        found = re.compile(r"\*[^\s,\]}]+").search(self.text, after, node.end_mark.index)
        return found.end() if found else after


def value_of(node: yaml.Node) -> t.Any:
    """The value of a node; UNKNOWN if only a run knows it."""
    try:
        value = yaml.constructor.SafeConstructor().construct_object(node, deep=True)
    except yaml.YAMLError:
        return UNKNOWN
    return known(value)


def known(value: t.Any) -> t.Any:
    return UNKNOWN if isinstance(value, str) and ("{{" in value or "{%" in value) else value
