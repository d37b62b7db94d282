# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Points in time, as facts tell them."""

from __future__ import annotations

import datetime


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC; empty for 0 (not known)."""
    if not seconds:
        return ""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
