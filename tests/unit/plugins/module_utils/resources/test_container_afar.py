# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the options of plugins become a command line that reaches another host."""

from __future__ import annotations

import os
import pathlib
import subprocess
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import InvalidArgument, Unavailable
from ansible_collections.fleet.containerd.plugins.module_utils.kernel.engines import EngineOptions
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container import afar, serve
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.afar import AfarSession, reaching
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.entry import As

_PIPES = afar._pipes
SSH_ARGS = "-o BatchMode=yes -o ControlPath=~/cp/%C"


@pytest.fixture(autouse=True)
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("prefix", "host", "words"),
    [
        ("", "", []),
        ("sudo -n", "", ["sudo", "-n"]),
        ("", "root@node1", ["root@node1"]),
        ("sudo -u 'a b'", "node1", ["node1", "sudo", "-u", "'a b'"]),
    ],
)
def test_what_reaches_the_engine(home: pathlib.Path, prefix: str, host: str, words: t.List[str]) -> None:
    ssh = ["ssh", "-T", "-o", "BatchMode=yes", "-o", f"ControlPath={home}/cp/%C"] if host else []
    assert reaching(prefix, host, SSH_ARGS) == [*ssh, *words]
    # ssh makes no directory for the sockets of the default arguments.
    assert (home / ".ansible/cp").is_dir() is bool(host)


@pytest.mark.parametrize(
    ("prefix", "host", "arguments", "message"),
    [
        ("", "-oProxyCommand=x", SSH_ARGS, "ssh_host: '-oProxyCommand=x' is not a host"),
        ("sudo 'x", "", SSH_ARGS, 'command_prefix: cannot split "sudo \'x": No closing quotation'),
        ("", "node1", '-o "x', "ssh_args: cannot split '-o \"x': No closing quotation"),
    ],
)
def test_wrong_values(prefix: str, host: str, arguments: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        reaching(prefix, host, arguments)
    assert str(caught.value) == message


def test_a_way_that_ends_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says is told, and nothing of ours behind it: ansible-core shows causes, too."""

    def pipes(process: subprocess.Popen[bytes]) -> t.Tuple[int, int]:
        process.wait()
        return _PIPES(process)

    monkeypatch.setattr(afar, "_pipes", pipes)
    session = AfarSession(["sh", "-c", "echo no way there >&2; exit 3", "sh"], EngineOptions(), "web", As())
    with pytest.raises(Unavailable, match="no way there$") as caught:
        session.look()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_code_of_old_releases_goes(tmp_path: pathlib.Path) -> None:
    for name, days in (("ours", 40), ("old", 31), ("in use", 29)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "serve.py").touch()
        os.utime(tmp_path / name, times=(time.time() - days * 24 * 3600,) * 2)
    serve._remove_old(str(tmp_path), "ours")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in use", "ours"]
