# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversions between containerd's messages and our values: times, label filters, descriptors, mounts, JSON in an Any."""

from __future__ import annotations

import json
import os
import typing as t

from ..engine.models import Labels, LayerTarget, Mount
from ..errors import DataLoss, printable
from ..oci.descriptor import Descriptor
from ..oci.digest import Digest

Message = t.Mapping[str, t.Any]


def seconds(timestamp: t.Optional[Message]) -> float:
    """A google.protobuf.Timestamp as seconds since the epoch; 0.0 for none (Go's zero time is before the epoch)."""
    if not timestamp or timestamp["seconds"] < 0:
        return 0.0
    return float(timestamp["seconds"]) + float(timestamp["nanos"]) / 1e9


def label_filter(labels: t.Optional[Labels]) -> t.List[str]:
    """A filter of containerd (filters/filter.go) for objects with all these labels. An empty value means any value."""
    if not labels:
        return []
    parts = [f"labels.{json.dumps(key)}" + (f"=={json.dumps(value)}" if value else "") for key, value in labels.items()]
    return [",".join(parts)]


def descriptor_message(descriptor: Descriptor) -> t.Dict[str, t.Any]:
    """containerd.types.Descriptor. It has no platform and no artifact type."""
    return {
        "media_type": descriptor.media_type,
        "digest": str(descriptor.digest),
        "size": descriptor.size,
        "annotations": dict(descriptor.annotations),
    }


def descriptor_of(message: t.Optional[Message]) -> Descriptor:
    if message is None:
        raise DataLoss("containerd has a record without a descriptor")
    return Descriptor(message["media_type"], Digest.parse(message["digest"]), message["size"], annotations=message["annotations"])


def mounts_of(messages: t.Iterable[Message]) -> t.List[Mount]:
    return [Mount(entry["type"], entry["source"], tuple(entry["options"])) for entry in messages]


def mount_messages(mounts: t.Iterable[Mount]) -> t.List[t.Dict[str, t.Any]]:
    return [{"type": mount.type, "source": mount.source, "options": list(mount.options)} for mount in mounts]


def target_of(mounts: t.Sequence[Mount]) -> t.Optional[LayerTarget]:
    """The directories in the mounts of a snapshot; None for other kinds of mounts, or directories of another host."""
    trees: t.List[str] = []
    if len(mounts) == 1 and mounts[0].type == "overlay":
        options = dict(option.partition("=")[::2] for option in mounts[0].options)
        # A view has no upper directory.
        trees = [path for path in (options.get("upperdir"), *options.get("lowerdir", "").split(":")) if path]
    elif len(mounts) == 1 and mounts[0].type == "bind":
        trees = [mounts[0].source]
    if not trees or not os.path.isdir(trees[0]):
        return None
    return LayerTarget(trees[0], tuple(trees[1:]), mounts[0].type == "overlay")


def json_any(type_url: str, value: t.Any) -> t.Dict[str, t.Any]:
    """A google.protobuf.Any with JSON, as in containerd's typeurl."""
    return {"type_url": type_url, "value": json.dumps(value, separators=(",", ":")).encode()}


def json_of(message: t.Optional[Message], what: str) -> t.Dict[str, t.Any]:
    """The JSON object in an Any; empty for none. DataLoss unless it is a JSON object."""
    if not message or not message["value"]:
        return {}
    try:
        found = json.loads(message["value"])
    except (ValueError, RecursionError) as error:
        raise DataLoss(f"{what} is not JSON: {printable(error, 100)}") from error
    if not isinstance(found, dict):
        raise DataLoss(f"{what} is not a JSON object")
    return found
