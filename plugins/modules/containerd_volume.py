#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_volume
short_description: Manage volumes of containers
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Creates, changes and removes named volumes, which O(fleet.containerd.containerd_container#module:volumes) mounts by their names.
  - A volume is the directory C(volumes/NAMESPACE/NAME/_data) below O(data_root), with C(volume.json) beside it, as C(nerdctl) has it
    below its own data root. Both engines have the same volumes. They outlive their containers.
  - A container makes a volume that is missing, so a task with this module is needed for what a plain volume has not, and for the removal.
  - An option that is not given is not changed. A new volume gets the defaults that are described with each option.
  - The users of a volume are the containers of all engines, running or not. No engine is opened, so this also works while containerd is
    down.
attributes:
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - O(recreate=always) makes the volume anew in each run.
extends_documentation_fragment:
  - fleet.containerd.attributes
  - fleet.containerd.attributes.containerd
  - fleet.containerd.engine
options:
  name:
    description:
      - The name of the volume.
      - Letters, digits, C(_), C(.) and C(-), the first one a letter or a digit.
      - With O(state=absent), and for O(owner), O(group) and O(mode), also that of a volume that a container has alone
        (M(fleet.containerd.containerd_volume_info) shows them).
    type: str
    required: true
    aliases: [volume_name]
  driver:
    description:
      - There is only V(local).
    type: str
    choices: [local]
    default: local
  driver_options:
    description:
      - What the volume is, where it is not a directory of its own, as Docker's driver V(local) has it. C(type), C(o) and C(device), as
        for C(mount).
      - C(type) V(none) with C(o) V(bind) is the directory C(device) of the host. It must be there.
      - C(type) V(tmpfs), V(nfs), V(nfs4), V(ext4), V(xfs) or V(btrfs) is a file system. It is mounted when the first container that has
        the volume starts, and unmounted when the last such container, or the volume, is removed. All containers see the same one. A
        V(tmpfs) can have a size (C(size=64m)); a directory of the host cannot.
      - After a reboot it is mounted when such a container is started by a task, or by what starts those with a
        O(fleet.containerd.containerd_container#module:restart_policy). Until then C(nerdctl) and C(ctr) cannot start them.
      - It must not have a password in it, since it is kept and shown.
    type: dict
  labels:
    description:
      - Labels of the volume, which are changed in place. Other labels that it has stay. An empty mapping removes all.
    type: dict
  owner:
    description:
      - The owner of its directory, as a number, or as a name of the target's users. A new volume belongs to C(root).
      - Where the image has something at the path at which a container mounts a volume, an empty volume gets the owner, the group and the
        mode of that, but for those that a task has given.
    type: str
  group:
    description:
      - The group of its directory, as a number, or as a name of the target's groups.
    type: str
  mode:
    description:
      - The mode of its directory, in octal digits, such as V('0750'). A new volume gets V('0755').
    type: raw
  recreate:
    description:
      - Whether to remove a volume and make it anew, with all that is in it. What a directory of the host, or a file system, has in it stays.
      - V(never) fails when O(driver_options) are not those of the volume. V(options-changed) makes it anew then.
      - V(always) makes it anew in each run.
    type: str
    choices: [always, never, options-changed]
    default: never
  force:
    description:
      - Remove a volume although containers use it, as long as none of them runs. They start with a new volume.
    type: bool
    default: false
  state:
    description:
      - V(present) makes sure that the volume is as described.
      - V(absent) removes it, and what is in it. A volume that is in use is an error, which names the containers, unless O(force) is set.
        One that a running process has mounted is an error in any case.
    type: str
    choices: [present, absent]
    default: present
notes:
  - O(engine), O(address) and O(snapshotter) have no effect here. They are accepted so that the module can be in the same group of
    C(module_defaults) as the others.
seealso:
  - module: fleet.containerd.containerd_volume_info
  - module: fleet.containerd.containerd_container
  - ref: ansible_collections.fleet.containerd.docsite.guide_volumes
    description: The guide to volumes
"""

EXAMPLES = r"""
- name: A volume for a database that runs as user 999
  fleet.containerd.containerd_volume:
    name: db
    owner: "999"
    group: "999"
    mode: "0700"
    labels:
      backup: daily

- name: Memory that containers share, of a limited size
  fleet.containerd.containerd_volume:
    name: scratch
    driver_options:
      type: tmpfs
      device: tmpfs
      o: size=64m,mode=1777

- name: A directory of the host by a name
  fleet.containerd.containerd_volume:
    name: pages
    driver_options:
      type: none
      o: bind
      device: /srv/www

- name: Remove a volume, with all that is in it
  fleet.containerd.containerd_volume:
    name: db
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["create volume db"]
volume:
  description:
    - The volume in the shape of C(docker volume inspect); in check mode as it would be. Empty when there is none.
    - C(Containerd) has who uses it, and the owner, the group and the mode of its directory.
  returned: always
  type: dict
  sample:
    Name: db
    Driver: local
    Mountpoint: /var/lib/fleet-containerd/volumes/default/db/_data
    CreatedAt: "2026-11-28T09:00:00.000000Z"
    Labels: {"backup": "daily"}
    Options: {}
    Scope: local
    Containerd: {"Namespace": "default", "Anonymous": false, "UsedBy": [], "Owner": 999, "Group": 999, "Mode": "0700"}
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_volume import SPEC
from ..module_utils.kernel.module import run
from ..module_utils.resources.volume.resource import VolumeResource


def main() -> None:
    run(VolumeResource(), SPEC, cache)


if __name__ == "__main__":
    main()
