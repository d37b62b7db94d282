# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd's own restart monitor, which starts containers again as their labels say (containerd: core/runtime/restart).

It looks every 10 seconds, knows no other delay, and starts a container that was never started, too: so its label is set after the
start, and goes before a stop. containerd 1.6 starts every container with that label for ever, whatever its policy, and does not
count: so there we do it ourselves.
"""

from __future__ import annotations

import functools
import typing as t

from ..engine.labels import DESIRED, LIMIT, RESTART_COUNT
from ..engine.models import Supervision
from ..errors import NotFound

if t.TYPE_CHECKING:
    from ..rpc.channel import Channel
    from .values import Message

_LABELS = "containerd.io/restart."
_STATUS, _POLICY, _LOG, _EXPLICIT = (_LABELS + name for name in ("status", "policy", "loguri", "explicitly-stopped"))
_RUNNING = "running"
#: The types of its plugin: those of containerd 1 and 2. Before 2 it does not know terminals.
_OLD, _NEW = "io.containerd.internal.v1", "io.containerd.monitor.container.v1"


class Monitor:
    """The restart monitor of one daemon, for the containers of one namespace."""

    def __init__(self, rpc: Channel) -> None:
        self._rpc = rpc

    @functools.cached_property
    def _plugin(self) -> t.Optional[Message]:
        filters = [f"type=={kind},id==restart" for kind in (_OLD, _NEW)]
        found = self._rpc.call("introspection.v1.Introspection/Plugins", {"filters": filters})["plugins"]
        return next((one for one in found if one["init_err"] is None), None)

    def can(self, asked: Supervision, terminal: bool, stdin: bool, log: str) -> bool:
        """Whether it can do what is asked for. log: the URI for the output, which has to fit into a label."""
        if (
            len(_LOG + log) > LIMIT
            or asked.policy == "no"
            or asked.health
            or asked.delay
            or asked.max_delay
            or asked.mounts
            or asked.needs
            or (stdin and not terminal)
        ):
            return False
        plugin = self._plugin
        if plugin is None or (terminal and plugin["type"] != _NEW):
            return False
        return asked.policy in plugin["capabilities"]

    def follow(self, container_id: str, asked: Supervision, log: str, anew: bool) -> None:
        """Have it supervise a container that runs. log: the URI for its output. anew: it counts its starts from here on."""
        policy = f"{asked.policy}:{asked.retries}" if asked.policy == "on-failure" and asked.retries else asked.policy
        count = {RESTART_COUNT: ""} if anew else {}
        self._label(container_id, {_POLICY: policy, _LOG: log, _EXPLICIT: "", **count, _STATUS: _RUNNING})

    def leave(self, container_id: str) -> bool:
        """Have it forget a container. One of another tool keeps its policy, and is marked as that tool would do it.

        Whether it knew the container: then it may be starting it at this moment.
        """
        found = self._get(container_id)
        if found is None or dict(found["labels"]).get(_STATUS) != _RUNNING:
            return False
        ours = DESIRED in found["extensions"]
        self._label(container_id, {_STATUS: ""} if ours else {_EXPLICIT: "true"})
        return True

    def clear(self, container_id: str) -> None:
        """Before a start: what was is over."""
        labels = self._labels(container_id)
        gone = {name: "" for name in (_STATUS, _POLICY, _LOG, _EXPLICIT, RESTART_COUNT) if name in labels}
        if gone:
            self._label(container_id, gone)

    def will_start(self, container_id: str, exit_status: int, begun: bool) -> bool:
        """Whether it starts a container that has ended so. begun: it has made the task."""
        labels = self._labels(container_id)
        if labels.get(_STATUS) != _RUNNING or self._plugin is None:
            return False
        if begun:
            return True
        policy, _colon, retries = labels.get(_POLICY, "always").partition(":")
        if not self._plugin["capabilities"] or policy == "always":
            return True
        if policy == "unless-stopped":
            return labels.get(_EXPLICIT) != "true"
        limit, count = (int(text) if text.isdigit() else 0 for text in (retries, labels.get(RESTART_COUNT, "")))
        return policy == "on-failure" and exit_status != 0 and (not limit or count < limit)

    def _get(self, container_id: str) -> t.Optional[Message]:
        try:
            found: Message = self._rpc.call("containers.v1.Containers/Get", {"id": container_id})["container"]
        except NotFound:
            return None
        return found

    def _labels(self, container_id: str) -> t.Dict[str, str]:
        found = self._get(container_id)
        return dict(found["labels"]) if found else {}

    def _label(self, container_id: str, labels: t.Mapping[str, str]) -> None:
        """Set labels; an empty value removes one."""
        message = {"id": container_id, "labels": {name: value for name, value in labels.items() if value}}
        request = {"container": message, "update_mask": {"paths": [f"labels.{name}" for name in labels]}}
        self._rpc.call("containers.v1.Containers/Update", request)
