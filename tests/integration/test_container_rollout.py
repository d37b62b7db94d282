# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service is replaced without an interruption, and stays when the new release is no good."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import pathlib
import random
import signal
import ssl
import sys
import threading
import time
import typing as t
import urllib.request

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import NAME, ROLE
from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Supervision, TaskIO
from ansible_collections.fleet.containerd.plugins.module_utils.errors import NotFound
from ansible_collections.fleet.containerd.plugins.module_utils.hostfs.mounts import mounted
from ansible_collections.fleet.containerd.plugins.module_utils.network import netns
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.find import find_container
from ansible_collections.fleet.containerd.tests.integration.test_killed_at_each_call import CALLS
from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.attack import FULL
from ansible_collections.fleet.containerd.tests.support.guides import blocks_of
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image
from ansible_collections.fleet.containerd.tests.support.modules import Modules
from ansible_collections.fleet.containerd.tests.support.networked import WEB, Networked, address, pid_of
from ansible_collections.fleet.containerd.tests.support.registry import Registry, make_ca
from ansible_collections.fleet.containerd.tests.support.site import DaemonSite, EmbeddedSite, Site, finished, new_namespace
from ansible_collections.fleet.containerd.tests.support.waiting import until

KIND = "containerd_container"
#: It ends by SIGTERM at once, and begins to serve after a while.
SLOW = "trap 'exit 0' TERM; mkdir -p /www; echo {page} >/www/index.html; sleep {after}; httpd -p 80 -h /www; while :; do sleep 0.05; done"
TWO = pytest.mark.parametrize("networked_site", ["", "2.1"], ids=["embedded", "containerd-2.1"], indirect=True)


def slow(page: str, after: float = 0.0, **options: t.Any) -> t.Dict[str, t.Any]:
    return {
        "command": ["sh", "-c", SLOW.format(page=page, after=after)],
        "stop_signal": "TERM",
        "network_mode": "bridge",
        **options,
    }


class Client(threading.Thread):
    """Looks for the service by its name over and over, in another container of its network, and asks for a page there."""

    def __init__(self, site: Networked, pid: int) -> None:
        super().__init__(daemon=True)
        self._site, self._pid, self._over = site, pid, threading.Event()
        self.pages: t.List[str] = []

    def run(self) -> None:
        while not self._over.is_set():
            # A connection that the old one has accepted as it was told to end is lost: whoever asks then asks again.
            self.pages.append(next(filter(None, (self.page("web") for _turn in range(2))), ""))

    def page(self, name: str) -> str:
        """Empty without an answer."""
        hosts = self._site.inside(self._pid, "cat", "/etc/hosts").splitlines()
        (place, *_more) = [line.split()[0] for line in hosts if name in line.split()[1:]] or [""]
        return self._site.run("curl", "-sg", "-m", "2", f"http://{place}/")

    def __enter__(self) -> Client:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self.join()


@TWO
def test_a_page_is_there_all_the_time(networked_site: Networked) -> None:
    """The new container serves before the old one goes, although it takes a second to begin, and others find it by its name then."""
    site = networked_site
    site.network("back", "10.88.1.0/24")
    ready, net = {"http": {"path": "/index.html"}}, {"networks": [{"name": "back", "aliases": ["db"]}]}
    client = site.container("client", **site.page_options("client"), networks=[{"name": "back"}])
    first = site.web("web", **{**slow("one"), **net}, ready=ready)
    assert site.page(f"http://{address(first, 'back')}/") == "one"
    with Client(site, pid_of(client)) as asking:
        until(lambda: len(asking.pages) > 1)
        second = site.web("web", **{**slow("two", 1), **net}, ready=ready)
        until(lambda: asking.pages[-1] == "two")
    assert second["actions"][1:-1] == [
        "start container web beside the old one",
        "wait until container web is ready",
        "give the name web to the new container",
        "stop the old container web",
    ]
    assert set(asking.pages) == {"one", "two"}
    assert asking.pages == sorted(asking.pages)
    assert len(asking.pages) > 3
    assert site.page(f"http://{address(second, 'back')}/") == "two"
    assert asking.page("db") == "two"
    assert not site.web("web", **{**slow("two", 1), **net}, ready=ready)["changed"]
    for name in ("web", "client"):
        site.container(name, state="absent")


