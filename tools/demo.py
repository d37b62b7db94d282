# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""make demo: build an image, serve it from a real registry, and let playbooks/demo.yml run containers from it, twice.

Usage: python tools/demo.py [--image NAME] [--collections DIRECTORY]. With --image that image is pulled from its own registry; with
--collections the playbook and its modules are those of the copy that is installed there. Everything happens in a temporary
directory, its networks are in namespaces of its own, and whatever happens, nothing stays: no container, no mount, no link, no file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import typing as t

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".build" / "link"))

from ansible_collections.fleet.containerd.tests.support import ansible, leftovers  # noqa: E402  # needs the path above
from ansible_collections.fleet.containerd.tests.support.images import Layout, busybox_image  # noqa: E402
from ansible_collections.fleet.containerd.tests.support.own_host import OwnHost, own_host  # noqa: E402
from ansible_collections.fleet.containerd.tests.support.registry import running_registry  # noqa: E402

COLORS = {"changed": "33", "ok": "32", "failed": "31", "head": "1", "dim": "2"}


def paint(kind: str, text: str) -> str:
    return f"\033[{COLORS[kind]}m{text}\033[0m" if sys.stdout.isatty() else text


def heading(text: str) -> None:
    print(f"\n{paint('head', text)}", flush=True)


def show(result: t.Mapping[str, t.Any]) -> None:
    """Print one task: its outcome, and what it did or said."""
    outcome, name = result["result"], str(result["name"])
    items = outcome.get("results", [outcome])
    if name.startswith("Show"):
        for item in items:
            for line in str(item.get("msg", "")).splitlines():
                print(f"           {line}")
        return
    kind = "failed" if result["status"] == "failed" else "changed" if outcome.get("changed") else "ok"
    print(f"  {paint(kind, format(kind, '8'))} {name}")
    for item in items:
        for action in item.get("actions", []):
            print(paint("dim", f"           {action}"))
        if kind == "failed":
            print(f"           {item.get('msg', '')}")
    sys.stdout.flush()


def run(collections: pathlib.Path, host: OwnHost, variables: t.Mapping[str, str], *arguments: str) -> int:
    """Run the playbook and show it task by task. Returns the number of tasks that changed something."""
    begin, changed, shown = time.monotonic(), 0, 0
    playbook = collections / "ansible_collections" / "fleet" / "containerd" / "playbooks" / "demo.yml"
    environment = {"ANSIBLE_COLLECTIONS_PATH": str(collections)}
    how: t.Dict[str, t.Any] = {"variables": variables, "arguments": arguments, "environment": environment, "under": host.under}
    with ansible.started(playbook, **how) as (process, results):
        ended = False
        while not ended:
            time.sleep(0.05)
            ended = process.poll() is not None
            lines = results.read_text().splitlines(keepends=True) if results.exists() else []
            for line in lines[shown:]:
                if line.endswith("\n"):
                    shown += 1
                    changed += bool(json.loads(line)["result"].get("changed"))
                    show(json.loads(line))
        output = process.communicate()[0]
    if process.returncode:
        sys.exit(f"\nansible-playbook failed:\n{output}")
    print(paint("head", f"  changed={changed}") + f" in {time.monotonic() - begin:.1f} s")
    return changed


def host_view(state_root: pathlib.Path, host: OwnHost) -> None:
    """The running containers and networks as the host's own tools see them."""
    for pid, arguments in sorted(leftovers.processes_with(state_root).items()):
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            command = pathlib.Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ").strip()
            pss = next(
                line for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Pss:")
            )
            print(f"           {child:>8}  {command}")
            name = pathlib.Path(arguments[0]).name
            print(paint("dim", f"           {pid:>8}  its shim ({name}), {int(pss.split()[1]) / 1024:.1f} MiB of memory"))
    for point in leftovers.mounts_below(state_root, host.pid):
        print(paint("dim", f"           overlay   {point[:60]}..."))
    for link in links(host):
        print(paint("dim", f"           link      {link}"))


def links(host: OwnHost) -> t.List[str]:
    """Links and their addresses, but for those that the host is born with."""
    # starts: nsenter, ip
    shown = subprocess.run([*host.under, "ip", "-br", "-4", "address"], check=True, capture_output=True, text=True).stdout
    return [" ".join(line.split()) for line in shown.splitlines() if not line.startswith(("lo ", "eth0 "))]


def demo(image: str, collections: pathlib.Path, base: pathlib.Path) -> None:
    """The whole story, in base."""
    data_root, state_root = base / "data", base / "state"
    with contextlib.ExitStack() as stack:
        stack.callback(leftovers.clean_up, data_root, state_root)
        heading("Build an image with busybox in it, and push it to a docker-registry on loopback")
        registry = stack.enter_context(running_registry())
        layout = Layout(base / "layout")
        digest = registry.push(layout.path, busybox_image(layout), "demo/busybox", "1")
        web_image = f"{registry.address}/demo/busybox:1"
        print(f"           {web_image}\n           {digest}")
        host = stack.enter_context(own_host(base / "host"))
        variables = {
            "image": image or web_image,
            "web_image": web_image,
            "data_root": str(data_root),
            "state_root": str(state_root),
        }
        heading("Run playbooks/demo.yml")
        run(collections, host, variables)
        heading("What the host sees of it")
        host_view(state_root, host)
        heading("Run it again: nothing is left to do")
        changed = run(collections, host, variables)
        if changed:
            sys.exit(f"the second run changed {changed} tasks, and should have changed none")
        heading("Take everything away")
        run(collections, host, variables, "--tags", "remove")
        left = [*leftovers.processes_with(state_root), *leftovers.mounts_below(data_root, host.pid)]
        # The default network is the host's, like its bridge: containers that come later use it again.
        left += [
            *leftovers.mounts_below(state_root, host.pid),
            *(link for link in links(host) if not link.startswith("nerdctl0 ")),
        ]
        if left:
            sys.exit(f"something was left behind: {left}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", default="", help="pull this image rather than one that is built here")
    parser.add_argument("--collections", type=pathlib.Path, default=ansible.COLLECTIONS, help="where ansible_collections is")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_args: sys.exit("ended by SIGTERM"))
    base = pathlib.Path(tempfile.mkdtemp(prefix="fleet-demo-"))
    try:
        demo(arguments.image, arguments.collections.resolve(), base)
    except KeyboardInterrupt:
        sys.exit("interrupted; everything is cleaned up")
    finally:
        shutil.rmtree(base, ignore_errors=True)
    heading("Done. Nothing of it is left on this machine.")


if __name__ == "__main__":
    main()
