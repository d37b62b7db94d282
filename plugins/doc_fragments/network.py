# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation fragment: where the networks of a host are. The group network of module_defaults has these options."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  cni_conf_dir:
    description:
      - The directory of the networks, one file each. C(nerdctl) and containerd's CRI plugin read the same one by default.
    type: path
    default: /etc/cni/net.d
  cni_bin_dir:
    description:
      - Directories with CNI plugins, in the order in which they are searched. They are needed only for plugins that are not built in.
    type: list
    elements: path
    default: [/opt/cni/bin, /usr/lib/cni, /usr/libexec/cni]
"""
