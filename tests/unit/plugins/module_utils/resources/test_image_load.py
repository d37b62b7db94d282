# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_load over the engine in memory, from archives of the target."""

from __future__ import annotations

import hashlib
import pathlib
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.archives import docker_members, tar
from ansible_collections.fleet.containerd.tests.support.archives import load_task as load
from ansible_collections.fleet.containerd.tests.support.images import Layout, hand_made_layers, small_image, small_layer
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.web import running_web


def export(name: t.Union[str, t.Sequence[str]], path: pathlib.Path, **options: t.Any) -> Task:
    return {**task("containerd_image_export", path=str(path), names=name, **options), "name": f"export to {path}"}


def absent(*names: str) -> t.List[Task]:
    return [task("containerd_image", name=name, state="absent") for name in names]


def checksum(path: pathlib.Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def test_docker_archives_run_and_round_trip(site: MemorySite, layout: Layout, tmp_path: pathlib.Path) -> None:
    """What docker save wrote before version 25, and after; then the same archive is written a second time."""
    old, new = tmp_path / "old.tar", tmp_path / "new.tar"
    old.write_bytes(tar(docker_members([small_layer(), *hand_made_layers()[:1]], "app:1", Cmd=["sh"])))
    new.write_bytes(tar(docker_members([small_layer()], "example.com/app:2", old=False, Cmd=["sh"])))
    names = ["docker.io/library/app:1", "example.com/app:2"]
    first, second = site.converge(load(old), load(new))
    assert first.actions == [f"load image {names[0]} from {old}"]
    assert first.value("image_names") == ["app:1"]
    assert first.value("diff")["before"] == {"images": {names[0]: None}}
    assert first.value("diff")["after"] == {"images": {names[0]: first.value("images")[0]["Digest"]}}
    assert first.value("loaded")["layers"] == 2
    assert second.value("loaded") == {**second.value("loaded"), "layers": 1, "layers_reused": 1}
    a, b = tmp_path / "a.tar", tmp_path / "b.tar"
    site.play(export(names, a), *absent(*names), load(a), export(names, b))
    assert a.read_bytes() == b.read_bytes()


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
    ours, arm = small_image(layout), layout.image(hand_made_layers()[:1], architecture="arm64")
    layout.tag(layout.index([arm, ours]), "app:1")
    layout.tag(layout.index([arm]), "arm:1")
    (host,) = site.converge(load(layout.path, names=["app:1"]))
    (every,) = site.converge(load(layout.path, platform="all"))
    names = ["docker.io/library/app:1", "docker.io/library/arm:1"]
    assert every.actions == [f"load images {names[0]} (it is incomplete: linux/arm64), {names[1]} from {layout.path}"]
    assert host.value("images")[0]["ManifestDigest"] == ours["digest"]
    failed, unpacked = site.play(
        load(layout.path, names=["arm:1"], ignore_errors=True), load(layout.path, names=["arm:1"], platform="linux/arm64")
    ).results
    assert failed.msg == "no manifest for platform linux/amd64 in the index; it has linux/arm64"
    assert unpacked.value("images")[0]["Unpacked"] is True


def test_a_url(site: MemorySite, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar(docker_members([small_layer()], "app:1", "app:2")))
    names = ["app:1", "app:2"]
    with running_web(path.read_bytes()) as web:
        options: t.Dict[str, t.Any] = {"checksum": checksum(path), "retry_delay": 0.01}
        (loaded,) = site.converge(load(web.url, **options))
        plain = web.url.partition("?")[0]
        assert loaded.actions == [f"load images from {plain}"]
        assert loaded.value("image_names") == names
        assert loaded.value("diff")["before"] == {"loaded": False}
        # Check mode asks whether it is there.
        assert web.requests == ["bytes=0-0", "all"]
        assert not [path for path in site.data.glob("*") if path.name.startswith("tmp")]
        some = site.play(load(web.url, names=["app:2"], **options)).last
        assert some.value("image_names") == names[1:]
        site.play(*absent(names[1]))
        (again,) = site.converge(load(web.url, **options))
        assert again.value("image_names") == names
        wrong = {**options, "checksum": "sha256:" + "0" * 64}
        refused, missing, short, *others = site.play(
            load(web.url, ignore_errors=True, **wrong),
            load(web.url, ignore_errors=True),
            load(web.url, ignore_errors=True, checksum="md5:00"),
            load(web.url, ignore_errors=True, **{**options, "retries": -1}),
            load(web.url, ignore_errors=True, **{**options, "progress_timeout": 0}),
            load(web.url, ignore_errors=True, ca_path="/no/ca.pem", **options),
            load(web.url.replace("//", "//me:hunter2@"), ignore_errors=True, **options),
        ).results
        assert [one.msg for one in others] == [
            "retries: -1 is negative",
            "progress_timeout: 0.0 is not a positive number of seconds",
            "ca_path: /no/ca.pem is not a file on the target",
            "path: a URL must not contain a user name or a password",
        ]
        assert refused.msg.startswith(f"{plain} has the checksum {options['checksum']} ")
        assert missing.msg == "checksum: it is needed for a URL"
        assert short.msg.startswith("checksum: invalid digest 'md5:00'")
        assert "secret" not in str([one.msg for one in (refused, missing, short)])
        assert "hunter2" not in str(others[-1].result)
    assert not site.play(load(web.url, **options)).last.changed


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
