#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_registry
short_description: Configure mirrors and certificates of container registries
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Writes the C(hosts.toml) of a registry below C(certs.d). This file names the hosts that its images are pulled from, with their
    certificates, headers and capabilities.
  - The file is read at each pull, by the modules of this collection, by the kubelet through containerd (where C(config_path) of its
    configuration names O(registry_config_dir)), by C(nerdctl), and by C(ctr --hosts-dir). Nothing has to be restarted.
  - containerd ignores a file that it cannot read, and then pulls without mirrors. So everything is checked before it is written.
  - An option that is not given is not changed, also within a mirror that is in the file already. An empty value removes the
    setting. So the header that M(fleet.containerd.containerd_login) has written stays.
  - Comments and other files in the registry's directory stay.
requirements:
  - tomlkit (to change a file that was not written by this module, or that has changed since)
attributes:
  diff_mode:
    support: full
    details:
      - The values of headers are not shown.
extends_documentation_fragment:
  - fleet.containerd.attributes
options:
  registry:
    description:
      - The registry as images name it, C(host[:port]), for example V(docker.io) or V(registry.example.com:5443).
      - V(_default) means all registries without their own directory.
      - The directory of a registry with a port is called C(host_PORT_), unless C(host:PORT) exists.
    type: str
    required: true
    aliases: [host]
  server:
    description:
      - The URL of the registry itself, which is tried after all mirrors. By default the registry is asked under its own name.
      - Without mirrors it is written as a host too, because containerd 1.6 and 1.7 ignore a file without hosts.
    type: str
  mirrors:
    description:
      - The hosts to try before the registry itself, in this order.
      - The registry itself may be among them, with its certificates.
    type: list
    elements: dict
    suboptions:
      host:
        description:
          - The URL of the mirror. C(/v2) is appended to its path, see O(mirrors[].override_path).
        type: str
        required: true
      capabilities:
        description:
          - What the mirror may be used for. V(pull) means contents by digest, V(resolve) the digests of tags, V(push) uploads.
          - A mirror without capabilities has all. Give only V(pull) when the registry itself has to be asked for tags.
        type: list
        elements: str
        choices: [pull, resolve, push]
      ca:
        description:
          - Files with additional certificate authorities to trust, in PEM format. Relative paths are relative to C(hosts.toml).
        type: list
        elements: path
      ca_content:
        description:
          - Certificate authorities in PEM format. They are written to a file beside C(hosts.toml), which is removed when it is no longer needed.
        type: str
      client:
        description:
          - Client certificates, each as the path of a file with certificate and key, or as a list of two paths, certificate and key.
        type: list
        elements: raw
      skip_verify:
        description:
          - Whether to trust any certificate.
        type: bool
      override_path:
        description:
          - Whether the URL has the complete path of the API, so that C(/v2) is not appended.
        type: bool
      header:
        description:
          - Headers to send to this mirror with each request, strings or lists of strings by name.
        type: dict
      dial_timeout:
        description:
          - How long to wait for a connection, for example V(5s) or V(500ms). containerd before 2.0 does not know this and ignores it.
        type: str
  state:
    description:
      - V(present) makes sure that the file is as described.
      - V(absent) removes the file, the other files of this module beside it, and the directory if it is empty then.
    type: str
    choices: [present, absent]
    default: present
  registry_config_dir:
    description:
      - The directory with a directory for each registry.
    type: path
    default: /etc/containerd/certs.d
seealso:
  - module: fleet.containerd.containerd_login
  - module: fleet.containerd.containerd_registry_info
"""

EXAMPLES = r"""
- name: Pull images of Docker Hub through two mirrors
  fleet.containerd.containerd_registry:
    registry: docker.io
    server: https://registry-1.docker.io
    mirrors:
      - host: https://mirror.example.com
        capabilities: [pull, resolve]
        ca_content: "{{ lookup('ansible.builtin.file', 'ca.pem') }}"
      - host: https://harbor.example.com/v2/docker-hub
        capabilities: [pull, resolve]
        override_path: true

- name: A private registry with its own authority and client certificate
  fleet.containerd.containerd_registry:
    registry: registry.example.com:5443
    mirrors:
      - host: https://registry.example.com:5443
        ca: [/etc/ssl/private-ca.pem]
        client:
          - [/etc/ssl/node.pem, /etc/ssl/private/node.key]

- name: A mirror for all registries without their own directory
  fleet.containerd.containerd_registry:
    registry: _default
    mirrors:
      - host: http://mirror.example.com:5000
        capabilities: [pull]
        dial_timeout: 2s

- name: No mirrors any more
  fleet.containerd.containerd_registry:
    registry: docker.io
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["write /etc/containerd/certs.d/docker.io/hosts.toml"]
hosts_toml:
  description: The file.
  returned: always
  type: str
  sample: /etc/containerd/certs.d/docker.io/hosts.toml
hosts:
  description: The hosts that are tried, in order, as M(fleet.containerd.containerd_registry_info) returns them. Empty when there is no file.
  returned: always
  type: list
  elements: dict
  sample:
    - url: https://mirror.example.com
      registry: false
      capabilities: [pull, resolve]
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_registry import SPEC
from ..module_utils.kernel.module import run
from ..module_utils.resources.registry.hosts import HostsResource


def main() -> None:
    run(HostsResource(), SPEC, cache)


if __name__ == "__main__":
    main()
