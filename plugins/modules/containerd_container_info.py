#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_container_info
short_description: Show containers
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Returns the containers of a namespace in the shape of C(docker inspect), including those of C(nerdctl), C(ctr) and the kubelet.
extends_documentation_fragment:
  - fleet.containerd.attributes.info
  - fleet.containerd.attributes.containerd
  - fleet.containerd.engine
options:
  name:
    description:
      - The containers to show, by name, by id or by a unique beginning of an id. All containers when not set.
      - A container that does not exist is left out of the result.
    type: list
    elements: str
  labels:
    description:
      - Show only containers that carry all these labels. An empty value stands for any value.
    type: dict
  filters:
    description:
      - Show only containers that pass all of these filters, as a dictionary of what C(docker ps --filter) has. A value is a text or a list. Of
        a list, one value is enough, but for V(label), which wants all.
      - V(label) is a label as C(NAME) or C(NAME=VALUE), or a dictionary of them. V(name) is a regular expression that a part of the name
        matches. V(id) is the beginning of an id.
      - V(status) is C(created), C(running), C(paused), C(restarting), C(exited), C(dead) or C(unknown). V(exited) is the exit status of a
        container that has ended. V(health) is C(starting), C(healthy), C(unhealthy) or C(none).
      - V(image), or V(ancestor), is the image that the container was made from, by name, digest or id. V(network) is a network that
        it is in, or its C(NetworkMode). V(volume) is a volume, or the path in the container or on the host of something that is mounted.
    type: dict
seealso:
  - module: fleet.containerd.containerd_container
"""

EXAMPLES = r"""
- name: Show one container
  fleet.containerd.containerd_container_info:
    name: web
  register: result

- name: Show all containers with a label
  fleet.containerd.containerd_container_info:
    labels:
      tier: frontend

- name: Show the containers of two images that do not run
  fleet.containerd.containerd_container_info:
    filters:
      status: [created, exited]
      image:
        - docker.io/library/nginx:1.27
        - docker.io/library/redis:7
"""

RETURN = r"""
exists:
  description: Whether every container that was asked for exists.
  returned: always
  type: bool
  sample: true
container:
  description: The container, when exactly one name was asked for; empty when it does not exist.
  returned: when O(name) has one element
  type: dict
containers:
  description:
    - The containers, sorted by name, in the shape of C(docker inspect).
    - The status is V(unknown) when the state cannot be read because the shim hangs; a warning tells why.
  returned: always
  type: list
  elements: dict
  sample:
    - Id: 3f4e0c6ef5f4c6a4b1b5a0d1f9a3b9b2f7a0c5d4e3f2a1b0c9d8e7f6a5b4c3d2
      Name: /web
      State: {"Status": "running", "Running": true, "Pid": 4711, "ExitCode": 0}
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_container_info import SPEC
from ..module_utils.kernel.engines import opened
from ..module_utils.kernel.module import run_query
from ..module_utils.resources.container.info import container_info


def main() -> None:
    run_query(container_info, SPEC, cache, opened)


if __name__ == "__main__":
    main()
