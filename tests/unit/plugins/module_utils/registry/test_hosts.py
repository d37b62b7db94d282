# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""certs.d: which directory counts, what hosts.toml says, and what is refused in it."""

from __future__ import annotations

import pathlib
import sys
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import InvalidArgument, MissingLibrary
from ansible_collections.fleet.containerd.plugins.module_utils.registry.hosts import (
    directory_names,
    find_directory,
    hosts_for,
    parse_duration,
)
from ansible_collections.fleet.containerd.plugins.module_utils.registry.options import Host, RegistryOptions, is_own

DOMAIN = "reg.test:5000"
SECRET = "s3cret-pa55word"


@pytest.fixture
def certs(tmp_path: pathlib.Path) -> pathlib.Path:
    """A certs.d with a directory for the registry, and in it some files."""
    directory = tmp_path / "certs.d" / "reg.test_5000_"
    directory.mkdir(parents=True)
    for name in ("ca.pem", "a.cert", "a.key"):
        (directory / name).write_text("")
    return directory


def hosts(certs: pathlib.Path, text: str, domain: str = DOMAIN, **options: t.Any) -> t.List[Host]:
    (certs / "hosts.toml").write_text(text)
    return hosts_for(domain, RegistryOptions(registry_config_dir=str(certs.parent), **options))


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        (["reg.test_5000_", "reg.test:5000", "reg.test", "_default"], "reg.test_5000_"),
        (["reg.test:5000", "reg.test", "_default"], "reg.test:5000"),
        (["reg.test", "_default"], "_default"),
        (["reg.test", "reg.test_443_", "docker.io"], ""),
    ],
)
def test_the_first_directory_that_exists_counts(tmp_path: pathlib.Path, there: t.List[str], chosen: str) -> None:
    for name in there:
        (tmp_path / name).mkdir()
    assert find_directory(DOMAIN, str(tmp_path)) == (str(tmp_path / chosen) if chosen else "")


def test_several_directories(tmp_path: pathlib.Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "_default").mkdir(parents=True)
    (second / "reg.test_5000_").mkdir(parents=True)
    assert find_directory(DOMAIN, f"{first}:{second}") == str(first / "_default")
    assert find_directory(DOMAIN, f"{second}:{first}") == str(second / "reg.test_5000_")
    assert find_directory(DOMAIN, f"/etc/docker/certs.d:{first}") == str(first / "_default")
    with pytest.raises(InvalidArgument, match=r"^registry_config_dir: .*/absent is not a directory on the target$"):
        find_directory(DOMAIN, f"{tmp_path}/absent:{first}")
    assert find_directory(DOMAIN, "") == ""


def test_names_of_directories() -> None:
    assert directory_names("docker.io") == ["docker.io"]
    assert directory_names("[::1]:5000") == ["[::1]_5000_", "[::1]:5000"]
    assert directory_names("[::1]") == ["[::1]"]


def test_the_order_of_the_file_and_then_the_server(certs: pathlib.Path) -> None:
    found = hosts(
        certs,
        """
        # a comment
        server = "https://upstream.test"
        [host."https://z.test:5443"]
          capabilities = ["pull"]
        [host."http://a.test/proxy/"]
        [host."https://m.test/v2"]
          capabilities = ["Pull", "resolve", "referrers"]
        [host."https://m.test/v2".header]
          x-key = "word"
        [host."b.test/api"]
          override_path = true
        """,
    )
    assert [one.url for one in found] == [
        "https://z.test:5443",
        "http://a.test/proxy",
        "https://m.test",
        "https://b.test/api",
        "https://upstream.test",
    ]
    assert [one.path for one in found] == ["/v2", "/proxy/v2", "/v2", "/api", "/v2"]
    assert found[0].capabilities == ("pull",)
    assert found[1].capabilities == ("pull", "resolve", "push")
    assert found[2].capabilities == ("pull", "resolve")
    assert found[2].header == {"x-key": "word"}
    assert not any(one.own for one in found)


