# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of the runtime room: signals, sizes, volumes, users, the spec, and what a runtime's messages mean."""

from __future__ import annotations

import json
import os
import pathlib
import threading
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs import syscalls
from ansible_collections.fleet.containerd.plugins.module_utils.oci.signals import parse_signal, signal_name
from ansible_collections.fleet.containerd.plugins.module_utils.oci.sizes import parse_size, size_text
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.rootfs import check_rootfs, check_working_dir
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.runc import RuntimeProgram, failure, version_warnings
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.base import base
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.capabilities import DEFAULT_CAPABILITIES
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.cgroups import (
    HostFacts,
    cgroups_path,
    made_by_systemd,
)
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.limits import Limit
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.mounts import bind_files, bind_volumes
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.network import share_host_network
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.process import add_env, env_of, run_as
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.users import User, resolve_groups, resolve_user
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.volumes import Volume, parse_volume


@pytest.mark.parametrize(
    ("text", "number"),
    [("TERM", 15), ("SIGTERM", 15), ("15", 15), (15, 15), ("sigkill", 9), ("RTMIN+3", 37), ("SIGRTMIN", 34), ("RTMAX-1", 63)],
)
def test_signal(text: t.Any, number: int) -> None:
    assert parse_signal(text) == number
    assert parse_signal(signal_name(number)) == number


@pytest.mark.parametrize("text", ["", "NOPE", "0", "65", "-1", "RTMIN+31", "RTMIN-1", "SIGRTMAX+1", "1.5"])
def test_bad_signal(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^stop_signal: "):
        parse_signal(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("512", 512), ("64k", 65536), ("10m", 10485760), ("1.5g", 1610612736), ("2GiB", 2**31), (7, 7), ("1 kb", 1024)],
)
def test_size(text: t.Any, size: int) -> None:
    assert parse_size(text, "x") == size


@pytest.mark.parametrize("text", ["", "k", "-1", "1x", "1.2.3m"])
def test_bad_size(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^max-size: "):
        parse_size(text, "max-size")


def test_volume() -> None:
    volume = parse_volume("/a//b/:/c/./d/:ro,rshared")
    assert (volume.source, volume.target, volume.options) == ("/a/b", "/c/d", ("ro", "rshared"))
    assert parse_volume("/a:/b:rw") == parse_volume("/a/:/b")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "/",
        "-a:/b",
        "a b:/c",
        "../a:/b",
        "a/b:/c",
        f"{'a' * 201}:/b",
        "/a:/b:nocopy",
        "/a:",
        ":/b",
        "/a:/b:bad",
        "/a:/b:ro,rw",
        "/a:/b:shared,private",
        "/a:b",
        "/a:/",
        "./a:/b",
        "/a/../b:/c",
        "/a:/b:ro:x",
        None,
    ],
)
def test_bad_volume(text: t.Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^volumes: "):
        parse_volume(text)


def test_volumes_with_names_and_without() -> None:
    named, own = parse_volume("my.data-1:/c//d:nocopy,ro"), parse_volume("/c/d/")
    assert (named.source, named.target, named.options) == ("my.data-1", "/c/d", ("nocopy", "ro"))
    assert (named.named, named.anonymous, named.of_host) == (True, False, False)
    assert (own.source, own.target, own.named, own.anonymous, own.of_host) == ("", "/c/d", False, True, False)
    assert [str(one) for one in (named, own)] == ["my.data-1:/c/d:nocopy,ro", "/c/d"]
    assert [Volume.of_json(one.to_json()) for one in (named, own)] == [named, own]


@pytest.fixture(params=["", "without openat2"])
def root(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> t.Iterator[int]:
    """A root file system, also as on Linux before 5.6."""
    if request.param:
        monkeypatch.setattr(syscalls, "_SYS_OPENAT2", 9999)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\nbroken\nbig:x:99999999999:1::/:\n"
    )
    (tmp_path / "etc/group").write_text("root:x:0:\nweb:x:34:\nextra:x:50:web,other\nmore:x:60:web\n")
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("", User(0, 0, (0,), "/root")),
        ("web", User(33, 34, (34, 50, 60), "/srv")),
        ("33", User(33, 34, (34, 50, 60), "/srv")),
        ("web:extra", User(33, 50, (50,), "/srv")),
        ("1234:5", User(1234, 5, (5,), "")),
        ("1234", User(1234, 0, (0,), "")),
    ],
)
def test_user(root: int, text: str, user: User) -> None:
    assert resolve_user(root, text) == user


