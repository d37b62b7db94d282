# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that a host must have for networks: nft or iptables, wherever a task's PATH leads."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.modules import Modules, running_modules
from ansible_collections.fleet.containerd.tests.support.networked import Networked, networked

_WEB = ["sh", "-c", "mkdir -p /www && echo hello >/www/index.html && exec httpd -f -p 80 -h /www"]


@pytest.fixture
def site(tmp_path: pathlib.Path, modules: Modules, busybox: str) -> t.Iterator[Networked]:
    with networked(tmp_path, "") as made:
        made.fetch(busybox, modules)
        yield made


def _without(site: Networked, *programs: str) -> None:
    """Have that host not have them."""
    for program in programs:
        site.run("sh", "-c", f"mount --bind /dev/null $(readlink -f /usr/sbin/{program})")


def _published(site: Networked, busybox: str) -> None:
    """A page can be fetched from a published port, and nothing is left when its container is removed."""
    web = {"image": busybox, "command": _WEB, "stop_signal": "KILL", "published_ports": ["8080:80"]}
    assert site.container("web", **web)["changed"]
    assert site.page("http://127.0.0.1:8080/") == "hello"
    assert not site.container("web", **web)["changed"]
    site.container("web", state="absent")
    assert site.left() == [[], [], []]


def test_without_any_of_them(site: Networked, busybox: str) -> None:
    _without(site, "nft", "iptables")
    needed = "bridges need nft or iptables on the target, and neither is installed: install the package nftables"
    for check in (True, False):
        how = {**site.defaults, "_ansible_check_mode": check}
        refused = site.modules.result("containerd_container", **how, name="web", image=busybox, networks=[{"name": "bridge"}])
        assert refused["msg"].startswith(needed)
        refused = site.modules.result("containerd_network", **how, name="front")
        assert refused["msg"].startswith(needed)
    assert site.facts("web") == {}
    assert not list(site.path("/etc/cni").rglob("*.conflist"))
    # Other containers need none of them.
    site.container("alone", image=busybox, command=["sleep", "1000"], stop_signal="KILL", network_mode="none")
    site.container("alone", state="absent")


def test_with_iptables_alone(site: Networked, busybox: str) -> None:
    _without(site, "nft")
    _published(site, busybox)


def test_a_path_without_the_programs_of_administrators(site: Networked, busybox: str) -> None:
    with running_modules(site.base / "result2", (*site.under, "env", "PATH=/usr/bin:/bin")) as there:
        site.modules = there
        _published(site, busybox)
