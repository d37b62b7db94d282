# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_login: credentials for a registry in Docker's config.json, and on request in hosts.toml."""

from __future__ import annotations

import base64
import contextlib
import functools
import os
import typing as t

from ...errors import InvalidArgument, NotFound, printable
from ...hostfs.atomic import make_dir
from ...hostfs.lock import locked
from ...hostfs.places import place, write
from ...kernel.converge import Facts, Plan, Step
from ...registry.credentials import default_config
from ...registry.docker_config import DockerConfig
from ...registry.hosts_file import CHANGED, SECRET, wanted_mode
from ...registry.options import Credentials, RegistryOptions
from .hosts import DEFAULT, registry_name
from .login_hosts import HostsEdits, edits_for
from .options import registry_options

if t.TYPE_CHECKING:
    from ...registry.ping import Answer


class WantedLogin(t.NamedTuple):
    """options: those of the registry, with the credentials. ask: asks the registry, once."""

    domain: str
    present: bool
    config: DockerConfig
    options: RegistryOptions
    hosts_toml: bool
    verify: bool
    reauthorize: bool
    ask: t.Callable[[], Answer]

    @property
    def authorization(self) -> str:
        pair = f"{self.options.username}:{self.options.password}"
        return "Basic " + base64.b64encode(pair.encode()).decode() if self.present else ""

    def __repr__(self) -> str:
        return f"WantedLogin({self.domain})"


class FoundLogin(t.NamedTuple):
    """The credentials in config.json or its helper (None: nothing), and the necessary changes in hosts.toml."""

    credentials: t.Optional[Credentials]
    edits: HostsEdits


class LoginResource:
    """One account at one registry."""

    def desired(self, params: t.Mapping[str, t.Any], engine: t.Any) -> WantedLogin:
        options = registry_options({**params, "username": None, "password": None})
        domain, plain = _domain(params["registry_url"])
        present = params["state"] == "present"
        options = options._replace(plain_http=params["plain_http"] or plain)
        if present:
            _check(params)
            options = options._replace(username=params["username"], password=params["password"])
        path = params["config_path"] or default_config()
        if not os.path.isabs(path):
            raise InvalidArgument(f"config_path: {printable(path, 200)} is not an absolute path")
        flags = params["hosts_toml"], params["verify"], params["reauthorize"]
        ask = functools.lru_cache(maxsize=None)(lambda: _ask(domain, options))
        return WantedLogin(domain, present, DockerConfig(path), options, *flags, ask)

    def observe(self, want: WantedLogin, engine: t.Any) -> FoundLogin:
        edits = HostsEdits([], [], [])
        if want.hosts_toml:
            edits = edits_for(want.domain, want.options, want.authorization, lambda: want.ask().scheme if want.verify else "")
        return FoundLogin(want.config.find(want.domain), edits)

    def lock(self, want: WantedLogin, engine: t.Any) -> t.ContextManager[t.Any]:
        stack, directory = contextlib.ExitStack(), ""
        with contextlib.suppress(NotFound), place(want.config.path, True, 0o700 if want.present else None) as there:
            directory = there.directory
            stack.enter_context(locked(directory, directory))
        root = os.path.realpath(want.options.registry_config_dir.split(":")[0])
        if want.hosts_toml and want.present:
            make_dir(root, 0o755)
        if want.hosts_toml and os.path.isdir(root) and root != directory:
            stack.enter_context(locked(root, root))
        return stack

    def plan(self, want: WantedLogin, have: FoundLogin, engine: t.Any) -> Plan:
        steps = self._config_steps(want, have)
        verb = "write the credentials into" if want.present else "take the credentials out of"
        for edit in have.edits.edits:
            path, text, mode = edit.after.path, edit.after.text.encode(), wanted_mode(edit.after.data, edit.before)
            steps.append(Step(f"{verb} {path}", functools.partial(write, path, text, mode)))
        warnings = list(have.edits.warnings)
        asks = want.present and want.verify and bool(steps or want.reauthorize)
        verified = asks and want.ask().asked
        if asks and not verified:
            warnings.append(f"{want.domain} does not ask for credentials, so these could not be verified")
        changed = {edit.after.path for edit in have.edits.edits}
        before, after = _shown(have.credentials), {}
        if want.present:
            after = _shown(Credentials(want.options.username, want.options.password))
            if _differ(want, have.credentials):
                after["password"] = CHANGED
        if want.hosts_toml:
            without = [path for path in have.edits.named if path not in changed]
            before["hosts_toml"] = without if want.present else sorted(changed)
            after["hosts_toml"] = have.edits.named if want.present else []
        return Plan(steps, before, after, functools.partial(_facts, want, verified), warnings=warnings)

    @staticmethod
    def _config_steps(want: WantedLogin, have: FoundLogin) -> t.List[Step]:
        options, config = want.options, want.config
        if want.present and _differ(want, have.credentials):
            store = functools.partial(config.store, want.domain, options.username, options.password)
            return [Step(f"log in to {want.domain} as {options.username}", store)]
        if not want.present and have.credentials is not None:
            return [Step(f"log out of {want.domain}", functools.partial(config.erase, want.domain))]
        return []


def _facts(want: WantedLogin, verified: bool, end: FoundLogin) -> Facts:
    out: t.Dict[str, t.Any] = {"registry": want.domain, "config_path": want.config.path}
    if want.present:
        out.update(username=want.options.username, verified=verified)
    if want.hosts_toml:
        out["hosts_toml"] = end.edits.named
    return Facts(out)


def _ask(domain: str, options: RegistryOptions) -> Answer:
    from ...registry.ping import check_credentials

    return check_credentials(domain, options)


def _differ(want: WantedLogin, have: t.Optional[Credentials]) -> bool:
    return have != Credentials(want.options.username, want.options.password)


def _shown(found: t.Optional[Credentials]) -> t.Dict[str, t.Any]:
    if found is None:
        return {}
    return {"username": found.username, "password": SECRET} if found.username else {"password": SECRET}


def _domain(url: str) -> t.Tuple[str, bool]:
    """The registry that a URL or a host[:port] means, and whether it uses plain HTTP."""
    scheme, separator, rest = url.partition("://")
    if separator and scheme not in ("http", "https"):
        raise InvalidArgument(f"registry_url: {printable(url, 200)!r}: expected host[:port] or a URL with http or https")
    authority = (rest if separator else url).partition("/")[0]
    if authority in ("index.docker.io", "registry-1.docker.io"):
        authority = "docker.io"
    if authority == DEFAULT or "@" in authority:
        raise InvalidArgument("registry_url: expected host[:port] or a URL without a user name")
    return registry_name(authority, "registry_url"), scheme == "http" and bool(separator)


def _check(params: t.Mapping[str, t.Any]) -> None:
    for option in ("username", "password"):
        value = params[option]
        if not value:
            raise InvalidArgument(f"{option}: it is needed to log in")
        if not value.isprintable():
            raise InvalidArgument(f"{option}: it has characters that are not allowed (the value is not shown)")
    if ":" in params["username"]:
        raise InvalidArgument(f"username: {params['username']}: a colon cannot be part of it")
