#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_host_info
short_description: Show a host and what runs on it
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Returns versions, plugins with their errors, snapshotters, control groups, the runtime with its features, networks, and counts.
  - Tells which published security advisories apply to the versions of containerd and the runtime, from a table in this collection with its
    date. Nothing is asked over the network.
  - On demand, what each namespace takes on the disk, and lists of containers, images, networks and volumes.
extends_documentation_fragment:
  - fleet.containerd.attributes.info
  - fleet.containerd.attributes.network
  - fleet.containerd.engine
  - fleet.containerd.network
options:
  containers:
    description: Whether to list the containers of the namespace.
    type: bool
    default: false
  containers_filters:
    description: Only these containers, as O(fleet.containerd.containerd_container_info#module:filters).
    type: dict
  images:
    description: Whether to list the images of the namespace.
    type: bool
    default: false
  images_filters:
    description:
      - Only these images. C(dangling) says whether they have no tag, C(label) is a label, with or without a value, a list of them, or a mapping.
    type: dict
  networks:
    description: Whether to list the networks of the host.
    type: bool
    default: false
  networks_filters:
    description: Only these networks. C(name) is a part of the name, C(label) as in O(images_filters).
    type: dict
  volumes:
    description: Whether to list the volumes of the namespace.
    type: bool
    default: false
  volumes_filters:
    description:
      - Only these volumes. C(name) and C(label) as in O(networks_filters), C(dangling) says whether no container has them.
    type: dict
  disk_usage:
    description:
      - Whether to tell what each namespace takes on the disk. With the embedded engine, every file of its layers is looked at.
    type: bool
    default: false
seealso:
  - module: fleet.containerd.containerd_prune
"""

EXAMPLES = r"""
- name: Ask what a host is
  fleet.containerd.containerd_host_info:
  register: result

- name: Stop where a serious advisory applies
  ansible.builtin.assert:
    that: serious | length == 0 or result.host_info.Containerd.OfDistribution
    fail_msg: "{{ serious | map(attribute='Id') | join(', ') }}"
  vars:
    serious: "{{ result.host_info.Containerd.Advisories | selectattr('Severity', 'in', ['high', 'critical']) }}"

- name: List what runs, and what the namespaces take on the disk
  fleet.containerd.containerd_host_info:
    containers: true
    containers_filters:
      status: running
    images: true
    volumes: true
    networks: true
    disk_usage: true
"""

RETURN = r"""
host_info:
  description:
    - The host in the shape of C(docker info), as far as Docker's words fit. C(ServerVersion) is that of containerd, or of this collection with
      the embedded engine. Counts are those of the namespace.
    - C(Containerd) has what Docker has not. C(Plugins) has each plugin of the daemon with C(Status) (V(ok), V(skip) or V(error)) and C(Error).
      C(Runtime) has C(Version) and C(Features). C(Cni) has networks, plugins, and what filters packets.
    - C(Advisories) has the published advisories whose ranges contain the versions, the newest first; C(AdvisoriesRead) is the day on which the
      table was made. C(OfDistribution) tells that a version is a distribution's, which may have the fixes without a newer version.
  returned: always
  type: dict
  sample:
    Name: worker1
    ServerVersion: 2.1.4
    Driver: overlayfs
    CgroupVersion: "2"
    CgroupDriver: systemd
    Containers: 3
    ContainersRunning: 2
    Images: 5
    Containerd:
      Engine: containerd
      Namespaces: [default, k8s.io]
      Snapshotters: [native, overlayfs]
      Runtime: {Name: runc, Path: /usr/sbin/runc, Version: 1.3.0, SpecVersion: 1.2.1, Features: {Seccomp: true, CgroupV2: true}}
      Advisories:
        - Component: containerd
          Id: GHSA-m6hq-p25p-ffr2
          Cve: CVE-2025-64329
          Severity: moderate
          Title: "CRI: each attach may leave memory behind"
          FixedIn: [1.7.29, 2.0.7, 2.1.5]
      AdvisoriesRead: "2026-11-28"
disk_usage:
  description:
    - What each namespace takes on the disk, in bytes. C(Content) are the compressed layers and the documents of images; a blob that several
      namespaces have is in each of them. C(Snapshots) are unpacked layers and what containers have written, by snapshotter. C(Containers) are logs
      and the like, C(Volumes) those with a name of their own.
  returned: when O(disk_usage=true)
  type: dict
  sample:
    Namespaces:
      default:
        Content: {Count: 12, Size: 70123456}
        Snapshots: {overlayfs: {Count: 7, Size: 180224000}}
        Containers: {Count: 2, Size: 45056}
        Volumes: {Count: 1, Size: 4096}
        Total: 250396608
    Total: 250396608
containers:
  description: The containers, as M(fleet.containerd.containerd_container_info) returns them.
  returned: when O(containers=true)
  type: list
  elements: dict
images:
  description: The images, as M(fleet.containerd.containerd_image_info) returns them.
  returned: when O(images=true)
  type: list
  elements: dict
networks:
  description: The networks, as M(fleet.containerd.containerd_network_info) returns them.
  returned: when O(networks=true)
  type: list
  elements: dict
volumes:
  description: The volumes, as M(fleet.containerd.containerd_volume_info) returns them.
  returned: when O(volumes=true)
  type: list
  elements: dict
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_host_info import SPEC
from ..module_utils.kernel.engines import opened
from ..module_utils.kernel.module import run_query
from ..module_utils.resources.host.info import host_info


def main() -> None:
    run_query(host_info, SPEC, cache, opened)


if __name__ == "__main__":
    main()
