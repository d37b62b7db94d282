# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One engine of a test's own: the playbooks against it, and what of it is to be seen on the host."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import NAME, STAGE
from ansible_collections.fleet.containerd.plugins.module_utils.engine_containerd.engine import ContainerdEngine
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mounted
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.jobs import container_lock
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.options.life import Stop
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.steps import remove, stop
from ansible_collections.fleet.containerd.tests.support import ansible, trees
from ansible_collections.fleet.containerd.tests.support.containerds import Daemon
from ansible_collections.fleet.containerd.tests.support.leftovers import clean_up, mounts_below, processes_with
from ansible_collections.fleet.containerd.tests.support.waiting import until

_S = t.TypeVar("_S", bound="Site")
CGROUPS = pathlib.Path("/sys/fs/cgroup")


#: One line for everything that a write could change about the files below some directories. Of the database's journal SQLite, as root,
#: makes sure of the owner whenever it reads.
_FILES = "find {} ! -name metadata.db-journal -printf '%p %y %m %U %G %s %l %n %i %T@ %C@\\n' | LC_ALL=C sort | sha256sum"


class Site:
    """Roots below base, a namespace of its own (so that its cgroups can be told from others'). A subclass for each engine."""

    def __init__(self, base: pathlib.Path, namespace: str) -> None:
        self.data, self.state, self.namespace = base / "data", base / "state", namespace
        self.defaults: t.Dict[str, t.Any] = {"data_root": str(self.data), "namespace": namespace}

    # Playbooks

    def play(self, *tasks: ansible.Task, **how: t.Any) -> ansible.Play:
        """Run tasks; how as in ansible.play."""
        return ansible.play(tasks, defaults={**self.defaults, **how.pop("defaults", {})}, **how)

    def predict(self, *tasks: ansible.Task, **how: t.Any) -> ansible.Play:
        """Run tasks in check mode, and make sure that this touches nothing."""
        before = self.everything()
        done = self.play(*tasks, check=True, **how)
        trees.assert_same(before[0], self.tree(), names=("the roots before check mode", "after it"))
        assert before[1] == self.records(), "check mode changed records"
        return done

    def converge(self, *tasks: ansible.Task, **how: t.Any) -> t.List[ansible.TaskResult]:
        """Tasks that do not depend on each other and change something each: in check mode, for real, and again.

        Check mode tells the same actions and touches nothing; the second run changes nothing. The results of the real run.
        """
        before = self.look(**how)
        predicted = self.play(*({**task, "check_mode": True} for task in tasks), **how).results
        assert self.look(**how) == before, "check mode changed files or records"
        number = len(tasks)
        done = self.play(*tasks, *tasks, **how).results
        real, again = done[:number], done[number:]
        assert [one.actions for one in predicted] == [one.actions for one in real]
        assert all(one.changed and one.actions for one in [*predicted, *real])
        assert [one.actions for one in again] == [[]] * number
        assert not any(one.changed for one in again)
        return real

    # What is there

    def look(self, under: t.Sequence[str] = (), **_how: t.Any) -> t.Tuple[str, t.Dict[str, t.List[t.Any]]]:
        """What changes when anything of this engine does. under: a command for who is to look at the files."""
        roots = [str(root) for root in (self.data, self.state) if root.exists()]
        if not roots:
            return "", self.records()
        command = [*under, "sh", "-c", _FILES.format(" ".join(roots))]
        # starts: sh, find, sort, sha256sum
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout, self.records()

    def tree(self) -> trees.Tree:
        """All files of both roots."""
        found: trees.Tree = {}
        for root in (self.data, self.state):
            if root.exists():
                found.update({f"{root.name}/{name}": node for name, node in trees.snapshot(root).items()})
        return found

    def records(self) -> t.Dict[str, t.List[t.Any]]:
        """What is not in files of ours; by kind."""
        return {}

    def everything(self) -> t.Tuple[trees.Tree, t.Dict[str, t.List[t.Any]]]:
        """To be compared with what is there later."""
        return self.tree(), self.records()

    def untouched(self) -> bool:
        """Nothing was ever made."""
        return not self.data.exists() and not any(self.records().values())

    def engine(self) -> t.ContextManager[t.Any]:
        raise NotImplementedError

    def blob_path(self, digest: str) -> pathlib.Path:
        """Where the engine keeps a blob."""
        raise NotImplementedError

    def bundle(self, container_id: str) -> pathlib.Path:
        """The OCI bundle of a running container."""
        raise NotImplementedError

    def blobs(self) -> t.Set[str]:
        """The digests of all blobs, each compared with its content."""
        with self.engine() as engine:
            found = {str(info.digest) for info in engine.content.walk()}
        for digest in found:
            assert f"sha256:{hashlib.sha256(self.blob_path(digest).read_bytes()).hexdigest()}" == digest
        return found

    def container_directory(self, result: t.Mapping[str, t.Any]) -> pathlib.Path:
        """The directory of a container that a task has returned."""
        (found,) = self.data.glob(f"containers/*/{self.namespace}/{result['container']['Id']}")
        return found

    def leftovers_of_mounts(self) -> t.List[str]:
        """What is mounted in directories of containers."""
        return [point for point in mounts_below(self.data) if "/containers/" in point]

    def collect(self) -> None:
        """Garbage goes now."""
        with self.engine() as engine:
            engine.collect()

    def snapshots(self) -> t.List[t.Any]:
        with self.engine() as engine:
            return t.cast(t.List[t.Any], engine.snapshotter().walk())

    def unpacked(self, top: str, scratch: pathlib.Path) -> trees.Tree:
        """The tree of a committed snapshot (by chain id)."""
        scratch.mkdir(exist_ok=True)
        with self.engine() as engine, engine.snapshotter().look(top, view=True) as target, mounted(target.mounts(), str(scratch)):
            return trees.snapshot(scratch)

    def cgroups(self) -> t.List[pathlib.Path]:
        return [path for top in CGROUPS.glob(f"*/{self.namespace}") for path in top.iterdir() if path.is_dir()]

    def shims(self) -> t.Dict[int, t.List[str]]:
        """Processes that hold containers of this namespace: pid and arguments."""
        raise NotImplementedError

    def wait_for_ends(self) -> None:
        """Once no container runs: their shims tell that they have ended, give back what they had, and end a moment later."""
        until(lambda: len(self.shims()) == self.lasting_shims())

    def lasting_shims(self) -> int:
        """How many shims there are of containers that have ended."""
        return 0

    def leftovers(self) -> t.List[str]:
        """What is on the host that should not be when there is no container, a line each."""
        found = [f"process {pid}: {' '.join(arguments)}" for pid, arguments in self.shims().items()]
        found += [f"mount {point}" for root in (self.data, self.state) for point in mounts_below(root)]
        found += [f"cgroup {path}" for path in self.cgroups()]
        return found + [f"container directory {path}" for path in self.data.glob("containers/*/*/*")]

    def strays(self) -> t.List[str]:
        """What nothing needs: what a killed run left and the next one should have used or removed."""
        with self.engine() as engine:
            kept = {container.snapshot_key for container in engine.containers.list()}
            ids = {container.id for container in engine.containers.list()}
            snapshots = engine.snapshotter().walk()
            found = [f"ingest {one.ref}" for one in engine.content.ingests()]
        found += [f"snapshot {info.name}" for info in snapshots if info.kind != "committed" and info.name not in kept]
        directories = self.data.glob(f"containers/*/{self.namespace}/*")
        found += [f"directory {path}" for path in directories if path.name not in ids]
        found += [f"mount {point}" for point in mounts_below(self.data) if not ids & set(point.split("/"))]
        found += [f"cgroup {path}" for path in self.cgroups() if path.name not in ids]
        # A shim ends a moment after its container has been removed.
        with contextlib.suppress(AssertionError):
            until(lambda: len(self.shims()) <= len(ids), 10.0)
        shims = len(self.shims())
        return found + [f"{shims} shims for {len(ids)} containers"] * (shims > len(ids))

    def remove_containers(self) -> None:
        """As state=absent does, without the second that a playbook takes."""
        with self.engine() as engine:
            for container in engine.containers.list():
                name = container.labels.get(NAME) or container.labels.get(STAGE)
                assert name, container.labels
                with container_lock(engine, name):
                    stop(engine, container, Stop(kill=signal.SIGKILL))
                    remove(engine, container)

    def remove_images(self) -> None:
        with self.engine() as engine:
            for image in engine.images.list():
                engine.images.delete(image.name)

    def finish(self) -> None:
        """The containers go, and nothing of them may be left on the host."""
        self.remove_containers()
        # A program that has just started one of them again (boot.py) ends by itself.
        with contextlib.suppress(AssertionError):
            until(lambda: not self.leftovers(), 10.0)
        left = self.leftovers()
        assert not left, left

    def close(self) -> None:
        """Whatever a failed test left goes."""
        for top in CGROUPS.glob(f"*/{self.namespace}"):
            for path in sorted(top.glob("**/"), key=lambda one: len(one.parts), reverse=True):
                with contextlib.suppress(OSError):
                    os.rmdir(path)
        for root in (self.data, self.state):
            if not mounts_below(root):
                shutil.rmtree(root, ignore_errors=True)


