# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container through ansible-playbook: how containers run, what they print and how they end."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pathlib
import time
import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.cgroups import limits_of
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, busybox_image, symlink, tar_of
from ansible_collections.fleet.containerd.tests.support.log_receivers import journal
from ansible_collections.fleet.containerd.tests.support.own_host import own_host
from ansible_collections.fleet.containerd.tests.support.registry import Registry
from ansible_collections.fleet.containerd.tests.support.site import EmbeddedSite, Site

#: crun takes a version 2 hierarchy that it finds for the one to use, also where that has no controllers.
WITHOUT_UNIFIED = (
    "unshare",
    "--mount",
    "sh",
    "-c",
    '! test -d /sys/fs/cgroup/unified || mount -t tmpfs tmpfs /sys/fs/cgroup/unified && exec "$@"',
    "sh",
)


def container(name: str, ignore_errors: bool = False, **options: t.Any) -> Task:
    return {**task("containerd_container", name=name, **options), "ignore_errors": ignore_errors}


def job(name: str, script: str, **options: t.Any) -> Task:
    """A shell script that the task waits for."""
    return container(name, command=["sh", "-c", script], **{"detach": False, **options})


def test_waiting_for_the_end(site: Site, busybox: str) -> None:
    (done,) = site.converge(job("ok", "echo to stdout; echo to stderr >&2", image=busybox))
    assert done.actions[-2:] == ["start container ok", "wait for container ok to end"]
    assert done.value("status") == 0
    assert sorted(done.value("container")["Output"].splitlines()) == ["to stderr", "to stdout"]
    assert done.value("container")["State"]["Status"] == "exited"
    again, restarted, failed, cleaned = site.play(
        job("ok", "echo to stdout; echo to stderr >&2", image=busybox),
        job("ok", "echo to stdout; echo to stderr >&2", image=busybox, restart=True, output_logs=True),
        job("bad", "printf 'why\\033[31m\\nso'; exit 3", image=busybox, ignore_errors=True, output_logs=True),
        job("clean", "echo gone", image=busybox, cleanup=True),
    ).results
    assert not again.changed
    assert (again.value("status"), len(again.value("container")["Output"].splitlines())) == (0, 2)
    assert restarted.actions == ["start container ok", "wait for container ok to end"]
    assert failed.failed
    assert failed.changed
    assert failed.msg == "the container bad ended: exit status 3\nThe last that it printed:\nwhy\\x1b[31m\nso"
    assert (failed.value("status"), failed.value("container")["Output"]) == (3, "why\x1b[31m\nso")
    (said,) = restarted.result["warnings"]
    # A container that is started again adds to its log, as with Docker.
    assert sorted(said.splitlines()) == ["the container ok printed:", *["to stderr"] * 2, *["to stdout"] * 2]
    assert failed.result["warnings"][-1:] == ["the container bad printed:\nwhy\\x1b[31m\nso"]
    assert "printed" not in json.dumps([one.result.get("warnings", []) for one in (done, cleaned)])
    assert cleaned.actions[-1] == "remove container clean"
    assert cleaned.value("container")["Output"] == "gone\n"
    with site.engine() as engine:
        assert sorted(one.labels["nerdctl/name"] for one in engine.containers.list()) == ["bad", "ok"]


