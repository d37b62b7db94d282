# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A wrong value of every option of the modules that have an engine, and what a clear message about it is."""

from __future__ import annotations

import typing as t

IMAGE = "127.0.0.1:1/app:1"
#: module, option, wrong value, further options. One row at least for every option of every module that can have a wrong value.
WRONG: t.List[t.Tuple[str, str, t.Any, t.Dict[str, t.Any]]] = [
    ("image", "name", "registry.invalid/UPPER", {}),
    ("image", "name", "a b", {}),
    ("image", "name", "app:tag:other", {}),
    ("image", "name", "app@sha256:short", {}),
    ("image", "tag", "not a tag", {"name": "app"}),
    ("image", "digest", "sha256:beef", {"name": "app"}),
    ("image", "state", "gone", {"name": "app"}),
    ("image", "pull", "sometimes", {"name": "app"}),
    ("image", "platform", "linux/", {"name": IMAGE}),
    ("image", "platform", "linux/amd64/v2/more", {"name": IMAGE}),
    ("image", "pinned", "perhaps", {"name": IMAGE}),
    ("image", "progress_file", "progress", {"name": IMAGE}),
    ("image", "progress_file", "/nonexistent/progress", {"name": IMAGE}),
    ("image", "max_parallel", 0, {"name": IMAGE}),
    ("image", "max_parallel", "many", {"name": IMAGE}),
    ("image", "force", "perhaps", {"name": IMAGE}),
    ("image", "on_failure", "perhaps", {"name": IMAGE}),
    ("image", "unpack", "perhaps", {"name": IMAGE}),
    ("image", "verify", "perhaps", {"name": IMAGE}),
    ("image", "digest", "sha256:" + "0" * 64, {"name": [IMAGE, "other:1"]}),
    ("image", "engine", "docker", {"name": IMAGE}),
    ("image", "namespace", "not/a namespace", {"name": IMAGE}),
    ("image", "snapshotter", "zfs", {"name": IMAGE}),
    ("image", "data_root", "relative", {"name": IMAGE}),
    ("image", "state_root", "relative", {"name": IMAGE}),
    ("image", "username", "somebody", {"name": IMAGE}),
    ("image", "password", "something", {"name": IMAGE}),
    ("image", "token", "word", {"name": IMAGE, "username": "a", "password": "b"}),
    ("image", "auth_file", "/no/such/config.json", {"name": IMAGE}),
    ("image", "ca_path", "/no/such/ca.pem", {"name": IMAGE}),
    ("image", "client_cert", "/no/such/cert.pem", {"name": IMAGE}),
    ("image", "client_key", "/no/such/key.pem", {"name": IMAGE, "client_cert": "/etc/passwd"}),
    ("image", "validate_certs", "perhaps", {"name": IMAGE}),
    ("image", "plain_http", "perhaps", {"name": IMAGE}),
    ("image", "retries", -1, {"name": IMAGE}),
    ("image", "retry_delay", -0.5, {"name": IMAGE}),
    ("image", "progress_timeout", 0, {"name": IMAGE}),
    ("image", "http_proxy", "not a url", {"name": IMAGE}),
    ("image", "https_proxy", "not a url", {"name": IMAGE}),
    ("image", "registry_config_dir", "/no/such/certs.d", {"name": IMAGE}),
    ("container", "name", "-dash", {}),
    ("container", "name", "with space", {}),
    ("container", "name", "a" * 77, {}),
    ("container", "state", "running", {}),
    ("container", "image", "registry.invalid/UPPER", {}),
    ("container", "pull", "sometimes", {}),
    ("container", "platform", "linux/", {"image": IMAGE}),
    ("container", "image_name_mismatch", "perhaps", {}),
    ("container", "command", "echo 'open", {}),
    ("container", "command", {"a": "b"}, {}),
    ("container", "command", [True], {}),
    ("container", "entrypoint", [["nested"]], {}),
    ("container", "env", {"A": 1}, {}),
    ("container", "env", {"A=B": "1"}, {}),
    ("container", "env", "not a dictionary", {}),
    ("container", "user", "a:b:c", {}),
    ("container", "user", "4294967296", {}),
    ("container", "working_dir", "relative", {}),
    ("container", "hostname", "under_score", {}),
    ("container", "labels", {"containerd.io/x": "1"}, {}),
    ("container", "labels", {"a": True}, {}),
    ("container", "volumes", ["./relative:/target"], {}),
    ("container", "volumes", ["/"], {}),
    ("container", "volumes", ["-dash:/target"], {}),
    ("container", "volumes", ["/source:/target:nocopy"], {}),
    ("container", "keep_volumes", "perhaps", {}),
    ("container", "volumes", ["/source:/target:loud"], {}),
    ("container", "volumes", ["/a:/t", "/b:/t"], {}),
    ("container", "read_only", "perhaps", {}),
    ("container", "tty", "perhaps", {}),
    ("container", "interactive", "perhaps", {}),
    ("container", "network_mode", "bridge of sighs", {}),
    ("container", "network_mode", "container:", {}),
    ("container", "network_mode", "ns:run", {}),
    ("container", "networks", [{"name": "a/b"}], {}),
    ("container", "networks", [{"name": "a", "ipv4_address": "fd00::1"}], {}),
    ("container", "networks", [{"name": "a", "ipv6_address": "10.0.0"}], {}),
    ("container", "networks", [{"name": "a", "aliases": ["b c"]}], {}),
    ("container", "networks", [{"name": "a", "mac_address": "01:00:5e:00:00:01"}], {}),
    ("container", "networks", [{"name": "a"}, {"name": "a"}], {}),
    ("container", "networks", [{"name": "a", "ipv4_address": "10.0.0.9"}, {"name": "b", "ipv4_address": "10.0.0.9"}], {}),
    ("container", "networks", [{"name": "a", "links": ["db"]}], {}),
    ("container", "networks", [{"name": "a", "driver_opts": {"mtu": "1"}}], {}),
    ("container", "networks", [{"name": "a", "gw_priority": 1}], {}),
    ("container", "networks", [{"name": "nowhere"}], {"image": IMAGE}),
    ("container", "networks", [{"name": "bridge", "ipv4_address": "192.0.2.7"}], {"image": IMAGE}),
    ("container", "networks", [{"name": "bridge"}], {"network_mode": "none", "image": IMAGE}),
    ("container", "network_mode", "nowhere", {"image": IMAGE}),
    ("container", "network_mode", "ns:/run/nowhere", {"image": IMAGE}),
    ("container", "network_mode", "container:nobody", {"image": IMAGE}),
    ("container", "cni_conf_dir", "net.d", {}),
    ("container", "cni_bin_dir", ["bin"], {}),
    ("container", "published_ports", ["80-81:90"], {}),
    ("container", "published_ports", ["all"], {}),
    ("container", "published_ports", ["80:80", "0.0.0.0:80:81"], {}),
    ("container", "published_ports", ["80:80"], {"network_mode": "host", "image": IMAGE}),
    ("container", "publish_all_ports", True, {"network_mode": "host", "image": IMAGE}),
    (
        "container",
        "mac_address",
        "02:42:0a:00:00:01",
        {"networks": [{"name": "bridge", "mac_address": "02:42:0a:00:00:02"}], "image": IMAGE},
    ),
    ("container", "mac_address", "02:42:0a:00:00:01", {"network_mode": "none", "image": IMAGE}),
    ("container", "etc_hosts", {"host": "host-gateway"}, {"network_mode": "none", "image": IMAGE}),
    ("container", "published_ports", ["70000"], {}),
    ("container", "published_ports", ["80:80", "80:81"], {}),
    ("container", "publish_all_ports", "perhaps", {}),
    ("container", "exposed_ports", ["80:80"], {}),
    ("container", "default_host_ip", "localhost", {}),
    ("container", "mac_address", "02:42", {}),
    ("container", "domainname", "a b", {}),
    ("container", "dns_servers", ["resolver"], {}),
    ("container", "dns_search_domains", ["a b"], {}),
    ("container", "dns_opts", ["ndots 2"], {}),
    ("container", "etc_hosts", {"db": "nowhere"}, {}),
    ("container", "etc_hosts", {"d b": "10.0.0.1"}, {}),
    ("container", "log_driver", "paper", {}),
    ("container", "log_options", {"max-sise": "1m"}, {}),
    ("container", "log_options", {"max-size": "big"}, {}),
    ("container", "log_options", {"max-file": "0"}, {}),
    ("container", "runtime", "bin/runc", {}),
    ("container", "stop_signal", "SIGNOTHING", {}),
    ("container", "stop_timeout", -1, {}),
    ("container", "force_kill", "perhaps", {}),
    ("container", "detach", "perhaps", {}),
    ("container", "cleanup", True, {}),
    ("container", "wait_timeout", 60, {}),
    ("container", "wait_timeout", 0, {"detach": False}),
    ("container", "wait_timeout", "nan", {"detach": False}),
    ("container", "recreate", "perhaps", {}),
    ("container", "restart", "perhaps", {}),
    ("container", "adopt", "perhaps", {}),
    ("container", "comparisons", {"envy": "strict"}, {}),
    ("container", "comparisons", {"env": "loosely"}, {}),
    ("container", "comparisons", {"*": "allow_more_present"}, {}),
    ("container", "comparisons", {"hostname": "allow_more_present"}, {}),
    ("image_info", "name", ["registry.invalid/UPPER"], {}),
    ("image_info", "platform", "li nux", {}),
    ("container_info", "name", {"a": "b"}, {}),
    ("container_info", "labels", "no dictionary", {}),
    ("container_info", "filters", {"colour": "red"}, {}),
    ("container_info", "filters", {"status": "walking"}, {}),
    ("container_info", "filters", {"health": ["healthy", "ill"]}, {}),
    ("container_info", "filters", {"exited": "soon"}, {}),
    ("container_info", "filters", {"image": "a b"}, {}),
    ("container_info", "filters", {"name": "a("}, {}),
    ("container_info", "filters", {"network": {"a": ["b"]}}, {}),
]
#: Taken as they are: there is no wrong value, or it is engine=containerd that looks at it, or (images) it is made of others.
FREE = {"address", "no_proxy", "forcekill", "images"}
#: What an engine looks at when it is opened; with others it is the same for all.
OF_ENGINES = {"engine", "namespace", "snapshotter", "data_root", "state_root"}
#: Their values stay out of messages.
SECRET = ("username", "password", "token", "http_proxy", "https_proxy")


def described(value: t.Any) -> t.List[str]:
    """The words of a value that a message about it has one of. ansible-core itself says what cannot be a dictionary."""
    if value is True:
        return [""]
    if isinstance(value, dict):
        return [word for key, item in value.items() for word in (str(key), *described(item))]
    if isinstance(value, list):
        return [
            word for item in value for word in (str(item).split(":") if not isinstance(item, dict) else described(item)) if word
        ]
    return [str(value)]


def wrong(module: str, option: str, value: t.Any, more: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    quick = {} if module.endswith("info") else {"name": "app", "retries": 0}
    return {**quick, **more, option: value}


def complaint(option: str, value: t.Any, result: t.Mapping[str, t.Any]) -> str:
    """What is wrong with a failure: empty when option and value are named, in one line."""
    message = str(result.get("msg", ""))
    named = any(word in message for word in [*described(value), "dictionary requested"]) or option in SECRET
    return "" if result.get("failed") and option in message and named and "\n" not in message.strip() else f"{message!r}"
