# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The volumes of a container: named ones, and those that it has alone, which are in its directory. Both are filled from the image."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import typing as t

from ...engine.models import VOLUMES, VOLUMES_FILE
from ...errors import NotFound, from_os_error
from ...oci.volume_name import anonymous, anonymous_name
from ...runtime_spec.volumes import Volume

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container, Mount
    from ...volume.store import Store
    from ...volume.store import Volume as StoredVolume

#: The directory of a named volume (volume/store.py), there and with nerdctl.
DATA = "_data"
#: Paths that cannot be volumes.
_TAKEN = ("", "dev", "proc", "sys")
#: In the directory of a container: where parts of volumes are mounted (parts.py).
PARTS = "parts"
_NO_ID = "0" * 64
_PLACE = re.compile(rf"/(?P<id>[0-9a-f]{{64}})/{PARTS}/(?P<number>\d+)/(?P<volume>[^/]+)/(?P<path>.+)\Z", re.DOTALL)


class Part(t.NamedTuple):
    """volume: its name. path: in it."""

    volume: str
    path: str


def place(directory: str, number: int, part: Part) -> str:
    """Where a part is mounted. directory: of the container; number: which of its parts it is."""
    return os.path.join(directory, PARTS, str(number), part.volume, part.path)


def part_of(source: str) -> t.Optional[Part]:
    """The part that has this place; None for a path that is none."""
    found = _PLACE.search(source)
    return Part(found["volume"], found["path"]) if found else None


def unowned(source: str) -> str:
    """A place as another container is lent it: it gets one of its own. Other paths are themselves."""
    found = _PLACE.search(source)
    return f"{source[: found.start()]}/{_NO_ID}/{PARTS}/0/{found['volume']}/{found['path']}" if found else source


def in_volume(source: str) -> str:
    """The path in the directory of the volume. Other paths are themselves."""
    found = _PLACE.search(source)
    if not found:
        return source
    from ...volume.store import Store

    above, namespace = os.path.split(source[: found.start()])
    data_root = os.path.dirname(os.path.dirname(above))
    return os.path.join(Store(data_root, namespace).data(found["volume"]), found["path"])


def parts(container: Container) -> t.Dict[str, Part]:
    """Those of a container, by their places."""
    sources = (str(mount.get("source")) for mount in container.spec.get("mounts") or () if mount.get("type") == "bind")
    found = ((source, part_of(source)) for source in sources)
    return {source: part for source, part in found if part}


def check_parts(engine: Engine, container: Container) -> None:
    """NotFound for a container that is to be started again, when a part of a volume is not there any more."""
    found = parts(container)
    if found:
        from ...volume.users import User
        from .parts import check

        user, places = User.read(os.path.join(engine.container_path(container.id), VOLUMES_FILE)), named(engine, container)
        # The first start brings what is in them.
        coming = {places[path] for path in user.fill if path in places} if user and not user.filled else set()
        for part in found.values():
            if part.volume not in coming:
                check(engine, part)


def declared(root_fd: int, paths: t.Iterable[str], given: t.Sequence[Volume], directory: str) -> t.List[Volume]:
    """The volumes that a container has alone: of paths that its image declares or the task gives, except other targets of the task.

    A file in the image stays a file.
    """
    taken = {volume.target for volume in given if not volume.anonymous}
    paths = [*paths, *(volume.target for volume in given if volume.anonymous)]
    targets = sorted({os.path.normpath("/" + path.lstrip("/")) for path in paths} - taken)
    found = [target for target in targets if target.split("/")[1] not in _TAKEN and _is_directory(root_fd, target)]
    return [Volume(os.path.join(directory, VOLUMES, str(number)), target) for number, target in enumerate(found)]


def _is_directory(root_fd: int, path: str) -> bool:
    """Whether it is a directory, or can be made one."""
    from ...hostfs.inside import open_inside

    try:
        fd = open_inside(root_fd, path, os.O_PATH)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        return stat.S_ISDIR(os.fstat(fd).st_mode)
    finally:
        os.close(fd)


def is_declared(mount: t.Mapping[str, t.Any], container_id: str) -> bool:
    """Whether a mount of a container's spec is such a volume."""
    return owner(mount) == container_id


def owner(mount: t.Mapping[str, t.Any]) -> str:
    """The id of the container that has alone, or had, what is mounted; empty for anything else."""
    if part_of(str(mount.get("source"))):
        return ""
    above, _slash, last = str(mount.get("source")).rpartition("/")
    directory, _slash, name = above.rpartition("/")
    container_id = os.path.basename(directory)
    return container_id if name == VOLUMES and anonymous(anonymous_name(container_id, last)) else ""