def test_without_a_server_the_registry_itself_comes_last(certs: pathlib.Path) -> None:
    text = 'ca = "ca.pem"\ncapabilities = ["pull"]\n[host."https://mirror.test"]\n'
    mirror, own = hosts(certs, text)
    assert (mirror.own, own.own, own.url, own.ca) == (False, True, "https://reg.test:5000", (str(certs / "ca.pem"),))
    assert own.capabilities == ("pull", "resolve", "push")
    assert hosts(certs, '[host."https://mirror.test"]\n', plain_http=True)[-1].url == "http://reg.test:5000"
    (certs.parent / "docker.io").mkdir()
    assert hosts(certs.parent / "docker.io", '[host."https://m.test"]', "docker.io")[-1].url == "https://registry-1.docker.io"


def test_a_server_that_is_also_a_host_is_tried_once(certs: pathlib.Path) -> None:
    text = 'server = "https://reg.test:5000"\n{}[host."https://reg.test:5000"]\nca = "ca.pem"\n'
    assert [one.ca for one in hosts(certs, text.format(""))] == [(str(certs / "ca.pem"),)]
    assert len(hosts(certs, text.format("skip_verify = true\n"))) == 2


def test_certificates(certs: pathlib.Path) -> None:
    ca, cert, key = (str(certs / name) for name in ("ca.pem", "a.cert", "a.key"))
    (found, _own) = hosts(
        certs, f'[host."https://m.test"]\nca = ["ca.pem", "{ca}"]\nclient = [["a.cert", "{key}"], ["{cert}", "a.key"]]'
    )
    assert found.ca == (ca, ca)
    assert found.client == ((cert, key), (cert, key))
    (found, _own) = hosts(
        certs, '[host."https://m.test"]\nca = "ca.pem"\nclient = "a.cert"\nskip_verify = false\ndial_timeout = "1m1.5s"'
    )
    assert (found.ca, found.client, found.skip_verify, found.dial_timeout) == ((ca,), ((cert, ""),), False, 61.5)
    (found, _own) = hosts(certs, '[host."https://m.test"]\nclient = ["a.cert", "a.key"]')
    assert found.client == ((cert, ""), (key, ""))


def test_plain_http_with_tls_settings_tries_tls_first(certs: pathlib.Path) -> None:
    text = (
        '[host."http://m.test:5000"]\nskip_verify = true\n[host."http://m.test:80"]\nskip_verify = true\n[host."http://n.test"]\n'
    )
    assert [one.schemes for one in hosts(certs, text)] == [("https", "http"), ("http",), ("http",), ("https",)]


