# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of a distribution on a host: pulls the images of its part, and serves them to the other hosts (docs/adr/0050).

It reads what it needs from its standard input, prints a line when others can reach it, and ends by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import typing as t

from ...errors import EngineError, Unavailable, from_os_error
from ...image.inspect import is_stored
from ...image.pull import Job, Progress, Puller
from ...kernel.engines import EngineOptions, open_engine
from ...oci.platform import Platform
from ...registry.options import RegistryOptions
from ...relay.part import Part, control_address, is_ours
from ...relay.peers import REGISTRY, Peers
from ...relay.server import Server, listen
from ...relay.shelf import Shelf
from ...relay.source import NeighbourSource
from ..registry.client import registry_client

if t.TYPE_CHECKING:
    import ssl

    from ...engine.api import Engine

#: How long after the last request of another host it ends, when its result was fetched and the end of its chain is gone; and in any case,
#: with what Ansible needs for each host until it has fetched the last result.
_ANSWERED_SECONDS = 5.0
ALONE_SECONDS, ALONE_SECONDS_A_HOST = 60.0, 0.5
_LOOK_SECONDS, _TELL_SECONDS = 0.2, 1.0
#: How often it asks whether the end of its chain is there still: all hosts of the play ask the same few ones.
_NEEDED_SECONDS, _NEEDED_SECONDS_A_HOST = 0.5, 0.01
#: How long a registry has to answer that is only tried.
_HASTY_SECONDS = 2.0
#: How long an image waits that another task is writing (seconds between tries).
_PAUSE = 1.0


