# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_load with source: controller, on both engines: what is sent, and that all else is as with source: target."""

from __future__ import annotations

import functools
import gzip
import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support import ansible, images
from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult
from ansible_collections.fleet.containerd.tests.support.archives import docker_members, load_task, members_of, tar
from ansible_collections.fleet.containerd.tests.support.site import DaemonSite, EmbeddedSite, Site, finished, new_namespace

PLUGINS = pathlib.Path(ansible.__file__).parent / "connection_plugins"
NAME = "docker.io/library/app:1"
#: More than the documents of any image here, less than any layer that counts.
SMALL = 20_000
load = functools.partial(load_task, source="controller")


def check(one: Task) -> Task:
    return {**one, "check_mode": True}


def noise(name: str, size: int) -> bytes:
    """A layer that cannot be compressed."""
    return images.tar_of([images.Entry(name, os.urandom(size))])


def to_docker_archive(layout: images.Layout, name: str, path: pathlib.Path) -> None:
    path.unlink(missing_ok=True)
    command = ["skopeo", "copy", f"oci:{layout.path}:{name}", f"docker-archive:{path}:app:1"]
    subprocess.run(command, check=True, capture_output=True)


def sizes(results: t.Iterable[TaskResult]) -> t.List[int]:
    return [int(one.value("sent")) for one in results]


@pytest.mark.parametrize("kind", ["docker archive", "image layout"])
def test_only_what_lacks_is_sent(site: Site, layout: images.Layout, tmp_path: pathlib.Path, kind: str) -> None:
    """First all layers; then nothing; of a new version the layer that is new."""
    bottom, upper = noise("bottom", 2_000_000), noise("upper", 100_000)
    path = tmp_path / "app.tar" if kind == "docker archive" else layout.path
    layout.tag(images.busybox_image(layout, [bottom]), "app:1")
    if kind == "docker archive":
        to_docker_archive(layout, "app:1", path)
    one = load(path)
    predicted, first, again, still = site.play(check(one), one, one, check(one), diff=True).results
    assert predicted.actions == first.actions == [f"load image {NAME} from {path}"]
    assert predicted.value("diff") == first.value("diff")
    digest = first.value("images")[0]["Digest"]
    assert first.value("diff")["before"] == {"images": {NAME: None}}
    assert first.value("diff")["after"] == {"images": {NAME: digest}}
    assert first.value("loaded") == {**first.value("loaded"), "layers": 2, "layers_reused": 0}
    assert "loaded" not in predicted.result
    assert [one.changed for one in (predicted, first, again, still)] == [True, True, False, False]
    assert max(sizes((predicted, again, still))) < SMALL
    assert sizes([first])[0] > 2_000_000
    layout.tag(images.busybox_image(layout, [bottom, upper]), "app:1")
    if kind == "docker archive":
        to_docker_archive(layout, "app:1", path)
    (moved,) = site.converge(one)
    assert moved.actions == [f"load image {NAME} (here is {digest[:19]}) from {path}"]
    assert moved.value("loaded") == {**moved.value("loaded"), "layers": 3, "layers_reused": 2}
    assert 100_000 < sizes([moved])[0] < 100_000 + 2 * SMALL
    assert len(site.blobs()) >= 5
    if isinstance(site, DaemonSite):
        (row,) = [line.split() for line in site.ctr("images", "check").splitlines()[1:]]
        assert "complete" in row
        assert row[-1] == "true"


def test_what_the_store_has_is_used(site: Site, layout: images.Layout, tmp_path: pathlib.Path) -> None:
    """Layers of another image; a name alone; a blob that the archive lacks, or that is damaged in the store."""
    bottom = noise("bottom", 2_000_000)
    layout.tag(images.busybox_image(layout, [bottom]), "other:1")
    site.play(load(layout.path, source="target"))
    image = images.busybox_image(layout, [bottom], Labels={"a": "b"})
    layout.tag(image, "app:1")
    manifest = json.loads(layout.read(image))
    gone = layout.path / "blobs" / "sha256" / manifest["layers"][1]["digest"][7:]
    gone.rename(tmp_path / "gone")
    (loaded,) = site.converge(load(layout.path, names=["app:1"]))
    assert sizes([loaded])[0] < 2 * SMALL
    layout.tag(image, "app:2")
    (named,) = site.converge(load(layout.path))
    assert named.value("image_names") == ["app:1", "app:2", "other:1"]
    assert sizes([named])[0] < SMALL
    config = site.blob_path(manifest["config"]["digest"])
    config.write_bytes(config.read_bytes()[:-1] + b" ")
    (repaired,) = site.converge(load(layout.path, names=["app:1"]))
    assert "it is incomplete" in repaired.actions[0]
    site.blobs()


