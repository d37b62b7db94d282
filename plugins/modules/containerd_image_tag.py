#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_image_tag
short_description: Tag container images
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Gives additional names to an image that is present on the target. No registry is asked.
attributes:
  diff_mode:
    support: full
extends_documentation_fragment:
  - fleet.containerd.attributes
  - fleet.containerd.attributes.containerd
  - fleet.containerd.engine
options:
  name:
    description:
      - The image to tag, as C([registry/]repository[:tag][@digest]), or an image id (C(sha256:) and 64 hex digits).
    type: str
    required: true
  tag:
    description:
      - The tag, if O(name) or a name in O(repository) has none.
    type: str
    default: latest
  repository:
    description:
      - The names that the image gets, as C([registry/]repository[:tag]). Without a tag, O(tag) is used.
    type: list
    elements: str
    required: true
  existing_images:
    description:
      - What to do with a name that another image has already.
      - V(overwrite) gives the name to the image O(name).
      - V(keep) leaves it with the other image.
    type: str
    choices: [keep, overwrite]
    default: overwrite
seealso:
  - module: fleet.containerd.containerd_image
  - module: fleet.containerd.containerd_image_push
"""

EXAMPLES = r"""
- name: Give an image two more names
  fleet.containerd.containerd_image_tag:
    name: docker.io/library/nginx:1.27
    repository:
      - registry.example.com/team/nginx:1.27
      - registry.example.com/team/nginx:stable

- name: Name a fallback, unless the name exists already
  fleet.containerd.containerd_image_tag:
    name: docker.io/library/nginx
    tag: "1.27"
    repository: localhost/fallback
    existing_images: keep
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["tag image docker.io/library/nginx:1.27 as registry.example.com/team/nginx:1.27"]
image:
  description: The image O(name) with all its names, in the shape of C(docker image inspect).
  returned: always
  type: dict
  sample:
    Id: sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83
tagged_images:
  description: The names that the image got, or in check mode would get, as Docker shows them.
  returned: always
  type: list
  elements: str
  sample: ["registry.example.com/team/nginx:1.27"]
diff:
  description:
    - C(images) has, for each name of O(repository) in order, C(name) and C(tag), and C(id) and C(digest) of its image, or C(exists).
    - It is returned even if nothing changes.
  returned: always
  type: dict
  sample:
    before: {"images": [{"name": "registry.example.com/team/nginx", "tag": "1.27", "exists": false}]}
    after:
      images:
        - name: registry.example.com/team/nginx
          tag: "1.27"
          id: sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83
          digest: sha256:0a399eb16751829e1af26fea27b20c3ec28d7ab1fb72182879dcae1cca21206a
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_image_tag import SPEC
from ..module_utils.kernel.engines import opened
from ..module_utils.kernel.module import run
from ..module_utils.resources.image.tag import ImageTagResource


def main() -> None:
    run(ImageTagResource(), SPEC, cache, opened)


if __name__ == "__main__":
    main()
