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

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.libexec.install import COMMAND, command, install
from ansible_collections.fleet.containerd.plugins.module_utils.libexec.main import VERBS


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


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_loads_what_it_needs_and_no_more(tmp_path: pathlib.Path, verb: str) -> None:
    """It stays in memory, or stands on the way of a start: above all nothing of the standard library that is not small."""
    code = COMMAND.partition(";main(")[0] + f";import fleet.libexec.{verb};print(*sys.modules)"
    start = command(str(tmp_path), verb)
    start[start.index(COMMAND)] = code
    # starts: (the machine's Python)
    loaded = set(subprocess.run(start, check=True, capture_output=True, text=True).stdout.split())
    bare = set(
        subprocess.run([*start[:5], "import sys;print(*sys.modules)"], check=True, capture_output=True, text=True).stdout.split()
    )
    ours = {name for name in loaded if name.startswith("fleet")}
    others = set(VERBS) - {verb}
    assert not {f"fleet.libexec.{other}" for other in others} & ours
    assert loaded - bare - ours <= {
        "__future__",
        "select",
        "zlib",
        "zipimport",
        "_frozen_importlib_external",
        "os",
        "stat",
        "_stat",
        "posixpath",
        "genericpath",
        "os.path",
        "_collections_abc",
        "io",
        "abc",
        "_abc",
        "time",
    }
