# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what hosts have found to their parts, and from their results to a table."""

from __future__ import annotations

import typing as t

from ansible_collections.fleet.containerd.plugins.module_utils.relay.part import Part
from ansible_collections.fleet.containerd.plugins.plugin_utils.distribution.parts import (
    Limits,
    forecast,
    images_of,
    make_parts,
    partakers,
    summary,
    undecided,
)

NAME = "registry.test/team/app:1"
TOP, MANIFEST, CONFIG, LAYER, OTHER = (f"sha256:{digit * 64}" for digit in "12345")
INDEX = "application/vnd.oci.image.index.v1+json"


def image(digest: str = TOP, **platforms: t.Sequence[str]) -> t.Dict[str, t.Any]:
    named = {f"linux/{name}": {digest: 10, **dict.fromkeys(blobs, 100)} for name, blobs in platforms.items()}
    top = {"mediaType": INDEX, "digest": digest, "size": 10}
    documents = {one: "{}" for blobs in named.values() for one in blobs if one != LAYER}
    return {"done": True, "top": top, "digest": digest, "documents": documents, "blobs": named}


def look(number: int, have: t.Optional[t.Dict[str, t.Any]] = None, architecture: str = "amd64") -> t.Dict[str, t.Any]:
    return {
        "address": f"192.0.2.{number}", "port": 7446, "platform": f"linux/{architecture}", "order_by": "", "images": {NAME: have or {}}
    }  # fmt: skip


def test_the_registry_is_asked_when_nobody_has_it_hosts_differ_or_it_is_wanted() -> None:
    have, other = image(amd64=[MANIFEST, CONFIG, LAYER]), image(OTHER, amd64=[MANIFEST])
    assert undecided({"a": look(1), "b": look(2)}, [NAME], "missing") == [NAME]
    assert undecided({"a": look(1), "b": look(2, have)}, [NAME], "missing") == []
    assert undecided({"a": look(1, other), "b": look(2, have)}, [NAME], "missing") == [NAME]
    assert undecided({"a": look(1), "b": look(2, have)}, [NAME], "always") == [NAME]
    # Nobody has it for the other platform.
    assert undecided({"a": look(1, None, "arm64"), "b": look(2, have)}, [NAME], "missing") == [NAME]


def test_a_part_has_what_its_host_needs_and_a_host_can_read_it() -> None:
    looks = {f"h{number}": look(number) for number in range(3)}
    images = images_of(looks, {NAME: image(amd64=[MANIFEST, CONFIG, LAYER], arm64=[OTHER])}, [NAME])
    parts = make_parts(looks, images, Limits(timeout=60.0))
    assert len({part["secret"] for part in parts.values()}) == 1
    assert len(parts["h0"]["secret"]) == 64
    read = {name: Part.from_json(part) for name, part in parts.items()}
    assert [one.me for one in read.values()] == [0, 1, 2]
    assert [one.images[0].sources for one in read.values()] == [(), (0,), (1, 0)]
    assert sorted(read["h2"].blobs) == sorted([TOP, MANIFEST, CONFIG, LAYER])
    assert sorted(read["h2"].documents) == sorted([TOP, MANIFEST, CONFIG])
    assert read["h2"].peers[1] == ("h1", "192.0.2.1", 7446)
    assert parts["h0"]["secret"] not in repr(read["h0"])
    # Another play has another one.
    assert make_parts(looks, images, Limits())["h0"]["secret"] != parts["h0"]["secret"]


def test_what_hosts_of_several_platforms_have_is_put_together() -> None:
    looks = {"a": look(1, image(amd64=[MANIFEST])), "b": look(2, image(arm64=[OTHER]), "arm64"), "c": look(3)}
    assert undecided(looks, [NAME], "missing") == []
    found = images_of(looks, {}, [NAME])
    assert set(found[NAME]["blobs"]) == {"linux/amd64", "linux/arm64"}
    parts = make_parts(looks, found, Limits())
    assert parts["c"]["images"][0]["sources"] == [parts["a"]["me"]]
    assert OTHER not in parts["c"]["blobs"]


def test_hosts_that_are_done_and_that_nobody_asks_take_no_part() -> None:
    have = image(amd64=[MANIFEST, CONFIG, LAYER])
    looks = {f"h{number}": look(number, have) for number in range(9)}
    images = images_of(looks, {}, [NAME])
    assert partakers(looks, images, make_parts(looks, images, Limits())) == []
    looks["h4"] = look(4)
    assert partakers(looks, images, make_parts(looks, images, Limits())) == ["h0", "h1", "h2", "h3", "h4"]
    # It has all blobs, and is not unpacked.
    looks["h4"], looks["h8"] = look(4, have), look(8, {**have, "done": False})
    assert partakers(looks, images, make_parts(looks, images, Limits())) == ["h8"]


def test_the_summary_says_what_came_from_where_and_who_failed() -> None:
    results = {
        "h0": {
            "changed": True,
            "bytes": 1_000_000,
            "bytes_from": {"registry": 1_000_000},
            "bytes_from_registry": 1_000_000,
            "seconds": 4.2,
        },
        "h1": {
            "changed": True,
            "bytes": 1_000_000,
            "bytes_from": {"h0": 1_000_000},
            "seconds": 4.4,
            "fallbacks": [{"host": "h9"}],
        },
        "h2": {"failed": True, "msg": "the disk is full"},
        "h3": {"changed": False, "bytes": 0, "seconds": 0.0},
    }
    found = summary(results, 1_000_000, 2.0)
    assert (found["registry_copies"], found["over_ideal"], found["failed_hosts"]) == (1.0, 1.1, ["h2"])
    assert found["table"] == [
        "host  came    seconds  from              left",
        "h0    1.0 MB  4.2      registry 1.0 MB   -",
        "h1    1.0 MB  4.4      h0 1.0 MB         h9",
        "h2    FAILED           the disk is full",
        "h3    0       0.0      has it            -",
        "1.00 copies from the registry, 4.4 s, 1.10 times the ideal",
    ]


def test_the_forecast_says_what_would_come_and_whether_it_fits() -> None:
    results = {
        "h0": {"bytes": 2_000_000, "source": "registry", "free": 9_000_000},
        "h1": {"bytes": 0, "free": 9_000_000},
        # Whatever a host says, a terminal is shown no control characters.
        "h2": {"failed": True, "msg": "it does \x1b[2J", "bytes": 2_000_000, "free": 1_000_000},
    }
    assert forecast(results, 8.0) == [
        "host  to come  from             free    seconds",
        "h0    2.0 MB   registry         9.0 MB  2.0",
        "h1    0        has it           9.0 MB  0.0",
        "h2    2.0 MB   it does \\x1b[2J  1.0 MB  2.0",
    ]
