# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains: programs of others by the CNI protocol, what is undone, what goes on past errors, what a killed run leaves."""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import pathlib
import threading
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.errors import (
    AlreadyExists,
    EngineError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    Unimplemented,
)
from ansible_collections.fleet.containerd.plugins.module_utils.network import chain as chains
from ansible_collections.fleet.containerd.plugins.module_utils.network import drivers, external, netns, sysctl
from ansible_collections.fleet.containerd.plugins.module_utils.network.attachment import Attachment, Call, Host
from ansible_collections.fleet.containerd.plugins.module_utils.network.chain import Chain
from ansible_collections.fleet.containerd.plugins.module_utils.network.conflist import ConfDir, Conflist
from ansible_collections.fleet.containerd.plugins.module_utils.network.ipam import Reservations
from ansible_collections.fleet.containerd.plugins.module_utils.network.links import Links, New
from ansible_collections.fleet.containerd.plugins.module_utils.network.nftables import Nftables
from ansible_collections.fleet.containerd.plugins.module_utils.network.ports import Published
from ansible_collections.fleet.containerd.plugins.module_utils.network.result import Result
from ansible_collections.fleet.containerd.tests.support.namespaces import World, ip

#: Writes down how it was called, and gives what the test put beside it.
# starts: sh, env, grep, sort, cat, basename, dirname
_PLUGIN = """#!/bin/sh
name=$(basename "$0"); here=$(dirname "$0")
{ env | grep ^CNI_ | sort; cat; echo; } > "$here/$name.$CNI_COMMAND.called"
echo "$name $CNI_COMMAND" >> "$here/log"
if [ -e "$here/$name.$CNI_COMMAND.fails" ]; then cat "$here/$name.$CNI_COMMAND.fails"; echo on stderr >&2; exit 1; fi
[ $CNI_COMMAND != ADD ] || cat "$here/$name.result"
"""
RESULT = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/x"}],
    "ips": [{"address": "10.5.0.2/24", "gateway": "10.5.0.1", "interface": 0}],
    "routes": [{"dst": "0.0.0.0/0"}],
    "dns": {"nameservers": ["10.5.0.1"]},
}
BRIDGE = {
    "type": "bridge",
    "bridge": "br-test",
    "isGateway": True,
    "ipMasq": True,
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]},
}


class Programs:
    """A cni_bin_dir of the test's own."""

    def __init__(self, directory: pathlib.Path) -> None:
        directory.mkdir()
        self.path = directory

    def add(self, name: str, result: t.Any = None) -> None:
        result = RESULT if result is None else result
        (self.path / name).write_text(_PLUGIN)
        (self.path / name).chmod(0o755)
        (self.path / f"{name}.result").write_text(result if isinstance(result, str) else json.dumps(result))

    def fail(self, name: str, command: str, words: str = "") -> None:
        (self.path / f"{name}.{command}.fails").write_text(words)

    def called(self, name: str, command: str) -> t.Tuple[t.Dict[str, str], t.Any]:
        text = (self.path / f"{name}.{command}.called").read_text()
        head, brace, document = text.partition("{")
        return dict(line.split("=", 1) for line in head.splitlines()), json.loads(brace + document)

    @property
    def log(self) -> t.List[str]:
        path = self.path / "log"
        found = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return found


@pytest.fixture
def programs(tmp_path: pathlib.Path) -> Programs:
    return Programs(tmp_path / "bin")


def net(*plugins: t.Dict[str, t.Any], version: str = "1.0.0") -> Conflist:
    return Conflist.of({"cniVersion": version, "name": "net", "plugins": list(plugins)})


@pytest.fixture
def outside(host: Host, programs: Programs) -> Host:
    return host._replace(bin_dirs=("/nowhere", str(programs.path)))


ONE = Attachment(
    "c1", "/run/netns/none", ips=(ipaddress.ip_address("10.5.0.2"),), mac="02:00:00:00:00:01", ports=(Published(None, 8080, 80),)
)


