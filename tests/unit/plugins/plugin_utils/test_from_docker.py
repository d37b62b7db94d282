# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that rewrites playbooks: what it writes, what it leaves alone, what it lists, and that a second run changes nothing."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap
import typing as t

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.splitter import parse_kv

from ansible_collections.fleet.containerd.plugins.plugin_utils.from_docker import __main__ as program
from ansible_collections.fleet.containerd.plugins.plugin_utils.from_docker import convert as converting
from ansible_collections.fleet.containerd.plugins.plugin_utils.from_docker.convert import OURS, convert, spec_of
from ansible_collections.fleet.containerd.plugins.plugin_utils.from_docker.differences import COMMON, IMAGE, MODULES, Rule

HERE = pathlib.Path(__file__).resolve().parent
COLLECTION = HERE.parents[3]
PLAYBOOK = HERE / "playbooks" / "web_server.before"
_NOT_YET = "has no such option yet"
#: Before, after (empty: the same), and what is left, each with its line.
CASES: t.Dict[str, t.Tuple[str, str, t.Sequence[str]]] = {
    "the full name of a module and the short one": (
        "- community.docker.docker_container: {name: a}\n- docker_container: {name: a}\n- community.general.docker_login: {}\n",
        "- fleet.containerd.containerd_container: {name: a}\n- fleet.containerd.containerd_container: {name: a}\n"
        "- fleet.containerd.containerd_login: {}\n",
        [],
    ),
    "a name in quotes": (
        "- 'docker_container': {'name': a, \"state\": absent}\n- action:\n    module: \"docker_login\"\n",
        "- 'fleet.containerd.containerd_container': {'name': a, \"state\": absent}\n"
        '- action:\n    module: "fleet.containerd.containerd_login"\n',
        [],
    ),
    "words": (
        "- docker_container: name=a image='b c' env='{{ x }}' timeout=3\n- action: docker_image_pull name=a pull=not_present\n",
        "- fleet.containerd.containerd_container: name=a image='b c' env='{{ x }}'\n"
        "- action: fleet.containerd.containerd_image name=a pull=missing\n",
        [],
    ),
    "words over several lines": (
        "- docker_image_pull: >\n    name={{ a | default('b c') }}\n    timeout=3\n    tag=1\n- debug: msg=1\n",
        "- fleet.containerd.containerd_image: >\n    name={{ a | default('b c') }}\n    tag=1 pull=always\n- debug: msg=1\n",
        [],
    ),
    "words in quotes": (
        "- local_action: \"community.docker.docker_container name=a tls=no image='b'\"\n",
        "- local_action: \"fleet.containerd.containerd_container name=a image='b'\"\n",
        [],
    ),
    "options beside the module": (
        "- docker_container:\n  args:\n    name: a\n    debug: true\n- action: docker_container\n  args: {debug: true, name: a}\n",
        "- fleet.containerd.containerd_container:\n  args:\n    name: a\n- action: fleet.containerd.containerd_container\n  args: {name: a}\n",
        [],
    ),
    "nothing is left of the options": (
        "- docker_login:\n    debug: true\n    tls: no   # gone, too\n  register: x\n- docker_login: {tls: no}\n"
        "- docker_login: &a\n    tls: no\n    # stays\n",
        "- fleet.containerd.containerd_login: {}\n  register: x\n- fleet.containerd.containerd_login: {}\n"
        "- fleet.containerd.containerd_login: &a {}\n    # stays\n",
        [],
    ),
    "in braces": (
        "- docker_container: {debug: true, name: a, tls: no, image: b, timeout: 3, api_version: auto}\n",
        "- fleet.containerd.containerd_container: {name: a, image: b}\n",
        [],
    ),
    "blocks, and what looks like a task": (
        "- vars: {docker_container: x, a: [{docker_login: y}]}\n  block:\n  - docker_login: {}\n  always:\n  - docker_container: {name: a}\n",
        "- vars: {docker_container: x, a: [{docker_login: y}]}\n  block:\n  - fleet.containerd.containerd_login: {}\n  always:\n"
        "  - fleet.containerd.containerd_container: {name: a}\n",
        [],
    ),
    "no tasks at all": ("docker_container: {name: a}\nlist:\n- docker_login: {}\n", "", []),
    "values of several lines, comments, tags": (
        "- docker_container:\n    name: a\n    # above\n    debug: >\n      x\n      # y\n\n    # below\n    command: |+\n      run\n      # no comment\n\n"
        "    env: {A: !vault secret}\n    links: # gone\n      []\n    user: !unsafe '{{ x }}'  # stays\n\n# the end\n",
        "- fleet.containerd.containerd_container:\n    name: a\n    # above\n\n    # below\n    command: |+\n      run\n      # no comment\n\n"
        "    env: {A: !vault secret}\n    user: !unsafe '{{ x }}'  # stays\n\n# the end\n",
        [],
    ),
    "an anchor in an option that goes": (
        "- docker_container: {name: a, timeout: &t 3}\n- docker_container:\n    name: a\n    timeout: *t\n  retries: 2\n",
        "- fleet.containerd.containerd_container: {name: a}\n- fleet.containerd.containerd_container:\n    name: a\n  retries: 2\n",
        [],
    ),
    "an anchor in an option that goes, which is used elsewhere": (
        "- docker_container: {name: a, timeout: &t 3}\n  retries: *t\n",
        "",
        ["1: nothing is rewritten in this file: found undefined alias 't', which stands in an option"],
    ),
    "an anchor before words and values": (
        "- docker_login: &a tls=no username=b\n- docker_image_pull: {name: &n a, pull: &p 'not_present'}\n  tags: [*n, *p]\n",
        "- fleet.containerd.containerd_login: &a username=b\n"
        "- fleet.containerd.containerd_image: {name: &n a, pull: &p 'missing'}\n  tags: [*n, *p]\n",
        [],
    ),
    "words of which the first ones go": (
        "- docker_container: timeout=3 debug=yes name=a\n- docker_login: tls=no\n- docker_login: >-\n    tls=no debug=no\n  retries: 2\n",
        "- fleet.containerd.containerd_container: name=a\n- fleet.containerd.containerd_login: {}\n"
        "- fleet.containerd.containerd_login: {}\n  retries: 2\n",
        [],
    ),
    "one that is only merged": (
        "- docker_container: &a {name: a, timeout: 3}\n- docker_container: {<<: *a, timeout: 4, image: b}\n- docker_container: *a\n",
        "- fleet.containerd.containerd_container: &a {name: a}\n- fleet.containerd.containerd_container: {<<: *a, image: b}\n"
        "- fleet.containerd.containerd_container: *a\n",
        [],
    ),
    "one text for two modules": (
        "- docker_image_pull: &a {name: a, pull: not_present}\n- docker_image_push: *a\n",
        "- fleet.containerd.containerd_image: &a {name: a, pull: missing}\n- fleet.containerd.containerd_image_push: *a\n",
        ["1: docker_image_push: pull: containerd_image_push has no such option yet"],
    ),
    "ends of lines, and an end without one": (
        "- docker_image_pull:\r\n    name: a\r\n    timeout: 1\r\n- docker_image_pull:\r\n    tag: b\r\n    name: a",
        "- fleet.containerd.containerd_image:\r\n    name: a\r\n    pull: always\r\n- fleet.containerd.containerd_image:\r\n    tag: b\r\n"
        "    name: a\r\n    pull: always",
        [],
    ),
    "several documents": (
        "---\n- docker_login: {}\n---\n- docker_login: {}\n...\n",
        "---\n- fleet.containerd.containerd_login: {}\n---\n- fleet.containerd.containerd_login: {}\n...\n",
        [],
    ),
    "handlers and imports": (
        "- import_playbook: x.yml\n- hosts: all\n  handlers:\n  - docker_container: {name: a, restart: yes}\n",
        "- import_playbook: x.yml\n- hosts: all\n  handlers:\n  - fleet.containerd.containerd_container: {name: a, restart: yes}\n",
        [],
    ),
    "defaults of modules": (
        "- hosts: all\n  module_defaults:\n    group/docker: {docker_host: 'tcp://h:2375', debug: true}\n    docker_image_pull:\n      pull: always\n"
        "    docker_image_remove: {force: true}\n    docker_image: {force_source: true}\n  tasks:\n  - docker_image_pull: {name: a}\n",
        "- hosts: all\n  module_defaults:\n    group/fleet.containerd.containerd: {docker_host: 'tcp://h:2375'}\n"
        "    fleet.containerd.containerd_image:\n      pull: always\n    docker_image_remove: {force: true}\n    docker_image: {force_source: true}\n"
        "  tasks:\n  - fleet.containerd.containerd_image: {name: a}\n",
        [
            "3: group/docker: docker_host: there is no Docker daemon",
            "6: docker_image_remove: module_defaults has an entry for fleet.containerd.containerd_image already",
            "7: docker_image: pull is containerd_image",
        ],
    ),
    "pruning and the host": (
        "- docker_prune:\n    images: true\n    images_filters: {dangling: false}\n    builder_cache: false\n- docker_prune: {builder_cache: true}\n"
        "- docker_host_info: {disk_usage: true, verbose_output: true}\n",
        "- fleet.containerd.containerd_prune:\n    images: true\n    images_filters: {dangling: false}\n"
        "- fleet.containerd.containerd_prune: {builder_cache: true}\n- fleet.containerd.containerd_host_info: {disk_usage: true}\n",
        ["5: docker_prune: builder_cache: images are not built here"],
    ),
    "pulls": (
        "- docker_image_pull: {name: a}\n- docker_image_pull: {name: a, pull: always}\n- docker_image_pull: {name: a, pull: '{{ x }}'}\n"
        "- docker_image_remove:\n    name: a\n    prune: no\n",
        "- fleet.containerd.containerd_image: {name: a, pull: always}\n- fleet.containerd.containerd_image: {name: a, pull: always}\n"
        "- fleet.containerd.containerd_image: {name: a, pull: '{{ x }}'}\n"
        "- fleet.containerd.containerd_image:\n    name: a\n    state: absent\n    prune: no\n",
        [
            "3: docker_image_pull: pull: only the run knows its value; write missing for not_present",
            "6: docker_image_remove: prune: blobs",
        ],
    ),
    "docker_image does one thing": (
        "- docker_image: {name: a, source: pull, force_source: yes}\n- docker_image:\n    name: a\n    source: pull\n    pull:\n"
        "      platform: arm64   # a board\n    state: present\n- docker_image: {name: a, source: pull, pull: {platform: arm64}}\n"
        "- docker_image: {name: a, tag: b, source: local, push: yes}\n- docker_image: {name: a, source: local, archive_path: /a.tar}\n"
        "- docker_image: {name: a, source: local, repository: b, force_tag: yes}\n- docker_image: {name: a, state: absent}\n",
        "- fleet.containerd.containerd_image: {name: a, pull: always}\n- fleet.containerd.containerd_image:\n    name: a\n"
        "    platform: arm64   # a board\n    state: present\n- fleet.containerd.containerd_image: {name: a, platform: arm64}\n"
        "- fleet.containerd.containerd_image_push: {name: a, tag: b}\n- fleet.containerd.containerd_image_export: {name: a, path: /a.tar}\n"
        "- fleet.containerd.containerd_image_tag: {name: a, repository: b}\n- fleet.containerd.containerd_image: {name: a, state: absent}\n",
        [],
    ),
    "docker_image does several": (
        "- docker_image: {name: a, source: pull, push: true, repository: b}\n- docker_image: {name: a, source: '{{ x }}'}\n"
        "- docker_image: {name: a}\n- docker_image: {name: a, source: build, build: {path: /a}}\n",
        "",
        [
            "1: docker_image: this module does one thing at a time",
            "2: docker_image: only the run knows source",
            "3: docker_image: pull is containerd_image",
            "4: docker_image: images are not built here",
        ],
    ),
    "values that are not here": (
        "- docker_container:\n    name: a\n    state: perhaps\n    networks_cli_compatible: false\n    pull: true\n    log_driver: none\n"
        "    networks:\n      - {name: b, links: [c], colour: red}\n- docker_network: {name: a, driver: overlay, attachable: true}\n",
        "- fleet.containerd.containerd_container:\n    name: a\n    state: perhaps\n    networks_cli_compatible: false\n    pull: true\n"
        "    log_driver: none\n    networks:\n      - {name: b, links: [c], colour: red}\n"
        "- fleet.containerd.containerd_network: {name: a, driver: overlay, attachable: true}\n",
        [
            "3: docker_container: state: perhaps is none of absent,",
            "4: docker_container: networks_cli_compatible: name the network bridge",
            "8: docker_container: networks: links: give the other container aliases",
            "8: docker_container: networks: colour: there is no such option yet",
            "9: docker_network: driver: overlay is none of bridge,",
            "9: docker_network: attachable: a host has no swarm",
        ],
    ),
    "options that are compared": (
        "- docker_container:\n    name: a\n    comparisons:\n      '*': strict\n      ports: strict\n      links: ignore\n",
        "- fleet.containerd.containerd_container:\n    name: a\n    comparisons:\n      '*': strict\n      ports: strict\n      links: ignore\n",
        ["6: docker_container: comparisons: links: there is no such option yet"],
    ),
    "what has no module here": (
        "- docker_compose_v2: {project_src: /a}\n- docker_swarm: {state: present}\n- hosts: all\n  connection: community.docker.docker\n",
        "",
        [
            "1: docker_compose_v2: write a task",
            "2: docker_swarm: a host has no swarm",
            "4: connection: community.docker.docker: there",
        ],
    ),
}


