# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A container in a network: all plugins of a conflist, one after the other; built in here or programs of others.

What was begun is on disk before the first plugin runs, in the place and form of CNI's own library. So a run that was killed is
undone by the next one, and what a plugin gave is there for whoever wants to know, and for DEL and CHECK.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import typing as t

from ..errors import EngineError, FailedPrecondition, InvalidArgument, Unimplemented, printable
from ..hostfs.atomic import make_dir, read_file, remove_file, write_file
from ..hostfs.lock import locked
from . import external, netns
from .attachment import Attachment, Call, Host
from .conflist import Conflist
from .meta import PLUGINS, PORTMAP, bridge_of, built_in
from .ports import Published
from .result import Document, Result, kept_at
from .subnets import parse_address

_KIND = "cniCacheV1"
_LOCK = ".cni-concurrency.lock"


class Chain:
    """The plugins of one network."""

    def __init__(self, conflist: Conflist, host: Host) -> None:
        self._conflist, self._host = conflist, host
        self._bridge = bridge_of(conflist)

    def attach(self, attachment: Attachment) -> Result:
        """ADD of all plugins. What an earlier run has begun is undone first; on failure nothing stays."""
        if netns.is_namespace(attachment.netns) and not netns.is_another(attachment.netns):
            raise FailedPrecondition(f"{printable(attachment.netns, 200)} is the network namespace of the host")
        if self._saved(attachment) is not None:
            self._delete(attachment)
        with self._alone(), contextlib.ExitStack() as undo:
            undo.callback(self._delete, attachment, alone=True)
            self._save(attachment, None)
            result: t.Optional[Result] = None
            if self._bridge is not None:
                self._host.rules.put_bridge(self._bridge)
            for plugin in self._conflist.plugins:
                result = self._add(self._call(plugin, attachment, result))
            self._save(attachment, result or Result())
            undo.pop_all()
        return result or Result()

    def detach(self, attachment: Attachment) -> t.List[str]:
        """DEL of all plugins, the last one first; each is called whatever happened to the others. What went wrong, a sentence each."""
        return self._delete(attachment)

    def publish(self, attachment: Attachment) -> None:
        """Have these ports and no others, of a container that is attached. Nothing else of it is touched."""
        saved = self._begun(attachment)
        plugin = self._conflist.plugin(PORTMAP)
        if plugin is None:
            if attachment.ports:
                raise FailedPrecondition(f"the network {self._conflist.name} publishes no ports: it has no plugin {PORTMAP}")
            return
        before = saved.completed(attachment._replace(ports=()))
        whole = saved.completed(attachment)._replace(ports=attachment.ports)
        with self._alone():
            # Ours replaces the ports of an owner at once.
            if built_in(plugin) is None or not whole.ports:
                self._del(self._call(plugin, before, saved.result))
            if whole.ports:
                self._add(self._call(plugin, whole, saved.result))
            self._save(whole, saved.result)

    def check(self, attachment: Attachment) -> None:
        """FailedPrecondition when the container is not attached as it was."""
        saved = self._begun(attachment)
        whole = saved.completed(attachment)
        for plugin in self._conflist.plugins:
            call, driver = self._call(plugin, whole, saved.result), built_in(plugin)
            if driver is not None:
                driver.check(call)
            elif self._conflist.can_check:
                external.run("CHECK", call)

    def attached(self, attachment: Attachment) -> t.Optional[Result]:
        """What the plugins gave when it was attached; None when it is not."""
        saved = self._saved(attachment)
        return saved.result if saved else None

    def _begun(self, attachment: Attachment) -> _Saved:
        saved = self._saved(attachment)
        if saved is None or saved.result is None:
            name = printable(attachment.container_id, 80)
            raise FailedPrecondition(f"{name} is not attached to the network {self._conflist.name}")
        return saved

    def _add(self, call: Call) -> Result:
        driver = built_in(call.conf)
        if driver is not None:
            return driver.add(call)
        self._demand(call)
        return external.run("ADD", call) or Result()

    def _del(self, call: Call) -> None:
        driver = built_in(call.conf)
        if driver is not None:
            driver.delete(call)
        else:
            external.run("DEL", call)

    def _delete(self, attachment: Attachment, alone: bool = False) -> t.List[str]:
        saved = self._saved(attachment)
        if saved is not None:
            attachment = saved.completed(attachment)
        problems = []
        with contextlib.nullcontext() if alone else self._alone():
            for plugin in reversed(self._conflist.plugins):
                call = self._call(plugin, attachment, saved.result if saved else None)
                try:
                    self._del(call)
                except EngineError as error:
                    problems.append(f"detaching from {self._conflist.name} by {call.kind}: {error}")
            remove_file(self._path(attachment))
        return problems

    def _call(self, plugin: Document, attachment: Attachment, previous: t.Optional[Result]) -> Call:
        return Call(self._conflist.name, self._conflist.version, plugin, attachment, self._host, previous)

    def _demand(self, call: Call) -> None:
        """A word more than "not found" for a plugin that is built in, and is asked for something that is not."""
        known = PLUGINS.get(call.kind)
        if known is not None and not external.find(call.kind, self._host.bin_dirs):
            names = ", ".join(printable(one, 40) for one in known.unknown(call.conf))
            raise Unimplemented(
                f"network {call.network}: {names} of the plugin {call.kind} needs the program {call.kind}, which is in none of "
                f"{', '.join(self._host.bin_dirs)}"
            )

    @contextlib.contextmanager
    def _alone(self) -> t.Iterator[None]:
        """With nerdctl's lock where programs of others run, which get in each other's way; ours do not."""
        others = any(built_in(plugin) is None for plugin in self._conflist.plugins)
        if not others or not self._conflist.path:
            yield
            return
        with locked(os.path.join(os.path.dirname(self._conflist.path), _LOCK), "attaching to networks"):
            yield

    def _path(self, attachment: Attachment) -> str:
        return _path(self._conflist.name, attachment, self._host)

    def _save(self, attachment: Attachment, result: t.Optional[Result]) -> None:
        path = self._path(attachment)
        document = {
            "kind": _KIND,
            "containerId": attachment.container_id,
            "config": base64.b64encode(json.dumps(self._conflist.document).encode()).decode(),
            "ifName": attachment.interface,
            "networkName": self._conflist.name,
            "netns": attachment.netns,
            "capabilityArgs": attachment.capabilities(),
            **({} if result is None else {"result": result.to_json(self._conflist.version)}),
        }
        make_dir(os.path.dirname(path))
        write_file(path, json.dumps(document).encode(), durable=False, alone=True)

    def _saved(self, attachment: Attachment) -> t.Optional[_Saved]:
        raw = read_file(self._path(attachment))
        return None if raw is None else _Saved.of(raw)


