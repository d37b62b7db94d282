# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our protocol buffers against Google's, and our header compression against another implementation."""

from __future__ import annotations

import functools
import random
import sys
import typing as t

import hpack as oracle
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from ansible_collections.fleet.containerd.plugins.module_utils.rpc import descriptors, hpack, protobuf
from ansible_collections.fleet.containerd.tests.support.containerds import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import descriptors as compiler

NAMES = sorted(token for token in descriptors.MESSAGES.split() if ":" not in token)


@functools.cache
def pool() -> t.Any:
    found = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(compiler.compile_protos()).file:
        found.AddSerializedFile(file.SerializeToString())
    return found


def their(name: str) -> t.Any:
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(name))


def value(field: protobuf.Field, chance: random.Random, depth: int) -> t.Any:
    if field.kind == "m":
        return message(field.type, chance, depth + 1)
    if field.kind == "s":
        return "".join(chance.choice("aß€𝄞\x00 /") for _number in range(chance.choice((0, 1, 5, 300))))
    if field.kind == "b":
        return chance.randbytes(chance.choice((0, 1, 200, 70_000)))
    if field.kind == "?":
        return chance.random() < 0.5
    return chance.choice((0, 1, 127, 128, 300, 2**31 - 1))


def message(name: str, chance: random.Random, depth: int = 0) -> t.Dict[str, t.Any]:
    out: t.Dict[str, t.Any] = {}
    for field in protobuf.fields(name).values():
        if field.mode == "*":
            out[field.name] = [value(field, chance, depth) for _number in range(chance.choice((0, 1, 3)) if depth < 4 else 0)]
        elif field.mode == "%":
            out[field.name] = {f"key {i}": value(field, chance, depth) for i in range(chance.choice((0, 2)) if depth < 4 else 0)}
        else:
            absent = field.kind == "m" and (depth > 4 or chance.random() < 0.3)
            out[field.name] = None if absent else value(field, chance, depth)
    return out


@pytest.mark.parametrize("name", NAMES)
def test_both_ways_against_google(name: str) -> None:
    chance = random.Random(name)
    for _round in range(20):
        ours = message(name, chance)
        data = protobuf.encode(name, ours)
        parsed = their(name).FromString(data)
        assert protobuf.decode(name, data) == ours
        assert protobuf.decode(name, parsed.SerializeToString()) == ours
        # Every byte of ours means something to theirs.
        assert their(name).FromString(parsed.SerializeToString()) == parsed


def test_the_whole_range_of_numbers() -> None:
    for number in (-1, -(2**63), 2**63 - 1, -62135596800):
        data = protobuf.encode("google.protobuf.Timestamp", {"seconds": number})
        assert their("google.protobuf.Timestamp").FromString(data).seconds == number
        assert protobuf.decode("google.protobuf.Timestamp", data)["seconds"] == number


def test_what_is_not_known_is_skipped() -> None:
    known = protobuf.encode("containerd.types.Mount", {"type": "bind"})
    unknown = b"\xa0\x06\x96\x01" + b"\xa9\x06" + b"8 bytes." + b"\xaa\x06\x03abc" + b"\xad\x06four"
    assert protobuf.decode("containerd.types.Mount", unknown + known + unknown)["type"] == "bind"


def test_a_misspelt_field_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError):
        protobuf.encode("containerd.types.Mount", {"tpye": "bind"})


def test_damaged_messages() -> None:
    chance = random.Random(1)
    name = "containerd.services.containers.v1.ListContainersResponse"
    data = protobuf.encode(
        name, {"containers": [{"id": "x", "labels": {"a": "b"}, "spec": {"type_url": "u", "value": b"v"}}] * 3}
    )
    for _round in range(5000):
        broken = bytearray(data[: chance.randrange(1, len(data) + 1)])
        broken[chance.randrange(len(broken))] = chance.randrange(256)
        try:
            protobuf.decode(name, bytes(broken))
        except protobuf.Malformed:
            continue


def test_generated_from_the_protos() -> None:
    assert compiler.main(["--check"]) == 0


HEADERS = [
    (b":status", b"200"),
    (b"content-type", b"application/grpc"),
    (b"grpc-status", b"5"),
    (b"grpc-message", b"image %22x%22: not found" * 20),
    (b"x-every-byte", bytes(range(1, 256))),
    (b"empty", b""),
]


def test_their_headers() -> None:
    """With a table that grows and is thrown away, compressed and not."""
    encoder, decoder = oracle.Encoder(), hpack.Decoder()
    for number in range(300):
        headers = [*HEADERS, (b"number-%d" % number, b"v" * (number % 90))]
        assert decoder.decode(encoder.encode(headers, huffman=number % 3 != 0)) == headers
        if number % 50 == 0:
            encoder.header_table_size = 0 if number % 100 else 4096


def test_our_headers() -> None:
    headers = [(b":path", b"/x"), (b"long", b"y" * 5000), (b"n" * 200, b"")]
    assert [tuple(one) for one in oracle.Decoder().decode(hpack.encode(headers), raw=True)] == headers


def test_damaged_headers() -> None:
    chance = random.Random(2)
    block = oracle.Encoder().encode(HEADERS)
    for _round in range(5000):
        broken = bytearray(block[: chance.randrange(1, len(block) + 1)])
        broken[chance.randrange(len(broken))] = chance.randrange(256)
        try:
            hpack.Decoder().decode(bytes(broken))
        except (hpack.Malformed, IndexError):
            continue
