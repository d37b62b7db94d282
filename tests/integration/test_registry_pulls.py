# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What containerd_registry and containerd_login write is what all pulls follow: ours, ctr's and the kubelet's."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform
from ansible_collections.fleet.containerd.tests.support import ansible, cri
from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES, running_containerd
from ansible_collections.fleet.containerd.tests.support.fake_registry import fake_registry
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, tar_of
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.registry import Registry, own_port
from ansible_collections.fleet.containerd.tests.support.site import EmbeddedSite, Site

#: A registry that is not there: all comes from its mirrors.
NAME = "registry.invalid:5443/busybox:1"


class Mirror:
    """A certs.d in which a dead mirror comes first, then one with TLS, a private authority and basic authentication."""

    def __init__(self, base: pathlib.Path, registry: Registry, dead: int) -> None:
        self.registry, self.certs, self.config = registry, base / "certs.d", base / "config.json"
        self.dead = f"http://127.0.0.1:{dead}"
        self.url = f"https://{registry.address}"

    def mirrors(self) -> Task:
        listed = [
            {"host": self.dead, "capabilities": ["pull", "resolve"]},
            {"host": self.url, "capabilities": ["pull", "resolve"], "ca_content": pathlib.Path(self.registry.ca).read_text()},
        ]
        return task("containerd_registry", registry="registry.invalid:5443", mirrors=listed, registry_config_dir=str(self.certs))

    def login(self) -> Task:
        return task(
            "containerd_login",
            registry_url=self.registry.address,
            username=self.registry.username,
            password=self.registry.password,
            ca_path=self.registry.ca,
            config_path=str(self.config),
            registry_config_dir=str(self.certs),
            hosts_toml=True,
        )

    def since(self, mark: int) -> t.List[str]:
        """The requests that the registry has answered well (it does that for its user only) since its log had as many lines."""
        lines = self.registry.log.read_text().splitlines()[mark:]
        return [line for line in lines if "http.response.status=200" in line]

    def mark(self) -> int:
        return len(self.registry.log.read_text().splitlines())


@pytest.fixture
def mirror(tmp_path: pathlib.Path, locked_registry: Registry) -> t.Iterator[Mirror]:
    with own_port() as dead:
        yield Mirror(tmp_path, locked_registry, dead)


def test_our_own_pulls(site: Site, mirror: Mirror) -> None:
    image = task("containerd_image", name=NAME, registry_config_dir=str(mirror.certs), **site.defaults)
    refused, *rest = ansible.play([mirror.mirrors(), {**image, "ignore_errors": True}, mirror.login(), mirror.mirrors()]).results[
        1:
    ]
    assert refused.failed
    tried = refused.value("tried")
    assert [one["url"] for one in tried] == [mirror.dead, mirror.url, "https://registry.invalid:5443"]
    assert "Connection refused" in tried[0]["reason"]
    assert "needs credentials: give it an entry in auth_file, or a header in hosts.toml" in tried[1]["reason"]
    assert "the name cannot be resolved" in tried[2]["reason"]
    assert all(one["reason"] in refused.msg for one in tried)
    login, again = rest
    hosts_toml = mirror.certs / "registry.invalid_5443_" / "hosts.toml"
    own = mirror.certs / f"{mirror.registry.address.replace(':', '_')}_" / "hosts.toml"
    assert login.value("hosts_toml") == [str(own), str(hosts_toml)]
    assert not again.changed
    mark = mirror.mark()
    (pulled,) = site.converge(image)
    served = pulled.value("pulled")["served_by"]
    assert set(served.values()) == {mirror.url}
    assert set(served) >= {pulled.value("digest"), pulled.value("config_digest")}
    if isinstance(site, EmbeddedSite):
        # A daemon may have the layer in another namespace.
        assert len(served) == 2 + pulled.value("pulled")["layers"]
    assert pulled.value("image")["RepoTags"] == [NAME]
    assert [line for line in mirror.since(mark) if "ns=registry.invalid%3A5443" in line]
    info = task("containerd_registry_info", name=[NAME], registry_config_dir=str(mirror.certs))
    (shown,) = ansible.play([info]).last.value("registries")
    assert [(one["url"], one["credentials"]) for one in shown["hosts"]] == [
        (mirror.dead, False),
        (mirror.url, True),
        ("https://registry.invalid:5443", False),
    ]
    site.play(task("containerd_image", name=NAME, state="absent"))