def lines(left: t.Iterable[converting.Left]) -> t.List[str]:
    return [f"{one.line}: {one.what}" for one in left]


@pytest.mark.parametrize("case", CASES)
def test_what_is_written(case: str) -> None:
    before, after, left = CASES[case]
    found = convert(before)
    assert found.text == (after or before)
    assert len(found.left) == len(left), lines(found.left)
    for line, beginning in zip(lines(found.left), left):
        assert line.startswith(beginning)
    again = convert(found.text)
    assert again.text == found.text
    assert len(again.left) == len(left) or "only the run knows" in left[0]


def options_in(text: str) -> t.Iterator[t.Tuple[str, t.Dict[str, t.Any]]]:
    """Each of our modules in a playbook, and its options, as Ansible reads them."""

    def tasks(entries: t.Sequence[t.Dict[str, t.Any]]) -> t.Iterator[t.Dict[str, t.Any]]:
        for entry in entries:
            for key in ("pre_tasks", "tasks", "handlers", "block", "rescue", "always"):
                yield from tasks(entry.get(key, ()))
            yield entry

    for task in tasks(yaml.safe_load(text)):
        for name, value in task.items():
            if name == "local_action" and value.startswith(OURS):
                name, _space, value = value.partition(" ")
            if name == "action" and value["module"].startswith(OURS):
                name, value = value["module"], {key: one for key, one in value.items() if key != "module"}
            if name.startswith(OURS):
                yield name[len(OURS) :], parse_kv(value) if isinstance(value, str) else value


