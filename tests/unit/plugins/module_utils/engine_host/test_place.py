# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Engines that share a data_root."""

from __future__ import annotations

import contextlib
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Container, Runtime
from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd.engine import ContainerdEngine
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.engine_host.place import Place
from ansible_collections.fleet.containerd.tests.support.containerds import running_containerd

if t.TYPE_CHECKING:
    from ansible_collections.fleet.containerd.plugins.module_utils.engine.api import Engine


def _log(directory: str) -> pathlib.Path:
    log = pathlib.Path(directory, "log")
    log.write_text("line")
    return log


def _sweep(engine: Engine) -> None:
    """A container comes and goes, and what killed runs have left goes with it."""
    with engine.lease():
        engine.containers.create(Container("f" * 64, "none", {}, "", "", runtime=Runtime(binary="runc")))
    engine.containers.delete("f" * 64)
    engine.collect()


@pytest.mark.daemon
def test_engines_and_daemons_that_share_a_root_leave_each_other_alone(tmp_path: pathlib.Path) -> None:
    data = str(tmp_path / "data")
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(running_containerd(version)) for version in ("1.7", "2.1"))
        engines: t.List[Engine] = [EmbeddedEngine("default", data, str(tmp_path / "state"))]
        engines += [ContainerdEngine(daemon.address, "default", "", data) for daemon in (first, second)]
        for engine in engines:
            stack.callback(engine.close)
            engine.containers.create(Container("a" * 64, "none", {}, "", "", runtime=Runtime(binary="runc")))
        logs = [_log(engine.container_dir("a" * 64)) for engine in engines]
        strangers = [_log(engine.container_dir("b" * 64)) for engine in engines]
        assert len(set(logs)) == 3
        for number, engine in enumerate(engines):
            _sweep(engine)
            assert [log.exists() for log in logs] == [True] * 3
            assert [log.exists() for log in strangers] == [False] * (number + 1) + [True] * (2 - number)


def test_a_socket_with_two_names_is_one_daemon(tmp_path: pathlib.Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "var").symlink_to("run")
    paths = {Place("/data", "default", str(tmp_path / name / "socket")).container_path("x") for name in ("run", "var")}
    assert len(paths) == 1
    assert Place("/data", "default", str(tmp_path / "other")).container_path("x") not in paths


@pytest.mark.parametrize("mark", [None, "containerd /run/other.sock"])
def test_what_carries_no_mark_of_ours_is_not_swept(tmp_path: pathlib.Path, mark: t.Optional[str]) -> None:
    place = Place(str(tmp_path), "default")
    log = _log(place.container_dir("x"))
    found = tmp_path / "containers" / "embedded" / ".engine"
    if mark is None:
        found.unlink()
    else:
        found.write_text(mark)
    place.set_aside_strangers(lambda: ())
    place.sweep()
    assert log.exists()
    found.write_text("embedded")
    place.set_aside_strangers(lambda: ())
    place.sweep()
    assert not log.exists()
