#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_network
short_description: Manage container networks
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Creates, changes and removes the networks of a host, and connects containers to them.
  - A network is a CNI configuration list, C(nerdctl-NAME.conflist) in O(cni_conf_dir). C(nerdctl) sees the network, and CNI plugins
    can use it. The drivers V(bridge), V(macvlan) and V(ipvlan) are built in and need no plugin.
  - An option that is not given is not changed. A new network gets the defaults that are described with each option.
  - The members of a network stay in it when it changes. O(isolate), O(masquerade) and O(labels) change while the members communicate.
    Other changes attach running members again, with their static addresses and aliases.
  - The members are the containers of all engines and namespaces below O(data_root), running or not. No engine is opened, so this also
    works while containerd is down.
requirements:
  - nft, or iptables
attributes:
  diff_mode:
    support: full
extends_documentation_fragment:
  - fleet.containerd.attributes
  - fleet.containerd.attributes.network
  - fleet.containerd.engine
  - fleet.containerd.network
options:
  name:
    description:
      - The name of the network. The network V(bridge) is that of containers which ask for none.
      - Letters, digits, C(_), C(.) and C(-), the first one a letter or a digit.
    type: str
    required: true
    aliases: [network_name]
  driver:
    description:
      - V(bridge) connects containers of this host with each other. They reach other machines through the host's address.
      - V(macvlan) and V(ipvlan) connect them to the network of an interface of the host, with addresses of their own in it.
      - A new network is a V(bridge).
    type: str
    choices: [bridge, macvlan, ipvlan]
  driver_options:
    description:
      - Options of the driver, by the names of Docker.
      - For V(bridge) C(com.docker.network.bridge.name) (the name of the link on the host),
        C(com.docker.network.bridge.enable_ip_masquerade) and C(com.docker.network.driver.mtu) (also as C(mtu)).
      - For V(macvlan) and V(ipvlan) C(parent) (the interface of the host; by default that of the default route), C(mode) (also as
        C(macvlan_mode), C(ipvlan_mode)) and C(com.docker.network.driver.mtu) (also as C(mtu)).
      - Any other name is an error.
    type: dict
  ipam_config:
    description:
      - The subnets of the network. Their order does not count, nor how addresses are written.
      - Without it, a new network gets a free subnet, which it keeps. Subnets of other networks and routes of the host are avoided.
      - A subnet in it keeps the gateway, range and reserved addresses that it has if they are not given.
    type: list
    elements: dict
    suboptions:
      subnet:
        description:
          - The subnet, such as V(172.30.0.0/24) or V(fd00:30::/64).
        type: str
        required: true
      iprange:
        description:
          - The part of the subnet that addresses are given out from. Static addresses may be outside.
        type: str
      gateway:
        description:
          - The address of the host in the subnet, or that of a router with V(macvlan) and V(ipvlan). By default the first address.
        type: str
      aux_addresses:
        description:
          - Addresses that no container gets, by names.
        type: dict
  enable_ipv6:
    description:
      - V(true) adds an IPv6 subnet when O(ipam_config) has none. V(false) removes the present one.
      - It is not needed when O(ipam_config) has an IPv6 subnet. A network with nothing but IPv6 subnets gets no IPv4 subnet.
    type: bool
  internal:
    description:
      - Whether there is no way out of the network, only between its members. By default there is one.
    type: bool
  mtu:
    description:
      - The largest packet, in bytes. V(0), the default, means that of the kernel or of the parent interface.
    type: int
  isolate:
    description:
      - Whether members are out of reach from other networks of this host. By default they are.
    type: bool
  masquerade:
    description:
      - Whether members reach other machines under the host's address. By default they do.
    type: bool
  labels:
    description:
      - Labels of the network. Other labels that it has stay. An empty mapping removes all.
    type: dict
  conflist:
    description:
      - A CNI configuration list in place of the options above, for any chain of plugins. C(plugins) is required, C(name) and
        C(cniVersion) are not.
      - It is compared as it is. Plugins that are not built in are executed from O(cni_bin_dir).
      - A bridge that it names must not be there already. It is made with the first container, and removed with the network.
    type: dict
  connected:
    description:
      - The containers that are in the network, by name or id. Others are disconnected, unless O(appends) is set.
      - Running containers are connected and disconnected at once, without a restart. The others when they start.
      - When it is not given, the members are not changed. Usually O(fleet.containerd.containerd_container#module:networks) says where a
        container belongs. The task of the container leaves networks alone that it does not name, also when it makes the container
        anew; and it connects it again to those that it names.
      - A container with C(network_mode) V(host), V(none) or C(container:) cannot be connected.
    type: list
    elements: str
    aliases: [containers]
  appends:
    description:
      - Whether members that are not in O(connected) stay.
    type: bool
    default: false
    aliases: [incremental]
  force:
    description:
      - With O(state=absent), disconnect the members first.
      - With O(state=present), change a network although a container's static address is not in its new subnets (it gets another one),
        or its published ports could not be published any more, or containers of C(nerdctl) are in it (they cannot be attached again, and
        lose their connection).
    type: bool
    default: false
  state:
    description:
      - V(present) makes sure that the network is as described.
      - V(absent) removes it. A network that has members is an error, which names them, unless O(force) is set.
    type: str
    choices: [present, absent]
    default: present
notes:
  - The rules of networks are in a table of nftables of their own. When somebody has flushed them, the next run of a task restores them.
  - O(engine), O(address), O(snapshotter) and O(state_root) have no effect here. They are accepted so that the module can be in the same
    groups of C(module_defaults) as the others.
  - O(namespace) tells which container is meant in O(connected) when several have the same name. Networks that C(nerdctl) 2 keeps for this
    namespace are found, too.
seealso:
  - module: fleet.containerd.containerd_network_info
  - module: fleet.containerd.containerd_container
  - ref: ansible_collections.fleet.containerd.docsite.guide_networks
    description: The guide to networks
"""

EXAMPLES = r"""
- name: A network with a subnet that is free on this host
  fleet.containerd.containerd_network:
    name: front

- name: A network with subnets of its own, without a way out
  fleet.containerd.containerd_network:
    name: back
    internal: true
    ipam_config:
      - subnet: 172.30.8.0/24
        gateway: 172.30.8.254
        iprange: 172.30.8.64/26
        aux_addresses:
          printer: 172.30.8.70
      - subnet: fd00:30:8::/64
    labels:
      tier: database

- name: Give it a larger MTU; its members stay
  fleet.containerd.containerd_network:
    name: back
    mtu: 9000

- name: A chain of plugins as CNI has it
  fleet.containerd.containerd_network:
    name: chain
    conflist:
      plugins:
        - type: bridge
          bridge: br-chain
          isGateway: true
          ipMasq: true
          ipam:
            type: host-local
            ranges: [[{subnet: 172.30.9.0/24}]]
            routes: [{dst: 0.0.0.0/0}]
        - type: portmap
          capabilities: {portMappings: true}

- name: Remove a network, and disconnect who is in it
  fleet.containerd.containerd_network:
    name: front
    state: absent
    force: true
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["create network front", "connect container web to network front"]
network:
  description:
    - The network in the shape of C(docker network inspect); in check mode as it would be, with its subnet. Empty when there is none.
    - C(Containers) are all members by their ids, in check mode those of now. The addresses of those that do not run are empty.
    - C(Containerd) has the file, the link of the host and the plugins.
  returned: always
  type: dict
  sample:
    Name: front
    Driver: bridge
    IPAM: {"Driver": "default", "Options": {}, "Config": [{"Subnet": "10.4.1.0/24", "Gateway": "10.4.1.1"}]}
    Internal: false
    Containers: {}
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_network import SPEC
from ..module_utils.kernel.module import run
from ..module_utils.resources.network.resource import NetworkResource


def main() -> None:
    run(NetworkResource(), SPEC, cache)


if __name__ == "__main__":
    main()
