# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""All containers of an engine, for what is not a module, such as an inventory."""

from __future__ import annotations

import typing as t

from ...kernel.engines import EngineOptions, opened
from .info import container_info


def look(options: EngineOptions) -> t.Tuple[t.List[t.Dict[str, t.Any]], t.List[str]]:
    """Their facts, as of containerd_container_info, and warnings. EngineError."""
    asked = {**options._asdict(), "name": None, "labels": None, "filters": None}
    with opened(asked) as engine:
        told = container_info(asked, engine)
    return list(told.result["containers"]), list(told.warnings)
