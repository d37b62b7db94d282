# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of a container on the host: what its hook finds there, and what a task does while it runs and when it ends."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import typing as t

from ...engine import labels as L
from ...engine.models import PAUSED, RUNNING
from ...errors import EngineError, FailedPrecondition, InvalidArgument, NotFound, printable
from .find import find_container, task_of
from .options.network import DEFAULT, NETWORKS_FILE, Hook, connected_of, hook_of, joined, kept, named, shared_with
from .options.ports import asked_ports
from .options.row import Context, Draft, Host, Live, Seen, Values
from .options.table import BY_OPTION

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Container
    from ...kernel.field import Change
    from ...network.connected import Connected
    from ...network.places import Places

#: Beside the file of the hook: why it failed.
_ERROR = ".error"


def context_of(engine: Engine, container_id: str, values: Values, directory: str, name: str) -> Context:
    """With what a row may look at on the host."""
    other = shared_with(values)
    return Context(
        container_id,
        values,
        directory,
        name,
        engine.namespace,
        _joined(engine, other) if other else None,
        lambda: _gateway(engine, next((name for _option, name in named(values)), "")),
    )


def _joined(engine: Engine, name: str) -> Connected:
    container = find_container(engine, name)
    if container is None:
        raise InvalidArgument(f"network_mode: there is no container {printable(name, 100)} whose network could be used")
    connected = kept(Seen(container, {}))
    if connected is None:
        raise InvalidArgument(
            f"network_mode: the container {printable(name, 100)} is in no network of its own: give network_mode as it has it"
        )
    return connected


def _gateway(engine: Engine, network: str) -> str:
    """The address of this host in a network; empty without one."""
    from ...network.conflist import ConfDir
    from ...network.definition import Network

    directory = ConfDir(namespace=engine.namespace)
    there = directory.read().networks.get(network)
    found = Network.of(there) if there else None
    if there is None and network == DEFAULT:
        from ...network.attachment import Host as NetworkHost
        from ...network.attachment import rules_of_host
        from ...network.networks import Networks

        # The start will make it.
        found = Networks(directory, NetworkHost(rules_of_host())).completed(Network(DEFAULT))
    gateways = sorted(str(one.gateway) for one in (found.subnets if found else ()) if one.network.version == 4)
    return gateways[0] if gateways else ""


def check(host: Host, given: Values) -> None:
    """What a container asks of the host is there: networks, another container; and no program listens at its ports."""
    if shared_with(given):
        _joined(host.engine, shared_with(given))
    _check_networks(joined(given), host.engine.namespace)
    ports = asked_ports(given)
    if ports and host.starts:
        from ...network.ports import check_unused

        check_unused(ports)


def _check_networks(names: t.Sequence[t.Tuple[str, str]], namespace: str) -> None:
    if not names:
        return
    from ...network.attachment import check_rules
    from ...network.conflist import ConfDir
    from ...network.definition import Network

    directory, bridged = ConfDir(namespace=namespace), False
    for option, name in names:
        try:
            found = Network(DEFAULT) if name == DEFAULT else Network.of(directory.get(name))
        except NotFound as error:
            raise NotFound(f"{option}: {error}") from error
        bridged = bridged or (found is not None and found.driver == "bridge")
    if bridged:
        check_rules()


def settle(draft: Draft, directory: str, data_root: str, before: t.Optional[Connected] = None) -> None:
    """Choose what is to be chosen, as it was before where it was, and have the hook in the specification."""
    if draft.connected is None:
        return
    from ...libexec.hooks import hooks

    connected = draft.connected = _chosen(_as_before(draft.connected, before))
    path = os.path.join(directory, NETWORKS_FILE)
    draft.files[path] = json.dumps(connected.to_json()).encode()
    draft.spec["hooks"] = hooks(data_root, path)
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
    draft.labels.pop(L.PORTS, None)
    if connected.ports and len(ports) + len(L.PORTS) <= L.LIMIT:
        draft.labels[L.PORTS] = ports


def _as_before(connected: Connected, before: t.Optional[Connected]) -> Connected:
    """Interfaces stay with their networks, and ports that were chosen stay."""
    if before is None:
        return connected
    had = {one.network: before.interface(number) for number, one in enumerate(before.endpoints)}
    used = {had[one.network] for one in connected.endpoints if one.network in had}
    free = (name for name in (f"eth{number}" for number in range(1000)) if name not in used)
    endpoints = tuple(one._replace(interface=had.get(one.network) or next(free)) for one in connected.endpoints)
    asked = {one for one in connected.ports if one.host_port}
    chosen = {one._replace(host_port=0): one for one in before.ports if one not in asked}
    return connected._replace(endpoints=endpoints, ports=tuple(chosen.get(one, one) for one in connected.ports))


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


def prepare(container: Container) -> None:
    """Before a start: have the hook, and the default network, if it is in it."""
    connected = kept(Seen(container, {}))
    if connected is None:
        return
    hook = hook_of(container)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(hook.networks + _ERROR)
    if not os.path.exists(hook.link):
        install(_data_root(hook))
    make_ready(connected)


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
    from ...network.attachment import Host as NetworkHost
    from ...network.attachment import rules_of_host
    from ...network.conflist import ConfDir
    from ...network.networks import Networks

    directory = ConfDir(places.conf_dir, places.namespace)
    if DEFAULT not in directory.read().networks:
        with directory.locked():
            Networks(directory, NetworkHost(rules_of_host())).put_default()


def release(container: Container) -> None:
    """Give back addresses and ports of a container that does not run: also where the runtime has forgotten it (a reboot)."""
    connected = kept(Seen(container, {}))
    if connected and _attached(connected):
        from ...network.connected import held

        # One that is removed meanwhile is removed by somebody who does this, too.
        with contextlib.suppress(NotFound), held(hook_of(container).networks) as now:
            _detach(now)


def _attached(connected: Connected) -> bool:
    return os.path.lexists(connected.pin) or any(connected.begun())


def _detach(connected: Connected) -> None:
    if _attached(connected):
        from ...network.container import Connection

        Connection(connected).down()


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
    make_ready(wanted)
    with alone(wanted.container_id, wanted.places):
        before, draft.connected = kept(Seen(container, {})), wanted
        settle(draft, context.directory, _data_root(hook), before)
        draft.labels[L.NETWORKS] = json.dumps([one.network for one in draft.connected.endpoints])
        task = task_of(engine, container)
        if task and task.status in (RUNNING, PAUSED):
            reconnect(before or draft.connected, draft.connected, hook.networks)
        else:
            _detach(before or draft.connected)
            keep(hook.networks, draft.connected)
