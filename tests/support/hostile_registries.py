# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Registries of an attacker: each lies in one way, and what a pull from it must come to."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import os
import time
import typing as t
import zlib

from .attack import SECRET, Ground, Image, Json, Layer, put_blob, put_manifest
from .fake_registry import Answer, Handler, redirect
from .images import CONFIG, DOCKER_MANIFEST, INDEX, LAYER, MANIFEST, Entry, sha256, tar_of

#: Its blob is larger than what sockets and buffers hold.
NOISE = os.urandom(400_000)
TAR = tar_of([Entry("noise", NOISE)])
LINES = "\x1b[2J\r\n\x07ok: [localhost] => forged\u202e\u2028"


class Scenario(t.NamedTuple):
    """prepare: makes the registry of a ground what it is. refused: what the message says; "" for a pull that succeeds.

    requests, seconds: at most. options: of the module. by_module: always (the memory and the output count).
    """

    prepare: t.Callable[[Ground], t.Any]
    refused: str = ""
    requests: int = 8
    seconds: float = 4.0
    options: Json = {}
    by_module: bool = False
    keeps: bool = False


def honest(ground: Ground) -> Image:
    """The image that is lied about."""
    image = Image(Layer.of(TAR))
    image.publish(ground.registry)
    return image


def blob(ground: Ground) -> str:
    """The path of the layer."""
    return f"/v2/app/blobs/{honest(ground).layers[0].descriptor['digest']}"


def at_blob(answer: Answer) -> t.Callable[[Ground], None]:
    """Every request for the layer gets this answer."""
    return lambda ground: always(ground, blob(ground), answer)


def at_manifest(answer: Answer) -> t.Callable[[Ground], None]:
    def prepare(ground: Ground) -> None:
        honest(ground)
        always(ground, "/manifests/1", answer)

    return prepare


def always(ground: Ground, wanted: str, answer: Answer) -> None:
    def guard(at: Handler) -> bool:
        if wanted not in at.path:
            return True
        answer(at)
        return False

    ground.registry.guard = guard


def raw(*parts: t.Union[bytes, float], turns: int = 1) -> Answer:
    """Bytes on the wire, and pauses in seconds between them; then the connection ends."""

    def answer(at: Handler) -> None:
        at.close_connection = True
        with contextlib.suppress(OSError):
            for part in parts * turns:
                if isinstance(part, bytes):
                    at.wfile.write(part)
                    at.wfile.flush()
                else:
                    time.sleep(part)

    return answer


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def body(data: bytes, status: int = 200, media_type: str = MANIFEST, **headers: str) -> Answer:
    return lambda at: at.answer(status, data, media_type, {key.replace("_", "-"): value for key, value in headers.items()})


def to(place: str, answer: str = "") -> t.Callable[[Ground], None]:
    """The layer is redirected; {registry} and {elsewhere} are addresses."""

    def prepare(ground: Ground) -> None:
        path = blob(ground)
        ground.elsewhere.contents[path] = ground.registry.contents[path]
        target = place.format(registry=ground.registry.address, elsewhere=ground.elsewhere.address, path=path)
        always(ground, path, redirect(target))

    return prepare


def ping_pong(ground: Ground) -> None:
    path = blob(ground)
    always(ground, path, redirect(f"http://{ground.elsewhere.address}/x"))
    ground.elsewhere.guard = lambda at: bool(at.answer(302, headers={"Location": f"http://{ground.registry.address}{path}"}))


def heavy_redirect(head: bytes, *parts: bytes) -> t.Callable[[Ground], None]:
    """A redirect with a body that has no end; its target is good."""

    def prepare(ground: Ground) -> None:
        path = blob(ground)
        ground.elsewhere.contents[path] = ground.registry.contents[path]
        start = b"HTTP/1.1 307 Go\r\nLocation: http://" + f"{ground.elsewhere.address}{path}\r\n".encode()
        always(ground, path, raw(start + head + b"\r\n", *(parts * 3000)))

    return prepare


def basic(at: Handler) -> bool:
    """Credentials are needed."""
    pair = base64.b64encode(f"user:{SECRET}".encode()).decode()
    if at.headers.get("Authorization") == f"Basic {pair}":
        return True
    at.answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
    return False


