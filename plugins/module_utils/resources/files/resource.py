# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container_copy: files into a container and out of it."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
import typing as t

from ...engine.labels import NAME
from ...errors import EngineError, printable
from ...hostfs.places import DIRECTORY as _DIRECTORY
from ...hostfs.places import place
from ...hostfs.view import View
from ...kernel.converge import Facts, Plan, Step
from ...runtime_spec.user_namespace import Mapping
from ...runtime_spec.users import resolve_groups, resolve_user
from ..container.find import wanted
from ..container.jobs import container_lock
from ..volume.desired import id_of
from .desired import check_archive, desired
from .diff import diff_of
from .opening import view_of
from .part import Part
from .source import Text, Tree
from .target import Rules, Target
from .values import Difference, FoundCopy, WantedCopy

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container

#: Bits of a mode that give rights of their owner: what a container says of its files means nothing on this host.
_RIGHTS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
#: Who is not in a container.
_NOBODY = 65534
_SKIPPED = 10


class CopyResource:
    def desired(self, params: t.Mapping[str, t.Any], engine: Engine) -> WantedCopy:
        return desired(params)

    def observe(self, want: WantedCopy, engine: Engine) -> FoundCopy:
        return FoundCopy(wanted(engine, want.engine, want.container))

    def lock(self, want: WantedCopy, engine: Engine) -> t.ContextManager[t.Any]:
        found = wanted(engine, want.engine, want.container)
        return container_lock(engine, found.labels.get(NAME) or found.id)

    def plan(self, want: WantedCopy, have: FoundCopy, engine: Engine) -> Plan:
        with _Copy(engine, have.container, want) as copy:
            found = list(copy.target.differences(copy.source))
            diff = diff_of(copy.source, copy.target, found, copy.shown)
            path, skipped = copy.target.path, copy.source.skipped
            shown = copy.source.shown if isinstance(copy.source, Part) else want.path
        want = want._replace(shown=shown)
        steps = [Step(_title(want, found), lambda: _write(engine, have.container, want, found))] if found else []
        there = path if want.into else copy.read
        result = {"container_path": there, "files": len(found)}
        if not want.into:
            result["path"] = os.path.join(copy.directory, path[1:])
        return Plan(
            steps,
            diff.before,
            diff.after,
            facts=lambda _end: Facts(result),
            more=diff.more,
            warnings=_warnings(want, skipped),
        )


def _title(want: WantedCopy, found: t.Sequence[Difference]) -> str:
    what = "" if any(one.content for one in found) else " (owner, group or mode)"
    return want.title + (f" ({len(found)} files and directories)" if len(found) > 1 else what)


def _warnings(want: WantedCopy, skipped: t.Sequence[str]) -> t.List[str]:
    if not skipped:
        return []
    names = ", ".join(printable(one, 100) for one in skipped[:_SKIPPED])
    more = f" and {len(skipped) - _SKIPPED} others" if len(skipped) > _SKIPPED else ""
    return [f"these are no files, directories or links, and are not copied: {names}{more}"]


def _write(engine: Engine, container: Container, want: WantedCopy, found: t.Sequence[Difference]) -> None:
    with _Copy(engine, container, want, write=True) as copy:
        if isinstance(copy.source, Part):
            copy.source.check_sent(one.entry for one in found if one.content)
        copy.target.write(copy.source, found)


class _Copy:
    """A source and a target that are open. shown: from an owner of this host to the one that the target's side knows.

    read: the path in the container, directory: the one on this host, when it is copied out of the container.
    """

    def __init__(self, engine: Engine, container: Container, want: WantedCopy, write: bool = False) -> None:
        self._engine, self._container, self._want, self._write = engine, container, want, write
        self._mapping = Mapping.of(container.spec)
        self._open = contextlib.ExitStack()
        self.read = self.directory = ""

    def __enter__(self) -> _Copy:
        with self._open:
            want = self._want
            inside = self._open.enter_context(
                view_of(self._engine, self._container, want.container, write=self._write and want.into)
            )
            if want.into:
                self._into(inside)
            else:
                self._from(inside)
            self._open = self._open.pop_all()
        return self

    def __exit__(self, *exc: t.Any) -> None:
        self._open.__exit__(*exc)

    def _into(self, inside: View) -> None:
        want, user = self._want, (self._container.spec.get("process") or {}).get("user") or {}
        owner = None if want.owner is None else self._host(resolve_user(inside.root, want.owner, "owner").uid, 0, "owner")[0]
        group = None if want.group is None else self._host(0, resolve_groups(inside.root, [want.group], "group")[0], "group")[1]
        default = self._host(int(user.get("uid", 0)), int(user.get("gid", 0)), "the user of the container")
        self.source: t.Any = None
        if want.part:
            self.source = Part(want.path)
            if not self.source.shown:
                # The controller has sent a content.
                want = check_archive(want._replace(content=b""))
        elif want.content is not None:
            self.source = Text(want.content)
        else:
            self.source = self._tree("/", want.path, want.local_follow, "path")
        self.shown = self._inside
        rules = Rules(want, owner, group, default, lambda uid, gid: self._host(uid, gid, "an owner in the source"))
        name = f"{want.container}:{want.container_path}"
        self.target = Target(inside, want.container_path, rules, name, self._container.id)

    def _from(self, inside: View) -> None:
        want = self._want
        self.source = Tree(inside, want.container_path, want.follow, "container_path")
        with contextlib.suppress(OSError, EngineError), inside.find(want.container_path, want.follow) as spot:
            self.read = spot.path
        # A link here may be one that the container had: it is never followed.
        there = self._open.enter_context(place(want.path))
        self.directory = there.directory
        owner = id_of("owner", want.owner, lambda text: pwd.getpwnam(text).pw_uid)
        group = id_of("group", want.group, lambda text: grp.getgrnam(text).gr_gid)
        rules = Rules(want, owner, group, (os.geteuid(), os.getegid()), self._inside, _RIGHTS)
        self.shown = lambda uid, gid: (uid, gid)
        self.target = Target(View(there.fd, links=False), there.name, rules, want.path, self._container.id)

    def _tree(self, root: str, path: str, follow: bool, option: str) -> Tree:
        fd = os.open(root, _DIRECTORY)
        self._open.callback(os.close, fd)
        return Tree(View(fd), path, follow, option)

    def _host(self, uid: int, gid: int, what: str) -> t.Tuple[int, int]:
        """The owner on this host of one in the container."""
        return self._mapping.owner(uid, gid, what) if self._mapping else (uid, gid)

    def _inside(self, uid: int, gid: int) -> t.Tuple[int, int]:
        """The owner in the container of one on this host."""
        mapping = self._mapping
        if mapping is None:
            return uid, gid
        return (
            uid - mapping.uid if mapping.uid <= uid < mapping.uid + mapping.size else _NOBODY,
            gid - mapping.gid if mapping.gid <= gid < mapping.gid + mapping.size else _NOBODY,
        )
