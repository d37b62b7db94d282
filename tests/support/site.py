# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One embedded engine of a test's own: the playbooks against it, and what of it is to be seen on the host."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import NAME, STAGE
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mounted
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container_steps import remove
from ansible_collections.fleet.containerd.tests.support import ansible, trees
from ansible_collections.fleet.containerd.tests.support.leftovers import clean_up, mounts_below, processes_with

CGROUPS = pathlib.Path("/sys/fs/cgroup")


#: One line for everything that a write could change about the files below some directories.
_STATE = "find {} -printf '%p %y %m %U %G %s %l %n %i %T@ %C@\\n' | LC_ALL=C sort | sha256sum"


class Site:
    """Roots below base, a namespace of its own (so that its cgroups can be told from others')."""

    def __init__(self, base: pathlib.Path, namespace: str) -> None:
        self.data, self.state, self.namespace = base / "data", base / "state", namespace
        self.defaults: t.Dict[str, t.Any] = {
            "engine": "embedded",
            "data_root": str(self.data),
            "state_root": str(self.state),
            "namespace": namespace,
        }

    # Playbooks

    def play(self, *tasks: ansible.Task, **how: t.Any) -> ansible.Play:
        """Run tasks; how as in ansible.play."""
        return ansible.play(tasks, defaults={**self.defaults, **how.pop("defaults", {})}, **how)

    def predict(self, *tasks: ansible.Task, **how: t.Any) -> ansible.Play:
        """Run tasks in check mode, and make sure that this touches nothing."""
        before = self.tree()
        done = self.play(*tasks, check=True, **how)
        trees.assert_same(before, self.tree(), names=("the roots before check mode", "after it"))
        return done

    def converge(self, *tasks: ansible.Task, **how: t.Any) -> t.List[ansible.TaskResult]:
        """Tasks that do not depend on each other and change something each: in check mode, for real, and again.

        Check mode tells the same actions and touches nothing; the second run changes nothing. The results of the real run.
        """
        roots = [str(root) for root in (self.data, self.state) if root.exists()]
        look = _STATE.format(" ".join(roots)) if roots else f"ls -d {self.data} {self.state} 2>/dev/null || true"
        before = subprocess.run(look, shell=True, check=True, capture_output=True, text=True).stdout.strip()
        number = len(tasks)
        checks = [{**task, "check_mode": True} for task in tasks]
        done = self.play(*checks, {"name": "look", "ansible.builtin.shell": look}, *tasks, *tasks, **how).results
        predicted, after, real, again = done[:number], done[number], done[number + 1 : -number], done[-number:]
        assert after.value("stdout").strip() == before, "check mode changed files"
        assert [one.actions for one in predicted] == [one.actions for one in real]
        assert all(one.changed and one.actions for one in [*predicted, *real])
        assert [one.actions for one in again] == [[]] * number
        assert not any(one.changed for one in again)
        return real

    # The host

    def tree(self) -> trees.Tree:
        """All files of both roots."""
        found: trees.Tree = {}
        for root in (self.data, self.state):
            if root.exists():
                found.update({f"{root.name}/{name}": node for name, node in trees.snapshot(root).items()})
        return found

    @contextlib.contextmanager
    def engine(self) -> t.Iterator[EmbeddedEngine]:
        with contextlib.closing(EmbeddedEngine(self.namespace, str(self.data), str(self.state))) as engine:
            yield engine

    def unpacked(self, top: str, scratch: pathlib.Path) -> trees.Tree:
        """The tree of a committed snapshot (by chain id)."""
        scratch.mkdir(exist_ok=True)
        with self.engine() as engine:
            snapshotter = engine.snapshotter()
            mounts = snapshotter.view("look", top)
            try:
                with mounted(mounts, str(scratch)):
                    return trees.snapshot(scratch)
            finally:
                snapshotter.remove("look")

    def cgroups(self) -> t.List[pathlib.Path]:
        return [path for top in CGROUPS.glob(f"*/{self.namespace}") for path in top.iterdir() if path.is_dir()]

    def leftovers(self) -> t.List[str]:
        """What is on the host that should not be when there is no container, a line each."""
        found = [f"process {pid}: {' '.join(arguments)}" for pid, arguments in processes_with(self.state).items()]
        found += [f"mount {point}" for root in (self.data, self.state) for point in mounts_below(root)]
        found += [f"cgroup {path}" for path in self.cgroups()]
        found += [f"bundle {path}" for path in self.state.glob("*/*") if path.parent.name != "runc"]
        found += [f"runtime state {path}" for path in self.state.glob("runc/*/*")]
        return found + [f"container directory {path}" for path in self.data.glob("containers/*/*")]

    def remove_containers(self) -> None:
        """As state=absent does, without the second that a playbook takes."""
        with self.engine() as engine:
            for container in engine.containers.list():
                assert NAME in container.labels or STAGE in container.labels, container.labels
                remove(engine, container)

    def close(self) -> None:
        """Whatever a failed test left goes."""
        clean_up(self.data, self.state)
        for top in CGROUPS.glob(f"*/{self.namespace}"):
            for path in sorted(top.glob("**/"), key=lambda one: len(one.parts), reverse=True):
                with contextlib.suppress(OSError):
                    os.rmdir(path)
        for root in (self.data, self.state):
            if not mounts_below(root):
                shutil.rmtree(root, ignore_errors=True)
