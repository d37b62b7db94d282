# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option table of containerd_container: one row an option. A new option is a new row here and a paragraph in the module."""

from __future__ import annotations

import posixpath
import re
import shlex
import typing as t

from ...errors import InvalidArgument, printable
from ...kernel.field import MORE, Field

Value = t.Any
Defaults = t.Mapping[str, t.Any]


class Row(t.NamedTuple):
    """field: how it is compared. parse(value, option): the canonical JSON value. base(defaults): what a container has
    when the option was not given; defaults are those of its image (image_defaults). merge: given values are added to the base.
    """

    field: Field
    parse: t.Callable[[Value, str], Value]
    base: t.Callable[[Defaults], Value] = lambda defaults: None
    merge: bool = False

    def effective(self, given: t.Mapping[str, Value], defaults: Defaults) -> Value:
        """What the option amounts to for a container made with these given options."""
        value = given.get(self.field.option)
        base = self.base(defaults)
        if value is None:
            return base
        return {**(base or {}), **value} if self.merge else value


def _bad(option: str, value: Value, wanted: str) -> InvalidArgument:
    return InvalidArgument(f"{option}: {printable(value, 200)!r} is not {wanted}")


def _no_nul(option: str, text: str) -> str:
    if "\x00" in text:
        raise _bad(option, text, "usable: it holds a NUL character")
    return text


def parse_words(value: Value, option: str) -> t.List[str]:
    """A command line: a list as it is, a string split by the rules of a POSIX shell."""
    if isinstance(value, str):
        try:
            return shlex.split(_no_nul(option, value))
        except ValueError as error:
            raise InvalidArgument(f"{option}: cannot split {printable(value, 200)!r}: {error}") from error
    if not isinstance(value, (list, tuple)):
        raise _bad(option, value, "a list or a string")
    for item in value:
        if not isinstance(item, (str, int, float)) or isinstance(item, bool):
            raise _bad(option, item, "a string; quote it")
    return [_no_nul(option, str(item)) for item in value]


def parse_text_map(value: Value, option: str) -> t.Dict[str, str]:
    """A dictionary of strings. Numbers and booleans are refused: YAML may have read them from something else."""
    for key, item in value.items():
        if not isinstance(item, str):
            raise InvalidArgument(
                f"{option}: the value of {printable(key, 80)} is {printable(item, 80)!r}, not a string: put it in quotes"
            )
        _no_nul(option, str(key) + item)
    return {str(key): item for key, item in value.items()}


def parse_env(value: Value, option: str) -> t.Dict[str, str]:
    for key in value:
        if not isinstance(key, str) or not key or "=" in key:
            raise _bad(option, key, "the name of an environment variable")
    return parse_text_map(value, option)


def parse_labels(value: Value, option: str) -> t.Dict[str, str]:
    """Labels of the user. Those that steer daemons are refused (engine/labels.py: RESERVED)."""
    from ...engine.labels import RESERVED

    found = parse_text_map(value, option)
    for key, item in found.items():
        if not key or key.startswith(RESERVED):
            raise _bad(option, key, "a label that can be set: its prefix is reserved")
        if len((key + item).encode()) > 4096:
            raise InvalidArgument(f"{option}: {printable(key, 80)} is too long: key and value may have 4096 bytes together")
    return found


def parse_flag(value: Value, option: str) -> bool:
    return bool(value)


def parse_text(value: Value, option: str) -> str:
    return _no_nul(option, value)


def parse_user(value: Value, option: str) -> str:
    text = parse_text(value, option)
    if text.count(":") > 1 or text != text.strip() or any(c.isspace() for c in text) or text.startswith(":"):
        raise _bad(option, value, "a user: expected name, uid, name:group or uid:gid")
    for part in text.split(":"):
        if part.lstrip("-").isdigit() and (not part.isascii() or len(part) > 11 or not 0 <= int(part) < 2**31):
            raise _bad(option, value, "a user: ids go from 0 to 2147483647")
    return text


def parse_absolute(value: Value, option: str) -> str:
    """An absolute path, without a trailing slash and doubled ones."""
    text = parse_text(value, option)
    if not text.startswith("/"):
        raise _bad(option, value, "an absolute path")
    return "/" + "/".join(part for part in text.split("/") if part not in ("", "."))


def parse_hostname(value: Value, option: str) -> str:
    text = parse_text(value, option)
    labels = text.split(".")
    if not 1 <= len(text) <= 64 or not all(part and part.replace("-", "a").isalnum() and part.isascii() for part in labels):
        raise _bad(option, value, "a host name (letters, digits, hyphens and dots, at most 64)")
    return text


def parse_signal(value: Value, option: str) -> int:
    from ...oci.signals import parse_signal as parse

    return parse(value, option)


def parse_timeout(value: Value, option: str) -> int:
    if value < 0:
        raise _bad(option, value, "a number of seconds")
    return int(value)


def parse_volumes(value: Value, option: str) -> t.List[t.Dict[str, t.Any]]:
    from ...runtime_spec.volumes import parse_volume

    found = [parse_volume(item, option) for item in value]
    targets = [volume.target for volume in found]
    for target in targets:
        if targets.count(target) > 1:
            raise InvalidArgument(f"{option}: {printable(target, 200)} is the target of two volumes")
    return [volume.to_json() for volume in found]