#: What a template may give, by the type of an option.
_RENDERED: t.Mapping[str, t.Any] = {"bool": True, "int": 1, "float": 1.0, "list": [], "dict": {}}


def problems(module: str, options: t.Mapping[str, t.Any]) -> t.Tuple[t.Set[str], t.List[str]]:
    """What Ansible would say of these options: those that are not supported, and other errors."""
    spec = {
        name: {key: one for key, one in option.items() if key != "variable"} for name, option in (spec_of(module) or {}).items()
    }
    kinds = {alias: option["type"] for name, option in spec.items() for alias in (name, *option.get("aliases", ()))}
    given = {
        name: _RENDERED.get(kinds.get(name, ""), "x") if isinstance(value, str) and "{{" in value else value
        for name, value in options.items()
    }
    result = ArgumentSpecValidator(spec).validate(given)
    unsupported = {".".join(one) if isinstance(one, tuple) else one for one in result._unsupported_parameters}
    return unsupported, [
        str(one) for one in result.error_messages if "Unsupported parameters" not in one and ". Supported" not in one
    ]


def rewritten() -> str:
    """What becomes of the playbook. Modules that come later change it."""
    text = PLAYBOOK.with_suffix(".after").read_text()
    for name in ("docker_volume", "docker_container_exec"):
        if spec_of(MODULES[name].to):
            text = text.replace(f"community.docker.{name}:", f"{OURS}{MODULES[name].to}:")
    return text


