# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The resolv.conf of containers: from what is given and from that of the host."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import EngineError
from ansible_collections.fleet.containerd.plugins.module_utils.network import resolver
from ansible_collections.fleet.containerd.plugins.module_utils.network.resolver import Resolver

HOST = "# made by hand\nnameserver 192.0.2.1\nsearch example.org\noptions ndots:3\n"
STUB = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch stub.example\n"
UPSTREAM = "nameserver 192.0.2.9\nnameserver 2001:db8::9\nsearch upstream.example\n"


@pytest.fixture
def host(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Callable[..., None]:
    """Give the host a resolv.conf, and systemd-resolved its other one; None for no such file."""

    def put(own: t.Optional[str], resolved: t.Optional[str] = None) -> None:
        for name, text in (("_HOST", own), ("_RESOLVED", resolved)):
            path = tmp_path / name
            path.unlink(missing_ok=True)
            if text is not None:
                path.write_text(text)
            monkeypatch.setattr(resolver, name, str(path))

    return put


@pytest.mark.parametrize(
    ("own", "resolved", "text"),
    [
        (HOST, UPSTREAM, "nameserver 192.0.2.1\nsearch example.org\noptions ndots:3\n"),
        # systemd-resolved listens where no container comes: those that it asks.
        (STUB, UPSTREAM, "nameserver 192.0.2.9\nnameserver 2001:db8::9\nsearch upstream.example\n"),
        # A server of the host alone, and nobody knows another: Docker's.
        (STUB, None, "nameserver 8.8.8.8\nnameserver 8.8.4.4\nsearch stub.example\noptions edns0 trust-ad\n"),
        (STUB, STUB, "nameserver 8.8.8.8\nnameserver 8.8.4.4\nsearch stub.example\noptions edns0 trust-ad\n"),
        (None, None, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"),
        ("nameserver 127.0.0.1\nnameserver ::1\nnameserver fe80::1%eth0\nnameserver 192.0.2.2\n", None, "nameserver 192.0.2.2\n"),
        ("nameserver\nnonsense\n\nnameserver 192.0.2.3 # far\ndomain a.example\nsearch b.example\n", None,
         "nameserver 192.0.2.3\nsearch b.example\n"),
    ],
)  # fmt: skip
def test_what_comes_from_the_host(
    host: t.Callable[..., None], own: t.Optional[str], resolved: t.Optional[str], text: str
) -> None:
    host(own, resolved)
    assert Resolver("/x").text().decode() == text


def test_what_is_given(host: t.Callable[..., None]) -> None:
    host(HOST)
    given = Resolver("/x", ("192.0.2.5",), ("a.example", "b.example"), ("rotate", "ndots:1"))
    assert given.text() == b"nameserver 192.0.2.5\nsearch a.example b.example\noptions rotate ndots:1\n"
    assert Resolver("/x", domains=(".",)).text() == b"nameserver 192.0.2.1\noptions ndots:3\n"
    assert Resolver.of([*given]) == given
    host(STUB, UPSTREAM)
    assert Resolver("/x").text(of_host=True).startswith(b"nameserver 127.0.0.53\n")


def test_it_is_written_in_place(host: t.Callable[..., None], tmp_path: pathlib.Path) -> None:
    """It is mounted into the container by then."""
    host(HOST)
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 203.0.113.1\n" * 20)
    before = path.stat().st_ino
    Resolver(str(path)).write()
    assert path.read_text() == "nameserver 192.0.2.1\nsearch example.org\noptions ndots:3\n"
    assert path.stat().st_ino == before
    changed = path.stat().st_mtime_ns
    Resolver(str(path)).write()
    assert path.stat().st_mtime_ns == changed
    path.unlink()
    Resolver(str(path)).write()
    assert not path.exists()


def test_what_is_no_file_is_left_alone(host: t.Callable[..., None], tmp_path: pathlib.Path) -> None:
    host(HOST)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link"):
        with pytest.raises(EngineError, match=name):
            Resolver(str(tmp_path / name)).write()
