# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a row of the table of options tells: everything about one option. table.py has the rows, sorted by topic into the other files."""

from __future__ import annotations

import enum
import typing as t

from ....engine.models import Container, Runtime
from ....errors import InvalidArgument, printable
from ....kernel.field import Field

if t.TYPE_CHECKING:
    from ....engine.api import Engine

Value = t.Any
#: What a container takes from its image (table.image_defaults).
Defaults = t.Mapping[str, t.Any]
#: The values of options by their names: those that a task gives, or all.
Values = t.Mapping[str, Value]


class Live(enum.Enum):
    """What a change of an option takes, in the words of the documentation."""

    #: It is in the specification, which a container gets once.
    NEVER = "makes the container anew"
    #: The record of the container is all that knows it.
    RECORD = "in place"
    #: A limit: of the running task, too.
    LIMITS = "in place, also for what runs"
    #: Whoever supervises the container reads it.
    SUPERVISOR = "in place, by the supervisor"
    #: Files of the container are written again.
    FILES = "in place, in its files"


class Draft:
    """A container on its way to its record. files: what is to be written below the container's directory, by path."""

    def __init__(self, spec: t.Dict[str, t.Any], labels: t.Mapping[str, str], runtime: Runtime) -> None:
        self.spec, self.labels, self.runtime = spec, dict(labels), runtime
        self.files: t.Dict[str, bytes] = {}

    @property
    def process(self) -> t.Dict[str, t.Any]:
        return t.cast(t.Dict[str, t.Any], self.spec["process"])


class Context(t.NamedTuple):
    """What a row may look at besides its value. values: those of all options. directory: the container's own.

    image: its name in messages; image_volumes: the paths that it declares. root: a descriptor of its files, -1 where they are not
    looked at any more.
    """

    container_id: str
    values: Values
    directory: str = ""
    image: str = ""
    image_volumes: t.Collection[str] = ()
    root: int = -1


class Host(t.NamedTuple):
    """What rows find out about the target before anything is changed. starts: whether the container is started, too.

    unseen: what cannot be known beforehand, as the end of "check mode cannot tell …".
    """

    engine: Engine
    starts: bool
    warnings: t.List[str]
    unseen: t.List[str]


class Seen(t.NamedTuple):
    """A container as it is read back. values: of all options; none of one that somebody else made."""

    container: Container
    values: Values

    @property
    def spec(self) -> t.Mapping[str, t.Any]:
        return self.container.spec

    @property
    def process(self) -> t.Mapping[str, t.Any]:
        return self.container.spec.get("process") or {}


def itself(value: Value) -> Value:
    return value


def nothing(*_arguments: t.Any) -> None:
    """For what is in the record only, and read there by whom it concerns."""


def stored(_container: Container, value: Value) -> Value:
    return value


class Base(t.NamedTuple):
    """of: what a container has when the option is not given. join: what becomes of that and of a value that is given."""

    of: t.Callable[[Defaults, Values], Value]
    join: t.Callable[[Value, Value], Value] = lambda base, given: given


class Row(t.NamedTuple):
    """One option.

    field: how it is compared and shown. parse(value, option): its value; InvalidArgument names option and value. base: its default.
    render: writes the value into a draft. live: what a change takes. facts: its places in docker's inspect, and what stands there.

    dump and load: the value as JSON, where it is none. there: what is compared, where it is not what is stored with the container.
    host: looks whether the target has what a value that is given needs (None: not given).
    """

    field: Field
    parse: t.Callable[[Value, str], Value]
    base: Base
    render: t.Callable[[Draft, Value, Context], None]
    live: Live
    facts: t.Mapping[str, t.Callable[[Seen], t.Any]]
    dump: t.Callable[[Value], t.Any] = itself
    load: t.Callable[[t.Any], Value] = itself
    there: t.Callable[[Container, Value], Value] = stored
    host: t.Callable[[Host, t.Optional[Value]], None] = nothing

    @property
    def option(self) -> str:
        return self.field.option

    def value(self, given: Values, defaults: Defaults) -> Value:
        """What the option amounts to for a container made with these given values."""
        base = self.base.of(defaults, given)
        return base if given.get(self.option) is None else self.base.join(base, given[self.option])


def fixed(value: Value) -> Base:
    return Base(lambda defaults, given: value)


def of_image(key: str) -> Base:
    return Base(lambda defaults, given: defaults[key])


def added_to_image(key: str) -> Base:
    return Base(lambda defaults, given: defaults[key], lambda base, given: {**base, **given})


def bad(option: str, value: Value, wanted: str) -> InvalidArgument:
    return InvalidArgument(f"{option}: {printable(value, 200)!r} is not {wanted}")


def parse_flag(value: Value, option: str) -> bool:
    return bool(value)


def parse_text(value: Value, option: str) -> str:
    if "\x00" in value:
        raise bad(option, value, "usable: it holds a NUL character")
    return str(value)


def parse_text_map(value: Value, option: str) -> t.Dict[str, str]:
    """A dictionary of strings. Numbers and booleans are refused: YAML may have read them from something else."""
    for key, item in value.items():
        if not isinstance(item, str):
            raise InvalidArgument(
                f"{option}: the value of {printable(key, 80)} is {printable(item, 80)!r}, not a string: put it in quotes"
            )
        parse_text(str(key) + item, option)
    return {str(key): item for key, item in value.items()}
