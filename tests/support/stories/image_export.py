# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_export: archives in each format, and of which platforms."""

from __future__ import annotations

import hashlib
import pathlib
import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.stories.sites import AnySite


def export(name: t.Union[str, t.Sequence[str]], path: pathlib.Path, ignore_errors: bool = False, **options: t.Any) -> Task:
    made = task("containerd_image_export", path=str(path), names=name, **options)
    return {**made, "name": f"export to {path.name}", "ignore_errors": ignore_errors}


def pull(name: str, **options: t.Any) -> Task:
    return task("containerd_image", name=name, plain_http=True, **options)


def sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def every_format(site: AnySite, name: str, base: pathlib.Path) -> str:
    """Writes docker.tar, oci.tar, oci.tar.gz and dir below base. The image's digest."""
    pulled = site.play(pull(name)).last
    docker, oci, packed, directory = (base / one for one in ("docker.tar", "oci.tar", "oci.tar.gz", "dir"))
    results = site.converge(
        export(name, docker),
        export([name], oci, format="oci"),
        export(name, packed, format="oci", compression="gzip"),
        export(name, directory, format="oci-dir"),
        diff=True,
    )
    digest = str(pulled.value("digest"))
    assert [one.actions for one in results] == [[f"export image {name} to {path}"] for path in (docker, oci, packed, directory)]
    assert results[0].value("diff")["before"] == {"exists": False, "up_to_date": False}
    assert results[0].value("diff")["after"] == {"exists": True, "up_to_date": True, "images": {name: digest}}
    assert results[2].value("archive") == {
        "file": str(packed),
        "format": "oci",
        "compression": "gzip",
        "images": {name: digest},
        "bytes": packed.stat().st_size,
    }
    assert results[0].value("images")[0]["Id"] == pulled.value("config_digest")
    return digest


def platforms(site: AnySite, name: str, base: pathlib.Path) -> str:
    """name: an index of amd64 and arm64. Writes whole.tar and single.tar in OCI's format below base. The image's digest."""
    site.play(pull(name))
    ours, whole, there, single = (base / f"{one}.tar" for one in ("ours", "whole", "there", "single"))
    default, every, some, arm = site.play(
        export(name, ours),
        export(name, whole, platform="all", ignore_errors=True),
        export(name, there, platform="all", allow_missing_platforms=True),
        export(name, single, platform="linux/arm64", ignore_errors=True),
    ).results
    assert every.msg == arm.msg == f"the image {name} is incomplete here, it is missing linux/arm64: pull it for that platform"
    assert default.changed
    assert some.changed
    assert ours.read_bytes() == there.read_bytes()
    assert not whole.exists()
    site.play(pull(name, platform="linux/arm64"))
    site.converge(
        export(name, whole, platform="all", format="oci"),
        export(name, single, platform="linux/arm64", format="oci"),
    )
    return str(default.value("archive")["images"][name])
