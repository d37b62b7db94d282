# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_volume and containerd_volume_info, and the volumes of containers."""

from __future__ import annotations

import os
import pathlib
import stat
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mount_points
from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.images import Entry, directory, tar_of
from ansible_collections.fleet.containerd.tests.support.stories.sites import AnySite

Options = t.Dict[str, t.Any]
#: What an image of these stories has at /data, which it declares no volume.
FILES = [
    directory("data", 0o750, uid=1000, gid=2000),
    Entry("data/seed", b"from the image\n", mode=0o640, uid=1000, gid=1000),
    directory("own"),
    Entry("own/more", b"of the image\n"),
    Entry("file", b"a file\n"),
]


def image_layers() -> t.List[bytes]:
    return [tar_of(FILES)]


class Volumes:
    """Tasks for the volumes of a site. image: one with FILES. sleeping: what goes on until it is killed."""

    def __init__(self, site: AnySite, image: str, sleeping: t.Sequence[str] = ("sleep", "1000")) -> None:
        self.site, self.image, self.sleeping = site, image, list(sleeping)
        with site.engine() as engine:
            self.root = pathlib.Path(engine.data_root)

    def volume(self, name: str, **options: t.Any) -> Task:
        return task("containerd_volume", name=name, data_root=str(self.root), **options)

    def info(self, **options: t.Any) -> Task:
        return {"name": "info", "fleet.containerd.containerd_volume_info": {"data_root": str(self.root), **options}}

    def container(self, name: str, **options: t.Any) -> Task:
        how: Options = {"image": self.image, "command": self.sleeping, "stop_signal": "KILL", "network_mode": "none"}
        if options.get("state") == "absent":
            how = {}
        return task("containerd_container", name=name, **{**how, **options})

    def path(self, name: str) -> pathlib.Path:
        return self.root / "volumes" / self.site.namespace / name

    def data(self, name: str) -> pathlib.Path:
        return self.path(name) / "_data"

    def run(self, *tasks: Task, **how: t.Any) -> TaskResult:
        return self.site.play(*tasks, **how).last

    def converge(self, one: Task) -> TaskResult:
        (result,) = self.site.converge(one)
        return result

    def refused(self, one: Task) -> str:
        """The message, in check mode and for real, and nothing is changed."""
        before = self.site.everything()
        said = [self.run({**one, "check_mode": check, "ignore_errors": True}) for check in (True, False)]
        assert all(result.failed for result in said), said
        assert said[0].msg == said[1].msg
        assert self.site.everything() == before
        return said[0].msg


def access(path: pathlib.Path) -> t.Tuple[int, int, int]:
    found = path.stat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def in_and_out(volumes: Volumes) -> None:
    made = volumes.converge(volumes.volume("db"))
    assert made.actions == ["create volume db"]
    assert made.value("diff") == {"before": {"exists": False}, "after": {"exists": True}}
    told = made.value("volume")
    assert {key: told[key] for key in ("Name", "Driver", "Mountpoint", "Labels", "Options", "Scope")} == {
        "Name": "db",
        "Driver": "local",
        "Mountpoint": str(volumes.data("db")),
        "Labels": {},
        "Options": {},
        "Scope": "local",
    }
    assert told["CreatedAt"] > "2020"
    assert access(volumes.data("db")) == (0, 0, 0o755)
    assert access(volumes.path("db"))[2] == 0o700
    (volumes.data("db") / "table").write_text("rows")

    changed = volumes.converge(volumes.volume("db", labels={"a": "1", "b": "2"}, owner="1000", group="2000", mode="0700"))
    assert changed.actions == ["change volume db: labels, owner, group, mode"]
    assert changed.value("diff") == {
        "before": {"labels": {}, "owner": 0, "group": 0, "mode": "0755"},
        "after": {"labels": {"a": "1", "b": "2"}, "owner": 1000, "group": 2000, "mode": "0700"},
    }
    assert access(volumes.data("db")) == (1000, 2000, 0o700)
    more = volumes.converge(volumes.volume("db", labels={"b": "3"}))
    assert more.value("volume")["Labels"] == {"a": "1", "b": "3"}
    none = volumes.converge(volumes.volume("db", labels={}))
    assert none.value("volume")["Labels"] == {}
    kept = none.value("volume")["Containerd"]
    assert (kept["Owner"], kept["Group"], kept["Mode"]) == (1000, 2000, "0700")
    assert (volumes.data("db") / "table").read_text() == "rows"

    gone = volumes.converge(volumes.volume("db", state="absent"))
    assert gone.actions == ["remove volume db", "remove the files of volume db"]
    assert gone.value("diff")["after"] == {"exists": False}
    assert gone.value("volume") == {}
    assert os.listdir(volumes.path("db").parent) == []


