# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_load over the engine in memory, from archives of the target."""

from __future__ import annotations

import pathlib

from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.tests.support.archives import docker_members, tar
from ansible_collections.fleet.containerd.tests.support.archives import load_task as load
from ansible_collections.fleet.containerd.tests.support.images import Layout, small_image, small_layer
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories.image_load import (
    a_round_trip,
    a_url,
    both_kinds_of_docker,
    checksum,
    platforms,
)


def test_docker_archives_round_trip(site: MemorySite, tmp_path: pathlib.Path) -> None:
    """I32: an archive is loaded or written when the digests of its images differ, and not because somebody asked."""
    both_kinds_of_docker(site, small_layer(), tmp_path)
    a_round_trip(site, tmp_path)


def test_names(site: MemorySite, layout: Layout, tmp_path: pathlib.Path) -> None:
    layout.tag(small_image(layout), "1.27")
    one, two = tmp_path / "one.tar", tmp_path / "two.tar"
    layers = small_layer()
    one.write_bytes(tar(docker_members([layers])))
    both = docker_members([layers], "app:1", "app:2", "example.com/app:3")
    two.write_bytes(tar(both))
    results = site.play(
        load(layout.path, ignore_errors=True),
        load(layout.path, name="nginx"),
        load(layout.path, name="nginx", tag="other"),
        load(layout.path, name="quay.io/x/nginx:2", tag="other"),
        load(one, ignore_errors=True),
        load(one, name="one"),
        load(two, name="two", ignore_errors=True),
        load(two, names=["app:2", "example.com/app:3"]),
        load(two, names=["app:9"], ignore_errors=True),
        load(two),
        load(two),
    ).results
    assert results[0].msg == f"name: it is needed, the image in {layout.path} has no name, only the tag 1.27"
    assert [one.value("image_names") for one in results[1:4]] == [
        ["nginx:1.27"],
        ["nginx:other"],
        ["quay.io/x/nginx:2"],
    ]
    assert results[4].msg == f"name: it is needed, the image in {one} has no name"
    assert results[5].value("image_names") == ["one:latest"]
    assert results[6].msg.startswith(f"name: every image in {two} has a name (docker.io/library/app:1, ")
    assert results[7].value("image_names") == ["app:2", "example.com/app:3"]
    assert results[8].msg.startswith(f"names: docker.io/library/app:9 is not in {two}; it has docker.io/library/app:1, ")
    assert results[9].actions == [f"load image docker.io/library/app:1 from {two}"]
    assert len(results[9].value("image_names")) == 3
    assert not results[10].changed


def test_images_without_a_name_beside_others(site: MemorySite, layout: Layout) -> None:
    layout.tag(small_image(layout), "app:1")
    layout.tag(small_image(layout, Labels={"a": "b"}), "7")
    first, named, again = site.play(
        load(layout.path), load(layout.path, name="other"), load(layout.path, names=["app:1"])
    ).results
    assert first.value("image_names") == ["app:1"]
    (warning,) = first.value("warnings")
    assert warning.startswith(f"{layout.path} has images without a name, which are not loaded: sha256:")
    assert named.value("image_names") == ["app:1", "other:7"]
    assert "warnings" not in named.result
    assert "warnings" not in again.result


def test_another_image_under_the_name(site: MemorySite, tmp_path: pathlib.Path) -> None:
    paths = [tmp_path / f"{number}.tar" for number in range(2)]
    for number, path in enumerate(paths):
        path.write_bytes(tar(docker_members([small_layer()], "app:1", Labels={"release": str(number)})))
    first = site.play(load(paths[0])).last.value("images")[0]["Digest"]
    (moved,) = site.converge(load(paths[1]))
    assert moved.actions == [f"load image docker.io/library/app:1 (here is {first[:19]}) from {paths[1]}"]
    assert moved.value("diff")["before"] == {"images": {"docker.io/library/app:1": first}}
    assert moved.value("images")[0]["Config"]["Labels"] == {"release": "1"}
    site.memory.content.delete(Digest(moved.value("images")[0]["Id"]))
    (repaired,) = site.converge(load(paths[1]))
    assert "it is incomplete" in repaired.actions[0]


def test_platforms(site: MemorySite, layout: Layout) -> None:
    platforms(site, layout, small_image(layout))


def test_a_url(site: MemorySite, tmp_path: pathlib.Path) -> None:
    a_url(site, small_layer(), tmp_path)


def test_wrong_values(site: MemorySite, tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"no archive" * 1000)
    results = site.play(
        load("relative.tar", ignore_errors=True),
        load(tmp_path / "gone.tar", ignore_errors=True),
        load(tmp_path / "a.tar", ignore_errors=True),
        load(tmp_path / "a.tar", checksum=checksum(tmp_path / "a.tar"), ignore_errors=True),
        load(tmp_path / "a.tar", max_parallel=0, ignore_errors=True),
        load(tmp_path / "a.tar", name="UPPER", ignore_errors=True),
        load(tmp_path / "a.tar", name="x", tag="a tag", ignore_errors=True),
        load(tmp_path, ignore_errors=True),
    ).results
    assert all(one.failed for one in results)
    messages = [one.msg for one in results]
    assert messages[0] == "path: 'relative.tar' is neither an absolute path nor an http or https URL"
    assert messages[1] == f"there is no {tmp_path}/gone.tar on the target"
    assert messages[2].startswith(f"the archive {tmp_path}/a.tar cannot be read: the ")
    assert messages[3].startswith("checksum: it is for a URL only")
    assert messages[4] == "max_parallel: 0 is not a positive number"
    assert messages[5].startswith("name: invalid image reference 'UPPER'")
    assert messages[6].startswith("tag: invalid tag 'a tag'")
    assert messages[7] == f"{tmp_path} is no image archive: it has neither index.json nor manifest.json"
