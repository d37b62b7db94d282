# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pushing: into a real registry, and into one with faults."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import pathlib
import socket
import threading
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    DataLoss,
    EngineError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    RegistryError,
    Unauthenticated,
    Unavailable,
)
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.plugins.module_utils.oci.media_types import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference
from ansible_collections.fleet.containerd.plugins.module_utils.registry.client import RegistryOptions
from ansible_collections.fleet.containerd.plugins.module_utils.registry.pusher import Pusher
from ansible_collections.fleet.containerd.tests.support.fake_registry import (
    FakeRegistry,
    Handler,
    break_upload_after,
    fake_registry,
    status,
)
from ansible_collections.fleet.containerd.tests.support.registry import Registry, running_registry

SECRET = "s3cret-pa55word"
BLOB = os.urandom(700_001)
LAYER = Descriptor(OCI_LAYER, Digest.of(BLOB), len(BLOB))
EMPTY = Descriptor(OCI_LAYER, Digest.of(b""), 0)
CONFIG = b"{}"
CONFIG_DESCRIPTOR = Descriptor(OCI_CONFIG, Digest.of(CONFIG), len(CONFIG))
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": CONFIG_DESCRIPTOR.to_json(),
        "layers": [LAYER.to_json()],
    }
).encode()
MANIFEST_DESCRIPTOR = Descriptor(OCI_MANIFEST, Digest.of(MANIFEST), len(MANIFEST))


@pytest.fixture(autouse=True)
def no_home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)


@pytest.fixture
def fake() -> t.Iterator[FakeRegistry]:
    with fake_registry() as found:
        yield found


def pusher(**options: t.Any) -> Pusher:
    return Pusher(RegistryOptions(**{"retry_delay": 0.01, "retries": 3, "progress_timeout": 5.0, **options}))


class Source:
    """The content of a blob, and the offsets from which it was asked for; every file has to be closed."""

    def __init__(self, data: bytes = BLOB) -> None:
        self._data = data
        self.offsets: t.List[int] = []
        self._files: t.List[io.BytesIO] = []

    def __call__(self, offset: int) -> t.BinaryIO:
        self.offsets.append(offset)
        stream = io.BytesIO(self._data)
        stream.seek(offset)
        self._files.append(stream)
        return stream

    @property
    def closed(self) -> bool:
        return all(one.closed for one in self._files)


def push_all(at: Pusher, name: Reference, chunk: int) -> None:
    for descriptor, data in ((LAYER, BLOB), (CONFIG_DESCRIPTOR, CONFIG)):
        assert not at.exists(name, descriptor)
        source = Source(data)
        at.upload(name, descriptor, source, chunk)
        assert source.closed
        assert at.exists(name, descriptor)
    assert not at.exists(name, MANIFEST_DESCRIPTOR)
    at.put_manifest(name, MANIFEST_DESCRIPTOR, MANIFEST)
    assert at.exists(name, MANIFEST_DESCRIPTOR)


def assert_there(real: Registry, path: str, tag: str) -> None:
    accept = {"Accept": OCI_MANIFEST}
    assert real.open(f"/v2/{path}/manifests/{tag}", headers=accept).read() == MANIFEST
    assert real.open(f"/v2/{path}/blobs/{LAYER.digest}").read() == BLOB


@pytest.mark.parametrize("chunk", [0, 100_000, 700_001, 5_000_000])
def test_into_a_real_registry(registry: Registry, chunk: int) -> None:
    path = f"push/chunk{chunk}"
    push_all(pusher(), Reference.parse(f"{registry.address}/{path}:1"), chunk)
    assert_there(registry, path, "1")


def test_by_digest(registry: Registry) -> None:
    at = pusher()
    name = Reference.parse(f"{registry.address}/push/by-digest@{MANIFEST_DESCRIPTOR.digest}")
    push_all(at, name, 0)
    assert_there(registry, "push/by-digest", MANIFEST_DESCRIPTOR.digest)
    other = json.loads(MANIFEST)
    other["annotations"] = {"a": "b"}
    body = json.dumps(other).encode()
    descriptor = Descriptor(OCI_MANIFEST, Digest.of(body), len(body))
    tagged = Reference.parse(f"{registry.address}/push/by-digest:1")
    at.put_manifest(tagged, descriptor, body)
    assert at.exists(tagged, descriptor)
    assert not at.exists(tagged, MANIFEST_DESCRIPTOR)


