# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry that is spoken to over TLS cannot lead us away from it, and its credentials go to nobody else."""

from __future__ import annotations

import base64
import pathlib
import ssl
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError, RegistryError, Unauthenticated
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.plugins.module_utils.oci.media_types import OCI_LAYER
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference
from ansible_collections.fleet.containerd.plugins.module_utils.registry.client import RegistryClient, RegistryOptions
from ansible_collections.fleet.containerd.plugins.module_utils.registry.pusher import Pusher
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry, Handler, fake_registry, redirect
from ansible_collections.fleet.containerd.tests.support.registry import make_ca

BLOB = b"content" * 1000
LAYER = Descriptor(OCI_LAYER, Digest.of(BLOB), len(BLOB))
PATH = f"/v2/app/blobs/{LAYER.digest}"
SECRET = "s3cret-pa55word"
PAIR = base64.b64encode(f"user:{SECRET}".encode()).decode()


class World(t.NamedTuple):
    """registry: over TLS; other: over TLS too, with a certificate of the same authority; plain: without."""

    registry: FakeRegistry
    other: FakeRegistry
    plain: FakeRegistry
    options: RegistryOptions

    def fetch(self, **options: t.Any) -> bytes:
        client = RegistryClient(self.options._replace(**options))
        try:
            return b"".join(client.fetch(Reference.parse(f"{self.registry.address}/app:1"), LAYER))
        finally:
            client.close()

    def strangers_know(self) -> bool:
        """Whether anybody but the registry has seen the credentials."""
        return any(word in repr(one.seen) for one in (self.other, self.plain) for word in (SECRET, PAIR, "good-token"))


@pytest.fixture
def world(authority: t.Tuple[str, str, str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[World]:
    monkeypatch.setenv("HOME", str(tmp_path))
    ca, certificate, key = authority
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    options = RegistryOptions(
        username="user", password=SECRET, ca_path=ca, retries=1, retry_delay=0.01, progress_timeout=2.0, registry_config_dir=""
    )
    with fake_registry(context) as registry, fake_registry(context) as other, fake_registry() as plain:
        for server in (registry, other, plain):
            server.contents[PATH] = (BLOB, "application/octet-stream")
        yield World(registry, other, plain, options)


def basic(at: Handler) -> bool:
    if at.headers.get("Authorization") == f"Basic {PAIR}":
        return True
    at.answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    return False


def test_a_redirect_to_plain_http_is_refused(world: World) -> None:
    world.registry.faults += [(PATH, redirect(f"http://{world.plain.address}{PATH}"))] * 9
    with pytest.raises(RegistryError, match="TLS must not be left"):
        world.fetch()
    assert world.plain.seen == []


def test_a_redirect_to_plain_http_on_the_registry_itself_is_refused(world: World) -> None:
    world.registry.faults += [(PATH, redirect(f"http://{world.registry.address}{PATH}"))] * 9
    with pytest.raises(RegistryError, match="TLS must not be left"):
        world.fetch()


def test_a_redirect_over_two_hosts_to_plain_http_is_refused(world: World) -> None:
    world.registry.guard = basic
    world.other.faults += [(PATH, redirect(f"http://{world.plain.address}{PATH}"))] * 9
    inner = world.registry.guard

    def guard(at: Handler) -> bool:
        return inner(at) and bool(redirect(f"https://{world.other.address}{PATH}")(at))

    world.registry.guard = guard
    with pytest.raises(RegistryError, match="TLS must not be left"):
        world.fetch()
    assert world.other.seen
    assert world.plain.seen == []
    assert not world.strangers_know()


def test_another_port_is_another_origin(world: World) -> None:
    """The same name and certificate, another port: credentials stay away, cookies too, and none come back."""

    def guard(at: Handler) -> bool:
        if not basic(at):
            return False
        if at.path.startswith("/back"):
            at.answer(200, BLOB)
            return False
        at.answer(307, headers={"Location": f"https://{world.other.address}/x", "Set-Cookie": "session=good-token; Path=/"})
        return False

    world.registry.guard = guard
    world.other.guard = lambda at: bool(
        at.answer(302, headers={"Location": f"https://{world.registry.address}/back", "Set-Cookie": "a=b; Path=/"})
    )
    assert world.fetch() == BLOB
    assert not world.strangers_know()
    assert world.registry.sent("Cookie") == world.other.sent("Cookie") == []
    assert world.registry.seen[-1][2]["Authorization"] == f"Basic {PAIR}"


@pytest.mark.parametrize("place", ["plain", "registry", "loopback"])
def test_a_realm_without_tls_gets_nothing(world: World, place: str) -> None:
    address = {"plain": world.plain.address, "registry": world.registry.address, "loopback": "localhost:1"}[place]
    header = f'Bearer realm="http://{address}/token",service="x"'
    world.registry.guard = lambda at: bool(at.answer(401, headers={"WWW-Authenticate": header}))
    with pytest.raises(Unauthenticated, match="a token service must use TLS"):
        world.fetch()
    assert world.plain.seen == []


def test_a_token_goes_to_the_registry_only(world: World) -> None:
    world.other.contents["/token"] = (b'{"token":"good-token"}', "application/json")

    def guard(at: Handler) -> bool:
        if at.headers.get("Authorization") == "Bearer good-token":
            return bool(redirect(f"https://{world.other.address}{PATH}")(at))
        header = f'Bearer realm="https://{world.other.address}/token",service="x"'
        return bool(at.answer(401, headers={"WWW-Authenticate": header}))

    world.registry.guard = guard
    assert world.fetch() == BLOB
    assert [path.partition("?")[0] for _method, path, _headers in world.other.seen] == ["/token", PATH]
    assert "Authorization" not in world.other.seen[1][2]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_upload_elsewhere_gets_no_credentials(world: World, scheme: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "blob").write_bytes(BLOB)
    there = world.plain if scheme == "http" else world.other

    def guard(at: Handler) -> bool:
        if not basic(at) or at.command == "GET":
            return False
        at.read_body()
        at.answer(202, headers={"Location": f"{scheme}://{there.address}/v2/app/blobs/uploads/1"})
        return False

    world.registry.guard = guard
    there.guard = lambda at: bool(at.answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'}))
    pusher = Pusher(world.options)
    with pytest.raises(EngineError):
        pusher.upload(Reference.parse(f"{world.registry.address}/app:1"), LAYER, lambda offset: (tmp_path / "blob").open("rb"))
    pusher.close()
    assert not world.strangers_know()
    assert bool(there.seen) == (scheme == "https")


def test_a_certificate_for_another_name(world: World, authority: t.Tuple[str, str, str], tmp_path: pathlib.Path) -> None:
    (tmp_path / "other").mkdir()
    _ca, certificate, key = make_ca(tmp_path / "other", "DNS:elsewhere.invalid")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with fake_registry(context) as impostor:
        for ca in (str(tmp_path / "other" / "ca.pem"), authority[0]):
            client = RegistryClient(world.options._replace(ca_path=ca, retries=0))
            with pytest.raises(RegistryError, match="TLS failed"):
                client.resolve(Reference.parse(f"{impostor.address}/app:1"))
        assert impostor.seen == []


def test_what_speaks_tls_is_not_spoken_to_in_plain(world: World) -> None:
    """A registry on loopback may speak plain HTTP, unless its certificate is wrong: then it does not get the credentials so."""
    with pytest.raises(RegistryError, match="TLS failed"):
        world.fetch(ca_path="")
    assert world.registry.seen == []
