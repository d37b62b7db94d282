# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rewrite the text of a playbook, and list what is left."""

from __future__ import annotations

import functools
import importlib
import pathlib
import typing as t

import yaml

from . import differences as d
from .options import Given
from .playbook import GROUPS, OUR_GROUP, Call, Playbook
from .source import UNKNOWN, Source

OURS = "fleet.containerd."
_SPECS = pathlib.Path(__file__).resolve().parent.parent.parent / "module_utils" / "argument_specs"
_PACKAGE = "ansible_collections.fleet.containerd.plugins.module_utils.argument_specs."
Spec = t.Mapping[str, t.Mapping[str, t.Any]]


class Left(t.NamedTuple):
    """What has to be done by hand. line: in the file as it is, from 1; written: in the rewritten one."""

    line: int
    written: int
    what: str


class Converted(t.NamedTuple):
    text: str
    left: t.List[Left]
    tasks: int


@functools.cache
def spec_of(module: str) -> t.Optional[Spec]:
    """The argument specification of a module here; None if there is no such module (yet)."""
    if not (_SPECS / f"{module}.py").exists():
        return None
    return t.cast(Spec, importlib.import_module(_PACKAGE + module).SPEC["argument_spec"])


def names_in(spec: Spec) -> t.Dict[str, t.Mapping[str, t.Any]]:
    """The entries of a specification by name and alias."""
    return {name: option for main, option in spec.items() for name in (main, *option.get("aliases", ()))}


def _rule(call: Call, module: d.Module, option: str, known: t.Collection[str]) -> t.Optional[d.Rule]:
    """The rule for an option; None if it is what it is here. What came here meanwhile needs none that tells what to do instead."""
    if call.module.startswith(OURS) or call.module == OUR_GROUP:
        return None
    rule = module.rules.get(option)
    if rule:
        return None if rule.instead and option in known else rule
    return d.COMMON.get(option) if option not in known or option in d.MEANT_OTHERWISE else None


