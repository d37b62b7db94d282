# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-playbook, run by run in a process of its own that is forked from this one, which has Ansible imported already.

Started as a script by support/ansible.py. A line of JSON on standard input is a run: arguments, cwd, environment, output (a file),
packed, host (0, or a process in whose network and mounts it runs). The answer is a line with its process id, and when it has ended one
with its exit status. The runs share the directory for temporary files, so that Ansible packs a module once and not for each of them.

Four fifths of what a task of ours costs is a Python that starts, and compiles what came in the zip file. Unless a run is packed, our
modules run in processes forked from a module_server instead: all else, from the template to the result, is Ansible's own.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import importlib
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import traceback
import typing as t

#: What a run with a task imports, and the kinds of plugins whose documentation it reads for their options; it would do so anyway.
_IMPORTS = (
    "ansible.cli.playbook",
    "ansible.executor.module_common",
    "ansible.executor.playbook_executor",
    "ansible.executor.task_executor",
    "ansible.module_utils._internal._json._profiles._module_legacy_c2m",
    "ansible.module_utils._internal._json._profiles._module_legacy_m2c",
    "ansible.plugins.action.normal",
    "ansible.plugins.callback.default",
    "ansible.plugins.connection.local",
    "ansible.plugins.shell.sh",
    "ansible.plugins.strategy.linear",
)
_KINDS = ("connection", "shell", "become", "inventory", "callback", "vars")


_OURS = "fleet.containerd."
_LIBRARY = _OURS + "containerd_library"
#: Tasks, and modules, that run so.
_TASKS = (_OURS, "ansible.builtin.shell", "ansible.builtin.command")
_MODULES = (_OURS, "ansible.legacy.command")


class Modules:
    """A module_server, and a lock for tasks that run at the same time."""

    def __init__(self) -> None:
        here = pathlib.Path(__file__).resolve().parent
        environment = {**os.environ, "PYTHONPATH": str(here.parent.parent / ".build" / "link")}
        command = [sys.executable, "-P", str(here / "module_server.py")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environment)
        self._lock = tempfile.NamedTemporaryFile()

    def run(self, name: str, arguments: str) -> t.Dict[str, t.Any]:
        """What Ansible wants to know of a command that has ended."""
        requests, answers = t.cast(t.Any, self._process.stdin), t.cast(t.Any, self._process.stdout)
        with tempfile.NamedTemporaryFile(mode="r", errors="replace") as output, open(self._lock.name) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            request = {"kind": name.rpartition(".")[2], "arguments": arguments, "output": output.name, "uid": 0, "stop": False}
            requests.write(json.dumps(request).encode() + b"\n")
            answers.readline()
            status = int(answers.readline().split()[0])
            text = output.read()
        return {"rc": status, "stdout": text, "stdout_lines": text.splitlines(), "stderr": "", "stderr_lines": []}

    def take_over(self) -> None:
        """Let Ansible run our modules here: on this machine, as this user, in the foreground, in no other environment."""
        action: t.Any = sys.modules["ansible.plugins.action"]
        built: t.Any = vars(sys.modules["ansible.executor.module_common"])["_BuiltModule"]
        base, modules = action.ActionBase, self
        pipelining, configure, execute = base._is_pipelining_enabled, base._configure_module, base._low_level_execute_command

        def ours(self: t.Any) -> bool:
            task = self._task
            here = self._connection.transport == "local" and not (self._play_context.become or task.async_val or task.timeout)
            return task.action.startswith(_TASKS) and here and not any(task.environment or ())

        def is_pipelining_enabled(self: t.Any, *arguments: t.Any, **named: t.Any) -> bool:
            return ours(self) or pipelining(self, *arguments, **named)

        def configure_module(self: t.Any, module_name: str, module_args: t.Any, task_vars: t.Any) -> t.Any:
            if not (ours(self) and module_name.startswith(_MODULES)):
                return configure(self, module_name=module_name, module_args=module_args, task_vars=task_vars)
            if module_name == _LIBRARY and module_args.get("module"):
                # It would run that module in the same process.
                given = dict(module_args)
                module_name = _OURS + given.pop("module")
                module_args = {**given.pop("arguments"), **{key: given[key] for key in given if key.startswith("_")}}
            encoder = action.get_module_encoder("legacy", action.Direction.CONTROLLER_TO_MODULE)
            data = json.dumps({"name": module_name, "arguments": json.dumps({"ANSIBLE_MODULE_ARGS": module_args}, cls=encoder)})
            module = built(
                b_module_data=_Request(data.encode()), module_style="new", shebang="#!", serialization_profile="legacy"
            )
            return module, module_name

        def low_level_execute_command(self: t.Any, cmd: str, in_data: t.Optional[bytes] = None, **named: t.Any) -> t.Any:
            if isinstance(in_data, _Request):
                return modules.run(**json.loads(in_data))
            return execute(self, cmd, in_data=in_data, **named)

        base._is_pipelining_enabled, base._configure_module = is_pipelining_enabled, configure_module
        base._low_level_execute_command = low_level_execute_command


def preload() -> None:
    """Everything that runs would read again and again, in half of a run's time, and find the same."""
    for name in _IMPORTS:
        importlib.import_module(name)
    for kind in _KINDS:
        list(vars(sys.modules["ansible.plugins.loader"])[f"{kind}_loader"].all(class_only=True))
    # Looking a thousand times a second whether a task has ended takes a tenth of a processor.
    vars(sys.modules["ansible.constants"])["DEFAULT_INTERNAL_POLL_INTERVAL"] = 0.005
    finder: t.Any = sys.modules["ansible.utils.collection_loader._collection_finder"]
    parse = finder._meta_yml_to_dict
    builtin = pathlib.Path(sys.modules["ansible"].__path__[0], "config", "ansible_builtin_runtime.yml").read_bytes()
    found = parse(builtin, None)
    finder._meta_yml_to_dict = lambda data, name: found if data == builtin else parse(data, name)


class _Request(bytes):
    """What would be a module's code, and is a request for the module_server."""


def enter(host: int) -> None:
    """The network and the mounts of a process."""
    libc = ctypes.CDLL(None, use_errno=True)
    for kind in ("net", "mnt"):
        with open(f"/proc/{host}/ns/{kind}", "rb") as namespace:
            if libc.setns(namespace.fileno(), 0):
                raise OSError(ctypes.get_errno(), f"entering the namespaces of process {host}")


def run(
    arguments: t.List[str], cwd: str, environment: t.Dict[str, str], output: str, host: int, modules: t.Optional[Modules]
) -> int:
    """In the process of a run: its exit status."""
    os.setsid()
    fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if host:
        enter(host)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    random.seed()
    # It ends soon, and has memory enough: no search for garbage.
    gc.disable()
    if modules:
        modules.take_over()
    sys.argv = ["ansible-playbook", *arguments]
    try:
        sys.modules["ansible.cli.playbook"].main()
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:  # noqa: BLE001  # whatever it is, the test is to see it
        traceback.print_exc()
    return 1


def main() -> None:
    preload()
    modules = Modules()
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        packed = request.pop("packed")
        pid = os.fork()
        if not pid:
            status = 1
            try:
                status = run(**request, modules=None if packed else modules)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                # The temporary files are the server's: nothing of what Python does at its end.
                os._exit(status)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
