# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options in the record of a container, outside its specification."""

from __future__ import annotations

import typing as t

from ....engine.labels import LIMIT, LONG_LABELS, RESERVED
from ....engine.models import Container, Runtime
from ....errors import InvalidArgument, printable
from ....kernel.field import MORE, Field
from .row import Context, Draft, Host, Live, Row, Value, added_to_image, bad, fixed, parse_text, parse_text_map

_RUNTIME = "runc"
#: Bytes of all labels together.
_MOST = 1 << 20


def parse_labels(value: Value, option: str) -> t.Dict[str, str]:
    """Labels of the user. Labels that control daemons are refused (engine/labels.py: RESERVED)."""
    found = parse_text_map(value, option)
    for key in found:
        if not key or key.startswith(RESERVED):
            raise bad(option, key, "a label that can be set: its prefix is reserved")
    if sum(map(_size, found.items())) > _MOST:
        longest = max(found, key=lambda key: len(found[key]))
        raise InvalidArgument(f"{option}: all together have more than 1 MiB; the longest is {printable(longest, 80)}")
    return found


def _size(label: t.Tuple[str, str]) -> int:
    """In bytes, as containerd counts."""
    return sum(len(part.encode()) for part in label)


def labels_of(container: Container) -> t.Dict[str, str]:
    """The present ones of the user and the image. Those that containerd would refuse as too long are kept beside the others."""
    return {**container.extensions.get(LONG_LABELS, {}), **own_labels(container.labels)}


def own_labels(labels: t.Mapping[str, str]) -> t.Dict[str, str]:
    """The labels without those that control daemons."""
    return {key: value for key, value in labels.items() if not key.startswith(RESERVED)}


def parse_runtime(value: Value, option: str) -> str:
    text = parse_text(value, option)
    if text == Runtime().name:
        # The name of containerd's shim for runc.
        return _RUNTIME
    if not text or ("/" in text and not text.startswith("/")):
        raise bad(option, value, "an OCI runtime: expected a name such as runc, or an absolute path")
    return text


def find_runtime(host: Host, binary: str) -> None:
    """Raise NotFound if a start would not find the runtime."""
    if host.starts and not host.engine.tasks.find_runtime(binary):
        host.unseen.append(f"whether containerd finds the runtime {binary}")


def _check_runtime(host: Host, value: t.Optional[str]) -> None:
    from ....runtime.runc import runtime_warnings

    host.warnings.extend(runtime_warnings(value or _RUNTIME))
    find_runtime(host, value or _RUNTIME)


def _labels(draft: Draft, value: t.Mapping[str, str], context: Context) -> None:
    reserved = {key: item for key, item in draft.labels.items() if key.startswith(RESERVED)}
    long = {key: item for key, item in value.items() if _size((key, item)) > LIMIT}
    draft.labels = {**{key: item for key, item in value.items() if key not in long}, **reserved}
    draft.extensions[LONG_LABELS] = long


def _labels_there(container: Container, value: t.Mapping[str, str]) -> t.Dict[str, str]:
    """The present labels: other tools may have changed them."""
    return labels_of(container)


def parse_annotations(value: Value, option: str) -> t.Dict[str, str]:
    found = parse_text_map(value, option)
    if "" in found:
        raise bad(option, "", "the name of an annotation")
    return found


def _annotations(draft: Draft, value: t.Mapping[str, str], context: Context) -> None:
    draft.spec["annotations"] = dict(value)


def _runtime(draft: Draft, value: str, context: Context) -> None:
    draft.runtime = Runtime(binary=value)


ROWS = (
    Row(
        Field("labels", "dict", MORE),
        parse_labels,
        added_to_image("labels"),
        _labels,
        Live.RECORD,
        {"Config.Labels": lambda seen: labels_of(seen.container)},
        there=_labels_there,
    ),
    Row(
        Field("annotations", "dict", MORE),
        parse_annotations,
        fixed({}),
        _annotations,
        Live.NEVER,
        {"HostConfig.Annotations": lambda seen: dict(seen.spec.get("annotations") or {})},
    ),
    Row(
        Field("runtime"),
        parse_runtime,
        fixed(_RUNTIME),
        _runtime,
        Live.NEVER,
        {"HostConfig.Runtime": lambda seen: seen.container.runtime.binary},
        host=_check_runtime,
    ),
)
