# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a log writer sends to the journal and to syslog, on real sockets."""

from __future__ import annotations

import os
import pathlib
import re
import select
import socket
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Container
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.options.log_told import tell
from ansible_collections.fleet.containerd.plugins.module_utils.runtime import log_sinks
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.json_log import Log, driver
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.log_sinks import Syslog, opened
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.logs import read
from ansible_collections.fleet.containerd.tests.support.log_receivers import Streams, journal, server_at
from ansible_collections.fleet.containerd.tests.support.registry import make_ca
from ansible_collections.fleet.containerd.tests.support.waiting import until

#: An address of this worker's own, where nobody takes a port while its server is away.
OWN = f"127.79.{os.environ.get('PYTEST_XDIST_WORKER', 'gw0')[2:]}.1"
HOST = re.escape(os.uname().nodename)
STAMP = "[A-Z][a-z]{2} [ 1-3][0-9] [0-9:]{8}"
TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}"
#: What comes before the message, by syslog-format, for the priority 131 (local0, error).
HEADS = {
    "": rf"<131>{STAMP} web\[{os.getpid()}\]: ",
    "rfc3164": rf"<131>{STAMP} {HOST} web\[{os.getpid()}\]: ",
    "rfc5424": rf"<131>1 {TIME}Z {HOST} web {os.getpid()} web - ",
    "rfc5424micro": rf"<131>1 {TIME}\.[0-9]{{6}}Z {HOST} web {os.getpid()} web - ",
}


def syslog(address: str, layout: str = "", ca: str = "", trusting: str = "") -> Syslog:
    scheme, _colons, place = address.partition("://")
    host, port = (place, "0") if place.startswith("/") else place.split(":")
    words = ["syslog", scheme, host, port, "16", layout, "web", ca, "", "", trusting]
    sink = opened("\t".join(words).encode() + b"\n")
    assert isinstance(sink, Syslog)
    return sink


@pytest.mark.parametrize("layout", HEADS)
@pytest.mark.parametrize("scheme", ["unix", "unixgram", "udp", "tcp"])
def test_a_line_for_syslog(tmp_path: pathlib.Path, scheme: str, layout: str) -> None:
    with server_at(scheme, tmp_path) as (address, receiver):
        sink = syslog(address, layout)
        assert sink.send("stderr", b"one \xff", False)
        assert sink.send("stderr", b"", False), "an empty line is no message"
        assert sink.send("stdout", b"two", False)
        first, second = receiver.messages(2)
    assert re.fullmatch(HEADS[layout].encode() + b"one \xff", first)
    assert re.fullmatch(HEADS[layout].replace("131", "134").encode() + b"two", second)


@pytest.mark.parametrize(("layout", "framed"), [("rfc5424", True), ("rfc3164", False)])
def test_syslog_over_tls(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, layout: str, framed: bool) -> None:
    """RFC 5425 tells the length of each message."""
    # A server in Python, on a busy machine.
    monkeypatch.setattr(log_sinks, "_PATIENCE", 20.0)
    ca, certificate, key = make_ca(tmp_path)
    with server_at("tcp+tls", tmp_path, (certificate, key)) as (address, receiver):
        assert not syslog(address, layout).send("stderr", b"x", False), "nobody vouches for this server"
        assert syslog(address, layout, ca).send("stderr", b"one", False)
        assert syslog(address, layout, trusting="yes").send("stderr", b"two", False)
        first, second = receiver.messages(2)
    assert first.endswith(b"one")
    if framed:
        size, _space, rest = second.partition(b" ")
        assert int(size) == len(rest)
        second = rest
    assert re.fullmatch(HEADS[layout].encode() + b"two", second)


def told_of_its_end(sink: Syslog) -> bool:
    """The server has closed the connection, and the kernel has told our end of it."""
    return bool(select.select([sink._socket], [], [], 0)[0])


