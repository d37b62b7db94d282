#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_prune
short_description: Remove what nobody needs
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Removes stopped containers, images that nothing uses, empty networks, volumes without users, and what killed runs have left.
  - Check mode tells the names and the bytes of everything that the run would remove. What several things share counts only where the last
    of them goes, and blobs that another namespace has, too, count as nothing.
  - Nothing that runs is touched, nor what it uses. Containers of other tools stay, and so do their images, and networks that other tools
    than C(nerdctl) have made. Only O(namespace) is looked at.
  - Each thing is looked at again before it goes. What was taken into use meanwhile stays, and the task fails at its end.
attributes:
  diff_mode:
    support: full
extends_documentation_fragment:
  - fleet.containerd.attributes
  - fleet.containerd.attributes.network
  - fleet.containerd.engine
  - fleet.containerd.network
options:
  containers:
    description:
      - Remove stopped containers that this collection has made. Volumes that they have alone stay, as with C(docker container prune), and
        go with O(volumes).
    type: bool
    default: false
  containers_filters:
    description:
      - Only containers that pass all these filters.
      - C(until) is a time (C(2026-11-28T09:00:00Z)), a duration before now (C(36h)) or seconds since 1970. What was made later stays.
      - C(label) is a label, with or without a value (C(tier=test)), a list of them, or a mapping; all have to be there.
      - C(label!) is the same for what stays; it stays with one of them.
    type: dict
  images:
    description:
      - Remove images that no container uses, running or not. By default only those without a tag, as with C(docker image prune); with
        C(dangling) V(false) in O(images_filters), and with one of the options that keep images, all that nothing keeps.
    type: bool
    default: false
  images_filters:
    description:
      - As O(containers_filters). The time is that of the image's build, and labels are those of the image.
      - C(dangling) says whether only images without a tag go. The default is V(true), but V(false) with O(keep), O(keep_releases),
        O(keep_versions) or O(max_size).
    type: dict
  keep:
    description:
      - Images to keep, as names or patterns with C(*), C(?) and C([]), such as V(registry.example.com/base/*) or V(nginx:*), or digests. A
        pattern has to match the whole name, in full or as Docker shows it.
    type: list
    elements: str
  keep_releases:
    description:
      - Release files on the controller, which M(fleet.containerd.containerd_image_lock) has written. Images with the digests in them stay.
    type: list
    elements: str
  keep_versions:
    description:
      - Keep so many of the last versions of each repository. Names of the same image are one version.
      - V(1.10) is newer than V(1.9), V(2.0.0-rc.1) is older than V(2.0.0), and V(1.27-alpine) and V(1.27) are versions of two lines. A name
        whose tag tells no version, such as V(latest), stays.
    type: int
  max_size:
    description:
      - Remove no more images than needed for what images take on the disk to be at most this, such as V(20g). Those that were not pulled or
        tagged for the longest time go first.
      - It is no limit. What is kept for other reasons may take more.
    type: str
  pinned:
    description:
      - Remove pinned images, too (O(fleet.containerd.containerd_image#module:pinned)).
    type: bool
    default: false
  kubernetes:
    description:
      - Allow O(images) in the namespace C(k8s.io), whose images the kubelet removes by itself when the disk gets full.
    type: bool
    default: false
  networks:
    description:
      - Remove networks in which no container is, running or not. The default network stays.
    type: bool
    default: false
  networks_filters:
    description:
      - As O(containers_filters).
    type: dict
  volumes:
    description:
      - Remove volumes that no container has. By default only those that removed containers had alone.
    type: bool
    default: false
  volumes_filters:
    description:
      - As O(containers_filters).
      - C(all) says whether volumes with a name of their own go, too. The default is V(false).
    type: dict
  leftovers:
    description:
      - Remove blobs and snapshots that nothing needs, interrupted transfers, and what killed runs have left. Blobs and snapshots that nothing
        needs also go when containers or images do.
    type: bool
    default: false
  leftovers_age:
    description:
      - Interrupted transfers that nobody has gone on with for this time are removed. A younger one may be continued by the next pull.
    type: str
    default: 1h
notes:
  - The bytes are those of files and the directories below them. A few directories around them are not counted; with containerd, up to three
    of each snapshot, since the daemon does not count them.
  - Volumes and networks are looked at for the containers of all engines that have the same O(data_root).
seealso:
  - module: fleet.containerd.containerd_host_info
  - module: fleet.containerd.containerd_image_lock
"""

EXAMPLES = r"""
- name: See what would go, and how much that is
  fleet.containerd.containerd_prune:
    containers: true
    images: true
    images_filters:
      dangling: false
    volumes: true
    networks: true
    leftovers: true
  check_mode: true
  register: result

- name: Keep what this release and the one before name, and three versions of all else
  fleet.containerd.containerd_prune:
    images: true
    keep_releases:
      - releases/2026-11.json
      - releases/2026-10.json
    keep_versions: 3

- name: Remove what stopped two days ago, unless it is to be kept
  fleet.containerd.containerd_prune:
    containers: true
    containers_filters:
      until: 48h
      label!: keep

- name: Keep images below 20 GiB, and base images in any case
  fleet.containerd.containerd_prune:
    images: true
    max_size: 20g
    keep:
      - registry.example.com/base/*
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["remove container job", "remove image registry.example.com/team/app:1.0"]
containers:
  description: The names of the containers that were removed, or in check mode would be.
  returned: always
  type: list
  elements: str
  sample: ["job"]
images:
  description: The names of the images.
  returned: always
  type: list
  elements: str
  sample: ["registry.example.com/team/app:1.0"]
images_kept:
  description: Why each of the other images stays, by name. Empty without O(images).
  returned: always
  type: dict
  sample: {"docker.io/library/nginx:1.27": "the container web uses it"}
networks:
  description: The names of the networks.
  returned: always
  type: list
  elements: str
  sample: []
volumes:
  description: The names of the volumes.
  returned: always
  type: list
  elements: str
  sample: []
content:
  description: The blobs, snapshots and interrupted transfers that nothing needed before.
  returned: always
  type: list
  elements: str
  sample: []
leftovers:
  description: The files and directories that killed runs had left.
  returned: always
  type: list
  elements: str
  sample: []
space_reclaimed:
  description: The bytes on the disk that were freed, or in check mode would be. They are counted before anything goes.
  returned: always
  type: int
  sample: 70123520
containers_space_reclaimed:
  description: Those of containers, with their logs and what they have written.
  returned: always
  type: int
  sample: 20480
images_space_reclaimed:
  description: Those of images, with their unpacked layers.
  returned: always
  type: int
  sample: 70103040
volumes_space_reclaimed:
  description: Those of volumes.
  returned: always
  type: int
  sample: 0
content_space_reclaimed:
  description: Those of RV(content) and RV(leftovers).
  returned: always
  type: int
  sample: 0
diff:
  description: What goes, by kind, and its C(space) in bytes; in C(after) what could not be removed.
  returned: when something changes
  type: dict
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_prune import SPEC
from ..module_utils.kernel.engines import opened
from ..module_utils.kernel.module import run
from ..module_utils.resources.prune.resource import PruneResource


def main() -> None:
    run(PruneResource(), SPEC, cache, opened)


if __name__ == "__main__":
    main()
