# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks and restart policies as options: how they are read, joined with those of an image, and told to the engine."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import HealthCheck, Supervision
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.options.supervision import (
    health_of_image,
    parse_health,
    supervision_of,
)
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.options.table import BY_OPTION
from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.images import Layout, small_image
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite

SECOND = 10**9
NONE = {"test": ["NONE"]}
IMAGE = {"test": ["CMD", "of", "image"], "interval": SECOND}


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"test": "curl -f localhost"}, {"test": ["CMD-SHELL", "curl -f localhost"]}),
        ({"test": ["CMD", "a", "b c"], "retries": 2}, {"test": ["CMD", "a", "b c"], "retries": 2}),
        ({"test": ["NONE"], "interval": "1s"}, NONE),
        ({"test": []}, NONE),
        ({"test": ""}, NONE),
        ({"interval": "1m30s"}, NONE),
        ({}, NONE),
        ({"interval": "1m30s", "test_cli_compatible": True}, {"interval": 90 * SECOND}),
        ({"start_period": "0", "test_cli_compatible": True}, {"start_period": 0}),
    ],
)
def test_a_check_is_read(given: t.Dict[str, t.Any], value: t.Dict[str, t.Any]) -> None:
    assert parse_health(given, "healthcheck") == value


@pytest.mark.parametrize(
    ("given", "effective"),
    [
        (None, IMAGE),
        (NONE, NONE),
        ({"interval": 5}, {**IMAGE, "interval": 5}),
        ({"test": ["CMD", "mine"], "retries": 1}, {"test": ["CMD", "mine"], "interval": SECOND, "retries": 1}),
    ],
)
def test_a_check_is_joined_with_that_of_the_image(given: t.Any, effective: t.Dict[str, t.Any]) -> None:
    row = BY_OPTION["healthcheck"]
    assert row.value({"healthcheck": given}, {"healthcheck": IMAGE}) == effective
    # Records of before have no such default.
    assert row.value({"healthcheck": None}, {}) == NONE


@pytest.mark.parametrize(
    ("config", "value"),
    [
        ({"Test": ["CMD-SHELL", "x"], "Interval": 5, "Timeout": 0, "Retries": 3}, {"test": ["CMD-SHELL", "x"], "interval": 5, "retries": 3}),
        ({"Test": ["NONE"]}, {}),
        ({"Test": []}, {}),
        ({"Test": "x"}, {}),
        ({"Test": ["SOMETHING", "x"]}, {}),
        ({"Test": ["CMD", 1]}, {}),
        ({"Test": ["CMD", "x"], "Interval": "soon", "StartPeriod": -1}, {"test": ["CMD", "x"]}),
        ({}, {}),
    ],
)  # fmt: skip
def test_the_check_of_an_image_is_read(config: t.Dict[str, t.Any], value: t.Dict[str, t.Any]) -> None:
    """It is hostile, or of another tool: what cannot be understood is left out."""
    assert health_of_image(config) == value


def test_what_the_engine_is_told() -> None:
    process = {"args": ["serve"], "env": ["A=1"], "terminal": True, "cwd": "/srv"}
    check = {"test": ["CMD-SHELL", "x y"], "interval": SECOND // 2, "start_period": 0, "retries": 7, "on_failure": "kill"}
    values = {"restart_policy": "on-failure", "restart_retries": 4, "restart_delay": SECOND // 4, "restart_max_delay": None}
    told = supervision_of({"process": process}, {**values, "healthcheck": check, "stop_signal": 2, "stop_timeout": 0})
    inside = {**process, "terminal": False, "args": ["/bin/sh", "-c", "x y"]}
    health = HealthCheck(inside, interval=0.5, start_period=0.0, retries=7, on_failure="kill")
    assert told == Supervision("on-failure", 4, 0.25, 0.0, health, 2, 0)
    assert not supervision_of({}, {}).wanted
    assert not supervision_of({"process": process}, {"healthcheck": NONE}).wanted


def test_a_change_reaches_the_supervisor_and_nothing_else(site: MemorySite, layout: Layout) -> None:
    """I22: the check of the image is the base; taking away a check that is not there is no change.

    I26: a policy and its count are compared as a pair: without a count is the same as with 0.
    """
    image = "docker.io/library/kept:1"
    layout.tag(small_image(layout, Cmd=["sleep", "1000"]), image)
    site.play(task("containerd_image_load", path=str(layout.path)))

    def asked(**options: t.Any) -> t.Any:
        return task("containerd_container", name="kept", image=image, **options)

    site.converge(asked(restart_policy="always"))
    (container,) = site.memory.containers.list()
    told = site.memory.tasks.supervised
    assert told[container.id].policy == "always"
    pid = site.task_of("kept").pid
    (changed,) = site.converge(asked(restart_policy="on-failure", restart_retries=3))
    assert changed.actions == ["update restart_policy, restart_retries of container kept"]
    assert (told[container.id].policy, told[container.id].retries) == ("on-failure", 3)
    site.converge(asked(healthcheck={"test": "x"}))
    health = told[container.id].health
    assert health
    assert health.process["args"] == ["/bin/sh", "-c", "x"]
    # A name of an option that is the same when the count is 0 and when it is not given.
    site.converge(asked(restart_retries=0))
    assert not site.play(asked(restart_policy="on-failure")).last.changed
    # Taking away a check that is not there is no change.
    site.converge(asked(healthcheck={"test": ["NONE"]}))
    assert not site.play(asked(healthcheck={})).last.changed
    assert site.task_of("kept").pid == pid
