# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pulls as the kubelet asks for them: runtime.v1.ImageService over the daemon's socket."""

from __future__ import annotations

import contextlib

from ansible_collections.fleet.containerd.plugins.module_utils.rpc import protobuf
from ansible_collections.fleet.containerd.plugins.module_utils.rpc.channel import Channel, Method, Stream

#: Of Kubernetes' cri-api, by field: name, number, kind (s: string, m: message).
_MESSAGES = {
    "runtime.v1.ImageSpec": ["image:1:s"],
    "runtime.v1.PullImageRequest": ["image:1:m=runtime.v1.ImageSpec"],
    "runtime.v1.PullImageResponse": ["image_ref:1:s"],
}
_PULL = Method("/runtime.v1.ImageService/PullImage", "runtime.v1.PullImageRequest", "runtime.v1.PullImageResponse", "u")


def pull(address: str, image: str) -> str:
    """Pull without any credentials, as the kubelet does without pull secrets; the image's id. EngineError where that fails."""
    protobuf._sources().update(_MESSAGES)
    with contextlib.closing(Channel(address, "k8s.io")) as channel, Stream(channel, _PULL, 60.0, True) as stream:
        stream.send({"image": {"image": image}}, end=True)
        answer = stream.receive()
        stream.receive()
    assert answer
    return str(answer["image_ref"])
