# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program of ours with everything that it imports, for a file of its own (install.py: put)."""

from __future__ import annotations

import importlib.util
import re
import typing as t

from ..errors import EngineError

_IMPORT = re.compile(r"^ *from (\.+)([\w.]*) import (\([^)]*\)|[^\n#]*)", re.MULTILINE)


def closure(module: str) -> t.Iterator[t.Tuple[str, str]]:
    """The paths (without ending) and texts of a module in a room of a room, and of what it imports, below the package fleet, and of the
    packages. ansible-core has sent all that, if the caller imports the module.
    """
    root = module.rsplit(".", 3)[0]
    pending, texts = [module], {}
    while pending:
        name = pending.pop()
        if name in texts:
            continue
        source = _source(name)
        if source is not None:
            texts[name] = source
            pending += _imported(name, source)
    packages = {"fleet"}
    for name in sorted(texts):
        path = "fleet/" + name[len(root) + 1 :].replace(".", "/")
        yield path, texts[name]
        parts = path.split("/")[:-1]
        packages.update("/".join(parts[: number + 1]) for number in range(len(parts)))
    for package in sorted(packages):
        yield f"{package}/__init__", ""


def _imported(name: str, source: str) -> t.Iterator[str]:
    """The full names of what may be modules of ours."""
    for dots, module, names in _IMPORT.findall(source):
        base = ".".join([*name.split(".")[: -len(dots)], *([module] if module else [])])
        yield base
        yield from (f"{base}.{word}" for word in re.findall(r"(\w+)(?: as \w+)?", names))


def _source(name: str) -> t.Optional[str]:
    """The text of a module; None for what is none: a package, a stub, a name in a module."""
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        # What should have the module is no package.
        return None
    if spec is None or spec.submodule_search_locations is not None or spec.loader is None:
        return None
    loader: t.Any = spec.loader
    try:
        source: t.Optional[str] = loader.get_source(name)
    except ImportError as error:
        raise EngineError(f"the source of {name} cannot be read: {error.__cause__ or error}") from error
    return source
