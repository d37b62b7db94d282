# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_push through ansible-playbook, on both engines, into real registries."""

from __future__ import annotations

import json
import pathlib
import subprocess
import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.images import MANIFEST, Layout, busybox_image, hand_made_layers
from ansible_collections.fleet.containerd.tests.support.registry import Registry, running_registry
from ansible_collections.fleet.containerd.tests.support.site import EmbeddedSite, Site
from ansible_collections.fleet.containerd.tests.support.stories.image_push import (
    an_image_goes_there_and_comes_back,
    load,
    platforms,
    push,
    what_is_in_another_repository_is_mounted,
)


def digest_of(registry: Registry) -> t.Callable[[str], str]:
    return lambda name: str(skopeo(registry, name)["Digest"])


def skopeo(registry: Registry, name: str, *more: str) -> t.Dict[str, t.Any]:
    """What skopeo sees at a registry."""
    command = ["skopeo", "inspect", *more, "--tls-verify=false", f"docker://{registry.address}/{name}"]
    return t.cast(t.Dict[str, t.Any], json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def test_an_image_goes_there_and_comes_back(site: Site, layout: Layout) -> None:
    top = busybox_image(layout, hand_made_layers()[:1])
    with running_registry() as registry:
        name = an_image_goes_there_and_comes_back(site, registry.address, layout, top, digest_of(registry))
        command = ["echo", "it runs"]
        ran = site.play(task("containerd_container", name="one", image=name, command=command, detach=False, cleanup=True)).last
        assert ran.value("container")["Output"].strip() == "it runs"


def test_what_is_in_another_repository_is_mounted(site: Site, layout: Layout) -> None:
    with running_registry() as registry:
        what_is_in_another_repository_is_mounted(site, registry, layout, busybox_image(layout), digest_of(registry))


def test_platforms(embedded_site: EmbeddedSite, layout: Layout) -> None:
    with running_registry() as registry:
        platforms(embedded_site, registry, layout, busybox_image(layout), lambda name: skopeo(registry, name, "--raw"))
        subprocess.run(
            [
                *("skopeo", "copy", "--all", "--src-tls-verify=false"),
                *(f"docker://{registry.address}/part:3", f"oci:{layout.path.parent}/copied:x"),
            ],
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
