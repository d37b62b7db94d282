# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_config: the containerd of the host, if it is installed, and its verdict on the new files."""

from __future__ import annotations

import os
import typing as t

from ...config_toml.checks import Daemon, hints, problems, unknown
from ...config_toml.daemon import Containerd, find
from ...config_toml.files import ConfigText, Files, patterns
from ...config_toml.migrate import version_of
from ...config_toml.process import running
from ...config_toml.reading import parse
from ...config_toml.secrets import without
from ...errors import FailedPrecondition, InvalidArgument, printable
from .values import WantedConfig

#: A daemon reads its file at least this many seconds after its start; the clock of files is no finer.
_START_SECONDS = 0.02


class Verdict(t.NamedTuple):
    """validated: containerd itself has read it. unknown: keys that it ignores."""

    validated: bool
    unknown: t.List[str]
    warnings: t.List[str]


class ConfigHost:
    """The host. It asks the installed containerd only when the answer is needed."""

    def __init__(self, want: WantedConfig) -> None:
        self.want = want
        binary = find(want.binary)
        self.containerd: t.Optional[Containerd] = Containerd(binary) if binary else None
        self._verdicts: t.Dict[t.Tuple[str, ...], Verdict] = {}
        self._main_version = 0

    def read(self) -> Files:
        """Read the main file. Its imports are read when they are needed."""
        files = Files(self.want.main)
        tree = parse(files.main.text or "", self.want.main)
        self._main_version = version_of(tree) if files.main.text is not None else 0
        relative = any("*" in one and not os.path.isabs(one) for one in patterns(tree))
        if relative and self.containerd and self.containerd.version < (1, 7):
            files = Files(self.want.main, relative_patterns=False)
        return files

    @property
    def replaces_plugins(self) -> bool:
        """True for containerd 1.x. If none is installed yet, the version of the file decides."""
        return self.containerd.version < (2, 0) if self.containerd else self._main_version < 3

    @property
    def daemon(self) -> Daemon:
        if self.containerd is None:
            return Daemon(False, self.replaces_plugins)
        return Daemon(True, self.replaces_plugins, self.containerd.newest, self.containerd.default)

    def judge(self, sources: t.Sequence[ConfigText], secrets: t.Iterable[str]) -> Verdict:
        """Whether these files may be written. FailedPrecondition or InvalidArgument when containerd would not accept them."""
        key = tuple(source.text for source in sources)
        if key not in self._verdicts:
            try:
                self._verdicts[key] = self._judge(sources)
            except (FailedPrecondition, InvalidArgument) as error:
                raise type(error)(without(str(error), secrets)) from None
        return self._verdicts[key]

    def _judge(self, sources: t.Sequence[ConfigText]) -> Verdict:
        reasons = problems(sources, self.daemon)
        if reasons:
            raise FailedPrecondition(printable("; ".join(reasons), 1000))
        warnings = hints(sources, self.daemon)
        if self.containerd is None:
            if self.want.validate or self.want.binary:
                where = printable(self.want.binary, 200) or "on the target"
                warnings.append(f"validate: there is no containerd {where}, so it could not be asked about the configuration")
            return Verdict(False, [], warnings)
        ignored = self.containerd.dump(sources)
        if self.replaces_plugins:
            ignored = unknown(sources, self.containerd.default)
        if ignored:
            version = ".".join(map(str, self.containerd.version))
            warnings.append(f"containerd {version} does not know, and ignores: {', '.join(ignored)}")
        return Verdict(True, ignored, warnings)


class Restart(t.NamedTuple):
    """Whether a running daemon has to be restarted to use the files, and why."""

    required: bool
    reason: str


def restart(want: WantedConfig, files: Files, changing: t.Sequence[str]) -> Restart:
    """changing: files that this task changes. Without any, the times decide: a file that changed after the start was not read."""
    daemon = running(want.main)
    if daemon is None:
        return Restart(False, f"no containerd runs with {want.main}")
    if changing:
        return Restart(True, f"this task changes {', '.join(changing)}, and containerd (pid {daemon.pid}) runs")
    try:
        sources = files.sources()
        times = {**{source.name: source.changed for source in sources}, **files.directories(sources)}
    except (FailedPrecondition, InvalidArgument) as error:
        return Restart(True, str(error))
    late = sorted(name for name, changed in times.items() if changed > daemon.started + _START_SECONDS)
    if late:
        return Restart(True, f"{', '.join(late)} was changed after containerd (pid {daemon.pid}) was started")
    return Restart(False, "")
