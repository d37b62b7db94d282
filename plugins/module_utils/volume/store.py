# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The volumes of a host, in the layout of nerdctl: <data_root>/volumes/<namespace>/<name>/, with _data and volume.json in it.

Both engines, and all daemons, have the same ones: a volume outlives its containers, and their engine. Anonymous volumes stay in the
directory of their container, also when that is gone (engine_host/place.py).
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import stat
import time
import typing as t

from ..engine.models import VOLUMES, VOLUMES_FILE
from ..errors import DataLoss, from_os_error, printable
from ..hostfs.atomic import fsync_dir, make_dir, read_file, write_file
from ..hostfs.lock import locked
from ..hostfs.remove import DOOMED, doom, remove_tree
from ..oci.volume_name import anonymous, anonymous_name
from .driver import Driver

DATA = "_data"
_RECORD = "volume.json"
#: What a task may ask of its directory.
FIXED = ("owner", "group", "mode")
#: A volume that is being made.
_NEW = ".new-"


class Volume(t.NamedTuple):
    """name: unique in its namespace. data: the directory that containers get. options: of the driver. created: seconds since the epoch.

    fixed: owner, group and mode of its directory, those that somebody has asked for: content that comes from an image leaves them alone.
    problem: why what is known of it cannot be read.
    """

    name: str
    data: str
    labels: t.Mapping[str, str] = {}
    options: t.Mapping[str, str] = {}
    created: float = 0.0
    fixed: t.Mapping[str, int] = {}
    problem: str = ""

    @property
    def anonymous(self) -> bool:
        return os.path.basename(self.data) != DATA

    @property
    def driver(self) -> Driver:
        return Driver.of(self.options)

    @property
    def mounted(self) -> bool:
        """Whether it has to be mounted before a start."""
        return not self.problem and self.driver.mounted

    def stat(self) -> t.Optional[os.stat_result]:
        """That of its directory; None where it is not there, as with one that is not mounted yet."""
        try:
            return os.stat(self.data)
        except OSError:
            return None

    def to_json(self) -> t.Dict[str, t.Any]:
        """nerdctl reads labels, and nothing else."""
        return {"labels": dict(self.labels), "options": dict(self.options), "created": self.created, "fixed": dict(self.fixed)}


