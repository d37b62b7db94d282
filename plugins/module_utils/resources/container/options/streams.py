# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of standard input, output and error. Where the log goes is in log.py."""

from __future__ import annotations

import typing as t

from ....engine.models import TaskIO
from ....kernel.field import Field
from ....runtime_spec.process import add_env
from .log import files_of
from .row import Context, Draft, Live, Row, Values, fixed, nothing, parse_flag


def log_path(directory: str, container_id: str) -> str:
    """The path of a container's log."""
    return f"{directory}/{container_id}-json.log"


def task_io(spec: t.Mapping[str, t.Any], values: Values, log_path: str) -> TaskIO:
    """The input and output of a start."""
    size, files = files_of(values)
    return TaskIO(
        terminal=bool((spec.get("process") or {}).get("terminal")),
        stdin=bool(values.get("interactive")),
        log_path="" if values.get("log_driver") == "none" else log_path,
        log_max_size=size,
        log_max_files=files,
    )


def _tty(draft: Draft, value: bool, context: Context) -> None:
    draft.process["terminal"] = value
    if value:
        add_env(draft.spec, {"TERM": "xterm"})


ROWS = (
    Row(
        Field("tty"), parse_flag, fixed(False), _tty, Live.NEVER, {"Config.Tty": lambda seen: bool(seen.process.get("terminal"))}
    ),
    Row(
        Field("interactive"),
        parse_flag,
        fixed(False),
        nothing,
        Live.NEVER,
        {"Config.OpenStdin": lambda seen: bool(seen.values.get("interactive"))},
    ),
)
