# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a controller sends of its files, and what a target reads of it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import tarfile
import types
import typing as t

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret

from ansible_collections.fleet.containerd.plugins.action.containerd_container_copy import ActionModule
from ansible_collections.fleet.containerd.plugins.module_utils.errors import DataLoss, FailedPrecondition, NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.resources.files.part import Part
from ansible_collections.fleet.containerd.plugins.module_utils.resources.files.source import bytes_of
from ansible_collections.fleet.containerd.plugins.plugin_utils.files_part import Files, Problem, Text


@contextlib.contextmanager
def plain(path: str) -> t.Iterator[str]:
    yield path


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    made = tmp_path / "tree"
    (made / "sub").mkdir(parents=True)
    (made / "sub" / "b").write_bytes(b"b" * 200_000)
    (made / "a").write_text("a")
    (made / "a").chmod(0o600)
    (made / "link").symlink_to("a")
    (made / "broken").symlink_to("nowhere")
    os.mkfifo(made / "fifo")
    return made


def test_only_what_is_asked_for(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    part = str(tmp_path / "part.tar")
    files = Files(str(tree), "shown", False, plain)
    files.write(part, ())
    found = Part(part)
    entries = {one.path: one for one in found.entries()}
    assert list(entries) == ["", "a", "broken", "link", "sub", "sub/b"]
    assert (entries["a"].mode, entries["a"].size, entries["a"].digest) == (0o600, 1, hashlib.sha256(b"a").hexdigest())
    assert (entries["link"].kind, entries["link"].link, entries["sub"].kind) == ("link", "a", "directory")
    assert (found.shown, found.skipped) == ("shown", [str(tree / "fifo")])
    with pytest.raises(FailedPrecondition) as caught:
        found.check_sent(entries.values())
    assert caught.value.details["unsent"] == ["a", "sub/b"]
    assert files.offers(["a", "sub/b", "sub", "../a", "none"]) == {"a", "sub/b"}
    files.write(part, {"sub/b"})
    again = Part(part)
    assert again.unsent(entries.values()) == ["a"]
    assert b"".join(bytes_of(again, entries["sub/b"])) == b"b" * 200_000


def test_links_are_followed(tree: pathlib.Path) -> None:
    found = {one[0]: (one[1], one[6]) for one in Files(str(tree), "", True, plain)._entries}
    # What leads nowhere stays a link.
    assert (found["link"], found["broken"]) == (("file", 1), ("link", 0))
    (tree / "sub" / "up").symlink_to("..")
    with pytest.raises(Problem, match="contains itself by a link: give local_follow=false"):
        Files(str(tree), "", True, plain)
    assert {one[0]: one[1] for one in Files(str(tree), "", False, plain)._entries}["sub/up"] == "link"
    with pytest.raises(Problem, match="there is no /is/not/there"):
        Files("/is/not/there", "", True, plain)
    with pytest.raises(Problem, match="fifo is no file"):
        Files(str(tree / "fifo"), "", True, plain)


def test_a_small_file_and_a_content_go_at_once(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    part = str(tmp_path / "part.tar")
    for files, content in ((Files(str(tree / "a"), "a", True, plain), b"a"), (Text(b"\0text"), b"\0text")):
        files.write(part, ())
        found = Part(part)
        (entry,) = found.entries()
        assert found.unsent([entry]) == []
        assert b"".join(bytes_of(found, entry)) == content


def test_a_file_that_changes(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    files = Files(str(tree), "shown", True, plain)
    (tree / "a").write_text("longer")
    with pytest.raises(Problem, match="a has changed while it was read"):
        files.write(str(tmp_path / "part.tar"), {"a"})


def test_what_is_no_part(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "part.tar"
    with pytest.raises(NotFound):
        Part(str(path))
    path.write_bytes(b"rubbish")
    with pytest.raises(DataLoss, match="is not what a controller sends"):
        Part(str(path))
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("other"))
    with pytest.raises(DataLoss, match="is not what a controller sends"):
        Part(str(path))


@pytest.mark.parametrize("decrypt", [True, False])
def test_an_encrypted_file(tmp_path: pathlib.Path, decrypt: bool) -> None:
    """It arrives in plain, and the controller keeps no plain copy."""
    secrets = [("default", VaultSecret(b"word"))]
    encrypted = VaultLib(secrets).encrypt(b"hush")  # type: ignore[no-untyped-call]  # ansible-core has no types there
    (tmp_path / "key").write_bytes(encrypted)
    loader = DataLoader()  # type: ignore[no-untyped-call]  # the same
    loader.set_vault_secrets(secrets)
    task: t.Any = types.SimpleNamespace(_task=types.SimpleNamespace(args={"decrypt": decrypt}), _loader=loader)
    copies: t.List[str] = []

    @contextlib.contextmanager
    def decrypted(path: str) -> t.Iterator[str]:
        with ActionModule._plain(task, path) as real:
            copies.append(real)
            yield real

    files, part = Files(str(tmp_path / "key"), "key", True, decrypted), str(tmp_path / "part.tar")
    files.write(part, ())
    found = Part(part)
    (entry,) = found.entries()
    assert b"".join(bytes_of(found, entry)) == (b"hush" if decrypt else encrypted)
    assert [os.path.exists(one) for one in copies] == [not decrypt] * 2
