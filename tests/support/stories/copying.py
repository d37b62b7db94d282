# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container_copy, into containers and out of them."""

from __future__ import annotations

import os
import pathlib
import stat
import struct
import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Task, TaskResult, task
from ansible_collections.fleet.containerd.tests.support.images import Entry, directory, symlink, tar_of
from ansible_collections.fleet.containerd.tests.support.stories.sites import AnySite

_NONE = 2**32 - 1
#: What an image of these stories has.
FILES = [
    directory("etc"),
    Entry("etc/passwd", b"root:x:0:0:root:/:/bin/sh\nwww:x:33:44::/:/bin/sh\n"),
    Entry("etc/group", b"root:x:0:\nwww:x:44:\n"),
    Entry("etc/old", b"old\n", mode=0o600, uid=33, gid=44),
    symlink("etc/link", "old"),
    directory("data", 0o750, uid=1000, gid=2000),
    Entry("data/seed", b"from the image\n", mode=0o4755, uid=1000, gid=1000),
    symlink("data/up", "../../../etc/old"),
    directory("out"),
]


def image_layers() -> t.List[bytes]:
    return [tar_of(FILES)]


class Copies:
    """A container web, of the user 33:44, and files of the host below host."""

    def __init__(self, site: AnySite, image: str, host: pathlib.Path, state: str = "present") -> None:
        self.site, self.host, self.image, self.state = site, host, image, state
        self._backs = 0
        host.mkdir()
        self.make("web")

    def make(self, name: str, **options: t.Any) -> None:
        """A container of this image, in the state of all."""
        options = {"command": ["sleep", "1000"], "user": "www", "network_mode": "none", "stop_signal": "KILL", **options}
        if self.state == "stopped":
            self.site.play(task("containerd_container", name=name, image=self.image, **options))
        self.site.play(task("containerd_container", name=name, image=self.image, state=self.state, **options))

    def copy(self, container_path: str, container: str = "web", **options: t.Any) -> Task:
        return task("containerd_container_copy", container=container, container_path=container_path, **options)

    def file(self, name: str, content: bytes, mode: int = 0o644) -> pathlib.Path:
        path = self.host / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
        return path

    def back(self, path: str, container: str = "web") -> pathlib.Path:
        """A copy of what the container has at a path, on the host."""
        self._backs += 1
        there = self.host / f"back{self._backs}"
        self.site.play(self.copy(path, container, path=str(there), direction="from", archive=True))
        return there

    def converge(self, one: Task) -> TaskResult:
        (result,) = self.site.converge(one)
        return result

    def refused(self, one: Task) -> str:
        """The message, in check mode and for real, and nothing is changed."""
        before = self.site.everything()
        said = [self.site.play({**one, "check_mode": check, "ignore_errors": True}).last for check in (True, False)]
        assert all(result.failed for result in said), said
        assert said[0].msg == said[1].msg
        assert before == self.site.everything()
        return said[0].msg


def shown(path: pathlib.Path) -> str:
    """Kind, mode, owner and group."""
    found = path.lstat()
    return f"{stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid}"


