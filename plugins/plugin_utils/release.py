# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release file of a task (docs/adr/0048): it is on the controller, and the module gets names with digests."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFileNotFound
from ansible.plugins.action import ActionBase

from ..module_utils.errors import InvalidArgument, NotFound, from_os_error, printable
from ..module_utils.oci.reference import Reference
from ..module_utils.oci.release import Release


def read_release(action: ActionBase, path: t.Any, option: str = "release") -> Release:
    """The release file of an action's task. It is found as the src of ansible.builtin.copy is. NotFound, InvalidArgument."""
    if not isinstance(path, str) or not path:
        raise InvalidArgument(f"{option}: {printable(path, 80)!r} is not the path of a release file")
    try:
        found = action._find_needle("files", path)
        with open(found, "rb") as stream:
            return Release.parse(stream.read(), path)
    except AnsibleFileNotFound as error:
        raise NotFound(f"{option}: there is no {printable(path, 300)} on the controller") from error
    except OSError as error:
        raise from_os_error(error, f"{option}: reading {printable(path, 300)} on the controller") from error


def pinned_text(release: Release, path: str, text: t.Any, option: str, tag: str = "latest") -> t.Any:
    """The name of an image with its digest. What is no name (an image id, a wrong value) is left to the module, which says so."""
    try:
        reference = Reference.parse(text, option, tag)
    except InvalidArgument:
        return text
    return str(release.pinned(reference, option, path))
