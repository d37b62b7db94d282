# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_volume and containerd_volume_info, and volumes of containers in memory."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.direct import Direct
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry
from ansible_collections.fleet.containerd.tests.support.images import Layout, small_image
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories import volume as stories
from ansible_collections.fleet.containerd.tests.support.stories.volume import Volumes
from ansible_collections.fleet.containerd.tests.support.wrong_values import complaint


@pytest.fixture
def volumes(site: MemorySite, registry: FakeRegistry, layout: Layout) -> Volumes:
    registry.push(layout.path, small_image(layout, stories.image_layers()), "volumes", "1")
    return Volumes(site, f"{registry.address}/volumes:1")


def test_in_and_out(volumes: Volumes) -> None:
    stories.in_and_out(volumes)


def test_made_anew(volumes: Volumes, tmp_path: pathlib.Path) -> None:
    (tmp_path / "pages").mkdir()
    stories.made_anew(volumes, tmp_path / "pages")


def test_containers_use_volumes(volumes: Volumes) -> None:
    stories.containers_use_volumes(volumes)


def test_owner_and_mode_that_a_task_gives(volumes: Volumes) -> None:
    stories.owner_and_mode_that_a_task_gives(volumes)


def test_volumes_of_a_container_alone(volumes: Volumes) -> None:
    stories.volumes_of_a_container_alone(volumes)


def test_a_job_that_is_cleaned_up_leaves_none(volumes: Volumes) -> None:
    stories.a_job_that_is_cleaned_up_leaves_none(volumes)


def test_volumes_of_another_container(volumes: Volumes, tmp_path: pathlib.Path) -> None:
    stories.volumes_of_another_container(volumes, tmp_path)


def test_as_mounts(volumes: Volumes) -> None:
    stories.as_mounts(volumes)


def test_parts_of_volumes(volumes: Volumes) -> None:
    stories.parts_of_volumes(volumes)


def test_labels_of_mounts(volumes: Volumes) -> None:
    stories.labels_of_mounts(volumes)


def test_force(volumes: Volumes) -> None:
    stories.force(volumes)


def test_what_a_killed_run_left(volumes: Volumes) -> None:
    stories.what_a_killed_run_left(volumes)


WRONG: t.List[t.Tuple[str, t.Any]] = [
    ("name", "-dash"),
    ("name", "a/b"),
    ("driver", "nfs"),
    ("driver_options", {"size": "1g"}),
    ("driver_options", {"type": "zfs", "device": "tank"}),
    ("driver_options", "no dictionary"),
    ("labels", {"nerdctl/x": "1"}),
    ("labels", {"a": ["b"]}),
    ("owner", "nobody-here"),
    ("owner", "4294967295"),
    ("group", "nobody-here"),
    ("mode", "rwx"),
    ("mode", "0999"),
    ("mode", True),
    ("recreate", "sometimes"),
    ("force", "perhaps"),
    ("state", "gone"),
    ("namespace", "not/a namespace"),
    ("data_root", "relative"),
    ("state_root", "relative"),
]


@pytest.mark.parametrize(("option", "value"), WRONG)
@pytest.mark.parametrize("mode", ["check", "real"])
def test_wrong_values(site: MemorySite, option: str, value: t.Any, mode: str) -> None:
    """One clear message that names option and value, before anything is done."""
    result = Direct(site.defaults).result("volume", mode == "check", **{"name": "db", option: value})
    assert not complaint(option, value, result)
    assert site.untouched()


def test_options_that_contradict_each_other(volumes: Volumes) -> None:
    options = {"type": "tmpfs", "device": "tmpfs"}
    said = volumes.refused(volumes.volume("db", driver_options=options, mode="0700"))
    assert said == "mode: a volume with driver_options has its mode from elsewhere (o: uid=, gid=, mode= of a tmpfs)"


def test_a_volume_that_only_a_container_makes(volumes: Volumes) -> None:
    name = f"{'0123456789abcdef' * 4}-0"
    assert volumes.refused(volumes.volume(name)).startswith(f"name: {name} is the name of a volume that only a container makes")
    assert (
        volumes.refused(volumes.volume(name, labels={"a": "1"})) == f"labels: {name} is the volume of one container, and has none"
    )
    made = volumes.run(volumes.container("web", volumes=["/own"]))
    (mount,) = made.value("container")["Mounts"]
    changed = volumes.converge(volumes.volume(mount["Name"], mode="0700"))
    assert changed.actions == [f"change volume {mount['Name']}: mode"]
    assert stories.access(pathlib.Path(mount["Source"]))[2] == 0o700


def test_records_that_cannot_be_read(volumes: Volumes) -> None:
    """Of a volume: it is shown, and can be removed. Of a container: it might be a user."""
    volumes.run(volumes.volume("db", labels={"a": "1"}))
    (volumes.path("db") / "volume.json").write_text("{")
    shown = volumes.run(volumes.info())
    assert [one["Name"] for one in shown.value("volumes")] == ["db"]
    (warning,) = shown.value("warnings")
    assert f"{volumes.path('db')}/volume.json cannot be read" in warning
    assert "restore the file, or write {} into it" in volumes.refused(volumes.volume("db", labels={"a": "2"}))
    made = volumes.run(volumes.container("web", image=volumes.image, volumes=["other:/x"], state="present"))
    assert made.changed
    with volumes.site.engine() as engine:
        file = pathlib.Path(engine.container_dir(made.value("container")["Id"]), "volumes.json")
    file.write_text("{")
    assert f"{file}: which volumes a container uses cannot be read" in volumes.refused(volumes.volume("db", state="absent"))
    gone = volumes.converge(volumes.volume("db", state="absent", force=True))
    assert gone.actions[0] == "remove volume db"


def test_a_failure_takes_back_the_volume_that_was_made_for_it(volumes: Volumes) -> None:
    """But not one that somebody else uses by then, nor one that was there."""
    volumes.run(volumes.volume("there"))
    failed = volumes.run(volumes.container("web", command=["false"], volumes=["new:/n", "there:/t"]), failing=True)
    assert failed.value("undone") == ["create volume new", "create container web"][::-1]
    assert sorted(os.listdir(volumes.path("x").parent)) == ["there"]


def test_a_volume_of_the_name_of_a_file_in_the_image(volumes: Volumes) -> None:
    volumes.run(volumes.container("other", state="present", volumes=["there:/x"]))
    for check in (True, False):
        failed = volumes.run(volumes.container("web", volumes=["data:/file"]), check=check, failing=True)
        assert failed.msg.partition("; ")[0] == "a file cannot be mounted on a directory, nor the other way round: data"
    assert not volumes.path("data").exists()


def test_a_container_of_before_has_no_file_of_its_volumes(volumes: Volumes) -> None:
    """Its volumes are no volumes with names, so nothing is missed."""
    made = volumes.run(volumes.container("web", volumes=["/own"]))
    with volumes.site.engine() as engine:
        pathlib.Path(engine.container_dir(made.value("container")["Id"]), "volumes.json").unlink()
    assert volumes.run(volumes.container("web", restart=True)).changed
    assert volumes.run(volumes.container("web", state="absent")).changed
