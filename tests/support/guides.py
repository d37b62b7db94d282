# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks, and the commands, in the guides of docs/docsite/rst, to be run."""

from __future__ import annotations

import re
import textwrap
import typing as t

from .ansible import HERE

_GUIDES = HERE.parent.parent / "docs" / "docsite" / "rst"
_BLOCK = r"^\.\. code-block:: {}\n\n((?:    .*\n|\n)+)"


def blocks_of(guide: str, replace: t.Optional[t.Mapping[str, str]] = None, language: str = "yaml+jinja") -> t.List[str]:
    """The YAML of a guide (or its blocks of another language), in order.

    replace: texts that stand for things of the test, each of which must be in the guide.
    """
    text = (_GUIDES / f"{guide}.rst").read_text()
    for old, new in (replace or {}).items():
        assert old in text, f"{old} is not in {guide}"
        text = text.replace(old, new)
    return [textwrap.dedent(block) for block in re.findall(_BLOCK.format(re.escape(language)), text, re.MULTILINE)]