def test_programs_are_called_as_the_specification_says(outside: Host, programs: Programs) -> None:
    programs.add("first")
    programs.add("second", {**RESULT, "ips": [{"address": "10.5.0.3/24"}]})
    able = {"portMappings": True, "ips": True, "mac": False, "aliases": True}
    chain = Chain(net({"type": "first", "a": {"b": 1}}, {"type": "second", "capabilities": able}), outside)
    result = chain.attach(ONE)
    assert [str(one.interface) for one in result.addresses] == ["10.5.0.3/24"]
    assert chain.attached(ONE) == result
    assert programs.log == ["first ADD", "second ADD"]
    environment, document = programs.called("first", "ADD")
    assert environment == {
        "CNI_ARGS": "IgnoreUnknown=1;IP=10.5.0.2;MAC=02:00:00:00:00:01",
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_IFNAME": "eth0",
        "CNI_NETNS": "/run/netns/none",
        "CNI_PATH": f"/nowhere:{programs.path}",
    }
    assert document == {"cniVersion": "1.0.0", "name": "net", "type": "first", "a": {"b": 1}}
    environment, document = programs.called("second", "ADD")
    assert environment["CNI_ARGS"] == "IgnoreUnknown=1;MAC=02:00:00:00:00:01"
    ports = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
    told = {"runtimeConfig": {"portMappings": ports, "ips": ["10.5.0.2"]}, "prevResult": RESULT}
    assert document == {"cniVersion": "1.0.0", "name": "net", "type": "second", **told}
    chain.check(ONE)
    assert programs.log == ["first CHECK", "second CHECK"]
    # Whoever detaches need not know what was asked for.
    assert chain.detach(Attachment("c1", "")) == []
    assert programs.log == ["second DEL", "first DEL"]
    environment, document = programs.called("second", "DEL")
    assert environment["CNI_NETNS"] == "/run/netns/none"
    assert document["prevResult"]["ips"] == [{"address": "10.5.0.3/24"}]
    assert document["runtimeConfig"] == told["runtimeConfig"]
    assert os.listdir(os.path.join(outside.cache_dir, "results")) == []


def test_what_is_kept_is_where_cnis_library_keeps_it(outside: Host, programs: Programs) -> None:
    programs.add("first")
    conflist = net({"type": "first"})
    Chain(conflist, outside).attach(ONE)
    path = pathlib.Path(outside.cache_dir, "results", "net-c1-eth0")
    document = json.loads(path.read_text())
    assert json.loads(base64.b64decode(document.pop("config"))) == conflist.document
    assert document == {
        "kind": "cniCacheV1",
        "containerId": "c1",
        "ifName": "eth0",
        "networkName": "net",
        "netns": "/run/netns/none",
        "capabilityArgs": {
            "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}],
            "ips": ["10.5.0.2"],
            "mac": ONE.mac,
        },
        "result": RESULT,
    }
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_failure_undoes_all_and_tells_the_plugins_words(outside: Host, programs: Programs) -> None:
    for name in ("first", "second", "third"):
        programs.add(name)
    programs.fail("second", "ADD", json.dumps({"code": 7, "msg": "no\x1b[31m luck", "details": "today"}))
    programs.fail("third", "DEL")
    chain = Chain(net({"type": "first"}, {"type": "second"}, {"type": "third"}), outside)
    with pytest.raises(EngineError) as caught:
        chain.attach(ONE)
    assert str(caught.value) == r"network net: the plugin second failed: no\x1b[31m luck today"
    assert programs.log == ["first ADD", "second ADD", "third DEL", "second DEL", "first DEL"]
    assert chain.attached(ONE) is None
    with pytest.raises(FailedPrecondition, match="c1 is not attached to the network net"):
        chain.check(ONE)


def test_detaching_goes_on_past_errors_and_tells_them(outside: Host, programs: Programs) -> None:
    for name in ("first", "second"):
        programs.add(name)
    chain = Chain(net({"type": "first"}, {"type": "second"}), outside)
    chain.attach(ONE)
    programs.fail("second", "DEL", "no JSON at all")
    programs.fail("first", "DEL")
    assert chain.detach(ONE) == [
        "detaching from net by second: network net: the plugin second failed: no JSON at all",
        "detaching from net by first: network net: the plugin first failed: on stderr",
    ]
    assert chain.attached(ONE) is None


