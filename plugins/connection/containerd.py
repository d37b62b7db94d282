# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection to a container."""

from __future__ import annotations

DOCUMENTATION = r"""
name: containerd
short_description: Run tasks in containers
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Runs commands in a container that runs, and transfers files. Neither a daemon of SSH nor a program of the image is needed for that,
    but what tasks themselves need in the container, usually a shell and Python.
  - Files are transferred with the rights of the user in the container. They have to be regular files, and none of C(/proc), C(/sys) and the
    like.
  - It works with both engines, and with containers of other tools, such as C(nerdctl), C(ctr) and the kubelet.
  - The engine is on the controller, which needs root for it. Where the controller is not root, or where another host has the container,
    a command reaches the engine, such as C(sudo) (O(command_prefix)) or C(ssh) (O(ssh_host)). That host needs Python 3.9 and keeps
    our code in a directory of its user, by default C(/var/cache/fleet-containerd-sessions).
options:
  remote_addr:
    description: The container, by its name, its id or a unique beginning of its id.
    default: inventory_hostname
    type: str
    vars:
      - name: inventory_hostname
      - name: ansible_host
      - name: ansible_containerd_container
  remote_user:
    description:
      - The user in the container, as a name or a number, with a group behind a colon if wanted.
      - When not set, it is the user that the container has been made with.
    type: str
    vars:
      - name: ansible_user
      - name: ansible_containerd_user
    env:
      - name: ANSIBLE_REMOTE_USER
    ini:
      - section: defaults
        key: remote_user
    cli:
      - name: user
    keyword:
      - name: remote_user
  container_timeout:
    description: How long to wait for what C(become) says, in seconds.
    type: int
    default: 10
    vars:
      - name: ansible_containerd_timeout
    env:
      - name: ANSIBLE_TIMEOUT
      - name: ANSIBLE_CONTAINERD_TIMEOUT
    ini:
      - section: defaults
        key: timeout
      - section: containerd_connection
        key: timeout
    cli:
      - name: timeout
  extra_env:
    description: Environment variables of all commands. Values have to be strings.
    type: dict
    vars:
      - name: ansible_containerd_extra_env
  working_dir:
    description: The directory in the container in which commands run. When not set, it is that of the container.
    type: str
    vars:
      - name: ansible_containerd_working_dir
    env:
      - name: ANSIBLE_CONTAINERD_WORKING_DIR
    ini:
      - section: containerd_connection
        key: working_dir
  privileged:
    description:
      - Whether commands have all capabilities.
      - With them a command may break out of the container.
    type: bool
    default: false
    vars:
      - name: ansible_containerd_privileged
    env:
      - name: ANSIBLE_CONTAINERD_PRIVILEGED
    ini:
      - section: containerd_connection
        key: privileged
  engine:
    description: Which engine has the container, as in all modules.
    type: str
    choices: [auto, containerd, embedded]
    default: auto
    vars:
      - name: ansible_containerd_engine
    env:
      - name: ANSIBLE_CONTAINERD_ENGINE
    ini:
      - section: containerd_connection
        key: engine
  address:
    description: Path of the containerd daemon's socket.
    type: str
    default: /run/containerd/containerd.sock
    vars:
      - name: ansible_containerd_address
    env:
      - name: CONTAINERD_ADDRESS
    ini:
      - section: containerd_connection
        key: address
  namespace:
    description: The containerd namespace that has the container. That of the kubelet is V(k8s.io).
    type: str
    default: default
    vars:
      - name: ansible_containerd_namespace
    env:
      - name: CONTAINERD_NAMESPACE
    ini:
      - section: containerd_connection
        key: namespace
  data_root:
    description: Directory for persistent data, as in all modules.
    type: str
    default: /var/lib/fleet-containerd
    vars:
      - name: ansible_containerd_data_root
    env:
      - name: ANSIBLE_CONTAINERD_DATA_ROOT
    ini:
      - section: containerd_connection
        key: data_root
  state_root:
    description: Directory for run-time state, as in all modules.
    type: str
    default: /run/fleet-containerd
    vars:
      - name: ansible_containerd_state_root
    env:
      - name: ANSIBLE_CONTAINERD_STATE_ROOT
    ini:
      - section: containerd_connection
        key: state_root
  ssh_host:
    description:
      - The host that has the container, as C(ssh) takes it, for example V(root@node1.example.com). C(ssh) must not ask for a password.
      - When not set, it is the controller.
    type: str
    vars:
      - name: ansible_containerd_ssh_host
    env:
      - name: ANSIBLE_CONTAINERD_SSH_HOST
    ini:
      - section: containerd_connection
        key: ssh_host
  ssh_args:
    description: Arguments of C(ssh) for O(ssh_host). By default connections are kept for a minute, so that not each task makes a new one.
    type: str
    default: -o BatchMode=yes -o ControlMaster=auto -o ControlPersist=60s -o ControlPath=~/.ansible/cp/containerd-%C
    vars:
      - name: ansible_containerd_ssh_args
    env:
      - name: ANSIBLE_CONTAINERD_SSH_ARGS
    ini:
      - section: containerd_connection
        key: ssh_args
  command_prefix:
    description:
      - The beginning of a command line that reaches the engine, for example V(sudo -n), or V(ssh root@bastion ssh root@node1). It has to run
        C(/bin/sh), with which the line ends, and must not ask for anything.
      - With O(ssh_host) it is run there.
    type: str
    vars:
      - name: ansible_containerd_command_prefix
    env:
      - name: ANSIBLE_CONTAINERD_COMMAND_PREFIX
    ini:
      - section: containerd_connection
        key: command_prefix
  pipelining:
    description: Whether modules go through the standard input of Python, and not through a file. That saves half of the time of a task.
    type: bool
    default: true
    vars:
      - name: ansible_pipelining
    env:
      - name: ANSIBLE_PIPELINING
    ini:
      - section: defaults
        key: pipelining
      - section: connection
        key: pipelining
"""

