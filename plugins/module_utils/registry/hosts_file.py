# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write hosts.toml: make new files from data, change existing files but keep their comments, never show secrets."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import typing as t

from ..errors import FailedPrecondition, InvalidArgument, from_os_error
from .hosts import KEYS, parse_toml, read_text

Data = t.Dict[str, t.Any]
_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
#: The mode of a file with secrets: only the owner and the group (the daemon's) may read it.
SECRET_MODE = 0o640
SECRET, CHANGED = "(secret)", "(secret, changed)"


class HostsFile(t.NamedTuple):
    """A hosts.toml on disk. text: "" when it is missing. data: its content as plain dictionaries."""

    path: str
    text: str
    data: Data

    @classmethod
    def read(cls, path: str) -> HostsFile:
        """Read a file. Raises InvalidArgument for invalid TOML; MissingLibrary when there is a file but no tomlkit."""
        text = read_text(path)
        return cls(path, text, parse_toml(text, path).unwrap() if text.strip() else {})

    def with_data(self, data: Data) -> HostsFile:
        """The file with new data. Equal data keep the text."""
        if not self.text.strip() or self.text == render(self.data):
            return HostsFile(self.path, render(data), data)
        return self if same(self.data, data) else HostsFile(self.path, _edited(self.text, self.path, data), data)


def same(one: Data, other: Data) -> bool:
    """True when both mean the same. The order of the hosts counts."""
    return one == other and list(one.get("host", {})) == list(other.get("host", {}))


def render(data: Data) -> str:
    """The text of a new file, with one table for each host."""
    lines = [f"{key} = {_value(value)}" for key, value in data.items() if key not in ("host", "header")]
    lines += _header("header", data.get("header", {}))
    for url, table in data.get("host", {}).items():
        name = f"host.{_value(url)}"
        lines += ["", f"[{name}]"]
        lines += [f"{key} = {_value(table[key])}" for key in KEYS if key in table and key != "header"]
        lines += _header(f"{name}.header", table.get("header", {}))
    return "\n".join(lines).lstrip("\n") + "\n"


def _header(name: str, values: t.Mapping[str, t.Any]) -> t.List[str]:
    return ["", f"[{name}]", *(f"{_key(key)} = {_value(value)}" for key, value in values.items())] if values else []


def _key(text: str) -> str:
    return text if _BARE.match(text) else _value(text)


def _value(value: t.Any) -> str:
    """A string, a boolean or a list of these in TOML: the same as in JSON (control characters are refused before)."""
    return json.dumps(value, ensure_ascii=False)


def _edited(text: str, path: str, data: Data) -> str:
    """The text with new data. Only differences are edited, so comments stay. Raises FailedPrecondition where that fails."""
    import tomlkit

    document = parse_toml(text, path)
    _assign(document, data)
    order = list(data.get("host", {}))
    if order and order != list(document["host"]):
        tables = {url: document["host"][url] for url in order}
        super_table = tomlkit.table(is_super_table=True)
        for url in order:
            super_table.append(url, tables[url])
        document["host"] = super_table
    edited: str = tomlkit.dumps(document)
    with contextlib.suppress(InvalidArgument):
        if same(parse_toml(edited, path).unwrap(), data):
            return edited
    raise FailedPrecondition(
        f"{path} cannot be changed in its present form: remove tables that are written on one line, or the file"
    )


def _assign(container: t.Any, wanted: t.Mapping[str, t.Any]) -> None:
    for key in [key for key in container if key not in wanted]:
        del container[key]
    for key, value in wanted.items():
        have = container.get(key)
        if isinstance(value, dict) and isinstance(have, dict):
            _assign(have, value)
        elif have != value:
            container[key] = value


def masked(data: Data, before: t.Optional[Data] = None) -> Data:
    """The data with the values of headers hidden. before: the data before, to mark values that changed."""
    out = _masked(data, before)
    if "host" in out:
        old = None if before is None else before.get("host", {})
        out["host"] = {url: _masked(table, None if old is None else old.get(url, {})) for url, table in data["host"].items()}
    return out


def _masked(table: Data, before: t.Optional[Data]) -> Data:
    if not isinstance(table.get("header"), dict):
        return dict(table)
    old = table["header"] if before is None else before.get("header", {})
    return {**table, "header": {name: SECRET if old.get(name) == value else CHANGED for name, value in table["header"].items()}}


def shown(file: HostsFile, before: t.Optional[HostsFile] = None) -> str:
    """The text for a diff."""
    return file.with_data(masked(file.data, before.data if before else None)).text if file.text.strip() else file.text


def of_one_type(client: t.Sequence[t.Union[str, t.Sequence[str]]]) -> t.List[t.Any]:
    """Client certificates for containerd 1.6, which does not read lists of both paths and pairs: paths become pairs then."""
    if all(isinstance(one, str) for one in client):
        return list(client)
    return [[one, one] if isinstance(one, str) else list(one) for one in client]


def has_secrets(data: Data) -> bool:
    """True when not everybody may read a file with these data."""
    return any(table.get("header") for table in [data, *data.get("host", {}).values()])


def wanted_mode(data: Data, have: HostsFile) -> int:
    """0640 with secrets, else 0644. A stricter mode of the file stays, except the 0640 of secrets that are gone."""
    mode = SECRET_MODE if has_secrets(data) else 0o644
    there = _mode(have.path) if have.text else mode
    return mode if there == SECRET_MODE and has_secrets(have.data) else mode & there


def readable_by_all(path: str) -> bool:
    return bool(_mode(path) & 0o007)


def _mode(path: str) -> int:
    try:
        return stat.S_IMODE(os.stat(path).st_mode)
    except OSError as error:
        raise from_os_error(error, f"looking at {path}") from error