def test_a_mirror_that_sends_something_else(site: Site, registry: Registry, layout: Layout, tmp_path: pathlib.Path) -> None:
    made = layout.image([tar_of([Entry("file", os.urandom(3000))])], {}, architecture=Platform.host().architecture)
    index = layout.index([made])
    registry.push(layout.path, index, "lied", "1")
    (layer,) = json.loads(layout.read(made))["layers"]
    name, certs = f"{registry.address}/lied:1", tmp_path / "certs.d"
    (certs / registry.address).mkdir(parents=True)
    with fake_registry() as mirror:
        (certs / registry.address / "hosts.toml").write_text(
            f'server = "http://{registry.address}"\n[host."http://{mirror.address}"]\n'
        )
        mirror.contents["/v2/lied/manifests/1"] = (layout.read(index), index["mediaType"])
        mirror.contents[f"/v2/lied/manifests/{made['digest']}"] = (b" " * made["size"], made["mediaType"])
        mirror.contents[f"/v2/lied/blobs/{layer['digest']}"] = (os.urandom(layer["size"]), "application/octet-stream")
        done = site.play(task("containerd_image", name=name, registry_config_dir=str(certs)))
        asked = [path for _method, path, _headers in mirror.seen]
    pulled = done.last.value("pulled")
    liar, honest = f"http://{mirror.address}", f"http://{registry.address}"
    assert pulled["refused"] == sorted(
        ({"digest": digest, "host": liar} for digest in (made["digest"], layer["digest"])), key=lambda one: one["digest"]
    )
    assert pulled["served_by"][index["digest"]] == liar
    assert {pulled["served_by"][digest] for digest in (made["digest"], layer["digest"])} == {honest}
    assert [word for word in done.last.value("warnings") if f"{liar} sent something else for the blob {layer['digest']}" in word]
    # Once is enough.
    assert len(asked) == len(set(asked))
    assert layer["digest"] in site.blobs()
    assert not site.play(task("containerd_image", name=name, registry_config_dir=str(certs))).last.changed
    site.play(task("containerd_image", name=name, state="absent"))


def test_our_own_pulls_with_the_credentials_of_config_json(site: Site, mirror: Mirror, tmp_path: pathlib.Path) -> None:
    entry = {"username": mirror.registry.username, "password": mirror.registry.password}
    (tmp_path / "auth.json").write_text(json.dumps({"auths": {mirror.registry.address: entry}}))
    how = {"registry_config_dir": str(mirror.certs), "auth_file": str(tmp_path / "auth.json"), **site.defaults}
    _made, pulled = ansible.play([mirror.mirrors(), task("containerd_image", name=NAME, **how)]).results
    assert set(pulled.value("pulled")["served_by"].values()) == {mirror.url}


def login_keeps_the_kubelet_pulling(address: str, modules: Modules, mirror: Mirror, busybox: str) -> None:
    """busybox is in a registry on loopback that speaks plain HTTP, and has no directory in certs.d: CRI can pull from it."""
    plain = busybox.partition("/")[0]
    own = mirror.certs / f"{plain.replace(':', '_')}_" / "hosts.toml"
    how = {"config_path": str(mirror.config), "registry_config_dir": str(mirror.certs), "hosts_toml": True}
    for verify in (True, False):
        assert cri.pull(address, busybox)
        options = {"registry_url": plain, "username": "any", "password": "word", "verify": verify, **how}
        done = modules.run("containerd_login", **options)
        assert done["hosts_toml"] == [str(own)]
        assert f'server = "http://{plain}"' in own.read_text()
        assert not modules.run("containerd_login", **options)["changed"]
        assert cri.pull(address, busybox)
        shutil.rmtree(own.parent)
        mirror.config.unlink()


@pytest.mark.parametrize("version", sorted(RELEASES))
def test_every_version_of_containerd(
    version: str, mirror: Mirror, tmp_path: pathlib.Path, modules: Modules, busybox: str
) -> None:
    with running_containerd(version, cri=True, certs=mirror.certs) as daemon:
        ansible.play([mirror.mirrors()])
        options = ("images", "pull", "--hosts-dir", str(mirror.certs), NAME)
        assert daemon.ctr(*options, check=False).returncode != 0
        with pytest.raises(EngineError):
            cri.pull(daemon.address, NAME)
        # Neither has to be restarted to learn of the credentials.
        ansible.play([mirror.login()])
        mark = mirror.mark()
        daemon.ctr(*options)
        by_ctr = mirror.since(mark)
        mark = mirror.mark()
        image_id = cri.pull(daemon.address, NAME)
        by_kubelet = mirror.since(mark)
        for lines in (by_ctr, by_kubelet):
            assert any("manifests" in line and "ns=registry.invalid" in line for line in lines), lines
            assert all("containerd/" in line for line in lines)
        assert any("/blobs/sha256:" in line for line in by_ctr)
        assert image_id.startswith("sha256:")
        assert NAME in daemon.ctr("images", "ls", "-q", namespace="k8s.io").stdout
        # The registry is private in its own right too, not only as a mirror.
        assert cri.pull(daemon.address, f"{mirror.registry.address}/busybox:1") == image_id
        how = {"engine": "containerd", "address": daemon.address, "data_root": str(tmp_path / "data"), "namespace": "ours"}
        ours = ansible.play([task("containerd_image", name=NAME, registry_config_dir=str(mirror.certs), **how)]).last
        assert set(ours.value("pulled")["served_by"].values()) <= {mirror.url}
        assert NAME in daemon.ctr("images", "ls", "-q", namespace="ours").stdout
        login_keeps_the_kubelet_pulling(daemon.address, modules, mirror, busybox)
