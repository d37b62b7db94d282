# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The form of a row of the table of options: everything about one option. table.py has the rows, by topic in the other files."""

from __future__ import annotations

import enum
import typing as t

from ....engine.models import Container, Runtime
from ....errors import InvalidArgument, printable
from ....kernel.field import Field
from ....network.places import Places

if t.TYPE_CHECKING:
    from ....engine.api import Engine
    from ....hostfs.edit import Edit
    from ....network.connected import Connected
    from ....runtime_spec.user_namespace import Mapping
    from ..layers import Layers

Value = t.Any
#: The defaults that a container gets from its image (table.image_defaults).
Defaults = t.Mapping[str, t.Any]
#: The values of options by name: those in a task, or all.
Values = t.Mapping[str, Value]


class Live(enum.Enum):
    """What a change of an option takes, in the words of the docs' table."""

    NEVER = "needs a new container"
    #: The container's record is written.
    RECORD = "in place"
    #: The limits of the running task change with it.
    LIMITS = "in place, also for the running task"
    #: The supervisor of the container is told.
    SUPERVISOR = "in place, by the supervisor"
    #: Files of the container are written again.
    FILES = "in place, in its files"
    #: What runs is attached to networks and detached from them, and its ports are published.
    NETWORKS = "in place, in its networks"


class Inside(t.NamedTuple):
    """A file that is made in a container. path: in the container; for a secret its name."""

    path: str
    content: bytes
    mode: int
    uid: int
    gid: int


class Draft:
    """A container that is being made: rows write into it. files: the contents of files in the container's directory, by path.

    edits: for a container that stays, what becomes of such files. connected: its networks, if it has some of its own.
    inside: files for its root file system. secrets: for /run/secrets. extensions: of its record; an empty one is none.
    """

    def __init__(self, spec: t.Dict[str, t.Any], labels: t.Mapping[str, str], runtime: Runtime) -> None:
        self.spec, self.labels, self.runtime = spec, dict(labels), runtime
        self.files: t.Dict[str, bytes] = {}
        self.edits: t.Dict[str, Edit] = {}
        self.connected: t.Optional[Connected] = None
        self.inside: t.List[Inside] = []
        self.secrets: t.List[Inside] = []
        self.extensions: t.Dict[str, t.Mapping[str, t.Any]] = {}

    def extended(self, others: t.Mapping[str, t.Mapping[str, t.Any]]) -> t.Dict[str, t.Mapping[str, t.Any]]:
        """The extensions of the record, with others."""
        return {name: value for name, value in {**others, **self.extensions}.items() if value}

    @property
    def process(self) -> t.Dict[str, t.Any]:
        return t.cast(t.Dict[str, t.Any], self.spec["process"])


def nowhere(_image: str) -> Layers:
    """For a change of a container that stays: that mounts no other images."""
    raise AssertionError("no images are mounted into a container that stays")


class Context(t.NamedTuple):
    """What a row may look at besides its own value. values: those of all options. directory: the container's.

    image: the image's name for messages; image_volumes: the paths that it declares; root: a descriptor of its files (-1: a change
    of a container that stays). name, namespace: the container's. places: of networks. joined: those of another container, if it uses them.
    gateway: tells the address of the host in its first network. layers: those of a stored image that is mounted into it.
    other_id: tells the id of the container whose namespace of a kind it uses. data_root: below which the volumes are.
    mapping: its users, if it has a namespace of its own for them.
    """

    container_id: str
    values: Values
    directory: str = ""
    name: str = ""
    namespace: str = ""
    places: Places = Places()
    joined: t.Optional[Connected] = None
    gateway: t.Callable[[], str] = lambda: ""
    layers: t.Callable[[str], Layers] = nowhere
    other_id: t.Callable[[str], str] = lambda kind: ""
    mapping: t.Optional[Mapping] = None
    image: str = ""
    image_volumes: t.Collection[str] = ()
    root: int = -1
    data_root: str = ""


class Host(t.NamedTuple):
    """The target, which rows look at before anything is changed. starts: whether the container is to be started.

    Rows add to warnings, and to unseen what only the run will show ("check mode cannot tell ..."). given: all values in the task.
    """

    engine: Engine
    starts: bool
    warnings: t.List[str]
    unseen: t.List[str]
    given: Values = {}


class Seen(t.NamedTuple):
    """A container to be read back. values: those that it was made with; empty if another tool made it. runs: whether it does."""

    container: Container
    values: Values
    runs: bool

    @property
    def spec(self) -> t.Mapping[str, t.Any]:
        return self.container.spec

    @property
    def process(self) -> t.Mapping[str, t.Any]:
        return self.container.spec.get("process") or {}


def itself(value: Value) -> Value:
    return value


def nothing(*_arguments: t.Any) -> None:
    """Renders nothing: the stored value is read when it is needed."""


def stored(_container: Container, value: Value) -> Value:
    return value


class Base(t.NamedTuple):
    """of: what a container has when the option is not given. join: combines that with a value that is given, and others that are."""

    of: t.Callable[[Defaults, Values], Value]
    join: t.Callable[[Value, Value, Values], Value] = lambda base, value, given: value


class Row(t.NamedTuple):
    """Everything about one option.

    field: how it is compared, and how a diff shows it. parse(value, option): reads what a task gives; InvalidArgument names both.
    base: what a container has when the option is not given. render: writes the value into a draft. live: what a change takes.
    facts: the places in the shape of docker inspect where the option is read back, and how.

    The rest is for options that need it. dump and load: to JSON and back, for values that are objects. there: what the option is
    compared with, where that is not the stored value. fit(there, values, made, mode): what there is to be, where that is more than
    the value: all of what is compared then; values are those of all options, made those that the container was made with.
    stays(container, value): whether it can be changed to this value in place, where that is not so for all. host: checks that the target
    has what a value needs (None: not given). said_by: another option that says a part of the same: it is compared, too, where a task
    gives that one. known(engine, own, value): a value that is given as it is stored, where only the engine knows that; own: the name of
    the container.
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
    fit: t.Optional[t.Callable[[Value, Values, Values, str], Value]] = None
    stays: t.Callable[[Container, Value], bool] = lambda container, value: True
    host: t.Callable[[Host, t.Optional[Value]], None] = nothing
    said_by: str = ""
    known: t.Callable[[Engine, str, Value], Value] = lambda engine, own, value: value

    @property
    def option(self) -> str:
        return self.field.option

    def value(self, given: Values, defaults: Defaults) -> Value:
        """The effective value of the option for a container with these given values."""
        base = self.base.of(defaults, given)
        return base if given.get(self.option) is None else self.base.join(base, given[self.option], given)


def fixed(value: Value) -> Base:
    return Base(lambda defaults, given: value)


def of_image(key: str) -> Base:
    return Base(lambda defaults, given: defaults[key])


def added_to_image(key: str) -> Base:
    return Base(lambda defaults, given: defaults[key], lambda base, value, given: {**base, **value})


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


def parse_absolute(value: Value, option: str) -> str:
    """An absolute path, without a trailing slash and doubled ones."""
    text = parse_text(value, option)
    if not text.startswith("/"):
        raise bad(option, value, "an absolute path")
    return "/" + "/".join(part for part in text.split("/") if part not in ("", "."))


def parse_absolute_file(value: Value, option: str) -> str:
    """The same for a file in a container: below /, and without .. in it."""
    path = parse_absolute(value, option)
    if path == "/" or ".." in path.split("/"):
        raise bad(option, value, "the absolute path of a file")
    return path
