# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docker_container understands: its words for values, its options of comparing, names of options of both peers."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.argument_specs.containerd_container import SPEC
from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry
from ansible_collections.fleet.containerd.tests.support.images import Layout, small_image
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories.container import RUNS, Options, container


class Releases(t.NamedTuple):
    """An image whose tag moves. push() makes a new release of it, with these settings."""

    registry: FakeRegistry
    layout: Layout

    @property
    def name(self) -> str:
        return f"{self.registry.address}/release:1"

    def push(self, **config: t.Any) -> None:
        self.registry.push(self.layout.path, small_image(self.layout, **config), "release", "1")

    def requests(self) -> int:
        return len(self.registry.seen)


@pytest.fixture
def releases(registry: FakeRegistry, layout: Layout) -> Releases:
    found = Releases(registry, layout)
    found.push(Env=["PATH=/bin", "RELEASE=1"], Labels={"release": "1"})
    return found


def test_pull_as_a_boolean(site: MemorySite, releases: Releases) -> None:
    options: Options = {"image": releases.name, **RUNS}
    site.play(container("app", pull=False, **options))
    releases.push(Labels={"release": "2"})
    asked = releases.requests()
    assert not site.play(container("app", pull=False, **options)).last.changed
    assert releases.requests() == asked
    (moved,) = site.converge(container("app", pull=True, **options))
    assert moved.value("recreated_because") == ["image"]


@pytest.mark.parametrize("pull", ["always", True, "newer"])
def test_what_check_mode_does_with_a_tag_that_may_have_moved(site: MemorySite, releases: Releases, pull: t.Any) -> None:
    """I11: check mode tells of a pull what the run would do: it asks the registry. pull_check_mode_behavior has the other two answers."""

    def looked(behaviour: str) -> t.Tuple[t.List[str], int]:
        before = releases.requests()
        done = site.predict(container("app", image=releases.name, pull=pull, pull_check_mode_behavior=behaviour, **RUNS)).last
        assert done.changed == bool(done.actions)
        return [one.partition(" ")[0] for one in done.actions], releases.requests() - before

    pulled = ["pull", "create", "stop", "rename", "give", "start", "remove"]
    absent = looked("image_not_present")[0]
    assert absent[0] == "pull"
    site.play(container("app", image=releases.name, **RUNS))
    assert looked("image_not_present") == ([], 0)
    assert looked("resolve") == ([], 1)
    guessed, asked = looked("always")
    assert guessed[0] == "pull" and set(guessed) <= set(pulled)
    assert asked > 0
    releases.push(Labels={"release": "2"})
    assert looked("image_not_present") == ([], 0)
    assert looked("resolve")[0] == guessed
    run = site.play(container("app", image=releases.name, pull=pull, pull_check_mode_behavior="image_not_present", **RUNS)).last
    assert [one.partition(" ")[0] for one in run.actions] == guessed


def test_which_image_values_are_compared_with(site: MemorySite, releases: Releases) -> None:
    base: Options = {"image": releases.name, "comparisons": {"image": "ignore"}, **RUNS}
    site.play(container("app", env={"A": "1"}, labels={"a": "1"}, **base))
    releases.push(Env=["PATH=/bin", "RELEASE=2"], Labels={"release": "2"})
    site.play(task("containerd_image", name=releases.name, pull="always"))
    current, plain, desired = site.predict(
        container("app", env={"A": "1"}, labels={"a": "1"}, image_comparison="current-image", **base),
        container("app", **base),
        container("app", env={"A": "1"}, image_comparison="desired-image", **base),
    ).results
    assert not current.changed
    assert not plain.changed
    assert desired.value("recreated_because") == ["env"]
    (default,) = site.converge(container("app", env={"A": "1"}, labels={"a": "1"}, **base))
    assert default.value("recreated_because") == ["env"]
    assert default.value("container")["Config"]["Labels"] == {"a": "1", "release": "2"}
    assert "RELEASE=2" in default.value("container")["Config"]["Env"]


def test_what_changes_in_place_follows_the_image_that_values_are_compared_with(site: MemorySite, releases: Releases) -> None:
    def pushed(interval: int) -> None:
        releases.push(Healthcheck={"Test": ["CMD", "true"], "Interval": interval, "Retries": 4})
        site.play(task("containerd_image", name=releases.name, pull="always"))

    check = {"test_cli_compatible": True, "timeout": "5s"}
    asked = container("app", image=releases.name, comparisons={"image": "ignore"}, healthcheck=check, **RUNS)
    pushed(10**9)
    site.play(asked)
    pushed(2 * 10**9)
    (changed,) = site.converge(asked)
    assert changed.actions == ["update healthcheck of container app"]
    seen = changed.value("container")["Config"]["Healthcheck"]
    assert seen == {"Test": ["CMD", "true"], "Interval": 2 * 10**9, "Timeout": 5 * 10**9, "Retries": 4}


def test_labels_of_the_image(site: MemorySite, releases: Releases) -> None:
    def asked(name: str, mode: str = "strict", mismatch: str = "fail", **labels: str) -> t.Dict[str, t.Any]:
        options: Options = {"image": releases.name, "labels": labels, "comparisons": {"labels": mode}, **RUNS}
        return {**container(name, image_label_mismatch=mismatch, **options), "ignore_errors": True}

    message = "image_label_mismatch: fail: the image has labels that the task does not give: release"
    fresh = site.play(asked("app", a="1")).last
    assert (fresh.failed, fresh.msg) == (True, message)
    assert site.untouched()
    whole = site.play(asked("app", a="1", release="1"), asked("app", a="1", release="1")).results
    assert [one.changed for one in whole] == [True, False]
    less, loosely, without = site.play(
        asked("app", a="1"), asked("app", "allow_more_present", a="1"), asked("app", mismatch="ignore", a="1")
    ).results
    assert (less.failed, less.msg) == (True, message)
    assert not loosely.changed and not loosely.failed
    assert not without.changed and not without.failed


NAMES: t.Dict[str, t.Any] = {
    "dns": ["192.0.2.53"],
    "dns_option": ["ndots:2"],
    "dns_search": ["example.com"],
    "add_hosts": {"db": "192.0.2.7"},
    "label": {"a": "1"},
    "log_opt": {"max-size": "1m"},
    "volume": ["/usr:/a:ro"],
    "workdir": "/tmp",
    "expose": ["80"],
    "publish_all": False,
    "published": [],
}


def test_names_of_both_peers_are_the_same_option(site: MemorySite, busybox: str) -> None:
    """I33: the names of an option are one option: what was given by one is the same by another."""
    ours = {alias: name for name, option in SPEC["argument_spec"].items() for alias in option.get("aliases", ())}
    base: Options = {"image": busybox, **RUNS}
    theirs = site.play(container("app", **base, **NAMES)).last
    again = site.predict(container("app", **base, **{ours[name]: value for name, value in NAMES.items()})).last
    assert theirs.changed
    assert again.actions == []
    strict = container("app", **base, label={}, comparisons={"label": "ignore", "dns": "strict"})
    assert site.predict(strict).last.actions == []
