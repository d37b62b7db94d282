# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What containers find as in Docker: volumes of the image, working directory, host name, the files of /etc; on hosts without them too."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, busybox_image, directory, symlink, tar_of
from ansible_collections.fleet.containerd.tests.support.leftovers import mounts_below
from ansible_collections.fleet.containerd.tests.support.modules import Modules, running_modules
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.site import Site

#: In a mount name space whose /etc lacks what a minimal system has not.
WITHOUT_FILES = (
    "unshare",
    "--mount",
    "sh",
    "-c",
    'mkdir -p "$0/upper" "$0/work" && mount -t overlay -o lowerdir=/etc,upperdir="$0/upper",workdir="$0/work" overlay /etc '
    '&& rm -f /etc/hosts /etc/resolv.conf && exec "$@"',
)
#: All versions of containerd do with a spec what the newest does.
TWO = ("embedded", "containerd-2.1")
_LOOK = """
pwd; hostname; cat /data/seed; cat /link/more; ls /data /file
echo kept >>/data/kept; touch /new/one/x /covered/x /x 2>/dev/null || echo read-only; cat /data/kept
"""


@pytest.fixture
def image(registry: Registry, layout: Layout) -> str:
    files = [
        directory("app"),
        directory("data", 0o750, uid=1000, gid=2000),
        Entry("data/seed", b"from the image\n", mode=0o640, uid=1000, gid=1000),
        directory("real"),
        Entry("real/more", b"behind a link\n"),
        symlink("link", "/real"),
        Entry("file", b"stays a file"),
    ]
    volumes: t.Dict[str, t.Any] = {
        path: {} for path in ("/data", "/new//one/", "/file", "/covered", "/", "/proc/x", "link", "/a/../data")
    }
    made = busybox_image(layout, [tar_of(files)], WorkingDir="app", Volumes=volumes)
    registry.push(layout.path, made, "docker-like", "1")
    return f"{registry.address}/docker-like:1"


def output(result: t.Mapping[str, t.Any]) -> t.List[str]:
    return t.cast(t.List[str], result["container"]["Output"].splitlines())


@pytest.mark.parametrize("backend", TWO, indirect=True)
def test_what_an_image_declares(site: Site, modules: Modules, image: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "covered").mkdir()
    options = {
        **site.defaults, "image": image, "command": ["sh", "-c", _LOOK], "detach": False, "read_only": True,
        "volumes": [f"{tmp_path}/covered:/covered"],
    }  # fmt: skip
    made = modules.run("containerd_container", **options, name="one")
    again = modules.run("containerd_container", **options, name="one")
    restarted = modules.run("containerd_container", **options, name="one", restart=True)
    other = modules.run("containerd_container", **options, name="two")
    container = made["container"]
    plain = ["", "/app", container["Id"][:12], "from the image", "behind a link", "/file", "/data:", "seed", "read-only", "kept"]
    assert sorted(output(made)) == sorted(plain)
    assert (tmp_path / "covered/x").exists()
    assert not again["changed"]
    assert output(restarted).count("kept") == 1 + 3
    assert output(other).count("kept") == 1
    volumes = {one["Destination"]: one for one in container["Mounts"] if one["Type"] == "volume"}
    assert sorted(volumes) == ["/data", "/link", "/new/one"]
    assert [one["Destination"] for one in container["Mounts"] if one["Type"] == "bind"] == ["/covered"]
    data = pathlib.Path(volumes["/data"]["Source"])
    found = [(path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) for path in (data, data / "seed")]
    assert found == [(1000, 2000, 0o750), (1000, 1000, 0o640)]
    for name in ("one", "two"):
        modules.run("containerd_container", **site.defaults, name=name, state="absent", keep_volumes=False)
    assert not data.parent.parent.exists()


@pytest.mark.parametrize("backend", TWO, indirect=True)
def test_networks_and_their_files(site: Site, modules: Modules, busybox: str, tmp_path: pathlib.Path) -> None:
    script = ["sh", "-c", "hostname; cat /etc/hosts; test -e /etc/resolv.conf || echo no resolver"]
    options = {**site.defaults, "image": busybox, "command": script, "detach": False}
    alone = modules.run("containerd_container", **options, name="alone", hostname="box")
    ours = ["127.0.0.1\tlocalhost box", "::1\tlocalhost ip6-localhost ip6-loopback"]
    assert output(alone) == ["box", *ours, "no resolver"]
    host = modules.run("containerd_container", **options, name="host", network_mode="host")
    hosts = pathlib.Path("/etc/hosts").read_text().splitlines()
    assert output(host)[: len(hosts) + 1] == [os.uname().nodename, *hosts]
    with running_modules(tmp_path / "other", (*WITHOUT_FILES, str(tmp_path / "minimal"))) as minimal:
        bare = minimal.run("containerd_container", **options, name="bare", network_mode="host", hostname="box")
    assert output(bare) == ["box", *ours, "no resolver"]


def test_a_kernel_before_5_3(modules: Modules, roots: t.Dict[str, str], busybox: str) -> None:
    options = {
        **roots,
        "name": "old",
        "image": busybox,
        "command": ["id", "-un"],
        "user": "user",
        "working_dir": "/tmp",
        "detach": False,
    }
    calls = "openat2,pidfd_open,pidfd_send_signal"
    result, hit = modules.with_fault(f"{calls}:error=ENOSYS", "containerd_container", **options)
    assert "ENOSYS" in hit
    assert result
    assert (result.get("msg"), result.get("status"), result["container"]["Output"]) == (None, 0, "user\n")


@pytest.mark.parametrize("umask", [0, 0o777])
def test_no_umask_opens_or_closes_a_file(roots: t.Dict[str, str], busybox: str, tmp_path: pathlib.Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        with running_modules(tmp_path / "result") as modules:
            run_and_look(modules, roots, busybox)
    finally:
        os.umask(old)


def run_and_look(modules: Modules, roots: t.Dict[str, str], busybox: str) -> None:
    script = "ls / >/dev/null && umask && sleep 1000"
    modules.run(
        "containerd_container", **roots, name="job", image=busybox, command=["sh", "-c", "umask"], detach=False, user="user"
    )
    modules.run(
        "containerd_container", **roots, name="service", image=busybox, command=["sh", "-c", script], user="user", tty=True
    )
    found = modules.run("containerd_container_info", **roots, name="service")
    mounted = [pathlib.Path(point) for point in mounts_below(roots["state_root"])]
    assert len(mounted) == 2
    log = pathlib.Path(json.dumps(found) and found["containers"][0]["LogPath"])
    assert log.exists()
    for root in (roots["data_root"], roots["state_root"]):
        for base, directories, files in os.walk(root):
            here = pathlib.Path(base)
            if here in mounted or here.name in ("fs", "work"):
                directories.clear()
                continue
            for path in [here, *(here / name for name in files)]:
                mode = path.lstat().st_mode
                if not stat.S_ISLNK(mode):
                    assert not mode & 0o022, (path, oct(mode))
                    assert mode & 0o400, (path, oct(mode))
