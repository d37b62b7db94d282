# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a container, over the engine's interfaces: make, start, stop, remove, swap names."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ...engine import labels as L
from ...engine.models import ASKED, CREATED, PAUSED, RESTARTING, STOPPED, Container
from ...errors import AlreadyExists, EngineError, FailedPrecondition, InvalidArgument, NotFound, Unavailable
from ...runtime_spec.user_namespace import Mapping
from ..image.find import find_image
from . import networks, volumes
from .find import task_of
from .gone import there
from .options.life import Stop, stopping
from .options.log import needs_telling
from .options.namespaces import users_of
from .options.others import others
from .options.row import Draft, Values
from .options.streams import log_path, task_io
from .options.supervision import supervision_of
from .options.table import dump, dump_effective, effective, image_defaults, values_of

if t.TYPE_CHECKING:
    from ...engine.api import Engine, Snapshotter
    from ...engine.models import Image, Supervision, TaskIO
    from ...image.inspect import ImageView
    from .values import WantedContainer

SCHEMA = 1
#: Blobs that these labels of a container name are not collected, and neither are the layers that they name: its own image, so that state=
#: previous can have it after a tag has moved, and that of the container before.
_PIN, _PIN_PREVIOUS = f"{L.GC_REF_CONTENT}image", f"{L.GC_REF_CONTENT}previous"
#: States of a task whose container is to be started.
_TO_START = (STOPPED, CREATED, RESTARTING)
_KILL = 9
_KILL_SECONDS = 30.0


def create(
    engine: Engine,
    want: WantedContainer,
    container_id: str,
    old: t.Optional[Container] = None,
    previous: t.Optional[t.Mapping[str, t.Any]] = None,
) -> Container:
    """Make the record and the snapshot, without a start. old: the one that has the name yet, until a swap. previous: what it keeps of that.
    A failure leaves nothing.
    """
    from ...hostfs.remove import remove_tree
    from ...runtime import rootfs
    from . import user_ranges
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
    with _with_users(engine, store, values, found.view.chain_id) as (mapping, parent), engine.containers.making():
        mounts = store.prepare(container_id, parent)
        try:
            directory = engine.container_dir(container_id)
            if mapping:
                user_ranges.keep(mapping, directory)
            with rootfs.opened(mounts) as root:
                context = networks.context_of(engine, container_id, values, directory, want.name, want.places)
                context = context._replace(image=want.image.label, image_volumes=config.volumes, root=root, mapping=mapping)
                draft = drafted(engine.namespace, context, _labels(engine, want, values, old is not None, previous or {}))
                _write_inside(draft, root)
            if old:
                networks.inherit(draft, old, want)
            _settle(draft, directory, want.engine.data_root)
            container = Container(
                id=container_id,
                image=found.record.name,
                spec=draft.spec,
                snapshotter=store.name,
                snapshot_key=container_id,
                labels={**draft.labels, _PIN: str(found.record.target.digest)},
                runtime=draft.runtime,
                extensions=_extensions(draft, _stored(want.given, values, found.record, found.view), previous or {}),
            )
            if want.state == "started":
                engine.tasks.expect(container, _io(engine, container, values))
            _write_files(draft)
            container = engine.containers.create(container)
            made = True
        finally:
            if not made:
                remove_tree(engine.container_dir(container_id))
                with contextlib.suppress(NotFound):
                    store.remove(container_id)
    return container


@contextlib.contextmanager
def _with_users(engine: Engine, store: Snapshotter, values: Values, parent: str) -> t.Iterator[t.Tuple[t.Optional[Mapping], str]]:
    """The users of a container that is being made, which nobody else can choose meanwhile, and the parent of its snapshot."""
    from . import user_ranges

    with user_ranges.chosen(users_of(values), engine.data_root) as mapping:
        if mapping is None:
            yield None, parent
            return
        from ...runtime.mapped import mapped

        with engine.lease():
            yield mapping, mapped(store, parent, mapping)


def _settle(draft: Draft, directory: str, data_root: str) -> None:
    """Choose what nobody else can have, and keep what is not in the record."""
    networks.settle(draft, directory, data_root)
    if draft.secrets:
        from .kept import keep

        keep(draft, directory, data_root)
    if draft.connected or draft.secrets:
        networks.install(data_root)


def _write_files(draft: Draft) -> None:
    if draft.files:
        from ...hostfs.atomic import write_file

        for path, text in draft.files.items():
            write_file(path, text, 0o644)


def _write_inside(draft: Draft, root: int) -> None:
    if draft.inside:
        from ...hostfs.write_inside import write_inside

        for one in draft.inside:
            write_inside(root, one.path, one.content, one.mode, (one.uid, one.gid))


def kept_labels(previous: t.Mapping[str, t.Any]) -> t.Dict[str, str]:
    """What keeps the image of the container before (previous.py)."""
    return {_PIN_PREVIOUS: previous["image"]["descriptor"]["digest"]} if "image" in previous else {}


