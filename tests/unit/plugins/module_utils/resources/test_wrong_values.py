# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong values: one clear message that names option and value, before anything is done."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.argument_specs import (
    containerd_container,
    containerd_container_exec,
    containerd_container_info,
    containerd_image,
    containerd_image_info,
)
from ansible_collections.fleet.containerd.tests.support.direct import Direct
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, small_image, tar_of
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories.errors import (
    a_registry_is_not_there,
    commands_cannot_run,
    no_secret_is_in_a_message,
)
from ansible_collections.fleet.containerd.tests.support.wrong_values import FREE, IMAGE, OF_ENGINES, WRONG, complaint, wrong


def test_every_option_has_a_row() -> None:
    rows = {(module, option) for module, option, _value, _more in WRONG}
    own = {"image": containerd_image, "container": containerd_container, "container_exec": containerd_container_exec}
    infos = {"image_info": containerd_image_info, "container_info": containerd_container_info}
    shared = {option for module, option in rows if module == "image"}
    for name, spec in {**own, **infos}.items():
        options = set(spec.SPEC["argument_spec"]) - FREE
        mine = {option for module, option in rows if module == name}
        assert options <= (mine | shared), (name, options - mine - shared)


@pytest.mark.parametrize("number", [number for number, row in enumerate(WRONG) if row[1] not in OF_ENGINES])
def test_wrong_values(site: MemorySite, number: int) -> None:
    module, option, value, more = WRONG[number]
    result = Direct(site.defaults, site.memory).result(module, **wrong(module, option, value, more))
    found = complaint(option, value, result)
    assert not found, f"{module}: {option}: {value!r} gives {found}"
    assert site.untouched()


def test_images_that_contradict_each_other(site: MemorySite) -> None:
    rows = [{"name": IMAGE}, {"name": IMAGE, "digest": "sha256:" + "0" * 64}]
    twice = site.play({"name": "x", "fleet.containerd.containerd_image": {"images": rows}, "ignore_errors": True}).last
    assert twice.failed
    assert twice.msg == f"images: {IMAGE} is listed twice, with different digests or platforms"
    nothing = site.play({"name": "x", "fleet.containerd.containerd_image": {"images": []}, "ignore_errors": True}).last
    assert nothing.msg == "name: no image is named"


def test_no_secret_in_a_message(site: MemorySite) -> None:
    no_secret_is_in_a_message(site)


def test_a_registry_that_is_not_there(site: MemorySite, registry: FakeRegistry) -> None:
    a_registry_is_not_there(site, registry.address)


def test_commands_that_cannot_run(site: MemorySite, registry: FakeRegistry, layout: Layout, tmp_path: pathlib.Path) -> None:
    more = tar_of([Entry("bin/plain", b"no program", mode=0o644)])
    registry.push(layout.path, small_image(layout, [more], Cmd=None), "commands", "1")
    commands_cannot_run(site, f"{registry.address}/commands:1", tmp_path)
