#!/usr/bin/python
# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: containerd_container
short_description: Manage containers
version_added: 0.1.0
author:
  - fleet.containerd contributors (@fleet-containerd)
description:
  - Creates, starts, stops, changes and removes containers.
  - An option that is not given is not compared. The options that were given are stored with the container, so a comparison never guesses.
  - A change that needs a new container makes the new one first, then stops the old one, and removes the old one only when the new one
    runs. When the new one does not start, or ends at once with an exit status other than 0, the old one is started again.
  - Check mode tells whether the task will work. It asks the registry for a missing image, compares the free space on the disk with what
    has to be fetched, and looks for the sources of volumes and the runtime. In an unpacked image it looks for the user, the command and
    the targets of volumes. It fails as the run would, with the same messages. A warning names what it could not check. A task with
    nothing to do asks no registry.
requirements:
  - runc or crun (engine V(embedded))
  - requests (to pull images)
attributes:
  diff_mode:
    support: full
extends_documentation_fragment:
  - fleet.containerd.attributes
  - fleet.containerd.attributes.container
  - fleet.containerd.engine
  - fleet.containerd.network
  - fleet.containerd.registry
  - fleet.containerd.registry.credentials
options:
  name:
    description:
      - The container's name, unique in the namespace.
    type: str
    required: true
  state:
    description:
      - V(present) makes sure that the container exists as asked, running or not.
      - V(started) makes sure that it exists as asked and runs.
      - V(stopped) makes sure that it exists as asked and does not run.
      - V(absent) stops and removes it. Only O(name), O(force_kill), O(stop_timeout), O(stop_signal) and O(keep_volumes) are used.
    type: str
    choices: [absent, present, started, stopped]
    default: started
  image:
    description:
      - The image, as C([registry/]repository[:tag][@digest]), or an image id (C(sha256:) and 64 hex digits).
      - Needed to create a container.
    type: str
  pull:
    description:
      - When the registry is asked for the image, as in M(fleet.containerd.containerd_image).
    type: str
    choices: [missing, always, newer, never]
    default: missing
  platform:
    description:
      - The platform to choose from a multi-platform image, as C(os/architecture[/variant]). The default is that of the target.
    type: str
  image_name_mismatch:
    description:
      - What to do with a container whose image has another name but is the same image.
      - V(recreate) makes a new container, V(ignore) leaves it.
    type: str
    choices: [recreate, ignore]
    default: ignore
  command:
    description:
      - The command, as a list or as a string that is split like a shell would do.
      - An empty list stands for the command of the image.
    type: raw
  entrypoint:
    description:
      - The entry point, as a list or as a string that is split like a shell would do.
      - An empty list means none, also where the image has one.
    type: raw
  env:
    description:
      - Environment variables. They are added to those of the image, or replace them.
      - Values must be strings; quote what YAML would take for a number or a boolean.
    type: dict
  user:
    description:
      - User, as C(name), C(uid), C(name:group) or C(uid:gid). Names are looked up in the image.
    type: str
  working_dir:
    description:
      - Working directory, absolute. The default is that of the image; if that is relative, it is relative to V(/).
    type: str
  hostname:
    description:
      - Host name. The default is the first 12 digits of the container's id. In the network of the host, or of another container, it is
        the host name there.
    type: str
  domainname:
    description:
      - Domain name (NIS), which is also a part of its name in C(/etc/hosts).
    type: str
  labels:
    description:
      - Labels. They are added to those of the image, and can be changed without a new container.
    type: dict
  volumes:
    description:
      - What to mount, as C([source:]target[:options]).
      - A source that is an absolute path is a directory or a file of the host.
      - A source that is a name is a volume (M(fleet.containerd.containerd_volume)). It is made when it is missing, and outlives the
        container. When it is empty as the container starts for the first time, it gets what the image has at the target, owner and mode
        of the directory included, unless the option V(nocopy) is given.
      - A target without a source is a volume that the container has alone. So is each volume that the image declares, and that is not
        given here. They are filled from the image, and survive restarts. A container that is made anew gets new ones.
        O(keep_volumes) tells what happens to the old ones.
      - Options, separated by commas, are V(ro), V(rw), V(z), V(Z), V(nocopy), and one of the propagation modes
        V(private), V(rprivate), V(shared), V(rshared), V(slave), V(rslave).
      - V(z) and V(Z) are accepted, but change no label. SELinux does not confine these containers, so they need no label.
        Where SELinux is on, a warning says so.
    type: list
    elements: str
  keep_volumes:
    description:
      - Whether the volumes that a container has alone stay when it is removed, with O(state=absent) or since a new one takes its place.
        M(fleet.containerd.containerd_volume_info) shows them, and M(fleet.containerd.containerd_volume) removes them.
      - Those of a container that O(cleanup) removes never stay. Named volumes always stay.
    type: bool
    default: true
  read_only:
    description:
      - Whether the root file system is read-only.
    type: bool
  tty:
    description:
      - Whether the container has a terminal.
    type: bool
  interactive:
    description:
      - Whether standard input is kept open.
    type: bool
  network_mode:
    description:
      - V(bridge), or its other name V(default), attaches the container to the default network, which the first such container makes.
        The name of another network attaches it to that one.
      - V(none) gives the container its own network namespace with only a loopback interface, and an C(/etc/hosts) with
        C(localhost) and its own name.
      - V(host) lets it use the network of the host, with the host's C(/etc/hosts) and C(/etc/resolv.conf), if the host has them.
      - C(container:NAME), or with the container's id, lets it use the network of another container, which must be in networks of its
        own. That one must run when this one starts. When the other one has been made anew or started again meanwhile, its
        network is another one; then a task with O(state=started) starts this container again, in the new network.
      - C(ns:PATH) lets it use a network namespace of the host, for example C(ns:/run/netns/blue).
      - A container whose O(network_mode) is not set gets the first one of O(networks), or V(bridge).
      - With V(none), V(host), C(container:NAME) and C(ns:PATH) there are no O(networks), no O(published_ports) and no
        O(mac_address).
    type: str
  networks:
    description:
      - The networks that the container is in, in order. The first one becomes C(eth0) and has the default route. If O(network_mode)
        names another network, that one comes first.
      - A container that runs is connected and disconnected without a restart.
      - As in C(community.docker.docker_container), networks that the task does not name are no difference, and stay. Neither is what
        an entry does not give, for example an address. With V(strict) in O(comparisons) the container is in the named networks only, with
        nothing else than what the entries give. In both cases a task that names another first network than before gives the container
        the networks of the task only.
      - The networks that are compared are those of the moment, also where O(fleet.containerd.containerd_network#module:connected) has
        changed them. What that has added stays when the container is made anew; what that has taken away is connected again.
      - In a network other than the default one, all containers find each other by their names and aliases in C(/etc/hosts).
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - The name of the network.
        type: str
        required: true
      ipv4_address:
        description:
          - The container's IPv4 address in this network. The default is a free one, which may change with each start.
        type: str
      ipv6_address:
        description:
          - The container's IPv6 address in this network.
        type: str
      aliases:
        description:
          - More names of the container in this network.
        type: list
        elements: str
      mac_address:
        description:
          - The hardware address of the container's link in this network.
        type: str
      links:
        description:
          - Docker's old way to name other containers. It is not supported; give the other container O(networks[].aliases).
        type: list
        elements: str
      driver_opts:
        description:
          - Not supported. Networks have options (see M(fleet.containerd.containerd_network)), single containers have none.
        type: dict
      gw_priority:
        description:
          - Not supported. The first of O(networks) has the default route.
        type: int
  published_ports:
    description:
      - Ports of the host that lead to the container, as C([IP:][PORT:]PORT[/PROTOCOL]). An IPv6 address stands in brackets. Both ports
        may be ranges of the same length; the protocol is C(tcp), C(udp) or C(sctp).
      - Without an IP (see O(default_host_ip)), and with V(0.0.0.0), the port is published on all addresses of the host, IPv4 and IPv6.
      - Without a port of the host a free one is chosen when the container is made, and kept over restarts
        (see C(container.NetworkSettings.Ports)).
      - Ports of a container that runs are changed without a restart. The ports that were published before and that the task
        does not list are no difference; once there is one, those that the task lists are published, and no others.
      - They are published in the first network of the container that can do so.
      - A port that a program of the host or another container has is an error, in check mode, too.
    type: list
    elements: str
    aliases: [ports, publish]
  publish_all_ports:
    description:
      - Whether all of O(exposed_ports), and those that the image exposes, are published, at ports that are chosen.
    type: bool
  exposed_ports:
    description:
      - Ports that the container listens at, as C(PORT[/PROTOCOL]), or ranges of them. They are added to those of the image. Nothing but
        O(publish_all_ports) and facts use them.
    type: list
    elements: str
    aliases: [exposed, expose]
  default_host_ip:
    description:
      - The address of the host for those of O(published_ports) that name none. Empty, and V(0.0.0.0), mean all addresses.
      - A port with an address of its own, also V(0.0.0.0), keeps that.
    type: str
  mac_address:
    description:
      - The hardware address of the container's link in its first network. In other networks, O(networks[].mac_address) says it.
    type: str
  dns_servers:
    description:
      - Name servers for C(/etc/resolv.conf). The default are those of the host, without addresses that only the host reaches. Where the
        host names only itself (C(127.0.0.53) of C(systemd-resolved)), they are those that C(systemd-resolved) asks.
      - What comes from the host is read again at each start.
      - An empty list means the default.
    type: list
    elements: str
  dns_search_domains:
    description:
      - Search domains for C(/etc/resolv.conf). V(.) alone means none.
    type: list
    elements: str
  dns_opts:
    description:
      - Options for C(/etc/resolv.conf).
    type: list
    elements: str
  etc_hosts:
    description:
      - More lines of C(/etc/hosts), as a dictionary of names and addresses. The address V(host-gateway) stands for that of the host in the
        container's first network.
    type: dict
  log_driver:
    description:
      - V(json-file) keeps the output in a file in the format of Docker, V(none) throws it away.
      - A container whose O(log_driver) is not set gets V(json-file).
    type: str
    choices: [json-file, none]
  log_options:
    description:
      - Options for the log. V(max-size) is the size at which a file is rotated, for example V(10m); V(max-file) how many files are kept.
    type: dict
  runtime:
    description:
      - The OCI runtime, as a name (V(runc), V(crun)) or an absolute path.
      - A container whose O(runtime) is not set gets V(runc).
    type: str
  stop_signal:
    description:
      - The signal that asks the container to stop, as a name or number. The default is that of the image, or C(SIGTERM).
    type: str
  stop_timeout:
    description:
      - Seconds between O(stop_signal) and C(SIGKILL). A container whose O(stop_timeout) is not set gets 10 seconds.
    type: int
  force_kill:
    description:
      - Stop the container with C(SIGKILL) at once.
    type: bool
    default: false
    aliases: [forcekill]
  detach:
    description:
      - With V(false) and O(state=started) the task waits until the container has ended, returns RV(status) and C(container.Output),
        and fails when the exit status is not 0.
      - A container that has ended with exit status 0 is then as asked, and is not started again.
        Use O(restart) or O(recreate) to run it again, or O(cleanup) to have it removed.
      - With V(true) the task watches a container for a moment after its start. If it ends within that time with an exit status other
        than 0, the task fails and undoes its changes.
      - While the task waits, other tasks can stop and remove the container; then the waiting task fails and says so.
      - When the task is interrupted (its connection is lost, C(SIGTERM) or C(SIGKILL), the limit of C(async)) the container is stopped.
        The task keyword C(timeout) does not stop a container on a host that is reached by SSH; use O(wait_timeout).
      - The task also waits for a container that runs already, for example one whose task was interrupted before it could stop it.
    type: bool
    default: true
  wait_timeout:
    description:
      - With O(detach=false), how many seconds the container may take. After that it is stopped, as by O(state=stopped), and the
        task fails and returns the output so far.
      - The default is no limit.
    type: float
  cleanup:
    description:
      - With O(detach=false), remove the container after it has ended, so that each task runs it.
      - A container that has ended and still exists was left by an interrupted task; it is removed, and a new one runs.
    type: bool
    default: false
  recreate:
    description:
      - Make a new container even when nothing differs.
    type: bool
    default: false
  restart:
    description:
      - With O(state=started), stop and start a container that exists already. Works with O(name) alone.
    type: bool
    default: false
  adopt:
    description:
      - Allow this module to replace a container that it did not make, for example one of C(nerdctl) or C(ctr).
    type: bool
    default: false
  comparisons:
    description:
      - How single options are compared, as a dictionary of option names and V(strict), V(ignore) or V(allow_more_present).
        The name V(*) stands for all options.
      - By default lists are compared in order. C(env), C(labels), C(volumes), O(networks), O(published_ports), O(exposed_ports), O(dns_opts) and
        O(etc_hosts) may have more than the task asks for.
    type: dict
seealso:
  - module: fleet.containerd.containerd_container_info
  - module: fleet.containerd.containerd_image
"""

EXAMPLES = r"""
- name: Run a web server
  fleet.containerd.containerd_container:
    name: web
    image: docker.io/library/nginx:1.27
    published_ports:
      - 8080:80
      - "[::1]:8081:80"
    env:
      NGINX_PORT: "80"
    volumes:
      - /srv/www:/usr/share/nginx/html:ro

- name: Run a database at an address that stays, which other containers of the network find as db
  fleet.containerd.containerd_container:
    name: database
    image: docker.io/library/nginx:1.27
    networks:
      - name: back
        ipv4_address: 172.30.8.10
        aliases: [db]

- name: Run a job once and show what it printed
  fleet.containerd.containerd_container:
    name: migrate
    image: registry.example.com/team/app:1.4
    command: ["./manage", "migrate"]
    detach: false
    wait_timeout: 600
  register: job

- ansible.builtin.debug:
    var: job.container.Output

- name: Restart a container
  fleet.containerd.containerd_container:
    name: web
    restart: true

- name: Remove a container
  fleet.containerd.containerd_container:
    name: web
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: always
  type: list
  elements: str
  sample: ["pull image docker.io/library/nginx:1.27", "create container web", "start container web"]
container:
  description:
    - The container in the shape of C(docker inspect). Empty when it is absent, and in check mode when it does not exist yet.
    - With O(detach=false) it has C(Output).
  returned: always
  type: dict
  sample:
    Id: 3f4e0c6ef5f4c6a4b1b5a0d1f9a3b9b2f7a0c5d4e3f2a1b0c9d8e7f6a5b4c3d2
    Name: /web
    State: {"Status": "running", "Running": true, "Pid": 4711, "ExitCode": 0}
undone:
  description:
    - Those of RV(actions) that were undone, because a later one failed. The task is changed if some were done and not undone.
  returned: on failure
  type: list
  elements: str
  sample: ["give the name web to the new container", "stop the old container web", "create container web anew (image changed)"]
status:
  description: The exit status; 128 plus the number of the signal if a signal ended the container.
  returned: with O(detach=false), and when a container ended as soon as it was started
  type: int
  sample: 0
recreated_because:
  description: The options that made a new container necessary.
  returned: when the container is replaced by a new one
  type: list
  elements: str
  sample: ["env", "image"]
"""

from ..module_utils.argument_specs.containerd_container import SPEC
from ..module_utils.kernel.bytecode import cache
from ..module_utils.kernel.engines import opened
from ..module_utils.kernel.module import run
from ..module_utils.resources.container.resource import ContainerResource


def main() -> None:
    run(ContainerResource(), SPEC, cache, opened)


if __name__ == "__main__":
    main()
