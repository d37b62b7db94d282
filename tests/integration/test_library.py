# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The library that a host keeps: what is sent with a task, when it is kept, and that nobody else's code is ever run."""

from __future__ import annotations

import ast
import os
import pathlib
import shutil
import subprocess
import typing as t
import zipfile

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.kernel import bytecode
from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.own_host import OwnHost

ROOT = pathlib.Path(ansible.__file__).resolve().parents[2]
LIBRARY, INFO = "containerd_library", "containerd_image_info"


class Host(OwnHost):
    """A host with a /var/cache of its own. What is sent to it stays, to be looked at."""

    base: pathlib.Path

    @property
    def cache(self) -> pathlib.Path:
        return self.path(bytecode.DIRECTORY)

    @property
    def libraries(self) -> t.List[pathlib.Path]:
        return sorted(self.cache.glob("*.zip"))

    def play(self, *tasks: ansible.Task, **how: t.Any) -> t.Tuple[t.List[ansible.TaskResult], t.Dict[str, int]]:
        """The results, and what was sent: the bytes of each module and file. Ansible's names without what is the same in all."""
        remote = self.base / "remote"
        environment = {"ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_REMOTE_TEMP": str(remote), "ANSIBLE_PIPELINING": "0"}
        done = ansible.play(tasks, under=self.under, environment={**environment, **how.pop("environment", {})}, **how)
        files = [path for path in remote.rglob("*") if path.is_file()]
        sent = {path.name.replace("AnsiballZ_", "").replace(".py", ""): path.stat().st_size for path in files}
        shutil.rmtree(remote, ignore_errors=True)
        return done.results, sent


