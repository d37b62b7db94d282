# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes on disk: their layout, their first content, who uses them, and what driver options mean."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import stat
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine_host.place import Place
from ansible_collections.fleet.containerd.plugins.module_utils.errors import DataLoss, EngineError, InvalidArgument, NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.volumes import name_of
from ansible_collections.fleet.containerd.plugins.module_utils.volume import fill as fills
from ansible_collections.fleet.containerd.plugins.module_utils.volume.driver import Driver
from ansible_collections.fleet.containerd.plugins.module_utils.volume.fill import fill
from ansible_collections.fleet.containerd.plugins.module_utils.volume.store import Store, Volume, check
from ansible_collections.fleet.containerd.plugins.module_utils.volume.users import User, find
from ansible_collections.fleet.containerd.tests.support import trees

ID = "0123456789abcdef" * 4


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Store:
    return Store(str(tmp_path / "data"), "blue")


def made(store: Store, name: str = "db", **values: t.Any) -> Volume:
    with store.locked():
        return store.make(store.foreseen(name)._replace(**values))


# Where they are


def test_the_layout_is_that_of_nerdctl(store: Store) -> None:
    """<data root>/volumes/<namespace>/<name>, with _data, and the labels in volume.json."""
    volume = made(store, labels={"a": "1"})
    directory = pathlib.Path(store.data_root, "volumes", "blue", "db")
    assert sorted(os.listdir(directory)) == ["_data", "volume.json"]
    assert json.loads((directory / "volume.json").read_text())["labels"] == {"a": "1"}
    assert store.get("db") == volume
    assert name_of(volume.data) == "db"
    assert Store(store.data_root, "red").all() == []


def test_what_nerdctl_has_made(store: Store) -> None:
    """nerdctl volume create --label x=y theirs, and one without labels; and files that are no volumes."""
    made(store)
    directory = pathlib.Path(store.directory)
    for name, record in (("theirs", '{\n    "labels": {\n        "x": "y"\n    }\n}'), ("plain", "")):
        (directory / name / "_data").mkdir(parents=True)
        if record:
            (directory / name / "volume.json").write_text(record)
    (directory / "file").write_text("x")
    assert [(one.name, dict(one.labels), one.problem) for one in store.all()] == [
        ("db", {}, ""),
        ("plain", {}, ""),
        ("theirs", {"x": "y"}, ""),
    ]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"labels": [1]}', '{"created": "soon"}', "[" * 100_000])
def test_a_damaged_record(store: Store, text: str) -> None:
    volume = made(store)
    pathlib.Path(volume.data).parent.joinpath("volume.json").write_text(text)
    found = store.get("db")
    assert found
    with pytest.raises(DataLoss, match=r"^the volume db: .*/db/volume\.json cannot be read"):
        check(found)


def test_volumes_of_containers_are_where_their_engines_have_them(store: Store, tmp_path: pathlib.Path) -> None:
    for address in ("", str(tmp_path / "containerd.sock")):
        directory = pathlib.Path(Place(store.data_root, "blue", address).container_dir(ID))
        volume = directory / "volumes" / "0"
        volume.mkdir(parents=True)
        (volume / "table").write_text("rows")
        User(str(directory / "volumes.json"), "web", (f"{ID}-0", "db")).write()
        (found,) = store.all()
        assert (found.name, found.data, found.anonymous) == (f"{ID}-0", str(volume), True)
        assert store.get(found.name) == found
        assert name_of(found.data) == found.name
        (user,) = find(store.data_root, "blue").of("db")
        assert (user.id, user.name, user.engine.partition("-")[0]) == (ID, "web", "containerd" if address else "embedded")
        assert find(store.data_root, "red").containers == ()
        with store.locked():
            doomed = store.set_aside(found)
        assert store.leftovers() == [doomed]
        assert store.all() == []
        shutil.rmtree(directory)


def test_the_last_volume_takes_the_rest_of_its_container_along(store: Store) -> None:
    directory = pathlib.Path(Place(store.data_root, "blue").container_dir(ID))
    for number in "01":
        (directory / "volumes" / number).mkdir(parents=True)
    (directory / "log").write_text("x")
    first, last = store.all()
    for volume, left in ((first, True), (last, False)):
        with store.locked():
            shutil.rmtree(store.set_aside(volume))
        store.forget_container(volume)
        assert directory.exists() is left