def _extensions(
    draft: Draft, desired: t.Mapping[str, t.Any], previous: t.Mapping[str, t.Any]
) -> t.Dict[str, t.Mapping[str, t.Any]]:
    return draft.extended({L.DESIRED: desired, L.PREVIOUS: previous})


def _labels(
    engine: Engine, want: WantedContainer, values: Values, stage: bool, previous: t.Mapping[str, t.Any]
) -> t.Dict[str, str]:
    """The labels for nerdctl that no option gives, those by which others find who uses them, and what keeps other things."""
    staged = want.state == "staged"
    return {
        L.STAGE if stage or staged else L.NAME: want.name,
        **({L.ROLE: L.STAGED} if staged else {}),
        **kept_labels(previous),
        L.NAMESPACE: engine.namespace,
        L.PLATFORM: str(want.image.platform) if want.image else "",
        L.EXTRA_HOSTS: "[]",
        **{L.USES + name: "true" for name in others(values).values()},
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
            "descriptor": record.target.to_json(),
            "target": str(record.target.digest),
            "manifest": str(view.manifest.digest),
            "config": str(view.config.digest),
        },
    }


def start(engine: Engine, container: Container, counters: t.Optional[t.Tuple[int, float]] = None) -> None:
    """Start it, after removing the task of an earlier run. counters: those of a supervisor, which starts it (Supervision)."""
    from . import kept, shared
    from .options.mounts import make_sources

    with contextlib.suppress(NotFound):
        if engine.tasks.state(container.id).status not in _TO_START:
            return
        if not counters or not counters[0]:
            engine.tasks.delete(container.id, force=True)
    _forget_mark(engine, container)
    # An update may have come between the plan and us.
    container = engine.containers.get(container.id)
    if L.TO_RUN in container.labels:
        container = rename(engine, container, {}, L.TO_RUN)
    values = values_of(container)
    make_sources(values)
    mounts = engine.snapshotter(container.snapshotter).mounts(container.snapshot_key)
    volumes.prepare(engine, container, mounts)
    container = networks.prepare(engine, container)
    kept.prepare(container)
    container = shared.prepare(engine, container)
    _tell_log(engine, container, values)
    asked = _asked(engine, container, values)
    if counters:
        asked = asked._replace(restarts=counters[0], waited=counters[1])
    else:
        _have_starter(engine, asked)
    try:
        engine.tasks.start(container, mounts, _io(engine, container, values), asked)
    except EngineError as error:
        # It may run: somebody else was faster, or the answer was lost.
        networks.release(container, unused=True)
        with contextlib.suppress(EngineError):
            task = task_of(engine, container)
            if task is None:
                shared.release(engine, container)
            elif isinstance(error, AlreadyExists) and task.status not in _TO_START:
                # A killed run was about to start it, and has.
                return
        raise kept.explained(container, networks.explained(container, error)) from error


def _asked(engine: Engine, container: Container, values: Values) -> Supervision:
    """What its supervisor is told."""
    name, mounts = container.labels.get(L.NAME) or container.labels.get(L.STAGE) or "", volumes.have_mounts(engine, container)
    return supervision_of(container.spec, values)._replace(mounts=mounts, name=name)


def _io(engine: Engine, container: Container, values: Values) -> TaskIO:
    return task_io(container.spec, values, log_path(engine.container_dir(container.id), container.id))


def _tell_log(engine: Engine, container: Container, values: Values) -> None:
    if needs_telling(values):
        from .options.log_told import tell

        tell(container, values, log_path(engine.container_dir(container.id), container.id))


def _have_starter(engine: Engine, asked: Supervision) -> None:
    """Have what starts containers while no task is there."""
    if asked.wanted:
        from .starting import install

        install(engine.data_root)


def halt(engine: Engine, container: Container) -> None:
    """Undo a start: kill the container. One that has ended by itself keeps its exit status."""
    from . import shared

    with contextlib.suppress(NotFound):
        if engine.tasks.state(container.id).status == STOPPED:
            return
    with contextlib.suppress(NotFound):
        engine.tasks.delete(container.id, force=True)
    networks.release(container)
    shared.release(engine, container)


def stop(engine: Engine, container: Container, how: Stop) -> None:
    """Ask it to stop, and kill it when it does not within its stop timeout. The stopped task stays, with its exit status.

    Its addresses and ports do not: another container may want them.
    """
    from . import shared

    _stop(engine, container, how)
    networks.release(container)
    shared.release(engine, container)


def stop_for_good(engine: Engine, container: Container, how: Stop) -> None:
    """The same, where nobody wants it to run afterwards."""
    stop(engine, container, how)
    if L.TO_RUN in container.labels:
        forget_intent(engine, container)


