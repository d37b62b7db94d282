# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The house rules hold in plugins/; and the test that says so notices when they do not."""

from __future__ import annotations

import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.libexec import install
from ansible_collections.fleet.containerd.plugins.module_utils.libexec.main import VERBS
from ansible_collections.fleet.containerd.tests.support import layers

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
UTILS = "plugins/module_utils"


def test_the_house_rules_hold() -> None:
    found = layers.problems(ROOT)
    assert not found, "\n".join(found)


def test_every_room_of_the_table_that_exists_was_looked_at() -> None:
    there = {path.name for path in (ROOT / UTILS).iterdir() if any(path.glob("**/*.py"))}
    assert {"errors", *there, *layers.PLUGINS} == set(layers.ARROWS)


BREACHES = [
    ("oci/x.py", "from ..hostfs.atomic import write_file", "oci must not import hostfs"),
    ("store/x.py", "from ..registry.client import Client", "store must not import registry"),
    ("store/x.py", "from .. import registry", "store must not import registry"),
    ("runtime/x.py", "def f():\n    from ..kernel import field", "runtime must not import kernel"),
    (
        "image/x.py",
        "import typing as t\n\nif t.TYPE_CHECKING:\n    from ..engine_embedded.engine import E",
        "image must not import engine_embedded",
    ),
    ("engine/models.py", "from ..engine_embedded.engine import E", "engine must not import engine_embedded"),
    ("engine_embedded/x.py", "from ..rpc.channel import C", "engine_embedded must not import rpc"),
    ("libexec/x.py", "from ..store.content import C", "libexec must not import store"),
    ("resources/x.py", "from ..store.content import C", "resources must not import store"),
    ("registry/x.py", "from ansible.module_utils.urls import open_url", "registry must not know ansible"),
    ("argument_specs/x.py", "from ansible.module_utils.basic import env_fallback", "argument_specs must not know ansible"),
    ("registry/x.py", "import requests", "requests must be imported inside a function"),
    ("registry/x.py", "def f():\n    import httpx", "httpx is neither ours"),
    ("attic/x.py", "", "the room attic is not in the table"),
    ("store/utils.py", "", "wants a utils.py"),
    ("store/x.py", "check_mode = True", "only the kernel may know check_mode"),
    ("store/x.py", "try:\n    pass\nexcept Exception:\n    pass", "line 5: a blanket except"),
    ("store/x.py", "try:\n    pass\nexcept:\n    pass", "a blanket except"),
    ("store/x.py", "try:\n    pass\nexcept (OSError, BaseException):\n    pass", "a blanket except"),
    ("store/x.py", "match 1:\n    case 1:\n        pass", "not Python 3.9"),
    ("store/x.py", "a = 1\n" * 450, "has 452 lines"),
    ("store/x.py", "def f():\n" + "    a = 1\n" * 60, "f has more than 60 lines"),
]


def _tree(base: pathlib.Path, files: t.Mapping[str, str]) -> pathlib.Path:
    for name, text in files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(layers.header(path, base) + text)
    return base


@pytest.mark.parametrize(("name", "text", "message"), BREACHES, ids=range(len(BREACHES)))
def test_a_breach_is_noticed(tmp_path: pathlib.Path, name: str, text: str, message: str) -> None:
    _tree(tmp_path, {f"{UTILS}/registry/client.py": "", f"{UTILS}/{name}": text})
    found = layers.problems(tmp_path)
    assert len(found) == 1
    assert message in found[0]


def test_what_is_allowed_is_not_a_breach(tmp_path: pathlib.Path) -> None:
    files = {
        "engine_embedded/x.py": "from ..store.content import C\nfrom ..libexec import install\nfrom ..engine.models import M",
        "kernel/engines.py": "def f():\n    from ..engine_embedded.engine import E",
        "store/x.py": "import sqlite3\n\nfrom ..engine.models import M\n\n\ndef f():\n    import zstandard",
        "kernel/x.py": "from ansible.module_utils.basic import AnsibleModule\n\nfrom .engines import open_engine\n\ncheck_mode = True",
    }
    assert layers.problems(_tree(tmp_path, {f"{UTILS}/{name}": text for name, text in files.items()})) == []


