#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_reset
short_description: Remove everything that this collection has on a host
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Stops and removes all containers, running or not, and removes images, volumes, networks with their rules, what starts containers after a
    boot, all files below O(data_root) and O(state_root), and the code that tasks keep in C(/var/cache/fleet-containerd). It asks nobody. The
    role P(fleet.containerd.reset#role) asks for a confirmation first.
  - Of the embedded engine, all namespaces go.
  - Of containerd, only the namespaces in O(namespaces) go, but with everything in them, whoever has made it. Other namespaces, such as
    C(k8s.io) and C(moby), are not touched.
  - In check mode it tells the names and the bytes of what would go.
  - Nothing behind a mount is removed. Where something is mounted that no container or volume has mounted, the task fails before anything
    is removed, and names it. It fails as well where O(data_root) or O(state_root) has files that this collection does not know.
  - A run that was interrupted is completed by the next one.
attributes:
  diff_mode:
    support: full
extends_documentation_fragment:
  - fleet.containerd.attributes
  - fleet.containerd.attributes.network
  - fleet.containerd.engine
  - fleet.containerd.network
options:
  namespace:
    description:
      - This module does not use it. It has it for C(module_defaults). O(namespaces) tells what is emptied.
    type: str
    default: default
  namespaces:
    description:
      - The namespaces of containerd to empty and to remove. There is no default.
      - A namespace in which this collection has made containers must be named, or its containers must be removed first.
      - Stop the kubelet before its namespace V(k8s.io) is emptied.
    type: list
    elements: str
    default: []
  daemon_goes:
    description:
      - Say that containerd itself will be removed. Then the task fails if there are containers or images in namespaces that O(namespaces)
        does not name.
    type: bool
    default: false
  paths:
    description:
      - Other files and directories that go, such as those of a containerd that was removed.
    type: list
    elements: path
    default: []
  stop_timeout:
    description:
      - How many seconds a container may take to stop, before it is killed. By default as the container says.
    type: int
notes:
  - Networks in which containers of other tools are stay, with a warning. So do files outside of the roots to which volumes lead, credentials that
    M(fleet.containerd.containerd_login) has stored, files of M(fleet.containerd.containerd_registry), and kernel settings such as
    C(net.ipv4.ip_forward).
seealso:
  - module: fleet.containerd.containerd_prune
"""

EXAMPLES = r"""
- name: See what would go
  fleet.containerd.containerd_reset:
  check_mode: true

- name: Remove all of it, and what is in a namespace of containerd
  fleet.containerd.containerd_reset:
    namespaces:
      - ci
    stop_timeout: 5
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["remove container default/web", "remove /var/lib/fleet-containerd (70123520 bytes)"]
containers:
  description: The containers that were removed, or in check mode would be, with their namespaces.
  returned: always
  type: list
  elements: str
  sample: ["default/web"]
images:
  description: The images.
  returned: always
  type: list
  elements: str
  sample: ["default/docker.io/library/nginx:1.27"]
networks:
  description: The names of the networks.
  returned: always
  type: list
  elements: str
  sample: ["bridge"]
volumes:
  description: The volumes that have a name.
  returned: always
  type: list
  elements: str
  sample: ["default/data"]
paths:
  description: Files and directories, and how many bytes each took on the disk with what was below.
  returned: always
  type: dict
  sample: {"/var/lib/fleet-containerd": 70123520}
space_reclaimed:
  description: The bytes on the disk that were freed, or in check mode would be. They are counted before anything goes.
  returned: always
  type: int
  sample: 70123520
diff:
  description: What goes, by kind, and its C(space) in bytes.
  returned: when something changes
  type: dict
"""

from ..module_utils.argument_specs.containerd_reset import SPEC
from ..module_utils.kernel.bytecode import cache
from ..module_utils.kernel.module import run
from ..module_utils.resources.reset.resource import ResetResource


def main() -> None:
    cache.stop()
    run(ResetResource(), SPEC, cache)


if __name__ == "__main__":
    main()