def test_with_tls_and_authentication() -> None:
    with running_registry(tls=True, username="user", password=SECRET) as real:
        name = Reference.parse(f"{real.address}/push/app:1")
        push_all(pusher(username="user", password=SECRET, ca_path=real.ca), name, 300_000)
        assert_there(real, "push/app", "1")
        at = pusher(username="user", password="wrong", ca_path=real.ca)
        assert not at.exists(name, LAYER)
        with pytest.raises(Unauthenticated, match="wrong credentials"):
            at.upload(name, LAYER, Source())


def test_an_empty_blob(registry: Registry) -> None:
    name = Reference.parse(f"{registry.address}/push/empty:1")
    for chunk in (0, 10):
        pusher().upload(name, EMPTY, Source(b""), chunk)
    assert pusher().exists(name, EMPTY)


def test_mounts(registry: Registry) -> None:
    at = pusher()
    at.upload(Reference.parse(f"{registry.address}/push/from:1"), LAYER, Source())
    name = Reference.parse(f"{registry.address}/push/to:1")
    assert at.mount(name, LAYER, "push/from")
    assert at.exists(name, LAYER)
    source = Source(CONFIG)
    assert not at.mount(name, CONFIG_DESCRIPTOR, "push/from")
    at.upload(name, CONFIG_DESCRIPTOR, source)
    assert at.exists(name, CONFIG_DESCRIPTOR)


def test_an_upload_that_was_begun_instead_of_a_mount_is_used(fake: FakeRegistry) -> None:
    at, name = pusher(plain_http=True), Reference.parse(f"{fake.address}/app:1")
    assert not at.mount(name, LAYER, "other")
    at.upload(name, LAYER, Source())
    assert [method for method, _path, _headers in fake.seen] == ["POST", "PUT"]
    assert f"mount={LAYER.digest.replace(':', '%3A')}&from=other" in fake.seen[0][1]


@pytest.mark.parametrize("code", [401, 403, 404, 405])
def test_mounts_that_are_refused(fake: FakeRegistry, code: int) -> None:
    fake.faults.append(("mount=", status(code)))
    at, name = pusher(plain_http=True), Reference.parse(f"{fake.address}/app:1")
    assert not at.mount(name, LAYER, "secret/other")
    at.upload(name, LAYER, Source())
    assert fake.contents[f"/v2/app/blobs/{LAYER.digest}"][0] == BLOB


@pytest.mark.parametrize(("chunk", "where", "taken"), [(0, "digest=", 300_000), (200_000, "state=200000", 100_000)])
def test_a_broken_upload_goes_on_where_the_registry_says(fake: FakeRegistry, chunk: int, where: str, taken: int) -> None:
    fake.faults.append((where, break_upload_after(taken)))
    source = Source()
    pusher(plain_http=True).upload(Reference.parse(f"{fake.address}/app:1"), LAYER, source, chunk)
    assert fake.contents[f"/v2/app/blobs/{LAYER.digest}"][0] == BLOB
    assert source.closed
    assert source.offsets.count(0) == 1
    assert 300_000 in source.offsets
    assert [method for method, _path, _headers in fake.seen].count("POST") == 1


class CuttingProxy:
    """Relays to an address, and breaks the connection on which as many bytes have been sent, once."""

    def __init__(self, target: str, after: int) -> None:
        self._target, self._after = target, after
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._server.accept()[0]
                host, port = self._target.split(":")
                far = socket.create_connection((host, int(port)))
                for source, sink, counts in ((near, far, True), (far, near, False)):
                    threading.Thread(target=self._relay, args=(source, sink, counts), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, counts: bool) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(65536):
                sink.sendall(block)
                if counts and self._after:
                    self._after = max(0, self._after - len(block))
                    if not self._after:
                        break
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.close()


@pytest.mark.parametrize("chunk", [0, 200_000])
def test_a_broken_upload_to_a_real_registry(registry: Registry, chunk: int) -> None:
    with contextlib.closing(CuttingProxy(registry.address, 450_000)) as proxy:
        source = Source()
        name = Reference.parse(f"{proxy.address}/push/cut{chunk}:1")
        pusher(plain_http=True).upload(name, LAYER, source, chunk)
    assert len(source.offsets) > (1 if not chunk else 4)
    assert registry.open(f"/v2/push/cut{chunk}/blobs/{LAYER.digest}").read() == BLOB


@pytest.mark.parametrize("chunk", [0, 200_000])
def test_passing_trouble_is_overcome(fake: FakeRegistry, chunk: int) -> None:
    fake.faults += [("uploads/", status(503)), ("uploads/1", status(502)), ("uploads/1", lambda at: at.reset())]
    fake.faults += [("manifests/", status(429))] * 2
    at, name = pusher(plain_http=True), Reference.parse(f"{fake.address}/app:1")
    at.upload(name, LAYER, Source(), chunk)
    at.put_manifest(name, MANIFEST_DESCRIPTOR, MANIFEST)
    assert fake.contents[f"/v2/app/blobs/{LAYER.digest}"][0] == BLOB
    assert fake.contents["/v2/app/manifests/1"] == (MANIFEST, OCI_MANIFEST)


