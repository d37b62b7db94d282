# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry client against a registry with faults, and against a real one."""

from __future__ import annotations

import base64
import email.utils
import json
import os
import pathlib
import time
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
from ansible_collections.fleet.containerd.plugins.module_utils.oci.media_types import OCI_LAYER, OCI_MANIFEST
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference
from ansible_collections.fleet.containerd.plugins.module_utils.registry.client import RegistryClient, RegistryOptions
from ansible_collections.fleet.containerd.plugins.module_utils.registry.credentials import find_credentials, parse_challenges
from ansible_collections.fleet.containerd.plugins.module_utils.registry.options import Credentials, default_host
from ansible_collections.fleet.containerd.tests.support.fake_registry import (
    FakeRegistry,
    Handler,
    endless,
    fake_registry,
    redirect,
    reset_after,
    stall_after,
    status,
)
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image
from ansible_collections.fleet.containerd.tests.support.registry import running_registry

BLOB = os.urandom(300_000)
LAYER = Descriptor(OCI_LAYER, Digest.of(BLOB), len(BLOB))
PATH = f"/v2/app/blobs/{LAYER.digest}"
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": {}, "layers": []}).encode()
SECRET = "s3cret-pa55word"


@pytest.fixture(autouse=True)
def no_home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials of the machine; a .netrc that must never be used."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    (tmp_path / ".netrc").write_text("default login netrc password netrc\n")


@pytest.fixture
def registry() -> t.Iterator[FakeRegistry]:
    with fake_registry() as found:
        found.contents["/v2/app/manifests/1"] = (MANIFEST, OCI_MANIFEST)
        found.contents[f"/v2/app/manifests/{Digest.of(MANIFEST)}"] = (MANIFEST, OCI_MANIFEST)
        found.contents[PATH] = (BLOB, "application/octet-stream")
        yield found


def client(**options: t.Any) -> RegistryClient:
    return RegistryClient(
        RegistryOptions(**{"plain_http": True, "retry_delay": 0.01, "retries": 3, "progress_timeout": 5.0, **options})
    )


def name(registry: FakeRegistry, rest: str = "app:1") -> Reference:
    return Reference.parse(f"{registry.address}/{rest}")


def fetched(registry: FakeRegistry, at: t.Optional[RegistryClient] = None, offset: int = 0) -> bytes:
    return b"".join((at or client()).fetch(name(registry), LAYER, offset))


def test_resolve_asks_by_head_and_the_document_by_get(registry: FakeRegistry) -> None:
    found = client().resolve(name(registry))
    assert (found.descriptor.digest, found.descriptor.size) == (Digest.of(MANIFEST), len(MANIFEST))
    assert [method for method, _path, _headers in registry.seen] == ["HEAD"]
    assert client().document(name(registry)).body == MANIFEST


@pytest.mark.parametrize("code", [405, 400])
def test_resolve_without_head(registry: FakeRegistry, code: int) -> None:
    registry.faults.append(("/manifests/1", status(code)))
    assert client().resolve(name(registry)).descriptor.digest == Digest.of(MANIFEST)
    assert [method for method, _path, _headers in registry.seen] == ["HEAD", "GET"]


def test_what_is_not_there_is_named(registry: FakeRegistry) -> None:
    with pytest.raises(NotFound, match=r"/nothing:1 is not in the registry: .*HTTP 404"):
        client().resolve(name(registry, "nothing:1"))


def test_a_tag_that_has_moved_away_from_its_pin(registry: FakeRegistry) -> None:
    other = "sha256:" + "0" * 64
    with pytest.raises(FailedPrecondition) as caught:
        client().resolve(name(registry, f"app:1@{other}"))
    assert other in str(caught.value)
    assert Digest.of(MANIFEST) in str(caught.value)
    assert client().resolve(name(registry, f"app:1@{Digest.of(MANIFEST)}")).descriptor.digest == Digest.of(MANIFEST)


