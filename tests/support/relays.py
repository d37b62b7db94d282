# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A play of several hosts in one process: each has a store, and an address on loopback where its blobs can be asked for."""

from __future__ import annotations

import contextlib
import os
import pathlib
import threading
import time
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError, Unavailable
from ansible_collections.fleet.containerd.plugins.module_utils.image.inspect import is_stored
from ansible_collections.fleet.containerd.plugins.module_utils.image.pull import PullResult
from ansible_collections.fleet.containerd.plugins.module_utils.image.walk import Selection, walk
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform
from ansible_collections.fleet.containerd.plugins.module_utils.oci.reference import Reference
from ansible_collections.fleet.containerd.plugins.module_utils.relay.part import ImagePart, Part, Peer
from ansible_collections.fleet.containerd.plugins.module_utils.relay.peers import Peers
from ansible_collections.fleet.containerd.plugins.module_utils.relay.server import Server, listen
from ansible_collections.fleet.containerd.plugins.module_utils.relay.shelf import Shelf
from ansible_collections.fleet.containerd.plugins.module_utils.relay.source import NeighbourSource
from ansible_collections.fleet.containerd.plugins.module_utils.resources.image.relaying import contexts

from .client import LayoutClient, pull
from .images import Layout

NAME = Reference.parse("registry.test/team/app:1")
AMD64 = Platform("linux", "amd64")
SECRET = b"s" * 32


class SlowClient(LayoutClient):
    """A registry that sends in blocks, with pauses. rate: bytes a second, 0 for as fast as it can. gone: it does not answer."""

    rate, gone = 0.0, False

    def fetch(self, reference: Reference, descriptor: Descriptor, offset: int = 0) -> t.Iterator[bytes]:
        for data in super().fetch(reference, descriptor, offset):
            for begin in range(0, len(data), 4096):
                if self.gone:
                    raise Unavailable("the registry is gone")
                yield data[begin : begin + 4096]
                time.sleep(4096 / self.rate if self.rate else 0)


class Node:
    """A host of the play."""

    def __init__(self, base: pathlib.Path, play: Play, number: int, sources: t.Sequence[int], last: t.Sequence[int]) -> None:
        self.play, self.number, self.sources = play, number, sources
        self.engine = EmbeddedEngine("default", str(base / "data"), str(base / "state"), "native")
        self.registry = SlowClient(play.layout, play.top)
        self.server: t.Optional[Server] = None
        self.result: t.Union[PullResult, EngineError, None] = None
        part = play.part(number, sources, last)
        there = [digest for digest in part.blobs if is_stored(self.engine.content, digest)]
        self.shelf = Shelf(self.engine.content, part.blobs, there, part.piece, part.secret)
        self._server_tls, client_tls = contexts(part)
        self.peers = Peers(part, client_tls)
        self.part = part

    def serve(self) -> None:
        peer = self.part.peers[self.number]
        self.server = Server(listen(peer.address, peer.port), self.shelf, self.number, self.part.secret, self._server_tls)
        self.server.slow = lambda: self.peers.slow
        self.server.told = self.peers.be_slow
        self.server.start()

    def pull(self) -> None:
        """Fetch the image, and keep what came of it."""
        source = NeighbourSource(self.part, self.part.images[0], self.shelf, self.peers, self.registry, self.registry)
        try:
            self.result = pull(self.engine, source, AMD64)
        except EngineError as error:
            self.result = error
            for blob in self.shelf.blobs():
                blob.fail()

    @property
    def pulled(self) -> PullResult:
        assert isinstance(self.result, PullResult), self.result
        return self.result

    def close(self) -> None:
        if self.server:
            self.server.close()
        self.engine.close()


#: Workers of pytest-xdist run at the same time, and all have the same ports.
NET = f"127.77.{os.environ.get('PYTEST_XDIST_WORKER', 'gw0')[2:]}"


class Play:
    """The hosts are at NET.1 and so on. piece: bytes."""

    def __init__(
        self, base: pathlib.Path, layout: Layout, top: t.Mapping[str, t.Any], piece: int = 4096, port: int = 17746
    ) -> None:
        self.base, self.layout, self.top, self.piece, self.port = base, layout, top, piece, port
        self.nodes: t.List[Node] = []
        self.certificate, self.key = "", ""
        tree = walk(
            lambda one: layout.read({"digest": one.digest}), Descriptor.from_json(dict(top), "top"), Selection((AMD64,)).choose
        )
        blobs = {blob.digest: blob.size for blob in tree.blobs}
        configs = [manifest.config for _descriptor, manifest in tree.manifests]
        self.documents = {
            one.digest: layout.read({"digest": one.digest}) for one in [*(node.descriptor for node in tree.nodes), *configs]
        }
        self.blobs = {**blobs, **{digest: len(body) for digest, body in self.documents.items()}}
        self.layers = [layer for _descriptor, manifest in tree.manifests for layer in manifest.layers]

    def part(self, number: int, sources: t.Sequence[int], last: t.Sequence[int] = ()) -> Part:
        peers = {one: Peer(f"h{one}", f"{NET}.{one + 1}", self.port) for one in range(40)}
        image = ImagePart(NAME, Descriptor.from_json(dict(self.top), "top"), tuple(sources), tuple(last), 0)
        return Part(
            "play", number, 40, SECRET, self.piece, 60.0, peers, (image,), self.blobs, self.documents, self.certificate, self.key
        )

    def add(self, *sources: int, serving: bool = True, last: t.Sequence[int] = ()) -> Node:
        """Another host, with its sources in order, and with those whom it asks when it is slow."""
        node = Node(self.base / f"h{len(self.nodes)}", self, len(self.nodes), sources, last)
        self.nodes.append(node)
        if serving:
            node.serve()
        return node

    def pull(self, *nodes: Node) -> None:
        """All of them at once, to the end."""
        threads = [threading.Thread(target=node.pull) for node in nodes or self.nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()


@contextlib.contextmanager
def a_play(base: pathlib.Path, layout: Layout, top: t.Mapping[str, t.Any], **how: t.Any) -> t.Iterator[Play]:
    play = Play(base, layout, top, **how)
    try:
        yield play
    finally:
        for node in play.nodes:
            node.close()
