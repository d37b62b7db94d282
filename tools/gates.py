# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quality gates: everything but the tests. Usage: python tools/gates.py check|slow|all

Two run at a time. Each is a command that must end with status 0; what it printed is shown when it does not. What it prints
after "note: " is shown in its line in any case: that is where a gate says what it could not look at on this machine.
"""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time
import typing as t

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(sys.executable).parent
COLLECTIONS = ROOT / ".build" / "link"


class Gate(t.NamedTuple):
    """A command of the virtual environment. fast: also part of make check; silent: any output is a failure."""

    name: str
    command: t.Sequence[str]
    fast: bool = False
    directory: pathlib.Path = ROOT
    silent: bool = False


PLUGINS = "ansible_collections.fleet.containerd.plugins"
#: What runs on targets, and on the controller.
TYPED = ("module_utils", "action", "connection", "inventory", "plugin_utils")
MYPY = ["mypy", "--config-file", str(ROOT / ".mypy.ini"), "--cache-dir", str(ROOT / ".mypy_cache")]
DOCS = ["antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=all", "."]
GATES = [
    Gate("ansible-test sanity", ["python", "tools/sanity.py"]),
    Gate("ansible-lint, production profile", ["ansible-lint", "--offline", "-q"]),
    Gate("types (mypy --strict)", [*MYPY, *(word for part in TYPED for word in ("-p", f"{PLUGINS}.{part}"))], True, COLLECTIONS),
    Gate("lint (ruff)", ["ruff", "check", "--quiet", "."], True),
    Gate("format (ruff)", ["ruff", "format", "--check", "--quiet", "."], True),
    Gate("generated argument specs", ["python", "tools/specs.py", "--check"], True),
    Gate("generated API table", ["python", "tools/descriptors.py", "--check"], True),
    Gate("generated table of options", ["python", "tools/options.py", "--check"], True),
    Gate("generated part of README.md", ["python", "tools/readme.py", "--check"], True),
    Gate("programs that are started", ["python", "tools/programs.py"], True),
    Gate("Python 3.9 on targets", ["python", "tools/python39.py"], True),
    Gate("documentation (antsibull-docs)", DOCS, silent=True),
    Gate("changelog fragments", ["antsibull-changelog", "lint"]),
    Gate("YAML", ["yamllint", "--strict", "."]),
    Gate("licences (reuse)", ["reuse", "lint", "--lines"]),
    Gate("build, install from the archive, and run the demo from there", ["python", "tools/galaxy.py"]),
]


def environment() -> t.Dict[str, str]:
    found = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    found.update(
        PATH=f"{BIN}:{os.environ['PATH']}",
        ANSIBLE_COLLECTIONS_PATH=str(COLLECTIONS),
        ANSIBLE_HOME=str(ROOT / ".build" / "ansible"),
        MYPYPATH=".",
        LC_ALL="C.UTF-8",
        GIT_CONFIG_COUNT="1",  # in CI the checkout often belongs to another user
        GIT_CONFIG_KEY_0="safe.directory",
        GIT_CONFIG_VALUE_0="*",
    )
    return found


def run(gate: Gate) -> t.Tuple[bool, float, str]:
    """Returns whether the gate passed, its seconds, and its output."""
    begin = time.monotonic()
    command = [str(BIN / gate.command[0]), *gate.command[1:]]
    # starts: (of .venv)
    done = subprocess.run(
        command, cwd=gate.directory, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    passed = done.returncode == 0 and not (gate.silent and done.stdout.strip())
    return passed, time.monotonic() - begin, done.stdout


def verdict(name: str, passed: bool, seconds: float, output: str) -> str:
    """The line of a gate, with the notes of its output."""
    notes = "".join(f"; {line[6:]}" for line in output.splitlines() if line.startswith("note: "))
    return f"{'ok    ' if passed else 'FAILED'} {name} ({seconds:.0f} s){notes}"


def main() -> int:
    if sys.argv[1:] not in (["check"], ["slow"], ["all"]):
        sys.exit(__doc__)
    gates = [gate for gate in GATES if sys.argv[1] in ("all", "check" if gate.fast else "slow")]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        futures = {pool.submit(run, gate): gate for gate in gates}
        for future in concurrent.futures.as_completed(futures):
            passed, seconds, output = future.result()
            print(verdict(futures[future].name, passed, seconds, output), flush=True)
            if not passed:
                failed += 1
                print(output, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
