# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our part of the API against two independent sources: Debian's copy of containerd's .proto files, and live daemons."""

from __future__ import annotations

import pathlib
import re
import sys
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils import errors
from ansible_collections.fleet.containerd.plugins.module_utils.rpc import channel as rpc
from ansible_collections.fleet.containerd.plugins.module_utils.rpc import descriptors, protobuf
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES, ROOT, running_containerd

sys.path.insert(0, str(ROOT / "tools"))
import containerds

METHODS = [descriptors.METHODS.split()[i : i + 4] for i in range(0, len(descriptors.METHODS.split()), 4)]
#: Not in 1.6's files yet; older daemons skip what they do not know.
NEWER = {
    "containerd.services.containers.v1.Container.sandbox",
    "containerd.services.diff.v1.ApplyRequest.sync_fs",
    "containerd.services.images.v1.CreateImageRequest.source_date_epoch",
    "containerd.services.images.v1.DeleteImageRequest.target",
    "containerd.services.images.v1.UpdateImageRequest.source_date_epoch",
    "containerd.services.snapshots.v1.CommitSnapshotRequest.parent",
    "containerd.services.tasks.v1.CreateTaskRequest.runtime_path",
    "containerd.services.tasks.v1.CreateTaskRequest.task_api_address",
    "containerd.services.tasks.v1.CreateTaskRequest.task_api_version",
    "containerd.runc.v1.Options.task_api_address",
    "containerd.runc.v1.Options.task_api_version",
    "containerd.types.Mount.target",
    "containerd.types.Platform.os_features",
    "containerd.types.Platform.os_version",
}
#: Named otherwise by us.
ALIASES = {"google.rpc.Status": "RpcStatus"}
KINDS = {"string": "s", "bytes": "b", "bool": "?", "int64": "i", "int32": "i", "uint32": "u", "uint64": "u", "sint64": "i"}


def theirs() -> t.Tuple[t.Dict[str, t.Dict[str, t.Tuple[int, str, str]]], t.Dict[str, t.Tuple[str, str, bool, bool]]]:
    """Messages (field: number, mode, type as written) and methods (request, answer, streams) of Debian's files."""
    messages: t.Dict[str, t.Dict[str, t.Tuple[int, str, str]]] = {}
    methods: t.Dict[str, t.Tuple[str, str, bool, bool]] = {}
    for path in containerds.fetch("bookworm", "golang-github-containerd-containerd-dev").rglob("*.proto"):
        if "ttrpc" in path.parts or "v1/shim" in str(path):
            continue
        text = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.S)
        package = re.search(r"^package ([\w.]+);", text, re.M)
        if package:
            read(text, package.group(1), messages, methods)
    return messages, methods


def read(text: str, package: str, messages: t.Any, methods: t.Any) -> None:
    scope: t.List[str] = [package]
    token = re.compile(
        r"(?P<block>message|enum|service|oneof)\s+(?P<name>\w+)\s*\{|(?P<close>\})|"
        r"rpc\s+(?P<rpc>\w+)\s*\((?P<a>stream\s+)?(?P<req>[\w.]+)\)\s*returns\s*\((?P<b>stream\s+)?(?P<resp>[\w.]+)\)|"
        r"(?P<mode>repeated\s+)?(?P<type>map\s*<[^>]+>|[\w.]+)\s+(?P<field>\w+)\s*=\s*(?P<number>\d+)\s*(?:\[[^;]*\])?;"
    )
    for found in token.finditer(text):
        if found["block"]:
            scope.append(found["name"])
        elif found["close"] and len(scope) > 1:
            scope.pop()
        elif found["rpc"]:
            methods[f"{'.'.join(scope)}/{found['rpc']}"] = (found["req"], found["resp"], bool(found["a"]), bool(found["b"]))
        elif found["field"]:
            mode = "*" if found["mode"] else ""
            messages.setdefault(".".join(scope), {})[found["field"]] = (int(found["number"]), mode, found["type"])


@pytest.mark.daemon
def test_messages_and_methods_are_those_of_debian() -> None:
    messages, methods = theirs()
    wrong, compared = [], 0
    for name in sorted(token for token in descriptors.MESSAGES.split() if ":" not in token):
        if name.startswith("google.") or name not in messages:
            continue
        for field in protobuf.fields(name).values():
            if f"{name}.{field.name}" in NEWER and field.name not in messages[name]:
                continue
            number, mode, kind = messages[name].get(field.name, (0, "", ""))
            kind = ALIASES.get(kind, kind)
            compared += 1
            if kind.startswith("map"):
                mode, kind = "%", kind.partition(",")[2].strip(" >")
            same_kind = KINDS.get(kind, "") == field.kind or (
                field.type.rpartition(".")[2] == kind.rpartition(".")[2]
                if field.kind == "m"
                else kind[:1].isupper() or "." in kind
            )
            if (number, mode) != (field.number, field.mode) or not same_kind:
                wrong.append(f"{name}.{field.name}: {number} {mode}{kind}, ours {field.number} {field.mode}{field.kind}")
    assert wrong == []
    assert compared > 200
    for path, request, response, kind in METHODS:
        theirs_request, theirs_response, up, down = methods[path]
        assert request.endswith(theirs_request.rpartition(".")[2]), path
        assert response.endswith(theirs_response.rpartition(".")[2]), path
        assert kind == ("d" if up else "s" if down else "u"), path


@pytest.mark.daemon
@pytest.mark.parametrize("version", sorted(RELEASES))
def test_every_method_is_known_to_the_daemon(version: str) -> None:
    """And every message that we send is understood: nothing but errors about what it says."""
    with running_containerd(version) as daemon:
        channel = rpc.Channel(daemon.address, "test")
        for path, _request, _answer, kind in METHODS:
            method = path[len(rpc.PREFIX) :]
            try:
                if kind == "u":
                    channel.call(method, {}, 20)
                else:
                    with channel.open(method, 20, whole=False) as stream:
                        stream.send({}, end=True)
                        while stream.receive() is not None:
                            pass
            except errors.Unimplemented as error:
                pytest.fail(f"{method}: {error}")
            except errors.EngineError:
                continue


def test_the_protos_are_plain() -> None:
    """What old protobuf runtimes would not take stays out."""
    for path in (ROOT / "protos").glob("*.proto"):
        text = pathlib.Path(path).read_text()
        assert 'syntax = "proto3";' in text
        assert not re.search(r"^\s*(optional|extend|edition|oneof)\b", text, re.M)


def test_nothing_is_sent_that_nobody_calls() -> None:
    source = "".join(path.read_text() for path in (ROOT / "plugins/module_utils/engine_containerd").glob("*.py"))
    names = [path.rpartition("/")[2] for path, *_types in METHODS]
    assert [name for name in names if f'/{name}"' not in source and f'"{name}"' not in source] == []
