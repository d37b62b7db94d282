# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_distribute on a host: what it has, what an image consists of, its process, and the result of that."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import socket
import sys
import typing as t

from ...errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable, printable
from ...image.inspect import CONFIG_LIMIT, choose_manifest, inspect, is_stored, read_blob
from ...image.walk import blobs_of
from ...kernel.converge import Facts
from ...oci.digest import Digest
from ...oci.platform import Platform
from ...oci.reference import Reference
from ...relay.part import Part, control_address, is_ours
from ...relay.wire import PORTS
from ..registry.options import registry_options
from .values import progress_file

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...image.pull import Progress
    from ...oci.descriptor import Descriptor

# Each step imports what it needs: all hosts run all of them.
_START_SECONDS = 30.0
_LAST_PORT = 65536 - PORTS
_CODE = "import sys;sys.path.insert(0,sys.argv[1]);from fleet.resources.image.relaying import main;main()"


def distribute(params: t.Mapping[str, t.Any], engine: Engine) -> Facts:
    """One step on this host."""
    steps: t.Dict[str, t.Callable[[t.Mapping[str, t.Any], Engine], t.Dict[str, t.Any]]] = {
        "look": _look,
        "resolve": _resolve,
        "start": _start,
        "pull": _pull,
        "foresee": _foresee,
        "wait": _wait,
    }
    if params["step"] not in steps:
        raise InvalidArgument(f"step: {params['step']} is for the controller only: use the role image_distribute")
    _check(params)
    progress_file(params)
    result = steps[params["step"]](params, engine)
    return Facts(result, failure=str(result.pop("msg")) if result.pop("failed", False) else "")


def _check(params: t.Mapping[str, t.Any]) -> None:
    for option in ("heads", "max_parallel", "timeout"):
        if params[option] <= 0:
            raise InvalidArgument(f"{option}: {params[option]} is not a positive number")
    if not 0 < params["port"] <= _LAST_PORT:
        raise InvalidArgument(f"port: {params['port']} is not a port from 1 to {_LAST_PORT}")
    if params["listen"]:
        try:
            ipaddress.ip_address(params["listen"])
        except ValueError as error:
            raise InvalidArgument(f"listen: {printable(params['listen'], 100)!r} is not an IP address") from error


def _names(params: t.Mapping[str, t.Any]) -> t.List[Reference]:
    found = [Reference.parse(name, "images", "latest") for name in params["images"] or ()]
    if not found:
        raise InvalidArgument("images: no image is named")
    return list(dict.fromkeys(found))


# What is there


def _look(params: t.Mapping[str, t.Any], engine: Engine) -> t.Dict[str, t.Any]:
    registry_options(params)
    return {
        "address": params["listen"] or _own_address(),
        "port": params["port"],
        "platform": str(Platform.host()),
        "order_by": params["order_by"],
        "free": _free(engine),
        "images": {str(name): _found(name, engine) for name in _names(params)},
    }


def _found(name: Reference, engine: Engine) -> t.Dict[str, t.Any]:
    """What there is of an image: digest, whether it is done here, and its documents and blobs if they are complete."""
    try:
        record = engine.images.get(name.record)
    except NotFound:
        return {}
    found = inspect(engine, record, Platform.host())
    if found.view is None or (name.digest and name.digest != record.target.digest):
        return {}
    if not all(is_stored(engine.content, layer.digest) for layer in found.view.layers):
        return {}
    described = describe(lambda one: read_blob(engine.content, one, CONFIG_LIMIT), record.target, [Platform.host()])
    return {"done": not found.missing, **described}


def describe(read: t.Callable[[Descriptor], bytes], top: Descriptor, platforms: t.Sequence[Platform]) -> t.Dict[str, t.Any]:
    """top, documents (texts, by digest; configs, too) and blobs (sizes, by platform and digest) of an image. NotFound for a platform."""
    documents: t.Dict[str, str] = {}

    def reading(descriptor: Descriptor) -> bytes:
        body = read(descriptor)
        documents[str(descriptor.digest)] = body.decode()
        return body

    blobs: t.Dict[str, t.Dict[str, int]] = {}
    for platform in platforms:
        descriptor, manifest = choose_manifest(reading, top, platform)
        reading(manifest.config)
        parts = [top, descriptor, *blobs_of(manifest)]
        blobs[str(platform)] = {str(one.digest): one.size for one in parts}
    return {"top": top.to_json(), "digest": str(top.digest), "documents": documents, "blobs": blobs}


def _own_address() -> str:
    """That of the default route, where the kernel would send from."""
    for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            return str(probe.getsockname()[0])
    raise FailedPrecondition("listen: this host has no default route, so its address is not known: give listen")


def _free(engine: Engine) -> int:
    """Bytes on the disk of the blobs."""
    path = engine.places("")[0] if engine.kind == "containerd" else engine.data_root
    while path and not os.path.isdir(path):
        path = os.path.dirname(path)
    status = os.statvfs(path or "/")
    return status.f_bavail * status.f_frsize


def _resolve(params: t.Mapping[str, t.Any], engine: Engine) -> t.Dict[str, t.Any]:
    """Ask the registry, once for the whole play."""
    from ...image.source import RegistrySource, document_reader
    from ..registry.client import registry_client

    platforms = [Platform.parse(one) for one in params["platforms"] or [str(Platform.host())]]
    client = registry_client(registry_options(params))
    found = {}
    with contextlib.closing(client):
        for name in _names(params):
            source = RegistrySource(client, name._replace(tag="") if name.digest else name)
            top = source.document()
            found[str(name)] = describe(document_reader(source, top, CONFIG_LIMIT), top.descriptor, platforms)
    return {"images": found}


