# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kubelet asks of images: runtime.v1.ImageService over the daemon's socket."""

from __future__ import annotations

import contextlib
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.rpc import protobuf
from ansible_collections.fleet.containerd.plugins.module_utils.rpc.channel import Channel, Method, Stream

#: Of Kubernetes' cri-api, by field: name, number, kind (s: string, m: message).
_MESSAGES = {
    "runtime.v1.ImageSpec": ["image:1:s"],
    "runtime.v1.PullImageRequest": ["image:1:m=runtime.v1.ImageSpec"],
    "runtime.v1.PullImageResponse": ["image_ref:1:s"],
    "runtime.v1.ListImagesRequest": [],
    "runtime.v1.ListImagesResponse": ["images:1:*m=runtime.v1.Image"],
    "runtime.v1.Image": ["id:1:s", "repo_tags:2:*s", "repo_digests:3:*s", "pinned:8:?"],
}
_LIST = Method("/runtime.v1.ImageService/ListImages", "runtime.v1.ListImagesRequest", "runtime.v1.ListImagesResponse", "u")
_PULL = Method("/runtime.v1.ImageService/PullImage", "runtime.v1.PullImageRequest", "runtime.v1.PullImageResponse", "u")


def pull(address: str, image: str) -> str:
    """Pull without any credentials, as the kubelet does without pull secrets; the image's id. EngineError where that fails."""
    return str(_call(address, _PULL, {"image": {"image": image}})["image_ref"])


def pinned(address: str) -> t.Dict[str, bool]:
    """By name of an image, whether the kubelet's garbage collection leaves it alone."""
    found = _call(address, _LIST, {})["images"]
    return {name: image["pinned"] for image in found for name in image["repo_tags"]}


def _call(address: str, method: Method, message: t.Mapping[str, t.Any]) -> t.Any:
    protobuf._sources().update(_MESSAGES)
    with contextlib.closing(Channel(address, "k8s.io")) as channel, Stream(channel, method, 60.0, True) as stream:
        stream.send(message, end=True)
        answer = stream.receive()
        stream.receive()
    assert answer is not None
    return answer
