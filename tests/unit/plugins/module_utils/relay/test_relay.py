# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that pass an image on while it arrives: stores and sockets are real, the network is loopback."""

from __future__ import annotations

import contextlib
import errno
import pathlib
import random
import socket
import threading
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.action.containerd_image_distribute import certificate
from ansible_collections.fleet.containerd.plugins.module_utils.errors import ResourceExhausted, Unavailable
from ansible_collections.fleet.containerd.plugins.module_utils.image.walk import ingest_ref
from ansible_collections.fleet.containerd.plugins.module_utils.relay import pace, server, wire
from ansible_collections.fleet.containerd.plugins.module_utils.relay.peers import Refused
from ansible_collections.fleet.containerd.plugins.module_utils.relay.server import listen
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, tar_of
from ansible_collections.fleet.containerd.tests.support.relays import NET, SECRET, Play, a_play
from ansible_collections.fleet.containerd.tests.support.waiting import until

SIZE = 300_000


@pytest.fixture
def play(tmp_path: pathlib.Path) -> t.Iterator[Play]:
    layout = Layout(tmp_path / "layout")
    noise = random.Random(1)
    layers = [tar_of([Entry(f"file{number}", noise.randbytes(SIZE))]) for number in range(3)]
    with a_play(tmp_path, layout, layout.image(layers)) as made:
        yield made


def copies(play: Play) -> float:
    """How often the layers have left the registry."""
    asked = [node.peers.bytes.get("registry", 0) for node in play.nodes]
    return sum(asked) / sum(layer.size for layer in play.layers)


def complete(play: Play, *numbers: int) -> None:
    """The image is there, and every layer is what its digest says."""
    for node in [play.nodes[number] for number in numbers] or play.nodes:
        assert node.pulled.image.target.digest == play.top["digest"]
        for layer in play.layers:
            assert node.engine.content.verify(layer.digest, layer.size)


def test_one_copy_leaves_the_registry_and_each_host_fetches_from_the_one_before_it(play: Play) -> None:
    for number in range(6):
        play.add(*reversed(range(number)))
    play.pull()
    complete(play)
    assert copies(play) == 1.0
    total = sum(layer.size for layer in play.layers)
    assert [node.peers.bytes for node in play.nodes] == [{"registry": total}, *({f"h{number}": total} for number in range(5))]
    assert not any(node.peers.fallbacks for node in play.nodes)
    layer = play.layers[0].digest
    assert [node.pulled.served_by[layer] for node in play.nodes[1:]] == [f"h{number}" for number in range(5)]


