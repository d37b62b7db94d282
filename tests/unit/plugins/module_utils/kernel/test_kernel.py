# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparing, rendering, converging: what makes check mode and diff mode true."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError, FailedPrecondition
from ansible_collections.fleet.containerd.plugins.module_utils.kernel.converge import Facts, Plan, Step, converge
from ansible_collections.fleet.containerd.plugins.module_utils.kernel.field import (
    IGNORE,
    MORE,
    STRICT,
    Change,
    Field,
    compare,
    outcome,
    render,
    same,
)
from ansible_collections.fleet.containerd.plugins.module_utils.kernel.interrupt import (
    Interrupted,
    check,
    interruptible,
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


def test_what_there_is_after_a_change() -> None:
    before, after = {"a": 1, "b": 1}, {"b": 2}
    assert outcome(Change(Field("x", "dict", MORE), before, after)) == {"a": 1, "b": 2}
    assert outcome(Change(Field("x", "dict"), before, after)) == {"b": 2}
    assert render([Change(Field("x", show=len), before, after)]) == ({"x": 2}, {"x": 1})


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
        return Plan(steps, {"value": have}, {"value": want}, lambda end: Facts({"value": end}))


def test_check_mode_tells_the_same_actions_and_does_nothing() -> None:
    """I15: check mode writes nothing, by construction: only the steps of a plan do, and it carries out none."""
    state = [1]
    number = Number(state)
    told = converge(number, {"value": 3}, None, True)
    assert (told.changed, told.actions, state, number.locked) == (True, ["to 2", "to 3"], [1], 0)
    done = converge(number, {"value": 3}, None, False)
    assert done.actions == told.actions
    assert done.diff == told.diff == {"before": {"value": 1}, "after": {"value": 3}}
    assert (state, done.facts.result) == ([3], {"value": 3})
    again = converge(number, {"value": 3}, None, False)
    assert (again.changed, again.actions) == (False, [])


def test_a_failing_step_takes_back_those_before_it() -> None:
    state = [0]
    with pytest.raises(FailedPrecondition) as caught:
        converge(Number(state, fail_at=3), {"value": 4}, None, False)
    assert state == [0]
    assert caught.value.details["failed_action"] == "to 3"
    assert caught.value.details["actions"] == ["to 1", "to 2"]
    assert caught.value.details["undone"] == ["to 2", "to 1"]
    assert caught.value.details["changed"] is False


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


class Steps:
    """A resource whose plan is given. events: what was done, in order."""

    def __init__(self) -> None:
        self.events: t.List[str] = []
        self.plans: t.List[Step] = []
        self.undone = ""

    def did(self, word: str) -> t.Callable[[], None]:
        return lambda: self.events.append(word)

    def fails(self, word: str) -> t.Callable[[], None]:
        def run() -> None:
            self.events.append(word)
            raise FailedPrecondition(f"{word} failed")

        return run

    def interrupted(self) -> None:
        self.events.append("interrupted")
        raise Interrupted("SIGTERM came")

    def step(self, word: str, **more: t.Any) -> Step:
        return Step(word, self.did(word), self.did(f"undo {word}"), **more)

    def desired(self, params: t.Mapping[str, t.Any], engine: t.Any) -> None:
        return None

    def observe(self, want: None, engine: t.Any) -> None:
        return None

    def plan(self, want: None, have: None, engine: t.Any) -> Plan:
        return Plan(self.plans, undone=self.undone)

    @contextlib.contextmanager
    def lock(self, want: None, engine: t.Any) -> t.Iterator[Steps]:
        self.events.append("lock")
        yield self
        self.events.append("unlock")

    @contextlib.contextmanager
    def released(self) -> t.Iterator[None]:
        self.events.append("unlock")
        try:
            yield
        finally:
            self.events.append("lock")


class Closed(t.NamedTuple):
    """Has a close() that is noted."""

    events: t.List[str]

    def close(self) -> None:
        self.events.append("closed")


def test_what_has_settled_stays() -> None:
    steps = Steps()
    steps.plans = [
        steps.step("make"),
        steps.step("start", settles=True),
        Step("clear", steps.fails("clear"), spare="Nobody minds"),
        steps.step("more"),
        Step("end", steps.fails("end")),
    ]
    with pytest.raises(FailedPrecondition, match="^end failed$") as caught:
        converge(steps, {}, None, False)
    assert steps.events == ["lock", "make", "start", "clear", "more", "end", "undo more"]
    details = caught.value.details
    assert (details["actions"], details["undone"], details["changed"]) == (["make", "start", "more"], ["more"], True)
    steps.plans.pop()
    done = converge(steps, {}, None, False)
    assert done.actions == ["make", "start", "more"]
    assert done.facts.warnings == ["clear: clear failed. Nobody minds"]


def test_what_is_told_comes_from_the_plan_that_was_carried_out() -> None:
    steps = Steps()
    found: t.List[str] = []
    events = steps.events

    @contextlib.contextmanager
    def around() -> t.Iterator[None]:
        events.append("begin")
        try:
            yield
        finally:
            events.append("finish")

    def plan(want: None, have: None, engine: t.Any) -> Plan:
        words: t.List[str] = []  # of this plan
        found_by_a_step = Step("look", lambda: words.append("seen"))
        spare = Step("clear", steps.fails("clear"), spare="Nobody minds")
        return Plan(
            [found_by_a_step, spare],
            facts=lambda end: Facts({"words": words, "warnings": found}, ["while it was done"], "it ended with 1"),
            warnings=["before"],
            around=around(),
        )

    steps.plan = plan  # type: ignore[method-assign]
    done = converge(steps, {}, None, False)
    assert done.facts.result == {"words": ["seen"], "warnings": []}
    assert done.facts.warnings == ["before", "while it was done", "clear: clear failed. Nobody minds"]
    assert (done.changed, done.facts.failure) == (True, "it ended with 1")
    assert events == ["lock", "begin", "clear", "finish"]
    told = converge(steps, {}, None, True)
    assert told.facts == Facts({"words": [], "warnings": []}, ["before", "while it was done"], "it ended with 1")


def test_what_is_around_the_steps_ends_where_one_fails() -> None:
    steps = Steps()
    steps.plan = lambda want, have, engine: Plan(  # type: ignore[method-assign]
        [steps.step("one"), Step("two", steps.fails("two"))], around=contextlib.closing(closed)
    )
    closed = Closed(steps.events)
    with pytest.raises(FailedPrecondition):
        converge(steps, {}, None, False)
    assert steps.events[:5] == ["lock", "one", "two", "undo one", "closed"]


def test_steps_that_stand_alone_fail_together() -> None:
    steps = Steps()
    steps.plans = [
        Step("one", steps.fails("one"), alone=True),
        steps.step("two"),
        Step("three", steps.fails("three"), alone=True),
    ]
    done = converge(steps, {}, None, False)
    assert (done.actions, done.facts.failure) == (["two"], "one failed; three failed")
    assert [type(one) for one in done.failures] == [FailedPrecondition] * 2


@pytest.mark.parametrize("how", [{"spare": "Nobody minds"}, {"alone": True}])
def test_the_holder_of_the_lock_is_told_of_a_step_that_failed_though_the_task_goes_on(how: t.Mapping[str, t.Any]) -> None:
    """It tidies up what that step has left (engine_host/place.py)."""

    class Tidied(Steps):
        @contextlib.contextmanager
        def lock(self, want: None, engine: t.Any) -> t.Iterator[Steps]:
            try:
                yield self
            except EngineError:
                self.events.append("tidy")
                raise

    steps = Tidied()
    steps.plans = [Step("clear", steps.fails("clear"), **how), steps.step("more")]
    assert converge(steps, {}, None, False).actions == ["more"]
    assert steps.events == ["clear", "more", "tidy"]
    steps.plans.pop(0)
    steps.events.clear()
    converge(steps, {}, None, False)
    assert steps.events == ["more"]


def test_a_step_that_fails_half_way_is_taken_back_and_it_is_said() -> None:
    steps = Steps()
    steps.undone = "all is as before"
    steps.plans = [steps.step("one"), Step("two", steps.fails("two"), steps.did("undo two"), partial=True)]
    with pytest.raises(FailedPrecondition, match="^two failed; all is as before$") as caught:
        converge(steps, {}, None, False)
    assert steps.events == ["lock", "one", "two", "undo two", "undo one"]
    assert (caught.value.details["undone"], caught.value.details["changed"]) == (["one"], False)


def test_nothing_is_locked_while_a_step_waits() -> None:
    steps = Steps()
    steps.plans = [steps.step("start"), Step("end", steps.did("look"), wait=steps.did("wait"))]
    assert converge(steps, {}, None, False).actions == ["start", "end"]
    assert steps.events == ["lock", "start", "unlock", "wait", "lock", "look", "unlock"]


def test_an_interruption_abandons_what_runs_and_takes_back() -> None:
    steps = Steps()
    steps.plans = [
        steps.step("start", settles=True, abandon=steps.did("abandon")),
        steps.step("other"),
        Step("end", steps.did("look"), wait=steps.interrupted),
    ]
    with pytest.raises(Interrupted, match="^the task was interrupted: SIGTERM came$") as caught:
        converge(steps, {}, None, False)
    assert steps.events == ["lock", "start", "other", "unlock", "interrupted", "lock", "abandon", "undo other"]
    assert caught.value.details["undone"] == ["other"]
    steps.events.clear()
    steps.plans[-1] = Step("end", steps.fails("end"))
    with pytest.raises(FailedPrecondition):
        converge(steps, {}, None, False)
    assert "abandon" not in steps.events


def test_an_interrupted_start_is_taken_back_and_not_abandoned() -> None:
    """What is abandoned may be gone, and then the steps before could not be taken back."""
    steps = Steps()
    start = Step("start", steps.interrupted, steps.did("undo start"), partial=True, settles=True, abandon=steps.did("abandon"))
    steps.plans = [steps.step("swap"), start]
    with pytest.raises(Interrupted):
        converge(steps, {}, None, False)
    assert steps.events == ["lock", "swap", "interrupted", "undo start", "undo swap"]


def test_a_signal_interrupts_once(tmp_path: pathlib.Path) -> None:
    """In a process of its own, since a signal that has come is not forgotten."""
    said = tmp_path / "said"
    pid = os.fork()
    if not pid:
        status = 1
        try:
            with interruptible():
                try:
                    os.kill(os.getpid(), signal.SIGTERM)
                    time.sleep(10)
                except Interrupted as interrupted:
                    os.kill(os.getpid(), signal.SIGHUP)
                    time.sleep(0.01)
                    said.write_text(str(interrupted))
            with pytest.raises(Interrupted):
                check()
            status = 0 if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL else 1
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert said.read_text() == "the task was interrupted: SIGTERM came"


class Late(Steps):
    """A signal comes when all steps are done: to whoever looks at the outcome."""

    def observe(self, want: None, engine: t.Any) -> None:
        if "one" in self.events:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)


def test_a_signal_that_comes_when_all_is_done_comes_too_late(tmp_path: pathlib.Path) -> None:
    """An interrupted task has undone what it did; this one has not, so it tells that."""
    said = tmp_path / "said"
    pid = os.fork()
    if not pid:
        try:
            late = Late()
            late.plans = [late.step("one")]
            with interruptible():
                outcome = converge(late, {}, None, False)
                # That was one task. Nothing has come for the next.
                check()
            with pytest.raises(Interrupted), interruptible():
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(10)
            said.write_text(f"{outcome.changed} {outcome.actions} {late.events}")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert said.read_text() == "True ['one'] ['lock', 'one', 'unlock']"


def test_a_reader_that_is_gone_interrupts() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            os.dup2(writer, 1)
            check(reader=True)
            os.close(reader)
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                # The parent has it open still, for a moment.
                check(reader=True)
        except Interrupted:
            status = 0
        finally:
            os._exit(status)
    # Ours would keep it readable, and the parent's standard output is the test's.
    os.close(reader)
    os.close(writer)
    assert os.waitpid(pid, 0)[1] == 0
