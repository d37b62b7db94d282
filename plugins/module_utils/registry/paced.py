# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP answers with a time limit for each part: the headers, and every block of the body.

A socket's own time limit starts again with each byte: a server that sends one byte a minute, endless headers or trailers, or
chunks of one byte would hold us for ever. This works below requests and urllib3: their connections name the class of answers.
"""

from __future__ import annotations

import http.client
import io
import ssl
import time
import typing as t


class _Timed(io.RawIOBase):
    """The bytes that a socket receives until the time is over. It never reads to the end at once."""

    def __init__(self, source: io.RawIOBase, seconds: t.Optional[float]) -> None:
        super().__init__()
        self._source, self._seconds = source, seconds
        self.begin()

    def begin(self) -> None:
        """Begin the next part: its time starts now."""
        self._end = time.monotonic() + self._seconds if self._seconds else float("inf")

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._source.fileno()

    def readinto(self, buffer: t.Any) -> t.Optional[int]:
        if time.monotonic() > self._end:
            raise TimeoutError(f"too slow: less than a block in {self._seconds:g} s")
        return t.cast(t.Optional[int], self._source.readinto(buffer))

    def readall(self) -> bytes:
        raise ValueError("the length of the answer is not valid")

    def close(self) -> None:
        self._source.close()
        super().close()


class Response(http.client.HTTPResponse):
    """An answer whose time limit is the socket's read timeout when it begins."""

    def __init__(self, sock: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._timed = _Timed(self.fp.detach(), sock.gettimeout())
        self.fp = io.BufferedReader(self._timed)

    def read(self, amt: t.Optional[int] = None) -> bytes:
        self._timed.begin()
        return super().read(amt)


def new_adapter(context: ssl.SSLContext) -> t.Any:
    """An adapter for sessions of requests with such answers. It trusts the authorities of context and no others."""
    import requests
    import urllib3

    pools = {}
    for scheme, pool in (("http", urllib3.HTTPConnectionPool), ("https", urllib3.HTTPSConnectionPool)):
        connection = type("Connection", (pool.ConnectionCls,), {"response_class": Response})
        pools[scheme] = type("Pool", (pool,), {"ConnectionCls": connection})

    class Adapter(requests.adapters.HTTPAdapter):
        def init_poolmanager(self, *args: t.Any, **kwargs: t.Any) -> None:
            super().init_poolmanager(*args, **{**kwargs, "ssl_context": context})
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, proxy: t.Any, **kwargs: t.Any) -> t.Any:
            manager = super().proxy_manager_for(proxy, **{**kwargs, "ssl_context": context})
            if not str(proxy).lower().startswith("socks"):
                manager.pool_classes_by_scheme = pools
            return manager

        def build_connection_pool_key_attributes(self, request: t.Any, *args: t.Any, **kwargs: t.Any) -> t.Any:
            # From requests 2.32 on; 2.32.2 would set its own context here.
            where, _trust = super().build_connection_pool_key_attributes(request, *args, **kwargs)
            return where, {"ssl_context": context}

        def cert_verify(self, *args: t.Any, **kwargs: t.Any) -> None:
            """The parent's method would add the authorities of certifi to the context."""

    return Adapter(pool_connections=4, pool_maxsize=16, max_retries=0)
