#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_image
short_description: Pull and remove container images
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Makes sure that an image is present on the target, or that it is absent.
  - An image is pulled straight from its registry, layers in parallel; no C(ctr), C(nerdctl) or C(docker) is called.
    An interrupted pull continues where it stopped.
  - A pulled image is durable when the task returns, also after a power cut.
  - Check mode asks the registry when O(pull) says so, and tells the truth about a tag that has moved. For an image that it would
    pull it reads the manifest and the config (some kilobytes), so RV(image) and the diff are those of the run. It fails when
    the tag or the platform does not exist, or when the blobs to fetch do not fit on the disk. It warns when only the unpacked
    layers may not fit; they are estimated at three times their compressed size.
requirements:
  - requests (to pull; images that are present already need no library). A pull does not need runc or crun.
attributes:
  diff_mode:
    support: full
extends_documentation_fragment:
  - fleet.containerd.attributes
  - fleet.containerd.attributes.image
  - fleet.containerd.engine
  - fleet.containerd.registry
  - fleet.containerd.registry.credentials
  - fleet.containerd.release
  - fleet.containerd.progress
options:
  name:
    description:
      - The image, as C([registry/]repository[:tag][@digest]). V(nginx) means C(docker.io/library/nginx:latest).
      - With a digest the image is pinned. With a tag and a digest the task fails when the registry's tag has moved away from the digest.
      - With O(state=absent) this may also be an image id (C(sha256:) and 64 hex digits), as the info modules return it.
      - A list handles several images in one task. Blobs that they share are transferred once, and while one image is
        unpacked the next ones are transferred.
      - With O(release), and without O(name) and O(images), all images of the release file.
    type: list
    elements: str
  images:
    description:
      - Images with their own options, instead of O(name) or in addition to it.
    type: list
    elements: dict
    suboptions:
      name:
        description: As O(name).
        type: str
        required: true
      digest:
        description: As O(digest).
        type: str
      platform:
        description: As O(platform), which is used when this is not given.
        type: list
        elements: str
      pinned:
        description: As O(pinned), which is used when this is not given.
        type: bool
  on_failure:
    description:
      - What happens to the other images of the task when one fails.
      - V(continue) goes on with them; the task fails at its end, and RV(images) says which image failed and why.
      - V(stop) ends the task. Images that are done already stay.
    type: str
    choices: [continue, stop]
    default: continue
  tag:
    description:
      - The tag, if O(name) has none. A digest is accepted too, and a tag with a digest (C(1.27@sha256:...)).
    type: str
    default: latest
  digest:
    description:
      - Pins the image to this digest, as if O(name) had it.
    type: str
  state:
    description:
      - V(present) makes sure that the image is present and unpacked.
      - V(absent) removes the name, and frees everything that no other image and no container uses.
    type: str
    choices: [present, absent]
    default: present
  pull:
    description:
      - When the registry is asked.
      - V(missing) asks it only when the image is missing.
      - V(always) asks it on every run, and pulls when the tag has moved. A registry that cannot be reached is an error.
      - V(newer) is like V(always), but when the registry cannot be reached, a present image is used and a warning says so.
      - V(never) never asks it; the task fails when the image is missing.
    type: str
    choices: [missing, always, newer, never]
    default: missing
  platform:
    description:
      - The platform to choose from a multi-platform image, as C(os/architecture[/variant]). The default is that of the target.
      - An image without an index, for another platform than the given one, is pulled again, and refused if the registry has no
        other one.
      - A list makes the image present for several platforms; RV(image) then shows the first of them.
      - V(all) makes the image present for all its platforms, so that it can be exported or pushed completely. Only the
        platform that the target can run is unpacked.
    type: list
    elements: str
  unpack:
    description:
      - Whether the layers are unpacked too, which containers need. With V(false) the image is only stored.
    type: bool
    default: true
  verify:
    description:
      - Read the whole image on every run, compare its blobs with their digests and the unpacked layers with the blobs,
        and fetch and unpack damaged parts again. This takes about as long as unpacking.
      - It compares the bytes of files, owners, modes, extended attributes and capabilities, links, devices, and what the layers
        hide of those below, and looks for files that no layer has. Meanwhile the names in a layer (not the bytes of its files)
        are kept below C(/var/tmp), or below O(data_root) if that is on another file system.
      - With containerd, a snapshot without containers is read through a view, which the daemon keeps during that time, in check
        mode too.
    type: bool
    default: false
  pinned:
    description:
      - Whether the kubelet's garbage collection keeps the image (containerd 1.7 and later, in its O(namespace=k8s.io)).
        The image's record gets the label C(io.cri-containerd.pinned), or loses it.
      - When not set, it stays as it is, also when the image is pulled again. O(state=absent) removes a pinned image, too.
    type: bool
  force:
    description:
      - With O(state=absent), remove the image's name even if containers use the image. Those containers keep working.
    type: bool
    default: false
  max_parallel:
    description:
      - How many blobs are transferred at the same time.
    type: int
    default: 3
seealso:
  - module: fleet.containerd.containerd_image_info
  - module: fleet.containerd.containerd_image_lock
  - module: fleet.containerd.containerd_image_wait
  - module: fleet.containerd.containerd_container
