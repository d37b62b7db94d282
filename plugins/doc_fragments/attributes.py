# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation fragments: what every module of the collection promises, and its groups of module_defaults."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return the changed status prediction without modifying the target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
    support: full
"""

    # The same for modules that only read.
    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return the changed status prediction without modifying the target.
    support: full
    details:
      - This module never modifies the target.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
    support: N/A
    details:
      - This module never modifies the target.
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
    support: full
"""

    # For modules with the options of the fragment engine.
    CONTAINERD = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/fleet.containerd.containerd) in C(module_defaults) to set the engine's options for this module.
    support: full
    membership:
      - fleet.containerd.containerd
"""

    # For modules with the options of the fragment registry.
    REGISTRY = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/fleet.containerd.registry) in C(module_defaults) to set the registry's options for this module.
    support: full
    membership:
      - fleet.containerd.registry
"""

    # For modules with both.
    BOTH = r"""
options: {}
attributes:
  action_group:
    description:
      - Use C(group/fleet.containerd.containerd) in C(module_defaults) to set the engine's options for this module,
        and C(group/fleet.containerd.registry) to set the registry's.
    support: full
    membership:
      - fleet.containerd.containerd
      - fleet.containerd.registry
"""

    # For the module with the options of engine, registry and release.
    IMAGE = r"""
options: {}
attributes:
  action_group:
    description:
      - Use C(group/fleet.containerd.containerd) in C(module_defaults) to set the engine's options for this module,
        C(group/fleet.containerd.registry) to set the registry's, and C(group/fleet.containerd.release) to set the release file.
    support: full
    membership:
      - fleet.containerd.containerd
      - fleet.containerd.registry
      - fleet.containerd.release
"""

    # For the module with the options of engine, network, registry and release.
    CONTAINER = r"""
options: {}
attributes:
  action_group:
    description:
      - Use C(group/fleet.containerd.containerd) in C(module_defaults) to set the engine's options for this module,
        C(group/fleet.containerd.network) to set where networks are, C(group/fleet.containerd.registry) to set the registry's, and
        C(group/fleet.containerd.release) to set the release file.
    support: full
    membership:
      - fleet.containerd.containerd
      - fleet.containerd.network
      - fleet.containerd.registry
      - fleet.containerd.release
"""

    # For modules with the options of the fragments engine and network.
    NETWORK = r"""
options: {}
attributes:
  action_group:
    description:
      - Use C(group/fleet.containerd.containerd) in C(module_defaults) to set the engine's options for this module,
        and C(group/fleet.containerd.network) to set where networks are.
    support: full
    membership:
      - fleet.containerd.containerd
      - fleet.containerd.network
"""
