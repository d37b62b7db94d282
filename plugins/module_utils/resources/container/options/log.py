# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the output of a container goes: the options log_driver and log_options. docs/adr/0051."""

from __future__ import annotations

import re
import typing as t

from ....errors import FailedPrecondition, InvalidArgument, printable
from ....kernel.field import Field
from ....oci.sizes import parse_size
from .row import Context, Draft, Host, Live, Row, Seen, Value, Values, bad, fixed, nothing, parse_text

if t.TYPE_CHECKING:
    from ....engine.models import Container

_FILE, _JOURNAL, _SYSLOG = "json-file", "journald", "syslog"
#: Those that every container has.
_DEFAULTS = {"max-size": 0, "max-file": 1}
#: The copy of what goes to the journal or to syslog (ADR 0051), as Docker has it.
_CACHE = {"cache-max-size": 20 * 1024 * 1024, "cache-max-file": 5}
_TAG = "{{.ID}}"
#: Docker's names, as in syslog(3).
_FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "", "", "", ""),
    *(f"local{number}" for number in range(8)),
)
_DAEMON = 3
_FORMATS = ("", "rfc3164", "rfc5424", "rfc5424micro")
_SCHEMES = ("unix", "unixgram", "udp", "tcp", "tcp+tls")
#: The words of a tag, and what they stand for.
_WORDS: t.Mapping[str, t.Callable[[Container, str], str]] = {
    ".ID": lambda one, name: one.id[:12],
    ".FullID": lambda one, name: one.id,
    ".Name": lambda one, name: name,
    ".ImageID": lambda one, name: image_id(one).rpartition(":")[2][:12],
    ".ImageFullID": lambda one, name: image_id(one),
    ".ImageName": lambda one, name: one.image,
    ".DaemonName": lambda one, name: "containerd",
    ".Command": lambda one, name: " ".join((one.spec.get("process") or {}).get("args") or ()),
}
_WORD = r"\{\{-?\s*(.*?)\s*-?\}\}"


def image_id(container: Container) -> str:
    from ....engine.labels import DESIRED

    return str(((container.extensions.get(DESIRED) or {}).get("image") or {}).get("config") or "")


def _count(value: Value, option: str) -> int:
    if not re.match(r"0*[1-9][0-9]{0,8}\Z", str(value)):
        raise bad(option, value, "a positive number")
    return int(value)


def _flag(value: Value, option: str) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise bad(option, value, "true or false")
    return str(value).lower() == "true"


def _plain(value: Value, option: str) -> str:
    text = parse_text(str(value), option)
    if not text.isprintable():
        raise bad(option, value, "usable: it holds control characters")
    return text


def _tag(value: Value, option: str) -> str:
    text = _plain(value, option)
    for word in re.findall(_WORD, text):
        if word not in _WORDS:
            raise bad(option, value, f"a tag: known are {', '.join(f'{{{{{one}}}}}' for one in _WORDS)}")
    return text


def _names(value: Value, option: str) -> str:
    """A list, or words with commas between them."""
    words = value if isinstance(value, list) else str(value).split(",")
    return ",".join(_plain(word, option).strip() for word in words)


def _pattern(value: Value, option: str) -> str:
    text = _plain(value, option)
    try:
        re.compile(text)
    except re.error as error:
        raise bad(option, value, f"a regular expression ({error})") from error
    return text


def _namespace(value: Value, option: str) -> str:
    if not re.match(r"[A-Za-z0-9_@-][A-Za-z0-9_.@-]{0,200}\Z", str(value)):
        raise bad(option, value, "the name of a namespace of the journal")
    return str(value)


def _facility(value: Value, option: str) -> int:
    text = str(value)
    if text.isdigit() and int(text) < len(_FACILITIES):
        return int(text)
    if not text or text not in _FACILITIES:
        raise bad(option, value, f"a facility: a number below 24, or one of {', '.join(filter(None, _FACILITIES))}")
    return _FACILITIES.index(text)


def _format(value: Value, option: str) -> str:
    if value not in _FORMATS:
        raise bad(option, value, f"one of {', '.join(filter(None, _FORMATS))}")
    return str(value)


