# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of programs that stay on a host, built once for all tests.

A host has one data_root, and builds each of them once a release. Each test has a data_root of its own: a quarter of a second for
compiling the same modules to the same bytes. Packed tasks build them as users' do.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pathlib
import secrets
import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.libexec import install

#: In the environment: the directory of those that are built. Without it, each is built where it is wanted.
DIRECTORY = "FLEET_PAYLOADS"


def build_once() -> None:
    """In this process from now on, and in those that it forks."""
    build = install.payload

    @functools.wraps(build)
    def payload(sources: t.Sequence[t.Tuple[str, str]]) -> bytes:
        if DIRECTORY not in os.environ:
            return build(sources)
        path = pathlib.Path(os.environ[DIRECTORY]) / hashlib.sha256(repr(list(sources)).encode()).hexdigest()
        # Nothing of this may fail where a test lets calls fail, or hides directories.
        with contextlib.suppress(OSError):
            return path.read_bytes()
        built = build(sources)
        with contextlib.suppress(OSError):
            new = path.with_suffix(f".{secrets.token_hex(4)}")
            new.write_bytes(built)
            new.replace(path)
        return built

    if not hasattr(build, "__wrapped__"):
        install.payload = payload
