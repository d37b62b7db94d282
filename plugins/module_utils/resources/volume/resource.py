# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_volume: a volume of a namespace.

It opens no engine: a volume is a directory of the host, and its users are known by files, whichever engine runs them.
"""

from __future__ import annotations

import contextlib
import typing as t

from ...kernel.converge import Facts, Plan
from ...kernel.field import Change, render
from ...volume.store import Store
from ...volume.users import find
from .desired import desired
from .facts import volume_facts
from .plan import Work, changes_to, removal, steps_to
from .values import FoundVolume, WantedVolume, options_of


class _Lock:
    """The lock of the volumes, which steps that take long do without."""

    def __init__(self, store: Store) -> None:
        self._store, self._held = store, contextlib.ExitStack()

    def __enter__(self) -> _Lock:
        self._held.enter_context(self._store.locked())
        return self

    def __exit__(self, *exc: t.Any) -> None:
        self._held.close()

    @contextlib.contextmanager
    def released(self) -> t.Iterator[None]:
        self._held.close()
        try:
            yield
        finally:
            self._held.enter_context(self._store.locked())


class VolumeResource:
    def desired(self, params: t.Mapping[str, t.Any], engine: t.Any) -> WantedVolume:
        return desired(params)

    def observe(self, want: WantedVolume, engine: t.Any) -> FoundVolume:
        store = Store(want.data_root, want.namespace)
        return FoundVolume(store.get(want.name), find(want.data_root, want.namespace), tuple(store.leftovers()))

    def lock(self, want: WantedVolume, engine: t.Any) -> t.ContextManager[t.Any]:
        return _Lock(Store(want.data_root, want.namespace))

    def plan(self, want: WantedVolume, have: FoundVolume, engine: t.Any) -> Plan:
        work = Work(Store(want.data_root, want.namespace), want)
        sweep = work.sweep(have.leftovers)
        if not want.present:
            steps = removal(want, have, work)
            return Plan([*sweep, *steps], _shown(have), {"exists": False}, facts=lambda end: _facts(want, None, end))
        changes = changes_to(want, have)
        steps = steps_to(want, have, changes, work)
        before, after = render(changes)
        if have.volume is None:
            before, after = {"exists": False}, {"exists": True, **after}
        return Plan([*sweep, *steps], before, after, facts=lambda end: _facts(want, changes, end))


def _shown(have: FoundVolume) -> t.Dict[str, t.Any]:
    """A volume for a diff: all of it."""
    if have.volume is None:
        return {"exists": False}
    options = options_of(have.volume)
    return {"exists": True, **options, **({"mode": f"{options['mode']:04o}"} if "mode" in options else {})}


def _facts(want: WantedVolume, changes: t.Optional[t.Sequence[Change]], end: FoundVolume) -> Facts:
    """As it is at the end; in check mode, as it would be."""
    warnings = [str(one) for one in end.users.lost]
    if changes is None:
        return Facts({"volume": {}}, warnings)
    volume = end.volume or Store(want.data_root, want.namespace).foreseen(want.name)
    values: t.Dict[str, t.Any] = options_of(volume) if end.volume else {"labels": {}, "driver_options": {}}
    if end.volume is None and not want.options:
        values.update(owner=0, group=0, mode=0o755)
    values.update({change.field.option: change.after for change in changes})
    return Facts({"volume": volume_facts(volume, want.namespace, end.users.of(want.name), values)}, warnings)
