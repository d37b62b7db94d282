# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find mistakes in a configuration that some versions of containerd report only at the restart, or never.

containerd 1.x ignores unknown keys silently. 1.6 starts with an unknown version. 2.x accepts a missing import and then does not
start. A registry section that contradicts itself makes the CRI plugin fail at the start.
"""

from __future__ import annotations

import os
import re
import typing as t

from .files import REPLACED, ConfigText, effective, patterns
from .migrate import unmoved, version_of
from .names import CRI, IMAGES, NEWEST, RUNTIME, spell
from .values import Keys, Tree, describe, dotted, get, leaves

_KINDS: t.Dict[str, t.Type[t.Any]] = {
    **dict.fromkeys(("root", "state", "temp", "plugin_dir"), str),
    **dict.fromkeys(("version", "oom_score"), int),
    **dict.fromkeys(("disabled_plugins", "required_plugins", "imports"), list),
    **dict.fromkeys(("grpc", "ttrpc", "debug", "metrics", "cgroup", "plugins", *REPLACED), dict),
}
_DURATION = re.compile(r"[+-]?(?:0|(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)")


class Daemon(t.NamedTuple):
    """What is known of the containerd that will read it. newest: the newest version of the file that it reads; default: its tree."""

    known: bool
    replaces_plugins: bool
    newest: int = NEWEST
    default: t.Optional[Tree] = None


def problems(sources: t.Sequence[ConfigText], daemon: Daemon) -> t.List[str]:
    """The reasons not to write the configuration. sources: its files, the main one first."""
    found: t.List[str] = []
    for source in sources:
        found += [f"{source.name}: {reason}" for reason in _of_file(source, daemon)]
        present = {other.name for other in sources}
        for one in patterns(source.tree):
            name = os.path.join(os.path.dirname(source.name), one)
            if "*" not in name and name not in present:
                found.append(f"{source.name}: imports: {name} is missing, and containerd does not start without it")
    if not found:
        found += _of_registry(effective(sources, daemon.replaces_plugins))
    return found


def _of_file(source: ConfigText, daemon: Daemon) -> t.Iterator[str]:
    version = version_of(source.tree)
    if version < 1 or version > NEWEST:
        yield f"version: {source.tree['version']!r} is not one of 1 to {NEWEST}"
        return
    if version > daemon.newest:
        yield f"version: the installed containerd reads versions up to {daemon.newest}, and this is {version}"
    for key, value in source.tree.items():
        kind = _KINDS.get(key)
        if kind and (not isinstance(value, kind) or isinstance(value, bool)):
            yield f"{key}: {describe(value)} stands where {describe(kind())} must be"
    for key, value in _items(source.tree, "plugins"):
        if not isinstance(value, dict):
            yield f"{dotted(('plugins', key))}: {describe(value)} stands where a table must be"
        elif version > 1 and "." not in key:
            yield f"{dotted(('plugins', key))}: version {version} names plugins in full, such as {CRI}"
    for key in ("disabled_plugins", "required_plugins"):
        for plugin in source.tree[key] if isinstance(source.tree.get(key), list) else ():
            if version > 1 and "." not in str(plugin):
                yield f"{key}: {plugin!r}: version {version} names plugins in full, such as {CRI}"
    for key, value in _items(source.tree, "timeouts"):
        if not isinstance(value, str) or not _DURATION.fullmatch(value):
            yield f"{dotted(('timeouts', key))}: {value!r} is not a duration such as 5s or 1m30s"


def _items(tree: Tree, section: str) -> t.Iterable[t.Tuple[str, t.Any]]:
    value = tree.get(section)
    return value.items() if isinstance(value, dict) else ()


def _of_registry(tree: Tree) -> t.Iterator[str]:
    for plugin in (CRI, IMAGES):
        registry = get(tree, ("plugins", plugin, "registry"), {})
        if not isinstance(registry, dict) or not registry.get("config_path"):
            continue
        inline: t.List[Keys] = [("mirrors",)] if registry.get("mirrors") else []
        configs = registry.get("configs")
        for host, config in configs.items() if isinstance(configs, dict) else ():
            if isinstance(config, dict) and config.get("tls"):
                inline.append(("configs", host, "tls"))
        for path in inline:
            yield (
                f"{dotted(('plugins', plugin, 'registry', *path))} cannot be used together with config_path, the CRI plugin fails with "
                "both: set migrate_mirrors=true to move it to hosts.toml files, or remove it"
            )
    cni = get(tree, ("plugins", RUNTIME, "cni"), {})
    if isinstance(cni, dict) and cni.get("bin_dir") and cni.get("bin_dirs"):
        yield f"{dotted(('plugins', RUNTIME, 'cni'))}: bin_dir and bin_dirs cannot be set at the same time: remove bin_dir"


def hints(sources: t.Sequence[ConfigText], daemon: Daemon) -> t.List[str]:
    """The settings that a daemon accepts, but that are probably mistakes."""
    found: t.List[str] = []
    main = version_of(sources[0].tree)
    for source in sources:
        version = version_of(source.tree) if "version" in source.tree else main
        if version != main:
            found.append(f"{source.name} has version {version}, and {sources[0].name} version {main}: write both in one version")
        if version == 2 and not daemon.replaces_plugins:
            continue  # containerd 2 reads the names of version 3 there too
        for path, _value in leaves(source.tree):
            spelled = spell(path, version)
            if spelled and spelled != path:
                found.append(
                    f"{source.name}: {dotted(path)} has no meaning in a file of version {version}: its name there is {dotted(spelled)}"
                )
    return found


def lost(path: Keys, tree: Tree) -> str:
    """Why containerd 2 loses a key when it migrates an older file in memory; "" when it keeps the key."""
    version = version_of(tree)
    if version == 1 and spell(path, 2) != spell(path, 3):
        return "containerd 2 renames the plugins of a version 1 file, but does not move their keys"
    if version == 2 and unmoved(tree, path):
        return "containerd 2 moves this key of a version 2 file only when there are runtimes in the table"
    return ""


def unknown(sources: t.Sequence[ConfigText], default: Tree) -> t.List[str]:
    """The keys that are missing in the output of "config default", for a containerd that does not report them (1.x)."""
    found: t.Dict[str, None] = {}
    for source in sources:
        for path, _value in leaves(source.tree):
            size = _known(default, spell(path, 2) or path)
            if size:
                found[dotted(path[:size])] = None
    return list(found)


def _known(default: Tree, path: Keys) -> int:
    """The number of keys of the path up to the first unknown one; 0 when all are known.

    A table that is empty by default accepts any key, and so do the options of a runtime. A new runtime has the keys of runc.
    """
    table: t.Any = default
    for index, key in enumerate(path):
        above = path[index - 1] if index else ""
        if not isinstance(table, dict) or (index and not table) or above == "options" or path[0] in REPLACED:
            return 0
        if above == "runtimes" and key not in table:
            key = "runc"
        if key not in table:
            return index + 1
        table = table[key]
    return 0
