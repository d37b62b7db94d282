# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_prune over the engine in memory: what goes, what stays and why, in check mode as in the run."""

from __future__ import annotations

import pathlib
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import PINNED, PINNED_VALUE
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Container, Image
from ansible_collections.fleet.containerd.plugins.module_utils.errors import InvalidArgument
from ansible_collections.fleet.containerd.plugins.module_utils.resources.prune.filters import parse_filters, parse_moment
from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry
from ansible_collections.fleet.containerd.tests.support.images import Layout, small_image
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite

KEPT_BY_HAND = {"images": True, "images_filters": {"dangling": False}}


class Ground:
    """Images in a registry, and an engine that has pulled them."""

    def __init__(self, site: MemorySite, registry: FakeRegistry, layout: Layout, conf_dir: pathlib.Path) -> None:
        self.site, self._registry, self._layout, self._conf_dir = site, registry, layout, conf_dir
        conf_dir.mkdir()

    def name(self, short: str) -> str:
        return f"{self._registry.address}/{short}"

    def pull(self, *names: str, **config: t.Any) -> None:
        """A different image for each name."""
        for name in names:
            repository, _colon, tag = name.partition(":")
            made = small_image(self._layout, [], **{"Labels": {"name": name}, **config})
            self._registry.push(self._layout.path, made, repository, tag)
        self.site.play(task("containerd_image", name=[self.name(one) for one in names], retries=0))

    def container(self, name: str, image: str, **options: t.Any) -> None:
        given = {"command": ["true"], "network_mode": "none", **options}
        self.site.play(task("containerd_container", name=name, image=self.name(image), pull="never", **given))

    def prune(self, **options: t.Any) -> Task:
        return task("containerd_prune", cni_conf_dir=str(self._conf_dir), **options)

    def pruned(self, **options: t.Any) -> TaskResult:
        """Check mode tells all that the run does; the next run finds nothing."""
        one = self.prune(**options)
        (told,) = self.site.predict(one).results
        (done,) = self.site.play(one).results
        for key in set(told.result) - {"invocation"}:
            assert told.value(key) == done.value(key), key
        (again,) = self.site.play(one).results
        assert not again.changed, again.actions
        assert again.value("space_reclaimed") == 0
        return done

    def images(self) -> t.Set[str]:
        return {image.name.partition("/")[2] for image in self.site.memory.images.list()}

    def kept(self, result: TaskResult) -> t.Dict[str, str]:
        return {name.partition("/")[2]: why for name, why in result.value("images_kept").items()}


@pytest.fixture
def ground(site: MemorySite, registry: FakeRegistry, layout: Layout, tmp_path: pathlib.Path) -> Ground:
    return Ground(site, registry, layout, tmp_path / "net.d")


def test_what_runs_stays_and_what_it_uses(ground: Ground) -> None:
    ground.pull("web:1", "job:1", "other:1")
    ground.container("web", "web:1", command=["sleep", "9"])
    ground.container("job", "job:1")
    only_images = ground.pruned(**KEPT_BY_HAND)
    assert only_images.value("images") == [ground.name("other:1")]
    assert ground.kept(only_images) == {"web:1": "the container web uses it", "job:1": "the container job uses it"}
    all_of_it = ground.pruned(containers=True, **KEPT_BY_HAND)
    assert all_of_it.value("containers") == ["job"]
    assert all_of_it.value("images") == [ground.name("job:1")]
    assert all_of_it.actions == ["remove container job", f"remove image {ground.name('job:1')}"]
    assert ground.images() == {"web:1"}
    assert ground.site.task_of("web").status == "running"


