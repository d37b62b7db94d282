# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide for those who come from Docker: its playbook is rewritten as it says, and serves a page on both engines."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

import pytest
import yaml

from ansible_collections.fleet.containerd.plugins.plugin_utils.from_docker.convert import OURS
from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS
from ansible_collections.fleet.containerd.tests.support.guides import blocks_of
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.networked import networked

GUIDE = "guide_migration"


def typed(command: str, home: pathlib.Path) -> subprocess.CompletedProcess[str]:
    # starts: sh, python3
    return subprocess.run(["sh", "-euc", command], env={"HOME": str(home)}, capture_output=True, text=True, check=True)


def test_the_command(tmp_path: pathlib.Path) -> None:
    """As it stands there, in a home with the collection installed by ansible-galaxy's layout."""
    place = tmp_path / ".ansible" / "collections" / "ansible_collections" / "fleet"
    place.mkdir(parents=True)
    (place / "containerd").symlink_to((COLLECTIONS / "ansible_collections/fleet/containerd").resolve())
    (tmp_path / "playbooks" / "roles").mkdir(parents=True)
    playbook = tmp_path / "playbooks" / "site.yml"
    before, after = blocks_of(GUIDE)
    playbook.write_text(before)
    (command,) = blocks_of(GUIDE, {"python3 ": f"{sys.executable} "}, "sh")
    shown = typed(command, tmp_path)
    assert shown.stderr == "tasks and defaults to rewrite: 3; left to do by hand: 0\n"
    assert "+  fleet.containerd.containerd_network:\n" in shown.stdout
    assert playbook.read_text() == before
    typed(command.replace("from_docker ", "from_docker --write "), tmp_path)
    assert playbook.read_text() == after


@pytest.mark.parametrize("version", ["", "2.1"], ids=lambda version: version or "embedded")
def test_what_it_has_become(version: str, tmp_path: pathlib.Path, modules: Modules, busybox: str) -> None:
    shutil.rmtree(tmp_path / "www", ignore_errors=True)
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "index.html").write_text("from the new one")
    replace = {"docker.io/library/busybox:1.36": busybox, "/srv/www:/srv/www": f"{tmp_path}/www:/srv/www"}
    tasks = yaml.safe_load(blocks_of(GUIDE, replace)[1])
    with networked(tmp_path, version) as host:
        host.fetch(busybox, modules)
        for changed in (True, False):
            results = []
            for task in tasks:
                (name,) = (key for key in task if key.startswith(OURS))
                options = {**host.defaults, **task[name]}
                results.append(host.modules.run(name[len(OURS) :], **options))
            assert [one["changed"] for one in results] == [changed, False, changed]
        address = results[2]["container"]["NetworkSettings"]["Networks"]["front"]["IPAddress"]
        assert address.startswith("172.30.7.")
        assert host.page(f"http://{address}/") == "from the new one"
        assert host.page("http://127.0.0.1:8080/") == "from the new one"
        host.container("web", state="absent", force_kill=True)
