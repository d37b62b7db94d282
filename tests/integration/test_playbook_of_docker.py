# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A playbook that was written for Docker: with the names of the modules replaced it does the same on both engines, and once."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml

from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.ansible import TaskResult
from ansible_collections.fleet.containerd.tests.support.cgroups import limits_of
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, busybox_image, tar_of
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.networked import Networked, networked, pid_of

PLAYBOOK = pathlib.Path(__file__).with_name("playbooks") / "web_server_for_docker.before"
THEIRS, OURS = "community.docker.docker_", "fleet.containerd.containerd_"
#: What stands for the programs of the images. The database adds a line at each start, and serves its files.
POSTGRES = b"""#!/bin/sh
echo "started with $* for $POSTGRES_DB" >>"$PGDATA/log"
exec httpd -f -p 5432 -h "$PGDATA"
"""
READY = b"""#!/bin/sh
exec wget -q -O /dev/null http://127.0.0.1:5432/log
"""
NGINX = b"""#!/bin/sh
exec httpd -f -p 80 -h /usr/share/nginx/html
"""
DATA = "/var/lib/postgresql/data"


def images(layout: Layout) -> None:
    """Of busybox, with the names and the settings that those of the playbook have."""
    programs = {
        "docker.io/library/postgres:16": (
            {"usr/bin/postgres": POSTGRES, "usr/bin/pg_isready": READY},
            {"Volumes": {DATA: {}}, "ExposedPorts": {"5432/tcp": {}}, "Labels": {"version": "16"}, "Cmd": ["postgres"]},
            [f"PGDATA={DATA}"],
        ),
        "docker.io/library/nginx:1.27": (
            {"usr/sbin/nginx": NGINX},
            {"ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGQUIT", "Cmd": ["nginx", "-g", "daemon off;"]},
            [],
        ),
    }  # fmt: skip
    for name, (files, config, env) in programs.items():
        more = tar_of([Entry(path, text, mode=0o755) for path, text in files.items()])
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        layout.tag(busybox_image(layout, [more], **{**config, "Env": [path, *t.cast(t.List[str], env)]}), name)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", ["", "2.1"], ids=lambda version: version or "embedded")
def test_a_web_server_and_its_database(version: str, tmp_path: pathlib.Path, modules: Modules, layout: Layout) -> None:
    images(layout)
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "index.html").write_text("from the new one")
    tasks = yaml.safe_load(PLAYBOOK.read_text().replace(THEIRS, OURS))
    variables = {"password": "unlikely", "pages": str(pages)}

    with networked(tmp_path, version) as host:
        modules.run("containerd_image_load", **host.defaults, path=str(layout.path))

        def play(**how: t.Any) -> t.List[TaskResult]:
            return ansible.play(tasks, under=host.under, defaults=host.defaults, variables=variables, **how).results

        first = {one.name: one for one in play()}
        assert all(first[name].changed for name in ("Networks", "A volume for the data", "Database", "Web server"))
        works(host, first)
        again = play()
        assert [(one.name, one.result.get("actions")) for one in again if one.changed] == []
        assert [one.name for one in play(check=True) if one.changed] == []

        data = host.data / "volumes" / host.namespace / "pgdata" / "_data" / "log"
        line = "started with -c shared_buffers=128MB for app\n"
        assert data.read_text() == line
        # The data outlive the container; what comes back is as it was.
        host.container("db", state="absent")
        assert {one.name for one in play() if one.changed} == {"Database"} | ({"Web server"} if moved(host, first) else set())
        assert data.read_text() == line * 2
        for name in ("web", "db"):
            host.container(name, state="absent", force_kill=True)


def moved(host: Networked, first: t.Mapping[str, TaskResult]) -> bool:
    """Whether the database has another address by now, which the web server's file of hosts has."""
    return bool(address(host.facts("db")) != address(first["Database"].value("container")))


def address(container: t.Mapping[str, t.Any]) -> str:
    return str(container["NetworkSettings"]["Networks"]["back"]["IPAddress"])


def works(host: Networked, results: t.Mapping[str, TaskResult]) -> None:
    """What users of the server, the server itself and the kernel see."""
    database, web = (results[name].result for name in ("Database", "Web server"))
    assert host.page("http://172.30.7.20/") == "from the new one"
    assert host.page("http://127.0.0.1:8080/") == "from the new one"
    root = pathlib.Path(f"/proc/{pid_of(web)}/root")
    assert f"{address(database['container'])}\tdb.example.org" in (root / "etc/hosts").read_text().splitlines()
    assert "started with" in host.inside(pid_of(web), "wget", "-q", "-O", "-", "http://database:5432/log")
    assert "started with" in host.inside(pid_of(web), "wget", "-q", "-O", "-", "http://db.example.org:5432/log")
    limits = {"memory": 256 << 20, "pids": 100, "quota": 50000}
    assert limits_of(pid_of(database), *limits) == limits
    status = pathlib.Path(f"/proc/{pid_of(web)}/status").read_text()
    assert f"CapEff:\t{1 << 10:016x}\n" in status
    assert "NoNewPrivs:\t1\n" in status
