# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log writer of the containerd engine: containerd's shim starts it for a binary:// log (containerd, runtime/v2/README.md).

It has the container's output on the descriptors 3 and 4, and the bundle as its working directory. It writes the json-file log.
After the container's end it asks the shim for the exit status and records it, since a daemon that was down at that moment
forgets it (1.7 and 2.x). Where the daemon does not supervise the container it does that, too (keep.py): a program of ours makes the
next task, which gets a log writer of its own. Like our shim it stays in memory, so it imports next to nothing.
"""

from __future__ import annotations

import posix as os
import time
from _signal import SIG_DFL, SIGTERM, signal
from select import POLLHUP, POLLIN, poll

from ..runtime.json_log import Log
from .ends import Memory, belong, poststop, raise_priority, there, ticks, watch
from .keep import Keeper
from .state import beginning, ending, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    import typing as t

#: Standard output, standard error, and the descriptor that we close when we are ready.
_DESCRIPTORS = (3, 4, 5)
_CHUNK = 64 * 1024
_LOOK_MS = 10


def main(arguments: list[str]) -> int:
    """arguments: the directory for state.json, the log, its max size, how many files, a file that is written where state.json cannot be,
    the seconds below, how often a supervisor has started the container, its last delay, and descriptors, where they are not 3, 4 and 5.

    late: 0, or how long to wait for output that the shim still carries to us when the container has ended (seconds): from a
    console, or through FIFOs. What is later than that is still written, until the task is deleted.
    """
    directory, path, size, files, spare, seconds, restarts, waited, *descriptors = arguments
    late, fds = float(seconds), [int(fd) for fd in descriptors] or _DESCRIPTORS
    for fd in fds:
        # Checks and programs of ours must not hold them.
        os.set_inheritable(fd, False)
    log, container_id, began = Log(path, int(size), int(files)), os.environ.get(b"CONTAINER_ID", b"").decode(), time.monotonic()
    me = os.getpid()
    known = f'{beginning(path, time.time())},"shim":[{me},{ticks(me)}],"restarts":{int(restarts)}'
    keeper = Keeper((directory,), container_id, int(restarts), float(waited))
    record(f"{{{known}}}\n", directory, spare, durable=False)
    belong("rootfs", fds[0], fds[1])
    os.close(fds[2])
    raise_priority()
    streams = {fds[0]: "stdout", fds[1]: "stderr"}
    init = Init()
    over = copy(log, keeper, streams, init, late)
    log.finish()
    # From here on only late output could be lost.
    if not late:
        # The shim that has sent SIGTERM meanwhile keeps a lock until we end (at most 12 s), which its answer needs.
        signal(SIGTERM, SIG_DFL)
        keeper.woken()
        over = over and not keeper.down
    ended = wait_for_end(container_id) if over else None
    keeper.listen()
    if ended:
        status, up = ended[0], time.monotonic() - began
        end = ending(*ended, init.memory.kills, log.dropped)
        delay = keeper.delay(status, up)
        record(f"{{{known},{end}{_next(keeper, delay)}}}\n", directory, spare)
        if delay >= 0:
            if keeper.hand_over(delay, status):
                return 0
            record(f"{{{known},{end}{_next(keeper, -1.0)}}}\n", directory, spare)
        poststop(".")
        keeper.clean_up()
        if late:
            copy(log, keeper, streams, Init(-2), 0)
            log.finish()
    return 0


def _next(keeper: Keeper, delay: float) -> str:
    """The members of the JSON object about what follows an end."""
    return ',"restarting":true' if delay >= 0 else ',"asked":true' if keeper.asked() else ',"asked":false'


def record(text: str, directory: str, spare: str, durable: bool = True) -> None:
    if not write(text, f"{directory}/state.json", spare, durable):
        from os import makedirs, path

        try:
            makedirs(path.dirname(spare), 0o700, exist_ok=True)
        except OSError:
            # The output is still written.
            return
        write(text, f"{directory}/state.json", spare, durable)


class Init:
    """The init process. fd: becomes readable at its end; -1 before it exists, -2 if it will not exist."""

    def __init__(self, fd: int = -1) -> None:
        self.fd, self.memory = fd, Memory("")

    def look(self, poller: t.Any, keeper: Keeper) -> None:
        if self.fd == -1:
            pid = init_pid()
            try:
                self.fd = watch(pid) if pid else -1
            except OSError:
                return
            if self.fd >= 0:
                poller.register(self.fd, POLLIN)
                self.memory = Memory(memory_events())
                self.memory.watch(poller)
                keeper.begin(pid, poller)


def copy(log: Log, keeper: Keeper, streams: dict[int, str], init: Init, late: float) -> bool:
    """Copy output to the log until the container's init process has ended (True), or the task is deleted (False).

    The shim keeps the pipes open until the task is deleted, so their end does not tell that the container has ended; and a container
    may close them, or its shim the FIFOs, before that.
    """
    poller = poll()
    poller.register(keeper.fd, POLLIN)
    left = dict(streams)
    for fd in left:
        os.set_blocking(fd, False)
        poller.register(fd, POLLIN | POLLHUP)
    init.look(poller, keeper)
    while left or init.fd >= 0:
        seconds = keeper.seconds()
        wait = _LOOK_MS if init.fd == -1 else seconds * 1000 if seconds is not None else None
        events = [fd for fd, _event in poller.poll(wait)]
        init.look(poller, keeper)
        if init.memory.fd in events:
            init.memory.look()
        keeper.work(events)
        # Check for the end before reading the pipes, so that no output from before the end is missed.
        over = keeper.down or init.fd in events
        for fd in [fd for fd in left if over or fd in events]:
            if not drain(fd, left[fd], log):
                poller.unregister(fd)
                del left[fd]
        if over:
            init.memory.close()
            keeper.over()
            wait_for_more(poller, left, log, late)
            return init.fd in events
    return False


def wait_for_more(poller: t.Any, left: dict[int, str], log: Log, late: float) -> None:
    """Copy until no output has come for that long."""
    while late and left:
        found = [fd for fd, _event in poller.poll(late * 1000) if fd in left]
        more = [drain(fd, left[fd], log) for fd in found]
        if not any(more):
            return


def drain(fd: int, name: str, log: Log) -> bool:
    """Copy the content of a pipe; False at its end."""
    while True:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return True
        if not data:
            return False
        log.feed(name, data)


def init_pid() -> int:
    """The container's init process; 0 before it exists."""
    try:
        with open("init.pid", encoding="utf-8") as stream:
            return int(stream.read())
    except (OSError, ValueError):
        return 0


