# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_tag over the engine in memory."""

from __future__ import annotations

from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories.image_tag import a_tag_keeps_the_content, more_names, pull, tag


def test_more_names(site: MemorySite, busybox: str, hand_made: str) -> None:
    more_names(site, busybox, hand_made)


def test_a_tag_keeps_the_content(site: MemorySite, busybox: str) -> None:
    a_tag_keeps_the_content(site, busybox)


def test_wrong_values(site: MemorySite, busybox: str) -> None:
    pulled = site.play(pull(busybox)).last
    other = "sha256:" + "0" * 64
    results = site.play(
        tag("missing", "x", ignore_errors=True),
        tag(busybox, "UPPER", ignore_errors=True),
        tag(busybox, f"x@{pulled.value('digest')}", ignore_errors=True),
        tag(f"{busybox}@{other}", "x", ignore_errors=True),
        tag(other, "x", ignore_errors=True),
    ).results
    assert all(one.failed for one in results)
    absent, upper, digest, pinned, by_id = (one.msg for one in results)
    assert absent == "name: the image docker.io/library/missing:latest is not there: pull or load it first"
    assert upper.startswith("repository: invalid image reference 'UPPER'")
    assert "a digest: only a tag can be given" in digest
    assert pinned == f"name: {busybox}@{other} is pinned, and the image {busybox} is {pulled.value('digest')}"
    assert by_id == f"name: the image {other} is not there: pull or load it first"
