# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of /etc that tell a container its network, as Docker has them."""

from __future__ import annotations

import os
import typing as t

from ..hostfs.atomic import write_file

_HOSTS, _RESOLVER = "/etc/hosts", "/etc/resolv.conf"


def etc_files(network_mode: str, hostname: str, directory: str) -> t.Dict[str, str]:
    """Where each comes from, by its path in the container. In the host's network they are the host's, as far as it has them.

    directory: the container's, for a file that is made for it.
    """
    found = {path: path for path in (_HOSTS, _RESOLVER) if network_mode == "host" and os.path.isfile(path)}
    if _HOSTS not in found:
        found[_HOSTS] = os.path.join(directory, "hosts")
        names = f"localhost {hostname}" if hostname != "localhost" else hostname
        text = f"127.0.0.1\t{names}\n::1\tlocalhost ip6-localhost ip6-loopback\n"
        write_file(found[_HOSTS], text.encode(), 0o644)
    return found
