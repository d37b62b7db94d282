# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_push through ansible-playbook, on both engines, into real registries."""

from __future__ import annotations

import json
import pathlib
import subprocess
import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.images import MANIFEST, Layout, busybox_image, hand_made_layers
from ansible_collections.fleet.containerd.tests.support.registry import Registry, running_registry
from ansible_collections.fleet.containerd.tests.support.site import EmbeddedSite, Site


def push(name: str, ignore_errors: bool = False, **options: t.Any) -> Task:
    return {**task("containerd_image_push", name=name, **options), "ignore_errors": ignore_errors}


def pull(name: str, **options: t.Any) -> Task:
    return task("containerd_image", name=name, **options)


def load(layout: Layout, **options: t.Any) -> Task:
    return task("containerd_image_load", path=str(layout.path), **options)


def skopeo(registry: Registry, name: str, *more: str) -> t.Dict[str, t.Any]:
    """What skopeo sees at a registry."""
    command = ["skopeo", "inspect", *more, "--tls-verify=false", f"docker://{registry.address}/{name}"]
    return t.cast(t.Dict[str, t.Any], json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def test_an_image_goes_there_and_comes_back(site: Site, layout: Layout) -> None:
    top = busybox_image(layout, hand_made_layers()[:1])
    layout.tag(top, "docker.io/library/app:1")
    with running_registry() as registry:
        site.play(load(layout))
        name = f"{registry.address}/team/app"
        one = push("app:1", destination=name)
        (pushed,) = site.converge(one, diff=True)
        assert pushed.actions == [f"push image docker.io/library/app:1 to {name}:1"]
        assert pushed.value("destination") == f"{name}:1"
        assert pushed.value("digest") == top["digest"] == skopeo(registry, "team/app:1")["Digest"]
        assert pushed.value("diff") == {"before": {"up_to_date": False}, "after": {"up_to_date": True, "digest": top["digest"]}}
        body = json.loads(layout.read(top))
        blobs = [body["config"], *body["layers"]]
        assert pushed.value("pushed")["blobs"] == sorted(blob["digest"] for blob in blobs)
        assert pushed.value("pushed")["bytes"] == sum(blob["size"] for blob in blobs)
        assert pushed.value("pushed")["existing"] == 0
        assert pushed.value("missing_platforms") == []
        (again,) = site.converge(push("app:1", destination=f"{name}:2"))
        assert again.value("pushed") == {**again.value("pushed"), "blobs": [], "bytes": 0, "existing": 3}
        back, ran = site.play(
            pull(f"{name}:2"),
            task("containerd_container", name="one", image=f"{name}:2", command=["echo", "it runs"], detach=False, cleanup=True),
        ).results
        assert back.value("digest") == top["digest"]
        assert ran.value("container")["Output"].strip() == "it runs"


def test_what_is_in_another_repository_is_mounted(site: Site, layout: Layout) -> None:
    with running_registry() as registry:
        registry.push(layout.path, busybox_image(layout), "base", "1")
        base = f"{registry.address}/base:1"
        _pulled, pushed = site.play(pull(base), push(base, destination=f"{registry.address}/other/app:1")).results
        facts = pushed.value("pushed")
        assert len(facts["mounted"]) == 2
        assert (facts["blobs"], facts["bytes"], facts["existing"]) == ([], 0, 0)
        assert skopeo(registry, "other/app:1")["Digest"] == pushed.value("digest")


def test_platforms(embedded_site: EmbeddedSite, layout: Layout) -> None:
    amd, arm = busybox_image(layout), layout.image(hand_made_layers()[:1], architecture="arm64")
    s390 = layout.image(hand_made_layers()[:1], architecture="s390x")
    index = layout.index([arm, amd, s390])
    with running_registry() as registry:
        registry.push(layout.path, index, "whole", "1")
        name, out = f"{registry.address}/whole:1", f"{registry.address}/part"
        pulled, own, some, every, arm64 = embedded_site.play(
            pull(name),
            push(name),
            push(name, destination=f"{out}:1"),
            push(name, destination=f"{out}:2", platforms=["all"], ignore_errors=True),
            push(name, destination=f"{out}:2", platforms=["linux/amd64", "linux/arm64"], ignore_errors=True),
        ).results
        assert pulled.value("digest") == index["digest"]
        assert not own.changed, "the registry has all platforms, and that is more than what is here"
        assert some.value("missing_platforms") == ["linux/arm64", "linux/s390x"]
        assert (
            every.msg == f"the image {name} is incomplete here, it is missing linux/arm64, linux/s390x: pull it for that platform"
        )
        assert arm64.msg == f"the image {name} is incomplete here, it is missing linux/arm64: pull it for that platform"
        listed = skopeo(registry, "part:1", "--raw")["manifests"]
        assert [one["digest"] for one in listed] == [amd["digest"]]
        assert not embedded_site.play(push(name, destination=f"{out}:1")).last.changed
        two: t.Dict[str, t.Any] = {"destination": f"{out}:2", "platforms": ["linux/amd64", "linux/arm64"]}
        embedded_site.play(pull(name, platform="linux/arm64"))
        (pushed,) = embedded_site.converge(push(name, **two))
        assert pushed.value("digest") != index["digest"]
        assert [one["digest"] for one in skopeo(registry, "part:2", "--raw")["manifests"]] == [arm["digest"], amd["digest"]]
        embedded_site.play(pull(name, platform="linux/s390x"))
        (whole,) = embedded_site.converge(push(name, destination=f"{out}:3", platforms=["all"]))
        assert whole.value("digest") == index["digest"]
        subprocess.run(
            ["skopeo", "copy", "--all", "--src-tls-verify=false", f"docker://{out}:3", f"oci:{layout.path.parent}/copied:x"],
            check=True,
            capture_output=True,
        )


def test_chunks_credentials_and_tls(embedded_site: EmbeddedSite, locked_registry: Registry, layout: Layout) -> None:
    layout.tag(busybox_image(layout), "docker.io/library/app:1")
    name = f"{locked_registry.address}/chunks:1"
    trusted: t.Dict[str, t.Any] = {"ca_path": locked_registry.ca, "retries": 0}
    right: t.Dict[str, t.Any] = {"username": locked_registry.username, "password": locked_registry.password}
    loaded, nobody, wrong = embedded_site.play(
        load(layout),
        push("app:1", destination=name, ignore_errors=True, **trusted),
        push("app:1", destination=name, ignore_errors=True, username="robot", password="a-wrong-word", **trusted),
    ).results
    for refused in (nobody, wrong):
        assert refused.value("error") == "Unauthenticated"
        assert locked_registry.address in refused.msg
    assert "a-wrong-word" not in json.dumps(wrong.result)
    (pushed,) = embedded_site.converge(push("app:1", destination=name, chunk_size="100k", max_parallel=1, **trusted, **right))
    assert pushed.value("digest") == loaded.value("images")[0]["Digest"]
    with locked_registry.open(f"/v2/chunks/manifests/{pushed.value('digest')}", headers={"Accept": MANIFEST}) as answer:
        assert answer.read() == layout.read({"digest": pushed.value("digest")})
    done = embedded_site.play(push("app:1", destination=f"{name}2", **trusted, **right), arguments=["-vvv"], diff=True)
    assert locked_registry.password not in done.output


def test_examples(embedded_site: EmbeddedSite, locked_registry: Registry, layout: Layout, tmp_path: pathlib.Path) -> None:
    images = [busybox_image(layout), layout.image(hand_made_layers()[:1], architecture="arm64")]
    address = locked_registry.address
    layout.tag(images[0], "nginx:1.27")
    layout.tag(layout.index(images), f"{address}/team/app:stable")
    embedded_site.play(load(layout, platform="all"))
    first, second = examples_of(
        "containerd_image_push", {"registry.example.com": address, "{{ registry_password }}": locked_registry.password}
    )
    options = {"ca_path": locked_registry.ca, "username": "robot", "password": locked_registry.password}
    for one in (first, second):
        embedded_site.converge(
            {**one, "fleet.containerd.containerd_image_push": {**one["fleet.containerd.containerd_image_push"], **options}}
        )
