# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""make bench: measure, print a table, write build/bench.json and the chart of the README. ROWS=P1,P4 chooses, RUNS=n sets how often."""

from __future__ import annotations

import json
import os
import platform
import sys
import typing as t

from . import images, playbooks, rows
from .corpus import ROOT

GROUPS: t.Dict[str, t.Callable[[int], t.List[rows.Row]]] = {
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
}


def machine() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as stream:
        names = [line.partition(":")[2].strip() for line in stream if line.startswith("model name")]
    return f"{len(names)} x {names[0] if names else platform.machine()}, Linux {platform.release()}"


def chart(found: t.Sequence[rows.Row]) -> str:
    """Bars of the ratios as SVG: 1 is what it is compared with, shorter is better; a mark shows the goal."""
    shown = [row for row in found if row.row != "P8"]
    height, scale, left = 22, 380, 330
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + scale + 90}" height="{height * len(shown) + 50}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{left}" y="16" fill="#555">ours as a part of theirs (the line is 1.0; shorter is better; | is the goal)</text>',
        f'<line x1="{left + scale * 2 // 3}" y1="24" x2="{left + scale * 2 // 3}" y2="{height * len(shown) + 30}" stroke="#999"/>',
    ]
    for number, row in enumerate(shown):
        top, width = 28 + number * height, min(row.ratio, 1.5) * scale * 2 / 3
        good = not row.goal or row.ratio <= row.goal
        label = f"{row.row} {row.what} / {row.against}"
        parts.append(f'<text x="{left - 6}" y="{top + 13}" text-anchor="end">{label.split(" (", maxsplit=1)[0][:56]}</text>')
        parts.append(f'<rect x="{left}" y="{top + 2}" width="{width:.0f}" height="14" fill="{"#2a7" if good else "#d80"}"/>')
        parts.append(f'<text x="{left + width + 5:.0f}" y="{top + 13}">{row.ratio:.2f}</text>')
        if row.goal:
            mark = left + row.goal * scale * 2 / 3
            parts.append(f'<line x1="{mark:.0f}" y1="{top}" x2="{mark:.0f}" y2="{top + 18}" stroke="black" stroke-width="2"/>')
    return "\n".join([*parts, "</svg>\n"])


def main() -> int:
    wanted = [name for name in os.environ.get("ROWS", "").replace(" ", "").split(",") if name] or list(GROUPS)
    unknown = [name for name in wanted if name not in GROUPS]
    if unknown:
        print(f"ROWS: {', '.join(unknown)} is unknown; known are {', '.join(GROUPS)}")
        return 2
    runs = int(os.environ.get("RUNS", "5"))
    found: t.List[rows.Row] = []
    for group in dict.fromkeys(GROUPS[name] for name in wanted):
        found += [row for row in group(runs) if row.row in wanted]
    for row in found:
        verdict = "" if not row.goal else "met" if row.ratio <= row.goal else "MISSED"
        print(f"{row.row:4} {row.what:52} {row.against:28} {row.ratio:8.2f}  goal {row.goal or '-':<5} {verdict}")
    target = ROOT / "build" / "bench.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps([{**row._asdict(), "machine": machine()} for row in found], indent=1) + "\n")
    if set(wanted) == set(GROUPS):
        image = ROOT / "docs" / "img" / "bench.svg"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_text(chart(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
