# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role containerd takes bare Debian machines to a running containerd, by the guide's playbooks. (test_molecule.py has containers.)"""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import pathlib
import shutil
import subprocess
import tarfile
import threading
import typing as t

import pytest
import toml

from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.guides import blocks_of
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image
from ansible_collections.fleet.containerd.tests.support.machines import Machine, Machines, running_machines
from ansible_collections.fleet.containerd.tests.support.pictures import differences, picture
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.waiting import until
from ansible_collections.fleet.containerd.tools.containerds import fetch

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# The first test makes the root file system when it is not there.
pytestmark = pytest.mark.timeout(600)

_IMAGE = "docker.io/library/busybox:1.36"
_MIRRORS = "/etc/containerd/certs.d/docker.io/hosts.toml"
_ROLE = {"name": "The role", "ansible.builtin.import_role": {"name": "fleet.containerd.containerd"}}


@pytest.fixture(scope="module")
def machines() -> t.Iterator[Machines]:
    with running_machines() as made:
        yield made


@pytest.fixture(scope="module")
def mirror(locked_registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """A mirror of docker.io with TLS and authentication."""
    layout = Layout(tmp_path_factory.mktemp("mirror"))
    locked_registry.push(layout.path, busybox_image(layout), "library/busybox", "1.36")
    return locked_registry


class Site:
    """A machine that a playbook of the guide is run on again and again."""

    def __init__(self, machine: Machine, playbook: pathlib.Path, **variables: t.Any) -> None:
        self.machine, self.playbook, self.variables = machine, playbook, variables

    def play(self, check: bool = False, failing: bool = False, **variables: t.Any) -> ansible.Play:
        return self.machine.play(
            self.playbook,
            check=check,
            failing=failing,
            variables={"ansible_become": False, **self.variables, **variables},
            arguments=["--diff", "-i", "workers,"],
        )


def _playbook(directory: pathlib.Path, number: int, replace: t.Mapping[str, str]) -> pathlib.Path:
    """A playbook of the guide, with other names of hosts in it."""
    path = directory / "playbook.yml"
    path.write_text(blocks_of("guide_fleet", replace)[number])
    return path


def _names(play: ansible.Play, status: str) -> t.Set[str]:
    return {one.name.partition(" : ")[2] or one.name for one in play.results if one.status == status}


def _changed(play: ansible.Play) -> t.Set[str]:
    return {one.name.partition(" : ")[2] or one.name for one in play.results if one.changed}


def _daemon(machine: Machine) -> str:
    """The process id of the daemon."""
    program = [path for path in ("/usr/bin/containerd", "/usr/local/bin/containerd") if machine.exists(path)]
    found = machine.run("sh", "-c", f'for one in /proc/[0-9]*; do echo "$one $(readlink $one/exe)"; done | grep "{program[0]}$"')
    (line,) = found.stdout.splitlines()
    return line.split()[0]


def _tasks(machine: Machine) -> t.List[t.List[str]]:
    """Containers with a process: id, process id, state."""
    return [line.split() for line in machine.run("ctr", "tasks", "ls").stdout.splitlines()[1:]]


def _trust(machine: Machine, registry: Registry) -> None:
    (machine.root / "etc/ssl").mkdir(exist_ok=True)
    shutil.copy(registry.ca, machine.root / "etc/ssl/private-ca.pem")


def test_a_bare_host_with_systemd_becomes_one_that_runs_containers(
    machines: Machines, mirror: Registry, tmp_path: pathlib.Path
) -> None:
    playbook = _playbook(tmp_path, 0, {"mirror.example.com": mirror.address})
    with machines.running("systemd") as machine:
        _trust(machine, mirror)
        site = Site(machine, playbook, mirror_password=mirror.password)

        bare = machine.play([_ROLE], check=True)
        assert {"Say what cannot be foreseen", "Install the unit, or what differs from the package's"} <= _names(bare, "ok")
        assert not machine.exists("/etc/containerd")
        assert not machine.exists("/usr/bin/containerd")

        first = site.play()
        assert {"Install packages with apt", "Configure containerd", "Restart the service", "Run a service"} <= _changed(first)
        assert mirror.password not in first.output
        _check_the_host(machine, mirror)
        (service,) = _tasks(machine)
        assert service[2] == "RUNNING"

        assert _changed(site.play()) == set()

        before = _daemon(machine)
        debug = {"debug": {"level": "debug"}}
        proxies = {"NO_PROXY": 'one,two "three" 100%', "FTP_PROXY": "http://user:proxy-word@proxy.example.com"}
        unit = "Install the unit, or what differs from the package's"
        last = site.play(containerd_settings=debug, containerd_environment=proxies)
        assert _changed(last) == {"Configure containerd", unit, "Restart the service"}
        assert _daemon(machine) != before
        before = _daemon(machine)
        back = site.play(check=True)
        assert _changed(back) == {"Configure containerd", unit, "Restart the service"}
        assert _daemon(machine) == before
        assert "proxy-word" not in last.output + back.output
        environment = (machine.root / "proc" / _daemon(machine).rpartition("/")[2] / "environ").read_text().split("\0")
        assert f"NO_PROXY={proxies['NO_PROXY']}" in environment
        assert _tasks(machine) == [service], "the container did not survive the restart of the daemon"


def _check_the_host(machine: Machine, mirror: Registry) -> None:
    """What the first playbook of the guide has to leave."""
    config = toml.loads(machine.read("/etc/containerd/config.toml"))
    assert config["debug"] == {"level": "info"}
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["registry"]["config_path"] == "/etc/containerd/certs.d"
    assert cri["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"] is True
    assert machine.exists(f"{cri['cni']['bin_dir']}/bridge")
    hosts = toml.loads(machine.read(_MIRRORS))
    assert hosts["server"] == "https://registry-1.docker.io"
    assert hosts["host"][f"https://{mirror.address}"]["ca"] == ["/etc/ssl/private-ca.pem"]
    shown = machine.run("systemctl", "show", "containerd", "-p", "KillMode,Delegate,LimitNOFILE,ActiveState,UnitFileState").stdout
    assert set(shown.split()) == {
        "KillMode=process",
        "Delegate=yes",
        "LimitNOFILE=1048576",
        "ActiveState=active",
        "UnitFileState=enabled",
    }
    # containerd's own client goes through the mirror, with the credentials.
    machine.run("ctr", "--namespace", "other", "images", "pull", "--hosts-dir", "/etc/containerd/certs.d", _IMAGE)


class Archives(t.NamedTuple):
    """Release files as upstream has them, below a directory that is served."""

    url: str
    checksums: t.Dict[str, str]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Archives]:
    directory = tmp_path_factory.mktemp("files")
    containerd, runc, cni = (fetch("bookworm", name) for name in ("containerd", "runc", "containernetworking-plugins"))
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    files = {
        "containerd": directory / f"containerd-1.6.20-linux-{architecture}.tar.gz",
        "runc": directory / f"runc.{architecture}",
        "cni": directory / f"cni-plugins-linux-{architecture}-v1.1.1.tgz",
    }
    # Not all that upstream has in them: half of a minute goes by with unpacking and comparing.
    with tarfile.open(files["containerd"], "w:gz", compresslevel=1) as archive:
        for name in ("containerd", "containerd-shim-runc-v2", "ctr"):
            archive.add(containerd / "usr" / "bin" / name, f"bin/{name}")
    shutil.copy(runc / "usr" / "sbin" / "runc", files["runc"])
    with tarfile.open(files["cni"], "w:gz", compresslevel=1) as archive:
        for name in ("bridge", "host-local", "loopback", "portmap"):
            archive.add(cni / "usr" / "lib" / "cni" / name, f"./{name}")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(directory))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        checksums = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
        yield Archives(f"http://127.0.0.1:{server.server_address[1]}", checksums)
        server.shutdown()


