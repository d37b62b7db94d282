# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Release files: one text for one release, and a clear word for what is wrong in a file that somebody has edited."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError, InvalidArgument, NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference
from ansible_collections.fleet.containerd.plugins.module_utils.oci.release import Release, ReleasedImage, ReleasedPlatform

A, B = (Digest("sha256:" + letter * 64) for letter in "ab")
NAME = "registry.example.com/app:v7"
RELEASE = Release({NAME: ReleasedImage(A, {Platform("linux", "amd64"): ReleasedPlatform(B, 70123456)})})


def test_the_text_is_what_people_review_and_it_is_read_back() -> None:
    more = Release({**RELEASE.images, "docker.io/library/a:1": ReleasedImage(B, {})})
    lines = more.text().splitlines()
    assert lines[3] == '    "docker.io/library/a:1": {'
    assert '        "linux/amd64": {' in lines
    assert '          "size": 70123456' in lines
    assert more.text().endswith("}\n")
    assert Release.parse(more.text().encode(), "release.json") == more
    assert Release(dict(reversed(list(more.images.items())))).text() == more.text()


def _file(change: t.Callable[[t.Dict[str, t.Any]], t.Any]) -> bytes:
    document = json.loads(RELEASE.text())
    change(document)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"images: {}\n", "the release file r.json is not valid JSON"),
        (b"[]", "the release file r.json is not a JSON object"),
        (_file(lambda it: it.pop("version")), "the release file r.json has no version"),
        (_file(lambda it: it.update(version=2)), "the release file r.json has version 2, and this collection reads version 1"),
        (_file(lambda it: it.update(images=[])), "images of the release file r.json is not an object: '[]'"),
        (
            _file(lambda it: it["images"].update({"a:1": {"digest": A}})),
            "has the name a:1, which is docker.io/library/a:1 in full",
        ),
        (_file(lambda it: it["images"].update({"x/A:1": {"digest": A}})), "invalid image reference 'x/A:1'"),
        (_file(lambda it: it["images"][NAME].pop("digest")), f"{NAME} in the release file r.json"),
        (
            _file(lambda it: it["images"][NAME].update(digest="sha256:1")),
            f"digest of {NAME} in the release file r.json: invalid digest",
        ),
        (_file(lambda it: it["images"][NAME]["platforms"].update({"a b": {}})), "invalid platform 'a b'"),
        (_file(lambda it: it["images"][NAME]["platforms"]["linux/amd64"].update(size="1k")), "size of linux/amd64 of platforms"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(data: bytes, message: str) -> None:
    with pytest.raises(InvalidArgument) as found:
        Release.parse(data, "r.json")
    assert message in str(found.value)


@pytest.mark.parametrize(
    ("name", "pinned"),
    [
        (NAME, f"{NAME}@{A}"),
        (f"{NAME}@{A}", f"{NAME}@{A}"),
        (f"docker.io/library/other@{B}", f"docker.io/library/other@{B}"),
        (f"docker.io/library/other:1@{B}", f"docker.io/library/other:1@{B}"),
    ],
)
def test_names_get_their_digests(name: str, pinned: str) -> None:
    assert str(RELEASE.pinned(Reference.parse(name), "image", "r.json")) == pinned


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (
            "registry.example.com/app",
            NotFound,
            "image: registry.example.com/app:latest is not in the release file r.json: add it",
        ),
        (f"{NAME}@{B}", InvalidArgument, f"image: {NAME}@{B} contradicts the release file r.json, where it is {A}"),
    ],
)
def test_names_that_are_not_in_the_release_are_errors(name: str, kind: t.Type[EngineError], message: str) -> None:
    with pytest.raises(kind) as found:
        RELEASE.pinned(Reference.parse(name), "image", "r.json")
    assert message in str(found.value)
