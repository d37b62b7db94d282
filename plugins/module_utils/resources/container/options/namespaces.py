# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of namespaces and of the control group's place. Those of other containers are joined by a path that a start makes (shared.py)."""

from __future__ import annotations

import os
import re
import typing as t

from ....errors import InvalidArgument, printable
from ....kernel.field import Field
from ....runtime_spec import namespaces as spec_of
from .others import by_name, container_of, mode_with, other_id
from .row import Context, Draft, Live, Row, Seen, Value, bad, fixed, parse_text

HOST, PRIVATE, SHAREABLE, NONE = "host", "private", "shareable", "none"
_SLICE = r"[A-Za-z0-9_.@:-]+\.slice"
_PARENT = r"/?[A-Za-z0-9_.@:-]+(/[A-Za-z0-9_.@:-]+)*"


def _parser(*words: str) -> t.Callable[[Value, str], str]:
    def parse(value: Value, option: str) -> str:
        text = parse_text(value, option)
        if text not in words and not container_of(text):
            raise bad(option, value, f"{', '.join(words)} or container:NAME")
        return text

    return parse


def _joined(draft: Draft, value: str, context: Context, kind: str) -> bool:
    """Join a namespace of the host or of another container; False if it has its own."""
    if not container_of(value) and value != HOST:
        return False
    from ..shared import pin_path

    spec_of.join(draft.spec, kind, pin_path(context.directory, kind, context.other_id(kind)) if container_of(value) else "")
    return True


def _ipc_mode(draft: Draft, value: str, context: Context) -> None:
    if value == PRIVATE:
        return
    from ..shared import HOST_MEMORY, HOST_QUEUES, memory_of

    if _joined(draft, value, context, "ipc"):
        if container_of(value):
            spec_of.share_memory(draft.spec, memory_of(context.directory, context.other_id("ipc")))
        else:
            spec_of.share_memory(draft.spec, HOST_MEMORY)
            spec_of.share_queues_of_host(draft.spec, os.path.isdir(HOST_QUEUES))
    elif value == SHAREABLE:
        spec_of.share_memory(draft.spec, memory_of(context.directory))
    elif value == NONE:
        spec_of.have_no_memory(draft.spec)


def _pid_mode(draft: Draft, value: str, context: Context) -> None:
    _joined(draft, value, context, "pid")


def _uts(draft: Draft, value: str, context: Context) -> None:
    if not _joined(draft, value, context, "uts"):
        return
    for option in ("hostname", "domainname"):
        if context.values[option]:
            raise InvalidArgument(
                f"{option}: {printable(context.values[option], 80)} cannot be set with uts={printable(value, 100)}"
            )
    draft.spec.pop("hostname", None)


def _cgroupns_mode(draft: Draft, value: t.Optional[str], context: Context) -> None:
    if value == HOST:
        spec_of.join(draft.spec, "cgroup", "")
    elif value == PRIVATE:
        spec_of.have_own(draft.spec, "cgroup")


def parse_cgroup_parent(value: Value, option: str) -> str:
    text = parse_text(value, option)
    if text and (not re.fullmatch(_PARENT, text) or ".." in text.split("/")):
        raise bad(option, value, "the path of a control group, such as /batch, nor the name of a slice")
    return text


def _cgroup_parent(draft: Draft, value: str, context: Context) -> None:
    if not value:
        return
    linux = draft.spec["linux"]
    own = str(linux["cgroupsPath"])
    if own.startswith("/"):
        linux["cgroupsPath"] = os.path.join("/", value, context.container_id)
        return
    # systemd manages the groups of this host.
    if not re.fullmatch(_SLICE, value):
        raise InvalidArgument(f"cgroup_parent: {printable(value, 100)!r} is not a slice of systemd, such as batch.slice")
    linux["cgroupsPath"] = ":".join([value, *own.split(":")[1:]])


def _mode_seen(option: str, kind: str, own: str) -> t.Callable[[Seen], str]:
    def seen_as(seen: Seen) -> str:
        if option in seen.values:
            value = str(seen.values[option] or own)
            if container_of(value):
                return mode_with(other_id(seen.spec, kind))
            return own if value == PRIVATE else value
        path = spec_of.path_of(seen.spec, kind)
        return path or (own if not seen.spec or spec_of.has_own(seen.spec, kind) else HOST)

    return seen_as


ROWS = (
    Row(
        Field("ipc_mode"),
        _parser(PRIVATE, SHAREABLE, HOST, NONE),
        fixed(PRIVATE),
        _ipc_mode,
        Live.NEVER,
        {"HostConfig.IpcMode": _mode_seen("ipc_mode", "ipc", PRIVATE)},
        known=by_name("ipc_mode"),
    ),
    Row(
        Field("pid_mode"),
        _parser(PRIVATE, HOST),
        fixed(PRIVATE),
        _pid_mode,
        Live.NEVER,
        {"HostConfig.PidMode": _mode_seen("pid_mode", "pid", "")},
        known=by_name("pid_mode"),
    ),
    Row(
        Field("uts"),
        _parser(PRIVATE, HOST),
        fixed(PRIVATE),
        _uts,
        Live.NEVER,
        {"HostConfig.UTSMode": _mode_seen("uts", "uts", "")},
        known=by_name("uts"),
    ),
    Row(
        Field("cgroupns_mode"),
        parse_text,
        fixed(None),
        _cgroupns_mode,
        Live.NEVER,
        {
            "HostConfig.CgroupnsMode": lambda seen: PRIVATE if spec_of.has_own(seen.spec, "cgroup") else HOST,
        },
    ),
    Row(
        Field("cgroup_parent"),
        parse_cgroup_parent,
        fixed(""),
        _cgroup_parent,
        Live.NEVER,
        {"HostConfig.CgroupParent": lambda seen: seen.values.get("cgroup_parent") or ""},
    ),
)
