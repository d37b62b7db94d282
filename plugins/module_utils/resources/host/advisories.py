# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Published security advisories about containerd and the runtimes, and which of them apply to a version.

To add one: a row below, with the ranges as the advisory has them, and the new date in READ.
"""

from __future__ import annotations

import re
import typing as t

#: Where the rows come from, and when that was read.
SOURCE, READ = "https://github.com/advisories", "2026-11-28"

_SITES = {"containerd": "containerd/containerd", "runc": "opencontainers/runc", "crun": "containers/crun"}
_DIGITS = re.compile(r"[0-9]+(?:\.[0-9]+)*")


class Advisory(t.NamedTuple):
    """affected: ranges of versions, each from the first one that has the flaw up to, and without, the first one that has it no more."""

    component: str
    id: str
    cve: str
    severity: str
    published: str
    affected: str
    title: str

    def applies(self, version: str) -> bool:
        """Whether a version is in one of the ranges. One that cannot be read is in none."""
        own = _numbers(version)
        ranges = (one.split("..") for one in self.affected.split())
        return bool(own) and any(_numbers(first) <= own < _numbers(fixed) for first, fixed in ranges)

    def facts(self) -> t.Dict[str, t.Any]:
        return {
            "Component": self.component,
            "Id": self.id,
            "Cve": self.cve,
            "Severity": self.severity,
            "Published": self.published,
            "Title": self.title,
            "FixedIn": sorted((one.split("..")[1] for one in self.affected.split()), key=_numbers),
            "Url": f"https://github.com/{_SITES[self.component]}/security/advisories/{self.id}",
        }


def _numbers(version: str) -> t.Tuple[int, ...]:
    """v1.6.20~ds1 and 1.6.20+unknown are 1.6.20."""
    found = _DIGITS.match(version.lstrip("v"))
    return tuple(int(one) for one in found[0].split(".")) if found else ()


def advisories_for(component: str, version: str) -> t.List[Advisory]:
    """Those that apply, the newest first."""
    found = [one for one in ADVISORIES if one.component == component and one.applies(version)]
    return sorted(found, key=lambda one: (one.published, one.id), reverse=True)


ADVISORIES: t.Tuple[Advisory, ...] = tuple(
    Advisory(*row)
    for row in (
        (
            "containerd",
            "GHSA-xhf5-7wjv-pqxp",
            "CVE-2026-53488",
            "high",
            "2026-06-19",
            "1.7.0..1.7.33 2.0.0..2.0.10 2.1.0..2.1.9 2.2.0..2.2.5 2.3.0..2.3.2",
            "CRI: labels of an image can make the restart monitor run commands on the host",
        ),
        (
            "containerd",
            "GHSA-33vj-92qq-66hc",
            "CVE-2026-53492",
            "high",
            "2026-06-19",
            "2.1.0..2.1.9 2.2.0..2.2.5 2.3.0..2.3.2",
            "CRI: a checkpoint can bring device annotations with it",
        ),
        (
            "containerd",
            "GHSA-rgh6-rfwx-v388",
            "CVE-2026-53489",
            "high",
            "2026-06-19",
            "2.1.0..2.1.9 2.2.0..2.2.5 2.3.0..2.3.2",
            "CRI: a link in a checkpoint shows files of the host as a log",
        ),
        (
            "containerd",
            "GHSA-cvxm-645q-p574",
            "CVE-2026-50195",
            "moderate",
            "2026-06-19",
            "2.1.0..2.1.9 2.2.0..2.2.5 2.3.0..2.3.2",
            "CRI: a checkpoint can give an image the name of another one",
        ),
        (
            "containerd",
            "GHSA-jpcc-p29g-p8mq",
            "CVE-2026-47262",
            "moderate",
            "2026-06-19",
            "0..1.7.33 2.0.0..2.0.10 2.1.0..2.1.9 2.2.0..2.2.5 2.3.0..2.3.2",
            "The list of users in an image can make containerd take all memory",
        ),
        (
            "containerd",
            "GHSA-fqw6-gf59-qr4w",
            "CVE-2026-46680",
            "high",
            "2026-05-20",
            "1.7.27..1.7.32 2.0.4..2.0.9 2.1.0..2.2.4 2.3.0..2.3.1",
            "CRI: a user id that is too large gets around runAsNonRoot",
        ),
        (
            "containerd",
            "GHSA-pwhc-rpq9-4c8w",
            "CVE-2024-25621",
            "high",
            "2025-11-05",
            "0..1.7.29 2.0.0..2.0.7 2.1.0..2.1.5",
            "Users of the host can read directories of containerd, and so use setuid programs of images",
        ),
        (
            "containerd",
            "GHSA-m6hq-p25p-ffr2",
            "CVE-2025-64329",
            "moderate",
            "2025-11-05",
            "0..1.7.29 2.0.0..2.0.7 2.1.0..2.1.5",
            "CRI: each attach may leave memory behind",
        ),
        (
            "containerd",
            "GHSA-cm76-qm8v-3j95",
            "CVE-2025-47290",
            "high",
            "2025-05-20",
            "2.1.0..2.1.1",
            "An image can change files of the host while it is unpacked",
        ),
        (
            "containerd",
            "GHSA-cxfp-7pvr-95ff",
            "CVE-2025-47291",
            "moderate",
            "2025-05-21",
            "2.0.1..2.0.5",
            "CRI: pods with a user namespace are outside of the limits of Kubernetes",
        ),
        (
            "containerd",
            "GHSA-265r-hfxg-fhmg",
            "CVE-2024-40635",
            "moderate",
            "2025-03-17",
            "0..1.6.38 1.7.0..1.7.27 2.0.0..2.0.4",
            "A user id that is too large becomes root",
        ),
        (
            "containerd",
            "GHSA-7ww5-4wqc-m92c",
            "",
            "moderate",
            "2023-12-14",
            "0..1.6.26 1.7.0..1.7.11",
            "Containers can read the power meters of the processor",
        ),
        (
            "containerd",
            "GHSA-hmfx-3pcx-653p",
            "CVE-2023-25173",
            "moderate",
            "2023-02-16",
            "0..1.5.18 1.6.0..1.6.18",
            "Supplementary groups are not set up in containers",
        ),
        (
            "containerd",
            "GHSA-2qjp-425j-52j9",
            "CVE-2022-23471",
            "moderate",
            "2022-12-07",
            "0..1.5.16 1.6.0..1.6.12",
            "CRI: each failed terminal may leave memory behind",
        ),
        (
            "containerd",
            "GHSA-5ffw-gxpp-mxpf",
            "CVE-2022-31030",
            "moderate",
            "2022-06-06",
            "0..1.5.13 1.6.0..1.6.6",
            "CRI: a program in a container can make containerd take all memory",
        ),
        (
            "containerd",
            "GHSA-crp2-qrr5-8pq7",
            "CVE-2022-23648",
            "high",
            "2022-03-02",
            "0..1.4.13 1.5.0..1.5.10 1.6.0..1.6.1",
            "CRI: volumes of an image can show files of the host",
        ),
        (
            "runc",
            "GHSA-xjvp-4fhw-gc47",
            "CVE-2026-41579",
            "low",
            "2026-06-13",
            "0..1.3.6 1.4.0..1.4.3",
            "A link in place of /dev in an image makes links on the host",
        ),
        (
            "runc",
            "GHSA-cgrx-mc8f-2prm",
            "CVE-2025-52881",
            "high",
            "2025-11-05",
            "0..1.2.8 1.3.0..1.3.3",
            "Writes to /proc can be redirected, which lets a container out",
        ),
        (
            "runc",
            "GHSA-qw9x-cqr3-wc7r",
            "CVE-2025-52565",
            "high",
            "2025-11-05",
            "1.0.0..1.2.8 1.3.0..1.3.3",
            "The mount of /dev/console can let a container out",
        ),
        (
            "runc",
            "GHSA-9493-h29p-rfm2",
            "CVE-2025-31133",
            "high",
            "2025-11-05",
            "0..1.2.8 1.3.0..1.3.3",
            "The mounts of masked paths can let a container out",
        ),
        (
            "runc",
            "GHSA-jfvp-7x6p-h2pv",
            "CVE-2024-45310",
            "low",
            "2024-09-03",
            "0..1.1.14",
            "A container can make empty files on the host",
        ),
        (
            "runc",
            "GHSA-xr7r-f8xq-vfvv",
            "CVE-2024-21626",
            "high",
            "2024-01-31",
            "1.0.0..1.1.12",
            "A leaked file descriptor lets a container out",
        ),
        (
            "runc",
            "GHSA-vpvm-3wq2-2wvm",
            "CVE-2023-27561",
            "high",
            "2023-03-29",
            "1.0.0..1.1.5",
            "A link can undo the protection of /proc and /sys",
        ),
        (
            "runc",
            "GHSA-f3fp-gc8g-vw66",
            "CVE-2022-29162",
            "moderate",
            "2022-05-11",
            "0..1.1.2",
            "Processes get inheritable capabilities",
        ),
    )
)