def test_other_content_than_was_asked_for(registry: FakeRegistry) -> None:
    registry.contents["/v2/app/manifests/sha256:" + "0" * 64] = (MANIFEST, OCI_MANIFEST)
    with pytest.raises(DataLoss, match="other content"):
        client().document(name(registry, "app@sha256:" + "0" * 64))


def test_a_manifest_has_its_limit(registry: FakeRegistry) -> None:
    registry.faults.append(("/manifests/1", endless))
    with pytest.raises(RegistryError, match="longer than 4194304 bytes"):
        client().document(name(registry))


@pytest.mark.parametrize("fault", [status(503), status(502), status(429), status(408), lambda at: at.reset()])
def test_passing_trouble_is_overcome(registry: FakeRegistry, fault: t.Any) -> None:
    registry.faults += [("/", fault), ("/", fault)]
    assert client().resolve(name(registry)).descriptor.digest == Digest.of(MANIFEST)


def test_retries_have_an_end(registry: FakeRegistry) -> None:
    registry.faults += [("/", status(503))] * 9
    with pytest.raises(Unavailable, match=r"HTTP 503 .*\(tried 3 times, see retries\)$"):
        client(retries=2).document(name(registry))
    assert len(registry.seen) == 3


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_kept(registry: FakeRegistry, form: str) -> None:
    value = "1" if form == "seconds" else email.utils.formatdate(time.time() + 2, usegmt=True)
    registry.faults.append(("/", status(429, Retry_After=value)))
    started = time.monotonic()
    client().document(name(registry))
    assert 0.8 < time.monotonic() - started < 20


def test_a_broken_transfer_goes_on_where_it_stopped(registry: FakeRegistry) -> None:
    registry.faults += [(PATH, reset_after(200_000, BLOB))]
    assert fetched(registry) == BLOB
    assert registry.sent("Range")
    assert 100_000 < int(registry.sent("Range")[0][6:-1]) <= 200_000


def test_a_registry_that_ignores_ranges(registry: FakeRegistry) -> None:
    registry.ranges = False
    assert fetched(registry, offset=123_456) == BLOB[123_456:]


@pytest.mark.parametrize("code", [206, 416])
def test_another_range_than_was_asked_for(registry: FakeRegistry, code: int) -> None:
    """Then all of it is asked for; who sends a range unasked is not believed."""
    other = {"Content-Range": "bytes 5-10/300000"}
    registry.faults.append((PATH, lambda at: at.answer(code, BLOB, headers=other)))
    assert fetched(registry, offset=1000) == BLOB[1000:]
    registry.faults.append((PATH, lambda at: at.answer(206, BLOB, headers=other)))
    with pytest.raises(RegistryError, match="range that was not asked for"):
        fetched(registry)


def test_more_than_was_announced_is_refused_at_once(registry: FakeRegistry) -> None:
    registry.faults.append((PATH, endless))
    started = time.monotonic()
    with pytest.raises(FailedPrecondition, match="longer than its descriptor says"):
        fetched(registry)
    assert time.monotonic() - started < 3


def test_a_stall_is_noticed(registry: FakeRegistry) -> None:
    registry.faults.append((PATH, stall_after(1000, BLOB, 20)))
    started = time.monotonic()
    assert fetched(registry, client(progress_timeout=1)) == BLOB
    assert time.monotonic() - started < 15


def basic(at: Handler) -> bool:
    wanted = "Basic " + base64.b64encode(f"user:{SECRET}".encode()).decode()
    if at.headers.get("Authorization") == wanted:
        return True
    at.answer(401, headers={"WWW-Authenticate": 'Basic realm="test"'})
    return False


def test_basic_authentication(registry: FakeRegistry) -> None:
    registry.guard = basic
    assert client(username="user", password=SECRET).resolve(name(registry))
    with pytest.raises(Unauthenticated, match="give username and password"):
        client().resolve(name(registry))
    with pytest.raises(Unauthenticated) as caught:
        client(username="user", password="wrong-" + SECRET).resolve(name(registry))
    assert SECRET not in str(caught.value)
    assert "refuses access, wrong credentials: check username and password: " in str(caught.value)
    assert "netrc" not in str(registry.seen)


