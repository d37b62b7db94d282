# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection plugin: tasks of ansible-core inside containers, also those of ansible-core's own tests of connections."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import io
import os
import pathlib
import signal
import sys
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError, NotFound, PermissionDenied
from ansible_collections.fleet.containerd.plugins.module_utils.kernel.engines import EngineOptions
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.entry import As
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.session import Session
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.processes import parent_of
from ansible_collections.fleet.containerd.tests.support.ansible import Task, started, task
from ansible_collections.fleet.containerd.tests.support.inside import executions, host_processes
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.site import Site
from ansible_collections.fleet.containerd.tests.support.waiting import until

#: The machine's own Python, for containers whose image has none.
PYTHON = ["/usr:/usr:ro", "/lib:/lib:ro", "/lib64:/lib64:ro"]
#: That of the tests' own is not in containers. (A variable of the command line counts more than those of tasks.)
INTERPRETER = {"ansible_python_interpreter": f"{{{{ python_inside | default('{sys.executable}') }}}}"}
CONNECTION = "fleet.containerd.containerd"
UNICODE = "汉语"


class Way(t.NamedTuple):
    """Tasks in a container of a site."""

    variables: t.Dict[str, t.Any]

    def inside(self, name: str, module: str, arguments: t.Any, **more: t.Any) -> Task:
        variables = {**self.variables, **more.pop("vars", {})}
        return {"name": name, f"ansible.builtin.{module}": arguments, "vars": variables, **more}


def way_to(site: Site, container: str) -> Way:
    found = {f"ansible_containerd_{name}": value for name, value in site.defaults.items()}
    basic = {"ansible_connection": CONNECTION, "ansible_containerd_container": container}
    return Way({**basic, **found, "python_inside": "/usr/bin/python3"})


def box(busybox: str, **options: t.Any) -> Task:
    how = {"command": ["sleep", "1000"], "stop_signal": "KILL", "volumes": PYTHON, "init": True, **options}
    return task("containerd_container", name="box", image=busybox, **how)


@pytest.mark.parametrize("backend", ["embedded", "containerd-2.1"], indirect=True)
@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "files"])
def test_what_ansible_core_asks_of_a_connection(site: Site, busybox: str, tmp_path: pathlib.Path, pipelining: bool) -> None:
    """Its test/integration/targets/connection, with more of what it does."""
    way = way_to(site, "box")
    way.variables["ansible_pipelining"] = pipelining
    local, remote = tmp_path / UNICODE, f"/tmp/{UNICODE}"
    local.mkdir()
    content = bytes(range(256)) * 20000
    (local / f"{UNICODE}.txt").write_text(UNICODE)
    (local / "binary").write_bytes(content)
    # starts: sh (in the container)
    (local / "script.sh").write_text("#!/bin/sh\necho scripted\n")
    done = site.play(
        box(busybox),
        way.inside("raw", "raw", f"echo {UNICODE}"),
        way.inside("absent", "file", {"path": remote, "state": "absent"}),
        way.inside("directory", "file", {"path": remote, "state": "directory"}),
        way.inside("copy", "copy", {"src": f"{local}/{UNICODE}.txt", "dest": f"{remote}/{UNICODE}.txt"}),
        way.inside("again", "copy", {"src": f"{local}/{UNICODE}.txt", "dest": f"{remote}/{UNICODE}.txt"}),
        way.inside("binary", "copy", {"src": f"{local}/binary", "dest": f"{remote}/binary"}),
        way.inside("fetch", "fetch", {"src": f"{remote}/{UNICODE}.txt", "dest": f"{tmp_path}/fetched.txt", "flat": True}),
        way.inside("fetch binary", "fetch", {"src": f"{remote}/binary", "dest": f"{tmp_path}/fetched", "flat": True}),
        way.inside("no file", "fetch", {"src": "/nowhere", "dest": f"{tmp_path}/nothing", "flat": True}, ignore_errors=True),
        way.inside("fails", "shell", "echo out; echo err >&2; exit 7", ignore_errors=True),
        way.inside("standard input", "command", {"argv": ["cat"], "stdin": UNICODE * 5000, "stdin_add_newline": False}),
        way.inside("script", "script", f"{local}/script.sh"),
        way.inside("async", "shell", "sleep 0.5; hostname; id -u", **{"async": 60, "poll": 1}),
        {"name": "reset", "meta": "reset_connection"},
        way.inside("waiting", "wait_for_connection", {}),
        way.inside("left", "shell", "ls -d /tmp/.ansible* ~/.ansible/tmp/* 2>/dev/null || true"),
        variables=INTERPRETER,
    )
    found = {one.name: one for one in done.results}
    assert found["raw"].value("stdout").strip() == UNICODE
    assert found["raw"].changed
    assert found["copy"].changed
    assert not found["again"].changed
    assert (tmp_path / "fetched.txt").read_text() == UNICODE
    assert hashlib.sha256((tmp_path / "fetched").read_bytes()).digest() == hashlib.sha256(content).digest()
    assert found["no file"].failed
    assert (found["fails"].value("rc"), found["fails"].value("stdout"), found["fails"].value("stderr")) == (7, "out", "err")
    assert found["standard input"].value("stdout") == UNICODE * 5000
    assert found["async"].value("stdout").endswith("\n0")
    assert found["left"].value("stdout") == ""


