#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_container_logs
short_description: Show what containers have printed
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Returns the output of a container that runs or has ended, also of its starts before the last one, as long as its log has it.
  - With O(follow), waits until the container prints a line that matches, or ends.
  - Reads the logs of containers of this collection, of C(nerdctl) with its log driver C(json-file), and of the kubelet
    (O(namespace=k8s.io), by the id of the container), and also their rotated files.
  - The log is read from its end, so that a few lines of a large one cost little.
extends_documentation_fragment:
  - fleet.containerd.attributes.info
  - fleet.containerd.attributes.containerd
  - fleet.containerd.engine
options:
  container:
    description:
      - The name of the container, its id, or a unique beginning of its id.
    type: str
    required: true
  tail:
    description:
      - How many lines to return, the last ones, or V(all). At most 16 MiB or 262144 lines are returned in any case, see
        RV(truncated).
      - With O(follow) this is about those that are there already. V(0) waits for new ones only.
    type: str
    default: all
  since:
    description:
      - Only lines that were printed at this time or later. An RFC 3339 time such as V(2026-11-28T09:00:00Z), where UTC counts if it does not
        say, seconds since the epoch, or how long ago, such as V(10m) or V(1h30m).
      - V(start) is the last start of the container.
    type: str
  until:
    description:
      - Only lines that were printed at this time or earlier, as O(since). Not with O(follow).
    type: str
  streams:
    description:
      - The streams to read. A container with a terminal has only V(stdout).
    type: list
    elements: str
    choices: [stdout, stderr]
    default: [stdout, stderr]
  timestamps:
    description:
      - Begin each line with the time at which it was printed, and a space.
    type: bool
    default: false
  pattern:
    description:
      - A regular expression of Python. RV(matched) tells whether a part of one of the lines matches.
    type: str
  follow:
    description:
      - Wait for more output until a line matches O(pattern), the container ends, or O(timeout) is over.
      - Without O(pattern) the last two are no errors. With it, the task fails unless a line matches. A line that is there already counts, so
        give O(since=start) when a line of an earlier start must not.
    type: bool
    default: false
  timeout:
    description:
      - How many seconds O(follow) waits. V(0) is no limit.
    type: float
    default: 60.0
notes:
  - A container with O(fleet.containerd.containerd_container#module:log_driver=none), or whose output goes to the journal or to another
    service, has no log that could be read, nor has one of C(ctr). The task fails and tells so.
  - What is not UTF-8 is replaced.
seealso:
  - module: fleet.containerd.containerd_container
  - module: fleet.containerd.containerd_container_info
"""

EXAMPLES = r"""
- name: Show the last 20 lines of a container
  fleet.containerd.containerd_container_logs:
    container: web
    tail: 20
  register: log

- name: Show the errors of the last ten minutes, with their times
  fleet.containerd.containerd_container_logs:
    container: web
    since: 10m
    streams: [stderr]
    timestamps: true

- name: Wait until a database says that it is ready
  fleet.containerd.containerd_container_logs:
    container: web
    since: start
    follow: true
    pattern: ready to accept connections
    timeout: 120
"""

RETURN = r"""
output:
  description: The lines of both streams, in the order in which they arrived.
  returned: always
  type: str
  sample: "listening\nready to accept connections"
stdout:
  description: The lines of the standard output.
  returned: always
  type: str
stderr:
  description: The lines of the standard error.
  returned: always
  type: str
lines:
  description: The number of lines.
  returned: always
  type: int
  sample: 2
matched:
  description: Whether a line matches O(pattern).
  returned: always
  type: bool
truncated:
  description: Whether there was more output than a task returns, and the first part of it is left out.
  returned: always
  type: bool
timed_out:
  description: Whether O(follow) ended since O(timeout) was over.
  returned: always
  type: bool
running:
  description: Whether the container runs, after the lines were read.
  returned: always
  type: bool
status:
  description: The state of its process, V(created), V(running), V(paused), V(restarting) or V(stopped).
  returned: always
  type: str
  sample: running
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_container_logs import SPEC
from ..module_utils.kernel.engines import opened
from ..module_utils.kernel.module import run_query
from ..module_utils.resources.logs.query import container_logs


def main() -> None:
    run_query(container_logs, SPEC, cache, opened)


if __name__ == "__main__":
    main()
