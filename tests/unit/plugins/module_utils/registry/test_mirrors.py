# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulls through mirrors: who is asked for what, what happens when one is dead or refuses, and who gets which secret."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import ssl
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
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
from ansible_collections.fleet.containerd.tests.support.fake_registry import (
    FakeRegistry,
    Handler,
    fake_registry,
    redirect,
    reset_after,
    stall_after,
    status,
)
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image
from ansible_collections.fleet.containerd.tests.support.registry import make_ca, own_port, running_registry

BLOB = os.urandom(300_000)
LAYER = Descriptor(OCI_LAYER, Digest.of(BLOB), len(BLOB))
PATH = f"/v2/app/blobs/{LAYER.digest}"
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": {}, "layers": []}).encode()
DIGEST = Digest.of(MANIFEST)
SECRET = "s3cret-pa55word"
NAME = Reference.parse("reg.test/app:1")


class Place:
    """A certs.d for reg.test, whose server is the registry upstream, behind the registry mirror."""

    def __init__(self, tmp_path: pathlib.Path, mirror: FakeRegistry, upstream: FakeRegistry) -> None:
        self.mirror, self.upstream = mirror, upstream
        self.directory = tmp_path / "certs.d" / "reg.test"
        self.directory.mkdir(parents=True)
        self.auth = tmp_path / "auth.json"
        self.auth.write_text("{}")
        for one in (mirror, upstream):
            one.contents["/v2/app/manifests/1"] = one.contents[f"/v2/app/manifests/{DIGEST}"] = (MANIFEST, OCI_MANIFEST)
            one.contents[PATH] = (BLOB, "application/octet-stream")
        self.configure(self.table(mirror))

    @staticmethod
    def table(host: t.Union[FakeRegistry, str], rest: str = "") -> str:
        return f'[host."{host if isinstance(host, str) else "http://" + host.address}"]\n{rest}\n'

    def configure(self, *tables: str) -> None:
        text = f'server = "http://{self.upstream.address}"\n' + "".join(tables)
        (self.directory / "hosts.toml").write_text(text)

    def client(self, **options: t.Any) -> RegistryClient:
        how = {"retry_delay": 0.01, "retries": 3, "progress_timeout": 5.0, "auth_file": str(self.auth), **options}
        return RegistryClient(RegistryOptions(registry_config_dir=str(self.directory.parent), **how))

    def pull(self, **options: t.Any) -> t.Tuple[str, str]:
        """Who gave the manifest and who the blob: mirror or upstream."""
        client = self.client(**options)
        assert client.document(NAME).body == MANIFEST
        assert b"".join(client.fetch(NAME, LAYER)) == BLOB
        names = {f"http://{self.mirror.address}": "mirror", f"http://{self.upstream.address}": "upstream"}
        return names[client.served[DIGEST]], names[client.served[LAYER.digest]]


@pytest.fixture
def place(tmp_path: pathlib.Path) -> t.Iterator[Place]:
    with fake_registry() as mirror, fake_registry() as upstream:
        yield Place(tmp_path, mirror, upstream)


@pytest.fixture
def dead() -> t.Iterator[t.Callable[[], str]]:
    """Gives addresses where nobody listens, and where nobody else can until the test is over."""
    with contextlib.ExitStack() as stack:
        yield lambda: f"127.0.0.1:{stack.enter_context(own_port())}"


def asked(registry: FakeRegistry) -> t.List[t.Tuple[str, str]]:
    return [(method, path) for method, path, _headers in registry.seen]


