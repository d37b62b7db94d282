# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change the credentials that Docker's config.json, or its credential helper, has for a registry."""

from __future__ import annotations

import base64
import contextlib
import json
import typing as t

from ..errors import InvalidArgument
from ..hostfs.places import write
from .credentials import ask_helper, config_keys, from_entry, helper_for, read_config
from .options import Credentials


class DockerConfig:
    """One config.json. Every method reads it again: it may change between planning and execution."""

    def __init__(self, path: str) -> None:
        self.path = path

    def _read(self) -> t.Dict[str, t.Any]:
        try:
            return read_config(self.path, must_exist=False)
        except InvalidArgument as error:
            raise InvalidArgument(str(error).replace("auth_file:", "config_path:", 1)) from error

    def find(self, domain: str) -> t.Optional[Credentials]:
        """The credentials for a registry, from the helper that the file names or from the file; None without any."""
        config = self._read()
        name = helper_for(config, domain)
        if name:
            return ask_helper(name, _server(domain))
        for key in _entries(config, domain):
            with contextlib.suppress(InvalidArgument):
                return from_entry(config["auths"][key], self.path)
            return Credentials()
        return None

    def store(self, domain: str, username: str, password: str) -> None:
        """Store them with the credential helper if the file names one, else as an entry. Other entries stay."""
        config = self._read()
        name = helper_for(config, domain)
        if name:
            secret = {"ServerURL": _server(domain), "Username": username, "Secret": password}
            ask_helper(name, json.dumps(secret), "store")
            return
        auths = config.get("auths")
        auths = config["auths"] = auths if isinstance(auths, dict) else {}
        entry = {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}
        # Under all keys of the registry: readers of the file may use any of them.
        for key in _entries(config, domain) or [config_keys(domain)[0]]:
            auths[key] = entry
        self._write(config)

    def erase(self, domain: str) -> None:
        """Remove everything that is stored for a registry."""
        config = self._read()
        name = helper_for(config, domain)
        if name and ask_helper(name, _server(domain)):
            ask_helper(name, _server(domain), "erase")
        keys = _entries(config, domain)
        for key in keys:
            del config["auths"][key]
        if keys:
            self._write(config)

    def _write(self, config: t.Mapping[str, t.Any]) -> None:
        write(self.path, (json.dumps(config, indent="\t", ensure_ascii=False) + "\n").encode(), 0o600, 0o700)


def _server(domain: str) -> str:
    """The name of a registry for credential helpers."""
    return config_keys(domain)[0] if domain == "docker.io" else domain


def _entries(config: t.Mapping[str, t.Any], domain: str) -> t.List[str]:
    """The keys of this registry in a file."""
    auths = config.get("auths")
    return [key for key in config_keys(domain) if isinstance(auths, dict) and key in auths]
