# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules run out of the library that a target keeps, so that ansible-core need not pack and send them (docs/adr/0055)."""

from __future__ import annotations

import fcntl
import hashlib
import os
import typing as t
import zipfile

from ansible import constants as C
from ansible.plugins.action.normal import ActionModule as NormalAction

LIBRARY = "containerd_library"
#: What containerd_library answers when the target has no library, and can keep one.
ABSENT = "absent"
_LOCAL_TMP: str = C.DEFAULT_LOCAL_TMP  # type: ignore[attr-defined]  # ansible-core makes its constants at run time
_PLUGINS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
#: The variable that turns it off.
_VARIABLE = "fleet_containerd_library"
_INSIDE = "ansible_collections/fleet/containerd/plugins"
_DATE = (1980, 1, 1, 0, 0, 0)


class WithLibrary(NormalAction):
    """The default action of a module. All action plugins of the collection that run modules are made from it."""

    def _execute_module(self, module_name: t.Any = None, module_args: t.Any = None, *more: t.Any, **how: t.Any) -> t.Any:
        name = str(module_name or self._task.action).rpartition(".")[2]
        if name != LIBRARY and not how.get("wrap_async") and self._keeps_library(how.get("task_vars") or {}):
            arguments = self._task.args if module_args is None else module_args
            result = self._from_library(name, arguments, how.get("task_vars"))
            if "missing_library" not in result:
                return result
        return super()._execute_module(module_name, module_args, *more, **how)

    def _keeps_library(self, variables: t.Mapping[str, t.Any]) -> bool:
        """Only root keeps one. By ssh nobody knows who the user is, when that is not said."""
        if self._task.async_val or not _is_true(variables.get(_VARIABLE, True)):
            return False
        if self._play_context.become:
            return self._play_context.become_user in (None, "root")
        if self._connection.transport == "local":
            return os.geteuid() == 0
        return self._play_context.remote_user in (None, "", "root")

    def _from_library(self, module: str, arguments: t.Mapping[str, t.Any], task_vars: t.Any) -> t.Dict[str, t.Any]:
        """The result of a module, or that of containerd_library, if the target keeps no library."""
        request = {"module": module, "arguments": dict(arguments)}
        result = self.ask_library(request, task_vars)
        if result.get("missing_library") == ABSENT and not self._task.check_mode:
            result = self.ask_library({**request, "file": self.send_library()}, task_vars)
        return result

    def ask_library(self, request: t.Mapping[str, t.Any], task_vars: t.Any) -> t.Dict[str, t.Any]:
        """The result of containerd_library."""
        _path, digest = library()
        return dict(
            super()._execute_module(
                module_name=f"fleet.containerd.{LIBRARY}", module_args={**request, "digest": digest}, task_vars=task_vars
            )
        )

    def send_library(self) -> str:
        """Send the library into the directory of the task. Returns its path there."""
        shell = self._connection._shell
        if shell.tmpdir is None:
            self._make_tmp_path()
        remote = str(shell.join_path(shell.tmpdir, "library.zip"))
        transfer: t.Any = self._transfer_file
        transfer(library()[0], remote)
        return remote


def _is_true(value: t.Any) -> bool:
    from ansible.module_utils.parsing import convert_bool

    untyped: t.Any = convert_bool
    return bool(untyped.boolean(value))


def library() -> t.Tuple[str, str]:
    """The file of the library, and its SHA-256. The first task of a run of Ansible makes it, beside its other temporary files."""
    path = os.path.join(_LOCAL_TMP, "fleet-containerd-library.zip")
    with open(f"{path}.sha256", "a+") as noted:
        fcntl.flock(noted, fcntl.LOCK_EX)
        noted.seek(0)
        digest = noted.read()
        if not digest:
            digest = _build(path)
            noted.write(digest)
    return path, digest


def _build(path: str) -> str:
    """Write the zip file. The same sources give the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for room in ("modules", "module_utils"):
            for base, folders, files in os.walk(os.path.join(_PLUGINS, room)):
                folders.sort()
                # zipimport knows no packages without that file.
                for name in sorted({"__init__.py", *(one for one in files if one.endswith(".py"))}):
                    source = b""
                    if name in files:
                        with open(os.path.join(base, name), "rb") as stream:
                            source = stream.read()
                    inside = os.path.join(_INSIDE, os.path.relpath(base, _PLUGINS), name)
                    archive.writestr(zipfile.ZipInfo(inside, _DATE), source, zipfile.ZIP_DEFLATED)
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()
