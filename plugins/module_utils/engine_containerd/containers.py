# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ContainerStore over containerd's container service."""

from __future__ import annotations

import typing as t

from ..engine.labels import NAME
from ..engine.models import Container, Labels, Runtime
from ..errors import AlreadyExists, DataLoss, FailedPrecondition, InvalidArgument, NotFound, printable
from ..rpc import protobuf
from ..runtime_spec.user_namespace import Mapping
from .values import Message, json_any, json_of, label_filter, seconds

if t.TYPE_CHECKING:
    from ..rpc.channel import Channel

#: No type.googleapis.com/ before any of them: containerd 1.6 does not find the type then.
SPEC = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
RUNC_OPTIONS = "containerd.runc.v1.Options"
#: The type of our extensions; those with another type belong to other tools.
EXTENSION = "fleet.containerd/json"
#: The extension of the CRI plugin.
_CRI = "io.cri-containerd.container.metadata"
_UPDATABLE = ("labels", "spec", "extensions", "image")


def _container(message: Message) -> Container:
    runtime = message["runtime"] or {"name": "", "options": None}
    what = f"of the container {printable(message['id'], 80)}"
    extensions = {
        name: json_of(value, f"the extension {printable(name, 80)} {what}")
        for name, value in message["extensions"].items()
        if value["type_url"] == EXTENSION and value["value"]
    }
    spec = message["spec"]
    return Container(
        id=message["id"],
        image=message["image"],
        spec=json_of(spec, f"the runtime spec {what}") if spec and spec["type_url"].endswith("Spec") else {},
        snapshotter=message["snapshotter"],
        snapshot_key=message["snapshot_key"],
        labels=dict(message["labels"]),
        runtime=Runtime(runtime["name"], _binary(runtime["options"])),
        extensions=extensions,
        created_at=seconds(message["created_at"]),
        updated_at=seconds(message["updated_at"]),
        cri_log=_cri_log(message["extensions"]),
    )


def _cri_log(extensions: t.Mapping[str, Message]) -> str:
    """containerd, internal/cri/store/container/metadata.go. It has no promise to us, so anything else is no log."""
    found = extensions.get(_CRI)
    try:
        path = json_of(found, _CRI)["Metadata"]["LogPath"] if found and found["type_url"] != EXTENSION else ""
    except (DataLoss, KeyError, TypeError):
        return ""
    return path if isinstance(path, str) else ""


def _binary(options: t.Optional[Message]) -> str:
    """The OCI runtime that the shim uses."""
    if not options or options["type_url"] != RUNC_OPTIONS:
        return "runc"
    try:
        return str(protobuf.decode(RUNC_OPTIONS, options["value"])["binary_name"]) or "runc"
    except protobuf.Malformed:
        return "runc"


def _runtime(container: Container) -> t.Dict[str, t.Any]:
    """The runtime with its options: tasks and the restart monitor read them from the record."""
    from ..runtime_spec.cgroups import made_by_systemd

    mapping = Mapping.of(container.spec)
    options = {
        "binary_name": "" if container.runtime.binary == "runc" else container.runtime.binary,
        "systemd_cgroup": made_by_systemd(container.spec),
        **({"io_uid": mapping.uid, "io_gid": mapping.gid} if mapping else {}),
    }
    value = {"type_url": RUNC_OPTIONS, "value": protobuf.encode(RUNC_OPTIONS, options)}
    return {"name": container.runtime.name, "options": value}


class ContainerProxy:
    """Container records of one namespace. removing: a context for the removal of a container by its id. making: see engine/api.pyi."""

    def __init__(
        self,
        rpc: Channel,
        removing: t.Callable[[str, bool], t.ContextManager[None]],
        making: t.Callable[[], t.ContextManager[t.Any]],
    ) -> None:
        self._rpc, self._removing, self.making = rpc, removing, making

    def _get(self, container_id: str) -> Message:
        try:
            found: Message = self._rpc.call("containers.v1.Containers/Get", {"id": container_id})["container"]
            return found
        except (NotFound, InvalidArgument) as error:
            # Some names cannot be an id, so no container has them.
            raise NotFound(f"no container {printable(container_id, 100)} in namespace {self._rpc.namespace}") from error

    def get(self, container_id: str) -> Container:
        return _container(self._get(container_id))

    def list(self, labels: t.Optional[Labels] = None) -> t.List[Container]:
        found = self._rpc.call("containers.v1.Containers/List", {"filters": label_filter(labels)})["containers"]
        return sorted(map(_container, found), key=lambda one: (one.created_at, one.id))

    def _check_name(self, container: Container) -> None:
        """Check that the name is free, since the daemon knows no names. The caller holds the lock on the name (Engine.lock)."""
        name = container.labels.get(NAME)
        if name and any(other.id != container.id for other in self.list({NAME: name})):
            raise AlreadyExists(f"a container with the name {printable(name, 100)} exists in namespace {self._rpc.namespace}")

    def create(self, container: Container) -> Container:
        self._check_name(container)
        message = {
            "id": container.id,
            "image": container.image,
            "labels": dict(container.labels),
            "runtime": _runtime(container),
            "spec": json_any(SPEC, container.spec),
            "snapshotter": container.snapshotter,
            "snapshot_key": container.snapshot_key,
            "extensions": {name: json_any(EXTENSION, value) for name, value in container.extensions.items()},
        }
        return _container(self._rpc.call("containers.v1.Containers/Create", {"container": message})["container"])

    def update(self, container: Container, fields: t.Sequence[str]) -> Container:
        for field in fields:
            if field not in _UPDATABLE:
                raise InvalidArgument(f"{field} of a container cannot be updated; these can: {', '.join(_UPDATABLE)}")
        message = dict(self._get(container.id))
        if "labels" in fields:
            self._check_name(container)
            message["labels"] = dict(container.labels)
        if "spec" in fields:
            message["spec"] = json_any(SPEC, container.spec)
        if "image" in fields:
            message["image"] = container.image
        if "extensions" in fields:
            # The daemon does not store an empty map of extensions, so a removed one becomes an empty value.
            gone = {"type_url": EXTENSION, "value": b""}
            foreign = {name: value if value["type_url"] != EXTENSION else gone for name, value in message["extensions"].items()}
            own = {name: json_any(EXTENSION, value) for name, value in container.extensions.items()}
            message["extensions"] = {**foreign, **own}
        request = {"container": message, "update_mask": {"paths": list(fields)}}
        return _container(self._rpc.call("containers.v1.Containers/Update", request)["container"])

    def delete(self, container_id: str, keep_volumes: bool = False) -> None:
        """Check for a task first: the daemon would delete the record of a running container, which then nobody could reach."""
        self._get(container_id)
        try:
            self._rpc.call("tasks.v1.Tasks/Get", {"container_id": container_id})
        except NotFound:
            with self._removing(container_id, keep_volumes):
                self._rpc.call("containers.v1.Containers/Delete", {"id": container_id})
            return
        raise FailedPrecondition(f"the container {container_id[:12]} has a task: stop it and delete the task first")