def made_anew(volumes: Volumes, directory: pathlib.Path) -> None:
    volumes.run(volumes.volume("v", labels={"a": "1"}))
    (volumes.data("v") / "old").write_text("x")
    options: Options = {"driver_options": {"type": "none", "o": "bind", "device": str(directory)}}
    said = volumes.refused(volumes.volume("v", **options))
    assert said == (
        "driver_options: the volume v was made with {}: give recreate=options-changed to make it anew, which removes what is in it"
    )
    anew = volumes.converge(volumes.volume("v", recreate="options-changed", **options))
    assert anew.actions == ["remove volume v", "remove the files of volume v", "create volume v"]
    assert anew.value("volume")["Options"] == options["driver_options"]
    assert anew.value("volume")["Labels"] == {}
    (volumes.data("v") / "new").write_text("y")
    assert (directory / "new").read_text() == "y"
    always = volumes.run(volumes.volume("v", recreate="always"))
    assert (always.changed, always.value("volume")["Options"]) == (True, {})
    assert os.listdir(volumes.data("v")) == []
    volumes.run(volumes.volume("v", state="absent"))
    assert (directory / "new").read_text() == "y"


def containers_use_volumes(volumes: Volumes) -> None:
    """A volume is made when it is missing, outlives its containers, and is not removed under them."""
    made = volumes.converge(volumes.container("web", volumes=["data:/data", "extra:/x:ro"]))
    assert made.actions[1:] == ["create volume data", "create volume extra", "create container web", "start container web"]
    container = made.value("container")
    mounts = {one["Destination"]: one for one in container["Mounts"]}
    assert mounts["/data"] == {
        "Type": "volume",
        "Name": "data",
        "Driver": "local",
        "Source": str(volumes.data("data")),
        "Destination": "/data",
        "Mode": "",
        "RW": True,
        "Propagation": "rprivate",
    }
    assert (mounts["/x"]["Name"], mounts["/x"]["RW"], mounts["/x"]["Mode"]) == ("extra", False, "ro")
    assert container["HostConfig"]["Binds"] == ["data:/data", "extra:/x:ro"]
    # Its first content is that of the image.
    assert access(volumes.data("data")) == (1000, 2000, 0o750)
    seed = volumes.data("data") / "seed"
    assert (seed.read_text(), access(seed)) == ("from the image\n", (1000, 1000, 0o640))
    assert os.listdir(volumes.data("extra")) == []
    seed.unlink()
    (volumes.data("data") / "table").write_text("rows")

    volumes.run(volumes.container("db", volumes=["data:/data"], state="present"))
    said = volumes.refused(volumes.volume("data", state="absent"))
    assert said.startswith("name: the volume data is used by containers: db, web: remove them first, or give force=true")
    (every, dangling, one) = volumes.site.play(
        volumes.info(), volumes.info(dangling=True), volumes.info(name=["data", "nothing"])
    ).results
    assert [found["Name"] for found in every.value("volumes")] == ["data", "extra"]
    assert [found["Name"] for found in every.value("volumes")[0]["Containerd"]["UsedBy"]] == ["db", "web"]
    assert (dangling.value("volumes"), one.value("exists")) == ([], False)

    again = volumes.run(volumes.container("web", volumes=["data:/data", "extra:/x:ro"], env={"A": "b"}))
    assert again.value("recreated_because") == ["env"]
    restarted = volumes.run(volumes.container("web", restart=True))
    assert restarted.changed
    # An empty volume is filled once, and a volume with something in it is not filled.
    assert sorted(os.listdir(volumes.data("data"))) == ["table"]
    for name in ("web", "db"):
        volumes.run(volumes.container(name, state="absent"))
    assert (volumes.data("data") / "table").read_text() == "rows"
    left = volumes.run(volumes.info(dangling=True)).value("volumes")
    assert [found["Name"] for found in left] == ["data", "extra"]
    for name in ("data", "extra"):
        volumes.converge(volumes.volume(name, state="absent"))


def owner_and_mode_that_a_task_gives(volumes: Volumes) -> None:
    """An image does not change them; what it does not say of a volume, the image does."""
    asked = volumes.volume("data", owner="7", mode="0700")
    volumes.run(asked)
    volumes.run(volumes.container("web", volumes=["data:/data", "plain:/data/below:nocopy"]))
    assert access(volumes.data("data")) == (7, 2000, 0o700)
    assert (volumes.data("data") / "seed").exists()
    assert access(volumes.data("plain")) == (0, 0, 0o755)
    assert not volumes.run(asked).changed
    volumes.run(volumes.container("web", state="absent"))


