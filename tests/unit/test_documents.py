# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What documents say of each other, of files and of figures is so."""

from __future__ import annotations

import json
import pathlib
import re
import typing as t

import pytest
import yaml

from ansible_collections.fleet.containerd.plugins.module_utils.engine.labels import VERSION
from ansible_collections.fleet.containerd.tools.bench import chart

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/adr/*.md"), *ROOT.glob("roles/*/README.md")]
#: In backticks, as CONTRIBUTING.md names files and directories; the rest are rooms, options and commands.
_PATH = re.compile(r"`((?:tests|tools|docs|requirements|changelogs|extensions|meta|plugins|roles|playbooks)/[\w./-]*[\w/])`")
_LINK = re.compile(r"\]\(([^)#:]+)\)")


def test_there_is_one_version() -> None:
    assert yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"] == VERSION
    assert f"fleet-containerd-{VERSION}.tar.gz" in (ROOT / "README.md").read_text()
    numbers = re.compile(r"""["'/]\d+\.\d+\.\d+["']""")
    sources = [path for path in (ROOT / "plugins").rglob("*.py") if VERSION in path.read_text() and "/modules/" not in str(path)]
    found = [path.name for path in sources if any(VERSION in one for one in numbers.findall(path.read_text()))]
    assert found == ["labels.py"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_documents_name_is_there(path: pathlib.Path) -> None:
    text = path.read_text()
    missing = [name for name in _PATH.findall(text) if not (ROOT / name).exists() and not list(ROOT.glob(f"{name}*"))]
    missing += [link for link in _LINK.findall(text) if not (path.parent / link).exists()]
    assert missing == []


def test_every_decision_is_in_the_table() -> None:
    listed = _LINK.findall((ROOT / "docs" / "adr" / "README.md").read_text())
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs" / "adr").glob("0*.md"))


def test_comments_name_no_document_that_is_not_there() -> None:
    cited = re.compile(r"\bdocs/(?!hosts\.md|man/)[\w/-]+(?:\.\w+)?")  # but containerd's own
    found = {}
    for path in [*(ROOT / "plugins").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]:
        missing = [
            name for name in cited.findall(path.read_text()) if not (ROOT / name).exists() and not list(ROOT.glob(f"{name}-*"))
        ]
        found.update({str(path): missing} if missing else {})
    assert found == {}


def test_the_chart_is_drawn_from_its_figures() -> None:
    for data, draw in ((chart.DATA, chart.draw), (chart.FLEETS, chart.draw_fleets)):
        assert data.with_suffix(".svg").read_text() == draw(json.loads(data.read_text())["rows"])


def _bars(text: str) -> t.List[t.Tuple[float, str]]:
    found = re.findall(rf'<rect x="\d+" y="\d+" width="([\d.]+)" height="{chart._BAR}" fill="(#\w+)"/>\n', text)
    return [(float(width), color) for width, color in found]


def test_the_chart_is_to_scale_and_whole() -> None:
    long = "a label that is longer than any " * 3
    rows: t.List[t.Dict[str, t.Any]] = [
        {"row": "P1", "what": long, "against": "ctr 1.6", "ratio": 1.5, "goal": 0.0},
        {"row": "P1", "what": long, "against": "ctr 1.7", "ratio": 3.0, "goal": 1.0},
        {"row": "P2", "what": "a < b", "against": "x", "ratio": 0.75, "goal": 0.75},
    ]
    text = chart.draw(rows)
    (one, grey), (two, orange), (three, green) = _bars(text)
    assert two == pytest.approx(2 * one, abs=0.2)
    assert three == pytest.approx(one / 2, abs=0.2)
    assert [grey, orange, green] == [chart.COLORS[name] for name in ("none", "missed", "met")]
    assert text.count(f"P1 {long}</text>") == 2
    assert "ctr 1.6</text>" in text and "ctr 1.7</text>" in text and "a &lt; b" in text
    assert all(word in text for word in chart.LEGEND.values())
    width = float(re.findall(r'<svg [^>]*width="(\d+)"', text)[0])
    left = float(re.findall(rf'<rect x="(\d+)" y="\d+" width="[\d.]+" height="{chart._BAR}"[^>]*>\n', text)[0])
    assert left + two < width
