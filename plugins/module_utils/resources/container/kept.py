# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The secrets of a container on the host: files for root only in its directory, which a hook copies into its tmpfs at each start."""

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from ...errors import EngineError, FailedPrecondition, printable
from ...hostfs.atomic import make_dir, read_file, write_file
from .options.inside import PLACE

if t.TYPE_CHECKING:
    from ...engine.models import Container
    from .options.row import Draft

_SECRETS = os.path.basename(PLACE)


def keep(draft: Draft, directory: str, data_root: str) -> None:
    """Write the secrets of a container that is being made, and have the hook in its specification."""
    from ...libexec.hooks import add_hooks, secret_hooks
    from ...libexec.secret_files import INDEX

    place = os.path.join(directory, _SECRETS)
    make_dir(place)
    index = []
    for number, one in enumerate(draft.secrets):
        write_file(os.path.join(place, str(number)), one.content)
        index.append({"name": one.path, "file": str(number), "mode": one.mode, "uid": one.uid, "gid": one.gid})
    write_file(os.path.join(place, INDEX), json.dumps({"place": PLACE, "index": index}).encode())
    add_hooks(draft.spec, secret_hooks(data_root, place))


def _place_of(container: Container) -> str:
    """The directory of its secrets, as its hook names it; empty without one."""
    for hook in (container.spec.get("hooks") or {}).get("createRuntime") or ():
        last = str((hook.get("args") or [""])[-1])
        if last.endswith(f"/{container.id}/{_SECRETS}"):
            return last
    return ""


def prepare(container: Container) -> None:
    """Before a start: forget why an earlier one failed."""
    place = _place_of(container)
    if place:
        from ...libexec.secret_files import ERROR

        with contextlib.suppress(FileNotFoundError):
            os.unlink(place + ERROR)


def explained(container: Container, error: EngineError) -> EngineError:
    """The error of a start: what the hook says, if that failed."""
    place = _place_of(container)
    if not place:
        return error
    from ...libexec.secret_files import ERROR

    found = read_file(place + ERROR)
    return FailedPrecondition(f"the secrets cannot be had: {printable(found, 1000)}") if found else error
