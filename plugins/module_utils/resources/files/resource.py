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
from ...errors import EngineError, NotFound, printable
from ...hostfs.lock import locked
from ...hostfs.places import DIRECTORY as _DIRECTORY
from ...hostfs.places import place
from ...hostfs.view import View
from ...kernel.converge import Facts, Plan, Step
from ...runtime_spec.user_namespace import Mapping
from ...runtime_spec.users import resolve_groups, resolve_user
from ...volume.store import Store
from ..container.find import wanted
from ..container.jobs import container_lock
from ..volume.desired import id_of
from .desired import check_archive, desired
from .diff import diff_of
from .opening import view_of, view_of_volume
from .part import Part
from .source import Text, Tree
from .target import Rules, Target
from .values import Difference, FoundCopy, WantedCopy

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container

#: Bits of a mode that give rights of their owner: what a container says of its files means nothing on this host.
_RIGHTS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX
#: The owner and the group that the task gives, else None, and the default for both, as this host has them.
_Owners = t.Tuple[t.Optional[int], t.Optional[int], t.Tuple[int, int]]
#: Who is not in a container.
_NOBODY = 65534
_SKIPPED = 10


class CopyResource:
    def desired(self, params: t.Mapping[str, t.Any], engine: Engine) -> WantedCopy:
        return desired(params)

    def observe(self, want: WantedCopy, engine: Engine) -> FoundCopy:
        if want.container:
            return FoundCopy(wanted(engine, want.engine, want.container))
        found = Store(engine.data_root, engine.namespace).get(want.volume)
        if found is None:
            raise NotFound(f"volume: there is no volume {want.volume} in the namespace {engine.namespace}: make it first")
        return FoundCopy(volume=found)

    def lock(self, want: WantedCopy, engine: Engine) -> t.ContextManager[t.Any]:
        found = self.observe(want, engine)
        if found.container:
            return container_lock(engine, found.container.labels.get(NAME) or found.container.id)
        return locked(os.path.dirname(t.cast(t.Any, found.volume).data), f"the volume {want.volume}")

    def plan(self, want: WantedCopy, have: FoundCopy, engine: Engine) -> Plan:
        with _Copy(engine, have, want) as copy:
            found = list(copy.target.differences(copy.source))
            diff = diff_of(copy.source, copy.target, found, copy.shown)
            path, skipped = copy.target.path, copy.source.skipped
            shown = copy.source.shown if isinstance(copy.source, Part) else want.path
        want = want._replace(shown=shown)
        steps = [Step(_title(want, found), lambda: _write(engine, have, want, found))] if found else []
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
    only = "owner, group, mode, time or extended attributes" if want.archive else "owner, group or mode"
    what = "" if any(one.content for one in found) else f" ({only})"
    return want.title + (f" ({len(found)} files and directories)" if len(found) > 1 else what)


def _warnings(want: WantedCopy, skipped: t.Sequence[str]) -> t.List[str]:
    if not skipped:
        return []
    names = ", ".join(printable(one, 100) for one in skipped[:_SKIPPED])
    more = f" and {len(skipped) - _SKIPPED} others" if len(skipped) > _SKIPPED else ""
    why = "they are no files, directories or links, or on a file system of the kernel or of the container's own"
    return [f"these are not copied ({why}): {names}{more}"]


def _write(engine: Engine, have: FoundCopy, want: WantedCopy, found: t.Sequence[Difference]) -> None:
    with _Copy(engine, have, want, write=True) as copy:
        if isinstance(copy.source, Part):
            copy.source.check_sent(one.entry for one in found if one.content)
        copy.target.write(copy.source, found)


class _Copy:
    """A source and a target that are open. shown: from an owner of this host to the one that the target's side knows.

    read: the path in the container, directory: the one on this host, when it is copied out of the container.
    """

    def __init__(self, engine: Engine, have: FoundCopy, want: WantedCopy, write: bool = False) -> None:
        self._engine, self._have, self._want, self._write = engine, have, want, write
        self._mapping = Mapping.of(have.container.spec) if have.container else None
        self._open = contextlib.ExitStack()
        self.read = self.directory = ""

    def __enter__(self) -> _Copy:
        with self._open:
            want, have, write = self._want, self._have, self._write and self._want.into
            if have.container:
                inside = self._open.enter_context(view_of(self._engine, have.container, want.container, write))
            else:
                inside = self._open.enter_context(view_of_volume(t.cast(t.Any, have.volume), write))
            if want.into:
                self._into(inside)
            else:
                self._from(inside)
            self._open = self._open.pop_all()
        return self

    def __exit__(self, *exc: t.Any) -> None:
        self._open.__exit__(*exc)

    def _into(self, inside: View) -> None:
        want = self._want
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
        owners = self._owners_in(inside, self._have.container) if self._have.container else self._owners_on(inside.root)
        rules = Rules(want, *owners, lambda uid, gid: self._host(uid, gid, "an owner in the source"))
        self.target = Target(inside, want.container_path, rules, want.there, self._have.key)

    def _owners_in(self, inside: View, container: Container) -> _Owners:
        """Names are the container's; the default is the user that it runs as."""

        def read(_root: int, path: str) -> bytes:
            return inside.read(path)

        want, user = self._want, (container.spec.get("process") or {}).get("user") or {}
        owner = group = None
        if want.owner is not None:
            owner = self._host(resolve_user(-1, want.owner, "owner", read).uid, 0, "owner")[0]
        if want.group is not None:
            group = self._host(0, resolve_groups(-1, [want.group], "group", read)[0], "group")[1]
        return owner, group, self._host(int(user.get("uid", 0)), int(user.get("gid", 0)), "the user of the container")

    def _owners_on(self, top: t.Optional[int]) -> _Owners:
        """Names are this host's; the default is who owns the directory of a volume, else this task's user."""
        owner = id_of("owner", self._want.owner, lambda text: pwd.getpwnam(text).pw_uid)
        group = id_of("group", self._want.group, lambda text: grp.getgrnam(text).gr_gid)
        if top is None:
            return owner, group, (os.geteuid(), os.getegid())
        found = os.fstat(top)
        return owner, group, (found.st_uid, found.st_gid)

    def _from(self, inside: View) -> None:
        want = self._want
        self.source = Tree(inside, want.container_path, want.follow, "container_path", want.archive)
        with contextlib.suppress(OSError, EngineError), inside.find(want.container_path, want.follow) as spot:
            self.read = spot.path
        # A link here may be one that the container had: it is never followed.
        there = self._open.enter_context(place(want.path))
        self.directory = there.directory
        rules = Rules(want, *self._owners_on(None), self._inside, _RIGHTS)
        self.shown = lambda uid, gid: (uid, gid)
        self.target = Target(View(there.fd, links=False), there.name, rules, want.path, self._have.key)

    def _tree(self, root: str, path: str, follow: bool, option: str) -> Tree:
        fd = os.open(root, _DIRECTORY)
        self._open.callback(os.close, fd)
        return Tree(View(fd), path, follow, option, self._want.archive)

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
