# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for something that takes a moment."""

from __future__ import annotations

import contextlib
import time
import typing as t


def until(check: t.Callable[[], t.Any], seconds: float = 30.0) -> t.Any:
    """Wait until something is true; it is given back. Files that are looked at may go meanwhile, or not be there yet."""
    deadline = time.monotonic() + seconds
    while True:
        # The last look begins when the time is over, however long this process had to wait for a processor.
        over = time.monotonic() >= deadline
        with contextlib.suppress(FileNotFoundError):
            found = check()
            if found:
                return found
        if over:
            raise AssertionError("it did not come true in time")
        time.sleep(0.05)