def basic(user: str, word: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{word}".encode()).decode()


def guard(authorization: str) -> t.Callable[[Handler], bool]:
    def check(at: Handler) -> bool:
        if at.headers.get("Authorization") == authorization:
            return True
        at.answer(401, headers={"WWW-Authenticate": 'Basic realm="test"'})
        return False

    return check


def test_a_mirror_serves_all_and_learns_which_registry_is_meant(place: Place) -> None:
    assert place.pull() == ("mirror", "mirror")
    assert asked(place.mirror) == [("GET", "/v2/app/manifests/1?ns=reg.test"), ("GET", f"{PATH}?ns=reg.test")]
    assert place.upstream.seen == []


def test_a_mirror_that_stalls_costs_its_time_once(place: Place) -> None:
    place.mirror.faults.append(("/manifests/", stall_after(0, MANIFEST, 20)))
    client = place.client(progress_timeout=1)
    assert client.document(NAME).body == MANIFEST
    assert b"".join(client.fetch(NAME, LAYER)) == BLOB
    assert len(place.mirror.seen) == 1
    # It is not left out: where nobody else has something, it is asked, and when it answers it comes first again.
    del place.upstream.contents[PATH]
    for number in (2, 3):
        assert b"".join(client.fetch(NAME, LAYER)) == BLOB
        assert len(place.mirror.seen) == number
    assert len(place.upstream.seen) == 3


@pytest.mark.parametrize("code", [401, 403, 404, 500, 503, 418])
def test_a_mirror_that_refuses(place: Place, code: int) -> None:
    place.mirror.guard = lambda at: bool(at.answer(code))
    started = time.monotonic()
    assert place.pull(retry_delay=30.0) == ("upstream", "upstream")
    assert time.monotonic() - started < 10
    assert len(place.mirror.seen) == (1 if code in (401, 403) else 2)


def test_a_mirror_that_lacks_a_blob(place: Place) -> None:
    del place.mirror.contents[PATH]
    assert place.pull() == ("mirror", "upstream")


def test_a_dead_mirror_is_asked_once(place: Place, dead: t.Callable[[], str]) -> None:
    place.configure(place.table(f"http://{dead()}"), place.table(place.mirror))
    assert place.pull() == ("mirror", "mirror")
    client = place.client()
    client.document(NAME)
    refusing, alive, _server = client.endpoints("reg.test").transports
    assert "cannot be reached" in str(refusing.trouble[""])
    assert alive.trouble == {}
    assert client.endpoints("reg.test").round("", "pull")[0][0] is alive


def test_a_mirror_that_does_not_answer_has_its_own_time_limit(place: Place) -> None:
    place.configure(place.table("http://10.255.255.1", 'dial_timeout = "300ms"'), place.table(place.mirror))
    started = time.monotonic()
    assert place.pull(progress_timeout=30.0) == ("mirror", "mirror")
    assert time.monotonic() - started < 20


def test_other_content_from_a_mirror(place: Place) -> None:
    place.mirror.contents[f"/v2/app/manifests/{DIGEST}"] = (b"{}", OCI_MANIFEST)
    client = place.client()
    assert client.document(NAME._replace(tag="", digest=DIGEST)).body == MANIFEST
    assert client.served[DIGEST] == f"http://{place.upstream.address}"
    place.mirror.contents["/v2/app/manifests/1"] = (b"<html>log in first</html>", "text/html")
    assert place.client().document(NAME).body == MANIFEST
    assert place.client().resolve(NAME).descriptor.digest == DIGEST


@pytest.mark.parametrize("page", [b"<html>log in first</html>", BLOB + b"more"])
def test_a_page_instead_of_a_blob(place: Place, page: bytes) -> None:
    place.mirror.contents[PATH] = (page, "text/html")
    assert place.pull() == ("mirror", "upstream")
    assert place.upstream.sent("Range") == []


def test_whoever_sent_something_else_is_not_asked_for_it_again(place: Place) -> None:
    place.mirror.contents[PATH] = (bytes(len(BLOB)), "application/octet-stream")
    client = place.client()
    assert not client.refuse(NAME, LAYER)
    assert b"".join(client.fetch(NAME, LAYER)) == bytes(len(BLOB))
    assert client.refuse(NAME, LAYER)
    assert b"".join(client.fetch(NAME, LAYER)) == BLOB
    assert client.refused == {(LAYER.digest, f"http://{place.mirror.address}")}
    assert client.served[LAYER.digest] == f"http://{place.upstream.address}"
    # Other things are asked of it.
    assert client.document(NAME).host == f"http://{place.mirror.address}"
    # When nobody is left all are asked again.
    assert not client.refuse(NAME, LAYER)
    assert len(b"".join(client.fetch(NAME, LAYER))) == len(BLOB)


def test_whoever_sent_something_else_and_nobody_else_is_there(place: Place, dead: t.Callable[[], str]) -> None:
    place.mirror.contents[PATH] = (bytes(len(BLOB)), "application/octet-stream")
    (place.directory / "hosts.toml").write_text(f'server = "http://{dead()}"\n' + place.table(place.mirror))
    client = place.client(retries=1)
    for again in (True, False, False):
        assert b"".join(client.fetch(NAME, LAYER)) == bytes(len(BLOB))
        assert client.refuse(NAME, LAYER) is again


def test_a_transfer_that_breaks_goes_on_at_the_next_host(place: Place) -> None:
    place.mirror.faults.append((PATH, reset_after(200_000, BLOB)))
    assert place.pull() == ("mirror", "upstream")
    assert 100_000 < int(place.upstream.sent("Range")[0][6:-1]) <= 200_000


def test_all_hosts_are_asked_again_while_that_may_help(place: Place) -> None:
    place.mirror.faults += [("/manifests/1", status(503))] * 2
    place.upstream.faults += [("/manifests/1", status(429))] * 2
    assert place.pull() == ("mirror", "mirror")
    assert [len(asked(one)) for one in (place.mirror, place.upstream)] == [4, 2]


def test_the_error_lists_each_host_and_why(place: Place, dead: t.Callable[[], str]) -> None:
    nobody = dead()
    place.configure(place.table(f"http://{nobody}"), place.table(place.mirror))
    place.mirror.guard = guard("Basic eA==")
    del place.upstream.contents["/v2/app/manifests/1"]
    for ask in (place.client().resolve, place.client().document):
        with pytest.raises(NotFound) as caught:
            ask(NAME)
        assert str(caught.value).startswith(
            "reg.test/app:1 is not in the registry: none of the 3 hosts for reg.test can be used: "
        )
        urls = [f"http://{nobody}", f"http://{place.mirror.address}", f"http://{place.upstream.address}"]
        reasons = [
            "Connection refused",
            "needs credentials: give it an entry in auth_file, or a header in hosts.toml",
            "HTTP 404",
        ]
        tried = caught.value.details["tried"]
        assert [one["url"] for one in tried] == urls
        for one, reason in zip(tried, reasons):
            assert reason in one["reason"]
            assert f"{one['url']}: {one['reason']}" in str(caught.value)


def test_hosts_that_are_all_dead(place: Place, dead: t.Callable[[], str]) -> None:
    place.configure(place.table(f"http://{dead()}"))
    text = (place.directory / "hosts.toml").read_text()
    (place.directory / "hosts.toml").write_text(text.replace(place.upstream.address, dead()))
    with pytest.raises(Unavailable, match="none of the 2 hosts for reg.test can be used: .*refused.*refused"):
        place.client(retries=1).document(NAME)


def test_tags_are_asked_of_hosts_that_may_resolve(place: Place) -> None:
    place.configure(place.table(place.mirror, 'capabilities = ["pull"]'))
    assert place.pull() == ("mirror", "mirror")
    assert asked(place.upstream) == [("HEAD", "/v2/app/manifests/1?ns=reg.test")]
    assert asked(place.mirror)[0] == ("GET", f"/v2/app/manifests/{DIGEST}?ns=reg.test")
    place.client().resolve(NAME)
    assert len(place.mirror.seen) == 2


def test_no_host_may(place: Place) -> None:
    (place.directory / "hosts.toml").write_text(
        f'server = "http://{place.upstream.address}"\ncapabilities = ["push"]\n'
        + place.table(place.mirror, 'capabilities = ["pull"]')
    )
    with pytest.raises(FailedPrecondition, match="no host for reg.test has the capability pull and resolve"):
        place.client().document(NAME)


def test_a_path_of_its_own(place: Place) -> None:
    place.mirror.contents = {path.replace("/v2/", "/proxy/api/"): found for path, found in place.mirror.contents.items()}
    place.configure(place.table(f"http://{place.mirror.address}/proxy/api/", "override_path = true"))
    client = place.client()
    client.document(NAME)
    assert client.served[DIGEST] == f"http://{place.mirror.address}/proxy/api"


# Secrets


def test_credentials_of_the_registry_do_not_reach_a_mirror(place: Place) -> None:
    place.auth.write_text(json.dumps({"auths": {"reg.test": {"auth": base64.b64encode(f"a:{SECRET}".encode()).decode()}}}))
    place.mirror.guard = guard("Basic eA==")
    place.upstream.guard = guard("Basic eA==")
    for options in ({}, {"username": "a", "password": SECRET}, {"token": SECRET}):
        with pytest.raises(Unauthenticated):
            place.client(**options).document(NAME)
    assert place.mirror.sent("Authorization") + place.upstream.sent("Authorization") == []


def test_a_mirror_has_an_entry_of_its_own(place: Place) -> None:
    entry = base64.b64encode(f"m:{SECRET}".encode()).decode()
    place.auth.write_text(json.dumps({"auths": {place.mirror.address: {"auth": entry}}}))
    place.mirror.guard = guard(basic("m", SECRET))
    assert place.pull(username="other", password="of the registry") == ("mirror", "mirror")
    assert set(place.mirror.sent("Authorization")) == {basic("m", SECRET)}


def test_the_registry_itself_listed_as_a_host_gets_its_credentials(place: Place) -> None:
    own = Reference.parse(f"{place.upstream.address}/app:1")
    directory = place.directory.parent / own.domain
    directory.mkdir()
    (directory / "hosts.toml").write_text(place.table(place.mirror) + place.table(place.upstream))
    place.mirror.guard = place.upstream.guard = guard(basic("a", SECRET))
    client = place.client(username="a", password=SECRET)
    client.document(own)
    assert client.served[DIGEST] == f"http://{place.upstream.address}"
    assert place.mirror.sent("Authorization") == []
    assert place.upstream.seen[-1][1] == "/v2/app/manifests/1"


def test_headers_go_to_their_host_and_nowhere_else(place: Place) -> None:
    place.configure(
        place.table(
            place.mirror,
            f'[host."http://{place.mirror.address}".header]\nX-Key = ["{SECRET}", "b"]\nauthorization = "Basic {SECRET}"',
        )
    )
    with fake_registry() as elsewhere:
        elsewhere.contents["/blob"] = (BLOB, "application/octet-stream")
        place.mirror.faults.append((PATH, redirect(f"http://{elsewhere.address}/blob")))
        assert place.pull() == ("mirror", "mirror")
        assert place.mirror.sent("X-Key") == [f"{SECRET}, b"] * 2
        assert [value.lower() for value in place.mirror.sent("Authorization")] == [f"basic {SECRET}"] * 2
        assert len(elsewhere.seen) == 1
        assert SECRET not in str(elsewhere.seen)
    del place.mirror.contents[PATH]
    b"".join(place.client().fetch(NAME, LAYER))
    assert SECRET not in str(place.upstream.seen)


def test_an_authorization_header_that_is_refused(place: Place) -> None:
    place.configure(place.table(place.mirror, f'header = {{authorization = "{basic("m", "wrong-" + SECRET)}"}}'))
    place.mirror.guard = guard(basic("m", SECRET))
    del place.upstream.contents["/v2/app/manifests/1"]
    with pytest.raises(NotFound) as caught:
        place.client().document(NAME)
    assert "refuses the credentials of the header in its hosts.toml" in str(caught.value)
    assert SECRET not in str(caught.value)
    place.auth.write_text(json.dumps({"auths": {place.mirror.address: {"username": "m", "password": SECRET}}}))
    place.client().document(NAME)


def test_an_authorization_header_is_good_for_a_token(place: Place) -> None:
    place.configure(place.table(place.mirror, f'header = {{Authorization = "{basic("m", SECRET)}", X-Other = "{SECRET}"}}'))
    with fake_registry() as tokens:
        tokens.contents["/token"] = (b'{"token":"good"}', "application/json")
        tokens.guard = guard(basic("m", SECRET))

        def bearer(at: Handler) -> bool:
            if at.headers.get("Authorization") == "Bearer good":
                return True
            at.answer(401, headers={"WWW-Authenticate": f'Bearer realm="http://{tokens.address}/token",service="s"'})
            return False

        place.mirror.guard = bearer
        assert place.pull() == ("mirror", "mirror")
        assert [path for _method, path in asked(tokens)] == ["/token?scope=repository%3Aapp%3Apull&service=s"]
        assert tokens.sent("X-Other") == []


def test_options_count_more_than_a_header(place: Place) -> None:
    own = Reference.parse(f"{place.upstream.address}/app:1")
    directory = place.directory.parent / own.domain
    directory.mkdir()
    (directory / "hosts.toml").write_text(
        f'[header]\nauthorization = "Basic b2xk"\n{place.table(place.upstream, "override_path = false")}'
    )
    place.upstream.guard = guard(basic("a", SECRET))
    place.client(username="a", password=SECRET).document(own)
    assert "Basic b2xk" not in place.upstream.sent("Authorization")


# TLS


def test_a_mirror_with_tls_a_private_authority_and_authentication(place: Place, tmp_path: pathlib.Path) -> None:
    layout = Layout(tmp_path / "oci")
    image = busybox_image(layout)
    with running_registry(tls=True, username="m", password=SECRET) as real:
        real.push(layout.path, image, "app", "1")
        place.auth.write_text(json.dumps({"auths": {real.address: {"username": "m", "password": SECRET}}}))
        place.configure(place.table(f"https://{real.address}", f'ca = "{real.ca}"'))
        assert place.client().resolve(NAME).host == f"https://{real.address}"
        place.configure(place.table(f"https://{real.address}", "skip_verify = true"))
        assert place.client().resolve(NAME).host == f"https://{real.address}"
        place.configure(place.table(f"https://{real.address}"))
        client = place.client(validate_certs=False, ca_path=real.ca)
        assert client.resolve(NAME).host == f"http://{place.upstream.address}"
        assert "TLS failed: " in str(client.endpoints("reg.test").transports[0].trouble[""])
        assert "give its ca in hosts.toml" in str(client.endpoints("reg.test").transports[0].trouble[""])
        place.configure(place.table(f"http://{real.address}", f'ca = "{real.ca}"'))
        assert place.client().resolve(NAME).host == f"https://{real.address}"


def test_plain_http_with_tls_settings_falls_back_to_it(place: Place) -> None:
    place.configure(place.table(place.mirror, "skip_verify = true"))
    assert place.pull() == ("mirror", "mirror")


def test_client_certificates(place: Place, tmp_path: pathlib.Path) -> None:
    ca, certificate, key = make_ca(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ca)
    with fake_registry(context) as strict:
        strict.contents = place.mirror.contents
        url = f"https://{strict.address}"
        place.configure(place.table(url, f'ca = "{ca}"\nclient = [["{certificate}", "{key}"]]'))
        assert place.client().resolve(NAME).host == url
        place.configure(place.table(url, f'ca = "{ca}"'))
        assert place.client().resolve(NAME).host == f"http://{place.upstream.address}"


def test_a_certificate_for_another_name(place: Place, tmp_path: pathlib.Path) -> None:
    ca, certificate, key = make_ca(tmp_path, "IP:127.0.0.9,DNS:other.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with fake_registry(context) as other:
        other.contents = place.mirror.contents
        place.configure(place.table(f"https://{other.address}", f'ca = "{ca}"'))
        client = place.client()
        assert client.resolve(NAME).host == f"http://{place.upstream.address}"
        assert "127.0.0.1" in str(client.endpoints("reg.test").transports[0].trouble[""])
        assert other.seen == []


@pytest.mark.parametrize("line", ['ca = "bad.pem"', 'client = "bad.pem"'])
def test_certificates_that_are_none(place: Place, line: str) -> None:
    (place.directory / "bad.pem").write_text("no certificate")
    place.configure(place.table(place.mirror, line))
    with pytest.raises(InvalidArgument, match=r"bad\.pem: no .*certificate.* can be read from it"):
        place.client().document(NAME)


def test_without_mirrors_an_error_is_as_it_was(place: Place) -> None:
    name = Reference.parse(f"{place.upstream.address}/nothing:1")
    with pytest.raises(EngineError) as caught:
        place.client(plain_http=True).document(name)
    assert "none of the" not in str(caught.value)
    assert not isinstance(caught.value, RegistryError)
