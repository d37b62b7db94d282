# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_info through ansible-playbook."""

from __future__ import annotations

import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.site import EmbeddedSite, Site


def info(**options: t.Any) -> Task:
    return {"name": "info", "fleet.containerd.containerd_image_info": options}


def test_nothing_there_and_nothing_made(site: Site, busybox: str) -> None:
    every, named = site.predict(info(), info(name=[busybox])).results
    assert every.value("images") == named.value("images") == []
    assert site.untouched()


def test_images(
    site: Site, registry: Registry, busybox: str, hand_made: str, two_platforms: t.Tuple[str, t.Dict[str, str]]
) -> None:
    index, digests = two_platforms
    pulled = site.play(
        *(task("containerd_image", name=name) for name in (hand_made, busybox, index)),
        task("containerd_container", name="user", image=busybox, state="present", command=["true"]),
    ).results
    by_id = pulled[0].value("config_digest")
    before = site.everything()
    every, one, two, absent, an_id, arm, elsewhere = site.play(
        info(),
        info(name=[busybox]),
        info(name=[hand_made, busybox, "no/such:1"]),
        info(name=["no/such:1"]),
        info(name=[by_id]),
        info(name=[index], platform="linux/arm64"),
        info(namespace="other"),
    ).results
    assert site.everything() == before
    assert not any(result.changed for result in (every, one, two, absent, an_id, arm, elsewhere))
    assert [image["RepoTags"] for image in every.value("images")] == [[busybox], [hand_made], [index]]
    (facts,) = one.value("images")
    assert facts == {**pulled[1].value("image"), "UsedBy": ["user"]}
    assert facts["Config"]["Cmd"] == ["sh"]
    assert facts["RepoDigests"] == [f"{registry.address}/busybox@{pulled[1].value('digest')}"]
    assert [image["RepoTags"] for image in two.value("images")] == [[hand_made], [busybox]]
    assert absent.value("images") == elsewhere.value("images") == []
    assert [image["Id"] for image in an_id.value("images")] == [by_id]
    (other,) = arm.value("images")
    assert other["Unpacked"] is False
    assert digests["arm64"] in " ".join(other["Missing"])


def test_examples(embedded_site: EmbeddedSite, busybox: str, hand_made: str) -> None:
    embedded_site.play(task("containerd_image", name=busybox), task("containerd_image", name=hand_made, namespace="k8s.io"))
    one, kubelet = embedded_site.play(*examples_of("containerd_image_info", {"docker.io/library/nginx:1.27": busybox})).results
    assert [image["RepoTags"] for image in one.value("images")] == [[busybox]]
    assert [image["RepoTags"] for image in kubelet.value("images")] == [[hand_made]]
