# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes that have broken a parser once, in base64. tools/fuzz.py adds to them."""

from __future__ import annotations

import typing as t

SEEDS: t.Dict[str, t.List[str]] = {
    "accounts": [
        "eyJhdXRocyI6IHsicmVnaXN0cnkudGVzdCI6IHsiYXV0aCI6ICJcdTAwODAifSwgImh0dHBzOi8vcmVnaXN0cnkudGVzdCI6IHsiaWRlbnRpdHl0b2tlbiI6ICJ4In19fQ==",
    ],
    "pax": [
        "MTIgcGF0aD14eHgKeA==",
    ],
    "reference": [
        "ZG9ja2VyLmlvL2RvY2tlci5pby9saWJyYXJ5L25naW54OjEuMjc=",
    ],
}
