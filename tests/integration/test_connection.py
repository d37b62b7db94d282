# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection plugin: tasks of ansible-core inside containers, also those of ansible-core's own tests of connections."""

from __future__ import annotations

import hashlib
import pathlib
import sys
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.site import Site

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
    (local / "script.sh").write_text("#!/bin/sh\ncat /etc/hostname\n")
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