def locked(then: t.Callable[[Ground], t.Any]) -> t.Callable[[Ground], None]:
    """Only with credentials, and then something else happens."""

    def prepare(ground: Ground) -> None:
        then(ground)
        inner = ground.registry.guard
        ground.registry.guard = lambda at: basic(at) and (inner is None or inner(at))

    return prepare


def greedy_elsewhere(challenge: str) -> t.Callable[[Ground], None]:
    """The layer is elsewhere, where credentials are asked for, and a cookie is set."""

    def prepare(ground: Ground) -> None:
        to("http://{elsewhere}{path}")(ground)
        text = challenge.format(elsewhere=ground.elsewhere.address)
        ground.elsewhere.guard = lambda at: bool(at.answer(401, headers={"WWW-Authenticate": text, "Set-Cookie": "a=b; Path=/"}))

    return prepare


def challenged(header: str, token: t.Optional[Answer] = None) -> t.Callable[[Ground], None]:
    """A token is needed; the service for it is elsewhere, and gives whatever token says."""

    def prepare(ground: Ground) -> None:
        honest(ground)
        text = header.format(elsewhere=ground.elsewhere.address)
        ground.registry.guard = lambda at: bool(at.answer(401, headers={"WWW-Authenticate": text}))
        if token:
            given = token
            ground.elsewhere.guard = lambda at: bool(given(at))

    return prepare


def many_challenges(at: Handler) -> None:
    at.send_response(401)
    for number in range(90):
        at.send_header("WWW-Authenticate", "Bearer" + " \t" * 2000 + f"realm{number}")
    at.send_header("Content-Length", "0")
    at.end_headers()


def bomb(mebibytes: int) -> bytes:
    return gzip.compress(bytes(1024 * 1024), 9, mtime=0) * mebibytes


def chunks(data: bytes, size: int) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (data[at : at + size] for at in range(0, len(data), size)))


def endless(at: Handler) -> None:
    raw(CHUNKED, *[b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 20_000)(at)


def with_manifest(media_type: str = MANIFEST, drop: str = "", **changes: t.Any) -> t.Callable[[Ground], None]:
    """The honest image, with another manifest."""

    def prepare(ground: Ground) -> None:
        image = honest(ground)
        config = json.dumps(image.config).encode()
        own = {"mediaType": CONFIG, "digest": sha256(config), "size": len(config)}
        manifest = {"config": own, **image.manifest, **changes}
        manifest.pop(drop, None)
        put_manifest(ground.registry, json.dumps(manifest).encode(), media_type)

    return prepare


def with_layer(**changes: t.Any) -> t.Callable[[Ground], None]:
    """The honest image, with another descriptor of its layer."""
    return with_manifest(layers=[{**Layer.of(TAR).descriptor, **changes}])


def with_config(data: t.Union[bytes, Json], **descriptor: t.Any) -> t.Callable[[Ground], None]:
    """The honest image, with another config."""

    def prepare(ground: Ground) -> None:
        image = honest(ground)
        config = data if isinstance(data, bytes) else json.dumps({**image.config, **data}).encode()
        put_blob(ground.registry, config)
        own = {"mediaType": CONFIG, "digest": sha256(config), "size": len(config), **descriptor}
        put_manifest(ground.registry, json.dumps({**image.manifest, "config": own}).encode())

    return prepare


def text(data: bytes, media_type: str = MANIFEST) -> t.Callable[[Ground], None]:
    """These bytes as the manifest."""
    return lambda ground: put_manifest(ground.registry, data, media_type)


def index(*children: t.Any, **changes: t.Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(children), **changes}).encode()


def child(data: bytes, media_type: str = MANIFEST, architecture: str = "amd64", **more: t.Any) -> Json:
    platform = {"os": "linux", "architecture": architecture}
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data), "platform": platform, **more}


def nested(depth: int) -> t.Callable[[Ground], None]:
    """Indexes in indexes."""

    def prepare(ground: Ground) -> None:
        honest(ground)
        data, media_type = ground.registry.contents["/v2/app/manifests/1"]
        for _level in range(depth):
            data = put_manifest(ground.registry, index(child(data, media_type)), INDEX)
            media_type = INDEX

    return prepare


