# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_host_info over the engine in memory: counts, lists and filters, and which advisories apply to a version."""

from __future__ import annotations

import datetime
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.resources.host.about import is_of_distribution
from ansible_collections.fleet.containerd.plugins.module_utils.resources.host.advisories import ADVISORIES, READ, advisories_for
from ansible_collections.fleet.containerd.tests.support.ansible import task
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite


def info(site: MemorySite, tmp_path: pathlib.Path, **options: t.Any) -> t.Dict[str, t.Any]:
    (found,) = site.predict(task("containerd_host_info", cni_conf_dir=str(tmp_path), **options)).results
    assert not found.changed
    return found.result


def test_counts_and_lists(site: MemorySite, busybox: str, hand_made: str, tmp_path: pathlib.Path) -> None:
    given = {"image": busybox, "network_mode": "none"}
    site.play(
        task("containerd_image", name=[busybox, hand_made]),
        task("containerd_container", name="web", command=["sleep", "9"], labels={"tier": "live"}, **given),
        task("containerd_container", name="job", command=["true"], **given),
        task("containerd_volume", name="data", labels={"tier": "live"}),
        task("containerd_volume", name="other"),
    )
    (tmp_path / "a.conflist").write_text('{"cniVersion": "1.0.0", "name": "a", "plugins": [{"type": "loopback"}]}')
    plain = info(site, tmp_path)
    host = plain["host_info"]
    assert {key: host[key] for key in host if key.startswith(("Containers", "Images"))} == {
        "Containers": 2,
        "ContainersRunning": 1,
        "ContainersPaused": 0,
        "ContainersStopped": 1,
        "Images": 2,
    }
    assert host["Containerd"]["Cni"]["Networks"] == ["a"]
    assert host["Containerd"]["Plugins"] == [{"Type": "test", "Id": "memory", "Status": "ok", "Error": ""}]
    assert not {"containers", "images", "networks", "volumes", "disk_usage"} & set(plain)
    every = info(site, tmp_path, **dict.fromkeys(("containers", "images", "networks", "volumes", "disk_usage"), True))
    assert [one["Name"] for one in every["containers"]] == ["/job", "/web"]
    assert sorted(one["RepoTags"][0] for one in every["images"]) == sorted([busybox, hand_made])
    assert [one["Name"] for one in every["networks"]] == ["a"]
    assert [one["Name"] for one in every["volumes"]] == ["data", "other"]
    space = every["disk_usage"]["Namespaces"]["default"]
    assert (space["Containers"]["Count"], space["Volumes"]["Count"]) == (2, 2)
    assert space["Content"]["Size"] == sum(blob.size for blob in site.memory.content.walk())
    parts = [space["Content"], *space["Snapshots"].values(), space["Containers"], space["Volumes"]]
    assert every["disk_usage"]["Total"] == space["Total"] == sum(part["Size"] for part in parts)


@pytest.mark.parametrize(
    ("kind", "filters", "names"),
    [
        ("containers", {"status": "running"}, ["/web"]),
        ("containers", {"label": {"tier": "live"}}, ["/web"]),
        ("volumes", {"label": "tier"}, ["data"]),
        ("volumes", {"label": ["tier=test"]}, []),
        ("volumes", {"name": "oth"}, ["other"]),
        ("volumes", {"dangling": True}, ["data", "other"]),
        ("volumes", {"dangling": "no"}, []),
        ("networks", {"name": ["a", "b"]}, ["a"]),
        ("networks", {"label": "x"}, []),
    ],
)
def test_filters(
    site: MemorySite, busybox: str, tmp_path: pathlib.Path, kind: str, filters: t.Dict[str, t.Any], names: t.List[str]
) -> None:
    given = {"image": busybox, "network_mode": "none", "labels": {"tier": "live"}}
    site.play(
        task("containerd_container", name="web", command=["sleep", "9"], **given),
        task("containerd_volume", name="data", labels={"tier": "live"}),
        task("containerd_volume", name="other"),
    )
    (tmp_path / "a.conflist").write_text('{"cniVersion": "1.0.0", "name": "a", "plugins": [{"type": "loopback"}]}')
    found = info(site, tmp_path, **{kind: True, f"{kind}_filters": filters})
    assert [one["Name"] for one in found[kind]] == names


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": True, "images_filters": {"reference": "x"}}, "images_filters: reference is none of dangling, label"),
        ({"containers": True, "containers_filters": {"state": "x"}}, "filters: state is none of"),
        ({"data_root": "relative"}, "data_root: 'relative' is not an absolute path"),
    ],
)
def test_wrong_values(site: MemorySite, options: t.Dict[str, t.Any], message: str) -> None:
    assert site.play(task("containerd_host_info", **options), failing=True).last.msg.startswith(message)


@pytest.mark.parametrize(
    ("component", "version", "applies", "applies_not"),
    [
        (
            "containerd",
            "1.6.20~ds1",
            {"CVE-2024-25621", "CVE-2024-40635", "GHSA-7ww5-4wqc-m92c"},
            {"CVE-2023-25173", "CVE-2026-53488"},
        ),
        ("containerd", "1.7.24~ds1", {"CVE-2024-25621", "CVE-2024-40635", "CVE-2026-53488"}, {"CVE-2025-47290"}),
        ("containerd", "v2.1.0", {"CVE-2025-47290", "CVE-2024-25621"}, {"CVE-2025-47291", "CVE-2024-40635"}),
        ("containerd", "2.1.9", {"CVE-2026-46680"}, {"CVE-2026-53488", "CVE-2025-64329"}),
        ("containerd", "2.0.4", {"CVE-2025-47291"}, {"CVE-2024-40635"}),
        ("runc", "1.1.5+ds1", {"CVE-2024-21626", "CVE-2025-31133"}, {"CVE-2023-27561"}),
        ("runc", "1.2.8", set(), {"CVE-2025-31133"}),
        ("runc", "1.3.2", {"CVE-2025-52881"}, {"CVE-2024-45310"}),
        ("crun", "1.8.1", set(), {"CVE-2025-31133"}),
    ],
)
def test_advisories_of_a_version(component: str, version: str, applies: t.Set[str], applies_not: t.Set[str]) -> None:
    found = {one.cve or one.id for one in advisories_for(component, version)}
    assert applies <= found
    assert not applies_not & found


@pytest.mark.parametrize("version", ["2.3.2", "3.0.0", "unknown", ""])
def test_no_advisory_of_the_table_is_known_for_these(version: str) -> None:
    assert advisories_for("containerd", version) == []


def test_the_table_can_be_read() -> None:
    """Every row has its ranges in order and a date, and none is twice."""
    assert len({one.id for one in ADVISORIES}) == len(ADVISORIES)
    for one in ADVISORIES:
        assert datetime.date.fromisoformat(one.published) <= datetime.date.fromisoformat(READ)
        assert one.severity in ("low", "moderate", "high", "critical")
        bounds = [[int(part) for part in bound.split(".")] for pair in one.affected.split() for bound in pair.split("..")]
        assert bounds == sorted(bounds), one.id
        assert len(bounds) % 2 == 0
        assert one.facts()["Url"].endswith(one.id)


def test_versions_of_distributions() -> None:
    assert all(map(is_of_distribution, ("1.6.20~ds1", "1.1.5+ds1", "1.7.27-0ubuntu1", "2.1.4-1.el9")))
    assert not any(map(is_of_distribution, ("1.7.29", "v2.1.5", "2.2.0-rc.1")))