def test_the_bytes_are_those_that_go(ground: Ground) -> None:
    """Of two images with the same layers, only the second one frees them."""
    ground.pull("one:1", "two:1")
    sizes = {str(info.digest): info.size for info in ground.site.memory.content.walk()}
    first = ground.pruned(images=True, keep=["*/two:*"])
    left = {str(info.digest) for info in ground.site.memory.content.walk()}
    assert first.value("space_reclaimed") == sum(size for digest, size in sizes.items() if digest not in left)
    second = ground.pruned(**KEPT_BY_HAND)
    assert second.value("images_space_reclaimed") > sum(size for digest, size in sizes.items() if digest in left)
    assert second.value("diff")["before"]["space"] == second.value("space_reclaimed")
    assert ground.site.snapshots() == []


def test_only_images_without_a_tag_by_default(ground: Ground) -> None:
    ground.pull("app:1", "app:2")
    (one, two) = ground.site.memory.images.list()
    for image in (one, two):
        ground.site.memory.images.put(Image(f"{ground.name('app')}@{image.target.digest}", image.target))
    ground.site.memory.images.delete(two.name)
    done = ground.pruned(images=True)
    assert done.value("images") == [f"{ground.name('app')}@{two.target.digest}"]
    assert set(ground.kept(done).values()) == {"it has a tag", "it is a name of " + ground.name("app:1")}


def test_the_last_versions_of_a_repository(ground: Ground) -> None:
    ground.pull("app:1.9", "app:1.10", "app:2.0.0-rc.1", "app:2.0.0", "app:1.9-slim", "app:latest", "other:1")
    ground.site.play(task("containerd_image_tag", name=ground.name("app:1.10"), repository=[ground.name("app:1")]))
    done = ground.pruned(images=True, keep_versions=2)
    assert ground.images() == {"app:2.0.0", "app:2.0.0-rc.1", "app:1.9-slim", "app:latest", "other:1"}
    why = ground.kept(done)
    assert why["app:2.0.0-rc.1"] == why["other:1"] == "it is one of the last 2 versions"
    assert why["app:latest"] == "its tag tells no version"


def test_names_of_one_image_are_one_version(ground: Ground) -> None:
    ground.pull("app:1.9", "app:1.10.3")
    names = [ground.name(f"app:{tag}") for tag in ("1", "1.10")]
    ground.site.play(task("containerd_image_tag", name=ground.name("app:1.10.3"), repository=names))
    ground.pruned(images=True, keep_versions=1)
    assert ground.images() == {"app:1", "app:1.10", "app:1.10.3"}


def test_what_somebody_wants_to_keep(ground: Ground) -> None:
    """Patterns, releases and pins; a release keeps its digest, not whatever has the name by now."""
    ground.pull("base/a:1", "app:1", "old:1", "pinned:1")
    memory = ground.site.memory
    digest = memory.images.get(ground.name("app:1")).target.digest
    pinned = memory.images.get(ground.name("pinned:1"))
    memory.images.put(pinned._replace(labels={PINNED: PINNED_VALUE}))
    other = f"{ground.name('old:1')}@sha256:{'0' * 64}"
    done = ground.pruned(images=True, keep=["*/base/*"], keep_releases=[f"{ground.name('app:1')}@{digest}", other])
    assert done.value("images") == [ground.name("old:1")]
    assert ground.kept(done) == {
        "base/a:1": "it matches */base/*",
        "app:1": "it is in a release file",
        "pinned:1": "it is pinned",
    }
    assert ground.pruned(images=True, pinned=True, keep=["nginx:*"]).value("images") == sorted(
        ground.name(one) for one in ("app:1", "base/a:1", "pinned:1")
    )


def test_a_budget(ground: Ground) -> None:
    """The longest untouched go first, and no more of them than needed."""
    for name in ("app:1", "app:2", "app:3"):
        ground.pull(name, Env=[f"A={'x' * 5000}"])
        time.sleep(0.01)
    holdings = ground.site.memory.holdings()
    total = sum(ground.site.memory.disk_usage(holdings.edges).values())
    assert not ground.pruned(images=True, max_size=str(total)).changed
    done = ground.pruned(images=True, max_size=str(total - 1))
    assert done.value("images") == [ground.name("app:1")]
    assert ground.kept(done) == {"app:2": "it fits into max_size", "app:3": "it fits into max_size"}
    assert ground.pruned(images=True, max_size="1", keep=["*/app:2"]).value("images") == [ground.name("app:3")]


