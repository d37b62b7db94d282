# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image with Debian, Python and systemd."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import typing as t

from .images import CONFIG, DEFAULT_ENV, MANIFEST, Layout, directory, symlink, tar_of
from .machines import archive

_LAYER = "application/vnd.oci.image.layer.v1.tar"
#: They would change this machine, if the container may.
_MASKED = (
    "getty.target",
    "console-getty.service",
    "systemd-sysctl.service",
    "systemd-udevd.service",
    "systemd-random-seed.service",
)


def debian_image(base: pathlib.Path, name: str) -> pathlib.Path:
    """An image layout with an image of this name, whose root file system is that of the machines."""
    layout = Layout(base)
    layers = [_copied(layout, archive()), layout.blob(masks(), _LAYER)]
    body = {
        "os": "linux",
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "config": {"Env": DEFAULT_ENV, "Cmd": ["/bin/bash"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
    }
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": layout.json(body, CONFIG), "layers": layers}
    layout.tag(layout.json(manifest, MANIFEST, platform={"os": body["os"], "architecture": body["architecture"]}), name)
    return layout.path


def masks() -> bytes:
    """A layer for images with systemd."""
    units = "etc/systemd/system"
    above = [directory("etc"), directory("etc/systemd"), directory(units)]
    return tar_of([*above, *(symlink(f"{units}/{unit}", "/dev/null") for unit in _MASKED)])


def _copied(layout: Layout, tar: pathlib.Path) -> t.Dict[str, t.Any]:
    """A layer that is a large file elsewhere."""
    with tar.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    shutil.copyfile(tar, layout.path / "blobs" / "sha256" / digest)
    return {"mediaType": _LAYER, "digest": f"sha256:{digest}", "size": tar.stat().st_size}
