# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in each version, and migration: containerd 2.1 itself says what a migrated file has to mean."""

from __future__ import annotations

import pathlib
import re
import subprocess
import typing as t

import pytest
import toml

from ansible_collections.fleet.containerd.plugins.module_utils.config_toml.apply import Setting, put_in, spelled, take_out
from ansible_collections.fleet.containerd.plugins.module_utils.config_toml.edit import Document
from ansible_collections.fleet.containerd.plugins.module_utils.config_toml.migrate import migrate, version_of
from ansible_collections.fleet.containerd.plugins.module_utils.config_toml.names import spell
from ansible_collections.fleet.containerd.plugins.module_utils.errors import InvalidArgument
from ansible_collections.fleet.containerd.tests.support.configs import COMMENTS, HANDWRITTEN, Path, Tree, at, default, dump, flat
from ansible_collections.fleet.containerd.tests.support.containerds import binaries

CRI, IMAGES, RUNTIME = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"

#: One key in versions 1, 2, 3, 4.
SPELLINGS: t.List[t.Tuple[Path, Path, Path, Path]] = [
    (
        ("plugins", "cri", "sandbox_image"),
        ("plugins", CRI, "sandbox_image"),
        ("plugins", IMAGES, "pinned_images", "sandbox"),
        ("plugins", IMAGES, "pinned_images", "sandbox"),
    ),
    (
        ("plugins", "cri", "registry", "config_path"),
        ("plugins", CRI, "registry", "config_path"),
        *[("plugins", IMAGES, "registry", "config_path")] * 2,
    ),
    (
        ("plugins", "cri", "containerd", "snapshotter"),
        ("plugins", CRI, "containerd", "snapshotter"),
        *[("plugins", IMAGES, "snapshotter")] * 2,
    ),
    (
        ("plugins", "cri", "containerd", "runtimes", "runc", "options", "SystemdCgroup"),
        ("plugins", CRI, "containerd", "runtimes", "runc", "options", "SystemdCgroup"),
        *[("plugins", RUNTIME, "containerd", "runtimes", "runc", "options", "SystemdCgroup")] * 2,
    ),
    (
        ("plugins", "cri", "containerd", "runtimes", "runc", "sandbox_mode"),
        ("plugins", CRI, "containerd", "runtimes", "runc", "sandbox_mode"),
        *[("plugins", RUNTIME, "containerd", "runtimes", "runc", "sandboxer")] * 2,
    ),
    (
        ("plugins", "cri", "cni", "bin_dir"),
        ("plugins", CRI, "cni", "bin_dir"),
        *[("plugins", RUNTIME, "cni", "bin_dirs")] * 2,
    ),
    (
        ("plugins", "cri", "stream_server_port"),
        *[("plugins", CRI, "stream_server_port")] * 3,
    ),
    (
        ("plugins", "restart", "interval"),
        ("plugins", "io.containerd.internal.v1.restart", "interval"),
        *[("plugins", "io.containerd.monitor.container.v1.restart", "interval")] * 2,
    ),
    (
        ("plugins", "cgroups", "no_prometheus"),
        ("plugins", "io.containerd.monitor.v1.cgroups", "no_prometheus"),
        *[("plugins", "io.containerd.monitor.task.v1.cgroups", "no_prometheus")] * 2,
    ),
    (
        ("plugins", "overlayfs", "root_path"),
        *[("plugins", "io.containerd.snapshotter.v1.overlayfs", "root_path")] * 3,
    ),
    (*[("grpc", "address")] * 3, ("plugins", "io.containerd.server.v1.grpc", "address")),
    (*[("grpc", "tcp_tls_ca")] * 3, ("plugins", "io.containerd.server.v1.grpc-tcp", "tls_ca")),
    (*[("metrics", "address")] * 3, ("plugins", "io.containerd.server.v1.metrics", "address")),
    ([("debug", "level")] * 4),  # type: ignore[list-item]  # four times the same
    ([("root",)] * 4),  # type: ignore[list-item]
]