def bearer(realm: str) -> t.Callable[[Handler], bool]:
    def guard(at: Handler) -> bool:
        if at.headers.get("Authorization") == "Bearer good-token":
            return True
        at.answer(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="reg",scope="repository:app:pull"'})
        return False

    return guard


def test_token_authentication(registry: FakeRegistry) -> None:
    with fake_registry() as tokens:
        tokens.contents["/token"] = (b'{"token":"good-token"}', "application/json")
        registry.guard = bearer(f"http://{tokens.address}/token")
        at = client(username="user", password=SECRET)
        at.resolve(name(registry))
        assert fetched(registry, at) == BLOB
        assert len(tokens.seen) == 1
        assert "service=reg" in tokens.seen[0][1]
        assert tokens.sent("Authorization")[0].startswith("Basic ")
        assert all(not value.startswith("Basic") for value in registry.sent("Authorization"))


def test_a_token_service_elsewhere_without_tls_gets_nothing(registry: FakeRegistry) -> None:
    registry.guard = bearer("http://example.invalid/token")
    with pytest.raises(Unauthenticated, match="a token service must use TLS"):
        client(username="user", password=SECRET).resolve(name(registry))


def test_credentials_do_not_follow_a_redirect(registry: FakeRegistry) -> None:
    registry.guard = basic
    with fake_registry() as elsewhere:
        elsewhere.contents["/blob"] = (BLOB, "application/octet-stream")
        registry.faults.append(
            (PATH, lambda at: redirect(f"http://{elsewhere.address}/blob")(at) if "Authorization" in at.headers else False)
        )
        at = client(username="user", password=SECRET)
        at.resolve(name(registry))
        assert fetched(registry, at) == BLOB
        assert elsewhere.seen
        assert elsewhere.sent("Authorization") == []
        assert elsewhere.sent("Cookie") == []


def test_a_redirect_target_that_asks_for_credentials_gets_none(registry: FakeRegistry) -> None:
    with fake_registry() as elsewhere:
        elsewhere.guard = basic
        elsewhere.contents["/blob"] = (BLOB, "application/octet-stream")
        registry.faults += [(PATH, redirect(f"http://{elsewhere.address}/blob"))] * 9
        with pytest.raises(Unauthenticated):
            fetched(registry, client(username="user", password=SECRET))
        assert elsewhere.sent("Authorization") == []


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/x", "file:///etc/passwd", "gopher://x/"])
def test_redirects_to_other_schemes_are_refused(registry: FakeRegistry, target: str) -> None:
    registry.faults.append((PATH, redirect(target)))
    with pytest.raises(EngineError, match="refused"):
        fetched(registry)


def test_redirects_have_an_end(registry: FakeRegistry) -> None:
    registry.faults += [(PATH, redirect(f"http://{registry.address}{PATH}"))] * 20
    with pytest.raises(RegistryError, match="more than 5 redirects"):
        fetched(registry)


def test_cookies_are_not_kept(registry: FakeRegistry) -> None:
    registry.faults.append(("/", lambda at: at.answer(503, headers={"Set-Cookie": "a=b"})))
    client().document(name(registry))
    assert registry.sent("Cookie") == []


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Basic realm="x"', [("basic", {"realm": "x"})]),
        (
            'Bearer realm="https://a/b?c=d,e",service="s",scope="repository:a:pull,push"',
            [("bearer", {"realm": "https://a/b?c=d,e", "service": "s", "scope": "repository:a:pull,push"})],
        ),
        ('Negotiate, Basic realm="q\\"uoted"', [("negotiate", {}), ("basic", {"realm": 'q"uoted'})]),
        ("Bearer realm=plain , service=x", [("bearer", {"realm": "plain", "service": "x"})]),
        ("", []),
        (",,,", []),
        ('"', []),
        ("Basic " + "a=b," * 5000, None),
    ],
)
def test_challenges(header: str, found: t.Any) -> None:
    parsed = [(one.scheme, dict(one.parameters)) for one in parse_challenges(header)]
    assert parsed == found if found is not None else len(parsed) >= 1


