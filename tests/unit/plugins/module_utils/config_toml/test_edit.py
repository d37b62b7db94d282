# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Editing texts: what was asked for is there to an independent reader, and everything else keeps its bytes."""

from __future__ import annotations

import copy
import difflib
import typing as t

import pytest
import toml
import tomllib
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ansible_collections.fleet.containerd.plugins.module_utils.config_toml.edit import Document
from ansible_collections.fleet.containerd.plugins.module_utils.config_toml.scan import split
from ansible_collections.fleet.containerd.plugins.module_utils.errors import FailedPrecondition
from ansible_collections.fleet.containerd.tests.support.configs import COMMENTS, HANDWRITTEN, ODD, Path, Tree, corpus, flat

CRI = "io.containerd.grpc.v1.cri"


def edited(text: str, *changes: t.Tuple[Path, t.Any]) -> str:
    """A change to None removes."""
    document = Document(text, "the text")
    for path, value in changes:
        if value is None:
            document.remove(path)
        else:
            document.set(path, value)
    return document.finish()


@pytest.mark.parametrize("name", [*HANDWRITTEN, "containerd-1.6", "containerd-1.7", "containerd-2.1"])
def test_pieces_joined_are_the_text(name: str) -> None:
    text = corpus()[name]
    assert "".join(piece.text for piece in split(text)) == text
    assert Document(text, name).finish() == text


@pytest.mark.parametrize("name", [*HANDWRITTEN, "containerd-1.6", "containerd-1.7", "containerd-2.1"])
def test_a_value_changes_alone(name: str) -> None:
    """One place of the text differs, and another reader sees that key changed and no other."""
    text = corpus()[name]
    before = flat(toml.loads(text))
    assert before
    chosen = list(before.items())[:: 9 if name.startswith("containerd") else 1]
    for path, old in chosen:
        new: t.Any = {bool: True, int: 7, float: 0.5, str: 'a "new" \\ value', list: ["one", "two"]}[type(old)]
        if old == new or (isinstance(old, list) and old and isinstance(old[0], dict)):
            continue
        after = edited(text, (path, new))
        assert flat(toml.loads(after)) == {**before, path: new}, path
        lines, others = text.splitlines(keepends=True), after.splitlines(keepends=True)
        same_start = next(index for index, (one, other) in enumerate(zip(lines, others)) if one != other)
        same_end = next(index for index, (one, other) in enumerate(zip(lines[::-1], others[::-1])) if one != other)
        assert same_start + same_end >= len(lines) - 5, path  # the longest list of the corpus has five lines
        assert edited(text, (path, old)) == text


@pytest.mark.parametrize("name", [*HANDWRITTEN, "containerd-1.6", "containerd-1.7", "containerd-2.1"])
def test_new_keys_come_and_go_without_a_trace(name: str) -> None:
    text = corpus()[name]
    before = flat(toml.loads(text))
    news: t.Dict[Path, t.Any] = {
        ("novel",): True,
        ("grpc", "tcp_address"): "127.0.0.1:1",
        ("cgroup", "path_of_mine"): "/x",
        ("plugins", "io.containerd.new.v1.plugin", "deep", "er", "key"): 1.5,
        ("plugins", "io.containerd.gc.v1.scheduler", "novel"): ["a", "b"],
        ("plugins", CRI, "registry", "mirrors", "reg.lan:5000", "endpoint"): ["https://mirror.lan"],
        ("proxy_plugins", "stargz", "address"): "/run/stargz.sock",
    }
    news = {path: value for path, value in news.items() if path not in before}
    after = edited(text, *news.items())
    assert flat(toml.loads(after)) == {**before, **news}
    lines = text.splitlines(keepends=True), after.splitlines(keepends=True)
    kinds = {kind for kind, *_places in difflib.SequenceMatcher(None, *lines, autojunk=False).get_opcodes()}
    assert kinds == {"equal", "insert"} or not text.endswith("\n")
    gone = edited(after, *((path, None) for path in news))
    assert gone == (text if text.endswith("\n") else text + "\n")


