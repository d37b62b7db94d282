# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The spelling of keys in each version of containerd's configuration.

Sources: the migrations of containerd 2.1 (server/config, plugins/cri, plugins/restart, core/metrics/cgroups, core/runtime/v2) and,
for version 4, of containerd 2.3. Version 1 names plugins by their id alone; version 2 by their URI; version 3 splits the CRI plugin;
version 4 has the server's own sections as plugins.
"""

from __future__ import annotations

import re
import typing as t

from .values import Keys

#: The newest version that is known here.
NEWEST = 4
CRI, IMAGES, RUNTIME = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"
TASK, SHIM = "io.containerd.runtime.v2.task", "io.containerd.shim.v1.manager"

#: Version 2 to version 3: plugins with a new name.
RENAMED = {
    "io.containerd.internal.v1.restart": "io.containerd.monitor.container.v1.restart",
    "io.containerd.monitor.v1.cgroups": "io.containerd.monitor.task.v1.cgroups",
}
_RENAMED_BACK = {new: old for old, new in RENAMED.items()}
#: Keys of version 2's CRI plugin that are in IMAGES in version 3, and those that stay; the others are in RUNTIME.
IMAGE_KEYS = {
    "registry",
    "image_decryption",
    "max_concurrent_downloads",
    "image_pull_progress_timeout",
    "image_pull_with_sync_fs",
    "stats_collect_period",
}
SERVER_KEYS = {
    "disable_tcp_service",
    "stream_server_address",
    "stream_server_port",
    "stream_idle_timeout",
    "enable_tls_streaming",
    "x509_key_pair_streaming",
}
#: Keys of its table "containerd" that are in IMAGES in version 3.
SNAPSHOT_KEYS = {"snapshotter", "disable_snapshot_annotations", "discard_unpacked_layers"}

#: Version 1: ids whose plugin type is not io.containerd.grpc.v1.
_IDS = {
    "cgroups": "io.containerd.monitor.v1.cgroups",
    "linux": "io.containerd.runtime.v1.linux",
    "scheduler": "io.containerd.gc.v1.scheduler",
    "bolt": "io.containerd.metadata.v1.bolt",
    "task": TASK,
    "opt": "io.containerd.internal.v1.opt",
    "restart": "io.containerd.internal.v1.restart",
    "tracing": "io.containerd.internal.v1.tracing",
    "otlp": "io.containerd.tracing.processor.v1.otlp",
    **{name: f"io.containerd.snapshotter.v1.{name}" for name in ("aufs", "btrfs", "devmapper", "native", "overlayfs", "zfs")},
}
_URI = re.compile(r"io\.containerd\..+?\.v\d+\.(.+)")

_SERVER = "io.containerd.server.v1."
#: Version 3 to version 4: sections of the server.
SECTIONS: t.Dict[Keys, Keys] = {
    **{
        ("grpc", key): ("plugins", f"{_SERVER}grpc", key)
        for key in ("address", "uid", "gid", "max_recv_message_size", "max_send_message_size")
    },
    ("grpc", "tcp_address"): ("plugins", f"{_SERVER}grpc-tcp", "address"),
    **{
        ("grpc", f"tcp_{key}"): ("plugins", f"{_SERVER}grpc-tcp", key)
        for key in ("tls_ca", "tls_cert", "tls_key", "tls_common_name")
    },
    **{("ttrpc", key): ("plugins", f"{_SERVER}ttrpc", key) for key in ("address", "uid", "gid")},
    **{("debug", key): ("plugins", f"{_SERVER}debug", key) for key in ("address", "uid", "gid")},
    ("metrics", "address"): ("plugins", f"{_SERVER}metrics", "address"),
    ("metrics", "grpc_histogram"): ("plugins", "io.containerd.metrics.v1.grpc-prometheus", "grpc_histogram"),
}
_SECTIONS_BACK = {new: old for old, new in SECTIONS.items()}


def uri(plugin: str) -> str:
    """The URI of a plugin, from its id in version 1."""
    if "." in plugin:
        return plugin
    if plugin in _IDS:
        return _IDS[plugin]
    return f"io.containerd.service.v1.{plugin}" if plugin.endswith("-service") else f"io.containerd.grpc.v1.{plugin}"


def _id(plugin: str) -> str:
    match = _URI.fullmatch(plugin)
    return match.group(1) if match else plugin


def _to3(path: Keys) -> t.Optional[Keys]:
    plugin, rest = path[1], path[2:]
    if plugin == TASK and rest[:1] == ("sched_core",):
        return ("plugins", SHIM, "env")
    if plugin != CRI:
        return ("plugins", RENAMED.get(plugin, plugin), *rest)
    if rest in ((), ("containerd",)):
        return None
    if rest[0] in SERVER_KEYS:
        return path
    if rest[0] == "sandbox_image":
        return ("plugins", IMAGES, "pinned_images", "sandbox")
    if rest[0] in IMAGE_KEYS:
        return ("plugins", IMAGES, *rest)
    if rest[0] == "containerd" and rest[1] in SNAPSHOT_KEYS:
        return ("plugins", IMAGES, *rest[1:])
    if rest[:2] == ("cni", "bin_dir"):
        rest = ("cni", "bin_dirs")
    if rest[:2] == ("containerd", "runtimes") and rest[3:] == ("sandbox_mode",):
        rest = (*rest[:3], "sandboxer")
    return ("plugins", RUNTIME, *rest)


def _to2(path: Keys) -> t.Optional[Keys]:
    plugin, rest = path[1], path[2:]
    if plugin in _RENAMED_BACK:
        return ("plugins", _RENAMED_BACK[plugin], *rest)
    if plugin == SHIM:
        return ("plugins", TASK, "sched_core") if rest == ("env",) else None
    if plugin == RUNTIME:
        if rest[:2] == ("cni", "bin_dirs"):
            rest = ("cni", "bin_dir")
        if rest[:2] == ("containerd", "runtimes") and rest[3:] == ("sandboxer",):
            rest = (*rest[:3], "sandbox_mode")
        return ("plugins", CRI, *rest)
    if plugin != IMAGES or not rest:
        return ("plugins", CRI) if plugin == IMAGES else path
    if rest == ("pinned_images", "sandbox"):
        return ("plugins", CRI, "sandbox_image")
    if rest[0] in SNAPSHOT_KEYS:
        return ("plugins", CRI, "containerd", *rest)
    return ("plugins", CRI, *rest) if rest[0] in IMAGE_KEYS else None


def spell(path: Keys, version: int) -> t.Optional[Keys]:
    """A key of any version in the spelling of the given version; None when there is no single key for it.

    That is the case for tables that a version splits, and for keys that it does not have.
    """
    found: t.Optional[Keys] = path
    if path[0] == "plugins" and len(path) > 1:
        found = ("plugins", uri(path[1]), *path[2:])
        if version < 4:
            found = _SECTIONS_BACK.get(found, found)
        if found[0] == "plugins":
            found = _to3(found) if version >= 3 else _to2(found)
        if found and version == 1 and found[0] == "plugins":
            found = ("plugins", _id(found[1]), *found[2:])
    if found and version >= 4:
        found = SECTIONS.get(found, found)
    return found


def matches(path: Keys, key: Keys) -> bool:
    """True when path equals key or is below it, in the spelling of any version."""
    spelled = (path, *(spell(path, version) for version in range(1, NEWEST + 1)))
    return any(one is not None and one[: len(key)] == key for one in spelled)


def spell_value(path: Keys, spelled: Keys, value: t.Any) -> t.Any:
    """The value for the key spelled when path has this value. LookupError when there is none."""
    old, new = path[-1], spelled[-1]
    if old != new and new == "bin_dirs":
        return [value]
    if old != new and new == "env":
        return ["SCHED_CORE=1"] if value is True else []
    if old != new and new == "bin_dir":
        if isinstance(value, list) and len(value) == 1:
            return value[0]
        raise LookupError
    if old != new and new == "sched_core":
        if value in ([], ["SCHED_CORE=1"]):
            return bool(value)
        raise LookupError
    return value


def spell_plugins(plugins: t.Sequence[t.Any], version: int) -> t.List[t.Any]:
    """The names in disabled_plugins and required_plugins, in the spelling of the version."""
    found: t.List[t.Any] = []
    for plugin in plugins:
        name = plugin
        if isinstance(plugin, str) and uri(plugin) != CRI:
            path = spell(("plugins", plugin), version)
            name = path[1] if path and path[0] == "plugins" else plugin
        elif isinstance(plugin, str):
            name = CRI if version > 1 else "cri"
        if name not in found:
            found.append(name)
    return found
