# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""References, digests, platforms, manifests, configs: what is accepted, what is refused and with which words."""

from __future__ import annotations

import json

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import InvalidArgument, NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.oci import media_types
from ansible_collections.fleet.containerd.plugins.module_utils.oci.chain_id import chain_ids
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.plugins.module_utils.oci.documents import load_object
from ansible_collections.fleet.containerd.plugins.module_utils.oci.image_config import ImageConfig
from ansible_collections.fleet.containerd.plugins.module_utils.oci.manifest import Index, Manifest, parse
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference

A = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("hello-world", "docker.io/library/hello-world:latest", "hello-world:latest"),
        ("team/app:1", "docker.io/team/app:1", "team/app:1"),
        ("docker.io/mariadb:10.1", "docker.io/library/mariadb:10.1", "mariadb:10.1"),
        ("index.docker.io/mariadb", "docker.io/library/mariadb:latest", "mariadb:latest"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
        ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"),
        ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest"),
        ("quay.io/x/y@" + A, "quay.io/x/y@" + A, "quay.io/x/y@" + A),
        ("x:t@" + A, "docker.io/library/x:t@" + A, "x:t@" + A),
        ("Registry/x", "Registry/x:latest", "Registry/x:latest"),
    ],
)
def test_reference(text: str, full: str, familiar: str) -> None:
    """I13: a name of an image means the same in every spelling, in every module: there is one parser."""
    reference = Reference.parse(text)
    assert str(reference) == full
    assert reference.familiar == familiar
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "a:",
        "a@b",
        "a@sha256:12",
        "a//b",
        "-a",
        "A",
        "a/B",
        "a b",
        "a:b c",
        "../a",
        "a/../b",
        "x\x00",
        "a" * 64,
        "a" * 300,
        None,
        7,
        "é",
        "http://a/b",
        "a:" + "t" * 129,
    ],
)
def test_bad_reference_is_named(text: object) -> None:
    with pytest.raises(InvalidArgument, match=r"^image: .*"):
        Reference.parse(text, "image")


def test_error_text_has_no_control_characters() -> None:
    with pytest.raises(InvalidArgument) as caught:
        Reference.parse("evil\x1b[31m\nforged: ok")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "md5:" + "a" * 32,
        "sha512:" + "a" * 64,
        "a" * 64,
        "",
        None,
        A + "\n",
        "sha256:../../etc",
    ],
)
def test_bad_digest(text: object) -> None:
    with pytest.raises(InvalidArgument, match="invalid digest"):
        Digest.parse(text)


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("linux/amd64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("armhf", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("Linux/AMD64", "linux/amd64"),
    ],
)
def test_platform(text: str, full: str) -> None:
    assert str(Platform.parse(text)) == full


@pytest.mark.parametrize("text", ["", "/", "a/b/c/d", "linux/", "nonsense", "lin ux/amd64"])
def test_bad_platform(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^platform: "):
        Platform.parse(text)


def descriptor(media_type: str = media_types.OCI_MANIFEST, **more: object) -> dict:
    return {"mediaType": media_type, "digest": A, "size": 5, **more}


def index(*platforms: str) -> bytes:
    manifests = []
    for n, text in enumerate(platforms):
        os_name, arch, *variant = text.split("/")
        platform = {"os": os_name, "architecture": arch, **({"variant": variant[0]} if variant else {})}
        manifests.append({**descriptor(), "digest": f"sha256:{n:064x}", "platform": platform})
    return json.dumps({"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": manifests}).encode()


def chosen(document: bytes, platform: str) -> int:
    found = parse(document, media_types.OCI_INDEX)
    assert isinstance(found, Index)
    return int(found.choose(Platform.parse(platform)).digest.hex, 16)


def test_index_chooses_the_best_platform() -> None:
    document = index("linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8", "unknown/unknown")
    assert chosen(document, "linux/amd64") == 0
    assert chosen(document, "linux/arm/v7") == 2
    assert chosen(document, "linux/arm64") == 3
    assert chosen(index("linux/arm/v6", "linux/arm/v5"), "linux/arm") == 0
    assert chosen(index("linux/arm/v7"), "linux/arm64") == 0
    assert chosen(index("linux/386", "linux/amd64"), "linux/amd64") == 1


@pytest.mark.parametrize(
    ("platform", "runs"),
    [
        ("linux/amd64", "linux/amd64 linux/386"),
        ("linux/amd64/v3", "linux/amd64/v3 linux/amd64/v2 linux/amd64 linux/386"),
        ("linux/386", "linux/386"),
        ("linux/arm/v8", "linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5"),
        ("linux/arm/v6", "linux/arm/v6 linux/arm/v5"),
        ("linux/arm64", "linux/arm64 linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5"),
        ("linux/arm64/v9", "linux/arm64/v9 linux/arm64 linux/arm/v8 linux/arm/v7 linux/arm/v6 linux/arm/v5"),
        ("linux/s390x", "linux/s390x"),
    ],
)
def test_what_a_platform_runs_besides_its_own(platform: str, runs: str) -> None:
    """As containerd's platforms.Only has it."""
    assert [str(one) for one in Platform.parse(platform).candidates()] == runs.split()


def test_no_platform_fits() -> None:
    with pytest.raises(NotFound, match="no manifest for platform linux/s390x in the index; it has linux/amd64"):
        chosen(index("linux/amd64", "unknown/unknown"), "linux/s390x")


def manifest(**more: object) -> bytes:
    body = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": descriptor(media_types.OCI_CONFIG),
        "layers": [descriptor(media_types.OCI_LAYER + "+gzip")],
        **more,
    }
    return json.dumps(body).encode()


