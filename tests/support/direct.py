# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules in this very process, from their arguments to what they print: where a test reads many results and kills nothing."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import sys
import typing as t
from unittest import mock

from ansible.module_utils import basic
from ansible.module_utils.common import warnings

from ansible_collections.fleet.containerd.plugins import modules
from ansible_collections.fleet.containerd.plugins.module_utils.kernel import engines


class Direct:
    """defaults: options of every run of a module that has them. engine: what the modules work on, in place of the one that the
    options name. printed: all that they have printed.
    """

    def __init__(self, defaults: t.Mapping[str, t.Any], engine: t.Any = None) -> None:
        self._defaults, self._engine = dict(defaults), engine
        self.printed = ""

    def result(self, kind: str, check: bool = False, **options: t.Any) -> t.Dict[str, t.Any]:
        """What a module returns, failed or not."""
        entry = importlib.import_module(f"{modules.__name__}.containerd_{kind}")
        known = {name: value for name, value in self._defaults.items() if name in entry.SPEC["argument_spec"]}
        arguments = {"_ansible_check_mode": check, "_ansible_diff": True, **known, **options}
        output = io.StringIO()
        with contextlib.ExitStack() as stack:
            stack.enter_context(
                mock.patch.object(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": arguments}).encode())
            )
            stack.enter_context(mock.patch.object(basic, "_ANSIBLE_PROFILE", "legacy", create=True))
            stack.enter_context(mock.patch.object(warnings, "_global_warnings", {}))
            # Where a test has imported an action plugin, ansible-core 2.19 takes this for the controller and prints warnings.
            if "ansible.module_utils._internal" in sys.modules:
                stack.enter_context(mock.patch.object(sys.modules["ansible.module_utils._internal"], "is_controller", False))
            if self._engine is not None:
                stack.enter_context(mock.patch.object(engines, "open_engine", lambda _options: self._engine))
            stack.enter_context(contextlib.redirect_stdout(output))
            stack.enter_context(contextlib.suppress(SystemExit))
            entry.main()
        self.printed += output.getvalue()
        result = t.cast(t.Dict[str, t.Any], json.loads(output.getvalue()))
        result.pop("invocation", None)
        if result.get("warnings"):
            # Without the controller they are what ansible-core sends to it.
            result["warnings"] = [one if isinstance(one, str) else one["event"]["msg"] for one in result["warnings"]]
        return result

    def both(self, kind: str, **options: t.Any) -> t.Tuple[t.Dict[str, t.Any], t.Dict[str, t.Any]]:
        """In check mode, and then for real."""
        return self.result(kind, check=True, **options), self.result(kind, **options)
