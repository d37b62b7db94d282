# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role registry_mirror: a real docker-registry as the cache of another one, and hosts with each engine that pull through it."""

from __future__ import annotations

import base64
import collections
import contextlib
import json
import os
import pathlib
import re
import signal
import ssl
import time
import typing as t

import pytest
import toml

from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry, Handler, fake_registry
from ansible_collections.fleet.containerd.tests.support.fleet import REGISTRY, Fleet, a_fleet
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, busybox_image, directory, small_image, tar_of
from ansible_collections.fleet.containerd.tests.support.leftovers import processes_with
from ansible_collections.fleet.containerd.tests.support.machines import running_machines
from ansible_collections.fleet.containerd.tests.support.mirrors import directories, places
from ansible_collections.fleet.containerd.tests.support.registry import Registry, make_ca, own_port, running_registry
from ansible_collections.fleet.containerd.tests.support.site import Site
from ansible_collections.fleet.containerd.tests.support.waiting import until

_ROLE = "fleet.containerd.registry_mirror"
_UPSTREAM = f"http://{REGISTRY}:5000"
_NAME = f"{REGISTRY}_5000"


@pytest.fixture
def fleet() -> t.Iterator[Fleet]:
    """A host without a daemon, and one with each containerd."""
    with a_fleet(busybox_image, 1, "1gbit") as made:
        for version in RELEASES:
            made.add_hosts(1, "1gbit", version)
        for host in made.hosts:
            (host.base / "certs.d").mkdir()
            host.variables["certs"] = str(host.base / "certs.d")
        yield made


def only(processes: t.Mapping[int, t.Any]) -> int:
    assert len(processes) == 1
    return next(iter(processes))


def changed(results: t.Sequence[t.Mapping[str, t.Any]]) -> t.Dict[str, int]:
    """How many hosts, or registries, each task has changed."""
    names = [
        str(one["name"]).rpartition(" : ")[2]
        for one in results
        if one["result"].get("changed") and "results" not in one["result"]
    ]
    return dict(collections.Counter(names))


def fetched(fleet: Fleet) -> t.List[str]:
    """What has left the registry of the fleet, blob by blob, by its own log."""
    return re.findall(r'"GET /v2/team/app/blobs/(sha256:\w+) HTTP', (fleet.base / "registry.log").read_text())


def settled(fleet: Fleet) -> t.List[str]:
    """What has left it, when nothing is added any more; empty while there is."""
    before = fetched(fleet)
    time.sleep(0.5)
    return before if fetched(fleet) == before else []


@pytest.mark.timeout(900)
def test_a_fleet_pulls_through_the_cache(fleet: Fleet) -> None:
    with directories() as base:
        cache = f"http://{fleet.hosts[0].address}:5001"
        variables = {
            **places(base),
            "registry_mirror_host": "h0",
            "registry_mirror_address": fleet.hosts[0].address,
            "registry_mirror_registries": [{"registry": f"{REGISTRY}:5000", "server": _UPSTREAM, "port": 5001}],
            "registry_mirror_registry_config_dir": "{{ certs }}",
        }

        def role(check: bool = False, **more: t.Any) -> t.Dict[str, t.Any]:
            more = {f"registry_mirror_{name}": value for name, value in more.items()}
            return {"hosts": "all", "check_mode": check, "roles": [{"role": _ROLE, **variables, **more}]}

        def pull(hosts: str, state: str = "present") -> t.Dict[str, t.Any]:
            options = {"name": fleet.image, "state": state, "registry_config_dir": "{{ certs }}"}
            return {"hosts": hosts, "tasks": [{"name": "Pull", "fleet.containerd.containerd_image": options}]}

        def served_by(playing: t.Any) -> t.Set[str]:
            return {host for one in playing.of("Pull") if "pulled" in one for host in one["pulled"]["served_by"].values()}

        # Foreseen, done, and twice nothing to do.
        first = fleet.run([role(check=True), role(), role(check=True), role(), pull("h1")], "--diff")
        assert changed(first.results) == {
            "Configure it": 2,
            "Have a directory for its data": 2,
            "Run the process": 2,
            "Say where images of the registry come from": 8,
            "Pull": 1,
        }
        assert f"+  remoteurl: {_UPSTREAM}" in first.output
        assert served_by(first) == {cache}
        # docker-registry 2.8 fetches a blob twice for the first who asks, for itself and for him.
        assert set(collections.Counter(fetched(fleet)).values()) <= {1, 2}
        until(lambda: len(list(base.glob(f"storage/{_NAME}/docker/registry/v2/blobs/sha256/*/*/data"))) >= 3, 10)
        # It writes of an answer a moment after it has sent it.
        before = until(lambda: settled(fleet), 20)
        assert before
        rest = fleet.run([pull("all")])
        assert changed(rest.results) == {"Pull": 3}
        assert served_by(rest) == {cache}
        assert fetched(fleet) == before, "the registry has sent something again"

        pid = only(processes_with(base / "run"))
        os.kill(pid, signal.SIGKILL)
        plays = [pull("h0,h3", "absent"), pull("h0,h3"), role(), role(state="absent")]
        without = fleet.run(plays)
        assert served_by(without) == {_UPSTREAM}
        assert changed(without.results) == {
            "Pull": 4,
            "Run the process": 1,
            "Stop the process": 1,
            "Say where images of the registry come from": 4,
        }
        assert not processes_with(base)
        assert [path.name for path in base.iterdir()] == ["storage"]
        assert not [path for host in fleet.hosts for path in (host.base / "certs.d").iterdir()]

        # The data are still there, and serve tags too while the registry is away.
        fleet.run([role(), pull("h1", "absent")])
        fleet.stop_registry()
        gone = {"state": "absent", "remove_data": True}
        last = fleet.run([pull("h1"), role(check=True, **gone), role(**gone), role(**gone)])
        assert served_by(last) == {cache}
        assert changed(last.results) == {"Pull": 1, "Stop the process": 2, "Say where images of the registry come from": 8}
        assert list(base.iterdir()) == []


