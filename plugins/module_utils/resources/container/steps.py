# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to a container, over the engine's interfaces: making, starting, stopping, removing, swapping names."""

from __future__ import annotations

import contextlib
import os
import secrets
import typing as t

from ...engine import labels as L
from ...engine.models import CREATED, PAUSED, STOPPED, Container, Runtime, TaskIO
from ...errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from ..image.find import find_image
from . import volumes
from .options import effective, image_defaults
from .values import Stop

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...image.inspect import ImageView
    from ...kernel.field import Change
    from .values import WantedContainer

SCHEMA = 1
_KILL, _TERM = 9, 15
_KILL_SECONDS = 30.0


def log_path(engine: Engine, container_id: str) -> str:
    """Where the output of a container is kept."""
    return os.path.join(engine.container_dir(container_id), f"{container_id}-json.log")


def create(engine: Engine, want: WantedContainer, stage: bool = False) -> Container:
    """Make the record and the snapshot, not started. stage: under no name yet, to be swapped in. On failure nothing is left."""
    from ...hostfs.remove import remove_tree
    from ...runtime import rootfs
    from ...runtime_spec.build import build
    from ...runtime_spec.cgroups import host_facts
    from .check import check_root, command_line

    if want.image is None:
        raise InvalidArgument(f"image: needed to create the container {want.name}")
    found = find_image(want.image, engine)
    if found is None or found.view is None:
        raise NotFound(f"the image {want.image.label} is not there")
    defaults = image_defaults(found.view.image_config)
    options = effective(want.given, defaults)
    args = command_line(want, options)
    container_id = secrets.token_hex(32)
    store = engine.snapshotter(want.engine.snapshotter)
    made = False
    with engine.containers.making():
        mounts = store.prepare(container_id, found.view.chain_id)
        try:
            with rootfs.opened(mounts, engine.container_dir(container_id)) as root:
                user = check_root(root, options, args)
                directory = engine.container_dir(container_id)
                more = volumes.declared(root, found.view.image_config.volumes, options["volumes"], directory)
            request = _request(engine, want, container_id, options, args, user, more)
            container = Container(
                id=container_id,
                image=found.record.name,
                spec=build(request, host_facts()),
                snapshotter=store.name,
                snapshot_key=container_id,
                labels=_labels(engine, want, options, stage, container_id),
                runtime=Runtime(binary=options["runtime"]),
                extensions={L.DESIRED: _stored(want, found.view, found.record, defaults, options)},
            )
            container = engine.containers.create(container)
            made = True
        finally:
            if not made:
                remove_tree(engine.container_dir(container_id))
                with contextlib.suppress(NotFound):
                    store.remove(container_id)
    return container


def _request(
    engine: Engine,
    want: WantedContainer,
    container_id: str,
    options: t.Mapping[str, t.Any],
    args: t.Tuple[str, ...],
    user: t.Any,
    more: t.Sequence[t.Mapping[str, t.Any]],
) -> t.Any:
    """more: the volumes that the image declares."""
    from ...runtime.etc_files import etc_files
    from ...runtime_spec.build import SpecRequest

    return SpecRequest(
        container_id=container_id,
        namespace=engine.namespace,
        args=args,
        env=options["env"],
        user=user,
        working_dir=options["working_dir"],
        hostname=_hostname(options, container_id),
        network_mode=options["network_mode"],
        read_only=options["read_only"],
        tty=options["tty"],
        volumes=(*options["volumes"], *more),
        files=etc_files(options["network_mode"], _hostname(options, container_id), engine.container_dir(container_id)),
    )


def _hostname(options: t.Mapping[str, t.Any], container_id: str) -> str:
    """In the host's network the host's name, as Docker has it: it stands for the addresses there."""
    return options["hostname"] or (os.uname().nodename if options["network_mode"] == "host" else container_id[:12])


def _labels(
    engine: Engine, want: WantedContainer, options: t.Mapping[str, t.Any], stage: bool, container_id: str
) -> t.Dict[str, str]:
    """The labels of the image and the task, and those that nerdctl reads."""
    return {
        **options["labels"],
        L.STAGE if stage else L.NAME: want.name,
        L.NAMESPACE: engine.namespace,
        L.HOSTNAME: _hostname(options, container_id),
        L.NETWORKS: f'["{options["network_mode"]}"]',
        L.PLATFORM: str(want.image.platform) if want.image else "",
        L.EXTRA_HOSTS: "[]",
    }


def _stored(
    want: WantedContainer, view: ImageView, record: t.Any, defaults: t.Mapping[str, t.Any], options: t.Mapping[str, t.Any]
) -> t.Dict[str, t.Any]:
    """What later runs compare with. effective is for facts only."""
    return {
        "schema": SCHEMA,
        "given": want.given,
        "defaults": dict(defaults),
        "effective": {**options, "labels": {}},
        "image": {
            "name": record.name,
            "target": str(record.target.digest),
            "manifest": str(view.manifest.digest),
            "config": str(view.config.digest),
        },
    }