def name_of(path: str) -> str:
    """The name of the volume that has this directory, or whose part has this place; empty for another directory. Also of one of nerdctl."""
    part = part_of(path)
    if part:
        return part.volume
    above, _slash, last = path.rpartition("/")
    directory, _slash, name = above.rpartition("/")
    if last == DATA:
        return name if f"/{VOLUMES}/" in f"{directory}/" else ""
    container_id = owner({"source": path})
    return anonymous_name(container_id, last) if container_id else ""


def missing(engine: Engine, names: t.Iterable[str]) -> t.List[str]:
    """Those named volumes that are not there."""
    store = _store(engine)
    return [name for name in names if store.get(name) is None]


def create(engine: Engine, name: str, labels: t.Mapping[str, str]) -> None:
    """Make a named volume, if nobody else has meanwhile."""
    store = _store(engine)
    with store.locked():
        if store.get(name) is None:
            store.make(store.foreseen(name)._replace(labels=labels))


def take_back(engine: Engine, name: str) -> None:
    """Undo create(), unless somebody else uses the volume by now."""
    from ...hostfs.remove import remove_tree
    from ...volume.users import find

    store = _store(engine)
    with store.locked():
        made = store.get(name)
        doomed = "" if made is None or find(store.data_root, store.namespace).of(name) else store.set_aside(made)
    if doomed:
        remove_tree(doomed)


def _store(engine: Engine) -> Store:
    from ...volume.store import Store

    return Store(engine.data_root, engine.namespace)


def named(engine: Engine, container: Container) -> t.Dict[str, str]:
    """The named volumes of a container, by the paths at which it has them."""
    store = _store(engine)
    sources = {one["destination"]: str(one.get("source")) for one in container.spec.get("mounts") or ()}
    return {
        path: name_of(source) for path, source in sources.items() if source.startswith(f"{store.directory}/") or part_of(source)
    }


def check_named(engine: Engine, names: t.Iterable[str]) -> None:
    """What these volumes need of the host, those that are there already. NotFound; DataLoss."""
    from ...volume.store import check

    store = _store(engine)
    for volume in filter(None, map(store.get, names)):
        check(volume).driver.check(volume.name)


def have_mounts(engine: Engine, container: Container) -> bool:
    """Whether one of its volumes, or a part of one, has to be mounted before a start."""
    if parts(container):
        return True
    store = _store(engine)
    found = [store.get(name) for name in set(named(engine, container).values())]
    return any(one is not None and one.mounted for one in found)


def pending(engine: Engine, container: Container) -> t.Set[str]:
    """Where its volumes are that have nothing yet: prepare() makes them, with what the image has there."""
    mounts = container.spec.get("mounts") or ()
    found = {one["destination"] for one in mounts if is_declared(one, container.id) and not os.path.isdir(one["source"])}
    places = named(engine, container)
    if not places:
        return found
    from ...volume.users import User

    store, user = _store(engine), User.read(os.path.join(engine.container_path(container.id), VOLUMES_FILE))
    fill = user.fill if user and not user.filled else ()
    for path, name in places.items():
        volume = store.get(name)
        with contextlib.suppress(OSError):
            if volume is None or (path in fill and not os.listdir(volume.data)):
                found.add(path)
    return found


def prepare(engine: Engine, container: Container, mounts: t.Sequence[Mount]) -> None:
    """Before a start: have the volumes, mounted where they have to be, and before the first start filled from the image.

    Each volume of the container alone is complete, or missing and made by the next start: its own, or that of a container that has it
    from this one.
    """
    lent = [mount for mount in container.spec.get("mounts") or () if owner(mount) not in ("", container.id)]
    for other in sorted({owner(mount) for mount in lent if not os.path.isdir(mount["source"])}):
        _prepare_of(engine, other)
    for mount in lent:
        if not os.path.isdir(mount["source"]):
            raise NotFound(
                f"the volume {name_of(mount['source'])} is gone, which the container has from another one on {mount['destination']}: "
                "give it another one in its place"
            )
    wanted = [mount for mount in container.spec.get("mounts") or () if is_declared(mount, container.id)]
    places = named(engine, container)
    if wanted or places:
        _take_back(engine.container_dir(container.id))
    missing = [mount for mount in wanted if not os.path.isdir(mount["source"])]
    fills = _ready(engine, container, places) if places else {}
    if not missing and not fills:
        return
    from ...hostfs.lock import locked
    from ...runtime import rootfs

    directory = engine.container_dir(container.id)
    with locked(directory, f"the volumes of {container.id[:12]}"), rootfs.opened(mounts) as root:
        for mount in missing:
            if os.path.isdir(mount["source"]):
                # A container that has it from this one was faster.
                continue
            try:
                _fill(root, mount["destination"], mount["source"])
            except OSError as error:
                raise from_os_error(error, f"copying the image's {mount['destination']} into a volume") from error
        for path, volume in fills.items():
            _fill_named(root, path, volume)
    if fills:
        _filled(engine, container)


