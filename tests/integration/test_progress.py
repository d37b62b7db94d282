# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the terminal shows of long tasks while they run: over each kind of connection, and of a pull in the background."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import sys
import time
import typing as t

import pytest
import yaml

from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.ansible import Task, task
from ansible_collections.fleet.containerd.tests.support.archives import docker_members, tar
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry, Handler, fake_registry
from ansible_collections.fleet.containerd.tests.support.guides import blocks_of
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, busybox_image, tar_of
from ansible_collections.fleet.containerd.tests.support.site import EmbeddedSite, Site
from ansible_collections.fleet.containerd.tests.support.stories.image_load import checksum

DIRECTORY = pathlib.Path("/run/fleet-containerd-progress")
#: The machine's own Python, for containers whose image has none.
PYTHON = ["/usr:/usr:ro", "/lib:/lib:ro", "/lib64:/lib64:ro"]
LINE = r"{}: \d+\.\d [KM]iB of \d\.\d MiB \(\d+ %\), (nothing comes|\d+\.\d [KM]iB/s, \d+ (s|min) left)"


def held(server: FakeRegistry, path: str, data: bytes, go: pathlib.Path) -> None:
    """The second half of the data comes when the file go is there."""

    def slow(at: Handler) -> None:
        at.send_response(200)
        at.send_header("Content-Length", str(len(data)))
        at.end_headers()
        at.wfile.write(data[: len(data) // 2])
        at.wfile.flush()
        end = time.monotonic() + 40
        while not go.exists() and time.monotonic() < end:
            time.sleep(0.05)
        at.wfile.write(data[len(data) // 2 :])

    server.faults.append((path, slow))


def publish(server: FakeRegistry, layout: Layout, name: str, go: pathlib.Path) -> None:
    """A small image, of whose layer the second half comes when the file go is there."""
    top = busybox_image(layout, Labels={"name": name})
    server.push(layout.path, top, name, "2.1")
    layer = json.loads(layout.read(top))["layers"][0]
    held(server, f"/{name}/blobs/{layer['digest']}", layout.read(layer), go)


def watched(tasks: t.Sequence[Task], go: pathlib.Path, until: str, **how: t.Any) -> t.Tuple[t.List[str], t.Dict[str, t.Any]]:
    """Run tasks; when a line has come as wanted, the rest of the data may come. The lines on the terminal, and the last result."""
    output = []
    with ansible.started(tasks, **how) as (process, results):
        assert process.stdout
        for line in process.stdout:
            output.append(line)
            if re.search(until, line):
                go.touch()
        assert process.wait() == 0, "".join(output)
        result = dict(json.loads(results.read_text().splitlines()[-1])["result"])
    text = "".join(output)
    assert "\x1b" not in text
    return re.findall(r"^\[localhost\] (.*)$", text, re.MULTILINE), result


def files_about(registry: str) -> t.List[pathlib.Path]:
    """The files that tell of a registry's images. Tasks of other tests have theirs in the same directory."""
    found = []
    for path in DIRECTORY.glob("*"):
        with contextlib.suppress(FileNotFoundError):
            found += [path] if registry in path.read_text() else []
    return found


def test_a_pull(site: Site, layout: Layout, tmp_path: pathlib.Path) -> None:
    with fake_registry() as server:
        go = tmp_path / "go"
        for name in ("team/app", "team/other"):
            publish(server, layout, name, go)
        names = [f"{server.address}/team/{name}:2.1" for name in ("app", "other")]
        quick = task("containerd_image", name=names, progress_after=0.7)
        both, one = LINE.format(f"{names[0]} and 1 more"), LINE.format(names[0])
        lines, result = watched([quick], go, both, defaults=site.defaults)
        assert [image["changed"] for image in result["images"]] == [True, True]
        assert any(re.fullmatch(both, line) for line in lines), lines
        assert len(lines) < 6
        # Nothing to do, and what ends before.
        (shown, _result) = watched([{**quick, "no_log": True}, quick], go, one, defaults=site.defaults)
        assert shown == []
    assert not files_about(server.address)


@pytest.mark.parametrize("backend", ["embedded", "containerd-1.7"], indirect=True)
def test_the_pull_of_a_container(site: Site, layout: Layout, tmp_path: pathlib.Path) -> None:
    with fake_registry() as server:
        go = tmp_path / "go"
        publish(server, layout, "team/app", go)
        name = f"{server.address}/team/app:2.1"
        made = task("containerd_container", name="web", image=name, state="present", network_mode="none", progress_after=0.7)
        lines, result = watched([made, made], go, LINE.format(name), defaults=site.defaults)
        assert any(re.fullmatch(LINE.format(name), line) for line in lines), lines
        # Nothing to do.
        assert not result["changed"]
    assert not files_about(server.address)


def fake_ssh(directory: pathlib.Path) -> t.Dict[str, t.Any]:
    """Variables for Ansible's own connection ssh, with a program that runs here what it would run there, and a sudo that asks."""
    ssh, sudo = directory / "ssh", directory / "sudo"
    # Its last argument is the command.
    ssh.write_text(f'#!/bin/sh\necho "$*" >>{directory}/ssh.log\nfor last; do :; done\nexec sh -c "$last"\n')  # starts: sh
    sudo.write_text(
        # starts: sh
        '#!/bin/sh\nwhile [ "$1" != -u ]; do [ "$1" = -p ] && prompt=$2; shift; done\nshift 2\n'
        'printf %s "$prompt" >&2\nread -r word\n[ "$word" = s3cret ] || exit 1\nexec "$@"\n'
    )
    for path in (ssh, sudo):
        path.chmod(0o755)
    return {
        "ansible_connection": "ssh",
        "ansible_ssh_executable": str(ssh),
        "ansible_ssh_transfer_method": "piped",
        "ansible_pipelining": True,
        "ansible_become": True,
        "ansible_become_exe": str(sudo),
        "ansible_become_password": "s3cret",
        "ansible_user": "somebody",
    }


def test_a_pull_over_ssh_with_a_password(embedded_site: EmbeddedSite, layout: Layout, tmp_path: pathlib.Path) -> None:
    with fake_registry() as server:
        go = tmp_path / "go"
        publish(server, layout, "team/app", go)
        name = f"{server.address}/team/app:2.1"
        pull = {**task("containerd_image", name=name, progress_after=1.0), "vars": fake_ssh(tmp_path)}
        lines, result = watched([pull], go, LINE.format(name), defaults=embedded_site.defaults)
    assert result["changed"]
    assert any(re.fullmatch(LINE.format(name), line) for line in lines), lines
    log = (tmp_path / "ssh.log").read_text()
    assert "s3cret" not in log
    assert "-exec cat" in log


@pytest.mark.parametrize("prefix", ["", "env"], ids=["here", "by a command"])
def test_a_load_in_a_container(
    embedded_site: EmbeddedSite, busybox: str, layout: Layout, tmp_path: pathlib.Path, prefix: str
) -> None:
    """The collection's own connection. The archive comes from the network, which needs nothing but Python."""
    go, archive = tmp_path / "go", tmp_path / "app.tar"
    archive.write_bytes(tar(docker_members([tar_of([Entry("noise", os.urandom(2_000_000))])], "app:1")))
    how = {"command": ["sleep", "1000"], "stop_signal": "KILL", "volumes": PYTHON, "network_mode": "host"}
    inside = {f"ansible_containerd_{name}": value for name, value in embedded_site.defaults.items()}
    inside.update(
        ansible_connection="fleet.containerd.containerd",
        ansible_containerd_container="box",
        ansible_containerd_command_prefix=prefix,
        ansible_containerd_privileged=True,
        python_inside="/usr/bin/python3",
    )
    there = {"engine": "embedded", "data_root": "/tmp/data", "state_root": "/tmp/state", "snapshotter": "native"}
    with fake_registry() as server:
        held(server, "/app.tar", archive.read_bytes(), go)
        url = f"http://{server.address}/app.tar"
        load = task("containerd_image_load", path=url, checksum=checksum(archive), progress_after=1.0, **there)
        embedded_site.play(task("containerd_container", name="box", image=busybox, **how))
        variables = {"ansible_python_interpreter": f"{{{{ python_inside | default('{sys.executable}') }}}}"}
        lines, result = watched(
            [{**load, "vars": inside}], go, LINE.format(re.escape(url)), defaults=embedded_site.defaults, variables=variables
        )
    assert result["image_names"] == ["app:1"]
    assert any(re.fullmatch(LINE.format(re.escape(url)), line) for line in lines), lines


def test_an_archive_on_its_way_from_the_controller(embedded_site: EmbeddedSite, layout: Layout, tmp_path: pathlib.Path) -> None:
    """Over a connection that takes its time in the middle of the file."""
    layout.tag(busybox_image(layout, [tar_of([Entry("noise", os.urandom(3_000_000))])]), "app:1")
    variables, go = fake_ssh(tmp_path), tmp_path / "go"
    slow = tmp_path / "dd"
    # The part of the archive that comes has the layers: the documents came before, and are small.
    slow.write_text(
        # starts: head, wc, sleep, cat
        f'#!/bin/sh\nfor one; do case $one in of=*) out=${{one#of=}};; esac; done\nhead -c 1000000 >"$out"\n'
        f'n=0; while [ -s "$out" ] && [ $(wc -c <"$out") = 1000000 ] && [ ! -e {go} ] && [ $n -lt 400 ]; do sleep 0.1; n=$((n+1)); done\n'
        'exec cat >>"$out"\n'
    )
    slow.chmod(0o755)
    load = task("containerd_image_load", path=str(layout.path), source="controller", progress_after=0.5)
    there = {**variables, "ansible_ssh_executable": variables["ansible_ssh_executable"]}
    (tmp_path / "ssh").write_text((tmp_path / "ssh").read_text().replace("exec sh", f"PATH={tmp_path}:$PATH exec sh"))
    wanted = re.escape(f"{layout.path}: 976.6 KiB of ") + r"\d\.\d MiB \(\d\d %\) are sent"
    lines, result = watched([{**load, "vars": there}], go, wanted, defaults=embedded_site.defaults)
    assert result["changed"]
    assert any(re.fullmatch(wanted, line) for line in lines)


# In the background


def test_the_guide_and_the_examples(embedded_site: EmbeddedSite, layout: Layout, tmp_path: pathlib.Path) -> None:
    with fake_registry() as server:
        go = tmp_path / "go"
        publish(server, layout, "team/app", go)
        publish(server, layout, "team/worker", go)
        replace = {"registry.example.com": server.address, "/run/pull.json": str(tmp_path / "pull.json")}
        foreground, background = (yaml.safe_load(block)[0]["tasks"] for block in blocks_of("guide_preload", replace))
        assert background == examples_of("containerd_image_wait", replace)
        pull, wait = background
        wait["fleet.containerd.containerd_image_wait"]["delay"] = 0.3
        line = LINE.format(f"{server.address}/team/app:2.1 and 1 more")
        lines, last = watched([pull, wait], go, line, defaults=embedded_site.defaults)
        assert any(re.fullmatch(line, one) for one in lines), lines
        assert len(lines) == len(set(lines))
        assert [one["changed"] for one in last["images"]] == [True, True]
        assert last["changed"]
        assert not (tmp_path / "pull.json").exists()
        assert not embedded_site.play(*foreground).changed


def test_a_pull_that_fails_and_one_that_takes_too_long(
    embedded_site: EmbeddedSite, layout: Layout, tmp_path: pathlib.Path
) -> None:
    with fake_registry() as server:
        go = tmp_path / "go"
        publish(server, layout, "team/app", go)
        replace = {"registry.example.com": server.address, "/run/pull.json": str(tmp_path / "pull.json")}
        pull, wait = examples_of("containerd_image_wait", replace)
        options = pull["fleet.containerd.containerd_image"]
        options.update(retries=0, name=options["name"][:1])
        late = {
            **wait,
            "ignore_errors": True,
            "fleet.containerd.containerd_image_wait": {**wait["fleet.containerd.containerd_image_wait"], "timeout": 0.1},
        }
        release = {"ansible.builtin.command": f"touch {go}"}
        _begun, impatient, _released, done = embedded_site.play(pull, late, release, wait).results
        options["name"] = f"{server.address}/team/none:1"
        wrong = embedded_site.play(pull, {**wait, "ignore_errors": True}).last
    assert impatient.msg.startswith("timeout: the pull has not ended within 0.1 s: ")
    assert done.changed
    assert wrong.failed
    assert f"{server.address}/team/none:1 is not in the registry" in wrong.msg
