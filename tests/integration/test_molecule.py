# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Molecule with containers of ours as platforms, pytest-testinfra in them, and systemd in them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import time
import typing as t

import pytest
import yaml

from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS, HERE
from ansible_collections.fleet.containerd.tests.support.cgroups import version
from ansible_collections.fleet.containerd.tests.support.debian import debian_image
from ansible_collections.fleet.containerd.tests.support.guides import blocks_of
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.own_host import own_host
from ansible_collections.fleet.containerd.tests.support.site import DaemonSite, EmbeddedSite, Site, finished, new_namespace
from ansible_collections.fleet.containerd.tools.machine import environment

EXTENSIONS = HERE.parent.parent / "extensions"
GUIDE = "guide_molecule"
DEBIAN = "localhost/debian:12"
# The first test makes the root file system of Debian when it is not there.
pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("debian")]


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An archive with an image that has systemd."""
    return debian_image(tmp_path_factory.mktemp("debian"), DEBIAN)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, module_server: Modules, debian: pathlib.Path) -> t.Iterator[EmbeddedSite]:
    """An embedded engine that has the image. Nothing of its containers may be left in the end."""
    base = tmp_path_factory.mktemp("engine")
    with finished(EmbeddedSite(base, new_namespace())) as made:
        module_server.writing_to(base / "result").run("containerd_image_load", **made.defaults, path=str(debian))
        yield made


def molecule(verb: str, directory: pathlib.Path, base: pathlib.Path, under: t.Sequence[str] = (), **variables: str) -> str:
    """What molecule prints, in a directory."""
    # starts: env, nsenter, molecule
    done = subprocess.run(
        [*under, "env", "-C", str(directory), "molecule", verb],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(str(base / "home"), PYTHONPATH=str(COLLECTIONS), **variables),
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def run_scenario(directory: pathlib.Path, base: pathlib.Path, **variables: str) -> str:
    """What molecule test prints, on a host of its own. It leaves no network there."""
    with own_host(base / "host") as host:
        said = molecule("test", directory, base, host.under, **variables)
        assert "molecule" not in "".join(one.read_text() for one in host.path("/etc/cni").rglob("*.conflist"))
    return said


def scenario(role: pathlib.Path, config: t.Mapping[str, t.Any], files: t.Mapping[str, str]) -> None:
    """Write one, with the create.yml and destroy.yml of the guide."""
    create, destroy = blocks_of(GUIDE, language="yaml+jinja")
    every = {"molecule.yml": yaml.safe_dump({**config, "prerun": False}), "create.yml": create, "destroy.yml": destroy, **files}
    for name, text in every.items():
        path = role / "molecule" / "default" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_role_in_a_container(place: EmbeddedSite, busybox: str, tmp_path: pathlib.Path) -> None:
    """The scenario in extensions/: a container with systemd runs a container after one play, the second play changes nothing, testinfra
    finds all as it should be, and nothing is left.
    """
    engine = {f"MOLECULE_{name.upper()}": str(place.defaults[name]) for name in ("namespace", "data_root", "state_root")}
    # It reaches the test's registry by the host's network.
    more = {"MOLECULE_PLATFORM_IMAGE": DEBIAN, "MOLECULE_IMAGE": busybox, "MOLECULE_NETWORK_MODE": "host"}
    assert "3 passed" in run_scenario(EXTENSIONS, tmp_path, **engine, **more)
    assert not list(place.data.glob("containers/*/*/*"))
    assert not list(place.data.glob("volumes/*/*"))


_TASKS = """
- name: Have a service
  ansible.builtin.copy:
    dest: /etc/systemd/system/role.service
    content: |
      [Service]
      ExecStart=/bin/sleep infinity
    mode: "0644"
- name: Run it
  ansible.builtin.systemd_service:
    name: role
    state: started
    daemon_reload: "{{ not ansible_check_mode }}"
"""
_TESTS = """
import os, shlex, subprocess
import testinfra, yaml

def test_the_role(host):
    assert host.service("role").is_running
    assert host.backend.get_hostname() == "debian"
    done = testinfra.get_host("containerd://nobody@debian").run("id -un; echo %s >&2; exit 3", "a 'b'")
    assert (done.rc, done.stdout, done.stderr) == (3, "nobody\\n", "a 'b'\\n")

def test_what_molecule_login_runs(host):
    with open(os.environ["MOLECULE_INSTANCE_CONFIG"]) as file:
        (platform,) = yaml.safe_load(file)
    ours, theirs = os.openpty()
    os.write(ours, b"test -t 0 && echo this is $BASH of $(id -un); exit\\n")
    # starts: runc
    done = subprocess.run(shlex.split(platform["login"]), stdin=theirs, stdout=subprocess.PIPE, text=True, timeout=60)
    assert "this is /usr/bin/bash of root" in done.stdout
