# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of archives: what is in them, and what a target asks for."""

from __future__ import annotations

import json
import pathlib
import tarfile
import types
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.action.containerd_image_load import ActionModule
from ansible_collections.fleet.containerd.plugins.module_utils.archive.images import Contents, open_part
from ansible_collections.fleet.containerd.plugins.module_utils.archive.load import check_sent, load
from ansible_collections.fleet.containerd.plugins.module_utils.archive.parts import Sender
from ansible_collections.fleet.containerd.plugins.module_utils.archive.read import open_archive
from ansible_collections.fleet.containerd.plugins.module_utils.errors import DataLoss, FailedPrecondition, InvalidArgument
from ansible_collections.fleet.containerd.tests.support.archives import ONE, docker_members, sources_of, tar
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, hand_made_layers, sha256, tar_of
from ansible_collections.fleet.containerd.tests.support.memory_engine import MemoryEngine


def part_of(path: pathlib.Path, asked: t.Collection[str] = ()) -> Contents:
    """What the target gets."""
    made = path.with_suffix(".part")
    with open_archive(str(path)) as archive:
        assert Sender(archive).write(str(made), asked) == made.stat().st_size
    return open_part(open_archive(str(made)))


def test_the_target_asks_for_what_it_lacks(tmp_path: pathlib.Path) -> None:
    engine, path = MemoryEngine(), tmp_path / "a.tar"
    layers = [tar_of([Entry(f"file-{number}", b"x")]) for number in range(3)]
    path.write_bytes(tar(docker_members(layers, "app:1")))
    whole, part = Contents(open_archive(str(path))), part_of(path)
    assert part.where == str(path)
    assert part.images == whole.images
    with pytest.raises(FailedPrecondition, match="has to be sent to the target first") as caught:
        check_sent(engine, part, sources_of(part), ONE)
    asked = caught.value.details["unsent"]
    assert len(asked) == len(layers) + 1
    some = part_of(path, asked[:2])
    with pytest.raises(FailedPrecondition) as caught:
        load(engine, sources_of(some), ONE)
    assert caught.value.details["unsent"][0] in asked[2:]
    every = part_of(path, asked)
    check_sent(engine, every, sources_of(every), ONE)
    assert load(engine, sources_of(every), ONE).layers == len(layers)
    check_sent(engine, part, sources_of(part), ONE)


def test_only_what_is_asked_for_and_known_is_in_a_part(tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path / "layout")
    image = layout.tag(layout.image(hand_made_layers()), "app:1")
    layer = json.loads(layout.read(image))["layers"][1]["digest"]
    (tmp_path / "layout" / "blobs" / "sha256" / ("0" * 64)).write_text("a secret that is no part of the image")
    with open_archive(str(layout.path)) as archive:
        Sender(archive).write(str(tmp_path / "part"), [layer, "sha256:" + "0" * 64, "../../etc/passwd"])
    with tarfile.open(tmp_path / "part") as made:
        names = [member.name for member in made if member.isfile()]
    assert names == ["part.json", "oci-layout", "index.json", *(f"blobs/sha256/{one[7:]}" for one in (image["digest"], layer))]


def test_damaged_blobs_are_not_sent(tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path / "layout")
    image = layout.tag(layout.image(hand_made_layers()), "app:1")
    layer = json.loads(layout.read(image))["layers"][0]["digest"]
    path = layout.path / "blobs" / "sha256" / layer[7:]
    for data in (path.read_bytes()[:-1], path.read_bytes()[:-1] + b"x"):
        path.write_bytes(data)
        with open_archive(str(layout.path)) as archive, pytest.raises(DataLoss, match=f"{layer} is damaged in {layout.path}$"):
            Sender(archive).write(str(tmp_path / "part"), [layer])


def test_what_is_no_part(tmp_path: pathlib.Path) -> None:
    path, members = tmp_path / "a.tar", docker_members(hand_made_layers(), "app:1")
    path.write_bytes(tar(members))
    with pytest.raises(InvalidArgument, match="only possible through this module's action plugin"):
        open_part(open_archive(str(path)))
    wrong: t.List[t.Any] = [
        [],
        {},
        {"where": 1},
        {"where": "x", "documents": "x"},
        {"where": "x", "documents": True, "absent": 1},
    ]
    for about in wrong:
        path.write_bytes(tar({"part.json": json.dumps(about).encode(), **members}))
        with pytest.raises(InvalidArgument, match=r"part\.json"):
            open_part(open_archive(str(path)))


def test_a_target_that_asks_for_ever_gets_an_end(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken or hostile target names new digests each time: what is not in the archive is no reason to go on."""
    layer = tar_of([Entry("x")])
    path = tmp_path / "a.tar"
    path.write_bytes(tar(docker_members([layer], "app:1")))
    turns: t.List[int] = []

    def execute(**arguments: t.Any) -> t.Dict[str, t.Any]:
        turns.append(len(turns))
        assert len(turns) < 20
        return {
            "failed": True,
            "msg": "more",
            "unsent": [f"sha256:{len(turns):064x}", *([sha256(layer)] if len(turns) > 1 else [])],
        }

    plugin: t.Any = object.__new__(ActionModule)
    plugin._task = types.SimpleNamespace(args={})
    plugin._connection = types.SimpleNamespace(
        _shell=types.SimpleNamespace(tmpdir=str(tmp_path), join_path=lambda *parts: "/".join(parts))
    )
    monkeypatch.setattr(plugin, "_execute_module", execute)
    monkeypatch.setattr(plugin, "_send", lambda sender, asked, remote, _watch: sender.write(str(tmp_path / "part"), asked))
    with open_archive(str(path)) as archive:
        assert plugin._load(Sender(archive), str(path), {}, None)["msg"] == "more"
    assert len(turns) == 1
