# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runtime specifications for tests that make containers without the modules."""

from __future__ import annotations

import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.base import base
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.cgroups import host_facts
from ansible_collections.fleet.containerd.plugins.module_utils.runtime_spec.process import add_env


def busybox_spec(container_id: str, namespace: str, args: t.Sequence[str], tty: bool = False) -> t.Dict[str, t.Any]:
    """For a program of the busybox in /bin."""
    spec = base(container_id, namespace, host_facts())
    spec["hostname"] = "box"
    spec["process"].update(args=list(args), terminal=tty)
    add_env(spec, {"PATH": "/bin", "HOSTNAME": "box", **({"TERM": "xterm"} if tty else {})})
    return spec
