# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A web server for one file, whose faults are chosen."""

from __future__ import annotations

import contextlib
import http.server
import re
import ssl
import threading
import time
import typing as t


class Web:
    """data: the file's bytes, at any path. breaks: after how many bytes of each coming answer the connection is closed.

    statuses: what the coming requests are answered with before that, with retry_after. ranges: whether Range is honoured. redirect: a
    Location. announces: whether the length is told. drip: seconds between single bytes.
    """

    def __init__(self, data: bytes) -> None:
        self.data, self.url, self.redirect = data, "", ""
        self.breaks: t.List[int] = []
        self.statuses: t.List[int] = []
        self.ranges = self.announces = True
        self.retry_after, self.drip = "", 0.0
        self.requests: t.List[str] = []


class _Handler(http.server.BaseHTTPRequestHandler):
    web: Web

    def do_GET(self) -> None:
        web = self.web
        web.requests.append(self.headers.get("Range") or "all")
        status = web.statuses.pop(0) if web.statuses else 0
        if status or web.redirect:
            self.send_response(status or 302)
            self.send_header("Location", web.redirect)
            if web.retry_after:
                self.send_header("Retry-After", web.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        found = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(found.group(1)) if found and web.ranges else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(web.data) - 1}/{len(web.data)}")
        if web.announces:
            self.send_header("Content-Length", str(len(web.data) - start))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            for number in range(200 if web.drip else 0):
                self.wfile.write(web.data[start + number : start + number + 1])
                time.sleep(web.drip)
        end = start + web.breaks.pop(0) if web.breaks else len(web.data)
        with contextlib.suppress(ConnectionError):
            self.wfile.write(web.data[start:end])
        self.close_connection = True

    def log_message(self, *arguments: t.Any) -> None:
        """Says nothing."""


@contextlib.contextmanager
def running_web(data: bytes, certificate: t.Tuple[str, str] = ("", "")) -> t.Iterator[Web]:
    """A server on loopback; certificate and its key: with TLS."""
    web = Web(data)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"web": web}))
    if certificate[0]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    web.url = f"http{'s' if certificate[0] else ''}://127.0.0.1:{server.server_address[1]}/images/a.tar?token=secret"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
