# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd of several Debian releases, unpacked side by side below .build/containerds/<suite>.

The mirror is that of the machine's own apt sources; apt itself checks the signatures. Usage: python tools/containerds.py [suite ...]
"""

from __future__ import annotations

import fcntl
import pathlib
import re
import subprocess
import sys
import typing as t

ROOT = pathlib.Path(__file__).resolve().parent.parent
WHERE = ROOT / ".build" / "containerds"
SUITES = ("bookworm", "trixie", "sid")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def mirror() -> str:
    """The URI of this machine's Debian mirror."""
    texts = [pathlib.Path("/etc/apt/sources.list"), *pathlib.Path("/etc/apt/sources.list.d").glob("*")]
    for path in texts:
        if not path.is_file():
            continue
        for line in path.read_text(errors="replace").splitlines():
            found = re.match(r"(?:deb\s+(?:\[[^]]*\]\s+)?|URIs:\s*)(\S*/debian/?)(?:\s|$)", line.strip())
            if found:
                return found.group(1)
    raise SystemExit("no Debian mirror is in the apt sources of this machine")


def fetch(suite: str, *packages: str) -> pathlib.Path:
    """The directory with the files of this suite's packages, by default containerd (usr/bin); downloaded once."""
    packages = packages or ("containerd",)
    target = WHERE / (suite if packages == ("containerd",) else f"{suite}.{packages[0]}")
    if not target.exists():
        WHERE.mkdir(parents=True, exist_ok=True)
        with (WHERE / f"{suite}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.exists():
                _download(suite, packages, target)
    return target


def _download(suite: str, packages: t.Sequence[str], target: pathlib.Path) -> None:
    state = WHERE / f"{suite}.apt"
    for name in ("lists/partial", "cache/archives/partial", "etc"):
        (state / name).mkdir(parents=True, exist_ok=True)
    sources = state / "etc" / "sources.list"
    sources.write_text(f"deb [signed-by={_KEYRING}] {mirror()} {suite} main\n")
    options = [
        f"-oDir::Etc::sourcelist={sources}",
        f"-oDir::Etc::sourceparts={state}/none",
        f"-oDir::State::lists={state}/lists",
        f"-oDir::Cache={state}/cache",
        "-oAPT::Sandbox::User=root",
        "-oAcquire::Languages=none",
        "-oAcquire::Retries=3",
    ]
    subprocess.run(["apt-get", "-q", *options, "update"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["apt-get", "-q", *options, "download", *packages], check=True, cwd=state, stdout=subprocess.DEVNULL)
    partial = WHERE / f"{target.name}.new"
    for archive in (path for package in packages for path in state.glob(f"{package}_*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(archive), str(partial)], check=True)
    partial.rename(target)


def main(arguments: t.Sequence[str]) -> None:
    for suite in arguments or SUITES:
        path = fetch(suite)
        # starts: (what was fetched)
        done = subprocess.run([path / "usr/bin/containerd", "--version"], capture_output=True, text=True, check=True)
        print(f"{suite}: {done.stdout.split()[2]} in {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
