# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guide to what is inside containers: its tasks, in its order, with a container that does what they expect."""

from __future__ import annotations

import pathlib

import yaml

from ansible_collections.fleet.containerd.plugins.connection import containerd as connection
from ansible_collections.fleet.containerd.tests.support import ansible
from ansible_collections.fleet.containerd.tests.support.guides import blocks_of
from ansible_collections.fleet.containerd.tests.support.site import EmbeddedSite

GUIDE = "guide_inside_containers"
_SCRIPT = (
    "mkdir -p /var/spool /srv; echo spooled >/var/spool/one; echo oops >&2; echo ready to accept connections; exec sleep 1000"
)
#: The machine's own Python: an image of the test has none.
_PYTHON = ["/usr:/usr:ro", "/lib:/lib:ro", "/lib64:/lib64:ro"]


def test_the_guide(embedded_site: EmbeddedSite, busybox: str, tmp_path: pathlib.Path) -> None:
    """The container is what a host of its last playbook is, too."""
    site = embedded_site
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("<p>hello</p>")
    replace = {"httpd -t": "test -d /srv", "path: site\n": f"path: {tmp_path}/site\n", "/srv/spool": f"{tmp_path}/spool"}
    command, files, logs, playbook, variables = blocks_of(GUIDE, replace)
    web = {"name": "web", "image": busybox, "command": ["sh", "-c", _SCRIPT], "volumes": _PYTHON}
    site.play(ansible.task("containerd_container", **web, network_mode="none", stop_signal="KILL"))
    # It has to have made its files before they are copied.
    tasks = [one for block in (logs, command, files) for one in yaml.safe_load(block)]
    first, again = site.play(*tasks).results, site.play(*tasks).results
    assert [one.changed for one in first] == [False, False, False, True, True, True]
    assert not [one for one in again if one.changed]
    assert first[1].value("output").endswith("Z oops")
    assert (tmp_path / "spool" / "one").read_text() == "spooled\n"
    (tmp_path / "play.yml").write_text(playbook)
    engine = {f"ansible_containerd_{name}": value for name, value in site.defaults.items()}
    played = ansible.play(tmp_path / "play.yml", variables=engine, interpreter="/usr/bin/python3").last
    assert played.value("stdout").startswith("uid=0")
    (host,) = yaml.safe_load(variables).values()
    assert all(f"name: {name}" in connection.DOCUMENTATION for name in host if name != "ansible_connection")