def convert(text: str) -> Converted:
    """Rewrite a file. Raises yaml.YAMLError if it is not YAML."""
    source = Source(text)
    modules = {*d.MODULES, "docker_image"}
    ours = {OURS + path.stem for path in _SPECS.glob("containerd_*.py")}
    named = {prefix + one for one in modules for prefix in ("", "community.docker.", "community.general.")}
    playbook = Playbook(source, {*named, *ours})
    work = _Work(source)
    for call in playbook.calls:
        work.call(call)
    for pair in playbook.plugins:
        work.leave(pair.span.start, f"connection: {pair.value.value}: there is no connection plugin here yet")
    result = source.result()
    try:
        list(yaml.compose_all(result, yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        what = f"nothing is rewritten in this file: {error.problem}, which stands in an option that is not needed here"
        return Converted(text, [Left(1, 1, what)], 0)
    left = [Left(source.line(at), source.moved(at), what) for at, what in sorted(set(work.left))]
    return Converted(result, left, work.tasks)


class _Work:
    """left: what has to be done by hand, and where. tasks: how many were rewritten."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.left: t.List[t.Tuple[int, str]] = []
        self.tasks = 0

    def leave(self, at: int, what: str) -> None:
        self.left.append((at, what))

    def call(self, call: Call) -> None:
        if call.module.startswith(OURS):
            module = d.Module(call.module[len(OURS) :])
            self._options(call, module, spec_of(module.to) or {})
        elif call.module in GROUPS:
            self._group(call)
        else:
            self._module(call)

    def _module(self, call: Call) -> None:
        given = {one.name: one.value for one in call.options.given}
        if call.short == "docker_image":
            module = d.docker_image(given, UNKNOWN) if not call.is_default else d.Module(instead=d.IMAGE["source"].instead)
        else:
            module = d.MODULES[call.short]
        spec = spec_of(module.to) if module.to else None
        if spec is None:
            return self.leave(call.name.start, f"{call.short}: {module.instead or f'there is no {module.to} yet'}")
        new = OURS + module.to
        if call.is_default and new in call.taken:
            return self.leave(call.name.start, f"{call.short}: module_defaults has an entry for {new} already; merge them")
        if not self._rename(call, new):
            return None
        self.tasks += 1
        self._options(call, module, spec)
        if not call.is_default:
            self._complete(call, module, {*given, *call.defaults.get(call.short, ())})
        return None

    def _rename(self, call: Call, new: str) -> bool:
        old = self._source.text[slice(*call.name)]
        if self._source.replace(call.name, old.replace(call.module, new)):
            if call.is_default:
                call.taken.append(new)
            return True
        self.leave(call.name.start, f"{call.short}: several tasks use this text, and each needs another one here")
        return False

    def _complete(self, call: Call, module: d.Module, given: t.Collection[str]) -> None:
        """Add the options that Docker's module implies."""
        more = {**{name: value for name, value in module.defaults.items() if name not in given}, **module.fixed}
        for name, value in more.items():
            if not call.options.add(name, value):
                self.leave(call.name.start, f"{call.short}: add {name}: {value}")

    def _group(self, call: Call) -> None:
        """Defaults of all modules there are those of the group containerd here."""
        if call.module != OUR_GROUP and OUR_GROUP in call.taken:
            return self.leave(call.name.start, f"{call.module}: module_defaults has an entry for {OUR_GROUP} already; merge them")
        if call.module == OUR_GROUP or self._rename(call, OUR_GROUP):
            self._options(call, d.Module("the group containerd"), importlib.import_module(_PACKAGE + "engine").ENGINE)
        return None

    def _options(self, call: Call, module: d.Module, spec: Spec) -> None:
        known, gone = names_in(spec), []
        for one in call.options.given:
            rule = _rule(call, module, one.name, known)
            if rule and rule.is_needless(one.value):
                gone.append(one)
            elif rule and (rule.to or rule.values or rule.inner):
                self._change(call, one, rule, known)
            elif not rule and one.name in known:
                self._check(call, one, known)
            else:
                rule = rule or d.rules_of(module.to).get(one.name)
                instead = rule.instead if rule else f"{module.to} has no such option yet"
                self.leave(one.at, f"{call.short}: {one.name}: {instead}")
        if gone and not call.options.remove(gone):
            self.leave(call.name.start, f"{call.short}: remove {', '.join(one.name for one in gone)}")

    def _change(self, call: Call, one: Given, rule: d.Rule, known: t.Mapping[str, t.Mapping[str, t.Any]]) -> None:
        new = rule.values.get(str(one.value)) if one.value is not UNKNOWN else None
        if new and not one.set(new):
            self.leave(one.at, f"{call.short}: {one.name}: write {new} for {one.value}")
        if rule.values and one.value is UNKNOWN:
            words = ", ".join(f"{new} for {old}" for old, new in rule.values.items())
            self.leave(one.at, f"{call.short}: {one.name}: only the run knows its value; write {words}")
        elif rule.values and not new:
            self._check(call, one, known)
        if rule.inner and isinstance(one.value, dict) and not one.open():
            self.leave(one.at, f"{call.short}: {one.name}: give what is in it as options of the module")
        if rule.to and not one.rename(rule.to):
            self.leave(one.at, f"{call.short}: {one.name}: it is {rule.to} here; several tasks use this text")

    def _check(self, call: Call, one: Given, known: t.Mapping[str, t.Mapping[str, t.Any]]) -> None:
        """List values and suboptions that are not here."""
        option = known[one.name]
        choices, value = option.get("choices"), one.value
        if choices and isinstance(value, (str, bool, int)) and not d.is_one_of(value, choices):
            self.leave(one.at, f"{call.short}: {one.name}: {value} is none of {', '.join(map(str, choices))}")
        inner = {"*": {}, **known} if one.name == "comparisons" else names_in(option.get("options", {}))
        for name, at in one.suboptions() if inner else ():
            instead = d.SUBOPTIONS.get(f"{one.name}.{name}", "" if name in inner else "there is no such option yet")
            if instead:
                self.leave(at, f"{call.short}: {one.name}: {name}: {instead}")
