# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of files in the container: secrets, which are in memory only, and others."""

from __future__ import annotations

import hashlib
import os
import re
import typing as t

from ....engine.models import VOLUMES
from ....errors import InvalidArgument, printable
from ....kernel.field import MORE, Field
from ....runtime_spec.mounts import mount
from .process import parse_user
from .row import Context, Draft, Inside, Live, Row, Seen, Value, bad, fixed, parse_absolute_file

#: Docker's limit for a secret; a configuration is not larger either.
_LIMIT = 500 * 1024
#: Of secrets, in the container: a tmpfs.
PLACE = "/run/secrets"
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}"
_MODE = 0o444
_ROOT = "0:0"
#: The options of which only digests are stored.
DIGESTS = ("files", "secrets")
_SPECIAL = ("/dev", "/proc", "/sys")


class Text:
    """A file with its content, or with the digest of that where the value was stored. salt: for a content that nobody may guess."""

    def __init__(self, mode: int, owner: str, content: t.Optional[bytes], salt: str = "", digest: str = "") -> None:
        self.mode, self.owner, self.content, self.salt = mode, owner, content, salt
        self.digest = digest or self._digest(salt)

    def _digest(self, salt: str) -> str:
        return hashlib.sha256(salt.encode() + (self.content or b"")).hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Text) or (self.mode, self.owner) != (other.mode, other.owner):
            return False
        if self.salt == other.salt:
            return self.digest == other.digest
        known, stored = (self, other) if self.content is not None else (other, self)
        return known.content is not None and known._digest(stored.salt) == stored.digest

    __hash__ = None  # type: ignore[assignment]  # a salted digest says nothing about another one

    def to_json(self) -> t.Dict[str, t.Any]:
        return {"mode": self.mode, "owner": self.owner, "salt": self.salt, "digest": self.digest}


Texts = t.Dict[str, Text]


def load_texts(found: t.Mapping[str, t.Mapping[str, t.Any]]) -> Texts:
    return {path: Text(one["mode"], one["owner"], None, one["salt"], one["digest"]) for path, one in found.items()}


def dump_texts(value: Texts) -> t.Dict[str, t.Any]:
    return {path: one.to_json() for path, one in value.items()}


def parse_secrets(value: Value, option: str) -> Texts:
    """The secrets by their names. No message has a content."""
    found: Texts = {}
    for one in value:
        name = str(one.get("name") or "")
        if not re.fullmatch(_NAME, name):
            raise bad(f"{option}.name", name, "the name of a file")
        _add(found, name, _text(one, f"{option} ({name})", os.urandom(16).hex()), option)
    return found


def parse_files(value: Value, option: str) -> Texts:
    """The files by their paths."""
    found: Texts = {}
    for one in value:
        path = parse_absolute_file(one.get("path") or "", f"{option}.path")
        if any(f"{path}/".startswith(f"{special}/") for special in _SPECIAL):
            raise bad(f"{option}.path", path, f"a path outside of {', '.join(_SPECIAL)}")
        _add(found, path, _text(one, f"{option} ({printable(path, 200)})"), option)
    return found


def _add(found: Texts, name: str, text: Text, option: str) -> None:
    if name in found:
        raise InvalidArgument(f"{option}: {printable(name, 200)!r} is given twice")
    found[name] = text


def _text(value: t.Mapping[str, t.Any], what: str, salt: str = "") -> Text:
    content = str(value.get("content") if value.get("content") is not None else "").encode("utf-8", "surrogateescape")
    if len(content) > _LIMIT:
        raise InvalidArgument(f"{what}: the content is larger than {_LIMIT} bytes")
    mode, owner = value.get("mode"), value.get("owner")
    text = f"{mode:o}" if isinstance(mode, int) and not isinstance(mode, bool) else str(mode or f"{_MODE:o}")
    if not re.fullmatch(r"0?[0-7]{3,4}", text):
        raise bad(f"{what}: mode", mode, 'an octal mode such as "0640", in quotes')
    return Text(int(text, 8), parse_user(owner, f"{what}: owner") if owner else _ROOT, content, salt)


def _inside(texts: Texts, context: Context, option: str) -> t.List[Inside]:
    """With owners looked up in the image."""
    from ....runtime_spec.users import resolve_user

    found = []
    for path, one in texts.items():
        user = resolve_user(context.root, one.owner, f"{option} ({printable(path, 200)}): owner")
        owner = user.uid, user.gid
        if context.mapping:
            owner = context.mapping.owner(*owner, f"{option} ({path}): owner")
        found.append(Inside(path, one.content or b"", one.mode, *owner))
    return found


def _files(draft: Draft, value: Texts, context: Context) -> None:
    # What is in the volumes that the image declares comes from the image, and so do these files.
    volumes = os.path.join(context.directory, VOLUMES)
    over = [one["destination"] for one in draft.spec["mounts"] if os.path.dirname(str(one["source"])) != volumes]
    for path in value:
        above = next((one for one in over if f"{path}/".startswith(f"{one}/")), None)
        if above:
            raise InvalidArgument(
                f"files: {printable(path, 200)} cannot be seen in the container, since {above} is mounted there"
            )
    draft.inside += _inside(value, context, "files")


def _secrets(draft: Draft, value: Texts, context: Context) -> None:
    if not value:
        return
    if any(one["destination"] == PLACE for one in draft.spec["mounts"]):
        raise InvalidArgument(f"secrets: something else is mounted on {PLACE}")
    draft.secrets += _inside(value, context, "secrets")
    size = 1 << 20
    size += sum(len(one.content) for one in draft.secrets)
    draft.spec["mounts"].append(mount(PLACE, "tmpfs", "tmpfs", f"nosuid nodev noexec mode=755 size={size}"))


def _names(seen: Seen, option: str) -> t.List[str]:
    return sorted(seen.values.get(option) or {})


ROWS = (
    Row(
        Field("secrets", "dict", MORE, lambda value: dict.fromkeys(sorted(value), "(secret)"), secret=True),
        parse_secrets,
        fixed({}),
        _secrets,
        Live.NEVER,
        {"Containerd.Secrets": lambda seen: _names(seen, "secrets")},
        dump=dump_texts,
        load=load_texts,
    ),
    Row(
        Field(
            "files",
            "dict",
            MORE,
            lambda value: {
                path: {"mode": f"{one.mode:04o}", "owner": one.owner, "sha256": one.digest} for path, one in value.items()
            },
        ),
        parse_files,
        fixed({}),
        _files,
        Live.NEVER,
        {"Containerd.Files": lambda seen: _names(seen, "files")},
        dump=dump_texts,
        load=load_texts,
    ),
)