def _path(value: Value, option: str) -> str:
    text = _plain(value, option)
    if not text.startswith("/"):
        raise bad(option, value, "an absolute path")
    return text


def _address(value: Value, option: str) -> str:
    """scheme://path or scheme://host:port, with the port."""
    found = re.match(r"([a-z+]+)://(.*)\Z", _plain(value, option))
    scheme, rest = found.groups() if found else ("", "")
    if scheme not in _SCHEMES:
        raise bad(
            option,
            value,
            "an address: expected unix://PATH, unixgram://PATH, udp://HOST:PORT, tcp://HOST:PORT or tcp+tls://HOST:PORT",
        )
    if scheme.startswith("unix"):
        if not rest.startswith("/") or len(rest.encode()) > 107:
            raise bad(option, value, "the absolute path of a socket, at most 107 bytes long")
        return f"{scheme}://{rest}"
    parts = re.match(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/?#@\s]+)(?::([0-9]{1,5}))?/?\Z", rest)
    if not parts or not 0 < int(parts.group(2) or 514) < 65536:
        raise bad(option, value, f"an address: expected {scheme}://HOST:PORT")
    return f"{scheme}://{parts.group(1)}:{parts.group(2) or 514}"


_SHARED = {"tag": _tag, "labels": _names, "labels-regex": _pattern, "env": _names, "env-regex": _pattern}
_COPY = {"cache-disabled": _flag, "cache-max-size": parse_size, "cache-max-file": _count}
#: How the options of each driver are read.
_OF: t.Mapping[str, t.Mapping[str, t.Callable[[Value, str], Value]]] = {
    _FILE: {"max-size": parse_size, "max-file": _count, **_SHARED},
    _JOURNAL: {**_SHARED, "journald-namespace": _namespace, **_COPY},
    _SYSLOG: {
        "tag": _tag,
        "syslog-address": _address,
        "syslog-facility": _facility,
        "syslog-format": _format,
        "syslog-tls-ca-cert": _path,
        "syslog-tls-cert": _path,
        "syslog-tls-key": _path,
        "syslog-tls-skip-verify": _flag,
        **_COPY,
    },
}
_PARSERS = {key: parse for options in _OF.values() for key, parse in options.items()}


def parse_log_options(value: Value, option: str) -> t.Dict[str, t.Any]:
    found: t.Dict[str, t.Any] = dict(_DEFAULTS)
    for key, item in value.items():
        if key not in _PARSERS:
            raise InvalidArgument(f"{option}: unknown log option {printable(key, 80)!r}, known are {', '.join(sorted(_PARSERS))}")
        if item is not None:
            found[key] = _PARSERS[key](item, f"{option}.{key}")
    return found


def check_together(values: Values) -> None:
    """InvalidArgument for options that another driver has, and for one without the other."""
    driver, options = values.get("log_driver") or _FILE, values.get("log_options") or {}
    known = _OF.get(driver, _OF[_FILE])
    for key, value in options.items():
        if key not in known and value != _DEFAULTS.get(key):
            drivers = " or ".join(name for name, of in _OF.items() if key in of)
            asked = f"log_driver is {driver}" if values.get("log_driver") else "give log_driver as well"
            raise InvalidArgument(f"log_options.{key}: it is for log_driver: {drivers}; {asked}")
    if "syslog-tls-key" in options and "syslog-tls-cert" not in options:
        raise InvalidArgument("log_options.syslog-tls-key: give syslog-tls-cert, too")
    if any(key.startswith("syslog-tls") for key in options) and scheme_of(options) != "tcp+tls":
        raise InvalidArgument("log_options.syslog-tls-...: they are for a syslog-address of tcp+tls://")


def scheme_of(options: Values) -> str:
    return str(options.get("syslog-address", "")).partition("://")[0]


def where_of(options: Values) -> t.Tuple[str, str, int]:
    """Scheme, host or path, and port of syslog; without an address the socket of this host."""
    from ....runtime.log_sinks import local_syslog

    scheme, _colons, rest = str(options.get("syslog-address", "")).partition("://")
    if not scheme or scheme.startswith("unix"):
        return scheme or "unix", rest or local_syslog(), 0
    host, _colon, port = rest.rpartition(":")
    return scheme, host.strip("[]"), int(port)


def files_of(values: Values) -> t.Tuple[int, int]:
    """The size and the number of files of the log on this host; none with 0 files."""
    options = values.get("log_options") or _DEFAULTS
    if (values.get("log_driver") or _FILE) not in (_JOURNAL, _SYSLOG):
        return int(options["max-size"]), int(options["max-file"])
    size, files = (int(options.get(key, default)) for key, default in _CACHE.items())
    return size, 0 if options.get("cache-disabled") else files


def needs_telling(values: Values) -> bool:
    """Whether the writer of the log has to know more than its file."""
    return values.get("log_driver") in (_JOURNAL, _SYSLOG) or bool(_SHARED.keys() & (values.get("log_options") or {}).keys())


def tag_of(container: Container, name: str, options: Values, default: str = _TAG) -> str:
    return re.sub(_WORD, lambda found: _WORDS[found.group(1)](container, name), options.get("tag") or default)


def journal_of(options: Values) -> str:
    """The socket of the journal, of a namespace of it where one is given (systemd-journald.service(8))."""
    namespace = options.get("journald-namespace")
    return f"/run/systemd/journal{f'.{namespace}' if namespace else ''}/socket"


def _check_driver(host: Host, value: t.Optional[str]) -> None:
    """That somebody takes the output."""
    import os

    options = host.given.get("log_options") or {}
    if value == _JOURNAL and not os.path.exists(journal_of(options)):
        raise FailedPrecondition(
            f"log_driver: journald: there is no journal at {journal_of(options)}: have systemd-journald run, or choose json-file"
        )
    if value == _SYSLOG:
        scheme, place, port = where_of(options)
        if port == 0 and not os.path.exists(place):
            raise FailedPrecondition(
                f"log_options.syslog-address: there is no socket {place}: start a syslog daemon, or name another address"
            )
        for key in ("syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key"):
            if key in options and not os.path.isfile(options[key]):
                raise FailedPrecondition(f"log_options.{key}: there is no file {options[key]}")
        problem = _unanswered(place, port) if scheme.startswith("tcp") else ""
        if problem:
            host.warnings.append(
                f"log_options.syslog-address: {place}:{port} does not answer ({problem}): what the container prints is lost until it does"
            )


def _unanswered(host: str, port: int) -> str:
    import socket

    try:
        socket.create_connection((host, port), 3.0).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _rotation(draft: Draft, value: t.Mapping[str, t.Any], context: Context) -> None:
    """A start tells it to the log's writer, which looks at this file for changes."""
    from ....runtime.json_log import rotation
    from .streams import log_path

    size, files = files_of(context.values)
    if context.root < 0 and context.values["log_driver"] != "none" and files:
        path = rotation(log_path(context.directory, context.container_id))
        draft.edits[path] = lambda old: b"%d %d\n" % (size, files)


def _rotates_only(container: Container, value: t.Mapping[str, t.Any]) -> bool:
    """The rest is told to the log's writer by a start."""
    from .table import values_of

    before = values_of(container).get("log_options") or _DEFAULTS
    live = {*_DEFAULTS, *_CACHE}
    rest = [{key: item for key, item in one.items() if key not in live} for one in (before, value)]
    return rest[0] == rest[1]


def _text(value: t.Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _log_options_seen(seen: Seen) -> t.Dict[str, str]:
    options = {**_DEFAULTS, **(seen.values.get("log_options") or {})}
    known = _OF.get(seen.values.get("log_driver") or _FILE, _OF[_FILE])
    found = {key: _text(value) for key, value in options.items() if key in known}
    return {key: value for key, value in found.items() if (key, value) != ("max-size", "0")}


ROWS = (
    Row(
        Field("log_driver"),
        parse_text,
        fixed(_FILE),
        nothing,
        Live.NEVER,
        {"HostConfig.LogConfig.Type": lambda seen: seen.values.get("log_driver", _FILE)},
        host=_check_driver,
    ),
    Row(
        Field("log_options", "dict"),
        parse_log_options,
        fixed(_DEFAULTS),
        _rotation,
        Live.FILES,
        {"HostConfig.LogConfig.Config": _log_options_seen},
        stays=_rotates_only,
    ),
)
