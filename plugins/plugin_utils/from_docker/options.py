# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a module as they stand in a file: as keys of a mapping, or as words name=value."""

from __future__ import annotations

import re
import typing as t

import yaml

from .source import Pair, Source, Span, known, value_of

_JINJA = r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}"
_WORD = re.compile(rf"""(?:{_JINJA}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\S)+""", re.DOTALL)
#: A colon, and the anchor and the tag of what comes after it.
_AFTER_COLON = re.compile(r":(?: +[&!]\S+)*")
_ASSIGNED = re.compile(r"([A-Za-z_]\w*)=(.*)\Z", re.DOTALL)


class Given:
    """An option that is given. at: its place in the text."""

    name: str
    value: t.Any
    at: int

    def rename(self, new: str) -> bool:
        """These return whether the change could be noted."""
        raise NotImplementedError

    def set(self, new: str) -> bool:
        """Give it another value."""
        raise NotImplementedError

    def open(self) -> bool:
        """Put the one option in its value in its place."""
        return False

    def suboptions(self) -> t.List[t.Tuple[str, int]]:
        """The names in its value, if that is a dictionary or a list of them, and their places."""
        return []


class Options(t.Protocol):
    given: t.Sequence[Given]

    def add(self, name: str, value: str) -> bool: ...

    def remove(self, gone: t.Sequence[Given]) -> bool: ...


def _quoted(node: yaml.ScalarNode, new: str) -> str:
    quote = node.style if node.style in ("'", '"') else ""
    return f"{quote}{new}{quote}"


class _Key(Given):
    def __init__(self, source: Source, pair: Pair, mapping: yaml.MappingNode) -> None:
        self.name, self.value, self.at = pair.name, value_of(pair.value), pair.span.start
        self.pair, self.mapping, self._source = pair, mapping, source

    def rename(self, new: str) -> bool:
        key = self.pair.key
        return self._source.replace(Span(key.start_mark.index, key.end_mark.index), _quoted(key, new))

    def set(self, new: str) -> bool:
        node = self.pair.value
        if self.pair.shared or not isinstance(node, yaml.ScalarNode):
            return False
        return self._source.replace(self._source.content(node), _quoted(node, new))

    def open(self) -> bool:
        inner = self._source.pairs(self.pair.value)
        if self.pair.shared or len(inner) != 1:
            return False
        span, one = self.pair.span, inner[0].span
        return self._source.replace(Span(span.start, one.start), "") and (
            span.end == one.end or self._source.replace(Span(one.end, span.end), "")
        )

    def suboptions(self) -> t.List[t.Tuple[str, int]]:
        value = self.pair.value
        nodes = value.value if isinstance(value, yaml.SequenceNode) else [value]
        merged = [more for node in nodes for more in self._source.merged(node)]
        return [(pair.name, pair.span.start) for node in merged for pair in self._source.pairs(node) if pair.name != "<<"]


class Keys:
    """The options in mappings, one of which may be merged into another. after: where its parent's colon stands."""

    def __init__(self, source: Source, nodes: t.Sequence[yaml.Node], after: int) -> None:
        self._source, self._after = source, after
        self._all = [
            _Key(source, pair, one)
            for node in nodes
            for one in source.merged(node)
            if isinstance(one, yaml.MappingNode)
            for pair in source.pairs(one)
        ]
        self.given: t.Sequence[Given] = [one for one in self._all if one.name not in ("module", "<<")]

    def add(self, name: str, value: str) -> bool:
        """After the name, or else after the first option of the mapping."""
        own = [one for one in self._all if one.mapping is self._all[0].mapping] if self._all else []
        if not own:
            return False
        place = next((one for one in own if one.name == "name"), own[0])
        if place.mapping.flow_style:
            self._source.insert(place.pair.span.end, f", {name}: {value}")
            return True
        column = " " * place.pair.key.start_mark.column
        at = self._source.line_end(place.pair.span.end)
        last = not self._source.text[:at].endswith("\n")
        line = f"{column}{name}: {value}"
        self._source.insert(at, self._source.newline + line if last else line + self._source.newline)
        return True

    def remove(self, gone: t.Sequence[Given]) -> bool:
        mappings = {id(one.mapping): one.mapping for one in self._all if one in gone}
        return all(self._remove_from(mapping, gone) for mapping in mappings.values())

    def _remove_from(self, mapping: yaml.MappingNode, gone: t.Sequence[Given]) -> bool:
        own = [one for one in self._all if one.mapping is mapping]
        if all(one in gone for one in own) and not mapping.flow_style:
            after = _AFTER_COLON.search(self._source.text, self._after)
            self._source.insert(after.end() if after else self._after, " {}")
        done, number = [], 0
        while number < len(own):
            run = number
            while run < len(own) and own[run] in gone:
                run += 1
            if run > number:
                done.append(self._remove_run(own, number, run, bool(mapping.flow_style)))
            number = run + 1
        return all(done)

    def _remove_run(self, own: t.Sequence[_Key], first: int, end: int, flow: bool) -> bool:
        """Remove the options from first up to end, which follow each other."""
        source, spans = self._source, [one.pair.span for one in own]
        start, stop = spans[first].start, spans[end - 1].end
        if not flow and not source.text[source.line_start(start) : start].strip():
            return all(
                source.replace(Span(source.line_start(one.start), source.line_end(one.end)), "") for one in spans[first:end]
            )
        if end < len(own):
            return source.replace(Span(start, spans[end].start), "")
        return source.replace(Span(spans[first - 1].end if first else start, stop), "")


class _Word(Given):
    def __init__(self, source: Source, span: Span, name: str, value: str) -> None:
        self.name, self.value, self.at = name, known(value.strip("\"'")), span.start
        self.span, self._source = span, source

    def rename(self, new: str) -> bool:
        return self._source.replace(Span(self.span.start, self.span.start + len(self.name)), new)

    def set(self, new: str) -> bool:
        return self._source.replace(Span(self.span.start + len(self.name) + 1, self.span.end), new)


class Words:
    """The options in a scalar. first: the word before them, if they follow a module's name."""

    def __init__(self, source: Source, node: yaml.ScalarNode, named: bool) -> None:
        self._source = source
        start, end = self._whole = source.content(node)
        if node.style in ("'", '"'):
            start, end = start + 1, end - 1
        elif node.style in ("|", ">"):
            start = source.line_end(start)
        words = [Span(*one.span()) for one in _WORD.finditer(source.text, start, end)]
        self.first = words.pop(0) if named and words else Span(start, start)
        self._end = words[-1].end if words else self.first.end
        self._words = []
        for span in words:
            found = _ASSIGNED.match(source.text[span.start : span.end])
            if found:
                self._words.append(_Word(source, span, found[1], found[2]))
        self.given: t.Sequence[Given] = self._words

    def add(self, name: str, value: str) -> bool:
        self._source.insert(self._end, f" {name}={value}")
        return True

    def remove(self, gone: t.Sequence[Given]) -> bool:
        """Each with the space before it; the first ones of a scalar with that behind them."""
        if len(gone) == len(self._words) and self.first.start == self.first.end:
            return self._source.replace(self._whole, "{}")
        done, before = [], self.first.end
        for number, one in enumerate(self._words):
            if one in gone and before == self.first.start:
                done.append(self._source.replace(Span(one.span.start, self._words[number + 1].span.start), ""))
                continue
            if one in gone:
                done.append(self._source.replace(Span(before, one.span.end), ""))
            before = one.span.end
        return all(done)
