# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set up this checkout: Debian packages, .venv, .build/optional, and .build/link, through which Python and Ansible find the collection.

Usage: python3 tools/setup.py [--vm]. Existing parts are not made again, so a second run takes a fraction of a second.
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import typing as t
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
OPTIONAL = ROOT / ".build" / "optional"
LINK = ROOT / ".build" / "link" / "ansible_collections" / "fleet" / "containerd"


def lines(path: pathlib.Path) -> t.List[str]:
    """The entries of a requirements file."""
    found = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
    return [line for line in found if line]


def apt(names: t.Sequence[str]) -> None:
    """Install the Debian packages that are missing."""
    missing = [name for name in names if not installed(name)]
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        sys.exit(f"these packages are missing: {' '.join(missing)}. Install them, or run this as root on Debian.")
    print(f"apt: installing {' '.join(missing)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    # Go on if some other package source does not answer: the install tells whether anything is missing.
    subprocess.run(["apt-get", "-qq", "update"], env=environment, check=False)
    install = ["apt-get", "-qq", "-y", "-o", "Dpkg::Use-Pty=0", "install", "--no-install-recommends", *missing]
    if subprocess.run(install, env=environment, check=False, stdout=subprocess.DEVNULL).returncode:
        sys.exit(f"apt-get could not install {' '.join(missing)}: its messages are above")


def installed(name: str) -> bool:
    query = ["dpkg-query", "-W", "-f", "${db:Status-Status}", name]
    # starts: dpkg-query
    if not shutil.which(query[0]):
        return False
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout == "installed"


def environment() -> None:
    """Make .venv, or make it again when its requirements or its Python have changed."""
    requirements = ROOT / "requirements" / "test.txt"
    if made_from(VENV, requirements):
        return
    if sys.version_info < (3, 11):
        sys.exit(
            f"ansible-core 2.19 needs Python 3.11 or later on the controller, and {sys.executable} is {sys.version.split()[0]}"
        )
    print("venv: installing requirements/test.txt into .venv", flush=True)
    if VENV.is_symlink():
        # The environment of another checkout has other requirements: leave it, and make our own.
        VENV.unlink()
    venv.create(VENV, clear=True, with_pip=True)
    install(VENV, requirements)


def optional() -> None:
    """Make .build/optional with requirements/optional.txt, for those who put it on Python's path."""
    requirements = ROOT / "requirements" / "optional.txt"
    if not made_from(OPTIONAL, requirements):
        OPTIONAL.mkdir(parents=True, exist_ok=True)
        install(OPTIONAL, requirements, "--upgrade", "--target", str(OPTIONAL))


def made_from(directory: pathlib.Path, requirements: pathlib.Path) -> bool:
    """Whether the directory was made from exactly these requirements."""
    stamp = directory / "made-from"
    return stamp.exists() and stamp.read_text() == _wanted(requirements)


def _wanted(requirements: pathlib.Path) -> str:
    return hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()


def install(directory: pathlib.Path, requirements: pathlib.Path, *options: str) -> None:
    """Install with the pip of .venv."""
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # starts: (of .venv)
    if subprocess.run([*pip, *options, "-r", str(requirements)], check=False).returncode:
        sys.exit(f"pip could not install {requirements.relative_to(ROOT)}: its messages are above")
    (directory / "made-from").write_text(_wanted(requirements))


def link() -> None:
    """Make .build/link/ansible_collections/fleet/containerd a link to the root of the checkout."""
    if LINK.is_symlink() and LINK.resolve() == ROOT:
        return
    LINK.parent.mkdir(parents=True, exist_ok=True)
    LINK.unlink(missing_ok=True)
    LINK.symlink_to("../../../..")


def main() -> None:
    apt(lines(ROOT / "requirements" / "apt.txt"))
    if "--vm" in sys.argv[1:]:
        apt(lines(ROOT / "requirements" / "apt-vm.txt"))
    environment()
    optional()
    link()


if __name__ == "__main__":
    main()
