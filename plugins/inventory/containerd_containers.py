# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_containers: the containers of an engine on the controller as hosts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: containerd_containers
short_description: Containers as hosts
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Makes a host of each container that an engine has, on the controller or on another host, with the variables that
    P(fleet.containerd.containerd#connection) takes to run tasks in it.
  - The name of the host is the name of the container. A container of the kubelet is called after its pod, C(NAMESPACE.POD.CONTAINER).
  - A container has its id as the name of the host if it has no name, if a newer container has the same, if the name means another host, such as
    C(localhost), or if it has other characters than letters, digits, C(_), C(-) and C(.).
  - To Ansible, two hosts of the same name are one, also when they come from two sources of an inventory. If two engines have containers of the
    same names, use an inventory for each.
  - Names, labels and whatever else describes a container are text, which Ansible never runs as a template. So whoever can make a container
    cannot run anything on the controller by that.
  - Reads a YAML file whose name ends with C(containerd.yml) or C(containerd.yaml).
  - The engine must be usable by the user who runs Ansible, or through O(command_prefix) or O(ssh_host). For the embedded engine, that is
    root.
extends_documentation_fragment:
  - fleet.containerd.engine
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description:
      - The name of this plugin.
    type: str
    required: true
    choices: [fleet.containerd.containerd_containers]
  address:
    description:
      - Path of the containerd daemon's socket.
      - Used by engine V(containerd) only.
    type: path
    default: /run/containerd/containerd.sock
    env:
      - name: CONTAINERD_ADDRESS
  namespace:
    description:
      - The containerd namespace. The kubelet uses V(k8s.io), C(nerdctl) and C(ctr) use V(default).
      - The containers of pods are also put into a group C(pod_namespace_NAME) for each namespace of Kubernetes. The sandboxes of pods, in
        which nothing can run, are left out.
    type: str
    default: default
    env:
      - name: CONTAINERD_NAMESPACE
  connection_type:
    description:
      - With V(containerd) tasks are run in the container by P(fleet.containerd.containerd#connection).
      - With V(ssh) they go to the port of the host that O(private_ssh_port) of the container is published as. Containers that do not
        publish it are left out.
    type: str
    choices: [containerd, ssh]
    default: containerd
  default_ip:
    description:
      - The address that stands for all addresses of the host, for O(connection_type=ssh).
    type: str
    default: 127.0.0.1
  private_ssh_port:
    description:
      - The port in the container that its SSH server listens on, for O(connection_type=ssh).
    type: int
    default: 22
  ssh_host:
    description:
      - The host that has the engine, as C(ssh) takes it, for example V(root@node1.example.com). C(ssh) must not ask for a password. When not set,
        it is the controller. The containers become hosts that are reached the same way.
    type: str
    env:
      - name: ANSIBLE_CONTAINERD_SSH_HOST
  ssh_args:
    description:
      - Arguments of C(ssh) for O(ssh_host).
    type: str
    default: -o BatchMode=yes -o ControlMaster=auto -o ControlPersist=60s -o ControlPath=~/.ansible/cp/containerd-%C
    env:
      - name: ANSIBLE_CONTAINERD_SSH_ARGS
  command_prefix:
    description:
      - The beginning of a command line that reaches the engine, for example V(sudo -n), as with P(fleet.containerd.containerd#connection).
    type: str
    env:
      - name: ANSIBLE_CONTAINERD_COMMAND_PREFIX
  filters:
    description:
      - Which containers become hosts. Each entry has V(include) or V(exclude), with an expression of Jinja2 or a boolean. The first entry that
        is true for a container decides. A container for which none is true is included.
      - The expressions see the same variables as O(compose).
      - An expression that fails is an error with O(strict), and otherwise not true.
    type: list
    elements: dict
    default: []
    suboptions:
      include:
        description:
          - Includes the container.
        type: raw
      exclude:
        description:
          - Leaves the container out.
        type: raw
  verbose_output:
    description:
      - Whether hosts get what M(fleet.containerd.containerd_container_info) tells as variables. Their names are C(containerd_) and the key
        in small letters, for example C(containerd_config) and C(containerd_hostconfig).
      - Without it, only O(compose), O(groups), O(keyed_groups) and O(filters) see them. Hosts have C(containerd_name) and
        C(containerd_short_id), and those of pods C(containerd_pod_name), C(containerd_pod_namespace) and C(containerd_pod_container).
    type: bool
    default: false
notes:
  - With O(cache), the environment of containers (C(containerd_config.Env)) is left out, since everybody can read the files of most caches.
"""

EXAMPLES = r"""
# The smallest one: all containers, and tasks run in them.
plugin: fleet.containerd.containerd_containers
engine: embedded

---
# Containers that run, in groups by image, by the label tier and by network.
plugin: fleet.containerd.containerd_containers
filters:
  - exclude: not containerd_state.Running
compose:
  tier: containerd_config.Labels.tier | default('none')
groups:
  public: containerd_hostconfig.PortBindings | length > 0
keyed_groups:
  - prefix: image
    key: containerd_config.Image
  - prefix: tier
    key: tier
  - prefix: network
    key: containerd_hostconfig.NetworkMode

---
# The containers of the kubelet, but those of the cluster itself, kept for a minute.
plugin: fleet.containerd.containerd_containers
engine: containerd
namespace: k8s.io
filters:
  - exclude: containerd_pod_namespace | default('') == 'kube-system'
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: /var/cache/ansible
cache_timeout: 60
"""

import collections
import contextlib
import re
import typing as t

from ansible.constants import LOCALHOST
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.unsafe_proxy import wrap_var

from ..plugin_utils.compiled import core

if t.TYPE_CHECKING:
    from ..module_utils import errors
    from ..module_utils.kernel import engines
    from ..module_utils.resources.container import afar, entry, look
else:
    errors, engines = core("errors"), core("kernel.engines")
    afar, entry, look = (core(f"resources.container.{name}") for name in ("afar", "entry", "look"))

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
#: Names that mean other hosts.
_TAKEN = {"all", "ungrouped", *LOCALHOST}
_ENDINGS = ("containerd.yml", "containerd.yaml")
_POD = "io.kubernetes.pod."
_PODS = {"namespace": f"{_POD}namespace", "name": f"{_POD}name", "container": "io.kubernetes.container.name"}
_EVERYWHERE = ("", "0.0.0.0", "::")  # read, not listened on
_SHORT = 12

Facts = t.Dict[str, t.Any]
#: include or exclude, and when.
Filter = t.Tuple[str, t.Union[str, bool]]


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Reads one file that describes an inventory."""

    inventory: t.Any
    NAME = "fleet.containerd.containerd_containers"

    def verify_file(self, path: str) -> bool:
        return bool(super().verify_file(path)) and path.endswith(_ENDINGS)

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        filters = [_filter(one) for one in self.get_option("filters")]
        key = self.get_cache_key(path)
        kept = self.get_option("cache")
        found = self._cache.get(key) if kept and cache else None
        if found is None:
            found = self._read()
            if kept:
                for facts in found:
                    facts["Config"].pop("Env", None)
                self._cache[key] = found
        for name, reached, facts in _named(found):
            self._add(name, wrap_var(reached), wrap_var(facts), filters)

    def _read(self) -> t.List[Facts]:
        """The facts of all containers."""
        options = engines.EngineOptions.of({name: self.get_option(name) for name in engines.EngineOptions._fields})
        try:
            command = afar.reaching(*(self.get_option(name) or "" for name in ("command_prefix", "ssh_host", "ssh_args")))
            if command:
                with contextlib.closing(afar.AfarSession(command, options, "", entry.As())) as session:
                    containers, warnings = session.look()
            else:
                containers, warnings = look.look(options)
        except (errors.EngineError, OSError) as error:
            raise AnsibleParserError(f"the containers cannot be read: {error}") from error
        for warning in warnings:
            self.display.warning(warning)
        return containers

    def _add(self, name: str, reached: str, facts: Facts, filters: t.Sequence[Filter]) -> None:
        """Make one container a host, with its variables and groups."""
        own = _own_variables(facts)
        known = {**{f"containerd_{key.lower()}": value for key, value in facts.items()}, **own}
        connection = self._connection(reached, facts)
        if connection is None or not self._included(name, {**known, "inventory_hostname": name}, filters):
            return
        self.inventory.add_host(name)
        for variable, value in {**(known if self.get_option("verbose_output") else own), **connection}.items():
            self.inventory.set_variable(name, variable, value)
        if "containerd_pod_namespace" in own:
            group = self._sanitize_group_name(f"pod_namespace_{own['containerd_pod_namespace']}")
            self.inventory.add_child(self.inventory.add_group(group), name)
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), known, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), known, name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), known, name, strict=strict)

    def _connection(self, reached: str, facts: Facts) -> t.Optional[Facts]:
        """The variables that tell how to reach a container, which this name reaches. None if it cannot be reached."""
        if self.get_option("connection_type") == "containerd":
            given = {option: self.get_option(option) for option in _PASSED}
            given["ssh_args"] = self.get_option("ssh_args") if given["ssh_host"] else ""
            engine = {f"ansible_containerd_{option}": value for option, value in given.items() if value}
            return {"ansible_connection": "fleet.containerd.containerd", "ansible_host": reached, **engine}
        ports = facts["NetworkSettings"].get("Ports") or {}
        published = ports.get(f"{self.get_option('private_ssh_port')}/tcp")
        if not published:
            return None
        address = published[0]["HostIp"]
        host = self.get_option("default_ip") if address in _EVERYWHERE else address
        return {"ansible_connection": "ssh", "ansible_host": host, "ansible_port": int(published[0]["HostPort"])}

    def _included(self, name: str, known: Facts, filters: t.Sequence[Filter]) -> bool:
        """Whether the filters include a container with these variables."""
        for word, expression in filters:
            try:
                found = expression if isinstance(expression, bool) else self._compose(expression, known)
                true = boolean(found, strict=False) if isinstance(found, str) else bool(found)
            except AnsibleError as error:
                if self.get_option("strict"):
                    raise AnsibleParserError(f"filters: {word}: {expression} fails for {name}: {error}") from error
                true = False
            if true:
                return word == "include"
        return True


