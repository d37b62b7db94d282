# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ContainerStore."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import NAME
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Container, Runtime
from ansible_collections.fleet.containerd.plugins.module_utils.errors import AlreadyExists, InvalidArgument, NotFound

from .conftest import Harness

if t.TYPE_CHECKING:
    from ansible_collections.fleet.containerd.plugins.module_utils.engine.api import Engine


def container(digit: str = "a", **labels: str) -> Container:
    return Container(
        id=digit * 64,
        image="registry.example/image:1",
        spec={"process": {"args": ["true"]}, "linux": {"resources": {"memory": {"limit": 2**40}}}},
        snapshotter="overlayfs",
        snapshot_key="key",
        labels=labels,
        runtime=Runtime(binary="crun"),
        extensions={"x": {"deep": ["list", 1, None, True]}},
    )


def named(digit: str, name: str) -> Container:
    return container(digit, **{NAME: name})


def test_create_and_get(harness: Harness, engine: Engine) -> None:
    made = engine.containers.create(container(a="b"))
    assert made._replace(created_at=0.0, updated_at=0.0) == container(a="b")
    assert made.created_at > 1e9
    assert harness.open().containers.get(made.id) == made


def test_an_id_is_taken_once(engine: Engine) -> None:
    engine.containers.create(container("a"))
    with pytest.raises(AlreadyExists):
        engine.containers.create(container("a", other="label"))
    assert dict(engine.containers.get("a" * 64).labels) == {}


def test_a_name_is_taken_once_in_a_namespace(harness: Harness, engine: Engine) -> None:
    engine.containers.create(named("a", "web"))
    with pytest.raises(AlreadyExists, match="web"):
        engine.containers.create(named("b", "web"))
    harness.open("other").containers.create(named("b", "web"))
    engine.containers.create(container("c"))
    engine.containers.create(container("d"))
    assert len(engine.containers.list()) == 3


def test_a_name_cannot_be_taken_by_update(engine: Engine) -> None:
    engine.containers.create(named("a", "web"))
    second = engine.containers.create(named("b", "db"))
    with pytest.raises(AlreadyExists):
        engine.containers.update(named("b", "web"), ["labels"])
    assert engine.containers.get(second.id) == second
    engine.containers.update(container("a"), ["labels"])
    engine.containers.update(named("b", "web"), ["labels"])


def test_list_by_labels(engine: Engine) -> None:
    one = engine.containers.create(container("a", **{NAME: "web", "x": "1"}))
    two = engine.containers.create(container("b", **{NAME: "db", "x": "2"}))
    three = engine.containers.create(container("c"))
    by_id = sorted(engine.containers.list())
    assert by_id == [one, two, three]
    assert engine.containers.list({NAME: "web"}) == [one]
    assert engine.containers.list({NAME: "web", "x": "2"}) == []
    assert engine.containers.list({NAME: "web", "x": ""}) == [one]
    assert sorted(engine.containers.list({NAME: ""})) == [one, two]
    assert sorted(engine.containers.list({"x": ""})) == [one, two]
    assert engine.containers.list({"x": "2"}) == [two]
    assert engine.containers.list({"y": ""}) == []


def test_update_replaces_the_fields_named_and_no_others(engine: Engine) -> None:
    made = engine.containers.create(container("a", old="label"))
    changed = made._replace(labels={"new": "label"}, spec={"process": {}}, extensions={"y": {}}, image="another")
    after = engine.containers.update(changed, ["labels"])
    assert after == engine.containers.get(made.id)
    assert after._replace(updated_at=0) == made._replace(labels={"new": "label"}, updated_at=0)
    assert after.updated_at >= made.updated_at
    after = engine.containers.update(changed, ["spec", "extensions", "image"])
    assert after._replace(updated_at=0) == changed._replace(updated_at=0)


@pytest.mark.parametrize("field", ["id", "snapshot_key", "runtime", "created_at", "no such field"])
def test_other_fields_cannot_be_updated(engine: Engine, field: str) -> None:
    made = engine.containers.create(container())
    with pytest.raises(InvalidArgument, match=field):
        engine.containers.update(made, ["labels", field])
    assert engine.containers.get(made.id) == made


def test_what_is_absent_is_not_found(engine: Engine) -> None:
    for call in (
        lambda: engine.containers.get("a" * 64),
        lambda: engine.containers.delete("a" * 64),
        lambda: engine.containers.update(container(), ["labels"]),
    ):
        with pytest.raises(NotFound):
            call()
    assert engine.containers.list() == []


def test_delete_frees_id_and_name(engine: Engine) -> None:
    engine.containers.create(named("a", "web"))
    engine.containers.delete("a" * 64)
    assert engine.containers.list() == []
    engine.containers.create(named("a", "web"))


def test_namespaces(harness: Harness) -> None:
    harness.open("one").containers.create(container())
    other = harness.open("two")
    with pytest.raises(NotFound):
        other.containers.get("a" * 64)
    with pytest.raises(NotFound):
        other.containers.delete("a" * 64)
    other.containers.create(container())
