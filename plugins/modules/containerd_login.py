#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_login
short_description: Log in to container registries
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Stores the credentials for a registry on the target, after the registry has accepted them.
  - They are written to Docker's C(config.json), or given to the credential helper that it names. C(nerdctl), C(docker) and the
    modules of this collection read them from there.
  - containerd itself, which pulls for the kubelet, does not read C(config.json). With O(hosts_toml=true) it gets them too.
  - When the credentials are stored already, nothing is written and the registry is not asked.
requirements:
  - requests (to verify credentials)
  - tomlkit (with O(hosts_toml=true) where there is a C(hosts.toml))
attributes:
  diff_mode:
    support: full
    details:
      - Passwords are not shown.
extends_documentation_fragment:
  - fleet.containerd.attributes
  - fleet.containerd.attributes.registry
  - fleet.containerd.registry
options:
  registry_url:
    description:
      - The registry, as C(host[:port]) or as a URL. A URL with V(http://) means O(plain_http=true).
      - This may be a mirror of other registries.
    type: str
    default: docker.io
    aliases: [registry, url]
  username:
    description:
      - The user name. Needed with O(state=present).
    type: str
  password:
    description:
      - The password or the access token. Needed with O(state=present).
    type: str
  state:
    description:
      - V(present) makes sure that the credentials are stored.
      - V(absent) removes everything that is stored for the registry. The registry is not asked.
    type: str
    choices: [present, absent]
    default: present
  verify:
    description:
      - Whether the registry has to accept the credentials before they are written. It is asked in check mode too.
    type: bool
    default: true
  reauthorize:
    description:
      - Whether to verify credentials that are stored already.
    type: bool
    default: false
    aliases: [reauth]
  config_path:
    description:
      - The C(config.json). When not set, C($DOCKER_CONFIG/config.json) or C(~/.docker/config.json).
      - Other entries and settings in it stay. It gets mode 0600.
      - A symbolic link is followed only if nobody but root and the user of the task may write to the directory of the link. Else it
        is refused. In the home of another user, become that user or give the path that the link leads to.
    type: path
    aliases: [dockercfg_path]
  hosts_toml:
    description:
      - Whether to write the credentials also to each C(hosts.toml) below O(registry_config_dir) that names the registry, as the registry
        itself or as a mirror, in an C(Authorization) header for this host. These files get mode 0640, or keep a stricter one.
      - If the file for the registry's own images is missing, it is made with the settings that were in effect until then
        (the certificates in its directory, or the content of C(_default/hosts.toml)). A registry on loopback gets the scheme that it
        uses; with O(verify=false) it is not asked, and containerd tries TLS and then plain HTTP, as it does without a file.
    type: bool
    default: false
seealso:
  - module: fleet.containerd.containerd_registry
  - module: fleet.containerd.containerd_registry_info
"""

EXAMPLES = r"""
- name: Log in to Docker Hub
  fleet.containerd.containerd_login:
    username: robot
    password: "{{ hub_token }}"

- name: Log in to a private registry, for the kubelet too
  fleet.containerd.containerd_login:
    registry_url: registry.example.com:5443
    username: robot
    password: "{{ registry_password }}"
    hosts_toml: true

- name: Log out
  fleet.containerd.containerd_login:
    registry_url: registry.example.com:5443
    state: absent
    hosts_toml: true
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["log in to registry.example.com:5443 as robot"]
registry:
  description: The registry as images name it.
  returned: always
  type: str
  sample: registry.example.com:5443
username:
  description: The user name.
  returned: when O(state=present)
  type: str
verified:
  description: Whether the registry has accepted the credentials in this run.
  returned: when O(state=present)
  type: bool
config_path:
  description: The C(config.json).
  returned: always
  type: str
  sample: /root/.docker/config.json
hosts_toml:
  description: The files that name the registry.
  returned: when O(hosts_toml=true)
  type: list
  elements: str
  sample: ["/etc/containerd/certs.d/docker.io/hosts.toml"]
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_login import SPEC
from ..module_utils.kernel.module import run
from ..module_utils.resources.registry.login import LoginResource


def main() -> None:
    run(LoginResource(), SPEC, cache)


if __name__ == "__main__":
    main()
