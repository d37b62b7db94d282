# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of a file as an option of a task."""

from __future__ import annotations

import base64
import binascii
import json
import typing as t

from ..errors import InvalidArgument


def content_of(value: t.Any, encoded: bool) -> bytes:
    """The bytes of a file with this content. Data becomes JSON, as with ansible.builtin.copy."""
    text = json.dumps(value) if isinstance(value, (dict, list)) else str(value)
    if not encoded:
        return text.encode("utf-8", "surrogateescape")
    try:
        return base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument("content: it is not Base64, as content_is_b64=true says") from error
