# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The channel against a server of grpcio: sizes, streams, deadlines, errors, threads, and peers that misbehave."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import socket
import struct
import threading
import time
import typing as t

import grpc
import pytest

from ansible_collections.fleet.containerd.plugins.module_utils import errors
from ansible_collections.fleet.containerd.plugins.module_utils.rpc import channel as rpc
from ansible_collections.fleet.containerd.plugins.module_utils.rpc import protobuf
from ansible_collections.fleet.containerd.tests.support.containerds import running_containerd

GET, LIST, READ, WRITE = "images.v1.Images/Get", "images.v1.Images/List", "content.v1.Content/Read", "content.v1.Content/Write"
ANSWER = "containerd.services.content.v1.ReadContentResponse"
WRITTEN = "containerd.services.content.v1.WriteContentResponse"


class Service(grpc.GenericRpcHandler):
    """What each method does is chosen by the test; raw bytes in and out. seen: the metadata of the last call."""

    def __init__(self) -> None:
        self.unary: t.Callable[[bytes, t.Any], bytes] = lambda request, context: b""
        self.stream: t.Callable[[bytes, t.Any], t.Iterator[bytes]] = lambda request, context: iter(())
        self.duplex: t.Callable[[t.Iterator[bytes], t.Any], t.Iterator[bytes]] = lambda requests, context: iter(())
        self.seen: t.Dict[str, str] = {}

    def service(self, details: t.Any) -> t.Any:
        self.seen = dict(details.invocation_metadata)
        if details.method.endswith("/Read"):
            return grpc.unary_stream_rpc_method_handler(self.stream)
        if details.method.endswith("/Write"):
            return grpc.stream_stream_rpc_method_handler(self.duplex)
        return grpc.unary_unary_rpc_method_handler(self.unary)


@pytest.fixture
def service(tmp_path: pathlib.Path) -> t.Iterator[t.Tuple[Service, rpc.Channel]]:
    handler = Service()
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), handlers=[handler], options=options)
    address = str(tmp_path / "socket")
    server.add_insecure_port(f"unix://{address}")
    server.start()
    channel = rpc.Channel(address, "some.namespace")
    try:
        yield handler, channel
    finally:
        channel.close()
        server.stop(None).wait(5)


def image(request: bytes) -> str:
    return str(protobuf.decode("containerd.services.images.v1.GetImageRequest", request)["name"])


def answer(**fields: t.Any) -> bytes:
    return protobuf.encode("containerd.services.images.v1.GetImageResponse", {"image": fields})


def test_metadata(service: t.Tuple[Service, rpc.Channel]) -> None:
    handler, channel = service
    handler.unary = lambda request, context: answer(name=image(request))
    assert channel.call(GET, {"name": "ä"})["image"]["name"] == "ä"
    assert handler.seen["containerd-namespace"] == "some.namespace"
    assert "containerd-lease" not in handler.seen
    channel.lease = "of-mine"
    channel.call(GET, {"name": "x"})
    assert handler.seen["containerd-lease"] == "of-mine"


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 65_535, 65_536, 1_000_000, 16_000_000])
def test_messages_of_every_size(service: t.Tuple[Service, rpc.Channel], size: int) -> None:
    handler, channel = service
    handler.unary = lambda request, context: answer(name=image(request))
    for _again in range(2):
        assert channel.call(GET, {"name": "x" * size})["image"] is not None
        assert len(channel.call(GET, {"name": "x" * size})["image"]["name"]) == size


def test_a_message_that_is_too_large(service: t.Tuple[Service, rpc.Channel]) -> None:
    handler, channel = service
    with pytest.raises(errors.ResourceExhausted, match="16777216"):
        channel.call(GET, {"name": "x" * 17_000_000})
    handler.unary = lambda request, context: answer(name="x" * 18_000_000)
    with pytest.raises(errors.DataLoss):
        channel.call(GET, {"name": "x"})
    handler.unary = lambda request, context: answer(name="fine")
    assert channel.call(GET, {"name": "x"})["image"]["name"] == "fine"


@pytest.mark.parametrize("code", list(grpc.StatusCode)[1:])
def test_every_status_is_an_error_of_ours(service: t.Tuple[Service, rpc.Channel], code: grpc.StatusCode) -> None:
    handler, channel = service
    text = 'percent % quote " ä 100%25 newline\nescape \x1b'
    handler.unary = lambda request, context: context.abort(code, text)
    with pytest.raises(errors.EngineError) as caught:
        channel.call(GET, {"name": "x"})
    assert 'percent % quote " ä 100%25' in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    named = {"NOT_FOUND": errors.NotFound, "ALREADY_EXISTS": errors.AlreadyExists, "UNIMPLEMENTED": errors.Unimplemented}
    if code.name in named:
        assert caught.value.__class__ is named[code.name]


