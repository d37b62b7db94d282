# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of names: the container's own, and those that it can look up."""

from __future__ import annotations

import json
import os
import re
import typing as t

from ....engine import labels as L
from ....engine.models import Container
from ....errors import InvalidArgument, printable
from ....kernel.field import MORE, Field
from ....runtime_spec.mounts import bind_files
from ....runtime_spec.process import add_env
from .row import Context, Draft, Live, Row, Value, Values, bad, fixed, nothing, parse_text

if t.TYPE_CHECKING:
    from ....network.connected import Connected

HOST_GATEWAY = "host-gateway"
#: Below the container's directory: its /etc/hosts. The part of it with the lines of etc_hosts; no network can have that name.
_FILE, _PART = "hosts", "(etc_hosts)"
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}"


def names_of(value: Value, option: str) -> str:
    """A name in a hosts file."""
    if not re.fullmatch(_NAME, str(value)):
        raise bad(option, value, "the name of a host")
    return str(value)


def parse_hostname(value: Value, option: str) -> str:
    text = parse_text(value, option)
    labels = text.split(".")
    if not 1 <= len(text) <= 64 or not all(part and part.replace("-", "a").isalnum() and part.isascii() for part in labels):
        raise bad(option, value, "a host name (letters, digits, hyphens and dots, at most 64)")
    return text


def parse_servers(value: Value, option: str) -> t.List[str]:
    from ....network.subnets import parse_address

    return [str(parse_address(one, option)) for one in value]


def parse_words(value: Value, option: str) -> t.List[str]:
    """Search domains, or options of the resolver."""
    for one in value:
        if not re.fullmatch(r"[\x21-\x7e]{1,255}", str(one)):
            raise bad(option, one, "one word")
    return [str(one) for one in value]


def parse_etc_hosts(value: Value, option: str) -> t.Dict[str, str]:
    from ....network.subnets import parse_address

    return {
        names_of(name, option): HOST_GATEWAY
        if one == HOST_GATEWAY
        else str(parse_address(one, f"{option}.{printable(name, 80)}"))
        for name, one in value.items()
    }


def hostname_of(connected: Connected) -> str:
    """The host name of a container with these networks, without its domain."""
    full, *others = connected.names
    return others[0] if others and full.startswith(f"{others[0]}.") else full


def follow(spec: t.Dict[str, t.Any], values: Values, connected: Connected) -> None:
    """Have the host name of another container whose network is used now, unless there is one of its own."""
    if values.get("hostname") is None and "hostname" in spec:
        before, spec["hostname"] = spec.get("hostname"), hostname_of(connected)
        if f"HOSTNAME={before}" in spec["process"]["env"]:
            add_env(spec, {"HOSTNAME": spec["hostname"]})


def _hostname(draft: Draft, value: t.Optional[str], context: Context) -> None:
    """In the network of the host or of another container it is the name there, as in Docker: it belongs to the addresses. So it is with
    the host's names (uts).
    """
    own = hostname_of(context.joined) if context.joined else context.container_id[:12]
    own = os.uname().nodename if context.values["network_mode"].of_host or context.values["uts"] == "host" else own
    draft.spec["hostname"] = draft.labels[L.HOSTNAME] = value or own
    add_env(draft.spec, {"HOSTNAME": draft.spec["hostname"]})


def _domainname(draft: Draft, value: str, context: Context) -> None:
    """Runtimes know domainname since version 1.1 of the specification; the sysctl works with all."""
    if value:
        draft.labels[L.DOMAINNAME] = value
        draft.spec["linux"].setdefault("sysctl", {})["kernel.domainname"] = value


def gateway_for(values: Values, look: t.Callable[[], str]) -> str:
    """The address that host-gateway stands for; empty where nobody asks for it. InvalidArgument if there is none."""
    name = next((name for name, one in values["etc_hosts"].items() if one == HOST_GATEWAY), None)
    found = look() if name else ""
    if name and not found:
        needs = "host-gateway needs a network of the container's own in which this host has an address"
        raise InvalidArgument(f"etc_hosts: {name}: {needs}")
    return found


