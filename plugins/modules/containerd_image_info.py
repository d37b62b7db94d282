#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_image_info
short_description: Show container images
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Returns the images of a namespace in the shape of C(docker image inspect).
extends_documentation_fragment:
  - fleet.containerd.attributes.info
  - fleet.containerd.attributes.containerd
  - fleet.containerd.engine
options:
  name:
    description:
      - The images to show, by name or by image id (C(sha256:) and 64 hex digits). All images when not set.
      - Each name gives one entry, in the order of the names, also when two are names of one image.
      - A missing image is left out of the result.
    type: list
    elements: str
  platform:
    description:
      - The platform to show of a multi-platform image, as C(os/architecture[/variant]). The default is that of the target.
    type: str
seealso:
  - module: fleet.containerd.containerd_image
"""

EXAMPLES = r"""
- name: Show one image
  fleet.containerd.containerd_image_info:
    name: docker.io/library/nginx:1.27
  register: result

- name: Show all images that the kubelet sees
  fleet.containerd.containerd_image_info:
    namespace: k8s.io
"""

RETURN = r"""
images:
  description:
    - The images of O(name) in its order, or all images, each once and sorted by name. Each has the shape of C(docker image inspect),
      and C(Unpacked), C(Pinned) and C(UsedBy).
    - C(RepoTags) and C(RepoDigests) have all names of an image as Docker shows them, C(NamesHistory) has those with a tag in full.
  returned: always
  type: list
  elements: dict
  sample:
    - Id: sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83
      RepoTags: ["nginx:1.27"]
      RepoDigests: ["nginx@sha256:0a399eb16751829e1af26fea27b20c3ec28d7ab1fb72182879dcae1cca21206a"]
      NamesHistory: ["docker.io/library/nginx:1.27"]
      Unpacked: true
      Pinned: false
      UsedBy: []
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_image_info import SPEC
from ..module_utils.kernel.engines import opened
from ..module_utils.kernel.module import run_query
from ..module_utils.resources.image.info import image_info


def main() -> None:
    run_query(image_info, SPEC, cache, opened)


if __name__ == "__main__":
    main()
