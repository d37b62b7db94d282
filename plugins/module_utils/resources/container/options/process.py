# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the process: command, user, directory, environment."""

from __future__ import annotations

import posixpath
import shlex
import typing as t

from ....errors import InvalidArgument, printable
from ....kernel.field import MORE, Field
from ....runtime_spec.process import add_env, env_of, run_as
from .row import (
    Base,
    Context,
    Defaults,
    Draft,
    Live,
    Row,
    Seen,
    Value,
    Values,
    added_to_image,
    bad,
    of_image,
    parse_text,
    parse_text_map,
)


def parse_words(value: Value, option: str) -> t.List[str]:
    """A command line: a list, or a string that is split by the rules of a POSIX shell."""
    if isinstance(value, str):
        try:
            return shlex.split(parse_text(value, option))
        except ValueError as error:
            raise InvalidArgument(f"{option}: cannot split {printable(value, 200)!r}: {error}") from error
    if not isinstance(value, (list, tuple)):
        raise bad(option, value, "a list or a string")
    for item in value:
        if not isinstance(item, (str, int, float)) or isinstance(item, bool):
            raise bad(option, item, "a string; quote it")
    return [parse_text(str(item), option) for item in value]


def parse_env(value: Value, option: str) -> t.Dict[str, str]:
    for key in value:
        if not isinstance(key, str) or not key or "=" in key:
            raise bad(option, key, "the name of an environment variable")
    return parse_text_map(value, option)


def parse_user(value: Value, option: str) -> str:
    text = parse_text(value, option)
    if text.count(":") > 1 or text != text.strip() or any(c.isspace() for c in text) or text.startswith(":"):
        raise bad(option, value, "a user: expected name, uid, name:group or uid:gid")
    for part in text.split(":"):
        if part.lstrip("-").isdigit() and (not part.isascii() or len(part) > 11 or not 0 <= int(part) < 2**31):
            raise bad(option, value, "a user: ids go from 0 to 2147483647")
    return text


def parse_absolute(value: Value, option: str) -> str:
    """An absolute path, without a trailing slash and doubled ones."""
    text = parse_text(value, option)
    if not text.startswith("/"):
        raise bad(option, value, "an absolute path")
    return "/" + "/".join(part for part in text.split("/") if part not in ("", "."))


def _image_command(defaults: Defaults, given: Values) -> t.List[str]:
    """As in Docker, a given entry point drops the image's command."""
    return [] if given.get("entrypoint") else list(defaults["cmd"])


def command_line(values: Values, image: str) -> t.Tuple[str, ...]:
    """Entry point and command. InvalidArgument when there is neither."""
    args = (*values["entrypoint"], *values["command"])
    if not args:
        raise InvalidArgument(f"command: the image {image} has neither a command nor an entry point: give one")
    return args


def unseen(values: Values, image: str) -> str:
    """The facts that only the files of an image can tell."""
    command, user = command_line(values, image)[0], values["user"]
    return f"whether the image has the command {command}" + (
        "" if user.replace(":", "").isdigit() or not user else f" and the user {user}"
    )


def _user(draft: Draft, value: str, context: Context) -> None:
    from ....runtime_spec.users import resolve_user

    run_as(draft.spec, resolve_user(context.root, value))


def _working_dir(draft: Draft, value: str, context: Context) -> None:
    from ....runtime.rootfs import check_working_dir

    check_working_dir(context.root, value)
    draft.process["cwd"] = value


def _env(draft: Draft, value: t.Mapping[str, str], context: Context) -> None:
    add_env(draft.spec, value)


def _entrypoint(draft: Draft, value: t.Sequence[str], context: Context) -> None:
    draft.process["args"] = list(value)


def _command(draft: Draft, value: t.Sequence[str], context: Context) -> None:
    """The command comes last: looking for it needs all other options."""
    from ....runtime.executables import check_command

    args = draft.process["args"] = list(command_line(context.values, context.image))
    targets = [volume.target for volume in context.values["volumes"]]
    check_command(context.root, args[0], env_of(draft.spec, "PATH"), draft.process["cwd"], targets)


def _args(seen: Seen) -> t.List[str]:
    return list(seen.process.get("args") or [])


def _user_seen(seen: Seen) -> str:
    user = seen.process.get("user") or {}
    return str(seen.values.get("user", f"{user.get('uid', 0)}:{user.get('gid', 0)}"))


ROWS = (
    Row(Field("user"), parse_user, of_image("user"), _user, Live.NEVER, {"Config.User": _user_seen}),
    Row(
        Field("working_dir"),
        parse_absolute,
        Base(lambda defaults, given: posixpath.normpath("/" + defaults["working_dir"].lstrip("/"))),
        _working_dir,
        Live.NEVER,
        {"Config.WorkingDir": lambda seen: seen.process.get("cwd", "")},
    ),
    Row(
        Field("env", "dict", MORE),
        parse_env,
        added_to_image("env"),
        _env,
        Live.NEVER,
        {"Config.Env": lambda seen: list(seen.process.get("env") or [])},
    ),
    Row(
        Field("entrypoint", "list"),
        parse_words,
        of_image("entrypoint"),
        _entrypoint,
        Live.NEVER,
        {"Config.Entrypoint": lambda seen: seen.values.get("entrypoint") or None},
    ),
    Row(
        Field("command", "list"),
        parse_words,
        # An empty command is that of the image.
        Base(_image_command, lambda base, value, given: value or base),
        _command,
        Live.NEVER,
        {
            "Path": lambda seen: "".join(_args(seen)[:1]),
            "Args": lambda seen: _args(seen)[1:],
            "Config.Cmd": lambda seen: seen.values.get("command", _args(seen)) or None,
        },
    ),
)
