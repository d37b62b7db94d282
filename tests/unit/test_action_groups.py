# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes for all modules: groups of module_defaults, and action plugins.

Every module of a group takes every option that the group is for, and no module is left out.
"""

from __future__ import annotations

import importlib
import pathlib
import typing as t

import pytest
import yaml

from ansible_collections.fleet.containerd.plugins.doc_fragments import attributes, engine, network, registry, release
from ansible_collections.fleet.containerd.plugins.plugin_utils.library import WithLibrary

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
#: The groups, and the documentation fragments whose options they are for.
GROUPS = {"containerd": engine, "network": network, "registry": registry, "release": release}
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("containerd_*.py"))


def members() -> t.Dict[str, t.List[str]]:
    return t.cast(t.Dict[str, t.List[str]], yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"])


def options(module: str) -> t.Set[str]:
    found = importlib.import_module(f"ansible_collections.fleet.containerd.plugins.module_utils.argument_specs.{module}")
    return set(found.SPEC["argument_spec"])


def test_the_groups_are_those_of_the_fragments() -> None:
    assert sorted(members()) == sorted(GROUPS)


@pytest.mark.parametrize("group", sorted(GROUPS))
def test_a_group_has_the_modules_that_take_all_its_options(group: str) -> None:
    wanted = set(yaml.safe_load(GROUPS[group].ModuleDocFragment.DOCUMENTATION)["options"])
    lacking = {module: sorted(wanted - options(module)) for module in members()[group]}
    assert lacking == {module: [] for module in members()[group]}
    assert members()[group] == [module for module in MODULES if wanted <= options(module)]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_of_which_groups_it_is(module: str) -> None:
    source = importlib.import_module(f"ansible_collections.fleet.containerd.plugins.modules.{module}")
    said: t.List[str] = []
    for name in yaml.safe_load(source.DOCUMENTATION).get("extends_documentation_fragment", []):
        _namespace, _collection, file, *variable = name.split(".")
        if file == "attributes":
            fragment = getattr(attributes.ModuleDocFragment, (variable or ["documentation"])[0].upper())
            said += yaml.safe_load(fragment)["attributes"].get("action_group", {}).get("membership", [])
    assert said == [f"fleet.containerd.{group}" for group, modules in members().items() if module in modules]


def test_the_directory_of_the_mirrors_has_one_name() -> None:
    for module in MODULES:
        assert {name for name in options(module) if name.endswith("config_dir")} <= {"registry_config_dir"}


@pytest.mark.parametrize("module", sorted({*MODULES} - {"containerd_image_wait"}))
def test_every_module_runs_out_of_the_library(module: str) -> None:
    """Its action plugin sees to it. (A redirect in meta/runtime.yml would let ansible-lint refuse the name of the module.)"""
    plugin = importlib.import_module(f"ansible_collections.fleet.containerd.plugins.action.{module}")
    assert issubclass(plugin.ActionModule, WithLibrary)
