# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running ansible-playbook on this machine for a few tasks, and reading what each of them returned."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import typing as t

from .own_host import Under

HERE = pathlib.Path(__file__).resolve().parent
#: The directory with ansible_collections in it, through which this very file was imported or could be.
COLLECTIONS = HERE.parent.parent / ".build" / "link"
COLLECTION = "fleet.containerd."
#: Every task as users have it, in twice the time.
PACKED = bool(os.environ.get("FLEET_PACKED"))

Task = t.Mapping[str, t.Any]


class TaskResult(t.NamedTuple):
    """One task on the one host. status: ok, failed, skipped or unreachable; result: all that the module returned."""

    name: str
    status: str
    result: t.Dict[str, t.Any]

    @property
    def changed(self) -> bool:
        return bool(self.result.get("changed"))

    @property
    def failed(self) -> bool:
        return self.status in ("failed", "unreachable")

    @property
    def msg(self) -> str:
        return str(self.result.get("msg", ""))

    @property
    def actions(self) -> t.List[str]:
        return list(self.result.get("actions", []))

    def get(self, key: str, default: t.Any = None) -> t.Any:
        return self.result.get(key, default)

    def value(self, key: str) -> t.Any:
        """One key of the result; a KeyError that shows the result where it is missing."""
        if key not in self.result:
            raise KeyError(f"{key} is not in {self.result}")
        return self.result[key]


class Play(t.NamedTuple):
    """What one ansible-playbook run did. results has one entry a task that ran, in order."""

    returncode: int
    results: t.List[TaskResult]
    output: str

    @property
    def changed(self) -> int:
        """The number of tasks that changed something."""
        return sum(one.changed for one in self.results)

    @property
    def last(self) -> TaskResult:
        return self.results[-1]


class PlayFailed(AssertionError):
    """A playbook that ended otherwise than the test wanted; the message has its output."""


def task(module: str, **options: t.Any) -> t.Dict[str, t.Any]:
    """A task of this collection, with a name that tells what it does."""
    label = options.get("name") or ""
    return {"name": f"{module} {label}".strip(), COLLECTION + module: options}


#: Options of networks: tasks that have one of them, or no image, are run as they are.
_OF_NETWORKS = {"network_mode", "networks", "published_ports", "publish_all_ports", "mac_address"}


