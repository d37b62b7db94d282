# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong once between a registry and us, and where registries send us: the image comes all the same, exact."""

from __future__ import annotations

import email.utils
import gzip
import pathlib
import socket
import threading
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.attack import Ground, attacked_ground, listing, text
from ansible_collections.fleet.containerd.tests.support.fake_registry import Answer, Handler, status
from ansible_collections.fleet.containerd.tests.support.hostile_registries import (
    CHUNKED,
    NOISE,
    OK,
    blob,
    body,
    chunks,
    honest,
    raw,
)

Prepare = t.Callable[[Ground], t.Any]


@pytest.fixture
def ground(tmp_path: pathlib.Path) -> t.Iterator[Ground]:
    with attacked_ground(tmp_path) as made:
        yield made


def once(wanted: str, *answers: Answer) -> Prepare:
    """The first requests for wanted (BLOB: the layer) get these answers."""

    def prepare(ground: Ground) -> None:
        path = blob(ground)
        ground.registry.faults += [(path if wanted == "BLOB" else wanted, answer) for answer in answers]

    return prepare


def cut(count: int, head: bytes = OK, announced: bool = True) -> Answer:
    """The beginning of the layer, and then the connection ends or is reset."""

    def answer(at: Handler) -> None:
        data = at.server.contents[at.path][0]
        raw(head + (b"Content-Length: %d\r\n" % len(data) if announced else b"") + b"\r\n" + data[:count])(at)
        if count % 2:
            time.sleep(0.05)
            at.reset()

    return answer


def stalled(at: Handler) -> None:
    data = at.server.contents[at.path][0]
    raw(OK + b"Content-Length: %d\r\n\r\n" % len(data) + data[:1000], 1.5)(at)


def half_a_chunk(at: Handler) -> None:
    raw(CHUNKED + chunks(at.server.contents[at.path][0], 50_000)[:120_000])(at)


def in_chunks(at: Handler) -> None:
    raw(CHUNKED + chunks(at.server.contents[at.path][0], 7_000) + b"0\r\nX-Trailer: x\r\n\r\n")(at)


def without_length(at: Handler) -> None:
    raw(b"HTTP/1.0 200 OK\r\n\r\n" + at.server.contents[at.path][0])(at)


def flipped(at: Handler) -> None:
    data = at.server.contents[at.path][0]
    at.answer(200, data[:5000] + b"?" + data[5001:], "application/octet-stream")


def refused_range(code: int) -> Prepare:
    """The transfer breaks off, and a range is answered in a way of its own."""

    def answer(at: Handler) -> t.Optional[bool]:
        if "Range" not in at.headers:
            return False
        at.answer(code, b"", headers={"Content-Range": "bytes 3-9/10"})
        return None

    return once("BLOB", cut(100_001), answer)


def without_ranges(ground: Ground) -> None:
    once("BLOB", cut(100_001))(ground)
    ground.registry.ranges = False


def shorter_ranges(ground: Ground) -> None:
    """As much of a range as the server likes to send."""

    def answer(at: Handler) -> t.Optional[bool]:
        if "Range" not in at.headers:
            return False
        start, data = int(at.headers["Range"][6:].rstrip("-")), at.server.contents[at.path][0]
        part = data[start : start + 60_000]
        at.answer(206, part, headers={"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(data)}"})
        return None

    once("BLOB", cut(100_001), answer, answer)(ground)


def elsewhere(code: int, relative: bool = False) -> Prepare:
    def prepare(ground: Ground) -> None:
        path = blob(ground)
        place = ground.registry if relative else ground.elsewhere
        place.contents["/cdn/layer"] = ground.registry.contents[path]
        target = "/cdn/layer?signed=1" if relative else f"http://{ground.elsewhere.address}/cdn/layer"
        ground.registry.guard = lambda at: path not in at.path or bool(at.answer(code, headers={"Location": target}))

    return prepare


def cut_elsewhere(ground: Ground) -> None:
    """Where a redirect leads, the transfer breaks off: it goes on there."""
    elsewhere(307)(ground)
    ground.elsewhere.faults += [("/cdn", cut(150_001)), ("/cdn", status(503))]


