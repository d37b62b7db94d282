# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is no difference and what is one: the rules I1 to I35, each with what goes wrong in other modules. Those that are not here are in
the docstrings of the tests that hold them; the last test here finds all.
"""

from __future__ import annotations

import ast
import pathlib
import re
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import DESIRED
from ansible_collections.fleet.containerd.plugins.module_utils.oci.platform import Platform
from ansible_collections.fleet.containerd.plugins.module_utils.resources.container.steps import SCHEMA
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry
from ansible_collections.fleet.containerd.tests.support.images import Layout, small_image
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite
from ansible_collections.fleet.containerd.tests.support.stories.container import RUNS, Options, container

TESTS = pathlib.Path(__file__).parents[4]
HOST = Platform.host()
#: An option, and two ways to say the same.
SAME: t.List[t.Tuple[str, t.Any, t.Any]] = [
    ("published_ports", ["8000-8001:80-81", "0.0.0.0:53:53/udp"], ["53:53/udp", "8001:81/tcp", "8000:80"]),
    ("published_ports", ["192.0.2.1:80:80", "127.0.0.1:80:80"], ["127.0.0.1:80:80", "192.0.2.1:80:80"]),
    ("exposed_ports", ["80-81", "53/udp"], ["53/udp", "81", "80/tcp"]),
    ("published_ports", ["[2001:db8:0:0::1]:80:80"], ["[2001:db8::1]:80:80"]),
    ("dns_servers", ["2001:db8:0:0::1"], ["2001:db8::1"]),
    ("etc_hosts", {"db": "2001:db8:0:0::1"}, {"db": "2001:db8::1"}),
    ("network_mode", "default", "bridge"),
    ("platform", HOST.architecture, f"linux/{HOST.architecture}"),
    ("log_options", {"max-size": "1m", "max-file": "2"}, {"max-file": 2, "max-size": "1024k"}),
    ("stop_signal", "15", "SIGTERM"),
    ("stop_signal", "RTMIN+3", "37"),
    ("capabilities", ["NET_ADMIN", "sys_time"], ["CAP_SYS_TIME", "cap_net_admin"]),
    ("cap_drop", ["all"], ["ALL"]),
    ("devices", ["/dev/null:/dev/nothing"], ["/dev/null:/dev/nothing:MRW".lower()]),
    ("memory", "1g", "1024m"),
    ("memory", "67108864", "64M"),
    ("cpus", 1, "1.0"),
    ("shm_size", "1m", "1048576"),
    ("healthcheck", {"test": "true", "interval": "90s"}, {"test": ["CMD-SHELL", "true"], "interval": "1m30s"}),
    ("command", "sleep '1 000'", ["sleep", "1 000"]),
    ("entrypoint", "env A=1", ["env", "A=1"]),
    ("mac_address", "02-42-AC-11-00-02", "02:42:ac:11:00:02"),
    ("groups", ["60", "50"], ["50", "60"]),
    ("security_opts", ["no-new-privileges:true", "seccomp=unconfined"], ["seccomp:unconfined", "no-new-privileges"]),
    ("volumes", ["/usr/:/a/:ro", "/usr:/b:rw"], ["/usr:/b", "/usr:/a:ro"]),
    ("volumes", ["/usr:/a:rprivate,ro"], ["/usr:/a:ro,rprivate"]),
]


def test_the_same_in_other_words_is_no_difference(site: MemorySite, busybox: str) -> None:
    """Values are compared in one canonical form each.

    I4: ports, by address, port and protocol: ranges in full, in any order, 0.0.0.0 as no address.
    I5: addresses, of IPv6 too, as addresses and not as text.
    I7: network modes: default is bridge.
    I8: platforms: amd64 is linux/amd64.
    I17: options of logs: numbers and strings, in any order.
    I18: signals: 15, TERM and SIGTERM are one.
    I19: capabilities in any case, with CAP_ and without; the rights of a device.
    I20: sizes, times and shares of processors as numbers.
    I23: commands as lists of words.
    I25: hardware addresses in any case, groups and options of security in any order and with both separators.
    I27: volumes, without a slash at the end, options in any order.
    """
    base: Options = {"image": busybox, **RUNS}
    asked = [(f"{option}-{number}".replace("_", "-"), option, *values) for number, (option, *values) in enumerate(SAME)]
    made, again, other = (
        site.play(*(container(name, **{**base, option: values[number]}) for name, option, *values in asked)).results
        for number in (0, 0, 1)
    )
    assert all(one.changed for one in made)
    for (name, *_more), *results in zip(asked, again, other):
        assert [one.actions for one in results] == [[], []], name


def test_what_was_given_is_stored(site: MemorySite, busybox: str) -> None:
    """I3: values are compared with what was given before, which is stored, and never guessed from a command line or from a specification.

    Words in a command that look like options are not taken for them, and what an engine adds is no difference.
    """
    looks = {"command": ["sh", "-c", "serve -p 8080:80 -e MAX_SIZE=1"], "image": busybox, "stop_signal": "KILL"}
    made = site.play(container("app", env={"SIZE": "1"}, **looks)).last
    assert made.value("container")["HostConfig"]["PortBindings"] == {}
    (record,) = site.memory.containers.list()
    limits = [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}]
    spec = {**record.spec, "process": {**record.spec["process"], "rlimits": limits, "env": ["ADDED=1"]}}
    site.memory.containers.update(record._replace(spec=spec), ["spec"])
    same, ports = site.predict(
        container("app", env={"SIZE": "1"}, **looks), container("app", published_ports=["8080:80"], **looks)
    ).results
    assert same.actions == []
    assert ports.changed


def test_variables(site: MemorySite, busybox: str, tmp_path: pathlib.Path) -> None:
    """I24: a variable is split at the first equals sign, and its value is a string; a boolean of YAML is refused (wrong values).

    I34: of a file with variables the content is compared, so a file that has changed is a difference, and the same again is none.
    """
    file = tmp_path / "env"
    file.write_text("A=b=c=\n")
    options: Options = {"image": busybox, "env_file": [str(file)], **RUNS}
    made = site.play(container("app", **options)).last
    assert "A=b=c=" in made.value("container")["Config"]["Env"]
    assert not site.play(container("app", env={"A": "b=c="}, image=busybox, **RUNS)).last.changed
    assert not site.play(container("app", **options)).last.changed
    file.write_text("A=b=d\n")
    (moved,) = site.converge(container("app", **options))
    assert moved.value("recreated_because") == ["env_file"]
    assert "A=b=d" in moved.value("container")["Config"]["Env"]


def test_an_image_is_what_it_is_whatever_id_names_it(site: MemorySite, registry: FakeRegistry, layout: Layout) -> None:
    """I9: an image is compared by the digest of its manifest for the platform. The ids of index, manifest and config all mean it."""
    ours = small_image(layout)
    registry.push(layout.path, layout.index([ours, layout.image([], {}, architecture="arm64")]), "index", "1")
    made = site.play(container("app", image=f"{registry.address}/index:1", **RUNS)).last
    (record,) = site.memory.containers.list()
    stored = record.extensions[DESIRED]["image"]
    ids = {stored[key] for key in ("target", "manifest", "config")}
    assert len(ids) == 3
    assert made.value("container")["Containerd"]["ManifestDigest"] == ours["digest"]
    assert [one.actions for one in site.play(*(container("app", image=one, **RUNS) for one in sorted(ids))).results] == [[]] * 3


def test_asking_the_registry_is_no_change(site: MemorySite, registry: FakeRegistry, layout: Layout, busybox: str) -> None:
    """I10: pull=always changes something when the registry has something else, and not because it was asked."""
    options: Options = {"image": busybox, "pull": "always", **RUNS}
    site.play(container("app", **options))
    asked = len(registry.seen)
    (again,) = site.play(container("app", **options)).results
    assert (again.changed, again.actions) == (False, [])
    assert len(registry.seen) > asked
    registry.push(layout.path, small_image(layout), "busybox", "1")
    assert not site.play(container("app", **options)).last.changed
    registry.push(layout.path, small_image(layout, Labels={"release": "2"}), "busybox", "1")
    (moved,) = site.converge(container("app", **options))
    assert moved.value("recreated_because") == ["image"]


def test_a_removal_looks_at_the_name_only(site: MemorySite, registry: FakeRegistry, busybox: str) -> None:
    """I14: state=absent pulls nothing and reads no options of the container, so one that is wrong hinders no removal."""
    site.play(container("app", image=busybox, **RUNS))
    asked = len(registry.seen)
    wrong: Options = {"image": f"{registry.address}/nothing:1", "pull": "always", "command": "a 'b", "memory": "much"}
    for changed in (True, False):
        gone = site.play(container("app", state="absent", **wrong)).last
        assert gone.changed is changed
    assert len(registry.seen) == asked
    assert site.memory.containers.list() == []


def test_a_container_without_a_task_is_stopped(site: MemorySite, busybox: str) -> None:
    """I28: whether a container runs is asked of its task. A record without one, or with one that has died, is a stopped container: it is
    started, and nothing says that its name is taken.
    """
    options: Options = {"image": busybox, **RUNS}
    made = site.play(container("app", **options)).last.value("container")["Id"]
    for state in ("none", "killed"):
        if state == "none":
            site.memory.tasks.delete(made, force=True)
        else:
            site.memory.tasks.signal(made, 9)
        stopped, started = site.play(container("app", state="stopped", **options), container("app", **options)).results
        assert not stopped.changed
        assert stopped.value("container")["State"]["Running"] is False
        assert started.actions == ["start container app"]
        assert started.value("container")["Id"] == made


def test_stopping_removes_nothing(site: MemorySite, busybox: str) -> None:
    """I29: state=stopped stops; a new container is made only for a difference, and then it is there, and stopped."""
    options: Options = {"image": busybox, **RUNS}
    made = site.play(container("app", **options)).last.value("container")["Id"]
    (stopped,) = site.converge(container("app", state="stopped", **options))
    assert stopped.actions == ["stop container app"]
    assert stopped.value("container")["Id"] == made
    (changed,) = site.converge(container("app", state="stopped", hostname="other", **options))
    assert changed.value("recreated_because") == ["hostname"]
    assert changed.value("container")["State"]["Running"] is False
    (record,) = site.memory.containers.list()
    assert record.extensions[DESIRED]["schema"] == SCHEMA


def test_every_rule_is_held() -> None:
    """Each is in the docstring of a test, with what it says."""
    said: t.Dict[str, t.List[str]] = {}
    texts = [path.read_text() for path in TESTS.rglob("test_*.py")]
    for text in (one for one in texts if re.search(r"\bI\d+: ", one)):
        for function in ast.walk(ast.parse(text)):
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                for rule, meaning in re.findall(r"\b(I\d+): (.+)", ast.get_docstring(function) or ""):
                    said.setdefault(rule, []).append(meaning)
    assert set(said) == {f"I{number}" for number in range(1, 36)}
    assert all(len(meaning) > 20 for meanings in said.values() for meaning in meanings)
