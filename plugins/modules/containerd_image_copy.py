#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_image_copy
short_description: Copy container images between registries
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Makes sure that one registry has an image of another one. The bytes go through the host that the task runs on, and nothing is
    stored there. No engine is needed.
  - Both registries are asked first, in check mode too. Nothing is copied when the destination's tag is the image already.
  - Blobs that the destination has are not copied. Within one registry they are mounted instead of sent.
    The tag is set last, so it never names an incomplete image.
  - Mirrors and certificates of O(registry_config_dir) are used for both registries.
requirements:
  - requests
attributes:
  diff_mode:
    support: full
extends_documentation_fragment:
  - fleet.containerd.attributes
  - fleet.containerd.attributes.registry
  - fleet.containerd.registry
  - fleet.containerd.registry.credentials
options:
  src:
    description:
      - The image to copy, as C([registry/]repository[:tag][@digest]). Without tag and digest, V(latest) is used.
    type: str
    required: true
  dest:
    description:
      - Where the image goes, as C([registry/]repository[:tag]). Without a tag, that of O(src) is used.
    type: str
    required: true
  platforms:
    description:
      - The platforms to copy of a multi-platform image, each as C(os/architecture[/variant]).
      - When not set, or V(all), everything that the index lists is copied. The copy then has the same digest.
      - With some platforms, an index is made that lists only these. It has another digest.
      - A destination that has the image with its complete index counts as up to date.
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
  username:
    description:
      - User name for the registry of O(dest), and for that of O(src) when it is the same one. Needs O(password).
      - When neither this nor O(token) is set, the credentials are looked up in O(auth_file).
    type: str
  password:
    description:
      - Password for the registry of O(dest), and for that of O(src) when it is the same one.
    type: str
  token:
    description:
      - A bearer token that is sent as it is to the registry of O(dest), and to that of O(src) when it is the same one.
    type: str
  src_username:
    description:
      - User name for the registry of O(src), when it is another one. Needs O(src_password).
      - When neither this nor O(src_token) is set, the credentials are looked up in O(auth_file).
    type: str
  src_password:
    description:
      - Password for the registry of O(src), when it is another one.
    type: str
  src_token:
    description:
      - A bearer token that is sent as it is to the registry of O(src), when it is another one.
    type: str
  src_plain_http:
    description:
      - Talk plain HTTP to the registry of O(src). When not set, O(plain_http) counts.
    type: bool
  src_validate_certs:
    description:
      - Whether the TLS certificate of the registry of O(src) must be valid. When not set, O(validate_certs) counts.
    type: bool
seealso:
  - module: fleet.containerd.containerd_image_push
"""

EXAMPLES = r"""
- name: Mirror an image with all its platforms
  fleet.containerd.containerd_image_copy:
    src: source.example.com/library/nginx:1.27
    dest: registry.example.com/mirror/nginx
    username: robot
    password: "{{ registry_password }}"

- name: Promote a build, for one platform
  fleet.containerd.containerd_image_copy:
    src: source.example.com/team/app:build-17
    dest: source.example.com/team/app:stable
    platforms: linux/amd64
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["copy image source.example.com/library/nginx:1.27 to registry.example.com/mirror/nginx:1.27"]
src:
  description: The image that is copied.
  returned: always
  type: str
  sample: source.example.com/library/nginx:1.27
destination:
  description: Its name in the other registry.
  returned: always
  type: str
  sample: registry.example.com/mirror/nginx:1.27
digest:
  description: The digest of the copy.
  returned: always
  type: str
  sample: sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83
copied:
  description: What was transferred.
  returned: when an image was copied
  type: dict
  contains:
    blobs:
      description: The digests of the blobs that were sent.
      type: list
      elements: str
      returned: always
    mounted:
      description: The digests of the blobs that were mounted within the registry.
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

from ..module_utils.argument_specs.containerd_image_copy import SPEC
from ..module_utils.kernel.module import run
from ..module_utils.resources.image.copy import ImageCopyResource


def main() -> None:
    run(ImageCopyResource(), SPEC, cache)


if __name__ == "__main__":
    main()
