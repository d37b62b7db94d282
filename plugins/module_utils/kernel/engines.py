# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine that a task asks for. Apart from module.py, since ansible-core sends what is imported, and half of the code is engines."""

from __future__ import annotations

import contextlib
import typing as t

from ..engine.open import EngineOptions, open_engine


def opened(params: t.Mapping[str, t.Any]) -> t.ContextManager[t.Any]:
    """As long as the module works."""
    return contextlib.closing(open_engine(EngineOptions.of(params)))