def test_users_directories_and_files(site: Site, busybox: str, tmp_path: pathlib.Path) -> None:
    """A file gets the owner that the commands run as, and is only where he may write. No link and no device leads out of the container."""
    way, other = way_to(site, "box"), {"ansible_user": "65534", "ansible_remote_tmp": "/tmp/.ansible"}
    (tmp_path / "file").write_text("content\n")
    (tmp_path / "secret").write_text("of the host\n")
    prepare = (
        f"mkdir -p /root/only; chmod 700 /root; ln -s {tmp_path}/secret /tmp/link; mkfifo /tmp/fifo; "
        f"ln -s {tmp_path} /tmp/out; ln -s made /tmp/dangling; ln -s ../tmp/loop /tmp/loop; "
        f"ln -s /proc/1/oom_score_adj /tmp/kernel; mknod /tmp/device c 1 5; chmod 666 /tmp/fifo /tmp/device; "
        " head -c 99999 /dev/zero >/tmp/shrinks"
    )
    done = site.play(
        box(busybox, env={"A": "own"}),
        way.inside("prepare", "raw", prepare),
        way.inside(
            "look",
            "raw",
            "id -u; pwd; echo $A$B",
            vars={**other, "ansible_containerd_working_dir": "/tmp", "ansible_containerd_extra_env": {"B": "more"}},
        ),
        way.inside("put", "copy", {"src": f"{tmp_path}/file", "dest": "/tmp/his"}, vars=other),
        way.inside("replace", "copy", {"src": f"{tmp_path}/file", "dest": "/tmp/shrinks"}),
        way.inside("owner", "raw", "stat -c '%u %a' /tmp/his; cat /tmp/his /tmp/shrinks"),
        way.inside("link", "fetch", {"src": "/tmp/link", "dest": f"{tmp_path}/a", "flat": True}, ignore_errors=True),
        variables=INTERPRETER,
    )
    found = {one.name: one for one in done.results}
    assert found["look"].value("stdout").split() == ["65534", "/tmp", "ownmore"]
    assert found["owner"].value("stdout").splitlines() == ["65534 644", "content", "content"]
    assert found["link"].failed
    assert not (tmp_path / "a").exists()
    refused = {
        "/tmp/fifo": "is not a regular file",
        "/tmp/device": "is not a regular file",
        "/tmp": "is not a regular file",
        "/tmp/kernel": "is not data, but an interface of the kernel",
        "/tmp/loop": "Too many levels of symbolic links",
        "/tmp/out/file": "there is no",
        "/nowhere/file": "there is no",
    }
    with session(site) as inside:
        for path, message in refused.items():
            with pytest.raises(EngineError, match=f"{path} in the container box.*{message}|{message} {path}"):
                inside.fetch(path, io.BytesIO())
            with pytest.raises(EngineError, match=f"{path} in the container box.*{message}|{message} {path}"):
                inside.put(io.BytesIO(b"1"), path)
        with pytest.raises(NotFound):
            inside.fetch("/tmp/link", io.BytesIO())
    with session(site, "65534") as inside:
        with pytest.raises(PermissionDenied):
            inside.put(io.BytesIO(b"x"), "/root/only/file")
        # As programs do it: what the link names is made.
        for text in (b"first", b"2nd"):
            inside.put(io.BytesIO(text), "/tmp/dangling")
        got = io.BytesIO()
        inside.fetch("/tmp/made", got)
        assert got.getvalue() == b"2nd"
    root = pathlib.Path(f"/proc/{done.results[0].value('container')['State']['Pid']}/root")
    assert (root / "tmp/dangling").is_symlink()
    assert (root / "tmp/made").stat().st_uid == 65534
    assert not (tmp_path / "out").exists()


