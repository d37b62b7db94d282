# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role registry_mirror: a real docker-registry as the cache of another one, and hosts with each engine that pull through it."""

from __future__ import annotations

import collections
import os
import pathlib
import re
import signal
import typing as t

import pytest
import yaml

from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES
from ansible_collections.fleet.containerd.tests.support.fleet import REGISTRY, Fleet, a_fleet
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image, small_image
from ansible_collections.fleet.containerd.tests.support.leftovers import processes_with
from ansible_collections.fleet.containerd.tests.support.mirrors import directories, places
from ansible_collections.fleet.containerd.tests.support.registry import Registry, free_port, make_ca, running_registry
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

        def role(**more: t.Any) -> t.Dict[str, t.Any]:
            more = {f"registry_mirror_{name}": value for name, value in more.items()}
            return {"hosts": "all", "roles": [{"role": _ROLE, **variables, **more}]}

        def pull(hosts: str, state: str = "present") -> t.Dict[str, t.Any]:
            options = {"name": fleet.image, "state": state, "registry_config_dir": "{{ certs }}"}
            return {"hosts": hosts, "tasks": [{"name": "Pull", "fleet.containerd.containerd_image": options}]}

        def served_by(playing: t.Any) -> t.Set[str]:
            return {host for one in playing.of("Pull") if "pulled" in one for host in one["pulled"]["served_by"].values()}

        foreseen = fleet.run([role()], "--check", "--diff")
        done = fleet.run([role()])
        wanted = {
            "Say where images of the registry come from": 4,
            "Configure it": 1,
            "Have a directory for its data": 1,
            "Run the process": 1,
        }
        assert changed(foreseen.results).items() >= wanted.items()
        assert changed(foreseen.results) == changed(done.results)
        assert f"+  remoteurl: {_UPSTREAM}" in foreseen.output
        assert changed(fleet.run([role()], "--check").results) == {}

        first = fleet.run([role(), pull("h1")])
        assert changed(first.results) == {"Pull": 1}, "the second run of the role changes something"
        assert served_by(first) == {cache}
        # docker-registry 2.8 fetches a blob twice for the first who asks, for itself and for him.
        assert set(collections.Counter(fetched(fleet)).values()) <= {1, 2}
        until(lambda: len(list(base.glob(f"storage/{_NAME}/docker/registry/v2/blobs/sha256/*/*/data"))) >= 3, 10)
        before = fetched(fleet)
        assert before
        rest = fleet.run([pull("all")])
        assert changed(rest.results) == {"Pull": 3}
        assert served_by(rest) == {cache}
        assert fetched(fleet) == before, "the registry has sent something again"

        (pid,) = processes_with(base / "run")
        os.kill(pid, signal.SIGKILL)
        without = fleet.run([pull("h0,h3", "absent"), pull("h0,h3"), role(), role(state="absent"), pull("h1", "absent")])
        assert served_by(without) == {_UPSTREAM}
        assert changed(without.results)["Run the process"] == 1
        assert changed(without.results)["Say where images of the registry come from"] == 4
        assert not processes_with(base)
        assert [path.name for path in base.iterdir()] == ["storage"]
        assert not [path for host in fleet.hosts for path in (host.base / "certs.d").iterdir()]

        # The data are still there, and serve tags too while the registry is away.
        fleet.run([role()])
        fleet.stop_registry()
        assert served_by(fleet.run([pull("h1")])) == {cache}
        gone = role(state="absent", remove_data=True)
        foreseen = fleet.run([gone], "--check")
        done = fleet.run([gone])
        assert changed(foreseen.results) == changed(done.results)
        assert changed(fleet.run([gone]).results) == {}
        assert [path for path in base.rglob("*") if path.name != "storage"] == []


_REPORT = "{{ ansible_failed_result.msg | default('') }}"


def alone(base: pathlib.Path, upstream: Registry, **more: t.Any) -> t.Tuple[ansible.Task, int]:
    """The role on this machine, which is the host of the cache and the one that pulls. The port is the cache's."""
    port = free_port()
    one = {"registry": upstream.address, "server": upstream.url(""), "port": port}
    if upstream.username:
        one.update(username=upstream.username, password=upstream.password)
    variables = {
        **places(base),
        "registry_mirror_host": "localhost",
        "registry_mirror_address": "127.0.0.1",
        "registry_mirror_listen": "127.0.0.1",
        "registry_mirror_registries": [one],
        "registry_mirror_registry_config_dir": str(base / "certs.d"),
        **{f"registry_mirror_{name}": value for name, value in more.items()},
    }
    return {"name": "The role", "ansible.builtin.include_role": {"name": _ROLE}, "vars": variables}, port


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


