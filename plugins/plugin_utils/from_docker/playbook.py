# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks, and the defaults of modules, in a playbook or a file of tasks."""

from __future__ import annotations

import typing as t

import yaml

from .options import Keys, Options, Words
from .source import Pair, Source, Span

_LISTS = ("pre_tasks", "tasks", "post_tasks", "handlers")
_BLOCKS = ("block", "rescue", "always")
_PLAYS = ("hosts", "import_playbook", "ansible.builtin.import_playbook")
OUR_GROUP = "group/fleet.containerd.containerd"
GROUPS = ("group/community.docker.docker", "group/docker", OUR_GROUP)
_PREFIX = "community.docker."


class Call(t.NamedTuple):
    """A module with its options. module: as it is written. name: where that stands.

    defaults: options that module_defaults around it give, by module. is_default: it is itself an entry of module_defaults.
    taken: the names of all entries there; who renames one adds the new name.
    """

    module: str
    name: Span
    options: Options
    defaults: t.Mapping[str, t.Collection[str]] = {}
    is_default: bool = False
    taken: t.List[str] = []

    @property
    def short(self) -> str:
        return self.module if self.module in GROUPS else self.module.rpartition(".")[2]


class Playbook:
    """plugins: the connections that are plugins of community.docker, and where they stand."""

    def __init__(self, source: Source, modules: t.Collection[str]) -> None:
        self._source, self._modules = source, modules
        self._seen: t.Set[int] = set()
        self.calls: t.List[Call] = []
        self.plugins: t.List[Pair] = []
        for document in source.documents:
            self._list(document, {})

    def _list(self, node: yaml.Node, defaults: t.Mapping[str, t.Collection[str]]) -> None:
        for item in node.value if isinstance(node, yaml.SequenceNode) and id(node) not in self._seen else ():
            self._entry(item, defaults)
        self._seen.add(id(node))

    def _entry(self, node: yaml.Node, defaults: t.Mapping[str, t.Collection[str]]) -> None:
        """A play, a block or a task."""
        if id(node) in self._seen:
            return
        self._seen.add(id(node))
        pairs = {pair.name: pair for one in reversed(self._source.merged(node)) for pair in self._source.pairs(one)}
        connection = pairs.get("connection")
        if connection and isinstance(connection.value, yaml.ScalarNode) and connection.value.value.startswith(_PREFIX):
            self.plugins.append(connection)
        if "module_defaults" in pairs:
            defaults = {**defaults, **self._defaults(pairs["module_defaults"].value)}
        lists = _LISTS if any(key in pairs for key in _PLAYS) else _BLOCKS
        inner = [pairs[key].value for key in lists if key in pairs]
        for one in inner:
            self._list(one, defaults)
        if lists is _BLOCKS and not inner:
            self.calls += [call._replace(defaults=defaults) for call in self._task(pairs)]

    def _task(self, pairs: t.Mapping[str, Pair]) -> t.Iterator[Call]:
        more = [pairs["args"].value] if "args" in pairs else []
        for name, pair in pairs.items():
            span = Span(pair.key.start_mark.index, pair.key.end_mark.index)
            if name in ("action", "local_action"):
                yield from self._action(pair, more)
            elif name not in self._modules:
                continue
            elif isinstance(pair.value, yaml.ScalarNode) and pair.value.value:
                yield Call(name, span, Words(self._source, pair.value, named=False))
            else:
                yield Call(name, span, Keys(self._source, [pair.value, *more], span.end))

    def _action(self, pair: Pair, more: t.List[yaml.Node]) -> t.Iterator[Call]:
        """action: module name=value, or action: {module: module, name: value}; the same for local_action."""
        if isinstance(pair.value, yaml.ScalarNode):
            words = Words(self._source, pair.value, named=True)
            name = self._source.text[slice(*words.first)]
            if name in self._modules:
                given = words if words.given or not more else Keys(self._source, more, pair.key.end_mark.index)
                yield Call(name, words.first, given)
        for one in self._source.pairs(pair.value):
            if one.name == "module" and isinstance(one.value, yaml.ScalarNode) and one.value.value in self._modules:
                mark = one.value
                quote = len(mark.style or "") if mark.style in ("'", '"') else 0
                span = Span(mark.start_mark.index + quote, mark.end_mark.index - quote)
                yield Call(mark.value, span, Keys(self._source, [pair.value, *more], pair.key.end_mark.index))

    def _defaults(self, node: yaml.Node) -> t.Dict[str, t.Collection[str]]:
        """The options that module_defaults give, by module (without its collection)."""
        found: t.Dict[str, t.Collection[str]] = {}
        pairs = [pair for one in self._source.merged(node) for pair in self._source.pairs(one)]
        taken = [pair.name for pair in pairs]
        for pair in pairs:
            if pair.name in self._modules or pair.name in GROUPS:
                span = Span(pair.key.start_mark.index, pair.key.end_mark.index)
                call = Call(pair.name, span, Keys(self._source, [pair.value], span.end), is_default=True, taken=taken)
                found[call.short] = {one.name for one in call.options.given}
                if id(pair.key) not in self._seen:
                    self._seen.add(id(pair.key))
                    self.calls.append(call)
        return found
