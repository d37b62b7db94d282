# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_host_info: what a host is, what runs on it, and what that takes on the disk. Only reads."""

from __future__ import annotations

import contextlib
import glob
import os
import typing as t

from ...engine.holdings import CONTENT
from ...engine.models import PAUSED, RESTARTING, RUNNING
from ...errors import EngineError, InvalidArgument, printable
from ...hostfs.usage import disk_usage
from ...kernel.converge import Facts
from ...kernel.engines import EngineOptions, open_engine
from ...volume.store import Store
from ..container.find import task_of
from ..container.info import container_info
from ..image.info import image_info
from ..network.desired import places_of
from ..network.info import network_info
from ..volume.info import volume_info
from .about import cgroup_facts, cni_facts, is_of_distribution, machine_facts, runtime_facts
from .advisories import READ, SOURCE, advisories_for

if t.TYPE_CHECKING:
    from ...engine.api import Engine

Query = t.Callable[[t.Mapping[str, t.Any], t.Any], Facts]


def host_info(params: t.Mapping[str, t.Any], engine: Engine) -> Facts:
    """The host, and the lists that are asked for."""
    places, data_root = places_of(params)
    lists = {kind: _list(kind, params, engine) for kind in _LISTS if params[kind]}
    warnings: t.List[str] = [warning for one in lists.values() for warning in one.warnings]
    about = engine.about()
    runtime = _runtime(engine)
    found = advisories_for(runtime.get("Name", ""), runtime.get("Version", ""))
    found += advisories_for("containerd", about.version) if engine.kind == "containerd" else []
    host = {
        **machine_facts(),
        "ServerVersion": about.version,
        "Driver": _driver(engine),
        "DockerRootDir": about.root,
        "CgroupVersion": cgroup_facts()["Version"],
        "CgroupDriver": cgroup_facts()["Driver"],
        "DefaultRuntime": runtime.get("Name", ""),
        **_counts(engine, warnings),
        "Containerd": {
            "Engine": engine.kind,
            "Namespace": engine.namespace,
            "Namespaces": engine.namespaces(),
            "DataRoot": data_root,
            "Revision": about.revision,
            "OfDistribution": is_of_distribution(about.version),
            "Plugins": [one.facts() for one in about.plugins],
            "Snapshotters": sorted(about.snapshotters),
            "Cgroups": cgroup_facts(),
            "Runtime": {**runtime, "OfDistribution": is_of_distribution(runtime.get("Version", ""))},
            "Cni": cni_facts(places, engine.namespace),
            "Advisories": [one.facts() for one in found],
            "AdvisoriesRead": READ,
            "AdvisoriesSource": SOURCE,
        },
    }
    out: t.Dict[str, t.Any] = {"host_info": host, **{kind: one.result[kind] for kind, one in lists.items()}}
    if params["disk_usage"]:
        out["disk_usage"] = _usage(EngineOptions.of(params)._replace(engine=engine.kind, snapshotter=""), engine, data_root)
    return Facts(out, warnings)


def _runtime(engine: Engine) -> t.Dict[str, t.Any]:
    """The one that containers get by default; another one if only that is installed."""
    for name in ("runc", "crun"):
        with contextlib.suppress(EngineError):
            path = engine.tasks.find_runtime(name)
            if path:
                return runtime_facts(path)
    return {}


def _driver(engine: Engine) -> str:
    with contextlib.suppress(EngineError):
        return engine.snapshotter().name
    return ""


def _counts(engine: Engine, warnings: t.List[str]) -> t.Dict[str, int]:
    """As docker has them: one that restarts, runs."""
    containers, states = engine.containers.list(), []
    for one in containers:
        try:
            task = task_of(engine, one)
            states.append(task.status if task else "")
        except EngineError as error:
            warnings.append(f"the state of the container {one.id[:12]} is unknown: {error}")
    running, paused = (sum(state in some for state in states) for some in ((RUNNING, RESTARTING), (PAUSED,)))
    return {
        "Containers": len(containers),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": len(states) - running - paused,
        "Images": len({image.target.digest for image in engine.images.list()}),
    }


