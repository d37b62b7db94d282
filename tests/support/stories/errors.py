# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What modules say of things that are not there, and what they keep to themselves."""

from __future__ import annotations

import pathlib
import typing as t

from ansible_collections.fleet.containerd.tests.support.ansible import Play, Task, task
from ansible_collections.fleet.containerd.tests.support.stories.sites import AnySite
from ansible_collections.fleet.containerd.tests.support.wrong_values import IMAGE


def failing(module: str, **options: t.Any) -> Task:
    return {**task(f"containerd_{module}", **options), "ignore_errors": True}


def assert_clear(played: Play) -> None:
    assert "MODULE FAILURE" not in played.output
    assert "Traceback" not in played.output


def no_secret_is_in_a_message(site: AnySite) -> None:
    played = site.play(
        failing("image", name=IMAGE, password="very-secret"),
        failing("image", name=IMAGE, token="very-secret", username="a", password="b"),
    )
    assert all(result.failed for result in played.results)
    assert "very-secret" not in played.output


def a_registry_is_not_there(site: AnySite, registry: str) -> None:
    """registry: the address of one that is there, and has no image no/such:1."""
    played = site.play(
        failing("image", name="127.0.0.1:1/app:1", retries=0),
        failing("image", name=f"{registry}/no/such:1", retries=0),
        failing("container", name="app", image=f"{registry}/no/such:1", command=["true"]),
        failing("container", name="app", command=["true"]),
    )
    assert_clear(played)
    refused, unknown, container, nameless = played.results
    assert "127.0.0.1:1" in refused.msg
    for result in (unknown, container):
        assert result.failed
        assert f"{registry}/no/such:1" in result.msg
    assert nameless.msg == "image: needed to create the container app"


def commands_cannot_run(site: AnySite, image: str, scratch: pathlib.Path) -> None:
    """image: it has no command, and a file /bin/plain that is no program."""
    played = site.play(
        failing("container", name="missing", image=image, command=["/bin/nothing"]),
        failing("container", name="plain", image=image, command=["/bin/plain"]),
        failing("container", name="empty", image=image),
        failing("container", name="dir", image=image, command=["true"], working_dir="/bin/sh"),
        failing("container", name="user", image=image, command=["true"], user="nobody-here"),
        failing("container", name="group", image=image, command=["true"], user="0:no-group"),
        failing("container", name="volume", image=image, command=["true"], volumes=[f"{scratch}/nothing:/v"]),
    )
    assert_clear(played)
    assert [result.msg for result in played.results] == [
        "the command /bin/nothing is not in the image",
        "the command /bin/plain may not be executed",
        f"command: the image {image} has neither a command nor an entry point: give one",
        "working_dir: /bin/sh is not a directory in the image",
        "user: the image has no user 'nobody-here' in its /etc/passwd",
        "user: the image has no group 'no-group' in its /etc/group",
        f"volumes: the source {scratch}/nothing is not there on the target: create it first",
    ]
    with site.engine() as engine:
        assert engine.containers.list() == []
    assert all(info.kind == "committed" for info in site.snapshots())