def test_a_module_with_logic_in_it_is_noticed(tmp_path: pathlib.Path) -> None:
    short = 'DOCUMENTATION = r"""\n' + "text\n" * 100 + '"""\n'
    _tree(tmp_path, {"plugins/modules/short.py": short, "plugins/modules/long.py": short + "a = 1\n" * 46})
    assert layers.problems(tmp_path) == [
        "plugins/modules/long.py: has 46 lines of code; a module is documentation and one call (at most 45)"
    ]


def test_action_plugins_are_held_to_it_too(tmp_path: pathlib.Path) -> None:
    store = "from ..module_utils.store.content import C"
    files = {"good.py": "from ansible.errors import A\n\nfrom ..module_utils.errors import E", "bad.py": store}
    _tree(tmp_path, {f"plugins/action/{name}": text for name, text in files.items()})
    (found,) = layers.problems(tmp_path)
    assert found.startswith("plugins/action/bad.py: ")
    assert "action must not import store" in found


def test_a_file_without_the_licence_header_is_noticed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / UTILS / "oci" / "x.py"
    path.parent.mkdir(parents=True)
    path.write_text("a = 1\n")
    assert "licence header" in layers.problems(tmp_path)[0]


def test_what_outlives_a_module_imports_exactly_what_is_shipped_with_it() -> None:
    shipped = [ROOT / UTILS / pathlib.Path(*one.__name__.split(".")[-2:]).with_suffix(".py") for one in install.MODULES]
    verbs = [ROOT / UTILS / "libexec" / f"{name}.py" for name in ("main", *VERBS)]
    assert layers.closure(verbs, ROOT) == {f"plugins.module_utils.{path.parent.name}.{path.stem}" for path in shipped}
    for path in shipped:
        assert not [one.name for one in layers.imports(path, ROOT) if one.name.split(".")[0] == "ansible"]


def test_what_outlives_a_module_loads_alone(tmp_path: pathlib.Path) -> None:
    archive = tmp_path / "ctr.pyz"
    archive.write_bytes(install.payload(list(install._sources(install.MODULES))))
    script = "import sys; sys.path.insert(0, sys.argv[1]); import fleet.libexec.shim as it; print(callable(it.main), 'ansible' in sys.modules)"
    command = [install.interpreter(), "-I", "-S", "-E", "-c", script, str(archive)]
    # starts: (the machine's Python)
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == ["True", "False"]


@pytest.mark.parametrize(
    "name",
    [
        "config",
        "image_copy",
        "image_lock",
        "login",
        "network",
        "network_info",
        "registry",
        "registry_info",
        "volume",
        "volume_info",
    ],
)
def test_a_task_without_an_engine_is_sent_none(name: str) -> None:
    """ansible-core sends whatever a module imports, in functions too: engines are half of all code."""
    sent = layers.closure([ROOT / "plugins" / "modules" / f"containerd_{name}.py"], ROOT)
    rooms = {one.split(".")[2] for one in sent if one.startswith("plugins.module_utils.")}
    assert not rooms & {"engine_embedded", "engine_containerd", "engine_host", "layers", "libexec", "rpc", "store"}


@pytest.mark.parametrize("name", ["container", "image", "image_info"])
def test_who_only_pulls_is_sent_no_archives_and_no_pushing(name: str) -> None:
    sent = layers.closure([ROOT / "plugins" / "modules" / f"containerd_{name}.py"], ROOT)
    wrong = ("push", "load", "export", "copy")
    assert not [one for one in sent if ".archive." in one or one.endswith(".registry.pusher")]
    assert not [one for one in sent if ".image." in one and one.rpartition(".")[2].startswith(wrong)]
