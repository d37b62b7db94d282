# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_load through ansible-playbook, on both engines, from archives of ours and of others."""

from __future__ import annotations

import gzip
import hashlib
import os
import pathlib
import subprocess
import time
import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.archives import docker_members, tar
from ansible_collections.fleet.containerd.tests.support.archives import load_task as load
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES, Daemon
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.images import (
    Entry,
    Layout,
    busybox_image,
    busybox_layer,
    hand_made_layers,
    tar_of,
)
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.site import DaemonSite, EmbeddedSite, Site
from ansible_collections.fleet.containerd.tests.support.stories.image_load import (
    NAMES,
    a_round_trip,
    a_url,
    both_kinds_of_docker,
    checksum,
    platforms,
)
from ansible_collections.fleet.containerd.tests.support.web import running_web


def run(image: str) -> Task:
    command = ["echo", "it runs"]
    return task("containerd_container", name="one", image=image, command=command, detach=False, cleanup=True, network_mode="none")


def test_docker_archives_run_and_round_trip(site: Site, tmp_path: pathlib.Path) -> None:
    both_kinds_of_docker(site, busybox_layer(), tmp_path)
    if isinstance(site, DaemonSite):
        rows = [line.split() for line in site.ctr("images", "check").splitlines()[1:]]
        assert sorted(row[0] for row in rows) == NAMES
        assert all("complete" in row and row[-1] == "true" for row in rows), rows
    ran = site.play(run(NAMES[0])).last
    assert ran.value("container")["Output"].strip() == "it runs"
    a_round_trip(site, tmp_path)


def test_the_digest_is_that_of_ctr(
    daemons: t.Callable[[str], Daemon], embedded_site: EmbeddedSite, layout: Layout, tmp_path: pathlib.Path
) -> None:
    """Docker's format has no manifest: the one that is made is the same as containerd's."""
    layout.tag(busybox_image(layout, hand_made_layers()[:1]), "1")
    subprocess.run(
        ["skopeo", "copy", f"oci:{layout.path}:1", f"docker-archive:{tmp_path}/skopeo.tar:app:1"], check=True, capture_output=True
    )
    (tmp_path / "old.tar").write_bytes(tar(docker_members([busybox_layer()], "app:1")))
    for name in ("skopeo.tar", "old.tar"):
        ours = embedded_site.play(load(tmp_path / name)).last.value("images")[0]["Digest"]
        for version in RELEASES:
            namespace = f"theirs-{embedded_site.namespace}"
            daemons(version).ctr("images", "import", str(tmp_path / name), namespace=namespace)
            assert ours in daemons(version).ctr("images", "ls", namespace=namespace).stdout
            daemons(version).ctr("images", "rm", "--sync", "docker.io/library/app:1", namespace=namespace)


def test_what_ctr_writes(daemons: t.Callable[[str], Daemon], busybox: str, tmp_path: pathlib.Path) -> None:
    for version in RELEASES:
        theirs = DaemonSite(tmp_path / version, f"export-{version}", daemons(version))
        ours = EmbeddedSite(tmp_path / f"embedded-{version}", "from-ctr")
        (tmp_path / f"embedded-{version}").mkdir()
        path = tmp_path / f"{version}.tar"
        try:
            theirs.ctr("images", "pull", "--plain-http", busybox)
            # Of the other way, by its transfer service, ctr 2.1 now and then leaves out the end, and says nothing.
            local = ("--local",) if version == "2.1" else ()
            theirs.ctr("images", "export", *local, str(path), busybox)
            (loaded,) = ours.converge(load(path))
            assert loaded.actions == [f"load image {busybox} from {path}"]
            with theirs.engine() as engine:
                assert engine.images.get(busybox).target.digest == loaded.value("images")[0]["Digest"]
            assert not theirs.play(load(path)).last.changed
        finally:
            theirs.close()
            ours.close()


def test_platforms(site: Site, layout: Layout) -> None:
    platforms(site, layout, busybox_image(layout))


def test_a_url(embedded_site: EmbeddedSite, tmp_path: pathlib.Path) -> None:
    a_url(embedded_site, busybox_layer(), tmp_path, run("app:1"))


def test_a_url_with_daemons(site: Site, layout: Layout, tmp_path: pathlib.Path) -> None:
    arm = layout.image(hand_made_layers()[:1], architecture="arm64")
    layout.tag(layout.index([arm, busybox_image(layout)]), "app:1")
    path = tmp_path / "a.tar.gz"
    subprocess.run(["tar", "-C", layout.path, "-czf", path, "."], check=True)
    with running_web(path.read_bytes()) as web:
        options: t.Dict[str, t.Any] = {"checksum": checksum(path), "platform": "all"}
        site.converge(load(web.url, **options))
        assert web.requests == ["bytes=0-0", "all"]


def test_killed_at_any_moment(embedded_site: EmbeddedSite, modules: Modules, tmp_path: pathlib.Path) -> None:
    """Of loads and exports: the next run makes it whole, and nothing is left beside it."""
    layers = [busybox_layer(), *(tar_of([Entry(f"noise-{number}", os.urandom(500_000))]) for number in range(4))]
    archive, out = tmp_path / "a.tar.gz", tmp_path / "out"
    archive.write_bytes(gzip.compress(tar(docker_members(layers, "app:1")), 1))
    out.mkdir()
    options = {**embedded_site.defaults, "path": str(archive)}
    begun = time.monotonic()
    modules.run("containerd_image_load", **options)
    whole = time.monotonic() - begun
    for number in range(20):
        with embedded_site.engine() as engine:
            if engine.images.list():
                engine.images.delete("docker.io/library/app:1")
        modules.kill_after(whole * number / 18, "containerd_image_load", **options)
    result = modules.run("containerd_image_load", **options)
    assert result["images"][0]["Unpacked"] is True
    assert not modules.run("containerd_image_load", **options)["changed"]
    stored = list(embedded_site.data.glob("content/blobs/sha256/*"))
    assert len(stored) == len(layers) + 2
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in stored)
    assert list(embedded_site.data.glob("content/ingest/*")) == []
    export_options = {**embedded_site.defaults, "names": ["app:1"], "path": str(out / "b.tar")}
    for number in range(10):
        modules.kill_after(0.02 * number, "containerd_image_export", **export_options)
        assert {path.name for path in out.iterdir()} <= {"b.tar"}
        (out / "b.tar").unlink(missing_ok=True)
    modules.run("containerd_image_export", **export_options)
    assert not modules.run("containerd_image_export", **export_options)["changed"]


def test_examples(embedded_site: EmbeddedSite, layout: Layout, tmp_path: pathlib.Path) -> None:
    nginx, every, app = tmp_path / "nginx.tar", tmp_path / "all.tar.gz", tmp_path / "app.tar"
    nginx.write_bytes(tar(docker_members([busybox_layer()], "nginx:1.27")))
    app.write_bytes(tar(docker_members([busybox_layer()], "app:1")))
    layout.tag(busybox_image(layout), "registry.example.com/team/app:stable")
    subprocess.run(["tar", "-C", layout.path, "-czf", every, "."], check=True)
    other = Layout(tmp_path / "other")
    other.tag(busybox_image(other, Labels={"a": "b"}), "1")
    (tmp_path / "layout").rename(tmp_path / "used")
    other.path.rename(tmp_path / "layout")
    with running_web(nginx.read_bytes()) as web:
        replace = {
            "/srv/images": str(tmp_path),
            "images/app.tar": str(app),
            "https://files.example.com/nginx.tar": web.url,
            "sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83": checksum(nginx),
        }
        for one in examples_of("containerd_image_load", replace):
            embedded_site.converge(one)