def test_what_proves_a_start(networked_site: Networked) -> None:
    """Each kind, in the network and the namespaces of the container; and what is said when it is not so."""
    site = networked_site
    wrong: t.List[t.Tuple[t.Dict[str, t.Any], str]] = [
        ({"tcp": "81"}, "tcp 81: Connection refused"),
        ({"tcp": "127.0.0.1:81"}, "tcp 127.0.0.1:81: Connection refused"),
        ({"http": {"path": "/nothing?a=b"}}, "http 80/nothing?a=b: the status is 404"),
        ({"http": {"status": [204, 301]}}, "http 80/: the status is 200"),
        ({"command": ["test", "-e", "/nothing"]}, "command test: exit status 1"),
        ({"command": ["sh", "-c", "echo no; exit 7"]}, "command sh: exit status 7 (no)"),
        ({"command": ["sleep", "100"]}, "command sleep: it has not ended"),
    ]
    right: t.List[t.Dict[str, t.Any]] = [
        {"tcp": "80", "http": {}, "command": ["test", "-e", "/www/index.html"], "for": 0.5},
        {"tcp": "127.0.0.1:80", "http": {"status": [200]}},
    ]
    net = {"network_mode": "bridge"}
    old = site.web("web", **net)
    for number, (ready, problem) in enumerate(wrong):
        failed = site.web("web", failing=True, env={"A": str(number)}, ready={**ready, "timeout": 3}, **net)
        assert (
            failed["msg"]
            == f"the container web is not ready after 3 s: {problem}; it printed nothing; the old container web still runs"
        )
        assert (failed["failed_action"], failed.get("changed", False)) == ("wait until container web is ready", False)
    assert site.page(f"http://{address(old)}/") == "hello from web"
    assert site.facts("web")["Id"] == old["container"]["Id"]
    for number, ready in enumerate(right):
        done = site.web("web", env={"A": str(number)}, ready=ready, **net)
        assert done["recreated_because"] == ["env"]
    alone = site.web("alone", network_mode="none", ready={"tcp": "80", "http": {}})
    assert alone["container"]["State"]["Running"]
    ended = site.web("web", failing=True, command=["sh", "-c", "sleep 0.5; echo no database; exit 4"], ready={"tcp": "80"}, **net)
    assert ended["msg"] == (
        "the container web ended before it was ready: exit status 4; the old container web still runs\n"
        "The last that it printed:\nno database"
    )
    assert ended["status"] == 4
    for name in ("web", "alone"):
        site.container(name, state="absent")


@TWO
def test_with_a_port_of_the_host_the_old_one_ends_first(networked_site: Networked) -> None:
    site = networked_site
    options: t.Dict[str, t.Any] = {"published_ports": ["8080:80"], "ready": {"http": {}, "timeout": 20}}
    old = site.web("web", **options)
    assert site.page("http://127.0.0.1:8080/", outside=False) or site.page("http://10.77.0.1:8080/")
    broken = ["sh", "-c", "echo cannot bind; exit 3"]
    failed = site.web("web", failing=True, command=broken, **options)
    assert failed["msg"] == (
        "the container web ended before it was ready: exit status 3; the old container web is back and runs\n"
        "The last that it printed:\ncannot bind"
    )
    assert failed["undone"][1] == "stop the old container web, as both publish the port 8080/tcp of the host"
    now = site.facts("web")
    assert (now["Id"], now["State"]["Running"]) == (old["container"]["Id"], True)
    assert site.page(f"http://{now['NetworkSettings']['Networks']['bridge']['IPAddress']}/") == "hello from web"
    again = site.web("web", **options)
    assert not again["changed"]
    new = site.web("web", **options, command=[*WEB[:2], WEB[2].replace("hello", "bye")])
    assert new["actions"][1:4] == [
        "stop the old container web, as both publish the port 8080/tcp of the host",
        "start container web",
        "wait until container web is ready",
    ]
    assert site.page(f"http://{address(new)}/") == "bye from web"
    site.container("web", state="absent")


