# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory with containerd's configuration, and playbooks that change it for one release of containerd."""

from __future__ import annotations

import pathlib
import typing as t

import toml

from . import ansible, configs, trees
from .containerds import binaries
from .direct import Direct
from .modules import Modules

_MODULE = "fleet.containerd.containerd_config"


class Etc:
    """base/etc/config.toml, for a containerd of a version ("": none is installed)."""

    def __init__(self, base: pathlib.Path, modules: t.Union[Modules, Direct], version: str = "") -> None:
        self.directory, self.version, self._modules = base / "etc", version, modules
        self.directory.mkdir()
        self.path = self.directory / "config.toml"
        self.binary = str(binaries(version) / "containerd") if version else str(base / "no-containerd")
        self.defaults: t.Dict[str, t.Any] = {"path": str(self.path), "containerd_binary": self.binary}

    @property
    def text(self) -> str:
        return self.path.read_bytes().decode()

    def write(self, text: str, name: str = "config.toml") -> pathlib.Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    def read(self, name: str = "config.toml") -> configs.Tree:
        """The reader that the module does not use."""
        return toml.loads((self.directory / name).read_bytes().decode())

    def dump(self) -> configs.Tree:
        """What the installed containerd makes of the files together."""
        return configs.dump(self.version, str(self.path))[0]

    @property
    def readers(self) -> t.List[t.Callable[[], configs.Tree]]:
        """All who can be asked for what the main file says."""
        return [self.read, self.dump] if self.version else [self.read]

    def play(self, *tasks: ansible.Task, **how: t.Any) -> ansible.Play:
        """The paths stand in each task: a default that is not taken would mean this machine's own configuration."""
        return ansible.play([self._here(task) for task in tasks], **how)

    def _here(self, task: ansible.Task) -> ansible.Task:
        options = task.get(_MODULE)
        return task if options is None else {**task, _MODULE: {**self.defaults, **options}}

    def run(self, **options: t.Any) -> ansible.TaskResult:
        """The module in check mode first, which touches nothing and says the same, then for real, and again without a change."""
        before = trees.snapshot(self.directory)
        predicted = self._result(_ansible_check_mode=True, **options)
        trees.assert_same(before, trees.snapshot(self.directory), names=("before check mode", "after it"))
        real, again = self._result(**options), self._result(**options)
        for one in (predicted, real, again):
            assert not one.failed, one.result
        assert predicted.actions == real.actions
        assert real.changed == predicted.changed == bool(real.actions)
        for key in ("diff", "warnings", "restart_required", "validated", "unknown_keys"):
            assert predicted.get(key) == real.get(key), key
        assert again.actions == []
        assert not again.changed
        return real

    def one(self, **options: t.Any) -> ansible.TaskResult:
        """The module once; it must not fail."""
        result = self._result(**options)
        assert not result.failed, result.result
        return result

    def fails(self, **options: t.Any) -> str:
        """The message of a module that fails with one clear line, in check mode and without, and changes nothing."""
        before = trees.snapshot(self.directory)
        checked, real = self._result(_ansible_check_mode=True, **options), self._result(**options)
        trees.assert_same(before, trees.snapshot(self.directory), names=("before the task", "after it"))
        assert checked.failed, checked.result
        assert real.failed, real.result
        assert checked.msg == real.msg
        assert "\n" not in real.msg
        return real.msg

    def _result(self, **options: t.Any) -> ansible.TaskResult:
        kind = "config" if isinstance(self._modules, Direct) else "containerd_config"
        result = self._modules.result(kind, **{**self.defaults, "_ansible_diff": True, **options})
        if result.get("warnings"):
            # Without the controller they are what ansible-core sends to it.
            result["warnings"] = [one if isinstance(one, str) else one["event"]["msg"] for one in result["warnings"]]
        return ansible.TaskResult("containerd_config", "failed" if result.get("failed") else "ok", result)


def config(**options: t.Any) -> ansible.Task:
    return {"name": "containerd_config", _MODULE: options}


def plugins(*path: str, **values: t.Any) -> t.Dict[str, t.Any]:
    """The nested dictionaries for one table of a plugin."""
    found: t.Dict[str, t.Any] = values
    for key in reversed(path):
        found = {key: found}
    return found
