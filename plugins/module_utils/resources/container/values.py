# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container as values: what a task asks for, and what is there."""

from __future__ import annotations

import typing as t

from ...engine.models import CREATED, STOPPED, Container, TaskState
from ...errors import InvalidArgument, printable
from ...kernel.engines import EngineOptions
from ..image.values import FoundImage, WantedImage
from .options.life import Stop

_NAME_LIMIT = 76


class WantedContainer(t.NamedTuple):
    """given: the values of the options that the task gives (options/). modes: how they are compared. image: None when the task names none.

    strict_name: an image of another name is another image. wait_timeout: seconds that a job (detach is False) may take.
    """

    name: str
    state: str
    engine: EngineOptions
    stop: Stop = Stop()
    given: t.Mapping[str, t.Any] = {}
    modes: t.Mapping[str, str] = {}
    image: t.Optional[WantedImage] = None
    strict_name: bool = False
    detach: bool = True
    wait_timeout: t.Optional[float] = None
    cleanup: bool = False
    recreate: bool = False
    restart: bool = False
    adopt: bool = False

    @property
    def job(self) -> bool:
        """Whether the task starts something whose end it waits for."""
        return self.state == "started" and not self.detach

    @property
    def leaves_nothing(self) -> bool:
        """With cleanup a job leaves no container behind: one that has ended is of a run that was interrupted before that."""
        return bool(self.job and self.cleanup and self.image)


class FoundContainer(t.NamedTuple):
    """container is None when there is none. stored is what it was made with (None: not made by us).

    image is what the store has for the wanted image. leftovers are containers that an interrupted recreation left.
    """

    container: t.Optional[Container]
    task: t.Optional[TaskState]
    stored: t.Optional[t.Mapping[str, t.Any]]
    image: t.Optional[FoundImage]
    leftovers: t.Tuple[Container, ...] = ()

    @property
    def running(self) -> bool:
        return self.task is not None and self.task.status not in (STOPPED, CREATED)


def check_name(name: str) -> str:
    """A container name as nerdctl takes it: [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 76 characters."""
    plain = name.replace("_", "a").replace(".", "a").replace("-", "a")
    if not (plain.isalnum() and plain.isascii() and name[0].isalnum() and len(name) <= _NAME_LIMIT):
        raise InvalidArgument(
            f"name: {printable(name, 100)!r} is not a container name: letters, digits, hyphen, dot and underscore, "
            f"a letter or digit first, at most {_NAME_LIMIT} characters"
        )
    return name