def test_healthy(networked_site: Networked) -> None:
    site = networked_site
    check = {"test": "test -e /tmp/good", "interval": "100ms", "start_interval": "100ms", "retries": 2, "start_period": "10s"}
    good = ["sh", "-c", "sleep 0.5; touch /tmp/good; exec sleep 1000"]
    made = site.web("web", command=good, healthcheck=check, state="healthy")
    assert made["container"]["State"]["Health"]["Status"] == "healthy"
    assert not site.web("web", command=good, healthcheck=check, state="healthy")["changed"]
    bad = ["sh", "-c", "echo no database; exec sleep 1000"]
    short = {**check, "start_period": "0s"}
    failed = site.web("web", failing=True, command=bad, healthcheck=short, state="healthy")
    assert (
        failed["msg"]
        == "the container web is unhealthy; the old container web still runs\nThe last that it printed:\nno database"
    )
    assert failed["container"]["State"]["Health"]["Status"] == "unhealthy"
    assert site.facts("web")["Id"] == made["container"]["Id"]
    late = site.web("web", failing=True, command=bad, healthcheck=check, state="healthy", healthy_wait_timeout=1)
    assert late["msg"].startswith("the container web is not ready after 1 s: its health check says starting; the old")
    site.container("web", state="absent")


def release(number: int, layout: Layout, registry: Registry) -> str:
    """Push another image under the same name."""
    registry.push(layout.path, busybox_image(layout, Labels={"release": str(number)}), "rollout", "1")
    return f"{registry.address}/rollout:1"


def test_staged_and_previous(site: Site, modules: Modules, registry: Registry, layout: Layout) -> None:
    """A release is staged and switched to; the one before it is back after its tag has moved and all unused images are gone."""
    image = release(1, layout, registry)
    options = {**site.defaults, "name": "web", "stop_signal": "KILL"}
    serve = {**options, "image": image, "command": ["sleep", "1000"], "pull": "always"}
    first = modules.run(KIND, **serve)["container"]
    release(2, layout, registry)
    staged = modules.run(KIND, **serve, env={"A": "1"}, state="staged")
    assert staged["recreated_because"] == ["env", "image"]
    assert staged["container"]["State"]["Pid"] == first["State"]["Pid"]
    assert not modules.run(KIND, **serve, env={"A": "1"}, state="staged")["changed"]
    second = modules.run(KIND, **serve, env={"A": "1"})
    assert second["container"]["Id"] == staged["staged"]["Id"]
    assert second["container"]["Config"]["Labels"]["release"] == "2"
    assert not any("pull" in one for one in second["actions"])
    modules.run("containerd_image", **site.defaults, name=image, state="absent", force=True)
    with site.engine() as engine:
        engine.collect()
    if isinstance(site, DaemonSite):
        site.collect()
    predicted = modules.run(KIND, **options, state="previous", _ansible_check_mode=True)
    back = modules.run(KIND, **options, state="previous")
    assert predicted["actions"] == back["actions"]
    assert back["actions"][0] == "create container web anew (previous)"
    assert (back["container"]["Image"], back["container"]["Config"]["Labels"]["release"]) == (first["Image"], "1")
    assert "A=1" not in back["container"]["Config"]["Env"]
    assert not modules.run(KIND, **options, state="previous")["changed"]
    until(lambda: len(site.shims()) == 1)
    with site.engine() as engine:
        assert len(engine.containers.list()) == 1


#: How many hosts; the guide has two at a time.
_HOSTS, _SERIAL = 10, 2
_ENGINE = """restart_policy: unless-stopped
        command: "{{ command }}"
        stop_signal: KILL
        engine: embedded
        namespace: "{{ namespace }}"
        data_root: "{{ root }}/data"
        state_root: "{{ root }}/state"
"""