@pytest.mark.parametrize("spellings", SPELLINGS, ids=lambda one: ".".join(one[1]))
def test_a_key_is_found_by_any_of_its_names(spellings: t.Sequence[Path]) -> None:
    for name in spellings:
        for version, expected in enumerate(spellings, 1):
            assert spell(name, version) == expected


@pytest.mark.parametrize("version", [2, 3])
def test_settings_in_the_names_of_the_other_version(version: int) -> None:
    column = {2: 1, 3: 2}[version]
    for spellings in SPELLINGS:
        for name in spellings:
            value: t.Any = ["/x"] if name[-1] == "bin_dirs" else "/x"
            document = Document(f"version = {version}\n", "the file")
            put_in(document, spelled([Setting("settings", name, value)], version, "the file"), append=False)
            expected = ["/x"] if spellings[column][-1] == "bin_dirs" else "/x"
            assert flat(toml.loads(document.finish())) == {("version",): version, spellings[column]: expected}
            for other in spellings:
                again = Document(document.finish(), "the file")
                take_out(again, [], [other], append=False)
                assert again.finish() == f"version = {version}\n"


def test_a_whole_plugin_is_found_by_its_old_name() -> None:
    document = Document(default("2.1"), "the default")
    take_out(document, [], [("plugins", CRI)], append=False)
    plugins = toml.loads(document.finish())["plugins"]
    assert not {CRI, IMAGES, RUNTIME} & set(plugins)
    assert len(plugins) == len(toml.loads(default("2.1"))["plugins"]) - 3
    document = Document(default("1.7"), "the default")
    take_out(document, [], [("plugins", IMAGES)], append=False)
    cri = toml.loads(document.finish())["plugins"][CRI]
    assert "sandbox_image" not in cri
    assert "registry" not in cri
    assert set(cri["containerd"]) & {"snapshotter", "default_runtime_name"} == {"default_runtime_name"}
    assert cri["cni"] == toml.loads(default("1.7"))["plugins"][CRI]["cni"]


NO_COUNTERPART = [
    (("plugins", IMAGES, "use_local_image_pull"), True),
    (("plugins", IMAGES, "pinned_images", "other"), "x"),
    (("plugins", RUNTIME, "cni", "bin_dirs"), ["/a", "/b"]),
    (("plugins", "io.containerd.shim.v1.manager", "env"), ["A=1"]),
]


@pytest.mark.parametrize(("path", "value"), NO_COUNTERPART)
def test_what_version_2_cannot_say(path: Path, value: t.Any) -> None:
    with pytest.raises(
        InvalidArgument, match=r"^settings: plugins\..* cannot be written in the file, whose version is 2: set migrate"
    ):
        spelled([Setting("settings", path, value)], 2, "the file")


def test_one_key_given_twice() -> None:
    names = [("plugins", CRI, "sandbox_image"), ("plugins", IMAGES, "pinned_images", "sandbox")]
    same = [Setting("settings", name, "a") for name in names]
    assert len(spelled(same, 3, "the file")) == 1
    with pytest.raises(InvalidArgument, match="are the same key here, and have different values"):
        spelled([same[0], same[1]._replace(value="b")], 3, "the file")


def test_names_in_the_lists_of_plugins() -> None:
    given = ["io.containerd.internal.v1.restart", IMAGES, RUNTIME, "aufs", CRI]
    for version, expected in {
        1: ["restart", "cri", "aufs"],
        2: ["io.containerd.internal.v1.restart", CRI, "io.containerd.snapshotter.v1.aufs"],
        3: ["io.containerd.monitor.container.v1.restart", IMAGES, RUNTIME, "io.containerd.snapshotter.v1.aufs", CRI],
    }.items():
        (found,) = spelled([Setting("settings", ("disabled_plugins",), given)], version, "the file")
        assert found.value == expected


# Migration

