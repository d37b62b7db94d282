# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the inventory plugin names hosts, whatever other tools have written about containers."""

from __future__ import annotations

import typing as t

from ansible_collections.fleet.containerd.plugins.inventory.containerd_containers import _named


def _facts(number: int, name: str = "", **labels: str) -> t.Dict[str, t.Any]:
    own = {f"io.kubernetes.{word.replace('_', '.')}": value for word, value in labels.items()}
    return {
        "Id": f"{number:064x}",
        "Name": f"/{name or f'{number:064x}'}",
        "Created": f"2026-01-0{number}",
        "Config": {"Labels": own},
    }


def _hosts(*containers: t.Dict[str, t.Any]) -> t.Dict[str, t.Tuple[int, str]]:
    """By name of the host the number of its container, and what reaches that."""
    found = [(host, (int(facts["Id"], 16), reached)) for host, reached, facts in _named(containers)]
    assert len(dict(found)) == len(found)
    return dict(found)


def test_a_container_is_reached_by_its_name_so_that_it_may_be_made_anew() -> None:
    assert _hosts(_facts(1, "web")) == {"web": (1, "web")}


def test_the_newest_has_a_name_that_several_have() -> None:
    """Nobody can say which one the name would reach."""
    older, newer = (f"{number:064x}" for number in (1, 2))
    assert _hosts(_facts(1, "web"), _facts(2, "web")) == {"web": (2, newer), older: (1, older)}


def test_nobody_is_named_as_another_one_s_id() -> None:
    first, second = (f"{number:064x}" for number in (1, 2))
    assert _hosts(_facts(1), _facts(2, first)) == {first: (1, first), second: (2, second)}


def test_only_sandboxes_are_left_out() -> None:
    pod = {"pod_namespace": "kube-system", "pod_name": "etcd-1"}
    third = f"{3:064x}"
    assert _hosts(_facts(1, **pod), _facts(2, "part", pod_name="etcd-1"), _facts(3, container_name="etcd", **pod)) == {
        "part": (2, "part"),
        "kube-system.etcd-1.etcd": (3, third),
    }