def shim_address() -> tuple[str, int]:
    """Socket and protocol version of the shim that started us, from the bundle."""
    try:
        with open("bootstrap.json", encoding="utf-8") as stream:
            import json

            found = json.load(stream)
        return str(found["address"]), int(found["version"])
    except FileNotFoundError:
        pass
    with open("address", encoding="utf-8") as stream:
        return stream.read().strip(), 2


def wait_for_end(container_id: str) -> tuple[int, float] | None:
    """Exit status and time from the shim's Wait (ttrpc); None if it does not answer."""
    import _socket

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        address, version = shim_address()
        connection.connect(address.replace("unix://", "", 1))
        identifier = container_id.encode()
        request = field(1, b"containerd.task.v%d.Task" % version) + field(2, b"Wait") + field(3, field(1, identifier))
        connection.sendall(len(request).to_bytes(4, "big") + b"\x00\x00\x00\x01\x01\x00" + request)
        header = exactly(connection, 10)
        answer = parse(exactly(connection, int.from_bytes(header[:4], "big")))
    except (OSError, ValueError, KeyError):
        return None
    if 2 not in answer:
        return None
    found = parse(answer[2])
    when = parse(found.get(2, b""))
    return found.get(1, 0), when.get(1, 0) + when.get(2, 0) / 1e9


def exactly(connection: t.Any, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise OSError("the shim has ended")
        data += part
    return data


def field(number: int, data: bytes) -> bytes:
    """A length-delimited protobuf field of less than 128 bytes, or of less than 16384."""
    size = bytes((len(data),)) if len(data) < 128 else bytes((len(data) & 0x7F | 0x80, len(data) >> 7))
    return bytes((number << 3 | 2,)) + size + data


def parse(data: bytes) -> dict[int, t.Any]:
    """Varint and length-delimited protobuf fields by number. ValueError."""
    found: dict[int, t.Any] = {}
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while position < len(data):
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise ValueError("cut off")

    while position < len(data):
        tag = varint()
        number = varint()
        if tag & 7 == 2:
            found[tag >> 3] = data[position : position + number]
            position += number
        elif tag & 7 == 0:
            found[tag >> 3] = number
        else:
            raise ValueError("unexpected wire type")
    return found


def memory_events() -> str:
    """The file that counts the container's processes killed for memory. Its control group exists until the task is deleted."""
    import json

    with open("config.json", encoding="utf-8") as stream:
        path = str((json.load(stream).get("linux") or {}).get("cgroupsPath", ""))
    parts = path.split(":")
    if len(parts) == 3:
        path = f"/{parts[0]}/{parts[1]}-{parts[2]}.scope"
    if there("/sys/fs/cgroup/cgroup.controllers"):
        return f"/sys/fs/cgroup{path}/memory.events"
    return f"/sys/fs/cgroup/memory{path}/memory.oom_control"
