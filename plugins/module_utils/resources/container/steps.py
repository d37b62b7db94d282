# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a container, over the engine's interfaces: make, start, stop, remove, swap names."""

from __future__ import annotations

import contextlib
import copy
import os
import typing as t

from ...engine import labels as L
from ...engine.models import CREATED, PAUSED, STOPPED, Container
from ...errors import EngineError, FailedPrecondition, InvalidArgument, NotFound, Unavailable
from ...kernel.field import outcome
from ..image.find import find_image
from . import networks, volumes
from .options.life import Stop, stopping
from .options.row import Draft, Values
from .options.streams import task_io
from .options.table import dump, dump_effective, effective, image_defaults, load, render, there, values_of

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Image
    from ...image.inspect import ImageView
    from ...kernel.field import Change
    from .values import WantedContainer

SCHEMA = 1
_KILL = 9
_KILL_SECONDS = 30.0


def log_path(engine: Engine, container_id: str) -> str:
    """The path of a container's log."""
    return os.path.join(engine.container_dir(container_id), f"{container_id}-json.log")


def create(engine: Engine, want: WantedContainer, container_id: str, old: t.Optional[Container] = None) -> Container:
    """Make the record and the snapshot, without a start. old: the one that has the name yet, until a swap. A failure leaves nothing."""
    from ...hostfs.atomic import write_file
    from ...hostfs.remove import remove_tree
    from ...runtime import rootfs
    from .draft import drafted

    if want.image is None:
        raise InvalidArgument(f"image: needed to create the container {want.name}")
    found = find_image(want.image, engine)
    if found is None or found.view is None:
        raise NotFound(f"the image {want.image.label} is not there")
    config = found.view.image_config
    values = effective(want.given, image_defaults(config))
    store = engine.snapshotter(want.engine.snapshotter)
    made = False
    with engine.containers.making():
        mounts = store.prepare(container_id, found.view.chain_id)
        try:
            directory = engine.container_dir(container_id)
            with rootfs.opened(mounts, directory) as root:
                context = networks.context_of(engine, container_id, values, directory, want.name, want.places)
                context = context._replace(image=want.image.label, image_volumes=config.volumes, root=root)
                draft = drafted(engine.namespace, context, _labels(engine, want, old is not None))
            if old:
                networks.inherit(draft, old, want)
            networks.settle(draft, directory, want.engine.data_root)
            if draft.connected:
                networks.install(want.engine.data_root)
            for path, text in draft.files.items():
                write_file(path, text, 0o644)
            container = Container(
                id=container_id,
                image=found.record.name,
                spec=draft.spec,
                snapshotter=store.name,
                snapshot_key=container_id,
                labels=draft.labels,
                runtime=draft.runtime,
                extensions={L.DESIRED: _stored(want.given, values, found.record, found.view)},
            )
            container = engine.containers.create(container)
            made = True
        finally:
            if not made:
                remove_tree(engine.container_dir(container_id))
                with contextlib.suppress(NotFound):
                    store.remove(container_id)
    return container


def _labels(engine: Engine, want: WantedContainer, stage: bool) -> t.Dict[str, str]:
    """The labels for nerdctl that no option gives."""
    return {
        L.STAGE if stage else L.NAME: want.name,
        L.NAMESPACE: engine.namespace,
        L.PLATFORM: str(want.image.platform) if want.image else "",
        L.EXTRA_HOSTS: "[]",
    }


def _stored(given: Values, values: Values, record: Image, view: ImageView) -> t.Dict[str, t.Any]:
    """The values that later runs compare with. effective: for facts and starts."""
    return {
        "schema": SCHEMA,
        "given": dump(given),
        "defaults": image_defaults(view.image_config),
        "effective": dump_effective(values),
        "image": {
            "name": record.name,
            "target": str(record.target.digest),
            "manifest": str(view.manifest.digest),
            "config": str(view.config.digest),
        },
    }


def start(engine: Engine, container: Container) -> None:
    """Start it, after removing the task of an earlier run."""
    with contextlib.suppress(NotFound):
        state = engine.tasks.state(container.id)
        if state.status not in (STOPPED, CREATED):
            return
        engine.tasks.delete(container.id, force=True)
    _mark_stopped(engine, container, False)
    io = task_io(container.spec, values_of(container), log_path(engine, container.id))
    mounts = engine.snapshotter(container.snapshotter).mounts(container.snapshot_key)
    volumes.prepare(engine, container, mounts)
    container = networks.prepare(engine, container)
    try:
        engine.tasks.start(container, mounts, io)
    except EngineError as error:
        # It may run: somebody else was faster, or the answer was lost.
        networks.release(container, unused=True)
        raise networks.explained(container, error) from error


def halt(engine: Engine, container: Container) -> None:
    """Undo a start: kill the container. One that has ended by itself keeps its exit status."""
    with contextlib.suppress(NotFound):
        if engine.tasks.state(container.id).status == STOPPED:
            return
    with contextlib.suppress(NotFound):
        engine.tasks.delete(container.id, force=True)
    networks.release(container)


