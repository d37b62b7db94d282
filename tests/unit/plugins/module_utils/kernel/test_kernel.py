# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing, rendering, converging: what makes check mode and diff mode true."""

from __future__ import annotations

import contextlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError, FailedPrecondition
from ansible_collections.fleet.containerd.plugins.module_utils.kernel.converge import Plan, Step, converge
from ansible_collections.fleet.containerd.plugins.module_utils.kernel.field import (
    IGNORE,
    MORE,
    STRICT,
    Change,
    Field,
    compare,
    render,
    same,
)


@pytest.mark.parametrize(
    ("kind", "mode", "want", "have", "equal"),
    [
        ("value", STRICT, "a", "a", True),
        ("value", STRICT, "a", "b", False),
        ("value", STRICT, False, None, False),
        ("value", IGNORE, "a", "b", True),
        ("list", STRICT, ["a", "b"], ["a", "b"], True),
        ("list", STRICT, ["a", "b"], ["b", "a"], False),
        ("list", STRICT, [], None, True),
        ("list", STRICT, ["a"], None, False),
        ("list", MORE, ["a", "c"], ["a", "b", "c"], True),
        ("list", MORE, ["c", "a"], ["a", "b", "c"], False),
        ("set", STRICT, ["a", "b"], ["b", "a", "a"], True),
        ("set", STRICT, ["a"], ["b", "a"], False),
        ("set", MORE, ["a"], ["b", "a"], True),
        ("set", MORE, [], ["a"], False),
        ("set", STRICT, [{"x": ["y"]}], [{"x": ["y"]}], True),
        ("dict", STRICT, {"a": 1}, {"a": 1, "b": 2}, False),
        ("dict", MORE, {"a": 1}, {"a": 1, "b": 2}, True),
        ("dict", MORE, {"a": 1}, {"a": 2}, False),
        ("dict", MORE, {}, {"a": 1}, False),
    ],
)
def test_same(kind: str, mode: str, want: t.Any, have: t.Any, equal: bool) -> None:
    assert same(kind, mode, want, have) is equal


def test_what_is_not_asked_for_is_not_compared() -> None:
    fields = [Field("a"), Field("b"), Field("c", "list")]
    changes = compare(fields, {"a": None, "b": 1, "c": []}, {"a": 5, "b": 1, "c": ["x"]})
    assert [(one.field.option, one.before, one.after) for one in changes] == [("c", ["x"], [])]


def test_a_secret_never_shows_in_a_diff() -> None:
    before, after = render([Change(Field("token", secret=True), "old", "new")])
    assert "old" not in str(before)
    assert "new" not in str(after)


class Number:
    """A resource: a number in a list, made in steps of one."""

    def __init__(self, state: t.List[int], fail_at: int = -1) -> None:
        self.state, self.fail_at = state, fail_at
        self.locked = 0

    def desired(self, params: t.Mapping[str, t.Any], engine: t.Any) -> int:
        return int(params["value"])

    def observe(self, want: int, engine: t.Any) -> int:
        return self.state[0]

    @contextlib.contextmanager
    def lock(self, want: int, engine: t.Any) -> t.Iterator[None]:
        self.locked += 1
        yield

    def _set(self, value: int) -> None:
        if value == self.fail_at:
            raise FailedPrecondition(f"{value} is not possible")
        self.state[0] = value

    def plan(self, want: int, have: int, engine: t.Any) -> Plan:
        steps = [Step(f"to {n}", lambda n=n: self._set(n), lambda n=n: self._set(n - 1)) for n in range(have + 1, want + 1)]
        return Plan(steps, {"value": have}, {"value": want})

    def facts(self, want: int, have: int, engine: t.Any) -> t.Dict[str, t.Any]:
        return {"value": have}


def test_check_mode_tells_the_same_actions_and_does_nothing() -> None:
    state = [1]
    number = Number(state)
    told = converge(number, {"value": 3}, None, True)
    assert (told.changed, told.actions, state, number.locked) == (True, ["to 2", "to 3"], [1], 0)
    done = converge(number, {"value": 3}, None, False)
    assert done.actions == told.actions
    assert done.diff == told.diff == {"before": {"value": 1}, "after": {"value": 3}}
    assert (state, done.result) == ([3], {"value": 3})
    again = converge(number, {"value": 3}, None, False)
    assert (again.changed, again.actions) == (False, [])


def test_a_failing_step_takes_back_those_before_it() -> None:
    state = [0]
    with pytest.raises(FailedPrecondition) as caught:
        converge(Number(state, fail_at=3), {"value": 4}, None, False)
    assert state == [0]
    assert caught.value.details["failed_action"] == "to 3"
    assert caught.value.details["actions"] == ["to 1", "to 2"]


def test_an_unexpected_exception_takes_back_too() -> None:
    state = [0]
    number = Number(state)
    steps = [number.plan(1, 0, None).steps[0], Step("boom", lambda: {}["x"])]
    number.plan = lambda want, have, engine: Plan(steps)  # type: ignore[method-assign]
    with pytest.raises(KeyError):
        converge(number, {"value": 1}, None, False)
    assert state == [0]


def test_an_undo_that_fails_is_told_and_stops_nothing() -> None:
    undone: t.List[str] = []

    def failing() -> None:
        raise EngineError("cannot undo")

    def fail() -> None:
        raise FailedPrecondition("no")

    steps = [Step("one", lambda: None, lambda: undone.append("one")), Step("two", lambda: None, failing), Step("three", fail)]
    number = Number([0])
    number.plan = lambda want, have, engine: Plan(steps)  # type: ignore[method-assign]
    with pytest.raises(FailedPrecondition) as caught:
        converge(number, {"value": 1}, None, False)
    assert undone == ["one"]
    assert caught.value.details["undo_errors"] == ["two: cannot undo"]
