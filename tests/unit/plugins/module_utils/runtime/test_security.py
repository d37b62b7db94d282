# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Capabilities, seccomp profiles, devices, CDI, mounts, groups and files for specifications; also from files that mean ill."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import stat
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError, InvalidArgument
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs import inside, syscalls
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.write_inside import write_inside
from ansible_collections.fleet.containerd.plugins.module_utils.libexec import secret_files
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.options.inside import (
    Text,
    dump_texts,
    load_texts,
    parse_files,
    parse_secrets,
)
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.options.process import parse_env_files
from ansible_collections.fleet.containerd.plugins.module_utils.runtime.executables import is_static
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.base import base
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.capabilities import (
    DEFAULT_CAPABILITIES,
    granted,
    parse_capability,
    possible,
)
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.cdi import Registry, apply
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.cgroups import HostFacts
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.devices import (
    Device,
    add_device,
    parse_device,
    parse_device_rule,
)
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.mount_points import arrange, parse_mount, parse_tmpfs
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.seccomp import default_profile
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.seccomp_profile import canonical, profile
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.users import resolve_groups

#: Podman's profile, which has the same origin and the same format as Docker's.
PODMAN = pathlib.Path("/usr/share/containers/seccomp.json")
#: What it allows beside, as it is meant for containers in user namespaces; or what is no system call of any kernel today.
MORE = set(
    "clone3 fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_tree pivot_root setns umount umount2 unshare get_mempolicy "
    "mbind set_mempolicy keyctl pidfd_getfd reboot syslog readdir sigaction signal sigpending sigsuspend syscall timerfd".split()
)


def spec() -> t.Dict[str, t.Any]:
    return base("c" * 64, "test", HostFacts())


@pytest.mark.parametrize(
    ("add", "drop", "privileged", "expected"),
    [
        ([], [], False, set(DEFAULT_CAPABILITIES)),
        (["SYS_TIME"], ["CHOWN"], False, {*DEFAULT_CAPABILITIES, "CAP_SYS_TIME"} - {"CAP_CHOWN"}),
        (["CHOWN"], ["CHOWN"], False, set(DEFAULT_CAPABILITIES)),
        (["KILL"], ["ALL"], False, {"CAP_KILL"}),
        ([], ["ALL"], False, set()),
        (["ALL"], ["KILL"], False, set(possible()) - {"CAP_KILL"}),
        (["ALL"], ["ALL"], False, set(possible())),
        ([], ["ALL"], True, set(possible())),
    ],
)
def test_capabilities(add: t.List[str], drop: t.List[str], privileged: bool, expected: t.Set[str]) -> None:
    assert set(granted(add, drop, privileged)) == expected


def test_names_of_capabilities() -> None:
    assert {parse_capability(text, "x") for text in ("net_admin", "CAP_NET_ADMIN", "cap_Net_Admin")} == {"NET_ADMIN"}
    assert parse_capability("all", "x") == "ALL"


