# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The metadata database, and what sync, leases and garbage collection promise."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import sqlite3
import stat
import subprocess
import sys
import time
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Image
from ansible_collections.fleet.containerd.plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    AlreadyExists,
    DataLoss,
    NotFound,
    Unavailable,
)
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs import copy_tree, syscalls
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.plugins.module_utils.store import database
from ansible_collections.fleet.containerd.plugins.module_utils.store.content import ContentStore
from ansible_collections.fleet.containerd.plugins.module_utils.store.database import Database
from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS
from ansible_collections.fleet.containerd.tests.support.loopfs import loop_filesystem


def test_reading_makes_nothing(tmp_path: pathlib.Path) -> None:
    assert Database(str(tmp_path / "no" / "db")).query("SELECT 1") == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0, 0o022])
def test_whatever_the_umask_only_the_owner_reads_it(tmp_path: pathlib.Path, umask: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The umask is not touched: the process has only one, which other threads need while they unpack layers."""
    old = os.umask(umask)
    try:
        monkeypatch.setattr(os, "umask", None)
        found = Database(str(tmp_path / "db"))
        with found.write() as connection:
            connection.execute("DELETE FROM images")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        monkeypatch.undo()
        os.umask(old)
    assert modes == {"db": 0o600, "db-journal": 0o600, "db-reserve": 0o600}


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


_NEXT = "ALTER TABLE images ADD COLUMN note TEXT DEFAULT 'new'; UPDATE images SET note='from ' || name"


@pytest.fixture
def old(engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch) -> str:
    """The database of a release before this one, which knows one step more, and an image in it."""
    engine.images.put(Image("image", Descriptor("application/octet-stream", Digest.of(b"x"), 1)))
    engine.close()
    monkeypatch.setattr(database, "_STEPS", (*database._STEPS, _NEXT))
    return os.path.join(engine.data_root, "metadata.db")


def test_the_database_of_an_older_release_is_brought_up(old: str) -> None:
    before = pathlib.Path(old).read_bytes()
    reader = Database(old)
    assert reader.query("SELECT name, note FROM images") == [("image", "from image")]
    assert pathlib.Path(old).read_bytes() == before, "reading changes nothing"
    with reader.write() as connection:
        connection.execute("UPDATE images SET note='changed'")
    assert reader.query("SELECT name, note FROM images") == [("image", "changed")]
    reader.close()
    assert Database(old).query("SELECT note FROM images") == [("changed",)]
    with contextlib.closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)


def test_who_reads_an_older_release_sees_what_others_write(old: str) -> None:
    """A task looks, waits for a lock, and looks again."""
    reader, other = Database(old), Database(old)
    assert reader.query("SELECT note FROM images") == [("from image",)]
    with other.write() as connection:
        connection.execute("UPDATE images SET note='changed'")
    assert reader.query("SELECT note FROM images") == [("changed",)]


def test_a_step_that_is_cut_off_is_done_by_the_next_one(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import os, sys
from ansible_collections.fleet.containerd.plugins.module_utils.store import database
database._STEPS = (*database._STEPS, sys.argv[2])
connect = database.Database._connect
def dying(self, mode):
    found = connect(self, mode)
    found.execute("PRAGMA cache_size=0")
    found.set_trace_callback(lambda text: os._exit(9) if "user_version=" in text else None)
    return found
database.Database._connect = dying
with database.Database(sys.argv[1]).write():
    pass
"""
    done = subprocess.run([sys.executable, "-c", code, old, _NEXT], env={"PYTHONPATH": str(COLLECTIONS)}, check=False)
    assert done.returncode == 9
    with monkeypatch.context() as before:
        before.setattr(database, "_STEPS", database._STEPS[:1])
        assert Database(old).query("SELECT * FROM images")[0][1] == "image", "still good for the release before"
    with Database(old).write() as connection:
        assert connection.execute("SELECT note FROM images").fetchall() == [("from image",)]


@pytest.mark.parametrize("fresh", [False, True])
def test_several_bring_it_up_at_the_same_time(old: str, tmp_path: pathlib.Path, fresh: bool) -> None:
    path = str(tmp_path / "fresh.db") if fresh else old
    code = """
import sys
from ansible_collections.fleet.containerd.plugins.module_utils.store import database
database._STEPS = (*database._STEPS, sys.argv[2])
with database.Database(sys.argv[1]).write() as connection:
    connection.execute("INSERT INTO leases VALUES (?, 'l')", sys.argv[3:])
"""
    command = [sys.executable, "-c", code, path, _NEXT]
    running = [subprocess.Popen([*command, str(number)], env={"PYTHONPATH": str(COLLECTIONS)}) for number in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    assert len(Database(path).query("SELECT * FROM leases")) == 4
    assert Database(path).query("SELECT note FROM images") == ([] if fresh else [("from image",)])


def test_a_damaged_file_is_a_clear_error(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "db"
    path.write_bytes(b"this is no database" * 500)
    with pytest.raises(DataLoss, match=f"damaged.*volumes of containers stay in {tmp_path}/containers"):
        Database(str(path)).query("SELECT 1")
    with pytest.raises(DataLoss, match="damaged"), Database(str(path)).write():
        pass


_USE = """
import sys
from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError
from ansible_collections.fleet.containerd.plugins.module_utils.store.database import Database
try:
    with Database(sys.argv[1]).write() as connection:
        connection.execute("INSERT INTO leases VALUES ('n', 'l')")
except EngineError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    "calls", ["pread64:error=EIO:when=2", "pread64,read:error=EIO:when=2+", "pwrite64,fdatasync:error=EIO:when=1+"]
)
def test_a_disk_with_errors_is_no_damaged_file(tmp_path: pathlib.Path, calls: str) -> None:
    path = str(tmp_path / "db")
    with Database(path).write():
        pass
    inject = ["strace", "-qq", "-P", path, "-e", f"trace={calls.partition(':')[0]}", "-e", f"inject={calls}"]
    command = [*inject, "-o", str(tmp_path / "log"), sys.executable, "-c", _USE, path]
    environment = {**os.environ, "PYTHONPATH": str(COLLECTIONS)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "INJECTED" in (tmp_path / "log").read_text()
    assert done.stdout.startswith(f"EngineError the metadata database {path}")
    assert "keep the file" in done.stdout


def test_a_transaction_that_fails_leaves_nothing(tmp_path: pathlib.Path) -> None:
    database = Database(str(tmp_path / "db"))
    with pytest.raises(KeyError), database.write() as connection:
        connection.execute("INSERT INTO leases VALUES ('n', 'l')")
        raise KeyError
    assert database.query("SELECT * FROM leases") == []
    with database.write() as connection:
        connection.execute("INSERT INTO leases VALUES ('n', 'l')")
    assert len(database.query("SELECT * FROM leases")) == 1


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
        engine._sync()
        assert synced(engine) == {early.digest: 1, late[0].digest: 0}
        engine._sync()
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


def test_a_removal_works_on_a_disk_that_is_full(tmp_path: pathlib.Path) -> None:
    """SQLite writes a journal before it removes anything: the room for it is kept."""
    tmp_path.joinpath("data").mkdir()
    with loop_filesystem(8) as loop:
        path = str(loop.path / "db")
        database = Database(path)
        with database.write() as connection:
            for number in range(300):
                connection.execute("INSERT INTO content VALUES ('n', ?, 1, ?, 0, 1)", (f"sha256:{number}", "label" * 80))
        database.close()
        with open(loop.path / "filler", "wb", buffering=0) as stream, contextlib.suppress(OSError):
            while stream.write(bytes(1024)):
                pass
        assert os.statvfs(loop.path).f_bavail == 0
        database = Database(path)
        with database.write() as connection:
            connection.execute("DELETE FROM content WHERE digest LIKE 'sha256:1%'")
        database.close()
        assert Database(path).one("SELECT count(*) FROM content") == (189,)


def test_a_reserve_that_cannot_be_used_stops_nothing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_paths: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    database = Database(str(tmp_path / "db"))
    with database.write():
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["db", "db-journal", "db-reserve"]
    monkeypatch.setattr(Database, "_is_short_of_room", lambda _self: True)
    monkeypatch.setattr(os, "rename", fails)
    for number in range(2):
        with database.write() as connection:
            connection.execute("INSERT INTO leases VALUES ('n', ?)", (str(number),))
    database.close()
    assert Database(str(tmp_path / "db")).one("SELECT count(*) FROM leases") == (2,)


def test_what_was_not_synced_is_believed_without_a_write_until_something_changes(engine: EmbeddedEngine) -> None:
    blob = write(engine, b"content")
    with engine._database.write() as connection:
        connection.execute("UPDATE content SET synced=0")
    reader = EmbeddedEngine("default", engine.data_root, engine._state_root)
    assert reader.content.info(blob.digest).size == 7
    assert synced(engine) == {blob.digest: 0}
    with reader.lease():
        assert reader.content.info(blob.digest).size == 7
    assert synced(engine) == {blob.digest: 1}
    reader.close()


def test_a_blob_that_is_taken_over_is_read_once(engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    blob, reads = write(engine, b"content"), []
    with engine._database.write() as connection:
        connection.execute("UPDATE content SET synced=0")
    real = ContentStore.verify
    monkeypatch.setattr(ContentStore, "verify", lambda *arguments: reads.append(1) or real(*arguments))
    for _run in range(2):
        other = EmbeddedEngine("other", engine.data_root, engine._state_root)
        with other.lease(), pytest.raises(AlreadyExists):
            other.content.writer("ref", blob)
        other.images.put(Image("image", blob))
        other.close()
    assert len(reads) == 1


def test_nobody_waits_while_a_tree_is_copied(engine: EmbeddedEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    store, seen = engine.snapshotter("native"), []

    def copy(source: str, target: str) -> None:
        other = EmbeddedEngine("other", engine.data_root, engine._state_root)
        other.images.put(Image("image", Descriptor("application/octet-stream", Digest.of(b"x"), 1)))
        other.close()
        seen.append(engine.snapshotter("native").walk()[-1].kind)
        os.mkdir(target)

    monkeypatch.setattr(copy_tree, "copy_tree", copy)
    with engine.lease():
        store.prepare("bottom")
        store.commit("bottom", "bottom")
    native = EmbeddedEngine("default", engine.data_root, engine._state_root, "native")
    with native.containers.making():
        native.snapshotter().prepare("copy", "bottom")
    assert seen == ["filling"]
    assert native.snapshotter().stat("copy").kind == "active"
    native.close()


def test_a_load_that_fails_leaves_the_ingest_of_another(engine: EmbeddedEngine, tmp_path: pathlib.Path) -> None:
    blob = Descriptor("application/octet-stream", Digest.of(b"alive"), 5)
    other = EmbeddedEngine("default", engine.data_root, engine._state_root)
    with engine.content.writer("shared", blob) as ingest:
        ingest.write(b"ali")
        with pytest.raises(Unavailable):
            other.content.abort("shared")
        ingest.write(b"ve")
        ingest.commit(5, blob.digest)
    with engine.content.writer("half") as ingest:
        ingest.write(b"bytes")
    other.content.abort("half")
    assert list((tmp_path / "data" / "content" / "ingest").iterdir()) == []
    other.close()