def with_index(*more: Json, **changes: t.Any) -> t.Callable[[Ground], None]:
    def prepare(ground: Ground) -> None:
        honest(ground)
        data, _media_type = ground.registry.contents["/v2/app/manifests/1"]
        put_manifest(ground.registry, index(*more, child(data), **changes), INDEX)

    return prepare


REDIRECTS: t.Dict[str, Scenario] = {
    "to itself": Scenario(to("{path}"), "more than 5 redirects", 9),
    "to and fro": Scenario(ping_pong, "more than 5 redirects", 6),
    "to a file": Scenario(to("file:///etc/passwd"), "which is refused"),
    "to ftp": Scenario(to("ftp://{elsewhere}/x"), "which is refused"),
    "to gopher": Scenario(to("gopher://{elsewhere}/x"), "which is refused"),
    "to data": Scenario(to("data:text/plain,x"), "which is refused"),
    "to no URL": Scenario(to("http://[::1"), "unusable URL"),
    "to a port of words": Scenario(to("http://{elsewhere}x/"), "unusable URL|cannot be reached"),
    "to a port that is none": Scenario(to("http://127.0.0.1:99999/"), "unusable URL"),
    "to a name that is none": Scenario(to("http://" + "a" * 300 + ".invalid/"), "a" * 50, keeps=True),
    "to a name with lines": Scenario(to("http://exa\x1b[31mmple/\x07"), "exa"),
    "to nothing": Scenario(to("http:///x"), "HTTP 404"),
    "to a closed port": Scenario(to("http://127.0.0.1:1/x"), "cannot be reached", keeps=True),
    "to an empty place": Scenario(to(""), "more than 5 redirects", 9),
    "without a place": Scenario(at_blob(body(b"", 302)), "is shorter than", 10),
    "elsewhere": Scenario(to("http://{elsewhere}{path}")),
    "elsewhere without a scheme": Scenario(to("//{elsewhere}{path}")),
    "elsewhere with a password": Scenario(to("http://user:word@{elsewhere}{path}")),
    "elsewhere, which asks for credentials": Scenario(locked(greedy_elsewhere('Basic realm="x"')), "refuses access", 10),
    "elsewhere, which asks for a token": Scenario(
        locked(greedy_elsewhere('Bearer realm="http://{elsewhere}/token",service="x"')), "refuses access", 10
    ),
    "with an endless body": Scenario(
        heavy_redirect(b"Transfer-Encoding: chunked\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"), by_module=True
    ),
    "with a bomb": Scenario(
        heavy_redirect(b"Content-Encoding: gzip\r\nContent-Length: %d\r\n" % (len(bomb(1)) * 3000), bomb(1)), by_module=True
    ),
    "with a body that stalls": Scenario(heavy_redirect(b"Content-Length: 50\r\n", b"")),
}

