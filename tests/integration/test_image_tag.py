# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_tag through ansible-playbook, on both engines."""

from __future__ import annotations

from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.site import DaemonSite, EmbeddedSite, Site
from ansible_collections.fleet.containerd.tests.support.stories.image_tag import a_tag_keeps_the_content, more_names, pull, tag


def test_more_names(site: Site, busybox: str, hand_made: str) -> None:
    more_names(site, busybox, hand_made)
    if isinstance(site, DaemonSite):
        assert "example.com/a/b:v1" in site.ctr("images", "ls", "-q").split()


def test_a_tag_keeps_the_content(embedded_site: EmbeddedSite, busybox: str) -> None:
    a_tag_keeps_the_content(embedded_site, busybox)


def test_examples(embedded_site: EmbeddedSite, busybox: str) -> None:
    embedded_site.play(pull(busybox), tag(busybox, "nginx:1.27"))
    for one in examples_of("containerd_image_tag"):
        embedded_site.converge(one)
