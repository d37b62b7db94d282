#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_container_copy
short_description: Copy files into containers and volumes, and out of them
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Copies a file, a directory or a content into a container, or a file or a directory out of it (O(direction)). The container may run, be
    paused or stopped, or have never been started. Nothing is run in it, so it needs no shell.
  - Files are as the processes of the container see them. What is copied to the path of a volume is on the volume. Symbolic links on the way
    are resolved inside the container, and lead nowhere else.
  - A file is written beside its place and then renamed, so nobody sees a part of it. A device, a fifo or a link in its place is replaced,
    and never written to. Only where a file is itself mounted (C(/etc/hosts), or a volume that is one file) the file is written as it is.
  - A directory is copied with all that is in it. Other files in O(container_path) stay. See O(archive) for what is kept of a file besides
    its content and mode.
  - With O(volume) the same is done with a volume, whether a container uses it or not.
  - Files that are there already with the same size, content, owner, group and mode are not written. Sizes are compared first.
attributes:
  diff_mode:
    support: full
  idempotent:
    support: partial
    details:
      - O(force=true) writes in each run.
  action:
    description: Has a corresponding action plugin, so that parts of it are done on the controller.
    support: full
    details:
      - It is used with O(source=controller) and O(content) only.
  async:
    description: Supports being used with the C(async) keyword.
    support: partial
    details:
      - Not with O(source=controller) and O(content).
extends_documentation_fragment:
  - fleet.containerd.attributes
  - fleet.containerd.attributes.containerd
  - fleet.containerd.engine
options:
  container:
    description:
      - The name or the id of the container.
      - Either this or O(volume) is required.
    type: str
  volume:
    description:
      - The name of a volume, in the place of a container. It must be there; M(fleet.containerd.containerd_volume) makes it.
      - A volume that has files already gets no files of the image when a container uses it for the first time.
    type: str
  container_path:
    description:
      - The absolute path in the container, of the copy itself. It is not a directory to put the copy in. Its directory must be there.
      - With O(volume) V(/) is the directory of the volume.
    type: str
    required: true
  path:
    description:
      - With O(direction=into) the file or directory to copy, on the host that O(source) names. It is not a template.
      - With O(direction=from) the absolute path of the copy on the target. Its directory must be there. A link in a directory that other
        users may write to is not followed.
      - Either this or O(content) is required.
    type: str
  content:
    description:
      - The content of the file, instead of O(path). Data that is no text is written as JSON.
    type: raw
  content_is_b64:
    description:
      - Whether O(content) is Base64 of the content, which can then be any bytes.
    type: bool
    default: false
  direction:
    description:
      - V(into) copies O(path) or O(content) into the container, V(from) copies O(container_path) out of it.
    type: str
    choices: [into, from]
    default: into
  source:
    description:
      - The host that O(path) is on, with O(direction=into). V(target) is the managed host.
      - V(controller) is the host that runs Ansible. A relative path is looked for in C(files) directories, as M(ansible.builtin.copy) does.
        The target is told of sizes and digests, and is sent only those files that differ.
    type: str
    choices: [target, controller]
    default: target
  decrypt:
    description:
      - Whether files of the controller that C(ansible-vault) has encrypted are decrypted.
    type: bool
    default: true
  owner:
    description:
      - The owner of what is copied, as a name or a number. Names are those of the container's C(/etc/passwd). With O(direction=from) they are
        the target's.
      - With O(volume) names are the target's, too, and numbers are those on the target.
      - The default is the user that the container runs as, or who owns the directory of the volume. With O(direction=from) it is the user
        of the task.
    type: str
    aliases: [owner_id]
  group:
    description:
      - The group of what is copied, as O(owner); names are those of C(/etc/group).
    type: str
    aliases: [group_id]
  mode:
    description:
      - The mode of files, as octal digits such as V('0644'), or as symbols such as V(u=rw,g=r,o=), which change the mode of the source.
      - The default, and V(preserve), is the mode of the source. With O(content) it is that of the file that is there, or V('0644').
      - With O(direction=from) the default is without the bits setuid, setgid and sticky.
    type: raw
  directory_mode:
    description:
      - The mode of directories, as O(mode).
      - Directories that are there already keep their mode, owner and group, but for those that are given with this option, O(owner) and
        O(group).
    type: raw
  archive:
    description:
      - Keep owners and groups (as numbers), modes, times of files, capabilities of files (C(security.capability)), access control lists
        and attributes of users (C(user.*)), and names of files that are hard links to each other. Numbers are those in the container.
      - Labels of SELinux and other extended attributes belong to the host, and are never copied. Times of directories are not kept.
      - With O(source=controller), extended attributes and hard links are not kept.
    type: bool
    default: false
  follow:
    description:
      - With O(direction=into), whether a link in the place of the copy is followed in the container. Otherwise a file replaces it.
      - With O(direction=from), whether links in the container are followed, in it. Otherwise they are copied as links.
      - Links on the way to O(container_path) are always followed in the container.
    type: bool
    default: false
  local_follow:
    description:
      - With O(direction=into), whether links in O(path) are followed. Otherwise, and where they lead nowhere, they are copied as links.
      - With O(direction=from) it has no effect. A link in the place of the copy is replaced.
    type: bool
    default: true
  force:
    description:
      - V(true) writes without a comparison. V(false) writes only what does not exist, whatever is there.
      - When not set, what differs is written.
    type: bool