class EmbeddedSite(Site):
    """The embedded engine."""

    def __init__(self, base: pathlib.Path, namespace: str) -> None:
        super().__init__(base, namespace)
        self.defaults.update(engine="embedded", state_root=str(self.state))

    @contextlib.contextmanager
    def engine(self) -> t.Iterator[EmbeddedEngine]:
        with contextlib.closing(EmbeddedEngine(self.namespace, str(self.data), str(self.state))) as engine:
            yield engine

    def blob_path(self, digest: str) -> pathlib.Path:
        return self.data / "content" / "blobs" / digest.replace(":", "/")

    def bundle(self, container_id: str) -> pathlib.Path:
        return self.state / self.namespace / container_id

    def shims(self) -> t.Dict[int, t.List[str]]:
        return processes_with(self.state)

    def leftovers(self) -> t.List[str]:
        found = [f"bundle {path}" for path in self.state.glob("*/*") if path.parent.name != "runc"]
        found += [f"cgroup {path}" for path in CGROUPS.glob(f"*/{self.namespace}")]
        return [*super().leftovers(), *found, *(f"runtime state {path}" for path in self.state.glob("runc/*/*"))]

    def strays(self) -> t.List[str]:
        content = self.data / "content"
        with self.engine() as engine:
            known = {info.digest.hex for info in engine.content.walk()}
            ids = {container.id for container in engine.containers.list()}
            rows = engine._database.query("SELECT id FROM leases")
            snapshots = engine.snapshotter().walk()
        found = [f"blob {path.name}" for path in content.glob("blobs/sha256/*") if path.name not in known]
        found += [f"ingest directory {path.name}" for path in content.glob("ingest/*") if path.is_dir()]
        found += [f"lease {row[0]}" for row in rows]
        directories = list(self.data.glob("snapshots/*/*"))
        found += [f"{len(directories)} directories for {len(snapshots)} snapshots"] * (len(directories) != len(snapshots))
        found += [f"bundle {path}" for path in self.state.glob(f"{self.namespace}/*") if path.name not in ids]
        return [*super().strays(), *found]

    def close(self) -> None:
        clean_up(self.data, self.state)
        super().close()


