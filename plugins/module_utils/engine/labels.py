# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every label and extension name that we write, in one place.

nerdctl's names are used where nerdctl reads them, so that nerdctl ps and inspect show our containers; containerd.io
names are those of containerd's garbage collector. A label may have 4096 bytes with its name; extensions have no limit.
"""

from __future__ import annotations

import typing as t

#: The version of this collection, the same as in galaxy.yml.
VERSION = "0.1.0"

# Containers (read by nerdctl).
NAME = "nerdctl/name"
NAMESPACE = "nerdctl/namespace"
HOSTNAME = "nerdctl/hostname"
NETWORKS = "nerdctl/networks"
PLATFORM = "nerdctl/platform"
EXTRA_HOSTS = "nerdctl/extraHosts"
PORTS = "nerdctl/ports"
MAC_ADDRESS = "nerdctl/mac-address"
IP = "nerdctl/ip"
IP6 = "nerdctl/ip6"
DOMAINNAME = "nerdctl/domainname"
#: What containerd takes: a name and its value, in bytes.
LIMIT = 4096

# Containers: ours.
OURS = "fleet.containerd/"
#: For a container in a recreation: its future or former name, instead of NAME.
STAGE = OURS + "stage"
#: With STAGE: a container that had the name until the new one got it, or one that was made for a later task.
ROLE = OURS + "role"
FORMER, STAGED = "former", "staged"
#: For a container that a recreation stops: it ran, and runs again if there is no new one.
TO_RUN = OURS + "to-run"
#: For a container that has taken the place of another one: who depends on it has to be started again.
TELLS = OURS + "tells"
#: For a container that keep_old has kept: the name that it had.
OLD = OURS + "old"
#: Before the name of another container whose namespaces a container uses.
USES = OURS + "uses."
#: Before the name of a container that has to run before a container.
NEEDS = OURS + "needs."
#: Extension: the canonical desired state of a container.
DESIRED = "fleet.containerd.desired"
#: Extension: those labels of a container that are longer than LIMIT.
LONG_LABELS = "fleet.containerd.labels"
#: Extension: the image and the options of the container before this one.
PREVIOUS = "fleet.containerd.previous"

# Containers (containerd's restart monitor): how often it has started one.
RESTART_COUNT = "containerd.io/restart.count"

# Content and snapshots (containerd's garbage collector).
GC_REF_CONTENT = "containerd.io/gc.ref.content."
GC_REF_SNAPSHOT = "containerd.io/gc.ref.snapshot."
GC_ROOT = "containerd.io/gc.root"
SNAPSHOT_REF = "containerd.io/snapshot.ref"
UNCOMPRESSED = "containerd.io/uncompressed"
SOURCE = "containerd.io/distribution.source."

# Images (read by the CRI plugin: the kubelet's garbage collection keeps an image with this label).
PINNED = "io.cri-containerd.pinned"
PINNED_VALUE = "pinned"

#: Labels that an image may never set on a container, since they control daemons.
RESERVED = ("containerd.io/", "nerdctl/", "io.cri-containerd", OURS)


def merged(old: t.Mapping[str, str], new: t.Mapping[str, str]) -> t.Dict[str, str]:
    """The labels of an image record that is written again: others' labels stay, ours are replaced; an empty value removes one."""
    labels = {key: value for key, value in old.items() if not key.startswith(OURS)}
    labels.update(new)
    return {key: value for key, value in labels.items() if value}


def is_pinned(labels: t.Mapping[str, str]) -> bool:
    """Whether the kubelet's garbage collection keeps an image with these labels."""
    return labels.get(PINNED) == PINNED_VALUE
