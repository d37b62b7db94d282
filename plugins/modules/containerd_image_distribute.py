#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_image_distribute
short_description: The steps of the role image_distribute
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - The role P(fleet.containerd.image_distribute#role) brings images to all hosts of a play, each host from its neighbour, while the
    data still arrive there. This module is what its tasks run; playbooks use the role.
  - A step looks at a host, plans on the controller, starts a process on a host that fetches and passes on, or waits for its result.
attributes:
  diff_mode:
    support: none
extends_documentation_fragment:
  - fleet.containerd.attributes
  - fleet.containerd.attributes.image
  - fleet.containerd.engine
  - fleet.containerd.registry
  - fleet.containerd.registry.credentials
  - fleet.containerd.progress
requirements:
  - requests, on hosts that ask the registry.
options:
  step:
    description:
      - V(look) tells what a host has. V(plan) makes the plan, on the controller, once for all hosts. V(start) starts the process of a
        host, and returns at once. V(wait) waits for its result. V(report) shows the results of all hosts in a table. V(pull) fetches
        without other hosts, and returns when it is done.
      - V(resolve) asks the registry what an image consists of, and V(foresee) tells what V(start) would lead to; V(plan), and check
        mode, use these themselves.
    type: str
    choices: [look, plan, resolve, start, pull, foresee, wait, report]
    required: true
  images:
    description: The images, as C([registry/]repository[:tag][@digest]).
    type: list
    elements: str
  release:
    description:
      - A release file on the controller, which says the digests of names; it is found as the C(src) of M(ansible.builtin.copy) is.
      - Without O(images), all images of the file. No registry is asked what a name means.
    type: str
  pull:
    description:
      - With V(missing), a host that has an image under this name decides what the name means, and the registry is asked only when no
        host has it, or when hosts have different ones.
      - With V(always), the registry is asked what a name means, once for the whole play.
    type: str
    choices: [missing, always]
    default: missing
  order_by:
    description: Hosts with the same value fetch from each other as far as possible, such as those of one rack.
    type: str
    default: ""
  method:
    description: With O(step=plan), whether hosts fetch from each other (V(relay)), from a mirror or from the registry.
    type: str
    choices: [relay, mirror, registry]
    default: relay
  heads:
    description: How many hosts may fetch from the registry at once when no host has the image.
    type: int
    default: 1
  listen:
    description: The address at which the other hosts of the play reach this one. By default that of its default route.
    type: str
  port:
    description: The first of four ports; the process listens on the first one of them that is free.
    type: int
    default: 7446
  tls:
    description: Whether hosts encrypt what they send to each other, with a certificate that the controller makes for the play.
    type: bool
    default: false
  rate:
    description: What the link of a host carries, in megabits per second. With it, results say how far from the ideal the play was.
    type: float
  max_parallel:
    description: How many blobs a host fetches at the same time.
    type: int
    default: 2
  timeout:
    description: After so many seconds the process of a host ends, whatever it has reached.
    type: float
    default: 900
  platforms:
    description: With O(step=resolve), the platforms of the hosts.
    type: list
    elements: str
  results:
    description: With O(step=plan) and O(step=report), the name of the variable with the results of the step before.
    type: str
  plan:
    description: With O(step=start), O(step=wait) and O(step=report), the RV(plan) of O(step=plan).
    type: str
  part:
    description: What the controller sends to a host of the plan, and no playbook sets.
    type: str
seealso:
  - module: fleet.containerd.containerd_image
"""

EXAMPLES = r"""
- name: Have an image on all hosts of the play, by one copy from the registry
  ansible.builtin.include_role:
    name: fleet.containerd.image_distribute
  vars:
    image_distribute_images:
      - registry.example.com/team/app:2.1

- name: Tell which of the images a host has
  fleet.containerd.containerd_image_distribute:
    step: look
    images:
      - registry.example.com/team/app:2.1
"""

RETURN = r"""
images:
  description: Of each image what is there, or what came.
  returned: always
  type: raw
plan:
  description: The name of the plan, for the next steps.
  returned: with O(step=plan)
  type: str
hosts:
  description: The hosts that get something, and those that may be asked for it; with O(step=report) the results of all.
  returned: with O(step=plan) and O(step=report)
  type: raw
bytes:
  description: How many bytes came; in check mode, how many would come.
  returned: with O(step=wait), and O(step=start) in check mode
  type: int
bytes_from:
  description: The bytes, by the host that sent them, or C(registry).
  returned: with O(step=wait)
  type: dict
fallbacks:
  description: The hosts that were left for another one, why, and after how many seconds.
  returned: with O(step=wait)
  type: list
  elements: dict
seconds:
  description: From the start of the process until the images were there.
  returned: with O(step=wait)
  type: float
table:
  description: The results of all hosts.
  returned: with O(step=report)
  type: list
  elements: str
registry_copies:
  description: How often the images have left the registry.
  returned: with O(step=report)
  type: float
over_ideal:
  description: The time of the slowest host, as a multiple of what the images need on one link.
  returned: with O(step=report), when O(rate) is given
  type: float
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_image_distribute import SPEC
from ..module_utils.kernel.engines import opened
from ..module_utils.kernel.module import run_query
from ..module_utils.resources.image.distribute import distribute


def main() -> None:
    run_query(distribute, SPEC, cache, opened)


if __name__ == "__main__":
    main()
