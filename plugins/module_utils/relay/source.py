# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image whose blobs come from other hosts of the play, and at last from the registry (image/api.pyi: ImageSource)."""

from __future__ import annotations

import threading
import time
import typing as t

from ..errors import DataLoss, EngineError, FailedPrecondition, Unavailable, printable
from ..image.source import source_label
from ..oci.descriptor import Descriptor, Resolved
from . import wire
from .pace import Change, Pace
from .peers import REGISTRY, Refused

if t.TYPE_CHECKING:
    from ..image.api import Registry
    from ..oci.digest import Digest
    from ..oci.reference import Reference
    from .part import ImagePart, Part
    from .peers import Peers, Stream
    from .shelf import Blob, Shelf

#: After so many seconds, a head that everybody would still wait for this long is worth a try of the registry, for so long. It has to be so
#: much faster: the registry serves the head meanwhile, too, so a try that does not look good ends sooner.
_STEADY_SECONDS, _WORTH_SECONDS, _COMPARE_SECONDS, _FASTER, _SOONER_SECONDS = 2.0, 20.0, 0.5, 4.0, 0.1
#: How often a host that takes from the registry looks for another one.
_LOOK_SECONDS = 1.0
#: How often a host asks another one than that from which a blob comes how far that is.
_ASK_SECONDS = 0.6


class _Arrival:
    """A blob that comes: what has come so far is hashed up to position."""

    def __init__(self, blob: Blob, hasher: t.Any, descriptor: Descriptor, position: int, secret: bytes) -> None:
        self.blob, self.descriptor, self.position = blob, descriptor, position
        self._hasher, self._secret = hasher, secret

    @property
    def left(self) -> int:
        return self.descriptor.size - self.position

    def take(self, data: bytes, tag: t.Optional[bytes]) -> bytes:
        """The tag of the piece that has come, which is the next one. DataLoss when it has another one; FailedPrecondition when all
        pieces together are another blob.
        """
        hasher = self._hasher.copy()
        hasher.update(data)
        end = self.position + len(data)
        made = wire.tag_of(self._secret, hasher, end)
        if tag is not None and tag != made:
            raise DataLoss("it sent something else")
        if end == self.descriptor.size and hasher.hexdigest() != self.descriptor.digest.hex:
            raise FailedPrecondition(f"what came is not {self.descriptor.digest}")
        self._hasher, self.position = hasher, end
        return made


class _Look:
    """A thread that asks a host how far it is with a blob, now and then, while that comes from somebody else. places: what it said."""

    def __init__(self, peers: Peers, number: t.Optional[int], digest: Digest) -> None:
        self._peers, self._number, self._digest = peers, number, digest
        self._ended = threading.Event()
        self.places: t.List[wire.Place] = []
        if number is not None:
            threading.Thread(target=self._run, name="look", daemon=True).start()

    def _run(self) -> None:
        while not self._ended.wait(_ASK_SECONDS):
            self.places = self._peers.look(t.cast(int, self._number), self._digest)

    def end(self) -> None:
        self._ended.set()