def test_filters_of_images_look_at_the_build(ground: Ground) -> None:
    ground.pull("a:1", Labels={"tier": "test"})
    ground.pull("b:1", Labels={"tier": "live", "keep": "yes"})
    assert not ground.pruned(images=True, images_filters={"dangling": False, "label": "tier=dev"}).changed
    assert not ground.pruned(images=True, images_filters={"dangling": False, "until": "1990-01-01"}).changed
    done = ground.pruned(images=True, images_filters={"dangling": False, "label": ["tier"], "label!": {"keep": "yes"}})
    assert done.value("images") == [ground.name("a:1")]
    assert ground.kept(done) == {"b:1": "it does not pass images_filters"}


def test_filters_of_containers(ground: Ground) -> None:
    ground.pull("job:1")
    ground.container("old", "job:1")
    ground.container("kept", "job:1", labels={"keep": ""})
    assert not ground.pruned(containers=True, containers_filters={"until": "1h"}).changed
    done = ground.pruned(containers=True, containers_filters={"until": "0s", "label!": "keep"})
    assert done.value("containers") == ["old"]
    assert done.value("containers_space_reclaimed") > 0


def test_containers_of_others_stay_and_so_do_their_images(ground: Ground) -> None:
    ground.pull("theirs:1")
    memory = ground.site.memory
    theirs = Container("d" * 64, ground.name("theirs:1"), {}, "native", "theirs", {"nerdctl/name": "theirs"})
    memory.snapshotter().prepare("theirs")
    memory.containers.create(theirs)
    assert not ground.pruned(containers=True, leftovers=True, **KEPT_BY_HAND).changed


def test_volumes_without_users(ground: Ground) -> None:
    """Those with a name of their own only if somebody asks for it."""
    ground.pull("db:1")
    tasks = [task("containerd_volume", name="free", labels={"a": "b"}), task("containerd_volume", name="other")]
    ground.site.play(*tasks)
    assert not ground.pruned(volumes=True).changed
    done = ground.pruned(volumes=True, volumes_filters={"all": True, "label": {"a": "b"}})
    assert done.value("volumes") == ["free"]
    assert done.value("volumes_space_reclaimed") == done.value("space_reclaimed") > 0
    assert ground.pruned(volumes=True, volumes_filters={"all": "yes"}).value("volumes") == ["other"]
    assert list(ground.site.data.glob("volumes/*/*")) == []


def test_garbage_and_interrupted_transfers(ground: Ground) -> None:
    ground.pull("app:1")
    memory = ground.site.memory
    memory.images.delete(ground.name("app:1"), collect=False)
    with memory.content.writer("interrupted") as ingest:
        ingest.write(b"a part")
    young = ground.pruned(leftovers=True)
    assert young.value("content_space_reclaimed") == young.value("space_reclaimed") > 0
    assert "interrupted" not in young.value("content")
    old = ground.pruned(leftovers=True, leftovers_age="0s")
    assert old.value("content") == ["interrupted"]
    assert old.value("space_reclaimed") == len(b"a part")
    assert old.actions == ["remove 1 interrupted transfers"]


