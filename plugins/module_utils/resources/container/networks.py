# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of a container on the host: what its hook finds there, and what a task does while it runs and when it ends."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import os
import typing as t

from ...engine import labels as L
from ...engine.models import PAUSED, RUNNING
from ...errors import EngineError, FailedPrecondition, NotFound, printable
from ...network.places import Places
from ...runtime_spec.namespaces import path_of
from .find import task_of
from .joined import joined
from .options.names import follow
from .options.network import connected_of, mode_of, numbered, with_added
from .options.network_seen import DEFAULT, NETWORKS_FILE, Hook, hook_of, kept
from .options.others import other_id
from .options.row import Context, Draft, Live, Values
from .options.table import BY_OPTION, effective, fields_for, load, values_of

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container
    from ...kernel.field import Change
    from ...network.conflist import ConfDir, Conflist
    from ...network.connected import Connected
    from ...network.networks import Networks
    from .layers import Layers
    from .values import WantedContainer

#: Beside the file of the hook: why it failed.
_ERROR = ".error"
#: Labels for static addresses in the first network.
_ADDRESSES = ((L.IP, 4), (L.IP6, 6))


def context_of(engine: Engine, container_id: str, values: Values, directory: str, name: str, places: Places) -> Context:
    """With what a row may look at on the host."""
    mode, places = mode_of(values), places._replace(namespace=engine.namespace)
    connected = joined(engine, values, ["network"])[0].connected if mode.container else None

    def look() -> str:
        """Asked where a name needs it."""
        return gateway(places, mode.network)

    def layers(image: str) -> Layers:
        """Asked where one is mounted."""
        from .layers import layers_of

        return layers_of(engine, image)

    def used_id(kind: str) -> str:
        """Asked where such a namespace of another container is used."""
        (one,) = joined(engine, values, [kind])
        return one.container.id if one.container else ""

    known = Context(container_id, values, directory, name, engine.namespace, places, connected, look, layers, used_id)
    return known._replace(data_root=engine.data_root)


def rejoined(engine: Engine, container: Container) -> Container:
    """The container, in the network of the other one that its mode names: that may have been made anew. FailedPrecondition if there is
    nothing to join.
    """
    other = next(iter(joined(engine, values_of(container), ["network"])), None)
    if other is None:
        return container
    other.check()
    if other.path == path_of(container.spec, "network") or other.connected is None:
        return container
    spec = copy.deepcopy(dict(container.spec))
    follow(spec, values_of(container), other.connected)
    before, now = engine.container_path(other_id(container.spec, "network")), os.path.dirname(other.connected.hosts)
    for one in spec["linux"]["namespaces"]:
        if one["type"] == "network":
            one["path"] = other.path
    for mount in spec.get("mounts") or ():
        directory, name = os.path.split(str(mount.get("source") or ""))
        if directory == before:
            mount["source"] = os.path.join(now, name)
    return engine.containers.update(container._replace(spec=spec), ["spec"])


def gateway(places: Places, network: str) -> str:
    """The address of this host in a network; empty without one. An internal network has no gateway, and that of macvlan is elsewhere."""
    from ...network.definition import Network

    found = Network.of(default_or(places, network)) if network else None
    subnets = found.subnets if found and found.bridge and not found.internal else ()
    gateways = sorted(str(one.gateway) for one in subnets if one.network.version == 4)
    return gateways[0] if gateways else ""


def default_or(places: Places, name: str) -> Conflist:
    """A network; the default one as the start will make it, if it is not there. NotFound names those that are there."""
    from ...network.conflist import ConfDir, Conflist
    from ...network.definition import Network

    directory = ConfDir(places.conf_dir, places.namespace)
    there = directory.read().networks
    if name not in there and name == DEFAULT:
        return Conflist.of(_networks(directory).completed(Network(DEFAULT)).document())
    try:
        return directory.get(name)
    except NotFound as error:
        raise NotFound(f"{error}; there are {', '.join(sorted({*there, DEFAULT}))}") from error


