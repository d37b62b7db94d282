# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The OCI runtime spec of a container: a pure function of what is asked for, the image's config and the host's facts.

Each part is a small function from the request to its piece of config.json (OCI runtime-spec 1.0.2, config.md, config-linux.md).
Defaults are those of Docker and containerd.
"""

from __future__ import annotations

import typing as t

from .cgroups import HostFacts, cgroups_path
from .limits import rlimits
from .seccomp import default_profile
from .users import User

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CAPABILITIES = (
    "AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT"
)
DEFAULT_CAPABILITIES = tuple(f"CAP_{name}" for name in _CAPABILITIES.split())
_MASKED = (
    "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats "
    "/proc/sched_debug /proc/scsi /sys/firmware /sys/devices/virtual/powercap"
).split()
_READ_ONLY = "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger".split()


class SpecRequest(t.NamedTuple):
    """What the spec is made from. env is that of image and task together; args the whole command line; files are further ones
    of the host, by their paths in the container, where those of the host itself (the same path) are read-only.
    """

    container_id: str
    namespace: str
    args: t.Tuple[str, ...]
    env: t.Mapping[str, str]
    user: User
    working_dir: str
    hostname: str
    network_mode: str = "none"
    read_only: bool = False
    tty: bool = False
    volumes: t.Tuple[t.Mapping[str, t.Any], ...] = ()
    files: t.Mapping[str, str] = {}
    annotations: t.Mapping[str, str] = {}


def build(request: SpecRequest, host: HostFacts) -> t.Dict[str, t.Any]:
    """The contents of config.json."""
    return {
        "ociVersion": "1.0.2",
        "process": _process(request, host),
        "root": {"path": "rootfs", "readonly": request.read_only},
        "hostname": request.hostname,
        "mounts": [*_mounts(request), *_volumes(request)],
        "annotations": dict(request.annotations),
        "linux": {
            "namespaces": _namespaces(request, host),
            "cgroupsPath": cgroups_path(request.namespace, request.container_id, host),
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "maskedPaths": _MASKED,
            "readonlyPaths": _READ_ONLY,
            "seccomp": default_profile(DEFAULT_CAPABILITIES),
        },
    }


def _process(request: SpecRequest, host: HostFacts) -> t.Dict[str, t.Any]:
    capabilities = list(DEFAULT_CAPABILITIES)
    return {
        "terminal": request.tty,
        "user": {
            "uid": request.user.uid,
            "gid": request.user.gid,
            "additionalGids": list(request.user.groups),
            "umask": 0o022,
        },
        "args": list(request.args),
        "env": _environment(request),
        "cwd": request.working_dir or "/",
        "capabilities": {
            "bounding": capabilities,
            "effective": capabilities if request.user.uid == 0 else [],
            "permitted": capabilities if request.user.uid == 0 else [],
        },
        "noNewPrivileges": False,
        "rlimits": rlimits(host.limits),
        "oomScoreAdj": host.oom_score_adj,
    }


def _environment(request: SpecRequest) -> t.List[str]:
    """PATH and HOSTNAME are always there, TERM with a terminal, HOME where /etc/passwd tells it."""
    env = {"PATH": DEFAULT_PATH, "HOSTNAME": request.hostname}
    if request.tty:
        env["TERM"] = "xterm"
    if request.user.home:
        env["HOME"] = request.user.home
    return [f"{key}={value}" for key, value in {**env, **request.env}.items()]


def _mounts(request: SpecRequest) -> t.List[t.Dict[str, t.Any]]:
    found = [
        _mount("/proc", "proc", "proc", "nosuid noexec nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid strictatime mode=755 size=65536k"),
        _mount("/dev/pts", "devpts", "devpts", "nosuid noexec newinstance ptmxmode=0666 mode=0620 gid=5"),
        _mount("/dev/shm", "tmpfs", "shm", "nosuid noexec nodev mode=1777 size=65536k"),
        _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid noexec nodev"),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro nosuid noexec nodev relatime"),
    ]
    if request.network_mode == "host":
        # sysfs of another network namespace cannot be mounted: take the host's, read-only.
        found.insert(1, _mount("/sys", "bind", "/sys", "rbind nosuid noexec nodev ro"))
    else:
        found.insert(1, _mount("/sys", "sysfs", "sysfs", "nosuid noexec nodev ro"))
    found += [
        _mount(path, "bind", source, f"rbind rprivate {'ro' if source == path else 'rw'}")
        for path, source in request.files.items()
    ]
    return found


def _mount(destination: str, kind: str, source: str, options: str) -> t.Dict[str, t.Any]:
    return {"destination": destination, "type": kind, "source": source, "options": options.split()}


def _volumes(request: SpecRequest) -> t.Iterator[t.Dict[str, t.Any]]:
    """Shallow ones first, so that no volume hides another."""
    for volume in sorted(request.volumes, key=lambda one: str(one["target"]).count("/")):
        options = [option for option in volume["options"] if option not in ("z", "Z")]
        if not any(option.endswith(("private", "shared", "slave")) for option in options):
            options.append("rprivate")
        yield {"destination": volume["target"], "type": "bind", "source": volume["source"], "options": ["rbind", *options]}


def _namespaces(request: SpecRequest, host: HostFacts) -> t.List[t.Dict[str, str]]:
    """A cgroup namespace of its own on version 2, the host's on version 1 (Docker's default)."""
    kinds = ["pid", "ipc", "uts", "mount"]
    if request.network_mode != "host":
        kinds.append("network")
    if host.cgroup == 2:
        kinds.append("cgroup")
    return [{"type": kind} for kind in kinds]
