#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_network_info
short_description: Show container networks
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Returns the networks of a host in the shape of C(docker network inspect), including those of C(nerdctl) and of others.
  - A file that is no usable network is a warning.
  - Networks that C(nerdctl) 2 keeps for a single namespace are shown with this O(namespace).
extends_documentation_fragment:
  - fleet.containerd.attributes.info
  - fleet.containerd.attributes.network
  - fleet.containerd.engine
  - fleet.containerd.network
options:
  name:
    description:
      - The networks to show, by name or by id. All networks when not set.
      - A network that does not exist is left out of the result.
    type: list
    elements: str
notes:
  - O(engine), O(address), O(snapshotter), O(state_root) and O(cni_bin_dir) have no effect here. They are accepted so that the module
    can be in the same groups of C(module_defaults) as the others.
seealso:
  - module: fleet.containerd.containerd_network
"""

EXAMPLES = r"""
- name: Show one network and its members
  fleet.containerd.containerd_network_info:
    name: front
  register: result

- name: Show all networks
  fleet.containerd.containerd_network_info:
"""

RETURN = r"""
exists:
  description: Whether every network that was asked for exists.
  returned: always
  type: bool
  sample: true
network:
  description: The network, when exactly one name was asked for; empty when it does not exist.
  returned: when O(name) has one element
  type: dict
networks:
  description:
    - The networks, sorted by name, in the shape of C(docker network inspect), as M(fleet.containerd.containerd_network) returns them.
  returned: always
  type: list
  elements: dict
  sample:
    - Name: front
      Driver: bridge
      IPAM: {"Driver": "default", "Options": {}, "Config": [{"Subnet": "10.4.1.0/24", "Gateway": "10.4.1.1"}]}
      Containers:
        3f4e0c6ef5f4c6a4b1b5a0d1f9a3b9b2f7a0c5d4e3f2a1b0c9d8e7f6a5b4c3d2: {"Name": "web", "IPv4Address": "10.4.1.2/24"}
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_network_info import SPEC
from ..module_utils.kernel.module import run_query
from ..module_utils.resources.network.info import network_info


def main() -> None:
    run_query(network_info, SPEC, cache)


if __name__ == "__main__":
    main()
