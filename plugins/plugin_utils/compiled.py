# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Import our module_utils on the controller as Python does it, with compiled files beside them.

ansible-core compiles the files of a collection anew in each process, and each task of a connection is a process. That would cost such a
task more than all else that it does with our code.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import typing as t
from importlib.machinery import ModuleSpec

_PACKAGE = "fleet_containerd_core"
_PLACE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "module_utils")


def core(name: str) -> t.Any:
    """A module of ours, such as resources.container.session. Its classes are others than those that the usual import gives."""
    if _PACKAGE not in sys.modules:
        spec = ModuleSpec(_PACKAGE, None, is_package=True)
        spec.submodule_search_locations = [_PLACE]
        sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)
    return importlib.import_module(f"{_PACKAGE}.{name}")
