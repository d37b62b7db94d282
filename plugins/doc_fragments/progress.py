# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation fragment: how a person sees how far a long task is."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  progress_after:
    description:
      - Seconds after which a line in the terminal shows how far the task is on a host, with the image, the share that is there, the rate
        and the time that is left. The next lines follow after twice as long each, and then every minute. A task that has ended before
        shows none.
      - The lines are for persons. They go to the standard error output, as warnings do, and to Ansible's log, in plain text.
      - V(0) shows none. There are none with C(no_log) and C(async) (see O(progress_file)) either, nor with
        connections that may not run a second command at the same time. Those of C(ssh), C(paramiko), C(local) and
        P(fleet.containerd.containerd#connection) may.
    type: float
    default: 10.0
  progress_file:
    description:
      - A file on the target that tells how far the task is, for an asynchronous task (C(async), C(poll=0)) that another one waits for.
        M(fleet.containerd.containerd_image_wait) shows it in the terminal.
      - While there is something to transfer, it is replaced every half second by JSON with C(bytes), C(total), C(rate) (bytes per second)
        and C(images). Each of the images has C(name), C(state) (V(waiting), V(transferring), V(unpacking), V(done) or V(failed)), C(bytes)
        and C(total). Blobs that are on the target already count as transferred; C(total) is 0 until it is known.
      - It goes with the task. Its directory is made if it is not there. When not set, and O(progress_after) is not V(0), it is below
        C(/run/fleet-containerd-progress).
    type: path
"""
