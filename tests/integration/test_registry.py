# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_registry and containerd_registry_info through ansible-playbook."""

from __future__ import annotations

import functools
import pathlib

import pytest

from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.stories import registry as stories
from ansible_collections.fleet.containerd.tests.support.stories.registry import MIRRORS, Certs


@pytest.fixture
def certs(tmp_path: pathlib.Path) -> Certs:
    return Certs(tmp_path / "certs.d", ansible.play)


def test_present_change_and_absent(certs: Certs, ca: str) -> None:
    stories.present_change_and_absent(certs, ca)


def test_secrets_show_nowhere(certs: Certs) -> None:
    stories.secrets_show_nowhere(Certs(certs.path, functools.partial(ansible.play, arguments=["-vvv"])))


def test_without_tomlkit(certs: Certs, tmp_path: pathlib.Path) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "tomlkit.py").write_text("raise ImportError('not installed', name='tomlkit')\n")
    environment = {"PYTHONPATH": str(tmp_path / "modules")}
    wanted = certs.registry(mirrors=MIRRORS)
    changed = {**certs.registry(mirrors=MIRRORS[:1]), "ignore_errors": True}
    first, again, other, gone = ansible.play(
        [wanted, wanted, changed, certs.registry(state="absent")], environment=environment
    ).results
    assert (first.changed, again.changed, gone.changed) == (True, False, True)
    assert other.failed
    assert other.msg.startswith(f"the Python library tomlkit is needed to read {certs.file}: install the package python3-tomlkit")


def test_examples(certs: Certs, ca: str, tmp_path: pathlib.Path) -> None:
    replace = {
        "'ca.pem'": f"'{ca}'",
        "/etc/ssl/private-ca.pem": ca,
        "/etc/ssl/node.pem": ca,
        "/etc/ssl/private/node.key": f"{ca}.key",
    }
    tasks = examples_of("containerd_registry", replace)
    played = ansible.play([*tasks[:3], *tasks[:3], tasks[3], tasks[3]], defaults={"registry_config_dir": str(certs.path)})
    assert [one.changed for one in played.results] == [True] * 3 + [False] * 3 + [True, False]
    assert sorted(path.name for path in certs.path.iterdir()) == ["_default", "registry.example.com_5443_"]
    shown = ansible.play(examples_of("containerd_registry_info"), defaults={"registry_config_dir": str(certs.path)})
    first, second = (one.value("registries") for one in shown.results)
    assert [one["url"] for one in first[0]["hosts"]] == ["http://mirror.example.com:5000", "https://registry-1.docker.io"]
    assert [one["registry"] for one in second] == ["docker.io", "registry.example.com:5443"]