def files(copies: Copies) -> None:
    """New, other content, other attributes, and each option for them."""
    source = copies.file("settings", b"one\n", 0o640)
    made = copies.converge(copies.copy("/etc/settings", path=str(source)))
    assert made.actions == [f"copy {source} to web:/etc/settings"]
    assert (made.value("container_path"), made.value("files")) == ("/etc/settings", 1)
    header = made.value("diff")["after_header"]
    assert (made.value("diff")["before"], made.value("diff")["after"], header) == (
        "",
        "one\n",
        "web:/etc/settings (owner 33, group 44, mode 0640)",
    )
    assert made.value("diff")["before_header"] == "web:/etc/settings (absent)"
    there = copies.back("/etc/settings")
    assert (there.read_bytes(), shown(there)) == (b"one\n", "-rw-r----- 33:44")
    # As many bytes.
    source.write_bytes(b"two\n")
    changed = copies.converge(copies.copy("/etc/settings", path=str(source), owner="root", group="0", mode="u+x,o="))
    assert (changed.value("diff")["before"], changed.value("diff")["after"]) == ("one\n", "two\n")
    assert shown(copies.back("/etc/settings")) == "-rwxr----- 0:0"
    source.write_bytes(b"a \x1b[31mred\x9b\xc2\x9b\r\n\tline\n")
    red = copies.converge(copies.copy("/etc/red", path=str(source)))
    assert red.value("diff")["after"] == "a \\x1b[31mred\\x9b\\x9b\r\n\tline\n"
    source.write_bytes(b"two\n")
    only = copies.converge(copies.copy("/etc/settings", path=str(source), owner="33", group="www", mode=0o600))
    assert only.actions == [f"copy {source} to web:/etc/settings (owner, group or mode)"]
    states = [only.value("diff")[side]["web:/etc/settings"] for side in ("before", "after")]
    assert states[0] == {"state": "file", "owner": 0, "group": 0, "mode": "0740"}
    assert states[1] == {"state": "file", "owner": 33, "group": 44, "mode": "0600"}
    assert copies.back("/etc/settings").read_bytes() == b"two\n"


def sizes(copies: Copies) -> None:
    """Diffs of what is binary, or too large; holes; and nothing is written twice."""
    binary = copies.file("binary", b"a\0b")
    diff = copies.converge(copies.copy("/data/seed", path=str(binary))).value("diff")
    assert (diff["src_binary"], "dst_binary" in diff) == (1, False)
    assert diff["before"]["web:/data/seed"]["size"] == 15
    assert shown(copies.back("/data/seed")) == "-rw-r--r-- 33:44"
    large = copies.file("large", b"")
    with large.open("wb") as stream:
        stream.seek(3 << 20)
        stream.write(b"end")
    diff = copies.converge(copies.copy("/data/seed", path=str(large))).value("diff")
    assert (diff["src_larger"], diff["dst_binary"]) == (104448, 1)
    there = copies.back("/data/seed")
    assert there.stat().st_size == (3 << 20) + 3
    assert there.read_bytes() == large.read_bytes()
    assert there.stat().st_blocks * 512 < 1 << 20
    # The last byte differs.
    with large.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"!")
    assert copies.converge(copies.copy("/data/seed", path=str(large))).value("diff")["dst_larger"] == 104448


def forced(copies: Copies) -> None:
    source = str(copies.file("new", b"new\n", 0o600))
    kept = copies.copy("/etc/old", path=source, force=False)
    assert not copies.site.play(kept).last.changed
    assert not copies.site.play(copies.copy("/data", path=source, force=False)).last.changed
    tree = copies.copy("/data", path=str(copies.host), force=False, directory_mode="0700")
    assert copies.converge(tree).value("files") == 1
    assert shown(copies.back("/data")) == "drwxr-x--- 1000:2000"
    # Another name of a file that is kept as it is, is a file of its own.
    copies.file("tree/old", b"new")
    os.link(copies.host / "tree/old", copies.host / "tree/other")
    assert copies.converge(copies.copy("/etc", path=str(copies.host / "tree"), force=False, archive=True)).value("files") == 1
    assert copies.back("/etc/other").read_bytes() == b"new"
    assert copies.back("/etc/old").read_bytes() == b"old\n"
    copies.converge(copies.copy("/etc/new", path=source, force=False))
    again = copies.copy("/etc/new", path=source, force=True)
    assert [copies.site.play(again, check=check).last.changed for check in (True, False, False)] == [True] * 3


