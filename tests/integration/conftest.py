# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: an engine of the test's own that must leave nothing on the host, the host itself, and things in registries."""

from __future__ import annotations

import contextlib
import pathlib
import typing as t

import pytest
import testinfra  # type: ignore[import-untyped]  # has no types

from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES, Daemon, running_containerd
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image, hand_made_layers
from ansible_collections.fleet.containerd.tests.support.inside import Ground, prepared
from ansible_collections.fleet.containerd.tests.support.modules import Modules, running_modules
from ansible_collections.fleet.containerd.tests.support.networked import Networked, networked
from ansible_collections.fleet.containerd.tests.support.registry import Registry, running_registry
from ansible_collections.fleet.containerd.tests.support.site import (
    EmbeddedSite,
    Site,
    finished,
    new_namespace,
    new_site,
)


@pytest.fixture(scope="session")
def host() -> t.Any:
    """This machine, as pytest-testinfra sees it."""
    return testinfra.get_host("local://")


@pytest.fixture(scope="session")
def daemons() -> t.Iterator[t.Callable[[str], Daemon]]:
    """A containerd of each version, started when it is first asked for."""
    with contextlib.ExitStack() as stack:
        running: t.Dict[str, Daemon] = {}

        def daemon(version: str) -> Daemon:
            if version not in running:
                running[version] = stack.enter_context(running_containerd(version))
            return running[version]

        yield daemon


@pytest.fixture(scope="session", params=["embedded", *(f"containerd-{version}" for version in sorted(RELEASES))])
def backend(request: pytest.FixtureRequest, daemons: t.Callable[[str], Daemon]) -> t.Optional[Daemon]:
    """Each engine in turn: None for the embedded one, else a running daemon of a version."""
    version = str(request.param).partition("-")[2]
    return daemons(version) if version else None


@pytest.fixture
def site(tmp_path: pathlib.Path, backend: t.Optional[Daemon]) -> t.Iterator[Site]:
    """A fresh engine, of each kind in turn."""
    with finished(new_site(tmp_path, backend)) as made:
        yield made


@pytest.fixture
def embedded_site(tmp_path: pathlib.Path) -> t.Iterator[EmbeddedSite]:
    """A fresh embedded engine, for what only that one has."""
    with finished(EmbeddedSite(tmp_path, new_namespace())) as made:
        yield made


@pytest.fixture(params=["", *sorted(RELEASES)], ids=lambda version: f"containerd-{version}" if version else "embedded")
def networked_site(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path, modules: Modules, busybox: str
) -> t.Iterator[Networked]:
    """An engine of each kind in turn, on a host with a network of its own, and an image for its containers with a page."""
    with networked(tmp_path, request.param) as made:
        made.fetch(busybox, modules)
        yield made


@pytest.fixture(autouse=True)
def packed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All examples, and what is marked so, run as users have it: as a zip file, in a Python that is started for the task."""
    if request.node.get_closest_marker("packed") or "examples" in request.node.name:
        monkeypatch.setattr(ansible, "PACKED", True)


@pytest.fixture(scope="session")
def module_server(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Modules]:
    """Imports take a second: once for all tests."""
    with running_modules(tmp_path_factory.mktemp("modules") / "result") as running:
        yield running


@pytest.fixture
def modules(module_server: Modules, tmp_path: pathlib.Path) -> Modules:
    """The modules without ansible-playbook, for tests that run them hundreds of times."""
    return module_server.writing_to(tmp_path / "result")


@pytest.fixture
def ground(tmp_path: pathlib.Path, registry: Registry, layout: Layout) -> t.Iterator[Ground]:
    """What the host has for tests of what a process inside a container sees."""
    with prepared(tmp_path, registry, layout) as made:
        yield made


@pytest.fixture(scope="session")
def hand_made(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of an image with whiteouts, links across layers and odd names."""
    layout = Layout(tmp_path_factory.mktemp("handmade"))
    registry.push(layout.path, layout.image(hand_made_layers()), "handmade", "1")
    return f"{registry.address}/handmade:1"


@pytest.fixture(scope="session")
def two_platforms(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> t.Tuple[str, t.Dict[str, str]]:
    """The name of an index for amd64 and arm64, and the digest of each architecture's manifest."""
    layout = Layout(tmp_path_factory.mktemp("index"))
    ours = busybox_image(layout, Labels={"for": "amd64"})
    other = layout.image(hand_made_layers()[:1], {"Labels": {"for": "arm64"}}, architecture="arm64")
    registry.push(layout.path, layout.index([other, ours]), "index", "1")
    return f"{registry.address}/index:1", {"amd64": str(ours["digest"]), "arm64": str(other["digest"])}


@pytest.fixture(scope="session")
def locked_registry(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Registry]:
    """A registry with TLS by a private authority and basic authentication, and the image busybox:1 in it."""
    with running_registry(tls=True, username="robot", password="s3cret-word") as running:
        layout = Layout(tmp_path_factory.mktemp("locked"))
        running.push(layout.path, busybox_image(layout), "busybox", "1")
        yield running
