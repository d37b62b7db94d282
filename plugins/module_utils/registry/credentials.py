# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials from options, Docker's config.json and credential helpers; challenges of WWW-Authenticate."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import typing as t

from ..errors import InvalidArgument, NotFound, Unauthenticated, printable
from .options import Credentials, RegistryOptions

_HELPER_SECONDS = 30.0
_HELPER_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_CHALLENGE_LIMIT = 4096
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PARAMETER = re.compile(r'\s*(?:,\s*)?([A-Za-z0-9!#$%&\'*+.^_`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))')


class Challenge(t.NamedTuple):
    """scheme in lower case, parameters with lower-case names (RFC 9110, section 11.6.1)."""

    scheme: str
    parameters: t.Mapping[str, str]


def parse_challenges(header: str) -> t.List[Challenge]:
    """All challenges of one WWW-Authenticate header, without those that cannot be parsed."""
    found: t.List[Challenge] = []
    position, text = 0, header[:_CHALLENGE_LIMIT]
    while position < len(text):
        while position < len(text) and text[position] in " ,\t":
            position += 1
        scheme = _TOKEN.match(text, position)
        if not scheme:
            break
        position = scheme.end()
        parameters: t.Dict[str, str] = {}
        while True:
            match = _PARAMETER.match(text, position)
            if not match:
                break
            quoted, plain = match.group(2), match.group(3)
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            parameters.setdefault(match.group(1).lower(), value)
            position = match.end()
        found.append(Challenge(scheme.group().lower(), parameters))
    return found


def config_keys(domain: str) -> t.List[str]:
    """The keys that a registry may have in config.json, the most precise one first."""
    keys = [domain, f"https://{domain}", f"http://{domain}", f"https://{domain}/v1/", f"https://{domain}/v2/"]
    if domain == "docker.io":
        keys = ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io", *keys]
    return keys


def find_credentials(domain: str, options: RegistryOptions) -> Credentials:
    """The credentials for a registry; empty ones for anonymous access."""
    if options.token:
        return Credentials(registry_token=options.token)
    if options.username:
        return Credentials(options.username, options.password)
    path = options.auth_file or default_config()
    config = read_config(path, must_exist=bool(options.auth_file))
    return find_in_config(config, path, domain)


def find_in_config(config: t.Mapping[str, t.Any], path: str, domain: str) -> Credentials:
    """The credentials that config.json, or its credential helper, has for a registry; empty ones if it has none."""
    helper = helper_for(config, domain)
    if helper:
        found = ask_helper(helper, config_keys(domain)[0] if domain == "docker.io" else domain)
        if found:
            return found
    entries = config.get("auths")
    for key in config_keys(domain):
        entry = entries.get(key) if isinstance(entries, dict) else None
        if isinstance(entry, dict):
            return from_entry(entry, path)
    return Credentials()


def default_config() -> str:
    """The path of Docker's config.json."""
    return os.path.join(os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker"), "config.json")


def read_config(path: str, must_exist: bool) -> t.Dict[str, t.Any]:
    """Read a config.json; an optional one that is missing is empty. InvalidArgument unless it is a JSON object."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(4 * 1024 * 1024)
    except FileNotFoundError:
        if must_exist:
            raise NotFound(f"auth_file: {printable(path, 200)} is not there") from None
        return {}
    except OSError as error:
        if must_exist:
            raise InvalidArgument(f"auth_file: {printable(path, 200)} cannot be read: {error.strerror}") from error
        return {}
    try:
        config = json.loads(data)
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise InvalidArgument(f"auth_file: {printable(path, 200)} is not a JSON object")
    return config


def from_entry(entry: t.Mapping[str, t.Any], path: str) -> Credentials:
    """The credentials of one entry of the file path."""
    texts = {key: value for key, value in entry.items() if isinstance(value, str)}
    username, secret = texts.get("username", ""), texts.get("password", "")
    if texts.get("auth"):
        try:
            username, _colon, secret = base64.b64decode(texts["auth"], validate=True).decode().rstrip("\0").partition(":")
        except ValueError as error:
            raise InvalidArgument(f"auth_file: an auth entry of {printable(path, 200)} is not valid base64") from error
    return Credentials(username, secret, texts.get("identitytoken", ""), texts.get("registrytoken", ""))


def helper_for(config: t.Mapping[str, t.Any], domain: str) -> str:
    helpers = config.get("credHelpers")
    for key in config_keys(domain):
        if isinstance(helpers, dict) and isinstance(helpers.get(key), str):
            return t.cast(str, helpers[key])
    store = config.get("credsStore")
    return store if isinstance(store, str) else ""


def ask_helper(name: str, message: str, action: str = "get") -> t.Optional[Credentials]:
    """Docker's credential helper protocol: on standard input, get and erase take a server, store takes a JSON object.

    Returns the answer to get; None when the helper has nothing for the server, and for the other actions.
    """
    if not _HELPER_NAME.match(name):
        raise InvalidArgument(f"auth_file: {printable(name, 80)!r} is not the name of a credential helper")
    program = f"docker-credential-{name}"
    try:
        done = subprocess.run(
            [program, action], input=message.encode(), capture_output=True, timeout=_HELPER_SECONDS, check=False
        )
    except FileNotFoundError:
        raise NotFound(f"the credential helper {program} is not installed: install it, or give username and password") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unauthenticated(f"the credential helper {program} failed: {type(error).__name__}") from None
    if done.returncode:
        if action != "store" and b"credentials not found" in done.stdout + done.stderr:
            return None
        raise Unauthenticated(f"the credential helper {program} failed with exit status {done.returncode} at {action}")
    return _from_helper(program, done.stdout) if action == "get" else None


def _from_helper(program: str, text: bytes) -> Credentials:
    try:
        answer = json.loads(text)
        username, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unauthenticated(f"the credential helper {program} gave no usable answer") from error
    return Credentials(identity_token=secret) if username == "<token>" else Credentials(username, secret)
