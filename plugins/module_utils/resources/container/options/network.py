# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the network."""

from __future__ import annotations

import json
import os
import typing as t

from ....engine import labels as L
from ....kernel.field import Field
from ....runtime_spec.mounts import bind_files
from ....runtime_spec.network import HOSTS, RESOLVER, hosts_file, share_host_network
from ....runtime_spec.process import add_env
from .row import Context, Draft, Live, Row, Seen, Value, bad, fixed, parse_text


class NetworkMode(t.NamedTuple):
    """The network of a container. name: host, or none for its own network with nothing in it."""

    name: str

    @property
    def of_host(self) -> bool:
        return self.name == "host"


def parse_hostname(value: Value, option: str) -> str:
    text = parse_text(value, option)
    labels = text.split(".")
    if not 1 <= len(text) <= 64 or not all(part and part.replace("-", "a").isalnum() and part.isascii() for part in labels):
        raise bad(option, value, "a host name (letters, digits, hyphens and dots, at most 64)")
    return text


def _hostname(draft: Draft, value: t.Optional[str], context: Context) -> None:
    """In the host's network it is the name of the host, as in Docker: it belongs to the addresses there."""
    own = os.uname().nodename if context.values["network_mode"].of_host else context.container_id[:12]
    draft.spec["hostname"] = draft.labels[L.HOSTNAME] = value or own
    add_env(draft.spec, {"HOSTNAME": draft.spec["hostname"]})


def _network_mode(draft: Draft, value: NetworkMode, context: Context) -> None:
    """In the host's network the files are those of the host, if it has them."""
    files = {path: path for path in (HOSTS, RESOLVER) if value.of_host and os.path.isfile(path)}
    if value.of_host:
        share_host_network(draft.spec)
    if HOSTS not in files:
        files[HOSTS] = os.path.join(context.directory, "hosts")
        draft.files[files[HOSTS]] = hosts_file(draft.spec["hostname"])
    bind_files(draft.spec, files)
    draft.labels[L.NETWORKS] = json.dumps([value.name])


def _name(value: NetworkMode) -> str:
    return value.name


def _network_mode_seen(seen: Seen) -> str:
    if "network_mode" in seen.values:
        return str(seen.values["network_mode"].name)
    namespaces = (seen.spec.get("linux") or {}).get("namespaces") or ()
    return "none" if any(one.get("type") == "network" for one in namespaces) else "host"


ROWS = (
    Row(
        Field("hostname"),
        parse_hostname,
        fixed(None),
        _hostname,
        Live.NEVER,
        {"Config.Hostname": lambda seen: seen.spec.get("hostname") or seen.container.labels.get(L.HOSTNAME, "")},
    ),
    Row(
        Field("network_mode", show=_name),
        lambda value, option: NetworkMode(parse_text(value, option)),
        fixed(NetworkMode("none")),
        _network_mode,
        Live.NEVER,
        {"HostConfig.NetworkMode": _network_mode_seen, "NetworkSettings.Networks": lambda seen: {}},
        dump=_name,
        load=NetworkMode,
    ),
)
