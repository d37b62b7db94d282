# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session at a host that a command reaches, such as ssh or sudo (serve.py has its other end). docs/adr/0047.

The command has to run /bin/sh there, with our pipes at its standard input and output. Nothing of it needs quoting, so the command may
be one that hands words to another shell. The host needs Python, and keeps our code for the next time.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shlex
import subprocess
import tempfile
import typing as t

from ... import errors
from ...errors import EngineError, InvalidArgument, Unavailable, printable
from ...libexec.ends import watch
from . import frames
from .talk import Talk, held

if t.TYPE_CHECKING:
    from ...kernel.engines import EngineOptions
    from .entry import As
    from .talk import Conversation

_CHUNK = 1 << 20
_READY = b"fleet.containerd is ready\n"
_END_SECONDS = 20.0
#: The other end of _start(). The directory with our code is written to by nobody but who runs this.
_BOOT = """
import os, shutil, struct, sys, tempfile
def take(size):
    data = b""
    while len(data) < size:
        more = os.read(0, size - len(data))
        if not more:
            sys.exit(1)
        data += more
    return data
os.umask(0o022)
os.write(1, b"fleet.containerd is ready\\n")
key = take(64).decode()
top = "/var/cache/fleet-containerd-sessions" if os.geteuid() == 0 else os.path.expanduser("~/.cache/fleet-containerd-sessions")
try:
    os.makedirs(top, 0o700, exist_ok=True)
    found = os.lstat(top)
    kept = found.st_uid == os.geteuid() and not found.st_mode & 0o022 and os.access(top, os.W_OK)
except OSError:
    kept = False
place = os.path.join(top, key)
try:
    # Code that is used is not old.
    os.utime(place)
    there = kept
except OSError:
    there = False
os.write(1, b"+" if there else b"-")
if not there:
    import io, zipfile
    data = take(struct.unpack(">I", take(4))[0])
    made = tempfile.mkdtemp(dir=top if kept else None)
    zipfile.ZipFile(io.BytesIO(data)).extractall(made)
    if kept:
        for directory, _names, files in os.walk(made):
            for name in files:
                with open(os.path.join(directory, name)) as stream:
                    os.fsync(stream.fileno())
        try:
            os.rename(made, place)
        except OSError:
            shutil.rmtree(made)
    else:
        place = made
sys.path.insert(0, place)
from fleet.resources.container.serve import main
main(place if not kept else "", top if kept else "", key)
"""
_SCRIPT = """for python in /usr/bin/python3 /usr/libexec/platform-python python3; do
command -v $python >/dev/null && exec $python -I -c {boot}
done
echo 'there is no python3' >&2
exit 127
"""


def reaching(prefix: str, host: str, ssh_args: str) -> t.List[str]:
    """The command of an AfarSession from the options of plugins; empty where they name no other host. InvalidArgument."""
    words = _split(prefix, "command_prefix")
    if not host:
        return words
    if host.startswith("-"):
        raise InvalidArgument(f"ssh_host: {printable(host, 100)!r} is not a host")
    home = os.path.expanduser("~")
    arguments = [os.path.expanduser(word.replace("=~/", f"={home}/")) for word in _split(ssh_args, "ssh_args")]
    os.makedirs(os.path.join(home, ".ansible", "cp"), 0o700, exist_ok=True)
    # What follows the host is for the shell there.
    return ["ssh", "-T", *arguments, host, *map(shlex.quote, words)]