def test_what_a_container_sees(site: Site, busybox: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "from-host").write_text("hello from the host\n")
    shared = f"{tmp_path}/shared"
    jobs = {
        "plain": job("plain", "id; pwd; hostname; tty; cat /proc/1/cmdline | wc -c; ip -o link | wc -l; touch /new", image=busybox),
        "user": job("user", "id; echo $HOME; touch /root/x 2>/dev/null || echo denied", image=busybox, user="user"),
        "ids": job("ids", "id -u; id -g; id -G", image=busybox, user="4000:5000"),
        "where": job("where", "pwd; hostname; echo $A:$B", image=busybox, working_dir="/var", hostname="my-host.example",
                     env={"A": "one two", "B": "$A"}),
        "fixed": job("fixed", "touch /new 2>/dev/null || echo read-only; touch /dev/shm/x && echo shm", image=busybox, read_only=True),
        "volumes": job(
            "volumes",
            "cat /rw/from-host; echo from container > /rw/new; touch /ro/x 2>/dev/null || echo read-only",
            image=busybox,
            volumes=[f"{shared}:/rw", f"{shared}:/ro:ro"],
        ),
        "host": job("host", "cat /etc/hosts | head -1; readlink /proc/self/ns/net", image=busybox, network_mode="host"),
        "tty": job("tty", "tty; test -t 0 && test -t 1 && echo terminal; echo $TERM", image=busybox, tty=True),
        "masked": job("masked", "cat /proc/keys | wc -c; echo 1 2>/dev/null > /proc/sys/kernel/hostname || echo refused", image=busybox),
    }  # fmt: skip
    results = site.play(*jobs.values()).results
    output = {name: result.value("container")["Output"].replace("\r\n", "\n").splitlines() for name, result in zip(jobs, results)}
    short = results[0].value("container")["Id"][:12]
    assert output["plain"][0].startswith("uid=0(root) gid=0(root)")
    assert output["plain"][1:4] == ["/", short, "not a tty"]
    assert output["plain"][5] == "1"
    assert output["user"] == ["uid=1000(user) gid=1000(user) groups=1000(user),2000(extra)", "/tmp", "denied"]
    assert output["ids"] == ["4000", "5000", "5000"]
    assert output["where"] == ["/var", "my-host.example", "one two:$A"]
    assert output["fixed"] == ["read-only", "shm"]
    assert output["volumes"] == ["hello from the host", "read-only"]
    assert (tmp_path / "shared" / "new").read_text() == "from container\n"
    assert output["host"][0] == pathlib.Path("/etc/hosts").read_text().splitlines()[0]
    assert output["host"][1] == os.readlink("/proc/self/ns/net")
    assert output["tty"][0].startswith("/dev/")
    assert output["tty"][1:] == ["terminal", "xterm"]
    assert output["masked"] == ["0", "refused"]


def test_standard_input(site: Site, host: t.Any, busybox: str) -> None:
    script = "cat; echo end"
    closed, kept = site.play(
        job("closed", script, image=busybox),
        container("kept", image=busybox, command=["sh", "-c", script], interactive=True, stop_signal="KILL"),
    ).results
    assert closed.value("container")["Output"] == "end\n"
    assert kept.value("container")["Config"]["OpenStdin"] is True
    assert host.process.get(pid=kept.value("container")["State"]["Pid"]).args == f"sh -c {script}"


def test_logs_are_rotated(site: Site, busybox: str) -> None:
    script = "i=0; while test $i -lt 400; do echo line $i; i=$((i+1)); done"
    rotated, silent = site.play(
        job("rotated", script, image=busybox, log_options={"max-size": "8k", "max-file": "3"}),
        job("silent", script, image=busybox, log_driver="none"),
    ).results
    path = pathlib.Path(rotated.value("container")["LogPath"])
    files = sorted(path.parent.glob("*.log*"))
    assert [one.name for one in files] == [path.name, f"{path.name}.1", f"{path.name}.2"]
    assert all(one.stat().st_size <= 8192 and one.stat().st_mode & 0o777 == 0o600 for one in files)
    lines = [json.loads(line) for one in reversed(files) for line in one.read_text().splitlines()]
    assert lines[-1]["log"] == "line 399\n"
    assert {line["stream"] for line in lines} == {"stdout"}
    assert rotated.value("container")["Output"] == "".join(line["log"] for line in lines)
    assert silent.value("container")["Output"] == ""
    assert not list(site.data.glob(f"containers/*/{silent.value('container')['Id']}/*.log*"))


