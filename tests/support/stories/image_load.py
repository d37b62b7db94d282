# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_load: Docker's archives, indexes, and archives behind a URL."""

from __future__ import annotations

import hashlib
import pathlib
import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.archives import docker_members, tar
from ansible_collections.fleet.containerd.tests.support.archives import load_task as load
from ansible_collections.fleet.containerd.tests.support.images import Layout, hand_made_layers
from ansible_collections.fleet.containerd.tests.support.stories.sites import AnySite
from ansible_collections.fleet.containerd.tests.support.web import running_web

NAMES = ["docker.io/library/app:1", "example.com/app:2"]


def export(name: t.Union[str, t.Sequence[str]], path: pathlib.Path, **options: t.Any) -> Task:
    return {**task("containerd_image_export", path=str(path), names=name, **options), "name": f"export to {path}"}


def absent(*names: str) -> t.List[Task]:
    return [task("containerd_image", name=name, state="absent") for name in names]


def checksum(path: pathlib.Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def both_kinds_of_docker(site: AnySite, layer: bytes, base: pathlib.Path) -> None:
    """What docker save wrote before version 25, and after. Then the images of NAMES are there, with that layer."""
    old, new = base / "old.tar", base / "new.tar"
    old.write_bytes(tar(docker_members([layer, *hand_made_layers()[:1]], "app:1", Cmd=["sh"])))
    new.write_bytes(tar(docker_members([layer], "example.com/app:2", old=False, Cmd=["sh"])))
    first, second = site.converge(load(old), load(new), diff=True)
    assert first.actions == [f"load image {NAMES[0]} from {old}"]
    assert first.value("image_names") == ["app:1"]
    assert first.value("diff")["before"] == {"images": {NAMES[0]: None}}
    assert first.value("diff")["after"] == {"images": {NAMES[0]: first.value("images")[0]["Digest"]}}
    assert first.value("loaded")["layers"] == 2
    assert second.value("loaded") == {**second.value("loaded"), "layers": 1, "layers_reused": 1}


def a_round_trip(site: AnySite, base: pathlib.Path) -> None:
    """What is loaded from an archive of NAMES gives the same archive."""
    a, b = base / "a.tar", base / "b.tar"
    site.play(export(NAMES, a), *absent(*NAMES), load(a), export(NAMES, b))
    assert a.read_bytes() == b.read_bytes()


def platforms(site: AnySite, layout: Layout, ours: t.Mapping[str, t.Any]) -> None:
    """ours: an image for amd64 in the layout."""
    arm = layout.image(hand_made_layers()[:1], architecture="arm64")
    layout.tag(layout.index([arm, ours]), "app:1")
    layout.tag(layout.index([arm]), "arm:1")
    (host,) = site.converge(load(layout.path, names=["app:1"]))
    (every,) = site.converge(load(layout.path, platform="all"))
    names = ["docker.io/library/app:1", "docker.io/library/arm:1"]
    assert every.actions == [f"load images {names[0]} (it is incomplete: linux/arm64), {names[1]} from {layout.path}"]
    assert host.value("images")[0]["ManifestDigest"] == ours["digest"]
    failed, unpacked = site.play(
        load(layout.path, names=["arm:1"], ignore_errors=True), load(layout.path, names=["arm:1"], platform="linux/arm64")
    ).results
    assert failed.msg == "no manifest for platform linux/amd64 in the index; it has linux/arm64"
    assert unpacked.value("images")[0]["Unpacked"] is True


def a_url(site: AnySite, layer: bytes, base: pathlib.Path, *between: Task) -> None:
    """between: tasks that run when app:1 is there and app:2 is not."""
    path = base / "a.tar"
    path.write_bytes(tar(docker_members([layer], "app:1", "app:2")))
    names = ["app:1", "app:2"]
    with running_web(path.read_bytes()) as web:
        options: t.Dict[str, t.Any] = {"checksum": checksum(path), "retry_delay": 0.01}
        (loaded,) = site.converge(load(web.url, **options), diff=True)
        plain = web.url.partition("?")[0]
        assert loaded.actions == [f"load images from {plain}"]
        assert loaded.value("image_names") == names
        assert loaded.value("diff")["before"] == {"loaded": False}
        # Check mode asks whether it is there.
        assert web.requests == ["bytes=0-0", "all"]
        assert not [path for path in site.data.glob("*") if path.name.startswith("tmp")]
        some = site.play(load(web.url, names=["app:2"], **options)).last
        assert some.value("image_names") == names[1:]
        site.play(*absent(names[1]), *between)
        (again,) = site.converge(load(web.url, **options))
        assert again.value("image_names") == names
        _refusals_of_a_url(site, web.url, options)
    assert not site.play(load(web.url, **options)).last.changed


def _refusals_of_a_url(site: AnySite, url: str, options: t.Dict[str, t.Any]) -> None:
    wrong = {**options, "checksum": "sha256:" + "0" * 64}
    refused, missing, short, *others = site.play(
        load(url, ignore_errors=True, **wrong),
        load(url, ignore_errors=True),
        load(url, ignore_errors=True, checksum="md5:00"),
        load(url, ignore_errors=True, **{**options, "retries": -1}),
        load(url, ignore_errors=True, **{**options, "progress_timeout": 0}),
        load(url, ignore_errors=True, ca_path="/no/ca.pem", **options),
        load(url.replace("//", "//me:hunter2@"), ignore_errors=True, **options),
    ).results
    assert [one.msg for one in others] == [
        "retries: -1 is negative",
        "progress_timeout: 0.0 is not a positive number of seconds",
        "ca_path: /no/ca.pem is not a file on the target",
        "path: a URL must not contain a user name or a password",
    ]
    assert refused.msg.startswith(f"{url.partition('?')[0]} has the checksum {options['checksum']} ")
    assert missing.msg == "checksum: it is needed for a URL"
    assert short.msg.startswith("checksum: invalid digest 'md5:00'")
    assert "secret" not in str([one.msg for one in (refused, missing, short)])
    assert "hunter2" not in str(others[-1].result)
