#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_image_export
short_description: Export container images to archives
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Writes images that are present on the target to an archive or a directory on the target.
  - Layers are written as they are stored, compressed or not. They are checked against their digests on the way.
  - The same images give the same bytes, at any time and on any host. With O(compression) this needs the same version of the
    compressing library.
  - An archive that has the images already is not changed. The module compares its index and its length, and reads no layers.
    Use O(force) for an archive that may be damaged.
  - The archive is written atomically, and a run that is killed leaves no temporary file.
requirements:
  - zstandard (with O(compression=zstd))
attributes:
  diff_mode:
    support: full
extends_documentation_fragment:
  - fleet.containerd.attributes
  - fleet.containerd.attributes.containerd
  - fleet.containerd.engine
options:
  names:
    description:
      - The images, each as C([registry/]repository[:tag][@digest]), or an image id (C(sha256:) and 64 hex digits).
      - An image that is given by its id has no name in the archive.
    type: list
    elements: str
    required: true
    aliases: [name]
  tag:
    description:
      - The tag for those of O(names) that have none.
    type: str
    default: latest
  path:
    description:
      - The file to write, or with O(format=oci-dir) the directory. Its parent directory must exist.
      - A new file has mode V(0600), since images may contain secrets. An existing file keeps its owner and mode.
      - The archive replaces a symbolic link of this name, and does not change the target of the link. A symbolic link inside the
        directory of O(format=oci-dir) is refused.
      - A symbolic link on the way to it, or instead of the directory of O(format=oci-dir), is followed only if nobody but root and the
        user of the task may write to the directory of the link. Else it is refused.
    type: path
    required: true
  format:
    description:
      - V(docker) is for C(docker load), C(podman load) and C(skopeo copy docker-archive:). It is also an image layout of
        the Open Container Initiative, so C(ctr images import) gets the image with its digest.
      - V(oci) is that layout without Docker's index, as C(skopeo copy oci-archive:) reads it.
      - V(oci-dir) is the layout as a directory, as C(skopeo copy oci:) and C(umoci) read it. Images that the directory
        had before are replaced, and their blobs are removed unless they are still needed. A directory with other files in it is
        refused.
    type: str
    choices: [docker, oci, oci-dir]
    default: docker
  compression:
    description:
      - How the whole archive is compressed. Layers usually are compressed already, so this gains little.
    type: str
    choices: [none, gzip, zstd]
    default: none
  platform:
    description:
      - The platform to export of multi-platform images, as C(os/architecture[/variant]), or V(all).
        The default is that of the target.
    type: str
  allow_missing_platforms:
    description:
      - With O(platform=all), export those platforms that are present on the target. Without it, the task fails when one is missing.
    type: bool
    default: false
  force:
    description:
      - Write the archive even if it has the images already.
    type: bool
    default: false
seealso:
  - module: fleet.containerd.containerd_image_load
  - module: fleet.containerd.containerd_image_push
"""

EXAMPLES = r"""
- name: Export an image for docker load, podman load or containerd_image_load
  fleet.containerd.containerd_image_export:
    names: docker.io/library/nginx:1.27
    path: /srv/images/nginx.tar

- name: Export all platforms of two images in one compressed archive
  fleet.containerd.containerd_image_export:
    names:
      - docker.io/library/nginx:1.27
      - registry.example.com/team/app:stable
    path: /srv/images/all.tar.gz
    format: oci
    compression: gzip
    platform: all
    allow_missing_platforms: true

- name: Have an image as a directory
  fleet.containerd.containerd_image_export:
    names: docker.io/library/nginx:1.27
    path: /srv/images/nginx
    format: oci-dir
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["export image docker.io/library/nginx:1.27 to /srv/images/nginx.tar"]
archive:
  description: The archive. In check mode RV(archive.bytes) is missing when it has to be written.
  returned: always
  type: dict
  contains:
    file:
      description: Its path.
      type: str
      returned: always
    format:
      description: As O(format).
      type: str
      returned: always
    compression:
      description: As O(compression).
      type: str
      returned: always
    images:
      description: The digest of each image by its name. An image that was given by its id is listed by its digest.
      type: dict
      returned: always
    bytes:
      description: The size of the file, or of the blobs in the directory.
      type: int
      returned: when the archive is up to date
  sample:
    file: /srv/images/nginx.tar
    format: docker
    compression: none
    images:
      "docker.io/library/nginx:1.27": sha256:768e5c6f5cb6db0794eec98dc7a967f40631746c32232b78a3105fb946f3ab83
    bytes: 70131200
images:
  description: The images, in the shape of C(docker image inspect).
  returned: always
  type: list
  elements: dict
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_image_export import SPEC
from ..module_utils.kernel.engines import opened
from ..module_utils.kernel.module import run
from ..module_utils.resources.image.export import ImageExportResource


def main() -> None:
    run(ImageExportResource(), SPEC, cache, opened)


if __name__ == "__main__":
    main()