import functools
import os
import typing as t

from ansible.errors import AnsibleConnectionFailure, AnsibleFileNotFound
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible.plugins.connection import ConnectionBase

from ..plugin_utils.compiled import core

if t.TYPE_CHECKING:
    from ..module_utils import errors
    from ..module_utils.kernel import engines
    from ..module_utils.resources.container import afar, entry, session
else:
    errors, engines = core("errors"), core("kernel.engines")

_ENGINE = ("engine", "address", "namespace", "data_root", "state_root")


class Connection(ConnectionBase):
    """Each command is a process in the container. Without a prefix there is nothing to connect, and nothing that stays."""

    transport = "fleet.containerd.containerd"
    has_pipelining = True

    @functools.cached_property
    def _session(self) -> t.Union[session.Session, afar.AfarSession]:
        options = engines.EngineOptions(**{name: self.get_option(name) for name in _ENGINE})
        user = self.get_option("remote_user") or self._play_context.remote_user or ""
        as_user: type[entry.As] = core("resources.container.entry").As
        how = as_user(user, self.get_option("working_dir") or "", self._env(), False, self.get_option("privileged"))
        prefix, host = self.get_option("command_prefix") or "", self.get_option("ssh_host") or ""
        if prefix or host:
            there = core("resources.container.afar")
            reached: afar.AfarSession = there.AfarSession(
                there.reaching(prefix, host, self.get_option("ssh_args")), options, self._name, how
            )
            return reached
        here: type[session.Session] = core("resources.container.session").Session
        return here(options, self._name, how)

    def __copy__(self) -> Connection:
        """Another connection to the same container: a session runs one command at a time."""
        made = type(self).__new__(type(self))
        made.__dict__.update({name: value for name, value in self.__dict__.items() if name != "_session"})
        return made

    @property
    def _name(self) -> str:
        return str(self.get_option("remote_addr"))

    def _env(self) -> t.Dict[str, str]:
        found = self.get_option("extra_env") or {}
        for name, value in found.items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise AnsibleConnectionFailure(
                    f"ansible_containerd_extra_env: {name!r}: {value!r} is not a string with a string as its name; put it in quotes"
                )
        return dict(found)

    def _connect(self) -> Connection:
        if not self._connected:
            self._display.vvv("ESTABLISH CONNECTION TO A CONTAINER", host=self._name)
            self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: t.Optional[bytes] = None, sudoable: bool = True) -> t.Tuple[int, bytes, bytes]:
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)  # type: ignore[safe-super]  # it only connects
        self._display.vvv(f"EXEC {to_text(cmd)}", host=self._name)
        words = [self._play_context.executable or "/bin/sh", "-c", to_text(cmd, errors="surrogateescape")]
        become = self.become if sudoable and self.become and self.become.expect_prompt() else None
        heard = _Heard(in_data or b"", become, self.get_option("container_timeout"))
        try:
            status = self._session.run(words, heard)
        except errors.EngineError as error:
            raise AnsibleConnectionFailure(str(error)) from error
        return status, *heard.result()

    def put_file(self, in_path: str, out_path: str) -> None:
        super().put_file(in_path, out_path)  # type: ignore[safe-super]  # it only connects
        self._display.vvv(f"PUT {in_path} TO {out_path}", host=self._name)
        if not os.path.exists(to_bytes(in_path, errors="surrogate_or_strict")):
            raise AnsibleFileNotFound(f"file or module does not exist: {in_path}")
        with open(to_bytes(in_path, errors="surrogate_or_strict"), "rb") as source:
            self._transfer(lambda: self._session.put(source, _path(out_path)))

    def fetch_file(self, in_path: str, out_path: str) -> None:
        super().fetch_file(in_path, out_path)  # type: ignore[safe-super]  # it only connects
        self._display.vvv(f"FETCH {in_path} TO {out_path}", host=self._name)
        with open(to_bytes(out_path, errors="surrogate_or_strict"), "wb") as target:
            self._transfer(lambda: self._session.fetch(_path(in_path), target))

    def _transfer(self, function: t.Callable[[], None]) -> None:
        try:
            function()
        except errors.NotFound as error:
            raise AnsibleFileNotFound(str(error)) from error
        except errors.EngineError as error:
            raise AnsibleConnectionFailure(str(error)) from error

    def reset(self) -> None:
        self.close()

    def close(self) -> None:
        if "_session" in self.__dict__:
            self._session.close()
            del self.__dict__["_session"]
        self._connected = False


