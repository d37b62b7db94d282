# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What older releases have put on the target goes with the first container of a new one."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError
from ansible_collections.fleet.containerd.plugins.module_utils.libexec import install as installing
from ansible_collections.fleet.containerd.plugins.module_utils.libexec.install import COMMAND, command, install
from ansible_collections.fleet.containerd.plugins.module_utils.libexec.main import VERBS
from ansible_collections.fleet.containerd.tests.support.limits import no_more_open_files


def test_old_releases_go_unless_they_run(tmp_path: pathlib.Path) -> None:
    for name, age in (("old", 2), ("running", 2), ("young", 0)):
        path = tmp_path / "libexec" / (name * 8) / "ctr.pyz"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path.parent, (time.time() - age * 86400,) * 2)
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", str(tmp_path / "libexec" / ("running" * 8) / "ctr.pyz")]
    with subprocess.Popen(command, stdin=subprocess.PIPE):
        own = install(str(tmp_path))
        assert sorted(path.name[:3] for path in (tmp_path / "libexec").iterdir() if str(path) not in own) == ["run", "you"]
        assert install(str(tmp_path)) == own
    assert os.path.exists(own)


def test_a_verb_that_is_not_there(tmp_path: pathlib.Path) -> None:
    for start in (command(str(tmp_path), "hold"), [sys.executable, install(str(tmp_path)), "hold"]):
        # starts: (the machine's Python)
        done = subprocess.run(start, check=False, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("there is no verb 'hold'; the known ones are")
        assert [line.split()[0] for line in done.stderr.splitlines()[1:]] == list(VERBS)


def test_a_verb_loads_what_it_needs_and_no_more(tmp_path: pathlib.Path) -> None:
    """It stays in memory, or stands on the way of a start."""

    def loaded(code: str) -> t.Set[str]:
        # starts: (the machine's Python)
        done = subprocess.run([*command(str(tmp_path), "")[:5], code, install(str(tmp_path))], check=True, capture_output=True)
        return set(done.stdout.decode().split())

    python = loaded("import sys;print(*sys.modules)")
    for verb in VERBS:
        found = loaded(COMMAND.partition(";main(")[0] + f";import fleet.libexec.{verb};print(*sys.modules)") - python
        ours = {name for name in found if name.startswith("fleet")}
        assert not {f"fleet.libexec.{other}" for other in VERBS if other != verb} & ours
        assert found - ours <= {"__future__", "select"}


def test_sources_that_cannot_be_read_are_told(tmp_path: pathlib.Path) -> None:
    """As with too many open files, which the import system tells as an ImportError."""
    with no_more_open_files(), pytest.raises(EngineError, match="cannot be read: .*Too many open files"):
        install(str(tmp_path))
    assert install(str(tmp_path))


def test_a_module_that_was_renamed_makes_another_file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = set()
    for name in ("fleet/libexec/main", "fleet/libexec/verbs"):
        monkeypatch.setattr(installing, "_sources", lambda modules, name=name: iter([(name, "a = 1")]))
        paths.add(install(str(tmp_path)))
    assert len(paths) == 2
