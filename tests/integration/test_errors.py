# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrong values and missing parts: one clear message that names option and value, or what to install. Never a traceback."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import FailedPrecondition
from ansible_collections.fleet.containerd.plugins.module_utils.kernel.engines import EngineOptions, open_engine
from ansible_collections.fleet.containerd.tests.support.ansible import TaskResult, task
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, busybox_image, tar_of
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.site import EmbeddedSite, Site
from ansible_collections.fleet.containerd.tests.support.stories.errors import (
    a_registry_is_not_there,
    assert_clear,
    commands_cannot_run,
    failing,
    no_secret_is_in_a_message,
)
from ansible_collections.fleet.containerd.tests.support.wrong_values import OF_ENGINES, WRONG, complaint, wrong

#: What an engine does not use.
IGNORED = {"containerd": {"state_root"}}


def test_wrong_values(site: Site, modules: Modules) -> None:
    unclear = []
    for module, option, value, more in WRONG:
        if option not in OF_ENGINES or option in IGNORED.get(site.defaults["engine"], ()):
            continue
        options = {**site.defaults, **wrong(module, option, value, more)}
        found = complaint(option, value, modules.result(f"containerd_{module}", **options))
        unclear += [f"{module}: {option}: {value!r} gives {found}"] * bool(found)
    assert not unclear, "\n".join(unclear)
    assert site.blobs() == set()


def test_wrong_values_in_a_playbook(site: Site) -> None:
    rows = [row for row in WRONG[:: len(WRONG) // 7] if row[1] not in IGNORED.get(site.defaults["engine"], ())]
    played = site.play(*(failing(module, **wrong(module, *row)) for module, *row in rows))
    assert_clear(played)
    for (_module, option, value, _more), result in zip(rows, played.results):
        assert not complaint(option, value, {**result.result, "failed": result.failed}), (option, value, result.msg)


def test_no_secret_in_a_message(site: Site) -> None:
    no_secret_is_in_a_message(site)


@pytest.fixture
def without_requests(tmp_path: pathlib.Path) -> t.Dict[str, str]:
    """An environment in which no Python has requests."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "requests.py").write_text("raise ImportError('not installed', name='requests')\n")
    return {"PYTHONPATH": str(tmp_path / "modules")}


def test_without_requests(site: Site, busybox: str, without_requests: t.Dict[str, str]) -> None:
    several = {**failing("image", name=["app:1", "app:2"]), "name": "several"}
    absent = site.play(failing("image", name=busybox), several, {**several, "check_mode": True}, environment=without_requests)
    assert_clear(absent)
    one, many, told = absent.results
    assert one.failed
    assert one.msg == (
        "the Python library requests is needed to talk to registries: "
        "install the package python3-requests (Debian, Ubuntu) or requests (pip)"
    )
    assert many.msg == f"docker.io/library/app:1, docker.io/library/app:2: {one.msg}"
    assert told.msg == one.msg
    site.play(task("containerd_image", name=busybox))
    same, made = site.play(
        task("containerd_image", name=busybox),
        task("containerd_container", name="app", image=busybox, command=["true"], detach=False),
        environment=without_requests,
    ).results
    assert not same.changed
    assert made.value("status") == 0


@pytest.fixture
def without_runtimes(tmp_path: pathlib.Path) -> t.Sequence[str]:
    """A command that runs another one where runc and crun are not to be found: something else lies over them."""
    empty = tmp_path / "nothing"
    empty.write_text("")
    found = [path for name in ("runc", "crun") for path in (shutil.which(name),) if path]
    hide = " && ".join(f"mount --bind {empty} {os.path.realpath(path)}" for path in found)
    return ("unshare", "--mount", "sh", "-c", f'{hide} && exec "$@"', "sh")


def test_without_a_runtime(embedded_site: EmbeddedSite, busybox: str, without_runtimes: t.Sequence[str]) -> None:
    embedded_site.play(task("containerd_image", name=busybox))
    played = embedded_site.play(
        failing("container", name="app", image=busybox, command=["true"]),
        failing("container", name="app", image=busybox, command=["true"], runtime="crun"),
        failing("container", name="app", image=busybox, command=["true"], runtime="/opt/no/runc"),
        under=without_runtimes,
    )
    assert_clear(played)
    for name, result in zip(("runc", "crun", "/opt/no/runc"), played.results):
        assert result.failed
        assert result.msg.startswith(f"runtime: {name} is not installed on the target: install the package ")
    with embedded_site.engine() as engine:
        assert engine.containers.list() == []
    assert embedded_site.leftovers() == []


def test_not_root() -> None:
    os.seteuid(65534)
    try:
        with pytest.raises(FailedPrecondition, match="^the embedded engine needs root on the target: set become=true$"):
            open_engine(EngineOptions(engine="embedded"))
    finally:
        os.seteuid(0)


def test_a_registry_that_is_not_there(embedded_site: EmbeddedSite, registry: Registry) -> None:
    a_registry_is_not_there(embedded_site, registry.address)


def test_commands_that_cannot_run(
    embedded_site: EmbeddedSite, registry: Registry, layout: Layout, tmp_path: pathlib.Path
) -> None:
    more = tar_of([Entry("bin/plain", b"no program", mode=0o644)])
    registry.push(layout.path, busybox_image(layout, [more], Cmd=None), "commands", "1")
    commands_cannot_run(embedded_site, f"{registry.address}/commands:1", tmp_path)
    assert embedded_site.leftovers() == []


def test_a_damaged_database(embedded_site: EmbeddedSite, busybox: str) -> None:
    embedded_site.play(task("containerd_image", name=busybox))
    (embedded_site.data / "metadata.db").write_bytes(b"not a database at all" * 500)
    played = embedded_site.play(failing("image", name=busybox), failing("container_info"))
    assert_clear(played)
    for result in played.results:
        assert result.failed
        assert f"the metadata database {embedded_site.data}/metadata.db is damaged" in result.msg
    shutil.rmtree(embedded_site.data)


def test_a_full_disk(embedded_site: EmbeddedSite, registry: Registry, layout: Layout) -> None:
    noise = tar_of([Entry("noise", os.urandom(6_000_000))])
    registry.push(layout.path, busybox_image(layout, [noise]), "big", "1")
    embedded_site.data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(embedded_site.data)], check=True)
    try:
        played = embedded_site.play(failing("image", name=f"{registry.address}/big:1"))
        assert_clear(played)
        result: TaskResult = played.last
        assert result.failed
        assert result.value("error") == "ResourceExhausted"
        assert str(embedded_site.data) in result.msg
        assert "No space left on device" in result.msg
    finally:
        subprocess.run(["umount", str(embedded_site.data)], check=True)
