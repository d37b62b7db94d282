# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several files mean together: containerd's own dump of them is the judge."""

from __future__ import annotations

import os
import pathlib
import random
import typing as t

import pytest
import toml

from ansible_collections.fleet.containerd.plugins.module_utils.config_toml import process
from ansible_collections.fleet.containerd.plugins.module_utils.config_toml.checks import Daemon, hints, lost, problems, unknown
from ansible_collections.fleet.containerd.plugins.module_utils.config_toml.daemon import Containerd, find
from ansible_collections.fleet.containerd.plugins.module_utils.config_toml.edit import Document
from ansible_collections.fleet.containerd.plugins.module_utils.config_toml.files import (
    ConfigText,
    Files,
    effective,
    matches,
    overriding,
    read,
)
from ansible_collections.fleet.containerd.plugins.module_utils.config_toml.mirrors import move_out
from ansible_collections.fleet.containerd.plugins.module_utils.config_toml.secrets import Secrets
from ansible_collections.fleet.containerd.plugins.module_utils.errors import FailedPrecondition, InvalidArgument
from ansible_collections.fleet.containerd.plugins.module_utils.registry.hosts import hosts_of
from ansible_collections.fleet.containerd.tests.support.configs import Path, at, default, dump, flat
from ansible_collections.fleet.containerd.tests.support.containerds import RELEASES, binaries

CRI, IMAGES = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"
VERSIONS = [pytest.param(version, id=f"containerd-{version}") for version in sorted(RELEASES)]


def source(text: str, name: str = "/etc/containerd/config.toml") -> ConfigText:
    return ConfigText(name, text, toml.loads(text), 0.0)


def containerd(version: str) -> Containerd:
    return Containerd(str(binaries(version) / "containerd"))


def daemon(version: str) -> Daemon:
    asked = containerd(version)
    return Daemon(True, asked.version < (2, 0), asked.newest, asked.default)


#: Keys that mean the same in the dump of each version, with values to draw from.
_KEYS: t.Dict[Path, t.List[t.Any]] = {
    ("oom_score",): [0, -1, 5],
    ("root",): ["/a", "/b"],
    ("disabled_plugins",): [[], ["io.containerd.snapshotter.v1.zfs"], ["io.containerd.snapshotter.v1.btrfs"]],
    ("grpc", "uid"): [0, 3],
    ("grpc", "gid"): [0, 4],
    ("grpc", "max_recv_message_size"): [0, 7],
    ("debug", "level"): ["", "info"],
    ("timeouts", "io.containerd.timeout.shim.load"): ["1s", "2s"],
    ("proxy_plugins", "a", "address"): ["/x", "/y"],
    ("plugins", "io.containerd.gc.v1.scheduler", "mutation_threshold"): [0, 9],
    ("plugins", "io.containerd.gc.v1.scheduler", "schedule_delay"): ["3s", "4s"],
    ("plugins", "io.containerd.snapshotter.v1.overlayfs", "upperdir_label"): [True, False],
    ("plugins", "io.containerd.snapshotter.v1.overlayfs", "root_path"): ["", "/o"],
    ("plugins", "io.containerd.service.v1.diff-service", "default"): [["walking"], ["other"]],
}


@pytest.mark.parametrize("version", VERSIONS)
def test_files_mean_together_what_containerd_says(version: str, tmp_path: pathlib.Path) -> None:
    draw = random.Random(7)
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "empty.toml").write_text("version = 2\n")
    defaults = flat(dump(version, str(tmp_path / "empty.toml"))[0])
    for _turn in range(25):
        names = [tmp_path / "config.toml", *(tmp_path / "conf.d" / f"{one}.toml" for one in "ab")]
        for name in names:
            text = "version = 2\n" + (f'imports = ["{tmp_path}/conf.d/*.toml"]\n' if name == names[0] else "")
            document = Document(text, "a file")
            for path, values in _KEYS.items():
                if draw.random() < 0.4:
                    document.set(path, draw.choice(values))
            if document.tree.get("proxy_plugins"):
                document.set(("proxy_plugins", "a", "type"), "snapshot")  # without a type, containerd 2.1 panics
            name.write_text(document.finish())
        sources = Files(str(names[0])).sources()
        assert [one.name for one in sources] == [str(name) for name in names]
        ours = flat(effective(sources, version < "2"))
        theirs = flat(dump(version, str(names[0]))[0])
        for path in _KEYS:
            found = theirs.get(path)
            if path == ("disabled_plugins",) and isinstance(found, list):
                found = list(dict.fromkeys(found))
            # In the server's own sections a 0 stands for the default.
            set_here = path in ours and (ours[path] or path[0] in ("plugins", "proxy_plugins"))
            expected = ours[path] if set_here else defaults.get(path)
            assert (found or 0) == (expected or 0), (path, [name.read_text() for name in names])


