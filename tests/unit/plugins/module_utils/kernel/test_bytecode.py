# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compiled code that is kept on the target: by this Python and by 3.13, and when the file is damaged."""

from __future__ import annotations

import ast
import json
import pathlib
import random
import secrets
import subprocess
import sys
import typing as t
import zipfile

import ansible
import pytest

from ansible_collections.fleet.containerd.tools import python39
from ansible_collections.fleet.containerd.tools.python313 import interpreter

ROOT = pathlib.Path(__file__).resolve().parents[5]
_COLLECTION = "ansible_collections/fleet/containerd"
#: As the wrapper of ansible-core does it: the payload in front of the path, then the module's main(). Prints the module's result, and
#: how many modules came out of the cache.
_BEGIN = """
import atexit, contextlib, io, json, sys
archive, support, directory, options = sys.argv[1:]
sys.path[:0] = [archive, support]
name = "ansible_collections.fleet.containerd.plugins."
import importlib
bytecode = importlib.import_module(name + "module_utils.kernel.bytecode")
bytecode.DIRECTORY = directory
bytecode.cache = bytecode.Cache()
module = importlib.import_module(name + "modules.containerd_container_info")
from ansible.module_utils import basic
basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = json.dumps({"ANSIBLE_MODULE_ARGS": json.loads(options)}).encode(), "legacy"
"""
_RUN = """
out = io.StringIO()
with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
    module.main()
cached = [one for one in list(sys.modules.values()) if isinstance(getattr(one, "__loader__", None), bytecode.Cache)]
print(json.dumps([json.loads(out.getvalue()), len(cached)]))
"""
#: The whole of a task, with what it cleans up at its end, and what Python frees after that.
_END = """
class Object:
    def __del__(self):
        print("freed")
kept = Object()
log = basic.AnsibleModule.log
def begun(self, *words, **more):
    atexit.register(print, "cleaned up")
    log(self, *words, **more)
basic.AnsibleModule.log = begun
module.main()
"""


class Target:
    """A payload that no host has seen, and a directory for what is kept of it."""

    def __init__(self, base: pathlib.Path, python: str) -> None:
        self.python, self.base, self.kept = python, base, base / "cache"
        self.archive = base / "payload.zip"
        with zipfile.ZipFile(self.archive, "w", zipfile.ZIP_DEFLATED) as payload:
            for package in ("ansible_collections", "ansible_collections/fleet"):
                payload.writestr(f"{package}/__init__.py", "")
            payload.writestr(f"{_COLLECTION}/__init__.py", f"# {secrets.token_hex(8)}\n")
            for path in python39.files(ROOT):
                payload.write(path, f"{_COLLECTION}/{path.relative_to(ROOT)}")
            for room in {room for path in python39.files(ROOT) for room in list(path.relative_to(ROOT).parents)[:-1]}:
                payload.writestr(f"{_COLLECTION}/{room}/__init__.py", "")
        (base / "support").mkdir()
        (base / "support" / "ansible").symlink_to(next(iter(ansible.__path__)))
        self.options = {"engine": "embedded", "data_root": f"{base}/data", "state_root": f"{base}/state"}

    def run(self) -> t.Tuple[t.Dict[str, t.Any], int]:
        """A task that changes nothing: its result, and how many modules came out of the cache."""
        done = self.started(_RUN)
        assert not done.returncode, done.stderr
        result, cached = json.loads(done.stdout)
        assert (result.get("failed"), result["containers"]) == (None, [])
        return result, cached

    def started(self, end: str, **more: str) -> subprocess.CompletedProcess[str]:
        """The same, with another end of its program."""
        arguments = [self.archive, self.base / "support", self.kept, json.dumps({**self.options, **more})]
        command = [self.python, "-I", "-S", "-B", "-c", _BEGIN + end, *map(str, arguments)]
        # starts: (a Python 3.13 that tools/python313.py fetched, or our own)
        return subprocess.run(command, capture_output=True, text=True, check=False)

    @property
    def file(self) -> pathlib.Path:
        (path,) = self.kept.iterdir()
        return path


@pytest.fixture(scope="module", params=["this Python", "3.13"])
def target(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Target:
    python = sys.executable if request.param == "this Python" else str(interpreter())
    return Target(tmp_path_factory.mktemp("target"), python)


def test_the_second_task_compiles_nothing(target: Target) -> None:
    assert target.run()[1] == 0
    written = target.file.read_bytes()
    assert target.file.stat().st_mode & 0o777 == 0o600
    assert target.run()[1] > 20
    assert target.file.read_bytes() == written


def test_a_task_ends_when_all_is_told_and_cleaned_up(target: Target) -> None:
    """Python would free all objects then, in a tenth of a task's time."""
    for options, status in (({}, 0), ({"namespace": "/"}, 1)):
        done = target.started(_END, **options)
        told, *rest = done.stdout.strip().splitlines()
        assert (done.returncode, bool(json.loads(told).get("failed")), done.stderr) == (status, bool(status), "")
        assert rest == ["cleaned up"] * len(rest)
        assert rest


def test_damage_is_noticed_and_mended(target: Target) -> None:
    """A file that a power cut has emptied, and one with a flipped bit."""
    target.run()
    whole = target.file.read_bytes()
    for damaged in (b"", _flipped(whole, len(whole) // 2)):
        target.file.write_bytes(damaged)
        assert target.run()[1] == 0
        assert target.file.read_bytes() == whole
    assert target.run()[1] > 20


def test_every_flipped_bit_is_noticed(target: Target) -> None:
    """In one process, for many of them."""
    target.run()
    whole = target.file.read_bytes()
    places = random.Random(2).sample(range(len(whole)), 60)
    script = """
import sys
sys.path.insert(0, sys.argv[1])
import ansible_collections.fleet.containerd.plugins.module_utils.kernel.bytecode as bytecode
bytecode.DIRECTORY, path, whole = sys.argv[2], sys.argv[3], open(sys.argv[3], "rb").read()
print(len(bytecode.Cache()._code))
for place in map(int, sys.argv[4:]):
    with open(path, "wb") as stream:
        stream.write(whole[:place] + bytes((whole[place] ^ 1 << place % 8,)) + whole[place + 1:])
    print(len(bytecode.Cache()._code))
"""
    command = [target.python, "-ISBc", script, target.archive, target.kept, target.file, *places]
    # starts: (the same)
    accepted = list(map(int, subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout.split()))
    assert accepted[0] > 20
    assert accepted[1:] == [0] * len(places)


def _flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes((data[place] ^ 1 << place % 8,)) + data[place + 1 :]


def test_each_module_loads_the_cache_before_all_else_of_ours() -> None:
    """What comes before it is compiled by each task. containerd_library has all others from it; containerd_reset removes the cache."""
    firsts = {}
    others = {ROOT / "plugins" / "modules" / f"containerd_{name}.py" for name in ("library", "reset")}
    for path in sorted({*(ROOT / "plugins" / "modules").glob("*.py")} - others):
        ours = [one.module for one in ast.parse(path.read_text()).body if isinstance(one, ast.ImportFrom) and one.level]
        if ours:
            firsts[path.name] = ours[0]
    assert len(firsts) > 10
    assert set(firsts.values()) == {"module_utils.kernel.bytecode"}


def test_python_3_13_imports_everything() -> None:
    assert python39.imported(str(interpreter()), ROOT) == ""
