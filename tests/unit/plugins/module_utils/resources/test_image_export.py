# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_export over the engine in memory."""

from __future__ import annotations

import hashlib
import pathlib
import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite


def export(name: t.Union[str, t.Sequence[str]], path: pathlib.Path, ignore_errors: bool = False, **options: t.Any) -> Task:
    made = task("containerd_image_export", path=str(path), names=name, **options)
    return {**made, "name": f"export to {path.name}", "ignore_errors": ignore_errors}


def pull(name: str, **options: t.Any) -> Task:
    return task("containerd_image", name=name, plain_http=True, **options)


def sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_changes_an_archive(site: MemorySite, busybox: str, hand_made: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.tar"
    site.play(pull(busybox), pull(hand_made), export(busybox, path))
    before = sha256(path)
    (other,) = site.converge(export(hand_made, path))
    assert other.actions == [f"export image {hand_made} to {path} (it has other content)"]
    assert other.value("diff")["before"] == {"exists": True, "up_to_date": False}
    site.converge(export([hand_made, busybox], path))
    site.converge(export([hand_made, busybox], path, format="oci"))
    site.converge(export(busybox, path, compression="zstd"))
    (back,) = site.converge(export(busybox, path))
    assert sha256(path) == before
    forced = site.play(export(busybox, path, force=True)).last
    assert forced.actions == [f"export image {busybox} to {path} (forced)"]
    assert sha256(path) == before
    assert sorted(one.name for one in tmp_path.iterdir() if "a.tar" in one.name) == ["a.tar"]
    tagged, by_id = site.play(
        task("containerd_image_tag", name=busybox, repository=["x:1"]),
        export(back.value("images")[0]["Id"], path),
    ).results
    assert by_id.value("archive")["images"] == {back.value("archive")["images"][busybox]: tagged.value("image")["Digest"]}


def test_check_mode_touches_nothing(site: MemorySite, busybox: str, tmp_path: pathlib.Path) -> None:
    site.play(pull(busybox))
    for name in ("a.tar", "dir"):
        told = site.predict(export(busybox, tmp_path / name, format="oci-dir" if name == "dir" else "docker")).last
        assert told.changed
        assert "bytes" not in told.value("archive")
        assert not (tmp_path / name).exists()


def test_wrong_values(site: MemorySite, busybox: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter").write_text("dear")
    results = site.play(
        pull(busybox),
        export("missing", tmp_path / "x", ignore_errors=True),
        export(busybox, pathlib.Path("relative.tar"), ignore_errors=True),
        export(busybox, tmp_path / "no" / "a.tar", ignore_errors=True),
        export(busybox, tmp_path / "home", ignore_errors=True),
        export(busybox, tmp_path / "home", format="oci-dir", ignore_errors=True),
        export(busybox, tmp_path / "dir", format="oci-dir", compression="gzip", ignore_errors=True),
        export(busybox, tmp_path / "a.tar", platform="linux/nothing", ignore_errors=True),
        export([], tmp_path / "a.tar", ignore_errors=True),
    ).results[1:]
    assert all(one.failed for one in results)
    messages = [one.msg for one in results]
    assert messages[0] == "names: the image docker.io/library/missing:latest is not there: pull or load it first"
    assert messages[1] == "path: 'relative.tar' is not an absolute path"
    assert messages[2] == f"path: {tmp_path}/no/a.tar cannot be written, its directory is not there: make it first"
    assert messages[3] == f"path: {tmp_path}/home is a directory: give the name of a file, or choose format=oci-dir"
    assert messages[4] == f"path: {tmp_path}/home is a directory with other things in it: give one that is empty"
    assert messages[5] == "compression: gzip is not for a directory, which format=oci-dir makes"
    assert "linux/nothing" in messages[6]
    assert messages[7] == "names: give at least one image"


def test_platforms(site: MemorySite, two_platforms: t.Tuple[str, t.Dict[str, str]], tmp_path: pathlib.Path) -> None:
    name, _digests = two_platforms
    site.play(pull(name))
    paths = [tmp_path / f"{number}.tar" for number in range(4)]
    default, every, some, arm = site.play(
        export(name, paths[0]),
        export(name, paths[1], platform="all", ignore_errors=True),
        export(name, paths[2], platform="all", allow_missing_platforms=True),
        export(name, paths[3], platform="linux/arm64", ignore_errors=True),
    ).results
    assert every.msg == arm.msg == f"the image {name} is incomplete here, it is missing linux/arm64: pull it for that platform"
    assert default.changed
    assert some.changed
    assert paths[0].read_bytes() == paths[2].read_bytes()
    assert not paths[1].exists()
    site.play(pull(name, platform="linux/arm64"))
    site.converge(
        export(name, paths[1], platform="all", format="oci"),
        export(name, paths[3], platform="linux/arm64", format="oci"),
    )


def test_formats(site: MemorySite, busybox: str, tmp_path: pathlib.Path) -> None:
    pulled = site.play(pull(busybox)).last
    docker, oci, packed, directory = (tmp_path / name for name in ("docker.tar", "oci.tar", "oci.tar.gz", "dir"))
    results = site.converge(
        export(busybox, docker),
        export([busybox], oci, format="oci"),
        export(busybox, packed, format="oci", compression="gzip"),
        export(busybox, directory, format="oci-dir"),
        diff=True,
    )
    digest = pulled.value("digest")
    assert [one.actions for one in results] == [
        [f"export image {busybox} to {path}"] for path in (docker, oci, packed, directory)
    ]
    assert results[0].value("diff")["before"] == {"exists": False, "up_to_date": False}
    assert results[0].value("diff")["after"] == {"exists": True, "up_to_date": True, "images": {busybox: digest}}
    assert results[2].value("archive") == {
        "file": str(packed),
        "format": "oci",
        "compression": "gzip",
        "images": {busybox: digest},
        "bytes": packed.stat().st_size,
    }
    assert results[0].value("images")[0]["Id"] == pulled.value("config_digest")
