#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_container_exec
short_description: Run commands in containers
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Runs a command in a container that runs, also in one of C(nerdctl), C(ctr) or the kubelet.
  - Like C(docker exec), it has the user, the environment, the directory, the capabilities and the limits of the container, if the task
    names no others.
  - The command ends at once when the task is killed or takes too long, with all that it has started in its session. What a command
    that has ended has put in the background stays.
attributes:
  check_mode:
    support: partial
    details:
      - The command is not run. As with M(ansible.builtin.command), the task is skipped, unless O(creates) or O(removes) tell whether it would be.
  diff_mode:
    support: none
  idempotent:
    support: N/A
    details:
      - Whether it is depends on the command. O(creates) and O(removes) can make it so.
extends_documentation_fragment:
  - fleet.containerd.attributes
  - fleet.containerd.attributes.containerd
  - fleet.containerd.engine
options:
  container:
    description:
      - The container, by its name, its id or a unique beginning of its id.
    type: str
    required: true
  argv:
    description:
      - The command as a list of words. No quoting is needed.
      - Either this or O(command) has to be set.
    type: list
    elements: str
  command:
    description:
      - The command as a line, which is split by the rules of a shell. No shell runs it, so variables and redirections need C(/bin/sh -c "...").
    type: str
  chdir:
    description:
      - The directory in the container in which the command runs.
    type: str
  env:
    description:
      - Environment variables, besides those of the container. Values have to be strings.
    type: dict
  user:
    description:
      - The user in the container, as a name or a number, with a group behind a colon if wanted.
      - Root has the capabilities of the container then, and other users have none, but those of a program's file.
    type: str
  privileged:
    description:
      - Whether the command has all capabilities, and no AppArmor profile. With them it may break out of the container.
    type: bool
    default: false
  tty:
    description:
      - Whether the command has a terminal. Then everything that it prints is in RV(stdout), with the ends of lines of a terminal and
        what was typed, as O(stdin) is.
    type: bool
    default: false
  stdin:
    description:
      - What the command reads from its standard input. When not set, that is empty.
    type: str
  stdin_add_newline:
    description:
      - Whether a newline is added to O(stdin).
    type: bool
    default: true
  strip_empty_ends:
    description:
      - Whether empty lines at the end of RV(stdout) and RV(stderr) are left out.
    type: bool
    default: true
  detach:
    description:
      - Whether the command goes on by itself. Then its output goes nowhere, and RV(stdout), RV(stderr) and RV(rc) are not returned.
    type: bool
    default: false
  timeout:
    description:
      - How long the command may take, in seconds. When it takes longer, it is ended and the task fails.
    type: float
  creates:
    description:
      - A path in the container, or a pattern of paths. If it exists, the command is not run.
    type: str
  removes:
    description:
      - A path in the container, or a pattern of paths. If it does not exist, the command is not run.
    type: str
notes:
  - As with M(community.docker.docker_container_exec), a command that fails does not make the task fail. C(failed_when) does.
  - The environment of the command is kept in no file and in no argument. To keep it out of the output of Ansible, set C(no_log).
seealso:
  - module: fleet.containerd.containerd_container
  - plugin: fleet.containerd.containerd
    plugin_type: connection
"""

EXAMPLES = r"""
- name: Ask a database whether it answers
  fleet.containerd.containerd_container_exec:
    container: db
    command: pg_isready --quiet
    timeout: 10
  register: result
  failed_when: result.rc != 0

- name: Run a script as another user in another directory
  fleet.containerd.containerd_container_exec:
    container: db
    argv:
      - /bin/sh
      - -c
      - id -un; pwd; echo "$GREETING"
    user: nobody
    chdir: /tmp
    env:
      GREETING: hello

- name: Restore a dump that the playbook has, once
  fleet.containerd.containerd_container_exec:
    container: db
    command: /bin/sh -c "cat >/var/restored"
    stdin: "{{ dump | default('create table t (i int);') }}"
    creates: /var/restored

- name: Have something run beside the database
  fleet.containerd.containerd_container_exec:
    container: db
    argv: [sleep, "300"]
    detach: true
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done.
  returned: always
  type: list
  elements: str
  sample: ["run pg_isready in the container db"]
stdout:
  description: The standard output of the command. What is no UTF-8 has replacement characters.
  returned: when the command was run, and O(detach=false)
  type: str
  sample: ready
stderr:
  description: The standard error output of the command.
  returned: when the command was run, and O(detach=false)
  type: str
  sample: ""
stdout_b64:
  description: The bytes of the standard output, in Base64.
  returned: when RV(stdout) is no UTF-8
  type: str
  sample: /w==
stderr_b64:
  description: The bytes of the standard error output, in Base64.
  returned: when RV(stderr) is no UTF-8
  type: str
  sample: /w==
rc:
  description: The exit status of the command; 128 and the number of the signal, if one has ended it.
  returned: when the command has ended, and O(detach=false)
  type: int
  sample: 0
exec_id:
  description: The name that the engine has for the process. C(ctr tasks ps) shows it with the engine V(containerd).
  returned: when the command was run, and O(detach=true)
  type: str
  sample: exec-6f1d2a9be0c3457f
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_container_exec import SPEC
from ..module_utils.kernel.engines import opened
from ..module_utils.kernel.module import run
from ..module_utils.resources.container.exec import ContainerExecResource


def main() -> None:
    run(ContainerExecResource(), SPEC, cache, opened)


if __name__ == "__main__":
    main()
