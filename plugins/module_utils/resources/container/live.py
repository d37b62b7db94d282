# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of a container that stays: for what runs, in its files, in its record, and last for its supervisor, which
goes by the record.

A mark in the container's directory tells that one has begun. After a kill the next run does it again, whatever the task asks by then,
since nobody knows which limits the task has. After an error everything is put back.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import os
import typing as t

from ...engine import labels as L
from ...engine.models import CREATED, STOPPED, Container
from ...errors import EngineError
from ...hostfs.atomic import read_file, write_file
from ...hostfs.edit import Edit, edit
from ...kernel.field import IGNORE, MORE, outcome
from ...runtime.memory import check_limit
from ...runtime_spec.resources import Resources, resources_of, update_of
from . import networks, steps
from .find import MARK, mark_of, task_of
from .options.row import Draft, Live, Values
from .options.row import stored as as_stored
from .options.table import BY_OPTION, dump, dump_effective, effective, fields_for, load, merged, render, there

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...kernel.field import Change
    from .values import WantedContainer


class Side(t.NamedTuple):
    """What there is before a change or after it. limits: those that the task may have. edits: what becomes of files, by path."""

    container: Container
    limits: t.Sequence[Resources]
    edits: t.Mapping[str, Edit]


def _limits(engine: Engine, old: Side, new: Side) -> None:
    task = task_of(engine, new.container)
    if task and task.status not in (STOPPED, CREATED):
        engine.tasks.update(new.container, update_of(resources_of(new.container.spec), *old.limits, *new.limits))


def _files(engine: Engine, old: Side, new: Side) -> None:
    for path, change in new.edits.items():
        edit(path, change, make=True, durable=True)


def _record(engine: Engine, old: Side, new: Side) -> None:
    changed = new.container.spec != old.container.spec
    engine.containers.update(new.container, ["labels", "extensions", *(["spec"] if changed else [])])


def _supervisor(engine: Engine, old: Side, new: Side) -> None:
    steps.supervise(engine, new.container)


#: How a change gets from one side to the other, in this order. With the sides exchanged, it is the way back. The record is always
#: written; networks have a way of their own, right before it.
_WAYS: t.Mapping[Live, t.Callable[[Engine, Side, Side], None]] = {
    Live.LIMITS: _limits,
    Live.FILES: _files,
    Live.RECORD: _record,
    Live.SUPERVISOR: _supervisor,
}
#: What a change of an option can take.
SERVED = {Live.NEVER, Live.NETWORKS, *_WAYS}


class Update:
    """A change of options that need no new container; without changes, an interrupted one once more.

    drift: the limits of the record are set again.

    Raises an error if the options contradict those that the container has.
    """

    def __init__(
        self, engine: Engine, container: Container, want: WantedContainer, changes: t.Sequence[Change], drift: bool = False
    ) -> None:
        self._engine, self._container, self._changes = engine, container, changes
        stored = dict(container.extensions[L.DESIRED])
        before = effective(load(stored["given"]), stored["defaults"])
        options = {change.field.option for change in changes}
        asked = dump({option: want.given[option] for option in options | _agreed(want) if option in want.given})
        # As JSON, since a later release may have stored options that have no row here.
        given = merged(stored["given"], {**asked, **dump(_added_to(changes))})
        values = effective(load(given), stored["defaults"])
        stored.update(given=given, effective={**stored["effective"], **dump_effective(values)})
        self._stored = stored
        values = {**there(container, values, values), **{change.field.option: outcome(change) for change in changes}}
        directory = engine.container_path(container.id)
        self._context = networks.context_of(engine, container.id, values, directory, want.name, want.places)
        self._left = self._doubtful()
        if self._left:
            options.update(option for option, row in BY_OPTION.items() if row.live in {*_WAYS} - {Live.RECORD})
        if drift:
            options.update(option for option, row in BY_OPTION.items() if row.live is Live.LIMITS)
        self._kinds = {Live.RECORD, *(BY_OPTION[option].live for option in options)}
        self._draft = self._rendered(options, values)
        files = {option for option in options if BY_OPTION[option].live is Live.FILES}
        self._back = self._rendered(files, before).edits if files else {}

    def _rendered(self, options: t.Collection[str], values: Values) -> Draft:
        """The container with these values of these options."""
        container = self._container
        draft = Draft(copy.deepcopy(dict(container.spec)), container.labels, container.runtime)
        render(draft, options, self._context._replace(values=values))
        return draft

    def _doubtful(self) -> t.List[Resources]:
        """The limits that an interrupted change may have set; the empty list without one."""
        found = read_file(mark_of(self._engine, self._container))
        if found is None:
            return []
        try:
            limits = json.loads(found)
        except ValueError:
            limits = {}
        return [limits if isinstance(limits, dict) else {}]

    def check(self) -> None:
        """Raise the error for limits that what runs could not have now."""
        task = task_of(self._engine, self._container) if Live.LIMITS in self._kinds else None
        if task and task.pid:
            check_limit(task.pid, resources_of(self._draft.spec))

    def run(self) -> None:
        engine, kinds = self._engine, [kind for kind in _WAYS if kind in self._kinds]
        limits = resources_of(self._draft.spec)
        old = Side(self._container, [resources_of(self._container.spec), *self._left], self._back)
        new = Side(self._changed(), [limits], self._draft.edits)
        mark = os.path.join(engine.container_dir(self._container.id), MARK)
        if len(kinds) > 1:
            write_file(mark, json.dumps(limits).encode(), durable=False)
        back: t.List[t.Callable[[], None]] = []
        try:
            for kind in kinds:
                way = functools.partial(_WAYS[kind], engine)
                if kind is Live.RECORD:
                    if networks.changes(self._changes):
                        networks.change(engine, self._container, self._draft, self._context)
                        new = new._replace(container=self._changed())
                    way(old, new)
                    back.append(functools.partial(way, new, old))
                else:
                    # It may be done in part.
                    back.append(functools.partial(way, new, old))
                    way(old, new)
            back = []
        finally:
            undone = [_done(one) for one in reversed(back)]
            if all(undone):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(mark)

    def _changed(self) -> Container:
        """The record of the container after the change."""
        extensions = self._draft.extended({**self._container.extensions, L.DESIRED: self._stored})
        return self._container._replace(spec=self._draft.spec, labels=self._draft.labels, extensions=extensions)


def _agreed(want: WantedContainer) -> t.Set[str]:
    """The limits that a task gives, also those that were the default so far: this may follow another limit that changes."""
    fields = fields_for(want.given, want.modes)
    asked = {field.option for field in fields if field.option in want.given and field.mode != IGNORE}
    return {option for option in asked if BY_OPTION[option].live is Live.LIMITS}


def _added_to(changes: t.Iterable[Change]) -> t.Dict[str, t.Any]:
    """The values of the dictionaries that keep what nobody asks for any more."""
    kept = [change for change in changes if change.field.kind == "dict" and change.field.mode == MORE]
    return {one.field.option: outcome(one) for one in kept if BY_OPTION[one.field.option].there is as_stored}


def _done(step: t.Callable[[], None]) -> bool:
    with contextlib.suppress(EngineError):
        step()
        return True
    return False
