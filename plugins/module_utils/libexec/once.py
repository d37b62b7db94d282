# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a process in a container once and wait for it, as a health check does (health.py), but for a task."""

from __future__ import annotations

import json
import os
import typing as t

from ..hostfs.atomic import closing, remove_file, write_file
from .health import Check

_CHUNK = 64 * 1024


def run_once(
    runtime: t.Sequence[str], container_id: str, process: t.Mapping[str, t.Any], directory: str, timeout: float
) -> t.Tuple[int, bytes]:
    """The exit status (-1: there is none, since the time was over) and the beginning of the output.

    runtime: its command up to the verb. process: as in the runtime spec. directory: for files of this run. timeout: seconds. A fork does
    it, which ends the process when we end, however that happens.
    """
    path = os.path.join(directory, "once")
    write_file(f"{path}.json", json.dumps(process).encode(), durable=False)
    command = [*runtime, "exec", "--process", f"{path}.json", "--pid-file", f"{path}.pid", container_id]
    leash, ours = os.pipe()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(ours)
            os.write(writer, Check(command, container_id, timeout, leash).run())
        finally:
            os._exit(0)
    os.close(leash)
    os.close(writer)
    try:
        with closing(reader):
            answer = os.read(reader, _CHUNK)
    finally:
        os.close(ours)
        os.waitpid(child, 0)
        for ending in (".json", ".pid"):
            remove_file(path + ending)
    status, _space, output = answer.partition(b" ")
    return int(status or -1), output