def image_in(registry: Registry, base: pathlib.Path, make: t.Callable[[Layout], t.Mapping[str, t.Any]] = small_image) -> str:
    layout = Layout(base / "layout")
    registry.push(layout.path, make(layout), "team/app", "1")
    return f"{registry.address}/team/app:1"


def test_credentials_stay_on_the_host_of_the_cache_and_tls_is_used_both_ways(tmp_path: pathlib.Path) -> None:
    password = "word-of-the-upstream"
    with directories() as base, running_registry(True, "fleet", password) as upstream:
        image = image_in(upstream, tmp_path)
        ca, certificate, key = make_ca(tmp_path)
        os.chmod(key, 0o600)
        (base / "certs.d").mkdir()
        tls = {"tls_certificate": certificate, "tls_key": key, "ca": pathlib.Path(ca).read_text()}
        environment = {"SSL_CERT_FILE": str(base / "upstream.pem")}
        (base / "upstream.pem").write_bytes(pathlib.Path(upstream.ca).read_bytes())
        role, port = alone(base, upstream, environment=environment, **tls)
        first = ansible.play([role, pulled(base, image)], diff=True, packed=True)
        assert set(first.last.value("pulled")["served_by"].values()) == {f"https://127.0.0.1:{port}"}
        ((pid, arguments),) = processes_with(base / "run").items()
        process = pathlib.Path(f"/proc/{pid}")
        assert re.search(r"^Uid:\t(?!0\t)", (process / "status").read_text(), re.MULTILINE), "it runs as root"
        # The data are those of the upstream; nobody but root and the cache reads the password, wherever it is.
        for text in (first.output, str(first.results), " ".join(arguments), (process / "environ").read_text()):
            assert password not in text
        having = [path for path in base.rglob("*") if path.is_file() and password.encode() in path.read_bytes()]
        assert sorted(path.stat().st_mode & 0o777 for path in having) == [0o400, 0o600]
        name = upstream.address.replace(":", "_")
        assert yaml.safe_load((base / "config" / f"{name}.yml").read_text())["proxy"]["password"] == password

        # A new certificate under the old name.
        os.replace(make_ca(tmp_path)[1], certificate)
        again = ansible.play([role, ansible.task("containerd_registry_info")], packed=True)
        assert [one.name.rpartition(" : ")[2] for one in again.results if one.changed] == ["Run the process"]
        assert pathlib.Path(f"/proc/{pid}").exists() is False
        without, _port = alone(base, upstream, environment=environment, state="absent", remove_data=True, **tls)
        gone = ansible.play([without], diff=True, packed=True)
        assert password not in gone.output
        assert not processes_with(base / "run")
        assert not (base / "config").exists()


def test_wrong_values_and_a_cache_that_cannot_start_are_clear_errors(tmp_path: pathlib.Path) -> None:
    nowhere = Registry(f"127.0.0.1:{free_port()}", "http", "", "", "", tmp_path, tmp_path)
    port = {"registry": "docker.io", "port": 5000}
    wrong: t.List[t.Tuple[t.Dict[str, t.Any], str]] = [
        ({"host": "nobody"}, 'registry_mirror_host: "nobody" is not in the inventory'),
        ({"registries": [port, port]}, "registry_mirror_registries: a registry is there twice: docker.io, docker.io"),
        ({"registries": [port, {**port, "registry": "ghcr.io"}]}, "each registry needs a port of its own: 5000, 5000"),
        ({"registries": [{**port, "port": 70000}]}, "a port is a number from 1 to 65535: 70000"),
        ({"registries": [{**port, "username": "me"}]}, "username and password belong together: docker.io"),
        ({"tls_key": "/etc/key"}, "registry_mirror_tls_certificate and registry_mirror_tls_key belong together"),
        ({"start_without_init": False}, "localhost has no systemd that could run the cache"),
        ({"ttl": "720h"}, "which always removes blobs after seven days"),
        ({"wait": 1}, "connect: connection refused"),
    ]
    with directories() as base:
        tasks: t.List[ansible.Task] = []
        for values, _message in wrong:
            role, _port = alone(base, nowhere, **values)
            tasks.append({"block": [role], "rescue": [{"name": "Report", "ansible.builtin.debug": {"msg": _REPORT}}]})
        done = ansible.play(tasks)
        told = [one.msg for one in done.results if one.name == "Report"]
        assert len(told) == len(wrong), done.output
        for (_values, message), text in zip(wrong, told):
            assert message in text
        assert not (base / "certs.d").exists(), "hosts were told of a cache that is not there"
