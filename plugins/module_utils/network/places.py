# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where networks have their files on a host, in the usual places of CNI and nerdctl."""

from __future__ import annotations

import typing as t

CONF_DIR = "/etc/cni/net.d"
BIN_DIRS = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")
CACHE_DIR = "/var/lib/cni"
#: Of host-local.
DATA_DIR = "/var/lib/cni/networks"
#: Where ip netns looks for namespaces.
PIN_DIR = "/run/netns"
#: Who is in a network, with its names.
STATE_DIR = "/run/fleet-containerd/networks"


class Places(t.NamedTuple):
    """Directories, where they are not the usual ones. namespace: of conflists."""

    conf_dir: str = CONF_DIR
    namespace: str = ""
    bin_dirs: t.Tuple[str, ...] = BIN_DIRS
    cache_dir: str = CACHE_DIR
    data_dir: str = DATA_DIR
    pin_dir: str = PIN_DIR
    names_dir: str = STATE_DIR
