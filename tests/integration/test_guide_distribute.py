# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide for fleets, from its first block to its last one, on a host without a daemon and one with."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
import yaml

from ansible_collections.fleet.containerd.tests.support.fleet import REGISTRY, Fleet, a_fleet, running_registry
from ansible_collections.fleet.containerd.tests.support.guides import blocks_of
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image
from ansible_collections.fleet.containerd.tests.support.mirrors import directories, places

GUIDE = "guide_distribute"


@pytest.fixture
def fleet() -> t.Iterator[Fleet]:
    with a_fleet(busybox_image, 1, "1gbit") as made:
        made.add_hosts(1, "1gbit", "1.7")
        layout = Layout(made.base / "more")
        with running_registry(storage=made.base / "storage") as pushing:
            for name, tag in (("app", "2.1"), ("worker", "2.1"), ("other", "1"), ("other", "2"), ("other", "3")):
                pushing.push(layout.path, busybox_image(layout, Labels={"for": name + tag}), f"team/{name}", tag)
        yield made


def plays(tmp_path: pathlib.Path) -> t.List[t.List[t.Dict[str, t.Any]]]:
    """Those of each block."""
    replace = {
        "registry.example.com": f"{REGISTRY}:5000",
        "{{ playbook_dir }}": str(tmp_path),
        "/srv/release.tar": str(tmp_path / "release.tar"),
        "hosts: localhost": "hosts: h0",
        "hosts: builders": "hosts: h0",
        "hosts: builder\n": "hosts: h0\n",
        "hosts: site": "hosts: h1",
        "hosts: nodes": "hosts: h1",
        "hosts: workers": "hosts: all",
        "builder01": "h0",
        "become: true": "become: false",
    }
    return [yaml.safe_load(block) for block in blocks_of(GUIDE, replace)]


def images_of(fleet: Fleet, number: int, namespace: str = "default") -> t.Dict[str, str]:
    host = fleet.hosts[number]
    host.variables["namespace"] = namespace
    with host.engine() as engine:
        del host.variables["namespace"]
        return {record.name: str(record.target.digest) for record in engine.images.list() if "@" not in record.name}


def test_the_guide(fleet: Fleet, tmp_path: pathlib.Path) -> None:
    # The last one needs a host of its own: test_reset.py runs it.
    lock, distribute, nodes, site, mixed, cache, prune, _reset = plays(tmp_path)
    fleet.run(lock)
    release = json.loads((tmp_path / "release.json").read_text())["images"]
    wanted = {name: one["digest"] for name, one in release.items()}
    assert sorted(wanted) == [f"{REGISTRY}:5000/team/{name}:2.1" for name in ("app", "worker")]

    foreseen = fleet.run(distribute, "--check").report["table"]
    assert foreseen[0].split() == ["host", "to", "come", "from", "free", "seconds"]
    assert [line.split()[0] for line in foreseen[1:]] == ["h0", "h1"]
    assert not images_of(fleet, 0)
    done = fleet.run(distribute)
    assert done.report["registry_copies"] == 1.0
    assert images_of(fleet, 0) == images_of(fleet, 1) == wanted
    assert "changed=0" in fleet.run(mixed).output

    shown = fleet.run(nodes)
    assert images_of(fleet, 1, "k8s.io") == wanted
    lines = shown.of("Show what the hosts have")[0]["msg"]
    assert lines == [f"h1  {name}  changed  {digest}" for name, digest in wanted.items()]
    assert [line.split()[2] for line in fleet.run(nodes).of("Show what the hosts have")[0]["msg"]] == ["ok", "ok"]

    for number in (0, 1):
        with fleet.hosts[number].engine() as engine:
            for name in wanted:
                engine.images.delete(name)
    export, load = site
    fleet.run([export])
    fleet.stop_registry()
    foreseen = fleet.run([load], "--check").of("Show what the hosts have")[0]["msg"]
    assert foreseen == [f"h1  {' '.join(sorted(wanted))}  changed"]
    fleet.run([load])
    assert images_of(fleet, 1) == wanted

    others = [f"{REGISTRY}:5000/team/other:{number}" for number in (1, 2, 3)]
    fleet.serve()
    with directories() as base:
        variables = cache[0]["roles"][0]["vars"]
        variables.update(places(base), registry_mirror_address="127.0.0.1", registry_mirror_registry_config_dir=str(fleet.base))
        variables["registry_mirror_registries"][0]["server"] = f"http://{REGISTRY}:5000"
        pull = {"hosts": "h0", "tasks": [{"name": "Pull", "fleet.containerd.containerd_image": {"name": others}}]}
        (pulled,) = fleet.run([*cache, pull], "-e", "ci_password=word").of("Pull")
        assert {host for one in pulled["images"] for host in one["pulled"]["served_by"].values()} == {"http://127.0.0.1:5001"}
    with fleet.hosts[0].engine() as engine:
        engine.images.put(engine.images.get(others[0])._replace(name=f"{REGISTRY}:5000/base/os:1"))
    told, pruned = fleet.run(prune, "--check"), fleet.run(prune)
    assert set(images_of(fleet, 0)) == {*wanted, *others[1:], f"{REGISTRY}:5000/base/os:1"}
    assert told.results[-1]["result"]["images"] == pruned.results[-1]["result"]["images"]