@contextlib.contextmanager
def session(site: Site, user: str = "", name: str = "box") -> t.Iterator[Session]:
    made = Session(EngineOptions.of(site.defaults), name, As(user))
    try:
        yield made
    finally:
        made.close()


def test_become(site: Site, busybox: str) -> None:
    way = way_to(site, "box")
    become = {"ansible_become_exe": "/tmp/su", "ansible_become_flags": ""}
    known = {"ansible_user": "65534", "ansible_become_password": "s3cret", "ansible_remote_tmp": "/tmp/.ansible", **become}
    how: t.Dict[str, t.Any] = {"become": True, "become_method": "su"}
    prepare = (
        "echo nobody:x:65534:65534::/tmp:/bin/sh >>/etc/passwd; cp /bin/busybox /tmp/su; chmod 4755 /tmp/su; "
        'sed -i "s|^root:[^:]*|root:$(busybox mkpasswd -m sha512 s3cret)|" /etc/passwd'
    )
    done = site.play(
        box(busybox),
        way.inside("prepare", "raw", prepare),
        way.inside("down", "raw", "id -u", **how, become_user="nobody", vars=become),
        way.inside("up", "raw", "id -u", **how, vars=known),
        way.inside("pipelining", "command", {"argv": ["cat"], "stdin": UNICODE}, **how, vars=known),
        way.inside("files", "command", "id -u", **how, vars={**known, "ansible_pipelining": False}),
        way.inside("wrong", "raw", "id -u", **how, vars={**known, "ansible_become_password": "guess"}, ignore_errors=True),
        variables=INTERPRETER,
    )
    found = {one.name: one for one in done.results}
    assert found["down"].value("stdout").strip() == "65534"
    assert found["up"].value("stdout").strip() == "0"
    assert (found["pipelining"].value("stdout"), found["files"].value("stdout")) == (UNICODE, "0")
    assert found["wrong"].failed
    assert "incorrect password" in found["wrong"].value("stdout") + found["wrong"].value("stderr")
    assert "s3cret" not in done.output


def environment(pid: str) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return ""


