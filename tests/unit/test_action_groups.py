# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What meta/runtime.yml says of modules.

The groups of module_defaults: every module of a group takes every option that the group is for, and no module is left out. Action
plugins: every module is run by one that has it run out of the library.
"""

from __future__ import annotations

import importlib
import pathlib
import typing as t

import pytest
import yaml

from ansible_collections.fleet.containerd.plugins.doc_fragments import attributes, engine, network, registry
from ansible_collections.fleet.containerd.plugins.plugin_utils.library import WithLibrary

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
#: The groups, and the documentation fragments whose options they are for.
GROUPS = {"containerd": engine, "network": network, "registry": registry}
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


def test_every_module_runs_out_of_the_library() -> None:
    """By an action plugin of its own, or that of containerd_library. containerd_image_wait runs no module of ours."""
    routing = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["plugin_routing"]["action"]
    assert {name for one in routing.values() for name in one.values()} == {"fleet.containerd.containerd_library"}
    own = {path.stem for path in (ROOT / "plugins" / "action").glob("containerd_*.py")}
    assert sorted(routing) == [module for module in MODULES if module not in own]
    for name in own - {"containerd_image_wait"}:
        plugin = importlib.import_module(f"ansible_collections.fleet.containerd.plugins.action.{name}")
        assert issubclass(plugin.ActionModule, WithLibrary), name