def _path(path: str) -> str:
    """An absolute path, from / on where it is none: there is no home directory that all users and images have."""
    return os.path.normpath(os.path.join("/", to_text(path, errors="surrogateescape")))


class _Heard:
    """What a command says. become: asks for a password before that; then the command gets its input only when it runs."""

    def __init__(self, source: bytes, become: t.Any, patience: float) -> None:
        self._source, self._become = source, become
        self.patience = patience if become else None
        self._streams = {"stdout": bytearray(), "stderr": bytearray()}
        self._asked: t.Set[str] = set()
        self._talk: t.Any = None

    def begin(self, talk: t.Any) -> None:
        self._talk = talk
        if not self._become:
            self._go_on()

    def _go_on(self) -> None:
        self._become = None
        self._talk.send(self._source)
        self._talk.finish()

    def receive(self, name: str, data: bytes) -> None:
        stream = self._streams[name]
        stream += data
        if not self._become:
            return
        if self._become.check_success(bytes(self._streams["stdout"])):
            self._go_on()
        elif self._become.check_password_prompt(bytes(stream)):
            if self._asked:
                raise AnsibleConnectionFailure(f"become: the password is not taken: {to_text(bytes(stream)).strip()}")
            self._asked.add(name)
            # The prompt is no output of the command, and what follows may be another one.
            stream.clear()
            self._talk.send(to_bytes(self._become.get_option("become_pass") or "") + b"\n")

    def late(self) -> None:
        if self._become:
            said = " ".join(to_text(bytes(stream)).strip() for stream in self._streams.values())
            raise AnsibleConnectionFailure(
                f"become: neither a prompt nor a beginning of the command within {self.patience:g} s: {said}"
            )

    def result(self) -> t.Tuple[bytes, bytes]:
        return bytes(self._streams["stdout"]), bytes(self._streams["stderr"])