def volumes_of_a_container_alone(volumes: Volumes) -> None:
    made = volumes.converge(volumes.container("web", volumes=["/own", "/new"]))
    assert made.actions[1:] == ["create container web", "start container web"]
    mounts = {one["Destination"]: one for one in made.value("container")["Mounts"]}
    assert {path: one["Type"] for path, one in mounts.items()} == {"/own": "volume", "/new": "volume"}
    own = pathlib.Path(mounts["/own"]["Source"])
    assert (own / "more").read_text() == "of the image\n"
    (own / "table").write_text("rows")
    name = mounts["/own"]["Name"]
    (found,) = volumes.run(volumes.info(name=[name])).value("volumes")
    assert (found["Containerd"]["Anonymous"], found["Mountpoint"]) == (True, str(own))
    assert [one["Name"] for one in found["Containerd"]["UsedBy"]] == ["web"]
    assert "is used by containers: web:" in volumes.refused(volumes.volume(name, state="absent"))
    # A container that is made anew has new ones, and those of the old one stay, as with Docker.
    anew = volumes.run(volumes.container("web", volumes=["/own", "/new"], env={"A": "b"}))
    assert anew.value("recreated_because") == ["env"]
    (now,) = (pathlib.Path(one["Source"]) for one in anew.value("container")["Mounts"] if one["Destination"] == "/own")
    assert sorted(os.listdir(now)) == ["more"]
    assert (own / "table").read_text() == "rows"
    # They can be had again by their names.
    rescued = volumes.run(volumes.container("rescue", volumes=[f"{name}:/rescued"], state="present"))
    (mount,) = rescued.value("container")["Mounts"]
    assert (mount["Source"], mount["Name"]) == (str(own), name)
    volumes.run(volumes.container("rescue", state="absent"))
    dangling = [one["Name"] for one in volumes.run(volumes.info(dangling=True)).value("volumes")]
    assert dangling == sorted([name, mounts["/new"]["Name"]])
    for one in dangling:
        volumes.converge(volumes.volume(one, state="absent"))
    assert not own.parent.parent.exists()
    gone = volumes.run(volumes.container("web", state="absent", keep_volumes=False))
    assert gone.changed
    assert not now.parent.parent.exists()
    assert volumes.run(volumes.info()).value("volumes") == []


def a_job_that_is_cleaned_up_leaves_none(volumes: Volumes) -> None:
    job = volumes.container("job", command=["true"], detach=False, cleanup=True, volumes=["/own", "data:/data"])
    volumes.run(job)
    assert [one["Name"] for one in volumes.run(volumes.info()).value("volumes")] == ["data"]
    volumes.converge(volumes.volume("data", state="absent"))


def as_mounts(volumes: Volumes) -> None:
    """The other option, with the same volumes."""
    mounts: t.List[Options] = [
        {"source": "data", "target": "/data"},
        {"source": "plain", "target": "/x", "type": "volume", "no_copy": True, "read_only": True},
        {"target": "/own"},
    ]
    made = volumes.converge(volumes.container("web", mounts=mounts))
    assert made.actions[-4:-1] == ["create volume data", "create volume plain", "create container web"]
    found = {one["Destination"]: (one["Type"], one["RW"]) for one in made.value("container")["Mounts"]}
    assert found == {"/data": ("volume", True), "/x": ("volume", False), "/own": ("volume", True)}
    assert os.listdir(volumes.data("data")) == ["seed"]
    said = volumes.refused(volumes.volume("plain", state="absent"))
    assert "is used by containers: web:" in said
    twice = volumes.container("web", mounts=mounts, volumes=["data:/data"])
    assert volumes.run(twice, failing=True).msg.startswith("mounts: /data is a target of volumes, too")
    volumes.run(volumes.container("web", state="absent", keep_volumes=False))
    assert [one["Name"] for one in volumes.run(volumes.info()).value("volumes")] == ["data", "plain"]
    for name in ("data", "plain"):
        volumes.run(volumes.volume(name, state="absent"))