def test_archives_are_installed_when_their_checksums_are_right(
    machines: Machines, archives: Archives, busybox: str, tmp_path: pathlib.Path
) -> None:
    playbook = _playbook(tmp_path, 1, {"https://files.example.com/containerd": archives.url})
    with machines.running("systemd", "archives") as machine:
        site = Site(machine, playbook, versions={"containerd": "1.6.20", "cni": "1.1.1"}, checksums=archives.checksums)

        for wrong, message in (("0" * 64, "did not match"), ("0" * 63, "SHA-256 checksum")):
            refused = site.play(failing=True, checksums={**archives.checksums, "cni": wrong})
            assert message in str(refused.last.result), refused.output
            for path in ("/usr/local/bin/containerd", "/usr/local/sbin/runc", "/opt/cni", "/etc/containerd"):
                assert not machine.exists(path), path

        first = site.play()
        assert {"Download", "Unpack containerd", "Install runc", "Unpack CNI plugins", "Restart the service"} <= _changed(first)
        assert machine.exists("/opt/cni/bin/bridge")
        assert "/usr/local/bin/containerd" in machine.run("systemctl", "cat", "containerd").stdout
        assert _changed(site.play()) == set()

    with machines.running("systemd", "archives") as machine:
        service = ansible.task("containerd_container", name="service", image=busybox, command=["sleep", "3600"])
        assert machine.play([service]).changed, "containerd does not come back at boot"
        assert _tasks(machine)[0][2] == "RUNNING"


