# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""engine=auto on a host of the embedded engine to which containerd comes later: no container is made twice, or lost sight of."""

from __future__ import annotations

import contextlib
import pathlib
import typing as t

from ansible_collections.fleet.containerd.tests.support.containerds import Daemon
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.site import DaemonSite, EmbeddedSite, finished, new_namespace


def test_containerd_comes_to_a_host_of_the_embedded_engine(
    daemons: t.Callable[[str], Daemon], modules: Modules, busybox: str, tmp_path: pathlib.Path
) -> None:
    namespace, daemon = new_namespace(), daemons("1.7")
    embedded = contextlib.closing(EmbeddedSite(tmp_path, namespace))
    # The control group of the namespace is one for both, and a daemon leaves it.
    with finished(DaemonSite(tmp_path, namespace, daemon)) as later, embedded as before:
        web = {"name": "web", "image": busybox, "command": ["sleep", "1000"], "stop_signal": "KILL"}
        first = modules.run("containerd_container", **before.defaults, **web)
        auto = {**before.defaults, "engine": "auto", "address": daemon.address}
        words = (
            f"the container web is in the embedded engine (data_root {before.data}, namespace {namespace}), and engine=auto "
            f"means containerd now, because its socket {daemon.address} is there: set engine=embedded to "
        )
        gone = {"name": "web", "state": "absent"}
        for options in (web, gone, {**gone, "_ansible_check_mode": True}, {**web, "state": "stopped"}):
            refused = modules.result("containerd_container", **auto, **options)
            assert refused.get("failed"), refused
            assert refused["msg"].startswith(words)
        assert later.records()["images"] == []
        shown = modules.run("containerd_container_info", **auto, name=["web", "other"])
        assert shown["containers"] == []
        assert [words in str(text) for text in shown["warnings"]] == [True]
        # Other names, and what is in the chosen engine, are as everywhere.
        other = {**web, "name": "other"}
        assert modules.run("containerd_container", **auto, **other)["container"]["Containerd"]["Engine"] == "containerd"
        assert not modules.run("containerd_container", **auto, **other)["changed"]
        same = modules.run("containerd_container", **before.defaults, **web)
        assert (same["changed"], same["container"]["Id"]) == (False, first["container"]["Id"])
        # One who says which engine is meant gets it; and who takes the one away can have the other.
        assert modules.run("containerd_container", **before.defaults, **gone)["changed"]
        assert modules.run("containerd_container", **auto, **web)["container"]["Containerd"]["Engine"] == "containerd"
        # Records that cannot be read stand in nobody's way.
        records = before.data / "metadata.db"
        kept = records.read_bytes()
        records.write_bytes(b"damaged " * 1024)
        said = "it cannot be told whether the embedded engine has a container new: "
        shown = modules.run("containerd_container_info", **auto, name="new")
        made = modules.run("containerd_container", **auto, **{**web, "name": "new"}, _ansible_check_mode=True)
        for result in (shown, made):
            assert [said in str(text) for text in result["warnings"] if "CVE" not in str(text)] == [True], result["warnings"]
        assert not modules.run("containerd_container", **auto, name="new", state="absent")["changed"]
        records.write_bytes(kept)
        for name in ("web", "other"):
            assert modules.run("containerd_container", **auto, name=name, state="absent")["changed"]