def parts_of_volumes(volumes: Volumes) -> None:
    """mounts[].subpath: what is there, looked up inside of the volume at each start, and gone from the host after a stop."""
    volumes.run(volumes.volume("site"))
    mount: Options = {"source": "site", "target": "/part", "subpath": "./pages//today/", "labels": {"never": "compared"}}
    asked = volumes.container("web", mounts=[mount])
    missing = "mounts.subpath: there is no pages/today in the volume site: make it first, since a mount makes none"
    assert volumes.refused(asked) == missing
    pages = volumes.data("site") / "pages" / "today"
    pages.mkdir(parents=True)
    (pages / "index").write_text("of the part")
    made = volumes.converge(asked)
    (shown,) = made.value("container")["Mounts"]
    assert (shown["Type"], shown["Name"], shown["Source"]) == ("volume", "site", str(pages))
    (again,) = made.value("container")["HostConfig"]["Mounts"]
    assert again["VolumeOptions"] == {"Labels": {"never": "compared"}, "Subpath": "pages/today"}
    assert "is used by containers: web:" in volumes.refused(volumes.volume("site", state="absent"))
    (place,) = parts_below(volumes.root)
    # The mount itself, so that nobody can put something else in its place.
    assert (pathlib.Path(place) / "index").read_text() == "of the part"

    lent = volumes.converge(volumes.container("taker", volumes_from=["web:ro"]))
    (had,) = lent.value("container")["Mounts"]
    assert (had["Name"], had["Source"], had["RW"]) == ("site", str(pages), False)
    volumes.run(volumes.container("web", mounts=[mount], env={"A": "b"}))
    assert not volumes.run(volumes.container("taker", volumes_from=["web:ro"])).changed
    assert len(parts_below(volumes.root)) == 2
    volumes.run(volumes.container("taker", state="absent"))

    # A link that leads out of the volume leads to a path inside of it.
    away = pages.rename(pages.with_name("yesterday"))
    pages.symlink_to("/etc")
    restart = volumes.container("web", mounts=[mount], restart=True)
    assert volumes.refused(restart) == missing
    pages.unlink()
    pages.symlink_to("/pages/yesterday")
    volumes.run(restart)
    (place,) = parts_below(volumes.root)
    assert os.path.samefile(place, away)

    volumes.run(volumes.container("web", state="stopped"))
    assert not parts_below(volumes.root)
    volumes.run(volumes.container("web", mounts=[mount]))
    assert len(parts_below(volumes.root)) == 1
    assert not volumes.run(volumes.container("web", mounts=[{**mount, "labels": {}}])).changed
    anew = volumes.converge(volumes.container("web", mounts=[{**mount, "subpath": "pages/yesterday/index"}]))
    assert anew.value("recreated_because") == ["mounts"]
    (place,) = parts_below(volumes.root)
    assert pathlib.Path(place).read_text() == "of the part"
    volumes.run(volumes.container("web", state="absent"))
    assert not parts_below(volumes.root)
    assert (away / "index").read_text() == "of the part"
    volumes.converge(volumes.volume("site", state="absent"))


def labels_of_mounts(volumes: Volumes) -> None:
    """A mount gives them to the volume that it makes, and to no other."""
    mounts: t.List[Options] = [
        {"source": "fresh", "target": "/data", "labels": {"backup": True, "team": "web"}},
        {"source": "fresh", "target": "/seed", "subpath": "seed"},
    ]
    asked = volumes.container("web", mounts=mounts)
    made = volumes.converge(volumes.container("web", mounts=mounts, state="present"))
    assert "create volume fresh" in made.actions
    volumes.converge(asked)
    # The other mount has what the image has brought.
    (place,) = parts_below(volumes.root)
    assert pathlib.Path(place).read_text() == "from the image\n"
    (found,) = volumes.run(volumes.info(name=["fresh"])).value("volumes")
    assert found["Labels"] == {"backup": "true", "team": "web"}
    volumes.run(volumes.volume("fresh", labels={"backup": "never"}))
    changed = [{**mounts[0], "labels": {"team": "other"}}, mounts[1]]
    assert not volumes.run(volumes.container("web", mounts=changed)).changed
    volumes.run(volumes.container("web", mounts=changed, env={"A": "b"}))
    (found,) = volumes.run(volumes.info(name=["fresh"])).value("volumes")
    assert found["Labels"] == {"backup": "never", "team": "web"}
    volumes.run(volumes.container("web", state="absent"))
    volumes.run(volumes.volume("fresh", state="absent"))


def parts_below(root: pathlib.Path) -> t.List[str]:
    """Where parts of volumes are mounted."""
    return [point for point in mount_points(str(root)) if "/parts/" in point]


