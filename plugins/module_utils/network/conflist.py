# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks on disk: CNI configuration lists in a directory, as nerdctl writes them.

Everybody's networks are read, and nobody's but ours and nerdctl's are written. A file that cannot be used is a problem that
is told; it hides no other network.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import typing as t

from ..errors import AlreadyExists, EngineError, FailedPrecondition, InvalidArgument, NotFound, from_os_error, printable
from ..hostfs.atomic import fsync_dir, make_dir, remove_file, write_file
from ..hostfs.lock import locked
from .places import CONF_DIR

#: The network that a container gets when it asks for none.
DEFAULT_NETWORK, DEFAULT_LABEL = "bridge", "nerdctl/default-network"
CNI_VERSION = "1.0.0"
#: What a list without a version has: a plugin is told some.
_OLD_VERSION = "0.2.0"
_VERSIONS = r"0\.[1-4]\.[01]|1\.[01]\.[01]"
_SIZE_LIMIT = 1024 * 1024
_NAME = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}"
_TYPE = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}"
_SUFFIXES = (".conflist", ".conf", ".json")

Document = t.Dict[str, t.Any]


def check_name(name: str) -> str:
    """The name, which becomes part of file names and of the names of links; InvalidArgument."""
    if not re.fullmatch(_NAME, name):
        raise InvalidArgument(
            f"the network name {printable(name, 80)!r} is not valid: letters, digits, '_', '.' and '-', the first a letter or a digit"
        )
    return name


def check_type(kind: t.Any, what: str) -> str:
    """The name of a program in cni_bin_dir, never a path; InvalidArgument."""
    if not isinstance(kind, str) or not re.fullmatch(_TYPE, kind):
        raise InvalidArgument(f"{what} has no valid type: {printable(kind, 80)!r}")
    return kind


def network_id(name: str) -> str:
    """As nerdctl makes it."""
    import hashlib

    return hashlib.sha256(name.encode()).hexdigest()


def bridge_name(name: str) -> str:
    """The link of a bridge network."""
    return "nerdctl0" if name == DEFAULT_NETWORK else f"br-{network_id(name)[:12]}"


class Conflist(t.NamedTuple):
    """A network: its configuration list, and the file that it is in."""

    name: str
    document: Document
    path: str = ""

    @classmethod
    def of(cls, document: t.Any, path: str = "") -> Conflist:
        """Checked. A configuration of one plugin becomes a list of one. InvalidArgument says what is wrong, without the path."""
        if not isinstance(document, dict):
            raise InvalidArgument("it is not a JSON object")
        if "plugins" not in document and "type" in document:
            top = {key: document[key] for key in ("cniVersion", "name") if key in document}
            document = {**top, "plugins": [{k: v for k, v in document.items() if k not in top}]}
        name, version, plugins = document.get("name"), document.get("cniVersion", _OLD_VERSION), document.get("plugins")
        if not isinstance(name, str):
            raise InvalidArgument("it has no name")
        check_name(name)
        if not isinstance(version, str) or not re.fullmatch(_VERSIONS, version):
            raise InvalidArgument(f"cniVersion {printable(version, 40)!r} is not known (up to 1.1.0)")
        if not isinstance(plugins, list) or not plugins:
            raise InvalidArgument("plugins must be a list of at least one plugin")
        for number, plugin in enumerate(plugins, 1):
            check_type(plugin.get("type") if isinstance(plugin, dict) else None, f"plugin {number}")
            if not isinstance(plugin.get("capabilities") or {}, dict):
                raise InvalidArgument(f"plugin {number}: capabilities must be an object")
        labels = document.get("nerdctlLabels") or {}
        if not isinstance(labels, dict) or not all(isinstance(one, str) for pair in labels.items() for one in pair):
            raise InvalidArgument("nerdctlLabels must map text to text")
        return cls(name, document, path)

    @property
    def version(self) -> str:
        return str(self.document.get("cniVersion", _OLD_VERSION))

    @property
    def can_check(self) -> bool:
        """Whether its plugins know CHECK."""
        return tuple(map(int, self.version.split("."))) >= (0, 4)

    @property
    def id(self) -> str:
        """Empty for a network that neither nerdctl nor we have made."""
        found = self.document.get("nerdctlID")
        return found if isinstance(found, str) else ""

    def namespace(self, conf_dir: str) -> str:
        """The only one whose containers see it, as nerdctl 2 has it: the sub-directory that its file is in. Empty for all."""
        relative = os.path.relpath(os.path.dirname(self.path), conf_dir) if self.path else "."
        return "" if relative == "." else relative

    @property
    def labels(self) -> t.Dict[str, str]:
        return dict(self.document.get("nerdctlLabels") or {})

    @property
    def plugins(self) -> t.List[Document]:
        return list(self.document["plugins"])

    def plugin(self, kind: str) -> t.Optional[Document]:
        """The first plugin of this type."""
        return next((one for one in self.plugins if one["type"] == kind), None)