def test_a_web_server_with_a_database() -> None:
    found = convert(PLAYBOOK.read_text())
    assert found.text == rewritten()
    assert convert(found.text).text == found.text
    told = [line for line in lines(found.left) if _NOT_YET not in line and "there is no containerd_" not in line]
    assert [re.split(": (?=[a-z])", line)[0:3] for line in told] == [
        ["101", "docker_container", "kernel_memory"],
        ["121", "docker_container", "links"],
        ["156", "docker_container", "networks"],
        ["174", "docker_image", "images are not built here; build elsewhere, and use containerd_image_load or a registry"],
    ]
    calls = list(options_in(found.text))
    assert len(calls) >= 12
    refused = {option for module, options in calls for option in problems(module, options)[0]}
    listed = {line.split(": ")[2] for line in lines(found.left) if line.count(": ") > 2}
    assert refused == listed - {"networks"}, "Ansible refuses exactly what was listed"
    assert [problem for module, options in calls for problem in problems(module, options)[1]] == []


def test_every_rule_is_about_something_that_is_not_the_same_here() -> None:
    for name, module in MODULES.items():
        assert bool(module.to) != bool(module.instead), name
        for option, rule in module.rules.items():
            known = option in converting.names_in(spec_of(module.to) or {})
            assert not (known and rule.instead), f"{name}: {option} is here now, so its rule is in the way"
    for rules in (COMMON, IMAGE, *(module.rules for module in MODULES.values())):
        assert all(isinstance(rule, Rule) and rule != Rule() for rule in rules.values())


