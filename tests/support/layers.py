# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The house rules that a parser can hold: who may import whom, where ansible is known, how long things are."""

from __future__ import annotations

import ast
import pathlib
import re
import sys
import typing as t

# REUSE-IgnoreStart: this is not the licence of this file, although it is the same
HEADER = (
    "# Copyright (c) 2026, fleet.containerd contributors\n"
    "# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)\n"
    "# SPDX-License-Identifier: GPL-3.0-or-later\n"
)
# REUSE-IgnoreEnd
#: What is in module_utils is sent to hosts with each task, so it does without the line that Ansible wants in plugins.
SENT_HEADER = HEADER[: HEADER.index("# GNU")] + HEADER[HEADER.index("# SPDX") :]
_TOOLS = {"errors", "oci", "hostfs"}
_VALUES = {*_TOOLS, "engine"}
_ENGINE = {*_VALUES, "layers", "runtime_spec", "runtime", "engine_host", "libexec"}
#: What each room may import besides itself. engine holds the Protocols and values, which all may know; kernel composes the engines.
ARROWS: t.Dict[str, t.Set[str]] = {
    "errors": set(),
    "oci": {"errors"},
    "hostfs": {"errors"},
    "engine": {"errors", "oci"},
    "rpc": _VALUES,
    "layers": _VALUES,
    "store": _VALUES,
    "runtime_spec": _VALUES,
    "runtime": {*_VALUES, "runtime_spec"},
    "registry": _VALUES,
    "image": {*_VALUES, "layers"},
    "archive": {*_VALUES, "image"},
    "relay": {*_VALUES, "image"},
    "config_toml": _TOOLS,
    "network": _TOOLS,
    "volume": _VALUES,
    "engine_host": _VALUES,
    "libexec": {*_TOOLS, "runtime", "network"},
    "engine_embedded": {*_ENGINE, "store"},
    "engine_containerd": {*_ENGINE, "rpc"},
    "kernel": {*_VALUES, "engine_embedded", "engine_containerd", "engine_host"},
    "resources": {
        *_VALUES,
        "kernel",
        "image",
        "archive",
        "relay",
        "registry",
        "runtime_spec",
        "runtime",
        "network",
        "volume",
        "libexec",
        "config_toml",
        "argument_specs",
    },
    "argument_specs": set(),
    "modules": {"kernel", "resources", "argument_specs"},
    **{one: {"errors", "oci", "image", "archive", "argument_specs", "plugin_utils"} for one in ("action", "lookup")},
    # Their engine is on the controller.
    **{one: {"errors", "kernel", "resources", "plugin_utils"} for one in ("connection", "inventory")},
    "plugin_utils": {"errors", "oci", "argument_specs"},
}
PLUGINS = ("modules", "action", "connection", "inventory", "lookup", "plugin_utils")
ANSIBLE_ROOMS = {"kernel", "resources", *PLUGINS}
LIBRARIES = {"cryptography", "google", "grpc", "isal", "pyroute2", "requests", "tomlkit", "urllib3", "yaml", "zstandard"}
FILE_LINES, FUNCTION_LINES, MODULE_LINES = 450, 60, 45


class Import(t.NamedTuple):
    """One imported module: its dotted name, absolute ("plugins.module_utils.oci.digest" for our own); top: not in a function."""

    name: str
    line: int
    top: bool


def imports(path: pathlib.Path, collection: pathlib.Path) -> t.List[Import]:
    """All imports of a file, those inside functions and under TYPE_CHECKING too."""
    package = path.relative_to(collection).parent.parts
    found: t.List[Import] = []
    tree = ast.parse(path.read_text(), str(path))
    late = {id(node) for function in ast.walk(tree) if isinstance(function, _FUNCTIONS) for node in ast.walk(function)}
    for node in ast.walk(tree):
        top = id(node) not in late
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno, top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level + 1]) if node.level else []
            base += (node.module or "").split(".") if node.module else []
            for alias in node.names:
                below = collection.joinpath(*base, alias.name)
                inner = node.level and (below.with_suffix(".py").exists() or below.is_dir())
                found.append(Import(".".join([*base, alias.name] if inner else base), node.lineno, top))
    return found


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def room_of(name: str) -> str:
    """The room of one of our modules, by its dotted name; empty for others."""
    parts = name.split(".")
    if parts[0] == "plugins" and len(parts) > 1 and parts[1] in PLUGINS:
        return parts[1]
    return parts[2] if parts[:2] == ["plugins", "module_utils"] and len(parts) > 2 else ""


