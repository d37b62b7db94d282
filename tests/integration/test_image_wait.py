# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_wait: what the terminal shows of a pull in the background, as the guide has it."""

from __future__ import annotations

import json
import pathlib
import re
import time

import pytest
import yaml

from ansible_collections.fleet.containerd.plugins.module_utils.image.progress import told
from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.examples import examples_of
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry, Handler, fake_registry
from ansible_collections.fleet.containerd.tests.support.guides import blocks_of
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image
from ansible_collections.fleet.containerd.tests.support.site import EmbeddedSite


def publish(server: FakeRegistry, layout: Layout, name: str, go: pathlib.Path) -> None:
    """A small image, of whose layer the second half comes when the file go is there."""
    top = busybox_image(layout, Labels={"name": name})
    manifest = json.loads(layout.read(top))
    for blob in (manifest["config"], *manifest["layers"]):
        server.contents[f"/v2/{name}/blobs/{blob['digest']}"] = (layout.read(blob), "application/octet-stream")
    for key in ("2.1", top["digest"]):
        server.contents[f"/v2/{name}/manifests/{key}"] = (layout.read(top), top["mediaType"])
    data = layout.read(manifest["layers"][0])

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

    server.faults.append((f"/{name}/blobs/{manifest['layers'][0]['digest']}", slow))


def test_the_guide_and_the_examples(embedded_site: EmbeddedSite, layout: Layout, tmp_path: pathlib.Path) -> None:
    with fake_registry() as server:
        go = tmp_path / "go"
        publish(server, layout, "team/app", go)
        publish(server, layout, "team/worker", go)
        replace = {"registry.example.com": server.address, "/run/pull.json": str(tmp_path / "pull.json")}
        (play,) = yaml.safe_load(blocks_of("guide_preload", replace)[0])
        assert play["tasks"] == examples_of("containerd_image_wait", replace)
        pull, wait = play["tasks"]
        wait["fleet.containerd.containerd_image_wait"]["delay"] = 0.3
        output = []
        with ansible.started((pull, wait), defaults=embedded_site.defaults) as (process, results):
            assert process.stdout
            for line in process.stdout:
                output.append(line)
                if "2 transferring" in line:
                    go.touch()
            assert process.wait() == 0, output
            last = json.loads(results.read_text().splitlines()[-1])["result"]
    lines = re.findall(r"^\[localhost\] (.*)$", "".join(output), re.MULTILINE)
    assert any(re.fullmatch(r"\d\.\d of \d\.\d MiB, 2 transferring", line) for line in lines), lines
    assert lines[-1].endswith("MiB, 2 done")
    assert len(lines) == len(set(lines))
    assert [one["changed"] for one in last["images"]] == [True, True]
    assert last["changed"]


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


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("{}", ""),
        ("[1]", ""),
        ('{"bytes": 1, "total": 2, "images": 3}', ""),
        ('{"bytes": 0, "total": 0, "images": [{"state": "waiting"}]}', "0.0 of ? MiB, 1 waiting"),
        (
            '{"bytes": 1572864, "total": 3145728, "images": [{"state": "done"}, {"state": "unpacking"}, {"state": "done"}]}',
            "1.5 of 3.0 MiB, 1 unpacking, 2 done",
        ),
    ],
)
def test_a_line(text: str, line: str) -> None:
    assert told(text) == line