def links(copies: Copies) -> None:
    """A link in the place of the copy, on the way to it, and in the source."""
    source = copies.file("new", b"new\n", 0o600)
    followed = copies.converge(copies.copy("/etc/link", path=str(source), follow=True))
    assert followed.value("container_path") == "/etc/old"
    assert copies.back("/etc/link").is_symlink()
    assert copies.back("/etc/old").read_bytes() == b"new\n"
    # Out of the root directory there is no way.
    copies.converge(copies.copy("/data/up", path=str(copies.file("other", b"other\n")), follow=True))
    assert copies.back("/etc/old").read_bytes() == b"other\n"
    copies.converge(copies.copy("/etc/link", path=str(source)))
    assert shown(copies.back("/etc/link")) == "-rw------- 33:44"
    link = copies.host / "link"
    link.symlink_to("new")
    copies.converge(copies.copy("/etc/followed", path=str(link)))
    copies.converge(copies.copy("/etc/kept", path=str(link), local_follow=False))
    assert shown(copies.back("/etc/followed")) == "-rw------- 33:44"
    kept = copies.back("/etc/kept")
    assert (os.readlink(kept), shown(kept)) == ("new", "lrwxrwxrwx 33:44")
    # Into a directory through a link to one; which is not replaced by a directory.
    copies.converge(copies.copy("/etc/dirlink", path=str(_dirlink(copies)), local_follow=False))
    copies.converge(copies.copy("/etc/dirlink/below", path=str(source)))
    assert copies.back("/data/below").read_bytes() == b"new\n"
    said = copies.refused(copies.copy("/etc/dirlink", path=str(copies.file("tree/a", b"a").parent)))
    assert said == "web:/etc/dirlink is a link, and cannot become a directory: give follow=true to copy to where it leads"


def _dirlink(copies: Copies) -> pathlib.Path:
    link = copies.host / "dirlink"
    link.symlink_to("../../../data")
    return link


def trees(copies: Copies) -> None:
    """A directory into a new one and into one that is there, out of it, and what cannot be copied."""
    top = copies.host / "tree"
    copies.file("tree/a", b"a\n", 0o644)
    copies.file("tree/sub/deep/b", b"b\n", 0o755)
    (top / "sub").chmod(0o700)
    (top / "empty").mkdir(0o711)
    (top / "broken").symlink_to("/nowhere")
    os.mkfifo(top / "fifo")
    into = copies.copy("/out/tree", path=str(top))
    made = copies.converge(into)
    assert made.actions == [f"copy {top} to web:/out/tree (7 files and directories)"]
    assert made.value("files") == 7
    (said,) = made.value("warnings")
    assert said.startswith("these are not copied (they are no files, directories or links, or on a file system of the kernel")
    assert said.endswith(f"): {top}/fifo")
    assert sorted(made.value("diff")["after"])[:2] == ["web:/out/tree", "web:/out/tree/a"]
    back = copies.host / "copy"
    out = copies.copy("/out/tree", path=str(back), direction="from", archive=True)
    taken = copies.site.play(out, {**out, "check_mode": True}).results
    assert [one.changed for one in taken] == [True, False]
    assert taken[0].value("path") == str(back)
    found = {str(path.relative_to(back)): shown(path) for path in [back, *back.rglob("*")]}
    assert found == {
        ".": "drwxr-xr-x 33:44",
        "a": "-rw-r--r-- 33:44",
        "broken": "lrwxrwxrwx 33:44",
        "empty": "drwx--x--x 33:44",
        "sub": "drwx------ 33:44",
        "sub/deep": "drwxr-xr-x 33:44",
        "sub/deep/b": "-rwxr-xr-x 33:44",
    }
    # One file changes; what is there and not in the source stays, and a directory keeps its mode.
    copies.file("tree/a", b"A\n")
    copies.site.play(copies.copy("/out/tree/sub/more", path=str(copies.file("more", b"more"))))
    (top / "sub").chmod(0o755)
    one = copies.converge(into)
    assert (one.value("files"), list(one.value("diff")["after"])) == (1, ["web:/out/tree/a"])
    options: t.Dict[str, t.Any] = {"mode": "u=rwX,go=rX", "directory_mode": "2750", "owner": "root", "group": "root"}
    assert copies.converge(copies.copy("/out/tree", path=str(top), **options)).value("files") == 7
    copies.site.play(out)
    assert (shown(back / "sub"), shown(back / "a"), shown(back / "sub/deep/b")) == (
        "drwxr-s--- 0:0",
        "-rw-r--r-- 0:0",
        "-rwxr-xr-x 0:0",
    )
    assert (back / "sub/more").exists()


