# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the tree of a TOML text, even if the installed tomlkit reads only a part of it.

tomlkit 0.11 (Debian 12) loses a table whose header comes before the header of its parent table, which is valid TOML.
"""

from __future__ import annotations

import re
import typing as t

from ..errors import FailedPrecondition, MissingLibrary
from .scan import ARRAY, BLANK, COMMENT, PAIR, Piece, Unreadable, split
from .values import Keys, Tree, copy, get, put

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NOTHING = object()
#: Texts that were read before: parsing takes 10 ms, and a task reads the same few texts again.
_known: t.Dict[str, t.Tuple[Tree, t.List[Piece]]] = {}
_MOST_KNOWN = 64


def parse(text: str, name: str) -> Tree:
    """The tree of a text. name: the text's name in errors. Raises FailedPrecondition, MissingLibrary."""
    return read(text, name)[0]


def read(text: str, name: str) -> t.Tuple[Tree, t.List[Piece]]:
    """The tree and the pieces of a text. Raises FailedPrecondition, MissingLibrary."""
    if text not in _known:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[text] = _read(text, name)
    tree, pieces = _known[text]
    return copy(tree), list(pieces)


def _read(text: str, name: str) -> t.Tuple[Tree, t.List[Piece]]:
    tree = _parse(text, name)
    try:
        pieces = split(text)
    except Unreadable as error:
        line = text.count("\n", 0, error.position) + 1
        raise FailedPrecondition(f"{name} is written in a way that cannot be edited, in line {line}") from None
    for piece in pieces:
        if piece.kind in (BLANK, COMMENT) or get(tree, piece.path, _NOTHING) is not _NOTHING:
            continue
        if piece.kind == ARRAY or not all(isinstance(key, str) for key in piece.path):
            raise FailedPrecondition(
                f"{name} is written in a way that the installed tomlkit cannot read: put its tables in order"
            )
        value = _parse(f"value = {piece.value_text}", name)["value"] if piece.kind == PAIR else {}
        put(tree, t.cast(Keys, piece.path), value)
    return tree, pieces


def _parse(text: str, name: str) -> Tree:
    try:
        import tomlkit
        from tomlkit.exceptions import TOMLKitError
    except ImportError as error:
        raise MissingLibrary("tomlkit", "to read containerd's configuration", "python3-tomlkit", "tomlkit") from error
    try:
        return tomlkit.parse(text).unwrap()
    except (TOMLKitError, ValueError, RecursionError) as error:
        # The library's own message may quote the text, which may contain secrets.
        line, column = getattr(error, "line", 0), getattr(error, "col", 0)
        kind = _CAMEL.sub(" ", type(error).__name__.replace("Error", "")).lower()
        place = f"line {line}, column {column}: " if line else ""
        raise FailedPrecondition(f"{name} is not valid TOML: {place}{kind}") from None