_PASSWORD = "word-of-the-upstream"
_REPORT = "{{ ansible_failed_result.msg | default('') }}"


@contextlib.contextmanager
def asking_for_tokens(scratch: pathlib.Path, tls: t.Optional[ssl.SSLContext] = None) -> t.Iterator[t.Tuple[FakeRegistry, str]]:
    """A registry that gives tokens to its user, as the large ones do (docker-registry 2.8 knows no other way), and an image in it."""
    layout = Layout(scratch / "upstream")
    known = "Basic " + base64.b64encode(f"fleet:{_PASSWORD}".encode()).decode()

    def guard(at: Handler) -> bool:
        authorization = at.headers.get("Authorization")
        if at.path.startswith("/token"):
            at.answer(200 if authorization == known else 401, b'{"token":"good"}')
            return False
        if authorization != "Bearer good":
            realm = f"{'https' if tls else 'http'}://{upstream.address}/token"
            at.answer(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="x",scope="repository:team/app:pull"'})
        return authorization == "Bearer good"

    with fake_registry(tls) as upstream:
        upstream.push(layout.path, small_image(layout), "team/app", "1")
        upstream.guard = guard
        yield upstream, f"{upstream.address}/team/app:1"


def alone(base: pathlib.Path, port: int, address: str, scheme: str = "http", **more: t.Any) -> ansible.Task:
    """The role on this machine, which is the host of the cache and the one that pulls. The port is the cache's."""
    one = {"registry": address, "server": f"{scheme}://{address}", "port": port, "username": "fleet", "password": _PASSWORD}
    variables = {
        **places(base),
        "registry_mirror_host": "localhost",
        "registry_mirror_address": "127.0.0.1",
        "registry_mirror_listen": "127.0.0.1",
        "registry_mirror_registries": [one],
        "registry_mirror_registry_config_dir": str(base / "certs.d"),
        **{f"registry_mirror_{name}": value for name, value in more.items()},
    }
    return {"name": "The role", "ansible.builtin.include_role": {"name": _ROLE}, "vars": variables}


def changes(play: ansible.Play) -> t.List[str]:
    """The tasks that have changed something, in order; without loops."""
    return [one.name.rpartition(" : ")[2] for one in play.results if one.changed and "results" not in one.result]


def pulled(base: pathlib.Path, name: str, **more: t.Any) -> ansible.Task:
    return ansible.task(
        "containerd_image",
        name=name,
        engine="embedded",
        data_root=str(base / "data"),
        state_root=str(base / "state"),
        registry_config_dir=str(base / "certs.d"),
        unpack=False,
        retries=0,
        **more,
    )


def test_credentials_stay_on_the_host_of_the_cache_and_tls_is_used_both_ways(tmp_path: pathlib.Path) -> None:
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with directories() as base, contextlib.ExitStack() as stack:
        their_ca, *pair = make_ca(base)
        theirs.load_cert_chain(*pair)
        upstream, image = stack.enter_context(asking_for_tokens(tmp_path, theirs))
        ca, certificate, key = make_ca(tmp_path)
        os.chmod(key, 0o600)
        (base / "certs.d").mkdir()
        more: t.Dict[str, t.Any] = {"tls_certificate": certificate, "tls_key": key, "ca": pathlib.Path(ca).read_text()}
        more["environment"] = {"SSL_CERT_FILE": their_ca}
        port = stack.enter_context(own_port())
        role = alone(base, port, upstream.address, "https", **more)
        (one,) = role["vars"]["registry_mirror_registries"]
        one["mirrors"] = [{"host": f"https://{upstream.address}", "ca": [their_ca]}]
        first = ansible.play([role, pulled(base, image)], diff=True, packed=True)
        assert set(first.last.value("pulled")["served_by"].values()) == {f"https://127.0.0.1:{port}"}
        running = processes_with(base / "run")
        pid = only(running)
        process = pathlib.Path(f"/proc/{pid}")
        assert not re.search(r"^Uid:\t0\t", (process / "status").read_text(), re.MULTILINE), "it runs as root"
        for text in (first.output, str(first.results), " ".join(running[pid]), (process / "environ").read_text()):
            assert _PASSWORD not in text
        # Nobody but root, and the cache, can read it, wherever it is.
        having = [path for path in base.rglob("*") if path.is_file() and _PASSWORD.encode() in path.read_bytes()]
        assert sorted(path.stat().st_mode & 0o777 for path in having) == [0o400, 0o600]

        make_ca(tmp_path)  # a new certificate under the old name
        again = ansible.play([role], diff=True)
        assert changes(again) == ["Run the process"]
        assert list(processes_with(base / "run")) not in ([], [pid])
        one["state"] = "absent"
        assert _PASSWORD not in ansible.play([role], diff=True).output
        assert not processes_with(base / "run")
        assert not (base / "config").exists()
        (left,) = base.glob("certs.d/*/hosts.toml")
        hosts = toml.loads(left.read_text())["host"]
        assert hosts == {f"https://{upstream.address}": {"ca": [their_ca]}}


def test_wrong_values_and_a_cache_that_cannot_start_are_clear_errors() -> None:
    port = {"registry": "docker.io", "port": 5000}
    wrong: t.List[t.Tuple[t.Dict[str, t.Any], str]] = [
        ({"host": "nobody"}, "registry_mirror_host: nobody is not in the inventory"),
        ({"registries": [port, port]}, "registry_mirror_registries: a registry is there twice: docker.io, docker.io"),
        ({"registries": [port, {**port, "registry": "ghcr.io"}]}, "each registry needs a port of its own: 5000, 5000"),
        ({"registries": [{**port, "port": 70000}]}, "a port is a number from 1 to 65535: 70000"),
        ({"registries": [{**port, "username": "me"}]}, "username and password belong together: docker.io"),
        ({"tls_key": "/etc/key"}, "registry_mirror_tls_certificate and registry_mirror_tls_key belong together"),
        ({"start_without_init": False}, "localhost has no systemd that could run the cache"),
        ({"ttl": "720h"}, "which always removes blobs after seven days"),
        ({"wait": 1}, "connect: connection refused"),
    ]
    with directories() as base, own_port() as nowhere, own_port() as own:
        tasks: t.List[ansible.Task] = []
        for values, _message in wrong:
            role = alone(base, own, f"127.0.0.1:{nowhere}", **values)
            tasks.append({"block": [role], "rescue": [{"name": "Report", "ansible.builtin.debug": {"msg": _REPORT}}]})
        done = ansible.play(tasks)
        told = [one.msg for one in done.results if one.name == "Report"]
        assert len(told) == len(wrong), done.output
        for (_values, message), text in zip(wrong, told):
            assert message in text
        assert not (base / "certs.d").exists(), "hosts were told of a cache that is not there"


def image_of_a_registry(layout: Layout) -> t.Mapping[str, t.Any]:
    """As that of docker.io/library/registry: its entry point takes serve and a path."""
    names = ("lib64/ld-linux-x86-64.so.2", "lib/x86_64-linux-gnu/libc.so.6", "usr/bin/docker-registry")
    files = [Entry(name, pathlib.Path(f"/{name}").read_bytes(), mode=0o755) for name in names]
    config = {"Entrypoint": ["/usr/bin/docker-registry"], "Cmd": ["serve", "/etc/docker/registry/config.yml"]}
    parents = sorted({str(parent) for name in names for parent in pathlib.Path(name).parents} - {"."})
    return layout.image([tar_of([*map(directory, parents), *files])], config, level=1)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", ["embedded", "containerd-2.1"], indirect=True)
def test_the_cache_is_a_container(site: Site, tmp_path: pathlib.Path, registry: Registry, layout: Layout) -> None:
    registry.push(layout.path, image_of_a_registry(layout), "mirror/registry", "2")
    with directories() as base, asking_for_tokens(tmp_path) as (upstream, image), own_port() as port:
        (base / "certs.d").mkdir()
        ca, certificate, key = make_ca(base)
        more = {"tls_certificate": certificate, "tls_key": key, "ca": pathlib.Path(ca).read_text(), "remove_data": True}
        role = alone(base, port, upstream.address, image=f"{registry.address}/mirror/registry:2", **more)
        foreseen = site.play(role, check=True)
        first = site.play(role, pulled(base, image))
        wanted = ["Have a directory for its data", "Run the container", "Say where images of the registry come from"]
        assert changes(foreseen) == wanted
        assert changes(first)[:-1] == wanted
        assert set(first.last.value("pulled")["served_by"].values()) == {f"https://127.0.0.1:{port}"}
        assert _PASSWORD not in first.output + str(first.results)

        other, gone = (
            {**role, "vars": {**role["vars"], **other}}
            for other in ({"registry_mirror_settings": {"log": {"level": "info"}}}, {"registry_mirror_state": "absent"})
        )
        rest = site.play(role, other, gone)
        assert changes(rest) == ["Run the container", "Say where images of the registry come from", "Remove the container"]
        assert not (base / "storage").exists()
        site.remove_images()


@pytest.mark.timeout(600)
def test_the_cache_is_a_service_of_systemd(tmp_path: pathlib.Path) -> None:
    """On a bare Debian: it is what nobody else is, survives its end, and takes a new configuration after an interrupted play."""
    with running_registry() as upstream, running_machines() as machines, machines.running("systemd") as machine:
        layout = Layout(tmp_path)
        upstream.push(layout.path, small_image(layout), "team/app", "1")
        name = upstream.address.replace(":", "_")
        unit = f"registry-mirror@{name}"
        one = {"registry": upstream.address, "server": upstream.url(""), "port": 5000}

        def play(check: bool = False, **more: t.Any) -> t.List[str]:
            variables = {"host": "localhost", "address": "127.0.0.1", "registries": [one], **more}
            task = {
                "ansible.builtin.include_role": {"name": _ROLE},
                "vars": {f"registry_mirror_{name}": value for name, value in variables.items()},
            }
            done = machine.play([task], check=check, diff=True)
            return changes(done)

        def shown(*properties: str) -> t.Set[str]:
            return set(machine.run("systemctl", "show", unit, "-p", ",".join(properties)).stdout.split())

        assert {"Have the unit", "Configure it", "Say where images of the registry come from"} <= set(play(check=True))
        assert not machine.exists("/etc/registry-mirror")
        first = play()
        assert {"Keep the package's own service from starting", "Install packages with apt", "Run the service"} <= set(first)
        assert shown("ActiveState", "UnitFileState", "User") == {
            "ActiveState=active",
            "UnitFileState=enabled",
            "User=docker-registry",
        }
        assert machine.run("systemctl", "is-enabled", "docker-registry", check=False).stdout == "masked\n"
        fetch = (
            "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:5000/v2/team/app/tags/list').read().decode())"
        )
        assert json.loads(machine.run("python3", "-c", fetch).stdout) == {"name": "team/app", "tags": ["1"]}
        assert play() == []

        before = shown("MainPID")
        machine.run("systemctl", "kill", "-s", "KILL", unit)
        until(lambda: shown("MainPID") not in (before, {"MainPID=0"}), 20)
        # A play that ends before it restarts the cache; the next one makes good for it.
        config = machine.root / "etc" / "registry-mirror" / f"{name}.yml"
        assert "level: warn" in config.read_text()
        config.write_text(config.read_text().replace("level: warn", "level: error"))
        settings = {"log": {"level": "error"}}
        assert play(check=True, settings=settings) == ["Run the service"]
        assert play(settings=settings) == ["Run the service"]
        assert play(settings=settings) == []

        gone = play(state="absent", remove_data=True)
        assert "Stop the service, and disable it" in gone
        assert machine.run("systemctl", "is-active", unit, check=False).stdout == "inactive\n"
        left = machine.run("find", "/etc", "/run", "/var/lib", "/var/log", "-name", "*registry-mirror*").stdout
        assert left == ""
        assert play(state="absent", remove_data=True) == []
