# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of the Container Device Interface (CDI): files of vendors on the host tell what a container needs for a device."""

from __future__ import annotations

import json
import os
import stat
import typing as t

from ..errors import InvalidArgument, MissingLibrary, printable
from .devices import DeviceRule, add_node, allow, node
from .mounts import mount
from .process import add_env

#: Later ones win.
DIRECTORIES = ("/etc/cdi", "/var/run/cdi")
_LIMIT = 16 << 20
#: Of a mount that says nothing.
_OPTIONS = ("ro", "nosuid", "nodev", "rbind", "rprivate")
_HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
Edits = t.Mapping[str, t.Any]


class Registry:
    """The devices that the files of the host describe, read when they are first asked for."""

    def __init__(self, directories: t.Sequence[str] = DIRECTORIES) -> None:
        self._directories = directories
        self._devices: t.Dict[str, t.List[Edits]] = {}
        self._problems: t.List[str] = []
        self._read = False

    def edits(self, name: str, option: str) -> t.List[Edits]:
        """What the device needs: that of its file, and its own. InvalidArgument when no file describes it."""
        if not self._read:
            self._read_all()
        if name not in self._devices:
            why = f" ({'; '.join(self._problems)})" if self._problems else ""
            raise InvalidArgument(
                f"{option}: no file in {' or '.join(self._directories)} on the target describes the device {printable(name, 200)}{why}"
            )
        return self._devices[name]

    def _read_all(self) -> None:
        self._read = True
        for directory in self._directories:
            try:
                names = sorted(os.listdir(directory))
            except OSError:
                continue
            for name in names:
                if name.endswith((".json", ".yaml", ".yml")):
                    self._read_file(os.path.join(directory, name))

    def _read_file(self, path: str) -> None:
        """A file that is no description is no error until somebody asks for a device that is not found."""
        try:
            with open(path, "rb") as stream:
                document = _document(stream.read(_LIMIT), path)
            kind, common = document["kind"], document.get("containerEdits") or {}
            for device in document["devices"]:
                self._devices[f"{kind}={device['name']}"] = [common, device.get("containerEdits") or {}]
        except (OSError, ValueError, RecursionError, TypeError, AttributeError, KeyError) as error:
            self._problems.append(f"{printable(path, 200)} cannot be read: {printable(error, 100)}")
        except MissingLibrary as error:
            self._problems.append(str(error))


def _document(data: bytes, path: str) -> t.Any:
    """JSON is YAML, too; only the rest needs a library."""
    try:
        return json.loads(data)
    except ValueError:
        if path.endswith(".json"):
            raise
    try:
        import yaml
    except ImportError as error:
        raise MissingLibrary("yaml", f"to read {path}", "python3-yaml", "PyYAML") from error
    try:
        return yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from error


def apply(spec: t.Dict[str, t.Any], name: str, edits: t.Sequence[Edits], option: str) -> None:
    """Edit a specification for a device."""
    try:
        for one in edits:
            _apply(spec, one, option)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise InvalidArgument(
            f"{option}: the description of the device {printable(name, 200)} is not valid: {error!r}"
        ) from error


def _apply(spec: t.Dict[str, t.Any], edits: Edits, option: str) -> None:
    add_env(spec, dict(item.split("=", 1) for item in edits.get("env") or ()))
    for one in edits.get("deviceNodes") or ():
        _add_node(spec, one, option)
    for one in edits.get("mounts") or ():
        kind, options = one.get("type") or "bind", list(one.get("options") or _OPTIONS)
        if kind == "bind" and not {"bind", "rbind"} & set(options):
            options.insert(0, "rbind")
        spec["mounts"].append(mount(one["containerPath"], kind, one["hostPath"], " ".join(options)))
    for one in edits.get("hooks") or ():
        moment = one["hookName"]
        if moment not in _HOOKS:
            raise ValueError(f"{moment} is not a hook")
        hook = {key: one[key] for key in ("path", "args", "env", "timeout") if key in one}
        spec.setdefault("hooks", {}).setdefault(moment, []).append(hook)
    user = spec["process"]["user"]
    user["additionalGids"] = sorted({*user["additionalGids"], *(int(gid) for gid in edits.get("additionalGids") or () if gid)})


def _add_node(spec: t.Dict[str, t.Any], one: t.Mapping[str, t.Any], option: str) -> None:
    """What the description leaves out is that of the host's device."""
    source = one.get("hostPath") or one["path"]
    entry = {key: one[key] for key in ("type", "major", "minor", "fileMode", "uid", "gid") if one.get(key) is not None}
    if not {"type", "major", "minor"} <= set(entry):
        try:
            found = os.stat(source)
        except OSError as error:
            raise InvalidArgument(f"{option}: {printable(source, 200)} cannot be used: {error.strerror}") from error
        if not (stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)):
            raise InvalidArgument(f"{option}: {printable(source, 200)} is no device")
        entry = {**node(one["path"], found), **entry}
    add_node(spec, {**entry, "path": one["path"]}, "")
    allow(spec, DeviceRule(entry["type"], entry["major"], entry["minor"], one.get("permissions") or "rwm"))