def test_retries_have_an_end(fake: FakeRegistry) -> None:
    fake.faults += [("digest=", status(503))] * 20
    with pytest.raises(Unavailable, match="HTTP 503"):
        pusher(plain_http=True, retries=2).upload(Reference.parse(f"{fake.address}/app:1"), LAYER, Source())
    assert len([1 for method, _path, _headers in fake.seen if method == "PUT"]) == 3


def test_an_upload_that_the_registry_has_forgotten_begins_anew(fake: FakeRegistry) -> None:
    def forget(at: Handler) -> bool:
        at.server.uploads.pop("1")
        return False

    fake.faults.append(("state=400000", forget))
    source = Source()
    pusher(plain_http=True).upload(Reference.parse(f"{fake.address}/app:1"), LAYER, source, 200_000)
    assert fake.contents[f"/v2/app/blobs/{LAYER.digest}"][0] == BLOB
    assert source.offsets.count(0) == 2


def test_an_upload_out_of_step(fake: FakeRegistry) -> None:
    def lose(at: Handler) -> bool:
        del at.server.uploads["1"][300_000:]
        return False

    fake.faults.append(("state=400000", lose))
    source = Source()
    pusher(plain_http=True).upload(Reference.parse(f"{fake.address}/app:1"), LAYER, source, 200_000)
    assert fake.contents[f"/v2/app/blobs/{LAYER.digest}"][0] == BLOB
    assert 300_000 in source.offsets


def test_an_end_that_was_not_heard_of(fake: FakeRegistry) -> None:
    def stored_but_silent(at: Handler) -> None:
        at.read_body()
        at.server.uploads.pop("1")
        at.server.contents[f"/v2/app/blobs/{LAYER.digest}"] = (BLOB, "application/octet-stream")
        at.reset()

    fake.faults.append(("digest=", stored_but_silent))
    source = Source()
    pusher(plain_http=True).upload(Reference.parse(f"{fake.address}/app:1"), LAYER, source)
    assert source.offsets == [0]


def test_the_smallest_chunk_of_a_registry(fake: FakeRegistry) -> None:
    def begin(at: Handler) -> None:
        at.server.uploads["9"] = bytearray()
        at.answer(202, headers={"Location": "/v2/app/blobs/uploads/9", "OCI-Chunk-Min-Length": "400000"})

    fake.faults.append(("uploads/", begin))
    pusher(plain_http=True).upload(Reference.parse(f"{fake.address}/app:1"), LAYER, Source(), 1000)
    assert fake.sent("Content-Range") == ["0-399999", "400000-700000"]


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (BLOB[:-1], DataLoss, "the data to send end 1 bytes early"),
        (b"x" * len(BLOB), RegistryError, "DIGEST_INVALID"),
    ],
)
@pytest.mark.parametrize("chunk", [0, 200_000])
def test_other_content_than_announced(
    fake: FakeRegistry, data: bytes, error: t.Type[EngineError], words: str, chunk: int
) -> None:
    with pytest.raises(error, match=words):
        pusher(plain_http=True).upload(Reference.parse(f"{fake.address}/app:1"), LAYER, Source(data), chunk)


def test_manifests_are_checked(fake: FakeRegistry) -> None:
    at, name = pusher(plain_http=True), Reference.parse(f"{fake.address}/app:1")
    with pytest.raises(InvalidArgument, match="does not match its descriptor"):
        at.put_manifest(name, MANIFEST_DESCRIPTOR, MANIFEST + b" ")
    other = {"Docker-Content-Digest": str(Digest.of(b"other"))}
    fake.faults.append(("manifests/", lambda at: at.answer(201, headers=other)))
    with pytest.raises(DataLoss, match="the registry stored sha256:"):
        at.put_manifest(name, MANIFEST_DESCRIPTOR, MANIFEST)
    fake.faults.append(("manifests/", lambda at: at.answer(400, b'{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}')))
    with pytest.raises(RegistryError, match="HTTP 400 .MANIFEST_BLOB_UNKNOWN"):
        at.put_manifest(name, MANIFEST_DESCRIPTOR, MANIFEST)


