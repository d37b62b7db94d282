# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks as nerdctl 1.7 and 2.0 write them."""

from __future__ import annotations

import typing as t


def network(name: str, network_id: str, bridge: str, labels: t.Dict[str, str], subnet: str, gateway: str) -> t.Dict[str, t.Any]:
    """nerdctl network create --subnet ... --label ... name"""
    return {
        "cniVersion": "1.0.0",
        "name": name,
        "nerdctlID": network_id,
        "nerdctlLabels": labels,
        "plugins": [
            {
                "type": "bridge",
                "bridge": bridge,
                "isGateway": True,
                "ipMasq": True,
                "hairpinMode": True,
                "ipam": {
                    "ranges": [[{"gateway": gateway, "subnet": subnet}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "type": "host-local",
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
            {"type": "firewall", "ingressPolicy": "same-bridge"},
            {"type": "tuning"},
        ],
    }
