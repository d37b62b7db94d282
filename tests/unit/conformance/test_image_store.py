# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ImageStore."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Image
from ansible_collections.fleet.containerd.plugins.module_utils.errors import FailedPrecondition, NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform

from .conftest import Harness, descriptor

if t.TYPE_CHECKING:
    from ansible_collections.fleet.containerd.plugins.module_utils.engine.api import Engine

ONE, TWO = descriptor(b"one"), descriptor(b"two")
NAME = "registry.example/some/thing:1.0"


def test_put_and_get(harness: Harness, engine: Engine) -> None:
    # A daemon's record has no room for the platform.
    platform = None if engine.kind == "containerd" else Platform.normalised("linux", "amd64", "")
    target = ONE._replace(platform=platform, annotations={"k": "v"})
    made = engine.images.put(Image(NAME, target, {"a": "b"}))
    assert (made.name, made.target, dict(made.labels)) == (NAME, target, {"a": "b"})
    assert made.created_at > 1e9
    assert harness.open().images.get(NAME) == made


def test_put_replaces_the_target_merges_labels_and_keeps_created_at(engine: Engine) -> None:
    first = engine.images.put(Image(NAME, ONE, {"a": "b", "x": "y", "fleet.containerd/archive": "of ONE", "none": ""}))
    assert dict(first.labels) == {"a": "b", "x": "y", "fleet.containerd/archive": "of ONE"}
    second = engine.images.put(Image(NAME, TWO, {"c": "d", "x": ""}, created_at=5.0))
    assert (second.target, dict(second.labels), second.created_at) == (TWO, {"a": "b", "c": "d"}, first.created_at)
    assert second.updated_at >= first.updated_at
    assert engine.images.list() == [second]


def test_list_is_sorted_by_name(engine: Engine) -> None:
    assert engine.images.list() == []
    for name in ("b", "c", "a"):
        engine.images.put(Image(name, ONE))
    assert [image.name for image in engine.images.list()] == ["a", "b", "c"]


def test_what_is_absent_is_not_found(engine: Engine) -> None:
    with pytest.raises(NotFound, match="registry.example"):
        engine.images.get(NAME)
    for target in (None, ONE.digest):
        with pytest.raises(NotFound):
            engine.images.delete(NAME, target)


def test_delete(engine: Engine) -> None:
    engine.images.put(Image(NAME, ONE))
    engine.images.put(Image("other", ONE))
    engine.images.delete(NAME)
    assert [image.name for image in engine.images.list()] == ["other"]


def test_delete_only_the_target_that_was_meant(engine: Engine) -> None:
    engine.images.put(Image(NAME, ONE))
    with pytest.raises(FailedPrecondition):
        engine.images.delete(NAME, TWO.digest)
    assert engine.images.get(NAME).target == ONE
    engine.images.delete(NAME, ONE.digest)
    assert engine.images.list() == []


def test_namespaces(harness: Harness) -> None:
    harness.open("one").images.put(Image(NAME, ONE))
    with pytest.raises(NotFound):
        harness.open("two").images.get(NAME)
    with pytest.raises(NotFound):
        harness.open("two").images.delete(NAME)
    assert harness.open("two").images.list() == []
    assert harness.open("one").images.get(NAME).target == ONE
