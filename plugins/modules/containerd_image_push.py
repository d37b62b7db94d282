#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_image_push
short_description: Push container images to registries
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Makes sure that a registry has an image that is present on the target.
  - The registry is asked first, in check mode too. Nothing is sent when its tag is the image already.
  - Blobs that the registry has are not sent. Blobs that were pulled from another repository of the registry are mounted from
    there. The tag is set last.
  - A registry that has the image with its complete index counts as up to date, even if the target has only some of the platforms.
requirements:
  - requests
attributes:
  diff_mode:
    support: full
extends_documentation_fragment:
  - fleet.containerd.attributes
  - fleet.containerd.attributes.both
  - fleet.containerd.engine
  - fleet.containerd.registry
  - fleet.containerd.registry.credentials
options:
  name:
    description:
      - The image, as C([registry/]repository[:tag][@digest]), or an image id (C(sha256:) and 64 hex digits).
    type: str
    required: true
  tag:
    description:
      - The tag, if O(name) has none.
    type: str
    default: latest
  destination:
    description:
      - Where the image goes, as C([registry/]repository[:tag]). Without a tag, that of O(name) is used.
      - When not set, the image goes to the registry in its name.
    type: str
  platforms:
    description:
      - The platforms to push of a multi-platform image, each as C(os/architecture[/variant]).
      - When not set, those that are present on the target.
      - V(all) alone means all platforms of the image. The task fails when one is missing.
      - When these are not all platforms of the image, an index is pushed that lists only them. It has another digest than the one on the target.
    type: list
    elements: str
  max_parallel:
    description:
      - How many blobs are transferred at the same time.
    type: int
    default: 3
  chunk_size:
    description:
      - Send blobs in requests of this size, for example V(16m), for proxies that limit the size of a request.
      - When not set, each blob is sent in one request.
    type: str
seealso:
  - module: fleet.containerd.containerd_image_copy
  - module: fleet.containerd.containerd_image_tag
"""

EXAMPLES = r"""
- name: Push an image to another registry
  fleet.containerd.containerd_image_push:
    name: docker.io/library/nginx:1.27
    destination: registry.example.com/mirror/nginx
    username: robot
    password: "{{ registry_password }}"

- name: Push two platforms to the registry in the name of the image
  fleet.containerd.containerd_image_push:
    name: registry.example.com/team/app:stable
    platforms:
      - linux/amd64
      - linux/arm64
    chunk_size: 16m
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["push image docker.io/library/nginx:1.27 to registry.example.com/mirror/nginx:1.27"]
destination:
  description: The name of the image in the registry.
  returned: always
  type: str
  sample: registry.example.com/mirror/nginx:1.27
digest:
  description: The digest of the pushed image.
  returned: always
  type: str
  sample: sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83
image:
  description: The image, in the shape of C(docker image inspect).
  returned: always
  type: dict
missing_platforms:
  description: Platforms of the image that are not present on the target, and therefore not pushed.
  returned: always
  type: list
  elements: str
  sample: ["linux/arm64"]
pushed:
  description: What was transferred.
  returned: when an image was pushed
  type: dict
  contains:
    blobs:
      description: The digests of the blobs that were sent.
      type: list
      elements: str
      returned: always
    mounted:
      description: The digests of the blobs that were mounted from other repositories of the registry.
      type: list
      elements: str
      returned: always
    existing:
      description: The number of blobs that the registry had already.
      type: int
      returned: always
    bytes:
      description: Bytes that were sent.
      type: int
      returned: always
    seconds:
      description: How long it took.
      type: float
      returned: always
  sample:
    blobs: [sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83]
    mounted: []
    existing: 4
    bytes: 70123456
    seconds: 2.5
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_image_push import SPEC
from ..module_utils.kernel.engines import opened
from ..module_utils.kernel.module import run
from ..module_utils.resources.image.push import ImagePushResource


def main() -> None:
    run(ImagePushResource(), SPEC, cache, opened)


if __name__ == "__main__":
    main()
