# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows about many images: a new version of one, twenty in a task, hundreds on the host."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import tempfile
import typing as t

from ...plugins.module_utils.engine.labels import NAME
from ...plugins.module_utils.engine.models import Image
from ...plugins.module_utils.engine_embedded.engine import EmbeddedEngine
from ...tests.support.registry import Registry, running_registry
from .corpus import daemon, fresh_filesystem, push
from .playbooks import Play, tasks
from .rows import SUITES, Ours, Row, act, ctr_pull, interleaved, timed


def updates(runs: int) -> t.List[Row]:
    """P3: a new version of an image where only the top layer is missing: 1 MB in 500 files, 60 MB, 30,000 files."""
    return [row for name in ("debian-like", "application", "many-files") for row in _update(name, runs)]


def _update(name: str, runs: int) -> t.List[Row]:
    with fresh_filesystem() as base, running_registry() as registry, contextlib.ExitStack() as stack:
        old, new = push(registry, name), push(registry, f"{name}-next")
        root = base / "ours"
        act(old, root)

        def ours() -> float:
            """As for ctr, the new version is removed after each pull, so that both write into memory that was just freed."""
            seconds = timed(lambda: act(new, root))
            engine = EmbeddedEngine("default", f"{root}/data", f"{root}/state")
            engine.images.delete(new)
            engine.close()
            return seconds

        actions: t.Dict[str, t.Callable[[], float]] = {"ours": ours}
        for version, suite in SUITES.items():
            found = stack.enter_context(daemon(suite, base))
            found.run("images", "pull", "--plain-http", old)
            actions[f"ctr {version}"] = lambda found=found: ctr_pull(found, new, base)
        medians = interleaved(actions, runs)
    goals = {"ctr 2.1": 0.7}
    return [
        Row("P3", f"pull a new version of {name}, durable", against, medians["ours"] / seconds, goals.get(against, 0), runs)
        for against, seconds in medians.items()
        if against != "ours"
    ]


@contextlib.contextmanager
def _ours(base: pathlib.Path, registry: Registry) -> t.Iterator[t.Tuple[Ours, str]]:
    """An engine with one image, and the options of a task that uses it."""
    base.mkdir()
    made = Ours(base, registry)
    try:
        yield made, f"engine: embedded, data_root: {base}/ours, state_root: {made.state}"
    finally:
        made.close()


def _know(made: Ours, count: int) -> t.List[str]:
    """Put count more images and containers into the engine's records. Returns the names of the images."""
    target = made.engine.images.get(made.reference).target
    names = [f"registry.example.com/app{number}:1" for number in range(count)]
    made.start()
    (like,) = made.engine.containers.list()
    for number, name in enumerate(names):
        made.engine.images.put(Image(name, target))
        labels = {**like.labels, NAME: f"other{number}"}
        made.engine.containers.create(like._replace(id=f"{number:064x}", labels=labels, snapshot_key=f"{number:064x}"))
    return names


def _forget(made: Ours) -> None:
    for container in made.engine.containers.list():
        if container.id == container.snapshot_key and container.id.startswith("0" * 60):
            made.engine.containers.delete(container.id)


@contextlib.contextmanager
def _workplace() -> t.Iterator[pathlib.Path]:
    work = pathlib.Path(tempfile.mkdtemp(prefix="fleet-bench-"))
    try:
        yield work
    finally:
        shutil.rmtree(work)


def many(runs: int) -> t.List[Row]:
    """P5: twenty images in one task, all present, against one image."""
    with fresh_filesystem("4G") as base, running_registry() as registry, _workplace() as work, contextlib.ExitStack() as stack:
        made, options = stack.enter_context(_ours(base / "many", registry))
        names = _know(made, 20)
        stack.callback(_forget, made)
        module = "fleet.containerd.containerd_image"
        plays = {
            "one": Play(work, "one", f"{module}: {{name: '{names[0]}', {options}}}"),
            "twenty": Play(work, "twenty", f"{module}: {{name: {names!r}, {options}}}"),
        }
        medians = interleaved({name: play.cost for name, play in plays.items()}, runs)
    return [Row("P5", "no-op: 20 images in one task", "one image", medians["twenty"] / medians["one"], 1.2, runs)]


def scale(runs: int) -> t.List[Row]:
    """P9: a task that finds all as asked, with 500 images and 500 containers known, against 5 of each."""
    with fresh_filesystem("4G") as base, running_registry() as registry, _workplace() as work, contextlib.ExitStack() as stack:
        plays: t.Dict[str, Play] = {}
        for count in (5, 500):
            made, options = stack.enter_context(_ours(base / str(count), registry))
            _know(made, count)
            stack.callback(_forget, made)
            plays.update(tasks(work, str(count), made.reference, options))
        medians = interleaved({name: play.cost for name, play in plays.items()}, runs)
    return [
        Row("P9", f"no-op: {what}, 500 known", "5 known", medians[f"{what}, 500"] / medians[f"{what}, 5"], 1.2, runs)
        for what in ("image present", "container running")
    ]
