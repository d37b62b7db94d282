# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_config: containerd's configuration files."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import time
import typing as t

from ...config_toml.files import File, Files
from ...config_toml.migrate import version_of
from ...config_toml.reading import parse
from ...config_toml.secrets import without
from ...config_toml.values import Tree
from ...errors import from_os_error, printable
from ...hostfs.atomic import fsync_dir, make_dir, write_file
from ...hostfs.lock import locked
from ...kernel.converge import Facts, Plan, Step
from .host import ConfigHost, restart
from .plan import ConfigEdits
from .values import WantedConfig, wanted

_LOCKS = "/run/fleet-containerd"
_SECRET_MODE = 0o600


class ConfigResource:
    """The main file and a drop-in. W: the host and the wanted settings. H: the files."""

    def desired(self, params: t.Mapping[str, t.Any], engine: None) -> ConfigHost:
        return ConfigHost(wanted(params))

    def observe(self, host: ConfigHost, engine: None) -> Files:
        return host.read()

    @contextlib.contextmanager
    def lock(self, host: ConfigHost, engine: None) -> t.Iterator[None]:
        make_dir(_LOCKS)
        with locked(os.path.join(_LOCKS, "config.lock"), "the configuration of containerd"):
            yield

    def plan(self, host: ConfigHost, have: Files, engine: None) -> Plan:
        want, edits = host.want, ConfigEdits(host, have)
        warnings = list(edits.warnings)
        changes = [_Change(have.file(name), text, edits.done.get(name, [])) for name, text in edits.texts.items()]
        if not changes:
            return Plan(facts=functools.partial(_facts, want, [], {}, []), warnings=warnings)
        view, verdict = _View(want, changes), {}
        if want.validate is not False and edits.texts.get(want.main, have.main.text) is not None:
            judged = host.judge(have.sources(edits.texts), view.secrets)
            warnings += judged.warnings
            verdict = {"validated": judged.validated, "unknown_keys": judged.unknown}
        backups: t.List[str] = []
        steps = [Step(f"create {one.path}", functools.partial(_write_new, one.path, one.text)) for one in edits.hosts]
        for change in sorted(changes, key=lambda one: (one.after is None, one.file.name != want.main)):
            if want.backup and change.file.text is not None:
                steps.append(Step(f"back up {change.file.name}", functools.partial(_back_up, change.file, backups)))
            steps.append(
                Step(change.title, functools.partial(_write, change, view.mode(change)), functools.partial(_undo, change))
            )
        warnings += view.warnings()
        facts = functools.partial(_facts, want, [change.file.name for change in changes], verdict, backups)
        return Plan(steps, *view.texts(), facts, view.label, warnings)


def _back_up(file: File, backups: t.List[str]) -> None:
    name = f"{file.path}.{os.getpid()}.{time.strftime('%Y-%m-%d@%H:%M:%S')}~"
    write_file(name, (file.text or "").encode(), file.mode, owner=file.owner)
    backups.append(name)


def _facts(
    want: WantedConfig, changing: t.Sequence[str], verdict: t.Mapping[str, t.Any], backups: t.Sequence[str], end: Files
) -> Facts:
    needed = restart(want, end, changing)
    text = end.file(want.target).text
    out: t.Dict[str, t.Any] = {
        "config_file": want.target,
        "config_version": version_of(parse(text, want.target)) if text is not None else None,
        "restart_required": needed.required,
        "restart_reason": needed.reason,
        **verdict,
    }
    if backups:
        out["backup_files"] = backups
    return Facts(out)


class _Change(t.NamedTuple):
    """One file: its present text, its new text (None: remove it), and the changes."""

    file: File
    after: t.Optional[str]
    done: t.Sequence[str]

    @property
    def title(self) -> str:
        verb = "remove" if self.after is None else "create" if self.file.text is None else "change"
        return printable(f"{verb} {self.file.name}" + (f": {'; '.join(self.done)}" if self.done else ""))


class _View:
    """The visible part of the changes, and the modes of the files."""

    def __init__(self, want: WantedConfig, changes: t.Sequence[_Change]) -> None:
        self._want, self._changes = want, sorted(changes, key=lambda one: one.file.name)
        self._trees: t.Dict[str, t.Tuple[Tree, Tree]] = {
            one.file.name: (parse(one.file.text or "", one.file.name), parse(one.after or "", one.file.name)) for one in changes
        }
        self.secrets: t.Set[str] = set()
        for trees in self._trees.values():
            for tree in trees:
                self.secrets |= want.secrets.values(tree)

    @property
    def label(self) -> str:
        return ", ".join(one.file.name for one in self._changes)

    def texts(self) -> t.Tuple[str, str]:
        """Before and after; with the names of the files if there are several."""
        before = after = ""
        for one in self._changes:
            old, new = self._trees[one.file.name]
            title = f"# {one.file.name}\n" if len(self._changes) > 1 else ""
            if one.file.text is not None:
                before += title + self._want.secrets.masked(one.file.text, old)
            if one.after is not None:
                after += title + self._want.secrets.masked(one.after, new, old)
        return without(before, self.secrets), without(after, self.secrets)

    def _has_secrets(self, change: _Change) -> bool:
        return self._want.secrets.present(self._trees[change.file.name][1])

    def mode(self, change: _Change) -> int:
        return _SECRET_MODE if change.file.text is None and self._has_secrets(change) else change.file.mode

    def warnings(self) -> t.List[str]:
        return [
            f"{one.file.name} has secrets, and every user may read it: set its mode to 0600"
            for one in self._changes
            if self._want.secrets.keys and self._has_secrets(one) and self.mode(one) & 0o044
        ]


def _write(change: _Change, mode: int) -> None:
    file = change.file
    if change.after is None:
        _remove(file.path)
        return
    make_dir(os.path.dirname(file.path), 0o755)
    _clear(file.path)
    write_file(file.path, change.after.encode(), mode, owner=file.owner)


def _undo(change: _Change) -> None:
    if change.file.text is None:
        _remove(change.file.path)
    else:
        write_file(change.file.path, change.file.text.encode(), change.file.mode, owner=change.file.owner)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
        fsync_dir(os.path.dirname(path))
    except OSError as error:
        raise from_os_error(error, f"removing {path}") from error


def _write_new(path: str, text: str) -> None:
    make_dir(os.path.dirname(path), 0o755)
    write_file(path, text.encode(), 0o644)


def _clear(path: str) -> None:
    """Remove temporary files that a killed run left: nobody else writes them while we hold the lock."""
    directory, name = os.path.split(path)
    stray = re.compile(re.escape(f".{name}.") + r"[0-9a-f]{16}\Z")
    for one in os.listdir(directory):
        if stray.match(one):
            _remove(os.path.join(directory, one))
