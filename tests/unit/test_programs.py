# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate for programs sees what is started, refuses what it cannot see, and knows which package a program is of."""

from __future__ import annotations

import pathlib
import shutil
import typing as t

import pytest

from ansible_collections.fleet.containerd.tools import programs

RUN = "import subprocess\n"
SEEN: t.List[t.Tuple[str, t.Set[str]]] = [
    ('subprocess.run(["skopeo", "copy"])', {"skopeo"}),
    ('subprocess.Popen(("/usr/sbin/runc", "list"))', {"runc"}),
    ('command = ["umoci"]\nsubprocess.run([*command, "ls"])', {"umoci"}),
    ('command = ["umoci"]\nsubprocess.run(command + ["ls"])', {"umoci"}),
    ('for one in ["tar", "x"], ["zstd"]:\n    subprocess.run(one)', {"tar", "zstd"}),
    ('for name in ("runc", "crun"):\n    shutil.which(name)', {"runc", "crun"}),
    ('subprocess.run(["a"] if x else ["b"])', {"a", "b"}),
    ('subprocess.run("LC_ALL=C find . | sort -u && exec /bin/sha256sum", shell=True)', {"find", "sort", "sha256sum"}),
    ('host.run(f"kill -9 {pid}")', {"kill"}),
    ('play({"name": "x", "ansible.builtin.command": "touch it"})', {"touch"}),
    ("subprocess.run([sys.executable, '-c', 'x'])", set()),
    ("subprocess.run(x)  # starts: strace, ls (and why)", {"strace", "ls"}),
    ('# starts: nsenter, cat\nsubprocess.run(["nsenter", "cat"])', {"nsenter", "cat"}),
    ('CODE = """\nimport subprocess\nsubprocess.run(["mount"])\n"""', {"mount"}),
    ("found: subprocess.Popen[str]", set()),
]


@pytest.mark.parametrize(("text", "expected"), SEEN)
def test_what_is_seen(text: str, expected: t.Set[str]) -> None:
    uses, wrong = programs.Source(pathlib.Path("x.py"), text + "\n", "x.py").look()
    assert ({use.program for use in uses}, wrong) == (expected, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("subprocess.run(command)", "cannot be read off"),
        ("def f(command):\n    subprocess.run([*command])", "cannot be read off"),
        ("with x as command:\n    subprocess.run(command)", "cannot be read off"),
        ("for command in every():\n    subprocess.run(command)", "cannot be read off"),
        ("functools.partial(subprocess.run, ['tar'])", "cannot be read off"),
        ("subprocess.run(text, shell=True)", "cannot be read off"),
        ("subprocess.run('$TOOL x', shell=True)", "cannot be read off"),
        ("os.execv(path, [])", "cannot be read off"),
        ("from subprocess import run", "import the module subprocess itself"),
        ("import subprocess as s", "by its own name"),
        ("subprocess.run(['nsenter', 'cat'])", "nsenter starts another program"),
        ("HELPER = '#!/bin/sh\\nrsync'", "sh starts another program"),
        ("x = 1  # starts: tar", "at no call"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    _uses, (wrong,) = programs.Source(pathlib.Path("x.py"), text + "\n", "x.py").look()
    assert message in wrong
    assert wrong.startswith("x.py:")


def test_a_breach_fails_and_names_the_place(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("Makefile", "requirements"):
        source = programs.ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text(
        'import subprocess\n\nsubprocess.run(["no-such-program-9"])\nsubprocess.run(["tar"])\n'
    )
    listed = tmp_path / "requirements" / "apt.txt"
    listed.write_text(listed.read_text().replace("runc  # runc", "runc  # runc, runk").replace("strace  # strace", "strace"))
    assert programs.main(tmp_path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "tests/test_x.py:3: no-such-program-9 is of no package in requirements/" in lines
    assert "requirements/apt.txt: runc: nothing starts runk" in lines
    assert "requirements/apt.txt: runc has no runk" in lines
    assert [line for line in lines if "strace: say what is used of it" in line]
    assert not [line for line in lines if " tar is of no package" in line]


def test_debian_has_what_every_debian_has() -> None:
    assert all(programs.of_debian(name) for name in ("tar", "sh", "mount", "chmod"))
    assert not any(programs.of_debian(name) for name in ("skopeo", "podman", "no-such-program-9"))