class Listing(t.NamedTuple):
    """What a directory holds: networks by name, and a sentence for each file that cannot be used."""

    networks: t.Dict[str, Conflist]
    problems: t.List[str]


class ConfDir:
    """A directory of conflists. namespace: its sub-directory, where nerdctl 2 keeps networks of a namespace, is read too."""

    def __init__(self, path: str = CONF_DIR, namespace: str = "") -> None:
        self.path = path
        self._places = [path] + ([os.path.join(path, namespace)] if namespace else [])

    def read(self) -> Listing:
        """In the order of CNI: the file whose name comes first has the name of the network."""
        networks: t.Dict[str, Conflist] = {}
        problems = []
        for place in self._places:
            for path in _files(place):
                try:
                    found = _read(path)
                    first = networks.setdefault(found.name, found)
                    if first is not found:
                        raise AlreadyExists(f"the network {found.name} is in {first.path} already")
                except NotFound:
                    continue  # removed meanwhile
                except EngineError as error:
                    problems.append(f"{printable(path, 200)} is no usable network: {error}")
        return Listing(networks, problems)

    def every(self) -> t.List[Conflist]:
        """Those of all namespaces, as far as they can be used: the sub-directories of nerdctl 2 are read, too."""
        found: t.List[Conflist] = []
        for place in [self.path, *_directories(self.path)]:
            found += ConfDir(place).read().networks.values()
        return found

    def get(self, name: str) -> Conflist:
        """NotFound, with the files that cannot be used, as one of them may be meant."""
        listing = self.read()
        if name in listing.networks:
            return listing.networks[name]
        more = "".join(f"; {one}" for one in listing.problems)
        raise NotFound(f"there is no network {printable(name, 80)!r} in {self.path}{more}")

    def written(self, document: Document) -> Conflist:
        """A network of ours as put() writes it, where it is or under nerdctl's name. FailedPrecondition for one of others."""
        wanted = Conflist.of(document)
        there = self.read().networks.get(wanted.name)
        if there and not there.id:
            raise FailedPrecondition(f"the network {wanted.name} belongs to somebody else ({there.path}), and is not changed")
        path = there.path if there else os.path.join(self.path, f"nerdctl-{wanted.name}.conflist")
        complete = {"cniVersion": CNI_VERSION, **document, "nerdctlID": network_id(wanted.name)}
        complete.setdefault("nerdctlLabels", {})
        size = len(_text(complete))
        if size > _SIZE_LIMIT:
            raise InvalidArgument(f"the network {wanted.name} would take {size} bytes, and more than {_SIZE_LIMIT} are not read")
        return Conflist.of(complete, path)

    def put(self, document: Document) -> Conflist:
        """Write a network of ours. Others must not read half of it: a lock, and a rename."""
        found = self.written(document)
        write_file(found.path, _text(found.document), 0o644, alone=True)
        return found

    def remove(self, name: str) -> bool:
        """False when there is none. A network of somebody else is not removed."""
        found = self.read().networks.get(name)
        if found is None:
            return False
        if not found.id:
            raise FailedPrecondition(f"the network {found.name} belongs to somebody else ({found.path}), and is not removed")
        remove_file(found.path)
        fsync_dir(os.path.dirname(found.path))
        return True

    @contextlib.contextmanager
    def locked(self, wait: t.Optional[float] = None) -> t.Iterator[None]:
        """Alone with nerdctl's lock: from looking for a free subnet to writing it down."""
        make_dir(self.path, 0o755)
        with locked(os.path.join(self.path, ".nerdctl.lock"), "the networks", wait):
            yield


def _files(directory: str) -> t.List[str]:
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_os_error(error, f"reading {directory}") from error
    return [os.path.join(directory, name) for name in names if name.endswith(_SUFFIXES) and not name.startswith(".")]


def _directories(path: str) -> t.List[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(one.path for one in entries if one.is_dir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error


def _text(document: Document) -> bytes:
    """A network as its file has it."""
    return json.dumps(document, indent=2).encode() + b"\n"


def _read(path: str) -> Conflist:
    try:
        # A pipe must not keep us waiting.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise InvalidArgument("it is not a file")
            raw = stream.read(_SIZE_LIMIT + 1)
    except OSError as error:
        raise from_os_error(error, "reading it") from error
    if len(raw) > _SIZE_LIMIT:
        raise InvalidArgument(f"it has more than {_SIZE_LIMIT} bytes")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"it is not JSON: {printable(error, 120)}") from error
    return Conflist.of(document, path)
