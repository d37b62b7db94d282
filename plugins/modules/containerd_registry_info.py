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
  - Returns the hosts that a pull of an image would try, in order, what they may be used for, and whether there are credentials for them.
  - This is found out by the same code that pulls use, from C(certs.d) and from Docker's C(config.json). No host is asked.
  - A file that is broken, which containerd itself passes over in silence, is an error.
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
      - A name without a slash is a registry's when its host has a dot or is V(localhost).
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
      description: The whole name of the image.
      type: str
      returned: when the name is an image's
    registry:
      description: The registry.
      type: str
      returned: always
      sample: docker.io
    directory:
      description: The directory of certs.d that counts, empty for none.
      type: str
      returned: always
    hosts_toml:
      description: The file that was read, empty for none.
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
          returned: when the name is an image's
        registry:
          description: Whether this is the registry itself and no mirror.
          type: bool
          returned: always
        capabilities:
          description: What it may be used for. A host without V(resolve) is not asked for tags.
          type: list
          elements: str
          returned: always
        credentials:
          description: Whether there is something to authenticate with.
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
          description: Whether plain HTTP is spoken to it, if need be.
          type: bool
          returned: always
        dial_timeout:
          description: Seconds to wait for a connection.
          type: float
          returned: when C(hosts.toml) has it
"""

from ..module_utils.argument_specs.containerd_registry_info import SPEC
from ..module_utils.kernel.bytecode import cache
from ..module_utils.kernel.module import run_query
from ..module_utils.resources.registry.info import registry_info


def main() -> None:
    run_query(registry_info, SPEC, cache)


if __name__ == "__main__":
    main()
