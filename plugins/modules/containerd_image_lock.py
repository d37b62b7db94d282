#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_image_lock
short_description: Write down which bytes the names of images mean
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Asks the registries once which image each name means, and writes that into a release file, which belongs into version control.
  - Tasks that have the file as their O(fleet.containerd.containerd_image#module:release) get these bytes and no others, on every host,
    and today as in a month. Check mode then shows hosts that have something else.
  - A name that is in the file already keeps its digest, unless O(update=always). A name that is not in O(images) any more is removed from the
    file.
  - The module usually runs on the controller (C(delegate_to=localhost), C(run_once=true)), since the file is there. No engine is needed.
  - The digest of a name is that of all its platforms, so one file serves hosts of different architectures.
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
  path:
    description:
      - The release file, with its full path. Its directory must be there. It is JSON, sorted by name, without times, so the same release is
        always the same text.
    type: path
    required: true
  images:
    description:
      - The images of the release, each as C([registry/]repository[:tag][@digest]). V(nginx) means C(docker.io/library/nginx:latest).
    type: list
    elements: str
    required: true
  platforms:
    description:
      - The platforms of the hosts, each as C(os/architecture[/variant]). An image that lacks one of them is an error.
      - When not set, or V(all), those that each image has.
    type: list
    elements: str
  update:
    description:
      - Which names the registries are asked for.
      - V(missing) asks for those that are not in the file.
      - V(always) asks for all, and writes down what they mean now. In check mode, this shows which tags have moved.
    type: str
    choices: [missing, always]
    default: missing
seealso:
  - module: fleet.containerd.containerd_image
  - module: fleet.containerd.containerd_image_copy
"""

EXAMPLES = r"""
- name: Write down what runs this month
  fleet.containerd.containerd_image_lock:
    path: "{{ playbook_dir }}/release.json"
    images:
      - registry.example.com/team/app:stable
      - docker.io/library/nginx:1.27
    platforms:
      - linux/amd64
      - linux/arm64
  delegate_to: localhost
  run_once: true

- name: Take the newest of all names
  fleet.containerd.containerd_image_lock:
    path: "{{ playbook_dir }}/release.json"
    images:
      - registry.example.com/team/app:stable
      - docker.io/library/nginx:1.27
    update: always
  delegate_to: localhost
  run_once: true

- name: Have exactly these images on all hosts
  fleet.containerd.containerd_image:
    release: "{{ playbook_dir }}/release.json"
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done.
  returned: always
  type: list
  elements: str
  sample: ["write the release file /srv/fleet/release.json: 1 added, 2 changed"]
path:
  description: The release file.
  returned: always
  type: str
  sample: /srv/fleet/release.json
images:
  description: The digests by the full names of the images.
  returned: always
  type: dict
  sample:
    docker.io/library/nginx:1.27: sha256:0a399eb16751829e1af26fea27b20c3ec28d7ab1fb72182879dcae1cca21206a
moved:
  description: The names that mean another image than before, each with C(name), and the digests C(before) and C(after).
  returned: always
  type: list
  elements: dict
  sample: []
diff:
  description: The text of the file before and after.
  returned: when it changes
  type: dict
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_image_lock import SPEC
from ..module_utils.kernel.module import run
from ..module_utils.resources.image.lock import ImageLockResource


def main() -> None:
    run(ImageLockResource(), SPEC, cache)


if __name__ == "__main__":
    main()