def hosts_and_resolver(draft: Draft, context: Context, theirs: t.Mapping[str, str]) -> None:
    """Mount /etc/hosts and /etc/resolv.conf. theirs: those of the host, or of the container whose network it uses; they are mounted where
    nothing else is asked for. Without a network the image's own resolv.conf stays.
    """
    from ....hostfs.edit import with_part
    from ....network.resolver import Resolver
    from ....runtime_spec.network import HOSTS, RESOLVER, hosts_file

    values, connected = context.values, draft.connected is not None
    asked = [tuple(values[option]) for option in ("dns_servers", "dns_search_domains", "dns_opts")]
    files = dict(theirs)
    if values["etc_hosts"] or HOSTS not in files:
        files[HOSTS] = os.path.join(context.directory, _FILE)
        own = hosts_file("" if connected else draft.spec["hostname"])
        draft.files[files[HOSTS]] = with_part(own, _PART, _lines(values, context))
    if any(asked) or connected or values["network_mode"].path:
        files[RESOLVER] = os.path.join(context.directory, "resolv.conf")
        resolver = Resolver(files[RESOLVER], *asked)
        draft.files[resolver.path] = resolver.text(of_host=values["network_mode"].of_host)
        if draft.connected:
            draft.connected = draft.connected._replace(resolver=resolver)
    bind_files(draft.spec, files)
    _label(draft, values["etc_hosts"])


def _lines(values: Values, context: Context) -> t.List[str]:
    gateway = gateway_for(values, context.gateway)
    return [f"{gateway if one == HOST_GATEWAY else one}\t{name}" for name, one in values["etc_hosts"].items()]


def _etc_hosts(draft: Draft, value: t.Mapping[str, str], context: Context) -> None:
    """Of a container that stays. Else hosts_and_resolver() does it."""
    from ....hostfs.edit import with_part

    if context.root < 0:
        lines = _lines(context.values, context)
        draft.edits[os.path.join(context.directory, _FILE)] = lambda old: with_part(old, _PART, lines)
        _label(draft, value)


def _has_its_own(container: Container, value: t.Mapping[str, str]) -> bool:
    """Whether it has a hosts file of its own, and would have one with this value: without, it has that of the network that it shares."""
    linux = container.spec.get("linux") or {}
    alone = {"type": "network"} in (linux.get("namespaces") or [])
    sources = [str(one.get("source", "")) for one in container.spec.get("mounts") or () if one.get("destination") == "/etc/hosts"]
    return any(one.endswith(f"/{container.id}/{_FILE}") for one in sources) and (alone or bool(value))


def _label(draft: Draft, value: t.Mapping[str, str]) -> None:
    hosts = json.dumps([f"{name}:{one}" for name, one in value.items()])
    draft.labels[L.EXTRA_HOSTS] = hosts if len(hosts) + len(L.EXTRA_HOSTS) <= L.LIMIT else "[]"


def _of_resolver(field: Field, parse: t.Callable[[Value, str], Value], place: str) -> Row:
    """An option of resolv.conf, in a place of facts."""
    return Row(field, parse, fixed([]), nothing, Live.NEVER, {place: lambda seen: seen.values.get(field.option) or []})


#: hosts_and_resolver() writes the files with all options that render nothing.
ROWS = (
    Row(
        Field("hostname"),
        parse_hostname,
        fixed(None),
        _hostname,
        Live.NEVER,
        {"Config.Hostname": lambda seen: seen.spec.get("hostname") or seen.container.labels.get(L.HOSTNAME, "")},
    ),
    Row(
        Field("domainname"),
        parse_hostname,
        fixed(""),
        _domainname,
        Live.NEVER,
        {"Config.Domainname": lambda seen: seen.values.get("domainname") or ""},
    ),
    _of_resolver(Field("dns_servers", "list"), parse_servers, "HostConfig.Dns"),
    _of_resolver(Field("dns_search_domains", "list"), parse_words, "HostConfig.DnsSearch"),
    _of_resolver(Field("dns_opts", "set", MORE), parse_words, "HostConfig.DnsOptions"),
    Row(
        Field("etc_hosts", "dict", MORE),
        parse_etc_hosts,
        fixed({}),
        _etc_hosts,
        Live.FILES,
        {"HostConfig.ExtraHosts": lambda seen: [f"{name}:{one}" for name, one in (seen.values.get("etc_hosts") or {}).items()]},
        stays=_has_its_own,
    ),
)