def run(
    *arguments: t.Any, collection: pathlib.Path = COLLECTION, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    """The command of the guide."""
    path = collection / "plugins" / "plugin_utils" / "from_docker"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ANSIBLE"))}
    # starts: (the interpreter of the tests)
    return subprocess.run(
        [python, "-S" if "-S" in arguments else "-P", str(path), *(str(one) for one in arguments if one != "-S")],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    """A project: a playbook, a role with tasks and a template, and variables."""
    files = {
        "site.yml": PLAYBOOK.read_text(),
        "group_vars/all.yml": "docker_container: {name: a}\n",
        "roles/a/tasks/main.yaml": "- docker_login: {debug: true}   # here\n",
        "roles/a/templates/compose.yml": "{% if docker %}\n- docker_login: {}\n{% endif %}\n",
        "roles/a/files/docker.yml": "- docker_login: {}\n",
        ".github/docker.yml": "- docker_login: {}\n",
        "README.md": "docker_login\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def contents(tree: pathlib.Path) -> t.Dict[str, str]:
    return {str(path.relative_to(tree)): path.read_text() for path in tree.rglob("*") if path.is_file()}


def test_a_project(tree: pathlib.Path) -> None:
    before = contents(tree)
    (tree / "site.yml").chmod(0o640)
    shown = run(tree)
    assert shown.returncode == 1
    assert contents(tree) == before
    assert f"{tree}/site.yml:101: docker_container: kernel_memory: " in shown.stdout
    assert "\n+- fleet.containerd.containerd_login: {}   # here\n" in shown.stdout
    assert shown.stderr.startswith(
        f"tasks and defaults to rewrite: {convert(PLAYBOOK.read_text()).tasks + 1}; left to do by hand: "
    )
    written = run("--write", tree)
    assert written.returncode == 1
    changed = {name for name, text in contents(tree).items() if text != before[name]}
    assert changed == {"site.yml", "roles/a/tasks/main.yaml"}
    assert (tree / "site.yml").read_text() == rewritten()
    assert (tree / "site.yml").stat().st_mode & 0o777 == 0o640
    number = (tree / "site.yml").read_text().splitlines().index("            kernel_memory: 64m") + 1
    assert f"{tree}/site.yml:{number}: docker_container: kernel_memory: " in written.stdout
    after = contents(tree)
    again = run("--write", tree)
    assert contents(tree) == after
    assert again.stderr.startswith("tasks and defaults rewritten: 0; ")


def test_the_status_says_whether_something_is_left(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "tasks.yml"
    link = tmp_path / "link.yml"
    link.symlink_to(path)
    path.write_text("- docker_login: {}\n")
    assert run(path).returncode == 0
    assert run("--write", link).returncode == 0
    assert link.is_symlink()
    assert path.read_text() == "- fleet.containerd.containerd_login: {}\n"
    path.write_text("- docker_login: {\n")
    broken = run(path)
    assert (broken.returncode, broken.stdout) == (
        1,
        f"{path}:2: it is not YAML: expected the node content, but found '<stream end>'\n",
    )
    missing = run(tmp_path / "none.yml", path)
    assert missing.returncode == 2
    assert "none.yml" in missing.stderr
    assert "it is not YAML" in missing.stdout
    path.write_bytes(b"- docker_login: \xff\n")
    assert run(path).returncode == 2
    assert run().returncode == 2


def test_it_runs_wherever_the_collection_is_installed(tree: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Another directory, and a Python whose own ansible_collections is a package."""
    place = tmp_path / "elsewhere" / "ansible_collections" / "fleet" / "containerd"
    for part in ("plugin_utils", "module_utils/argument_specs"):
        shutil.copytree(COLLECTION / "plugins" / part, place / "plugins" / part, ignore=shutil.ignore_patterns("__pycache__"))
    assert run(tree / "site.yml", collection=place).stdout == run(tree / "site.yml").stdout
    without = run("-S", tree / "site.yml", collection=place)
    assert (without.returncode, without.stdout) == (2, "")
    assert "needs PyYAML: run it with the Python that ansible --version names" in without.stderr


def test_its_usage_names_where_it_is() -> None:
    assert textwrap.dedent(program.__doc__ or "").count("plugins/plugin_utils/from_docker") == 1
