# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conflists on disk: whose they are, what is refused, what nobody may see half of."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import FailedPrecondition, InvalidArgument, NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.network.conflist import ConfDir, Conflist, bridge_name, network_id

PLAIN = {"cniVersion": "1.0.0", "name": "front", "plugins": [{"type": "bridge"}]}


def test_what_is_written_is_as_nerdctl_has_it(tmp_path: pathlib.Path) -> None:
    there = ConfDir(str(tmp_path / "net.d"))
    with there.locked():
        there.put({"name": "front", "plugins": [{"type": "bridge", "bridge": "br-x"}], "nerdctlLabels": {"a": "b"}})
    path = tmp_path / "net.d" / "nerdctl-front.conflist"
    document = json.loads(path.read_text())
    # by sha256sum
    assert document["nerdctlID"] == network_id("front")
    assert network_id("front").startswith("2d8d693177ac")
    assert bridge_name("front") == "br-2d8d693177ac"
    assert bridge_name("bridge") == "nerdctl0"
    assert document["cniVersion"] == "1.0.0"
    assert document["nerdctlLabels"] == {"a": "b"}
    assert path.stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "net.d" / ".nerdctl.lock").exists()
    found = there.get("front")
    assert (found.name, found.labels, found.path) == ("front", {"a": "b"}, str(path))
    assert found.plugin("bridge") == {"type": "bridge", "bridge": "br-x"}
    assert there.remove("front")
    assert not there.remove("front")
    assert [one.name for one in path.parent.iterdir()] == [".nerdctl.lock"]


def test_a_network_is_rewritten_where_it_is(tmp_path: pathlib.Path) -> None:
    below = tmp_path / "default"
    below.mkdir()
    old = below / "nerdctl-front.conflist"
    old.write_text(json.dumps({**PLAIN, "nerdctlID": "x", "nerdctlLabels": {}}))
    there = ConfDir(str(tmp_path), "default")
    assert there.put({**PLAIN, "plugins": [{"type": "macvlan"}]}).path == str(old)
    assert there.get("front").plugins == [{"type": "macvlan"}]
    assert not (tmp_path / "nerdctl-front.conflist").exists()
    with pytest.raises(NotFound):
        ConfDir(str(tmp_path)).get("front")


def test_what_a_killed_writer_has_left_goes(tmp_path: pathlib.Path) -> None:
    there, left = ConfDir(str(tmp_path)), tmp_path / ".nerdctl-front.conflist.new"
    left.write_text("{")
    there.put(PLAIN)
    assert [one.name for one in tmp_path.iterdir()] == ["nerdctl-front.conflist"]
    left.write_text("{")
    assert there.remove("front")
    assert list(tmp_path.iterdir()) == []


def test_networks_of_others_are_read_and_kept(tmp_path: pathlib.Path) -> None:
    theirs = tmp_path / "10-theirs.conflist"
    theirs.write_text(json.dumps({"cniVersion": "0.4.0", "name": "theirs", "plugins": [{"type": "calico"}, {"type": "portmap"}]}))
    (tmp_path / "20-old.conf").write_text(json.dumps({"cniVersion": "0.3.1", "name": "old", "type": "ptp", "mtu": 1}))
    there = ConfDir(str(tmp_path))
    found = there.read()
    assert sorted(found.networks) == ["old", "theirs"]
    assert found.networks["old"].plugins == [{"type": "ptp", "mtu": 1}]
    assert found.networks["theirs"].id == ""
    before = theirs.read_text()
    with pytest.raises(FailedPrecondition, match=r"theirs belongs to somebody else \(.*10-theirs.conflist\)"):
        there.put({"name": "theirs", "plugins": [{"type": "bridge"}]})
    with pytest.raises(FailedPrecondition, match="somebody else"):
        there.remove("theirs")
    assert theirs.read_text() == before