def test_a_file_of_a_container_that_cannot_be_read(store: Store) -> None:
    path = pathlib.Path(Place(store.data_root, "blue").container_dir(ID), "volumes.json")
    for text in ("", "[]", '{"name": "web"}', '{"name": "web", "volumes": 1, "fill": [], "filled": false}'):
        path.write_text(text)
        (lost,) = find(store.data_root, "blue").lost
        assert str(path) in str(lost)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/var/lib/nerdctl/1935db59/volumes/default/db/_data", "db"),
        (f"/data/containers/embedded/default/{ID}/volumes/3", f"{ID}-3"),
        ("/data/containers/embedded/default/short/volumes/3", ""),
        ("/srv/_data", ""),
        ("/srv/www", ""),
        ("", ""),
    ],
)
def test_the_name_of_a_volume_by_its_directory(path: str, name: str) -> None:
    assert name_of(path) == name


# First content


@pytest.fixture
def image(tmp_path: pathlib.Path) -> t.Iterator[int]:
    """A directory of an image."""
    source = tmp_path / "image"
    (source / "below").mkdir(parents=True)
    (source / "below" / "file").write_text("deep")
    (source / "seed").write_text("from the image")
    os.link(source / "seed", source / "below" / "same")
    (source / "link").symlink_to("/etc/passwd")
    os.chown(source / "seed", 1000, 1001)
    os.chown(source, 7, 8)
    source.chmod(0o2750)
    fd = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def content(volume: Volume) -> trees.Tree:
    assert not [name for name in os.listdir(os.path.dirname(volume.data)) if name.startswith(".")]
    return trees.snapshot(pathlib.Path(volume.data))


def whole(tmp_path: pathlib.Path) -> trees.Tree:
    return trees.snapshot(tmp_path / "image")


def test_first_content_is_that_of_the_image(store: Store, image: int, tmp_path: pathlib.Path) -> None:
    volume = made(store)
    fill(volume, image)
    trees.assert_same(whole(tmp_path), content(volume))
    found = os.stat(volume.data)
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (7, 8, 0o2750)
    same = [os.stat(os.path.join(volume.data, name)).st_ino for name in ("seed", "below/same")]
    assert same[0] == same[1]


def test_what_is_there_stays(store: Store, image: int) -> None:
    volume = made(store)
    pathlib.Path(volume.data, "table").write_text("rows")
    before = content(volume)
    fill(volume, image)
    trees.assert_same(before, content(volume))


def test_content_of_another_directory(store: Store, image: int, tmp_path: pathlib.Path) -> None:
    """The copy is made where it can be moved from."""
    (tmp_path / "pages").mkdir()
    volume = made(store, options={"type": "none", "o": "bind", "device": str(tmp_path / "pages")})
    fill(volume, image)
    trees.assert_same(whole(tmp_path), trees.snapshot(tmp_path / "pages"), ignore=("mtime_ns",))


@pytest.mark.parametrize("fixed", [("owner",), ("group", "mode"), ("owner", "group", "mode")])
def test_what_a_task_asked_for_stays(store: Store, image: int, fixed: t.Tuple[str, ...]) -> None:
    image_has, had = {"owner": 7, "group": 8, "mode": 0o2750}, {"owner": 1, "group": 2, "mode": 0o700}
    volume = made(store, fixed={one: had[one] for one in fixed})
    assert store.get("db") == volume
    fill(volume, image)
    found = os.stat(volume.data)
    now = {"owner": found.st_uid, "group": found.st_gid, "mode": stat.S_IMODE(found.st_mode)}
    assert now == {**image_has, **{one: had[one] for one in fixed}}


class Killed(BaseException):
    """In place of a signal."""