def config(tmp_path: pathlib.Path, body: t.Any) -> RegistryOptions:
    path = tmp_path / "config.json"
    path.write_text(body if isinstance(body, str) else json.dumps(body))
    return RegistryOptions(auth_file=str(path))


def test_credentials_of_a_docker_config(tmp_path: pathlib.Path) -> None:
    auth = base64.b64encode(b"user:pass:word").decode()
    options = config(
        tmp_path, {"auths": {"https://index.docker.io/v1/": {"auth": auth}, "reg.test:5000": {"identitytoken": "it"}}}
    )
    assert find_credentials("docker.io", options) == Credentials("user", "pass:word")
    assert find_credentials("reg.test:5000", options) == Credentials(identity_token="it")
    assert find_credentials("other.test", options) == Credentials()


def test_credential_helpers(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-fake"
    # starts: sh
    helper.write_text('#!/bin/sh\nread server; echo "{\\"Username\\":\\"$server\\",\\"Secret\\":\\"pw\\"}"\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert find_credentials("reg.test", config(tmp_path, {"credHelpers": {"reg.test": "fake"}})) == Credentials("reg.test", "pw")
    assert find_credentials("any.test", config(tmp_path, {"credsStore": "fake"})) == Credentials("any.test", "pw")
    with pytest.raises(NotFound, match="docker-credential-missing is not installed"):
        find_credentials("reg.test", config(tmp_path, {"credsStore": "missing"}))
    with pytest.raises(InvalidArgument, match="not the name of a credential helper"):
        find_credentials("reg.test", config(tmp_path, {"credsStore": "../../bin/sh"}))


@pytest.mark.parametrize("body", ["", "[]", "{", '{"auths": {"reg.test": {"auth": "!!"}}}'])
def test_a_broken_docker_config_is_named(tmp_path: pathlib.Path, body: str) -> None:
    with pytest.raises(InvalidArgument, match="^auth_file: "):
        find_credentials("reg.test", config(tmp_path, body))
    with pytest.raises(NotFound, match="^auth_file: "):
        find_credentials("reg.test", RegistryOptions(auth_file=str(tmp_path / "absent")))


def test_secrets_do_not_show() -> None:
    options = RegistryOptions(username="user", password=SECRET, token=SECRET)
    assert SECRET not in repr(options) + str(options) + repr(Credentials("user", SECRET, SECRET, SECRET))


def test_the_registry_itself() -> None:
    assert default_host("docker.io").url == "https://registry-1.docker.io"
    assert default_host("localhost:5000").schemes == ("https", "http")
    assert default_host("reg.test:5000").schemes == ("https",)
    assert default_host("reg.test", plain_http=True).schemes == ("http",)


def test_a_real_registry_with_tls_and_authentication(tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path / "oci")
    image = busybox_image(layout)
    with running_registry(tls=True, username="user", password=SECRET) as real:
        real.push(layout.path, image, "app", "1")
        reference = Reference.parse(f"{real.address}/app:1")
        good = RegistryOptions(username="user", password=SECRET, ca_path=real.ca, retries=0)
        found = RegistryClient(good).resolve(reference)
        assert found.descriptor.digest == image["digest"]
        with pytest.raises(Unauthenticated):
            RegistryClient(good._replace(password="wrong")).resolve(reference)
        with pytest.raises(RegistryError, match="give ca_path"):
            RegistryClient(good._replace(ca_path="")).resolve(reference)
        assert RegistryClient(good._replace(ca_path="", validate_certs=False)).resolve(reference)