def test_manifest() -> None:
    found = parse(manifest(), media_types.OCI_MANIFEST)
    assert isinstance(found, Manifest)
    assert found.config.media_type == media_types.OCI_CONFIG
    assert found.layers[0] == Descriptor(media_types.OCI_LAYER + "+gzip", Digest(A), 5)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"nul",
        b'{"schemaVersion": 1}',
        b'{"schemaVersion": 2}',
        b'{"schemaVersion": NaN}',
        b"[" * 100000,
        b'{"a": ' * 70 + b"1" + b"}" * 70,
        b'{"schemaVersion": 2, "schemaVersion": 2}',
        manifest(manifests=[]),
        manifest(mediaType=media_types.OCI_INDEX),
        manifest(layers={}),
        manifest(layers=[7]),
        manifest(layers=[descriptor(size=-1)]),
        manifest(layers=[descriptor(size=True)]),
        manifest(layers=[descriptor(size="5")]),
        manifest(layers=[descriptor(digest="sha256:../x")]),
        manifest(layers=[descriptor(media_types.OCI_LAYER)] * 513),
        manifest(config=None),
        manifest(annotations={"a": 1}),
    ],
)
def test_hostile_manifest_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidArgument):
        parse(body, media_types.OCI_MANIFEST)


def test_manifest_limit() -> None:
    with pytest.raises(InvalidArgument, match="larger than 4194304 bytes"):
        load_object(b" " * (4 * 1024 * 1024 + 1), "manifest")


def config(**more: object) -> bytes:
    return json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [A]}, **more}).encode()


def test_image_config() -> None:
    found = ImageConfig.parse(
        config(config={"Env": ["A=b"], "User": "7", "Entrypoint": None, "Labels": {"x": "y"}, "Volumes": {"/v": {}}})
    )
    assert (found.env, found.user, found.entrypoint, dict(found.labels), found.volumes) == (
        ("A=b",),
        "7",
        (),
        {"x": "y"},
        ("/v",),
    )
    assert found.diff_ids == (A,)


@pytest.mark.parametrize(
    "more",
    [
        {"config": []},
        {"config": {"Env": "A=b"}},
        {"config": {"Env": [1]}},
        {"config": {"User": 0}},
        {"config": {"Labels": {"a": 1}}},
        {"config": {"Env": ["a\x00b"]}},
        {"rootfs": {"type": "x"}},
        {"rootfs": {"diff_ids": ["x"]}},
    ],
)
def test_hostile_image_config_is_refused(more: dict) -> None:
    with pytest.raises(InvalidArgument):
        ImageConfig.parse(config(**more))


def test_chain_ids() -> None:
    """The example is computed by hand from the definition in the image specification."""
    import hashlib

    second = "sha256:" + "b" * 64
    assert chain_ids([]) == []
    assert chain_ids([Digest(A), Digest(second)]) == [A, "sha256:" + hashlib.sha256(f"{A} {second}".encode()).hexdigest()]


@pytest.mark.parametrize(
    ("media_type", "kind", "compression"),
    [
        (media_types.OCI_LAYER + "+gzip", "layer", "gzip"),
        (media_types.DOCKER_LAYER_GZIP, "layer", "gzip"),
        (media_types.OCI_LAYER + "+zstd", "layer", "zstd"),
        (media_types.OCI_LAYER, "layer", "none"),
        (media_types.DOCKER_INDEX, "index", "none"),
        ("application/x", "unknown", "none"),
    ],
)
def test_media_types(media_type: str, kind: str, compression: str) -> None:
    assert (media_types.kind(media_type), media_types.compression(media_type)) == (kind, compression)