def test_readable() -> None:
    after = edited(
        COMMENTS,
        (("state",), "/run/x"),
        (("grpc", "uid"), 5),
        (("plugins", CRI, "registry", "config_path"), "/etc/containerd/certs.d"),
        (("plugins", CRI, "containerd", "snapshotter"), "native"),
        (("plugins", CRI, "enable_selinux"), None),
        (("oom_score",), None),
        (("plugins", "io.containerd.gc.v1.scheduler"), None),
        (("debug", "level"), "debug"),
    )
    differences = difflib.unified_diff(
        COMMENTS.splitlines(keepends=True), after.splitlines(keepends=True), "before", "after", n=0
    )
    assert (
        "".join(differences)
        == """--- before
+++ after
@@ -4 +4 @@
-oom_score   = -999
+state = "/run/x"
@@ -10,0 +11 @@
+  uid = 5
@@ -17 +17,0 @@
-  enable_selinux = false
@@ -22 +22 @@
-    snapshotter = "overlayfs"
+    snapshotter = "native"
@@ -34,0 +35,3 @@
+  [plugins."io.containerd.grpc.v1.cri".registry]
+    config_path = "/etc/containerd/certs.d"
+
@@ -36,2 +39,3 @@
-[plugins."io.containerd.gc.v1.scheduler"]
-  schedule_delay = "1s"
+
+[debug]
+  level = "debug"
"""
    )


def test_odd_ways_of_writing_are_kept() -> None:
    after = edited(
        ODD,
        (("grpc", "uid"), 7),
        (("debug", "level"), "warn"),
        (("debug", "format"), None),
        (("plugins", CRI, "containerd", "runtimes", "kata", "runtime_type"), "x"),
        (("plugins", CRI, "registry", "config_path"), "/c"),
        (("plugins", CRI, "sandbox_image"), "pause"),
        (("disabled_plugins",), ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.aufs"]),
    )
    expected = (
        ODD.replace("grpc.gid = 0x3_e6\n", "grpc.gid = 0x3_e6\ngrpc.uid = 7\n")
        .replace("{ level = \"info\", format = 'json' }", '{ level = "warn" }')
        .replace('"io.containerd.kata.v2"', '"x"')
        .replace('["a", "b"]\n', '["a", "b"]\nregistry.config_path = "/c"\n')
        .replace('"""pause\\\n   :3.9"""', '"pause"')
        .replace('  "io.containerd.snapshotter.v1.zfs", # no zfs here\n', "")
        .replace(
            '"io.containerd.snapshotter.v1.btrfs"   ,\n',
            '"io.containerd.snapshotter.v1.btrfs",\n  "io.containerd.snapshotter.v1.aufs",\n',
        )
    )
    assert after == expected


LISTS = [
    ('[\n  "a", # first\n  "b"\n]', ["a", "b", "c"], '[\n  "a", # first\n  "b",\n  "c"\n]'),
    ('[\n  "a",\n  # of b\n  "b", # b\n  "c",\n]', ["a", "c"], '[\n  "a",\n  "c",\n]'),
    ('[\n  "a", # a\n  "b"]', ["b", "a"], '[\n  "b",\n  "a"# a\n]'),
    ('[ "a", "b" ]', ["a"], '["a"]'),
    ("[\n]", ["a"], '["a"]'),
    ('[\n  "a"\n]', [], "[]"),
    ('[ "a", # x\n "b" ]', ["a", "c"], '[ "a", # x\n "c" ]'),
    ('[\n  "a",\n  "a", # again\n]', ["a", "a"], '[\n  "a",\n  "a", # again\n]'),
]


@pytest.mark.parametrize(("old", "new", "text"), LISTS)
def test_lists(old: str, new: t.List[str], text: str) -> None:
    after = edited(f"k = {old} # behind\nl = 1\n", (("k",), new))
    assert toml.loads(after) == {"k": new, "l": 1}
    assert after == f"k = {text} # behind\nl = 1\n".replace('"a"# a', '"a" # a')


def test_arrays_of_tables() -> None:
    path = ("plugins", "io.containerd.transfer.v1.local", "unpack_config")
    new = [{"platform": "linux/riscv64", "limits": {"a": 1}}, {"platform": "x", "list": ["b"]}]
    after = edited(ODD, (path, new))
    assert tomllib.loads(after) == {
        **tomllib.loads(ODD),
        "plugins": {**tomllib.loads(ODD)["plugins"], path[1]: {path[2]: new}},
    }
    assert edited(after, (path, None)).count("[[") == 0
    assert edited("a = 1\n", (("b", "c"), [{"d": 1}, {"e": True}])) == "a = 1\n\n[[b.c]]\n  d = 1\n[[b.c]]\n  e = true\n"


def test_new_text_in_an_empty_file() -> None:
    assert edited("", (("version",), 2), (("grpc", "gid"), 1)) == "version = 2\n\n[grpc]\n  gid = 1\n"
    assert edited("# only a comment", (("version",), 2)) == "# only a comment\nversion = 2\n"
    assert edited("# of the table\n[grpc]\ngid = 1\n", (("version",), 2)) == "version = 2\n\n# of the table\n[grpc]\ngid = 1\n"


def test_an_empty_table_can_be_asked_for() -> None:
    after = edited("version = 2\n", (("plugins", "a.b", "c"), {}))
    assert toml.loads(after) == {"version": 2, "plugins": {"a.b": {"c": {}}}}
    assert edited(after, (("plugins", "a.b", "c"), None)) == "version = 2\n"


NOT_TOML = [
    "a = ",
    "a = 1 b = 2",
    "[a",
    "a = 1\na = 2\n",
    "[a]\n[a]\n",
    'a = "open',
    "a = [1, 2",
    "= 1",
    "a = \x00",
    "a = nul",
    "[[a]]\n[a]\n",
]


@pytest.mark.parametrize("text", NOT_TOML)
def test_what_is_no_toml_is_said_to_be_none(text: str) -> None:
    with pytest.raises(FailedPrecondition, match=r"^the text is not valid TOML: ") as caught:
        Document(text, "the text")
    assert "\n" not in str(caught.value)


def test_the_message_does_not_quote_the_file() -> None:
    with pytest.raises(FailedPrecondition) as caught:
        Document('password = "hunter2hunter2\n', "the text")
    assert "hunter2" not in str(caught.value)


# What can be done to any file

NAMES = st.sampled_from(["a", "b", "with.dot", "x y", 'q"uote', "ä"])
PATHS = st.one_of(
    st.lists(NAMES, min_size=1, max_size=4).map(tuple),
    st.tuples(st.sampled_from(["grpc", "plugins", "debug", "timeouts"]), NAMES, NAMES),
    st.tuples(st.just("plugins"), st.just(CRI), st.sampled_from(["cni", "registry", "containerd", "new"]), NAMES),
)
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8),
    st.lists(st.sampled_from(["a", "b", "c#", "'", "\\"]), max_size=4),
)