def _split(text: str, option: str) -> t.List[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidArgument(f"{option}: cannot split {printable(text, 200)!r}: {error}") from error


class AfarSession:
    """As Session (session.py). command: reaches the host. Unavailable when it does not."""

    def __init__(self, command: t.Sequence[str], options: EngineOptions, name: str, how: As) -> None:
        self._command, self._errors = command, tempfile.TemporaryFile()
        self._opening = json.dumps({"options": options._asdict(), "name": name, "how": how._asdict()}).encode()
        self._process: t.Optional[subprocess.Popen[bytes]] = None
        self._wire: t.Optional[_Wire] = None

    def run(self, words: t.Sequence[str], conversation: Conversation) -> int:
        """Run a command. Returns its exit status."""
        wire = self._connected()
        self._send(frames.RUN, words)
        done = False
        try:
            status = held(wire, _Heard(conversation, wire), _Sender)
            done = True
        finally:
            if not done:
                # The end of what was said is still on its way, so this connection is of no more use.
                self.close()
        return status

    def put(self, source: t.BinaryIO, path: str) -> None:
        """Write a file of the container."""
        wire = self._connected()
        self._send(frames.PUT, path)
        with self._explained():
            while True:
                data = source.read(_CHUNK)
                if not data:
                    break
                for part in frames.split(frames.INPUT, data):
                    frames.write(wire.stdin, part)
            frames.write(wire.stdin, frames.packed(frames.END))
        self._answer(lambda _data: None)

    def fetch(self, path: str, target: t.BinaryIO) -> None:
        """Read a file of the container."""
        self._connected()
        self._send(frames.FETCH, path)
        self._answer(target.write)

    def look(self) -> t.Tuple[t.List[t.Dict[str, t.Any]], t.List[str]]:
        """As look() there (look.py)."""
        self._connected()
        self._send(frames.LOOK, json.loads(self._opening)["options"])
        told = bytearray()
        self._answer(told.extend)
        containers, warnings = json.loads(told)
        return containers, warnings

    def close(self) -> None:
        process, wire, self._process, self._wire = self._process, self._wire, None, None
        if wire:
            wire.close()
        if process:
            # It ends with its input, unless the network has gone.
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _send(self, kind: bytes, document: t.Any) -> None:
        with self._explained():
            for part in frames.split(kind, json.dumps(document).encode()):
                frames.write(self._connected().stdin, part)

    def _answer(self, receive: t.Callable[[bytes], t.Any]) -> None:
        wire = self._connected()
        while True:
            frame = wire.reader.next()
            if frame is None:
                raise self._broken()
            if frame[0] == frames.OUT:
                receive(frame[1])
            else:
                wire.end(frame)
                wire.status()
                return

    @contextlib.contextmanager
    def _explained(self) -> t.Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            # Its text would follow: ansible-core shows causes, too.
            raise self._broken() from None

    def _broken(self) -> EngineError:
        """The other end is gone."""
        process = self._process
        self.close()
        status = process.returncode if process else 0
        self._errors.seek(0)
        said = self._errors.read(64 * 1024).decode("utf-8", "replace").strip().splitlines()
        reason = printable(said[-1], 400) if said else f"exit status {status}"
        return Unavailable(
            f"the host of the container cannot be reached by {printable(shlex.join(self._command), 200)}: {reason}"
        )

    def _connected(self) -> _Wire:
        if self._wire is None:
            self._start()
        return t.cast(_Wire, self._wire)

    def _start(self) -> None:
        try:
            process = subprocess.Popen(
                [*self._command, "/bin/sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, bufsize=0
            )
        except OSError as error:
            raise Unavailable(f"{printable(shlex.join(self._command), 200)} cannot be run: {error.strerror}") from error
        self._process = process
        stdin, stdout = _pipes(process)
        with self._explained():
            # The shell may read ahead, so it gets no more than its script before that has begun.
            frames.write(stdin, _SCRIPT.format(boot=shlex.quote(_BOOT)).encode())
            said = b""
            while not said.endswith(_READY):
                said += self._read(stdout, 1)
            frames.write(stdin, _version().encode())
            if self._read(stdout, 1) == b"-":
                archive = _archive()
                frames.write(stdin, len(archive).to_bytes(4, "big") + archive)
        self._wire = _Wire(process, self._broken)
        self._send(frames.OPEN, json.loads(self._opening))

    def _read(self, fd: int, size: int) -> bytes:
        data = os.read(fd, size)
        if not data:
            raise self._broken()
        return data


class _Wire:
    """The helper, as something to talk with."""

    stderr = -1

    def __init__(self, process: subprocess.Popen[bytes], broken: t.Callable[[], EngineError]) -> None:
        self._process, self._broken = process, broken
        self.stdin, self.stdout = _pipes(process)
        self.ended, self.reader = watch(process.pid), frames.Reader(self.stdout)
        for fd in (self.stdin, self.stdout):
            os.set_blocking(fd, False)
        self._last: t.Optional[frames.Frame] = None

    def end(self, frame: frames.Frame) -> None:
        self._last = frame

    def status(self) -> int:
        """What the last frame says. The errors of the other end are raised here."""
        if self._last is None:
            raise self._broken()
        (kind, data), self._last = self._last, None
        found = json.loads(data)
        if kind == frames.FAILED:
            raise getattr(errors, found[0], EngineError)(found[1])
        return int(found or 0)

    def close_stdin(self) -> None:
        """Never: it takes more commands."""

    def close(self) -> None:
        os.close(self.ended)


class _Heard:
    """A conversation by frames."""

    def __init__(self, conversation: Conversation, wire: _Wire) -> None:
        self._conversation, self._wire = conversation, wire
        self._talk: t.Optional[Talk] = None
        self.patience = conversation.patience

    def begin(self, sender: _Sender) -> None:
        self._talk = sender.talk
        self._conversation.begin(sender)

    def late(self) -> None:
        self._conversation.late()

    def receive(self, _name: str, data: bytes) -> None:
        self._wire.reader.add(data)
        for kind, part in self._wire.reader.frames():
            if kind in (frames.OUT, frames.ERR):
                self._conversation.receive("stdout" if kind == frames.OUT else "stderr", part)
            elif self._talk:
                self._wire.end((kind, part))
                self._talk.stop()


class _Sender:
    """What is sent goes in frames."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk

    def send(self, data: bytes) -> None:
        self.talk.send(b"".join(frames.split(frames.INPUT, data)))

    def finish(self) -> None:
        self.talk.send(frames.packed(frames.END))


def _version() -> str:
    """A name for our code as it is on this machine, which costs less than to read it."""
    top, digest = os.path.dirname(os.path.abspath(errors.__file__)), hashlib.sha256()
    for directory, names, files in os.walk(top):
        names.sort()
        for name in sorted(files):
            if name.endswith(".py"):
                path = os.path.join(directory, name)
                found = os.stat(path)
                digest.update(f"{path[len(top) :]} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _pipes(process: subprocess.Popen[bytes]) -> t.Tuple[int, int]:
    """Our ends of its input and output."""
    return t.cast(t.Any, process.stdin).fileno(), t.cast(t.Any, process.stdout).fileno()


def _archive() -> bytes:
    import zipfile

    from ...libexec.closure import closure
    from . import serve

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in closure(serve.__name__):
            archive.writestr(f"{name}.py", text)
    return out.getvalue()