def _usage(options: EngineOptions, engine: Engine, data_root: str) -> t.Dict[str, t.Any]:
    """By namespace. Blobs that several have count in each."""
    names = engine.namespaces()
    spaces = {}
    for name in names:
        if name == engine.namespace:
            spaces[name] = _space(engine, data_root)
        else:
            with contextlib.closing(open_engine(options._replace(namespace=name))) as other:
                spaces[name] = _space(other, data_root)
    return {"Namespaces": spaces, "Total": sum(one["Total"] for one in spaces.values())}


def _space(engine: Engine, data_root: str) -> t.Dict[str, t.Any]:
    nodes = [node for node in engine.holdings().edges if node[0] != CONTENT]
    sizes = engine.disk_usage(nodes)
    snapshots: t.Dict[str, t.Dict[str, int]] = {}
    for node in nodes:
        one = snapshots.setdefault(node[0].partition("/")[2], {"Count": 0, "Size": 0})
        one["Count"] += 1
        one["Size"] += sizes.get(node, 0)
    blobs = list(engine.content.walk())
    containers = glob.glob(f"{glob.escape(os.path.dirname(engine.container_path('x')))}/*")
    volumes = Store(data_root, engine.namespace).all()
    parts = {
        "Content": {"Count": len(blobs), "Size": sum(one.size for one in blobs)},
        "Containers": {"Count": len(engine.containers.list()), "Size": disk_usage(containers)},
        "Volumes": {"Count": len(volumes), "Size": disk_usage(one.data for one in volumes if not one.anonymous)},
    }
    total = sum(one["Size"] for one in (*parts.values(), *snapshots.values()))
    return {**parts, "Snapshots": snapshots, "Total": total}


# The lists


def _list(kind: str, params: t.Mapping[str, t.Any], engine: Engine) -> Facts:
    query, filters = _LISTS[kind], params[f"{kind}_filters"] or {}
    more = {"name": None, "labels": None, "filters": filters, "platform": None, "dangling": None}
    found = query({**params, **more}, engine)
    if kind == "containers":
        return found
    tests = [(_FILTERS[kind].get(key) or _unknown(kind, key), value) for key, value in filters.items()]
    rows = [row for row in found.result[kind] if all(test(row, value) for test, value in tests)]
    return found._replace(result={kind: rows})


def _unknown(kind: str, key: str) -> t.NoReturn:
    raise InvalidArgument(f"{kind}_filters: {printable(key, 80)} is none of {', '.join(sorted(_FILTERS[kind]))}")


def _labelled(labels: t.Callable[[t.Any], t.Mapping[str, str]]) -> t.Callable[[t.Any, t.Any], bool]:
    def test(row: t.Any, value: t.Any) -> bool:
        found = labels(row) or {}
        if isinstance(value, dict):
            return all(name in found and one in (None, "", found[name]) for name, one in value.items())
        pairs = [str(one).partition("=") for one in (value if isinstance(value, list) else [value])]
        return all(name in found and (not equals or found[name] == one) for name, equals, one in pairs)

    return test


def _named(row: t.Any, value: t.Any) -> bool:
    return any(str(one) in row["Name"] for one in (value if isinstance(value, list) else [value]))


def _is(flag: bool, value: t.Any) -> bool:
    return flag is (str(value).lower() in ("true", "1", "yes"))


_LISTS: t.Mapping[str, Query] = {
    "containers": container_info,
    "images": image_info,
    "networks": network_info,
    "volumes": volume_info,
}
_FILTERS: t.Mapping[str, t.Mapping[str, t.Callable[[t.Any, t.Any], bool]]] = {
    "images": {
        "dangling": lambda row, value: _is(not row["RepoTags"], value),
        "label": _labelled(lambda row: t.cast(t.Mapping[str, str], (row.get("Config") or {}).get("Labels"))),
    },
    "networks": {
        "name": _named,
        "label": _labelled(lambda row: t.cast(t.Mapping[str, str], row.get("Labels"))),
    },
    "volumes": {
        "name": _named,
        "label": _labelled(lambda row: t.cast(t.Mapping[str, str], row.get("Labels"))),
        "dangling": lambda row, value: _is(not row["Containerd"]["UsedBy"], value),
    },
}