def test_a_bad_release_stops_at_the_first_batch(tmp_path: pathlib.Path, modules: Modules, busybox: str) -> None:
    """The guide's play on ten hosts: two try the release and keep what they had, eight never hear of it, and all ten serve."""
    with contextlib.ExitStack() as stack:
        sites = [stack.enter_context(finished(EmbeddedSite(tmp_path / f"h{one}", new_namespace()))) for one in range(_HOSTS)]
        connection = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
        inventory = {
            f"h{number}": {**connection, "root": str(tmp_path / f"h{number}"), "namespace": site.namespace}
            for number, site in enumerate(sites)
        }
        hosts, playbook = tmp_path / "hosts.json", tmp_path / "play.yml"
        hosts.write_text(json.dumps({"shops": {"hosts": inventory}}))
        (text,) = blocks_of("guide_rollout", {"registry.example.com/shop:{{ release }}": busybox, "timeout: 60": "timeout: 200"})
        network, policy = "networks:\n          - name: front\n", "restart_policy: unless-stopped\n"
        assert network in text
        assert policy in text
        playbook.write_text(text.replace(network, "network_mode: none\n").replace(policy, _ENGINE).replace("become: true", ""))

        def roll_out(command: t.List[str], deed: str = "started", failing: bool = False, limit: str = "all") -> ansible.Play:
            variables = json.dumps({"command": command, "deed": deed})
            arguments = ["-i", str(hosts), "-e", variables, "--limit", limit]
            return ansible.play(playbook, failing=failing, arguments=arguments)

        for site in sites:
            # The same as the play has, in a tenth of the time.
            options = {**site.defaults, "name": "shop", "image": busybox, "command": WEB, "network_mode": "none"}
            modules.run(KIND, **options, restart_policy="unless-stopped", stop_signal="KILL", ready={"http": {}})
        bad = roll_out(["sh", "-c", "echo no database; sleep 0.3; exit 1"], failing=True)
        found = [one.msg for one in bad.results if one.name == "Have the release"]
        assert len(found) == _SERIAL
        for message in found:
            assert message.startswith("the container shop ended before it was ready")
            assert "; the old container shop still runs\nThe last that it printed:\nno database" in message
        for site in sites:
            assert "hello from" in page(site)
        next_one = [*WEB[:2], WEB[2].replace("hello", "bye")]
        for deed, said in (("staged", "hello"), ("started", "bye"), ("previous", "hello")):
            roll_out(next_one, deed, limit="h0")
            assert f"{said} from" in page(sites[0])


def page(site: Site) -> str:
    """What the shop of a host serves, which has one container."""
    with site.engine() as engine:
        (container,) = engine.containers.list({NAME: "shop"})
        assert len(engine.containers.list()) == 1 + len(engine.containers.list({ROLE: "staged"}))
        pid = engine.tasks.state(container.id).pid
    with netns.entered(f"/proc/{pid}/ns/net"), urllib.request.urlopen("http://127.0.0.1/", timeout=10) as answer:
        return t.cast(str, answer.read().decode())


def test_a_line_of_the_log_proves_a_start(site: Site, modules: Modules, busybox: str) -> None:
    """What an earlier start has printed does not count."""
    common: t.Dict[str, t.Any] = {**site.defaults, "image": busybox, "name": "web", "network_mode": "none", "stop_signal": "KILL"}
    says = ["sh", "-c", "echo begins; test -e /again || { sleep 0.5; echo 'listens on 80'; }; touch /again; exec sleep 9999"]
    began = time.monotonic()
    made = modules.run(KIND, **common, command=says, ready={"log": "^listens on [0-9]+$"})
    assert made["actions"][-1] == "wait until container web is ready"
    assert time.monotonic() - began > 0.5
    failed = modules.result(KIND, **common, command=says, ready={"log": "^listens", "timeout": 1}, restart=True)
    problem = "log: nothing that it printed matches ^listens"
    assert failed["msg"].startswith(f"the container web is not ready after 1 s: {problem}"), failed["msg"]
    silent = modules.result(KIND, **common, command=says, ready={"log": "x"}, log_driver="none", _ansible_check_mode=True)
    assert silent["msg"] == "ready.log: the output is not kept on this host: leave out log_driver=none and cache-disabled"


