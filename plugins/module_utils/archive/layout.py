# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names in an image archive: of its members, and of annotations. Readers and writers share them, so that no task is sent both."""

from __future__ import annotations

import typing as t

from ..engine.labels import OURS

if t.TYPE_CHECKING:
    from ..oci.descriptor import Descriptor

LAYOUT_FILE, INDEX_FILE, DOCKER_FILE, BLOBS = "oci-layout", "index.json", "manifest.json", "blobs"
LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
#: In a part of an archive: of which one it is.
PART_FILE = "part.json"
#: Annotations of a top descriptor. IMAGE_NAME is containerd's and Docker's, REF_NAME that of the OCI image-spec.
IMAGE_NAME, REF_NAME = "io.containerd.image.name", "org.opencontainers.image.ref.name"
#: Ours: the platforms that are in the archive, where its index lists more.
PLATFORMS = OURS + "platforms"


def blob_name(descriptor: Descriptor) -> str:
    """Where a blob is in an image layout (OCI image-spec, image-layout.md)."""
    return f"{BLOBS}/{descriptor.digest.algorithm}/{descriptor.digest.hex}"
