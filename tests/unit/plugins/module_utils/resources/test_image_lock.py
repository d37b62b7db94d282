# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_lock: what a release file says, when the registry is asked, and who has the last word on a name."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry
from ansible_collections.fleet.containerd.tests.support.images import Layout, hand_made_layers, small_image
from ansible_collections.fleet.containerd.tests.support.memory_site import play

Platforms = t.Tuple[str, t.Dict[str, str]]


class Ground:
    def __init__(self, registry: FakeRegistry, layout: Layout, path: pathlib.Path) -> None:
        self.registry, self.layout, self.path = registry, layout, path
        path.parent.mkdir()

    def push(self, name: str, word: str, tag: str = "1") -> str:
        """The digest of a new image under the name."""
        made = small_image(self.layout, Labels={"word": word})
        self.registry.push(self.layout.path, made, name, tag)
        return str(made["digest"])

    def name(self, name: str) -> str:
        return f"{self.registry.address}/{name}"

    def lock(self, *images: str, **options: t.Any) -> Task:
        return task("containerd_image_lock", path=str(self.path), images=list(images), retries=0, **options)

    def converge(self, *images: str, **options: t.Any) -> t.Dict[str, t.Any]:
        """Check mode writes nothing and tells the same; the second run changes nothing and asks for no names."""
        one, before = self.lock(*images, **options), self.path.read_text() if self.path.exists() else None
        (predicted,) = play([one], check=True).results
        assert (self.path.read_text() if self.path.exists() else None) == before
        (real,) = play([one]).results
        for key in ("actions", "diff", "images", "moved"):
            assert predicted.value(key) == real.value(key), key
        assert real.changed
        assert real.value("diff")["after"] == self.path.read_text()
        asked = len(self.registry.seen)
        (again,) = play([one]).results
        assert not again.changed
        assert len(self.registry.seen) == asked or options.get("update") == "always"
        return real.result

    def read(self) -> t.Dict[str, t.Any]:
        return t.cast(t.Dict[str, t.Any], json.loads(self.path.read_text())["images"])


@pytest.fixture
def ground(registry: FakeRegistry, layout: Layout, tmp_path: pathlib.Path) -> Ground:
    return Ground(registry, layout, tmp_path / "repository" / "release.json")


def test_names_keep_their_digests_until_somebody_asks_for_the_newest(ground: Ground) -> None:
    first = ground.push("app", "first")
    done = ground.converge(ground.name("app:1"))
    assert done["images"] == {ground.name("app:1"): first}
    assert done["actions"] == [f"write the release file {ground.path}: 1 added"]
    second, other = ground.push("app", "second"), ground.push("other", "other")
    more = ground.converge(ground.name("app:1"), ground.name("other:1"))
    assert more["images"] == {ground.name("app:1"): first, ground.name("other:1"): other}
    assert more["moved"] == []
    newest = ground.converge(ground.name("app:1"), ground.name("other:1"), update="always")
    assert newest["moved"] == [{"name": ground.name("app:1"), "before": first, "after": second}]
    assert newest["actions"] == [f"write the release file {ground.path}: 1 changed"]
    fewer = ground.converge(ground.name("app:1"))
    assert fewer["actions"] == [f"write the release file {ground.path}: 1 removed"]
    assert list(ground.read()) == [ground.name("app:1")]


def test_all_platforms_or_those_of_the_fleet(ground: Ground, two_platforms: Platforms) -> None:
    name, digests = two_platforms
    ground.converge(name)
    found = ground.read()[name]
    assert {key: one["digest"] for key, one in found["platforms"].items()} == {
        f"linux/{architecture}": digest for architecture, digest in digests.items()
    }
    top = found["digest"]
    ground.converge(name, platforms=["linux/arm64"])
    assert ground.read()[name]["platforms"].keys() == {"linux/arm64"}
    ground.push("index", "an image without an index")
    ground.converge(name, platforms=["linux/arm64", "linux/amd64"])
    assert ground.read()[name]["digest"] == top, "another platform of what the file says, though the tag has moved"
    assert ground.read()[name]["platforms"].keys() == {"linux/amd64", "linux/arm64"}


def test_the_bytes_of_a_platform_are_those_of_its_config_and_layers(ground: Ground) -> None:
    layers = hand_made_layers()
    made = ground.layout.image([*layers, layers[0]])
    ground.registry.push(ground.layout.path, made, "big", "1")
    ground.converge(ground.name("big:1"))
    manifest = ground.registry.manifest("big:1")
    blobs = {one["digest"]: one["size"] for one in [manifest["config"], *manifest["layers"]]}
    assert ground.read()[ground.name("big:1")]["platforms"]["linux/amd64"] == {
        "digest": made["digest"],
        "size": sum(blobs.values()),
    }


def test_what_is_wrong_is_named_and_nothing_is_written(ground: Ground, two_platforms: Platforms) -> None:
    name, _digests = two_platforms
    ground.push("app", "app")
    app, a, b = ground.name("app:1"), "sha256:" + "a" * 64, "sha256:" + "b" * 64
    wrong = [
        (ground.lock(), "images: give at least one image"),
        (ground.lock("a b"), "images: invalid image reference 'a b'"),
        (ground.lock(f"{app}@{a}", f"{app}@{b}"), f"images: {app} is listed twice, with different digests"),
        (ground.lock(f"{app}@{a}"), f"{app} has moved: the task asks for {a}"),
        (ground.lock(ground.name("none:1")), f"{ground.name('none:1')} is not in the registry"),
        (
            ground.lock(app, platforms=["linux/arm64"]),
            f"platforms: {app}: it is an image for linux/amd64 only, not for linux/arm64",
        ),
        (ground.lock(name, platforms=["linux/s390x"]), "no manifest for platform linux/s390x in the index"),
        (ground.lock(app, platforms=["all", "linux/amd64"]), "platforms: all stands alone"),
        (ground.lock(app, platforms=["a b"]), "platforms: invalid platform 'a b'"),
        (task("containerd_image_lock", path="release.json", images=[app]), "path: 'release.json' is not an absolute path"),
        (task("containerd_image_lock", path="/nonexistent/r.json", images=[app]), "its directory is not there"),
    ]
    for one, message in wrong:
        (found,) = play([{**one, "check_mode": True}], failing=True).results
        assert message in found.msg
        assert play([one], failing=True).last.msg == found.msg
    assert not ground.path.exists()


def test_a_file_that_is_no_release_file_is_not_replaced(ground: Ground) -> None:
    ground.push("app", "app")
    ground.path.write_text("images: []\n")
    failed = play([ground.lock(ground.name("app:1"))], failing=True).last
    assert f"the release file {ground.path} is not valid JSON" in failed.msg
    assert ground.path.read_text() == "images: []\n"


def test_the_permissions_of_the_file_stay(ground: Ground) -> None:
    ground.push("app", "app")
    ground.converge(ground.name("app:1"))
    assert ground.path.stat().st_mode & 0o777 == 0o644
    ground.path.chmod(0o640)
    ground.push("other", "other")
    ground.converge(ground.name("app:1"), ground.name("other:1"))
    assert ground.path.stat().st_mode & 0o777 == 0o640
    assert [one.name for one in ground.path.parent.iterdir()] == ["release.json"]
