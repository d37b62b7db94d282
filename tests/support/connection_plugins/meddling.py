# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection for playbooks: to this machine, writing down what files it is given, and doing something before one of them."""

from __future__ import annotations

import os
import subprocess

from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = """
name: meddling
short_description: Run on this machine, with something happening meanwhile
description: Appends the names and sizes of the parts of archives it is given to a file.
author: fleet.containerd contributors
extends_documentation_fragment: [connection_pipelining]
options:
  parts:
    description: The file.
    vars:
      - name: ansible_parts
  meddle:
    description: A shell command that is run before the second part is put in its place.
    default: ""
    vars:
      - name: ansible_meddle
"""


class Connection(Local):
    transport = "meddling"

    def put_file(self, in_path: str, out_path: str) -> None:
        if out_path.endswith("part.tar"):
            with open(self.get_option("parts"), "a+") as parts:
                parts.seek(0)
                if len(parts.readlines()) == 1 and self.get_option("meddle"):
                    # starts: sh, false
                    subprocess.run(self.get_option("meddle"), shell=True, check=True)
                parts.write(f"{in_path} {out_path} {os.path.getsize(in_path)}\n")
        super().put_file(in_path, out_path)