def expired_token(ground: Ground) -> None:
    """Tokens that are good for one request each."""
    honest(ground)
    given: t.List[str] = []

    def service(at: Handler) -> bool:
        given.append(f"token-{len(given)}")
        at.answer(200, b'{"token":"%s"}' % given[-1].encode())
        return False

    def guard(at: Handler) -> bool:
        if given and at.headers.get("Authorization") == f"Bearer {given[-1]}":
            given.append("used")
            return True
        realm = f"http://{ground.elsewhere.address}/token"
        at.answer(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="x"'})
        return False

    ground.registry.guard, ground.elsewhere.guard = guard, service


def token_service_busy(ground: Ground) -> None:
    expired_token(ground)
    ground.elsewhere.faults += [("/", status(503)), ("/", lambda at: at.reset())]


def packed_manifest(at: Handler) -> None:
    data, media_type = at.server.contents[at.path]
    at.answer(200, gzip.compress(data), media_type, {"Content-Encoding": "gzip"})


def bare_manifest(at: Handler) -> None:
    """No digest, no length, a media type with parameters."""
    data, media_type = at.server.contents[at.path]
    head = OK + f"Content-Type: {media_type}; charset=utf-8\r\nConnection: close\r\n\r\n".encode()
    raw(head + data)(at)


def half_a_manifest(at: Handler) -> None:
    data, media_type = at.server.contents[at.path]
    raw(OK + f"Content-Type: {media_type}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data[:50])(at)


def late(ground: Ground) -> None:
    """The registry is not up yet: its port is closed for a while."""
    honest(ground)
    # Its thread still waits at it: closed alone, it would listen for a moment more.
    ground.registry.socket.shutdown(socket.SHUT_RDWR)
    ground.registry.socket.close()
    # At once, so that nobody else is given the port: until it listens, it is closed.
    again = socket.socket()
    again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    again.bind(ground.registry.server_address)

    def come_back() -> None:
        time.sleep(0.3)
        again.listen()
        while True:
            try:
                ground.registry.process_request(*again.accept())
            except OSError:
                return

    threading.Thread(target=come_back, daemon=True).start()


def in_a_while(ground: Ground) -> None:
    moment = email.utils.formatdate(time.time() + 1.5, usegmt=True)
    once("BLOB", status(503, Retry_After=moment))(ground)


FAULTS: t.Dict[str, Prepare] = {
    "reset at once": once("/", lambda at: at.reset(), lambda at: at.reset()),
    "closed at once": once("/", raw(), raw()),
    "500": once("BLOB", status(500)),
    "502 and 503": once("/", status(502), status(503)),
    "504": once("BLOB", status(504), status(504)),
    "408": once("BLOB", status(408)),
    "429": once("/", status(429)),
    "429, in a second": once("BLOB", status(429, Retry_After="1")),
    "503, at a time": in_a_while,
    "a manifest that breaks off": once("/manifests/1", half_a_manifest),
    "a blob that breaks off": once("BLOB", cut(100_000)),
    "a blob that is reset": once("BLOB", cut(100_001)),
    "a blob that is reset again and again": once("BLOB", *[cut(50_001)] * 3),
    "a blob without a length that breaks off": once("BLOB", cut(100_000, announced=False)),
    "a chunk that breaks off": once("BLOB", half_a_chunk),
    "a stall": once("BLOB", stalled),
    "a stall before an answer": once("BLOB", raw(1.5)),
    "a bit that flips": once("BLOB", flipped),
    "the page of a proxy": once("BLOB", body(b"<html>log in</html>", media_type="text/html")),
    "an empty answer": once("BLOB", body(b"")),
    "no ranges": without_ranges,
    "a range that cannot be": refused_range(416),
    "another range": refused_range(206),
    "shorter ranges": shorter_ranges,
    "HTTP 301": elsewhere(301),
    "HTTP 302": elsewhere(302),
    "HTTP 303": elsewhere(303),
    "HTTP 307": elsewhere(307),
    "HTTP 308": elsewhere(308),
    "a relative redirect": elsewhere(307, relative=True),
    "a break behind a redirect": cut_elsewhere,
    "tokens that expire": expired_token,
    "a token service that is busy": token_service_busy,
    "a packed manifest": once("/manifests/1", packed_manifest),
    "a bare manifest": once("/manifests/1", bare_manifest),
    "a blob in chunks": once("BLOB", in_chunks),
    "HTTP 1.0": once("BLOB", without_length),
    "a registry that comes late": late,
}


def test_transient_faults(ground: Ground) -> None:
    lost = []
    for name, prepare in FAULTS.items():
        ground.reset()
        prepare(ground)
        found = ground.pull_here(retries=3, retry_delay=0.15 if prepare is late else 0.01)
        if found.failed:
            lost.append(f"{name}: {found.message}")
        elif listing(ground.tree()) != {"noise": text(NOISE)}:
            lost.append(f"{name}: not the image")
        elif found.seconds > 6 or found.requests > 14:
            lost.append(f"{name}: {found.seconds:.1f} s, {found.requests} requests")
    assert not lost, "\n".join(lost)