"""

EXAMPLES = r"""
- name: Have an image
  fleet.containerd.containerd_image:
    name: docker.io/library/nginx:1.27

- name: Follow a tag
  fleet.containerd.containerd_image:
    name: registry.example.com/team/app:stable
    pull: newer
    username: robot
    password: "{{ registry_password }}"

- name: Pin an image, and fail when the tag has moved
  fleet.containerd.containerd_image:
    name: docker.io/library/busybox:1.36
    digest: sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83

- name: Have all images of a release, four blobs at a time
  fleet.containerd.containerd_image:
    name:
      - registry.example.com/team/app:2.1
      - registry.example.com/team/worker:2.1
    images:
      - name: docker.io/library/busybox:1.36
        digest: sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83
    max_parallel: 4

- name: Check that an image is complete on the disk, and repair it
  fleet.containerd.containerd_image:
    name: registry.example.com/team/app:2.1
    verify: true

- name: Have an image that the kubelet never removes, however full the disk is
  fleet.containerd.containerd_image:
    name: registry.example.com/team/app:2.1
    namespace: k8s.io
    pinned: true

- name: Pull some gigabytes, and see after five seconds how far every host is
  fleet.containerd.containerd_image:
    name: registry.example.com/team/worker:2.1
    progress_after: 5

- name: Remove an image
  fleet.containerd.containerd_image:
    name: docker.io/library/nginx:1.27
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["pull image docker.io/library/nginx:1.27"]
image:
  description:
    - The image in the shape of C(docker image inspect); in check mode as it would be. C(RepoTags) and C(RepoDigests) have all names
      of the image as Docker shows them (C(nginx:1.27)), C(NamesHistory) has those with a tag in full.
    - With O(state=absent), the image as it was. Empty when there was none.
    - When the task has several images, this and the other keys of one image are empty; then RV(images) has them.
  returned: always
  type: dict
  sample:
    Id: sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83
    RepoTags: ["nginx:1.27"]
    NamesHistory: ["docker.io/library/nginx:1.27"]
images:
  description: Every image of the task, in order.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The image's name.
      type: str
    changed:
      description: Whether it was changed, or in check mode would be.
      type: bool
    failed:
      description: Whether it failed.
      type: bool
    msg:
      description: Why it failed.
      type: str
    image:
      description: As RV(image).
      type: dict
    digest:
      description: As RV(digest).
      type: str
    manifest_digest:
      description: As RV(manifest_digest).
      type: str
    config_digest:
      description: As RV(config_digest).
      type: str
    pulled:
      description: As RV(pulled).
      type: dict
digest:
  description: The digest that the name means; that of the index if the image has one.
  returned: when the image is present, or known from the registry
  type: str
manifest_digest:
  description: The digest of the manifest for the platform.
  returned: when the image is present
  type: str
config_digest:
  description: The digest of the image config, which Docker calls the image id.
  returned: when the image is present
  type: str
pulled:
  description:
    - What the pull transferred, and in C(served_by) which host sent each document and blob, by digest.
    - C(refused) lists blobs for which a mirror sent something else, so that the next host was asked; a warning says so, too.
  returned: when an image was pulled
  type: dict
  sample:
    bytes: 70123456
    layers: 5
    layers_reused: 2
    seconds: 2.5
    served_by:
      "sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83": "https://mirror.example.com"
    refused: []
untagged:
  description: The names that were removed, or in check mode would be, as Docker shows them.
  returned: when O(state=absent)
  type: list
  elements: str
  sample: ["nginx:1.27"]
deleted:
  description: The ids of the images that lost their last name, or in check mode would lose it.
  returned: when O(state=absent)
  type: list
  elements: str
  sample: ["sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83"]
deleted_blobs:
  description: The digests that were freed in the content store.
  returned: when O(state=absent), but not in check mode when something would be removed
  type: list
  elements: str
bytes:
  description: How many bytes were freed in the content store, without the unpacked layers, which are removed too.
  returned: when O(state=absent), but not in check mode when something would be removed
  type: int
  sample: 70123456
diff:
  description:
    - The image before and after, also when nothing changes. With several images, those that change, by name.
    - Each side has C(exists); of an image C(id), C(digest), C(name), C(size) (bytes of config and layers as they are in a registry),
      C(pinned) and, when it is incomplete, C(missing). C(after) has C(bytes), what a pull has transferred or would transfer.
    - With O(state=absent) each side has C(id), C(digest), C(tags) and C(digests); in C(after) those that stay.
  returned: always
  type: dict
  sample:
    before: {"exists": false}
    after:
      exists: true
      name: docker.io/library/nginx:1.27
      id: sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83
      digest: sha256:0a399eb16751829e1af26fea27b20c3ec28d7ab1fb72182879dcae1cca21206a
      size: 70123456
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_image import SPEC
from ..module_utils.kernel.engines import opened
from ..module_utils.kernel.module import run
from ..module_utils.resources.image.resource import ImageResource


def main() -> None:
    run(ImageResource(), SPEC, cache, opened)


if __name__ == "__main__":
    main()