def out_of_it(copies: Copies) -> None:
    """What a container says of its files gives nobody rights here; with archive it is kept."""
    there = copies.host / "seed"
    out = copies.copy("/data/seed", path=str(there), direction="from")
    result = copies.site.play(out).last
    assert (result.changed, result.actions) == (True, [f"copy web:/data/seed to {there}"])
    assert (there.read_bytes(), shown(there)) == (b"from the image\n", "-rwxr-xr-x 0:0")
    copies.site.play(copies.copy("/data/seed", path=str(there), direction="from", mode="0600", owner="1", group="2"))
    assert shown(there) == "-rw------- 1:2"
    copies.site.play(copies.copy("/data/seed", path=str(there), direction="from", archive=True))
    assert (shown(there), int(there.stat().st_mtime)) == ("-rwsr-xr-x 1000:1000", 1_700_000_000)
    link = copies.host / "up"
    copies.site.play(copies.copy("/data/up", path=str(link), direction="from"))
    assert os.readlink(link) == "../../../etc/old"
    followed = copies.site.play(copies.copy("/data/up", path=str(link), direction="from", follow=True)).last
    # It took the place of the link, and did not go through it.
    assert (followed.value("container_path"), link.is_symlink(), link.read_bytes()) == ("/etc/old", False, b"old\n")


#: Of CAP_NET_RAW (capabilities(7)), and an access control list (linux/posix_acl_xattr.h) with rights of the user and the group 7.
CAPABLE = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)
ACL = struct.pack("<I" + 6 * "HHI", 2, 1, 6, _NONE, 2, 4, 7, 4, 4, _NONE, 8, 6, 7, 16, 6, _NONE, 32, 0, _NONE)


def kept(path: pathlib.Path) -> t.Dict[str, bytes]:
    """The extended attributes of a file."""
    return {name: os.getxattr(path, name) for name in os.listxattr(path) if not name.startswith("trusted.")}


