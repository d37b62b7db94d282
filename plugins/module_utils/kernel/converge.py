# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""desired -> observe -> plan -> apply: the one way in which a module changes anything.

changed means "the plan has steps", so check mode and diff mode are properties of the plan and no promise of each module.
"""

from __future__ import annotations

import typing as t

from ..errors import EngineError


class Step(t.NamedTuple):
    """One action: title as a user reads it, run does it, undo takes it back when a later step fails.

    alone: nothing else depends on it: when it fails the other steps are done all the same, and the task fails at its end.
    """

    title: str
    run: t.Callable[[], t.Any]
    undo: t.Optional[t.Callable[[], t.Any]] = None
    alone: bool = False


class Plan(t.NamedTuple):
    """steps in order; before and after of the diff (rendered already); more keys for the result (recreated_because, ...).

    before and after are mappings, or the texts of a file; path is that file's. failures: what cannot be done, while the steps can.
    after may also be a function that makes it from what is observed at the end (in check mode: from what is there).
    foresee: called in check mode, in place of the steps. Raises what they would find out on their way; gives warnings.
    """

    steps: t.Sequence[Step] = ()
    before: t.Union[str, t.Mapping[str, t.Any]] = {}
    after: t.Union[str, t.Mapping[str, t.Any], t.Callable[[t.Any], t.Mapping[str, t.Any]]] = {}
    result: t.Mapping[str, t.Any] = {}
    path: str = ""
    failures: t.Sequence[EngineError] = ()
    foresee: t.Optional[t.Callable[[], t.Sequence[str]]] = None

    def diff(self, have: t.Any) -> t.Dict[str, t.Any]:
        """What Ansible shows with --diff. have: what was observed at the end."""
        headers = {"before_header": self.path, "after_header": self.path} if self.path else {}
        return {"before": self.before, "after": self.after(have) if callable(self.after) else self.after, **headers}


class Resource(t.Protocol):
    """A noun that playbooks manage. W is its desired value, H what was found (None: nothing)."""

    def desired(self, params: t.Mapping[str, t.Any], engine: t.Any) -> t.Any:
        """Parse the parameters. May read (also ask a registry), never writes. InvalidArgument names option and value."""

    def observe(self, want: t.Any, engine: t.Any) -> t.Any:
        """What is there now. Reads only."""

    def plan(self, want: t.Any, have: t.Any, engine: t.Any) -> Plan:
        """What has to be done. Reads only."""

    def lock(self, want: t.Any, engine: t.Any) -> t.ContextManager[t.Any]:
        """Held while a plan is made again and carried out, so that two playbooks at once serialise."""

    def facts(self, want: t.Any, have: t.Any, engine: t.Any) -> t.Dict[str, t.Any]:
        """The keys that describe the object in the result."""


class Outcome(t.NamedTuple):
    """What a module returns. failures: the task has failed, in part."""

    changed: bool
    actions: t.List[str]
    diff: t.Dict[str, t.Any]
    result: t.Dict[str, t.Any]
    failures: t.Sequence[EngineError] = ()


def _apply(steps: t.Sequence[Step], failures: t.List[EngineError]) -> t.List[str]:
    """Titles of what was done; the failures of steps that stand alone are added to failures."""
    done: t.List[Step] = []
    finished = False
    troubles: t.List[str] = []
    try:
        for step in steps:
            try:
                step.run()
            except EngineError as error:
                if step.alone:
                    failures.append(error)
                    continue
                error.details.update(failed_action=step.title, actions=[one.title for one in done], undo_errors=troubles)
                raise
            done.append(step)
        finished = True
    finally:
        if not finished:
            troubles.extend(_undo(done))
    return [step.title for step in done]


def _undo(done: t.Sequence[Step]) -> t.Iterator[str]:
    """Take back what was done, last first; a failing undo does not stop the others."""
    for step in reversed(done):
        if step.undo:
            try:
                step.undo()
            except EngineError as error:
                yield f"{step.title}: {error}"


def converge(resource: Resource, params: t.Mapping[str, t.Any], engine: t.Any, check_mode: bool) -> Outcome:
    """Bring the object to its desired state; in check mode only tell the steps.

    Where a run was killed the lock is taken even when there are no steps: whoever holds it tidies up (engine/api.py: lock).
    """
    want = resource.desired(params, engine)
    have = resource.observe(want, engine)
    plan = resource.plan(want, have, engine)
    actions, failures = [step.title for step in plan.steps], list(plan.failures)
    if not check_mode and (plan.steps or (engine is not None and engine.interrupted())):
        with resource.lock(want, engine):
            have = resource.observe(want, engine)
            plan = resource.plan(want, have, engine)
            failures = list(plan.failures)
            actions = _apply(plan.steps, failures)
            have = resource.observe(want, engine)
    warnings = plan.foresee() if plan.foresee and plan.steps and check_mode else ()
    result = {**plan.result, **resource.facts(want, have, engine)}
    if warnings:
        result["warnings"] = [*result.get("warnings", ()), *warnings]
    return Outcome(bool(actions), actions, plan.diff(have), result, failures)
