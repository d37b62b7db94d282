# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The library: all code of the collection in a zip file that a target keeps, so that tasks need not send it (docs/adr/0055)."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import stat
import sys
import typing as t

from . import bytecode

_PACKAGE = __name__.rpartition(".module_utils.")[0]
#: Why a library is missing: this host can keep one; or it cannot, since the task is not root's, or nothing can be written there.
ABSENT, IMPOSSIBLE = "absent", "impossible"
_sent: t.Optional[bytes] = None


def run(spec: t.Mapping[str, t.Any]) -> None:
    """Run the module that the task names, out of the library. Without a library, say that it is missing, and do nothing else.

    spec: of the options, which action plugins of the collection give.
    """
    basic = _basic()
    sent = json.loads(basic._ANSIBLE_ARGS or b"{}").get("ANSIBLE_MODULE_ARGS", {})
    if not sent.get("module"):
        _only_keep(basic.AnsibleModule(**spec, supports_check_mode=True))
    module, digest, arguments, file = (sent.pop(key, None) for key in ("module", "digest", "arguments", "file"))
    if not re.fullmatch(r"containerd_[a-z_]+", module):
        raise ValueError(f"module: {module!r:.80} is none of this collection")
    path, missing = _find(digest, file)
    if not missing:
        bytecode.cache = bytecode.Cache(path)
        if bytecode.cache.is_empty and not _has(path, digest):
            # A disk has damaged it. Whether one has is not asked where some of it is compiled already.
            os.unlink(path)
            missing = ABSENT
    if missing:
        sys.stdout.write(json.dumps({"changed": False, "missing_library": missing}))
        raise SystemExit(0)
    global _sent
    _sent = basic._ANSIBLE_ARGS
    sent["_ansible_module_name"] = f"fleet.containerd.{module}"
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, **sent}}).encode()
    _load(path, module).main()


def _only_keep(task: t.Any) -> None:
    """End a task that runs no other module."""
    digest, file = task.params["digest"], task.params["file"]
    before, after = _find(digest)[1], _find(digest, file)[1]
    task.exit_json(changed=before != after, missing_library=after)


def respawn() -> t.Any:
    """ansible-core's module of that name, which runs the task's module again: that gets the arguments as they were sent."""
    # Here, so that ansible-core sends it.
    from ansible.module_utils.common import respawn

    if _sent is not None:
        _basic()._ANSIBLE_ARGS = _sent
    return respawn


def _basic() -> t.Any:
    from ansible.module_utils import basic

    return basic


def _find(digest: str, file: t.Optional[str] = None) -> t.Tuple[str, str]:
    """The path of the library with this SHA-256, and why it is not there: ABSENT, IMPOSSIBLE or nothing. file: it was sent, keep it."""
    if not re.fullmatch(r"[0-9a-f]{64}", str(digest)):
        raise ValueError(f"digest: {digest!r:.80} is no SHA-256: only action plugins of the collection know it")
    directory = bytecode.DIRECTORY
    path = os.path.join(directory, f"{digest}.zip")
    if _is_kept(path):
        return path, ""
    there = directory if os.path.isdir(directory) else os.path.dirname(directory)
    if os.geteuid() != 0 or not os.access(there, os.W_OK):
        return path, IMPOSSIBLE
    if not file:
        return path, ABSENT
    from .bytecode_file import keep

    with open(file, "rb") as stream:
        data = stream.read()
    if hashlib.sha256(data).hexdigest() == digest:
        keep(path, data)
    return path, "" if _is_kept(path) else IMPOSSIBLE


def _is_kept(path: str) -> bool:
    """Whether it is there, and nobody else than root can have written it."""
    try:
        found = [os.lstat(one) for one in (os.path.dirname(path), path)]
    except OSError:
        return False
    safe = all(one.st_uid == 0 and not one.st_mode & 0o022 for one in found)
    return safe and os.geteuid() == 0 and stat.S_ISREG(found[1].st_mode)


def _has(path: str, digest: str) -> bool:
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest() == digest


def _load(path: str, module: str) -> t.Any:
    """Import a module of the library. What has been imported so far came with the task; the rest of its packages is in the library."""
    importlib.import_module(f"{_PACKAGE}.modules")
    for name, package in list(sys.modules.items()):
        if name.startswith(f"{_PACKAGE}.") and hasattr(package, "__path__"):
            t.cast(t.List[str], package.__path__).insert(0, os.path.join(path, *name.split(".")))
    return importlib.import_module(f"{_PACKAGE}.modules.{module}")
