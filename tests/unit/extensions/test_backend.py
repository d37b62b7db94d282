# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What testinfra makes of the variables of a host, without a container."""

from __future__ import annotations

import typing as t

import pytest
from testinfra.utils import ansible_runner  # type: ignore[import-untyped]  # has no types

from ansible_collections.fleet.containerd.extensions.testinfra import backend

_OURS = {"ansible_connection": "fleet.containerd.containerd"}


def _backend(**variables: t.Any) -> t.Any:
    """That of a host web with these variables; None when testinfra would run Ansible for each command."""
    inventory = {"all": {"hosts": ["web"]}, "_meta": {"hostvars": {"web": {**_OURS, **variables}}}}
    host = ansible_runner.get_ansible_host(ansible_runner.configparser.ConfigParser(), inventory, "web")
    return host and host.backend


def test_a_host_of_an_inventory_is_a_container() -> None:
    assert isinstance(_backend(), backend.ContainerdBackend)
    assert _backend().get_hostname() == "web"
    assert _backend(ansible_host={"__ansible_unsafe": "other"}).get_hostname() == "other"


@pytest.mark.parametrize(("value", "sudo"), [("no", False), (False, False), ("true", True), (True, True)])
def test_become(value: t.Any, sudo: bool) -> None:
    """In INI files it is text."""
    found = _backend(ansible_become=value, ansible_become_user="postgres")
    assert (found.sudo, found.sudo_user) == (sudo, "postgres")


def test_where_the_engine_is_elsewhere_ansible_runs() -> None:
    assert _backend(ansible_containerd_ssh_host="root@node1.example.com") is None
