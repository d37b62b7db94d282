# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The namespaces of a specification other than that of the network, and the mounts that depend on them."""

from __future__ import annotations

import typing as t

from .mounts import mount

#: Those that containers can use of each other, besides the network.
JOINED = ("ipc", "pid", "uts")
Spec = t.Mapping[str, t.Any]
_SHM, _MQUEUE = "/dev/shm", "/dev/mqueue"


def have_own(spec: Spec, kind: str) -> None:
    """A new namespace of a kind: pid, ipc, uts, cgroup."""
    _set(spec, kind, {"type": kind})


def join(spec: Spec, kind: str, path: str) -> None:
    """Use the namespace at a path; an empty path means that of the host."""
    _set(spec, kind, {"type": kind, "path": path} if path else None)


def _set(spec: Spec, kind: str, entry: t.Optional[t.Dict[str, str]]) -> None:
    linux = spec["linux"]
    linux["namespaces"] = [one for one in linux["namespaces"] if one["type"] != kind] + ([entry] if entry else [])


def has_own(spec: Spec, kind: str) -> bool:
    """Whether it has a namespace of that kind to itself."""
    namespaces = (spec.get("linux") or {}).get("namespaces") or ()
    return any(one.get("type") == kind and not one.get("path") for one in namespaces)


def path_of(spec: Spec, kind: str) -> str:
    namespaces = (spec.get("linux") or {}).get("namespaces") or ()
    return next((str(one.get("path") or "") for one in namespaces if one.get("type") == kind), "")


def share_memory(spec: Spec, source: str) -> None:
    """Use the shared memory in a directory of the host."""
    shared = mount(_SHM, "bind", source, "rbind rprivate nosuid noexec nodev")
    spec["mounts"][:] = [shared if one["destination"] == _SHM else one for one in spec["mounts"]]


def have_no_memory(spec: Spec) -> None:
    spec["mounts"][:] = [one for one in spec["mounts"] if one["destination"] != _SHM]


def share_queues_of_host(spec: Spec, there: bool) -> None:
    """The message queues of the host's namespace, which cannot be mounted again, if the host has mounted them."""
    shared = [mount(_MQUEUE, "bind", _MQUEUE, "bind nosuid noexec nodev")] if there else []
    spec["mounts"][:] = [one for one in spec["mounts"] if one["destination"] != _MQUEUE] + shared