def parse_runtime(value: Value, option: str) -> str:
    text = parse_text(value, option)
    if not text or ("/" in text and not text.startswith("/")):
        raise _bad(option, value, "an OCI runtime: expected a name such as runc, or an absolute path")
    return text


def parse_log_options(value: Value, option: str) -> t.Dict[str, t.Any]:
    from ...oci.sizes import parse_size

    known = {"max-size": 0, "max-file": 1}
    for key in value:
        if key not in known:
            raise InvalidArgument(f"{option}: unknown log option {printable(key, 80)!r}, known are max-file and max-size")
    if "max-size" in value:
        known["max-size"] = parse_size(value["max-size"], f"{option}.max-size")
    if "max-file" in value:
        if not re.match(r"0*[1-9][0-9]{0,8}\Z", str(value["max-file"])):
            raise _bad(f"{option}.max-file", value["max-file"], "a positive number")
        known["max-file"] = int(value["max-file"])
    return dict(known)


ROWS: t.Tuple[Row, ...] = (
    Row(Field("command", "list"), parse_words, lambda d: list(d["cmd"])),
    Row(Field("entrypoint", "list"), parse_words, lambda d: list(d["entrypoint"])),
    Row(Field("env", "dict", MORE), parse_env, lambda d: d["env"], merge=True),
    Row(Field("hostname"), parse_hostname),
    Row(Field("interactive"), parse_flag, lambda d: False),
    Row(Field("labels", "dict", MORE, live=True), parse_labels, lambda d: d["labels"], merge=True),
    Row(Field("log_driver"), parse_text, lambda d: "json-file"),
    Row(Field("log_options", "dict"), parse_log_options, lambda d: {"max-size": 0, "max-file": 1}),
    Row(Field("network_mode"), parse_text, lambda d: "none"),
    Row(Field("read_only"), parse_flag, lambda d: False),
    Row(Field("runtime"), parse_runtime, lambda d: "runc"),
    Row(Field("stop_signal", live=True), parse_signal, lambda d: parse_signal(d["stop_signal"] or 15, "stop_signal")),
    Row(Field("stop_timeout", live=True), parse_timeout, lambda d: 10),
    Row(Field("tty"), parse_flag, lambda d: False),
    Row(Field("user"), parse_user, lambda d: d["user"]),
    Row(Field("volumes", "set", MORE), parse_volumes, lambda d: []),
    Row(Field("working_dir"), parse_absolute, lambda d: posixpath.normpath("/" + d["working_dir"].lstrip("/"))),
)

BY_OPTION: t.Mapping[str, Row] = {row.field.option: row for row in ROWS}


def parse_given(params: t.Mapping[str, Value], options: t.Collection[str] = BY_OPTION) -> t.Dict[str, Value]:
    """The canonical values of those of the options that the task gives."""
    return {
        option: row.parse(params[option], option)
        for option, row in BY_OPTION.items()
        if option in options and params.get(option) is not None
    }


def effective(given: t.Mapping[str, Value], defaults: Defaults) -> t.Dict[str, Value]:
    """All options of a container made with these given options from an image with these defaults."""
    found = {row.field.option: row.effective(given, defaults) for row in ROWS}
    if given.get("command") == [] or (found["command"] and given.get("command") is None and given.get("entrypoint")):
        # As Docker has it: an empty command is that of the image, and an entry point of one's own drops the image's command.
        found["command"] = [] if given.get("entrypoint") else list(defaults["cmd"])
    return found


def image_defaults(config: t.Any) -> t.Dict[str, t.Any]:
    """What a container takes from its image (oci.image_config.ImageConfig), as JSON. Reserved labels are left away."""
    from ...engine.labels import RESERVED

    return {
        "cmd": list(config.cmd),
        "entrypoint": list(config.entrypoint),
        "env": dict(item.partition("=")[::2] for item in config.env if "=" in item[1:]),
        "labels": {key: value for key, value in config.labels.items() if not key.startswith(RESERVED)},
        "stop_signal": config.stop_signal,
        "user": config.user,
        "working_dir": config.working_dir,
    }


def comparison_modes(params: t.Mapping[str, Value], known: t.Collection[str]) -> t.Dict[str, str]:
    """The option comparisons: a mode for an option, under * for all others. known: further options that can be named."""
    modes: t.Dict[str, str] = {}
    for option, mode in (params.get("comparisons") or {}).items():
        row = BY_OPTION.get(option)
        if row is None and option not in known and option != "*":
            raise InvalidArgument(f"comparisons: {printable(option, 80)!r} is not an option that can be compared")
        if mode not in ("strict", "ignore", MORE):
            raise InvalidArgument(f"comparisons: {option}: {printable(mode, 80)!r} is none of strict, ignore, allow_more_present")
        if option == "*" and mode == MORE:
            raise InvalidArgument("comparisons: *: allow_more_present is for lists and dictionaries; use strict or ignore")
        if mode == MORE and (row is None or row.field.kind == "value"):
            raise InvalidArgument(f"comparisons: {option}: allow_more_present is for lists and dictionaries")
        modes[option] = mode
    return modes


def fields_for(given: t.Mapping[str, Value], modes: t.Mapping[str, str]) -> t.List[Field]:
    """The fields with the modes that the task asks for; an option that is given empty means "must be empty"."""
    found = []
    for row in ROWS:
        option = row.field.option
        mode = modes.get(option, modes.get("*", row.field.mode))
        if mode == MORE and not given.get(option, True):
            mode = "strict"
        found.append(row.field._replace(mode=mode))
    return found
