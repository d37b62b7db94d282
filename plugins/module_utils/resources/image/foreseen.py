# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image that a pull would leave, for check mode: it is read from its source, and nothing is stored."""

from __future__ import annotations

import typing as t

from ...engine.labels import merged
from ...engine.models import Image
from ...errors import NotFound
from .pull import pin_labels
from .values import FoundImage, WantedImage

if t.TYPE_CHECKING:
    from ...image.api import Registry


def foresee(registry: Registry, want: WantedImage, have: t.Optional[FoundImage] = None) -> FoundImage:
    """Read the image's documents and config by GET (some kilobytes). Raises the errors that the pull would raise about them."""
    from ...image.inspect import CONFIG_LIMIT, choose_manifest, make_view, platform_problem
    from ...image.source import RegistrySource, document_reader

    if not want.reference:
        raise AssertionError("a pull has a reference")
    source = RegistrySource(registry, want.reference)
    top = source.document()
    read = document_reader(source, top, CONFIG_LIMIT)
    chosen = {platform: choose_manifest(read, top.descriptor, platform) for platform in want.platforms or (want.platform,)}
    descriptor, manifest = chosen[want.platform]
    view = make_view(descriptor, manifest, read(manifest.config))
    for platform in want.platforms:
        for problem in platform_problem(top.descriptor, view, platform):
            raise NotFound(f"{want.reference}: {problem}")
    labels = merged(have.record.labels if have else {}, dict(pin_labels(want)))
    return FoundImage(Image(want.reference.record, top.descriptor, labels), view)