def test_stopping(site: Site, host: t.Any, busybox: str) -> None:
    def waits(signal: str, **options: t.Any) -> t.Dict[str, t.Any]:
        script = f"trap 'echo got {signal}; exit 7' {signal}; trap '' TERM; echo ready; while true; do sleep 0.05; done"
        return {"image": busybox, "command": ["sh", "-c", script], **options}

    def exit_code(result: t.Any) -> int:
        return int(result.value("container")["State"]["ExitCode"])

    names = ("polite", "stubborn", "forced", "numbered", "told")
    made = site.play(
        container("polite", **waits("USR1", stop_signal="USR1", stop_timeout=300)),
        container("stubborn", **waits("USR1", stop_timeout=1)),
        container("forced", **waits("USR1", stop_timeout=300)),
        container("numbered", **waits("INT", stop_timeout=300)),
        container("told", **waits("USR2", stop_timeout=300)),
    ).results
    deadline = time.monotonic() + 60
    while not all("ready" in pathlib.Path(one.value("container")["LogPath"]).read_text() for one in made):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    started = time.monotonic()
    stopped = site.play(
        container("polite", state="stopped"),
        container("stubborn", state="stopped"),
        container("forced", state="stopped", force_kill=True),
        container("told", state="stopped", force_kill=True, kill_signal="USR2"),
        container("numbered", state="absent", stop_signal="2"),
    ).results
    seconds = time.monotonic() - started
    assert [exit_code(one) for one in stopped[:4]] == [7, 137, 137, 7]
    # The one second of the stubborn one, and nobody's five minutes.
    assert 1 < seconds < 120
    for name, one in zip(names, made):
        assert not host.file(f"/proc/{one.value('container')['State']['Pid']}").exists, name
    log = pathlib.Path(made[0].value("container")["LogPath"]).read_text()
    assert '"log":"got USR1\\n"' in log


def test_crun(embedded_site: EmbeddedSite, busybox: str) -> None:
    options: t.Dict[str, t.Any] = {"image": busybox, "runtime": "crun"}
    done, kept, terminal, again, gone = embedded_site.play(
        job("job", "echo from crun; sha256sum </run/secrets/key", secrets=[{"name": "key", "content": "hush-hush"}], **options),
        container("kept", command=["sleep", "1000"], stop_signal="KILL", **options),
        job("terminal", "tty", tty=True, **options),
        container("kept", command=["sleep", "1000"], stop_signal="KILL", **options),
        container("kept", state="absent"),
        under=WITHOUT_UNIFIED,
    ).results
    digest = hashlib.sha256(b"hush-hush").hexdigest()
    assert done.value("container")["Output"] == f"from crun\n{digest}  -\n"
    assert kept.value("container")["HostConfig"]["Runtime"] == "crun"
    assert terminal.value("container")["Output"].startswith("/dev/")
    assert not again.changed
    assert gone.changed


def test_limits_with_crun(embedded_site: EmbeddedSite, busybox: str) -> None:
    options: t.Dict[str, t.Any] = {"image": busybox, "runtime": "crun", "command": ["sleep", "1000"], "stop_signal": "KILL"}
    made, changed, freed = embedded_site.play(
        container("web", memory="64m", pids_limit=50, **options),
        container("web", memory="128m", memory_swap="128m", pids_limit=60, **options),
        container("web", pids_limit=-1, memory="256m", memory_swap="256m", ignore_errors=True, **options),
        under=WITHOUT_UNIFIED,
    ).results
    number = made.value("container")["State"]["Pid"]
    assert made.value("container")["HostConfig"]["Memory"] == 64 << 20
    assert changed.actions == ["update memory, pids_limit of container web"]
    asked: t.Dict[str, t.Any] = {"memory": 128 << 20, "memory_swap": 128 << 20, "pids": 60}
    if freed.failed:
        # crun 1.8 writes -1, which the kernel does not take for "no limit". Then nothing changes.
        assert freed.msg.startswith("the runtime cannot update the container: ")
        assert freed.msg.endswith("; with update_in_place=false a new container is made")
        assert not freed.changed
    else:
        asked = {"memory": 256 << 20, "memory_swap": 256 << 20, "pids": None}
    assert limits_of(number, *asked) == asked