MIXED = f"""version = 2
disabled_plugins = ["io.containerd.internal.v1.restart"]
[plugins."{CRI}"]
  # of the image
  sandbox_image = "old/pause:1"
  stream_server_port = "10010" # open in the firewall
  containerd = {{ snapshotter = "native", runtimes = {{ runc = {{ runtime_type = "io.containerd.runc.v2" }} }} }}
  registry.config_path = "/old"
  enable_selinux = true
[plugins."{IMAGES}"]
  max_concurrent_downloads = 9
  [plugins."{IMAGES}".pinned_images]
    sandbox = "new/pause:1"
[plugins."{RUNTIME}"]
  enable_selinux = false
[plugins."io.containerd.runtime.v2.task"]
  platforms = ["linux/amd64"]
  sched_core = true
"""
TO_MIGRATE = {"debian": HANDWRITTEN["debian"], "comments": COMMENTS, "odd": HANDWRITTEN["odd"], "mixed": MIXED}


def migrated(text: str, target: int) -> str:
    document = Document(text, "the file")
    migrate(document, version_of(document.tree), target)
    return document.finish()


def of_containerd(path: pathlib.Path) -> Tree:
    command = [str(binaries("2.1") / "containerd"), "--config", str(path), "config", "migrate"]
    # starts: (what tools/containerds.py fetched)
    return toml.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("name", [*TO_MIGRATE, "containerd-1.6", "containerd-1.7"])
def test_containerd_migrates_to_the_same(name: str, tmp_path: pathlib.Path) -> None:
    text = TO_MIGRATE[name] if name in TO_MIGRATE else default(name.rpartition("-")[2])
    text = text.replace("io.containerd.transfer.v1.local", "io.containerd.service.v1.tests")  # 2.1 takes no unpack_config
    old, new = tmp_path / "old.toml", tmp_path / "new.toml"
    old.write_text(text)
    new.write_text(migrated(text, 3))
    expected = of_containerd(old)
    found, _stderr = dump("2.1", str(new))
    assert found == expected
    assert toml.loads(new.read_text())["version"] == 3
    assert not re.findall(r'plugins\."io\.containerd\.(?:internal\.v1\.restart|monitor\.v1\.cgroups)', new.read_text())
    remains = toml.loads(new.read_text())["plugins"].get(CRI, {})
    assert all(key.startswith(("stream_", "disable_tcp", "enable_tls", "x509")) for key in remains)
    assert migrated(new.read_text(), 3) == new.read_text()


@pytest.mark.parametrize("name", TO_MIGRATE)
def test_no_comment_and_no_unknown_key_is_lost(name: str) -> None:
    text = TO_MIGRATE[name]
    after = migrated(text, 3)
    comments = sorted(re.findall(r"#[^\n\"]*$", text, re.MULTILINE))
    assert sorted(re.findall(r"#[^\n\"]*$", after, re.MULTILINE)) == comments
    extra = text.replace(
        '[plugins."io.containerd.grpc.v1.cri".cni]', 'novel.key = 1\n[plugins."io.containerd.grpc.v1.cri".cni]', 1
    )
    assert "novel.key = 1" in migrated(extra, 3) or 'cri".cni]' not in text


def test_comments_go_with_their_keys() -> None:
    after = migrated(COMMENTS, 3)
    assert '      # mirrored\n      sandbox = "registry.lan/pause:3.9"\n' in after
    assert '    # stargz does not work here\n    snapshotter = "overlayfs"\n' in after
    assert '    sandboxer = "podsandbox" # 1.7 only\n' in after
    assert '# GC\n[plugins."io.containerd.gc.v1.scheduler"]\n' in after
    assert after.startswith(COMMENTS.partition('[plugins."')[0].replace("version = 2", "version = 3"))


