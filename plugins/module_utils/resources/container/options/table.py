# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of options of containerd_container, and the functions over it.

A new option is a row in the file of its topic and a paragraph in the module's documentation.
"""

from __future__ import annotations

import typing as t

from ....engine.labels import DESIRED
from ....engine.models import Container
from ....errors import InvalidArgument, printable
from ....kernel.field import MORE, STRICT, Field
from . import (
    depends_on,
    devices,
    init,
    inside,
    kernel,
    life,
    limits,
    log,
    mounts,
    names,
    namespaces,
    network,
    ports,
    process,
    record,
    security,
    storage,
    streams,
    supervision,
    volumes_from,
)
from .record import own_labels
from .row import Context, Defaults, Draft, Host, Row, Seen, Value, Values, stored

if t.TYPE_CHECKING:
    from ....engine.api import Engine

#: In the order of rendering: later rows may read what earlier rows wrote.
ROWS: t.Tuple[Row, ...] = (
    *(*names.ROWS, *network.ROWS, *ports.ROWS),
    *(
        *namespaces.ROWS,
        *streams.ROWS,
        *log.ROWS,
        *storage.ROWS,
        *volumes_from.ROWS,
        *mounts.ROWS,
        *security.ROWS,
        *limits.ROWS,
        *kernel.ROWS,
    ),
    *(
        *record.ROWS,
        *life.ROWS,
        *supervision.ROWS,
        *depends_on.ROWS,
        *process.ROWS,
        *devices.ROWS,
        *process.COMMAND,
        *init.ROWS,
        *inside.ROWS,
    ),
)

BY_OPTION: t.Mapping[str, Row] = {row.option: row for row in ROWS}


def parse_given(params: t.Mapping[str, Value], options: t.Collection[str] = BY_OPTION) -> t.Dict[str, Value]:
    """The values of the options that the task gives. Raises an error for those that contradict each other."""
    given = {
        row.option: row.parse(params[row.option], row.option)
        for row in ROWS
        if row.option in options and params.get(row.option) is not None
    }
    for topic in (limits, kernel, supervision, namespaces, log):
        topic.check_together(given)
    return given


def known(engine: Engine, own: str, given: Values) -> t.Dict[str, Value]:
    """The values that are given, with what only the engine knows. own: the name of the container."""
    return {option: BY_OPTION[option].known(engine, own, value) for option, value in given.items()}


def look_at(host: Host, given: Values, options: t.Collection[str] = BY_OPTION) -> None:
    """Check that the host has what a container with these given values needs. A missing thing is an error at once, in every mode:
    before an image is pulled, and before an old container is stopped in vain.
    """
    for option in options:
        BY_OPTION[option].host(host._replace(given=given), given.get(option))


def merged(before: Values, given: Values) -> t.Dict[str, Value]:
    """The given values of a container that was made with those before, and gets these. Raises an error if they contradict each other."""
    gone = {other for option in given for other in limits.REPLACED.get(option, ())}
    found = {**{option: value for option, value in before.items() if option not in gone}, **given}
    try:
        limits.check_together(found)
        supervision.check_together(found)
        log.check_together(found)
    except InvalidArgument as error:
        raise InvalidArgument(f"{error} (what the task does not give is as the container has it)") from error
    return found


def effective(given: Values, defaults: Defaults) -> t.Dict[str, Value]:
    """All options of a container with these given values, from an image with these defaults."""
    return {row.option: row.value(given, defaults) for row in ROWS}


def settings(given: Values) -> t.Dict[str, Value]:
    """The options of names, networks, ports and namespaces of a container with these given values: all that no image decides about."""
    return {row.option: row.value(given, {}) for row in (*names.ROWS, *network.ROWS, *ports.ROWS, *namespaces.ROWS)}


def dump(values: Values) -> t.Dict[str, t.Any]:
    """The values as JSON, for storing."""
    return {option: None if value is None else BY_OPTION[option].dump(value) for option, value in values.items()}


def load(values: t.Mapping[str, t.Any]) -> t.Dict[str, Value]:
    """The values from JSON. None is the value of an option without a default. Options without a row come from a later release."""
    return {
        option: None if value is None else BY_OPTION[option].load(value)
        for option, value in values.items()
        if option in BY_OPTION
    }


def values_of(container: Container) -> t.Dict[str, Value]:
    """The stored values of a container; none if another tool made it."""
    return load((container.extensions.get(DESIRED) or {}).get("effective") or {})


def dump_effective(values: Values) -> t.Dict[str, t.Any]:
    """The values for facts and starts, without those that are in the container's record anyway."""
    return dump({option: value for option, value in values.items() if BY_OPTION[option].there is stored})


def there(container: Container, values: Values, options: t.Collection[str]) -> t.Dict[str, Value]:
    """The values that these options are compared with. values: those that the container was made with."""
    return {option: BY_OPTION[option].there(container, values[option]) for option in options}


def render(draft: Draft, options: t.Collection[str], context: Context) -> None:
    """Write the values of these options into a draft."""
    for row in ROWS:
        if row.option in options:
            row.render(draft, context.values[row.option], context)


def facts(seen: Seen) -> t.Dict[str, t.Any]:
    """The facts of the rows about a container, in the shape of docker inspect."""
    found: t.Dict[str, t.Any] = {}
    for row in ROWS:
        for path, tell in row.facts.items():
            *above, name = path.split(".")
            place = found
            for part in above:
                place = place.setdefault(part, {})
            place[name] = tell(seen)
    return found


def shown(values: Values) -> t.Dict[str, t.Any]:
    """The values as a diff shows them."""
    return {option: BY_OPTION[option].field.show(value) for option, value in values.items()}


def image_defaults(config: t.Any) -> t.Dict[str, t.Any]:
    """The defaults of a container from its image (oci.image_config.ImageConfig), as JSON, without reserved labels."""
    return {
        "cmd": list(config.cmd),
        "entrypoint": list(config.entrypoint),
        "exposed_ports": list(config.exposed_ports),
        "healthcheck": supervision.health_of_image(config.healthcheck),
        "env": dict(item.partition("=")[::2] for item in config.env if "=" in item[1:]),
        "labels": own_labels(config.labels),
        "stop_signal": config.stop_signal,
        "user": config.user,
        "working_dir": config.working_dir,
    }


def comparison_modes(given: t.Mapping[str, Value], known: t.Collection[str]) -> t.Dict[str, str]:
    """The option comparisons: a mode for an option, under * for all others. known: further options that can be named."""
    for option, mode in given.items():
        row = BY_OPTION.get(option)
        if row is None and option not in known and option != "*":
            raise InvalidArgument(f"comparisons: {printable(option, 80)!r} is not an option that can be compared")
        if mode not in ("strict", "ignore", MORE):
            raise InvalidArgument(f"comparisons: {option}: {printable(mode, 80)!r} is none of strict, ignore, allow_more_present")
        if option == "*" and mode == MORE:
            raise InvalidArgument("comparisons: *: allow_more_present is for lists and dictionaries; use strict or ignore")
        if mode == MORE and (row is None or row.field.kind == "value"):
            raise InvalidArgument(f"comparisons: {option}: allow_more_present is for lists and dictionaries")
    return dict(given)


def fields_for(given: Values, modes: t.Mapping[str, str]) -> t.List[Field]:
    """The fields with the modes that the task asks for; an option that is given empty means "must be empty"."""
    found = []
    for row in ROWS:
        mode = modes.get(row.option, modes.get("*", row.field.mode))
        if mode == MORE and not given.get(row.option, True):
            mode = STRICT
        found.append(row.field._replace(mode=mode))
    return found
