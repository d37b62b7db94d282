# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry in this process, with faults: what it does with each request is a list of scripted answers."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.server
import itertools
import json
import pathlib
import socket
import ssl
import struct
import termios
import threading
import time
import typing as t
import urllib.parse

from .waiting import until

Answer = t.Callable[["Handler"], t.Optional[bool]]


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection. The server's faults are answered first, in order; then the contents."""

    protocol_version = "HTTP/1.1"
    server: FakeRegistry

    def log_message(self, *arguments: t.Any) -> None:
        """Silence."""

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def read_body(self, count: int = -1) -> bytes:
        """The body of the request, or its first bytes."""
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length if count < 0 else min(count, length))

    def _serve(self) -> None:
        self.server.seen.append((self.command, self.path, dict(self.headers)))
        fault = self.server.take_fault(self.path)
        if fault and fault(self) is not False:
            return
        guard = self.server.guard
        if guard and not guard(self):
            return
        if "/blobs/uploads/" in self.path:
            self._upload()
            return
        if self.command == "PUT":
            body = self.read_body()
            for path in (self.path, f"{self.path.rpartition('/')[0]}/sha256:{hashlib.sha256(body).hexdigest()}"):
                self.server.contents[path] = (body, self.headers["Content-Type"])
            self.answer(201)
            return
        found = self.server.contents.get(self.path.partition("?")[0])
        if found is None:
            self.answer(404, b'{"errors":[{"code":"NAME_UNKNOWN","message":"not here"}]}')
            return
        data, media_type = found
        start = 0
        asked = self.headers.get("Range")
        if asked and self.server.ranges:
            start = int(asked[6:].rstrip("-"))
        headers = {"Docker-Content-Digest": "sha256:" + hashlib.sha256(data).hexdigest()}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.answer(206 if start else 200, data[start:], media_type, headers)

    def _upload(self) -> None:
        """Uploads as the specification has them; their locations are relative, and change with each answer."""
        base, name = self.path.partition("?")[0].split("/blobs/uploads/")
        uploads = self.server.uploads
        if self.command == "POST" and self._mount(base):
            return
        if self.command == "POST":
            name = str(next(self.server.numbers))
            uploads[name] = bytearray()
            self.answer(202, headers={"Location": f"{base}/blobs/uploads/{name}?state=0"})
            return
        name = name.partition("/")[0]
        if name not in uploads:
            self.answer(404, b'{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}')
            return
        data = uploads[name]
        if self.command == "PATCH" and not self.headers["Content-Range"].startswith(f"{len(data)}-"):
            self.read_body()
            self.answer(416)
            return
        if self.command in ("PATCH", "PUT"):
            data += self.read_body()
        if self.command == "PUT":
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            if f"digest={digest}" not in self.path:
                self.answer(400, b'{"errors":[{"code":"DIGEST_INVALID"}]}')
                return
            self.server.contents[f"{base}/blobs/{digest}"] = (bytes(uploads.pop(name)), "application/octet-stream")
            self.answer(201, headers={"Docker-Content-Digest": digest})
            return
        headers = {"Location": f"{base}/blobs/uploads/{name}?state={len(data)}", "Range": f"0-{max(0, len(data) - 1)}"}
        self.answer(204 if self.command == "GET" else 202, headers=headers)

    def _mount(self, base: str) -> bool:
        """Take a blob over from another repository, where the request asks for that and it is there."""
        asked = dict(urllib.parse.parse_qsl(self.path.partition("?")[2]))
        found = self.server.contents.get(f"/v2/{asked.get('from')}/blobs/{asked.get('mount')}")
        if found:
            self.server.contents[f"{base}/blobs/{asked['mount']}"] = found
            self.answer(201, headers={"Docker-Content-Digest": asked["mount"]})
        return bool(found)

    def answer(self, status: int, body: bytes = b"", media_type: str = "application/json", headers: t.Any = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        if self.command in ("PATCH", "PUT", "POST"):
            self.close_connection = True  # what is left of a body that nobody has read

    def reset(self) -> None:
        """Break the connection hard."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wfile.flush()
        self.connection.close()
        self.close_connection = True


class FakeRegistry(http.server.ThreadingHTTPServer):
    """contents: path to (bytes, media type). faults: (part of a path, answer), each used once. seen: all requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.contents: t.Dict[str, t.Tuple[bytes, str]] = {}
        self.faults: t.List[t.Tuple[str, Answer]] = []
        self.seen: t.List[t.Tuple[str, str, t.Dict[str, str]]] = []
        self.guard: t.Optional[t.Callable[[Handler], bool]] = None
        self.ranges = True
        self.uploads: t.Dict[str, bytearray] = {}
        self.numbers = itertools.count(1)
        self._lock = threading.Lock()

    def take_fault(self, path: str) -> t.Optional[Answer]:
        """The first one for a path. Requests come at the same time, and each fault is used once."""
        with self._lock:
            for number, (wanted, fault) in enumerate(self.faults):
                if wanted in path:
                    del self.faults[number]
                    return fault
        return None

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that goes away is no news."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def push(self, layout: pathlib.Path, descriptor: t.Mapping[str, t.Any], repository: str, tag: str) -> str:
        """Have what descriptor names in an OCI layout; the digest."""

        def read(blob: t.Mapping[str, t.Any]) -> bytes:
            return (layout / "blobs" / "sha256" / str(blob["digest"])[7:]).read_bytes()

        document = json.loads(read(descriptor))
        for child in document.get("manifests", ()):
            self.push(layout, child, repository, str(child["digest"]))
        for blob in [document[key] for key in ("config",) if key in document] + document.get("layers", []):
            self.contents[f"/v2/{repository}/blobs/{blob['digest']}"] = (read(blob), "application/octet-stream")
        for name in (tag, descriptor["digest"]):
            self.contents[f"/v2/{repository}/manifests/{name}"] = (read(descriptor), str(descriptor["mediaType"]))
        return str(descriptor["digest"])

    def manifest(self, name: str) -> t.Dict[str, t.Any]:
        """The document of a repository:tag."""
        return t.cast(t.Dict[str, t.Any], json.loads(self._manifest(name)))

    def digest(self, name: str) -> str:
        """What a repository:tag stands for."""
        return "sha256:" + hashlib.sha256(self._manifest(name)).hexdigest()

    def _manifest(self, name: str) -> bytes:
        return self.contents["/v2/{}/manifests/{}".format(*name.split(":"))][0]

    def sent(self, header: str) -> t.List[str]:
        """The values of a header in all requests that had it."""
        return [headers[header] for _method, _path, headers in self.seen if header in headers]


@contextlib.contextmanager
def fake_registry(tls: t.Optional[ssl.SSLContext] = None) -> t.Iterator[FakeRegistry]:
    server = FakeRegistry()
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


# Faults


def status(code: int, **headers: str) -> Answer:
    return lambda at: at.answer(code, b"", headers={key.replace("_", "-"): value for key, value in headers.items()})


def reset_after(count: int, data: bytes) -> Answer:
    """Announce all of data, send count bytes of it, and break the connection."""

    def answer(at: Handler) -> None:
        at.send_response(200)
        at.send_header("Content-Length", str(len(data)))
        at.end_headers()
        at.wfile.write(data[:count])
        # What has not been taken yet would be lost.
        until(lambda: fcntl.ioctl(at.connection, termios.TIOCOUTQ, bytes(4)) == bytes(4))
        at.reset()

    return answer


def stall_after(count: int, data: bytes, seconds: float) -> Answer:
    def answer(at: Handler) -> None:
        at.send_response(200)
        at.send_header("Content-Length", str(len(data)))
        at.end_headers()
        at.wfile.write(data[:count])
        at.wfile.flush()
        time.sleep(seconds)
        at.close_connection = True

    return answer


def endless(at: Handler) -> None:
    at.send_response(200)
    at.send_header("Transfer-Encoding", "chunked")
    at.end_headers()
    with contextlib.suppress(OSError):
        for _block in range(20_000):
            at.wfile.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    at.close_connection = True


def break_upload_after(count: int) -> Answer:
    """Take count bytes of a body into the upload, and break the connection."""

    def answer(at: Handler) -> None:
        name = at.path.partition("?")[0].rpartition("/")[2]
        at.server.uploads[name] += at.read_body(count)
        at.reset()

    return answer


def redirect(target: str) -> Answer:
    return lambda at: at.answer(307, headers={"Location": target})