def allowed(found: t.Mapping[str, t.Any]) -> t.Set[str]:
    return {name for rule in found["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "s390x", "ppc64le", "riscv64"])
def test_the_default_profile_allows_what_others_do(machine: str) -> None:
    """But what Podman's allows for containers in user namespaces."""
    theirs = allowed(profile(json.loads(PODMAN.read_text()), DEFAULT_CAPABILITIES, machine))
    assert theirs - allowed(default_profile(DEFAULT_CAPABILITIES, machine)) <= MORE
    for never in ("keyctl", "add_key", "io_uring_setup", "userfaultfd", "kexec_load", "open_by_handle_at", "bpf", "pivot_root"):
        assert never not in allowed(default_profile(DEFAULT_CAPABILITIES, machine))


def test_conditions_of_a_profile() -> None:
    rules = [
        {"names": ["a"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_BPF", "CAP_CHOWN"]}},
        {"names": ["b"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_BPF", "CAP_CHOWN"]}},
        {"names": ["c"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64", "x32"]}},
        {"names": ["d"], "action": "SCMP_ACT_ALLOW", "excludes": {"arches": ["amd64"]}},
        {"names": ["e"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "2.6"}, "excludes": {"minKernel": "999.0"}},
        {"name": "f", "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ", "more": 1}]},
    ]
    document = {"defaultAction": "SCMP_ACT_KILL", "syscalls": rules}
    assert allowed(profile(document, ("CAP_BPF",), "x86_64")) == {"c", "e", "f"}
    assert allowed(profile(document, ("CAP_BPF", "CAP_CHOWN"), "x86_64")) == {"a", "c", "e", "f"}
    assert allowed(profile(document, (), "aarch64")) == {"b", "c", "d", "e", "f"}
    assert profile(document, (), "aarch64")["syscalls"][-1]["args"] == [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]
    mapped = {**document, "archMap": [{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}]}
    assert profile(mapped, (), "aarch64")["architectures"] == ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    assert profile(mapped, (), "x86_64")["architectures"] == []


def test_a_profile_is_its_content() -> None:
    one, two = ('{"defaultAction": "SCMP_ACT_LOG", "flags": []}', '{"flags":[],\n"defaultAction":"SCMP_ACT_LOG"}')
    assert canonical(one, "x") == canonical(two, "x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"defaultAction": 5}',
        '{"defaultAction": "allow"}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [5]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [5], "action": "SCMP_ACT_ALLOW"}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "x"}}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [[]]}',
    ],
)
def test_what_is_no_profile(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^security_opts: it is not a seccomp profile"):
        canonical(text, "security_opts: it")


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("/dev/a", ("/dev/a", "/dev/a", "rwm")),
        ("/dev/a:/dev//b/", ("/dev/a", "/dev/b", "rwm")),
        ("/dev/a:mr", ("/dev/a", "/dev/a", "rm")),
        ("/dev/a:/dev/b:w", ("/dev/a", "/dev/b", "w")),
        ("vendor.com/class=a:0", ("vendor.com/class=a:0", "", "")),
    ],
)
def test_device(text: str, device: t.Tuple[str, str, str]) -> None:
    assert parse_device(text, "devices") == device


@pytest.mark.parametrize(
    "text", ["", ":", "/dev/a:", "/dev/a:/b:x", "/dev/a:/b:r:w", "/", "/dev/a:b", "/dev/a\x00", "a/b", None, 5]
)
def test_bad_device(text: t.Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^devices: "):
        parse_device(text, "devices")


def test_device_rules() -> None:
    assert str(parse_device_rule("c 42:* mw", "x")) == "c 42:* wm"
    assert str(parse_device_rule("a *:* rwm", "x")) == "a *:* rwm"


def test_a_directory_with_devices(tmp_path: pathlib.Path) -> None:
    """What is no device, and what links lead to, is left out; a directory with nothing else is an error."""
    (tmp_path / "deep").mkdir()
    os.mknod(tmp_path / "deep/null", stat.S_IFCHR | 0o640, os.makedev(1, 3))
    os.chmod(tmp_path / "deep/null", 0o640)
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev")
    found = spec()
    add_device(found, Device(str(tmp_path), "/dev/all", "r"), "devices")
    (node,) = found["linux"]["devices"]
    assert node == {"path": "/dev/all/deep/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 0, "gid": 0}
    assert found["linux"]["resources"]["devices"][1:] == [{"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"}]
    (tmp_path / "deep/null").unlink()
    with pytest.raises(InvalidArgument, match=r"^devices: .* is no device, nor a directory with"):
        add_device(found, Device(str(tmp_path), "/dev/all", "r"), "devices")


EDITS: t.List[t.Dict[str, t.Any]] = [
    {"env": [5]},
    {"env": ["no value"]},
    {"mounts": [{"hostPath": "/a"}]},
    {"hooks": [{"hookName": "whenever", "path": "/bin/true"}]},
    {"deviceNodes": [{}]},
    {"deviceNodes": [{"path": "/dev/x", "hostPath": "/etc/passwd"}]},
    {"deviceNodes": [{"path": "/dev/x", "hostPath": "/no/such"}]},
    {"additionalGids": ["x"]},
    {"env": 5},
]


@pytest.mark.parametrize("edits", EDITS, ids=map(str, EDITS))
def test_descriptions_of_devices_that_are_wrong(edits: t.Dict[str, t.Any]) -> None:
    with pytest.raises(InvalidArgument, match=r"^cdi_devices: "):
        apply(spec(), "v.com/c=x", [edits], "cdi_devices")


def test_descriptions_of_devices(tmp_path: pathlib.Path) -> None:
    """The last directory wins; broken files are told of when something is not found."""
    first, second = tmp_path / "etc", tmp_path / "run"
    for place, env in ((first, "first"), (second, "second")):
        place.mkdir()
        devices = [{"name": "x", "containerEdits": {"env": [f"A={env}"]}}]
        (place / "one.json").write_text(json.dumps({"kind": "v.com/c", "devices": devices, "containerEdits": {"env": ["B=all"]}}))
    (first / "broken.json").write_text("{")
    (first / "deep.json").write_text("[" * 100_000)
    (first / "list.yaml").write_text("- a\n")
    (first / "bad.yaml").write_text("a: b: c\n")
    (first / "two.yaml").write_text(
        "kind: v.com/y\ndevices:\n- name: z\n  containerEdits:\n    hooks:\n    - hookName: createContainer\n      path: /bin/true\n"
    )
    registry, found = Registry([str(first), str(second)]), spec()
    apply(found, "v.com/c=x", registry.edits("v.com/c=x", "devices"), "devices")
    assert found["process"]["env"][-2:] == ["B=all", "A=second"]
    apply(found, "v.com/y=z", registry.edits("v.com/y=z", "devices"), "devices")
    assert found["hooks"] == {"createContainer": [{"path": "/bin/true"}]}
    with pytest.raises(InvalidArgument) as failure:
        registry.edits("v.com/c=none", "gpus")
    assert str(failure.value).startswith(
        f"gpus: no file in {first} or {second} on the target describes the device v.com/c=none ("
    )
    assert all(f"{name} cannot be read" in str(failure.value) for name in ("broken.json", "deep.json", "list.yaml", "bad.yaml"))


def test_mounts_of_devices() -> None:
    found = spec()
    mounts: t.List[t.Dict[str, t.Any]] = [
        {"hostPath": "/a", "containerPath": "/b"},
        {"hostPath": "/a", "containerPath": "/c", "options": ["ro"]},
        {"hostPath": "t", "containerPath": "/t", "type": "tmpfs", "options": ["size=1k"]},
    ]
    apply(found, "v.com/c=x", [{"mounts": mounts}], "gpus")
    assert [one["options"] for one in found["mounts"][-3:]] == [
        ["ro", "nosuid", "nodev", "rbind", "rprivate"],
        ["rbind", "ro"],
        ["size=1k"],
    ]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("/t", "nodev noexec nosuid"),
        ("/t:exec,size=1.5k,mode=1777", "exec mode=1777 nodev nosuid size=1536"),
        ("/t:size=50%,ro,suid", "nodev noexec ro size=50% suid"),
        ("/t:rw,uid=5,huge=always", "huge=always nodev noexec nosuid uid=5"),
    ],
)
def test_tmpfs(text: str, options: str) -> None:
    assert parse_tmpfs(text, "tmpfs").options == tuple(options.split())


@pytest.mark.parametrize(
    "text", ["", "t", "/", "/t:loud", "/t:mode=8", "/t:uid=-1", "/t:size=", "/t:size=x", "/t:ro=1", "/t\x00", 5]
)
def test_bad_tmpfs(text: t.Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^tmpfs"):
        parse_tmpfs(text, "tmpfs")


def test_mounts_are_in_order() -> None:
    """None hides another, and what a task mounts takes the place of what is always there."""
    found = spec()
    paths = ["/a/b/c", "/a", "/dev/shm", "/a/b"]
    found["mounts"] += [{"destination": path, "type": "bind", "source": "/x", "options": ["rshared"]} for path in paths]
    arrange(found)
    order = [one["destination"] for one in found["mounts"]]
    assert [path for path in order if path.startswith("/a")] == ["/a", "/a/b", "/a/b/c"]
    assert order.index("/dev") < order.index("/dev/shm")
    assert [one["source"] for one in found["mounts"] if one["destination"] == "/dev/shm"] == ["/x"]
    assert found["linux"]["rootfsPropagation"] == "shared"


def test_a_read_only_mount_is_so_all_the_way_down() -> None:
    value = {"type": "bind", "source": "/s", "target": "/t", "read_only": True}
    assert parse_mount(value, "mounts").options == ("rbind", "ro", "rro", "rprivate")
    assert parse_mount({**value, "read_only_non_recursive": True}, "mounts").options == ("rbind", "ro", "rprivate")
    assert parse_mount({**value, "non_recursive": True, "propagation": "slave"}, "mounts").options == ("bind", "ro", "slave")


@pytest.fixture
def root(tmp_path: pathlib.Path) -> t.Iterator[int]:
    (tmp_path / "root/etc").mkdir(parents=True)
    fd = os.open(tmp_path / "root", os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_groups(root: int, tmp_path: pathlib.Path) -> None:
    (tmp_path / "root/etc/group").write_text("a:x:5:\nbad:x:-3:\na:x:6:\nhuge:x:99999999999:\n")
    assert resolve_groups(root, ["a", "7"]) == [5, 7]
    for name in ("b", "bad", "huge", "-1", "2147483648"):
        with pytest.raises(InvalidArgument, match=r"^groups: "):
            resolve_groups(root, [name])


def test_a_list_of_groups_that_never_ends(root: int, tmp_path: pathlib.Path) -> None:
    with open(tmp_path / "root/etc/group", "wb") as stream:
        stream.write(b"first:x:5:\n")
        stream.truncate(8 << 30)
    assert resolve_groups(root, ["first"]) == [5]
    (tmp_path / "root/etc/group").unlink()
    os.mkfifo(tmp_path / "root/etc/group")
    with pytest.raises(InvalidArgument, match="the image has no group 'first'"):
        resolve_groups(root, ["first"])


def test_a_file_goes_where_the_image_has_links(root: int, tmp_path: pathlib.Path) -> None:
    """Never out of it. A link in the place of the file is replaced."""
    there, out = tmp_path / "root", tmp_path / "out"
    out.mkdir()
    (out / "file").write_text("the host's")
    (there / "up").symlink_to("../../../../out")
    (there / "abs").symlink_to(out)
    (there / "etc/conf").symlink_to(out / "file")
    (there / "loop").symlink_to("loop")
    (there / "plain").write_text("x")
    write_inside(root, "/etc/conf", b"ours", 0o600, (5, 6))
    write_inside(root, "/etc/new/deep/conf", b"ours", 0o4755, (0, 0))
    assert (there / "etc/conf").read_text() == "ours"
    assert not (there / "etc/conf").is_symlink()
    assert ((there / "etc/conf").stat().st_uid, (there / "etc/conf").stat().st_mode & 0o7777) == (5, 0o600)
    assert ((there / "etc/new/deep/conf").stat().st_mode & 0o7777, (there / "etc/new").stat().st_mode & 0o7777) == (0o4755, 0o755)
    for path in ("/up/file", f"/abs{out}/file", "/loop/file", "/plain/file", "/etc"):
        with pytest.raises(EngineError):
            write_inside(root, path, b"bad", 0o600, (0, 0))
    assert {path.name: path.read_text() for path in out.iterdir()} == {"file": "the host's"}
    assert not list(there.rglob(".*"))


@pytest.mark.parametrize("times", [3, 1000])
def test_somebody_mounts_while_a_path_is_followed(
    root: int, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The kernel asks to try again where a .. was followed."""
    (tmp_path / "root/etc/file").write_text("x")
    (tmp_path / "root/link").symlink_to("etc/../etc/file")
    real, left = syscalls.openat2, [times]

    def busy(*arguments: t.Any) -> int:
        left[0] -= 1
        if left[0] >= 0:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return real(*arguments)

    monkeypatch.setattr(syscalls, "openat2", busy)
    with open(inside.open_inside(root, "/link", os.O_RDONLY)) as stream:
        assert stream.read() == "x"


def test_secrets_are_compared_by_salted_digests() -> None:
    """So what is stored tells nobody whether two containers have the same, and a change is seen."""
    one, two = (parse_secrets([{"name": "key", "content": "hush"}], "secrets") for _number in range(2))
    stored = load_texts(json.loads(json.dumps(dump_texts(one))))
    assert one == two == stored
    assert dump_texts(one) != dump_texts(two)
    assert "hush" not in json.dumps(dump_texts(one))
    for other in ({"content": "other"}, {"content": "hush", "mode": "0400"}, {"content": "hush", "owner": "1"}):
        assert parse_secrets([{"name": "key", **other}], "secrets") != stored
    assert Text(0o444, "0:0", b"hush") != 5
    files = parse_files([{"path": "/a//b", "content": "x"}], "files")
    assert dump_texts(files) == dump_texts(parse_files([{"path": "/a/b", "content": "x", "mode": 0o444}], "files"))


def test_a_secret_never_goes_to_a_disk(tmp_path: pathlib.Path) -> None:
    """Where the image leads the hook to somewhere else than the tmpfs, it fails and writes nothing."""
    bundle, kept = tmp_path / "bundle", tmp_path / "secrets"
    (bundle / "rootfs/elsewhere").mkdir(parents=True)
    (bundle / "rootfs/run").mkdir()
    (bundle / "rootfs/run/secrets").symlink_to("/elsewhere")
    kept.mkdir()
    (kept / "0").write_text("hush")
    (kept / "index.json").write_text(
        json.dumps({"place": "/run/secrets", "index": [{"name": "key", "file": "0", "mode": 0o444, "uid": 0, "gid": 0}]})
    )
    with pytest.raises(EngineError, match="there is no tmpfs on /run/secrets in the container"):
        secret_files.put(os.getpid(), str(bundle), str(kept))
    assert list((bundle / "rootfs/elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"A=\xff\n", "is not in UTF-8"),
        (b"A=1\nB\n", "line 2 of"),
        (b"=1\n", "line 1 of"),
        (b"A=\0", "line 1 of"),
        (b"A" * 2**21, "larger"),
    ],
)
def test_files_of_variables_that_are_none(tmp_path: pathlib.Path, data: bytes, words: str) -> None:
    (tmp_path / "env").write_bytes(data)
    with pytest.raises(InvalidArgument, match=words) as failure:
        parse_env_files([str(tmp_path / "env")], "env_file")
    assert str(failure.value).startswith("env_file: ")
    assert len(str(failure.value)) < 400


def test_programs_that_need_no_libraries(tmp_path: pathlib.Path) -> None:
    assert is_static(shutil.which("busybox") or "")
    assert is_static(shutil.which("catatonit") or "")
    assert not is_static("/proc/self/exe")
    for name, data in {
        "empty": b"",
        "short": b"\x7fELF",
        "script": b"#!/bin/sh\n" * 10,
        "bad": b"\x7fELF\x02\x01" + b"\xff" * 100,
    }.items():
        (tmp_path / name).write_bytes(data)
        assert not is_static(str(tmp_path / name))
    assert not is_static(str(tmp_path / "missing"))
