# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module says when nothing can be written, or the operating system refuses something that nobody reckoned with."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.fleet.containerd.tests.support.ansible import COLLECTIONS

_RUN = """
import json, sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = json.dumps({{"ANSIBLE_MODULE_ARGS": {options}}}).encode(), "legacy"
from ansible_collections.fleet.containerd.plugins.modules import containerd_image_info as module
{first}
module.main()
"""


def run(tmp_path: pathlib.Path, first: str = "", **how: t.Any) -> subprocess.CompletedProcess[str]:
    options = {"engine": "embedded", "data_root": str(tmp_path / "data"), "state_root": str(tmp_path / "state")}
    environment = {"PYTHONPATH": str(COLLECTIONS), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    code = _RUN.format(options=options, first=first)
    return subprocess.run([sys.executable, "-c", code], env=environment, text=True, check=False, stderr=subprocess.PIPE, **how)


def test_an_output_that_takes_nothing(tmp_path: pathlib.Path) -> None:
    with open("/dev/full", "wb") as full:
        done = run(tmp_path, stdout=full)
    assert done.returncode == 1
    assert done.stderr == "the result of the module cannot be written to its output: No space left on device\n"


def test_what_nobody_reckoned_with_is_one_clear_message(tmp_path: pathlib.Path) -> None:
    """No more open files, when the database is about to be opened."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "metadata.db").touch()
    refuse = """
from ansible_collections.fleet.containerd.plugins.module_utils.store.database import Database
def refuse(*_arguments): raise OSError(24, "Too many open files", "/some/path")
Database.query = refuse
"""
    done = run(tmp_path, refuse, stdout=subprocess.PIPE)
    result = json.loads(done.stdout)
    assert (done.returncode, result["failed"], result["error"]) == (1, True, "ResourceExhausted")
    assert result["msg"] == "working on /some/path: Too many open files"


_RESOURCE = """
import contextlib, json
from ansible.module_utils import basic
basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = json.dumps({"ANSIBLE_MODULE_ARGS": WORDS}).encode(), "legacy"
from ansible_collections.fleet.containerd.plugins.module_utils.kernel.bytecode import cache
from ansible_collections.fleet.containerd.plugins.module_utils.kernel.converge import Facts, Plan
from ansible_collections.fleet.containerd.plugins.module_utils.kernel.module import run
class Resource:
    def desired(self, params, engine): return params["word"]
    def observe(self, want, engine): return None
    def plan(self, want, have, engine):
        return Plan(facts=lambda end: Facts({"failed_before": 1, "word": want}, ["two"], "it ended with 1"))
    def lock(self, want, engine): return contextlib.nullcontext()
run(Resource(), {"argument_spec": {"word": {"type": "str", "variable": "THE_WORD"}}}, cache, secrets=SECRETS)
"""


def in_a_process(word: t.Optional[str], secrets: str = "None", **variables: str) -> t.Any:
    """The end of a module whose parameter word is this."""
    environment = {"PYTHONPATH": str(COLLECTIONS), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **variables}
    code = _RESOURCE.replace("WORDS", repr({"word": word} if word else {})).replace("SECRETS", secrets)
    # starts: (of .venv)
    return subprocess.run([sys.executable, "-c", code], env=environment, text=True, check=False, capture_output=True)


def test_a_failure_in_words_and_secrets_that_a_module_declares() -> None:
    done = in_a_process("hush", "lambda params: [params['word']]")
    result = json.loads(done.stdout)
    assert (done.returncode, result["failed"], result["msg"]) == (1, True, "it ended with 1")
    assert (result["changed"], result["actions"], result["failed_before"]) == (False, [], 1)
    assert "two" in str(result["warnings"])
    assert "hush" not in done.stdout


@pytest.mark.parametrize(
    "word", ["http://user:hush@proxy:3128", "https://:hush@proxy", "user:hush@proxy:3128", "HTTP://u:pre%3Ahush@[::1]:80/a?b"]
)
def test_a_password_in_a_url_is_shown_nowhere(word: str) -> None:
    done = in_a_process(word)
    assert json.loads(done.stdout)["msg"] == "it ended with 1"
    assert "hush" not in done.stdout


@pytest.mark.parametrize(
    "word", ["app:hush@sha256:" + "a" * 64, "registry:5000/hush@x", "echo http://user:hush@host", "http://host/a:hush@b"]
)
def test_what_is_no_url_with_a_password_is_shown(word: str) -> None:
    assert json.loads(in_a_process(word).stdout)["word"] == word


def test_a_variable_of_the_environment_gives_what_the_task_does_not() -> None:
    assert json.loads(in_a_process(None, THE_WORD="from there").stdout)["word"] == "from there"
    assert json.loads(in_a_process("from here", THE_WORD="from there").stdout)["word"] == "from here"
