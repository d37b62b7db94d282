# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the log of a container is: of ours, of nerdctl's and of the kubelet's."""

from __future__ import annotations

import glob
import gzip
import itertools
import json
import os
import typing as t

from ...engine.labels import DESIRED
from ...errors import FailedPrecondition, NotFound, Unimplemented, from_os_error, printable
from ...hostfs.atomic import read_file
from ...runtime.json_log import rotated
from ...runtime.logs import blocks
from ..container.options.streams import log_path
from ..container.options.table import values_of
from .formats import Record, from_cri, from_json

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container, TaskState

#: nerdctl (pkg/labels, pkg/logging).
_STATE_DIR, _LOG_CONFIG = "nerdctl/state-dir", "log-config.json"
#: How much of a compressed file is looked at; the kubelet rotates at 10 MiB.
_UNPACKED = 256 * 1024 * 1024


class Log:
    """path: of the file that is written now. cri: in the kubelet's format."""

    def __init__(self, path: str, cri: bool = False) -> None:
        self.path, self.cri = path, cri

    def parse(self, line: bytes) -> t.Optional[Record]:
        return from_cri(line) if self.cri else from_json(line)

    def backwards(self, fd: int, end: int) -> t.Iterator[Record]:
        """The records up to a position in an open file of this log (-1: it has none), and those of the files before; the last one first."""
        for lines in self._blocks(fd, end) if fd >= 0 else ():
            yield from filter(None, map(self.parse, reversed(lines)))

    def _blocks(self, fd: int, end: int) -> t.Iterator[t.List[bytes]]:
        yield from blocks(fd, end)
        seen = [os.fstat(fd)]
        names = [self.path, *self.rotated()]
        # Those before it in the list are newer: somebody rotates meanwhile.
        newer = list(itertools.takewhile(lambda path: not same_file(path, seen[0]), names))
        for path in names[len(newer) + 1 :] if len(newer) < len(names) else names:
            try:
                with open(path, "rb", buffering=0) as stream:
                    found = os.fstat(stream.fileno())
                    # A file may show up again under its next name.
                    if any(os.path.samestat(found, one) for one in seen):
                        continue
                    seen.append(found)
                    if path.endswith(".gz"):
                        yield gzip.GzipFile(fileobj=stream).read(_UNPACKED).split(b"\n")
                    else:
                        yield from blocks(stream.fileno(), found.st_size)
            except FileNotFoundError:
                continue
            except (OSError, EOFError) as error:
                raise from_os_error(error if isinstance(error, OSError) else OSError(str(error)), f"reading {path}") from error

    def rotated(self) -> t.List[str]:
        """The files before the present one, the newest first. The kubelet adds the time to the name, and compresses all but one."""
        if self.cri:
            found = glob.glob(f"{glob.escape(self.path)}.[0-9]*")
            return sorted((one for one in found if not one.endswith(".tmp")), reverse=True)
        names = itertools.takewhile(os.path.exists, (rotated(self.path, number) for number in itertools.count(1)))
        return list(names)


def same_file(path: str, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), file)
    except OSError:
        return False


def log_of(engine: Engine, container: Container, task: t.Optional[TaskState], name: str) -> Log:
    """FailedPrecondition, Unimplemented, when nobody keeps what it prints."""
    if DESIRED in container.extensions:
        path, driver = log_path(engine.container_path(container.id), container.id), values_of(container).get("log_driver")
        if driver == "none" or (task and not task.log_path and not os.path.exists(path)):
            raise FailedPrecondition(
                f"container: {name} has log_driver {driver or 'none'}, and nobody keeps what it prints: give it log_driver json-file"
            )
        return Log(path)
    if container.cri_log:
        return Log(container.cri_log, cri=True)
    state = container.labels.get(_STATE_DIR)
    if state:
        return _of_nerdctl(state, container.id, name)
    raise Unimplemented(
        f"container: {name} was made neither by this collection nor by nerdctl or the kubelet, so its output is only where the tool that "
        "made it has sent it: with ctr, in the file of --log-uri"
    )


def _of_nerdctl(state: str, container_id: str, name: str) -> Log:
    try:
        config = json.loads(read_file(os.path.join(state, _LOG_CONFIG)) or b"{}")
        driver, options = str(config.get("driver") or "json-file"), config.get("opts") or {}
        path = str(options.get("log-path") or "")
    except (ValueError, AttributeError, RecursionError) as error:
        raise NotFound(f"container: the log configuration of {name} in {printable(state, 200)} cannot be read") from error
    if driver != "json-file":
        where = f": journalctl CONTAINER_ID={container_id[:12]} has it" if driver == "journald" else ""
        raise Unimplemented(f"container: {name} has the log driver {printable(driver, 40)}, which is not read here{where}")
    return Log(path or os.path.join(state, f"{container_id}-json.log"))
