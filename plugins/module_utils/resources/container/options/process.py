# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the process: command, user, directory, environment."""

from __future__ import annotations

import posixpath
import re
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
    bad,
    fixed,
    nothing,
    of_image,
    parse_absolute,
    parse_text,
    parse_text_map,
)

#: Where an init program is in the container, as in Docker (init.py).
INIT = "/sbin/docker-init"
_ENV_FILE = 1 << 20
_UMASK = 0o022


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


def parse_groups(value: Value, option: str) -> t.List[str]:
    """Names or numbers."""
    for one in value:
        if not str(one) or any(c.isspace() or c in ":,\x00" for c in str(one)):
            raise bad(option, one, "the name or the id of a group")
    return sorted({str(one) for one in value})


def parse_umask(value: Value, option: str) -> int:
    """An octal number as text, or the number that YAML made of it."""
    text = f"{value:o}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    if not re.fullmatch(r"0?[0-7]{1,3}", text):
        raise bad(option, value, "an octal mask such as 0022; put it in quotes")
    return int(text, 8)


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{what} is not in UTF-8") from error


def parse_env_files(value: Value, option: str) -> t.Dict[str, str]:
    """The variables in files of the target; later files win. A line is NAME=value, and one that begins with # is a comment."""
    found: t.Dict[str, str] = {}
    for path in value:
        try:
            with open(path, "rb") as stream:
                data = stream.read(_ENV_FILE + 1)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise InvalidArgument(f"{option}: {printable(path, 200)} cannot be read on the target: {why}") from error
        if len(data) > _ENV_FILE:
            raise InvalidArgument(f"{option}: {printable(path, 200)} is larger than {_ENV_FILE} bytes")
        for number, line in enumerate(_text(data, f"{option}: {printable(path, 200)}").split("\n"), 1):
            text = line.strip()
            if text and not text.startswith("#"):
                name, equals, item = text.partition("=")
                if not equals or not name or "\x00" in text:
                    raise InvalidArgument(f"{option}: line {number} of {printable(path, 200)} is not NAME=value")
                found[name.rstrip()] = item
    return found


def _image_command(defaults: Defaults, given: Values) -> t.List[str]:
    """As in Docker, a given entry point drops the image's command."""
    return [] if given.get("entrypoint") else list(defaults["cmd"])


def words_of(defaults: Defaults, given: Values) -> t.List[str]:
    """Entry point and command of a container with these given values."""
    entrypoint = given.get("entrypoint")
    first = list(defaults["entrypoint"] if entrypoint is None else entrypoint)
    return [*first, *(given.get("command") or _image_command(defaults, given))]


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


def _groups(draft: Draft, value: t.Sequence[str], context: Context) -> None:
    from ....runtime_spec.users import resolve_groups

    user = draft.process["user"]
    user["additionalGids"] = sorted({*user["additionalGids"], *resolve_groups(context.root, value)})


def _umask(draft: Draft, value: int, context: Context) -> None:
    draft.process["user"]["umask"] = value


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
    targets = [one["destination"] for one in draft.spec["mounts"]]
    check_command(context.root, args[0], env_of(draft.spec, "PATH"), draft.process["cwd"], targets)


def _args(seen: Seen) -> t.List[str]:
    """Without an init program before them, as in Docker."""
    args = list(seen.process.get("args") or [])
    return args[2:] if args[:2] == [INIT, "--"] else args


def _octal(value: int) -> str:
    return f"{value:04o}"


def _user_seen(seen: Seen) -> str:
    user = seen.process.get("user") or {}
    return str(seen.values.get("user", f"{user.get('uid', 0)}:{user.get('gid', 0)}"))


ROWS = (
    Row(Field("user"), parse_user, of_image("user"), _user, Live.NEVER, {"Config.User": _user_seen}),
    Row(
        Field("groups", "set", MORE),
        parse_groups,
        fixed([]),
        _groups,
        Live.NEVER,
        {"HostConfig.GroupAdd": lambda seen: seen.values.get("groups") or None},
    ),
    Row(
        Field("umask", show=_octal),
        parse_umask,
        fixed(_UMASK),
        _umask,
        Live.NEVER,
        {"Containerd.Umask": lambda seen: _octal((seen.process.get("user") or {}).get("umask", _UMASK))},
    ),
    Row(
        Field("working_dir"),
        parse_absolute,
        Base(lambda defaults, given: posixpath.normpath("/" + defaults["working_dir"].lstrip("/"))),
        _working_dir,
        Live.NEVER,
        {"Config.WorkingDir": lambda seen: seen.process.get("cwd", "")},
    ),
    Row(
        Field("env_file", "dict", MORE),
        parse_env_files,
        fixed({}),
        nothing,
        Live.NEVER,
        {"Containerd.EnvFile": lambda seen: sorted(seen.values.get("env_file") or {})},
    ),
    Row(
        Field("env", "dict", MORE),
        parse_env,
        # Those of a file win over the image's, and those of the task over both.
        Base(
            lambda defaults, given: {**defaults["env"], **(given.get("env_file") or {})},
            lambda base, value, given: {**base, **value},
        ),
        _env,
        Live.NEVER,
        {"Config.Env": lambda seen: list(seen.process.get("env") or [])},
    ),
)

#: They come after all that may bring the command along.
COMMAND = (
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
