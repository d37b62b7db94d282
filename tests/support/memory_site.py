# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests/support/site.py is to the real engines, for the engine in memory: the same words, so that a test which needs no kernel
says the same here in milliseconds.

A task is a run of its module in this process, from the arguments (with the module's own argument spec) to what it prints. No
ansible-playbook is in between: no templates, no loops, no tasks of other collections.
"""

from __future__ import annotations

import contextlib
import pathlib
import typing as t

from . import trees
from .ansible import COLLECTION, Play, PlayFailed, Task, TaskResult
from .direct import Direct
from .memory_engine import MemoryEngine
from .memory_store import World


def play(
    tasks: t.Sequence[Task],
    defaults: t.Optional[t.Mapping[str, t.Any]] = None,
    engine: t.Optional[MemoryEngine] = None,
    check: bool = False,
    failing: bool = False,
    diff: bool = True,
) -> Play:
    """As ansible.play. defaults: options of every task, as those of an action group. engine: for the modules that use one.

    diff: the results have it in any case.
    """
    direct, results = Direct(defaults or {}, engine), []
    for task in tasks:
        (module,) = (key for key in task if key.startswith(COLLECTION))
        kind = module[len(f"{COLLECTION}containerd_") :]
        result = direct.result(kind, task.get("check_mode", check), **(task[module] or {}))
        results.append(TaskResult(str(task.get("name", "")), "failed" if result.get("failed") else "ok", result))
        if results[-1].failed and not task.get("ignore_errors"):
            break
    failed = results[-1].failed and not tasks[len(results) - 1].get("ignore_errors")
    if failed != failing:
        raise PlayFailed(f"the play should {'' if failing else 'not '}fail: {results[-1].result}")
    return Play(2 if failed else 0, results, direct.printed)


class MemorySite:
    """One namespace of an engine in memory, and the modules against it. kind: which engine it passes for."""

    def __init__(self, base: pathlib.Path, kind: str = "embedded", namespace: str = "default") -> None:
        self.base, self.data, self.namespace = base, base / "data", namespace
        self.world = World()
        self.memory = MemoryEngine(namespace, self.world, kind)
        #: Options of every task, as those of an action group.
        self.defaults: t.Dict[str, t.Any] = {"engine": kind, "namespace": namespace, "data_root": str(self.data)}

    # Tasks

    def play(self, *tasks: Task, defaults: t.Optional[t.Mapping[str, t.Any]] = None, **how: t.Any) -> Play:
        """Run tasks; how as in play."""
        return play(tasks, {**self.defaults, **(defaults or {})}, self.memory, **how)

    def predict(self, *tasks: Task, **how: t.Any) -> Play:
        """Run tasks in check mode, and make sure that this touches nothing."""
        before = self.everything()
        done = self.play(*tasks, check=True, **how)
        trees.assert_same(before[0], self.tree(), names=("before check mode", "after it"))
        assert before[1] == self.records(), "check mode changed records"
        return done

    def converge(self, *tasks: Task, **how: t.Any) -> t.List[TaskResult]:
        """Tasks that do not depend on each other and change something each: in check mode, for real, and again.

        Check mode tells the same actions and touches nothing; the second run changes nothing. The results of the real run.
        """
        predicted = self.predict(*tasks, **how).results
        real, again = self.play(*tasks, **how).results, self.play(*tasks, **how).results
        assert [one.actions for one in predicted] == [one.actions for one in real]
        assert all(one.changed and one.actions for one in [*predicted, *real])
        assert [one.actions for one in again] == [[]] * len(tasks)
        assert not any(one.changed for one in again)
        return real

    # What is there

    @contextlib.contextmanager
    def engine(self) -> t.Iterator[MemoryEngine]:
        """As with the other sites; it is always the same one."""
        yield self.memory

    def tree(self) -> trees.Tree:
        """All files of its snapshots and containers."""
        return trees.snapshot(self.world.directory)

    def records(self) -> t.Dict[str, t.List[t.Any]]:
        """What is not in files, by kind."""
        space = self.memory.content.space
        return {
            "images": sorted(space.images.values()),
            "containers": sorted(space.containers.values(), key=lambda one: one.id),
            "tasks": space.tasks.list(),
            "leases": sorted(space.leases),
            "ingests": self.memory.content.ingests(),
            "blobs": list(self.memory.content.walk()),
            "snapshots": sorted(space.snapshots.values(), key=lambda one: one.name),
        }

    def everything(self) -> t.Tuple[trees.Tree, t.Dict[str, t.List[t.Any]]]:
        """To be compared with what is there later."""
        return self.tree(), self.records()

    def untouched(self) -> bool:
        """Nothing was ever made."""
        return not any(self.records().values()) and not self.data.exists()

    def blobs(self) -> t.Set[str]:
        """The digests of all blobs."""
        return {str(info.digest) for info in self.memory.content.walk()}

    def snapshots(self) -> t.List[t.Any]:
        return self.memory.snapshotter().walk()

    def task_of(self, name: str) -> t.Any:
        """The task of a container, by the container's name."""
        (container,) = (one for one in self.memory.containers.list() if one.labels.get("nerdctl/name") == name)
        return self.memory.tasks.state(container.id)

    def close(self) -> None:
        self.world.close()
