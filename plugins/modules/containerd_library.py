#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_library
short_description: Have the code of this collection on a host before it is needed
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - The first task of this collection that may change a host, as root, leaves the code of the collection there, some 700 KiB in
    C(/var/cache/fleet-containerd). Later tasks send only their options and a few hundred lines, until another release of the collection
    comes.
  - This module does the same and nothing else, for example before a maintenance window, or for hosts behind a slow link.
  - Tasks with C(async), tasks that do not run as root, and tasks in check mode on a host that has no code yet, are sent all that they need.
    Nothing is left there then. The variable C(fleet_containerd_library) with the value V(false) lets all tasks do so.
attributes:
  check_mode:
    description: Can run in C(check_mode) and return the changed status prediction without modifying the target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
    support: none
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
    support: full
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
options:
  digest:
    description:
      - The SHA-256 of the code. As the other options, it is for the action plugins of the collection; a task needs none.
    type: str
  file:
    description:
      - The code, as a file of the host.
    type: path
  module:
    description:
      - The module to run.
    type: str
  arguments:
    description:
      - The options of that module.
    type: dict
"""

EXAMPLES = r"""
- name: Have the code there before the night
  fleet.containerd.containerd_library:
"""

RETURN = r"""
"""

from ..module_utils.argument_specs.containerd_library import SPEC
from ..module_utils.kernel.bytecode import cache as _cache  # isort: split # noqa: F401  # the first import of ours
from ..module_utils.kernel.library import run


def main() -> None:
    run(SPEC)


if __name__ == "__main__":
    main()