def archives(copies: Copies) -> None:
    """Owners, times, extended attributes and hard links, into a container and out of it; what is changed there is put right."""
    top, back = copies.host / "tree", copies.host / "back"
    for name in ("a", "ping", "listed", "sub/z"):
        copies.file(f"tree/{name}", name.encode(), 0o4711)
        os.chown(top / name, 5, 6)
        os.utime(top / name, (1, 1_600_000_000))
    (top / "a").chmod(0o4711)
    os.link(top / "a", top / "b")
    os.link(top / "a", top / "sub/c")
    os.setxattr(top / "ping", "security.capability", CAPABLE)
    os.setxattr(top / "listed", "system.posix_acl_access", ACL)
    for path in (top, top / "sub", top / "a"):
        os.setxattr(path, "user.note", b"from \0 here")
    os.setxattr(top / "a", "trusted.overlay.opaque", b"y")
    into = copies.copy("/out/tree", path=str(top), archive=True)
    assert copies.converge(into).value("files") == 8
    out = copies.copy("/out/tree", path=str(back), direction="from", archive=True)

    def same() -> None:
        assert [copies.site.play(out, check=check).last.changed for check in (True, False, False)] == [True, True, False]
        for path in (top, *top.rglob("*")):
            there = back / path.relative_to(top)
            assert shown(there) == shown(path), path
            expected = {name: value for name, value in kept(path).items() if not name.startswith("trusted.")}
            assert kept(there) == expected, path
            assert path.is_dir() or int(there.stat().st_mtime) == int(path.stat().st_mtime)
        assert [(back / name).stat().st_ino for name in ("b", "sub/c")] == [(back / "a").stat().st_ino] * 2
        assert (back / "a").stat().st_nlink == 3

    same()
    # One of the names is another file; attributes that nobody has asked for.
    (back / "b").unlink()
    (back / "b").write_bytes(b"a")
    os.setxattr(back / "listed", "user.other", b"x")
    os.removexattr(back / "ping", "security.capability")
    same()
    # The first name is written: the others have to follow.
    copies.file("tree/a", b"A", 0o4711)
    os.utime(top / "a", (1, 1_600_000_000))
    assert copies.converge(into).value("files") == 3
    same()
    assert (back / "sub/c").read_bytes() == b"A"
    os.removexattr(top / "sub", "user.note")
    only = copies.converge(into)
    assert only.actions == [f"copy {top} to web:/out/tree (owner, group, mode, time or extended attributes)"]
    assert [
        one["web:/out/tree/sub"].get("attributes") for one in (only.value("diff")["before"], only.value("diff")["after"])
    ] == [
        ["user.note"],
        None,
    ]
    # Without archive, nothing of it.
    plain = copies.copy("/out/plain", path=str(top))
    copies.converge(plain)
    there = copies.back("/out/plain")
    assert kept(there / "ping") == kept(there / "a") == {}
    assert (there / "a").stat().st_ino != (there / "b").stat().st_ino


def in_volumes(copies: Copies, volume: t.Callable[[str], pathlib.Path]) -> None:
    """A volume is the place, before any container has it and after."""
    data = volume("settings")
    copies.site.play(task("containerd_volume", name="settings", owner=8, group=9, mode="0750", data_root=str(data.parents[3])))
    source = copies.file("new", b"new\n")
    copies.file("tree/sub/file", b"file\n")

    def copy(container_path: str, **options: t.Any) -> Task:
        return task("containerd_container_copy", volume="settings", container_path=container_path, **options)

    made = copies.converge(copy("/app.conf", path=str(source), mode="0600"))
    assert made.actions == [f"copy {source} to volume settings:/app.conf"]
    copies.converge(copy("/", path=str(copies.host / "tree"), owner="daemon"))
    assert (shown(data / "app.conf"), shown(data / "sub/file")) == ("-rw------- 8:9", "-rw-r--r-- 1:9")
    assert shown(data) == "drwxr-x--- 1:9"
    copies.make("user", volumes=["settings:/settings"])
    assert copies.back("/settings/app.conf", "user").read_bytes() == b"new\n"
    copies.converge(copy("/app.conf", content="other\n"))
    assert copies.back("/settings/app.conf", "user").read_bytes() == b"other\n"
    # Names are not those that somebody has put there, and a link leads nowhere else.
    (data / "etc").mkdir()
    (data / "etc/passwd").write_text("mallory:x:0:0::/:\n")
    (data / "out").symlink_to("../../../..")
    assert copies.refused(copy("/x", path=str(source), owner="mallory")) == (
        "owner: 'mallory' is not known on the target: give a number"
    )
    copies.converge(copy("/out/x", path=str(source)))
    assert (data / "x").read_bytes() == b"new\n"
    there = copies.host / "out"
    copies.site.play(copy("/sub", path=str(there), direction="from"))
    assert shown(there / "file") == "-rw-r--r-- 0:0"
    absent = task("containerd_container_copy", volume="none", container_path="/x", path=str(source))
    assert copies.refused(absent) == f"volume: there is no volume none in the namespace {copies.site.namespace}: make it first"
    for names in ({}, {"container": "web", "volume": "settings"}):
        both = task("containerd_container_copy", container_path="/x", path=str(source), **names)
        assert copies.refused(both) == "container: give either it or volume"