def test_what_still_arrives_is_passed_on(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = play.add(), play.add(0)
    honest, early = first.registry.fetch, []

    def fetch(reference: t.Any, descriptor: t.Any, offset: int = 0) -> t.Iterator[bytes]:
        """The second half of a layer comes when the other host has something of the first half."""
        blob = second.shelf.find(descriptor.digest)
        for count, data in enumerate(honest(reference, descriptor, offset)):
            if blob and count == SIZE // 2 // 4096:
                until(lambda: blob.valid, 30)
                early.append(descriptor.digest)
            yield data

    monkeypatch.setattr(first.registry, "fetch", fetch)
    play.pull()
    complete(play)
    assert sorted(early) == sorted(layer.digest for layer in play.layers)
    assert second.peers.bytes.keys() == {"h0"}


def test_a_host_that_has_it_asks_nobody_and_the_registry_is_not_needed(play: Play) -> None:
    holder = play.add(serving=False)
    play.pull()
    holder.close()
    play.nodes.clear()
    for sources in [(), (0,), (1, 0)]:
        play.add(*sources).registry.gone = True
    play.pull()
    complete(play)
    assert copies(play) == 0
    assert play.nodes[0].pulled.fetched == 0


def test_a_run_that_was_interrupted_goes_on_and_passes_on_what_it_had(play: Play) -> None:
    layer = play.layers[1]
    first, second = play.add(), play.add(0)
    data = play.layout.read({"digest": layer.digest})
    # Not at the end of a piece.
    with first.engine.lease(), first.engine.content.writer(ingest_ref(layer), layer) as ingest:
        ingest.write(data[:100_001])
    play.pull()
    complete(play)
    assert f"{layer.digest}@100001" in first.registry.fetched
    assert second.peers.bytes["h0"] == sum(one.size for one in play.layers)


def test_rubbish_of_an_interrupted_run_costs_one_blob(play: Play) -> None:
    layer = play.layers[1]
    first, _second = play.add(), play.add(0)
    with first.engine.lease(), first.engine.content.writer(ingest_ref(layer), layer) as ingest:
        ingest.write(b"rubbish" * 10_000)
    play.pull()
    complete(play)
    assert copies(play) < 1.4


def test_wrong_bytes_are_noticed_within_a_piece_and_another_host_goes_on(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    play.add(), play.add(0), play.add(1, 0), play.add(2, 1, 0)
    liar, honest = play.nodes[1].shelf, type(play.nodes[1].shelf).frames

    def frames(*arguments: t.Any) -> t.Iterator[bytes]:
        for count, one in enumerate(honest(liar, *arguments)):
            yield one[:-1] + bytes([one[-1] ^ 1]) if one[:1] == wire.PIECE and count > 20 else one

    monkeypatch.setattr(liar, "frames", frames)
    play.pull()
    complete(play)
    assert copies(play) == 1.0
    # Its successor notices, and goes on where it was with the one before; the next one sees nothing of it.
    assert {one["host"] for one in play.nodes[2].peers.fallbacks} == {"h1"}
    assert "it sent something else" in [one["why"] for one in play.nodes[2].peers.fallbacks]
    assert play.nodes[2].peers.bytes["h0"] + play.nodes[2].peers.bytes["h1"] == sum(one.size for one in play.layers)
    assert play.nodes[3].peers.fallbacks == []
    assert ("h1" in dict(play.nodes[2].pulled.refused).values()) is True


def test_a_damaged_store_is_noticed_before_the_last_piece_is_passed_on(play: Play) -> None:
    play.add(serving=False)
    play.pull()
    layer = play.layers[0]
    with open(play.nodes[0].engine.content.blob_path(layer.digest), "r+b") as stream:
        stream.seek(5)
        stream.write(b"damaged")
    play.nodes[0].close()
    play.nodes.clear()
    for sources in [(), (0,), (1, 0), (2, 1, 0)]:
        play.add(*sources)
    play.pull(*play.nodes[1:])
    complete(play, 1, 2, 3)
    # One host asked the registry for that layer; the others got it from there.
    assert sum(node.peers.bytes.get("registry", 0) for node in play.nodes) == layer.size
    assert [len(node.registry.fetched) for node in play.nodes] == [0, 1, 0, 0]


@pytest.mark.parametrize("when", ["at the beginning", "in the middle"])
def test_a_host_that_is_gone_costs_a_second_and_no_copy(play: Play, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    play.add(), play.add(0), play.add(1, 0), play.add(2, 1, 0)
    play.nodes[0].registry.rate = 900_000.0
    shelf, honest = play.nodes[1].shelf, type(play.nodes[1].shelf).frames

    def frames(*arguments: t.Any) -> t.Iterator[bytes]:
        for count, one in enumerate(honest(shelf, *arguments)):
            if when == "at the beginning" or count > 10:
                time.sleep(30)
            yield one

    monkeypatch.setattr(shelf, "frames", frames)
    began = time.monotonic()
    play.pull(play.nodes[0], *play.nodes[2:])
    # Whoever waits for it waits for half a minute.
    assert time.monotonic() - began < 1.0 + wire.SILENCE + 20.0
    complete(play, 0, 2, 3)
    assert copies(play) == 1.0
    assert {one["host"] for one in play.nodes[2].peers.fallbacks} == {"h1"}
    assert play.nodes[3].peers.fallbacks == []


def test_a_host_that_cannot_get_a_blob_says_so_at_once(play: Play) -> None:
    play.add(), play.add(0)
    play.nodes[0].registry.gone = True
    play.pull()
    assert isinstance(play.nodes[0].result, Unavailable)
    # The registry answers the other one.
    complete(play, 1)
    assert "it does not get the blob itself" in [one["why"] for one in play.nodes[1].peers.fallbacks]


def test_what_was_thrown_away_since_the_disk_is_full_is_not_waited_for(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    play.add(), play.add(0), play.add(1, 0)
    play.nodes[0].registry.rate = 900_000.0
    full, honest = play.nodes[1].engine.content, type(play.nodes[1].engine.content).writer

    def writer(ref: str, expected: t.Any = None) -> t.Any:
        ingest = honest(full, ref, expected)
        write = ingest.write

        def until_it_is_full(data: bytes) -> None:
            if ingest.offset > 100_000:
                ingest.truncate()
                raise ResourceExhausted("no space is left")
            write(data)

        monkeypatch.setattr(ingest, "write", until_it_is_full)
        return ingest

    monkeypatch.setattr(full, "writer", writer)
    play.pull()
    assert isinstance(play.nodes[1].result, ResourceExhausted)
    complete(play, 0, 2)
    assert copies(play) == 1.0


def test_a_daemon_that_is_silent_for_a_moment_when_asked_for_its_files_costs_nothing(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    play.add(), play.add(0)
    play.nodes[0].registry.rate = 900_000.0
    content, asked = play.nodes[0].engine.content, [0]
    honest = content.ingest_file

    def ingest_file(ref: str) -> str:
        asked[0] += 1
        if asked[0] < 6:
            raise Unavailable("the daemon does not answer")
        return honest(ref)

    monkeypatch.setattr(content, "ingest_file", ingest_file)
    play.pull()
    complete(play)
    assert asked[0] >= 6
    assert play.nodes[1].peers.bytes.keys() == {"h0"}
    assert play.nodes[1].peers.fallbacks == []


def test_a_slow_host_passes_on_only_what_is_complete(play: Play) -> None:
    play.add(), play.add(0), play.add(1, 0)
    play.nodes[0].registry.rate = 900_000.0
    play.nodes[1].peers.slow = True
    play.pull()
    complete(play)
    assert "it does not get the blob itself" in [one["why"] for one in play.nodes[2].peers.fallbacks]
    assert play.nodes[2].peers.bytes["h0"] > 0
    assert copies(play) == 1.0
    late = play.add(1)
    play.pull(late)
    assert set(late.peers.bytes) == {"h1"}


def test_a_slow_head_is_noticed_and_gets_it_from_the_others(play: Play) -> None:
    """Nobody is before it: the one behind it has a look at the registry."""
    play.add(last=(2, 1)), play.add(0), play.add(1, 0)
    # Three blobs at a time, each at that rate: half a minute.
    play.nodes[0].registry.rate = 10_000.0
    began = time.monotonic()
    play.pull()
    assert time.monotonic() - began < 20.0
    complete(play)
    assert copies(play) < 1.4
    assert play.nodes[1].peers.fallbacks[0]["why"] == "it is slow"
    assert {one["host"] for one in play.nodes[1].peers.fallbacks} == {"h0"}
    assert play.nodes[2].peers.bytes.keys() == {"h1"}
    assert set(play.nodes[0].peers.bytes) > {"registry"}


def test_who_is_told_that_it_is_slow_takes_no_more_from_the_registry(play: Play) -> None:
    holder, slow = play.add(), play.add(last=(0,))
    play.pull(holder)
    slow.registry.rate = 100_000.0
    thread = threading.Thread(target=slow.pull, daemon=True)
    thread.start()
    until(lambda: slow.peers.bytes.get("registry", 0) > 20_000)
    before = slow.peers.bytes["registry"]
    slow.peers.be_slow()
    thread.join(30)
    complete(play, 1)
    # For each of three blobs a block that is on its way, and one more.
    assert slow.peers.bytes["registry"] - before < 10 * 4096


def test_a_registry_that_fails_who_is_told_that_it_is_slow_fails_nothing(play: Play) -> None:
    """Its link may be too slow for both streams; the others have what it needs."""
    holder, slow = play.add(), play.add(last=(0,))
    play.pull(holder)
    slow.registry.rate = 100_000.0
    thread = threading.Thread(target=slow.pull, daemon=True)
    thread.start()
    until(lambda: slow.peers.bytes.get("registry", 0) > 20_000)
    slow.registry.gone = True
    slow.peers.be_slow()
    thread.join(30)
    complete(play, 1)
    assert slow.peers.bytes["h0"] > 2 * SIZE


@pytest.mark.parametrize("number", [0, 1], ids=["the head", "another one"])
def test_a_host_whose_disk_hangs_is_passed_by(play: Play, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """It goes on to tell how far it is."""
    monkeypatch.setattr(pace, "_HANGING_SECONDS", 1.0)
    play.add(last=(3, 2)), play.add(0, last=(3, 2)), play.add(1, 0), play.add(2, 1, 0)
    play.nodes[0].registry.rate = 900_000.0
    hanging, go = play.nodes[number], threading.Event()
    content, honest = hanging.engine.content, type(hanging.engine.content).writer

    def writer(ref: str, expected: t.Any = None) -> t.Any:
        ingest = honest(content, ref, expected)
        write = ingest.write

        def until_it_hangs(data: bytes) -> None:
            if ingest.offset > 100_000:
                go.wait(30)
            write(data)

        monkeypatch.setattr(ingest, "write", until_it_hangs)
        return ingest

    monkeypatch.setattr(content, "writer", writer)
    thread = threading.Thread(target=hanging.pull, daemon=True)
    thread.start()
    began = time.monotonic()
    try:
        play.pull(*(node for node in play.nodes if node is not hanging))
        assert time.monotonic() - began < 25.0
    finally:
        go.set()
    thread.join(30)
    complete(play)
    assert {one["host"] for one in play.nodes[number + 1].peers.fallbacks} == {f"h{number}"}
    assert play.nodes[number + 1].peers.fallbacks[0]["why"] == "it is slow"
    assert copies(play) < 1.1


def test_a_slow_registry_is_tried_once_and_makes_nobody_slow(play: Play) -> None:
    play.add(last=(1,)), play.add(0)
    for node in play.nodes:
        node.registry.rate = 10_000.0
    threads = [threading.Thread(target=node.pull, daemon=True) for node in play.nodes]
    for thread in threads:
        thread.start()
    # It is tried after two seconds, and has been found to be slow with the second block.
    until(lambda: play.nodes[1].peers.bytes.get("registry", 0) >= 2 * 4096, 20)
    time.sleep(1)
    for node in play.nodes:
        node.registry.rate = 0.0
    for thread in threads:
        thread.join(30)
    complete(play)
    assert play.nodes[1].peers.fallbacks == []
    assert play.nodes[1].peers.bytes["registry"] < 60_000
    assert play.nodes[0].peers.bytes.keys() == {"registry"}


def test_who_comes_when_its_place_is_taken_asks_others(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the head serves one host, and not two at half of the rate each."""
    # All that it asks for at first is asked for by then.
    monkeypatch.setattr(server, "_REPLACED_SECONDS", 10.0)
    play.add(), play.add(0, last=(2,)), play.add(0)
    play.nodes[0].registry.rate = 900_000.0
    taker = play.nodes[2].peers.open(0, wire.Request(str(play.layers[0].digest), 0, 2, 1))
    play.pull()
    taker.close()
    complete(play)
    assert play.nodes[1].peers.slow
    assert play.nodes[1].peers.bytes.keys() == {"h2"}


def test_who_was_gone_for_a_moment_is_asked_again_before_the_registry(play: Play) -> None:
    holder = play.add(serving=False)
    play.pull()
    holder.registry.gone = True
    late = play.add(0)
    # Nobody listens for so long that it is given up; the registry sends slowly.
    late.peers._until[0] = time.monotonic() + 1.0
    late.registry.rate = 20_000.0
    holder.serve()
    play.pull(late)
    complete(play, 1)
    assert late.peers.bytes["h0"] > 2 * SIZE


def test_who_was_silent_and_is_there_again_may_be_silent_for_longer(play: Play) -> None:
    """As links with long queues are; but what all blobs of a host notice at once counts once."""
    peers, found = play.add().peers, []
    for _each in range(5):
        found.append(peers.patience(3))
        for _blob in range(3):
            peers.left(3, "it is silent")
        peers._until.clear()
    assert found == [1.0, 2.0, 4.0, 8.0, 8.0]


def test_another_play_on_the_same_port_is_passed_by(play: Play, tmp_path: pathlib.Path) -> None:
    with a_play(tmp_path / "other", play.layout, play.top) as other:
        stranger = other.add()
        stranger.server._secret = b"another" * 4  # type: ignore[union-attr]  # it serves
        play.add(), play.add(0)
        play.pull()
        complete(play)
        assert play.nodes[0].server
        assert play.nodes[0].server._listener.getsockname()[1] == play.port + 1
        assert play.nodes[1].peers.fallbacks == []


def test_all_ports_taken_is_a_clear_error(play: Play) -> None:
    held = [listen(f"{NET}.1", play.port) for _each in range(wire.PORTS)]
    with pytest.raises(Unavailable, match=f"port: {NET}.1 has no free port from {play.port} to {play.port + 3}"):
        listen(f"{NET}.1", play.port)
    for one in held:
        one.close()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"x" * 100_000,
        wire.Request("sha256:" + "0" * 64, 0, 1).text(SECRET),
        wire.Request("sha256:" + "0" * 64, 0, 1).text(b"wrong"),
    ],
)
def test_strangers_get_nothing(play: Play, text: bytes) -> None:
    play.add()
    play.pull()
    answer = b""
    # It may be ended before all is said.
    with contextlib.suppress(OSError), socket.create_connection((f"{NET}.1", play.port), timeout=10) as stranger:
        stranger.sendall(text)
        stranger.shutdown(socket.SHUT_WR)
        answer = stranger.recv(10000)
    assert answer in (b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n", b"")


def test_a_stranger_who_says_it_slowly_holds_nobody_up(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_REQUEST_SECONDS", 0.5)
    play.add()
    began = time.monotonic()
    with socket.create_connection((f"{NET}.1", play.port), timeout=0.1) as stranger, contextlib.suppress(ConnectionError):
        while time.monotonic() - began < 10:
            stranger.sendall(b"G")
            with contextlib.suppress(TimeoutError, socket.timeout):
                if not stranger.recv(100):
                    break
    assert time.monotonic() - began < 5


def test_a_stranger_who_answers_with_lines_for_ever_is_not_listened_to(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer() -> None:
        connection, _address = listener.accept()
        with connection:
            connection.recv(10_000)
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"X-More: lines\r\n" * 100)
            ended.wait(20)

    # So long it would wait for the next line.
    monkeypatch.setattr(wire, "BEGIN", 15.0)
    ended, asking = threading.Event(), play.add(serving=False)
    with socket.create_server((f"{NET}.2", play.port)) as listener:
        threading.Thread(target=answer, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(Refused, match="nobody listens there"):
            asking.peers._try(1, wire.Request(str(play.layers[0].digest), 0, 0))
        assert time.monotonic() - began < 10.0
        ended.set()


def test_who_goes_before_it_is_answered_ends_nothing(play: Play) -> None:
    """accept(2): ECONNABORTED, and EMFILE."""

    class Troubled(socket.socket):
        troubles: t.ClassVar[t.List[int]] = [errno.ECONNABORTED, errno.EMFILE]

        def accept(self) -> t.Tuple[socket.socket, t.Any]:
            if self.troubles:
                raise OSError(self.troubles.pop(), "trouble")
            return super().accept()

    holder = play.add(serving=False)
    play.pull()
    peer = holder.part.peers[0]
    holder.server = server.Server(Troubled(fileno=listen(peer.address, peer.port).detach()), holder.shelf, 0, SECRET, None)
    holder.server.start()
    late = play.add(0)
    play.pull(late)
    assert late.peers.bytes.keys() == {"h0"}


def test_the_secret_does_not_cross_the_network() -> None:
    request = wire.Request("sha256:" + "0" * 64, 0, 1)
    assert SECRET not in request.text(SECRET)
    # Nor does one proof open another blob.
    assert request.text(SECRET)[-70:] != request._replace(offset=1).text(SECRET)[-70:]


def test_with_tls_only_hosts_with_the_certificate_of_the_play_get_an_answer(play: Play) -> None:
    made, other = certificate(), certificate()
    play.certificate, play.key = made["certificate"], made["key"]
    play.add(), play.add(0)
    play.pull()
    complete(play)
    assert copies(play) == 1.0
    address, request = (f"{NET}.1", play.port), wire.Request(str(play.layers[0].digest), 0, 1).text(SECRET)
    with contextlib.suppress(ConnectionResetError), socket.create_connection(address, timeout=10) as plain:
        plain.sendall(request)
        assert b"200" not in plain.recv(1000)
    play.certificate, play.key = other["certificate"], other["key"]
    stranger = play.add(0, serving=False)
    stranger.pull()
    complete(play, 2)
    assert set(stranger.peers.bytes) == {"registry"}