def test_the_first_of_two_files_has_the_name(tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.conflist").write_text(json.dumps(PLAIN))
    (tmp_path / "b.conflist").write_text(json.dumps({**PLAIN, "plugins": [{"type": "other"}]}))
    found = ConfDir(str(tmp_path)).read()
    assert found.networks["front"].path == str(tmp_path / "a.conflist")
    assert found.problems == [
        f"{tmp_path}/b.conflist is no usable network: the network front is in {tmp_path}/a.conflist already"
    ]


BAD: t.Dict[str, t.Tuple[t.Any, str]] = {
    "a list": ([], "it is not a JSON object"),
    "no name": ({"plugins": [{"type": "bridge"}]}, "it has no name"),
    "a path as its name": ({**PLAIN, "name": "../../etc/x"}, "is not valid"),
    "a name of other characters": ({**PLAIN, "name": "a b"}, "is not valid"),
    "a name that begins with a dot": ({**PLAIN, "name": ".a"}, "is not valid"),
    "a name with escapes": ({**PLAIN, "name": "a\x1b[31m"}, r"'a\\\\x1b\[31m' is not valid"),
    "a long name": ({**PLAIN, "name": "a" * 129}, "is not valid"),
    "no plugins": ({**PLAIN, "plugins": []}, "at least one plugin"),
    "plugins that are an object": ({**PLAIN, "plugins": {}}, "at least one plugin"),
    "a plugin that is text": ({**PLAIN, "plugins": ["bridge"]}, "plugin 1 has no valid type: 'None'"),
    "a type that is a path": (
        {**PLAIN, "plugins": [{"type": "bridge"}, {"type": "../sh"}]},
        "plugin 2 has no valid type: '../sh'",
    ),
    "a type that is a number": ({**PLAIN, "plugins": [{"type": 1}]}, "plugin 1 has no valid type"),
    "a version that is not known": ({**PLAIN, "cniVersion": "9"}, "cniVersion '9' is not known"),
    "a version that is a list": ({**PLAIN, "cniVersion": ["1.0.0"]}, "is not known"),
    "labels that are numbers": ({**PLAIN, "nerdctlLabels": {"a": 1}}, "must map text to text"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_network_is_told_and_hides_no_other(tmp_path: pathlib.Path, name: str) -> None:
    document, words = BAD[name]
    (tmp_path / "1.conflist").write_text(json.dumps(document))
    (tmp_path / "2.conflist").write_text(json.dumps({**PLAIN, "name": "good"}))
    there = ConfDir(str(tmp_path))
    found = there.read()
    assert list(found.networks) == ["good"]
    (problem,) = found.problems
    assert problem.startswith(f"{tmp_path}/1.conflist is no usable network: ")
    with pytest.raises(InvalidArgument, match=words):
        Conflist.of(document)
    with pytest.raises(NotFound, match=r"there is no network 'missing' in .*; .*1.conflist is no usable network"):
        there.get("missing")


def test_files_that_are_none_are_told_too(tmp_path: pathlib.Path) -> None:
    (tmp_path / "1.conflist").write_text("{")
    (tmp_path / "2.conflist").write_text("[" * 100_000)
    (tmp_path / "3.conflist").write_bytes(b'{"name": "\xff"}')
    os.mkfifo(tmp_path / "4.conflist")
    (tmp_path / "5.conflist").mkdir()
    (tmp_path / "6.conflist").write_text(" " * (1024 * 1024 + 1))
    (tmp_path / "7.conflist").symlink_to("nowhere")
    (tmp_path / "readme").write_text("{")
    found = ConfDir(str(tmp_path)).read()
    assert not found.networks
    assert [one.partition(".conflist")[0][-1] for one in found.problems] == list("123456")
    assert ConfDir(str(tmp_path / "absent")).read() == ({}, [])


def test_what_is_not_valid_is_not_written(tmp_path: pathlib.Path) -> None:
    with pytest.raises(InvalidArgument, match="is not valid"):
        ConfDir(str(tmp_path)).put({**PLAIN, "name": "a/b"})
    assert list(tmp_path.iterdir()) == []
