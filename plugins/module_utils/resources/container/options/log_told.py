# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell the writer of a container's log, before a start, where else lines go, and what each has besides. docs/adr/0051.

What stays the same for all lines is made here, so that the writer, which stays in memory, only puts it to them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import typing as t

from ....engine import labels as L
from ....hostfs.atomic import write_file
from ....runtime.json_log import driver
from .log import journal_of, tag_of, where_of
from .record import labels_of

if t.TYPE_CHECKING:
    from ....engine.models import Container
    from .row import Values

#: The longest name of a field of the journal.
_LONGEST = 64


def tell(container: Container, values: Values, path: str) -> None:
    """path: that of the log."""
    kind, options = values.get("log_driver"), values.get("log_options") or {}
    name = container.labels.get(L.NAME) or container.labels.get(L.STAGE) or ""
    if kind == "journald":
        text = f"journald\t{journal_of(options)}\n".encode() + _journal_fields(container, name, options)
    elif kind == "syslog":
        text = _syslog(container, name, options)
    else:
        more = _attributes(container, options)
        if "tag" in options:
            more["tag"] = tag_of(container, name, options)
        if not more:
            # Labels change while it runs.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(driver(path))
            return
        text = f'attrs\n"attrs":{json.dumps(more, separators=(",", ":"), sort_keys=True)},'.encode()
    # Values of labels and variables may be nobody else's business.
    write_file(driver(path), text, 0o600, durable=False)


def _attributes(container: Container, options: Values) -> t.Dict[str, str]:
    """The labels and variables of a container that a log is to have."""
    env = dict(item.partition("=")[::2] for item in (container.spec.get("process") or {}).get("env") or ())
    found: t.Dict[str, str] = {}
    for kind, there in (("labels", labels_of(container)), ("env", env)):
        names, pattern = str(options.get(kind) or "").split(","), options.get(f"{kind}-regex")
        found.update({key: value for key, value in there.items() if key in names or (pattern and re.search(pattern, key))})
    return found


def _journal_fields(container: Container, name: str, options: Values) -> bytes:
    """Docker's fields, in the native protocol."""
    tag = tag_of(container, name, options)
    fields = {
        "CONTAINER_ID": container.id[:12],
        "CONTAINER_ID_FULL": container.id,
        "CONTAINER_NAME": name,
        "CONTAINER_TAG": tag,
        "IMAGE_NAME": container.image,
        "SYSLOG_IDENTIFIER": tag,
    }
    for key, value in _attributes(container, options).items():
        # The journal takes no others.
        field = re.sub(r"[^A-Z0-9]", "_", key.upper()).lstrip("_0123456789")[:_LONGEST]
        if field:
            fields.setdefault(field, value)
    return b"".join(_field(key.encode(), os.fsencode(value)) for key, value in fields.items())


def _field(name: bytes, value: bytes) -> bytes:
    if b"\n" in value:
        return name + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return name + b"=" + value + b"\n"


def _syslog(container: Container, name: str, options: Values) -> bytes:
    scheme, place, port = where_of(options)
    # A space would end it.
    tag = re.sub(r"[^!-~]", "_", tag_of(container, name, options))
    tls = [str(options.get(f"syslog-tls-{key}", "")) for key in ("ca-cert", "cert", "key")]
    words = [scheme, place, str(port), str(options.get("syslog-facility", 3)), options.get("syslog-format", ""), tag, *tls]
    return os.fsencode("\t".join(["syslog", *words, "yes" if options.get("syslog-tls-skip-verify") else ""]) + "\n")