def main() -> None:
    """standard input: JSON with engine, registry (options), todo (names of images to pull), max_parallel, alone (seconds) and part."""
    request = json.load(sys.stdin)
    part = Part.from_json(request["part"])
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    status = 1
    try:
        with contextlib.closing(open_engine(EngineOptions(**request["engine"]))) as engine:
            relay = Relay(engine, part, request)
            os.write(1, b"ready\n")
            null = os.open("/dev/null", os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(null, 1)
            relay.run()
            status = 0
    except EngineError as error:
        with contextlib.suppress(OSError):
            os.write(1, f"failed {error}\n".encode())
    # Threads that still wait for others end with us.
    os._exit(status)


class Fetching:
    """The pulls of a host. request: what main() reads."""

    def __init__(self, engine: Engine, part: Part, request: t.Mapping[str, t.Any]) -> None:
        self._engine, self._part, self._request = engine, part, request
        there = [digest for digest in part.blobs if is_stored(engine.content, digest)]
        self.shelf = Shelf(engine.content, part.blobs, there, part.piece, part.secret)
        self.peers = Peers(part, contexts(part)[1])
        self._puller: t.Optional[Puller] = None
        self.began = time.monotonic()

    def run(self) -> t.Dict[str, t.Any]:
        """All of them. The result, also of a failure."""
        images: t.List[t.Dict[str, t.Any]] = []
        try:
            self._pull_all(images)
        except EngineError as error:
            return self.result({"images": images, "failed": True, "msg": str(error), "error": type(error).__name__})
        return self.result({"images": images})

    def result(self, more: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
        """As it is now."""
        return {
            "bytes": sum(self.peers.bytes.values()),
            "bytes_from": dict(sorted(self.peers.bytes.items())),
            "bytes_from_registry": self.peers.bytes.get(REGISTRY, 0),
            "fallbacks": list(self.peers.fallbacks),
            "seconds": round(time.monotonic() - self.began, 3),
            **more,
        }

    def progress(self) -> t.List[Progress]:
        """Of the images that are to come."""
        return self._puller.progress() if self._puller else []

    @property
    def fetched(self) -> int:
        """How many bytes have come so far."""
        return self._puller.fetched if self._puller else 0

    def _pull_all(self, images: t.List[t.Dict[str, t.Any]]) -> None:
        options = RegistryOptions(**self._request["registry"])
        registry, hasty = registry_client(options), registry_client(options._replace(retries=0, progress_timeout=_HASTY_SECONDS))
        sources = {
            str(one.name): NeighbourSource(self._part, one, self.shelf, self.peers, registry, hasty) for one in self._part.images
        }
        todo = [Job(sources[name], (Platform.host(),)) for name in self._request["todo"]]
        with contextlib.closing(registry), contextlib.closing(hasty):
            while todo:
                try:
                    with Puller(self._engine, todo, "", self._request["max_parallel"]) as puller:
                        self._puller = puller
                        while todo:
                            pulled = puller.pull(todo[0])
                            name, digest = todo[0].source.name, pulled.image.target.digest
                            images.append({"name": str(name), "digest": str(digest), **pulled.facts()})
                            todo = todo[1:]
                except Unavailable as error:
                    # Another task has the blob in its hands; it will be there afterwards.
                    if "another process" not in str(error):
                        raise
                    time.sleep(_PAUSE)


class Relay:
    """The process. It listens from the beginning: Unavailable when no port is free."""

    def __init__(self, engine: Engine, part: Part, request: t.Mapping[str, t.Any]) -> None:
        self._part, self._alone = part, float(request["alone"])
        self._fetching = Fetching(engine, part, request)
        own = part.peers[part.me]
        self._control = _listen_for_results(control_address(part.id, part.me))
        self._server = Server(listen(own.address, own.port), self._fetching.shelf, part.me, part.secret, contexts(part)[0])
        self._server.slow = lambda: self._fetching.peers.slow
        self._server.told = self._fetching.peers.be_slow
        self._done: t.Optional[float] = None
        self._answered = False
        #: Who asked for the result went before it was there.
        self._deserted = False
        self._result: t.Dict[str, t.Any] = {}
        self._asked = 0.0

    def run(self) -> None:
        """Until nobody needs us any more."""
        self._server.start()
        for work in (self._pull, self._answer):
            threading.Thread(target=work, daemon=True).start()
        while not self._over():
            time.sleep(_LOOK_SECONDS)
        self._server.close()

    def _over(self) -> bool:
        now = time.monotonic()
        if now - self._fetching.began > self._part.timeout:
            if self._done is None:
                late = f"timeout: the images have not come within {self._part.timeout:g} s"
                self._finish(self._fetching.result({"images": [], "failed": True, "msg": late}))
                time.sleep(_LOOK_SECONDS)
            return True
        if self._done is None:
            return False
        idle = now - max(self._server.busy, self._done)
        return idle > self._alone or ((self._answered or self._deserted) and idle > _ANSWERED_SECONDS and not self._needed())

    def _needed(self) -> bool:
        """Whether somebody at the end of a chain is there still: who loses its source comes to us."""
        if time.monotonic() - self._asked < _NEEDED_SECONDS + _NEEDED_SECONDS_A_HOST * self._part.hosts:
            return True
        self._asked = time.monotonic()
        return any(self._fetching.peers.listens(one) for one in {number for image in self._part.images for number in image.last})

    def _pull(self) -> None:
        failed = {"images": [], "failed": True, "msg": "the process of the distribution failed"}
        result: t.Optional[t.Dict[str, t.Any]] = None
        try:
            result = self._fetching.run()
        finally:
            self._finish(result or self._fetching.result(failed))

    def _finish(self, result: t.Dict[str, t.Any]) -> None:
        for blob in self._fetching.shelf.blobs():
            blob.fail()
        self._result = result
        self._done = time.monotonic()

    # The result

    def _answer(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                connection, _address = self._control.accept()
                threading.Thread(target=self._tell, args=(connection,), daemon=True).start()

    def _tell(self, connection: socket.socket) -> None:
        """A line with the progress every second, and the result as the last one. Only root is told."""
        with contextlib.suppress(OSError), connection:
            if not is_ours(connection):
                return
            told = time.monotonic()
            while self._done is None:
                if select.select([connection], [], [], _LOOK_SECONDS / 4)[0]:
                    # Whoever asked is gone, and perhaps the controller.
                    self._deserted = True
                    return
                if time.monotonic() - told > _TELL_SECONDS:
                    told = time.monotonic()
                    rows = [one._asdict() for one in self._fetching.progress()]
                    _say(connection, {"progress": rows, "fetched": self._fetching.fetched})
            _say(connection, self._result)
            self._answered = True


def _say(connection: socket.socket, document: t.Mapping[str, t.Any]) -> None:
    connection.sendall(json.dumps(document).encode() + b"\n")


def contexts(part: Part) -> t.Tuple[t.Optional[ssl.SSLContext], t.Optional[ssl.SSLContext]]:
    """For serving and for asking; None without TLS. Both sides must have the certificate of the play, whatever their names are."""
    if not part.certificate:
        return None, None
    import ssl

    made = []
    fd = os.memfd_create("certificate", os.MFD_CLOEXEC)
    with open(fd, "wb") as stream:
        stream.write(f"{part.certificate}\n{part.key}\n".encode())
        stream.flush()
        for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
            context = ssl.SSLContext(protocol)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.check_hostname = False
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=part.certificate)
            context.load_cert_chain(f"/proc/self/fd/{stream.fileno()}")
            made.append(context)
    return made[0], made[1]


def _listen_for_results(address: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(address)
        made.listen(8)
    except OSError as error:
        made.close()
        raise from_os_error(error, "listening for the task that waits") from error
    return made
