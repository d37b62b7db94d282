# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the text of a changed list: elements that stay keep their line and the comments around it."""

from __future__ import annotations

import re
import typing as t

from .scan import elements
from .values import same, value_text

_BEHIND = re.compile(r"([ \t]*,)?([ \t]*#[^\r\n]*)?")
_OWN_LINE = re.compile(r"\r?\n[ \t]*\Z")


class _Chunk(t.NamedTuple):
    """An element with the text before it, and the comment after it on its line."""

    before: str
    text: str
    behind: str


def array_text(text: str, before: t.Sequence[t.Any], after: t.Sequence[t.Any], literal: bool = False) -> str:
    """The new text of an array whose old text has the value before. literal: write strings in single quotes."""
    spans = elements(text)
    if "\n" not in text or not spans or not after:
        return value_text(list(after), literal)
    chunks: t.List[_Chunk] = []
    begin, comma = 1, True
    for start, end in spans:
        if not comma:
            return value_text(list(after), literal)
        match = t.cast(t.Match[str], _BEHIND.match(text, end))
        comma = match.group(1) is not None
        chunks.append(_Chunk(text[begin:start], text[start:end], match.group(2) or ""))
        begin = match.end()
    line = _OWN_LINE.search(chunks[-1].before)
    new = line.group() if line else chunks[-1].before
    unused = list(zip(before, chunks))
    kept: t.List[_Chunk] = []
    for value in after:
        found = next((index for index, (old, _chunk) in enumerate(unused) if same(old, value)), None)
        kept.append(_Chunk(new, value_text(value, literal), "") if found is None else unused.pop(found)[1])
    return "[" + _joined(kept, comma, new if "\n" in new else "\n") + _closing(text[begin:], kept[-1])


def _joined(chunks: t.Sequence[_Chunk], comma: bool, line: str) -> str:
    """comma: put one after the last element too. line: how a line begins, for an element that would end up in a comment."""
    text = ""
    for number, chunk in enumerate(chunks):
        hidden = number > 0 and chunks[number - 1].behind and "\n" not in chunk.before
        text += (line if hidden else chunk.before) + chunk.text
        text += ("," if comma or number < len(chunks) - 1 else "") + chunk.behind
    return text


def _closing(text: str, last: _Chunk) -> str:
    return "\n" + text.lstrip(" \t") if last.behind and "\n" not in text.partition("]")[0] else text
