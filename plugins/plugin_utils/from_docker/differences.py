# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules of community.docker, what they are here, and the options that differ. What is not in these tables is the same here, or not
here at all: that is decided by the argument specs, so a new option of ours needs no line.
"""

from __future__ import annotations

import typing as t

#: For options that say nothing which is needed here, whatever their value.
EVERY = object()


class Rule(t.NamedTuple):
    """What becomes of an option.

    to: its name here, if that is another one. values: other words for its values. instead: what to do, if it is not here.
    needless: the values that say what is so here anyway, so the option is left out.
    inner: its value is a dictionary with one option, which takes its place.
    """

    to: str = ""
    values: t.Mapping[str, str] = {}
    instead: str = ""
    needless: t.Any = ()
    inner: bool = False

    def is_needless(self, value: t.Any) -> bool:
        return self.needless is EVERY or any(_plain(value) == _plain(one) for one in self.needless)


class Module(t.NamedTuple):
    """A module of community.docker. to: its name here; empty: there is none, and instead tells what to do.

    fixed: options that a task needs in addition. defaults: those that it needs where they are not given, since the defaults differ.
    """

    to: str = ""
    rules: t.Mapping[str, Rule] = {}
    fixed: t.Mapping[str, str] = {}
    defaults: t.Mapping[str, str] = {}
    instead: str = ""


def _plain(value: t.Any) -> t.Any:
    """A value to be compared: words for booleans are booleans, numbers are text."""
    text = str(value).lower()
    return {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}.get(text, text)


def is_one_of(value: t.Any, choices: t.Collection[t.Any]) -> bool:
    """Whether a value is among the choices of an option; YAML reads some words as booleans, and Ansible reads those back."""
    return _plain(value) in {_plain(one) for one in choices}


_DAEMON = "there is no Docker daemon to talk to; engine, address and namespace say where the containers are"
_TLS = Rule(instead=_DAEMON, needless=EVERY)
#: Options that all modules there share. Some are here, too, but mean the registry and not the daemon.
COMMON: t.Mapping[str, Rule] = {
    **dict.fromkeys(
        ("docker_host", "docker_url"),
        Rule(
            instead="there is no Docker daemon to talk to; a task runs on the host that has the containers, so give that host in hosts or "
            "delegate_to",
            needless=("unix:///var/run/docker.sock", "unix://var/run/docker.sock", "unix:///run/docker.sock"),
        ),
    ),
    **dict.fromkeys(("api_version", "docker_api_version", "debug", "use_ssh_client", "tls", "tls_hostname"), _TLS),
    **dict.fromkeys(("ca_path", "ca_cert", "tls_ca_cert", "cacert_path", "validate_certs", "tls_verify"), _TLS),
    **dict.fromkeys(("client_cert", "tls_client_cert", "cert_path", "client_key", "tls_client_key", "key_path"), _TLS),
    "timeout": Rule(
        instead="no daemon is asked; pulls have progress_timeout and retries, jobs have wait_timeout",
        needless=EVERY,
    ),
}
#: Those of them that are options of modules here, with another meaning.
MEANT_OTHERWISE = ("ca_path", "client_cert", "client_key", "validate_certs")

CONTAINER: t.Mapping[str, Rule] = {
    "command_handling": Rule(instead="write command and entrypoint as lists", needless=("correct",)),
    "container_default_behavior": Rule(
        instead="give those of auto_remove, detach, init, interactive, memory, paused, privileged, read_only and tty that matter",
        needless=("no_defaults",),
    ),
    "ignore_image": Rule(instead="give comparisons: {image: ignore}", needless=(False,)),
    "kernel_memory": Rule(
        instead="kernels and runtimes have no such limit any more, and count the kernel's memory in memory; leave it out",
        needless=(0,),
    ),
    "links": Rule(instead="put both containers into a network, and give the other one aliases there (networks)", needless=([],)),
    "networks_cli_compatible": Rule(
        instead="name the network bridge in networks, too, if the container is to be in it", needless=(True,)
    ),
    "purge_networks": Rule(instead="give comparisons: {networks: strict}", needless=(False,)),
    "storage_opts": Rule(
        instead="a container has no quota of its own; put what grows into a volume that is a disk or a tmpfs (containerd_volume)",
        needless=({},),
    ),
    "volume_driver": Rule(
        instead="there are no plugins for volumes; give driver_options to the volume itself (containerd_volume)",
        needless=("local",),
    ),
}
#: What to do instead of options in options.
SUBOPTIONS: t.Mapping[str, str] = {
    "networks.links": "give the other container aliases in this network",
    "networks.driver_opts": "networks have options here (containerd_network), single containers have none",
    "networks.gw_priority": "the first of the networks has the default route",
    "mounts.consistency": "it means something on a Mac only; leave it out",
    "mounts.volume_driver": CONTAINER["volume_driver"].instead,
    "mounts.volume_options": "give driver_options to the volume itself (containerd_volume)",
}
_BOTH = "this module does one thing at a time; write a task for each"
#: Options of docker_image, by what a task with them does.
IMAGE: t.Mapping[str, Rule] = {
    "archive_path": Rule(instead="use containerd_image_export"),
    "build": Rule(instead="images are not built here; build elsewhere, and use containerd_image_load or a registry"),
    "force_absent": Rule(to="force"),
    "force_source": Rule(instead="use pull: always", needless=(False,)),
    "force_tag": Rule(instead="use containerd_image_tag with existing_images: overwrite", needless=(False,)),
    "load_path": Rule(instead="use containerd_image_load"),
    "pull": Rule(instead="give platform as an option of the module itself", inner=True),
    "push": Rule(instead="use containerd_image_push", needless=(False,)),
    "repository": Rule(instead="use containerd_image_tag"),
    "source": Rule(
        instead="pull is containerd_image, load is containerd_image_load, local is containerd_image_tag or containerd_image_push; "
        "images are not built here",
        needless=("pull",),
    ),
}
NETWORK: t.Mapping[str, Rule] = {
    "attachable": Rule(instead="a host has no swarm", needless=(False,)),
    "config_from": Rule(instead="give the options themselves"),
    "config_only": Rule(instead="a network here exists to be used; leave it out", needless=(False,)),
    "enable_ipv4": Rule(instead="give ipam_config with IPv6 subnets only", needless=(True,)),
    "ingress": Rule(instead="a host has no swarm", needless=(False,)),
    "ipam_driver": Rule(instead="give conflist with another ipam plugin", needless=("default",)),
    "ipam_driver_options": Rule(instead="give conflist with another ipam plugin", needless=({},)),
    "scope": Rule(instead="a network is one of its host", needless=("local",)),
}
COPY: t.Mapping[str, Rule] = {
    "mode_parse": Rule(
        instead="a mode is octal digits in quotes, or the number that YAML makes of 0644: write it so",
        needless=("modern", "octal_string_only"),
    ),
}
PRUNE: t.Mapping[str, Rule] = {
    "builder_cache": Rule(instead="images are not built here", needless=(False,)),
    **dict.fromkeys(
        ("builder_cache_all", "builder_cache_filters", "builder_cache_keep_storage"), Rule(instead="images are not built here")
    ),
}
_FREED = Rule(instead="blobs and layers that nothing needs are always freed", needless=(True,))
_SWARM = Module(instead="a host has no swarm")
_COMPOSE = Module(instead="write a task of containerd_container for each service, and one of containerd_network for each network")

MODULES: t.Mapping[str, Module] = {
    "docker_container": Module("containerd_container", CONTAINER),
    "docker_container_copy_into": Module("containerd_container_copy", COPY),
    "docker_container_exec": Module("containerd_container_exec"),
    "docker_container_info": Module("containerd_container_info"),
    "docker_host_info": Module("containerd_host_info", {"verbose_output": Rule(needless=EVERY)}),
    "docker_image_build": Module(instead=IMAGE["build"].instead),
    "docker_image_export": Module("containerd_image_export"),
    "docker_image_info": Module("containerd_image_info"),
    "docker_image_load": Module("containerd_image_load"),
    "docker_image_pull": Module(
        "containerd_image", {"pull": Rule(values={"not_present": "missing"})}, defaults={"pull": "always"}
    ),
    "docker_image_push": Module("containerd_image_push"),
    "docker_image_remove": Module("containerd_image", {"prune": _FREED}, fixed={"state": "absent"}),
    "docker_image_tag": Module("containerd_image_tag"),
    "docker_login": Module("containerd_login", {"email": Rule(instead="registries do not ask for it", needless=EVERY)}),
    "docker_network": Module("containerd_network", NETWORK),
    "docker_network_info": Module("containerd_network_info"),
    "docker_prune": Module("containerd_prune", PRUNE),
    "docker_volume": Module("containerd_volume"),
    "docker_volume_info": Module("containerd_volume_info"),
    **dict.fromkeys(
        ("docker_compose_v2", "docker_compose_v2_exec", "docker_compose_v2_pull", "docker_compose_v2_run", "docker_stack"),
        _COMPOSE,
    ),
    **dict.fromkeys(
        ("docker_config", "docker_node", "docker_node_info", "docker_plugin", "docker_secret", "docker_stack_info")
        + ("docker_stack_task_info", "docker_swarm", "docker_swarm_info", "docker_swarm_service", "docker_swarm_service_info"),
        _SWARM,
    ),
    "docker_context_info": Module(instead=_DAEMON),
}

_GONE = Rule(needless=EVERY)
#: What decides about what docker_image does; the modules here do one thing each.
_PULL = dict.fromkeys(("force_absent", "force_source", "force_tag", "push", "source"), _GONE)
_DECIDING = {**_PULL, "state": _GONE}
_ABSENT = Module(
    "containerd_image", {**dict.fromkeys(("build", "pull", "push", "source"), _GONE), "force_absent": IMAGE["force_absent"]}
)
_PULLED = Module("containerd_image", {**_PULL, "pull": Rule(inner=True)})
_LOADED = Module("containerd_image_load", {**_DECIDING, "load_path": Rule(to="path"), "name": _GONE, "tag": _GONE})
_PUSHED = Module("containerd_image_push", _DECIDING)
_TAGGED = Module("containerd_image_tag", _DECIDING)
_EXPORTED = Module("containerd_image_export", {**_DECIDING, "archive_path": Rule(to="path")})


def docker_image(given: t.Mapping[str, t.Any], unknown: t.Any) -> Module:
    """What a task of docker_image is here. given: the values of its options, unknown those that only a run knows."""
    late = [option for option in ("state", "source", "push", "force_source", "force_tag") if given.get(option) is unknown]
    if late:
        return Module(instead=f"only the run knows {late[0]}, which decides about the module; write a task for each case")
    if given.get("state") == "absent":
        return _ABSENT
    forced = [option for option in ("force_source", "force_tag") if _plain(given.get(option, False)) is True]
    source, does = given.get("source"), [option for option in ("archive_path", "repository") if option in given]
    does += ["push"] * (_plain(given.get("push", False)) is True)
    if source == "build" or "build" in given:
        return Module(instead=IMAGE["build"].instead)
    if source == "pull" and not does:
        return _PULLED._replace(fixed={"pull": "always"} if "force_source" in forced else {})
    if source == "load" and not does:
        return _LOADED
    if source != "local" or len(does) != 1:
        return Module(instead=_BOTH if does else IMAGE["source"].instead)
    if does == ["repository"]:
        return _TAGGED._replace(fixed={} if "force_tag" in forced else {"existing_images": "keep"})
    return _PUSHED if does == ["push"] else _EXPORTED


def rules_of(module: str) -> t.Mapping[str, Rule]:
    """The rules of the modules there that are this one here."""
    found = {option: rule for one in MODULES.values() if one.to == module for option, rule in one.rules.items()}
    return {**COMMON, **found, **(IMAGE if module == "containerd_image" else {})}


def refused(module: str, given: t.Mapping[str, t.Any], known: t.Collection[str]) -> t.Dict[str, str]:
    """Those of the options given to a module here that are Docker's, and what to do instead; empty for those that say what is so anyway.

    known: the options that the module has.
    """
    rules = rules_of(module)
    found = {}
    for option, value in given.items():
        rule = rules.get(option)
        if rule and (option not in known or (rule.inner and isinstance(value, dict))):
            needless = value is None or (rule.needless is not EVERY and rule.is_needless(value))
            found[option] = "" if needless else rule.instead or f"it is {rule.to} here"
    return found
