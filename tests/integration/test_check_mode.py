# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode tells whether it will work: it fails as the run would, in the same words, and says what it could not look at."""

from __future__ import annotations

import functools
import os
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Mount
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mounted
from ansible_collections.fleet.containerd.tests.support.fake_registry import fake_registry
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, busybox_image, tar_of
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.site import EmbeddedSite, Site
from ansible_collections.fleet.containerd.tests.support.stories.container_foreseen import (
    Ground,
    Release,
    Result,
    a_release_cannot_be_deployed,
    an_image_lacks_what_is_asked_for,
    warnings,
)


@pytest.fixture
def ground(site: Site, modules: Modules) -> Ground:
    return Ground(site, functools.partial(modules.result, "containerd_container", **site.defaults))


#: What differs between daemons is how the image's files are found, which the conformance tests ask of all.
on_one_of_each = pytest.mark.parametrize("backend", ["embedded", "containerd-1.7"], indirect=True)


@on_one_of_each
def test_a_release_that_cannot_be_deployed(
    ground: Ground,
    busybox: str,
    hand_made: str,
    registry: Registry,
    layout: Layout,
    two_platforms: t.Tuple[str, t.Dict[str, str]],
    tmp_path: pathlib.Path,
) -> None:
    registry.push(layout.path, busybox_image(layout, Volumes={"/data": {}}), "declaring", "1")
    release = Release(busybox, hand_made, two_platforms[0], f"{registry.address}/declaring:1")
    no_registry = a_release_cannot_be_deployed(ground, release, tmp_path)
    assert ground.fails_alike({"name": "other", "command": None, "stop_signal": None}, {"image": "127.0.0.1:1/app:1"}) == [
        f"the volume's source {tmp_path}/volume is not there",
        no_registry,
    ]


@on_one_of_each
def test_what_the_image_lacks(ground: Ground, busybox: str, tmp_path: pathlib.Path) -> None:
    wrong = an_image_lacks_what_is_asked_for(ground, busybox, tmp_path)
    # A daemon tells where an image is only while there is a container of it.
    ground.run(state="absent")
    for (options, message), found in zip(wrong, ground.check(*(options for options, _message in wrong))):
        if isinstance(ground.site, EmbeddedSite):
            assert found["msg"] == message
        else:
            assert "check mode cannot tell whether the image has the command" in warnings(found)
            assert options.get("user", "") in warnings(found)


def test_a_disk_that_is_too_small(
    embedded_site: EmbeddedSite, modules: Modules, registry: Registry, layout: Layout, busybox: str
) -> None:
    site, names = embedded_site, {}
    for name, size in (("tight", 1_500_000), ("large", 6_000_000)):
        registry.push(layout.path, busybox_image(layout, [tar_of([Entry("noise", os.urandom(size))])]), f"room/{name}", "1")
        names[name] = f"{registry.address}/room/{name}:1"
    site.data.mkdir()
    with mounted([Mount("tmpfs", "tmpfs", ("size=4m",))], str(site.data)):

        def run(kind: str, check: bool, **options: t.Any) -> Result:
            return modules.result(f"containerd_{kind}", **site.defaults, **options, retries=0, _ansible_check_mode=check)

        large = [run("image", check, name=names["large"]) for check in (True, False)]
        large += [run("container", True, name="web", image=names["large"], command=["true"])]
        for result in large:
            assert result["msg"].startswith(f"there is no room for {names['large']} (")
            assert str(site.data) in result["msg"]
        for result in (
            run("image", True, name=[names["tight"], names["large"]]),
            run("container", True, name="web", image=names["tight"], command=["true"]),
        ):
            assert f"{names['tight']} may find no room: " in warnings(result)
            assert "(3 times their compressed size)" in warnings(result)
        several = run("image", True, name=[busybox, names["large"]])
        assert [one.get("failed", False) for one in several["images"]] == [False, True]
        assert several["msg"].startswith(f"there is no room for {names['large']} (")


def test_pushing_and_naming(embedded_site: EmbeddedSite, modules: Modules, busybox: str, locked_registry: Registry) -> None:
    def both(kind: str, **options: t.Any) -> t.List[Result]:
        """In check mode, and for real."""
        known = {"containerd_image_copy": ("engine", "namespace", "data_root", "state_root")}.get(kind, ())
        defaults = {key: value for key, value in embedded_site.defaults.items() if key not in known}
        return [modules.result(kind, **{**defaults, **options}, _ansible_check_mode=check) for check in (True, False)]

    for result in both("containerd_image_tag", name="no/such:1", repository=["other:1"]):
        assert result["msg"] == "name: the image docker.io/no/such:1 is not there: pull or load it first"
    with fake_registry() as server:
        url, checksum = f"http://{server.address}/app.tar", "sha256:" + "0" * 64
        for result in both("containerd_image_load", path=url, checksum=checksum):
            assert result["msg"] == f"{url}: the server answers HTTP 404"
        server.contents["/app.tar"], server.ranges = (b"an archive", "application/x-tar"), False
        (foreseen, _done) = both("containerd_image_load", path=url, checksum=checksum)
        assert foreseen["changed"]
        assert f"check mode cannot tell what is in {url}" in warnings(foreseen)
    modules.run("containerd_image", name=busybox, **embedded_site.defaults)
    target = {"ca_path": locked_registry.ca, "username": "robot", "retries": 0}
    for kind, options in (
        ("containerd_image_push", {"name": busybox, "destination": f"{locked_registry.address}/pushed:1"}),
        ("containerd_image_copy", {"src": busybox, "dest": f"{locked_registry.address}/copied:1", "src_plain_http": True}),
    ):
        for result in both(kind, **options, **target, password="wrong"):
            assert result.get("failed"), result
            assert result["error"] == "Unauthenticated"
        foreseen, done = both(kind, **options, **target, password=locked_registry.password)
        assert foreseen["actions"] == done["actions"] != []
        assert f"check mode cannot tell whether {locked_registry.address} lets " in warnings(foreseen)
        assert "check mode" not in warnings(done)
