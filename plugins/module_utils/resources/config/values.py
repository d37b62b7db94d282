# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of containerd_config as values."""

from __future__ import annotations

import os
import re
import typing as t

from ...config_toml.apply import Setting
from ...config_toml.names import NEWEST
from ...config_toml.scan import check_name, parse_path
from ...config_toml.secrets import Secrets, strings
from ...config_toml.values import Keys, check_value, describe, leaves
from ...errors import EngineError, InvalidArgument, printable

#: Options that are keys of the configuration themselves.
_KEYS: t.Dict[str, Keys] = {
    "root": ("root",),
    "state_dir": ("state",),
    "oom_score": ("oom_score",),
    "grpc": ("grpc",),
    "plugins": ("plugins",),
}
_DROP_IN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")


class WantedConfig(t.NamedTuple):
    """The wishes of a task. target: the file to edit, main or a drop-in. version: 0 for none."""

    main: str
    target: str
    present: bool
    settings: t.Tuple[Setting, ...]
    keys: t.Tuple[Keys, ...]
    append: bool
    version: int
    secrets: Secrets
    base: str
    migrate: bool
    migrate_mirrors: bool
    backup: bool
    validate: t.Optional[bool]
    binary: str

    @property
    def drop_in(self) -> bool:
        return self.target != self.main


def wanted(params: t.Mapping[str, t.Any]) -> WantedConfig:
    """Parse the parameters. InvalidArgument names the option, the key and the value."""
    for option in ("path", "root", "state_dir", "containerd_binary"):
        if params[option] and not os.path.isabs(params[option]):
            raise InvalidArgument(f"{option}: {printable(params[option], 200)!r} is not an absolute path")
    present = params["state"] == "present"
    settings = [one for option in ("settings", *_KEYS) for one in _settings(params, option, present)]
    keys = tuple(parse_path(one, "keys") for one in params["keys"] or ())
    if present and keys:
        raise InvalidArgument("keys: they are removed, which needs state=absent")
    if not present and not settings and not keys and not params["drop_in"]:
        raise InvalidArgument("settings: state=absent needs settings or keys, which name what to remove")
    main = os.path.normpath(params["path"])
    return WantedConfig(
        main=main,
        target=_drop_in(params["drop_in"], main) if params["drop_in"] else main,
        present=present,
        settings=tuple(one for one in settings if one.path != ("version",)),
        keys=keys,
        append=params["list_mode"] == "append_unique",
        version=_version([one for one in settings if one.path == ("version",)], keys, present),
        secrets=Secrets(tuple(parse_path(one, "secret_keys") for one in params["secret_keys"] or ())),
        base=params["base"],
        migrate=params["migrate"],
        migrate_mirrors=params["migrate_mirrors"],
        backup=params["backup"],
        validate=params["validate"],
        binary=params["containerd_binary"] or "",
    )


def _tree(params: t.Mapping[str, t.Any], option: str) -> t.Dict[str, t.Any]:
    value = params[option]
    if option == "settings":
        return dict(value or {})
    return {} if value is None else {_KEYS[option][0]: value}


def _settings(params: t.Mapping[str, t.Any], option: str, present: bool) -> t.Iterator[Setting]:
    tree = _tree(params, option)
    check_value(tree, option, (), allow_null=not present)
    for path, value in leaves(tree):
        check_name(path, option, ".".join(path))
        yield Setting(option, path, value)


def _version(given: t.Sequence[Setting], keys: t.Sequence[Keys], present: bool) -> int:
    if not present and (given or ("version",) in keys):
        raise InvalidArgument("settings: version: the version of a file cannot be removed")
    for one in given:
        if isinstance(one.value, bool) or not isinstance(one.value, int) or not 1 <= one.value <= NEWEST:
            raise InvalidArgument(
                f"settings: version: {describe(one.value)} ({printable(one.value, 50)}) is not one of 1 to {NEWEST}"
            )
        return one.value
    return 0


def _drop_in(name: str, main: str) -> str:
    plain = name[: -len(".toml")] if name.endswith(".toml") else name
    if not _DROP_IN.match(plain):
        raise InvalidArgument(f"drop_in: {printable(name, 200)!r} is not a file name of letters, digits, '.', '_' and '-'")
    return os.path.join(os.path.dirname(main), "conf.d", f"{plain}.toml")


def secret_values(params: t.Mapping[str, t.Any]) -> t.Set[str]:
    """The secret values in parameters that are not parsed yet."""
    keys = []
    given = params.get("secret_keys")
    for one in given if isinstance(given, list) else [given]:
        try:
            keys.append(parse_path(one, "secret_keys"))
        except EngineError:
            continue  # the task will fail because of it
    secrets = Secrets(tuple(keys))
    found: t.Set[str] = set()
    for option in ("settings", *_KEYS):
        value = params.get(option)
        if isinstance(value, str) and option in ("settings", "grpc", "plugins"):
            found.add(value)
        elif isinstance(value, dict):
            tree = value if option == "settings" else {_KEYS[option][0]: value}
            for path, one in leaves(tree):
                if secrets.hides(tuple(map(str, path))):
                    found.update(text for text in strings(one) if text)
    return found
