# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why images of a task could not be had, in words: a cause that several have is told once, with their names."""

from __future__ import annotations

import typing as t

from ..errors import EngineError, ResourceExhausted

if t.TYPE_CHECKING:
    from ..image.pull import Job, Progress


class NoRoom(ResourceExhausted):
    """A pull that found no room. cause: what failed; size: of the image's blobs, 0 where that is not known."""

    def __init__(self, label: str, size: int, cause: ResourceExhausted) -> None:
        self.size, self.cause = size, str(cause)
        super().__init__(f"there is no room for {_sized(label, size)}: {cause}", **cause.details)


def no_room(progress: t.Iterable[Progress], job: Job, cause: ResourceExhausted) -> NoRoom:
    """progress: of the pulls of the task."""
    name = job.reference.record
    return NoRoom(str(job.reference), next((one.total for one in progress if one.name == name), 0), cause)


def told(failed: t.Mapping[str, EngineError]) -> str:
    """One message about the images that failed."""
    causes: t.Dict[str, t.List[str]] = {}
    for label, error in failed.items():
        causes.setdefault("" if isinstance(error, NoRoom) else str(error), []).append(label)
    return "; ".join(_told(failed, text, labels) for text, labels in causes.items())


def _told(failed: t.Mapping[str, EngineError], text: str, labels: t.Sequence[str]) -> str:
    first = failed[labels[0]]
    if len(labels) == 1:
        return str(first)
    if not isinstance(first, NoRoom):
        return f"{', '.join(labels)}: {text}"
    sized = [_sized(label, error.size) for label in labels for error in [failed[label]] if isinstance(error, NoRoom)]
    return f"there is no room for {', '.join(sized)}: {first.cause}"


def _sized(label: str, size: int) -> str:
    return f"{label} ({size} bytes to transfer, more when unpacked)" if size else label