@pytest.mark.parametrize("text", ["nobody", "web:nogroup", "2147483648", "-1", "0:2147483648", "big"])
def test_bad_user(root: int, text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^user: "):
        resolve_user(root, text)


def test_passwd_that_leads_out_of_the_image_or_blocks_is_not_read(tmp_path: pathlib.Path) -> None:
    """What is no file is not even opened: a device may act then, and a fifo's writer would be told."""
    (tmp_path / "secret").write_text("web:x:0:0::/:\n")
    image = tmp_path / "image"
    (image / "etc").mkdir(parents=True)
    (image / "etc/passwd").symlink_to(tmp_path / "secret")
    os.mkfifo(image / "etc/group")
    fd = os.open(image, os.O_RDONLY | os.O_DIRECTORY)
    writer = threading.Thread(target=lambda: os.close(os.open(image / "etc/group", os.O_WRONLY)))
    writer.start()
    try:
        with pytest.raises(InvalidArgument, match="the image has no user 'web'"):
            resolve_user(fd, "web")
        with pytest.raises(InvalidArgument, match="the image has no group 'web'"):
            resolve_groups(fd, ["web"])
        writer.join(0.1)
        assert writer.is_alive()
    finally:
        os.close(os.open(image / "etc/group", os.O_RDONLY))
        writer.join()
        os.close(fd)


@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
def test_a_rootfs_that_could_write_to_the_host_is_refused(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / name).symlink_to("/tmp")
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(FailedPrecondition, match=f"the image's /{name} is not a directory"):
            check_rootfs(fd)
        os.unlink(name, dir_fd=fd)
        check_rootfs(fd)
        os.mkdir(name, dir_fd=fd)
        check_rootfs(fd)
    finally:
        os.close(fd)


def test_working_dir(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "out").symlink_to("/proc/self/fd")
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        check_working_dir(fd, "/")
        check_working_dir(fd, "/not/there/yet")
        check_working_dir(fd, "/out")
        with pytest.raises(FailedPrecondition, match="working_dir: /file is not a directory"):
            check_working_dir(fd, "/file")
    finally:
        os.close(fd)


def spec_of(host: HostFacts) -> t.Dict[str, t.Any]:
    return base("c" * 64, "default", host)


V1, V2, V2_SYSTEMD = HostFacts(1, False), HostFacts(2, False), HostFacts(2, True)


def namespaces(spec: t.Mapping[str, t.Any]) -> t.List[str]:
    return sorted(one["type"] for one in spec["linux"]["namespaces"])


def test_spec_defaults() -> None:
    spec = spec_of(V1)
    process = spec["process"]
    assert process["env"] == ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    assert process["capabilities"]["bounding"] == list(DEFAULT_CAPABILITIES)
    assert len(DEFAULT_CAPABILITIES) == 14
    assert "inheritable" not in process["capabilities"]
    assert "ambient" not in process["capabilities"]
    assert {"/proc/kcore", "/sys/firmware"} <= set(spec["linux"]["maskedPaths"])
    assert "/proc/sys" in spec["linux"]["readonlyPaths"]
    assert spec["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert spec["linux"]["resources"]["devices"] == [{"allow": False, "access": "rwm"}]
    json.dumps(spec)


def test_spec_follows_the_control_groups_of_the_host() -> None:
    assert namespaces(spec_of(V1)) == ["ipc", "mount", "network", "pid", "uts"]
    assert namespaces(spec_of(V2)) == ["cgroup", "ipc", "mount", "network", "pid", "uts"]
    assert cgroups_path("default", "id", V1) == "/default/id"
    assert cgroups_path("default", "id", V2_SYSTEMD) == "system.slice:fleet-default:id"


@pytest.mark.parametrize(("host", "told"), [(V1, False), (V2, False), (V2_SYSTEMD, True)])
def test_the_runtime_is_told_to_ask_systemd_for_control_groups(host: HostFacts, told: bool) -> None:
    """With every verb: old releases forget it."""
    runtime = RuntimeProgram("sh", "/root-of-it", made_by_systemd(spec_of(host)))
    assert ("--systemd-cgroup" in runtime.command) is told


def test_limits_are_written_as_the_specification_wants_them() -> None:
    host = HostFacts(limits=(Limit("NOFILE", 1024, 524288), Limit("CORE", 0, -1)), oom_score_adj=5)
    process = spec_of(host)["process"]
    assert process["rlimits"] == [
        {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 524288},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": 2**64 - 1},
    ]
    assert process["oomScoreAdj"] == 5


def test_spec_with_the_host_network() -> None:
    spec = spec_of(V1)
    share_host_network(spec)
    bind_files(spec, {"/etc/resolv.conf": "/etc/resolv.conf", "/etc/hosts": "/of/ours"})
    assert "network" not in namespaces(spec)
    mounts = {one["destination"]: one for one in spec["mounts"]}
    assert mounts["/sys"]["type"] == "bind"
    assert mounts["/etc/resolv.conf"]["options"] == ["rbind", "rprivate", "ro"]
    assert (mounts["/etc/hosts"]["source"], mounts["/etc/hosts"]["options"]) == ("/of/ours", ["rbind", "rprivate", "rw"])


def test_spec_of_user_environment_and_volumes() -> None:
    spec = spec_of(V1)
    run_as(spec, User(5, 6, (7,), "/home"))
    add_env(spec, {"A": "b=c", "PATH": "/bin"})
    bind_volumes(spec, [Volume("/a", "/x/y"), Volume("/b", "/x", ("ro", "z"))])
    assert spec["process"]["env"] == ["PATH=/bin", "HOME=/home", "A=b=c"]
    assert env_of(spec, "A") == "b=c"
    assert spec["process"]["capabilities"]["effective"] == []
    assert spec["process"]["user"]["additionalGids"] == [7]
    assert [one["destination"] for one in spec["mounts"][-2:]] == ["/x", "/x/y"]
    assert spec["mounts"][-2]["options"] == ["rbind", "ro", "rprivate"]


@pytest.mark.parametrize(
    ("message", "kind", "words"),
    [
        (
            'runc create failed: unable to start container process: exec: "nope": executable file not found in $PATH',
            InvalidArgument,
            "the command nope is not in the image's PATH",
        ),
        (
            'runc create failed: unable to start container process: exec: "/nope": stat /nope: no such file or directory',
            InvalidArgument,
            "the command /nope is not in the image",
        ),
        (
            'runc create failed: unable to start container process: exec: "/etc/passwd": permission denied',
            InvalidArgument,
            "may not be executed",
        ),
        ("exec /bin/x: exec format error", InvalidArgument, "another architecture"),
        ("container with given ID already exists", AlreadyExists, "of that id"),
        ("container does not exist", NotFound, "does not run"),
        ("a: b: c: d: e", FailedPrecondition, "c: d: e"),
        (
            'level=error msg="unable to set memory limit to 20971520 (current usage: 42348544, peak usage: 43712512)"',
            FailedPrecondition,
            "memory: the container uses more than that now",
        ),
        ("writing file `memory.limit_in_bytes`: Device or resource busy", FailedPrecondition, "memory: the container uses more"),
    ],
)
def test_what_a_runtime_says(message: str, kind: t.Type[Exception], words: str) -> None:
    error = failure("create", message)
    assert error.__class__ is kind
    assert words in str(error)


def test_sizes_as_people_write_them() -> None:
    texts = {0: "0", 1023: "1023", 1024: "1k", 1536: "1536", 3 << 19: "1536k", 64 << 20: "64m", 5 << 30: "5g", 1 << 50: "1p"}
    assert {size: size_text(size) for size in texts} == texts
    assert [parse_size(text, "x") for text in texts.values()] == list(texts)


def test_old_runc_is_warned_of() -> None:
    assert "CVE-2025-31133" in version_warnings("runc version 1.1.5+ds1")[0]
    assert version_warnings("runc version 1.3.3") == []
    assert version_warnings("runc version 1.2.8") == []
    assert version_warnings("runc version 1.4.1") == []
    assert version_warnings("crun version 1.8") == []