def test_a_long_error(service: t.Tuple[Service, rpc.Channel]) -> None:
    """Its header does not fit into one frame."""
    handler, channel = service
    handler.unary = lambda request, context: context.abort(grpc.StatusCode.INTERNAL, "long " * 1200)
    with pytest.raises(errors.EngineError, match="long long") as caught:
        channel.call(GET, {"name": "x"})
    assert len(str(caught.value)) < 1100


@pytest.mark.parametrize(
    ("text", "kind", "shown"),
    [
        ("cannot start: unknown", errors.EngineError, "containerd: cannot start"),
        ("process already finished: not found: unknown", errors.EngineError, "containerd: process already finished"),
        ("task x: not found", errors.NotFound, "containerd: task x"),
        ("", errors.EngineError, "containerd: no reason given"),
    ],
)
def test_what_shims_say(text: str, kind: type, shown: str) -> None:
    found = rpc.error_of(2, text)
    assert (type(found), str(found)) == (kind, shown)


def test_deadlines(service: t.Tuple[Service, rpc.Channel]) -> None:
    handler, channel = service
    remaining, over = [], threading.Event()

    def slow(_request: bytes, context: t.Any) -> bytes:
        remaining.append(context.time_remaining())
        over.wait(60)
        return b""

    handler.unary = slow
    started = time.monotonic()
    # Long enough for the server to begin with it on a busy machine.
    with pytest.raises(errors.Unavailable, match=r"within 1 s"):
        channel.call(GET, {"name": "x"}, 1.0)
    assert time.monotonic() - started < 30
    assert 1.0 < remaining[0] < 2.1
    over.set()
    handler.unary = lambda request, context: answer(name="fine")
    assert channel.call(GET, {"name": "x"})["image"]["name"] == "fine"


def test_a_stream_of_answers(service: t.Tuple[Service, rpc.Channel]) -> None:
    handler, channel = service
    handler.stream = lambda request, context: (
        protobuf.encode(ANSWER, {"offset": number, "data": b"x" * 300_000}) for number in range(200)
    )
    found = [(one["offset"], len(one["data"])) for one in channel.stream(READ, {"digest": "d"})]
    assert found == [(number, 300_000) for number in range(200)]


def test_a_stream_that_is_left(service: t.Tuple[Service, rpc.Channel]) -> None:
    handler, channel = service
    ended = threading.Event()

    def endless(_request: bytes, context: t.Any) -> t.Iterator[bytes]:
        context.add_callback(ended.set)
        while context.is_active():
            yield protobuf.encode(ANSWER, {"data": b"x" * 100_000})

    handler.stream = endless
    stream = channel.stream(READ, {"digest": "d"})
    next(stream)
    t.cast(t.Generator[t.Any, None, None], stream).close()
    assert ended.wait(30)
    handler.unary = lambda request, context: answer(name="fine")
    assert channel.call(GET, {"name": "x"})["image"]["name"] == "fine"


def test_an_error_after_answers(service: t.Tuple[Service, rpc.Channel]) -> None:
    handler, channel = service

    def breaking(_request: bytes, context: t.Any) -> t.Iterator[bytes]:
        yield protobuf.encode(ANSWER, {"offset": 1})
        context.abort(grpc.StatusCode.DATA_LOSS, "gone")

    handler.stream = breaking
    found = []
    with pytest.raises(errors.DataLoss, match="gone"):
        found.extend(channel.stream(READ, {"digest": "d"}))
    assert len(found) == 1


def test_both_directions(service: t.Tuple[Service, rpc.Channel]) -> None:
    handler, channel = service

    def count(requests: t.Iterator[bytes], _context: t.Any) -> t.Iterator[bytes]:
        total = 0
        for request in requests:
            total += len(protobuf.decode("containerd.services.content.v1.WriteContentRequest", request)["data"])
            yield protobuf.encode(WRITTEN, {"offset": total})

    handler.duplex = count
    with channel.open(WRITE, 10, whole=False) as stream:
        for number in range(1, 40):
            stream.send({"action": 1, "data": b"x" * 1_000_000})
            received = stream.receive()
            assert received is not None
            assert received["offset"] == number * 1_000_000
        stream.finish()
        assert stream.receive() is None
        assert stream.receive() is None


def test_the_server_ends_while_we_send(service: t.Tuple[Service, rpc.Channel]) -> None:
    handler, channel = service

    def refuse(requests: t.Iterator[bytes], context: t.Any) -> t.Iterator[bytes]:
        next(requests, None)
        context.abort(grpc.StatusCode.UNAVAILABLE, "ref locked")
        yield b""

    handler.duplex = refuse
    with pytest.raises(errors.Unavailable, match="locked"), channel.open(WRITE, 10, whole=False) as stream:
        for _number in range(50):
            stream.send({"data": b"x" * 1_000_000})
        stream.receive()


