# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Choose and open the engine that a task asks for. Only this file knows the engines.

It is separate from module.py, since ansible-core sends every import, and half of the code is engines.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import typing as t

from ..engine.labels import NAME
from ..errors import FailedPrecondition, printable

if t.TYPE_CHECKING:
    from ..engine.api import Engine

_ADDRESS = "/run/containerd/containerd.sock"


class EngineOptions(t.NamedTuple):
    """The engine options of every module. An empty snapshotter means the best one."""

    engine: str = "auto"
    address: str = _ADDRESS
    namespace: str = "default"
    data_root: str = "/var/lib/fleet-containerd"
    state_root: str = "/run/fleet-containerd"
    snapshotter: str = ""

    @classmethod
    def of(cls, params: t.Mapping[str, t.Any]) -> EngineOptions:
        """The options in the parameters of a task."""
        return cls(**{name: params[name] for name in cls._fields if params.get(name) is not None})


def choose(options: EngineOptions) -> str:
    """Returns containerd or embedded. It never switches silently, which would make every container twice."""
    if options.engine != "auto":
        return options.engine
    if os.path.exists(options.address):
        return "containerd"
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin"])
    if shutil.which("containerd", path=search):
        raise FailedPrecondition(
            f"containerd is installed, but its socket {printable(options.address, 200)} is not there: start it (systemctl start "
            "containerd), give its address, or set engine=embedded to work without it"
        )
    return "embedded"


def open_engine(options: EngineOptions) -> Engine:
    """Open the engine that the options name. InvalidArgument, FailedPrecondition."""
    if choose(options) == "embedded":
        if os.geteuid() != 0:
            raise FailedPrecondition("the embedded engine needs root on the target: set become=true")
        return _embedded(options)
    from ..engine_containerd.engine import ContainerdEngine

    engine = ContainerdEngine(options.address, options.namespace, options.snapshotter, options.data_root, options.state_root)
    if options.snapshotter:
        engine.snapshotter()
    return engine


def _embedded(options: EngineOptions) -> Engine:
    from ..engine_embedded.engine import EmbeddedEngine

    return EmbeddedEngine(options.namespace, options.data_root, options.state_root, options.snapshotter)


def used_engines(data_root: str) -> t.Iterator[t.Tuple[EngineOptions, str]]:
    """The engines that were ever used with this data_root, and the directory of each one's containers, by namespace."""
    from ..engine_host.place import owners

    for directory, address in owners(data_root):
        options = EngineOptions("embedded", data_root=data_root)
        yield options._replace(engine="containerd", address=address) if address else options, directory


def kept_by_embedded(options: EngineOptions, kind: str, name: str) -> str:
    """Why a container that the chosen engine (kind) does not have is not simply absent; empty if it is absent.

    engine=auto means another engine after containerd is installed on a host, while containers of the embedded one still exist and
    run. The check costs nothing where the embedded engine was never used. Raises the error when its records cannot be read.
    """
    database = os.path.join(options.data_root, "metadata.db")
    if options.engine != "auto" or kind == "embedded" or not os.path.exists(database):
        return ""
    with contextlib.closing(_embedded(options._replace(snapshotter=""))) as engine:
        if not engine.containers.list({NAME: name}):
            return ""
    return (
        f"the container {name} is in the embedded engine (data_root {options.data_root}, namespace {options.namespace}), and "
        f"engine=auto means containerd now, because its socket {options.address} is there: set engine=embedded to manage the "
        "container where it is, or remove it there (engine=embedded, state=absent) to have it in containerd"
    )


def opened(params: t.Mapping[str, t.Any]) -> t.ContextManager[t.Any]:
    """A context with the engine that the parameters of a task name."""
    return contextlib.closing(open_engine(EngineOptions.of(params)))