def test_images_of_the_kubelet(site: MemorySite, registry: FakeRegistry, layout: Layout, tmp_path: pathlib.Path) -> None:
    """Their records by digest and by id go with the last name, and stay with it."""
    site = MemorySite(tmp_path / "kubelet", "containerd", "k8s.io")
    ground = Ground(site, registry, layout, tmp_path / "net.d")
    ground.pull("used:1", "free:1")
    for name in ("used", "free"):
        image = site.memory.images.get(ground.name(f"{name}:1"))
        digest = image.target.digest
        site.memory.images.put(image._replace(name=f"{ground.name(name)}@{digest}"))
        site.memory.images.put(image._replace(name="sha256:" + name[0].encode().hex() * 32))
    site.memory.containers.create(Container("d" * 64, ground.name("used:1"), {}, "native", "", {}))
    done = ground.pruned(kubernetes=True, **KEPT_BY_HAND)
    assert len(done.value("images")) == 3
    assert len(site.memory.images.list()) == 3
    assert sorted(ground.kept(done).values()) == ["it is a name of " + ground.name("used:1")] * 2 + [
        "the container dddddddddddd uses it"
    ]
    site.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "containers, images, networks, volumes, leftovers: say what to remove, none of them is true"),
        ({"containers": True, "images_filters": {"until": "1h"}}, "images_filters: it has no effect without images=true"),
        ({"volumes": True, "keep": ["a"]}, "keep: it has no effect without images=true"),
        ({"images": True, "keep_versions": 0}, "keep_versions: 0 is not a positive number"),
        ({"images": True, "max_size": "much"}, "max_size: 'much' is not a size"),
        ({"images": True, "keep_releases": ["r.json"]}, "keep_releases: r.json is a file on the controller, which the action"),
        (
            {"images": True, "keep": ["a"], "images_filters": {"dangling": True}},
            "keep: it is for images that have a tag, and images_filters has dangling=true",
        ),
        ({"images": True, "images_filters": {"dangling": "perhaps"}}, "images_filters: dangling: 'perhaps' is neither true nor"),
        ({"containers": True, "containers_filters": {"dangling": True}}, "containers_filters: dangling is none of until, label"),
        ({"containers": True, "containers_filters": {"label": [1]}}, "containers_filters: label: '1' is no label"),
        ({"containers": True, "containers_filters": {"until": "soon"}}, "containers_filters: until: 'soon' is not a duration"),
        ({"networks": True, "networks_filters": {"until": "2026-13-01"}}, "networks_filters: until: '2026-13-01' is no time"),
        ({"leftovers": True, "leftovers_age": "old"}, "leftovers_age: 'old' is not a duration"),
        ({"images": True, "namespace": "k8s.io"}, "namespace: k8s.io is the kubelet's"),
        ({"containers": True, "kubernetes": True, "namespace": "k8s.io"}, "namespace: k8s.io is the kubelet's"),
        ({"containers": True, "data_root": "relative"}, "data_root: 'relative' is not an absolute path"),
    ],
)
def test_wrong_values(ground: Ground, options: t.Dict[str, t.Any], message: str) -> None:
    for check in (True, False):
        failed = ground.site.play(ground.prune(**options), check=check, failing=True).last
        assert failed.msg.startswith(message)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1700000000", 1700000000.0),
        (1700000000, 1700000000.0),
        ("2023-11-14T22:13:20Z", 1700000000.0),
        ("2023-11-14T23:13:20+01:00", 1700000000.0),
        ("2023-11-14 22:13:20.5", 1700000000.0),
        ("2023-11-14T22:13:20.123456789Z", 1700000000.0),
        ("2023-11-14T22:13", 1699999980.0),
        ("2023-11-14", 1699920000.0),
    ],
)
def test_moments(text: t.Any, moment: float) -> None:
    assert parse_moment(text, "until") == moment


def test_durations_count_from_now() -> None:
    assert abs(parse_moment("1h30m", "until") - (time.time() - 5400)) < 5


def test_all_labels_are_needed_and_one_is_enough_to_stay() -> None:
    found = parse_filters("f", {"label": ["a", "b=1"], "label!": ["c", "d=2"]}, ("label", "label!"))
    assert found.passes(0.0, {"a": "", "b": "1", "d": "3"})
    assert not found.passes(0.0, {"a": "", "b": "2"})
    assert not found.passes(0.0, {"a": "", "b": "1", "c": "x"})
    with pytest.raises(InvalidArgument):
        parse_filters("f", {"label": ""}, ("label",))
