# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One of our actions as a complete process, for the benchmarks: python -m ...tools.bench.act pull|start|... arguments."""

from __future__ import annotations

import json
import sys
import time
import typing as t

from ...plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ...plugins.module_utils.oci.platform import Platform
from ...plugins.module_utils.oci.reference import Reference


def pull_image(reference: str, root: str, address: str = "") -> t.Dict[str, t.Any]:
    """Pull and unpack durably. address: through that daemon of containerd."""
    from ...plugins.module_utils.engine_containerd.engine import ContainerdEngine
    from ...plugins.module_utils.image.source import RegistrySource
    from ...plugins.module_utils.registry.client import RegistryClient, RegistryOptions
    from ...tests.support.client import pull

    embedded = EmbeddedEngine("default", f"{root}/data", f"{root}/state")
    engine: t.Any = ContainerdEngine(address, "default", "", f"{root}/data") if address else embedded
    client = RegistryClient(RegistryOptions(plain_http=True))
    started = time.monotonic()
    result = pull(engine, RegistrySource(client, Reference.parse(reference)), Platform.host())
    client.close()
    engine.close()
    return {"seconds": time.monotonic() - started, **result.facts()}


if __name__ == "__main__":
    print(json.dumps(pull_image(*sys.argv[1:])))