def begun_with(network: str, attachment: Attachment, host: Host) -> t.Optional[Conflist]:
    """The network as it was when the container was attached to it: to detach from one whose file is gone."""
    raw = read_file(_path(network, attachment, host))
    try:
        return Conflist.of(json.loads(base64.b64decode(json.loads(raw or b"{}")["config"])))
    except (ValueError, TypeError, KeyError, RecursionError, InvalidArgument):
        return None


def _path(network: str, attachment: Attachment, host: Host) -> str:
    return kept_at(host.cache_dir, network, attachment.container_id, attachment.interface)


class _Saved(t.NamedTuple):
    """What is known of an attachment that was begun. result: None when it was not completed."""

    attachment: Attachment
    result: t.Optional[Result] = None

    @classmethod
    def of(cls, raw: bytes) -> _Saved:
        """A file that cannot be read says that something was begun, and no more."""
        nothing = Attachment("", "")
        try:
            document = json.loads(raw)
            able = document.get("capabilityArgs") or {}
            found = Attachment(
                document.get("containerId") or "",
                document.get("netns") or "",
                document.get("ifName") or "",
                tuple(parse_address(one, "ips") for one in able.get("ips") or []),
                able.get("mac") or "",
                tuple(Published.of(one) for one in able.get("portMappings") or []),
            )
            return cls(found, Result.of(document["result"]) if document.get("result") else None)
        except (ValueError, TypeError, AttributeError, RecursionError, InvalidArgument):
            return cls(nothing)

    def completed(self, attachment: Attachment) -> Attachment:
        """The attachment with what it was begun with, where the caller does not say."""
        one = self.attachment
        return attachment._replace(
            netns=attachment.netns or one.netns,
            ips=attachment.ips or one.ips,
            mac=attachment.mac or one.mac,
            ports=attachment.ports or one.ports,
        )
