# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""depends_on on each engine: the order of starts by a task and at a boot, and who is started again."""

from __future__ import annotations

import functools
import json
import subprocess
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import RUNNING, STOPPED
from ansible_collections.fleet.containerd.tests.integration.test_supervision import WAITS, power_off, state, until
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.site import Site

KIND = "containerd_container"


def runner(site: Site, modules: Modules, busybox: str) -> t.Callable[..., t.Dict[str, t.Any]]:
    """Runs the module for a container that comes back after a boot."""
    comes_back = {"image": busybox, "network_mode": "none", "stop_timeout": 0, "restart_policy": "always"}
    return functools.partial(modules.run, KIND, **site.defaults, **comes_back)


def test_order_at_a_start_and_at_a_boot(site: Site, modules: Modules, busybox: str) -> None:
    """Their names are against the order. A check that takes a moment to be good holds up who needs that, and nobody else."""
    run = runner(site, modules, busybox)
    # In memory, which is new at each start: what is on disk would be good until the shell has removed it.
    slow = ["sh", "-c", "(sleep 1; touch /dev/shm/ok) & trap 'exit 0' TERM; while true; do sleep 0.05; done"]
    check = {"test": "test -e /dev/shm/ok", "interval": "200ms", "start_period": "60s", "start_interval": "200ms"}
    run(name="z-db", command=slow, healthcheck=check)
    run(name="z-db", state="stopped")
    needs: t.List[t.Any] = [{"name": "z-db", "condition": "healthy"}]
    made = run(name="m-web", command=WAITS, depends_on=needs)
    assert made["actions"][1:] == [
        "start container z-db, on which m-web depends",
        "wait until container z-db is healthy",
        "start container m-web",
    ]
    run(name="a-proxy", command=WAITS, depends_on=["m-web"])
    run(name="b-alone", command=WAITS)
    for again in ("m-web", "a-proxy"):
        asked = {"depends_on": needs if again == "m-web" else ["m-web"]}
        assert not run(name=again, command=WAITS, **asked)["changed"]

    power_off(site)
    # starts: (the machine's Python)
    done = subprocess.run([str(site.data / "libexec" / "restore")], capture_output=True, text=True, check=False, env={})
    assert (done.returncode, done.stderr) == (0, "")
    names = ("z-db", "m-web", "a-proxy", "b-alone")
    began = {name: until(site, name, lambda one: one.status == RUNNING).started_at for name in names}
    assert began["z-db"] + 1 <= began["m-web"] <= began["a-proxy"], json.dumps(began)
    assert began["b-alone"] < began["m-web"]

    changed = run(name="z-db", command=slow, healthcheck=check, env={"A": "1"})
    assert changed["actions"][-1] == "start container m-web again, as it depends on z-db"
    assert state(site, "m-web").started_at > began["m-web"]
    assert state(site, "a-proxy").started_at == began["a-proxy"]


def test_a_boot_without_what_is_needed(site: Site, modules: Modules, busybox: str) -> None:
    """Somebody has stopped it: it stays so, and who needs it is not started, which is said."""
    run = functools.partial(runner(site, modules, busybox), command=WAITS)
    run(name="db")
    run(name="web", depends_on=["db"])
    run(name="db", state="stopped")
    power_off(site)
    # starts: (the machine's Python)
    done = subprocess.run([str(site.data / "libexec" / "restore")], capture_output=True, text=True, check=False, env={})
    assert done.returncode == 1
    assert done.stderr.endswith("cannot be started: it depends on db, which somebody has stopped\n")
    assert [state(site, name).status for name in ("db", "web")] == [STOPPED] * 2
    assert run(name="web", depends_on=["db"])["actions"] == ["start container db, on which web depends", "start container web"]
