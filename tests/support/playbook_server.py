# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ansible-playbook, run by run in a process of its own that is forked from this one, which has Ansible imported already.

Started as a script by support/ansible.py. A line of JSON on standard input is a run: arguments, cwd, environment, output (a file).
The answer is a line with its process id, and when it has ended one with its exit status. The runs share the directory for
temporary files, so that Ansible packs a module once and not for each of them.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import sys
import traceback
import typing as t

#: What a run with a task imports; it would import them anyway.
_IMPORTS = (
    "ansible.cli.playbook",
    "ansible.executor.module_common",
    "ansible.executor.playbook_executor",
    "ansible.executor.task_executor",
    "ansible.plugins.action.normal",
    "ansible.plugins.callback.default",
    "ansible.plugins.connection.local",
    "ansible.plugins.shell.sh",
    "ansible.plugins.strategy.linear",
)


def run(arguments: t.List[str], cwd: str, environment: t.Dict[str, str], output: str) -> int:
    """In the process of a run: its exit status."""
    os.setsid()
    fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    random.seed()
    sys.argv = ["ansible-playbook", *arguments]
    try:
        sys.modules["ansible.cli.playbook"].main()
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:  # noqa: BLE001  # whatever it is, the test is to see it
        traceback.print_exc()
    return 1


def main() -> None:
    for name in _IMPORTS:
        importlib.import_module(name)
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if not pid:
            status = 1
            try:
                status = run(**request)
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                # The temporary files are the server's: nothing of what Python does at its end.
                os._exit(status)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
