# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Docker's options that are not here, in real plays: a sentence tells what to do instead; values that say what is so anyway do no harm."""

from __future__ import annotations

import pathlib
import typing as t

from ansible_collections.fleet.containerd.plugins.plugin_utils.from_docker.convert import spec_of
from ansible_collections.fleet.containerd.plugins.plugin_utils.from_docker.differences import refused, rules_of
from ansible_collections.fleet.containerd.tests.support.ansible import play, task

#: module, options, the beginning of the message.
REFUSED: t.List[t.Tuple[str, t.Dict[str, t.Any], str]] = [
    (
        "containerd_container",
        {"links": ["db:database"]},
        "links: ['db:database'] is not possible here: put both containers into a network",
    ),
    ("containerd_container", {"volume_driver": "rexray"}, "volume_driver: 'rexray' is not possible here: there are no plugins"),
    (
        "containerd_container",
        {"container_default_behavior": "compatibility"},
        "container_default_behavior: 'compatibility' is not",
    ),
    (
        "containerd_container",
        {"networks_cli_compatible": False},
        "networks_cli_compatible: False is not possible here: name the network",
    ),
    (
        "containerd_container",
        {"command_handling": "compatibility"},
        "command_handling: 'compatibility' is not possible here: write",
    ),
    (
        "containerd_container",
        {"docker_host": "tcp://192.0.2.7:2376"},
        "docker_host: 'tcp://192.0.2.7:2376' is not possible here: there",
    ),
    ("containerd_container", {"tls": True}, "tls: True is not possible here: there is no Docker daemon"),
    (
        "containerd_container",
        {"timeout": 120},
        "timeout: 120 is not possible here: no daemon is asked; pulls have progress_timeout",
    ),
    ("containerd_container", {"api_version": "1.44"}, "api_version: '1.44' is not possible here: there is no Docker daemon"),
    ("containerd_container", {"links": ["a"], "tls_verify": True}, "links: ['a'] is not possible here: put both"),
    (
        "containerd_image",
        {"source": "build"},
        "source: 'build' is not possible here: pull is containerd_image, load is containerd_image_load",
    ),
    ("containerd_image", {"push": True}, "push: True is not possible here: use containerd_image_push"),
    ("containerd_image", {"load_path": "/a.tar"}, "load_path: '/a.tar' is not possible here: use containerd_image_load"),
    ("containerd_image", {"archive_path": "/a.tar"}, "archive_path: '/a.tar' is not possible here: use containerd_image_export"),
    ("containerd_image", {"repository": "b"}, "repository: 'b' is not possible here: use containerd_image_tag"),
    ("containerd_image", {"build": {"path": "/a"}}, "build: {'path': '/a'} is not possible here: images are not built here"),
    ("containerd_image", {"pull": {"platform": "arm64"}}, "pull: {'platform': 'arm64'} is not possible here: give platform"),
    ("containerd_image", {"force_absent": True}, "force_absent: True is not possible here: it is force here"),
    ("containerd_image", {"prune": False}, "prune: False is not possible here: blobs and layers that nothing needs"),
    ("containerd_network", {"scope": "swarm"}, "scope: 'swarm' is not possible here: a network is one of its host"),
]
#: Options that say what is so here anyway.
HARMLESS: t.Dict[str, t.Any] = {
    "command_handling": "correct",
    "container_default_behavior": "no_defaults",
    "docker_host": "unix:///var/run/docker.sock",
    "links": [],
    "networks_cli_compatible": True,
    "purge_networks": False,
    "timeout": None,
}


def test_in_a_play(tmp_path: pathlib.Path) -> None:
    roots = {"engine": "embedded", "data_root": str(tmp_path / "data"), "state_root": str(tmp_path / "state")}
    tasks: t.List[t.Dict[str, t.Any]] = [
        {**task(module, name="x", **options), "ignore_errors": True} for module, options, _message in REFUSED
    ]
    tasks.append(task("containerd_container", name="x", state="absent", **HARMLESS))
    # As defaults of the group, and what a template gives.
    late = task("containerd_container", name="x", state="absent", links="{{ ['a'] if docker else omit }}")
    tasks += [{**late, "vars": {"docker": docker}, "ignore_errors": docker} for docker in (False, True)]
    *refusals, harmless, omitted, given = play(tasks, defaults=roots, check=True).results
    for (module, _options, message), result in zip(REFUSED, refusals):
        assert (result.failed, result.get("error"), result.msg[: len(message)]) == (True, "InvalidArgument", message), module
    assert "; tls_verify: True is not possible here: there is no Docker daemon" in refusals[9].msg
    assert (harmless.status, omitted.status, harmless.changed) == ("ok", "ok", False)
    assert given.msg.startswith("links: ['a'] is not possible here")
    assert not (tmp_path / "data").exists()


def test_every_option_of_the_tables_is_refused_unless_it_is_here() -> None:
    for module in ("containerd_container", "containerd_image", "containerd_network"):
        known = spec_of(module) or {}
        for option, rule in rules_of(module).items():
            found = refused(module, {option: "a value"}, known)
            assert bool(found.get(option)) == (option not in known), (module, option)
            assert rule.instead or rule.to, "or else nobody knows what to do"


def test_an_option_of_ours_is_never_refused() -> None:
    for module in ("containerd_container", "containerd_image", "containerd_network"):
        known = spec_of(module) or {}
        assert refused(module, dict.fromkeys(known, "a value"), known) == {}
