# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_copy through ansible-playbook, between real registries."""

from __future__ import annotations

import base64
import json
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image
from ansible_collections.fleet.containerd.tests.support.registry import Registry, running_registry
from ansible_collections.fleet.containerd.tests.support.stories.image_copy import (
    an_index_is_copied_whole,
    converge,
    copy,
    within_one_registry_nothing_is_sent,
)


@pytest.fixture(scope="module")
def target() -> t.Iterator[Registry]:
    """A second registry."""
    with running_registry() as running:
        yield running


def manifest_of(registry: Registry) -> t.Callable[[str], t.Dict[str, t.Any]]:
    """What skopeo sees of it under a repository:tag."""

    def raw(name: str) -> t.Dict[str, t.Any]:
        command = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{registry.address}/{name}"]
        return t.cast(t.Dict[str, t.Any], json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))

    return raw


def blob_of(registry: Registry) -> t.Callable[[str], bytes]:
    """What it answers for a path."""

    def blob(path: str) -> bytes:
        with registry.open(path) as answer:
            return bytes(answer.read())

    return blob


def test_an_index_is_copied_whole(registry: Registry, target: Registry, layout: Layout) -> None:
    ours = busybox_image(layout)
    an_index_is_copied_whole(ansible.play, registry, target, layout, ours, manifest_of(target), blob_of(target))


def test_within_one_registry_nothing_is_sent(registry: Registry, layout: Layout) -> None:
    within_one_registry_nothing_is_sent(ansible.play, registry, layout, busybox_image(layout), manifest_of(registry))


def test_credentials_go_to_their_own_registry(
    registry: Registry, target: Registry, locked_registry: Registry, layout: Layout, tmp_path: pathlib.Path
) -> None:
    locked = f"{locked_registry.address}/busybox:1"
    right: t.Dict[str, t.Any] = {"username": locked_registry.username, "password": locked_registry.password}
    from_locked: t.Dict[str, t.Any] = {"src_username": locked_registry.username, "src_password": locked_registry.password}
    trusted: t.Dict[str, t.Any] = {"ca_path": locked_registry.ca, "retries": 0}
    other = f"{target.address}/from-locked"
    pair = base64.b64encode(f"{locked_registry.username}:{locked_registry.password}".encode()).decode()
    auth_file = tmp_path / "config.json"
    auth_file.write_text(json.dumps({"auths": {locked_registry.address: {"auth": pair}}}))
    refused, copied, by_file, wrong = ansible.play(
        [
            copy(locked, f"{other}:1", ignore_errors=True, **trusted, **right),
            copy(locked, f"{other}:1", **trusted, **from_locked),
            copy(locked, f"{other}:2", auth_file=str(auth_file), **trusted),
            copy(locked, f"{other}:3", src_validate_certs=False, src_token="x", ignore_errors=True, **from_locked),
        ]
    ).results
    assert refused.value("error") == "Unauthenticated"
    assert copied.changed
    assert by_file.changed
    assert wrong.msg == "token: give either token, or username and password"
    assert base64.b64encode(b"robot").decode() not in target.log.read_text()
    into = converge(ansible.play, copy(f"{other}:1", f"{locked_registry.address}/back:1", **trusted, **right), arguments=["-vvv"])
    assert into.value("digest") == copied.value("digest")
    done = ansible.play([copy(locked, f"{locked_registry.address}/within:1", **trusted, **right)], arguments=["-vvv"])
    assert len(done.last.value("copied")["mounted"]) == 2
    assert locked_registry.password not in done.output


def test_examples(registry: Registry, locked_registry: Registry, layout: Layout) -> None:
    image = busybox_image(layout)
    registry.push(layout.path, layout.index([image]), "library/nginx", "1.27")
    registry.push(layout.path, layout.index([image]), "team/app", "build-17")
    replace = {
        "source.example.com": registry.address,
        "registry.example.com": locked_registry.address,
        "{{ registry_password }}": locked_registry.password,
    }
    for one in examples_of("containerd_image_copy", replace):
        options = one["fleet.containerd.containerd_image_copy"]
        converge(ansible.play, {**one, "fleet.containerd.containerd_image_copy": {**options, "ca_path": locked_registry.ca}})
