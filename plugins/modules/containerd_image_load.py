#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_image_load
short_description: Load container images from archives
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Loads images from an archive, a directory or a URL, and unpacks them. No registry is asked.
  - Archives of C(docker save), C(podman save), C(skopeo copy), C(ctr images export) and M(fleet.containerd.containerd_image_export)
    are read, plain or compressed with gzip or zstd.
  - Everything is checked against its digest. Either all images are loaded, or none.
  - A URL is read by the same rules as registries. A redirect from C(https) to C(http) is refused, E(https_proxy), E(http_proxy) and
    E(no_proxy) count, and the download stops before the disk is full.
  - The archive may also be on the controller. Then only its parts that are missing on the target are sent, see O(source).
  - Images that are present already are not loaded again. The module sees that from the index of the archive, and reads no layers. A
    compressed archive with its index at its end must be decompressed for that, into a file below O(data_root).
  - The records of the images are made last. The images are durable when the task returns.
requirements:
  - zstandard (for archives and layers that are compressed with zstd)
attributes:
  diff_mode:
    support: full
  action:
    description: Has a corresponding action plugin, so that parts of it are done on the controller.
    support: full
    details:
      - It is used with O(source=controller) only.
  async:
    description: Supports being used with the C(async) keyword.
    support: partial
    details:
      - Not with O(source=controller).
extends_documentation_fragment:
  - fleet.containerd.attributes
  - fleet.containerd.attributes.containerd
  - fleet.containerd.engine
  - fleet.containerd.progress
options:
  path:
    description:
      - The archive, on the host that O(source) names. It is a file in Docker's format, an OCI image layout, or a directory that is
        an OCI image layout.
      - Or an C(http) or C(https) URL, which needs O(checksum). The file is downloaded below O(data_root), and removed afterwards.
        It is not downloaded again as long as the images that were loaded from it are present.
    type: str
    required: true
  source:
    description:
      - The host of O(path). V(target) is the managed host.
      - V(controller) is the host that runs Ansible. A relative path is looked for in C(files) directories, as M(ansible.builtin.copy) does.
        The target gets the index of the archive, and only those layers that it has not stored yet for this or any other image.
        O(path) cannot be a URL then.
      - Layers are compared by their digests in the archive. C(docker save) writes layers without compression. A pull stores them
        compressed, as in the registry, with another digest. So all layers of such an archive are sent once, even to a target that has
        pulled the same image. Archives of C(skopeo copy docker://NAME oci-archive:FILE), C(ctr images export) and
        M(fleet.containerd.containerd_image_export) have the layers as in the registry.
    type: str
    choices: [target, controller]
    default: target
  checksum:
    description:
      - The checksum of the file at a URL, as C(sha256:) and 64 hex digits, or C(sha512:) and 128.
    type: str
  names:
    description:
      - Load only these images of the archive, each as C([registry/]repository[:tag]). The task fails when one is not in it.
      - When not set, all images with a name are loaded.
    type: list
    elements: str
  name:
    description:
      - The name for an image that has none in the archive, as C([registry/]repository[:tag]).
    type: str
  tag:
    description:
      - The tag for O(name), if that has none. The default is the image's tag in the archive, else V(latest).
    type: str
  platform:
    description:
      - The platform to load of multi-platform images, as C(os/architecture[/variant]). The default is that of the target.
      - V(all) loads all platforms in the archive, for example to push them. The one for the target is unpacked.
    type: str
  max_parallel:
    description:
      - How many layers are stored at the same time.
    type: int
    default: 3
  validate_certs:
    description:
      - Whether the TLS certificate of a URL's server must be valid.
    type: bool
    default: true
  ca_path:
    description:
      - File with the certificate authorities to trust for a URL, in PEM format.
    type: path
  progress_timeout:
    description:
      - Seconds within which the next part of a download has to come, its headers or 256 KiB of its body. Else the download counts as
        stalled, and continues where it stopped, O(retries) times.
    type: float
    default: 45.0
  retries:
    description:
      - How often a broken download continues.
    type: int
    default: 3
  retry_delay:
    description:
      - Seconds before the first retry. It doubles with each retry.
    type: float
    default: 2.0
notes:
  - With O(source=controller), the missing parts are collected in Ansible's temporary directory on the controller, and sent to the one
    on the target. Both need the space until the task ends. Layers are sent as they are in the archive.
  - With O(source=controller), a compressed archive of C(docker save) is decompressed for each target, also when nothing has to be
    loaded. Of an uncompressed one only the headers are read.
  - With O(source=controller), layers that are removed from the target's store while the task runs are sent too.
seealso:
  - module: fleet.containerd.containerd_image_export
  - module: fleet.containerd.containerd_image
"""

EXAMPLES = r"""
- name: Load all images of an archive
  fleet.containerd.containerd_image_load:
    path: /srv/images/nginx.tar

- name: Load one image of an archive, for all platforms
  fleet.containerd.containerd_image_load:
    path: /srv/images/all.tar.gz
    names: registry.example.com/team/app:stable
    platform: all

- name: Load an image layout whose image has no name
  fleet.containerd.containerd_image_load:
    path: /srv/images/layout
    name: registry.example.com/team/other:1

- name: Load an archive from a web server
  fleet.containerd.containerd_image_load:
    path: https://files.example.com/nginx.tar
    checksum: sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83

- name: Load an archive from the controller, and send only the layers that are missing on the target
  fleet.containerd.containerd_image_load:
    path: images/app.tar
    source: controller
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["load image docker.io/library/nginx:1.27 from /srv/images/nginx.tar"]
image_names:
  description:
    - The names of the images that were asked for, as Docker shows them. Empty in check mode for a URL that has to be downloaded first.
  returned: always
  type: list
  elements: str
  sample: ["nginx:1.27"]
images:
  description: The images, in the shape of C(docker image inspect); in check mode as they would be.
  returned: always
  type: list
  elements: dict
image:
  description: The first one of RV(images). Empty when there is none.
  returned: always
  type: dict
loaded:
  description: What was done. C(bytes) counts the blobs that were not stored yet.
  returned: when images were loaded
  type: dict
  sample: {"bytes": 70123456, "layers": 5, "layers_reused": 2, "seconds": 2.5}
sent:
  description: How many bytes of the archive were sent to the target. In check mode no layers are sent.
  returned: with O(source=controller)
  type: int
  sample: 9728
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_image_load import SPEC
from ..module_utils.kernel.engines import opened
from ..module_utils.kernel.module import run
from ..module_utils.resources.image.load import ImageLoadResource


def main() -> None:
    run(ImageLoadResource(), SPEC, cache, opened)


if __name__ == "__main__":
    main()
