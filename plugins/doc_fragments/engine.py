# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation fragment: which engine a module talks to."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  engine:
    description:
      - Which engine manages images and containers on the target.
      - V(containerd) talks to a running containerd daemon. C(ctr), C(nerdctl) and the kubelet see the results.
      - V(embedded) needs no daemon, only Python and an OCI runtime such as C(runc).
      - V(auto) takes V(containerd) when its socket O(address) exists, and V(embedded) when containerd is not installed.
        When containerd is installed but its socket is missing, the task fails rather than choosing another engine silently.
        When containerd was installed later, on a host where the embedded engine has a container of the same name, the task
        does not make that container a second time, but fails and names it.
    type: str
    choices: [auto, containerd, embedded]
    default: auto
  address:
    description:
      - Path of the containerd daemon's socket.
      - Used by engine V(containerd) only.
      - When not set, the environment variable E(CONTAINERD_ADDRESS) is used.
    type: path
    default: /run/containerd/containerd.sock
  namespace:
    description:
      - The containerd namespace to work in. The kubelet uses V(k8s.io), C(nerdctl) and C(ctr) use V(default).
      - When not set, the environment variable E(CONTAINERD_NAMESPACE) is used.
    type: str
    default: default
  snapshotter:
    description:
      - The snapshotter that holds the unpacked layers, for example V(overlayfs) or V(native).
      - When not set, the best one for the host is used.
    type: str
  data_root:
    description:
      - Directory for persistent data, such as images and container logs.
    type: path
    default: /var/lib/fleet-containerd
  state_root:
    description:
      - Directory for run-time state. It may be empty after a reboot.
    type: path
    default: /run/fleet-containerd
"""
