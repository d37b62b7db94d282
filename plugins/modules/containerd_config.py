#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_config
short_description: Edit containerd's configuration as data
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Merges settings into containerd's C(config.toml), or removes them from it.
    Everything else in the file stays as it is, byte by byte, with comments, order and unknown keys.
  - Keys may be given in the spelling of any version of the configuration, containerd 1.x or 2.x. They are written in the spelling of the
    file's version. So one task serves hosts with different versions.
  - The file is replaced only after the installed containerd has read and accepted the new configuration, and after some checks that it
    does not make itself. The replacement is atomic, and keeps the owner and the mode.
  - The module compares the meaning of the file with the settings, not its text.
  - containerd reads its configuration only at its start. RV(restart_required) tells whether the running daemon has to be restarted;
    this module does not restart it. Containers keep running when containerd is restarted.
  - The file can be prepared before containerd is installed.
requirements:
  - tomlkit
  - root, to see with which files the running daemon was started
attributes:
  diff_mode:
    support: full
    details:
      - The diff shows the text of the files, with secrets replaced.
extends_documentation_fragment:
  - fleet.containerd.attributes
options:
  path:
    description:
      - The main configuration file, with which containerd is started.
      - A symbolic link is followed.
    type: path
    default: /etc/containerd/config.toml
  settings:
    description:
      - The settings for the configuration, as nested dictionaries. Keys that are not named stay as they are.
      - The name of a plugin is one key, although it has dots, as in V({"plugins":{"io.containerd.grpc.v1.cri":{}}}).
      - With O(state=absent) the keys are removed. Their values do not matter and may be null, except for lists with
        O(list_mode=append_unique).
      - V(version) is the version that O(migrate) brings the configuration to, or that a new file gets.
    type: dict
  keys:
    description:
      - With O(state=absent), more keys to remove, with everything below them.
      - Each is a dotted key as in TOML, with quotes if a part has dots, such as
        V(plugins."io.containerd.grpc.v1.cri".registry), or the list of its parts.
    type: list
    elements: raw
  state:
    description:
      - V(present) makes sure that the settings are in the configuration.
      - V(absent) removes the keys that O(settings), O(keys) and the options for single sections name. Tables that become empty go too.
      - V(absent) with O(drop_in) and without any key removes the drop-in file.
    type: str
    choices: [present, absent]
    default: present
  list_mode:
    description:
      - How lists are changed.
      - V(replace) replaces a list by the one in O(settings).
      - V(append_unique) adds the missing elements of O(settings); with O(state=absent) it removes the elements of O(settings).
    type: str
    choices: [replace, append_unique]
    default: replace
  root:
    description:
      - Directory for containerd's persistent data. The same as V(root) in O(settings).
    type: path
  state_dir:
    description:
      - Directory for containerd's run-time state. The same as V(state) in O(settings).
    type: path
  oom_score:
    description:
      - The daemon's adjustment for the kernel's OOM killer. The same as V(oom_score) in O(settings).
    type: int
  grpc:
    description:
      - The section of the socket that clients talk to. The same as V(grpc) in O(settings).
    type: dict
  plugins:
    description:
      - The sections of plugins. The same as V(plugins) in O(settings).
    type: dict
  drop_in:
    description:
      - Name of a file in the directory C(conf.d) beside O(path), with or without C(.toml). It is edited instead of the main file.
      - The main file gets an import of C(conf.d/*.toml), unless it imports the drop-in already.
      - A later file replaces the complete table of a plugin in containerd 1.x, and of a proxy plugin or a stream processor in all
        versions. So the drop-in also gets a copy of such a table from the files before it. A comment marks these lines. Each run updates
        them, and removes them when the installed containerd merges the tables.
      - The task fails when a setting would have no effect in the drop-in, because a later file has it too, or because it is V(0),
        V(false) or empty in one of the server's own sections, where containerd takes that as not set.
    type: str
  base:
    description:
      - The first content of a main file that does not exist yet.
      - V(minimal) is only the version. All other settings have containerd's defaults, also those of later releases.
      - V(default) is the output of C(containerd config default).
    type: str
    choices: [minimal, default]
    default: minimal
  migrate:
    description:
      - Bring the main file and its imports to the newest version that the installed containerd knows, or to V(version) of O(settings).
        The newest version is C(2) for containerd 1.x, C(3) for 2.0 to 2.2, C(4) for 2.3 and later.
      - Keys are moved as in containerd's own migration, with their comments.
      - Without it the version of a file does not change.
    type: bool
    default: false
  migrate_mirrors:
    description:
      - Move mirrors and TLS settings from the CRI plugin's section for registries to C(hosts.toml) files in its C(config_path).
        If that is not set, it is set to C(/etc/containerd/certs.d).
      - The section and C(config_path) cannot be used together, and containerd 2.2 knows only C(config_path). Without this option
        the task fails when both are set.
      - Credentials stay where they are. A C(hosts.toml) that exists already with other content is an error.
    type: bool
    default: false
  backup:
    description:
      - Keep a copy of each changed or removed file beside it. The name of the copy has the time and ends in C(~).
    type: bool
    default: false
  validate:
    description:
      - Whether the new configuration is checked before it is written, by this module and by C(containerd config dump) of the
        installed containerd.
      - When not set, the configuration is checked, and containerd is asked if it is installed.
      - With V(true), a warning tells when containerd is not installed.
      - With V(false) the only check is that the file is valid TOML.
    type: bool
  containerd_binary:
    description:
      - Path of the containerd program to ask. When not set, it is looked for in the usual directories.
    type: path
  secret_keys:
    description:
      - Keys with secret values, written as in O(keys). The values never appear in the diff, in messages or in the result.
      - Keys below a named one are secret, too. Credentials in the CRI plugin's section for registries are always secret.
      - A new file with a secret in it gets the mode V(0600).
    type: list
    elements: raw
notes:
  - RV(restart_required) depends on times. It is true when a containerd runs that was started with O(path), and either this task
    changes one of its files, or the main file, a file that it imports, or a directory from which it imports files by a pattern was changed
    after that process was started. The module uses the time at which the inode was changed, which no tool can set back. So V(false)
    is always right, and V(true) may mean that only a comment or the owner was changed. Command line flags that override the file are not seen.
  - This module writes nothing to the host's log, because its parameters may have secrets in them.
seealso:
  - name: containerd-config.toml(5)
    description: What can be configured.
    link: https://github.com/containerd/containerd/blob/main/docs/man/containerd-config.toml.5.md
"""

EXAMPLES = r"""
- name: Configure containerd, and restart it at the end of the play when something has changed
  hosts: workers
  become: true
  tasks:
    - name: Let containerd read mirrors and certificates from certs.d, and use the cgroups of systemd
      fleet.containerd.containerd_config:
        oom_score: -999
        plugins:
          io.containerd.grpc.v1.cri:
            registry:
              config_path: /etc/containerd/certs.d
            containerd:
              runtimes:
                runc:
                  runtime_type: io.containerd.runc.v2
                  options:
                    SystemdCgroup: true
      notify: Restart containerd
  handlers:
    - name: Restart containerd
      ansible.builtin.systemd_service:
        name: containerd
        state: restarted

- name: Restart containerd also when an earlier run changed the file and did not reach its handlers
  hosts: workers
  become: true
  tasks:
    - name: Use another directory for data and state
      fleet.containerd.containerd_config:
        root: /srv/containerd
        state_dir: /run/containerd
      register: configured

    - name: Restart containerd
      ansible.builtin.systemd_service:
        name: containerd
        state: restarted
      when: configured.restart_required

- name: Each of these tasks stands alone
  hosts: workers
  become: true
  tasks:
    - name: Start from the complete default configuration when there is no file yet
      fleet.containerd.containerd_config:
        base: default
        backup: true
        settings:
          debug:
            level: info

    - name: Switch plugins off, and keep the others that are in the list
      fleet.containerd.containerd_config:
        list_mode: append_unique
        settings:
          disabled_plugins:
            - io.containerd.snapshotter.v1.btrfs
            - io.containerd.snapshotter.v1.zfs

    - name: Keep settings in a separate file
      fleet.containerd.containerd_config:
        drop_in: 50-pause
        plugins:
          io.containerd.cri.v1.images:
            pinned_images:
              sandbox: registry.example.com/pause:3.10

    - name: Remove that file
      fleet.containerd.containerd_config:
        drop_in: 50-pause
        state: absent

    - name: Remove keys, so that containerd's defaults are used again
      fleet.containerd.containerd_config:
        state: absent
        keys:
          - oom_score
          - plugins."io.containerd.grpc.v1.cri".registry.config_path
          - [debug, level]

    - name: After an upgrade to containerd 2, bring the file to the new version and inline mirrors to hosts.toml
      fleet.containerd.containerd_config:
        migrate: true
        migrate_mirrors: true
        backup: true

    - name: Keep a password out of sight
      fleet.containerd.containerd_config:
        drop_in: 60-credentials
        settings:
          plugins:
            io.containerd.grpc.v1.cri:
              registry:
                configs:
                  registry.example.com:
                    auth:
                      username: robot
                      password: "{{ registry_password }}"
        secret_keys:
          - plugins."io.containerd.grpc.v1.cri".registry.configs
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["change /etc/containerd/config.toml: set oom_score"]
config_file:
  description: The file that was edited, the main file or the drop-in.
  returned: always
  type: str
  sample: /etc/containerd/config.toml
config_version:
  description: The version of the configuration in that file.
  returned: always; null when the file does not exist
  type: int
  sample: 3
restart_required:
  description: Whether the running containerd has to be restarted to read its files. The notes explain how this is decided.
  returned: always
  type: bool
restart_reason:
  description: Why, or why not.
  returned: always
  type: str
  sample: this task changes /etc/containerd/config.toml, and containerd (pid 812) runs
validated:
  description: Whether the installed containerd has read and accepted the new configuration.
  returned: when something changes and O(validate) is not false
  type: bool
unknown_keys:
  description:
    - Keys in any of the files that the installed containerd ignores, either those that it reports itself (2.x), or those that are missing in the
      output of C(containerd config default) (1.x). A warning names them, too.
  returned: when something changes and O(validate) is not false
  type: list
  elements: str
  sample: ['plugins."io.containerd.grpc.v1.cri".sandbox_imge']
backup_files:
  description: The copies that were made.
  returned: when O(backup) made some
  type: list
  elements: str
  sample: ["/etc/containerd/config.toml.4711.2026-11-24@13:40:11~"]
"""

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_config import SPEC
from ..module_utils.kernel.module import run
from ..module_utils.resources.config.resource import ConfigResource
from ..module_utils.resources.config.values import secret_values


def main() -> None:
    run(ConfigResource(), SPEC, cache, secrets=secret_values)


if __name__ == "__main__":
    main()
