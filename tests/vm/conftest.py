# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine of tools/vm.py. SUITE: the Debian release. KEEP: leave it running, and use a running one. Only for make vm, not make test."""

from __future__ import annotations

import io
import json
import os
import pathlib
import shlex
import subprocess
import tarfile
import time
import typing as t

import ansible as above_ansible
import pytest

from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.archives import members_of, tar
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image
from ansible_collections.fleet.containerd.tools.vm import ROOT, Vm

IMAGE = "example.com/busybox:1"
#: Runs modules in children, from the sources, so that an emulated processor compiles and imports them once. It reads and answers one line at a time.
_SERVER = """
import importlib, json, os, pkgutil, sys
sys.path.insert(0, "/opt/fleet")
from ansible.module_utils import basic
from ansible_collections.fleet.containerd.plugins import modules
every = {name: importlib.import_module(f"{modules.__name__}.{name}") for _finder, name, _package in pkgutil.iter_modules(modules.__path__)}
for line in iter(sys.stdin.readline, ""):
    kind, options = json.loads(line)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(writer, 1)
        basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = json.dumps({"ANSIBLE_MODULE_ARGS": options}).encode(), "legacy"
        every[kind].main()
    os.close(writer)
    with open(reader) as stream:
        print(json.dumps(stream.read()), flush=True)
    os.waitpid(child, 0)
"""


class Host:
    """The machine as modules, playbooks and its administrator see it. Each of them has a login that stays open."""

    def __init__(self, machine: Vm, base: pathlib.Path) -> None:
        self.machine, self.suite, self._base = machine, machine.suite, base
        self._server: t.Optional[subprocess.Popen[str]] = None

    def _options(self, login: str) -> t.List[str]:
        control = f"-o ControlMaster=auto -o ControlPersist=600 -o ControlPath={self._base}/{login}"
        return [*self.machine.ssh_options(), *control.split()]

    def sh(self, command: str) -> str:
        """The output of a shell command that must not fail. 255 is ssh's own status: the login has just ended."""
        options = self._options("sh")
        if self.machine.ssh("true", check=False, options=options).returncode == 255:
            time.sleep(1)
        return self.machine.ssh(command, options=options).stdout

    def send(self, data: bytes, command: str) -> None:
        """Run a shell command with a standard input."""
        subprocess.run(["ssh", *self._options("sh"), "root@127.0.0.1", command], input=data, check=True, timeout=600)

    def module(self, kind: str, /, **options: t.Any) -> t.Dict[str, t.Any]:
        """Run a module that must not fail, in the login of all modules. Returns its result."""
        if self._server is None or self._server.poll() is not None:
            command = ["ssh", *self.machine.ssh_options(), "root@127.0.0.1", f"python3 -c {shlex.quote(_SERVER)}"]
            pipe = subprocess.PIPE
            # ssh makes its standard error non-blocking, and Ansible does not start with a non-blocking one.
            with (self._base / "errors").open("a") as errors:
                self._server = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, text=True, bufsize=1)
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(json.dumps([kind, options]) + "\n")
        result = json.loads(json.loads(self._server.stdout.readline()))
        assert not result.get("failed"), result["msg"]
        return t.cast(t.Dict[str, t.Any], result)

    def play(self, tasks: t.Sequence[ansible.Task]) -> ansible.Play:
        variables = {
            "ansible_connection": "ssh",
            "ansible_host": "127.0.0.1",
            "ansible_user": "root",
            "ansible_ssh_args": " ".join(self._options("play")),
            "ansible_pipelining": True,
            "ansible_timeout": 300,
        }
        return ansible.play(tasks, variables=variables, interpreter="/usr/bin/python3", timeout=1800)

    def until(self, command: str, patience: float = 300) -> str:
        """Wait until a command succeeds. Returns its output."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            done = self.machine.ssh(command, check=False, options=self._options("sh"))
            if not done.returncode:
                return done.stdout
            time.sleep(1)
        raise AssertionError(f"{command!r} did not succeed within {patience:g} s: {done.stdout}{done.stderr}")

    def close(self) -> None:
        """End the login of modules. The next module gets a new one."""
        if self._server:
            self._server.kill()
            self._server.communicate()
            self._server = None


def _sources() -> bytes:
    """The collection, and the parts of Ansible that modules need."""
    above = pathlib.Path(next(iter(above_ansible.__path__)))
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for path in [above / "release.py", *above.glob("module_utils/**/*.py")]:
            archive.add(path, f"ansible/{path.relative_to(above)}")
        archive.addfile(tarfile.TarInfo("ansible/__init__.py"))
        for path in ROOT.glob("plugins/**/*.py"):
            archive.add(path, f"ansible_collections/fleet/containerd/{path.relative_to(ROOT)}")
    return out.getvalue()


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Host]:
    machine = Vm(os.environ.get("SUITE") or "trixie")
    keep = bool(os.environ.get("KEEP"))
    if not keep:
        machine.stop()
    print(f"{machine.suite} has booted within {machine.boot():.0f} s")
    found = Host(machine, tmp_path_factory.mktemp("logins"))
    found.send(_sources(), "mkdir -p /opt/fleet && tar -xz -C /opt/fleet")
    yield found
    found.close()
    if not keep:
        machine.stop()


@pytest.fixture(scope="session")
def image(host: Host, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image that both engines have."""
    layout = Layout(tmp_path_factory.mktemp("layout"))
    layout.tag(busybox_image(layout), IMAGE)
    host.send(tar(members_of(layout)), "cat >/root/image.tar")
    for engine in ("embedded", "containerd"):
        host.module("containerd_image_load", path="/root/image.tar", engine=engine)
    return IMAGE
