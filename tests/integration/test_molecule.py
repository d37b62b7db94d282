# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Molecule with containers of ours as platforms, pytest-testinfra in them, and systemd in them."""

from __future__ import annotations

import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS, HERE
from ansible_collections.fleet.containerd.tests.support.debian import debian_image
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.own_host import own_host
from ansible_collections.fleet.containerd.tests.support.site import EmbeddedSite
from ansible_collections.fleet.containerd.tools.machine import environment

EXTENSIONS = HERE.parent.parent / "extensions"
DEBIAN = "localhost/debian:12"
# The first test makes the root file system of Debian when it is not there.
pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("debian")]


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An archive with an image that has systemd."""
    return debian_image(tmp_path_factory.mktemp("debian"), DEBIAN)


def test_the_role_in_a_container(
    embedded_site: EmbeddedSite, modules: Modules, debian: pathlib.Path, busybox: str, tmp_path: pathlib.Path
) -> None:
    """The scenario in extensions/: a container with systemd runs a container after one play, the second play changes nothing, testinfra
    finds all as it should be, and nothing is left.
    """
    modules.run("containerd_image_load", **embedded_site.defaults, path=str(debian))
    variables = {
        "MOLECULE_PLATFORM_IMAGE": DEBIAN,
        "MOLECULE_IMAGE": busybox,
        # It reaches the test's registry by it.
        "MOLECULE_NETWORK_MODE": "host",
        "PYTHONPATH": str(COLLECTIONS),
        **{f"MOLECULE_{name.upper()}": str(embedded_site.defaults[name]) for name in ("namespace", "data_root", "state_root")},
    }
    with own_host(tmp_path / "host") as host:
        # starts: nsenter, molecule
        done = subprocess.run(
            [*host.under, "molecule", "test"],
            check=False,
            capture_output=True,
            text=True,
            cwd=EXTENSIONS,
            env=environment(str(tmp_path / "home"), **variables),
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    assert not list(embedded_site.data.glob("containers/*/*/*"))
