# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images that a load would leave, for check mode: they are read from the archive, and nothing is stored."""

from __future__ import annotations

import typing as t

from ...engine.models import Image
from ...errors import NotFound
from .values import FoundImage

if t.TYPE_CHECKING:
    from ...archive.images import ArchiveSource, Contents
    from ...engine.api import Engine
    from ...oci.platform import Platform


def foresee_loaded(
    engine: Engine, contents: Contents, sources: t.Sequence[ArchiveSource], platform: Platform
) -> t.Dict[str, FoundImage]:
    """By the records' names. Without a view where the archive has nothing for the platform.

    FailedPrecondition that the action plugin acts on, when the archive is on the controller and configs were not sent yet.
    """
    from ...image.inspect import CONFIG_LIMIT, choose_manifest, is_readable, make_view, read_blob
    from ...image.source import document_reader

    found: t.Dict[str, FoundImage] = {}
    chosen = []
    for source in sources:
        top = source.document()
        record, read = Image(source.name.record, top.descriptor), document_reader(source, top, CONFIG_LIMIT)
        try:
            chosen.append((record, read, *choose_manifest(read, top.descriptor, platform)))
        except NotFound as error:
            found[record.name] = FoundImage(record, None, (str(error),))
    configs = [manifest.config for _record, _read, _descriptor, manifest in chosen]
    stored = {config.digest for config in configs if is_readable(engine.content, config)}
    contents.check_sent(config for config in contents.missing(configs).unsent if config.digest not in stored)
    for record, read, descriptor, manifest in chosen:
        config = manifest.config
        body = read_blob(engine.content, config, CONFIG_LIMIT) if config.digest in stored else read(config)
        found[record.name] = FoundImage(record, make_view(descriptor, manifest, body))
    return found
