# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""desired -> observe -> plan -> apply: the one way in which a module changes anything.

changed means "the plan has steps". So check mode and diff mode are properties of the plan, not promises of each module.
"""

from __future__ import annotations

import contextlib
import typing as t

from ..errors import EngineError
from .interrupt import Interrupted, check, settle


class Step(t.NamedTuple):
    """One action. title: for users. run: does it. undo: undoes it when a later step fails.

    alone: nothing depends on it. When it fails, the other steps are done anyway, and the task fails at its end.
    spare: the same, but the task does not fail. It warns, and adds this sentence to the reason.
    partial: it may fail half-way; then its undo is called too.
    settles: after it, later failures undo nothing that was done up to here.
    wait: called before run, while the lock is not held, so others may change the object meanwhile.
    abandon: called when the task is interrupted in this step or a later one; in a partial step its undo is called instead.
    """

    title: str
    run: t.Callable[[], t.Any]
    undo: t.Optional[t.Callable[[], t.Any]] = None
    alone: bool = False
    spare: str = ""
    partial: bool = False
    settles: bool = False
    wait: t.Optional[t.Callable[[], t.Any]] = None
    abandon: t.Optional[t.Callable[[], t.Any]] = None


class Facts(t.NamedTuple):
    """The facts of a module: keys of its result, warnings, and the reason why the task fails although its steps are done."""

    result: t.Mapping[str, t.Any] = {}
    warnings: t.Sequence[str] = ()
    failure: str = ""


def _no_facts(_have: t.Any) -> Facts:
    return Facts()


class Plan(t.NamedTuple):
    """The steps in order; before and after of the diff (rendered already).

    before and after are mappings, or the texts of the file path. more: other keys of the diff, as ansible.builtin.copy has them.
    after may also be a function of the final observation (in check mode: of the present one).
    facts: makes the Facts from the same. So the plan keeps the findings of its steps, and a resource has no state.
    warnings: those that are known before the steps. around: a context for carrying them out.
    foresee: called in check mode instead of the steps. Raises the errors that they would find on their way; returns warnings.
    undone: the sentence for a failure after which everything was undone.
    """

    steps: t.Sequence[Step] = ()
    before: t.Union[str, t.Mapping[str, t.Any]] = {}
    after: t.Union[str, t.Mapping[str, t.Any], t.Callable[[t.Any], t.Mapping[str, t.Any]]] = {}
    facts: t.Callable[[t.Any], Facts] = _no_facts
    path: str = ""
    warnings: t.Sequence[str] = ()
    foresee: t.Optional[t.Callable[[], t.Sequence[str]]] = None
    undone: str = ""
    around: t.ContextManager[t.Any] = contextlib.nullcontext()
    more: t.Mapping[str, t.Any] = {}

    def diff(self, have: t.Any) -> t.Dict[str, t.Any]:
        """The diff for --diff. have: the final observation."""
        headers = {"before_header": self.path, "after_header": self.path} if self.path else {}
        return {"before": self.before, "after": self.after(have) if callable(self.after) else self.after, **headers, **self.more}


class Resource(t.Protocol):
    """A noun that playbooks manage. W: the desired value. H: the found value (None: nothing). It keeps no state between calls."""

    def desired(self, params: t.Mapping[str, t.Any], engine: t.Any) -> t.Any:
        """Parse the parameters; nothing else gets them. It may read (also from a registry), but never writes.

        InvalidArgument names option and value.
        """

    def observe(self, want: t.Any, engine: t.Any) -> t.Any:
        """Observe the present object. Only reads."""

    def plan(self, want: t.Any, have: t.Any, engine: t.Any) -> Plan:
        """Make the plan. Only reads."""

    def lock(self, want: t.Any, engine: t.Any) -> t.ContextManager[t.Any]:
        """The lock for making the second plan and carrying it out, so that two playbooks at once are serialised.

        If steps wait, the value of the context has released(), a context that releases the lock.
        """


class Outcome(t.NamedTuple):
    """The outcome. failures: those of steps that stand alone. facts.failure: the reason in words why the task has failed."""

    changed: bool
    actions: t.List[str]
    diff: t.Dict[str, t.Any]
    facts: Facts
    failures: t.Sequence[EngineError] = ()


class _Partly(EngineError):
    """Tells the holder of the lock that a step has failed, though the task goes on: what the step has left is tidied up."""


class _Execution:
    """Carries out steps. done: all that were done. open: those that a failure undoes."""

    def __init__(self, plan: Plan, lock: t.Any) -> None:
        self._plan, self._lock = plan, lock
        self.done: t.List[Step] = []
        self._open: t.List[Step] = []
        self.failures: t.List[EngineError] = []
        self.warnings: t.List[str] = []
        self.partly = False

    def steps(self) -> None:
        finished = False
        step = error = None
        try:
            for step in self._plan.steps:
                self._step(step)
            # A signal is answered by undoing all, or comes too late; nothing is in between.
            settle()
            finished = True
        except (EngineError, Interrupted) as found:
            error = found
            raise
        finally:
            if not finished and step:
                undone, troubles = self._undo(step, isinstance(error, Interrupted))
                if error:
                    self._explain(error, step, undone, troubles)

    def _step(self, step: Step) -> None:
        check()
        try:
            if step.wait:
                with self._lock.released():
                    step.wait()
            step.run()
        except EngineError as error:
            if step.alone:
                self.failures.append(error)
            elif step.spare:
                self.warnings.append(f"{step.title}: {error}. {step.spare}")
            else:
                raise
            self.partly = True
            return
        self.done.append(step)
        self._open = [] if step.settles else [*self._open, step]

    def _undo(self, failed: Step, interrupted: bool) -> t.Tuple[t.List[Step], t.List[str]]:
        """Undo the steps, last first, even if one undo fails. Returns the undone ones, and the errors."""
        undone: t.List[Step] = []
        troubles: t.List[str] = []
        begun = [*self.done, *([] if failed.partial else [failed])] if interrupted else []
        abandon = [step.abandon for step in begun if step.abandon]
        for one in abandon[-1:]:
            try:
                one()
            except EngineError as error:
                troubles.append(str(error))
        for step in reversed([*self._open, *([failed] if failed.partial else [])]):
            if step.undo:
                try:
                    step.undo()
                    undone.append(step)
                except EngineError as error:
                    troubles.append(f"{step.title}: {error}")
        return undone, troubles

    def _explain(
        self, error: t.Union[EngineError, Interrupted], failed: Step, undone: t.List[Step], troubles: t.List[str]
    ) -> None:
        """Add details to a failure."""
        others = [step for step in undone if step is not failed]
        note = f"undoing the changes failed: {'; '.join(troubles)}" if troubles else self._plan.undone if others else ""
        if note:
            first, newline, rest = str(error).partition("\n")
            error.args = (f"{first}; {note}{newline}{rest}",)
        error.details.update(
            failed_action=failed.title,
            actions=[step.title for step in self.done],
            undone=[step.title for step in others],
            undo_errors=troubles,
            changed=any(step not in undone for step in self.done),
        )


def converge(resource: Resource, params: t.Mapping[str, t.Any], engine: t.Any, check_mode: bool) -> Outcome:
    """Bring the object to its desired state; in check mode only report the steps.

    After a run was killed, the lock is taken even without steps: its holder tidies up (engine/api.pyi: lock).
    """
    want = resource.desired(params, engine)
    have = resource.observe(want, engine)
    plan = resource.plan(want, have, engine)
    actions = [step.title for step in plan.steps]
    failures: t.Sequence[EngineError] = ()
    warnings: t.Sequence[str] = plan.foresee() if plan.foresee and plan.steps and check_mode else ()
    if not check_mode and (plan.steps or (engine is not None and engine.interrupted())):
        with contextlib.suppress(_Partly), resource.lock(want, engine) as lock:
            have = resource.observe(want, engine)
            plan = resource.plan(want, have, engine)
            run = _Execution(plan, lock)
            with plan.around:
                run.steps()
            actions, failures, warnings = [step.title for step in run.done], run.failures, run.warnings
            have = resource.observe(want, engine)
            if run.partly:
                raise _Partly("a step has failed")
    facts = plan.facts(have)
    told = facts._replace(
        warnings=[*plan.warnings, *facts.warnings, *warnings],
        failure=facts.failure or "; ".join(map(str, failures)),
    )
    return Outcome(bool(actions), actions, plan.diff(have), told, failures)
