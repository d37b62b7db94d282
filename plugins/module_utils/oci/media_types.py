# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Media types (OCI image-spec media-types.md; Docker image manifest v2 schema 2)."""

from __future__ import annotations

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"
DOCKER_LAYER_ZSTD = DOCKER_LAYER + ".zstd"
_FOREIGN = (
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)

INDEXES = (OCI_INDEX, DOCKER_INDEX)
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
CONFIGS = (OCI_CONFIG, DOCKER_CONFIG)

#: The Accept header of a manifest request.
ACCEPT = ", ".join((OCI_INDEX, DOCKER_INDEX, OCI_MANIFEST, DOCKER_MANIFEST))


def is_layer(media_type: str) -> bool:
    """True for file system layers, distributable or not."""
    return media_type.startswith((OCI_LAYER, DOCKER_LAYER)) or is_foreign(media_type)


def is_foreign(media_type: str) -> bool:
    """True for layers that registries may not distribute."""
    return media_type.startswith(_FOREIGN)


def is_encrypted(media_type: str) -> bool:
    """True for layers that are encrypted (ocicrypt)."""
    return "+encrypted" in media_type


def compression(media_type: str) -> str:
    """The compression that this media type of a layer names: none, gzip or zstd."""
    if media_type.endswith(("+gzip", ".gzip")):
        return "gzip"
    if media_type.endswith(("+zstd", ".zstd")):
        return "zstd"
    return "none"


def kind(media_type: str) -> str:
    """index, manifest, config, layer or unknown (the words of containerd's ingest references)."""
    if media_type in INDEXES:
        return "index"
    if media_type in MANIFESTS:
        return "manifest"
    if media_type in CONFIGS:
        return "config"
    return "layer" if is_layer(media_type) else "unknown"