def test_the_same_as_from_the_target(tmp_path: pathlib.Path, layout: images.Layout) -> None:
    """Names, platforms, errors, warnings: no difference but where the archive is."""
    ours, arm = images.busybox_image(layout), layout.image(images.hand_made_layers()[:1], architecture="arm64")
    layout.tag(layout.index([arm, ours]), "app:1")
    layout.tag(images.busybox_image(layout, Labels={"a": "b"}), "7")
    only_arm = images.Layout(tmp_path / "arm")
    only_arm.tag(only_arm.index([only_arm.image(images.hand_made_layers()[:1], architecture="arm64")]), "arm:1")
    part = images.Layout(tmp_path / "part")
    lacking = part.image(images.hand_made_layers(), architecture="arm64")
    part.tag(part.index([lacking, images.busybox_image(part)]), "part:1")
    (part.path / "blobs" / "sha256" / lacking["digest"][7:]).unlink()
    both, nameless = tmp_path / "both.tar", tmp_path / "nameless.tar"
    both.write_bytes(tar(docker_members([images.busybox_layer()], "app:1", "app:2", "example.com/app:3")))
    nameless.write_bytes(tar(docker_members([images.busybox_layer()], old=False)))
    hollow = images.Layout(tmp_path / "hollow")
    image = hollow.tag(images.busybox_image(hollow, [images.tar_of([images.Entry("only", b"here")])]), "hollow:1")
    (hollow.path / "blobs" / "sha256" / json.loads(hollow.read(image))["layers"][1]["digest"][7:]).unlink()
    cases: t.List[t.Dict[str, t.Any]] = [
        {"path": both, "names": ["app:2", "example.com/app:3"]},
        {"path": both, "names": "app:9"},
        {"path": both, "name": "x"},
        {"path": both},
        {"path": nameless},
        {"path": nameless, "name": "one"},
        {"path": nameless, "name": "one", "tag": "a tag"},
        {"path": nameless, "name": "one", "tag": "2"},
        {"path": layout.path, "platform": "linux/riscv64"},
        {"path": layout.path, "max_parallel": 0},
        {"path": layout.path},
        {"path": layout.path, "name": "other"},
        {"path": layout.path, "platform": "all", "names": ["app:1"]},
        {"path": layout.path, "platform": "linux/arm64", "names": ["app:1"]},
        {"path": only_arm.path},
        {"path": only_arm.path, "platform": "linux/arm64"},
        {"path": part.path, "platform": "linux/arm64"},
        {"path": part.path, "platform": "all"},
        {"path": part.path},
        {"path": hollow.path},
        {"path": both, "nam": "x"},
    ]
    seen = []
    for source in ("target", "controller"):
        base = tmp_path / source
        base.mkdir()
        with finished(EmbeddedSite(base, new_namespace())) as site:
            tasks = [load(**case, source=source, ignore_errors=True) for case in cases]
            tasks = [one for made in tasks for one in (check(made), made)]
            seen.append([outcome(one, base, site) for one in site.play(*tasks, diff=True).results])
    for theirs, ours in zip(*seen):
        assert theirs == ours
    done = seen[0][1::2]
    assert [number for number, one in enumerate(done) if one["status"] == "failed"] == [1, 2, 4, 6, 8, 9, 14, 16, 19, 20]
    assert [number for number, one in enumerate(done) if not one["changed"] and one["status"] == "ok"] == [18]


def outcome(result: TaskResult, base: pathlib.Path, site: Site) -> t.Dict[str, t.Any]:
    """What a user sees of a result, without the names of this site."""
    keys = ("changed", "msg", "error", "actions", "failed_action", "image_names", "diff", "warnings")
    found = {"status": result.status, **{key: result.get(key) for key in keys}}
    found["images"] = [
        (one["RepoTags"], one["Digest"], one["ManifestDigest"], one["Unpacked"]) for one in result.get("images", ())
    ]
    text = json.dumps(found).replace(str(base), "BASE").replace(site.namespace, "NAMESPACE")
    return dict(json.loads(text))


