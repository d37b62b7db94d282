# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ImageStore over containerd's image service."""

from __future__ import annotations

import typing as t

from ..engine.labels import merged
from ..engine.models import Image
from ..errors import AlreadyExists, FailedPrecondition, NotFound, printable
from ..oci.digest import Digest
from .leases import COLLECT_SECONDS
from .values import Message, descriptor_message, descriptor_of, seconds

if t.TYPE_CHECKING:
    from ..rpc.channel import Channel

#: The namespace of the kubelet's images. Its CRI plugin adopts a record by itself; we make the record by digest that it needs.
KUBERNETES = "k8s.io"


def _image(message: Message) -> Image:
    return Image(
        message["name"],
        descriptor_of(message["target"]),
        dict(message["labels"]),
        seconds(message["created_at"]),
        seconds(message["updated_at"]),
    )


class ImageProxy:
    """Image records of one namespace. settle: makes everything durable that a record may refer to. tidy: called before a collection."""

    def __init__(self, rpc: Channel, settle: t.Callable[[], None], tidy: t.Callable[[], t.Any]) -> None:
        self._rpc, self._settle, self._tidy = rpc, settle, tidy

    def get(self, name: str) -> Image:
        try:
            return _image(self._rpc.call("images.v1.Images/Get", {"name": name})["image"])
        except NotFound as error:
            raise NotFound(f"no image {printable(name, 200)} in namespace {self._rpc.namespace}") from error

    def list(self) -> t.List[Image]:
        found = self._rpc.call("images.v1.Images/List")["images"]
        return sorted(map(_image, found), key=lambda image: image.name)

    def put(self, image: Image) -> Image:
        self._settle()
        if self._rpc.namespace == KUBERNETES and "@" not in image.name and "/" in image.name:
            self._put(image._replace(name=_by_digest(image)))
        return self._put(image)

    def _put(self, image: Image) -> Image:
        message = {"name": image.name, "labels": merged({}, image.labels), "target": descriptor_message(image.target)}
        try:
            return _image(self._rpc.call("images.v1.Images/Create", {"image": message})["image"])
        except AlreadyExists:
            message["labels"] = merged(self.get(image.name).labels, image.labels)
            mask = {"paths": ["target", "labels"]}
            return _image(self._rpc.call("images.v1.Images/Update", {"image": message, "update_mask": mask})["image"])

    def delete(self, name: str, target: t.Optional[Digest] = None, collect: bool = True) -> None:
        found = self.get(name)
        if target is not None and found.target.digest != target:
            raise FailedPrecondition(f"the image {printable(name, 200)} is {found.target.digest} by now, not {target}")
        if collect:
            self._tidy()
        for other in self.companions(found, self.list() if self._rpc.namespace == KUBERNETES else []):
            self._delete(other, sync=False)
        self._delete(name, sync=collect)

    def _delete(self, name: str, sync: bool) -> None:
        self._rpc.call("images.v1.Images/Delete", {"name": name, "sync": sync}, COLLECT_SECONDS)

    def companions(self, image: Image, records: t.Sequence[Image]) -> t.List[str]:
        """In the kubelet's namespace: the records of the same image, unless another name needs them."""
        if self._rpc.namespace != KUBERNETES or "@" in image.name:
            return []
        same = [one.name for one in records if one.target.digest == image.target.digest and one.name != image.name]
        if any("@" not in name and not name.startswith("sha256:") for name in same):
            return [name for name in same if name == _by_digest(image)] if not _same_repository(same, image) else []
        return same


def _repository(name: str) -> str:
    name = name.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


def _by_digest(image: Image) -> str:
    return f"{_repository(image.name)}@{image.target.digest}"


def _same_repository(names: t.Iterable[str], image: Image) -> bool:
    return any("@" not in name and _repository(name) == _repository(image.name) for name in names)