def test_an_image_that_could_write_to_the_host_is_refused(
    site: Site, host: t.Any, registry: Registry, layout: Layout, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "ptmx").write_text("mine")
    tasks = []
    for name in ("dev", "proc", "sys"):
        more = tar_of([symlink(name, f"/../../../../../../../..{tmp_path}/target")])
        registry.push(layout.path, busybox_image(layout, [more]), "hostile", name)
        tasks.append(container(name, image=f"{registry.address}/hostile:{name}", command=["true"], ignore_errors=True))
    for name, result in zip(("dev", "proc", "sys"), site.play(*tasks).results):
        assert result.failed
        assert result.msg == f"the image's /{name} is not a directory: such an image can write to the host, it is refused"
    assert sorted(os.listdir(tmp_path / "target")) == ["ptmx"]
    assert host.file(str(tmp_path / "target" / "ptmx")).content_string == "mine"
    with site.engine() as engine:
        assert engine.containers.list() == []
        assert all(info.kind == "committed" for info in engine.snapshotter().walk())
    assert site.leftovers() == []


def test_examples(embedded_site: EmbeddedSite, registry: Registry, layout: Layout, tmp_path: pathlib.Path) -> None:
    script = tar_of([Entry("manage", b'#!/bin/sh\necho "$1: done"\n', mode=0o755)])
    serves = "mkdir -p /www; echo hello >/www/index.html; exec httpd -f -p 80 -h /www"
    server = busybox_image(layout, Cmd=["sh", "-c", serves], StopSignal="SIGKILL")
    registry.push(layout.path, server, "examples/nginx", "1.27")
    registry.push(layout.path, busybox_image(layout, [script]), "examples/app", "1.4")
    replace = {
        "docker.io/library": f"{registry.address}/examples",
        "registry.example.com/team": f"{registry.address}/examples",
        "/srv/www": str(tmp_path),
    }
    web, database, job, show, backup, shop, stage, switch, back, *more, restart, remove = examples_of(
        "containerd_container", replace
    )
    network = task("containerd_network", name="back", ipam_config=[{"subnet": "172.30.8.0/24"}])
    with own_host(tmp_path / "host") as own:
        embedded_site.converge(network, under=own.under)
        embedded_site.converge(web, job, under=own.under)
        embedded_site.converge(database, under=own.under)
        again, shown, restarted = embedded_site.play(job, show, restart, under=own.under).results
        assert not again.changed
        assert shown.value("job.container.Output") == "migrate: done\n"
        assert restarted.actions == ["stop container web", "start container web"]
        embedded_site.converge(backup, variables={"db_password": "hush"}, under=own.under)
        releases = []
        for one in (shop, stage, switch, back):
            releases += embedded_site.converge(one, under=own.under)
        assert [f"RELEASE={number}" for number in "2232"] == [
            next(one for one in result.value("container")["Config"]["Env"] if one.startswith("RELEASE=")) for result in releases
        ]
        embedded_site.converge(remove, under=own.under)
        (embedded_site.data / "volumes" / embedded_site.namespace / "pages" / "_data" / "sites" / "today").mkdir(parents=True)
        orders, mail, pages = more
        stop = task("containerd_container", name="database", state="stopped")
        _stopped, first, part = embedded_site.play(stop, orders, pages, under=own.under).results
        assert first.actions[-2:] == ["start container database, on which orders depends", "start container orders"]
        assert part.value("container")["Mounts"][0]["Source"].endswith("/pages/_data/sites/today")
        release, mailing = copy.deepcopy(orders), copy.deepcopy(mail)
        release["fleet.containerd.containerd_container"]["env"] = {"RELEASE": "2"}
        with journal() as (namespace, _receiver):
            mailing["fleet.containerd.containerd_container"]["log_options"]["journald-namespace"] = namespace
            replaced, again, mails = embedded_site.play(release, pages, mailing, under=own.under).results
        assert [one for one in replaced.actions if one.startswith("keep the old container as orders-old-")]
        assert not again.changed
        assert mails.actions[-1] == "start container mail"
        names = ("database", "shop", "orders", "pages", "mail")
        embedded_site.play(*(task("containerd_container", name=name, state="absent") for name in names), under=own.under)