def test_archives_that_are_compressed_as_a_whole(
    embedded_site: EmbeddedSite, layout: images.Layout, tmp_path: pathlib.Path
) -> None:
    """Of an image layout not even the documents are sent while all is there; plain layers are sent compressed."""
    layout.tag(images.busybox_image(layout, [noise("bottom", 500_000)]), "app:1")
    oci, docker = tmp_path / "oci.tar.gz", tmp_path / "docker.tar.gz"
    with_index_first = sorted(members_of(layout).items(), key=lambda member: "/" in member[0])
    oci.write_bytes(gzip.compress(tar(with_index_first), 1))
    zeros = images.tar_of([images.Entry("zeros", bytes(5_000_000))])
    docker.write_bytes(gzip.compress(tar(docker_members([images.busybox_layer(), zeros], "other:1")), 1))
    first, other = embedded_site.converge(load(oci), load(docker))
    again, documents = embedded_site.play(load(oci), load(docker)).results
    assert sizes([first])[0] > 500_000
    assert sizes([other])[0] < 4_000_000
    assert sizes([again])[0] < sizes([documents])[0] < SMALL
    docker.write_bytes(docker.read_bytes()[:-1000])
    (broken,) = embedded_site.play(load(docker), failing=True).results
    assert broken.msg.startswith(f"on the controller: the compressed archive {docker} ")


