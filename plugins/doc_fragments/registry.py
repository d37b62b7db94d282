# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation fragments: how a module talks to registries, and with which credentials."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  validate_certs:
    description:
      - Whether the registry's TLS certificate must be valid.
    type: bool
    default: true
  ca_path:
    description:
      - File with the certificate authorities to trust for the registry, in PEM format.
    type: path
  client_cert:
    description:
      - File with the client certificate to show to the registry, in PEM format.
    type: path
  client_key:
    description:
      - File with the private key of O(client_cert), in PEM format.
    type: path
  plain_http:
    description:
      - Talk plain HTTP to the registry.
      - Registries on the loopback interface are tried with TLS first and then with plain HTTP, even without this option.
    type: bool
    default: false
  retries:
    description:
      - How often a failed request is tried again (connection errors, resets, stalls, HTTP 408, 429 and 5xx).
      - When a registry asks to wait (C(Retry-After)), the task waits for up to a minute. When it asks for more, the task fails at once
        and tells for how long.
    type: int
    default: 3
  retry_delay:
    description:
      - Seconds before the first retry. The delay doubles with each retry and has a random part.
    type: float
    default: 2.0
  progress_timeout:
    description:
      - Seconds within which the next part of an answer has to come, its headers or 128 KiB of its body. Else the request counts as
        stalled and is tried again. There is no limit for the whole transfer. A mirror that has stalled is asked last from then on.
      - With the defaults a stall is noticed after 45 seconds, and a registry that does nothing but stall fails the task within four
        minutes. Once all tries of one request have failed, further requests are tried only once, until an answer comes.
      - Raise it for links slower than 25 kbit/s for each of the transfers that run at once (three by default), and for a registry that
        has to fetch the contents from a slow place first.
    type: float
    default: 45.0
  http_proxy:
    description:
      - Proxy for registries that use plain HTTP. When not set, E(http_proxy) of the task's environment is used.
    type: str
  https_proxy:
    description:
      - Proxy for registries that use TLS. When not set, E(https_proxy) of the task's environment is used.
    type: str
  no_proxy:
    description:
      - Hosts that are reached without a proxy, separated by commas. When not set, E(no_proxy) of the task's environment is used.
    type: str
  registry_config_dir:
    description:
      - Directory with the mirrors of registries, in containerd's layout (C(certs.d) with C(hosts.toml) or certificate files).
        Several directories are separated by colons.
      - Mirrors are tried in order, then the registry itself. When one cannot be reached or refuses, the next one is asked.
      - The task's credentials, O(ca_path), O(client_cert) and O(validate_certs) are for the registry itself only.
        A mirror has its certificates in C(hosts.toml), and its credentials there or under its own name in Docker's C(config.json).
      - A broken file is an error, although containerd itself ignores it silently.
      - Reading C(hosts.toml) needs the Python library tomlkit. The default may be missing. V("") uses no mirrors.
    type: path
    default: /etc/containerd/certs.d
"""

    # For all modules that talk to registries except containerd_login, whose credentials mean something else.
    CREDENTIALS = r"""
options:
  username:
    description:
      - User name for the registry. Needs O(password).
      - When neither this nor O(token) is set, the credentials are looked up in O(auth_file).
    type: str
  password:
    description:
      - Password for the registry.
    type: str
  token:
    description:
      - A bearer token that is sent to the registry as it is.
    type: str
  auth_file:
    description:
      - A Docker C(config.json) with credentials or credential helpers.
      - When not set, C($DOCKER_CONFIG/config.json) or C(~/.docker/config.json) is read where it exists.
    type: path
"""