TOKENS: t.Dict[str, Scenario] = {
    "a realm that is a file": Scenario(challenged('Bearer realm="file:///etc/shadow"'), "which is refused"),
    "a realm without TLS": Scenario(challenged('Bearer realm="http://192.0.2.1/token"'), "which is refused"),
    "a realm of the cloud": Scenario(challenged('Bearer realm="http://169.254.169.254/latest/meta-data"'), "which is refused"),
    "a realm that seems to be loopback": Scenario(
        challenged('Bearer realm="http://127.0.0.1@192.0.2.1/token"'), "which is refused"
    ),
    "a realm that seems to be loopback, again": Scenario(
        challenged('Bearer realm="http://127.0.0.1.example.invalid/"'), "which is refused"
    ),
    "a realm with a backslash": Scenario(
        challenged('Bearer realm="http://192.0.2.1\\\\@127.0.0.1:1/"'), "refused|unusable|cannot be reached", keeps=True
    ),
    "a realm that is no URL": Scenario(challenged('Bearer realm="http://[::1/token"'), "unusable URL"),
    "an empty realm": Scenario(challenged('Bearer realm=""'), "which is refused"),
    "no realm": Scenario(challenged("Bearer"), "which is refused"),
    "a realm for terminals": Scenario(challenged('Bearer realm="ftp://\x1b[31mx\x07/"'), "unusable URL|which is refused"),
    "an unknown scheme": Scenario(challenged("Negotiate abc"), "no way to authenticate"),
    "no challenge": Scenario(challenged(""), "no way to authenticate"),
    "a challenge of rubbish": Scenario(challenged('=,"\\",,;Bearer ="'), "no way to authenticate|which is refused"),
    "very many challenges": Scenario(lambda ground: (honest(ground), always(ground, "/", many_challenges)), "refuse"),
    "a token without an end": Scenario(
        challenged('Bearer realm="http://{elsewhere}/token"', endless), "longer than 1048576 bytes", by_module=True
    ),
    "a token that is a bomb": Scenario(
        challenged(
            'Bearer realm="http://{elsewhere}/token"',
            body(gzip.compress(b'{"token":"' + b"x" * 50_000_000), Content_Encoding="gzip"),
        ),
        "longer than 1048576 bytes",
        by_module=True,
    ),
    "a token that is deep": Scenario(
        challenged('Bearer realm="http://{elsewhere}/token"', body(b"[" * 500_000)), "no usable token"
    ),
    "a token that is long": Scenario(
        challenged('Bearer realm="http://{elsewhere}/token"', body(json.dumps({"token": "x" * 200_000}).encode())),
        "no usable token",
    ),
    "a token that is a number": Scenario(
        challenged('Bearer realm="http://{elsewhere}/token"', body(b'{"token":1}')), "no usable token"
    ),
    "a token with a header in it": Scenario(
        challenged('Bearer realm="http://{elsewhere}/token"', body(b'{"token":"a\\r\\nX-Evil: 1"}')), "no usable token"
    ),
    "a token that is refused": Scenario(
        challenged('Bearer realm="http://{elsewhere}/token"', body(b'{"token":"good"}')),
        "wrong credentials|credentials are needed",
    ),
    "a service that redirects": Scenario(
        challenged('Bearer realm="http://{elsewhere}/token"', redirect("http://192.0.2.1/")), "refuses a token with HTTP 307"
    ),
    "a service that refuses": Scenario(challenged('Bearer realm="http://{elsewhere}/token"', body(b"", 401)), "refuses a token"),
    "a service that stalls": Scenario(
        challenged('Bearer realm="http://{elsewhere}/token"', raw(3.0)), "cannot be reached", options={"retries": 0}, keeps=True
    ),
}

