# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Feed the parsers with hostile bytes for some time. Usage: python tools/fuzz.py MINUTES [TARGET...]

What breaks one is made small, and kept in tests/unit/fuzz/seeds.py: from then on the tests try it every time.
"""

from __future__ import annotations

import base64
import pathlib
import random
import signal
import sys
import time
import traceback
import typing as t

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".build" / "link"))

from ansible_collections.fleet.containerd.tests.unit.fuzz.seeds import SEEDS  # noqa: E402  # the path comes first
from ansible_collections.fleet.containerd.tests.unit.fuzz.targets import TARGETS, Target  # noqa: E402

FILE = ROOT / "tests" / "unit" / "fuzz" / "seeds.py"
_ROUND = 400
_HANGS = 20


def _hangs(*_signal: t.Any) -> None:
    raise TimeoutError(f"a try hangs for {_HANGS} s")


def fuzz(target: Target, seed: int) -> t.Tuple[int, t.Optional[bytes], str]:
    """One round. Returns the number of tries, and the input that broke the target (reduced), with the reason."""
    tries, last, why = 0, b"", ""

    @hypothesis.seed(seed)
    @settings(
        max_examples=_ROUND,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        print_blob=False,
    )
    @given(st.shared(target.bytes))
    def run(data: bytes) -> None:
        nonlocal tries, last, why
        tries += 1
        signal.alarm(_HANGS)
        try:
            target.run(data)
        except BaseException:
            last, why = data, traceback.format_exc()
            raise
        finally:
            signal.alarm(0)

    try:
        run()
    except Exception:  # noqa: BLE001  # any exception is a finding
        return tries, last, why
    return tries, None, ""


def keep(name: str, data: bytes) -> None:
    """Add a seed to the file."""
    text = base64.b64encode(data).decode()
    if text in SEEDS.setdefault(name, []):
        return
    SEEDS[name].append(text)
    head = FILE.read_text().partition("SEEDS:")[0]
    lines = [
        f'    "{key}": [\n' + "".join(f'        "{one}",\n' for one in sorted(SEEDS[key])) + "    ],\n" for key in sorted(SEEDS)
    ]
    FILE.write_text(head + "SEEDS: t.Dict[str, t.List[str]] = {\n" + "".join(lines) + "}\n")


def main() -> int:
    signal.signal(signal.SIGALRM, _hangs)
    try:
        minutes, names = float(sys.argv[1]), sys.argv[2:] or list(TARGETS)
        targets = {name: TARGETS[name] for name in names}
    except (IndexError, ValueError, KeyError):
        sys.exit(__doc__)
    end, tries = time.monotonic() + 60 * minutes, dict.fromkeys(targets, 0)
    found: t.Dict[str, str] = {}
    spent = dict.fromkeys(targets, 0.0)
    while time.monotonic() < end:
        # Each gets the same time, however slow it is.
        name = min(spent, key=lambda one: spent[one])
        started = time.monotonic()
        count, broken, why = fuzz(targets[name], random.SystemRandom().getrandbits(60))
        spent[name] += time.monotonic() - started
        tries[name] += count
        if broken is not None and why.splitlines()[-1] not in found.values():
            found[f"{name} {len(found)}"] = why.splitlines()[-1]
            keep(name, broken)
            print(f"{name}: {broken[:200]!r}\n{why}", flush=True)
    for name, count in tries.items():
        print(f"{name:10} {count:8} tries")
    print(f"{sum(tries.values())} tries, {len(found)} found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
