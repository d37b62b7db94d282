# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_export through ansible-playbook, on both engines, with other tools as judges."""

from __future__ import annotations

import hashlib
import pathlib
import subprocess
import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES, Daemon
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.site import DaemonSite, EmbeddedSite, Site


def export(name: t.Union[str, t.Sequence[str]], path: pathlib.Path, ignore_errors: bool = False, **options: t.Any) -> Task:
    made = task("containerd_image_export", path=str(path), names=name, **options)
    return {**made, "name": f"export to {path.name}", "ignore_errors": ignore_errors}


def pull(name: str, **options: t.Any) -> Task:
    return task("containerd_image", name=name, plain_http=True, **options)


def sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def skopeo(place: str) -> str:
    """The digest of what skopeo finds there."""
    done = subprocess.run(["skopeo", "inspect", "--format", "{{.Digest}}", place], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_formats(site: Site, busybox: str, tmp_path: pathlib.Path) -> None:
    pulled = site.play(pull(busybox)).last
    docker, oci, packed, directory = (tmp_path / name for name in ("docker.tar", "oci.tar", "oci.tar.gz", "dir"))
    results = site.converge(
        export(busybox, docker),
        export([busybox], oci, format="oci"),
        export(busybox, packed, format="oci", compression="gzip"),
        export(busybox, directory, format="oci-dir"),
        diff=True,
    )
    digest = pulled.value("digest")
    assert [one.actions for one in results] == [
        [f"export image {busybox} to {path}"] for path in (docker, oci, packed, directory)
    ]
    assert results[0].value("diff")["before"] == {"exists": False, "up_to_date": False}
    assert results[0].value("diff")["after"] == {"exists": True, "up_to_date": True, "images": {busybox: digest}}
    assert results[2].value("archive") == {
        "file": str(packed),
        "format": "oci",
        "compression": "gzip",
        "images": {busybox: digest},
        "bytes": packed.stat().st_size,
    }
    assert results[0].value("images")[0]["Id"] == pulled.value("config_digest")
    assert skopeo(f"oci-archive:{oci}:1") == skopeo(f"oci:{directory}:1") == digest
    skopeo(f"docker-archive:{docker}:{busybox}")
    subprocess.run(["umoci", "unpack", "--image", f"{directory}:1", tmp_path / "bundle"], check=True, capture_output=True)
    assert (tmp_path / "bundle" / "rootfs" / "bin" / "busybox").stat().st_size > 100_000


def test_every_engine_writes_the_same_bytes(
    embedded_site: EmbeddedSite, daemons: t.Callable[[str], Daemon], busybox: str, hand_made: str, tmp_path: pathlib.Path
) -> None:
    sites: t.List[Site] = [embedded_site]
    sites += [DaemonSite(tmp_path / version, embedded_site.namespace, daemons(version)) for version in RELEASES]
    digests = set()
    try:
        for number, one in enumerate(sites):
            path = tmp_path / f"{number}.tar.gz"
            one.play(pull(hand_made), pull(busybox), export([busybox, hand_made], path, compression="gzip"))
            digests.add(sha256(path))
    finally:
        for one in sites[1:]:
            one.close()
    assert len(digests) == 1


def test_ctr_reads_what_we_write(
    daemons: t.Callable[[str], Daemon], embedded_site: EmbeddedSite, busybox: str, tmp_path: pathlib.Path
) -> None:
    digest = embedded_site.play(pull(busybox)).last.value("digest")
    embedded_site.play(export(busybox, tmp_path / "a.tar"), export(busybox, tmp_path / "o.tar", format="oci"))
    for version in RELEASES:
        daemon = daemons(version)
        for name in ("a.tar", "o.tar"):
            namespace = f"ctr-{embedded_site.namespace}-{name[0]}"
            daemon.ctr("images", "import", str(tmp_path / name), namespace=namespace)
            listed = daemon.ctr("images", "ls", namespace=namespace).stdout
            assert busybox in listed
            assert digest in listed
            done = daemon.ctr("run", "--rm", busybox, "one", "/bin/echo", "it runs", namespace=namespace)
            assert done.stdout == "it runs\n"
            daemon.ctr("images", "rm", "--sync", busybox, namespace=namespace)


def test_platforms(embedded_site: EmbeddedSite, two_platforms: t.Tuple[str, t.Dict[str, str]], tmp_path: pathlib.Path) -> None:
    name, _digests = two_platforms
    embedded_site.play(pull(name))
    paths = [tmp_path / f"{number}.tar" for number in range(4)]
    default, every, some, arm = embedded_site.play(
        export(name, paths[0]),
        export(name, paths[1], platform="all", ignore_errors=True),
        export(name, paths[2], platform="all", allow_missing_platforms=True),
        export(name, paths[3], platform="linux/arm64", ignore_errors=True),
    ).results
    assert every.msg == arm.msg == f"the image {name} is incomplete here, it is missing linux/arm64: pull it for that platform"
    assert default.changed
    assert some.changed
    assert paths[0].read_bytes() == paths[2].read_bytes()
    assert not paths[1].exists()
    embedded_site.play(pull(name, platform="linux/arm64"))
    embedded_site.converge(
        export(name, paths[1], platform="all", format="oci"),
        export(name, paths[3], platform="linux/arm64", format="oci"),
    )
    copied = tmp_path / "copied"
    subprocess.run(["skopeo", "copy", "--all", f"oci-archive:{paths[1]}", f"oci:{copied}:x"], check=True, capture_output=True)
    assert skopeo(f"oci:{copied}:x") == skopeo(f"oci-archive:{paths[1]}") == default.value("archive")["images"][name]
    one = ["skopeo", "--override-arch", "arm64", "copy", f"oci-archive:{paths[3]}", f"oci:{copied}:y"]
    subprocess.run(one, check=True, capture_output=True)


def test_examples(embedded_site: EmbeddedSite, busybox: str, hand_made: str, tmp_path: pathlib.Path) -> None:
    embedded_site.play(
        pull(busybox),
        pull(hand_made),
        task("containerd_image_tag", name=busybox, repository=["nginx:1.27"]),
        task("containerd_image_tag", name=hand_made, repository=["registry.example.com/team/app:stable"]),
    )
    embedded_site.converge(*examples_of("containerd_image_export", {"/srv/images": str(tmp_path)}))
