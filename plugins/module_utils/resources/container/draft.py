# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the draft of a container from the rows of its options: to create it, and in check mode to find errors."""

from __future__ import annotations

import typing as t

from ...engine.models import Runtime
from ...runtime import rootfs
from ...runtime_spec.base import base
from ...runtime_spec.cgroups import host_facts
from ...runtime_spec.mount_points import arrange
from .options.row import Context, Draft
from .options.table import ROWS, render


def drafted(namespace: str, context: Context, labels: t.Mapping[str, str]) -> Draft:
    """Make a draft. Raises errors about the image's files for these options. Writes nothing."""
    rootfs.check_rootfs(context.root)
    draft = Draft(base(context.container_id, namespace, host_facts()), labels, Runtime())
    render(draft, [row.option for row in ROWS], context)
    arrange(draft.spec)
    return draft