DOCUMENTS: t.Dict[str, Scenario] = {
    "without an end": Scenario(at_manifest(endless), "longer than 4194304 bytes", by_module=True),
    "too long": Scenario(text(b"{" + b" " * 4_194_304 + b"}"), "longer than 4194304 bytes"),
    "a bomb": Scenario(
        at_manifest(body(gzip.compress(bytes(60_000_000)), Content_Encoding="gzip")), "longer than 4194304 bytes", by_module=True
    ),
    "a bomb in a bomb": Scenario(
        at_manifest(body(gzip.compress(bomb(300)), Content_Encoding="gzip, gzip")), "not valid JSON", by_module=True
    ),
    "deflated": Scenario(at_manifest(body(zlib.compress(bytes(10_000_000)), Content_Encoding="deflate")), "not valid JSON"),
    "said to be packed": Scenario(at_manifest(body(b"rubbish", Content_Encoding="gzip")), "not valid JSON"),
    "no JSON": Scenario(text(b"<html>"), "not valid JSON"),
    "JSON with NaN": Scenario(text(b'{"schemaVersion": NaN}'), "not valid JSON"),
    "a list": Scenario(text(b"[]"), "not a JSON object"),
    "deep": Scenario(text(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "nested deeper"),
    "deep lists": Scenario(text(b'{"schemaVersion":2,"layers":' + b"[" * 1_000_000), "nested deeper"),
    "a key twice": Scenario(text(b'{"schemaVersion":2,"schemaVersion":2}'), "the same key twice"),
    "half a pair of surrogates": Scenario(text(b'{"schemaVersion":2,"annotations":{"a":"\\ud800"}}'), "not valid JSON"),
    "not UTF-8": Scenario(text(b'{"a":"\xff"}'), "not valid JSON"),
    "UTF-16": Scenario(text('{"schemaVersion":2}'.encode("utf-16")), "not valid JSON"),
    "a number of a million digits": Scenario(text(b'{"schemaVersion":' + b"2" * 1_000_000 + b"}"), "not valid JSON"),
    "a million objects": Scenario(
        text(b'{"layers":[' + b",".join([b"{}"] * 1_390_000) + b"]}"), "has no schemaVersion", by_module=True, seconds=8
    ),
    "a million keys": Scenario(
        text(b'{"a":[' + b",".join([b'{"a":1}'] * 520_000) + b"]}"), "has no schemaVersion", by_module=True, seconds=8
    ),
    "another kind": Scenario(with_manifest(mediaType=INDEX), "was announced as"),
    "announced as an index": Scenario(with_manifest(media_type=INDEX), "was announced as"),
    "announced as docker's": Scenario(with_manifest(media_type=DOCKER_MANIFEST), "was announced as"),
    "announced as a page": Scenario(with_manifest(media_type="text/html"), "is not an image"),
    "announced as nothing": Scenario(with_manifest(media_type=""), "is not an image"),
    "of two kinds": Scenario(with_manifest(manifests=[]), "neither an index nor a manifest"),
    "of schema 1": Scenario(with_manifest(schemaVersion=1), "schema 1"),
    "of schema 3": Scenario(with_manifest(schemaVersion=3), "is not 2"),
    "of schema true": Scenario(with_manifest(schemaVersion=True), "not an integer"),
    "of schema 2.0": Scenario(with_manifest(schemaVersion=2.0), "not an integer"),
    "without a config": Scenario(with_manifest(config=None), "has no mediaType"),
    "without layers": Scenario(with_manifest(drop="layers"), "has no layers"),
    "layers that are none": Scenario(with_manifest(layers={"0": {}}), "is not a list"),
    "a layer that is none": Scenario(with_manifest(layers=[1]), "is not an object"),
    "513 layers": Scenario(with_manifest(layers=[Layer.of(TAR).descriptor] * 513), "has 513 layers"),
    "10,000 layers": Scenario(with_manifest(layers=[Layer.of(TAR).descriptor] * 10_000), "has 10000 layers"),
    "more layers than the config": Scenario(with_manifest(layers=[Layer.of(TAR).descriptor] * 2), "has 2 layers, its config 1"),
    "a negative size": Scenario(with_layer(size=-1), "out of range"),
    "a size of words": Scenario(with_layer(size="1"), "not an integer"),
    "a size with a point": Scenario(with_layer(size=1.5), "not an integer"),
    "a size of true": Scenario(with_layer(size=True), "not an integer"),
    "a size without bounds": Scenario(with_layer(size=2**63), "out of range"),
    "a size of a disk": Scenario(with_layer(size=2**62), "No space left|longer|shorter", 8),
    "an unknown digest": Scenario(with_layer(digest="md5:" + "0" * 32), "invalid digest"),
    "a short digest": Scenario(with_layer(digest="sha256:beef"), "invalid digest"),
    "a digest in capitals": Scenario(with_layer(digest="sha256:" + "A" * 64), "invalid digest"),
    "a digest that leads out": Scenario(with_layer(digest="sha256:../../../../canary/canary"), "invalid digest"),
    "a digest of two lines": Scenario(with_layer(digest="sha256:" + "0" * 64 + "\n"), "invalid digest"),
    "a digest of other digits": Scenario(with_layer(digest="sha256:" + "\u0661" * 64), "invalid digest"),
    "a digest of another blob": Scenario(with_layer(digest="sha512:" + "0" * 128), "HTTP 404"),
    "a media type with a header": Scenario(with_layer(mediaType=LAYER + "\r\nX-Evil: 1"), "is not a media type"),
    "a media type of others": Scenario(with_layer(mediaType=LAYER + "\u00e9"), "is not a media type"),
    "a media type for terminals": Scenario(with_layer(mediaType=f"a/{LINES}"), "is not a media type"),
    "a layer that is no layer": Scenario(with_layer(mediaType="application/vnd.in-toto+json"), "no file system layer"),
    "a foreign layer": Scenario(
        with_layer(mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", urls=["http://192.0.2.1/"]),
        "may not be distributed",
    ),
    "a nondistributable layer": Scenario(
        with_layer(mediaType="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", urls=["file:///etc/passwd"]),
        "may not be distributed",
    ),
    "urls of others": Scenario(with_layer(urls=["http://192.0.2.1/", "file:///etc/passwd"])),
    "data in a descriptor": Scenario(with_layer(data=base64.b64encode(b"other").decode())),
    "annotations that are none": Scenario(with_layer(annotations=[1]), "is not an object"),
    "annotations of objects": Scenario(with_manifest(annotations={"a": {}}), "map of strings"),
    "reserved annotations": Scenario(with_manifest(annotations={"containerd.io/restart.loguri": "binary:///bin/sh"})),
    "a digest in the header": Scenario(at_manifest(body(b"{}", Docker_Content_Digest="sha256:" + "0" * 64)), "registry's digest"),
    "a config that is none": Scenario(with_config(b"no config"), "not valid JSON"),
    "a config that is a list": Scenario(with_config(b"[]"), "not a JSON object"),
    "a config that is large": Scenario(with_config(b"{" + b" " * 5_000_000 + b"}"), "larger than"),
    "a config that is huge": Scenario(with_config(b"{}", size=2**40), "the limit is"),
    "a config of another size": Scenario(with_config(b"{}  ", size=2), "longer than", 12),
    "a config that is a layer": Scenario(with_config({"rootfs": {"type": "windows"}}), "not of type layers"),
    "env that is none": Scenario(with_config({"config": {"Env": [1]}}), "not a list of strings"),
    "env that is a map": Scenario(with_config({"config": {"Env": {"A": "b"}}}), "is not a list"),
    "a user that is a number": Scenario(with_config({"config": {"User": 0}}), "is not a string"),
    "a NUL in a command": Scenario(with_config({"config": {"Cmd": ["a\0b"]}}), "not a list of strings"),
    "a platform for terminals": Scenario(with_config({"architecture": LINES}), "not part of a platform"),
    "labels for terminals": Scenario(
        with_config({"config": {"Labels": {"a": LINES, LINES: "b"}, "Env": [LINES]}}), by_module=True
    ),
    "diff ids that are none": Scenario(with_config({"rootfs": {"type": "layers", "diff_ids": ["x"]}}), "invalid digest"),
    "very many diff ids": Scenario(
        with_config({"rootfs": {"type": "layers", "diff_ids": [sha256(TAR)] * 40_000}}), "its config 40000"
    ),
    "indexes in indexes": Scenario(nested(2)),
    "indexes in indexes in indexes": Scenario(nested(3), "deeper than 2"),
    "indexes without an end": Scenario(nested(40), "deeper than 2"),
    "an index of many": Scenario(with_index(*[child(b"x", architecture=f"a{n}") for n in range(9000)])),
    "an index of too many": Scenario(
        with_index(*[child(b"x", architecture=f"a{n}") for n in range(30_000)]), "longer than 4194304 bytes"
    ),
    "an index of nothing": Scenario(text(index(), INDEX), "no manifest for platform"),
    "an index of blobs": Scenario(
        text(index({"mediaType": LAYER, "digest": sha256(TAR), "size": 1}), INDEX), "no manifest for platform"
    ),
    "an index with a config": Scenario(with_index(config={}), "neither an index nor a manifest"),
    "an index for terminals": Scenario(
        text(index({**child(b"x"), "platform": {"os": "linux", "architecture": LINES}}), INDEX), "not part of a platform"
    ),
    "an index that lies about sizes": Scenario(text(index({**child(b"x"), "size": 2**40}), INDEX), "the limit is"),
    "an index that leads nowhere": Scenario(text(index(child(b"x")), INDEX), "the registry has no"),
    "an index that leads to rubbish": Scenario(
        lambda ground: (put_manifest(ground.registry, b"rubbish", tag=""), text(index(child(b"rubbish")), INDEX)(ground)),
        "not valid JSON",
    ),
}

WIRE: t.Dict[str, Scenario] = {
    "a blob without an end": Scenario(at_blob(endless), "longer than its descriptor", by_module=True),
    "a blob that is longer": Scenario(lambda ground: put(ground, lambda data: data + b"x"), "longer than its descriptor"),
    "a blob that is shorter": Scenario(lambda ground: put(ground, lambda data: data[:-1]), "shorter than its descriptor"),
    "a blob that is another": Scenario(lambda ground: put(ground, lambda data: b"x" * len(data)), "content does not match"),
    "no HTTP": Scenario(at_blob(raw(b"SSH-2.0-x\r\n")), "cannot be reached", keeps=True),
    "no HTTP at all": Scenario(
        lambda ground: (honest(ground), always(ground, "/", raw(os.urandom(3000)))), "cannot be reached", keeps=True
    ),
    "HTTP of another version": Scenario(at_blob(raw(b"HTTP/9.9 200 OK\r\n\r\n")), "cannot be reached", keeps=True),
    "a status without an end": Scenario(at_blob(raw(b"HTTP/1.1 200 " + b"x" * 200_000)), "cannot be reached", keeps=True),
    "headers without an end": Scenario(at_blob(raw(OK + b"X-A: b\r\n" * 5000 + b"\r\n")), "cannot be reached", keeps=True),
    "a header without an end": Scenario(at_blob(raw(OK + b"X-A: " + b"x" * 200_000)), "cannot be reached", keeps=True),
    "continue without an end": Scenario(
        at_blob(raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 500, turns=10_000)), "cannot be reached", seconds=8, keeps=True
    ),
    "headers, a byte at a time": Scenario(at_blob(raw(b"H", 0.1, turns=60)), "cannot be reached", keeps=True),
    "a stall before headers": Scenario(at_blob(raw(2.0)), "cannot be reached", keeps=True),
    "a stall in headers": Scenario(at_blob(raw(OK + b"X-A: b", 2.0)), "cannot be reached", keeps=True),
    "a stall before the body": Scenario(at_blob(raw(OK + b"\r\n", 2.0)), "broke off", keeps=True),
    "a stall in the body": Scenario(at_blob(raw(OK + b"\r\n" + b"x" * 1000, 2.0)), "broke off", keeps=True),
    "a body, a byte at a time": Scenario(
        at_blob(raw(OK + b"\r\n", *([b"x", 0.1] * 60))), "broke off|too slow", seconds=6, keeps=True
    ),
    "chunks, a byte at a time": Scenario(at_blob(raw(CHUNKED, *([b"1\r\nx\r\n", 0.1] * 60))), "broke off", seconds=6, keeps=True),
    "a chunk of less than nothing": Scenario(
        at_blob(raw(CHUNKED + b"-1\r\n" + b"x" * 65536, *[b"x" * 65536] * 3000)), "broke off", keeps=True, by_module=True
    ),
    "a chunk of very much": Scenario(at_blob(raw(CHUNKED + b"f" * 30 + b"\r\n" + b"x" * 1000)), "broke off|early", keeps=True),
    "a chunk of words": Scenario(at_blob(raw(CHUNKED + b"zz\r\nx\r\n")), "broke off|early", keeps=True),
    "a chunk with an endless name": Scenario(at_blob(raw(CHUNKED + b"1;" + b"x" * 200_000)), "broke off|early", keeps=True),
    "trailers without an end": Scenario(
        at_blob(raw(CHUNKED + b"1\r\nx\r\n0\r\n", *[b"X-A: b\r\n" * 500] * 10_000)), "broke off", seconds=8, keeps=True
    ),
    "a negative length": Scenario(at_blob(raw(OK + b"Content-Length: -5\r\n\r\n" + b"x" * 50)), "early|broke off", keeps=True),
    "a length of other digits": Scenario(
        at_blob(raw(OK + b"Content-Length: \xb2\r\n\r\n" + b"x" * 50)), "early|broke off", keeps=True
    ),
    "a length without bounds": Scenario(
        at_blob(raw(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nx")), "early|broke off|longer", keeps=True
    ),
    "two lengths": Scenario(
        at_blob(raw(OK + b"Content-Length: 5\r\nContent-Length: 9\r\n\r\n" + b"x" * 50)),
        "early|broke off|shorter|cannot",
        keeps=True,
    ),
    "an unknown encoding of transfer": Scenario(
        at_blob(raw(OK + b"Transfer-Encoding: gzip\r\n\r\n" + b"x" * 50)), "early|broke off", keeps=True
    ),
    "a packed blob": Scenario(
        at_blob(body(bomb(50), Content_Encoding="gzip")), "shorter than its descriptor|longer", by_module=True
    ),
    "an error with lines": Scenario(
        at_blob(body(json.dumps({"errors": [{"code": LINES, "message": LINES}]}).encode(), 403)), "denies access", by_module=True
    ),
    "an error with lines in its reason": Scenario(
        at_blob(raw(b"HTTP/1.1 403 \x1b[31mEvil\x07\r\nContent-Length: 0\r\n\r\n")), "denies access"
    ),
    "an error without an end": Scenario(
        at_blob(raw(b"HTTP/1.1 400 Bad\r\n\r\n", *[b"x" * 65536] * 3000)), "HTTP 400", by_module=True
    ),
    "an error that is a bomb": Scenario(at_blob(body(bomb(60), 400, Content_Encoding="gzip")), "HTTP 400", by_module=True),
    "an error that stalls": Scenario(at_blob(raw(b"HTTP/1.1 400 Bad\r\nContent-Length: 50\r\n\r\nx", 2.0)), "HTTP 400"),
    "an error of many": Scenario(
        at_blob(body(json.dumps({"errors": [{"code": "x" * 9999, "message": ["y"] * 999}] * 99}).encode(), 418)), "HTTP 418"
    ),
    "a deep error": Scenario(at_blob(body(b"[" * 60_000, 400)), "HTTP 400"),
    "an unknown status": Scenario(at_blob(raw(b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n")), "HTTP 999"),
    "no content": Scenario(at_blob(body(b"", 204)), "shorter than|early", 8, keeps=True),
    "a range unasked": Scenario(at_blob(body(NOISE, 206, Content_Range="bytes 5-9/10")), "range that was not asked for"),
    "wait for ever": Scenario(at_blob(body(b"", 429, Retry_After="9" * 400)), "HTTP 429", options={"retries": 0}, keeps=True),
    "wait until the end of time": Scenario(
        at_blob(body(b"", 503, Retry_After="Mon, 01 Jan 99999999999 00:00:00 GMT")), "HTTP 503", keeps=True
    ),
    "wait less than nothing": Scenario(at_blob(body(b"", 503, Retry_After="-5")), "HTTP 503", keeps=True),
    "wait for other digits": Scenario(
        at_blob(raw(b"HTTP/1.1 503 x\r\nRetry-After: \xb2\r\nContent-Length: 0\r\n\r\n")), "HTTP 503", keeps=True
    ),
    "a byte for each request": Scenario(
        lambda ground: drops(ground, 1), "early|broke off", 12, options={"retries": 2}, keeps=True
    ),
}


def put(ground: Ground, change: t.Callable[[bytes], bytes]) -> None:
    path = blob(ground)
    data, media_type = ground.registry.contents[path]
    ground.registry.contents[path] = (change(data), media_type)


def drops(ground: Ground, count: int) -> None:
    """Every request for the layer is answered rightly, and breaks off after a few bytes."""
    path = blob(ground)
    data = ground.registry.contents[path][0]

    def answer(at: Handler) -> None:
        asked = at.headers.get("Range") or "bytes=0-"
        start = int(asked[6:].rstrip("-"))
        head = f"HTTP/1.1 206 x\r\nContent-Range: bytes {start}-{len(data) - 1}/{len(data)}\r\nContent-Length: {len(data) - start}\r\n\r\n"
        raw(head.encode() + data[start : start + count])(at)

    always(ground, path, answer)


CORPUS: t.Dict[str, t.Dict[str, Scenario]] = {"redirects": REDIRECTS, "tokens": TOKENS, "documents": DOCUMENTS, "wire": WIRE}
