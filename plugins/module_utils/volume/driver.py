# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of Docker's driver local: a volume that is another directory of the host, or a file system that is mounted for it.

Its _data is a link then. That of a mount leads to a directory that a reboot clears (state_root): a container whose volume is not mounted
does not start, rather than writing beside it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import typing as t

from ..engine.models import Mount
from ..errors import EngineError, InvalidArgument, NotFound, printable
from ..hostfs.atomic import make_dir
from ..hostfs.mounts import mount, mount_points, unmount

_KEYS = ("type", "o", "device")
_BIND = ("", "none", "bind")
_KINDS = ("tmpfs", "nfs", "nfs4", "ext4", "xfs", "btrfs")


class Driver(t.NamedTuple):
    """kind: empty for a directory of its own, else bind or the type of a file system."""

    kind: str = ""
    device: str = ""
    options: t.Tuple[str, ...] = ()

    @classmethod
    def of(cls, options: t.Mapping[str, str]) -> Driver:
        """InvalidArgument names the option."""
        for key in options:
            if key not in _KEYS:
                raise InvalidArgument(f"driver_options: {printable(key, 80)} is none of {', '.join(_KEYS)}")
        if not any(options.values()):
            return cls()
        kind, device = options.get("type", ""), options.get("device", "")
        words = tuple(word for word in options.get("o", "").split(",") if word)
        if kind in _BIND:
            if not {"bind", "rbind"} & {*words, kind}:
                raise InvalidArgument(
                    f"driver_options: type {kind or 'none'} needs o: bind, and device: a directory of the host (or is it one of "
                    f"{', '.join(_KINDS)}?)"
                )
            rest = [word for word in words if word not in ("bind", "rbind", "rw")]
            if rest:
                raise InvalidArgument(f"driver_options: o: {printable(rest[0], 80)} cannot be had for a directory of the host")
            if not os.path.isabs(device):
                raise InvalidArgument(f"driver_options: device: {printable(device, 200)!r} is not an absolute path")
            return cls("bind", os.path.normpath(device))
        if kind not in _KINDS:
            raise InvalidArgument(f"driver_options: type: {printable(kind, 80)} is none of none, bind, {', '.join(_KINDS)}")
        if not device:
            raise InvalidArgument(
                f"driver_options: device: {kind} needs one, such as {'tmpfs' if kind == 'tmpfs' else ':/export'}"
            )
        if kind.startswith("nfs") and not any(word.startswith("addr=") for word in words):
            raise InvalidArgument("driver_options: o: nfs needs the address of the server, as addr=192.0.2.1")
        return cls(kind, device, words)

    @property
    def mounted(self) -> bool:
        return self.kind not in ("", "bind")

    def place(self, namespace: str, name: str, state_root: str) -> str:
        """Where the link _data leads; empty for none."""
        if not self.kind:
            return ""
        return self.device if self.kind == "bind" else os.path.join(state_root, "volumes", namespace, name)

    def check(self, name: str) -> None:
        """NotFound when what it needs of the host is not there."""
        local = self.kind == "bind" or os.path.isabs(self.device)
        if self.kind and local and not os.path.exists(self.device):
            raise NotFound(f"the device {self.device} of the volume {name} is not there on the target: create it first")

    def waits(self, data: str) -> bool:
        """Whether it has to be mounted, and is not."""
        if not self.mounted:
            return False
        point = os.readlink(data)
        return point not in mount_points(point)

    def to_mount(self) -> Mount:
        """NotFound for the address of a server."""
        return Mount(self.kind, self.device, tuple(map(_resolved, self.options)))

    def ready(self, name: str, data: str) -> None:
        """Mount it, if it has to be, and is not."""
        self.check(name)
        if not self.waits(data):
            return
        point, one = os.readlink(data), self.to_mount()
        make_dir(point)
        try:
            mount(one.type, one.source, point, one.options)
        except EngineError as error:
            raise type(error)(f"the volume {name}: {error}") from error

    def release(self, data: str) -> None:
        """Unmount it."""
        if self.mounted and os.path.islink(data):
            point = os.readlink(data)
            unmount(point, lazy=True)
            # With the directories that ready() has made, when nothing else is there.
            with contextlib.suppress(OSError):
                for path in (point, os.path.dirname(point), os.path.dirname(os.path.dirname(point))):
                    os.rmdir(path)


def _resolved(word: str) -> str:
    """The kernel wants an address, as Docker gives it."""
    key, _equals, host = word.partition("=")
    if key != "addr":
        return word
    try:
        return f"addr={socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)[0][4][0]}"
    except OSError as error:
        raise NotFound(f"addr={printable(host, 100)} is no address, and no name of a host: {error.strerror}") from error
