# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_export over the engine in memory."""

from __future__ import annotations

import pathlib
import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories.image_export import every_format, export, platforms, pull, sha256


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
    platforms(site, two_platforms[0], tmp_path)


def test_formats(site: MemorySite, busybox: str, tmp_path: pathlib.Path) -> None:
    every_format(site, busybox, tmp_path)