@pytest.mark.parametrize("call", ["copy_tree", "_sync", "rename", "copy_root", "remove_tree"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_killed_while_it_is_filled(
    store: Store, image: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    """Nothing but whole files is ever in the volume, and the next start completes it."""
    volume, module, calls = made(store), (os if call == "rename" else fills), []
    real = getattr(module, call)

    def dying(*arguments: t.Any, **more: t.Any) -> t.Any:
        calls.append(arguments)
        if len(calls) == number:
            raise Killed
        return real(*arguments, **more)

    with monkeypatch.context() as patch, contextlib.suppress(Killed):
        patch.setattr(module, call, dying)
        fill(volume, image)
    wanted, there = whole(tmp_path), trees.snapshot(pathlib.Path(volume.data))
    found = {name: node for name, node in there.items() if name != "."}
    assert all(node._replace(links=()) == wanted[name]._replace(links=()) for name, node in found.items())
    fill(volume, image)
    trees.assert_same(wanted, content(volume))


def test_a_file_that_came_meanwhile_stays(store: Store, image: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another container has the volume already."""
    volume = made(store)

    def late(*_arguments: t.Any) -> None:
        pathlib.Path(volume.data, "seed").write_text("newer")
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(fills, "copy_root", late)
        patch.setattr(os, "rename", lambda old, new, real=os.rename: None if old.endswith("/seed") else real(old, new))
        fill(volume, image)
    fill(volume, image)
    assert pathlib.Path(volume.data, "seed").read_text() == "newer"


# Driver options


@pytest.mark.parametrize(
    ("options", "kind", "place"),
    [
        ({}, "", ""),
        ({"type": ""}, "", ""),
        ({"type": "none", "o": "bind", "device": "/srv//www/"}, "bind", "/srv/www"),
        ({"type": "bind", "device": "/srv"}, "bind", "/srv"),
        ({"o": "rbind,rw", "device": "/srv"}, "bind", "/srv"),
        ({"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}, "tmpfs", "/run/x/volumes/blue/db"),
        ({"type": "nfs", "device": ":/export", "o": "addr=192.0.2.1,ro"}, "nfs", "/run/x/volumes/blue/db"),
    ],
)
def test_driver_options(options: t.Dict[str, str], kind: str, place: str) -> None:
    found = Driver.of(options)
    assert (found.kind, found.place("blue", "db", "/run/x")) == (kind, place)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": "1g"}, "size is none of type, o, device"),
        ({"type": "zfs", "device": "tank"}, "type: zfs is none of"),
        ({"type": "none", "device": "/srv"}, "needs o: bind"),
        ({"device": "/srv"}, "needs o: bind"),
        ({"type": "none", "o": "bind"}, "device: '' is not an absolute path"),
        ({"type": "none", "o": "bind", "device": "srv"}, "device: 'srv' is not an absolute path"),
        ({"type": "none", "o": "bind,ro", "device": "/srv"}, "o: ro cannot be had"),
        ({"type": "tmpfs"}, "device: tmpfs needs one"),
        ({"type": "nfs", "device": ":/export"}, "needs the address of the server"),
    ],
)
def test_wrong_driver_options(options: t.Dict[str, str], words: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^driver_options: ") as failed:
        Driver.of(options)
    assert words in str(failed.value)


def test_a_file_system_that_cannot_be_mounted(store: Store, tmp_path: pathlib.Path) -> None:
    """The volume is named, and nothing is left mounted."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(65536))
    options = {"type": "ext4", "device": str(disk)}
    with store.locked():
        volume = store.make(store.foreseen("db")._replace(options=options), str(tmp_path / "run"))
    with pytest.raises(EngineError, match=r"^the volume db: mounting ext4 on "):
        volume.driver.ready("db", volume.data)
    disk.unlink()
    with pytest.raises(NotFound, match=r"^the device .*/disk of the volume db is not there on the target"):
        volume.driver.ready("db", volume.data)
    assert volume.stat() is not None
    volume.driver.release(volume.data)
    assert volume.stat() is None


def test_the_name_of_a_server_that_is_not_known(store: Store, tmp_path: pathlib.Path) -> None:
    options = {"type": "nfs", "device": ":/export", "o": "addr=nobody.invalid"}
    with store.locked():
        volume = store.make(store.foreseen("db")._replace(options=options), str(tmp_path / "run"))
    with pytest.raises(NotFound, match=r"addr=nobody\.invalid is no address"):
        volume.driver.ready("db", volume.data)
