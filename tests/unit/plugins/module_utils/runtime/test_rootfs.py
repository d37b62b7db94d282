# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root file systems that are mounted for one descriptor only."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Mount
from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.rootfs import _PLACE, opened
from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS

PROGRAM = """
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Mount
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.rootfs import opened
with opened([Mount("tmpfs", "fleet-killed", ())]):
    print("opened", flush=True)
"""


def mounted(ours: t.Union[str, pathlib.Path]) -> t.List[str]:
    """The mounts of ours, and those at the place where everything is mounted and above it: elsewhere other tests mount meanwhile."""
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if str(ours) in line or line.split()[4] in ("/", _PLACE)]


def layers(base: pathlib.Path) -> t.List[Mount]:
    for name in ("lower", "upper", "work"):
        (base / name).mkdir()
    (base / "lower/below").write_text("below")
    return [Mount("overlay", "overlay", (f"lowerdir={base}/lower", f"upperdir={base}/upper", f"workdir={base}/work"))]


def test_nobody_else_sees_the_mount(tmp_path: pathlib.Path) -> None:
    """It is written to through the descriptor, and is gone with it: the same files can be mounted again at once."""
    mounts, before, files = layers(tmp_path), mounted(tmp_path), os.listdir("/proc/self/fd")
    for number in range(20):
        with opened(mounts) as root:
            assert sorted(os.listdir(root)) == (["below"] if not number else ["above", "below"])
            with open(os.open("above", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=root), "w") as stream:
                stream.write(str(number))
            assert mounted(tmp_path) == before
        assert (tmp_path / "upper/above").read_text() == str(number)
    assert (mounted(tmp_path), os.listdir("/proc/self/fd")) == (before, files)


def test_several_mounts(tmp_path: pathlib.Path) -> None:
    """One over the other: the last one is seen."""
    with opened([Mount("tmpfs", "tmpfs", ()), *layers(tmp_path)]) as root:
        assert os.listdir(root) == ["below"]


def test_very_many_layers(tmp_path: pathlib.Path) -> None:
    """Their names do not fit into one page: a child process mounts them, in the namespace of the thread."""
    (one,) = layers(tmp_path)
    below = [tmp_path / ("long" * 50) / str(number) for number in range(30)]
    for path in below:
        path.mkdir(parents=True)
    (below[-1] / "deep").touch()
    lower = ":".join(map(str, below))
    assert len(lower) > 4096
    with opened([one._replace(options=(f"lowerdir={lower}", *one.options[1:]))]) as root:
        assert os.listdir(root) == ["deep"]


def test_what_cannot_be_mounted(tmp_path: pathlib.Path) -> None:
    before, files = mounted(tmp_path), os.listdir("/proc/self/fd")
    with pytest.raises(EngineError, match="mounting overlay on /proc: "), opened([Mount("overlay", "overlay", ())]):
        pass
    with pytest.raises(RuntimeError), opened(layers(tmp_path)):
        raise RuntimeError
    assert (mounted(tmp_path), os.listdir("/proc/self/fd")) == (before, files)


@pytest.mark.parametrize(("call", "number"), [("unshare", 1), ("mount", 1), ("mount", 2), ("umount2", 1)])
def test_killed(call: str, number: int) -> None:
    """Before each call that has to do with mounts."""
    before = mounted("fleet-killed")
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={number}"]
    environment = {"PYTHONPATH": str(COLLECTIONS), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    # starts: strace
    done = subprocess.run(
        [*strace, sys.executable, "-P", "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (-9, ""), done.stderr
    assert mounted("fleet-killed") == before
