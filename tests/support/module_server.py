# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules (and Ansible's own command), each run in a process that is forked from this one, which has imported everything.

Started as a script. A line of JSON on standard input is a run: kind (the module), arguments (JSON, as Ansible sends them), output (a
file), uid, stop (whether the process waits for a SIGCONT first). The answer is a line with its process id, and when it has ended one
with its exit status and the KiB of memory that it had at most. Or it asks for another server: see move().
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import os
import pathlib
import pkgutil
import signal
import sys
import typing as t

#: In the environment: the seconds that what was started is looked at, for who must not miss its end.
_GRACE = "GRACE_SECONDS"
_COLLECTION = "ansible_collections.fleet.containerd.plugins"
#: What the modules import besides each other.
_IMPORTS = (
    "ansible.module_utils.basic",
    "ansible.module_utils._internal._json._profiles._module_legacy_c2m",
    "ansible.module_utils._internal._json._profiles._module_legacy_m2c",
    "concurrent.futures.thread",
    "requests",
    "sqlite3",
    "tomlkit",
)


def load() -> t.Dict[str, t.Any]:
    """Import everything; the modules by name."""
    for name in _IMPORTS:
        importlib.import_module(name)
    modules = importlib.import_module(f"{_COLLECTION}.modules")
    every = {
        one.name: importlib.import_module(f"{modules.__name__}.{one.name}") for one in pkgutil.iter_modules(modules.__path__)
    }
    every["command"] = importlib.import_module("ansible.modules.command")
    rooms = importlib.import_module(f"{_COLLECTION}.module_utils")
    top = pathlib.Path(next(iter(rooms.__path__)))
    for path in top.rglob("*/*.py"):
        importlib.import_module(".".join((rooms.__name__, *path.relative_to(top).with_suffix("").parts)))
    importlib.import_module("ansible_collections.fleet.containerd.tests.support.payloads").build_once()
    sys.modules[f"{rooms.__name__}.resources.container.starting"].boot_sources()
    if _GRACE in os.environ:
        rooms_of_jobs: t.Any = sys.modules[f"{rooms.__name__}.resources.container.jobs"]
        rooms_of_jobs._GRACE_SECONDS = float(os.environ[_GRACE])
    return every


def run(module: t.Any, arguments: str, output: str, uid: int, stop: bool) -> None:
    """In the process of a run."""
    basic: t.Any = sys.modules["ansible.module_utils.basic"]
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.setuid(uid)
    if stop:
        os.kill(os.getpid(), signal.SIGSTOP)
    basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = arguments.encode(), "legacy"
    module.main()


def end(status: int) -> None:
    """As Python ends, without taking the server's modules apart one by one: they would be copied for that, in 50 ms."""
    threading: t.Any = sys.modules["threading"]
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def move(host: int, umask: int, requests: str, answers: str) -> None:
    """Be a server of one's own from now on, which reads and writes named pipes, in the network and the mounts of a process."""
    os.umask(umask)
    namespaces = [os.open(f"/proc/{host}/ns/{kind}", os.O_RDONLY) for kind in ("net", "mnt")]
    os.dup2(os.open(requests, os.O_RDONLY), 0)
    os.dup2(os.open(answers, os.O_WRONLY), 1)
    for namespace in namespaces:
        if ctypes.CDLL(None, use_errno=True).setns(namespace, 0):
            raise OSError(ctypes.get_errno(), f"entering the namespaces of process {host}")
        os.close(namespace)
    print(os.getpid(), flush=True)


def main() -> None:
    every = load()
    gc.freeze()
    for word in sys.argv[1:]:
        # Somebody waits until everything is imported.
        print(word, flush=True)
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        if "host" in request:
            if not os.fork():
                move(**request)
            continue
        module = every[request.pop("kind")]
        pid = os.fork()
        if not pid:
            # From here on as in a program of its own: what ends it leads out of the loop.
            try:
                run(module, **request)
            except SystemExit as ended:
                if isinstance(ended.code, int):
                    end(ended.code)
                raise
            sys.exit(1)
        print(pid, flush=True)
        _pid, status, usage = os.wait4(pid, 0)
        print(os.waitstatus_to_exitcode(status), usage.ru_maxrss, flush=True)


if __name__ == "__main__":
    main()
