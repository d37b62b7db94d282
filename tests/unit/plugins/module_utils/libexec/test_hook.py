# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hook of containers with networks: it is complete, its path stays, and it says in one line what is wrong."""

from __future__ import annotations

import os
import pathlib
import subprocess
import time
import typing as t
import zipfile

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.libexec import hooks, install
from ansible_collections.fleet.containerd.plugins.module_utils.libexec.hooks import install_hook, link_path


def hook(root: pathlib.Path, moment: str, state: str = "{}", networks: str = "") -> subprocess.CompletedProcess[str]:
    """Run it as a runtime does."""
    (one,) = hooks.hooks(str(root), networks or str(root / "networks.json"))[moment]
    environment = dict(item.split("=", 1) for item in one["env"])
    # starts: (the machine's Python)
    return subprocess.run(
        [one["path"], *one["args"][1:]], input=state, env=environment, check=False, capture_output=True, text=True
    )


def test_everything_that_it_imports_is_in_its_file(tmp_path: pathlib.Path) -> None:
    install_hook(str(tmp_path))
    with zipfile.ZipFile(link_path(str(tmp_path))) as archive:
        names = [name[: -len(".pyc")].replace("/", ".") for name in archive.namelist() if name.endswith(".pyc")]
    code = "import sys,posix;sys.path.insert(0,posix.readlink(sys.argv[1]));" + ";".join(
        f"import {name}" for name in names if "__" not in name
    )
    # starts: (the machine's Python)
    done = subprocess.run(
        [install.interpreter(), "-ISEc", code, link_path(str(tmp_path))], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_its_path_stays_as_releases_come_and_go(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_hook(str(tmp_path))
    link = pathlib.Path(link_path(str(tmp_path)))
    first = link.resolve()
    install_hook(str(tmp_path))
    assert link.resolve() == first
    # Old, and no process names it: but the link does.
    os.utime(first.parent, (time.time() - 2 * 86400,) * 2)
    other = pathlib.Path(install.install(str(tmp_path)))
    assert first.exists()
    monkeypatch.setattr(hooks, "MODULES", hooks.MODULES[:-1])
    install_hook(str(tmp_path))
    assert link.resolve() not in (first, other)
    assert sorted(path.name for path in link.parent.iterdir() if not path.is_symlink()) == sorted(
        path.parent.name for path in (link.resolve(), first, other)
    )


@pytest.mark.parametrize(
    ("networks", "said"),
    [
        (None, "%s is not there: it says which networks a container has"),
        ("{", "what is kept of a container's networks cannot be read: "),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: pathlib.Path, networks: t.Optional[str], said: str) -> None:
    install_hook(str(tmp_path))
    if networks is not None:
        (tmp_path / "networks.json").write_text(networks)
    done = hook(tmp_path, "createRuntime", '{"pid": 1}')
    assert done.returncode == 1
    assert done.stderr.startswith(said.replace("%s", str(tmp_path / "networks.json")))
    assert "\n" not in done.stderr
    error = tmp_path / "networks.json.error"
    assert error.read_text() == done.stderr
    # What goes wrong at the end is not why the next start fails.
    error.unlink()
    hook(tmp_path, "poststop")
    assert not error.exists()


def test_the_end_of_a_container_that_was_removed(tmp_path: pathlib.Path) -> None:
    install_hook(str(tmp_path))
    done = hook(tmp_path, "poststop")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
