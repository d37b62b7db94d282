# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection plugin without a container: how a command line reaches the engine, and the conversation about passwords."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.playbook.play_context import PlayContext
from ansible.plugins.become import BecomeBase

from ansible_collections.fleet.containerd.plugins.connection import containerd


class Connection(containerd.Connection):
    """With options of the test instead of those that Ansible would find."""

    def __init__(self, **options: t.Any) -> None:
        super().__init__(PlayContext())
        self._given = options

    def get_option(self, option: str, hostvars: t.Any = None) -> t.Any:
        return self._given[option]


def test_variables_have_to_be_strings() -> None:
    with pytest.raises(AnsibleConnectionFailure, match="ansible_containerd_extra_env: 'A': 1 is not a string"):
        Connection(extra_env={"A": 1})._env()


class Become(BecomeBase):
    name, prompt = "test", "Password: "

    def __init__(self) -> None:
        super().__init__()
        self.success = "BECOME-SUCCESS-x"

    def build_become_command(self, cmd: str, shell: t.Any) -> str:
        return cmd

    def get_option(self, option: str, hostvars: t.Any = None, playcontext: t.Any = None) -> t.Any:
        return "s3cret"


class Talk:
    def __init__(self) -> None:
        self.said = b""

    def send(self, data: bytes) -> None:
        self.said += data

    def finish(self) -> None:
        self.said += b"<end>"


def test_a_command_gets_its_input_when_it_runs() -> None:
    talk, heard = Talk(), containerd._Heard(b"input", Become(), 10)
    heard.begin(talk)
    assert talk.said == b""
    for data in (b"Pass", b"word: "):
        heard.receive("stderr", data)
    assert talk.said == b"s3cret\n"
    heard.receive("stdout", b"BECOME-SUCCESS-x\n")
    assert talk.said == b"s3cret\ninput<end>"
    heard.receive("stdout", b"out")
    heard.late()
    assert heard.result() == (b"BECOME-SUCCESS-x\nout", b"")


def test_a_password_that_is_not_taken_and_one_that_nobody_asks_for() -> None:
    talk, heard = Talk(), containerd._Heard(b"input", Become(), 10)
    heard.begin(talk)
    with pytest.raises(AnsibleConnectionFailure, match="neither a prompt nor a beginning of the command within 10 s: hm"):
        heard.receive("stdout", b"hm\n")
        heard.late()
    heard.receive("stdout", b"Password: ")
    with pytest.raises(AnsibleConnectionFailure, match="the password is not taken: Sorry"):
        heard.receive("stdout", b"Sorry\nPassword: ")
    assert talk.said == b"s3cret\n"


def test_paths_begin_at_the_root() -> None:
    assert [containerd._path(one) for one in ("a", "/a//b/../c", "~/x")] == ["/a", "/a/c", "/~/x"]
