# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where networks have their files on a host, in the usual places of CNI and nerdctl."""

from __future__ import annotations

import os
import typing as t

from ..errors import InvalidArgument, printable

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

    def checked(self) -> Places:
        """As given by cni_conf_dir and cni_bin_dir; InvalidArgument for a path that is not absolute."""
        for option, path in [("cni_conf_dir", self.conf_dir), *(("cni_bin_dir", one) for one in self.bin_dirs)]:
            if not os.path.isabs(path):
                raise InvalidArgument(f"{option}: {printable(path, 200)!r} is not an absolute path")
        return self._replace(conf_dir=os.path.normpath(self.conf_dir))