def test_certificate_files_as_docker_has_them(certs: pathlib.Path) -> None:
    for name in ("one.crt", "two.crt", "whole.cert", "other.key"):
        (certs / name).write_text("")
    for text in ("", "\n"):
        (found,) = hosts(certs, text)
        assert found.url == "https://reg.test:5000"
        assert found.ca == (str(certs / "one.crt"), str(certs / "two.crt"))
        assert found.client == ((str(certs / "a.cert"), str(certs / "a.key")), (str(certs / "whole.cert"), ""))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server = ", "not valid TOML at line 1, column "),
        ("a = 1\na = 2", "not valid TOML"),
        ('[host."https://a"]\n[host."https://a"]', "not valid TOML"),
        ("server = 5", "server: 5: expected a URL"),
        ('server = "ftp://a"', "server: 'ftp://a': expected a URL such as https://mirror.example.com"),
        ('server = "https://a b"', "server: 'https://a b': expected a URL"),
        ('server = "https://a:99999"', "server: 'https://a:99999': expected a URL"),
        ('server = "https://a/?x=1"', "server: 'https://a/?x=1': expected a URL"),
        ('server = "http"', "server: 'http': expected a URL"),
        ('host = "https://a"', "host: 'https://a': expected a table"),
        ('[host]\n"https://a" = 1', 'host."https://a": 1: expected a table'),
        ('[host."https://"]', "host.\"https://\": 'https://': expected a URL"),
        ('[host."https://a"]\ncapabilities = "pull"', "host.\"https://a\".capabilities: 'pull': expected a list"),
        ('[host."https://a"]\ncapabilities = ["pul"]', "capabilities: 'pul': expected only pull, resolve, push, referrers"),
        ('[host."https://a"]\ncapabilities = [1]', "capabilities: 1: expected only pull"),
        ('[host."https://a"]\nskip_verify = "yes"', "host.\"https://a\".skip_verify: 'yes': expected true or false"),
        ("override_path = 1", "override_path: 1: expected true or false"),
        ("ca = 1", "ca: 1: expected a path or a list of paths"),
        ("ca = [1]", "ca: 1: expected the path of a file"),
        ('ca = ["absent.pem"]', "ca: 'absent.pem': expected a file that is there"),
        ('client = [["a.cert", "a.key", "a.key"]]', "expected a pair: certificate and key"),
        ("client = [[1, 2]]", "client: 1: expected the path of a file"),
        ('client = {a = "b"}', "client: {'a': 'b'}: expected a path, a list of paths or a list of pairs of paths"),
        ("dial_timeout = 5", "dial_timeout: 5: expected a duration"),
        ('dial_timeout = "5"', "dial_timeout: '5': expected a duration such as"),
        ('dial_timeout = "-5s"', "dial_timeout: '-5s': expected a duration such as"),
        (f'header = "{SECRET}"', "header: expected a table of strings"),
        (f'[header]\n"bad name" = "{SECRET}"', "header.bad name: expected the name of a header"),
        (f'[header]\nx = ["{SECRET}", 1]', "header.x: expected the name of a header, and a string or a list of strings"),
        (f'[header]\nx = "{SECRET}\\n"', "header.x: the value (which is not shown) has characters"),
        (f'server = "https://user:{SECRET}@a"', "server: a URL with a user name or a password, which containerd does not use"),
        (f'[header]\nauthorization = "{SECRET}', "not valid TOML at line 2"),
    ],
)
def test_a_broken_file_is_named_with_key_and_value(certs: pathlib.Path, text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        hosts(certs, text)
    assert str(caught.value).startswith(f"{certs}/hosts.toml: ")
    assert message in str(caught.value)
    assert SECRET not in str(caught.value)


def test_files_that_cannot_be_read(certs: pathlib.Path) -> None:
    (certs / "hosts.toml").write_bytes(b"server = '\xff'")
    with pytest.raises(InvalidArgument, match="not UTF-8 at byte 10"):
        hosts_for(DOMAIN, RegistryOptions(registry_config_dir=str(certs.parent)))
    (certs / "hosts.toml").write_text("#" * 1_100_000)
    with pytest.raises(InvalidArgument, match="longer than"):
        hosts_for(DOMAIN, RegistryOptions(registry_config_dir=str(certs.parent)))


def test_keys_of_later_versions_are_no_error(certs: pathlib.Path) -> None:
    assert len(hosts(certs, 'new = 1\n[host."https://a.test"]\nnewer = [1]\n[other]\nx = 1\n')) == 2


def test_tomlkit_is_needed_only_for_a_hosts_toml(certs: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tomlkit", None)
    options = RegistryOptions(registry_config_dir=str(certs.parent))
    assert hosts_for(DOMAIN, options)[0].own
    (certs / "hosts.toml").write_text('server = "https://a.test"')
    with pytest.raises(MissingLibrary, match=r"tomlkit is needed to read .*hosts.toml: install the package python3-tomlkit"):
        hosts_for(DOMAIN, options)


def test_headers_do_not_show(certs: pathlib.Path) -> None:
    (found, _own) = hosts(certs, f'[host."https://a.test".header]\nauthorization = ["Basic {SECRET}"]')
    assert found.header == {"authorization": f"Basic {SECRET}"}
    assert SECRET not in repr(found) + str(found)


@pytest.mark.parametrize(
    ("authority", "domain", "own"),
    [
        ("reg.test", "reg.test", True),
        ("REG.test:443", "reg.test", True),
        ("reg.test", "reg.test:443", True),
        ("reg.test:5000", "reg.test", False),
        ("mirror.reg.test", "reg.test", False),
        ("registry-1.docker.io", "docker.io", True),
        ("mirror.docker.io", "docker.io", False),
    ],
)
def test_who_is_the_registry_itself(authority: str, domain: str, own: bool) -> None:
    assert is_own(authority, domain) is own


def test_durations() -> None:
    assert [parse_duration(text) for text in ("0", "300ms", "2h45m", ".5s", "1us")] == [0.0, 0.3, 9900.0, 0.5, 1e-6]
