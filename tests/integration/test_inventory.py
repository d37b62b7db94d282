# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin containerd_containers, by ansible-inventory and by playbooks."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest
import yaml

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import NAME
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Container
from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.networked import Networked
from ansible_collections.fleet.containerd.tests.support.site import EmbeddedSite, Site

PLUGIN = "fleet.containerd.containerd_containers"
_POD = {"io.kubernetes.pod.namespace": "kube-system", "io.kubernetes.pod.name": "etcd-1.a"}
_ETCD = {**_POD, "io.kubernetes.container.name": "etcd"}


class Inventory:
    """A file that describes an inventory of an engine with these options, in a directory. under: a command that reads it."""

    def __init__(self, base: pathlib.Path, defaults: t.Mapping[str, t.Any], under: t.Sequence[str] = ()) -> None:
        self.path, self._defaults, self._under = base / "test.containerd.yml", defaults, under

    def write(self, **options: t.Any) -> pathlib.Path:
        self.path.write_text(yaml.safe_dump({"plugin": PLUGIN, **self._defaults, **options}))
        return self.path

    def read(self, *arguments: str, **options: t.Any) -> Listed:
        """What ansible-inventory tells of it."""
        home = self.path.parent / "home"
        environment = {
            **os.environ, "ANSIBLE_HOME": str(home), "ANSIBLE_COLLECTIONS_PATH": str(ansible.COLLECTIONS), "LC_ALL": "C.UTF-8"
        }  # fmt: skip
        command = [str(pathlib.Path(sys.executable).with_name("ansible-inventory")), "-i", str(self.write(**options)), "--list"]
        # starts: ansible-inventory (under nsenter)
        done = subprocess.run([*self._under, *command, *arguments], check=True, capture_output=True, text=True, env=environment)
        return Listed(json.loads(done.stdout, object_hook=_text), done.stderr)


def _text(value: t.Dict[str, t.Any]) -> t.Any:
    """Text that is no template is written so, for who reads the inventory."""
    return value["__ansible_unsafe"] if list(value) == ["__ansible_unsafe"] else value


class Listed:
    """groups: their hosts, by name. hosts: their variables, by name. errors: what was printed besides."""

    def __init__(self, told: t.Mapping[str, t.Any], errors: str) -> None:
        self.hosts: t.Dict[str, t.Any] = dict(told["_meta"]["hostvars"])
        self.groups = {name: set(group.get("hosts", ())) for name, group in told.items() if name not in ("_meta", "all")}
        self.errors = errors


@contextlib.contextmanager
def foreign(site: Site, *labels: t.Mapping[str, str]) -> t.Iterator[t.List[str]]:
    """Records as another tool makes them, with their labels; their ids."""
    spec = {"ociVersion": "1.0.2", "process": {}}
    records = [
        Container(f"{number:064x}", "docker.io/library/some:1", spec, "overlayfs", "", own)
        for number, own in enumerate(labels, 1)
    ]
    with site.engine() as engine:
        ids = [engine.containers.create(one).id for one in records]
        yield ids
        for one in ids:
            engine.containers.delete(one)


@pytest.mark.parametrize("backend", ["embedded", "containerd-2.1"], indirect=True)
def test_containers_are_hosts_in_groups(site: Site, modules: Modules, busybox: str, tmp_path: pathlib.Path) -> None:
    common = {**site.defaults, "image": busybox, "stop_signal": "KILL"}
    modules.run("containerd_container", **common, name="web", command=["sleep", "1000"], labels={"tier": "front"})
    modules.run("containerd_container", **common, name="idle", state="present", labels={"tier": "back"})
    listed = Inventory(tmp_path, site.defaults).read(
        verbose_output=True,
        compose={"tier": "containerd_config.Labels.tier", "mine": "'text of ' + containerd_name"},
        groups={"running": "containerd_state.Running"},
        keyed_groups=[{"prefix": "tier", "key": "tier"}, {"prefix": "image", "key": "containerd_config.Image"}],
    )
    assert listed.hosts["web"]["containerd_state"]["Status"] == "running"
    assert (listed.hosts["idle"]["tier"], listed.hosts["idle"]["mine"]) == ("back", "text of idle")
    image = "image_" + busybox.replace("/", "_").replace(":", "_").replace(".", "_")
    assert listed.groups == {"running": {"web"}, "tier_front": {"web"}, "tier_back": {"idle"}, image: {"web", "idle"}}


