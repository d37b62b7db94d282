# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runtime, the control groups and the networks of a host, as facts. Only reads."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import typing as t

from ...errors import EngineError
from ...network.conflist import ConfDir
from ...network.places import Places
from ...network.programs import find, run
from ...runtime_spec import cgroups

_SECONDS = 10.0
_RELEASE = "/etc/os-release"
#: A program of a distribution, which may have fixes that its version does not tell of.
_DISTRIBUTION = re.compile(r"~ds|\+ds|\+dfsg|(?:deb|ubuntu|el|fc|azl)[0-9]")


def is_of_distribution(version: str) -> bool:
    return bool(_DISTRIBUTION.search(version))


def runtime_facts(path: str) -> t.Dict[str, t.Any]:
    """An OCI runtime, by its path; empty if it cannot be found."""
    if not path:
        return {}
    said = _said(path, "--version")
    name = os.path.basename(path)
    version = re.search(r"version\s+v?(\S+)", said)
    spec = re.search(r"spec:\s*(\S+)", said)
    return {
        "Name": name,
        "Path": path,
        "Version": version[1] if version else "",
        "SpecVersion": spec[1] if spec else "",
        "Features": _features(_said(path, "features")),
    }


def _said(*command: str) -> str:
    """What a program prints; empty if it fails, as older runtimes do for features."""
    with contextlib.suppress(OSError):
        # starts: runc
        done = run(command, "", _SECONDS)
        return done.stdout if not done.status else ""
    return ""


def _features(text: str) -> t.Dict[str, t.Any]:
    """What the runtime tells of its features (features.md of the OCI runtime specification), in fewer words."""
    try:
        found = json.loads(text or "{}")
        linux = found.get("linux") or {}
        groups = linux.get("cgroup") or {}
        return (
            {
                "Namespaces": sorted(linux.get("namespaces") or []),
                "Capabilities": len(linux.get("capabilities") or []),
                "CgroupV1": bool(groups.get("v1")),
                "CgroupV2": bool(groups.get("v2")),
                "Systemd": bool(groups.get("systemd")),
                "Seccomp": bool((linux.get("seccomp") or {}).get("enabled")),
                "AppArmor": bool((linux.get("apparmor") or {}).get("enabled")),
                "SELinux": bool((linux.get("selinux") or {}).get("enabled")),
                "IdmappedMounts": bool(((linux.get("mountExtensions") or {}).get("idmap") or {}).get("enabled")),
            }
            if found
            else {}
        )
    except (ValueError, AttributeError, TypeError):
        return {}


def cgroup_facts() -> t.Dict[str, t.Any]:
    """What the containers of this collection have."""
    version, driver = cgroups.version(), "cgroupfs"
    if version == 2 and cgroups.systemd_runs():
        driver = "systemd"
    return {"Version": str(version), "Driver": driver, "Controllers": _controllers(version), "Swap": cgroups.limits_swap()}


def _controllers(version: int) -> t.List[str]:
    with contextlib.suppress(OSError):
        if version == 2:
            with open("/sys/fs/cgroup/cgroup.controllers", encoding="ascii") as stream:
                return sorted(stream.read().split())
        with open("/proc/cgroups", encoding="ascii") as stream:
            rows = [line.split() for line in stream if not line.startswith("#")]
        return sorted(name for name, _hierarchy, _count, enabled in rows if enabled == "1")
    return []


def cni_facts(places: Places, namespace: str) -> t.Dict[str, t.Any]:
    """Networks and what they need. Plugins are needed only for networks with plugins that are not built in."""
    with contextlib.suppress(EngineError):
        listing = ConfDir(places.conf_dir, namespace).read()
        networks, problems = sorted(listing.networks), list(listing.problems)
        return {
            "ConfDir": places.conf_dir,
            "BinDirs": list(places.bin_dirs),
            "Networks": networks,
            "Problems": problems,
            "Plugins": sorted({name for one in places.bin_dirs for name in _programs(one)}),
            "Rules": "nftables" if find("nft") else "iptables" if find("iptables") else "",
        }
    return {}


def _programs(directory: str) -> t.List[str]:
    try:
        return [name for name in os.listdir(directory) if os.access(os.path.join(directory, name), os.X_OK)]
    except OSError:
        return []


def machine_facts() -> t.Dict[str, t.Any]:
    """By docker's keys."""
    system = os.uname()
    return {
        "Name": system.nodename,
        "OperatingSystem": _system(),
        "OSType": "linux",
        "Architecture": platform.machine(),
        "KernelVersion": system.release,
        "NCPU": os.cpu_count() or 0,
        "MemTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def _system() -> str:
    with contextlib.suppress(OSError), open(_RELEASE, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            key, _equals, value = line.partition("=")
            if key == "PRETTY_NAME":
                return value.strip().strip("\"'")
    return ""
