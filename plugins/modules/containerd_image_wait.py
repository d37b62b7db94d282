#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_image_wait
short_description: Wait for a pull in the background and show its progress
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Waits for a task of M(fleet.containerd.containerd_image) that was started with C(async) and C(poll=0), and shows a line in the terminal
    whenever something has changed, with the image, the share that is there, the rate and the time that is left.
  - Use it instead of M(ansible.builtin.async_status) with C(until), which can only report one failed try after another.
  - Its result is that of the pull.
attributes:
  check_mode:
    description: Can run in C(check_mode) and return the changed status prediction without modifying the target.
    support: full
    details:
      - This module only reads. Ansible 2.19 starts the background task in C(check_mode) too, and its result tells what it would do.
        Older versions do not start it; then there is no C(ansible_job_id) and nothing to wait for.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
    support: full
    details:
      - The diff is that of the pull.
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
options:
  jid:
    description:
      - The job, as C(ansible_job_id) in the result of the task that started it.
    type: str
    required: true
  progress_file:
    description:
      - The O(fleet.containerd.containerd_image#module:progress_file) of that task, a path of the target.
    type: str
    required: true
  delay:
    description:
      - Seconds between two checks.
    type: float
    default: 2.0
  timeout:
    description:
      - Seconds after which the task fails. The pull goes on.
    type: float
    default: 3600.0
seealso:
  - module: fleet.containerd.containerd_image
  - module: ansible.builtin.async_status
"""

EXAMPLES = r"""
- name: Pull in the background
  fleet.containerd.containerd_image:
    name:
      - registry.example.com/team/app:2.1
      - registry.example.com/team/worker:2.1
    progress_file: /run/pull.json
  async: 3600
  poll: 0
  register: pull

- name: Show the progress until it is done
  fleet.containerd.containerd_image_wait:
    jid: "{{ pull.ansible_job_id }}"
    progress_file: /run/pull.json
  when: pull.ansible_job_id is defined
"""

RETURN = r"""
ansible_job_id:
  description: The job.
  returned: always
  type: str
finished:
  description: Whether the job has ended.
  returned: always
  type: bool
images:
  description: What M(fleet.containerd.containerd_image) returns, with all its other keys.
  returned: when the job has ended
  type: list
  elements: dict
"""
