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
  - fleet.containerd.release
  - fleet.containerd.progress
options:
  name:
    description:
      - The container's name, unique in the namespace.
    type: str
    required: true
  state:
    description:
      - V(present) makes sure that the container exists as asked, running or not.
      - V(started) makes sure that it exists as asked and runs. O(ready) tells how a start is proved. When a new container takes the place of
        one that runs, that one goes only when the new one has proved itself; else the task fails, and the old one runs as before.
      - V(healthy) is V(started), and waits until the health check of the container says so, also when it runs already. The task fails when
        the container turns unhealthy, and after O(healthy_wait_timeout).
      - V(staged) prepares what V(started) would do by a new container, and does not touch what runs. It pulls and unpacks the image, does all
        checks and makes the new container, which is not started. The next task with the same options and O(state=started) takes it, so that
        switching takes moments. It stays until it is taken, another one is staged, or the container is removed.
      - V(previous) brings back what the container was before a task has replaced it, which is the same image, by its digest, with the same options.
        The image is kept for that, also when its tag is moved or removed. Of the task, O(name), O(ready), O(force_kill), O(stop_timeout),
        O(stop_signal) and how to reach the registry are used, and O(files) and O(secrets), which have to be given as they were if there were
        some. A container that has failed or crashed is not what is brought back, and what was brought back stays.
      - V(stopped) makes sure that it exists as asked and does not run.
      - V(absent) stops and removes it. Only O(name), O(force_kill), O(kill_signal), O(stop_timeout),
        O(stop_signal) and O(keep_volumes) are used.
    type: str
    choices: [absent, present, started, stopped, healthy, staged, previous]
    default: started
  image:
    description:
      - The image, as C([registry/]repository[:tag][@digest]), or an image id (C(sha256:) and 64 hex digits).
      - Needed to create a container.
    type: str
  pull:
    description:
      - When the registry is asked for the image, as in M(fleet.containerd.containerd_image).
      - V(true) is V(always), and V(false) is V(missing).
    type: raw
    choices: [missing, always, newer, never, true, false]
    default: missing
  pull_check_mode_behavior:
    description:
      - What check mode does with O(pull=always) and O(pull=newer).
      - V(resolve) asks the registry, and tells what the run would do. This costs no pull.
      - V(image_not_present) asks it only for an image that is not there.
      - V(always) takes it that the registry has another image.
    type: str
    choices: [resolve, image_not_present, always]
    default: resolve
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
  image_comparison:
    description:
      - Which image O(env), O(labels) and other options are added to when they are compared, while C(image) is V(ignore) in
        O(comparisons).
      - V(desired-image) is the image that the task names, if the target has it.
      - V(current-image) is the one that the container was made from.
    type: str
    choices: [desired-image, current-image]
    default: desired-image
  image_label_mismatch:
    description:
      - What to do with labels of the image that O(labels) does not give, while C(labels) is V(strict) in O(comparisons).
      - V(ignore) leaves them to the container, V(fail) fails.
    type: str
    choices: [ignore, fail]
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
    aliases: [workdir]
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
      - A label that has more than 4096 bytes with its name, which containerd takes none of, is kept beside the others. The modules and
        filters of this collection see it, other tools do not.
    type: dict
    aliases: [label]
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
    aliases: [volume]
  volumes_from:
    description:
      - Other containers whose volumes this one gets, as C(NAME[:ro|rw]), also those that they have alone and what they have from the
        host, at the same targets. O(volumes), O(mounts) and O(tmpfs) come before them at a target, and later containers before earlier ones.
      - They are those that the other container has when this one is made. When it has others by the time of a later task, that task makes
        this one anew. When it has gone meanwhile, this one stays as it is.
      - The volumes that the other container had alone stay when it is removed, whatever O(keep_volumes) says, while this one has them.
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
  mounts:
    description:
      - File systems to mount, each a dictionary. A directory or file of the host can also be given in O(volumes), in one line.
    type: list
    elements: dict
    suboptions:
      target:
        description:
          - The path in the container.
        type: str
        required: true
      source:
        description:
          - With V(bind) a path of the host, with V(image) the name of a stored image, with V(volume) the name of a volume; without one it
            is a volume that the container has alone. A V(tmpfs) has none.
        type: str
      type:
        description:
          - V(bind) mounts a directory or file of the host.
          - V(tmpfs) is empty and in memory. It goes when the container stops.
          - V(image) mounts the files of an image, read-only. The image must be there, and its files stay while the container exists.
          - V(volume) mounts a volume, as O(volumes) does.
        type: str
        choices: [bind, tmpfs, image, volume]
        default: volume
      no_copy:
        description:
          - With V(volume), leave an empty volume empty, whatever the image has at O(mounts[].target).
        type: bool
      labels:
        description:
          - With V(volume) and O(mounts[].source), labels for the volume if this mount makes it. A volume that is there keeps its own, and
            they are not compared; M(fleet.containerd.containerd_volume) changes them.
        type: dict
      subpath:
        description:
          - With V(volume) and O(mounts[].source), a path in the volume to mount in place of the whole of it, for example V(pages/today).
            It must be there, or be among the files that the image brings at the first start through another mount of the volume. This
            mount brings none.
          - It is looked up at each start. Links are followed inside of the volume only. What is mounted below it on the host is not in
            the container.
        type: str
      read_only:
        description:
          - Whether it is read-only. With V(bind), so is what is mounted below the source, from Linux 5.12 and with a runtime that can do
            it.
        type: bool
      read_only_non_recursive:
        description:
          - With O(mounts[].read_only), leave what is mounted below the source as it is.
        type: bool
      read_only_force_recursive:
        description:
          - With O(mounts[].read_only), fail where what is mounted below the source cannot be made read-only.
        type: bool
      non_recursive:
        description:
          - Do not mount what is mounted below the source.
        type: bool
      propagation:
        description:
          - The propagation of mounts between host and container, with V(bind). The default is V(rprivate).
        type: str
        choices: [private, rprivate, shared, rshared, slave, rslave]
      create_mountpoint:
        description:
          - With V(bind), make the source at a start if it is missing, as a directory of root.
        type: bool
      tmpfs_size:
        description:
          - The size of a V(tmpfs), for example V(64m). The default is that of the kernel, half of the memory.
        type: str
      tmpfs_mode:
        description:
          - The mode of a V(tmpfs), in octal digits. The default is V("1777").
        type: str
      tmpfs_options:
        description:
          - More options of a V(tmpfs), as words or dictionaries, for example V(exec) or V(uid=1000). It has V(nosuid), V(nodev) and
            V(noexec)
            unless their opposites are given.
        type: list
        elements: raw
  tmpfs:
    description:
      - Paths to mount an empty file system in memory on, as a list of C(path[:options]), or a dictionary of paths and options.
      - Options are V(size), V(mode), V(uid), V(gid), V(nr_inodes), and flags such as V(ro) or V(exec). Without their opposites it has
        V(nosuid),
        V(nodev) and V(noexec).
    type: raw
  capabilities:
    description:
      - Capabilities to add to the default ones, such as V(NET_ADMIN), or V(ALL). The case does not count, nor C(CAP_) before a name.
    type: list
    elements: str
    aliases: [cap_add]
  cap_drop:
    description:
      - Capabilities that the container does not get, or V(ALL). What is also in O(capabilities) it gets.
    type: list
    elements: str
  privileged:
    description:
      - Whether the container may do what root on the host may do. It has all capabilities and devices, no seccomp profile, and can write
        to the
        files of the kernel.
    type: bool
  security_opts:
    description:
      - Options of security, as C(key=value) or C(key:value).
      - V(seccomp=unconfined) means no profile, and C(seccomp=PATH) that of a file on the target, in Docker's format or that of the runtime
        specification. The default, V(seccomp=builtin), is a profile like Docker's.
      - V(no-new-privileges) keeps programs from gaining rights, for example by set-user-id bits.
      - C(apparmor=PROFILE) names a loaded profile of AppArmor. The default is none, or what the host's policy says.
      - C(label=type:TYPE), C(label=user:USER), C(label=role:ROLE) and C(label=level:LEVEL) make a label of SELinux; files get no label.
      - V(systempaths=unconfined) shows the files of the kernel that are hidden or read-only by default. C(unmask=PATH:PATH) does so for
        some
        (patterns are allowed), and V(unmask=ALL) for all. C(mask=PATH:PATH) hides more.
    type: list
    aliases: [security_opt]
    elements: str
  devices:
    description:
      - Devices of the host, as C(source[:target][:rwm]). All devices in a directory are added. The name of a CDI device is allowed, too.
      - Their numbers are those that they have when the container is made.
    type: list
    aliases: [device]
    elements: str
  device_cgroup_rules:
    description:
      - Rules of the control group that allow devices, such as V(c 42:* rmw).
    type: list
    aliases: [device_cgroup_rule]
    elements: str
  cdi_devices:
    description:
      - Devices that files in C(/etc/cdi) or C(/var/run/cdi) on the target describe, by their full names, such as V(vendor.com/class=name).
      - Files in YAML need the Python library C(yaml) on the target; JSON needs none.
    type: list
    elements: str
  gpus:
    description:
      - Graphics processors of NVIDIA, by index or UUID, or V(all). Short for O(cdi_devices) of the kind C(nvidia.com/gpu).
    type: list
    elements: str
  device_requests:
    description:
      - Docker's requests of devices. They are the same as O(cdi_devices) and O(gpus), which are simpler.
    type: list
    elements: dict
    suboptions:
      driver:
        description:
          - V(cdi) for names of CDI devices in O(device_requests[].device_ids), V(nvidia) or nothing for graphics processors.
        type: str
      device_ids:
        description:
          - Names or numbers of devices.
        type: list
        elements: str
      count:
        description:
          - How many graphics processors; V(-1) means all.
        type: int
      capabilities:
        description:
          - What the devices must be able to do. It is not used.
        type: list
        elements: list
      options:
        description:
          - CDI has none, so it must be empty.
        type: dict
  groups:
    description:
      - Additional groups of the process, by name or id. Names are looked up in the image.
    type: list
    aliases: [group_add]
    elements: str
  umask:
    description:
      - The mask of file modes of the process, in octal digits; put it in quotes.
    type: raw
  ipc_mode:
    description:
      - The namespace of shared memory, semaphores and message queues. V(private) is its own one, V(shareable) one that other containers
        can use, V(host) that of the host, and V(none) its own one without C(/dev/shm).
      - C(container:NAME) is that of another container, which must be V(shareable) and run. Each start uses the one that the other container
        has then. If that was started again or made anew, the next task of this container with O(state=started) starts it again, as with
        O(network_mode).
    type: str
    aliases: [ipc]
  pid_mode:
    description:
      - The namespace of processes. V(private) is its own one, V(host) that of the host, and C(container:NAME) that of another container, as
        with O(ipc_mode). When the first process of that one ends, so do all in its namespace.
    type: str
    aliases: [pid]
  uts:
    description:
      - The namespace of host and domain name. V(private) is its own one, V(host) that of the host, and C(container:NAME) that of another
        container, as with O(ipc_mode). With another than its own, O(hostname) and O(domainname) cannot be set.
    type: str
  cgroupns_mode:
    description:
      - Whether the container sees the control groups of the V(host), or its own as the root. The default is V(private) with control
        groups of version 2.
    type: str
    aliases: [cgroupns]
    choices: [host, private]
  cgroup_parent:
    description:
      - The control group that the container's group is made in, for example V(/batch). Where systemd manages the groups, it is a slice,
        such as
        V(batch.slice). The group stays when the container goes.
    type: str
  userns_mode:
    description:
      - The namespace of users. With V(host) root in the container is root of the target. Otherwise the container has users and groups of
        its own, from 0 on, which are others on the target, so that who gets out of it is nobody there.
      - V(auto) gives it 65536 that no other container of this O(data_root) has, or with C(auto:size=NUMBER) as many. They are taken from the
        lines of C(fleet-containerd) in C(/etc/subuid) and C(/etc/subgid), for example C(fleet-containerd:1000000000:65536000), and are
        free again when the container is removed. A new container gets others than the old one that it replaces.
      - V(remap) gives it those of the first line of C(dockremap), as Docker does with C(userns-remap=default). All such containers have the
        same.
      - No such user needs to exist. Numbers must belong to nobody else.
      - The files of the image get the owners that the container's users are on the target. For this they are copied once for an image
        and a range. This takes time, and as much disk space as the image. So V(remap) costs it once for all containers of an image, and
        V(auto) once for each container. The copy goes with its last container.
      - What is mounted from the target keeps its owners. In the container, files of users that it has not belong to C(nobody), so
        it can only do with O(volumes), O(mounts) and O(devices) what all users may. This is also so for mounted images. A device has
        the same name in the container as on the target.
      - Others than V(host) cannot be combined with O(privileged) and O(systemd), nor with O(network_mode), O(ipc_mode), O(pid_mode), O(uts) or
        O(cgroupns_mode) of the host or of another container.
    type: str
    aliases: [userns]
  init:
    description:
      - Whether an init program runs first in the container, which passes on signals and reaps processes. It is one of the target, from a
        package such as
        C(catatonit) or C(tini), and must be linked statically.
    type: bool
  init_binary:
    description:
      - The path of the init program on the target. It implies O(init=true).
    type: str
    aliases: [init_path]
  systemd:
    description:
      - With V(always) the container gets what systemd needs to run in it. It has a writable control group, in a namespace of its own unless
        O(cgroupns_mode) says otherwise, a file system in memory on C(/run), C(/run/lock), C(/tmp) and C(/var/log/journal), the environment
        variable C(container), and is asked to stop with C(SIGRTMIN+3).
      - With V(true) it gets that if its command is C(/sbin/init) or C(systemd).
    type: str
    choices: ["false", "true", "always"]
  env_file:
    description:
      - Files on the target with environment variables, one C(NAME=value) a line. They replace those of the image; O(env) replaces them.
      - The values become a part of the container and are seen in results, as those of O(env) are. Use O(secrets) for what must not be seen.
    type: list
    elements: path
  annotations:
    description:
      - Annotations of the runtime specification, for runtimes that read them.
    type: dict
    aliases: [annotation]
  secrets:
    description:
      - Files in C(/run/secrets) of the container, which are only in memory there.
      - The contents appear in no result, diff, log, argument, or record. On the target they are kept in files for root only, in the
        container's
        directory, so that the container can start again after a reboot. They are removed with the container.
      - A new content takes a new container.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - The name of the file.
        type: str
        required: true
      content:
        description:
          - What is in it.
        type: str
        required: true
      mode:
        description:
          - The mode, in octal digits; put it in quotes. The default is V("0444").
        type: raw
      owner:
        description:
          - The owner, as in O(user). The default is root.
        type: str
  files:
    description:
      - Files that are written into the container when it is made, before its first start. Missing directories are made.
      - They are compared by what the task gives, not by what the container has made of them. A diff has the digests of their contents.
    type: list
    elements: dict
    suboptions:
      path:
        description:
          - The absolute path in the container.
        type: str
        required: true
      content:
        description:
          - What is in it.
        type: str
        required: true
      mode:
        description:
          - The mode, in octal digits; put it in quotes. The default is V("0444").
        type: raw
      owner:
        description:
          - The owner, as in O(user). The default is root.
        type: str
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
    aliases: [ports, publish, published]
  publish_all_ports:
    description:
      - Whether all of O(exposed_ports), and those that the image exposes, are published, at ports that are chosen.
    type: bool
    aliases: [publish_all]
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
    aliases: [dns]
  dns_search_domains:
    description:
      - Search domains for C(/etc/resolv.conf). V(.) alone means none.
    type: list
    elements: str
    aliases: [dns_search]
  dns_opts:
    description:
      - Options for C(/etc/resolv.conf).
    type: list
    elements: str
    aliases: [dns_option]
  etc_hosts:
    description:
      - More lines of C(/etc/hosts), as a dictionary of names and addresses. The address V(host-gateway) stands for that of the host in the
        container's first network.
      - They change while the container runs.
    type: dict
    aliases: [add_hosts]
  log_driver:
    description:
      - V(json-file) keeps the output in a file in the format of Docker, V(none) throws it away.
      - V(journald) sends it to the journal of the host, with the fields that Docker's driver has (C(CONTAINER_NAME), C(CONTAINER_ID),
        C(CONTAINER_ID_FULL), C(CONTAINER_TAG), C(IMAGE_NAME), C(SYSLOG_IDENTIFIER)), so that C(journalctl CONTAINER_NAME=web) shows it.
        Standard error has the priority 3, standard output 6.
      - V(syslog) sends it to a syslog server, see O(log_options).
      - With V(journald) and V(syslog) the host keeps a copy of the last output, as in Docker, so that a task that fails can show it.
      - A receiver that is away or too slow does not hold up the container. Its lines are lost then.
      - A container whose O(log_driver) is not set gets V(json-file).
    type: str
    choices: [json-file, journald, syslog, none]
  log_options:
    description:
      - Options for the log, with the names of Docker. Each is for some of the O(log_driver)s, and an error with another one.
      - V(max-size) (V(json-file)) is the size at which a file is rotated, for example V(10m); V(max-file) how many files are kept.
        They change while the container runs; a change shows with the next line of output.
      - V(tag) (all) is what names the container in the log, V({{.ID}}) if it is not given, and nothing in V(json-file). Known are
        V({{.ID}}), V({{.FullID}}), V({{.Name}}), V({{.ImageID}}), V({{.ImageFullID}}), V({{.ImageName}}), V({{.DaemonName}})
        (C(containerd)) and V({{.Command}}). In a playbook, write it as C(!unsafe "{{.Name}}").
      - V(labels) and V(env) (V(json-file), V(journald)) are the names of labels and of environment variables that each line is to have,
        with commas between them or as a list; V(labels-regex) and V(env-regex) are regular expressions for such names. V(json-file) has
        them in C(attrs), V(journald) in fields whose names are in capital letters.
      - V(journald-namespace) (V(journald)) is the namespace of the journal, as in C(LogNamespace=) of a unit of systemd.
      - V(syslog-address) (V(syslog)) is V(unix:///dev/log), V(udp://host:514), V(tcp://host:514) or V(tcp+tls://host:6514); if it is not
        given, the socket of this host. V(syslog-facility) is a name such as V(local0), or a number; C(daemon) if it is not given.
        V(syslog-format) is V(rfc3164), V(rfc5424) or V(rfc5424micro); if it is not given, the format of local sockets, without the
        name of the host.
      - V(syslog-tls-ca-cert), V(syslog-tls-cert), V(syslog-tls-key) (V(syslog)) are files of the target, V(syslog-tls-skip-verify=true)
        accepts every certificate.
      - V(cache-max-size) and V(cache-max-file) (V(journald), V(syslog)) are about the copy on this host, V(20m) and V(5) if they are not
        given; they change while the container runs. With V(cache-disabled=true) there is none.
    type: dict
    aliases: [log_opt]
  runtime:
    description:
      - The OCI runtime, as a name (V(runc), V(crun)) or an absolute path. V(io.containerd.runc.v2), the name of containerd's shim, is V(runc).
      - A container whose O(runtime) is not set gets V(runc).
    type: str
  cpus:
    description:
      - How many processors the container may use, such as V(0.5); it is a limit of time, on whichever processor. V(0) means no limit.
      - It is another way to write O(cpu_quota) for a O(cpu_period) of 100000. Giving both is an error; a container that was made with them
        gets O(cpus) in their place.
    type: float
  cpu_period:
    description:
      - The period for O(cpu_quota), in microseconds, from V(1000) to V(1000000). V(0) means the kernel's default, 100000.
    type: int
  cpu_quota:
    description:
      - The time on processors that the container may use in each O(cpu_period), in microseconds. V(0) or V(-1) mean no limit.
    type: int
  cpu_shares:
    description:
      - The weight of the container among others that want the same processor, from V(2) to V(262144). V(0) means the default, 1024.
    type: int
  cpuset_cpus:
    description:
      - The processors that the container may use, such as V(0-2,4). An empty string means all.
    type: str
  cpuset_mems:
    description:
      - The memory nodes that the container may use, such as V(0). An empty string means all.
    type: str
  memory:
    description:
      - The most memory that the container may use, such as V(512m); at least V(6m). V(0) or V(unlimited) mean no limit.
      - The limit of a running container is not set below what it uses now, apart from caches of files. Then the task fails and changes nothing.
    type: str
  memory_reservation:
    description:
      - The memory that the container keeps when the host runs short. V(0) means none. It cannot be more than O(memory).
    type: str
  memory_swap:
    description:
      - The most memory and swap space together. V(-1) or V(unlimited) mean no limit for swap space.
      - The default is twice O(memory), which V(0) means, too. The same as O(memory) means no swap space.
      - It has no effect where the kernel does not limit swap space. A warning says so.
    type: str
  memory_swappiness:
    description:
      - How readily the kernel swaps, from V(0) to V(100). V(-1) means as on the host.
      - It has no effect with version 2 of the control groups. A warning says so.
    type: int
  oom_killer:
    description:
      - Whether processes wait when the container has no more memory, and are not killed. It has the name and the meaning that it has in
        docker_container.
      - It has no effect with version 2 of the control groups. A warning says so.
    type: bool
    aliases: [oom_kill_disable]
  oom_score_adj:
    description:
      - How soon the kernel kills processes of this container when the host has no more memory, from V(-1000) (never) to V(1000) (first).
    type: int
  pids_limit:
    description:
      - How many processes and threads the container may have. V(0) or V(-1) mean no limit.
    type: int
  blkio_weight:
    description:
      - The weight of the container among others that want the same disk, from V(10) to V(1000). V(0) means the default.
      - It has no effect if the kernel of the target weighs no disks. A warning says so.
    type: int
  device_read_bps:
    description:
      - How much the container reads from devices, in bytes a second.
    type: list
    elements: dict
    suboptions:
      path:
        description:
          - The path of a disk on the target, such as V(/dev/sda). The kernel limits whole disks only.
        type: str
        required: true
      rate:
        description:
          - The bytes a second, such as V(10m).
        type: str
        required: true
  device_write_bps:
    description:
      - How much the container writes to devices, in bytes a second.
    type: list
    elements: dict
    suboptions:
      path:
        description:
          - The path of a disk on the target, such as V(/dev/sda). The kernel limits whole disks only.
        type: str
        required: true
      rate:
        description:
          - The bytes a second, such as V(10m).
        type: str
        required: true
  device_read_iops:
    description:
      - How much the container reads from devices, in operations a second.
    type: list
    elements: dict
    suboptions:
      path:
        description:
          - The path of a disk on the target, such as V(/dev/sda). The kernel limits whole disks only.
        type: str
        required: true
      rate:
        description:
          - The operations a second.
        type: int
        required: true
  device_write_iops:
    description:
      - How much the container writes to devices, in operations a second.
    type: list
    elements: dict
    suboptions:
      path:
        description:
          - The path of a disk on the target, such as V(/dev/sda). The kernel limits whole disks only.
        type: str
        required: true
      rate:
        description:
          - The operations a second.
        type: int
        required: true
  ulimits:
    description:
      - Limits of each process, as C(name:soft[:hard]), such as V(nofile:1024:4096). V(-1) means no limit. The manual page of getrlimit describes them.
    type: list
    elements: str
    aliases: [ulimit]
  sysctls:
    description:
      - Parameters of the kernel for this container, as a dictionary. Only those can be set that a container has of its own.
    type: dict
    aliases: [sysctl]
  shm_size:
    description:
      - The size of C(/dev/shm), such as V(256m). The default, which V(0) means, too, is 64 MiB.
    type: str
  stop_signal:
    description:
      - The signal that asks the container to stop, as a name or number. The default is that of the image, or C(SIGTERM).
    type: str
  stop_timeout:
    description:
      - Seconds between O(stop_signal) and C(SIGKILL). A container whose O(stop_timeout) is not set gets 10 seconds.
    type: int
  restart_policy:
    description:
      - Whether the container is started again when it has ended, and after a reboot. V(always) and V(unless-stopped) mean whatever its exit
        status was, V(on-failure) only if that was not 0, at most O(restart_retries) times.
      - A container that a task, or C(on_failure=stop) of its health check, has stopped stays stopped with every policy, also across a
        reboot, until a task starts it. (Docker starts one with V(always) again at a boot, which undoes what a task has asked for.)
      - The engine V(embedded) starts it after O(restart_delay), which doubles with each start. With the engine V(containerd) the daemon does
        it if its restart monitor can do what is asked for; it looks every 10 seconds. Otherwise, and always with a health check or with
        O(restart_delay), a process of this collection does it as with the engine V(embedded).
      - The first container with a policy or a health check installs what starts such containers after a boot. With systemd that is a
        unit, C(fleet-containers.service). Without systemd have the host run the file C(libexec/restore) below O(data_root) at its start.
    type: str
    choices: ["no", "on-failure", always, unless-stopped]
  restart_retries:
    description:
      - How often O(restart_policy=on-failure) starts the container, counted from the last start by a task. V(0) means that there is no limit.
    type: int
  depends_on:
    description:
      - The containers that have to run before this one is started. Each is a name, or a dictionary with C(name), C(condition)
        and C(restart).
      - With the C(condition) V(started) (if it is not given) it has to run, with V(healthy) its health check has to say that it is healthy. The words
        of Compose, V(service_started) and V(service_healthy), are understood.
      - A task that starts this container starts first what it depends on and does not run, and what that depends on. It waits for their health for up to
        300 seconds.
      - At a boot, those that are to run are started in this order. A container is not started when what it depends on is not to run, or not
        ready within 300 seconds. A start after a failure, by its O(restart_policy), does not look at them.
      - When a task makes one of them anew, this container is started again if it runs, except with C(restart) V(false).
      - A name that no container has, and a circle, are errors before anything is done.
    type: list
    elements: raw
    aliases: [requires]
  restart_delay:
    description:
      - How long to wait before the container is started again, as V(500ms), V(2s) or V(1m30s). It doubles with each start, up to
        O(restart_max_delay), and begins anew when the container has run for 10 seconds. Without it, V(100ms).
    type: str
  restart_max_delay:
    description:
      - The longest O(restart_delay). Without it, V(1m).
    type: str
  healthcheck:
    description:
      - How to find out whether the container is healthy. The result is in C(State.Health) of the returned container.
      - Keys that are not given are those of the image's C(HEALTHCHECK). Without C(test), and without C(test_cli_compatible), there is no check.
    type: dict
    suboptions:
      test:
        description:
          - The command, which runs in the container as its user, with its environment and in its working directory. The exit status 0
            means healthy. When it ends, all processes that it has started and that hold its output end with it.
          - A string, and a list that begins with V(CMD-SHELL), is for C(/bin/sh -c) of the container. A list that begins with V(CMD) has the
            words of a command. V([NONE]) means that there is no check, also where the image has one.
        type: raw
      interval:
        description:
          - The time between the end of a check and the next one, as V(30s) or V(1m30s). Without it, V(30s).
        type: str
      timeout:
        description:
          - How long a check may take. One that takes longer has failed. Without it, V(30s).
        type: str
      retries:
        description:
          - How many checks in a row must fail to make the container unhealthy. Without it, V(3).
        type: int
      start_period:
        description:
          - For this time after the start of the container, checks that fail do not count.
        type: str
      start_interval:
        description:
          - The time between checks in C(start_period), until one succeeds. Without it, V(5s).
        type: str
      on_failure:
        description:
          - What to do with a container that turns unhealthy. V(none) leaves it. V(kill) kills it, then O(restart_policy) says what follows.
            V(restart) stops it by O(stop_signal) and O(stop_timeout) and starts it again, whatever O(restart_policy) says. V(stop) stops
            it, and it stays stopped.
        type: str
        choices: [none, kill, restart, stop]
      test_cli_compatible:
        description:
          - Take C(test) from the image if it is not given.
        type: bool
        default: false
  ready:
    description:
      - How a container that this task starts, with O(state=started) or O(state=healthy), proves that it serves. All that is given must be so at
        the same time, within C(timeout). A container that ends before that, or that its O(restart_policy) starts again, is not ready.
      - If it is not ready, the task fails with its exit status and the last lines of its log, and undoes its changes. After a new container was
        to take the place of an old one, the old one runs, and the message says so.
      - Without it, an end within a moment (0.2 seconds) after the start with an exit status other than 0 is a failure, and so is one after which
        its O(restart_policy) starts it again. C(for=0) alone asks for nothing.
      - A container that runs already is not asked. Connections are made in the network of the container, so no port has to be published.
    type: dict
    suboptions:
      for:
        description:
          - How many seconds it has to run.
        type: float
      tcp:
        description:
          - The port at which it has to accept connections, at one of its own addresses (at a loopback address if it has none), or
            C(HOST:PORT), as seen from inside.
        type: str
      http:
        description:
          - What it has to answer at one of its own addresses.
        type: dict
        suboptions:
          scheme:
            description:
              - How it is asked. With V(https) its certificate does not matter, since it is asked by its address.
            type: str
            choices: [http, https]
            default: http
          port:
            description:
              - The port.
            type: int
            default: 80
          path:
            description:
              - The path, with a query if it needs one.
            type: str
            default: /
          status:
            description:
              - The status codes that are right. Without it, those from 200 to 399.
            type: list
            elements: int
      log:
        description:
          - A regular expression that something has to match that it has printed since this start. C(^) and C($) are the ends of a line.
            The output has to be on the target, see O(log_driver).
        type: str
      command:
        description:
          - The words of a command in the container, which has to end with the exit status 0.
        type: list
        elements: str
      health:
        description:
          - Whether its health check has to say that it is healthy.
        type: bool
        default: false
      timeout:
        description:
          - How many seconds all of this may take.
        type: float
        default: 60
  paused:
    description:
      - Whether all processes of a container that runs are frozen. It is paused after O(ready) is proved. If it is not set, a paused container
        stays paused, and counts as one that runs.
    type: bool
  auto_remove:
    description:
      - Remove the container when it has ended, whoever ended it, with everything that O(state=absent) removes. Whoever watches it does that,
        without a task and without a daemon of this collection; what a shutdown of the host has ended is removed at the next boot, and
        what is left nevertheless by the next task.
      - With O(detach=false) the task returns RV(status) and C(container.Output) first.
      - It cannot be combined with a O(restart_policy).
    type: bool
    aliases: [rm, remove]
  removal_wait_timeout:
    description:
      - When a container is removed, how many seconds to wait until its task, its snapshot and its network namespace are gone. Then the task
        fails. Without it, the word of the engine counts.
    type: float
  healthy_wait_timeout:
    description:
      - With O(state=healthy), how many seconds it may take until the container is healthy. V(0) and less mean no limit.
      - If O(ready) allows more time, that counts.
    type: float
    default: 300
  force_kill:
    description:
      - Stop the container with C(SIGKILL) at once, or with O(kill_signal).
    type: bool
    default: false
    aliases: [forcekill]
  kill_signal:
    description:
      - The signal that O(force_kill) sends, as a name or number. The default is C(SIGKILL). Without O(force_kill) it does nothing.
      - A container that has not ended O(stop_timeout) later gets C(SIGKILL).
    type: str
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
  output_logs:
    description:
      - With O(detach=false), show what the container has printed as a warning. C(container.Output) has it in any case.
      - It does nothing with O(detach=true), nor with O(log_driver=none).
    type: bool
    default: false
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
  on_recreate_failure:
    description:
      - What happens when a new container, which is to take the place of an old one, cannot be started or is not O(ready).
      - With V(rollback) the new one is removed, and the old one runs.
      - With V(keep_new) the new one takes the place of the old one nevertheless and stays as it is, so that it can be looked at; the task
        fails. The old one is stopped, and goes as after a success. O(state=previous) brings back what it was.
      - What fails before the start of the new container leaves the old one in any case.
    type: str
    choices: [rollback, keep_new]
    default: rollback
  keep_old:
    description:
      - How many containers that were replaced by a new one stay, stopped, with their files and their logs. The youngest ones stay; each new
        container removes those that are too many, and O(state=absent) all.
      - They are called after the container and their own id, as C(web-old-0123456789ab), and are containers like others to all modules. One that
        somebody has started is in use, and is neither counted nor removed.
      - They are for looking at what was. To go back, use O(state=previous), which needs none of them, as it makes a container from the image and
        the options of before; what the old one had written into its own files is only in the old one.
    type: int
    default: 0
  restart:
    description:
      - With O(state=started), stop and start a container that exists already. Works with O(name) alone.
    type: bool
    default: false
    aliases: [force_restart]
  update_in_place:
    description:
      - Whether a container is changed without a new one where that is possible. The
        R(table of options,ansible_collections.fleet.containerd.docsite.guide_container_options) tells where.
      - With V(false) each change makes a new container.
    type: bool
    default: true
  adopt:
    description:
      - Allow this module to replace a container that it did not make, for example one of C(nerdctl) or C(ctr).
    type: bool
    default: false
  comparisons:
    description:
      - How single options are compared, as a dictionary of option names and V(strict), V(ignore) or V(allow_more_present).
        The name V(*) stands for all options.
      - By default most dictionaries, and most lists whose order does not matter, may have more than the task asks for. The
        R(table of options,ansible_collections.fleet.containerd.docsite.guide_container_options) tells it for each.
      - Aliases of options are names of options here, too.
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
    memory: 256m
    pids_limit: 100

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

- name: Run a job with few rights, and with its password in memory only
  fleet.containerd.containerd_container:
    name: backup
    image: registry.example.com/team/app:1.4
    command: ["./manage", "backup"]
    detach: false
    read_only: true
    tmpfs: [/tmp]
    cap_drop: [ALL]
    security_opts: [no-new-privileges]
    secrets:
      - name: db_password
        content: "{{ db_password }}"
        mode: "0400"
        owner: "1000"

- name: Replace a service by a new release when that answers
  fleet.containerd.containerd_container:
    name: shop
    image: docker.io/library/nginx:1.27
    env:
      RELEASE: "2"
    networks:
      - name: back
    ready:
      http:
        path: /
      timeout: 30

- name: Prepare the next release without touching what runs
  fleet.containerd.containerd_container:
    name: shop
    image: docker.io/library/nginx:1.27
    env:
      RELEASE: "3"
    networks:
      - name: back
    state: staged

- name: Switch to it
  fleet.containerd.containerd_container:
    name: shop
    image: docker.io/library/nginx:1.27
    env:
      RELEASE: "3"
    networks:
      - name: back
    ready:
      tcp: "80"

- name: Take it back
  fleet.containerd.containerd_container:
    name: shop
    state: previous

- name: Run a service after the database that it needs. What a new release replaces stays to be looked at, and so does one that fails
  fleet.containerd.containerd_container:
    name: orders
    image: docker.io/library/nginx:1.27
    depends_on: [database]
    log_driver: syslog
    log_options:
      syslog-address: udp://192.0.2.10:514
      tag: orders
    keep_old: 1
    on_recreate_failure: keep_new

- name: Run a service with its output in a namespace of the journal
  fleet.containerd.containerd_container:
    name: mail
    image: docker.io/library/nginx:1.27
    log_driver: journald
    log_options:
      tag: mail
      journald-namespace: mail

- name: Serve a part of a volume
  fleet.containerd.containerd_container:
    name: pages
    image: docker.io/library/nginx:1.27
    mounts:
      - source: pages
        target: /usr/share/nginx/html
        subpath: sites/today
        read_only: true

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
staged:
  description: The container that was prepared, as RV(container).
  returned: with O(state=staged), when there is one
  type: dict
undone:
  description:
    - Those of RV(actions) that were undone, because a later one failed. The task is changed if some were done and not undone.
  returned: on failure
  type: list
  elements: str
  sample: ["stop the old container web, as both publish the port 8080/tcp of the host", "create container web anew (image changed)"]
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

from ..module_utils.kernel.bytecode import cache  # isort: split

from ..module_utils.argument_specs.containerd_container import SPEC
from ..module_utils.kernel.engines import opened
from ..module_utils.kernel.module import run
from ..module_utils.resources.container.resource import ContainerResource, in_check_mode


def main() -> None:
    run(ContainerResource(), SPEC, cache, opened, in_check_mode=in_check_mode)


if __name__ == "__main__":
    main()