notes:
  - A C(tmpfs) of a container that does not run has no files. Copying to it or from it is an error then. So are C(/proc) and the like, always.
  - What is copied into a running container, but not onto a volume, is gone when the container is recreated.
  - With O(source=controller), the missing files are collected in Ansible's temporary directory on the controller, and sent to the one on
    the target.
  - Use C(no_log) when a file is secret and the play shows diffs.
seealso:
  - module: fleet.containerd.containerd_container
  - module: fleet.containerd.containerd_container_logs
"""

EXAMPLES = r"""
- name: Copy a file of the target into a container
  fleet.containerd.containerd_container_copy:
    container: web
    path: /srv/app/settings.ini
    container_path: /etc/settings.ini
    owner: www
    group: www
    mode: "0640"

- name: Write a file in a container
  fleet.containerd.containerd_container_copy:
    container: web
    content: |
      User-agent: *
      Disallow: /private
    container_path: /www/robots.txt

- name: Copy a directory of the controller onto a volume of a container
  fleet.containerd.containerd_container_copy:
    container: web
    source: controller
    path: site
    container_path: /www/site
    directory_mode: "0755"
    mode: u=rw,go=r

- name: Put a file into a volume before any container uses it
  fleet.containerd.containerd_container_copy:
    volume: settings
    content: "{{ {'debug': false} | to_json }}"
    container_path: /app.json
    owner: "1000"

- name: Copy a directory out of a container, with owners and times
  fleet.containerd.containerd_container_copy:
    container: web
    direction: from
    container_path: /www/site
    path: /srv/backup/site
    archive: true
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done.
  returned: always
  type: list
  elements: str
  sample: ["copy /srv/app/settings.ini to web:/etc/settings.ini"]
container_path:
  description: The real path in the container, without links.
  returned: success
  type: str
  sample: /etc/settings.ini
path:
  description: The real path on the target.
  returned: success with O(direction=from)
  type: str
  sample: /srv/backup/site
files:
  description: The number of files, directories and links that were written or changed, or in check mode would be.
  returned: success
  type: int
  sample: 1
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_container_copy import SPEC
from ..module_utils.kernel.engines import opened
from ..module_utils.kernel.module import run
from ..module_utils.resources.files.resource import CopyResource


def main() -> None:
    run(CopyResource(), SPEC, cache, opened)


if __name__ == "__main__":
    main()
