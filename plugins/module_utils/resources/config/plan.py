# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_config: make the new files from the task and the present files."""

from __future__ import annotations

import os
import typing as t

from ...config_toml import mirrors
from ...config_toml.apply import Setting, put_in, spelled, take_out
from ...config_toml.checks import lost
from ...config_toml.daemon import Containerd
from ...config_toml.edit import Document
from ...config_toml.files import ConfigText, Files, effective, overriding, unit
from ...config_toml.migrate import migrate, version_of
from ...config_toml.names import NEWEST
from ...config_toml.values import Keys, Tree, copy, dotted, get, leaves, member, same
from ...errors import FailedPrecondition
from .host import ConfigHost

#: The version that every containerd from 1.3 on reads, for a file that is made before containerd is installed.
_COMMON = 2
#: The comment on keys of a drop-in that are copied because its table replaces that of the files before it.
_COPY = "# copied: follows the files before this one"


class ConfigEdits:
    """The texts after a task by name (None: remove the file), the changes of each, and the warnings."""

    def __init__(self, host: ConfigHost, files: Files) -> None:
        self._host, self._want, self._files = host, host.want, files
        self._documents: t.Dict[str, Document] = {}
        self._before: t.Dict[str, t.Tuple[Tree, t.List[Keys]]] = {}
        self.texts: t.Dict[str, t.Optional[str]] = {}
        self.done: t.Dict[str, t.List[str]] = {}
        self.warnings: t.List[str] = []
        self.hosts: t.List[mirrors.Hosts] = []
        self._make()

    # Documents

    def _open(self, name: str, new: t.Callable[[], str]) -> Document:
        if name not in self._documents:
            text = self._files.file(name).text
            document = Document(new() if text is None else text, name)
            self._before[name] = (copy(document.tree), sorted(document.marked(_COPY)))
            self._documents[name] = document
        return self._documents[name]

    def _note(self, name: str, what: str, keys: t.Optional[t.Sequence[str]] = None) -> None:
        """Note a change of keys; without keys there is no change."""
        if keys is None or keys:
            self.done.setdefault(name, []).append(" ".join([what, ", ".join(keys or ())]).strip())

    @property
    def _main(self) -> Document:
        return self._open(self._want.main, self._new_main)

    def _new_main(self) -> str:
        """The text of a new main file."""
        if self._want.base == "minimal":
            return f"version = {self._first_version}\n"
        if self._host.containerd is None:
            raise FailedPrecondition("base: default needs containerd on the target, and it is not installed: use base=minimal")
        return self._host.containerd.default_text

    @property
    def _first_version(self) -> int:
        """The version for a file without one."""
        return self._want.version or min(self._host.containerd.newest if self._host.containerd else _COMMON, NEWEST)

    def _make(self) -> None:
        if self._want.present or self._files.file(self._want.target).text is not None:
            self._edit()
        for name, document in self._documents.items():
            tree, marked = self._before[name]
            if self._files.file(name).text is None or marked != sorted(document.marked(_COPY)) or not same(document.tree, tree):
                self.texts[name] = document.finish()
        self.done = {name: what for name, what in self.done.items() if name in self.texts}

    def _edit(self) -> None:
        want = self._want
        if not want.present and want.drop_in and not want.settings and not want.keys:
            self._remove_drop_in()
            return
        if want.present:
            self._set_version()
        if want.migrate and (want.present or self._files.main.text is not None):
            self._migrate()
        if want.drop_in and want.present:
            self._import()
        document = self._target()
        settings = list(want.settings)
        if want.present:
            settings = spelled(settings, version_of(document.tree), want.target)
            self._note(want.target, "set", put_in(document, settings, want.append))
        else:
            self._note(want.target, "remove", take_out(document, settings, want.keys, want.append))
        if want.migrate_mirrors and want.present:
            self._move_mirrors(document)
        if want.drop_in:
            self._complete(document, settings)
        if want.present:
            self._check_effect(document, settings)

    def _target(self) -> Document:
        if not self._want.drop_in:
            return self._main
        return self._open(self._want.target, lambda: f"version = {version_of(self._main.tree)}\n")

    # Versions

    def _set_version(self) -> None:
        """Set the version of a file without keys. A file with keys is migrated only on request."""
        want, document = self._want, self._main
        if not document.tree:
            document.set(("version",), self._first_version)
        version = version_of(document.tree)
        if want.version and version != want.version and not (want.migrate and want.version > version):
            raise FailedPrecondition(
                f"settings: version: {want.main} has version {version}, and not {want.version}: "
                + ("a file cannot go back to an older one" if want.version < version else "set migrate=true to bring it there")
            )

    def _migrate(self) -> None:
        want, containerd = self._want, self._host.containerd
        if not want.version and containerd is None:
            raise FailedPrecondition("migrate: containerd is not installed, so the version must be given: set settings.version")
        goal = want.version or min(t.cast(Containerd, containerd).newest, NEWEST)
        main = version_of(self._main.tree)
        for source in self._files.sources({want.main: self._main.text}):
            document = self._open(source.name, lambda: "")
            version = version_of(document.tree) if "version" in document.tree else main
            if version < goal:
                self.warnings += migrate(document, version, goal)
                self._note(source.name, f"migrate from version {version} to {goal}")

    # Drop-ins

    def _sources(self) -> t.List[ConfigText]:
        """All files in their present state."""
        return self._files.sources({name: document.text for name, document in self._documents.items()})

    def _import(self) -> None:
        """Make the main file import the drop-in, by a pattern: a plain name would have to be removed together with the file."""
        want, document = self._want, self._main
        self._target()
        before = self._files.imports(want.main, document.tree, {want.target: ""})
        if want.target in before:
            return
        pattern = os.path.join(os.path.dirname(want.target), "*.toml")
        old = document.tree.get("imports")
        document.set(("imports",), [*(old if isinstance(old, list) else []), pattern])
        self._note(want.main, "import", [pattern])
        others = set(self._files.imports(want.main, document.tree, {})) - {*before, want.target}
        if others:
            self.warnings.append(f"{want.main} now imports {pattern}, and so also {', '.join(sorted(others))}")

    def _remove_drop_in(self) -> None:
        want = self._want
        self.texts[want.target] = None
        self.done[want.target] = []
        if self._files.main.text is not None:
            imports = self._main.tree.get("imports")
            kept = [one for one in imports if not self._names(one)] if isinstance(imports, list) else imports
            if kept != imports:
                self._main.set(("imports",), kept)
                self._note(want.main, "import no longer", [want.target])

    def _names(self, pattern: t.Any) -> bool:
        """True for an import that names only the drop-in; without the file a daemon would not start."""
        full = os.path.join(os.path.dirname(self._want.main), pattern) if isinstance(pattern, str) else ""
        return os.path.normpath(full) == self._want.target

    def _complete(self, document: Document, settings: t.Sequence[Setting]) -> None:
        """A table that replaces the one of the files before it must contain their keys, too.

        Copied keys are marked, so that later runs update them, and remove them when they are no longer needed.
        """
        named = {one.path for one in settings} if self._want.present else set()
        for path in set(document.marked(_COPY)) & named:
            document.mark(path, "")
        copies = document.marked(_COPY)
        tops = {unit(path, self._host.replaces_plugins) for path, _value in leaves(document.tree)} - {()}
        if not tops and not copies:
            return
        sources = self._sources()
        names = [source.name for source in sources]
        before = sources[: names.index(document.name)] if document.name in names else []
        earlier = effective(before, self._host.replaces_plugins)
        for path in copies:
            top = unit(path, self._host.replaces_plugins)
            value = get(earlier, path) if top else None
            if value is None:
                document.remove(path)
            else:
                document.set(path, value)
        changed = [top for top in sorted(tops) if self._complete_table(document, top, get(earlier, top))]
        self._note(document.name, "copy the rest of", [dotted(top) for top in changed])

    def _complete_table(self, document: Document, top: Keys, base: t.Any) -> bool:
        own = get(document.tree, top)
        if not isinstance(base, dict) or not isinstance(own, dict):
            return False
        copies = document.marked(_COPY)
        if not self._want.present and all(path in copies for path, _value in leaves(own, top)):
            document.remove(top)
            return False
        missing = [Setting("settings", path, value) for path, value in leaves(base, top) if get(document.tree, path) is None]
        put_in(document, missing, append=False)
        for one in missing:
            document.mark(one.path, _COPY)
        return bool(missing)

    def _check_effect(self, document: Document, settings: t.Sequence[Setting]) -> None:
        """Check that a daemon would see the settings of the task."""
        for one in settings:
            reason = lost(one.path, document.tree)
            if reason and self._host.containerd and not self._host.replaces_plugins:
                raise FailedPrecondition(f"{one.label} would have no effect in {document.name}: {reason}: set migrate=true")
        sources = self._sources()
        if len(sources) < 2:
            return
        replaces = self._host.replaces_plugins
        whole = effective(sources, replaces)
        for one in settings:
            found = get(whole, one.path)
            if same(found, one.value) or one.value == {} or _has(found, one.value):
                if isinstance(one.value, list) and len(found) > len(one.value) and not self._want.append:
                    self.warnings.append(f"{one.label}: containerd joins the lists of all files, so its list is longer than this")
                continue
            later = overriding(sources, document.name, one.path, replaces)
            if later:
                reason = f"{one.label} has no effect in {document.name}: {', '.join(later)} is read later"
                if self._want.drop_in:
                    raise FailedPrecondition(f"{reason}: choose a drop_in that sorts behind it, or set it there")
                self.warnings.append(reason)
            elif not one.value:
                raise FailedPrecondition(
                    f'{one.label}: containerd takes 0, "" and false in an imported file for "not set", '
                    f"so that the value of the files before it stays: set it in {self._want.main}"
                )

    # Mirrors

    def _move_mirrors(self, document: Document) -> None:
        top = mirrors.section(document.tree)
        if top is None:
            return
        path = get(effective(self._sources(), self._host.replaces_plugins), (*top, "config_path")) or mirrors.DEFAULT_DIRECTORY
        self.hosts = mirrors.move_out(document, str(path).split(":", maxsplit=1)[0])
        self._note(document.name, "move the mirrors to hosts.toml files")


def _has(found: t.Any, value: t.Any) -> bool:
    return isinstance(found, list) and isinstance(value, list) and all(member(item, found) for item in value)
