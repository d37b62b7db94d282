# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes that images declare, as far as no container is needed; and what is said about SELinux."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Container
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container import volumes as container_volumes
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.options import storage
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.options.row import Host
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.options.table import effective
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.volumes import declared
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.volumes import Volume


@pytest.mark.parametrize(
    ("paths", "targets"),
    [
        (["/data", "//data/", "data", "/x/../data"], ["/data"]),
        (["/", "", "..", "/proc", "/dev/x", "/sys/fs", "/../proc/1"], []),
        (["/given", "/given/below", "/file", "/file/below", "/out", "/loop"], ["/given/below", "/out"]),
    ],
)
def test_where_volumes_are(tmp_path: pathlib.Path, paths: t.List[str], targets: t.List[str]) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "out").symlink_to("/etc")
    (tmp_path / "loop").symlink_to("loop")
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        found = declared(fd, paths, [Volume("/x", "/given")], "/containers/id")
    finally:
        os.close(fd)
    assert [one.target for one in found] == targets
    assert [one.source for one in found] == [f"/containers/id/volumes/{number}" for number in range(len(targets))]


def test_a_start_takes_back_what_a_killed_removal_gave_up(tmp_path: pathlib.Path) -> None:
    engine = EmbeddedEngine("default", str(tmp_path / "data"), str(tmp_path / "state"))
    directory = engine.container_dir("c" * 64)
    given_up = pathlib.Path(directory, ".rm-volumes", "0")
    given_up.mkdir(parents=True)
    (given_up / "table").write_text("precious")
    source = f"{directory}/volumes/0"
    container = Container("c" * 64, "none", {"mounts": [{"source": source, "destination": "/data"}]}, "", "")
    container_volumes.prepare(engine, container, [])
    assert pathlib.Path(source, "table").read_text() == "precious"
    engine.close()


@pytest.mark.parametrize(
    ("selinux", "options", "count"), [(True, ["z"], 1), (True, ["ro", "Z"], 1), (True, ["ro"], 0), (False, ["z"], 0)]
)
def test_labels_that_nothing_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, selinux: bool, options: t.List[str], count: int
) -> None:
    if selinux:
        (tmp_path / "enforce").write_text("1")
    monkeypatch.setattr(storage, "_SELINUX", str(tmp_path / "enforce"))
    found: t.List[str] = []
    storage.check_sources(Host(None, True, found, []), [Volume("/", "/b", tuple(options))])
    assert len(found) == count
    assert all("SELinux" in text and "/b" in text for text in found)


@pytest.mark.parametrize(
    ("image", "path"), [("", "/"), ("app", "/app"), ("/app/", "/app"), ("../../x", "/x"), ("//a/./b", "/a/b")]
)
def test_a_working_directory_counts_from_the_root(image: str, path: str) -> None:
    defaults = {"cmd": [], "entrypoint": [], "env": {}, "labels": {}, "stop_signal": "", "user": "", "working_dir": image}
    assert effective({}, defaults)["working_dir"] == path
