# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata database, and what sync, leases and garbage collection promise."""

from __future__ import annotations

import os
import pathlib
import sqlite3
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import DataLoss, NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs import syscalls
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.plugins.module_utils.store.database import Database


def test_reading_makes_nothing(tmp_path: pathlib.Path) -> None:
    assert Database(str(tmp_path / "no" / "db")).query("SELECT 1") == []
    assert list(tmp_path.iterdir()) == []


def test_a_newer_schema_is_never_read_or_written(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    before = path.read_bytes()
    database = Database(str(path))
    for _try in range(2):
        with pytest.raises(DataLoss, match="update the collection"):
            database.query("SELECT 1")
        with pytest.raises(DataLoss, match="update the collection"), Database(str(path)).write():
            pass
    assert path.read_bytes() == before


def test_a_damaged_file_is_a_clear_error(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "db"
    path.write_bytes(b"this is no database" * 500)
    with pytest.raises(DataLoss, match="damaged"):
        Database(str(path)).query("SELECT 1")
    with pytest.raises(DataLoss, match="damaged"), Database(str(path)).write():
        pass


def test_a_transaction_that_fails_leaves_nothing(tmp_path: pathlib.Path) -> None:
    database = Database(str(tmp_path / "db"))
    with pytest.raises(KeyError), database.write() as connection:
        connection.execute("INSERT INTO leases VALUES ('n', 'l')")
        raise KeyError
    assert database.query("SELECT * FROM leases") == []
    with database.write() as connection:
        connection.execute("INSERT INTO leases VALUES ('n', 'l')")
    assert len(database.query("SELECT * FROM leases")) == 1


@pytest.fixture
def engine(tmp_path: pathlib.Path) -> t.Iterator[EmbeddedEngine]:
    found = EmbeddedEngine("default", str(tmp_path / "data"), str(tmp_path / "state"))
    yield found
    found.close()


def write(engine: EmbeddedEngine, data: bytes) -> Descriptor:
    blob = Descriptor("application/octet-stream", Digest.of(data), len(data))
    with engine.content.writer(f"test-{blob.digest}", blob) as ingest:
        ingest.write(data)
        ingest.commit(blob.size, blob.digest)
    return blob


def synced(engine: EmbeddedEngine) -> t.Dict[str, int]:
    return dict(t.cast(t.Any, engine._database.query("SELECT digest, min(synced) FROM content GROUP BY digest")))


def test_only_what_was_written_before_a_sync_is_durable(engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    late: t.List[Descriptor] = []
    real = syscalls.syncfs

    def syncfs(fd: int) -> None:
        real(fd)
        if not late:
            late.append(write(engine, b"late"))

    monkeypatch.setattr(syscalls, "syncfs", syncfs)
    with engine.lease():
        early = write(engine, b"early")
        engine.sync()
        assert synced(engine) == {early.digest: 1, late[0].digest: 0}
        engine.sync()
        assert set(synced(engine).values()) == {1}


def test_a_file_that_is_new_is_not_durable_for_anybody(engine: EmbeddedEngine, tmp_path: pathlib.Path) -> None:
    blob = write(engine, b"content")
    other = EmbeddedEngine("other", str(tmp_path / "data"), str(tmp_path / "state"))
    os.truncate(engine.content.blob_path(blob.digest), 1)
    with other.lease():
        write(other, b"content")
        assert synced(engine) == {blob.digest: 0}
    other.close()


def test_an_ingest_that_somebody_writes_is_never_stale(engine: EmbeddedEngine, tmp_path: pathlib.Path) -> None:
    blob = Descriptor("application/octet-stream", Digest.of(b"alive"), 5)
    with engine.content.writer("alive", blob) as ingest:
        ingest.write(b"ali")
        for path in (tmp_path / "data" / "content" / "ingest").rglob("*"):
            os.utime(path, (1, 1))
        engine.collect()
        ingest.write(b"ve")
        ingest.commit(5, blob.digest)
    assert engine.content.info(blob.digest).size == 5


def test_an_ingest_that_nobody_wants_goes(engine: EmbeddedEngine, tmp_path: pathlib.Path) -> None:
    for name, age in (("old", 90_000), ("young", 10)):
        with engine.content.writer(name) as ingest:
            ingest.write(b"bytes")
        path = tmp_path / "data" / "content" / "ingest"
        data = max(path.glob("*/data"), key=lambda one: one.stat().st_mtime)
        os.utime(data, (time.time() - age,) * 2)
    engine.collect()
    assert [one.ref for one in engine.content.ingests()] == ["young"]
    assert len(list(path.iterdir())) <= 2


def test_collected_snapshots_are_gone_at_once_with_their_rows(engine: EmbeddedEngine) -> None:
    """A lease that is taken between the decision and the removal cannot find what is about to go."""
    store = engine.snapshotter()
    for number in range(3):
        store.prepare("key", str(number - 1) if number else "")
        store.commit(str(number), "key")
    found = engine.collect()
    assert sorted(found.snapshots) == ["0", "1", "2"]
    with engine.lease(), pytest.raises(NotFound):
        store.stat("0")
    assert os.listdir(os.path.dirname(store.directory(1))) == []