def stop(engine: Engine, container: Container, how: Stop) -> None:
    """Ask it to stop, and kill it when it does not within its stop timeout. The stopped task stays, with its exit status.

    Its addresses and ports do not: another container may want them.
    """
    _stop(engine, container, how)
    networks.release(container)


def _stop(engine: Engine, container: Container, how: Stop) -> None:
    number, timeout = stopping(how, values_of(container))
    try:
        if engine.tasks.state(container.id).status == STOPPED:
            return
        _mark_stopped(engine, container, True)
        if not how.kill:
            _signal(engine, container.id, number)
            with contextlib.suppress(Unavailable):
                engine.tasks.wait(container.id, timeout)
                return
        _signal(engine, container.id, _KILL)
        engine.tasks.wait(container.id, _KILL_SECONDS)
    except FailedPrecondition:
        # It ended by itself meanwhile.
        engine.tasks.wait(container.id, _KILL_SECONDS)
    except NotFound:
        return


def _signal(engine: Engine, container_id: str, number: int) -> None:
    """Send a signal. A paused container gets it first and is resumed then, so it does nothing else before."""
    engine.tasks.signal(container_id, number)
    if engine.tasks.state(container_id).status == PAUSED:
        engine.tasks.resume(container_id)


def start_again(engine: Engine, container: Container, how: Stop) -> None:
    """Undo a stop, also an incomplete one."""
    if was_stopped(engine, container):
        stop(engine, container, how)
    start(engine, container)


def _mark(engine: Engine, container: Container) -> str:
    return os.path.join(engine.container_dir(container.id), "stopped")


def was_stopped(engine: Engine, container: Container) -> bool:
    """True when it was asked to stop since its start: then it has not finished its work, whatever its exit status."""
    return L.DESIRED in container.extensions and os.path.exists(_mark(engine, container))


def _mark_stopped(engine: Engine, container: Container, stopped: bool) -> None:
    """Record that a stop was asked for. A full disk must not prevent the stop."""
    if L.DESIRED not in container.extensions:
        return
    with contextlib.suppress(OSError):
        if stopped:
            os.close(os.open(_mark(engine, container), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        else:
            os.unlink(_mark(engine, container))


def remove(engine: Engine, container: Container, keep_volumes: bool = False) -> None:
    """Remove task, record and snapshot; missing ones are no error. keep_volumes: those that it has alone stay.

    A file that cannot be removed (an immutable log) does not keep the rest: after the record, the snapshot is removed too.
    """
    with contextlib.suppress(NotFound):
        engine.tasks.delete(container.id, force=True)
    networks.release(container)
    try:
        with contextlib.suppress(NotFound):
            engine.containers.delete(container.id, keep_volumes)
        volumes.release(engine, container)
    finally:
        if not _known(engine, container.id):
            with contextlib.suppress(NotFound):
                engine.snapshotter(container.snapshotter).remove(container.snapshot_key)


def remove_by_id(engine: Engine, container_id: str) -> None:
    """Undo create(), even where an interruption came before it returned."""
    with contextlib.suppress(NotFound):
        remove(engine, engine.containers.get(container_id))


def _known(engine: Engine, container_id: str) -> bool:
    try:
        engine.containers.get(container_id)
    except NotFound:
        return False
    return True


def swap(engine: Engine, name: str, old: Container, new: Container) -> None:
    """Give the name of one container to another, and take its addresses and ports from it: it may have ended without giving them back.

    After a kill in between, the next run removes both leftovers.
    """
    networks.release(old)
    _rename(engine, old, {L.STAGE: name}, L.NAME)
    _rename(engine, new, {L.NAME: name}, L.STAGE)


def _rename(engine: Engine, container: Container, add: t.Mapping[str, str], drop: str) -> None:
    labels = {key: value for key, value in engine.containers.get(container.id).labels.items() if key != drop}
    engine.containers.update(container._replace(labels={**labels, **add}), ["labels"])


def update(engine: Engine, container: Container, want: WantedContainer, changes: t.Sequence[Change]) -> None:
    """Change options that need no new container: in the specification and the record."""
    stored = dict(container.extensions[L.DESIRED])
    options = [change.field.option for change in changes]
    # As JSON, since a later release may have stored options that have no row here.
    given = {**stored["given"], **dump({option: want.given[option] for option in options if option in want.given})}
    values = effective(load(given), stored["defaults"])
    stored.update(given=given, effective={**stored["effective"], **dump_effective(values)})
    draft = Draft(copy.deepcopy(dict(container.spec)), container.labels, container.runtime)
    values = {**there(container, values, values), **{change.field.option: outcome(change) for change in changes}}
    context = networks.context_of(engine, container.id, values, engine.container_dir(container.id), want.name, want.places)
    render(draft, options, context)
    if networks.changes(changes):
        networks.change(engine, container, draft, context)
    fields = ["labels", "extensions", *(["spec"] if draft.spec != container.spec else [])]
    extensions = {**container.extensions, L.DESIRED: stored}
    engine.containers.update(container._replace(spec=draft.spec, labels=draft.labels, extensions=extensions), fields)
