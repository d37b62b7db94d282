# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands and files in a container that runs, one after another: for what is not a module, such as a connection."""

from __future__ import annotations

import functools
import os
import typing as t

from ...errors import from_os_error, printable
from ...hostfs.atomic import closing
from ...kernel.engines import EngineOptions, open_engine
from .entry import As, Inside, enter, process_of
from .talk import held

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from .talk import Conversation

_CHUNK = 1 << 20


class Session:
    """name: of the container. how: of all commands; its user has the files, too. The container may be another one with each command."""

    def __init__(self, options: EngineOptions, name: str, how: As) -> None:
        self._options, self._name, self._how = options, name, how

    @functools.cached_property
    def _engine(self) -> Engine:
        return open_engine(self._options)

    def _inside(self) -> Inside:
        return enter(self._engine, self._options, self._name)

    def run(self, words: t.Sequence[str], conversation: Conversation) -> int:
        """Run a command. Returns its exit status."""
        inside = self._inside()
        with inside.engine.tasks.exec(inside.container, process_of(inside, words, self._how), True) as execution:
            return held(execution, conversation)

    def put(self, source: t.BinaryIO, path: str) -> None:
        """Write a file of the container."""
        from .transfer import open_to_write

        with closing(open_to_write(self._inside(), self._how.user, path)) as fd:
            try:
                while True:
                    data = source.read(_CHUNK)
                    if not data:
                        break
                    while data:
                        data = data[os.write(fd, data) :]
            except OSError as error:
                raise from_os_error(error, f"writing {printable(path, 300)} in the container {self._name}") from error

    def fetch(self, path: str, target: t.BinaryIO) -> None:
        """Read a file of the container."""
        from .transfer import open_to_read

        with closing(open_to_read(self._inside(), self._how.user, path)) as fd:
            while True:
                data = os.read(fd, _CHUNK)
                if not data:
                    break
                target.write(data)

    def close(self) -> None:
        if "_engine" in self.__dict__:
            self._engine.close()
            del self.__dict__["_engine"]