def offline(module: str, options: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    """The options of a container that a test does not want to have a network for: the default one is that of the whole machine."""
    wants = module != "containerd_container" or not options.get("image") or _OF_NETWORKS & set(options)
    return dict(options) if wants else {**options, "network_mode": "none"}


def _offline(tasks: t.Sequence[Task]) -> t.List[Task]:
    prefix = COLLECTION
    return [
        {key: offline(key[len(prefix) :], value or {}) if key.startswith(prefix) else value for key, value in one.items()}
        for one in tasks
    ]


#: Modules that are not in the action group.
_WITHOUT_ENGINE = (
    "containerd_config",
    "containerd_image_copy",
    "containerd_image_lock",
    "containerd_login",
    "containerd_registry",
    "containerd_registry_info",
)


def _of(module: str, defaults: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
    spec = importlib.import_module(f"ansible_collections.fleet.containerd.plugins.module_utils.argument_specs.{module}").SPEC
    return {name: value for name, value in defaults.items() if name in spec["argument_spec"]}


def _prepare(
    base: pathlib.Path,
    tasks: t.Union[t.Sequence[Task], pathlib.Path],
    check: bool = False,
    diff: bool = False,
    defaults: t.Optional[t.Mapping[str, t.Any]] = None,
    variables: t.Optional[t.Mapping[str, t.Any]] = None,
    interpreter: str = sys.executable,
    arguments: t.Sequence[str] = (),
) -> t.List[str]:
    """Write a playbook and its variables below base; the arguments of ansible-playbook."""
    playbook = tasks if isinstance(tasks, pathlib.Path) else base / "play.json"
    if not isinstance(tasks, pathlib.Path):
        play = {
            "hosts": "localhost",
            "gather_facts": False,
            "module_defaults": {
                "group/fleet.containerd.containerd": dict(defaults or {}),
                **{f"fleet.containerd.{module}": _of(module, defaults or {}) for module in _WITHOUT_ENGINE},
            },
            "tasks": _offline(tasks),
        }
        playbook.write_text(json.dumps([play]))
    (base / "variables.json").write_text(json.dumps({"ansible_python_interpreter": interpreter, **(variables or {})}))
    command = ["-i", "localhost,", "-c", "local", *["--check"] * check, *["--diff"] * diff]
    return [*command, "-e", f"@{base / 'variables.json'}", *arguments, str(playbook)]


@contextlib.contextmanager
def started(
    tasks: t.Union[t.Sequence[Task], pathlib.Path],
    environment: t.Optional[t.Mapping[str, str]] = None,
    group: bool = True,
    under: t.Sequence[str] = (),
    **how: t.Any,
) -> t.Iterator[t.Tuple[subprocess.Popen[str], pathlib.Path]]:
    """A running ansible-playbook and the file with its results, for tests that disturb it. Its files go at the end.

    tasks: or a playbook's path. group: give it a process group of its own. under: a command that runs ansible-playbook, as
    env(1) would. how: see play.
    """
    base = pathlib.Path(tempfile.mkdtemp(prefix="fleet-play-"))
    process: t.Optional[subprocess.Popen[str]] = None
    try:
        results = base / "results"
        process = subprocess.Popen(
            [*under, str(pathlib.Path(sys.executable).with_name("ansible-playbook")), *_prepare(base, tasks, **how)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=base,
            env={**_environment(base, results), **(environment or {})},
            start_new_session=group,
        )
        yield process, results
    finally:
        if process and process.poll() is None:
            if group:
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
        if process and process.stdout:
            process.stdout.close()
            process.wait()
        shutil.rmtree(base, ignore_errors=True)


class _Server:
    """Runs of ansible-playbook by a playbook_server, one after another. settings: ANSIBLE_ variables, which are read at its start."""

    def __init__(self, settings: t.Mapping[str, str]) -> None:
        self._base = pathlib.Path(tempfile.mkdtemp(prefix="fleet-plays-"))
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(HERE / "playbook_server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self._base,
            env={**_environment(self._base, self._base / "results"), **settings},
        )
        atexit.register(self.close)

    def close(self) -> None:
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._base, ignore_errors=True)

    def run(
        self, arguments: t.Sequence[str], base: pathlib.Path, environment: t.Mapping[str, str], timeout: float, **how: t.Any
    ) -> t.Tuple[int, str]:
        """The exit status of a run, and what it printed. subprocess.TimeoutExpired when it takes longer (seconds)."""
        if not self._process.stdin or not self._process.stdout:
            raise AssertionError("the server was started without pipes")
        output = base / "output"
        request: t.Dict[str, t.Any] = {"arguments": arguments, "cwd": str(base), "output": str(output), **how}
        request["environment"] = {**_environment(self._base, base / "results"), **environment}
        json.dump(request, self._process.stdin)
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        late = threading.Timer(timeout, _kill_group, (pid,))
        late.daemon = True
        late.start()
        try:
            status = int(self._process.stdout.readline())
        except BaseException:
            # Such as a test's own time limit. Its status has not come, so the process id is still its own.
            _kill_group(pid)
            raise
        finally:
            late.cancel()
        printed = output.read_text(errors="replace")
        if status == -signal.SIGKILL:
            raise subprocess.TimeoutExpired("ansible-playbook", timeout, printed)
        return status, printed


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


#: Those that wait for a run, by their settings; there are as many as there were runs at once.
_servers: t.Dict[t.Tuple[t.Tuple[str, str], ...], queue.SimpleQueue[_Server]] = {}


def _served(
    arguments: t.Sequence[str], base: pathlib.Path, environment: t.Mapping[str, str], timeout: float, **how: t.Any
) -> t.Tuple[int, str]:
    """A run by an idle server. One that fails is not used again."""
    settings = {name: value for name, value in environment.items() if name.startswith("ANSIBLE_")}
    idle = _servers.setdefault(tuple(sorted(settings.items())), queue.SimpleQueue())
    try:
        server = idle.get_nowait()
    except queue.Empty:
        server = _Server(settings)
    done = server.run(arguments, base, environment, timeout, **how)
    idle.put(server)
    return done


def _environment(base: pathlib.Path, results: pathlib.Path) -> t.Dict[str, str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "CONTAINERD_", "PYTEST_"))
    }
    environment.update(
        ANSIBLE_HOME=str(base / "home"),
        ANSIBLE_LOCAL_TEMP=str(base / "local"),
        ANSIBLE_REMOTE_TEMP=str(base / "remote"),
        ANSIBLE_COLLECTIONS_PATH=str(COLLECTIONS),
        ANSIBLE_CALLBACK_PLUGINS=str(HERE / "callback_plugins"),
        ANSIBLE_CALLBACKS_ENABLED="recorder",
        ANSIBLE_NOCOLOR="1",
        ANSIBLE_RETRY_FILES_ENABLED="0",
        FLEET_RESULTS=str(results),
        LC_ALL="C.UTF-8",
    )
    return environment


def play(
    tasks: t.Union[t.Sequence[Task], pathlib.Path],
    failing: bool = False,
    timeout: float = 240,
    environment: t.Optional[t.Mapping[str, str]] = None,
    under: t.Sequence[str] = (),
    packed: bool = False,
    **how: t.Any,
) -> Play:
    """Run tasks (or a playbook) to the end. Under a command that is not a host's: see started. environment: more variables of ansible-playbook.

    packed: our modules go to the target as a zip file, and run in a Python that is started for them, as users have it; so they do with
    an environment. Without, they run in processes that have them imported, where nothing speaks against it (see playbook_server.py).
    how: check, diff; defaults, options of every task of this collection, of its action group and those that they have of the
    modules that use no engine; variables; interpreter; arguments for ansible-playbook.
    Raises PlayFailed when a task fails that should not, or when none fails although failing is set.
    """
    if under and not isinstance(under, Under):
        with started(tasks, environment, under=under, **how) as (process, results):
            output = process.communicate(timeout=timeout)[0]
            status, lines = process.returncode, _lines(results)
    else:
        base = pathlib.Path(tempfile.mkdtemp(prefix="fleet-play-"))
        try:
            packed = packed or PACKED or bool(environment or under or how.get("arguments")) or "interpreter" in how
            host = under.pid if isinstance(under, Under) else 0
            arguments = _prepare(base, tasks, **how)
            status, output = _served(arguments, base, environment or {}, timeout, packed=packed, host=host)
            lines = _lines(base / "results")
        finally:
            shutil.rmtree(base, ignore_errors=True)
    done = Play(status, [TaskResult(**json.loads(line)) for line in lines], output)
    if failing != bool(done.returncode) or (failing and not any(one.failed for one in done.results)):
        raise PlayFailed(f"ansible-playbook ended with {done.returncode}:\n{output}")
    return done


def _lines(path: pathlib.Path) -> t.List[str]:
    return path.read_text().splitlines() if path.exists() else []


def run(module: str, check: bool = False, diff: bool = False, failing: bool = False, **options: t.Any) -> TaskResult:
    """Run one module of this collection as one task."""
    return play([task(module, **options)], check=check, diff=diff, failing=failing).last
