# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the installed containerd about configurations: its default, its version, whether it accepts one, what it ignores.

A configuration (main file and imports) is handed over in memory (memfd_create(2)), so that asking writes no file.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import typing as t

from ..errors import FailedPrecondition, InvalidArgument, Unavailable, from_os_error, printable
from .edit import Document
from .files import ConfigText
from .migrate import version_of
from .reading import parse
from .values import Tree, dotted

_SECONDS = 60.0
_DIRECTORIES = ("/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin", "/bin", "/sbin")
_VERSION = re.compile(r"\sv?(\d+)\.(\d+)\.\d+")
_IGNORED = re.compile(r'msg="Ignoring unknown key in TOML[^"]*".*?\bkey=("(?:[^"\\]|\\.)*"|\S+)(?:.*?\bplugin=(\S+))?')
_DESCRIPTOR = re.compile(r"/proc/self/fd/(\d+)")


def find(binary: str) -> str:
    """The path of the containerd program; empty when it is not installed. binary: the path that the user gave."""
    if binary:
        return binary if os.access(binary, os.X_OK) and os.path.isfile(binary) else ""
    return shutil.which("containerd", path=os.pathsep.join([os.environ.get("PATH", ""), *_DIRECTORIES])) or ""


class Containerd:
    """An installed containerd. Each question is asked once."""

    def __init__(self, binary: str) -> None:
        self.binary = binary
        self._answers: t.Dict[str, str] = {}
        self._default: Tree = {}

    @property
    def version(self) -> t.Tuple[int, int]:
        """Major and minor."""
        text = self._ask("--version")
        match = _VERSION.search(text)
        if not match:
            raise FailedPrecondition(f"{self.binary} --version says {printable(text.strip(), 100)!r}: this is not containerd")
        return int(match.group(1)), int(match.group(2))

    @property
    def default_text(self) -> str:
        return self._ask("config", "default")

    @property
    def default(self) -> Tree:
        if not self._default:
            self._default = parse(self.default_text, f"the output of {self.binary} config default")
        return self._default

    @property
    def newest(self) -> int:
        """The newest version of the configuration that it reads."""
        return version_of(self.default)

    def _ask(self, *arguments: str) -> str:
        key = " ".join(arguments)
        if key not in self._answers:
            done = self._run(arguments)
            if done.returncode:
                raise FailedPrecondition(f"{self.binary} {key} failed: {_complaint(done.stderr)}")
            self._answers[key] = done.stdout
        return self._answers[key]

    def _run(self, arguments: t.Sequence[str], descriptors: t.Sequence[int] = ()) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "LC_ALL": "C"}
        try:
            return subprocess.run(
                [self.binary, *arguments],
                capture_output=True,
                text=True,
                errors="replace",
                env=environment,
                pass_fds=descriptors,
                timeout=_SECONDS,
                check=False,
            )
        except OSError as error:
            raise from_os_error(error, f"running {self.binary}") from error
        except subprocess.TimeoutExpired:
            raise Unavailable(f"{self.binary} {' '.join(arguments[-2:])} did not end within {_SECONDS:.0f} s") from None

    def dump(self, sources: t.Sequence[ConfigText]) -> t.List[str]:
        """Let it read a configuration, the main file first. Returns the keys that it ignores. InvalidArgument when it refuses."""
        names: t.Dict[int, str] = {}
        with contextlib.ExitStack() as stack:
            imports: t.List[str] = []
            for source in reversed(sources):
                main = source is sources[0]
                text = _with_imports(source, imports[::-1] if main else [])
                descriptor = os.memfd_create("config.toml", 0)
                stack.callback(os.close, descriptor)
                os.write(descriptor, text.encode())
                names[descriptor] = source.name
                imports.append(f"/proc/self/fd/{descriptor}")
            done = self._run(["--config", imports[-1], "config", "dump"], list(names))
        said = _DESCRIPTOR.sub(lambda match: names.get(int(match.group(1)), "the configuration"), done.stderr)
        if done.returncode:
            raise InvalidArgument(f"containerd {'.'.join(map(str, self.version))} refuses the configuration: {_complaint(said)}")
        return sorted({_ignored(match) for match in _IGNORED.finditer(said)})


def _with_imports(source: ConfigText, imports: t.List[str]) -> str:
    if not source.tree.get("imports") and not imports:
        return source.text
    document = Document(source.text, source.name)
    document.set(("imports",), imports)
    return document.finish()


def _complaint(stderr: str) -> str:
    """The line of its standard error that tells the reason."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    own = [line[len("containerd: ") :] for line in lines if line.startswith("containerd: ")]
    own = own or [line for line in lines if line.startswith("panic: ")]
    return printable((own or lines or ["it said nothing"])[-1])


def _ignored(match: t.Match[str]) -> str:
    keys = match.group(1).strip('"').split(" ")
    plugin = (match.group(2) or "").strip('"')
    return dotted(["plugins", plugin, *keys] if plugin else keys)