class Store:
    """The volumes of one namespace."""

    def __init__(self, data_root: str, namespace: str) -> None:
        self.data_root, self.namespace = data_root, namespace
        self.directory = os.path.join(data_root, "volumes", namespace)

    @contextlib.contextmanager
    def locked(self) -> t.Iterator[None]:
        """Nobody else makes or removes volumes meanwhile: nerdctl locks the same directory."""
        make_dir(self.directory)
        with locked(self.directory, f"the volumes of the namespace {self.namespace}"):
            yield

    # What is there

    def data(self, name: str) -> str:
        """The directory that containers get, existing or not."""
        return self._anonymous(name) or os.path.join(self.directory, name, DATA)

    def get(self, name: str) -> t.Optional[Volume]:
        """None when there is none."""
        path = self._anonymous(name)
        if path:
            return Volume(name, path, created=os.stat(path).st_mtime)
        directory = os.path.join(self.directory, name)
        try:
            found = os.lstat(directory)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os_error(error, f"looking for the volume {name}") from error
        made = Volume(name, os.path.join(directory, DATA), created=found.st_mtime)
        return _read(made, os.path.join(directory, _RECORD)) if stat.S_ISDIR(found.st_mode) else None

    def foreseen(self, name: str) -> Volume:
        """One that is not there yet."""
        return Volume(name, os.path.join(self.directory, name, DATA))

    def all(self) -> t.List[Volume]:
        """Sorted by name."""
        names = [one for one in _names(self.directory) if not one.startswith(".")]
        for path in glob.glob(self._pattern("*", "*")):
            *_above, container_id, _volumes, number = path.split("/")
            names.append(anonymous_name(container_id, number))
        found = (self.get(name) for name in sorted(set(names)))
        return [volume for volume in found if volume is not None]

    def leftovers(self) -> t.List[str]:
        """What an interrupted run has left, by path."""
        named = [os.path.join(self.directory, one) for one in _names(self.directory) if one.startswith((DOOMED, _NEW))]
        return named + sorted(glob.glob(self._pattern("*", f"{DOOMED}*")))

    def _anonymous(self, name: str) -> str:
        """The directory of an anonymous volume; empty when there is none of this name."""
        found = anonymous(name)
        if found is None:
            return ""
        return next(iter(glob.glob(self._pattern(*found))), "")

    def _pattern(self, container_id: str, number: str) -> str:
        """Of the directories of anonymous volumes."""
        return os.path.join(glob.escape(self.data_root), "containers", "*", self.namespace, container_id, VOLUMES, number)

    # Changes, for who has locked it

    def make(self, volume: Volume, state_root: str = "") -> Volume:
        """Make what foreseen() tells: it has its name when everything else is there.

        state_root: below which file systems are mounted.
        """
        name, made = volume.name, volume._replace(created=time.time())
        unfinished = os.path.join(self.directory, _NEW + name)
        remove_tree(unfinished)
        try:
            os.mkdir(unfinished, 0o700)
            data = os.path.join(unfinished, DATA)
            place = made.driver.place(self.namespace, name, state_root)
            if place:
                os.symlink(place, data)
            else:
                os.mkdir(data)
                set_owner(data, {"mode": 0o755, **made.fixed})
            write_file(os.path.join(unfinished, _RECORD), _text(made))
            os.rename(unfinished, os.path.join(self.directory, name))
            fsync_dir(self.directory)
        except OSError as error:
            raise from_os_error(error, f"making the volume {name}") from error
        return made

    def write(self, volume: Volume) -> None:
        """Replace what is known of one that is there."""
        write_file(os.path.join(os.path.dirname(volume.data), _RECORD), _text(volume), alone=True)

    def set_aside(self, volume: Volume) -> str:
        """Take the name from a volume. The path of what is to be removed then, with remove_tree; leftovers() has it, too."""
        return doom(volume.data if volume.anonymous else os.path.dirname(volume.data))

    def forget_container(self, volume: Volume) -> None:
        """Remove the rest of a container that left nothing but volumes, when this was the last of them."""
        directory = os.path.dirname(os.path.dirname(volume.data))
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(volume.data))
            if not os.path.lexists(os.path.join(directory, VOLUMES_FILE)):
                remove_tree(directory)


def set_owner(path: str, values: t.Mapping[str, int]) -> None:
    """owner, group and mode, those that are given. OSError."""
    owner = [values.get(one, -1) for one in ("owner", "group")]
    if owner != [-1, -1]:
        os.chown(path, *owner)
    if "mode" in values:
        os.chmod(path, values["mode"])


def _text(volume: Volume) -> bytes:
    return json.dumps(volume.to_json(), indent=4).encode()


def _read(volume: Volume, path: str) -> Volume:
    """With its record. nerdctl may have written it, or there may be none."""
    raw = read_file(path)
    if raw is None:
        return volume
    try:
        record = json.loads(raw)
        labels, options = _texts(record.get("labels")), _texts(record.get("options"))
        fixed = {one: int((record.get("fixed") or {})[one]) for one in FIXED if one in (record.get("fixed") or {})}
        return volume._replace(
            labels=labels, options=options, created=float(record.get("created") or volume.created), fixed=fixed
        )
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        return volume._replace(problem=f"{path} cannot be read: {printable(error, 120)}")


def _texts(found: t.Any) -> t.Dict[str, str]:
    return {str(key): str(value) for key, value in (found or {}).items()}


def _names(directory: str) -> t.List[str]:
    try:
        return sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_os_error(error, f"reading {directory}") from error


def check(volume: Volume) -> Volume:
    """DataLoss for one whose record cannot be read."""
    if volume.problem:
        raise DataLoss(f"the volume {volume.name}: {volume.problem}: restore the file, or write {{}} into it")
    return volume
