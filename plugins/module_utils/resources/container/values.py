# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container as values: the wanted one and the found one."""

from __future__ import annotations

import typing as t

from ...engine.models import CREATED, STOPPED, Container, TaskState
from ...errors import InvalidArgument, printable
from ...kernel.engines import EngineOptions
from ...network.places import Places
from ..image.values import FoundImage, WantedImage
from .options.life import Stop

if t.TYPE_CHECKING:
    from .options.ready import Ready

#: The longest name.
NAME_LIMIT = 76


class WantedContainer(t.NamedTuple):
    """places: of networks. given: the values of the options in the task (options/). modes: how they are compared. image: None without one.

    keep_volumes: a container that is removed leaves those that it had alone.
    strict_name: an image with another name is another image. wait_timeout: seconds that a job (detach is False) may take;
    output_logs: warn of what it has printed.
    in_place: options change without a new container where they can. ready: how a start proves itself. healthy: what runs already has to be
    healthy, too. keep_new: a new container that fails its start stays. keep_old: how many of those that were replaced stay.
    previous: this is what the container was before. paused:
    None as it is. removal: seconds within which a removed container has to be gone; None: whatever the engine says counts.
    strict_labels: labels of the image that are not given are an error, if labels are compared strictly.
    compare_with_own: when they are compared, values are added to those of the container's own image.
    progress_file: where a pull tells how far it is; empty for nowhere.
    """

    name: str
    state: str
    engine: EngineOptions
    stop: Stop = Stop()
    keep_volumes: bool = True
    places: Places = Places()
    given: t.Mapping[str, t.Any] = {}
    modes: t.Mapping[str, str] = {}
    image: t.Optional[WantedImage] = None
    strict_name: bool = False
    strict_labels: bool = False
    compare_with_own: bool = False
    detach: bool = True
    wait_timeout: t.Optional[float] = None
    output_logs: bool = False
    cleanup: bool = False
    recreate: bool = False
    restart: bool = False
    adopt: bool = False
    in_place: bool = True
    ready: t.Optional[Ready] = None
    healthy: bool = False
    previous: bool = False
    paused: t.Optional[bool] = None
    removal: t.Optional[float] = None
    keep_new: bool = False
    keep_old: int = 0
    progress_file: str = ""

    @property
    def job(self) -> bool:
        """Whether the task starts something whose end it waits for."""
        return self.state == "started" and not self.detach

    @property
    def leaves_nothing(self) -> bool:
        """With cleanup a job leaves no container, so one that has ended comes from an interrupted run."""
        return bool(self.job and self.cleanup and self.image)


class FoundContainer(t.NamedTuple):
    """container: None without one. stored: the values that it was made with (None: another tool made it).

    image: the wanted image in the store. leftovers: containers that an interrupted recreation left. torn: a change of it was
    interrupted. drift: the options whose limits something else has changed. nameless: an interrupted recreation was about to give it the
    name. to_run: it does not run, only because such a recreation has stopped it. staged: those that were made for a later task.
    """

    container: t.Optional[Container]
    task: t.Optional[TaskState]
    stored: t.Optional[t.Mapping[str, t.Any]]
    image: t.Optional[FoundImage]
    leftovers: t.Tuple[Container, ...] = ()
    torn: bool = False
    nameless: bool = False
    staged: t.Tuple[Container, ...] = ()
    to_run: bool = False
    drift: t.Tuple[str, ...] = ()

    @property
    def running(self) -> bool:
        return self.task is not None and self.task.status not in (STOPPED, CREATED)


def check_name(name: str) -> str:
    """Check a container name by nerdctl's rule: [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 76 characters."""
    plain = name.replace("_", "a").replace(".", "a").replace("-", "a")
    if not (plain.isalnum() and plain.isascii() and name[0].isalnum() and len(name) <= NAME_LIMIT):
        raise InvalidArgument(
            f"name: {printable(name, 100)!r} is not a container name: letters, digits, hyphen, dot and underscore, "
            f"a letter or digit first, at most {NAME_LIMIT} characters"
        )
    return name
