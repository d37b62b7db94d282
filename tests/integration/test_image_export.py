# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_export through ansible-playbook, on both engines, with other tools as judges."""

from __future__ import annotations

import pathlib
import subprocess
import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES, Daemon, later
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.site import DaemonSite, EmbeddedSite, Site
from ansible_collections.fleet.containerd.tests.support.stories.image_export import every_format, export, platforms, pull, sha256


def skopeo(place: str) -> str:
    """The digest of what skopeo finds there."""
    done = subprocess.run(["skopeo", "inspect", "--format", "{{.Digest}}", place], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_formats(site: Site, busybox: str, tmp_path: pathlib.Path) -> None:
    digest = every_format(site, busybox, tmp_path)
    assert skopeo(f"oci-archive:{tmp_path}/oci.tar:1") == skopeo(f"oci:{tmp_path}/dir:1") == digest
    skopeo(f"docker-archive:{tmp_path}/docker.tar:{busybox}")
    subprocess.run(["umoci", "unpack", "--image", f"{tmp_path}/dir:1", tmp_path / "bundle"], check=True, capture_output=True)
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
            done = daemon.ctr("run", "--rm", busybox, "one", *later("it runs"), namespace=namespace)
            assert done.stdout == "it runs\n"
            daemon.ctr("images", "rm", "--sync", busybox, namespace=namespace)


def test_platforms(embedded_site: EmbeddedSite, two_platforms: t.Tuple[str, t.Dict[str, str]], tmp_path: pathlib.Path) -> None:
    digest = platforms(embedded_site, two_platforms[0], tmp_path)
    whole, single, copied = tmp_path / "whole.tar", tmp_path / "single.tar", tmp_path / "copied"
    subprocess.run(["skopeo", "copy", "--all", f"oci-archive:{whole}", f"oci:{copied}:x"], check=True, capture_output=True)
    assert skopeo(f"oci:{copied}:x") == skopeo(f"oci-archive:{whole}") == digest
    one = ["skopeo", "--override-arch", "arm64", "copy", f"oci-archive:{single}", f"oci:{copied}:y"]
    subprocess.run(one, check=True, capture_output=True)


def test_examples(embedded_site: EmbeddedSite, busybox: str, hand_made: str, tmp_path: pathlib.Path) -> None:
    embedded_site.play(
        pull(busybox),
        pull(hand_made),
        task("containerd_image_tag", name=busybox, repository=["nginx:1.27"]),
        task("containerd_image_tag", name=hand_made, repository=["registry.example.com/team/app:stable"]),
    )
    embedded_site.converge(*examples_of("containerd_image_export", {"/srv/images": str(tmp_path)}))