def test_imports(tmp_path: pathlib.Path) -> None:
    for name in ("b.toml", "a.toml", ".hidden.toml", "a.conf", "deep/c.toml"):
        (tmp_path / "conf.d" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf.d" / name).write_text("version = 2\n")
    main = tmp_path / "config.toml"
    main.write_text(f'imports = ["conf.d/*.toml", "{tmp_path}/conf.d/deep/../a.conf", "no.toml"]\n')
    names = [os.path.relpath(one.name, tmp_path) for one in Files(str(main)).sources()]
    assert names == ["config.toml", "conf.d/.hidden.toml", "conf.d/a.toml", "conf.d/b.toml", "conf.d/a.conf"]
    old = [os.path.relpath(one.name, tmp_path) for one in Files(str(main), relative_patterns=False).sources()]
    assert old == ["config.toml", "conf.d/a.conf"]
    assert problems(Files(str(main)).sources(), Daemon(False, False)) == [
        f"{main}: imports: {tmp_path}/no.toml is missing, and containerd does not start without it"
    ]
    (tmp_path / "conf.d" / "b.toml").write_text(f'imports = ["{main}", "a.toml"]\n')  # a circle
    assert len(Files(str(main)).sources()) == 5
    later = {str(tmp_path / "conf.d" / "c.toml"): "version = 2\n", str(tmp_path / "conf.d" / "a.toml"): None}
    names = [os.path.basename(one.name) for one in Files(str(main)).sources(later)]
    assert names == ["config.toml", ".hidden.toml", "b.toml", "c.toml", "a.conf"]
    assert matches("conf.d/*.toml", "/etc/containerd/conf.d/x.toml", "/etc/containerd/config.toml")
    assert not matches("*.toml", "/etc/containerd/conf.d/x.toml", "/etc/containerd/config.toml")


def test_who_overrides() -> None:
    first, second = source("[plugins.a]\nx = 1\n", "/1"), source("[plugins.a]\ny = 1\n", "/2")
    assert overriding([first, second], "/1", ("plugins", "a", "x"), replaces_plugins=True) == ["/2"]
    assert overriding([first, second], "/1", ("plugins", "a", "x"), replaces_plugins=False) == []
    assert overriding([first, second], "/2", ("plugins", "a", "y"), replaces_plugins=True) == []


def test_what_is_no_file(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InvalidArgument, match="fifo is not a regular file"):
        read(str(tmp_path / "fifo"))
    (tmp_path / "latin").write_bytes(b'a = "\xe4"\n')
    with pytest.raises(FailedPrecondition, match="latin is not valid TOML: byte 5 is not UTF-8"):
        read(str(tmp_path / "latin"))
    (tmp_path / "long").write_bytes(b"#" * (5 << 20))
    with pytest.raises(FailedPrecondition, match="is larger than"):
        read(str(tmp_path / "long"))
    (tmp_path / "link").symlink_to("target")
    assert read(str(tmp_path / "link")).path == str(tmp_path / "target")
    assert read(str(tmp_path / "link")).text is None


# The installed containerd


@pytest.mark.parametrize("version", VERSIONS)
def test_containerd_says_what_it_is_and_takes(version: str, tmp_path: pathlib.Path) -> None:
    asked = containerd(version)
    assert ".".join(map(str, asked.version)) == version
    assert asked.newest == (3 if version == "2.1" else 2)
    main, more = (
        source("version = 2\noom_score = -7\n"),
        source(f'version = 2\n[plugins."{CRI}"]\nsandbox_imge = "x"\n', "/x.toml"),
    )
    ignored = asked.dump([main._replace(text=main.text, tree={**main.tree, "imports": ["/x.toml"]}), more])
    expected = ['plugins."io.containerd.cri.v1.runtime".sandbox_imge'] if version == "2.1" else []
    assert ignored == expected
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_containerd_refuses(version: str) -> None:
    asked = containerd(version)
    for text, word in {
        "version = 2\noom_score = 'high'\n": "int",
        f'version = 2\n[plugins."{CRI}"]\nmax_concurrent_downloads = "many"\n': "int",
        'version = 2\n[plugins."io.containerd.internal.v1.opt"]\npath = 5\n': "string",
        "version = 2\noom_score = [\n": "array",
    }.items():
        with pytest.raises(InvalidArgument, match=rf"^containerd {version} refuses the configuration: .*{word}") as caught:
            asked.dump([source(text)])
        assert "/proc/self/fd" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_where_containerd_is(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(str(tmp_path / "no")) == ""
    # starts: sh
    (tmp_path / "containerd").write_text("#!/bin/sh\necho nothing\n")
    assert find(str(tmp_path / "containerd")) == ""
    (tmp_path / "containerd").chmod(0o755)
    assert find(str(tmp_path / "containerd")) == str(tmp_path / "containerd")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find("") == str(tmp_path / "containerd")
    with pytest.raises(FailedPrecondition, match="this is not containerd"):
        assert Containerd(str(tmp_path / "containerd")).version


# Our own checks

KNOWN = Daemon(False, False)
WRONG = {
    "version = 9\n": "version: 9 is not one of 1 to 4",
    'version = "2"\n': "version: '2' is not one of 1 to 4",
    "version = 2\nroot = 5\n": "root: an integer stands where a string must be",
    "version = 2\noom_score = true\n": "oom_score: a boolean stands where an integer must be",
    "version = 2\ngrpc = 1\n": "grpc: an integer stands where a table must be",
    'version = 2\nimports = "a"\n': "imports: a string stands where a list must be",
    "version = 2\n[plugins]\nx = 1\n": "plugins.x: an integer stands where a table must be",
    "version = 2\n[plugins.cri]\n": f"plugins.cri: version 2 names plugins in full, such as {CRI}",
    'version = 3\ndisabled_plugins = ["cri"]\n': f"disabled_plugins: 'cri': version 3 names plugins in full, such as {CRI}",
    'version = 2\n[timeouts]\na = "soon"\n': "timeouts.a: 'soon' is not a duration such as 5s or 1m30s",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_without_asking_containerd(text: str) -> None:
    assert problems([source(text)], KNOWN) == [f"/etc/containerd/config.toml: {WRONG[text]}"]


def test_a_version_that_the_installed_one_does_not_know() -> None:
    (reason,) = problems([source("version = 3\n")], daemon("1.6"))
    assert reason.endswith("version: the installed containerd reads versions up to 2, and this is 3")
    assert problems([source("version = 3\n")], daemon("2.1")) == []
    assert problems([source("")], daemon("2.1")) == []


@pytest.mark.parametrize("plugin", [CRI, IMAGES])
def test_mirrors_beside_a_config_path(plugin: str) -> None:
    path = f'[plugins."{plugin}".registry]\nconfig_path = "/c"\n'
    mirror = f'[plugins."{plugin}".registry.mirrors."docker.io"]\nendpoint = ["https://m"]\n'
    tls = f'[plugins."{plugin}".registry.configs."m".tls]\nca_file = "/ca"\n'
    auth = f'[plugins."{plugin}".registry.configs."m".auth]\nusername = "u"\n'
    version = "version = 2\n"
    (reason,) = problems([source(version + path + mirror)], KNOWN)
    assert reason.startswith(
        f'plugins."{plugin}".registry.mirrors cannot be used together with config_path, the CRI plugin fails'
    )
    assert len(problems([source(version + path + tls)], KNOWN)) == 1
    assert len(problems([source(version + path), source(version + mirror, "/2")], KNOWN)) == 1
    for fine in (path, mirror, tls, path + auth, mirror + tls + auth):
        assert problems([source(version + fine)], KNOWN) == []


def test_durations_of_all_defaults_are_fine() -> None:
    for version in RELEASES:
        assert problems([source(default(version))], daemon(version)) == []
        assert hints([source(default(version))], daemon(version)) == []
        if version < "2":
            assert unknown([source(default(version))], containerd(version).default) == []


def test_unknown_keys_of_releases_that_are_silent() -> None:
    text = f"""version = 2
novel = 1
[plugins."{CRI}"]
  sandbox_imge = "x"
  [plugins."{CRI}".registry]
    config_path = "/c"
    [plugins."{CRI}".registry.mirrors."docker.io"]
      endpoint = ["x"]
  [plugins."{CRI}".containerd.runtimes.kata]
    runtime_type = "io.containerd.kata.v2"
    runtime_typ = "io.containerd.kata.v2"
    [plugins."{CRI}".containerd.runtimes.kata.options]
      ConfigPath = "/k"
[plugins."io.containerd.snapshotter.v1.stargz"]
  a = 1
  b = 2
[proxy_plugins.stargz]
  type = "snapshot"
[timeouts]
  "my.own" = "1s"
"""
    assert unknown([source(text)], containerd("1.7").default) == [
        "novel",
        f'plugins."{CRI}".sandbox_imge',
        f'plugins."{CRI}".containerd.runtimes.kata.runtime_typ',
        'plugins."io.containerd.snapshotter.v1.stargz"',
    ]


def test_names_of_another_version_are_pointed_out() -> None:
    text = f'version = 3\n[plugins."{CRI}"]\nsandbox_image = "x"\nstream_server_port = "1"\n'
    assert hints([source(text)], daemon("2.1")) == [
        f'/etc/containerd/config.toml: plugins."{CRI}".sandbox_image has no meaning in a file of version 3: '
        f'its name there is plugins."{IMAGES}".pinned_images.sandbox'
    ]
    new = source(f'version = 2\n[plugins."{IMAGES}"]\nsnapshotter = "native"\n')
    assert len(hints([new], daemon("1.7"))) == 1
    assert hints([new], daemon("2.1")) == []
    assert len(hints([source("version = 3\n"), source("version = 2\n", "/2"), source("", "/3")], daemon("2.1"))) == 1


def test_what_containerd_2_loses_of_version_1(tmp_path: pathlib.Path) -> None:
    text = '[plugins.cri]\nsandbox_image = "x"\n[plugins.opt]\npath = "/mine"\n'
    tree = toml.loads(text)
    assert lost(("plugins", "cri", "sandbox_image"), tree)
    assert not lost(("plugins", "opt", "path"), tree)
    (tmp_path / "config.toml").write_text(text)
    found = dump("2.1", str(tmp_path / "config.toml"))[0]["plugins"]
    assert found[IMAGES]["pinned_images"]["sandbox"] != "x"
    assert found["io.containerd.internal.v1.opt"]["path"] == "/mine"


def test_what_containerd_2_loses_of_version_2(tmp_path: pathlib.Path) -> None:
    path = ("plugins", CRI, "containerd", "snapshotter")
    runtime = f'[plugins."{CRI}".containerd.runtimes.runc]\nruntime_type = "io.containerd.runc.v2"\n'
    for more, seen in (("", "overlayfs"), (runtime, "native")):
        text = f'version = 2\n[plugins."{CRI}".containerd]\nsnapshotter = "native"\n{more}'
        (tmp_path / "config.toml").write_text(text)
        assert dump("2.1", str(tmp_path / "config.toml"))[0]["plugins"][IMAGES]["snapshotter"] == seen
        assert bool(lost(path, toml.loads(text))) == (seen != "native")


# Mirrors

INLINE = f"""version = 2
[plugins."{CRI}".registry]
  # who asked for this?
  [plugins."{CRI}".registry.mirrors]
    [plugins."{CRI}".registry.mirrors."docker.io"]
      endpoint = ["https://mirror.lan:5000", "http://cache.lan/docker/v2"]
    [plugins."{CRI}".registry.mirrors."*"]
      endpoint = ["http://all.lan"]
  [plugins."{CRI}".registry.configs."mirror.lan:5000".tls]
    ca_file = "/etc/ca.pem"
    cert_file = "/etc/cert.pem"
    key_file = "/etc/key.pem"
  [plugins."{CRI}".registry.configs."own.lan:5000".tls]
    insecure_skip_verify = true
  [plugins."{CRI}".registry.configs."own.lan:5000".auth]
    username = "robot"
"""


def test_mirrors_become_hosts_files(tmp_path: pathlib.Path) -> None:
    document = Document(INLINE, "the file")
    files = {os.path.relpath(one.path, tmp_path): one.text for one in move_out(document, str(tmp_path))}
    assert toml.loads(document.finish()) == {
        "version": 2,
        "plugins": {
            CRI: {"registry": {"config_path": str(tmp_path), "configs": {"own.lan:5000": {"auth": {"username": "robot"}}}}},
        },
    }
    assert "# who asked for this?" in document.finish()
    assert set(files) == {"docker.io/hosts.toml", "_default/hosts.toml", "own.lan:5000/hosts.toml"}
    tried = hosts_of(toml.loads(files["docker.io/hosts.toml"]), "x", "docker.io", look=False)
    assert [(one.authority, one.path) for one in tried] == [
        ("mirror.lan:5000", "/v2"),
        ("cache.lan", "/docker/v2"),
        ("registry-1.docker.io", "/v2"),
    ]
    first = toml.loads(files["docker.io/hosts.toml"])["host"]
    assert first == {
        "https://mirror.lan:5000": {
            "capabilities": ["pull", "resolve"],
            "ca": "/etc/ca.pem",
            "client": [["/etc/cert.pem", "/etc/key.pem"]],
        },
        "http://cache.lan/docker/v2": {"capabilities": ["pull", "resolve"], "override_path": True},
    }
    assert toml.loads(files["_default/hosts.toml"]) == {"host": {"http://all.lan": {"capabilities": ["pull", "resolve"]}}}
    assert toml.loads(files["own.lan:5000/hosts.toml"]) == {
        "server": "https://own.lan:5000",
        "host": {"https://own.lan:5000": {"capabilities": ["pull", "resolve"], "skip_verify": True}},
    }


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"http://all.lan"', '"ftp://all.lan"', "an endpoint is not a plain http or https URL"),
        ('"http://all.lan"', "5", "an endpoint is not a plain http or https URL"),
        ('["http://all.lan"]', "[]", "has no list of endpoints"),
        ('mirrors."*"', 'mirrors."../../etc"', "is not the name of a registry"),
        ("insecure_skip_verify", "server_name", "has keys without a counterpart in hosts.toml"),
    ],
)
def test_mirrors_that_are_not_simple(tmp_path: pathlib.Path, old: str, new: str, reason: str) -> None:
    document = Document(INLINE.replace(old, new), "the file")
    with pytest.raises(FailedPrecondition, match=reason):
        move_out(document, str(tmp_path))
    assert document.finish() == INLINE.replace(old, new)


def test_hosts_files_of_others_are_kept(tmp_path: pathlib.Path) -> None:
    files = move_out(Document(INLINE, "the file"), str(tmp_path))
    for hosts in files:
        pathlib.Path(hosts.path).parent.mkdir()
        pathlib.Path(hosts.path).write_text("# the same\n" + hosts.text)
    assert move_out(Document(INLINE, "the file"), str(tmp_path)) == []
    pathlib.Path(files[0].path).write_text('server = "https://other"\n')
    with pytest.raises(FailedPrecondition, match="exists already with other content"):
        move_out(Document(INLINE, "the file"), str(tmp_path))
    pathlib.Path(files[0].path).write_text(files[0].text)
    (tmp_path / "own.lan_5000_").mkdir()
    with pytest.raises(FailedPrecondition, match="own.lan_5000_ exists already"):
        move_out(Document(INLINE, "the file"), str(tmp_path))


# Secrets


def test_no_secret_in_a_shown_text() -> None:
    text = f"""version = 2
[plugins."{CRI}".registry.configs."r".auth]
  username = "robot"
  password = "hunter2hunter2" # never
[plugins."{IMAGES}"]
  mine = {{ word = "swordfish", other = 1 }}
[stream_processors.x]
  env = ["KEY=abcdefgh"]
"""
    hidden = Secrets(
        (
            ("plugins", CRI, "mine", "word"),
            ("stream_processors", "x", "env"),
            ("plugins", "io.containerd.cri.v1.images", "mine", "word"),
        )
    )
    tree = toml.loads(text)
    assert hidden.values(tree) == {"hunter2hunter2", "swordfish", "KEY=abcdefgh"}
    shown = hidden.masked(text, tree)
    assert not [word for word in ("hunter2", "swordfish", "abcdefgh") if word in shown]
    assert shown == text.replace('"hunter2hunter2"', '"(secret)"').replace(
        '{ word = "swordfish", other = 1 }', '"(secret)"'
    ).replace('["KEY=abcdefgh"]', '"(secret)"')
    changed = hidden.masked(text, tree, {**tree, "stream_processors": {"x": {"env": ["KEY=other"]}}})
    assert changed == shown.replace('env = "(secret)"', 'env = "(secret, changed)"')


# Processes


@pytest.mark.parametrize(
    ("arguments", "config"),
    [
        ([], "/etc/containerd/config.toml"),
        (["--config", "/a"], "/a"),
        (["-c", "/a", "-l", "debug"], "/a"),
        (["--log-level=debug", "--config=/a"], "/a"),
        (["--address", "/b", "--root", "/r"], "/etc/containerd/config.toml"),
        (["--config", "/a", "config", "dump"], None),
        (["publish"], None),
        (["--version"], "/etc/containerd/config.toml"),
    ],
)
def test_the_file_of_a_daemon(arguments: t.List[str], config: t.Optional[str]) -> None:
    assert process._config_of(arguments) == config


def test_no_daemon_runs_with_a_file_of_ours(tmp_path: pathlib.Path) -> None:
    assert process.running(str(tmp_path / "config.toml")) is None
    assert at({"a": {"b": 1}}, ("a", "b")) == 1
