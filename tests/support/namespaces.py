# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small world of network namespaces: a host, a machine outside that is cabled to it, and containers. It is gone afterwards."""

from __future__ import annotations

import contextlib
import errno
import json
import pathlib
import selectors
import socket
import subprocess
import time
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import unmount
from ansible_collections.fleet.containerd.plugins.module_utils.network import netns

#: The addresses of the cable between the host and outside: a network and a prefix of documentation.
HOST, OUTSIDE, HOST6, OUTSIDE6 = "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class World:
    """Namespaces by their path. host and outside are there from the beginning."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.directory = directory
        self.host, self.outside = self.namespace("host"), self.namespace("outside")
        ip(self.outside, "link", "set", "lo", "up")
        ip(self.host, "link", "set", "lo", "up")
        ip(self.host, "link", "add", "uplink", "type", "veth", "peer", "name", "far")
        with netns.opened(self.outside) as fd:
            ip(self.host, "link", "set", "far", "netns", f"/proc/self/fd/{fd}", pass_fds=[fd])
        for where, link, addresses in ((self.host, "uplink", (HOST, HOST6)), (self.outside, "far", (OUTSIDE, OUTSIDE6))):
            for address, prefix in zip(addresses, (24, 64)):
                ip(where, "address", "add", f"{address}/{prefix}", "dev", link, "nodad")
            ip(where, "link", "set", link, "up")
        ip(self.host, "route", "add", "default", "via", OUTSIDE)

    def namespace(self, name: str) -> str:
        path = str(self.directory / name)
        netns.make(path)
        # Nobody waits until a kernel has heard of no other machine with its address.
        with netns.entered(path), open("/proc/sys/net/ipv6/conf/default/accept_dad", "w", encoding="ascii") as stream:
            stream.write("0")
        return path

    def close(self) -> None:
        for path in self.directory.iterdir():
            netns.remove(str(path))
        unmount(str(self.directory), lazy=True)


@contextlib.contextmanager
def world(directory: pathlib.Path) -> t.Iterator[World]:
    directory.mkdir()
    made = World(directory)
    try:
        yield made
    finally:
        made.close()


def ip(namespace: str, *arguments: str, pass_fds: t.Sequence[int] = ()) -> t.Any:
    """Run ip(8) in a namespace; what it shows, parsed."""
    with netns.entered(namespace):
        # starts: ip
        done = subprocess.run(["ip", "-json", *arguments], check=True, capture_output=True, text=True, pass_fds=pass_fds)
    return json.loads(done.stdout or "[]")


@contextlib.contextmanager
def listening(namespace: str, port: int, kind: str = "tcp", address: str = "::") -> t.Iterator[socket.socket]:
    """A socket in a namespace that takes what comes to a port; IPv4 too."""
    with netns.entered(namespace):
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, _KINDS[kind])
    with made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.settimeout(5)
        made.bind((address, port))
        if kind == "tcp":
            made.listen()
        yield made


class Try(t.NamedTuple):
    """Somebody who sends something to a server."""

    server: socket.socket
    namespace: str
    address: str
    port: int


def seen(server: socket.socket, namespace: str, address: str, port: int, timeout: float = 3) -> str:
    """From which address a server sees it come; empty when nothing comes, or no answer comes back."""
    return all_seen({"": Try(server, namespace, address, port)}, timeout)[""]


def all_seen(tries: t.Mapping[str, Try], timeout: float) -> t.Dict[str, str]:
    """The same for many at once, by their names: what does not come is waited for once."""
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        peers: t.Dict[str, str] = {}
        answered: t.Set[str] = set()
        for server in {one.server for one in tries.values()}:
            server.setblocking(False)
            selector.register(server, selectors.EVENT_READ, _serve(server, peers, selector, stack))
        for name, one in tries.items():
            with netns.entered(one.namespace):
                kind = socket.AF_INET6 if ":" in one.address else socket.AF_INET
                client = stack.enter_context(socket.socket(kind, one.server.type))
            client.setblocking(False)
            if client.connect_ex((one.address, one.port)) in (0, errno.EINPROGRESS):
                selector.register(client, selectors.EVENT_WRITE, _ask(client, name, answered, selector))
        deadline = time.monotonic() + timeout
        clients = len(selector.get_map())
        while len(answered) < clients and time.monotonic() < deadline:
            for key, _events in selector.select(deadline - time.monotonic()):
                key.data()
            waiting = sum(1 for key in selector.get_map().values() if key.data.__name__ == "client")
            if not waiting:
                break
        return {name: peers.get(name, "") if name in answered else "" for name in tries}


def _ask(sock: socket.socket, name: str, answered: t.Set[str], selector: selectors.BaseSelector) -> t.Callable[[], None]:
    def client() -> None:
        try:
            if selector.get_key(sock).events == selectors.EVENT_WRITE:
                sock.sendall(name.encode() or b"?")
                selector.modify(sock, selectors.EVENT_READ, client)
                return
            if sock.recv(64) == b"answer":
                answered.add(name)
        except OSError:
            pass  # refused, or no way there
        selector.unregister(sock)

    return client


def _serve(
    sock: socket.socket, peers: t.Dict[str, str], selector: selectors.BaseSelector, stack: contextlib.ExitStack
) -> t.Callable[[], None]:
    def note(question: bytes, address: t.Any) -> None:
        peers[question.decode().replace("?", "")] = str(address[0]).replace("::ffff:", "")

    def server() -> None:
        if sock.type == socket.SOCK_DGRAM:
            question, address = sock.recvfrom(256)
            note(question, address)
            sock.sendto(b"answer", address)
            return
        accepted, address = sock.accept()
        stack.enter_context(accepted)

        def connection() -> None:
            selector.unregister(accepted)
            note(accepted.recv(256), address)
            accepted.sendall(b"answer")

        selector.register(accepted, selectors.EVENT_READ, connection)

    return server
