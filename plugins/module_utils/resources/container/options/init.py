# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the first process: an init program before it, or systemd as it."""

from __future__ import annotations

import os
import shutil
import typing as t

from ....errors import FailedPrecondition, InvalidArgument, printable
from ....kernel.field import Field
from ....runtime_spec.mounts import mount
from ....runtime_spec.namespaces import have_own
from ....runtime_spec.process import add_env
from .process import INIT, command_line, words_of
from .row import (
    Base,
    Context,
    Defaults,
    Draft,
    Host,
    Live,
    Row,
    Seen,
    Value,
    Values,
    fixed,
    nothing,
    parse_absolute,
    parse_flag,
    parse_text,
)

#: In the order of preference; those of distributions that are linked statically.
_PROGRAMS = ("docker-init", "catatonit", "tini-static", "tini", "dumb-init")
_SEARCH = (
    "/usr/bin",
    "/usr/sbin",
    "/bin",
    "/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/libexec/podman",
    "/usr/libexec/docker",
)
_SYSTEMD = ("/sbin/init", "/usr/sbin/init", "/usr/local/sbin/init")
_RTMIN_3 = 37
ALWAYS, TRUE, FALSE = "always", "true", "false"


def parse_systemd(value: Value, option: str) -> str:
    return parse_text(value, option).lower()


def runs_systemd(mode: t.Optional[str], command: t.Sequence[str]) -> bool:
    """Whether a container with this command gets what systemd needs."""
    first = command[0] if command else ""
    return mode == ALWAYS or (mode == TRUE and (first in _SYSTEMD or os.path.basename(first) == "systemd"))


def stop_signal_of(defaults: Defaults, given: Values) -> int:
    """What asks systemd to stop; 0 for another program."""
    return _RTMIN_3 if runs_systemd(given.get("systemd"), words_of(defaults, given)) else 0


def find_init(values: Values) -> str:
    """The init program on the target. It runs without the libraries of the image, so it must be linked statically."""
    from ....runtime.executables import is_static

    given = values.get("init_binary")
    if given:
        if not os.access(given, os.X_OK) or os.path.isdir(given):
            raise InvalidArgument(f"init_binary: {printable(given, 200)} is no program on the target")
        if not is_static(given):
            raise InvalidArgument(
                f"init_binary: {printable(given, 200)} needs libraries, which images do not have: give one that is linked statically"
            )
        return str(given)
    for name in _PROGRAMS:
        found = shutil.which(name, path=os.pathsep.join(_SEARCH))
        if found and is_static(found):
            return found
    raise FailedPrecondition(
        f"init: the target has none of the programs {', '.join(_PROGRAMS)}, linked statically: install the package catatonit or tini, "
        "or give init_binary"
    )


def _init(draft: Draft, value: bool, context: Context) -> None:
    if value:
        options = "bind ro rprivate nosuid nodev"
        draft.spec["mounts"].append(mount(INIT, "bind", os.path.realpath(find_init(context.values)), options))
        draft.process["args"] = [INIT, "--", *draft.process["args"]]


def _check_init(host: Host, value: t.Optional[bool]) -> None:
    if value or host.given.get("init_binary"):
        find_init(host.given)


def _init_of(defaults: Defaults, given: Values) -> bool:
    return bool(given.get("init_binary"))


def _systemd(draft: Draft, value: str, context: Context) -> None:
    """Room for its state, and its own control group to write to, which is the root of all that it sees."""
    if not runs_systemd(value, command_line(context.values, context.image)):
        return
    for path, mode in (("/run", "755"), ("/run/lock", "1777"), ("/tmp", "1777"), ("/var/log/journal", "755")):
        if all(one["destination"] != path for one in draft.spec["mounts"]):
            draft.spec["mounts"].append(mount(path, "tmpfs", "tmpfs", f"nosuid nodev mode={mode}"))
    for one in draft.spec["mounts"]:
        if one["destination"] == "/sys/fs/cgroup":
            one["options"] = [option if option != "ro" else "rw" for option in one["options"]]
    if context.values["cgroupns_mode"] is None:
        have_own(draft.spec, "cgroup")
    if "container" not in context.values["env"]:
        add_env(draft.spec, {"container": "oci"})


def _init_seen(seen: Seen) -> bool:
    return list(seen.process.get("args") or ())[:1] == [INIT]


ROWS = (
    Row(
        Field("init"),
        parse_flag,
        Base(_init_of),
        _init,
        Live.NEVER,
        {"HostConfig.Init": _init_seen},
        host=_check_init,
    ),
    Row(
        Field("init_binary"),
        parse_absolute,
        fixed(None),
        nothing,
        Live.NEVER,
        {"Containerd.InitBinary": lambda seen: seen.values.get("init_binary") or ""},
    ),
    Row(
        Field("systemd"),
        parse_systemd,
        fixed(FALSE),
        _systemd,
        Live.NEVER,
        {"Containerd.Systemd": lambda seen: seen.values.get("systemd") or FALSE},
    ),
)