def mounted_volumes(copies: Copies, volume: t.Callable[[str], pathlib.Path]) -> None:
    """One whose file system is not mounted yet: a look does not mount it, a copy does."""
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}
    roots = {"data_root": str(volume("quick").parents[3]), "state_root": str(copies.host / "state")}
    copies.site.play(task("containerd_volume", name="quick", driver_options=options, **roots))
    place = pathlib.Path(os.readlink(volume("quick")))
    one = task("containerd_container_copy", volume="quick", container_path="/new", path=str(copies.file("new", b"new\n")))
    assert copies.site.play(one, check=True).last.changed
    assert not place.exists()
    copies.converge(one)
    assert (place / "new").read_bytes() == b"new\n"
    copies.site.play(task("containerd_volume", name="quick", state="absent", **roots))
    assert not place.exists()


def refusals(copies: Copies) -> None:
    source, tree = str(copies.file("new", b"new\n")), copies.file("tree/a", b"a")
    for path, options, said in (
        ("/gone/new", {"path": source}, "web:/gone/new: its directory is not there: make it first"),
        ("/etc/old/new", {"path": source}, "web:/etc/old/new: something on its way is no directory"),
        ("/etc", {"path": source}, "web:/etc is a directory, and cannot become a file: give the path of the file"),
        ("/etc/old", {"path": str(tree.parent)}, "web:/etc/old is a file, and cannot become a directory"),
        ("/etc/x", {"path": f"{source}x"}, f"path: {source}x is not there"),
        ("/etc/x", {"path": source, "owner": "nobody"}, "owner: the image has no user 'nobody' in its /etc/passwd"),
        ("/etc/x", {"path": source, "group": "wheel"}, "group: the image has no group 'wheel' in its /etc/group"),
        ("/gone", {"path": source, "direction": "from"}, "container_path: /gone is not there"),
        ("/etc", {"path": source, "direction": "from"}, f"{source} is a file, and cannot become a directory"),
        ("/etc/old", {"path": f"{source}/x", "direction": "from"}, f"looking for {source}/x: Not a directory"),
    ):
        assert copies.refused(copies.copy(path, **t.cast(t.Dict[str, t.Any], options))) == said
    fifo = copies.host / "fifo"
    os.mkfifo(fifo)
    said = f"path: {fifo} is a fifo: only files, directories and links can be copied"
    assert copies.refused(copies.copy("/etc/x", path=str(fifo))) == said
    (tree.parent / "loop").symlink_to("..", target_is_directory=True)
    assert copies.refused(copies.copy("/out/x", path=str(tree.parent))).endswith("contains itself by a link")


def volumes(copies: Copies, volume: t.Callable[[str], pathlib.Path]) -> None:
    """What is on a volume arrives on the volume, with what the image has there. volume: the directory of a named one."""
    source = str(copies.file("new", b"new\n"))
    (copies.host / "shared").mkdir()
    copies.make(
        "user", volumes=["named:/data", "/own", f"{copies.host}/shared:/host", f"{source}:/etc/old", "deep:/srv/not/there"]
    )
    copies.make("reader", volumes=["named:/data:ro"])
    for path in ("/data/new", "/own/new", "/host/new", "/srv/not/there/new"):
        done = copies.converge(copies.copy(path, "user", path=source, follow=True))
        assert done.value("container_path") == path
        assert copies.back(path, "user").read_bytes() == b"new\n"
    assert sorted(path.name for path in volume("named").iterdir()) == ["new", "seed", "up"]
    assert [path.name for path in volume("deep").iterdir()] == ["new"]
    assert (copies.host / "shared/new").read_bytes() == b"new\n"
    # A file that is a volume is written to, and stays the one that it is.
    written = copies.host / "new"
    number = written.stat().st_ino
    copies.converge(copies.copy("/etc/old", "user", path=str(copies.file("other", b"others\n")), owner="0", group="0"))
    assert (written.read_bytes(), written.stat().st_ino) == (b"others\n", number)
    assert copies.refused(copies.copy("/data/x", "reader", path=source)) == "reader:/data/x: it is read-only there"
    assert copies.back("/data/new", "reader").read_bytes() == b"new\n"


