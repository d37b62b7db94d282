# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image and container records of the embedded engine: rows of the metadata database."""

from __future__ import annotations

import json
import sqlite3
import time
import typing as t

from ..engine.labels import NAME, merged
from ..engine.models import Container, Image, Labels, Runtime
from ..errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, printable
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest
from ..store.database import Database, Row, dump

_UPDATABLE = ("labels", "spec", "extensions", "image")


class ImageRecords:
    """ImageStore. settle: makes everything durable that a record may refer to. collect: called after a removal, frees what nothing
    needs any more. moved: called when a name gets another target.
    """

    def __init__(
        self,
        database: Database,
        namespace: str,
        settle: t.Callable[[], None],
        collect: t.Callable[[], t.Any],
        moved: t.Callable[[], None],
    ) -> None:
        self._database, self._namespace = database, namespace
        self._settle, self._collect, self._moved = settle, collect, moved

    @staticmethod
    def _image(row: Row) -> Image:
        target = Descriptor.from_json(json.loads(row[1]), f"the image record {row[0]}")
        return Image(row[0], target, json.loads(row[2]), row[3], row[4])

    def get(self, name: str) -> Image:
        row = self._database.one(
            "SELECT name, target, labels, created_at, updated_at FROM images WHERE namespace=? AND name=?", self._namespace, name
        )
        if row is None:
            raise NotFound(f"no image {printable(name, 200)} in namespace {self._namespace}")
        return self._image(row)

    def list(self) -> t.List[Image]:
        rows = self._database.query(
            "SELECT name, target, labels, created_at, updated_at FROM images WHERE namespace=? ORDER BY name", self._namespace
        )
        return [self._image(row) for row in rows]

    def put(self, image: Image) -> Image:
        self._settle()
        now, target = time.time(), dump(image.target.to_json())
        with self._database.write() as connection:
            old = connection.execute(
                "SELECT labels, target FROM images WHERE namespace=? AND name=?", (self._namespace, image.name)
            ).fetchone()
            labels = merged(json.loads(old[0]) if old else {}, image.labels)
            connection.execute(
                "INSERT INTO images VALUES (?,?,?,?,?,?) ON CONFLICT (namespace, name) DO UPDATE SET "
                "target=excluded.target, labels=excluded.labels, updated_at=excluded.updated_at",
                (self._namespace, image.name, target, dump(labels), now, now),
            )
        if old and json.loads(old[1])["digest"] != image.target.digest:
            self._moved()
        return self.get(image.name)

    def companions(self, image: Image, records: t.Sequence[Image]) -> t.List[str]:
        return []

    def delete(self, name: str, target: t.Optional[Digest] = None, collect: bool = True) -> None:
        with self._database.write() as connection:
            found = self.get(name)
            if target is not None and found.target.digest != target:
                raise FailedPrecondition(f"the image {printable(name, 200)} is {found.target.digest} by now, not {target}")
            connection.execute("DELETE FROM images WHERE namespace=? AND name=?", (self._namespace, name))
        if collect:
            self._collect()


class ContainerRecords:
    """ContainerStore. has_task: whether a container has a task. removing: a context for the removal of a container by its id.

    making: see engine/api.pyi.
    """

    def __init__(
        self,
        database: Database,
        namespace: str,
        has_task: t.Callable[[str], bool],
        removing: t.Callable[[str, bool], t.ContextManager[None]],
        making: t.Callable[[], t.ContextManager[t.Any]],
    ) -> None:
        self._database, self._namespace, self._has_task, self._removing = database, namespace, has_task, removing
        self.making = making

    @staticmethod
    def _container(row: Row) -> Container:
        record = json.loads(row[3])
        return Container(
            id=row[0],
            image=row[1],
            labels=json.loads(row[2]),
            spec=record["spec"],
            snapshotter=record["snapshotter"],
            snapshot_key=record["snapshot_key"],
            runtime=Runtime(*record["runtime"]),
            extensions=record["extensions"],
            created_at=row[4],
            updated_at=row[5],
        )

    _SELECT = "SELECT id, image, labels, record, created_at, updated_at FROM containers WHERE namespace=?"

    def get(self, container_id: str) -> Container:
        row = self._database.one(self._SELECT + " AND id=?", self._namespace, container_id)
        if row is None:
            raise NotFound(f"no container {printable(container_id, 100)} in namespace {self._namespace}")
        return self._container(row)

    def list(self, labels: t.Optional[Labels] = None) -> t.List[Container]:
        wanted = dict(labels or {})
        name = wanted.pop(NAME, "")
        if name:
            rows = self._database.query(self._SELECT + " AND name=?", self._namespace, name)
        else:
            rows = self._database.query(self._SELECT + " ORDER BY created_at, id", self._namespace)
        if labels and NAME in labels and not name:
            wanted[NAME] = ""
        if wanted:
            rows = [row for row in rows if _carries(json.loads(row[2]), wanted)]
        return [self._container(row) for row in rows]

    def create(self, container: Container) -> Container:
        now = time.time()
        name = container.labels.get(NAME, "")
        record = dump(
            {
                "spec": container.spec,
                "snapshotter": container.snapshotter,
                "snapshot_key": container.snapshot_key,
                "runtime": list(container.runtime),
                "extensions": container.extensions,
            }
        )
        with self._database.write() as connection:
            try:
                connection.execute(
                    "INSERT INTO containers VALUES (?,?,?,?,?,?,?,?)",
                    (self._namespace, container.id, name, container.image, dump(dict(container.labels)), record, now, now),
                )
            except sqlite3.IntegrityError as error:
                raise AlreadyExists(
                    f"a container with the name {name} or the id {container.id[:12]} exists already in namespace {self._namespace}"
                ) from error
        return container._replace(created_at=now, updated_at=now)

    def update(self, container: Container, fields: t.Sequence[str]) -> Container:
        for field in fields:
            if field not in _UPDATABLE:
                raise InvalidArgument(f"{field} of a container cannot be updated; these can: {', '.join(_UPDATABLE)}")
        with self._database.write() as connection:
            merged = self.get(container.id)._replace(**{field: getattr(container, field) for field in fields})
            merged = merged._replace(updated_at=time.time())
            record = {
                "spec": merged.spec,
                "snapshotter": merged.snapshotter,
                "snapshot_key": merged.snapshot_key,
                "runtime": list(merged.runtime),
                "extensions": merged.extensions,
            }
            try:
                connection.execute(
                    "UPDATE containers SET name=?, image=?, labels=?, record=?, updated_at=? WHERE namespace=? AND id=?",
                    (
                        merged.labels.get(NAME, ""),
                        merged.image,
                        dump(dict(merged.labels)),
                        dump(record),
                        merged.updated_at,
                        self._namespace,
                        merged.id,
                    ),
                )
            except sqlite3.IntegrityError as error:
                raise AlreadyExists(f"a container with the name {merged.labels.get(NAME)} exists already") from error
        return merged

    def delete(self, container_id: str, keep_volumes: bool = False) -> None:
        if self._has_task(container_id):
            raise FailedPrecondition(f"the container {container_id[:12]} has a task: stop it and delete the task first")
        self.get(container_id)
        with self._removing(container_id, keep_volumes), self._database.write() as connection:
            connection.execute("DELETE FROM containers WHERE namespace=? AND id=?", (self._namespace, container_id))


def _carries(own: t.Mapping[str, str], wanted: t.Mapping[str, str]) -> bool:
    return all(key in own and value in ("", own[key]) for key, value in wanted.items())