@pytest.fixture
def host(tmp_path: pathlib.Path) -> t.Iterator[Host]:
    own = "mount -t tmpfs none /var/cache; echo ready; exec sleep infinity"
    # starts: unshare (and sh, mount, sleep)
    with subprocess.Popen(["unshare", "--mount", "sh", "-c", own], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout
            assert holder.stdout.readline() == b"ready\n"
            found = Host(holder.pid)
            found.base = tmp_path
            yield found
        finally:
            holder.kill()


def look(tmp_path: pathlib.Path, **keys: t.Any) -> ansible.Task:
    roots = {"data_root": str(tmp_path / "data"), "state_root": str(tmp_path / "state")}
    return {**ansible.task(INFO, engine="embedded", **roots), **keys}


def test_examples(host: Host) -> None:
    (first, again), _sent = host.play(*examples_of("containerd_library"), *examples_of("containerd_library"))
    assert [first.changed, again.changed] == [True, False]


def test_only_the_first_task_of_a_release_sends_code(host: Host, tmp_path: pathlib.Path) -> None:
    ((first,), sent) = host.play(look(tmp_path))
    assert first.value("images") == []
    assert sorted(sent) == [LIBRARY, "library.zip"]
    (library,) = host.libraries
    assert (library.stat().st_mode & 0o777, library.stat().st_size) == (0o600, sent["library.zip"])
    # Each module is run so, its options are as they were, and what it says of itself.
    options = {"path": str(tmp_path / "config.toml"), "oom_score": 5}
    results, sent = host.play(ansible.task("containerd_config", **options), look(tmp_path))
    assert results[0].changed
    assert results[0].value("invocation")["module_args"]["oom_score"] == 5
    assert list(sent) == [LIBRARY]
    assert sent[LIBRARY] < 220_000
    (wrong,), _sent = host.play(ansible.task("containerd_config", **options, nonsense=1), failing=True)
    assert "Unsupported parameters for (fleet.containerd.containerd_config) module: nonsense" in wrong.value("msg")


def test_check_mode_leaves_nothing(host: Host, tmp_path: pathlib.Path) -> None:
    _results, sent = host.play(look(tmp_path), check=True)
    assert sorted(sent) == [INFO, LIBRARY]
    assert not host.cache.exists()
    host.play(look(tmp_path))
    assert list(host.play(look(tmp_path), check=True)[1]) == [LIBRARY]


@pytest.mark.parametrize("how", ["the variable", "async", "nowhere to write"])
def test_everything_is_sent_where_no_library_is_wanted(host: Host, tmp_path: pathlib.Path, how: str) -> None:
    keys = {"the variable": {"vars": {"fleet_containerd_library": False}}, "async": {"async": 60, "poll": 1}}
    if how == "nowhere to write":
        read_only(host)
    results, sent = host.play(look(tmp_path, **keys.get(how, {})))
    assert results[-1].value("images") == []
    assert sorted(sent) == [INFO, LIBRARY] if how == "nowhere to write" else LIBRARY not in sent
    assert not host.libraries


def test_who_is_not_root_keeps_nothing(host: Host) -> None:
    nobody = {"become": True, "become_method": "ansible.builtin.su", "become_user": "nobody", "become_flags": "-s /bin/sh"}
    task = {**ansible.task("containerd_config", path="/nowhere/config.toml", oom_score=5), **nobody}
    assert ansible.play([task], check=True, under=host.under, interpreter="/usr/bin/python3").last.changed
    assert not host.cache.exists()


def read_only(host: Host) -> None:
    # starts: nsenter, mount
    subprocess.run([*host.under, "mount", "-o", "remount,ro", "/var/cache"], check=True)


def test_the_module_has_the_code_there_before(host: Host, tmp_path: pathlib.Path) -> None:
    task = ansible.task(LIBRARY)
    (predicted,), _sent = host.play(task, check=True)
    assert not host.cache.exists()
    (real, again), _sent = host.play(task, task)
    assert [predicted.changed, real.changed, again.changed] == [True, True, False]
    assert list(host.play(look(tmp_path))[1]) == [LIBRARY]
    (wrong,), _sent = host.play({ansible.COLLECTION + LIBRARY: {"module": "containerd_image"}}, failing=True)
    assert wrong.value("msg") == "module: a task has no options, the action plugin gives them"
    shutil.rmtree(host.cache)
    read_only(host)
    (impossible,), _sent = host.play(task, failing=True)
    assert impossible.value("msg") == "the host cannot keep code in /var/cache/fleet-containerd: only root can write there"


def test_a_damaged_library_is_replaced(host: Host, tmp_path: pathlib.Path) -> None:
    """Nothing of it is compiled yet: one that is cut off, and one with other bytes in the middle, which this task does not need."""
    host.play(look(tmp_path))
    (library,) = host.libraries
    whole = library.read_bytes()
    for damaged in (b"", whole[:-1000], whole[:300_000] + bytes(40_000) + whole[340_000:]):
        shutil.rmtree(host.cache)
        host.cache.mkdir(mode=0o700)
        library.write_bytes(damaged)
        ((result,), _sent) = host.play(look(tmp_path))
        assert not result.failed
        assert library.read_bytes() == whole


@pytest.mark.parametrize("how", ["owner", "mode", "directory", "link"])
def test_code_that_others_can_have_written_is_never_run(host: Host, tmp_path: pathlib.Path, how: str) -> None:
    host.play(look(tmp_path))
    (library,) = host.libraries
    ran = tmp_path / "ran"
    evil = tmp_path / "evil.zip"
    name = f"ansible_collections/fleet/containerd/plugins/modules/{INFO}.py"
    with zipfile.ZipFile(library) as good, zipfile.ZipFile(evil, "w") as bad:
        for entry in good.namelist():
            bad.writestr(entry, f"open({str(ran)!r}, 'w')" if entry == name else good.read(entry))
    shutil.rmtree(host.cache)
    host.cache.mkdir(mode=0o777 if how == "directory" else 0o700)
    host.cache.chmod(0o777 if how == "directory" else 0o700)
    if how == "link":
        library.symlink_to(evil)
    else:
        shutil.copy(evil, library)
        os.chown(library, 65534 if how == "owner" else 0, 0)
        library.chmod(0o666 if how == "mode" else 0o600)
    ((result,), sent) = host.play(look(tmp_path))
    assert result.value("images") == []
    assert not ran.exists()
    assert "library.zip" in sent


def test_ansible_sends_all_of_its_own_that_the_library_imports() -> None:
    """ansible-core looks at what is sent with a task: containerd_library, and what that imports."""
    wanted: t.Dict[str, t.Set[str]] = {"sent": set(), "all": set()}
    for path in (ROOT / "plugins").rglob("*.py"):
        if path.parent.name != "modules" and "module_utils" not in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            found = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                packages = node.module in ("ansible.module_utils", "ansible.module_utils.common")
                found = [f"{node.module}.{one.name}" for one in node.names] if packages else [node.module]
            ours = {name for name in found if name.startswith("ansible.")}
            wanted["all"] |= ours
            if path.name in ("library.py", "containerd_library.py"):
                wanted["sent"] |= ours
    assert len(wanted["all"]) == 2
    assert wanted["sent"] == wanted["all"]