def test_a_server_that_comes_back(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines meanwhile are dropped, at once; after a while a new connection gets the next one."""
    monkeypatch.setattr(log_sinks, "_REST", 2.0)
    with server_at("tcp", tmp_path, host=OWN) as (address, receiver):
        assert isinstance(receiver, Streams)
        sink = syslog(address)
        assert sink.send("stdout", b"one", False)
        receiver.messages(1)
        receiver.hang_up()
        until(lambda: told_of_its_end(sink))
        assert sink.send("stdout", b"two", False), "it is there, so a new connection is made at once"
        assert [one[-3:] for one in receiver.messages(2)] == [b"one", b"two"]
    until(lambda: told_of_its_end(sink))
    assert not sink.send("stdout", b"lost", False)
    with server_at("tcp", tmp_path, port=int(address.rpartition(":")[2]), host=OWN) as (_address, receiver):
        assert not sink.send("stdout", b"lost", False), "nothing is tried for a while"
        time.sleep(2.0)
        assert sink.send("stdout", b"three", False)
        assert [one[-5:] for one in receiver.messages(1)] == [b"three"]


def test_the_journal() -> None:
    with journal() as (name, receiver):
        sink = opened(f"journald\t/run/systemd/journal.{name}/socket\nCONTAINER_NAME=web\n".encode())
        assert sink.send("stderr", b"a\nb\xff", True)
        assert sink.send("stdout", b"", False)
        sink._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        assert sink.send("stdout", b"x" * 100_000, False)
        entries = receiver.entries(3)
        assert receiver.files == 1, "what is too large for a datagram came as a file"
    assert entries == [
        {"MESSAGE": b"a\nb\xff", "PRIORITY": b"3", "CONTAINER_PARTIAL_MESSAGE": b"true", "CONTAINER_NAME": b"web"},
        {"MESSAGE": b"", "PRIORITY": b"6", "CONTAINER_NAME": b"web"},
        {"MESSAGE": b"x" * 100_000, "PRIORITY": b"6", "CONTAINER_NAME": b"web"},
    ]
    assert not sink.send("stdout", b"lost", False), "there is no journal any more"


def test_a_journal_that_does_not_read(tmp_path: pathlib.Path) -> None:
    """A line waits for a moment, the following ones do not; when there is room again, lines get through."""
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        sink = opened(f"journald\t{path}\n".encode())
        began = time.monotonic()
        sent = [sink.send("stdout", b"x" * 100, False) for _number in range(3000)]
        assert time.monotonic() - began < 5
        got = sent.index(False)
        assert not any(sent[got:])
        for _number in range(got):
            server.recv(1000)
        assert sink.send("stdout", b"again", False)


def lines_of(tmp_path: pathlib.Path, text: bytes, size: int, files: int) -> t.Tuple[Log, str]:
    path = str(tmp_path / "log")
    pathlib.Path(driver(path)).write_bytes(text)
    log = Log(path, size, files)
    log.feed("stdout", b"one\r\n" + b"p" * 20_000)
    log.finish()
    return log, path


def test_a_log_with_a_copy_and_without(tmp_path: pathlib.Path) -> None:
    with journal() as (name, receiver):
        for files in (1, 0):
            log, path = lines_of(tmp_path, f"journald\t/run/systemd/journal.{name}/socket\n".encode(), 0, files)
            assert read(path).startswith(b"one\r\n") is bool(files)
            assert os.path.exists(path) is bool(files)
            pathlib.Path(path).unlink(missing_ok=True)
        entries = receiver.entries(6)
    told = [(one["MESSAGE"][:3], len(one["MESSAGE"]), "CONTAINER_PARTIAL_MESSAGE" in one) for one in entries]
    assert told == [(b"one", 3, False), (b"ppp", 16384, True), (b"ppp", 3616, False)] * 2
    log.feed("stdout", b"away\n")
    assert log.dropped == 1


def test_attributes_of_lines(tmp_path: pathlib.Path) -> None:
    _log, path = lines_of(tmp_path, b'attrs\n"attrs":{"a":"b \\"c\\""},', 0, 1)
    first = pathlib.Path(path).read_text().splitlines()[0]
    assert first.startswith('{"log":"one\\r\\n","stream":"stdout","attrs":{"a":"b \\"c\\""},"time":"')
    assert read(path).startswith(b"one\r\n")


@pytest.mark.parametrize("text", [b"", b"journald", b"syslog\tunix", b"\xff\n"])
def test_a_damaged_file_keeps_no_container_from_its_log(tmp_path: pathlib.Path, text: bytes) -> None:
    """After a power cut it may be anything."""
    log, path = lines_of(tmp_path, text, 0, 1)
    assert read(path).startswith(b"one\r\n")
    assert log.dropped == 0


def test_attributes_go_with_the_last_label(tmp_path: pathlib.Path) -> None:
    """Labels change while a container runs; the next start tells the log's writer what is left."""
    path = str(tmp_path / "log")
    made = Container("c" * 64, "image", {}, "overlayfs", "key", labels={"team": "a"})
    options = {"log_options": {"labels": "team"}}
    tell(made, options, path)
    assert b"team" in pathlib.Path(driver(path)).read_bytes()
    for _turn in range(2):
        tell(made._replace(labels={}), options, path)
        assert not os.path.exists(driver(path))