class NeighbourSource:
    """An image of a part. documents() and small blobs come with the plan. hasty: the registry, for a try that must not take long."""

    where = "the hosts of the play"

    def __init__(
        self, part: Part, image: ImagePart, shelf: Shelf, peers: Peers, registry: Registry, hasty: t.Optional[Registry] = None
    ) -> None:
        self._part, self._image, self._shelf, self._peers, self._registry = part, image, shelf, peers, registry
        self._hasty = hasty
        self._registries = [one for one in (registry, hasty) if one]
        self.name: Reference = image.name
        self.labels: t.Mapping[str, str] = {source_label(image.name.domain): image.name.path}
        self._pinned = image.name._replace(tag="", digest=image.top.digest)
        self.served: t.Dict[Digest, str] = {}
        #: Who sends a blob, or has sent it; None for the registry.
        self._from: t.Dict[Digest, t.Optional[int]] = {}
        #: Blobs that come again, since whoever sends them has noticed itself that something was wrong.
        self._again: t.Set[Digest] = set()

    @property
    def refused(self) -> t.Collection[t.Tuple[Digest, str]]:
        return [*self._peers.bad, *(found for one in self._registries for found in one.refused)]

    def document(self) -> Resolved:
        return Resolved(self._image.top, self._part.documents[self._image.top.digest])

    def refuse(self, descriptor: Descriptor) -> bool:
        if descriptor.digest in self._again:
            self._again.remove(descriptor.digest)
            return True
        number = self._from.get(descriptor.digest)
        if number is None:
            answers = [one.refuse(self._pinned, descriptor) for one in self._registries]
            return any(answers)
        self._peers.refuse(number, descriptor.digest)
        return True

    def fetch(self, descriptor: Descriptor, offset: int = 0) -> t.Iterator[bytes]:
        document = self._part.documents.get(descriptor.digest)
        if document is not None:
            self.served[descriptor.digest] = "plan"
            return iter([document[offset:]])
        return self._fetch(descriptor, offset)

    def _fetch(self, descriptor: Descriptor, offset: int) -> t.Iterator[bytes]:
        blob, hasher = self._shelf.begin(descriptor, offset)
        arrival = _Arrival(blob, hasher, descriptor, offset, self._part.secret)
        before = -1
        try:
            while arrival.left:
                number = self._choice(descriptor.digest)
                self._from[descriptor.digest] = number
                pieces = self._pieces_of(arrival, number, before if before != number else -1)
                # Whoever is left passes nothing on, so it can be the last one to get it.
                before = -1 if number is None or self._peers.slow else number
                try:
                    for data, tag in pieces:
                        yield data
                        blob.advance(arrival.position, tag)
                except Unavailable:
                    # Whoever has others to ask goes on with them.
                    if number is not None or not (self._peers.leading or self._choice(descriptor.digest) is not None):
                        raise
                    self._peers.leading = False
        except FailedPrecondition:
            blob.forget()
            raise
        except (EngineError, GeneratorExit):
            # Or it cannot be stored.
            blob.fail()
            raise

    def _pieces_of(self, arrival: _Arrival, number: t.Optional[int], instead: int) -> t.Iterator[t.Tuple[bytes, bytes]]:
        if number is not None:
            return self._from_peer(arrival, number, instead)
        # Whoever was not meant to ask the registry has others left: it does not wait for long.
        return self._from_registry(arrival, self._hasty if self._hasty and self._peers.leading else self._registry)

    def _choice(self, digest: Digest) -> t.Optional[int]:
        return self._peers.choose(self._image.sources, self._image.last, digest)

    # The registry

    def _from_registry(self, arrival: _Arrival, registry: Registry) -> t.Iterator[t.Tuple[bytes, bytes]]:
        """Blocks of any length become pieces. It ends early when a host can be asked again."""
        descriptor, piece = arrival.descriptor, self._part.piece
        arrival.blob.places = []
        held, look = bytearray(), time.monotonic() + _LOOK_SECONDS
        for block in registry.fetch(self._pinned, descriptor, arrival.position):
            held += block
            self._peers.count(REGISTRY, len(block))
            while held:
                length = wire.piece_end(arrival.position, piece, descriptor.size) - arrival.position
                if len(held) < length:
                    break
                data = bytes(held[:length])
                del held[:length]
                yield data, arrival.take(data, None)
            # Whoever is told that it is slow takes no more of the registry's link.
            if self._peers.slow or time.monotonic() > look:
                look = time.monotonic() + _LOOK_SECONDS
                if self._choice(descriptor.digest) is not None:
                    return
        self.served[descriptor.digest] = registry.served.get(descriptor.digest, REGISTRY)

    def _compare(self, arrival: _Arrival, number: int, before: int) -> t.Iterator[t.Tuple[bytes, bytes]]:
        """What comes next, from the registry: if it comes so much faster than before (bytes a second), the head of our chain is slow."""
        if not self._hasty:
            raise AssertionError("there is no registry to compare with")
        self._from[arrival.descriptor.digest] = None
        begun, offset, faster = 0.0, 0, False
        try:
            for piece in self._from_registry(arrival, self._hasty):
                yield piece
                # The first one has taken a connection, and perhaps a login.
                begun, offset = (begun, offset) if begun else (time.monotonic(), arrival.position)
                seconds = time.monotonic() - begun
                faster = arrival.position - offset > _FASTER * before * seconds
                if seconds > (_COMPARE_SECONDS if faster else _SOONER_SECONDS):
                    break
        except Unavailable:
            # Not every host reaches it.
            return
        if faster:
            self._peers.avoid(number)
            self._peers.lead(number, self._told(arrival, number))

    def _told(self, arrival: _Arrival, number: int) -> wire.Request:
        """A request that tells a host that somebody has taken its place."""
        return wire.Request(str(arrival.descriptor.digest), 0, self._part.me, number)

    def _worth_comparing(self, arrival: _Arrival, since: float, hangs: bool) -> bool:
        """Whether we are right behind a head that is fetching, and slowly enough to have a look at the registry. since: it sends."""
        if not self._hasty or not since or time.monotonic() - since < _STEADY_SECONDS:
            return False
        places = arrival.blob.places
        behind = len(places) == 1 and places[0].host == self._image.head and places[0].offset < arrival.descriptor.size
        rate = self._shelf.rate
        return bool(behind and (hangs or 0 < rate * _WORTH_SECONDS < self._shelf.left) and self._peers.compare())

    # Other hosts

    def _from_peer(self, arrival: _Arrival, number: int, instead: int) -> t.Iterator[t.Tuple[bytes, bytes]]:
        """What a host sends, until somebody else has to be asked. instead: see wire.Request."""
        pace = Pace(self._part.piece)
        while arrival.left:
            self._from[arrival.descriptor.digest] = number
            request = wire.Request(str(arrival.descriptor.digest), arrival.position, self._part.me, instead)
            try:
                stream = self._peers.open(number, request)
            except Refused:
                return
            except Unavailable as error:
                self._lost(arrival, number, str(error))
                return
            try:
                change = yield from self._pieces(arrival, number, stream, pace)
            finally:
                stream.close()
            if change is None:
                return
            if change.number < 0:
                # What a host gets that hangs is nothing, whatever it was before.
                yield from self._compare(arrival, number, 0 if pace.hangs else self._shelf.rate)
                return
            if change.slow:
                self._peers.avoid(number)
                self._shelf.begin_rate()
            number, instead = change.number, number if change.slow else -1

    def _pieces(
        self, arrival: _Arrival, number: int, stream: Stream, pace: Pace
    ) -> t.Generator[t.Tuple[bytes, bytes], None, t.Optional[Change]]:
        """Returns who is to be asked instead; None for an end."""
        name, digest = self._peers.name(number), arrival.descriptor.digest
        pace.begin(number)
        since, others = 0.0, [one for one in self._peers.able(self._image.sources, digest) if one != number]
        look = _Look(self._peers, others[0] if others else None, digest)
        try:
            while arrival.left:
                better = self._peers.better(number, self._image.sources, digest)
                if better is not None:
                    return Change(better, True)
                kind, data = wire.read_frame(stream.frames)
                if kind == wire.PIECE:
                    tag, piece = data[: wire.TAG], data[wire.TAG :]
                    made = arrival.take(piece, tag)
                    since = since or time.monotonic()
                    self._peers.count(name, len(piece))
                    yield piece, made
                elif kind == wire.AHEAD:
                    arrival.blob.places = wire.places_of(data)
                    able = self._peers.able(self._image.sources, digest)
                    own = wire.Place(self._part.me, arrival.position, self._shelf.rate)
                    change = pace.change(own, arrival.blob.places, able, look.places)
                    if self._peers.leading:
                        return None
                    if self._worth_comparing(arrival, since, pace.hangs):
                        return Change(-1, False)
                    if pace.blame is not None:
                        self._peers.avoid(pace.blame)
                        pace.blame = None
                    if change:
                        return change
                else:
                    self._ended(number, digest, printable(data, 40))
                    return None
            self.served[digest] = name
        except DataLoss:
            # A piece that was not stored: all before it is as it should be, so another host goes on from here.
            self._peers.refuse(number, digest)
        except Unavailable as error:
            self._lost(arrival, number, str(error))
        except OSError:
            self._lost(arrival, number, f"it is silent for {self._peers.patience(number):g} s")
        finally:
            look.end()
        return None

    def _lost(self, arrival: _Arrival, number: int, why: str) -> None:
        """A host does not send any more. Whoever is right behind the head takes its place then."""
        self._peers.left(number, why)
        if number == self._image.head and number == self._image.sources[0]:
            self._peers.lead(number, self._told(arrival, number))

    def _ended(self, number: int, digest: Digest, reason: str) -> None:
        """It ended before we had all."""
        if reason == wire.BAD:
            self._again.add(digest)
            raise FailedPrecondition(f"what came is not {digest}")
        if reason == wire.SLOW:
            self._peers.slow = True
        elif reason == wire.GONE:
            self._peers.lacks(number, digest)
        else:
            raise Unavailable("it ended too early")
