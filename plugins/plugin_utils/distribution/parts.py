# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what all hosts have found to each host's part of a distribution, and from their results to a table (docs/adr/0050)."""

from __future__ import annotations

import secrets
import typing as t

from .plan import Host, Sources, in_order, piece_of, sources_of

Json = t.Dict[str, t.Any]
_WIDEST = 200


def undecided(looks: t.Mapping[str, Json], names: t.Sequence[str], pull: str) -> t.List[str]:
    """The images for which a registry has to be asked: nobody has them, hosts have different ones, or it is wanted."""
    wanted = []
    for name in names:
        digests = {look["images"][name]["digest"] for look in looks.values() if look["images"][name]}
        if len(digests) != 1 or (pull == "always" and "@" not in name) or not _covered(looks, name):
            wanted.append(name)
    return wanted


def _covered(looks: t.Mapping[str, Json], name: str) -> bool:
    """Whether every platform of the play has a host with the image."""
    held = {look["platform"] for look in looks.values() if look["images"][name]}
    return held == {look["platform"] for look in looks.values()}


def images_of(looks: t.Mapping[str, Json], resolved: t.Mapping[str, Json], names: t.Sequence[str]) -> t.Dict[str, Json]:
    """What each image consists of, on all platforms: as the registry has said, else as the hosts have it."""
    found = {}
    for name in names:
        if name in resolved:
            found[name] = resolved[name]
            continue
        image: Json = {}
        for look in looks.values():
            have = look["images"][name]
            if have and look["platform"] not in image.get("blobs", {}):
                image.setdefault("documents", {}).update(have["documents"])
                image.setdefault("blobs", {}).update(have["blobs"])
                image.update(top=have["top"], digest=have["digest"])
        found[name] = image
    return found


class Limits(t.NamedTuple):
    """The options of a play. alone: no host asks another one."""

    heads: int = 1
    timeout: float = 900.0
    alone: bool = False


def make_parts(looks: t.Mapping[str, Json], images: t.Mapping[str, Json], limits: Limits) -> t.Dict[str, Json]:
    """The part of each host. looks: in the order of the inventory."""
    hosts = [
        Host(
            name,
            look["address"],
            look["platform"],
            look["order_by"],
            frozenset(have["digest"] for have in look["images"].values() if have),
        )
        for name, look in looks.items()
    ]
    numbers = {host.name: number for number, host in enumerate(in_order(hosts))}
    size = sum(sum(image["blobs"][hosts[0].platform].values()) for image in images.values())
    common = {
        "id": secrets.token_hex(6),
        "secret": secrets.token_hex(32),
        "hosts": len(hosts),
        "timeout": limits.timeout,
        "piece": piece_of(size, len(hosts)),
    }
    asked = {name: sources_of(hosts, image["digest"], limits.heads) for name, image in images.items()}
    parts = {}
    for host in hosts:
        known: t.Set[str] = {host.name}
        rows: t.List[Json] = []
        blobs: t.Dict[str, int] = {}
        documents: t.Dict[str, str] = {}
        for name, image in images.items():
            own = Sources((), ()) if limits.alone else asked[name][host.name]
            known.update(own.sources, own.last)
            rows.append(
                {
                    "name": name,
                    "top": image["top"],
                    "sources": [numbers[one] for one in own.sources],
                    "last": [numbers[one] for one in own.last],
                    "head": numbers.get(own.head, -1),
                }
            )
            blobs.update(image["blobs"][host.platform])
            documents.update({key: text for key, text in image["documents"].items() if key in image["blobs"][host.platform]})
        peers = {numbers[name]: [name, looks[name]["address"], looks[name]["port"]] for name in sorted(known)}
        parts[host.name] = {
            **common, "me": numbers[host.name], "peers": peers, "images": rows, "blobs": blobs, "documents": documents
        }  # fmt: skip
    return parts


def partakers(looks: t.Mapping[str, Json], images: t.Mapping[str, Json], parts: t.Mapping[str, Json]) -> t.List[str]:
    """The hosts that get something, and those that may be asked for it."""
    names = {part["me"]: name for name, part in parts.items()}
    found: t.Set[str] = set()
    for name, look in looks.items():
        for row in parts[name]["images"]:
            have = look["images"][row["name"]]
            if not have or have["digest"] != images[row["name"]]["digest"] or not have["done"]:
                found.update([name, *(names[one] for one in (*row["sources"], *row["last"]))])
    return [name for name in looks if name in found]


# Results


def summary(results: t.Mapping[str, Json], size: int, rate: t.Optional[float]) -> Json:
    """What the play has done. size: bytes of all images. rate: megabits per second of a link."""
    done = {name: one for name, one in results.items() if not one.get("failed")}
    slowest = max((float(one.get("seconds", 0.0)) for one in done.values()), default=0.0)
    registry = sum(one.get("bytes_from_registry", 0) for one in results.values())
    found: Json = {
        "hosts": {name: _row(one) for name, one in results.items()},
        "bytes_from_registry": registry,
        "registry_copies": round(registry / size, 2) if size else 0.0,
        "seconds": round(slowest, 2),
        "failed_hosts": sorted(set(results) - set(done)),
    }
    if rate and size and any(one.get("bytes") for one in done.values()):
        found["over_ideal"] = round(slowest / (size * 8 / rate / 1e6), 2)
    found["table"] = table(found)
    return found


def _row(one: Json) -> Json:
    keys = ("changed", "bytes", "bytes_from", "seconds", "fallbacks", "msg")
    return {"failed": bool(one.get("failed")), **{key: one[key] for key in keys if key in one}}


def table(found: Json) -> t.List[str]:
    """For the terminal: a line a host, and one for the play."""
    rows = [("host", "came", "seconds", "from", "left")]
    for name, one in found["hosts"].items():
        if one["failed"]:
            rows.append((name, "FAILED", "", str(one.get("msg", ""))[:100], ""))
            continue
        came = ", ".join(f"{source} {_mega(size)}" for source, size in one.get("bytes_from", {}).items())
        left = ", ".join(sorted({str(each["host"]) for each in one.get("fallbacks", ())}))
        rows.append((name, _mega(one.get("bytes", 0)), f"{one.get('seconds', 0.0):.1f}", came or "has it", left or "-"))
    over = f", {found['over_ideal']:.2f} times the ideal" if "over_ideal" in found else ""
    return [
        *aligned(rows),
        f"{found['registry_copies']:.2f} copies from the registry, {found['seconds']:.1f} s{over}",
    ]


def forecast(results: t.Mapping[str, Json], rate: t.Optional[float]) -> t.List[str]:
    """What check mode has found, for the terminal."""
    rows = [("host", "to come", "from", "free", *(["seconds"] if rate else []))]
    for name, one in results.items():
        size = one.get("bytes", 0)
        words = str(one["msg"])[:100] if one.get("failed") and one.get("msg") else one.get("source") or "has it"
        seconds = [f"{size * 8 / rate / 1e6:.1f}"] if rate else []
        rows.append((name, _mega(size), words, _mega(one.get("free", 0)), *seconds))
    return aligned(rows)


def _mega(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size else "0"


def aligned(rows: t.Sequence[t.Sequence[str]]) -> t.List[str]:
    """Columns, each as wide as its widest word. A host may say anything."""
    from ...module_utils.errors import printable

    rows = [[printable(word, _WIDEST) for word in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in rows]