"""


def test_the_nine_lines_of_the_guide(place: EmbeddedSite, tmp_path: pathlib.Path) -> None:
    """To the letter, but for the image and its engine, and with more of what platforms take."""
    config, _login, _nested = blocks_of(GUIDE, language="yaml")
    (conftest,) = blocks_of(GUIDE, language="python")
    assert sum(len(block.strip().splitlines()) for block in (config, *blocks_of(GUIDE), conftest)) == 9
    wanted = yaml.safe_load(config)
    more = {"networks": [{"name": "molecule-net"}], "tmpfs": ["/scratch"], "published_ports": ["8080:80"], "groups": ["some"]}
    wanted["scenario"] = {"test_sequence": ["create", "converge", "verify", "destroy"]}
    wanted["platforms"][0].update(place.defaults, image=DEBIAN, **more)
    role = tmp_path / "role"
    files = {
        "converge.yml": "- hosts: some\n  roles: [../../../role]\n",
        "tests/conftest.py": conftest,
        "tests/test_role.py": _TESTS,
        "../../tasks/main.yml": _TASKS,
    }
    scenario(role, wanted, files)
    variables = {
        f"ANSIBLE_CONTAINERD_{name.upper()}": str(place.defaults[name]) for name in ("engine", "data_root", "state_root")
    }
    assert "2 passed" in run_scenario(role, tmp_path, CONTAINERD_NAMESPACE=place.namespace, **variables)
    assert not list(place.data.glob("containers/*/*/*"))


_CONVERGE = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.raw: cp /proc/sys/kernel/hostname /converged
"""


@pytest.mark.parametrize("backend", ["containerd-1.7"], indirect=True)
def test_a_small_platform_on_containerd(site: DaemonSite, busybox: str, tmp_path: pathlib.Path) -> None:
    """One with nothing but a shell, and a login to it."""
    _lines, login, _nested = blocks_of(GUIDE, language="yaml")
    platform = {"name": "small", "image": busybox, "hostname": "inside", "network_mode": "none", **site.defaults}
    scenario(tmp_path, {**yaml.safe_load(login), "platforms": [platform]}, {"converge.yml": _CONVERGE})
    molecule("converge", tmp_path, tmp_path)
    assert "that is inside" in on_a_terminal(site, tmp_path, b"test -t 0 && echo that is $(cat /converged); exit\n")
    molecule("destroy", tmp_path, tmp_path)
    with site.engine() as engine:
        assert not engine.containers.list()


def on_a_terminal(site: DaemonSite, directory: pathlib.Path, typed: bytes) -> str:
    """What molecule login and what it starts write to a terminal on which this is typed."""
    found = environment(str(directory / "home"))
    found["PATH"] = f"{site.daemon.bin}:{found['PATH']}"
    ours, theirs = os.openpty()
    ends: t.Dict[str, t.Any] = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    # starts: molecule (and ctr that tools/containerds.py fetched)
    with subprocess.Popen(["molecule", "login"], cwd=directory, env=found, start_new_session=True, **ends):
        os.close(theirs)
        os.write(ours, typed)
        said = b""
        # There is an error at the end.
        with contextlib.suppress(OSError):
            while True:
                said += os.read(ours, 1 << 16)
    os.close(ours)
    return said.decode()


@pytest.mark.parametrize("backend", ["embedded", "containerd-2.1"], indirect=True)
def test_systemd(site: Site, modules: Modules, debian: pathlib.Path) -> None:
    """Without any privilege it starts all its units, has a control group that is the root of all that it sees, and stops when asked to."""
    modules.run("containerd_image_load", **site.defaults, path=str(debian))
    ready = {"command": ["/bin/sh", "-c", "systemctl is-system-running | grep running"]}
    options = {"image": DEBIAN, "command": ["/sbin/init"], "systemd": "true", "ready": ready, "hostname": "booted"}
    made = modules.run("containerd_container", **site.defaults, name="booted", **options)
    pid = made["container"]["State"]["Pid"]

    def inside(*command: str) -> str:
        enter = ["nsenter", "-t", str(pid), "-a", "-r", "-w"]
        # starts: nsenter (and what Debian has)
        return subprocess.run([*enter, *command], check=True, capture_output=True, text=True).stdout.strip()

    assert inside("systemctl", "--failed", "--no-legend", "--plain") == ""
    assert inside("cat", "/proc/1/comm") == "systemd"
    groups = {
        line.rpartition(":")[2]
        for line in inside("cat", "/proc/1/cgroup").splitlines()
        if ":name=systemd:" in line or version() == 2
    }
    assert groups == {"/init.scope"}
    assert "container=oci" in inside("cat", "/proc/1/environ").split("\0")
    inside("systemd-run", "--unit=own", "sleep", "1000")
    assert inside("systemctl", "show", "own", "-p", "ControlGroup") == "ControlGroup=/system.slice/own.service"
    assert inside("hostname") == "booted"
    assert not modules.run("containerd_container", **site.defaults, name="booted", **options)["changed"]
    begin = time.monotonic()
    stopped = modules.run("containerd_container", **site.defaults, name="booted", state="stopped", stop_timeout=60)
    assert time.monotonic() - begin < 30
    assert stopped["container"]["State"]["ExitCode"] == 0
