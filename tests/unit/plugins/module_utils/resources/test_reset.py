# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What containerd_reset refuses before it looks at anything, and what it removes of directories."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.argument_specs.containerd_reset import SPEC
from ansible_collections.fleet.containerd.plugins.module_utils.errors import FailedPrecondition, InvalidArgument
from ansible_collections.fleet.containerd.plugins.module_utils.resources.reset import roots
from ansible_collections.fleet.containerd.plugins.module_utils.resources.reset.values import WantedReset

WRONG: t.List[t.Tuple[t.Dict[str, t.Any], str]] = [
    ({"namespaces": ["a b"]}, "namespaces: 'a b' is not the name of a namespace"),
    ({"namespaces": [""]}, "namespaces: '' is not the name of a namespace"),
    ({"engine": "embedded", "namespaces": ["ci"]}, "namespaces: it is about containerd, and engine=embedded"),
    ({"engine": "embedded", "daemon_goes": True}, "daemon_goes: it is about containerd, and engine=embedded"),
    ({"stop_timeout": -1}, "stop_timeout: -1 is negative"),
    ({"data_root": "data"}, "data_root: 'data' is not an absolute path"),
    ({"cni_conf_dir": "net.d"}, "cni_conf_dir: 'net.d' is not an absolute path"),
    ({"paths": ["etc/containerd"]}, "paths: 'etc/containerd' is not an absolute path"),
    *(
        ({"paths": [path]}, f"paths: {path} is a directory of the system")
        for path in ("/", "/var", "/var/lib/", "/usr/local/bin", "/home/me")
    ),
]


def wanted(**options: t.Any) -> WantedReset:
    return WantedReset.of({**{name: one.get("default") for name, one in SPEC["argument_spec"].items()}, **options})


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_wrong_values(options: t.Dict[str, t.Any], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        wanted(**options)
    assert str(caught.value).startswith(message)


def test_no_namespace_is_named_by_itself() -> None:
    assert wanted(namespace="k8s.io").namespaces == ()
    assert wanted(namespaces=["ci", "ci"]).namespaces == ("ci",)


def test_files_that_nobody_here_knows(tmp_path: pathlib.Path) -> None:
    data, state = tmp_path / "data", tmp_path / "state"
    for path in (data / "content", data / ".rm-x", state / "runc", state / "default", state / "ci" / ("a" * 64)):
        path.mkdir(parents=True)
    (data / "metadata.db-journal").touch()
    want = wanted(data_root=str(data), state_root=str(state))
    roots.check(want)
    (data / "photos").mkdir()
    with pytest.raises(FailedPrecondition, match=r"data_root: .* \(photos\)"):
        roots.check(want)
    (data / "photos").rmdir()
    (state / "home" / "me").mkdir(parents=True)
    (state / "no namespace").mkdir()
    with pytest.raises(FailedPrecondition, match=r"state_root: .* \(home, no namespace\)"):
        roots.check(want)


def test_a_link_stays_and_what_is_behind_it_goes(tmp_path: pathlib.Path) -> None:
    (tmp_path / "disk" / "content").mkdir(parents=True)
    (tmp_path / "disk" / "metadata.db").touch()
    root = tmp_path / "data"
    root.symlink_to(tmp_path / "disk")
    assert roots.root_there(str(root), shared=False) == [str(root)]
    roots.remove_root(str(root), shared=False)
    assert root.is_symlink()
    assert list((tmp_path / "disk").iterdir()) == []
    assert roots.root_there(str(root), shared=False) == []


def test_what_a_killed_removal_has_left(tmp_path: pathlib.Path) -> None:
    for name in ("data", ".rm-data-0123abcd", ".rm-data2-0123abcd", ".rm-data-x"):
        (tmp_path / name / "content").mkdir(parents=True)
    found = roots.root_there(str(tmp_path / "data"), shared=False)
    assert found == [str(tmp_path / ".rm-data-0123abcd"), str(tmp_path / "data")]
    for path in found:
        roots.remove_root(path, shared=False)
    assert sorted(one.name for one in tmp_path.iterdir()) == [".rm-data-x", ".rm-data2-0123abcd"]


def test_a_root_below_the_other_one(tmp_path: pathlib.Path) -> None:
    (tmp_path / "run" / "state" / "runc").mkdir(parents=True)
    (tmp_path / "content").mkdir()
    roots.check(wanted(data_root=str(tmp_path), state_root=str(tmp_path / "run" / "state")))
    with pytest.raises(FailedPrecondition, match=r"data_root: .* \(run\)"):
        roots.check(wanted(data_root=str(tmp_path), state_root=str(tmp_path / "running")))
