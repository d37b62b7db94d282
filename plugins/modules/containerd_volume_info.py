#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_volume_info
short_description: Show volumes of containers
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Returns the volumes of a namespace in the shape of C(docker volume inspect), including those that one container has alone, and those
    that such a container has left.
extends_documentation_fragment:
  - fleet.containerd.attributes.info
  - fleet.containerd.attributes.containerd
  - fleet.containerd.engine
options:
  name:
    description:
      - The volumes to show. All volumes when not set.
      - A volume that does not exist is left out of the result.
    type: list
    elements: str
  dangling:
    description:
      - V(true) shows only volumes that no container uses, V(false) only those that one does.
    type: bool
notes:
  - O(engine), O(address), O(snapshotter) and O(state_root) have no effect here. They are accepted so that the module can be in the same
    group of C(module_defaults) as the others.
seealso:
  - module: fleet.containerd.containerd_volume
"""

EXAMPLES = r"""
- name: Show one volume and who uses it
  fleet.containerd.containerd_volume_info:
    name: db
  register: result

- name: Find what removed containers have left
  fleet.containerd.containerd_volume_info:
    dangling: true
  register: dangling

- name: Remove that, but no volumes with a name of their own
  fleet.containerd.containerd_volume:
    name: "{{ item.Name }}"
    state: absent
  loop: "{{ dangling.volumes | selectattr('Containerd.Anonymous') }}"
  loop_control:
    label: "{{ item.Name }}"
"""

RETURN = r"""
exists:
  description: Whether every volume that was asked for exists.
  returned: always
  type: bool
  sample: true
volume:
  description: The volume, when exactly one name was asked for; empty when it does not exist.
  returned: when O(name) has one element
  type: dict
volumes:
  description:
    - The volumes, sorted by name, in the shape of C(docker volume inspect), as M(fleet.containerd.containerd_volume) returns them.
  returned: always
  type: list
  elements: dict
  sample:
    - Name: db
      Driver: local
      Mountpoint: /var/lib/fleet-containerd/volumes/default/db/_data
      Labels: {"backup": "daily"}
      Containerd: {"Anonymous": false, "UsedBy": [{"Id": "3f4e0c6ef5f4", "Name": "db", "Engine": "embedded"}]}
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_volume_info import SPEC
from ..module_utils.kernel.module import run_query
from ..module_utils.resources.volume.info import volume_info


def main() -> None:
    run_query(volume_info, SPEC, cache)


if __name__ == "__main__":
    main()
