#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_registry_info
short_description: Show where images would be pulled from
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Returns the hosts that a pull of an image would try, in order, with their capabilities, and whether there are credentials for them.
  - It uses the same code as pulls, and reads C(certs.d) and Docker's C(config.json). No host is asked.
  - A broken file is an error, although containerd itself ignores it silently.
requirements:
  - tomlkit (where there is a C(hosts.toml))
extends_documentation_fragment:
  - fleet.containerd.attributes.info
  - fleet.containerd.attributes.registry
  - fleet.containerd.registry
  - fleet.containerd.registry.credentials
options:
  name:
    description:
      - Images, as C([registry/]repository[:tag][@digest]), or registries, as C(host[:port]).
      - A name without a slash means a registry if its host has a dot or is V(localhost).
    type: list
    elements: str
    required: true
seealso:
  - module: fleet.containerd.containerd_registry
"""

EXAMPLES = r"""
- name: Where does nginx come from?
  fleet.containerd.containerd_registry_info:
    name: docker.io/library/nginx:1.27
  register: result

- name: Which hosts serve these registries?
  fleet.containerd.containerd_registry_info:
    name: [docker.io, registry.example.com:5443]
"""

RETURN = r"""
registries:
  description: One entry for each name, in order.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The name that was given.
      type: str
      returned: always
    image:
      description: The complete name of the image.
      type: str
      returned: when the name is that of an image
    registry:
      description: The registry.
      type: str
      returned: always
      sample: docker.io
    directory:
      description: The directory of certs.d that is used; empty for none.
      type: str
      returned: always
    hosts_toml:
      description: The file that was read; empty for none.
      type: str
      returned: always
    hosts:
      description: The hosts in the order in which they are tried.
      type: list
      elements: dict
      returned: always
      contains:
        url:
          description: The host as C(hosts.toml) names it, with the scheme that is tried first.
          type: str
          returned: always
        api:
          description: Where its API begins.
          type: str
          returned: always
        manifest:
          description: The URL that would be asked for the image's manifest.
          type: str
          returned: when the name is that of an image
        registry:
          description: Whether this is the registry itself, not a mirror.
          type: bool
          returned: always
        capabilities:
          description: What it may be used for. A host without V(resolve) is not asked for tags.
          type: list
          elements: str
          returned: always
        credentials:
          description: Whether there are credentials for it.
          type: bool
          returned: always
        headers:
          description: The names of the headers that it gets.
          type: list
          elements: str
          returned: always
        ca:
          description: Files with authorities to trust for it.
          type: list
          elements: str
          returned: always
        client:
          description: Client certificates to show to it.
          type: list
          elements: list
          returned: always
        skip_verify:
          description: Whether C(hosts.toml) says to trust any certificate.
          type: bool
          returned: always
        plain_http:
          description: Whether plain HTTP may be used for it.
          type: bool
          returned: always
        dial_timeout:
          description: Seconds to wait for a connection.
          type: float
          returned: when C(hosts.toml) has it
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_registry_info import SPEC
from ..module_utils.kernel.module import run_query
from ..module_utils.resources.registry.info import registry_info


def main() -> None:
    run_query(registry_info, SPEC, cache)


if __name__ == "__main__":
    main()
