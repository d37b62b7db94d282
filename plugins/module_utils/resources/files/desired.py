# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the parameters of a task to what it asks to be copied."""

from __future__ import annotations

import os
import typing as t

from ...errors import InvalidArgument, printable
from ...kernel.engines import EngineOptions
from ...oci.file_content import content_of
from ...oci.modes import Change, parse_mode
from ...oci.volume_name import check_name
from .values import WantedCopy


def desired(params: t.Mapping[str, t.Any]) -> WantedCopy:
    """InvalidArgument names option and value."""
    into, path, content = params["direction"] == "into", params["path"] or "", params["content"]
    part = into and params["source"] == "controller"
    if not into:
        _check_from(params)
    volume = check_name(params["volume"], "volume") if params["volume"] else ""
    if bool(params["container"]) == bool(volume):
        raise InvalidArgument("container: give either it or volume")
    if bool(path) == (content is not None):
        raise InvalidArgument("path: give either it or content")
    if path and not os.path.isabs(path):
        raise InvalidArgument(f"path: {printable(path, 200)!r} is not an absolute path")
    if params["content_is_b64"] and content is None and not part:
        raise InvalidArgument("content_is_b64: true needs content")
    want = WantedCopy(
        EngineOptions.of(params),
        params["container"] or "",
        volume,
        _inside(params["container_path"]),
        path,
        path,
        into,
        None if content is None else content_of(content, params["content_is_b64"]),
        params["owner"],
        params["group"],
        _mode(params["mode"], "mode"),
        _mode(params["directory_mode"], "directory_mode"),
        params["follow"],
        params["local_follow"],
        params["force"],
        params["archive"],
        part,
    )
    return check_archive(want)


def check_archive(want: WantedCopy) -> WantedCopy:
    """InvalidArgument when something is given that archive keeps from the source."""
    given = [one for one in ("owner", "group", "mode", "directory_mode", "content") if getattr(want, one) is not None]
    if want.archive and given:
        raise InvalidArgument(f"archive: true keeps what {given[0]} would set: give one of them")
    return want


def _check_from(params: t.Mapping[str, t.Any]) -> None:
    if params["content"] is not None:
        raise InvalidArgument("content: it is not possible with direction=from: give path, where the copy goes")
    if params["source"] == "controller":
        raise InvalidArgument(
            "source: controller is not possible with direction=from: copy to the target, and take it from there with ansible.builtin.fetch"
        )


def _inside(path: str) -> str:
    if not path.startswith("/") or "\0" in path:
        raise InvalidArgument(f"container_path: {printable(path, 200)!r} is not an absolute path")
    if ".." in path.split("/"):
        raise InvalidArgument(f"container_path: {printable(path, 200)!r} has .. in it")
    return "/" + "/".join(name for name in path.split("/") if name not in ("", "."))


def _mode(value: t.Any, option: str) -> t.Optional[Change]:
    """None for preserve, which is the default."""
    return None if value is None or value == "preserve" else parse_mode(value, option)
