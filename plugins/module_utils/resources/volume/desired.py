# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of containerd_volume, parsed. What is wrong in itself is an error here, before anything is looked at."""

from __future__ import annotations

import grp
import os
import pwd
import re
import typing as t

from ...errors import InvalidArgument, printable
from ...oci.volume_name import anonymous, check_name
from ...volume.driver import Driver
from ...volume.store import Store
from ..labels import labels_of, text_of
from .values import WantedVolume

_NAMESPACE = re.compile(r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*\Z")
_LARGEST = 2**32 - 2


def desired(params: t.Mapping[str, t.Any]) -> WantedVolume:
    """InvalidArgument names option and value."""
    name, present = check_name(params["name"], "name"), params["state"] == "present"
    labels = None if params["labels"] is None else labels_of(params["labels"])
    options = None if params["driver_options"] is None else _options(params["driver_options"])
    want = WantedVolume(
        name,
        present,
        labels,
        options,
        id_of("owner", params["owner"], lambda text: pwd.getpwnam(text).pw_uid),
        id_of("group", params["group"], lambda text: grp.getgrnam(text).gr_gid),
        _mode(params["mode"]),
        params["recreate"],
        params["force"],
        *roots_of(params),
    )
    for one in want.fixed if options else ():
        raise InvalidArgument(
            f"{one}: a volume with driver_options has its {one} from elsewhere (o: uid=, gid=, mode= of a tmpfs)"
        )
    asked = [one for one, value in (("labels", labels), ("driver_options", options)) if value is not None]
    if anonymous(name) and present and asked:
        raise InvalidArgument(f"{asked[0]}: {name} is the volume of one container, and has none")
    return want


def roots_of(params: t.Mapping[str, t.Any]) -> t.Tuple[str, str, str]:
    """data_root, state_root and namespace."""
    for option in ("data_root", "state_root"):
        if not os.path.isabs(params[option]):
            raise InvalidArgument(f"{option}: {printable(params[option], 200)!r} is not an absolute path")
    namespace = params["namespace"]
    if not _NAMESPACE.match(namespace) or len(namespace) > 76:
        raise InvalidArgument(f"namespace: {printable(namespace, 100)!r} is not a namespace")
    return os.path.normpath(params["data_root"]), os.path.normpath(params["state_root"]), namespace


def store_of(params: t.Mapping[str, t.Any]) -> Store:
    data_root, _state_root, namespace = roots_of(params)
    return Store(data_root, namespace)


def _options(given: t.Mapping[str, t.Any]) -> t.Dict[str, str]:
    found = {str(key): text_of(value) for key, value in given.items()}
    Driver.of(found)
    return {key: value for key, value in found.items() if value}


def id_of(option: str, text: t.Optional[str], look: t.Callable[[str], int]) -> t.Optional[int]:
    if text is None:
        return None
    if text.isdecimal():
        if int(text) <= _LARGEST:
            return int(text)
        raise InvalidArgument(f"{option}: {printable(text, 80)} is too large")
    try:
        return look(text)
    except (KeyError, ValueError) as error:
        raise InvalidArgument(f"{option}: {printable(text, 80)!r} is not known on the target: give a number") from error


def _mode(value: t.Any) -> t.Optional[int]:
    """Octal digits, or the number that YAML makes of 0755."""
    if value is None:
        return None
    text = f"{value:o}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    if not re.fullmatch(r"0?[0-7]{1,4}", text):
        raise InvalidArgument(f"mode: {printable(value, 80)!r} is not an octal mode such as '0755'")
    return int(text, 8)
