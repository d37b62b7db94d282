# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that a daemon reads (the main file and its imports), and what they mean together.

Rules of LoadConfig of containerd 1.6, 1.7 and 2.1: the main file, then its imports in the order in which they are listed, patterns in
lexical order, breadth first, each file once; later files win.
"""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import os
import stat
import typing as t

from ..errors import FailedPrecondition, InvalidArgument, from_os_error, printable
from ..hostfs.atomic import read_file
from .reading import parse
from .values import Keys, Tree, copy, get, member

#: Sections whose entries a later file replaces completely, in every version.
REPLACED = ("proxy_plugins", "stream_processors", "timeouts")
_LIMIT = 4 * 1024 * 1024
_NEW = 0o644


class File(t.NamedTuple):
    """A file of the host. name: as the daemon gets it; path: with links resolved; text: None when the file is missing.

    changed: st_ctime in seconds, since no tool can set that back.
    """

    name: str
    path: str
    text: t.Optional[str] = None
    mode: int = _NEW
    owner: t.Optional[t.Tuple[int, int]] = None
    changed: float = 0.0


class ConfigText(t.NamedTuple):
    """One file that the daemon reads, or would read: its tree, and the time of its last change."""

    name: str
    text: str
    tree: Tree
    changed: float


def read(name: str) -> File:
    """Read a file by its absolute name. InvalidArgument when it is not a text file; other errors as the host gives them."""
    path = os.path.realpath(name)
    shown = printable(name, 200)
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return File(name, path)
    except OSError as error:
        raise from_os_error(error, f"reading {shown}") from error
    if not stat.S_ISREG(found.st_mode):
        raise InvalidArgument(f"{shown} is not a regular file")
    data = read_file(path, _LIMIT + 1)
    if data is None:
        return File(name, path)
    if len(data) > _LIMIT:
        raise FailedPrecondition(f"{shown} is larger than {_LIMIT} bytes: this is not a configuration of containerd")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FailedPrecondition(f"{shown} is not valid TOML: byte {error.start} is not UTF-8") from None
    return File(name, path, text, stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid), found.st_ctime)


def patterns(tree: t.Mapping[str, t.Any]) -> t.List[str]:
    """The import patterns of a file, as written."""
    imports = tree.get("imports")
    return [os.path.normpath(one) for one in imports if isinstance(one, str) and one] if isinstance(imports, list) else []


def matches(pattern: str, name: str, parent: str) -> bool:
    """True when an import pattern of the file parent matches the file name."""
    full = os.path.join(os.path.dirname(parent), pattern)
    if "*" not in full:
        return full == name
    return fnmatch.fnmatchcase(os.path.basename(name), os.path.basename(full)) and fnmatch.fnmatchcase(
        os.path.dirname(name), os.path.dirname(full)
    )


class Files:
    """The main file and its imports. relative_patterns: False for containerd 1.6, which resolves them in its working directory."""

    def __init__(self, main: str, relative_patterns: bool = True) -> None:
        self.main = read(main)
        self._relative = relative_patterns
        self._read: t.Dict[str, File] = {main: self.main}

    def file(self, name: str) -> File:
        if name not in self._read:
            self._read[name] = read(name)
        return self._read[name]

    def sources(self, texts: t.Optional[t.Mapping[str, t.Optional[str]]] = None) -> t.List[ConfigText]:
        """The files in the order in which they are read. texts: by name, the new text of a file; None for a file to be removed."""
        after = texts or {}
        found: t.List[ConfigText] = []
        pending, seen = [self.main.name], set()
        while pending:
            name = pending.pop(0)
            if name in seen:
                continue
            seen.add(name)
            file = self.file(name)
            text = after.get(name, file.text)
            if text is None:
                continue
            tree = parse(text, printable(name, 200))
            found.append(ConfigText(name, text, tree, file.changed))
            pending += self.imports(name, tree, after)
        return found

    def imports(self, parent: str, tree: t.Mapping[str, t.Any], texts: t.Mapping[str, t.Optional[str]]) -> t.List[str]:
        """The names of the files that a file imports; missing ones too if they are named without a pattern."""
        found: t.List[str] = []
        for pattern in patterns(tree):
            full = os.path.join(os.path.dirname(parent), pattern)
            if "*" not in full:
                found.append(full)
            elif self._relative or os.path.isabs(pattern):
                here = {os.path.join(base, one) for base in glob.glob(os.path.dirname(full)) for one in _names(base)}
                here = {name for name in here if texts.get(name, "") is not None}
                here.update(name for name, text in texts.items() if text is not None)
                found += sorted(name for name in here if matches(pattern, name, parent))
        return found

    def directories(self, sources: t.Iterable[ConfigText]) -> t.Dict[str, float]:
        """The directories of the patterns, with the time of their last change."""
        found = {}
        for source in sources:
            for pattern in patterns(source.tree):
                full = os.path.join(os.path.dirname(source.name), pattern)
                for base in glob.glob(os.path.dirname(full)) if "*" in full else ():
                    with contextlib.suppress(OSError):
                        found[base] = os.stat(base).st_mtime
        return found


def _names(directory: str) -> t.List[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def effective(sources: t.Sequence[ConfigText], replaces_plugins: bool) -> Tree:
    """What the files mean together. replaces_plugins: containerd 1.x, where a later file replaces the complete table of a plugin.

    In the server's own sections a later 0, "" or false does not override, and lists are joined.
    """
    result: Tree = {}
    for source in sources:
        for section, value in copy(source.tree).items():
            old = result.get(section)
            if section == "plugins" and isinstance(value, dict) and isinstance(old, dict):
                _merge_plugins(old, value, replaces_plugins)
            elif section in REPLACED and isinstance(value, dict) and isinstance(old, dict):
                old.update(value)
            else:
                _merge(result, section, value)
    return result


def _merge_plugins(old: Tree, new: Tree, replaces: bool) -> None:
    for name, value in new.items():
        if replaces or not isinstance(value, dict) or not isinstance(old.get(name), dict):
            old[name] = value
        else:
            _merge_plugins(old[name], value, False)


def _merge(tree: Tree, key: str, value: t.Any) -> None:
    old = tree.get(key)
    if isinstance(value, dict) and isinstance(old, dict):
        for name, item in value.items():
            _merge(old, name, item)
    elif isinstance(value, list) and isinstance(old, list):
        old += [item for item in value if not member(item, old)]
    elif value or key not in tree:
        tree[key] = value


def unit(path: Keys, replaces_plugins: bool) -> Keys:
    """The table that a later file replaces completely when it has this key; () when it is merged key by key."""
    if (path[0] in REPLACED and len(path) > 2) or (replaces_plugins and path[0] == "plugins" and len(path) > 2):
        return path[:2]
    return ()


def overriding(sources: t.Sequence[ConfigText], name: str, path: Keys, replaces_plugins: bool) -> t.List[str]:
    """The files read after name that have the key, or replace the key's table."""
    later = [source.name for source in sources]
    later = later[later.index(name) + 1 :] if name in later else []
    top = unit(path, replaces_plugins) or path
    return [source.name for source in sources if source.name in later and get(source.tree, top) is not None]
