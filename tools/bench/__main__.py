# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""make bench: measure, print a table, write build/bench.json. ROWS=P1,P4 chooses, RUNS=n sets how often.

With all rows docs/img/bench.json and the chart of the README are written too; with P16, and fleets as they are by default, the chart of
distributions.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import typing as t

from . import chart, distribution, images, inside, networks, playbooks, rows
from .corpus import ROOT

GROUPS: t.Dict[str, t.Callable[[int], t.Iterable[rows.Row]]] = {
    "P1": rows.pulls,
    "P2": rows.daemon_pulls,
    "P3": images.updates,
    "P4": playbooks.noop,
    "P5": images.many,
    "P6": rows.starts,
    "P7": rows.memory,
    "P8": rows.pulls,
    "P9": images.scale,
    "P10": playbooks.payload,
    "P11": networks.on_a_host_of_its_own("starts"),
    "P12": networks.on_a_host_of_its_own("attaching"),
    "P13": networks.on_a_host_of_its_own("noop"),
    "P14": inside.inside,
    "P15": inside.inside,
    "P16": distribution.distribution,
}


def machine() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as stream:
        names = [line.partition(":")[2].strip() for line in stream if line.startswith("model name")]
    return f"{len(names)} x {names[0] if names else platform.machine()}, Linux {platform.release()}"


def _figures(found: t.Sequence[rows.Row]) -> str:
    return json.dumps({"machine": machine(), "rows": [row._asdict() for row in found]}, indent=1) + "\n"


def main() -> int:
    wanted = [name for name in os.environ.get("ROWS", "").replace(" ", "").split(",") if name] or list(GROUPS)
    unknown = [name for name in wanted if name not in GROUPS]
    if unknown:
        print(f"ROWS: {', '.join(unknown)} is unknown; known are {', '.join(GROUPS)}")
        return 2
    runs = int(os.environ.get("RUNS", "5"))
    found: t.List[rows.Row] = []
    for group in dict.fromkeys(GROUPS[name] for name in wanted):
        for row in group(runs):
            if row.row in wanted:
                found.append(row)
                verdict = "" if not row.goal else "met" if row.ratio <= row.goal else "MISSED"
                print(
                    f"{row.row:4} {row.what:52} {row.against:28} {row.ratio:8.2f}  goal {row.goal or '-':<5} {verdict}",
                    flush=True,
                )
    figures = _figures(found)
    target = ROOT / "build" / "bench.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(figures)
    if set(wanted) == set(GROUPS):
        chart.DATA.write_text(figures)
    if "P16" in wanted and not os.environ.keys() & {"HOSTS", "MB"}:
        chart.FLEETS.write_text(_figures([row for row in found if row.row == "P16"]))
    chart.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
