# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugins of others: programs that are run by the CNI protocol (specification 1.0)."""

from __future__ import annotations

import json
import os
import typing as t

from ..errors import EngineError, NotFound, Unavailable, from_os_error, printable
from . import programs
from .attachment import Call
from .result import Document, Result

#: DHCP alone may take 45 seconds.
_TIMEOUT = 120.0


def find(kind: str, bin_dirs: t.Sequence[str]) -> str:
    """The program of a plugin; empty when there is none. The type is a name, as every conflist is checked for."""
    for directory in bin_dirs:
        path = os.path.join(directory, kind)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return ""


def run(command: str, call: Call, kind: str = "") -> t.Optional[Result]:
    """ADD, DEL or CHECK. kind: the type of an address management plugin that is called for the plugin itself."""
    kind = kind or call.kind
    program = find(kind, call.host.bin_dirs)
    if not program:
        raise NotFound(f"network {call.network}: the plugin {kind} is in none of {', '.join(call.host.bin_dirs)}")
    try:
        done = programs.run([program], json.dumps(_document(call)), _TIMEOUT, _environment(command, call))
    except TimeoutError as error:
        raise Unavailable(f"network {call.network}: the plugin {kind} has not ended in {_TIMEOUT:.0f} s") from error
    except OSError as error:
        raise from_os_error(error, f"starting {program}") from error
    if done.status:
        raise EngineError(f"network {call.network}: the plugin {kind} failed: {_reason(done.stdout, done.stderr)}")
    if command != "ADD":
        return None
    try:
        return Result.of(json.loads(done.stdout))
    except ValueError as error:
        raise EngineError(f"network {call.network}: the plugin {kind} gave no JSON: {printable(done.stdout, 120)}") from error


def _document(call: Call) -> Document:
    """What it reads: its configuration, which knows the network, what it can be told, and the result so far."""
    found = {**call.conf, "name": call.network, "cniVersion": call.version}
    able = found.pop("capabilities", None)
    offered = call.attachment.capabilities()
    told = {key: offered[key] for key, value in (able or {}).items() if value and key in offered}
    if told:
        found["runtimeConfig"] = told
    if call.previous is not None:
        found["prevResult"] = call.previous.to_json(call.version)
    return found


def _environment(command: str, call: Call) -> t.Dict[str, str]:
    one = call.attachment
    able = call.conf.get("capabilities") or {}
    arguments = ["IgnoreUnknown=1"]
    if one.ips and not able.get("ips"):
        arguments.append(f"IP={one.ips[0]}")
    if one.mac and not able.get("mac"):
        arguments.append(f"MAC={one.mac}")
    return {
        "PATH": os.environ.get("PATH") or "/usr/sbin:/usr/bin:/sbin:/bin",
        "CNI_COMMAND": command,
        "CNI_CONTAINERID": one.container_id,
        "CNI_NETNS": one.netns,
        "CNI_IFNAME": one.interface,
        "CNI_ARGS": ";".join(arguments),
        "CNI_PATH": ":".join(call.host.bin_dirs),
    }


def _reason(stdout: str, stderr: str) -> str:
    """The plugin's own words: an error object on stdout, or what it wrote elsewhere."""
    try:
        found = json.loads(stdout)
        words = " ".join(str(found[key]) for key in ("msg", "details") if found.get(key))
    except (ValueError, TypeError, AttributeError, KeyError):
        words = stdout.strip() or stderr.strip()
    return printable(words, 300) or "it tells no reason"
