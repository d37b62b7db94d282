# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role has left in the container."""

from __future__ import annotations

import typing as t


def test_the_service(host: t.Any) -> None:
    service = host.service("containerd")
    assert service.is_running
    assert service.is_enabled
    assert host.file("/run/containerd/containerd.sock").is_socket
    assert host.check_output("ctr version").count("Version:") == 2


def test_the_configuration(host: t.Any) -> None:
    assert 'level = "info"' in host.file("/etc/containerd/config.toml").content_string
    assert "https://mirror.example.com" in host.file("/etc/containerd/certs.d/docker.io/hosts.toml").content_string
    dump = host.check_output("containerd config dump")
    assert 'config_path = "/etc/containerd/certs.d"' in dump


def test_a_container_in_the_container(host: t.Any) -> None:
    (line,) = host.check_output("ctr tasks ls").splitlines()[1:]
    _id, pid, state = line.split()
    assert state == "RUNNING"
    assert host.file(f"/proc/{pid}/cmdline").content == b"sleep\0infinity\0"