def _stop(engine: Engine, container: Container, how: Stop) -> None:
    number, timeout = stopping(how, values_of(container))
    try:
        if engine.tasks.state(container.id).status == STOPPED:
            return
        engine.tasks.give_up(container.id)
        if number != _KILL:
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
        try:
            engine.tasks.resume(container_id)
        except EngineError:
            # runc thaws it for SIGKILL, so it may be running, or have ended, since we looked.
            if engine.tasks.state(container_id).status == PAUSED:
                raise


def start_again(engine: Engine, container: Container, how: Stop) -> None:
    """Undo a stop, also an incomplete one."""
    if was_stopped(engine, container):
        stop(engine, container, how)
    start(engine, container)


def _mark(engine: Engine, container: Container) -> str:
    return os.path.join(engine.container_dir(container.id), ASKED)


def was_stopped(engine: Engine, container: Container) -> bool:
    """True when it was asked to stop since its start: then it has not finished its work, whatever its exit status."""
    return L.DESIRED in container.extensions and os.path.exists(_mark(engine, container))


def _forget_mark(engine: Engine, container: Container) -> None:
    """Whoever starts it wants it to run."""
    if L.DESIRED in container.extensions:
        with contextlib.suppress(OSError):
            os.unlink(_mark(engine, container))


def remove(engine: Engine, container: Container, keep_volumes: bool = False) -> None:
    """Remove task, record and snapshot; missing ones are no error. keep_volumes: those that it has alone stay, as do those that others use.

    A file that cannot be removed (an immutable log) does not keep the rest: after the record, the snapshot is removed too.
    """
    with contextlib.suppress(NotFound):
        engine.tasks.delete(container.id, force=True)
    networks.release(container)
    try:
        with contextlib.suppress(NotFound):
            engine.containers.delete(container.id, keep_volumes or volumes.shared(engine, container))
        volumes.release(engine, container)
    finally:
        if not there(engine.containers.get, container.id):
            with contextlib.suppress(NotFound):
                engine.snapshotter(container.snapshotter).remove(container.snapshot_key)
            if Mapping.of(container.spec):
                # The copy of the image with its owners, unless others use it. What is not collected now is so later.
                with contextlib.suppress(EngineError):
                    engine.collect()


def is_damaged(engine: Engine, container: Container) -> bool:
    """Whether its files, or what it is to find its networks by, were removed by others."""
    return not (there(engine.snapshotter(container.snapshotter).stat, container.snapshot_key) and networks.are_known(container))


def remove_by_id(engine: Engine, container_id: str) -> None:
    """Undo create(), even where an interruption came before it returned."""
    with contextlib.suppress(NotFound):
        remove(engine, engine.containers.get(container_id))


def swap(engine: Engine, name: str, old: Container, new: Container) -> None:
    """Give the name of one container to another. After a kill in between, the next run completes it (resource.py)."""
    rename(engine, old, {L.STAGE: name, L.ROLE: L.FORMER}, L.NAME)
    take_name(engine, name, new)
    networks.tell_names(old, silent=True)


def swap_back(engine: Engine, name: str, old: Container, new: Container) -> None:
    """Undo it, also where it has failed half-way."""
    rename(engine, new, {L.STAGE: name}, L.NAME)
    take_name(engine, name, old)


def take_name(engine: Engine, name: str, container: Container) -> None:
    """Give a container a name that no other has, also in its networks."""
    networks.tell_names(container, silent=False)
    rename(engine, container, {L.NAME: name}, L.STAGE, L.ROLE)


def take_staged(engine: Engine, container: Container, previous: t.Mapping[str, t.Any]) -> Container:
    """A staged container becomes one that is in the making."""
    container = rename(engine, container, kept_labels(previous), L.ROLE)
    extensions = {**container.extensions, **({L.PREVIOUS: previous} if previous else {})}
    return engine.containers.update(container._replace(extensions=extensions), ["extensions"])


def intend(engine: Engine, container: Container) -> None:
    """Note that a container, which is about to be stopped, is to run again if there will be no new one."""
    rename(engine, container, {L.TO_RUN: "yes"})


def forget_intent(engine: Engine, container: Container) -> None:
    rename(engine, container, {}, L.TO_RUN)


def rename(engine: Engine, container: Container, add: t.Mapping[str, str], *drop: str) -> Container:
    """Change labels of a container."""
    labels = {key: value for key, value in engine.containers.get(container.id).labels.items() if key not in drop}
    return engine.containers.update(container._replace(labels={**labels, **add}), ["labels"])


def supervise(engine: Engine, container: Container) -> None:
    """Tell its supervisor what is asked for; have one again if it was killed."""
    values = values_of(container)
    asked = _asked(engine, container, values)
    _have_starter(engine, asked)
    engine.tasks.supervise(container, _io(engine, container, values), asked)
