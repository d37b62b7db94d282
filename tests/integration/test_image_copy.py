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
from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image, hand_made_layers
from ansible_collections.fleet.containerd.tests.support.registry import Registry, running_registry


def copy(src: str, dest: str, ignore_errors: bool = False, **options: t.Any) -> Task:
    made = task("containerd_image_copy", src=src, dest=dest, **options)
    return {**made, "name": f"copy {src}", "ignore_errors": ignore_errors}


def converge(one: Task, **how: t.Any) -> TaskResult:
    """In check mode, for real, and again; the real result."""
    check, real, again = ansible.play([{**one, "check_mode": True}, one, one], **how).results
    assert check.actions == real.actions
    assert check.changed
    assert real.changed
    assert (again.changed, again.actions) == (False, [])
    assert check.value("digest") == real.value("digest") == again.value("digest")
    return real


@pytest.fixture(scope="module")
def target() -> t.Iterator[Registry]:
    """A second registry."""
    with running_registry() as running:
        yield running


def raw(registry: Registry, name: str) -> t.Dict[str, t.Any]:
    command = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{registry.address}/{name}"]
    return t.cast(t.Dict[str, t.Any], json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def test_an_index_is_copied_whole(registry: Registry, target: Registry, layout: Layout) -> None:
    images = [busybox_image(layout), layout.image(hand_made_layers(), architecture="arm64")]
    attestation = layout.image([hand_made_layers()[2]], architecture="unknown")
    unknown = {**attestation, "platform": {"os": "unknown", "architecture": "unknown"}}
    index = layout.index([*images, unknown])
    registry.push(layout.path, index, "source", "1")
    src, dest = f"{registry.address}/source:1", f"{target.address}/mirror/source"
    copied = converge(copy(src, dest), diff=True)
    assert copied.actions == [f"copy image {src} to {dest}:1"]
    assert copied.value("digest") == index["digest"]
    assert copied.value("diff") == {"before": {"up_to_date": False}, "after": {"up_to_date": True, "digest": index["digest"]}}
    assert raw(target, "mirror/source:1") == json.loads(layout.read(index))
    blobs = {blob["digest"]: blob["size"] for one in [*images, attestation] for blob in _blobs(layout, one)}
    assert copied.value("copied")["blobs"] == sorted(blobs)
    assert copied.value("copied")["bytes"] == sum(blobs.values())
    for name in blobs:
        with target.open(f"/v2/mirror/source/blobs/{name}") as answer:
            assert answer.read() == layout.read({"digest": name})
    more = layout.image([*hand_made_layers(), hand_made_layers()[0]], architecture="arm64")
    moved = layout.index([images[0], more])
    registry.push(layout.path, moved, "source", "1")
    again = converge(copy(src, dest))
    assert len(again.value("copied")["blobs"]) == 1
    assert raw(target, "mirror/source:1") == json.loads(layout.read(moved))


def _blobs(layout: Layout, manifest: t.Mapping[str, t.Any]) -> t.List[t.Dict[str, t.Any]]:
    body = json.loads(layout.read(manifest))
    return [body["config"], *body["layers"]]


def test_within_one_registry_nothing_is_sent(registry: Registry, layout: Layout) -> None:
    top = busybox_image(layout)
    registry.push(layout.path, top, "promoted/from", "17")
    name = f"{registry.address}/promoted/from"
    promoted = converge(copy(f"{name}:17", f"{registry.address}/promoted/to:stable"))
    assert promoted.value("copied") == {**promoted.value("copied"), "blobs": [], "bytes": 0}
    assert len(promoted.value("copied")["mounted"]) == 2
    retagged = converge(copy(f"{name}@{top['digest']}", f"{name}:stable"))
    assert retagged.value("copied")["existing"] == 2
    assert raw(registry, "promoted/from:stable") == raw(registry, "promoted/to:stable")


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
    into = converge(copy(f"{other}:1", f"{locked_registry.address}/back:1", **trusted, **right), arguments=["-vvv"])
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
        converge({**one, "fleet.containerd.containerd_image_copy": {**options, "ca_path": locked_registry.ca}})