def test_from_version_1(tmp_path: pathlib.Path) -> None:
    """containerd 2.1 loses what it cannot name in one step, so version 2 of ours is what it migrates."""
    text = """oom_score = -5
disabled_plugins = ["btrfs", "tasks-service"] # old names
[plugins.cri]
  sandbox_image = "x/pause:1"
  [plugins.cri.registry]
    config_path = "/etc/certs"
[plugins.restart]
  interval = "5s"
[plugins.linux]
  shim_debug = true
"""
    second = migrated(text, 2)
    assert (
        second
        == f"""oom_score = -5
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.service.v1.tasks-service"] # old names
version = 2
[plugins."{CRI}"]
  sandbox_image = "x/pause:1"
  [plugins."{CRI}".registry]
    config_path = "/etc/certs"
[plugins."io.containerd.internal.v1.restart"]
  interval = "5s"
[plugins."io.containerd.runtime.v1.linux"]
  shim_debug = true
"""
    )
    (tmp_path / "second.toml").write_text(second)
    (tmp_path / "third.toml").write_text(migrated(text, 3))
    found, _stderr = dump("2.1", str(tmp_path / "third.toml"))
    assert found == of_containerd(tmp_path / "second.toml")
    assert at(found, ("plugins", IMAGES, "pinned_images", "sandbox")) == "x/pause:1"
    assert at(found, ("plugins", "io.containerd.monitor.container.v1.restart", "interval")) == "5s"
    for version in ("1.6", "1.7"):
        (tmp_path / "first.toml").write_text(text)
        old, new = dump(version, str(tmp_path / "first.toml"))[0], dump(version, str(tmp_path / "second.toml"))[0]
        assert at(new, ("plugins", CRI, "sandbox_image")) == "x/pause:1"
        assert old["oom_score"] == new["oom_score"] == -5


def test_lists_of_plugins_are_left_as_containerd_leaves_them() -> None:
    document = Document(MIXED, "the file")
    (warning,) = migrate(document, 2, 3)
    assert "disabled_plugins of the file names io.containerd.internal.v1.restart" in warning
    assert toml.loads(document.finish())["disabled_plugins"] == ["io.containerd.internal.v1.restart"]


def test_a_key_that_containerd_forgets_is_moved_and_said() -> None:
    document = Document(f'version = 2\n[plugins."{CRI}".containerd]\n  snapshotter = "native"\n', "the file")
    (warning,) = migrate(document, 2, 3)
    assert warning.startswith(f'containerd 2 did not read plugins."{CRI}".containerd.snapshotter of the file in version 2')
    assert document.finish() == f'version = 3\n[plugins."{IMAGES}"]\n  snapshotter = "native"\n'


def test_to_version_4() -> None:
    """As serviceMigrate of containerd 2.3 reads; no release with it can be run here."""
    text = """version = 3
[grpc] # ours
  address = "/run/a.sock"
  gid = 5
  tcp_address = "127.0.0.1:1"
  tcp_tls_ca = ""
  max_recv_message_size = 7
[debug]
  level = "info"
  address = ""
[metrics]
  address = "127.0.0.1:2"
  grpc_histogram = true
"""
    server = "io.containerd.server.v1."
    assert toml.loads(migrated(text, 4)) == {
        "version": 4,
        "debug": {"level": "info"},
        "plugins": {
            f"{server}grpc": {"address": "/run/a.sock", "uid": 0, "gid": 5, "max_recv_message_size": 7},
            f"{server}grpc-tcp": {"address": "127.0.0.1:1", "max_recv_message_size": 7},
            f"{server}ttrpc": {"address": "/run/a.sock.ttrpc", "uid": 0, "gid": 5},
            f"{server}metrics": {"address": "127.0.0.1:2"},
            "io.containerd.metrics.v1.grpc-prometheus": {"grpc_histogram": True},
        },
    }
    assert f'[plugins."{server}grpc"] # ours\n' in migrated(text, 4)
    debug = "version = 3\n[debug]\n  level = 'info'\n  address = '/d'\n  gid = 6\n"
    assert toml.loads(migrated(debug, 4)) == {
        "version": 4,
        "debug": {"level": "info"},
        "plugins": {f"{server}debug": {"address": "/d", "gid": 6}},
    }
    assert toml.loads(migrated("version = 3\n[grpc]\n  uid = 0\n[ttrpc]\n  address = '/t'\n", 4)) == {
        "version": 4,
        "plugins": {f"{server}ttrpc": {"address": "/t", "uid": 0, "gid": 0}},
    }