def test_an_answer_over_tls_proves_a_start(
    embedded_site: EmbeddedSite, modules: Modules, busybox: str, tmp_path: pathlib.Path
) -> None:
    """The certificate is nobody's: the service is asked by an address."""
    _ca, certificate, key = make_ca(tmp_path, "DNS:elsewhere.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    common: t.Dict[str, t.Any] = {**embedded_site.defaults, "image": busybox, "network_mode": "host", "stop_signal": "KILL"}
    common["command"] = ["sleep", "9999"]
    asks = {"port": server.server_port, "path": "/no-such"}
    try:
        for scheme, problem in (("https", "the status is 404"), ("http", "")):
            failed = modules.result(KIND, **common, name="web", ready={"http": {**asks, "scheme": scheme}, "timeout": 1})
            assert f"{scheme} {server.server_port}/no-such: {problem}" in failed["msg"]
        modules.run(KIND, **common, name="web", ready={"http": {**asks, "scheme": "https", "status": [404]}})
    finally:
        server.shutdown()
        server.server_close()


def test_what_a_recreation_leaves(site: Site, modules: Modules, busybox: str, tmp_path: pathlib.Path) -> None:
    """on_recreate_failure=keep_new: the failed container is there, with its log. keep_old: the one before, with its files."""
    common: t.Dict[str, t.Any] = {**site.defaults, "image": busybox, "name": "web", "network_mode": "none", "stop_signal": "KILL"}
    first = modules.run(KIND, **common, command=["sh", "-c", "echo old >/written; echo first; exec sleep 9999"])["container"]
    asked = {"command": ["sh", "-c", "echo no database; exec sleep 9999"], "keep_old": 1}
    ready = {"command": ["false"], "timeout": 1.5}
    failed = modules.result(KIND, **common, **asked, on_recreate_failure="keep_new", ready=ready)
    kept = f"web-old-{first['Id'][:12]}"
    assert failed["failed"]
    assert failed["msg"].startswith("the container web is not ready after 1.5 s: command false: exit status 1")
    assert failed["actions"][-2:] == ["stop the old container web", f"keep the old container as {kept}"]
    now = failed["container"]
    assert (now["Name"], now["State"]["Running"], now["Id"] != first["Id"]) == ("/web", True, True)
    assert pathlib.Path(now["LogPath"]).read_text().count("no database") == 1
    (old,) = modules.run("containerd_container_info", **site.defaults, name=kept)["containers"]
    assert (old["Id"], old["State"]["Status"]) == (first["Id"], "exited")
    assert '"first' in pathlib.Path(old["LogPath"]).read_text()
    with site.engine() as engine, mounted(engine.snapshotter().mounts(old["Containerd"]["SnapshotKey"]), str(tmp_path)):
        assert (tmp_path / "written").read_text() == "old\n"
    gone = modules.run(KIND, **site.defaults, name="web", state="absent")
    assert gone["actions"] == ["remove container web", f"remove the old container {first['Id'][:12]}"]
    assert not site.strays()


def test_one_that_goes_by_itself(site: Site, modules: Modules, busybox: str) -> None:
    """Whoever watches it removes it when it ends, also one that is stopped, and a job when its task is killed."""
    options = {**site.defaults, "image": busybox, "auto_remove": True, "stop_signal": "KILL"}
    ends = modules.run(KIND, **options, name="ends", command=["sh", "-c", "sleep 2; exit 3"])
    assert ends["container"]["HostConfig"]["AutoRemove"] is True
    modules.run(KIND, **options, name="stays", command=["sleep", "1000"])
    modules.run(KIND, **options, name="console", command=["sleep", "1"], tty=True)
    gone(site, "ends", "console")
    stopped = modules.run(KIND, **site.defaults, name="stays", state="stopped", stop_signal="KILL")
    assert stopped["changed"]
    gone(site, "stays")
    job = modules.run(KIND, **options, name="job", detach=False, command=["sh", "-c", "echo done"])
    assert (job["status"], job["container"]["Output"]) == (0, "done\n")
    gone(site, "job")

    def kill(pid: int) -> None:
        until(lambda: status(site, "job") == "running")
        os.kill(pid, signal.SIGKILL)

    modules.meanwhile(kill, KIND, **options, name="job", detach=False, command=["sleep", "1000"])
    gone(site, "job")
    late = modules.run(KIND, **{**options, "auto_remove": False}, name="late", command=["sleep", "1000"])
    assert modules.run(KIND, **options, name="late")["actions"] == ["update auto_remove of container late"]
    os.kill(late["container"]["State"]["Pid"], signal.SIGKILL)
    gone(site, "late")
    # The last program that has removed one is about to end.
    until(lambda: site.leftovers() == [])


def test_what_died_is_started_again(site: Site, modules: Modules, busybox: str) -> None:
    """Its process was killed; its task is gone; it was made and never started; its files are gone."""
    options = {**site.defaults, "name": "web", "image": busybox, "command": ["sleep", "1000"], "stop_signal": "KILL"}
    made = modules.run(KIND, **options)["container"]
    os.kill(made["State"]["Pid"], signal.SIGKILL)
    until(lambda: status(site, "web") == "stopped")
    assert modules.run(KIND, **options)["actions"] == ["start container web"]
    with site.engine() as engine:
        engine.tasks.delete(made["Id"], force=True)
    assert modules.run(KIND, **options)["actions"] == ["start container web"]
    with site.engine() as engine:
        engine.tasks.delete(made["Id"], force=True)
        engine.snapshotter().remove(made["Id"])
    mended = modules.run(KIND, **options)
    assert mended["recreated_because"] == ["damaged"]
    assert mended["container"]["State"]["Running"]
    if isinstance(site, DaemonSite):
        half_made(site, mended["container"]["Id"])
        assert status(site, "web") == "created"
        assert modules.run(KIND, **options)["actions"] == ["start container web"]
        half_made(site, mended["container"]["Id"])
    assert modules.run(KIND, **site.defaults, name="web", state="absent", stop_signal="KILL")["changed"]
    until(lambda: site.leftovers() == [])


@pytest.mark.timeout(3000 if FULL else 300)
@pytest.mark.parametrize("backend", ["embedded", "containerd-2.1"], indirect=True)
@pytest.mark.parametrize("more", [{}, {"network_mode": "host"}], ids=["beside", "in-turn"])
def test_killed_while_it_is_replaced(site: Site, modules: Modules, busybox: str, more: t.Dict[str, t.Any]) -> None:
    """At any call that changes something. Beside each other, one runs all the time; and state=present, too, has one run in the end."""
    options = {**site.defaults, "name": "web", "image": busybox, "command": ["sleep", "1000"], "stop_signal": "KILL", **more}
    wanted = {**options, "state": "present", "env": {"A": "1"}, "ready": {"command": ["true"]}}
    modules.run(KIND, **options)
    calls = [line for line in modules.killed_at(CALLS, 0, KIND, **wanted) if not line.startswith("write(1,")]
    moments, choose = range(1, len(calls) + 1), random.Random(9)
    for number in moments if FULL else sorted(choose.sample(moments, 6)):
        modules.run(KIND, **site.defaults, name="web", state="absent", stop_signal="KILL")
        modules.run(KIND, **options)
        killed = modules.killed_at(CALLS, number, KIND, **wanted)
        where = f"killed at call {number} of {len(calls)}: {killed[-2][:120] if killed[1:] else ''}"
        with site.engine() as engine:
            assert more or any(one.status == "running" for one in engine.tasks.list()), where
        done = modules.run(KIND, **wanted)
        assert done["container"]["State"]["Running"], where
        assert "A=1" in done["container"]["Config"]["Env"], where
        assert site.strays() == [], where
        with site.engine() as engine:
            assert len(engine.containers.list()) == 1, where


@pytest.mark.parametrize("backend", ["embedded", "containerd-2.1"], indirect=True)
@pytest.mark.parametrize("more", [{}, {"network_mode": "host"}], ids=["beside", "in-turn"])
def test_interrupted_while_it_waits(site: Site, modules: Modules, busybox: str, more: t.Dict[str, t.Any]) -> None:
    options = {**site.defaults, "name": "web", "image": busybox, "command": ["sleep", "1000"], "stop_signal": "KILL", **more}
    old = modules.run(KIND, **options)["container"]

    def interrupt(pid: int) -> None:
        with site.engine() as engine:
            until(lambda: [one for one in engine.tasks.list() if one.status == "running" and one.container_id != old["Id"]], 60)
        os.kill(pid, signal.SIGTERM)

    failed = modules.meanwhile(interrupt, KIND, **options, env={"A": "1"}, ready={"command": ["false"], "timeout": 200})
    back = "is back and runs" if more else "still runs"
    assert failed["msg"] == f"the task was interrupted: SIGTERM came; the old container web {back}"
    same = modules.run(KIND, **options)
    assert (same["changed"], same["container"]["Id"], same["container"]["State"]["Running"]) == (False, old["Id"], True)
    assert site.strays() == []
    with site.engine() as engine:
        assert len(engine.containers.list()) == 1


def half_made(site: DaemonSite, container_id: str) -> None:
    """As a task that is killed between the two calls of a start leaves it."""
    with site.engine() as engine:
        engine.tasks.delete(container_id, force=True)
        container = engine.containers.get(container_id)
        mounts = engine.snapshotter(container.snapshotter).mounts(container.snapshot_key)
        engine.tasks._create(container_id, mounts, TaskIO(), Supervision())


def status(site: Site, name: str) -> str:
    """Empty when it is not there."""
    with site.engine() as engine:
        container = find_container(engine, name)
        try:
            return str(engine.tasks.state(container.id).status) if container else ""
        except NotFound:
            return "none"


def gone(site: Site, *names: str) -> None:
    for name in names:
        until(lambda name=name: status(site, name) == "", 60)  # type: ignore[misc]  # mypy infers no type of a default