def start(engine: Engine, container: Container) -> None:
    """Start it; what is left of an earlier run goes first."""
    with contextlib.suppress(NotFound):
        state = engine.tasks.state(container.id)
        if state.status not in (STOPPED, CREATED):
            return
        engine.tasks.delete(container.id, force=True)
    _mark_stopped(engine, container, False)
    options = (container.extensions.get(L.DESIRED) or {}).get("effective") or {}
    log = options.get("log_options") or {}
    io = TaskIO(
        terminal=bool((container.spec.get("process") or {}).get("terminal")),
        stdin=bool(options.get("interactive")),
        log_path="" if options.get("log_driver") == "none" else log_path(engine, container.id),
        log_max_size=int(log.get("max-size", 0)),
        log_max_files=int(log.get("max-file", 1)),
    )
    mounts = engine.snapshotter(container.snapshotter).mounts(container.snapshot_key)
    volumes.fill(engine, container, mounts)
    engine.tasks.start(container, mounts, io)


def halt(engine: Engine, container: Container) -> None:
    """Take back a start: what runs is killed. What has ended by itself keeps its exit status."""
    with contextlib.suppress(NotFound):
        if engine.tasks.state(container.id).status == STOPPED:
            return
    with contextlib.suppress(NotFound):
        engine.tasks.delete(container.id, force=True)


def stop(engine: Engine, container: Container, how: Stop) -> None:
    """Ask it to stop, and kill it when it does not within its stop timeout. The stopped task stays, with its exit status."""
    stored = (container.extensions.get(L.DESIRED) or {}).get("effective") or {}
    timeout = stored.get("stop_timeout", 10) if how.timeout is None else how.timeout
    number = how.signal or stored.get("stop_signal") or _TERM
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
        # It ended by itself in between.
        engine.tasks.wait(container.id, _KILL_SECONDS)
    except NotFound:
        return


def _signal(engine: Engine, container_id: str, number: int) -> None:
    """What is paused gets the signal first and is thawed then: it comes to nothing else in between."""
    engine.tasks.signal(container_id, number)
    if engine.tasks.state(container_id).status == PAUSED:
        engine.tasks.resume(container_id)


def start_again(engine: Engine, container: Container, how: Stop) -> None:
    """Take back a stop, also one that was begun only."""
    if was_stopped(engine, container):
        stop(engine, container, how)
    start(engine, container)


def _mark(engine: Engine, container: Container) -> str:
    return os.path.join(engine.container_dir(container.id), "stopped")


def was_stopped(engine: Engine, container: Container) -> bool:
    """True when it was asked to stop since it was started, so that its end, whatever its exit status, is not the end of its work."""
    return L.DESIRED in container.extensions and os.path.exists(_mark(engine, container))


def _mark_stopped(engine: Engine, container: Container, stopped: bool) -> None:
    """A disk that is full keeps nobody from stopping a container."""
    if L.DESIRED not in container.extensions:
        return
    with contextlib.suppress(OSError):
        if stopped:
            os.close(os.open(_mark(engine, container), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        else:
            os.unlink(_mark(engine, container))


def remove(engine: Engine, container: Container) -> None:
    """Take away task, record and snapshot; fine when some of it is gone already.

    A file that cannot be removed (an immutable log) keeps nothing else: once the record is gone, the snapshot goes too.
    """
    with contextlib.suppress(NotFound):
        engine.tasks.delete(container.id, force=True)
    try:
        with contextlib.suppress(NotFound):
            engine.containers.delete(container.id)
    finally:
        if not _known(engine, container.id):
            with contextlib.suppress(NotFound):
                engine.snapshotter(container.snapshotter).remove(container.snapshot_key)


def _known(engine: Engine, container_id: str) -> bool:
    try:
        engine.containers.get(container_id)
    except NotFound:
        return False
    return True


def swap(engine: Engine, name: str, old: Container, new: Container) -> None:
    """Give the name from one container to another. Killed in between, the next run removes both leftovers."""
    _rename(engine, old, {L.STAGE: name}, L.NAME)
    _rename(engine, new, {L.NAME: name}, L.STAGE)


def _rename(engine: Engine, container: Container, add: t.Mapping[str, str], drop: str) -> None:
    labels = {key: value for key, value in engine.containers.get(container.id).labels.items() if key != drop}
    engine.containers.update(container._replace(labels={**labels, **add}), ["labels"])


def update(engine: Engine, container: Container, want: WantedContainer, changes: t.Sequence[Change]) -> None:
    """Options that change without a new container: labels, stop signal, stop timeout."""
    stored = dict(container.extensions[L.DESIRED])
    stored["given"] = {**stored["given"], **{change.field.option: want.given[change.field.option] for change in changes}}
    stored["effective"] = {**effective(stored["given"], stored["defaults"]), "labels": {}}
    labels = dict(container.labels)
    for change in changes:
        if change.field.option == "labels":
            kept = {key: value for key, value in labels.items() if key.startswith(L.RESERVED)}
            more = {} if change.field.mode == "strict" else labels
            labels = {**more, **effective(stored["given"], stored["defaults"])["labels"], **kept}
    extensions = {**container.extensions, L.DESIRED: stored}
    engine.containers.update(container._replace(labels=labels, extensions=extensions), ["labels", "extensions"])