def _networks(directory: ConfDir) -> Networks:
    from ...network.attachment import Host as NetworkHost
    from ...network.attachment import rules_of_host
    from ...network.networks import Networks

    return Networks(directory, NetworkHost(rules_of_host()))


def inherit(draft: Draft, old: Container, want: WantedContainer) -> None:
    """A new container is where containerd_network has connected the old one to, unless it is to be nowhere but where the task says. The
    old one has the names, until they are swapped.
    """
    before, stored = kept(old), old.extensions.get(L.DESIRED)
    if draft.connected:
        draft.connected = draft.connected._replace(silent=True)
    if draft.connected and before and stored:
        made = effective(load(stored["given"]), stored["defaults"])
        modes = {one.option: one.mode for one in fields_for(want.given, want.modes)}
        draft.connected = with_added(draft.connected, before, made, modes)


def settle(draft: Draft, directory: str, data_root: str, before: t.Optional[Connected] = None) -> None:
    """Choose what is to be chosen, as it was before where it was, and have the hook in the specification."""
    if draft.connected is None:
        return
    from ...libexec.hooks import add_hooks, hooks

    connected = draft.connected = _chosen(_as_before(draft.connected, before))
    path = os.path.join(directory, NETWORKS_FILE)
    draft.files[path] = json.dumps(connected.to_json()).encode()
    add_hooks(draft.spec, hooks(data_root, path))
    ports = json.dumps(
        [
            {
                "HostPort": one.host_port,
                "ContainerPort": one.container_port,
                "Protocol": one.protocol,
                "HostIP": str(one.host_ip or "0.0.0.0"),
            }
            for one in connected.ports
        ]
    )
    told = {L.NETWORKS: json.dumps([one.network for one in connected.endpoints]), L.PORTS: ports if connected.ports else ""}
    for first in connected.endpoints[:1]:
        told[L.MAC_ADDRESS] = first.mac
        told.update({label: str(ip) for label, version in _ADDRESSES for ip in first.ips if ip.version == version})
    for label in (L.PORTS, L.MAC_ADDRESS, *(label for label, _version in _ADDRESSES)):
        draft.labels.pop(label, None)
    draft.labels.update({label: text for label, text in told.items() if text and len(label) + len(text) <= L.LIMIT})


def _as_before(connected: Connected, before: t.Optional[Connected]) -> Connected:
    """Ports that were chosen stay: each is taken once, as there may be several for the same port of the container."""
    chosen = [one for one in (before.ports if before else ()) if one not in connected.ports]
    ports = []
    for port in connected.ports:
        same = next((one for one in chosen if one._replace(host_port=0) == port), port)
        chosen = [one for one in chosen if one != same]
        ports.append(same)
    return connected._replace(ports=tuple(ports))


def _chosen(connected: Connected) -> Connected:
    if all(one.host_port for one in connected.ports):
        return connected
    from ...network.attachment import rules_of_host
    from ...network.ports import Published, choose_free

    # What is published is not listened to, so only the rules know it.
    taken = [(one.key["concat"][-2], one.key["concat"][-1]) for one in rules_of_host().elements() if one.value is not None]
    others = [Published(None, int(number), 1, str(protocol)) for protocol, number in taken]
    return connected._replace(ports=tuple(choose_free(connected.ports, others)))


def install(data_root: str) -> None:
    """Have the hook of this release on the host."""
    from ...libexec.hooks import install_hook

    install_hook(data_root)


def _data_root(hook: Hook) -> str:
    return os.path.dirname(os.path.dirname(hook.link))


def prepare(engine: Engine, container: Container) -> Container:
    """Before a start: have the hook, and the default network, if it is in it; or what it joins. The container as it is to be started."""
    connected = kept(container)
    if connected is None:
        return rejoined(engine, container)
    hook = hook_of(container)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(hook.networks + _ERROR)
    if not os.path.exists(hook.link):
        install(_data_root(hook))
    make_ready(connected)
    return container