def test_by_a_command_that_reaches_the_engine(site: Site, busybox: str, tmp_path: pathlib.Path) -> None:
    """As over ssh or by sudo: what is on the other side has nothing but a shell and Python."""
    way = way_to(site, "box")
    prefix = tmp_path / "reach"
    # It joins its words and has a shell take them apart, as ssh does.
    # starts: sh, env
    prefix.write_text('#!/bin/sh\necho begun >>"$0.log"\nexec env -i PATH=/usr/bin:/bin HOME=/ REACH="$0" sh -c "$*"\n')
    prefix.chmod(0o755)
    way.variables["ansible_containerd_command_prefix"] = str(prefix)
    content = os.urandom(3_000_000)
    (tmp_path / "binary").write_bytes(content)
    # It waits for a prompt, and hears at once that there will be none.
    how: t.Dict[str, t.Any] = {"ignore_unreachable": True, "become": True, "become_method": "su"}
    way.variables["ansible_become_password"] = "s3cret"
    bad = {"ansible_containerd_command_prefix": "sh -c 'echo no way there >&2; exit 3' sh"}
    done = site.play(
        box(busybox),
        way.inside("raw", "raw", f"echo {UNICODE}; exit 4", ignore_errors=True),
        way.inside("module", "command", {"argv": ["cat"], "stdin": UNICODE * 5000}),
        way.inside("copy", "copy", {"src": f"{tmp_path}/binary", "dest": "/tmp/binary"}),
        way.inside("fetch", "fetch", {"src": "/tmp/binary", "dest": f"{tmp_path}/fetched", "flat": True}),
        way.inside("absent", "raw", "true", vars={"ansible_containerd_container": "nobody"}, **how),
        way.inside("nowhere", "raw", "true", vars=bad, ignore_unreachable=True),
        variables=INTERPRETER,
    )
    found = {one.name: one for one in done.results}
    assert (found["raw"].value("rc"), found["raw"].value("stdout").strip()) == (4, UNICODE)
    assert found["module"].value("stdout") == UNICODE * 5000
    assert (tmp_path / "fetched").read_bytes() == content
    assert found["absent"].status == "unreachable"
    assert found["absent"].msg.endswith(
        f"container: no container nobody in the namespace {site.namespace} of the engine {site.defaults['engine']}"
    )
    assert found["nowhere"].msg.endswith("no way there")
    # One for each task, and nothing of them is left: what ended last may still be ending.
    assert len((tmp_path / "reach.log").read_text().splitlines()) == 5
    until(lambda: not [pid for pid in os.listdir("/proc") if pid.isdigit() and str(prefix) in environment(pid)])


def test_a_killed_playbook_leaves_no_process(site: Site, busybox: str, tmp_path: pathlib.Path) -> None:
    way = way_to(site, "box")
    site.play(box(busybox))
    # Tests of other engines run at the same time.
    sleep = f"sleep {10_000_000 + os.getpid()}"
    for prefix in ("", "env"):
        task_ = way.inside("long", "raw", f"trap '' HUP TERM; {sleep}", vars={"ansible_containerd_command_prefix": prefix})
        with started([task_]) as (process, _results):
            # Ansible is imported first.
            until(lambda: sleep in host_processes(), 60)
            # Tasks have sessions of their own.
            workers = [int(name) for name in os.listdir("/proc") if name.isdigit() and parent_of(int(name)) == process.pid]
            for pid in (process.pid, *workers):
                os.kill(pid, signal.SIGKILL)
        until(lambda: sleep not in host_processes())
    until(lambda: not executions(site))


def test_many_leave_nothing(site: Site, modules: Modules, busybox: str) -> None:
    modules.run("containerd_container", **site.defaults, **{**box(busybox)["fleet.containerd.containerd_container"]})
    (shim,) = site.shims()
    with session(site) as inside:
        inside.put(io.BytesIO(b"x" * 100), "/tmp/file")
        # What other tests have left to be collected is not closed meanwhile.
        gc.collect()
        own, others = (len(os.listdir(f"/proc/{pid}/fd")) for pid in ("self", shim))
        for _turn in range(10):
            inside.put(io.BytesIO(b"y" * 5_000_000), "/tmp/file")
            got = io.BytesIO()
            inside.fetch("/tmp/file", got)
            assert got.getbuffer().nbytes == 5_000_000
        assert len(os.listdir("/proc/self/fd")) == own
        # A shim closes some of the start, and of who has asked last, only later.
        until(lambda: len(os.listdir(f"/proc/{shim}/fd")) <= others)
