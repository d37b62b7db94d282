# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of members in each other's hosts files."""

from __future__ import annotations

import os
import pathlib

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import InvalidArgument
from ansible_collections.fleet.containerd.plugins.module_utils.network.names import Member, Names

BASE = "127.0.0.1\tlocalhost\n"


def member(tmp_path: pathlib.Path, name: str, *addresses: str) -> Member:
    hosts = tmp_path / f"hosts-{name}"
    if not hosts.exists():
        hosts.write_text(BASE)
    return Member(f"{name}-eth0", (name, f"{name}-alias", name), addresses, str(hosts))


def test_members_know_each_other_as_they_come_and_go(tmp_path: pathlib.Path) -> None:
    names = Names("front", str(tmp_path / "state"))
    web, db = member(tmp_path, "web", "10.1.0.2", "fd00::2"), member(tmp_path, "db", "10.1.0.3")
    inode = os.stat(web.hosts).st_ino
    assert names.join(web) == []
    assert names.join(db) == []
    lines = "10.1.0.3\tdb db-alias\n10.1.0.2\tweb web-alias\nfd00::2\tweb web-alias\n"
    expected = f"{BASE}# begin fleet.containerd front\n{lines}# end fleet.containerd front\n"
    assert pathlib.Path(web.hosts).read_text() == pathlib.Path(db.hosts).read_text() == expected
    assert os.stat(web.hosts).st_ino == inode, "it is mounted into the container"
    # Another address after a restart.
    names.join(db._replace(addresses=("10.1.0.9",)))
    assert "10.1.0.9\tdb db-alias\n" in pathlib.Path(web.hosts).read_text()
    assert "10.1.0.3" not in pathlib.Path(web.hosts).read_text()
    assert names.leave(db.key) == []
    assert names.leave(db.key) == []
    assert pathlib.Path(db.hosts).read_text() == BASE
    assert "db" not in pathlib.Path(web.hosts).read_text()
    names.leave(web.key)
    assert pathlib.Path(web.hosts).read_text() == BASE
    assert names.members() == []


def test_a_silent_member_knows_itself_and_others_do_not_know_it(tmp_path: pathlib.Path) -> None:
    names = Names("front", str(tmp_path / "state"))
    old, new, asks = (member(tmp_path, name, f"10.1.0.{number}") for number, name in enumerate(("old", "new", "asks"), 2))
    for one in (old, asks, new._replace(silent=True)):
        names.join(one)

    def known(one: Member) -> set[str]:
        return {word for line in pathlib.Path(one.hosts).read_text().splitlines()[2:-1] for word in line.split()[1:2]}

    assert [known(one) for one in (old, asks, new)] == [{"old", "asks"}, {"old", "asks"}, {"old", "asks", "new"}]
    names.join(new)
    names.join(old._replace(silent=True))
    assert [known(one) for one in (old, asks, new)] == [{"old", "asks", "new"}, {"asks", "new"}, {"asks", "new"}]
    names.leave(old.key)
    assert known(new) == {"asks", "new"}


def test_networks_do_not_mix(tmp_path: pathlib.Path) -> None:
    one, other = Names("one", str(tmp_path / "state")), Names("other", str(tmp_path / "state"), shared=False)
    web, db = member(tmp_path, "web", "10.1.0.2"), member(tmp_path, "db", "10.1.0.3")
    for each in (web, db):
        one.join(each)
        other.join(each._replace(addresses=(each.addresses[0].replace("10.1", "10.2"),)))
    text = pathlib.Path(web.hosts).read_text()
    assert text.count("10.1.0.3\tdb") == 1
    assert "10.2.0.3" not in text, "in a network that is not shared each knows itself only"
    assert "10.2.0.2\tweb" in text
    one.leave(web.key)
    assert "10.2.0.2\tweb" in pathlib.Path(web.hosts).read_text()


def test_what_a_container_wrote_itself_stays(tmp_path: pathlib.Path) -> None:
    names = Names("front", str(tmp_path / "state"))
    web = member(tmp_path, "web", "10.1.0.2")
    pathlib.Path(web.hosts).write_bytes(b"1.2.3.4 mine\xff")
    names.join(web)
    with pathlib.Path(web.hosts).open("ab") as stream:
        stream.write(b"5.6.7.8 also\n")
    names.join(web._replace(addresses=("10.1.0.7",)))
    assert pathlib.Path(web.hosts).read_bytes().startswith(b"1.2.3.4 mine\xff\n# begin")
    assert pathlib.Path(web.hosts).read_bytes().endswith(b"# end fleet.containerd front\n5.6.7.8 also\n")
    names.leave(web.key)
    assert pathlib.Path(web.hosts).read_bytes() == b"1.2.3.4 mine\xff\n5.6.7.8 also\n"


def test_a_writer_that_is_killed_leaves_no_end_of_what_was_there(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names("front", str(tmp_path / "state"))
    web, db = member(tmp_path, "web", "10.1.0.2"), member(tmp_path, "db", "10.1.0.3")._replace(hosts="")
    names.join(db)
    names.join(web)

    def kill(*_arguments: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(os, "ftruncate", kill)
        names.leave(db.key)
    names.join(web)
    lines = [line for line in pathlib.Path(web.hosts).read_text().splitlines() if line]
    own = "10.1.0.2\tweb web-alias"
    assert lines == [*BASE.splitlines(), "# begin fleet.containerd front", own, "# end fleet.containerd front"]


def test_a_hosts_file_that_cannot_be_written_keeps_nobody_from_joining(tmp_path: pathlib.Path) -> None:
    names = Names("front", str(tmp_path / "state"))
    web, huge, link, pipe, gone = (
        member(tmp_path, name, f"10.1.0.{n}") for n, name in enumerate(("web", "huge", "link", "pipe", "gone"))
    )
    pathlib.Path(huge.hosts).write_bytes(b"x" * (1024 * 1024 + 1))
    (tmp_path / "secret").write_text("secret")
    for one in (link, pipe, gone):
        os.unlink(one.hosts)
    os.symlink(tmp_path / "secret", link.hosts)
    os.mkfifo(pipe.hosts)
    for one in (web, huge, link, pipe, gone):
        problems = names.join(one)
    assert len(problems) == 3
    assert "gone" in pathlib.Path(web.hosts).read_text()
    assert (tmp_path / "secret").read_text() == "secret"


@pytest.mark.parametrize("name", ["", "a b", "a\n1.2.3.4 b", "-a", "a" * 300, "ä", "a#"])
def test_names_that_are_none(tmp_path: pathlib.Path, name: str) -> None:
    names = Names("front", str(tmp_path / "state"))
    with pytest.raises(InvalidArgument, match="aliases: .* is no name of a host"):
        names.join(Member("a", (name,), ("10.1.0.2",)))
    with pytest.raises(InvalidArgument, match="cannot be the name of a member"):
        names.join(Member("../a", ("a",), ()))


def test_a_file_of_a_member_that_is_broken_is_none(tmp_path: pathlib.Path) -> None:
    names = Names("front", str(tmp_path / "state"))
    web = member(tmp_path, "web", "10.1.0.2")
    names.join(web)
    for number, text in enumerate(("", "{", "[]", "5")):
        (tmp_path / "state" / "front" / f"{number}.json").write_text(text)
    assert names.members() == [web._replace(names=("web", "web-alias", "web"))]