def test_a_host_without_an_init_system(machines: Machines, mirror: Registry, busybox: str, tmp_path: pathlib.Path) -> None:
    playbook = _playbook(tmp_path, 2, {_IMAGE: busybox, "hosts: builders": "hosts: workers"})
    with machines.running("none") as machine:
        site = Site(machine, playbook)

        first = site.play()
        assert "Restart the daemon without an init system" in _changed(first)
        (look,) = (one for one in first.results if one.name.endswith("See whether a daemon without an init system answers"))
        assert look.value("delta") < "0:00:05", "it waited for a socket that was not there"
        assert _changed(site.play()) == set()
        # A play that ends before its handlers; the next one makes good for it.
        debug = {"debug": {"level": "debug"}}
        service = ansible.task("containerd_container", name="service", image=busybox, command=["sleep", "3600"])
        machine.play([service, ansible.task("containerd_config", settings=debug)])
        (running,), before = _tasks(machine), _daemon(machine)
        changed = {"Configure containerd", "Restart the daemon without an init system"}
        assert _changed(site.play(containerd_settings=debug)) == changed
        assert _daemon(machine) != before
        assert _tasks(machine) == [running], "the container did not survive the restart of the daemon"


def test_a_host_is_clean_again(machines: Machines, mirror: Registry, busybox: str, tmp_path: pathlib.Path) -> None:
    """The role reset with the daemon, its packages and their files; without systemd, where the role has started it."""
    places = [
        "/etc/cni",
        "/etc/containerd",
        "/etc/systemd/system/containerd.service.d",
        "/opt",
        "/var/lib/cni",
        "/var/lib/containerd",
    ]
    places += ["/var/lib/fleet-containerd", "/var/cache/fleet-containerd", "/run"]
    playbook = _playbook(tmp_path, 2, {_IMAGE: busybox, "hosts: builders": "hosts: workers"})
    with machines.running("none") as machine:
        enter = ["nsenter", "-t", str(machine.pid), "-n"]
        # The kernel adds routes when it has made sure that nobody else has the address.
        # starts: nsenter, ip
        until(lambda: not subprocess.run([*enter, "ip", "address", "show", "tentative"], check=True, capture_output=True).stdout)
        before = picture(enter, machine.pid, places)
        Site(machine, playbook).play()
        how = {"image": busybox, "command": ["sleep", "3600"], "stop_signal": "KILL", "networks": [{"name": "bridge"}]}
        machine.play([ansible.task("containerd_container", name="service", **how)])
        kinds = {one.partition(":")[0] for one in differences(before, picture(enter, machine.pid, places))}
        assert {"files", "links", "rules", "namespaces of networks"} <= kinds
        role = {"name": "reset", "ansible.builtin.include_role": {"name": "fleet.containerd.reset"}}
        role["vars"] = {"reset_confirm": "localhost", "reset_containerd": True}
        refused = machine.play([role], failing=True)
        assert "has made containers in default of the containerd" in refused.last.msg
        role["vars"] = {**role["vars"], "reset_namespaces": ["default"]}
        told = machine.play([role], check=True)
        assert "Remove the packages with apt" in _changed(told)
        assert machine.exists("/usr/bin/containerd")
        machine.play([role])
        assert differences(before, picture(enter, machine.pid, places)) == []
        known = machine.run("dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n").stdout
        assert not {"containerd", "runc", "containernetworking-plugins"} & {line.split()[0] for line in known.splitlines()}
        assert not machine.exists("/usr/bin/containerd")
        assert _changed(machine.play([role])) == set()


def test_the_first_playbook_of_the_readme(machines: Machines, registry: Registry, layout: Layout, tmp_path: pathlib.Path) -> None:
    """To the letter, but for the image's name, on a machine that has Python and nothing else."""
    served = busybox_image(layout, Cmd=["busybox", "httpd", "-f", "-h", "/usr/share/nginx/html"])
    registry.push(layout.path, served, "readme/nginx", "1.27")
    text = (ROOT / "README.md").read_text()
    block = text.partition("<!-- first playbook")[2].partition("```yaml\n")[2].partition("```")[0]
    name = "docker.io/library/nginx:1.27"
    assert block.count(name) == 2
    playbook = tmp_path / "playbook.yml"
    playbook.write_text(block.replace(name, f"{registry.address}/readme/nginx:1.27"))
    with machines.running("none") as machine:
        site = Site(machine, playbook)
        first = site.play()
        assert first.last.actions[-2:] == ["create container web", "start container web"]
        (machine.root / "srv" / "www" / "index.html").write_text("hello from the readme")
        fetch = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1/').read().decode())"
        # It listens a moment after its start.
        assert until(lambda: machine.run("python3", "-c", fetch, check=False).stdout) == "hello from the readme\n"
        assert _changed(site.play()) == set()
        site.machine.play([ansible.task("containerd_container", name="web", state="absent", engine="embedded", force_kill=True)])


def test_the_guide_has_no_other_yaml_than_these_playbooks() -> None:
    assert len(blocks_of("guide_fleet")) == 3
