# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps to a volume."""

from __future__ import annotations

import typing as t

from ...errors import FailedPrecondition, InvalidArgument, printable
from ...hostfs.mounts import mount_points
from ...hostfs.remove import remove_tree
from ...kernel.converge import Step
from ...kernel.field import Change, compare
from ...oci.volume_name import anonymous
from ...volume.driver import Driver
from ...volume.store import FIXED, Store, Volume, check, set_owner
from ...volume.users import holders
from .values import FIELDS, OPTIONS, FoundVolume, WantedVolume, options_of


class Work(t.NamedTuple):
    """What the steps work with."""

    store: Store
    want: WantedVolume

    def create(self) -> Step:
        want = self.want
        made = self.store.foreseen(want.name)._replace(labels=want.labels or {}, options=want.options or {}, fixed=want.fixed)
        return Step(f"create volume {want.name}", lambda: self.store.make(made, want.state_root))

    def change(self, volume: Volume, changes: t.Sequence[Change]) -> Step:
        want, names = self.want, [change.field.option for change in changes]
        after = {change.field.option: change.after for change in changes}
        before = {change.field.option: change.before for change in changes}
        changed = volume._replace(labels=after.get("labels", volume.labels), fixed={**volume.fixed, **want.fixed})
        return Step(
            f"change volume {want.name}: {', '.join(names)}",
            lambda: self._write(changed, after),
            lambda: self._write(volume, before),
            partial=True,
        )

    def _write(self, volume: Volume, values: t.Mapping[str, t.Any]) -> None:
        if not volume.anonymous:
            self.store.write(volume)
        set_owner(volume.data, {one: values[one] for one in FIXED if one in values})

    def remove(self, volume: Volume) -> t.List[Step]:
        """Its name goes at once. Its files may take long, and others need not wait for that."""
        doomed: t.List[str] = []

        def run() -> None:
            volume.driver.release(volume.data)
            doomed.append(self.store.set_aside(volume))

        def files() -> None:
            remove_tree(doomed[0])
            if volume.anonymous:
                self.store.forget_container(volume)

        return [
            Step(f"remove volume {volume.name}", run),
            Step(f"remove the files of volume {volume.name}", _nothing, wait=files),
        ]

    def sweep(self, leftovers: t.Sequence[str]) -> t.List[Step]:
        def files() -> None:
            for path in leftovers:
                remove_tree(path)

        return [Step("remove what an interrupted run left of volumes", _nothing, wait=files)] if leftovers else []


def _nothing() -> None:
    """The work was done before, while others need not wait."""


def changes_to(want: WantedVolume, have: FoundVolume) -> t.List[Change]:
    """The options that differ."""
    there = options_of(check(have.volume)) if have.volume else {}
    more = dict(there.get("labels", {})) if want.labels else {}
    wanted = {
        "driver_options": want.options,
        "labels": None if want.labels is None else {**more, **want.labels},
        **want.fixed,
    }
    return compare(FIELDS, wanted, there)


def steps_to(want: WantedVolume, have: FoundVolume, changes: t.Sequence[Change], work: Work) -> t.List[Step]:
    """Create it, change it, or make it anew."""
    volume = have.volume
    if volume is None:
        if anonymous(want.name):
            raise InvalidArgument(f"name: {want.name} is the name of a volume that only a container makes, and is not there")
        Driver.of(want.options or {}).check(want.name)
        return [work.create()]
    options = [change for change in changes if change.field.option == OPTIONS]
    if options and want.recreate == "never":
        raise FailedPrecondition(
            f"driver_options: the volume {want.name} was made with {printable(dict(volume.options), 200)}: give "
            "recreate=options-changed to make it anew, which removes what is in it"
        )
    if options or want.recreate == "always":
        Driver.of(want.options or {}).check(want.name)
        removable(want, have)
        return [*work.remove(volume), work.create()]
    return [work.change(volume, changes)] if changes else []


def removable(want: WantedVolume, have: FoundVolume) -> None:
    """FailedPrecondition for a volume that somebody uses."""
    volume = have.volume
    if volume is None:
        return
    names = [one.name for one in have.used_by]
    if names and not want.force:
        raise FailedPrecondition(
            f"name: the volume {want.name} is used by containers: {printable(', '.join(names), 300)}: remove them first, or give "
            "force=true when none of them runs (they start with a new volume then)",
            containers=names,
        )
    if have.users.lost and not want.force:
        raise have.users.lost[0]
    running = holders(volume.data)
    if running:
        raise FailedPrecondition(
            f"name: the volume {want.name} is mounted by what runs: {printable(', '.join(map(str, running)), 300)}: stop it first",
            containers=names,
        )
    inside = [] if volume.options else mount_points(volume.data)
    if inside:
        raise FailedPrecondition(f"name: the volume {want.name} has something mounted in it, at {inside[0]}: unmount that first")


def removal(want: WantedVolume, have: FoundVolume, work: Work) -> t.List[Step]:
    removable(want, have)
    return work.remove(have.volume) if have.volume else []