def test_a_registry_without_the_repository(fake: FakeRegistry) -> None:
    fake.faults.append(("uploads/", status(404)))
    with pytest.raises(NotFound, match="HTTP 404"):
        pusher(plain_http=True).upload(Reference.parse(f"{fake.address}/app:1"), LAYER, Source())
    assert len(fake.seen) == 1


# Secrets


def basic(at: Handler) -> bool:
    wanted = "Basic " + base64.b64encode(f"user:{SECRET}".encode()).decode()
    if at.headers.get("Authorization") == wanted:
        return True
    at.read_body()
    at.answer(401, headers={"WWW-Authenticate": 'Basic realm="test"'})
    return False


def test_an_upload_elsewhere_gets_no_credentials(fake: FakeRegistry) -> None:
    fake.guard = basic
    with fake_registry() as elsewhere:
        elsewhere.uploads["7"] = bytearray()
        location = f"http://{elsewhere.address}/v2/app/blobs/uploads/7?signed=yes"

        def begin(at: Handler) -> t.Optional[bool]:
            if "Authorization" not in at.headers:
                return False
            at.answer(202, headers={"Location": location})
            return None

        fake.faults += [("uploads/", begin)] * 2
        at = pusher(plain_http=True, username="user", password=SECRET)
        name = Reference.parse(f"{fake.address}/app:1")
        assert not at.exists(name, LAYER)
        at.upload(name, LAYER, Source())
        assert elsewhere.contents[f"/v2/app/blobs/{LAYER.digest}"][0] == BLOB
        assert f"signed=yes&digest={LAYER.digest}" in elsewhere.seen[-1][1]
        assert elsewhere.sent("Authorization") == []
        elsewhere.guard = basic
        elsewhere.uploads["7"] = bytearray()
        with pytest.raises(Unauthenticated):
            at.upload(name, LAYER, Source())
        assert elsewhere.sent("Authorization") == []


@pytest.mark.parametrize("location", ["ftp://x/y", "file:///etc/passwd", ""])
def test_locations_that_are_refused(fake: FakeRegistry, location: str) -> None:
    fake.faults.append(("uploads/", status(202, Location=location)))
    with pytest.raises(RegistryError, match="refused|does not say where"):
        pusher(plain_http=True).upload(Reference.parse(f"{fake.address}/app:1"), LAYER, Source())


def test_a_token_for_pushing(fake: FakeRegistry) -> None:
    with fake_registry() as tokens:
        tokens.contents["/token"] = (b'{"token":"good"}', "application/json")

        def bearer(at: Handler) -> bool:
            if at.headers.get("Authorization") == "Bearer good":
                return True
            at.read_body()
            challenge = f'Bearer realm="http://{tokens.address}/token",scope="repository:app:pull"'
            at.answer(401, headers={"WWW-Authenticate": challenge})
            return False

        fake.guard = bearer
        at, name = pusher(plain_http=True), Reference.parse(f"{fake.address}/app:1")
        at.mount(name, LAYER, "base")
        at.upload(name, LAYER, Source())
        assert [path for _method, path, _headers in tokens.seen] == [
            "/token?scope=repository%3Aapp%3Apull%2Cpush&scope=repository%3Abase%3Apull",
            "/token?scope=repository%3Aapp%3Apull%2Cpush",
        ]


# hosts.toml


def test_pushes_go_to_the_first_host_that_may(fake: FakeRegistry, tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "certs.d" / "reg.test"
    directory.mkdir(parents=True)
    name = Reference.parse("reg.test/app:1")
    with fake_registry() as mirror:
        text = f'server = "http://{fake.address}"\n[host."http://{mirror.address}"]\ncapabilities = ["pull", "resolve"]\n'
        (directory / "hosts.toml").write_text(text)
        at = pusher(registry_config_dir=str(directory.parent))
        assert at.host("reg.test") == f"http://{fake.address}"
        at.upload(name, LAYER, Source())
        at.put_manifest(name, MANIFEST_DESCRIPTOR, MANIFEST)
        assert mirror.seen == []
        assert not any("ns=" in path for _method, path, _headers in fake.seen)
        (directory / "hosts.toml").write_text(text.replace('"resolve"', '"push"'))
        at = pusher(registry_config_dir=str(directory.parent))
        mirror.faults.append(("manifests", status(403)))
        with pytest.raises(EngineError, match="denies access"):
            at.put_manifest(name, MANIFEST_DESCRIPTOR, MANIFEST)
        (directory / "hosts.toml").write_text('capabilities = ["pull"]\n' + text)
        with pytest.raises(FailedPrecondition, match="no host for reg.test has the capability push"):
            pusher(registry_config_dir=str(directory.parent)).exists(name, LAYER)