def not_there(copies: Copies) -> None:
    """What has no files while the container does not run, and a root file system that is read-only."""
    source = str(copies.file("new", b"new\n"))
    copies.make("quick", tmpfs=["/run/quick"], read_only=True, volumes=["own:/run/quick/own"])
    said = "is on a tmpfs, which has no files while the container does not run: start the container first"
    assert copies.refused(copies.copy("/run/quick/x", "quick", path=source)) == f"/run/quick/x {said}"
    assert copies.refused(copies.copy("/run/quick", "quick", path=str(copies.host / "y"), direction="from")).endswith(said)
    assert "file system of its own (proc)" in copies.refused(copies.copy("/proc/x", "quick", path=source))
    assert copies.refused(copies.copy("/etc/x", "quick", path=source)) == "quick:/etc/x: it is read-only there"
    copies.converge(copies.copy("/run/quick/own/x", "quick", path=source))


def from_the_controller(copies: Copies) -> None:
    """A directory and a content that the controller sends."""
    top = copies.host / "site"
    copies.file("site/large", os.urandom(300_000))
    copies.file("site/sub/small", b"small\n", 0o600)
    into = copies.copy("/out/site", path=str(top), source="controller")
    made = copies.converge(into)
    assert made.actions == [f"copy {top} to web:/out/site (4 files and directories)"]
    back = copies.back("/out/site")
    assert (back / "large").read_bytes() == (top / "large").read_bytes()
    assert (shown(back / "sub/small"), shown(back / "sub")) == ("-rw------- 33:44", "drwxr-xr-x 33:44")
    # As large, with another content.
    copies.file("site/sub/small", b"SMALL\n", 0o600)
    changed = copies.converge(into)
    assert list(changed.value("diff")["after"]) == ["web:/out/site/sub/small"]
    one = copies.converge(copies.copy("/etc/one", path=str(top / "sub/small"), source="controller", mode="preserve"))
    assert (one.value("diff")["before"], one.value("diff")["after"]) == ("", "SMALL\n")
    said = copies.refused(copies.copy("/etc/one", path=f"{top}/none", source="controller"))
    assert said.startswith(f"path: there is no {top}/none on the controller")
    words = "s3cret-words"
    content = copies.converge(copies.copy("/etc/content", content=f"{words}\n"))
    assert content.actions == ["write web:/etc/content"]
    assert words not in str(content.value("invocation")) + content.actions[0]
    assert copies.back("/etc/content").read_text() == f"{words}\n"
    assert shown(copies.back("/etc/content")) == "-rw-r--r-- 33:44"
    # What is there keeps its mode.
    copies.converge(copies.copy("/etc/old", content={"a": [1]}))
    assert (copies.back("/etc/old").read_text(), shown(copies.back("/etc/old"))) == ('{"a": [1]}', "-rw------- 33:44")
    binary = copies.copy("/etc/binary", content="AAEC/w==", content_is_b64=True, mode="0600")
    assert copies.converge(binary).value("diff")["src_binary"] == 1
    assert copies.back("/etc/binary").read_bytes() == b"\0\1\2\xff"
    for options, message in (
        ({"content": "x", "path": "/x"}, "path: give either it or content"),
        ({}, "path: give either it or content"),
        ({"content": "x", "archive": True}, "archive: true keeps what content would set: give one of them"),
        ({"content": "not b64", "content_is_b64": True}, "content: it is not Base64, as content_is_b64=true says"),
        (
            {"content": "x", "direction": "from"},
            "content: it is not possible with direction=from: give path, where the copy goes",
        ),
    ):
        assert copies.refused(copies.copy("/etc/x", **t.cast(t.Dict[str, t.Any], options))) == message