def volumes_of_another_container(volumes: Volumes, host: pathlib.Path) -> None:
    """volumes_from: what the other one has when this one is made, also alone, and before its first start."""
    data = ["data:/data", "/own", f"{host}:/host"]
    giver = volumes.container("giver", state="present", volumes=data)
    volumes.run(giver)
    taker = volumes.container("taker", volumes_from=["giver:ro"], volumes=["plain:/host"])
    made = volumes.converge(taker)
    found = {one["Destination"]: (one["Source"], one["RW"]) for one in made.value("container")["Mounts"]}
    own = pathlib.Path(found["/own"][0])
    assert found == {
        "/data": (str(volumes.data("data")), False),
        "/own": (str(own), False),
        "/host": (str(volumes.data("plain")), True),
    }
    assert (own / "more").read_text() == "of the image\n"
    assert made.value("container")["HostConfig"]["VolumesFrom"] == ["giver:ro"]
    # What the giver has is there with it, as if it had been started.
    assert os.listdir(volumes.data("data")) == ["seed"]
    volumes.run(volumes.container("giver", volumes=data))
    assert not volumes.run(taker).changed
    says = "is used by containers: giver, taker:"
    assert says in volumes.refused(volumes.volume("data", state="absent"))

    third = volumes.container("third", volumes_from=["taker:rw", "giver"])
    through = volumes.converge(third)
    mounts = {one["Destination"]: one["RW"] for one in through.value("container")["Mounts"]}
    # The later container comes before the earlier one.
    assert mounts == {"/data": True, "/own": True, "/host": True}
    assert {one["Source"] for one in through.value("container")["Mounts"]} == {str(volumes.data("data")), str(own), str(host)}
    volumes.run(volumes.container("third", state="absent"))

    anew = volumes.run(volumes.container("giver", volumes=data, env={"A": "b"}, keep_volumes=False))
    assert anew.value("recreated_because") == ["env"]
    # The old container's volume stays, since another one has it.
    assert os.listdir(own) == ["more"]
    follows = volumes.converge(taker)
    assert follows.value("recreated_because") == ["volumes_from"]
    (now,) = (one["Source"] for one in follows.value("container")["Mounts"] if one["Destination"] == "/own")
    assert now != str(own)
    diff = follows.value("diff")
    assert [diff[side]["volumes_from"]["giver:ro"]["/own"] for side in ("before", "after")] == [str(own), now]

    volumes.run(volumes.container("giver", state="absent", keep_volumes=False))
    assert os.listdir(now) == ["more"]
    assert not volumes.run(taker).changed
    said = volumes.refused(volumes.container("taker", volumes_from=["giver:ro"], env={"A": "b"}))
    assert said == "volumes_from: there is no container giver: make it first"
    os.rename(now, f"{now}-away")
    gone = volumes.run(volumes.container("taker", restart=True), failing=True)
    assert "is gone, which the container has from another one on /own: give it another one in its place" in gone.msg
    os.rename(f"{now}-away", now)
    without = volumes.converge(volumes.container("taker", volumes_from=[]))
    assert without.value("recreated_because") == ["volumes_from"]
    volumes.run(volumes.container("taker", state="absent"))
    for one in volumes.run(volumes.info(dangling=True)).value("volumes"):
        volumes.run(volumes.volume(one["Name"], state="absent"))


def force(volumes: Volumes) -> None:
    """Not under what runs; containers that do not run start with a new volume."""
    volumes.run(volumes.container("web", volumes=["data:/data"]))
    (volumes.data("data") / "table").write_text("rows")
    volumes.run(volumes.container("web", state="stopped"))
    gone = volumes.converge(volumes.volume("data", state="absent", force=True))
    assert gone.actions[0] == "remove volume data"
    # Check mode knows that it will be there.
    assert volumes.converge(volumes.container("web", volumes=["data:/data"])).actions == ["start container web"]
    assert os.listdir(volumes.data("data")) == ["seed"]
    volumes.run(volumes.container("web", state="absent"))
    volumes.converge(volumes.volume("data", state="absent"))


def what_a_killed_run_left(volumes: Volumes) -> None:
    """The next task for any volume removes it."""
    volumes.run(volumes.volume("stays"))
    left = [volumes.path(".rm-db-0123abcd"), volumes.path(".new-db")]
    for one in left:
        (one / "_data").mkdir(parents=True)
        (one / "_data" / "table").write_text("rows")
    assert [one["Name"] for one in volumes.run(volumes.info()).value("volumes")] == ["stays"]
    done = volumes.converge(volumes.volume("db", state="absent"))
    assert done.actions == ["remove what an interrupted run left of volumes"]
    assert os.listdir(volumes.path("db").parent) == ["stays"]
    volumes.run(volumes.volume("stays", state="absent"))