def test_what_goes_away_meanwhile_is_sent_too(site: Site, layout: images.Layout, tmp_path: pathlib.Path) -> None:
    """Over a connection that counts, and before the second part removes the image that had the lower layers."""
    bottom, upper = noise("bottom", 300_000), noise("upper", 100_000)
    layout.tag(images.busybox_image(layout, [bottom]), "old:1")
    site.play(load(layout.path))
    layout.tag(images.busybox_image(layout, [bottom, upper]), "app:1")
    remove = tmp_path / "remove.sh"
    if isinstance(site, DaemonSite):
        arguments = f"--address {site.daemon.address} --namespace {site.namespace}"
        remove.write_text(f"{site.daemon.bin}/ctr {arguments} images rm --sync docker.io/library/old:1")
    else:
        engine = f"EmbeddedEngine({site.namespace!r}, {str(site.data)!r}, {str(site.state)!r})"
        package = "ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine"
        script = f"from {package} import EmbeddedEngine; {engine}.images.delete('docker.io/library/old:1')"
        remove.write_text(f'PYTHONPATH={ansible.COLLECTIONS} {sys.executable} -c "{script}"')
    parts = tmp_path / "parts"
    variables = {"ansible_connection": "meddling", "ansible_parts": str(parts), "ansible_meddle": f"sh {remove}"}
    environment = {"ANSIBLE_CONNECTION_PLUGINS": str(PLUGINS), "ANSIBLE_PIPELINING": "1"}
    done = site.play(load(layout.path, names=["app:1"]), variables=variables, environment=environment).last
    lines = [line.split() for line in parts.read_text().splitlines()]
    assert done.value("sent") == sum(int(line[2]) for line in lines)
    assert [int(line[2]) // 100_000 for line in lines[:2]] == [0, 1]
    assert int(lines[2][2]) > 400_000
    assert done.value("images")[0]["Unpacked"] is True
    assert not any(os.path.exists(path) for line in lines for path in line[:2])
    with site.engine() as engine:
        assert [image.name for image in engine.images.list()] == [NAME]


def test_no_file_is_left(embedded_site: EmbeddedSite, layout: images.Layout, tmp_path: pathlib.Path) -> None:
    """On neither side, also not of loads that fail on the controller or on the target."""
    layout.tag(images.busybox_image(layout, [noise("bottom", 100_000)]), "app:1")
    local, remote, parts = tmp_path / "local", tmp_path / "remote", tmp_path / "parts"
    look = {"name": "look", "ansible.builtin.shell": f"find {local} -name 'part-*'; find {remote} -name part.tar"}
    blob = max(layout.path.glob("blobs/sha256/*"), key=lambda path: path.stat().st_size)
    good = blob.read_bytes()
    blob.write_bytes(good[:-1] + b"x")
    variables = {"ansible_connection": "meddling", "ansible_parts": str(parts)}
    environment = {
        "ANSIBLE_CONNECTION_PLUGINS": str(PLUGINS),
        "ANSIBLE_LOCAL_TEMP": str(local),
        "ANSIBLE_REMOTE_TEMP": str(remote),
    }
    how: t.Dict[str, t.Any] = {"variables": variables, "environment": environment}
    damaged, seen = embedded_site.play(load(layout.path, ignore_errors=True), look, **how).results
    assert damaged.msg == f"on the controller: the blob sha256:{blob.name} is damaged in {layout.path}"
    assert seen.value("stdout") == ""
    assert not list(embedded_site.data.glob("content/ingest/*"))
    blob.write_bytes(good + b"x")
    longer = embedded_site.play(load(layout.path), failing=True, **how).last
    assert longer.msg == damaged.msg
    blob.write_bytes(good)
    variables["ansible_meddle"] = "false"
    parts.unlink()
    unsent = embedded_site.play(load(layout.path), failing=True, **how).last
    assert "non-zero exit status" in unsent.msg
    assert not list(local.rglob("part-*"))
    variables["ansible_meddle"] = ""
    parts.unlink()
    loaded, seen = embedded_site.play(load(layout.path), look, **how).results
    assert loaded.changed
    assert seen.value("stdout") == ""
    for line in parts.read_text().splitlines():
        here, there, _size = line.split()
        assert here.startswith(str(local))
        assert there.startswith(str(remote))


def test_what_is_not_possible(embedded_site: EmbeddedSite, tmp_path: pathlib.Path) -> None:
    bad, checksum = tmp_path / "bad.tar", "sha256:" + "0" * 64
    bad.write_bytes(b"no archive" * 1000)
    part = tmp_path / "real.tar"
    part.write_bytes(tar(docker_members([images.busybox_layer()], "app:1")))
    results = embedded_site.play(
        load(tmp_path / "gone.tar", ignore_errors=True),
        load("images/gone.tar", ignore_errors=True),
        load(bad, ignore_errors=True),
        load(tmp_path, ignore_errors=True),
        load("https://files.example.com/a.tar", ignore_errors=True, checksum=checksum),
        load(part, ignore_errors=True, checksum=checksum),
        {**load(part, ignore_errors=True), "async": 60, "poll": 1},
        load(part, ignore_errors=True, source="elsewhere"),
    ).results
    assert all(one.failed for one in results)
    messages = [one.msg for one in results]
    assert messages[0].startswith(f"path: there is no {tmp_path}/gone.tar on the controller")
    assert messages[1].startswith("path: there is no images/gone.tar on the controller (looked for: /")
    assert "/files/images/gone.tar" in messages[1]
    assert messages[2].startswith(f"on the controller: the archive {bad} cannot be read: the ")
    assert messages[3] == f"on the controller: {tmp_path} is no image archive: it has neither index.json nor manifest.json"
    assert messages[4].startswith("path: a URL is not possible with source=controller")
    assert messages[5].startswith("checksum: it is for a URL only, a file on the controller")
    assert messages[6].startswith("async: it is not possible with source=controller")
    assert messages[7].startswith("value of source must be one of: target, controller, got: elsewhere")
    assert not any("\n" in message or "Traceback" in str(one.result) for message, one in zip(messages, results))
    assert embedded_site.untouched()


def test_a_relative_path_and_async_from_the_target(embedded_site: EmbeddedSite, tmp_path: pathlib.Path) -> None:
    """As ansible.builtin.copy finds files. Without source: controller nothing is different from a module alone."""
    path = tmp_path / "play" / "files" / "images" / "app.tar"
    path.parent.mkdir(parents=True)
    path.write_bytes(tar(docker_members([images.busybox_layer()], "app:1")))
    relative = load("images/app.tar", **embedded_site.defaults)
    later = {**load(path, **{**embedded_site.defaults, "source": "target"}), "async": 60, "poll": 1}
    playbook = tmp_path / "play" / "play.json"
    playbook.write_text(json.dumps([{"hosts": "localhost", "gather_facts": False, "tasks": [relative, later]}]))
    first, again = ansible.play(playbook).results
    assert first.actions == [f"load image {NAME} from {path}"]
    assert again.value("image_names") == ["app:1"]
    assert not again.changed
