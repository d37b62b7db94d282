# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the resources ask registries. Separate from options.py, so that only tasks that need it get this code."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ...registry.client import RegistryClient
    from ...registry.options import RegistryOptions


def registry_client(options: RegistryOptions) -> RegistryClient:
    """A client. Raises MissingLibrary without requests."""
    from ...registry.client import RegistryClient

    return RegistryClient(options)
