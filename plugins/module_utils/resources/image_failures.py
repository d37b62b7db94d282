# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why images of a task could not be had, in words: a cause that several have is told once, with their names."""

from __future__ import annotations

import typing as t

from ..errors import EngineError, ResourceExhausted

if t.TYPE_CHECKING:
    from ..image.pull import Job, Progress


class NoRoom(t.NamedTuple):
    """A pull that found no room on a disk. size: of the image's blobs, 0 where that is not known; cause: what failed."""

    label: str
    size: int
    cause: ResourceExhausted

    def __str__(self) -> str:
        return f"{self.label} ({self.size} bytes to transfer, more when unpacked)" if self.size else self.label

    def error(self) -> ResourceExhausted:
        return ResourceExhausted(f"there is no room for {self}: {self.cause}", **self.cause.details)


def no_room(progress: t.Iterable[Progress], job: Job, cause: ResourceExhausted) -> NoRoom:
    """progress: of the pulls of the task."""
    name = job.reference.record
    return NoRoom(str(job.reference), next((one.total for one in progress if one.name == name), 0), cause)


def told(failed: t.Mapping[str, EngineError], full: t.Mapping[str, NoRoom]) -> str:
    """One message about the images that failed, by their labels. full: those of them that found no room."""
    causes: t.Dict[str, t.List[str]] = {}
    for label, error in failed.items():
        causes.setdefault("" if label in full else str(error), []).append(label)
    return "; ".join(_told(failed, full, text, labels) for text, labels in causes.items())


def _told(failed: t.Mapping[str, EngineError], full: t.Mapping[str, NoRoom], text: str, labels: t.Sequence[str]) -> str:
    if len(labels) == 1:
        return str(failed[labels[0]])
    if text:
        return f"{', '.join(labels)}: {text}"
    return f"there is no room for {', '.join(str(full[label]) for label in labels)}: {full[labels[0]].cause}"