def test_variables_filters_and_caches(
    embedded_site: EmbeddedSite, modules: Modules, busybox: str, tmp_path: pathlib.Path
) -> None:
    common = {**embedded_site.defaults, "image": busybox, "state": "present"}
    web = modules.run("containerd_container", **common, name="web")
    modules.run("containerd_container", **common, name="idle", labels={"tier": "back"}, env={"WORD": "hush"})
    inventory = Inventory(tmp_path, embedded_site.defaults)

    plain = inventory.read()
    assert plain.hosts["web"] == {
        "ansible_connection": "fleet.containerd.containerd",
        "ansible_host": "web",
        "ansible_containerd_address": "/run/containerd/containerd.sock",
        "containerd_name": "web",
        "containerd_short_id": web["container"]["Id"][:12],
        **{f"ansible_containerd_{name}": value for name, value in embedded_site.defaults.items()},
    }
    there = inventory.read(command_prefix="env -i HOME=/nowhere")
    assert there.hosts["web"] == {**plain.hosts["web"], "ansible_containerd_command_prefix": "env -i HOME=/nowhere"}
    assert plain.groups == {"ungrouped": {"web", "idle"}}

    fails = {"exclude": "containerd_nonsense.x"}
    some = inventory.read(filters=[{"include": "containerd_name == 'web'"}, fails, {"exclude": True}])
    assert set(some.hosts) == {"web"}
    strict = inventory.read(strict=True, filters=[fails])
    assert strict.hosts == {}
    assert "filters: exclude: containerd_nonsense.x fails for" in " ".join(strict.errors.split())
    for wrong in ({"include": True, "exclude": True}, "web"):
        told = inventory.read(filters=[{"include": True}, wrong])
        assert told.hosts == {}
        assert "must be one of include and exclude" in " ".join(told.errors.split())

    cache = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(tmp_path / "cache")}
    assert inventory.read(**cache, verbose_output=True).hosts["idle"]["containerd_state"]["Status"] == "created"
    (kept,) = (tmp_path / "cache").iterdir()
    assert "back" in kept.read_text()
    assert "hush" not in kept.read_text()
    modules.run("containerd_container", **embedded_site.defaults, name="idle", state="absent")
    assert set(inventory.read(**cache).hosts) == {"web", "idle"}
    assert set(inventory.read("--flush-cache", **cache).hosts) == {"web"}


@pytest.mark.parametrize("backend", ["containerd-2.1"], indirect=True)
def test_what_others_have_written_is_never_run(site: Site, tmp_path: pathlib.Path) -> None:
    """Nor does it break names of hosts and groups. Containers of pods are named and grouped."""
    witness = tmp_path / "witness"
    evil = "{{ lookup('ansible.builtin.pipe', 'touch " + str(witness) + "') }}"
    label = {"evil": evil}
    named = [{NAME: evil}, {NAME: "a b\n"}, {NAME: "localhost"}, _ETCD]
    made = foreign(site, label, *({**one, **label} for one in named), _POD)
    with made as (nameless, templated, spaced, here, _etcd, _sandbox):
        hosts = {nameless, templated, spaced, here, "kube-system.etcd-1.a.etcd"}
        options = {
            "verbose_output": True,
            "compose": {"composed": "containerd_config.Labels.evil"},
            "groups": {"some": "containerd_config.Labels.evil is defined"},
            "keyed_groups": [{"prefix": "evil", "key": "containerd_config.Labels.evil"}],
        }
        inventory = Inventory(tmp_path, site.defaults)
        listed = inventory.read(**options)
        assert set(listed.hosts) == hosts
        assert listed.groups["pod_namespace_kube_system"] == {"kube-system.etcd-1.a.etcd"}
        pod = {
            name: value for name, value in listed.hosts["kube-system.etcd-1.a.etcd"].items() if name.startswith("containerd_pod_")
        }
        assert pod == {
            f"containerd_pod_{key}": value for key, value in zip(("namespace", "name", "container"), (*_POD.values(), "etcd"))
        }
        assert all(name.replace("_", "a").isalnum() for name in listed.groups)
        assert listed.hosts[templated]["ansible_host"] == templated

        used = [
            {"ansible.builtin.debug": {"msg": "{{ hostvars[item]." + name + " }}"}, "loop": sorted(hosts)}
            for name in ("composed", "containerd_config.Labels.evil", "ansible_host", "containerd_name")
        ]
        (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": used}]))
        results = ansible.play(tmp_path / "play.yml", arguments=["-i", str(inventory.path)]).results
        assert [one["msg"] for one in results[0].value("results")] == [evil] * len(hosts)
        assert [one["msg"] for one in results[1].value("results")] == [evil] * len(hosts)
        assert len(results) == len(used)
        assert not witness.exists()


@pytest.mark.parametrize("networked_site", [""], indirect=True, ids=["embedded"])
def test_ssh(networked_site: Networked, tmp_path: pathlib.Path) -> None:
    networked_site.web("every", published_ports=["2222:22"])
    networked_site.web("one", published_ports=["127.0.0.9:2223:22"])
    networked_site.web("none", network_mode="none")
    inventory = Inventory(tmp_path, networked_site.defaults, networked_site.under)
    listed = inventory.read(connection_type="ssh", default_ip="192.0.2.1")
    reached = {
        name: [found[f"ansible_{word}"] for word in ("connection", "host", "port")] for name, found in listed.hosts.items()
    }
    assert reached == {"every": ["ssh", "192.0.2.1", 2222], "one": ["ssh", "127.0.0.9", 2223]}


def test_examples(embedded_site: EmbeddedSite, modules: Modules, busybox: str, tmp_path: pathlib.Path) -> None:
    common = {**embedded_site.defaults, "image": busybox, "stop_signal": "KILL"}
    modules.run("containerd_container", **common, name="web", command=["sleep", "1000"], labels={"tier": "front"})
    modules.run("containerd_container", **common, name="idle", state="present")
    found = []
    with foreign(embedded_site, _ETCD):
        for example in examples_of("containerd_containers", {"/var/cache/ansible": str(tmp_path / "cache")}, "inventory"):
            assert example.pop("plugin") == PLUGIN
            found.append(Inventory(tmp_path, {}).read(**{**example, **embedded_site.defaults}))
    assert [set(one.hosts) for one in found] == [{"web", "idle", "kube-system.etcd-1.a.etcd"}, {"web"}, {"web", "idle"}]
    assert {"tier_front", "network_none"} < set(found[1].groups)
    assert "public" not in found[1].groups