class DaemonSite(Site):
    """One namespace of a running containerd."""

    def __init__(self, base: pathlib.Path, namespace: str, daemon: Daemon) -> None:
        super().__init__(base, namespace)
        self.daemon = daemon
        self.defaults.update(engine="containerd", address=daemon.address)

    def ctr(self, *arguments: str) -> str:
        return self.daemon.ctr(*arguments, namespace=self.namespace).stdout

    def converge(self, *tasks: ansible.Task, **how: t.Any) -> t.List[ansible.TaskResult]:
        # What an earlier task has left for the daemon's collector must not go while somebody compares.
        self.collect()
        return super().converge(*tasks, **how)

    def collect(self) -> None:
        """Garbage goes now, not when the daemon comes to it."""
        with self.engine() as engine:
            engine._rpc.call("leases.v1.Leases/Create", {"id": "collect"})
            engine._rpc.call("leases.v1.Leases/Delete", {"id": "collect", "sync": True})

    def records(self) -> t.Dict[str, t.List[t.Any]]:
        with self.engine() as engine:
            rpc = engine._rpc
            snapshots = rpc.stream("snapshots.v1.Snapshots/List", {"snapshotter": "overlayfs"})
            found = {
                "images": rpc.call("images.v1.Images/List")["images"],
                "containers": rpc.call("containers.v1.Containers/List")["containers"],
                "tasks": rpc.call("tasks.v1.Tasks/List")["tasks"],
                "leases": rpc.call("leases.v1.Leases/List")["leases"],
                "ingests": rpc.call("content.v1.Content/ListStatuses")["statuses"],
                "blobs": [info for answer in rpc.stream("content.v1.Content/List") for info in answer["info"]],
                "snapshots": [info for answer in snapshots for info in answer["info"]],
            }
        # The daemon lists tasks and some others in no order.
        return {kind: sorted(records, key=repr) for kind, records in found.items()}

    @contextlib.contextmanager
    def engine(self) -> t.Iterator[ContainerdEngine]:
        with contextlib.closing(ContainerdEngine(self.daemon.address, self.namespace, "", str(self.data))) as engine:
            yield engine

    def blob_path(self, digest: str) -> pathlib.Path:
        return self.daemon.root / "io.containerd.content.v1.content" / "blobs" / digest.replace(":", "/")

    def bundle(self, container_id: str) -> pathlib.Path:
        return self.daemon.state / "io.containerd.runtime.v2.task" / self.namespace / container_id

    def shims(self) -> t.Dict[int, t.List[str]]:
        running = processes_with(self.daemon.base)
        return {pid: argv for pid, argv in running.items() if self.namespace in argv} | processes_with(self.data)

    def lasting_shims(self) -> int:
        return len(self.records()["tasks"])

    def leftovers(self) -> t.List[str]:
        records = self.records()
        found = [f"{kind} {one}" for kind in ("containers", "tasks", "leases", "ingests") for one in records[kind]]
        found += [f"mount {point}" for point in mounts_below(self.bundle("x").parent)]
        return [*super().leftovers(), *found, *(f"bundle {path}" for path in self.bundle("x").parent.glob("*"))]

    def strays(self) -> t.List[str]:
        found = super().strays()
        return found + [f"lease {one['id']}" for one in self.records()["leases"]]

    def finish(self) -> None:
        """When the images go too, nothing is left of the namespace in the daemon."""
        super().finish()
        self.remove_images()
        self.collect()
        records = self.records()
        assert records == {kind: [] for kind in records}

    def close(self) -> None:
        with contextlib.suppress(EngineError), self.engine() as engine:
            for container in engine.containers.list():
                remove(engine, container)
            self.remove_images()
        super().close()


def new_namespace() -> str:
    return f"test-{secrets.token_hex(4)}"


def new_site(base: pathlib.Path, daemon: t.Optional[Daemon]) -> Site:
    """An engine of the test's own: in the daemon, or embedded."""
    return DaemonSite(base, new_namespace(), daemon) if daemon else EmbeddedSite(base, new_namespace())


@contextlib.contextmanager
def finished(made: _S) -> t.Iterator[_S]:
    """When the context ends and its containers are removed, nothing of them may be left on the host."""
    try:
        yield made
        made.finish()
    finally:
        made.close()
