# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a registry may keep a task waiting, whom its certificate may be from, and who is reached without a proxy."""

from __future__ import annotations

import json
import os
import pathlib
import ssl
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import RegistryError, Unavailable
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.plugins.module_utils.oci.media_types import OCI_LAYER, OCI_MANIFEST
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference
from ansible_collections.fleet.containerd.plugins.module_utils.registry.client import RegistryClient, RegistryOptions
from ansible_collections.fleet.containerd.plugins.module_utils.registry.download import FetchOptions
from ansible_collections.fleet.containerd.plugins.module_utils.registry.sessions import proxies
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry, fake_registry, stall_after, status
from ansible_collections.fleet.containerd.tests.support.registry import make_ca

BLOB = os.urandom(3000)
LAYER = Descriptor(OCI_LAYER, Digest.of(BLOB), len(BLOB))
PATH = f"/v2/app/blobs/{LAYER.digest}"
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": {}, "layers": []}).encode()


@pytest.fixture
def registry() -> t.Iterator[FakeRegistry]:
    with fake_registry() as found:
        found.contents["/v2/app/manifests/1"] = (MANIFEST, OCI_MANIFEST)
        found.contents[PATH] = (BLOB, "application/octet-stream")
        yield found


def client(**options: t.Any) -> RegistryClient:
    return RegistryClient(RegistryOptions(**{"plain_http": True, "retry_delay": 0.01, "progress_timeout": 5.0, **options}))


def name(registry: FakeRegistry, rest: str = "app:1") -> Reference:
    return Reference.parse(f"{registry.address}/{rest}")


def fetched(registry: FakeRegistry) -> bytes:
    return b"".join(client().fetch(name(registry), LAYER))


@pytest.mark.parametrize(
    ("value", "words"), [("86400", "24 hours"), ("7200", "2 hours"), ("200", "3 minutes"), ("90", "90 seconds")]
)
@pytest.mark.parametrize("what", ["/manifests/", PATH], ids=["manifest", "blob"])
def test_a_registry_that_wants_to_be_left_alone_for_long(registry: FakeRegistry, value: str, words: str, what: str) -> None:
    registry.faults.append((what, status(429, Retry_After=value)))
    started = time.monotonic()
    with pytest.raises(Unavailable, match=f"HTTP 429.*: it asks to wait for {words}: run the task again after that"):
        client().document(name(registry)) if what != PATH else fetched(registry)
    assert time.monotonic() - started < 30
    assert len(registry.seen) == 1


def test_a_stall_is_noticed_by_default_within_a_minute_and_ends_within_minutes() -> None:
    options = RegistryOptions()
    pauses = sum(options.retry_delay * 2**number * 1.5 for number in range(options.retries))
    assert options.progress_timeout <= 60
    assert (options.retries + 1) * options.progress_timeout + pauses < 240
    assert FetchOptions().timeout == options.progress_timeout


def test_a_registry_that_stalls_is_tried_again_for_one_request_only(registry: FakeRegistry) -> None:
    """So that many blobs, or many images, do not hold a task for the tries of each."""
    stalled = client(retries=2, progress_timeout=1)
    registry.faults += [("/manifests/", stall_after(10, MANIFEST, 20))] * 3 + [(PATH, stall_after(0, BLOB, 20))]
    with pytest.raises(Unavailable, match="timed out.*tried 3 times"):
        stalled.document(name(registry))
    with pytest.raises(Unavailable, match="timed out"):
        list(stalled.fetch(name(registry), LAYER))
    assert len(registry.seen) == 4
    assert stalled.document(name(registry)).body == MANIFEST
    registry.faults += [(PATH, stall_after(0, BLOB, 20))] * 2
    assert b"".join(stalled.fetch(name(registry), LAYER)) == BLOB


def test_authorities_are_those_of_the_host(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Not those of certifi, which comes with requests from PyPI: what an administrator has installed counts."""
    ca, certificate, key = make_ca(tmp_path)
    host_store = tmp_path / "store.pem"
    host_store.write_bytes(pathlib.Path(ca).read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with fake_registry(context) as secure:
        secure.contents["/v2/app/manifests/1"] = (MANIFEST, OCI_MANIFEST)
        with pytest.raises(RegistryError, match="TLS failed"):
            client(plain_http=False).document(name(secure))
        monkeypatch.setenv("SSL_CERT_FILE", str(host_store))
        assert client(plain_http=False).document(name(secure)).body == MANIFEST
        monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(host_store))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
        with pytest.raises(RegistryError, match="TLS failed"):
            client(plain_http=False).document(name(secure))


@pytest.mark.parametrize(
    ("exempt", "host", "direct"),
    [
        ("10.0.0.0/8", "10.1.2.3:5000", True),
        ("10.0.0.0/8", "11.1.2.3:5000", False),
        ("10.0.0.0/8", "ten.test", False),
        ("fd00::/8", "[fd00::1]:5000", True),
        ("a.test, 192.168.0.0/16 ,b.test", "192.168.9.9", True),
        ("10.0.0.0/99", "10.1.2.3", False),
        ("10.1.2.3/8", "10.9.9.9", True),
        (".a.test", "x.a.test", True),
        ("a.test:5000", "a.test:5000", True),
        ("a.test:5000", "a.test:5001", False),
        ("*", "a.test", True),
        ("", "a.test", False),
    ],
)
def test_hosts_without_a_proxy(exempt: str, host: str, direct: bool) -> None:
    options = RegistryOptions(https_proxy="http://proxy.test:3128", no_proxy=exempt)
    assert proxies(f"https://{host}/v2/", options) == ({} if direct else {"https": "http://proxy.test:3128"})
