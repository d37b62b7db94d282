# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection for playbooks: into the namespaces of a process, with files through /proc/<pid>/root."""

from __future__ import annotations

import shlex
import shutil
import typing as t

from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = """
name: enter
short_description: Enter the namespaces of a process
description: Runs commands in the namespaces of a process of this machine.
author: fleet.containerd contributors
extends_documentation_fragment: [connection_pipelining]
options:
  remote_addr:
    description: The process id.
    vars:
      - name: ansible_host
"""


class Connection(Local):
    transport = "enter"

    def _root(self) -> str:
        return f"/proc/{self.get_option('remote_addr')}/root"

    def exec_command(self, cmd: str, in_data: t.Optional[bytes] = None, sudoable: bool = True) -> t.Tuple[int, bytes, bytes]:
        enter = ["nsenter", "-t", str(self.get_option("remote_addr")), "-a", "-r", "-w", "/bin/sh", "-c", cmd]
        return super().exec_command(shlex.join(enter), in_data, sudoable)

    def put_file(self, in_path: str, out_path: str) -> None:
        shutil.copyfile(in_path, self._root() + out_path)

    def fetch_file(self, in_path: str, out_path: str) -> None:
        shutil.copyfile(self._root() + in_path, out_path)