#: The options that the connection plugin has, too.
_PASSED = ("engine", "address", "namespace", "data_root", "state_root", "ssh_host", "command_prefix")


def _filter(given: t.Any) -> Filter:
    """An entry of the option filters."""
    if isinstance(given, dict) and len(given) == 1:
        ((word, expression),) = given.items()
        if word in ("include", "exclude") and isinstance(expression, (bool, str)):
            return word, expression
    raise AnsibleParserError(f"filters: {given} must be one of include and exclude, with an expression or a boolean")


def _name_or_id(facts: Facts) -> str:
    """What the container is for an engine."""
    return str(facts["Name"])[1:]


def _own_variables(facts: Facts) -> Facts:
    """What every host is told of its container."""
    pod = {f"containerd_pod_{key}": value for key, value in _pod(facts).items()}
    return {"containerd_name": _name_or_id(facts), "containerd_short_id": facts["Id"][:_SHORT], **pod}


def _pod(facts: Facts) -> t.Dict[str, str]:
    """Where in Kubernetes a container is. The sandbox of a pod has no name of a container."""
    labels = facts["Config"].get("Labels") or {}
    found = {key: labels[label] for key, label in _PODS.items() if label in labels}
    return found if {"namespace", "name"} <= found.keys() else {}


def _named(found: t.Sequence[Facts]) -> t.Iterator[t.Tuple[str, str, Facts]]:
    """Containers, with the names of their hosts and what reaches them. The newest one gets a name that several have."""
    names = collections.Counter(map(_name_or_id, found))
    used = {*_TAKEN, *(facts["Id"] for facts in found)}
    for facts in sorted(found, key=lambda one: str(one["Created"]), reverse=True):
        pod, own = _pod(facts), _name_or_id(facts)
        if pod and "container" not in pod:
            continue
        name = ".".join(pod.values()) or own
        if not _NAME.fullmatch(name) or name in used:
            name = facts["Id"]
        used.add(name)
        yield name, facts["Id"] if name == facts["Id"] or names[own] > 1 else own, facts