@pytest.mark.parametrize("result", ["", "nothing", "[1]", '{"ips": [{}]}', '{"ips": [{"address": "x"}]}', '{"ips": 5}'])
def test_nonsense_of_a_program_is_told_as_such(outside: Host, programs: Programs, result: str) -> None:
    programs.add("first", result)
    with pytest.raises(EngineError, match="the plugin first gave no JSON|the result of a plugin is not valid"):
        Chain(net({"type": "first"}), outside).attach(ONE)


def test_programs_that_are_missing_are_named(outside: Host, programs: Programs) -> None:
    (programs.path / "first").write_text("not executable")
    with pytest.raises(NotFound, match=r"the plugin first is in none of /nowhere, .*/bin"):
        Chain(net({"type": "first"}), outside).attach(ONE)
    with pytest.raises(Unimplemented, match=r"promiscMode, vlan of the plugin bridge needs the program bridge"):
        Chain(net({**BRIDGE, "vlan": 5, "promiscMode": True}), outside).attach(ONE)


def test_a_setting_that_we_do_not_know_is_left_to_the_program(outside: Host, programs: Programs) -> None:
    programs.add("bridge")
    Chain(net({**BRIDGE, "vlan": 5}), outside).attach(ONE)
    assert programs.log == ["bridge ADD"]


def test_address_management_of_others_serves_our_drivers(site: World, outside: Host, programs: Programs) -> None:
    programs.add("fancy", {**RESULT, "interfaces": []})
    plugin = {"type": "bridge", "bridge": "br-test", "isGateway": True, "ipam": {"type": "fancy", "depth": 3}}
    chain, one = Chain(net(plugin), outside), Attachment("c1", site.namespace("c1"))
    result = chain.attach(one)
    assert ip(one.netns, "address", "show", "eth0")[0]["addr_info"][0]["local"] == "10.5.0.2"
    assert (result.dns, [str(one.destination) for one in result.routes]) == ({"nameservers": ["10.5.0.1"]}, ["0.0.0.0/0"])
    assert programs.called("fancy", "ADD")[1] == {"cniVersion": "1.0.0", "name": "net", **plugin}
    assert chain.detach(one) == []
    assert programs.log == ["fancy ADD", "fancy DEL"]


def test_ours_and_others_in_one_chain(site: World, outside: Host, programs: Programs, tmp_path: pathlib.Path) -> None:
    programs.add("last", RESULT)
    directory = ConfDir(str(tmp_path / "net.d"))
    with directory.locked():
        conflist = directory.put({"name": "net", "plugins": [BRIDGE, {"type": "last"}]})
    chain, one = Chain(conflist, outside), Attachment("c1", site.namespace("c1"))
    chain.attach(one)
    assert (tmp_path / "net.d" / ".cni-concurrency.lock").exists(), "nerdctl's lock is taken where programs run"
    previous = Result.of(programs.called("last", "ADD")[1]["prevResult"])
    assert [link.name[:4] for link in previous.interfaces] == ["br-t", "veth", "eth0"]
    programs.fail("last", "ADD")
    other = Attachment("c2", site.namespace("c2"))
    with pytest.raises(EngineError, match="the plugin last failed"):
        chain.attach(other)
    assert [link["ifname"] for link in ip(other.netns, "link", "show")] == ["lo"]
    assert [owner.container_id for owner in Reservations("net", outside.data_dir).list().values()] == ["c1"]