# The process


def _part(params: t.Mapping[str, t.Any]) -> t.Tuple[t.Any, Part]:
    try:
        data = json.loads(params["part"] or "")
        return data, Part.from_json(data)
    except (ValueError, KeyError, TypeError, AttributeError, InvalidArgument) as error:
        raise InvalidArgument("part: it comes from the controller: use the role image_distribute") from error


def _todo(part: Part, engine: Engine) -> t.List[str]:
    """The images that are not as they should be here."""
    todo = []
    for image in part.images:
        try:
            record = engine.images.get(image.name.record)
            if record.target.digest != image.top.digest or inspect(engine, record, Platform.host()).missing:
                todo.append(str(image.name))
        except NotFound:
            todo.append(str(image.name))
    return todo


def _foresee(params: t.Mapping[str, t.Any], engine: Engine) -> t.Dict[str, t.Any]:
    """What start would lead to. It only reads."""
    _data, part = _part(params)
    todo = _todo(part, engine)
    missing = sum(size for digest, size in part.blobs.items() if not is_stored(engine.content, Digest(digest))) if todo else 0
    sources = [image.sources for image in part.images if str(image.name) in todo]
    came = list(dict.fromkeys(part.peers[one[0]].name if one else "registry" for one in sources))
    free = _free(engine)
    result: t.Dict[str, t.Any] = {"changed": bool(todo), "todo": todo, "bytes": missing, "source": ", ".join(came), "free": free}
    if missing > free:
        result.update(failed=True, msg=f"{missing} bytes are to come, and the disk has {free} bytes free")
    return result


def _start(params: t.Mapping[str, t.Any], engine: Engine) -> t.Dict[str, t.Any]:
    from ...kernel.engines import EngineOptions
    from ...libexec.closure import closure
    from ...libexec.install import put
    from ...runtime.launch import start_serving
    from . import relaying

    data, part = _part(params)
    options = EngineOptions.of(params)._replace(engine=engine.kind)
    alone = relaying.ALONE_SECONDS + relaying.ALONE_SECONDS_A_HOST * part.hosts
    request = {**_request(params, part, engine), "engine": options._asdict(), "alone": alone, "part": data}
    program = put(engine.data_root, list(closure(relaying.__name__)))
    # Not the interpreter of other programs: the library for registries may be in an environment of its own.
    command = [sys.executable, "-I", "-c", _CODE, program]
    name = f"fleet-relay-{part.id}-{part.me}"
    line = start_serving(name, "The distribution of images", command, json.dumps(request).encode(), _START_SECONDS).decode()
    if line != "ready":
        raise FailedPrecondition(line.partition(" ")[2])
    # What changes the host is told by the step that waits for it.
    return {"changed": False, "todo": request["todo"]}


def _request(params: t.Mapping[str, t.Any], part: Part, engine: Engine) -> t.Dict[str, t.Any]:
    registry = registry_options(params)._asdict()
    return {"todo": _todo(part, engine), "registry": dict(registry), "max_parallel": params["max_parallel"]}


def _pull(params: t.Mapping[str, t.Any], engine: Engine) -> t.Dict[str, t.Any]:
    """Without other hosts, and without a process that stays: all from the registry, or its mirrors."""
    from . import relaying

    _data, part = _part(params)
    fetching = relaying.Fetching(engine, part, _request(params, part, engine))
    with _reported(params, fetching.progress, lambda: fetching.fetched):
        return _told(fetching.run())


def _wait(params: t.Mapping[str, t.Any], _engine: Engine) -> t.Dict[str, t.Any]:
    """Its result. A process that cannot be asked was killed."""
    from ...image.pull import Progress
    from ...kernel.interrupt import check

    _data, part = _part(params)
    address = control_address(part.id, part.me)
    progress: t.Dict[str, t.Any] = {"progress": [], "fetched": 0}
    line = progress

    def images() -> t.List[Progress]:
        return [Progress(**one) for one in progress["progress"]]

    try:
        with contextlib.ExitStack() as stack:
            connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            connection.settimeout(part.timeout + _START_SECONDS)
            connection.connect(address)
            if not is_ours(connection):
                raise OSError("another user's process answers in its place")
            stream = stack.enter_context(connection.makefile("rb"))
            stack.enter_context(_reported(params, images, lambda: int(progress["fetched"])))
            while "progress" in line:
                progress.update(line)
                check(reader=True)
                line = json.loads(stream.readline())
    except (OSError, ValueError) as error:
        raise Unavailable(f"the process of the distribution has ended before it was done: {printable(error, 100)}") from error
    return _told(line)


def _reported(
    params: t.Mapping[str, t.Any], images: t.Callable[[], t.Iterable[Progress]], fetched: t.Callable[[], int]
) -> t.ContextManager[None]:
    path = params["progress_file"]
    if not path:
        return contextlib.nullcontext()
    from ...image.progress import reported

    return reported(path, images, fetched)


def _told(result: t.Dict[str, t.Any]) -> t.Dict[str, t.Any]:
    return {"changed": bool(result["images"]), **result}
