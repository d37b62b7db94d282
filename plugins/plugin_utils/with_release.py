# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that take a release file (docs/adr/0048). A task without one imports nothing for it."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from .options_of_docker import WithoutDocker


class WithRelease(WithoutDocker):
    """The default action of a module, whose images get their digests here. one_image: it has one image, not many."""

    one_image = False

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> t.Dict[str, t.Any]:
        if self._task.args.get("release"):
            from .release import pin, pin_image, pin_images

            problem = pin(self, pin_image if self.one_image else pin_images)
            if problem:
                return {**ActionBase.run(self, tmp, task_vars), **problem}
        return super().run(tmp, task_vars)
