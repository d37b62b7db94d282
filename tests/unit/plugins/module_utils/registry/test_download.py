# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads of archives: against a server that fails in every way."""

from __future__ import annotations

import os
import pathlib
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    DataLoss,
    EngineError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RegistryError,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mount, unmount
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.plugins.module_utils.registry.download import FetchOptions, check_url, download
from ansible_collections.fleet.containerd.tests.support.registry import make_ca
from ansible_collections.fleet.containerd.tests.support.web import Web, running_web

DATA = os.urandom(1_000_000)
CHECKSUM = Digest.of(DATA)
QUICK = FetchOptions(retry_delay=0.01, timeout=5)


@pytest.fixture
def web() -> t.Iterator[Web]:
    with running_web(DATA) as running:
        yield running


def test_a_download(web: Web, tmp_path: pathlib.Path) -> None:
    with download(web.url, CHECKSUM, QUICK, str(tmp_path)) as stream:
        assert stream.read() == DATA
    assert os.listdir(tmp_path) == []
    assert web.requests == ["all"]


def test_a_broken_download_goes_on_where_it_stopped(web: Web) -> None:
    web.breaks = [400_000, 300_000]
    with download(web.url, CHECKSUM, QUICK) as stream:
        assert stream.read() == DATA
    assert web.requests == ["all", "bytes=400000-", "bytes=700000-"]


def test_a_server_that_cannot_go_on_is_asked_anew(web: Web) -> None:
    web.breaks, web.ranges = [400_000], False
    with download(web.url, CHECKSUM, QUICK) as stream:
        assert stream.read() == DATA


def test_a_server_that_is_down_for_a_moment(web: Web) -> None:
    web.statuses = [503, 429]
    with download(web.url, CHECKSUM, QUICK) as stream:
        assert stream.read() == DATA
    web.statuses = [500] * 9
    with pytest.raises(Unavailable, match="answers HTTP 500"):
        download(web.url, CHECKSUM, QUICK)
    assert len(web.statuses) == 5


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, NotFound), (410, NotFound), (403, PermissionDenied), (401, Unauthenticated), (418, InvalidArgument)],
)
def test_refusals(web: Web, status: int, kind: t.Type[EngineError]) -> None:
    web.statuses = [status]
    with pytest.raises(kind, match=rf"http://127.0.0.1:\d+/images/a.tar: the server answers HTTP {status}") as caught:
        download(web.url, CHECKSUM, QUICK)
    assert "secret" not in str(caught.value)
    assert web.requests == ["all"]


def test_another_checksum(web: Web, tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataLoss, match=rf"has the checksum {CHECKSUM} \(1000000 bytes\), not sha256:0000"):
        download(web.url, Digest("sha256:" + "0" * 64), QUICK, str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_redirects(web: Web, tmp_path: pathlib.Path) -> None:
    (tmp_path / "local").write_bytes(DATA)
    for target in (f"file://{tmp_path}/local", "ftp://127.0.0.1/x", "gopher://127.0.0.1/"):
        web.redirect = target
        with pytest.raises(EngineError):
            download(web.url, CHECKSUM, QUICK._replace(retries=0))
    with running_web(DATA) as other:
        web.redirect = other.url
        with download(web.url, CHECKSUM, QUICK) as stream:
            assert stream.read() == DATA
    web.redirect = web.url
    with pytest.raises(EngineError):
        download(web.url, CHECKSUM, QUICK._replace(retries=0))


def test_tls_is_not_left(tmp_path: pathlib.Path) -> None:
    ca, certificate, key = make_ca(tmp_path)
    with running_web(DATA) as plain, running_web(DATA, (certificate, key)) as secure:
        secure.redirect = plain.url
        with pytest.raises(RegistryError, match=r"redirects to http://127.0.0.1:\d+/images/a.tar, which is refused \(TLS must"):
            download(secure.url, CHECKSUM, QUICK._replace(ca_path=ca))
        assert plain.requests == []


def test_redirects_end(web: Web) -> None:
    web.redirect = web.url
    with pytest.raises(InvalidArgument, match="more than 5 redirects"):
        download(web.url, CHECKSUM, QUICK)


def test_a_server_that_drips_is_given_up(web: Web) -> None:
    web.drip = 0.02
    started = time.monotonic()
    with pytest.raises(Unavailable, match="too slow"):
        download(web.url, CHECKSUM, QUICK._replace(timeout=0.3, retries=1))
    assert time.monotonic() - started < 5
    assert len(web.requests) == 2


def test_single_bytes_are_no_progress(web: Web) -> None:
    web.breaks = [1] * 9
    with pytest.raises(Unavailable, match="bytes early"):
        download(web.url, CHECKSUM, QUICK)
    assert len(web.requests) == 4


def test_a_server_that_wants_to_be_left_alone_for_hours(web: Web) -> None:
    web.statuses, web.retry_after = [429], "7300"
    with pytest.raises(Unavailable, match=r"HTTP 429: it asks to wait for 2 hours: run the task again after that"):
        download(web.url, CHECKSUM, QUICK)


@pytest.mark.parametrize("announced", [True, False])
def test_a_download_does_not_fill_the_disk(web: Web, tmp_path: pathlib.Path, announced: bool) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("tmpfs", "tmpfs", str(disk), ["size=900k"])
    try:
        web.announces = announced
        with pytest.raises(ResourceExhausted, match="do not fit on the disk"):
            download(web.url, CHECKSUM, QUICK, str(disk))
        assert web.requests == ["all"]
    finally:
        unmount(str(disk))


def test_nobody_there() -> None:
    with pytest.raises(Unavailable, match="http://127.0.0.1:1/x: the transfer broke off: .*refused"):
        download("http://127.0.0.1:1/x", CHECKSUM, QUICK)


def test_tls(tmp_path: pathlib.Path) -> None:
    ca, certificate, key = make_ca(tmp_path)
    with running_web(DATA, (certificate, key)) as web:
        with pytest.raises(InvalidArgument, match="TLS failed: .*give ca_path"):
            download(web.url, CHECKSUM, QUICK)
        for options in (QUICK._replace(ca_path=ca), QUICK._replace(validate_certs=False)):
            with download(web.url, CHECKSUM, options) as stream:
                assert stream.read() == DATA


@pytest.mark.parametrize("url", ["http://", "https:///x", "http://user:word@host/x", "http://[::1/x", "http://host:99999/x"])
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(InvalidArgument, match="^path: ") as caught:
        check_url(url)
    assert "word" not in str(caught.value).replace("password", "")