def _dotted(path: pathlib.Path, collection: pathlib.Path) -> str:
    return ".".join(path.relative_to(collection).with_suffix("").parts)


def _import_problems(path: pathlib.Path, collection: pathlib.Path) -> t.Iterator[str]:
    room = room_of(_dotted(path, collection))
    if room not in ARROWS:
        yield f"the room {room} is not in the table of ARROWS"
        return
    for one in imports(path, collection):
        first = one.name.split(".")[0]
        other = room_of(one.name)
        if other and other != room and other not in ARROWS[room]:
            yield f"line {one.line}: {room} must not import {other} ({one.name})"
        elif first == "ansible" and room not in ANSIBLE_ROOMS:
            yield f"line {one.line}: {room} must not know ansible ({one.name})"
        elif first == "yaml" and room == "plugin_utils":
            continue  # ansible-core brings it to every controller
        elif not other and first not in {"ansible", "plugins", *LIBRARIES, *sys.stdlib_module_names}:
            yield f"line {one.line}: {one.name} is neither ours, nor of the standard library, nor a library that we name"
        elif first in LIBRARIES and one.top:
            yield f"line {one.line}: {first} must be imported inside a function, so that those who do not need it need not have it"


def _code_lines(path: pathlib.Path) -> int:
    """Lines of code of a module file: not its documentation, comments and blank lines."""
    text = path.read_text()
    hidden: t.Set[int] = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            hidden.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(1 for number, line in lines if number not in hidden and line.strip() and not line.lstrip().startswith("#"))


def header(path: pathlib.Path, collection: pathlib.Path) -> str:
    return SENT_HEADER if path.is_relative_to(collection / "plugins" / "module_utils") else HEADER


def _form_problems(path: pathlib.Path, collection: pathlib.Path) -> t.Iterator[str]:
    text = path.read_text()
    room = room_of(_dotted(path, collection))
    tree = ast.parse(text)
    if not text.replace("#!/usr/bin/python\n", "", 1).startswith(header(path, collection)):
        yield "does not begin with the licence header: three lines in plugins, two in module_utils"
    if path.name == "utils.py":
        yield "a room that wants a utils.py is the wrong room"
    if re.search(r"\bcheck_mode\b", text) and room not in ("kernel", "modules", "action", "plugin_utils"):
        yield "only the kernel may know check_mode"
    if room == "modules" and _code_lines(path) > MODULE_LINES:
        yield f"has {_code_lines(path)} lines of code; a module is documentation and one call (at most {MODULE_LINES})"
    if len(text.splitlines()) > FILE_LINES and room not in ("modules", "argument_specs") and "enerated by tools/" not in text:
        yield f"has {len(text.splitlines())} lines, and {FILE_LINES} are allowed"
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS) and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES:
            yield f"line {node.lineno}: {node.name} has more than {FUNCTION_LINES} lines"
        if isinstance(node, ast.ExceptHandler) and _blanket(node.type):
            yield f"line {node.lineno}: a blanket except"


def _blanket(kind: t.Optional[ast.expr]) -> bool:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(one is None or (isinstance(one, ast.Name) and one.id in ("Exception", "BaseException")) for one in kinds)


def _syntax_problems(path: pathlib.Path) -> t.Iterator[str]:
    try:
        ast.parse(path.read_text(), feature_version=(3, 9))
    except SyntaxError as error:
        yield f"line {error.lineno}: not Python 3.9: {error.msg}"


def problems(collection: pathlib.Path) -> t.List[str]:
    """Every breach of the house rules in plugins/, one line each."""
    found = []
    for path in sorted([*collection.glob("plugins/**/*.py"), *collection.glob("plugins/**/*.pyi")]):
        lines = list(_syntax_problems(path))
        if not lines and path.relative_to(collection).parts[1] in ("module_utils", *PLUGINS):
            lines += [*_import_problems(path, collection), *_form_problems(path, collection)]
        found += [f"{path.relative_to(collection)}: {line}" for line in lines]
    return found


def closure(paths: t.Iterable[pathlib.Path], collection: pathlib.Path) -> t.Set[str]:
    """The dotted names of these files and of all of ours that they import, directly or not: what ansible-core sends.

    It passes over what is no file, as long as it is not imported at the top of a file: stubs, which only type checkers read.
    """
    pending = [_dotted(path, collection) for path in paths]
    found: t.Set[str] = set()
    while pending:
        name = pending.pop()
        path = collection.joinpath(*name.split(".")).with_suffix(".py")
        if name not in found and path.exists():
            found.add(name)
            pending += [one.name for one in imports(path, collection) if room_of(one.name)]
    return found
