# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images that a load would leave, for check mode: read out of the archive, nothing is stored."""

from __future__ import annotations

import typing as t

from ...engine.models import Image
from ...errors import NotFound
from .values import FoundImage

if t.TYPE_CHECKING:
    from ...archive.images import Contents
    from ...archive.load import Target
    from ...engine.api import Engine
    from ...oci.descriptor import Descriptor
    from ...oci.manifest import Manifest
    from ...oci.platform import Platform


def foresee_loaded(
    engine: Engine, contents: Contents, targets: t.Sequence[Target], platform: Platform
) -> t.Dict[str, FoundImage]:
    """Out of an archive, by the records' names. Without a view where the archive has nothing for the platform.

    FailedPrecondition that the action plugin acts on, when the archive is on the controller and configs were not sent yet.
    """
    from ...archive.parts import Part
    from ...image.inspect import CONFIG_LIMIT, choose_manifest, is_readable, make_view, read_blob

    found: t.Dict[str, FoundImage] = {}
    chosen: t.Dict[str, t.Tuple[Descriptor, Manifest]] = {}
    for one in targets:
        try:
            chosen[one.name.record] = choose_manifest(contents.document, one.packed.top, platform)
        except NotFound as error:
            found[one.name.record] = FoundImage(Image(one.name.record, one.packed.top), None, (str(error),))
    stored = {m.config.digest for _descriptor, m in chosen.values() if is_readable(engine.content, m.config)}
    if isinstance(contents, Part):
        configs = [m.config for _descriptor, m in chosen.values() if m.config.digest not in stored]
        unsent = [config for config in configs if not contents.was_sent(config)]
        if unsent:
            raise contents.unsent(unsent)
    for one in targets:
        if one.name.record in chosen:
            descriptor, manifest = chosen[one.name.record]
            if manifest.config.digest in stored:
                config = read_blob(engine.content, manifest.config, CONFIG_LIMIT)
            else:
                with contents.open(manifest.config) as stream:
                    config = stream.read(CONFIG_LIMIT)
            found[one.name.record] = FoundImage(Image(one.name.record, one.packed.top), make_view(descriptor, manifest, config))
    return found
