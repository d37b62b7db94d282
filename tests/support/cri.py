# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kubelet asks: runtime.v1.ImageService and RuntimeService over the daemon's socket."""

from __future__ import annotations

import contextlib
import pathlib
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError
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
    "runtime.v1.Metadata": ["name:1:s", "uid:2:s", "namespace:3:s", "attempt:4:u"],
    "runtime.v1.Namespaces": ["network:1:i", "pid:2:i", "ipc:3:i"],
    "runtime.v1.SandboxSecurity": ["namespaces:1:m=runtime.v1.Namespaces"],
    "runtime.v1.SandboxLinux": ["cgroup_parent:1:s", "security:2:m=runtime.v1.SandboxSecurity"],
    "runtime.v1.Sandbox": ["metadata:1:m=runtime.v1.Metadata", "log_directory:3:s", "linux:8:m=runtime.v1.SandboxLinux"],
    "runtime.v1.RunPodSandboxRequest": ["config:1:m=runtime.v1.Sandbox"],
    "runtime.v1.ContainerMetadata": ["name:1:s"],
    "runtime.v1.Container": [
        *("metadata:1:m=runtime.v1.ContainerMetadata", "image:2:m=runtime.v1.ImageSpec", "command:3:*s", "log_path:11:s"),
    ],
    "runtime.v1.CreateContainerRequest": ["id:1:s", "config:2:m=runtime.v1.Container", "sandbox:3:m=runtime.v1.Sandbox"],
    #: All others that only name something, and all answers with nothing else.
    "runtime.v1.Id": ["id:1:s"],
}
_LIST = Method("/runtime.v1.ImageService/ListImages", "runtime.v1.ListImagesRequest", "runtime.v1.ListImagesResponse", "u")
_PULL = Method("/runtime.v1.ImageService/PullImage", "runtime.v1.PullImageRequest", "runtime.v1.PullImageResponse", "u")


def pull(address: str, image: str) -> str:
    """Pull without any credentials, as the kubelet does without pull secrets; the image's id. EngineError where that fails."""
    return str(_call(address, _PULL, {"image": {"image": image}})["image_ref"])


def answers(address: str) -> bool:
    """It does a moment after the daemon."""
    with contextlib.suppress(EngineError):
        pinned(address)
        return True
    return False


def pinned(address: str) -> t.Dict[str, bool]:
    """By name of an image, whether the kubelet's garbage collection leaves it alone."""
    found = _call(address, _LIST, {})["images"]
    return {name: image["pinned"] for image in found for name in image["repo_tags"]}


#: NamespaceMode: NODE.
_HOST = 2


class Pod:
    """A pod in the network of the host. directory: of its logs."""

    def __init__(self, address: str, name: str, directory: str) -> None:
        self._address, self._name = address, name
        namespaces = {"network": _HOST, "pid": 1, "ipc": 0}
        self._config = {
            "metadata": {"name": name, "uid": name, "namespace": "default", "attempt": 0},
            "log_directory": directory,
            "linux": {"cgroup_parent": f"/{name}", "security": {"namespaces": namespaces}},
        }
        self._id = self._ask("RunPodSandbox", "RunPodSandboxRequest", config=self._config)

    def _ask(self, what: str, message: str = "Id", **values: t.Any) -> str:
        method = Method(f"/runtime.v1.RuntimeService/{what}", f"runtime.v1.{message}", "runtime.v1.Id", "u")
        return str(_call(self._address, method, values)["id"])

    def start(self, name: str, image: str, command: t.Sequence[str]) -> str:
        """A container whose log is NAME.log. Its id."""
        config = {"metadata": {"name": name}, "image": {"image": image}, "command": command, "log_path": f"{name}.log"}
        made = self._ask("CreateContainer", "CreateContainerRequest", id=self._id, config=config, sandbox=self._config)
        self._ask("StartContainer", id=made)
        return made

    def reopen(self, container_id: str) -> None:
        """As the kubelet does after it has moved the log away."""
        self._ask("ReopenContainerLog", id=container_id)

    def remove(self) -> None:
        """With its containers, and the control groups, which are the kubelet's."""
        self._ask("StopPodSandbox", id=self._id)
        self._ask("RemovePodSandbox", id=self._id)
        for depth in ("", "*/"):
            for path in pathlib.Path("/sys/fs/cgroup").glob(f"{depth}{self._name}"):
                path.rmdir()


def _call(address: str, method: Method, message: t.Mapping[str, t.Any]) -> t.Any:
    protobuf._sources().update(_MESSAGES)
    with contextlib.closing(Channel(address, "k8s.io")) as channel, Stream(channel, method, 60.0, True) as stream:
        stream.send(message, end=True)
        answer = stream.receive()
        stream.receive()
    assert answer is not None
    return answer