def make_ready(connected: Connected) -> None:
    """Have the default network, if a container is in it, and take addresses and ports from containers that ended while nobody looked."""
    from ...network.strangers import sweep

    if any(one.network == DEFAULT for one in connected.endpoints):
        _put_default(connected.places)
    sweep(connected.places)


def explained(container: Container, error: EngineError) -> EngineError:
    """The error of a start: what the hook says, if that failed, rather than what the runtime makes of it."""
    from ...hostfs.atomic import read_file

    found = read_file(hook_of(container).networks + _ERROR) if hook_of(container).networks else None
    return (
        FailedPrecondition(f"the networks cannot be had: {printable(found.decode('utf-8', 'replace'), 1000)}") if found else error
    )


def _put_default(places: Places) -> None:
    from ...network.conflist import ConfDir

    directory = ConfDir(places.conf_dir, places.namespace)
    if DEFAULT not in directory.read().networks:
        with directory.locked():
            _networks(directory).put_default()


def release(container: Container, unused: bool = False) -> None:
    """Give back addresses and ports of a container that does not run: also where the runtime has forgotten it (a reboot).

    unused: not if a process is in its namespace. Then the container may run, and others may not use that namespace.
    """
    connected = kept(container)
    if connected and connected.attached:
        from ...network.connected import held
        from ...network.strangers import in_use

        # One that is removed meanwhile is removed by somebody who does this, too.
        with contextlib.suppress(NotFound), held(hook_of(container).networks) as now:
            if not (unused and in_use(now.pin)):
                _detach(now)


def are_known(container: Container) -> bool:
    """False where it has networks of its own, and what is kept of them is gone or damaged."""
    return not hook_of(container).networks or kept(container) is not None


def tell_names(container: Container, silent: bool) -> None:
    """Have the other members of its networks find it by its names, or not."""
    connected = kept(container)
    if connected and connected.silent is not silent:
        from ...network.connected import held, keep
        from ...network.container import Connection

        path = hook_of(container).networks
        with contextlib.suppress(NotFound), held(path) as now:
            keep(path, now._replace(silent=silent))
            Connection(now._replace(silent=silent)).tell()


def _detach(connected: Connected) -> None:
    if connected.attached:
        from ...network.container import Connection

        Connection(connected).down()


def _since(looked: Connected, now: Connected, wanted: Connected) -> Connected:
    """What is wanted, with the networks that somebody else has connected it to, and without those that it was disconnected from, since."""
    had, has, names = ({one.network for one in each.endpoints} for each in (looked, now, wanted))
    stay = [one for one in wanted.endpoints if one.network not in had - has]
    come = [one._replace(interface="") for one in now.endpoints if one.network not in had | names]
    return wanted._replace(endpoints=tuple(numbered([*stay, *come])))


def reconnect(before: Connected, wanted: Connected, path: str) -> None:
    """Change the networks of a container that runs."""
    from ...network.connected import keep
    from ...network.container import Connection

    Connection(before).change(wanted, functools.partial(keep, path))


def changes(differences: t.Iterable[Change]) -> bool:
    """Whether some of these are about networks."""
    return any(BY_OPTION[one.field.option].live is Live.NETWORKS for one in differences)


def change(engine: Engine, container: Container, draft: Draft, context: Context) -> None:
    """Have other networks and ports, also while it runs. A failure leaves it as it was."""
    from ...network.connected import alone, keep

    wanted, hook = connected_of(context), hook_of(container)
    if wanted is None or not hook.networks:
        return
    before = kept(container)
    wanted = wanted._replace(places=before.places, resolver=before.resolver) if before else wanted
    make_ready(wanted)
    with alone(wanted.container_id, wanted.places):
        looked, before = before, kept(container)
        draft.connected = _since(looked, before, wanted) if looked and before else wanted
        settle(draft, context.directory, _data_root(hook), before)
        task = task_of(engine, container)
        if task and task.status in (RUNNING, PAUSED):
            reconnect(before or draft.connected, draft.connected, hook.networks)
        else:
            _detach(before or draft.connected)
            keep(hook.networks, draft.connected)