STEPS = ["netns.opened", "ensure_bridge", "allocate", "configure", "sysctl.put"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("died", [False, True])
def test_killed_at_any_step_the_next_run_converges(
    site: World, host: Host, monkeypatch: pytest.MonkeyPatch, step: str, died: bool
) -> None:
    """died: its namespace is gone as well."""
    from ansible_collections.fleet.containerd.plugins.module_utils.network import drivers

    class Killed(BaseException):
        pass

    chain = Chain(net(BRIDGE, {"type": "portmap"}), host)
    one = Attachment("c1", site.namespace("c1"), ports=(Published(None, 8080, 80),))
    with monkeypatch.context() as patch:
        where, _dot, name = step.rpartition(".")
        owner = getattr(drivers, where) if where else drivers
        true = getattr(owner, name)

        def kill(*arguments: t.Any, **more: t.Any) -> t.Any:
            true(*arguments, **more)
            raise Killed

        patch.setattr(owner, name, kill)
        patch.setattr(chains.Chain, "_delete", lambda *_arguments, **_more: [])  # a killed process undoes nothing
        with pytest.raises(Killed):
            chain.attach(one)
    if died:
        netns.remove(one.netns)
        one = one._replace(netns=site.namespace("again"))
    chain.attach(one)
    chain.check(one)
    assert [str(address.ip) for address in chain.attached(one).addresses] != []  # type: ignore[union-attr]
    assert len(Reservations("net", host.data_dir).list()) == 1
    assert len([link for link in ip(site.host, "link", "show") if link["ifname"].startswith("veth")]) == 1
    assert chain.detach(one) == []
    assert Reservations("net", host.data_dir).list() == {}
    assert [link for link in ip(site.host, "link", "show") if link["ifname"].startswith("veth")] == []


@pytest.mark.parametrize("plugin", [BRIDGE, {"type": "macvlan", "master": "uplink"}], ids=["bridge", "macvlan"])
def test_a_link_of_somebody_else_stays(site: World, host: Host, plugin: t.Dict[str, t.Any]) -> None:
    one = Attachment("c1", site.namespace("c1"))
    ip(one.netns, "link", "add", "eth0", "type", "veth", "peer", "name", "theirs")
    chain = Chain(net(plugin), host)
    for _again in range(2):
        with pytest.raises(AlreadyExists, match=r"eth0.*: File exists"):
            chain.attach(one)
    assert sorted(link["ifname"] for link in ip(one.netns, "link", "show")) == ["eth0", "lo", "theirs"]
    assert [link for link in ip(site.host, "link", "show") if link["ifname"].startswith("veth")] == []
    assert Reservations("net", host.data_dir).list() == {}


def test_the_host_may_have_a_link_of_the_same_name(site: World, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """eth0, as most hosts have; and what a killed run has left under the first name goes."""
    true = Links.add

    def add(links: Links, new: New) -> None:
        """As kernels such as 6.12 do it (that of tests/vm), wherever the link is to go."""
        if links.find(new.name):
            raise AlreadyExists(f"making the link {new.name}: File exists")
        true(links, new)

    monkeypatch.setattr(Links, "add", add)
    ip(site.host, "link", "add", "eth0", "type", "bridge")
    one, chain = Attachment("c1", site.namespace("c1")), Chain(net({"type": "macvlan", "master": "uplink"}), host)
    for _again in range(2):
        chain.attach(one)
        assert [link["ifname"] for link in ip(one.netns, "link", "show")] == ["lo", "eth0"]
        # As if it had been killed before the link got its name.
        ip(one.netns, "link", "set", "eth0", "down")
        ip(one.netns, "link", "set", "eth0", "name", drivers._own_name("link", Call("net", "1.0.0", {}, one, host)))
    assert chain.detach(one) == []
    assert [link["ifname"] for link in ip(one.netns, "link", "show")] == ["lo"]


def test_what_the_programs_attached_we_detach(site: World, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.fleet.containerd.plugins.module_utils.network import meta

    plugin = {**BRIDGE, "ipam": {**BRIDGE["ipam"], "dataDir": host.data_dir}}  # type: ignore[dict-item]
    one = Attachment("c1", site.namespace("c1"))
    with monkeypatch.context() as patch:
        patch.setattr(meta, "PLUGINS", {})
        Chain(net(plugin), host).attach(one)
    assert len(Reservations("net", host.data_dir).list()) == 1
    assert Chain(net(plugin), host).detach(one) == []
    assert [link["ifname"] for link in ip(one.netns, "link", "show")] == ["lo"]
    assert Reservations("net", host.data_dir).list() == {}


def test_after_a_reboot_it_is_attached_again(site: World, host: Host) -> None:
    chain = Chain(net(BRIDGE, {"type": "portmap"}, {"type": "firewall"}), host)
    one = Attachment("c1", site.namespace("c1"), ports=(Published(None, 8080, 80),))
    chain.attach(one)
    # Files stay; namespaces, links and rules do not.
    netns.remove(one.netns)
    ip(site.host, "link", "delete", "br-test")
    Nftables()._nft("flush", "ruleset")
    one = one._replace(netns=site.namespace("c1"))
    result = chain.attach(one)
    chain.check(one)
    assert len(Reservations("net", host.data_dir).list()) == 1
    assert [str(address.ip) for address in result.addresses] == ["10.1.0.3"]


def test_check_notices_what_is_gone(site: World, host: Host) -> None:
    chain = Chain(net(BRIDGE, {"type": "portmap"}, {"type": "tuning", "sysctl": {"net.ipv4.conf.eth0.arp_notify": "1"}}), host)
    one = Attachment("c1", site.namespace("c1"), ports=(Published(None, 8080, 80),))

    def fresh() -> str:
        chain.attach(one)
        chain.check(one)
        return next(link["ifname"] for link in ip(site.host, "link", "show") if link["ifname"].startswith("veth"))

    breaks: t.List[t.Tuple[t.Callable[[str], t.Any], str]] = [
        (lambda _veth: ip(one.netns, "address", "flush", "dev", "eth0"), r"eth0 does not have 10.1.0.\d/24"),
        (lambda _veth: ip(one.netns, "link", "set", "eth0", "down"), "eth0 is down in the container"),
        (lambda veth: ip(site.host, "link", "delete", veth), "eth0 is missing in the container"),
        (lambda veth: ip(site.host, "link", "set", veth, "nomaster"), "the container's link is not in the bridge br-test"),
        (lambda _veth: host.rules.unpublish("c1 eth0"), "the host's port 8080/tcp does not lead to 10.1.0"),
    ]
    for act, words in breaks:
        act(fresh())
        with pytest.raises(FailedPrecondition, match=words):
            chain.check(one)


def test_settings_of_the_wrong_kind_are_told(site: World, host: Host) -> None:
    one = Attachment("c1", site.namespace("c1"))
    for plugin, words in (
        ({**BRIDGE, "bridge": "a/b"}, "bridge: 'a/b' is no name of a link"),
        ({**BRIDGE, "mtu": "1500"}, "mtu of the plugin bridge must be a number"),
        ({**BRIDGE, "mtu": True}, "mtu of the plugin bridge must be a number"),
        ({**BRIDGE, "ipam": {**BRIDGE["ipam"], "ranges": []}}, "no IP ranges"),  # type: ignore[dict-item]
        ({"type": "macvlan", "master": "gone"}, "the parent link gone is not there"),
        ({"type": "macvlan", "mode": "x"}, "mode 'x' of macvlan is none of bridge, private, vepa, passthru"),
        ({"type": "macvlan", "master": "uplink", "mtu": 9000}, r"mtu 9000 is more than that of uplink \(1500\)"),
        ({"type": "tuning", "sysctl": {"kernel.hostname": "x"}}, "is no setting below net"),
        ({"type": "tuning", "sysctl": {"net.ipv4.nothing": "x"}}, "there is no setting 'net.ipv4.nothing'"),
        ({"type": "tuning", "sysctl": {"net/../kernel/hostname": "x"}}, "is no setting below net"),
    ):
        with pytest.raises((InvalidArgument, NotFound), match=words):
            Chain(net(plugin), host).attach(one)
    ipvlan = Chain(net({"type": "ipvlan", "master": "uplink"}), host)
    with pytest.raises(InvalidArgument, match="an ipvlan link has the MAC address of its parent"):
        ipvlan.attach(one._replace(mac="02:00:00:00:00:01"))
    assert [link["ifname"] for link in ip(one.netns, "link", "show")] == ["lo"]


def test_settings_are_those_that_were_asked_for(site: World, host: Host) -> None:
    one, ports = Attachment("c1", site.namespace("c1"), "eth0.7"), "40000 41000"
    wanted = {
        "net.ipv4.conf.IFNAME.arp_notify": "1",
        "net/ipv4/conf/eth0.7/arp_filter": "1",
        "net.ipv4.ip_local_port_range": ports,
    }
    chain = Chain(net(BRIDGE, {"type": "tuning", "sysctl": wanted}), host)
    chain.attach(one)
    chain.check(one)
    with netns.entered(one.netns):
        names = ("conf/eth0.7/arp_notify", "conf/eth0.7/arp_filter", "ip_local_port_range")
        assert [sysctl.get(f"ipv4/{name}") for name in names] == ["1", "1", ports.replace(" ", "\t")]


def test_a_route_keeps_its_mtu(site: World, host: Host) -> None:
    """What is kept is put back when another network comes or goes."""
    ipam = {**BRIDGE["ipam"], "routes": [{"dst": "10.9.0.0/16", "mtu": 1300}]}  # type: ignore[dict-item]
    chain, one = Chain(net({**BRIDGE, "ipam": ipam}), host), Attachment("c1", site.namespace("c1"))
    result = chain.attach(one)
    assert [route.mtu for route in result.routes] == [1300]
    assert chain.attached(one) == result


def test_an_address_and_a_mac_that_are_wanted(site: World, host: Host) -> None:
    one = Attachment("c1", site.namespace("c1"), ips=(ipaddress.ip_address("10.1.0.77"),), mac="02:00:00:00:00:01")
    result = Chain(net(BRIDGE), host).attach(one)
    assert [str(address.interface) for address in result.addresses] == ["10.1.0.77/24"]
    assert {link["ifname"]: link["address"] for link in ip(one.netns, "link", "show")}["eth0"] == one.mac


@pytest.mark.parametrize(
    "saved", [b"", b"{", b"[]", b'{"capabilityArgs": {"ips": ["x"]}}', b'{"capabilityArgs": 5}', b'{"result": {"ips": 1}}']
)
def test_a_file_that_cannot_be_read_says_only_that_something_was_begun(site: World, host: Host, saved: bytes) -> None:
    chain, one = Chain(net(BRIDGE), host), Attachment("c1", site.namespace("c1"))
    path = pathlib.Path(host.cache_dir, "results", "net-c1-eth0")
    path.parent.mkdir(parents=True)
    path.write_bytes(saved)
    assert chain.attached(one) is None
    chain.attach(one)
    path.write_bytes(saved)
    assert chain.detach(one) == []
    assert not path.exists()


def test_the_namespace_of_the_host_is_nobodys(site: World, host: Host) -> None:
    ip(site.host, "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    for plugin in (BRIDGE, {"type": "loopback"}):
        chain, one = Chain(net(plugin), host), Attachment("c1", f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net")
        with pytest.raises(FailedPrecondition, match="is the network namespace of the host"):
            chain.attach(one)
        assert chain.detach(one) == []
    flags = {link["ifname"]: link["flags"] for link in ip(site.host, "link", "show")}
    assert "UP" in flags["lo"]
    assert "eth0" in flags


@pytest.mark.parametrize("place", [(netns, "entered"), (Links, "remove")], ids=["namespace", "link"])
def test_an_address_is_given_back_though_the_link_cannot_be_removed(
    site: World, host: Host, monkeypatch: pytest.MonkeyPatch, place: t.Tuple[t.Any, str]
) -> None:
    chain, one = Chain(net(BRIDGE), host), Attachment("c1", site.namespace("c1"))
    chain.attach(one)

    def fail(*_arguments: str) -> t.Any:
        raise EngineError("no way in")

    monkeypatch.setattr(*place, fail)
    assert chain.detach(one) == ["detaching from net by bridge: no way in"]
    assert Reservations("net", host.data_dir).list() == {}


def test_an_id_that_is_a_path_is_refused(host: Host) -> None:
    with pytest.raises(InvalidArgument, match="cannot be the name of an attachment"):
        Chain(net(BRIDGE), host).attach(Attachment("../x", "/none"))


def test_a_program_that_does_not_end_is_given_up(outside: Host, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    # starts: sh, sleep
    (programs.path / "first").write_text("#!/bin/sh\nexec sleep 30\n")
    (programs.path / "first").chmod(0o755)
    monkeypatch.setattr(external, "_TIMEOUT", 0.2)
    with pytest.raises(EngineError, match="the plugin first has not ended in 0 s"):
        Chain(net({"type": "first"}), outside).attach(ONE)