def existing(tree: Tree) -> t.List[Path]:
    found: t.List[Path] = []
    for key, value in tree.items():
        found.append((key,))
        if isinstance(value, dict):
            found += [(key, *path) for path in existing(value)]
    return found


def allowed(tree: Tree, path: Path) -> bool:
    """No value in the way, no table at the end."""
    node: t.Any = tree
    for key in path:
        if not isinstance(node, dict):
            return False
        if key not in node:
            return True
        node = node[key]
    return not isinstance(node, dict) and not (isinstance(node, list) and node and isinstance(node[0], dict))


def pruned(tree: t.Any) -> t.Any:
    if not isinstance(tree, dict):
        return tree
    found = {key: pruned(value) for key, value in tree.items()}
    return {key: value for key, value in found.items() if value != {}}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(HANDWRITTEN)), st.data())
def test_any_sequence_of_changes(name: str, data: st.DataObject) -> None:
    text = HANDWRITTEN[name]
    document = Document(text, name)
    expected = copy.deepcopy(tomllib.loads(text))
    for _turn in range(data.draw(st.integers(1, 6))):
        present = existing(expected)
        if present and data.draw(st.booleans()):
            path = data.draw(st.sampled_from(present))
            document.remove(path)
            node = expected
            for key in path[:-1]:
                node = node[key]
            del node[path[-1]]
        else:
            path = data.draw(st.one_of(PATHS, st.sampled_from(present or [("a",)])))
            if not allowed(expected, path):
                continue
            value = data.draw(VALUES)
            document.set(path, value)
            node = expected
            for key in path[:-1]:
                node = node.setdefault(key, {})
            node[path[-1]] = value
        expected = pruned(expected)
    after = document.finish()
    assert pruned(tomllib.loads(after)) == expected
    comments = [line.strip() for line in text.splitlines() if line.strip().startswith("#")]
    if name != "odd":
        kept = [line.strip() for line in after.splitlines() if line.strip().startswith("#")]
        assert [line for line in comments if line in kept] == [line for line in kept if line in comments]
    assert ("\r\n" in after) == ("\r\n" in text) or not after


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES)
@example("\x7f\x00\x1f\u2028")
@example(1e16)
@example(-0.0)
def test_any_value_comes_back(value: t.Any) -> None:
    text = edited("", (("k",), value))
    assert tomllib.loads(text) == {"k": value}
    assert text.count("\n") == 1
