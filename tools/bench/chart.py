# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The charts of the README, docs/img/bench.svg and distribution.svg, drawn from the figures beside them.

Usage: PYTHONPATH=.build/link .venv/bin/python -m ansible_collections.fleet.containerd.tools.bench.chart
"""

from __future__ import annotations

import html
import json
import math
import pathlib
import typing as t

IMAGES = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "img"
DATA, FLEETS = IMAGES / "bench.json", IMAGES / "distribution.json"
#: What the rows of distributions have in common: what a time is compared with, and the end of a name whose row has the other figure.
IDEAL, COPIES = "size / bandwidth", ": copies from the registry"
#: Colours and words of the legend: whether the goal was met.
COLORS = {"met": "#1a7f4b", "missed": "#d9730d", "none": "#8a94a0"}
LEGEND = {"met": "goal met", "missed": "goal missed", "none": "no goal set"}
_FLEETS_TITLE = "Time until the last host has an image (50 MB; each by itself: 2.5 MB), in sizes over the bandwidth of one link"
_LINE, _TOP, _BAR, _AXIS = 20, 70, 13, 420
#: The most pixels that a character takes. Labels are not cut: the picture is as wide as they need.
_CHARACTER = 6.6

Row = t.Mapping[str, t.Any]


def outcome(row: Row) -> str:
    """Whether the goal of a row was met, as a key of COLORS."""
    return "none" if not row["goal"] else "met" if row["ratio"] <= row["goal"] else "missed"


def draw(rows: t.Sequence[Row]) -> str:
    """The ratios as SVG bars, all on one scale: 1 means the same as the other tool, and shorter is better."""
    shown = [row for row in rows if row["row"] not in ("P8", "P16")]
    what = max(len(f"{row['row']} {row['what']}") for row in shown) * _CHARACTER
    left = round(10 + what + max(len(str(row["against"])) for row in shown) * _CHARACTER + 24)
    # Round up to half a unit, the next line of the grid, so that the longest bar fits.
    most = math.ceil(max(max(row["ratio"], row["goal"]) for row in shown) * 2) / 2
    scale = _AXIS / most
    height = _TOP + _LINE * len(shown) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + _AXIS + 60}" height="{height}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="10" y="20" font-size="14">What ours takes as a part of what the other takes: shorter is better, 1.0 is the same</text>',
        *_legend(),
    ]
    for step in range(int(most * 2) + 1):
        x, one = left + step / 2 * scale, step == 2
        parts.append(
            f'<line x1="{x:.1f}" y1="{_TOP - 6}" x2="{x:.1f}" y2="{height - 24}" stroke="{"#333" if one else "#ddd"}"/>'
            f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle" fill="#555">{step / 2:.1f}</text>'
        )
    for number, row in enumerate(shown):
        parts += _row(row, _TOP + number * _LINE, left, what, scale)
    return "\n".join([*parts, "</svg>\n"])


def _legend() -> t.List[str]:
    parts, x = [], 10
    for name, text in LEGEND.items():
        parts.append(
            f'<rect x="{x}" y="34" width="14" height="13" fill="{COLORS[name]}"/><text x="{x + 20}" y="45">{text}</text>'
        )
        x += 120
    return [
        *parts,
        f'<line x1="{x + 7}" y1="32" x2="{x + 7}" y2="50" stroke="black" stroke-width="2"/><text x="{x + 16}" y="45">goal</text>',
    ]


def _row(row: Row, top: int, left: int, what: float, scale: float) -> t.List[str]:
    width, base = row["ratio"] * scale, top + _BAR - 2
    label, against = (html.escape(str(text)) for text in (f"{row['row']} {row['what']}", row["against"]))
    parts = [
        f'<text x="10" y="{base}">{label}</text>',
        f'<text x="{what + 16:.0f}" y="{base}" fill="#555">{against}</text>',
        f'<rect x="{left}" y="{top}" width="{width:.1f}" height="{_BAR}" fill="{COLORS[outcome(row)]}"/>',
        f'<text x="{left + max(width, row["goal"] * scale) + 6:.1f}" y="{base}">{row["ratio"]:.2f}</text>',
    ]
    if row["goal"]:
        mark = left + row["goal"] * scale
        parts.append(
            f'<line x1="{mark:.1f}" y1="{top - 2}" x2="{mark:.1f}" y2="{top + _BAR + 2}" stroke="black" stroke-width="2"/>'
        )
    return parts


def draw_fleets(rows: t.Sequence[Row]) -> str:
    """How long an image takes to all hosts of a fleet, as SVG bars; beside each, how often it has left the registry."""
    copies = {row["what"][: -len(COPIES)]: row["ratio"] for row in rows if row["what"].endswith(COPIES)}
    shown = [row for row in rows if row["against"] == IDEAL and row["what"] in copies]
    left = round(30 + max(len(row["what"]) for row in shown) * _CHARACTER)
    scale = _AXIS / max(row["ratio"] for row in shown)
    height = _TOP - 24 + _LINE * len(shown) + 14
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + _AXIS + 190}" height="{height}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="10" y="20" font-size="14">{_FLEETS_TITLE}</text>',
    ]
    for number, row in enumerate(shown):
        label = f"{row['ratio']:.2f}; {copies[row['what']]:.2f} copies leave the registry"
        top, width = _TOP - 24 + number * _LINE, row["ratio"] * scale
        parts += [
            f'<text x="10" y="{top + _BAR - 2}">{html.escape(row["what"])}</text>',
            f'<rect x="{left}" y="{top}" width="{width:.1f}" height="{_BAR}" fill="{COLORS[outcome(row)]}"/>',
            f'<text x="{left + width + 6:.1f}" y="{top + _BAR - 2}">{label}</text>',
        ]
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    for data, picture in ((DATA, draw), (FLEETS, draw_fleets)):
        data.with_suffix(".svg").write_text(picture(json.loads(data.read_text())["rows"]))


if __name__ == "__main__":
    main()
