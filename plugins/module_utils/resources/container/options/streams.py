# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of standard input, output and error: terminal and log."""

from __future__ import annotations

import re
import typing as t

from ....engine.models import TaskIO
from ....errors import InvalidArgument, printable
from ....kernel.field import Field
from ....oci.sizes import parse_size
from ....runtime_spec.process import add_env
from .row import Context, Draft, Live, Row, Seen, Value, Values, bad, fixed, nothing, parse_flag, parse_text

_LOG_OPTIONS = {"max-size": 0, "max-file": 1}


def parse_log_options(value: Value, option: str) -> t.Dict[str, t.Any]:
    known = dict(_LOG_OPTIONS)
    for key in value:
        if key not in known:
            raise InvalidArgument(f"{option}: unknown log option {printable(key, 80)!r}, known are max-file and max-size")
    if "max-size" in value:
        known["max-size"] = parse_size(value["max-size"], f"{option}.max-size")
    if "max-file" in value:
        if not re.match(r"0*[1-9][0-9]{0,8}\Z", str(value["max-file"])):
            raise bad(f"{option}.max-file", value["max-file"], "a positive number")
        known["max-file"] = int(value["max-file"])
    return known


def log_path(directory: str, container_id: str) -> str:
    """The path of a container's log."""
    return f"{directory}/{container_id}-json.log"


def task_io(spec: t.Mapping[str, t.Any], values: Values, log_path: str) -> TaskIO:
    """The input and output of a start."""
    log = values.get("log_options") or _LOG_OPTIONS
    return TaskIO(
        terminal=bool((spec.get("process") or {}).get("terminal")),
        stdin=bool(values.get("interactive")),
        log_path="" if values.get("log_driver") == "none" else log_path,
        log_max_size=int(log["max-size"]),
        log_max_files=int(log["max-file"]),
    )


def _rotation(draft: Draft, value: t.Mapping[str, t.Any], context: Context) -> None:
    """A start tells it to the log's writer, which looks at this file for changes."""
    from ....runtime.json_log import rotation

    if context.root < 0 and context.values["log_driver"] != "none":
        path = rotation(log_path(context.directory, context.container_id))
        draft.edits[path] = lambda old: b"%d %d\n" % (value["max-size"], value["max-file"])


def _tty(draft: Draft, value: bool, context: Context) -> None:
    draft.process["terminal"] = value
    if value:
        add_env(draft.spec, {"TERM": "xterm"})


def _log_options_seen(seen: Seen) -> t.Dict[str, str]:
    log = seen.values.get("log_options") or _LOG_OPTIONS
    return {"max-file": str(log["max-file"]), **({"max-size": str(log["max-size"])} if log["max-size"] else {})}


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
    Row(
        Field("log_driver"),
        parse_text,
        fixed("json-file"),
        nothing,
        Live.NEVER,
        {"HostConfig.LogConfig.Type": lambda seen: seen.values.get("log_driver", "json-file")},
    ),
    Row(
        Field("log_options", "dict"),
        parse_log_options,
        fixed(_LOG_OPTIONS),
        _rotation,
        Live.FILES,
        {"HostConfig.LogConfig.Config": _log_options_seen},
    ),
)
