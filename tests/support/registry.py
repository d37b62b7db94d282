# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real docker-registry on loopback, plain, with TLS, or with basic authentication; and a pusher for OCI layouts."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import typing as t
import urllib.error
import urllib.parse
import urllib.request


class Registry(t.NamedTuple):
    """A running registry. ca: the file to trust (TLS only)."""

    address: str
    scheme: str
    ca: str
    username: str
    password: str
    log: pathlib.Path
    storage: pathlib.Path

    def url(self, path: str) -> str:
        return f"{self.scheme}://{self.address}{path}"

    def open(self, path: str, method: str = "GET", data: t.Any = None, headers: t.Optional[t.Dict[str, str]] = None) -> t.Any:
        """One request as the tests' own client (urllib)."""
        request = urllib.request.Request(path if "://" in path else self.url(path), data, dict(headers or {}), method=method)
        if self.username:
            pair = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
            request.add_header("Authorization", f"Basic {pair}")
        context = ssl.create_default_context(cafile=self.ca) if self.ca else None
        return urllib.request.urlopen(request, timeout=60, context=context)

    def has(self, path: str) -> bool:
        try:
            with self.open(path, "HEAD"):
                return True
        except urllib.error.HTTPError:
            return False

    def push(self, layout: pathlib.Path, descriptor: t.Mapping[str, t.Any], repository: str, tag: str) -> str:
        """Push what descriptor names in an OCI layout; the digest."""
        blobs = layout / "blobs" / "sha256"
        body = (blobs / str(descriptor["digest"])[7:]).read_bytes()
        document = json.loads(body)
        for child in document.get("manifests", []):
            self.push(layout, child, repository, str(child["digest"]))
        for blob in [document[key] for key in ("config",) if key in document] + document.get("layers", []):
            self._push_blob(blobs / blob["digest"][7:], blob, repository)
        headers = {"Content-Type": str(descriptor["mediaType"])}
        self.open(f"/v2/{repository}/manifests/{tag}", "PUT", body, headers).close()
        return str(descriptor["digest"])

    def _push_blob(self, path: pathlib.Path, blob: t.Mapping[str, t.Any], repository: str) -> None:
        if self.has(f"/v2/{repository}/blobs/{blob['digest']}"):
            return
        with self.open(f"/v2/{repository}/blobs/uploads/", "POST", b"") as response:
            location = urllib.parse.urljoin(self.url("/"), response.headers["Location"])
        location += ("&" if "?" in location else "?") + urllib.parse.urlencode({"digest": blob["digest"]})
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob["size"])}
        with path.open("rb") as stream:
            self.open(location, "PUT", stream, headers).close()


@contextlib.contextmanager
def own_port() -> t.Iterator[int]:
    """A port on loopback that the system gives to nobody else meanwhile. Connections are refused until something listens there, which a
    server can that sets SO_REUSEADDR, as docker-registry does.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


def make_ca(directory: pathlib.Path, names: str = "IP:127.0.0.1,DNS:localhost") -> t.Tuple[str, str, str]:
    """A private certificate authority, and a certificate of it for some names: (ca, certificate, key) files."""
    ca, key, request, certificate = (str(directory / name) for name in ("ca.pem", "key.pem", "request.pem", "cert.pem"))
    extension = directory / "extension"
    extension.write_text(f"subjectAltName={names}\n")
    run = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout"]
    subprocess.run(
        [*run, f"{ca}.key", "-x509", "-days", "2", "-subj", "/CN=test ca", "-out", ca], check=True, capture_output=True
    )
    subprocess.run([*run, key, "-subj", "/CN=127.0.0.1", "-out", request], check=True, capture_output=True)
    sign = ["openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", f"{ca}.key", "-CAcreateserial", "-days", "2"]
    subprocess.run([*sign, "-extfile", str(extension), "-out", certificate], check=True, capture_output=True)
    return ca, certificate, key


@contextlib.contextmanager
def running_registry(
    tls: bool = False, username: str = "", password: str = "", storage: t.Union[str, pathlib.Path] = ""
) -> t.Iterator[Registry]:
    """Start docker-registry on a free loopback port; stop and remove it at the end (a storage of one's own stays)."""
    base = pathlib.Path(tempfile.mkdtemp(prefix="fleet-registry-"))
    process: t.Optional[subprocess.Popen[bytes]] = None
    held = contextlib.ExitStack()
    try:
        address = f"127.0.0.1:{held.enter_context(own_port())}"
        where = pathlib.Path(storage) if storage else base / "storage"
        where.mkdir(exist_ok=True)
        http: t.Dict[str, t.Any] = {"addr": address, "secret": "only for tests"}
        config: t.Dict[str, t.Any] = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(where)}}, "http": http}
        ca = ""
        if tls:
            ca, certificate, key = make_ca(base)
            http["tls"] = {"certificate": certificate, "key": key}
        if username:
            done = subprocess.run(["htpasswd", "-nbB", username, password], check=True, capture_output=True)
            (base / "htpasswd").write_bytes(done.stdout)
            config["auth"] = {"htpasswd": {"realm": "test", "path": str(base / "htpasswd")}}
        (base / "config.yml").write_text(json.dumps(config))
        log = base / "log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                ["docker-registry", "serve", str(base / "config.yml")],
                stdout=stream,
                stderr=stream,
                env={"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"},
            )
        registry = Registry(address, "https" if tls else "http", ca, username, password, log, where)
        _wait_for(registry, process)
        yield registry
    finally:
        if process:
            process.terminate()
            process.wait(10)
        held.close()
        shutil.rmtree(base)


def _wait_for(registry: Registry, process: subprocess.Popen[bytes]) -> None:
    for _try in range(200):
        try:
            registry.open("/v2/").close()
            return
        except (OSError, urllib.error.URLError):
            if process.poll() is not None:
                break
            time.sleep(0.05)
    raise RuntimeError(f"docker-registry does not start: {registry.log.read_text()[-2000:]}")
