# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container: a service that ends as soon as it is started."""

from __future__ import annotations

import typing as t

Result = t.Dict[str, t.Any]
#: A run of the module with options, failed or not.
Run = t.Callable[..., Result]


def a_service_ends_at_once(run: Run, patient: Run, complaining: str, is_there: t.Callable[[str], bool]) -> None:
    """patient: a run that sees the end of what it starts. complaining: a shell command that prints "port in use"."""
    broken, runs = ["sh", "-c", f"{complaining}; exit 3"], ["sleep", "1000"]
    fresh = patient(name="web", command=broken)
    said, printed = "the container web ended as soon as it was started: exit status 3", "\nThe last that it printed:\nport in use"
    assert fresh["msg"] == said + printed
    assert (fresh["status"], fresh["container"]["Output"]) == (3, "port in use\n")
    assert (fresh["failed_action"], fresh.get("changed", False)) == ("start container web", False)
    assert not is_there("web")
    old = run(name="web", command=runs)["container"]
    failed = patient(name="web", command=broken)
    assert failed["msg"] == f"{said}; the old container web still runs{printed}"
    assert failed["undone"] == ["create container web anew (command changed)"]
    assert not failed.get("changed", False)
    same = run(name="web", command=runs)
    assert not same["changed"]
    assert same["container"]["Id"] == old["Id"]
    assert same["container"]["State"]["Running"]
    # What ends well may do so as soon as it likes.
    once = patient(name="once", command=["true"])
    assert not once.get("failed")
    assert once["container"]["State"]["Status"] == "exited"