def _prepare_of(engine: Engine, container_id: str) -> None:
    """Have the volumes of another container, which has not been started yet. One that is gone has left what it had."""
    with contextlib.suppress(NotFound):
        other = engine.containers.get(container_id)
        prepare(engine, other, engine.snapshotter(other.snapshotter).mounts(other.snapshot_key))


def shared(engine: Engine, container: Container) -> bool:
    """Whether others have the volumes that were this container's alone."""
    mounts = container.spec.get("mounts") or ()
    own = [name_of(mount["source"]) for mount in mounts if is_declared(mount, container.id)]
    if not own:
        return False
    from ...volume.users import find

    users = find(engine.data_root, engine.namespace)
    return any(user.id != container.id for name in own for user in users.of(name))


def _ready(engine: Engine, container: Container, places: t.Mapping[str, str]) -> t.Dict[str, StoredVolume]:
    """Have the named volumes. Those that the image's content goes to, by path."""
    from ...volume.store import check
    from ...volume.users import User

    store, made = _store(engine), t.cast(t.Set[str], set())
    found: t.Dict[str, StoredVolume] = {}
    for name in sorted(set(places.values())):
        volume = store.get(name)
        if volume is None:
            create(engine, name, _labels(container, name))
            made.add(name)
            volume = store.foreseen(name)
        check(volume).driver.ready(name, volume.data)
        found[name] = volume
    user = User.read(os.path.join(engine.container_dir(container.id), VOLUMES_FILE))
    fill = [path for path in (user.fill if user else ()) if path in places]
    return {path: found[places[path]] for path in fill if (user and not user.filled) or places[path] in made}


def _labels(container: Container, name: str) -> t.Dict[str, str]:
    from .options.storage import labels_of
    from .options.table import values_of

    return labels_of(values_of(container), name)


def _fill_named(root_fd: int, path: str, volume: StoredVolume) -> None:
    from ...hostfs.inside import open_inside
    from ...hostfs.lock import locked
    from ...volume.fill import fill, give

    try:
        source = open_inside(root_fd, path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        give(volume, os.fstat(root_fd))
        return
    except OSError as error:
        raise from_os_error(error, f"looking at the image's {path}") from error
    try:
        with locked(os.path.dirname(volume.data), f"the volume {volume.name}"):
            fill(volume, source)
    finally:
        os.close(source)


def _filled(engine: Engine, container: Container) -> None:
    from ...volume.users import User

    user = User.read(os.path.join(engine.container_dir(container.id), VOLUMES_FILE))
    if user and not user.filled:
        user._replace(filled=True).write()


def release(engine: Engine, container: Container) -> None:
    """After its removal: unmount the volumes that no other container has."""
    from ...volume.users import find

    store, users = _store(engine), None
    for name in sorted(set(named(engine, container).values())):
        volume = store.get(name)
        if volume is not None and volume.mounted:
            users = users or find(store.data_root, store.namespace)
            if not [one for one in users.of(name) if one.id != container.id]:
                volume.driver.release(volume.data)


def _take_back(directory: str) -> None:
    """Take back the volumes of a container whose removal was not completed (engine_host/place.py)."""
    from ...hostfs.remove import DOOMED

    for name in (VOLUMES, VOLUMES_FILE):
        with contextlib.suppress(OSError):
            os.rename(os.path.join(directory, DOOMED + name), os.path.join(directory, name))


def _fill(root_fd: int, path: str, target: str) -> None:
    from ...hostfs.atomic import fsync_dir, make_dir
    from ...hostfs.copy_tree import copy_tree
    from ...hostfs.inside import open_inside
    from ...hostfs.remove import remove_tree

    parent, name = os.path.split(target)
    unfinished = os.path.join(parent, f".{name}")
    make_dir(parent)
    remove_tree(unfinished)
    try:
        source = open_inside(root_fd, path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        os.mkdir(unfinished)
        os.chmod(unfinished, 0o755)
        os.chown(unfinished, os.fstat(root_fd).st_uid, os.fstat(root_fd).st_gid)
    else:
        try:
            copy_tree(f"/proc/self/fd/{source}/.", unfinished)
        finally:
            os.close(source)
        if os.listdir(unfinished):
            _sync(unfinished)
    os.rename(unfinished, target)
    fsync_dir(parent)


def _sync(path: str) -> None:
    from ...hostfs import syscalls

    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syscalls.syncfs(fd)
    finally:
        os.close(fd)
