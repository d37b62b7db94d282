# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The messages about images of a task that failed. A cause that several share is told once, with their names."""

from __future__ import annotations

import typing as t

from ...errors import EngineError, ResourceExhausted


def no_room(label: str, size: int, cause: ResourceExhausted) -> ResourceExhausted:
    """The message when an image does not fit on the disk. size: bytes of its blobs, 0 if not known."""
    sized = f"{label} ({size} bytes to transfer, more when unpacked)" if size else label
    error = ResourceExhausted(f"there is no room for {sized}: {cause}", **cause.details)
    error.room = (sized, str(cause))
    return error


def told(failed: t.Mapping[str, EngineError]) -> str:
    """One message about the images that failed, by their labels."""
    causes: t.Dict[str, t.List[str]] = {}
    for label, error in failed.items():
        causes.setdefault("" if _room(error) else str(error), []).append(label)
    return "; ".join(_told(failed, text, labels) for text, labels in causes.items())


def _told(failed: t.Mapping[str, EngineError], text: str, labels: t.Sequence[str]) -> str:
    if len(labels) == 1:
        return str(failed[labels[0]])
    if text:
        return f"{', '.join(labels)}: {text}"
    rooms = [room for room in map(_room, failed.values()) if room]
    return f"there is no room for {', '.join(sized for sized, _cause in rooms)}: {rooms[0][1]}"


def _room(error: EngineError) -> t.Optional[t.Tuple[str, str]]:
    return error.room if isinstance(error, ResourceExhausted) else None
