# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plugin of pytest: pytest-testinfra tests containers, as hosts containerd://[USER@]NAME[?namespace=NAMESPACE] and as hosts of an
inventory that are reached by the connection plugin. Use it with pytest -p, or in conftest.py as pytest_plugins.

The engine is that of the inventory. Otherwise it is that of the environment variables that the connection plugin reads, too.
"""

from __future__ import annotations

import os
import typing as t

import testinfra.backend
import testinfra.host
from ansible.module_utils.parsing.convert_bool import boolean
from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.utils import ansible_runner

from ...plugins.module_utils.kernel.engines import EngineOptions
from ...plugins.module_utils.resources.container.entry import As
from ...plugins.module_utils.resources.container.session import Session

_CONNECTION = "fleet.containerd.containerd"
_PREFIX = "ansible_containerd_"
#: With these the engine is elsewhere, and testinfra runs Ansible for each command.
_AFAR = ("ssh_host", "command_prefix")
_VARIABLES = {
    "engine": "ANSIBLE_CONTAINERD_ENGINE",
    "address": "CONTAINERD_ADDRESS",
    "namespace": "CONTAINERD_NAMESPACE",
    "data_root": "ANSIBLE_CONTAINERD_DATA_ROOT",
    "state_root": "ANSIBLE_CONTAINERD_STATE_ROOT",
}


class ContainerdBackend(BaseBackend):
    """Commands run in a container, by its shell. engine: options of the engine that are not those of the environment."""

    NAME = "containerd"

    def __init__(self, name: str, *args: t.Any, engine: t.Optional[t.Mapping[str, str]] = None, **kwargs: t.Any) -> None:
        self.name, user = self.parse_containerspec(name)
        found = {option: os.environ[variable] for option, variable in _VARIABLES.items() if variable in os.environ}
        if kwargs.get("namespace"):
            found["namespace"] = kwargs["namespace"]
        self._session = Session(EngineOptions(**{**found, **(engine or {})}), self.name, As(user or ""))
        super().__init__(self.name, *args, **kwargs)

    def run(self, command: str, *args: str, **kwargs: t.Any) -> CommandResult:
        text = self.get_command(command, *args)
        said = _Said()
        status = self._session.run(["/bin/sh", "-c", text], said)
        return self.result(status, self.encode(text), said.streams["stdout"], said.streams["stderr"])


class _Said:
    """What a command says. It gets no input."""

    patience: t.Optional[float] = None

    def __init__(self) -> None:
        self.streams = {"stdout": b"", "stderr": b""}

    def begin(self, talk: t.Any) -> None:
        talk.finish()

    def receive(self, name: str, data: bytes) -> None:
        self.streams[name] += data

    def late(self) -> None:
        """Never: it may take its time."""


def _host_of(variables: t.Mapping[str, t.Any], name: str) -> t.Any:
    """A host of an inventory that the connection plugin reaches."""
    found = {key: _text(value) for key, value in variables.items()}
    reached = found.get(f"{_PREFIX}container") or found.get("ansible_host") or name
    user = found.get(f"{_PREFIX}user") or found.get("ansible_user")
    engine = {option: found[_PREFIX + option] for option in _VARIABLES if found.get(_PREFIX + option)}
    become = {"sudo": boolean(found.get("ansible_become") or False), "sudo_user": found.get("ansible_become_user")}
    return testinfra.host.Host(ContainerdBackend(f"{user}@{reached}" if user else str(reached), engine=engine, **become))


def _text(value: t.Any) -> t.Any:
    """ansible-inventory marks text that is no template."""
    return value["__ansible_unsafe"] if isinstance(value, dict) and "__ansible_unsafe" in value else value


def _register() -> None:
    testinfra.backend.BACKENDS[ContainerdBackend.NAME] = f"{__name__}.{ContainerdBackend.__name__}"
    others = ansible_runner.get_ansible_host

    def get_ansible_host(config: t.Any, inventory: t.Any, host: str, *more: t.Any, **how: t.Any) -> t.Any:
        variables = (inventory.get("_meta", {}).get("hostvars") or {}).get(host, {})
        if variables.get("ansible_connection") == _CONNECTION and not any(variables.get(_PREFIX + one) for one in _AFAR):
            return _host_of(variables, host)
        return others(config, inventory, host, *more, **how)

    ansible_runner.get_ansible_host = get_ansible_host


_register()
