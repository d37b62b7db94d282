# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configurations of containerd to be edited: what three releases print, and files as people write them. And a reader of them
that has nothing to do with the one that the modules use.
"""

from __future__ import annotations

import functools
import subprocess
import typing as t

import toml

from .containerds import RELEASES, binaries

Tree = t.Dict[str, t.Any]
Path = t.Tuple[str, ...]

DOCKER = """#   Copyright 2018-2022 Docker Inc.

#   Licensed under the Apache License, Version 2.0 (the "License");
#   you may not use this file except in compliance with the License.

disabled_plugins = ["cri"]

#root = "/var/lib/containerd"
#state = "/run/containerd"
#subreaper = true
#oom_score = 0

#[grpc]
#  address = "/run/containerd/containerd.sock"
#  uid = 0
#  gid = 0

#[debug]
#  address = "/run/containerd/debug.sock"
#  uid = 0
#  gid = 0
#  level = "info"
"""

DEBIAN = """version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"
      conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.internal.v1.opt"]
    path = "/var/lib/containerd/opt"
"""

COMMENTS = """# Managed by hand since 2019. Ask Kim.
version = 2   # do not touch
root        = "/data/containerd"\t# the big disk
oom_score   = -999

# The socket
[grpc]
  # group of the operators
  gid = 998
  address = "/run/containerd/containerd.sock"   # default

# Everything below is for Kubernetes.

[plugins."io.containerd.grpc.v1.cri"]
  # mirrored
  sandbox_image = "registry.lan/pause:3.9"
  enable_selinux = false
  # enable_cdi = true

  [plugins."io.containerd.grpc.v1.cri".containerd]
    # stargz does not work here
    snapshotter = "overlayfs"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      sandbox_mode = "podsandbox" # 1.7 only

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"

# GC
[plugins."io.containerd.gc.v1.scheduler"]
  schedule_delay = "1s"
"""

#: Legal, and seldom seen: dotted keys, inline tables, literal and long strings, lists over lines, tables out of order, no last newline.
ODD = """version=2
grpc.address = '/run/containerd/containerd.sock'
grpc.gid = 0x3_e6
'disabled_plugins' = [
  "io.containerd.snapshotter.v1.zfs", # no zfs here
  "io.containerd.snapshotter.v1.btrfs"   ,
  # and nothing else
]
debug = { level = "info", format = 'json' }

[plugins."io.containerd.grpc.v1.cri".cni]
conf_template = '''
{"a": "[not a table]"}
# no comment
'''
max_conf_num = 1

[timeouts]
"io.containerd.timeout.bolt.open" = "7s"

[ plugins . "io.containerd.grpc.v1.cri" ]
containerd = { snapshotter = "native", runtimes = { kata = { runtime_type = "io.containerd.kata.v2" } } }
registry.headers."X-Tag" = ["a", "b"]
sandbox_image = \"\"\"pause\\
   :3.9\"\"\"

[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = "linux/amd64"
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = "linux/arm64"

[plugins."io.containerd.grpc.v1.cri".image_decryption]
key_model = "node"
[metrics]
address = "127.0.0.1:1338\""""

WINDOWS = COMMENTS.replace("\n", "\r\n")

HANDWRITTEN = {"docker": DOCKER, "debian": DEBIAN, "comments": COMMENTS, "odd": ODD, "windows": WINDOWS}


@functools.cache
def default(version: str) -> str:
    """What "containerd config default" prints."""
    # starts: (what tools/containerds.py fetched)
    done = subprocess.run(
        [str(binaries(version) / "containerd"), "config", "default"], check=True, capture_output=True, text=True
    )
    return done.stdout


def corpus() -> t.Dict[str, str]:
    """All of them by name."""
    return {**HANDWRITTEN, **{f"containerd-{version}": default(version) for version in RELEASES}}


def dump(version: str, path: str) -> t.Tuple[Tree, str]:
    """What the daemon of a version makes of a file, as a tree, and what it says on standard error."""
    command = [str(binaries(version) / "containerd"), "--config", path, "config", "dump"]
    # starts: (what tools/containerds.py fetched)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return toml.loads(done.stdout), done.stderr


def at(tree: Tree, path: t.Iterable[str]) -> t.Any:
    """A KeyError names the key that is missing."""
    for key in path:
        tree = tree[key]
    return tree


def flat(tree: Tree, prefix: Path = ()) -> t.Dict[Path, t.Any]:
    """Values by key; empty tables are left out."""
    found: t.Dict[Path, t.Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found.update(flat(value, (*prefix, key)))
        else:
            found[(*prefix, key)] = value
    return found