def test_threads(service: t.Tuple[Service, rpc.Channel]) -> None:
    handler, channel = service
    handler.unary = lambda request, context: answer(name=image(request))

    def work(number: int) -> bool:
        name = str(number) * 50_000
        return bool(channel.call(GET, {"name": name})["image"]["name"] == name)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(200)))


def test_no_socket(tmp_path: pathlib.Path) -> None:
    channel = rpc.Channel(str(tmp_path / "absent"), "default")
    with pytest.raises(errors.Unavailable, match="start containerd"):
        channel.call(LIST)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    with pytest.raises(errors.Unavailable, match="no process listens"):
        rpc.Channel(str(tmp_path / "dead"), "default").call(LIST)
    with pytest.raises(errors.Unavailable):
        rpc.Channel("/" + "x" * 200, "default").call(LIST)


def test_a_socket_that_is_not_ours_to_use(tmp_path: pathlib.Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        os.chmod(tmp_path, 0o755)
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        os.chmod(tmp_path / "socket", 0o600)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            for parent in tmp_path.parents:
                # Not /tmp, which is one of them, and everybody's.
                if not parent.stat().st_mode & 0o001:
                    os.chmod(parent, 0o755)
            os.setuid(65534)
            try:
                rpc.Channel(str(tmp_path / "socket"), "default").call(LIST)
            except errors.EngineError as error:
                os.write(writer, f"{type(error).__name__}: {error}".encode())
            os._exit(0)
        os.waitpid(child, 0)
        text = os.read(reader, 1000).decode()
    assert text.startswith("PermissionDenied")
    assert "become" in text


FRAME = struct.Struct(">BHBBI")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x00" * 100,
        b"\xff" * 100,
        FRAME.pack(0, 5, 1, 0, 1) + b"split",
        FRAME.pack(0, 1, 9, 4, 1) + b"x",
        FRAME.pack(0, 2, 1, 5, 1) + b"\xff\xff",
        FRAME.pack(0, 8, 7, 0, 0) + b"\x00" * 8,
        FRAME.pack(0, 4, 3, 0, 1) + b"\x00\x00\x00\x07",
        FRAME.pack(0, 1, 1, 5, 1) + b"\x88",
        FRAME.pack(0, 1, 0, 9, 1) + b"\x05",
        FRAME.pack(0, 3, 4, 0, 0) + b"abc",
    ],
)
def test_peers_that_talk_nonsense(tmp_path: pathlib.Path, said: bytes) -> None:
    """One clear error of ours, soon."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()

        def talk() -> None:
            peer, _address = listener.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(said)

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(errors.EngineError) as caught:
            rpc.Channel(str(tmp_path / "socket"), "default").call(LIST, timeout=5)
        thread.join()
    assert isinstance(caught.value, (errors.Unavailable, errors.DataLoss))


def test_a_peer_that_says_nothing(tmp_path: pathlib.Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        started = time.monotonic()
        with pytest.raises(errors.Unavailable, match=r"within 0.3 s"):
            rpc.Channel(str(tmp_path / "socket"), "default").call(LIST, timeout=0.3)
        assert time.monotonic() - started < 30


@pytest.mark.daemon
def test_a_daemon_that_was_restarted() -> None:
    """Connections that broke while nobody used them are not used again."""
    with running_containerd("2.1") as daemon:
        channel = rpc.Channel(daemon.address, "default")
        channel.call(LIST)
        for number in (15, 9):
            daemon.kill(number)
            with pytest.raises(errors.Unavailable, match="no process listens|not there"):
                channel.call(LIST)
            daemon.start()
            assert channel.call(LIST)["images"] == []


@pytest.mark.daemon
def test_a_daemon_that_is_killed_in_a_call() -> None:
    with running_containerd("2.1") as daemon:
        channel = rpc.Channel(daemon.address, "default")
        with channel.open(WRITE, 10, whole=False) as stream:
            stream.send({"ref": "r"})
            stream.receive()
            daemon.kill()
            with pytest.raises(errors.Unavailable, match="broke|has not answered"):
                stream.send({"action": 1, "data": b"x" * 5_000_000})
                stream.receive()


@pytest.mark.parametrize(
    ("seconds", "header"), [(0.5, "1500m"), (60, "61000m"), (99_998, "99999000m"), (99_999, "100000S"), (1e10, "99999999S")]
)
def test_a_timeout_is_sent_in_at_most_eight_digits(service: t.Tuple[Service, rpc.Channel], seconds: float, header: str) -> None:
    """Go's server refuses more."""
    _handler, channel = service
    with channel.open(GET, seconds) as stream:
        assert dict(stream._headers())[b"grpc-timeout"].decode() == header
