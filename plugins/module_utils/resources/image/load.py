# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_load: images out of an archive."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import typing as t

from ...archive.images import ArchiveSource, Contents, PackedImage, open_part
from ...archive.load import LoadOptions, LoadResult, check_loadable, check_sent, load, missing_platforms, reason_to_load
from ...archive.read import open_archive, read_archive
from ...engine.labels import OURS
from ...errors import InvalidArgument, NotFound, printable
from ...image.inspect import is_stored
from ...kernel.converge import Facts, Plan, Step
from ...oci.digest import Digest
from ...oci.platform import Platform
from ...oci.reference import Reference
from .facts import image_facts
from .find import look_at
from .load_foreseen import foresee_loaded
from .values import progress_file

if t.TYPE_CHECKING:
    from ...engine.api import Engine
    from ...engine.models import Image
    from ...registry.download import FetchOptions
    from .values import FoundImage

#: Labels of a record from a downloaded archive: its checksum, and the wishes of the task with the number of names.
ARCHIVE, ASKED = OURS + "archive", OURS + "archive-asked"


class Opened:
    """An archive that is opened (from a URL: downloaded) on first use. contents: None until then."""

    def __init__(self, opens: t.Callable[[], Contents]) -> None:
        self._opens = opens
        self.contents: t.Optional[Contents] = None

    def get(self) -> Contents:
        if self.contents is None:
            self.contents = self._opens()
        return self.contents


class WantedLoad(t.NamedTuple):
    """What is asked for. where: path as a user reads it. checksum: of the file at a URL (None: path is one of the target).

    download: how a URL is asked for.
    """

    path: str
    where: str
    checksum: t.Optional[Digest]
    names: t.Tuple[str, ...]
    name: t.Optional[Reference]
    tag: str
    options: LoadOptions
    archive: Opened
    download: t.Optional[FetchOptions]

    @property
    def asked(self) -> str:
        """A text that identifies the wishes of the task about the archive."""
        text = json.dumps([sorted(self.names), str(self.name), self.tag, str(self.options.platform)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class FoundLoad(t.NamedTuple):
    """The names, with the reasons to load them ("": no need). known: whether that is known without a download."""

    names: t.Tuple[t.Tuple[Reference, str], ...]
    known: bool = True


class ImageLoadResource:
    """H: which images of the archive are present."""

    def desired(self, params: t.Mapping[str, t.Any], engine: Engine) -> WantedLoad:
        path, where, checksum, download, progress = params["path"], params["path"], None, None, progress_file(params)
        spool = _spool(params["data_root"])
        archive = Opened(lambda: Contents(open_archive(path, spool)))
        if params["source"] == "controller":
            archive = Opened(lambda: open_part(open_archive(path, spool)))
            where = archive.get().where
        elif path.startswith(("http://", "https://")):
            where, checksum, download = _url(params)
            archive = Opened(functools.partial(_downloaded, path, where, checksum, download, spool, progress))
        elif params["checksum"]:
            raise InvalidArgument("checksum: it is for a URL only, a file on the target is checked by the digests in it")
        elif not os.path.isabs(path):
            raise InvalidArgument(f"path: {printable(path, 200)!r} is neither an absolute path nor an http or https URL")
        if params["max_parallel"] < 1:
            raise InvalidArgument(f"max_parallel: {params['max_parallel']} is not a positive number")
        platform = params["platform"]
        if platform != "all":
            platform = Platform.parse(platform) if platform else Platform.host()
        labels = {ARCHIVE: str(checksum)} if checksum else {}
        snapshotter, parallel = params["snapshotter"] or "", params["max_parallel"]
        options = LoadOptions(None if platform == "all" else platform, snapshotter, parallel, labels, progress)
        names = tuple(Reference.parse(name, "names").record for name in params["names"] or ())
        name = Reference.parse(params["name"], "name", "") if params["name"] else None
        if params["tag"]:
            Reference.parse(f"x:{params['tag']}", "tag")
        return WantedLoad(path, where, checksum, names, name, params["tag"] or "", options, archive, download)

    def observe(self, want: WantedLoad, engine: Engine) -> FoundLoad:
        if want.checksum and not want.archive.contents:
            names = _loaded_before(want, engine)
            return FoundLoad(tuple((name, "") for name in names), bool(names))
        sources = choose(want.archive.get(), want)
        return FoundLoad(tuple((one.name, reason_to_load(engine, one, want.options)) for one in sources))

    def lock(self, want: WantedLoad, engine: Engine) -> t.ContextManager[t.Any]:
        return engine.lock(f"archive {want.where}")

    def plan(self, want: WantedLoad, have: FoundLoad, engine: Engine) -> Plan:
        loaded: t.List[LoadResult] = []
        facts = functools.partial(_facts, want, engine, loaded)
        if not have.known:
            step = Step(f"load images from {want.where}", lambda: loaded.append(_load(want, engine)))
            after = {"loaded": True, "checksum": str(want.checksum)}
            return Plan([step], {"loaded": False}, after, facts, foresee=lambda: _foresee_download(want))
        reasons = {str(name): reason for name, reason in have.names if reason}
        if not reasons:
            return Plan(facts=facts)
        sources = [one for one in choose(want.archive.get(), want) if str(one.name) in reasons]
        for one in sources:
            check_loadable(engine, one, want.options)
        words = [name if reason == "it is not there" else f"{name} ({reason})" for name, reason in reasons.items()]
        title = f"load image{'s' * (len(words) > 1)} {', '.join(words)} from {want.where}"
        before = {"images": {str(one.name): _digest(engine, one.name) for one in sources}}
        after = {"images": {str(one.name): str(one.image.top.digest) for one in sources}}
        return Plan([Step(title, lambda: loaded.append(_load(want, engine)))], before, after, facts)


def _load(want: WantedLoad, engine: Engine) -> LoadResult:
    contents = want.archive.get()
    sources, options = choose(contents, want), want.options
    if want.checksum:
        named = sum(1 for one in sources if one.name.tag)
        options = options._replace(labels={**options.labels, ASKED: f"{named}:{want.asked}"})
        for one in sources:
            check_loadable(engine, one, options)
    else:
        sources = [one for one in sources if reason_to_load(engine, one, options)]
    check_sent(engine, contents, sources, options)
    return load(engine, sources, options)


def _facts(want: WantedLoad, engine: Engine, loaded: t.Sequence[LoadResult], end: FoundLoad) -> Facts:
    ends = {found.record.name: found for found in _at_the_end(want, end, engine)}
    records = {record.name: record for record in engine.images.list()}
    records.update((name, found.record) for name, found in ends.items())
    images = [image_facts(found, records.values()) for found in ends.values()]
    out: t.Dict[str, t.Any] = {"image_names": [name.familiar for name, _reason in end.names], "images": images}
    out["image"] = images[0] if images else {}
    warnings = []
    contents = want.archive.contents
    if contents and not want.names and not want.name:
        nameless = [str(image.top.digest) for image in contents.images if not image.names]
        if nameless:
            warnings.append(f"{want.where} has images without a name, which are not loaded: {', '.join(nameless)}")
    if loaded:
        out["loaded"] = loaded[0].facts()
    return Facts(out, warnings)


def _at_the_end(want: WantedLoad, end: FoundLoad, engine: Engine) -> t.Iterator[FoundImage]:
    """The images at the end; in check mode as they would be."""
    left = {name.record for name, reason in end.names if reason}
    foreseen: t.Dict[str, FoundImage] = {}
    if left:
        contents = want.archive.get()
        sources = [one for one in choose(contents, want) if one.name.record in left]
        foreseen = foresee_loaded(engine, contents, sources, want.options.platform or Platform.host())
    for name, _reason in end.names:
        yield foreseen.get(name.record) or look_at(engine, engine.images.get(name.record), want.options.platform)


def _downloaded(
    path: str, where: str, checksum: Digest, options: FetchOptions, spool: t.Optional[str], progress: str
) -> Contents:
    from ...image.progress import reported
    from ...image.pull import Progress
    from ...registry.download import download

    counts = [0, 0]

    def seen(*found: int) -> None:
        counts[:] = found

    def images() -> t.List[Progress]:
        return [Progress(where, "transferring", *counts)]

    with reported(progress, images, lambda: counts[0]) if progress else contextlib.nullcontext():
        archive = download(path, checksum, options, spool, seen)
    return Contents(read_archive(archive, where, spool))


def _spool(data_root: str) -> t.Optional[str]:
    """The directory for files without a name: not /tmp, which is memory on many hosts."""
    return next((place for place in (data_root, "/var/tmp") if os.path.isdir(place) and os.access(place, os.W_OK)), None)


def _url(params: t.Mapping[str, t.Any]) -> t.Tuple[str, Digest, FetchOptions]:
    """A URL as a user reads it, the checksum of the file there, and how it is asked for. InvalidArgument."""
    from ...registry.download import FetchOptions, check_url
    from ...registry.sessions import redacted

    check_url(params["path"])
    if not params["checksum"]:
        raise InvalidArgument("checksum: it is needed for a URL")
    for option in ("retries", "retry_delay"):
        if params[option] < 0:
            raise InvalidArgument(f"{option}: {params[option]} is negative")
    if params["progress_timeout"] <= 0:
        raise InvalidArgument(f"progress_timeout: {params['progress_timeout']} is not a positive number of seconds")
    if params["ca_path"] and not os.path.isfile(params["ca_path"]):
        raise InvalidArgument(f"ca_path: {printable(params['ca_path'], 200)} is not a file on the target")
    options = FetchOptions(
        params["validate_certs"], params["ca_path"] or "", params["progress_timeout"], params["retries"], params["retry_delay"]
    )
    try:
        return redacted(params["path"]), Digest.parse(params["checksum"]), options
    except InvalidArgument as error:
        raise InvalidArgument(f"checksum: {error}") from error


def _foresee_download(want: WantedLoad) -> t.List[str]:
    """kernel/converge.py: Plan.foresee."""
    from ...registry.download import look

    if want.download:
        look(want.path, want.download)
    return [f"check mode cannot tell what is in {want.where}: it is downloaded by the run only"]


def choose(contents: Contents, want: WantedLoad) -> t.List[ArchiveSource]:
    """The images to load, with their names. InvalidArgument, NotFound when that is not clear."""
    sources = [ArchiveSource(contents, Reference.parse(name), image) for image in contents.images for name in image.names]
    nameless = [image for image in contents.images if not image.names]
    if want.name:
        if not nameless:
            there = ", ".join(str(one.name) for one in sources)
            raise InvalidArgument(f"name: every image in {contents.where} has a name ({there}): choose with names")
        sources += [ArchiveSource(contents, _name(want.name, image, want.tag), image) for image in nameless]
    elif not sources:
        hints = [image.tag for image in nameless if image.tag]
        raise InvalidArgument(
            f"name: it is needed, the image in {contents.where} has no name" + (f", only the tag {hints[0]}" if hints else "")
        )
    by_name: t.Dict[str, ArchiveSource] = {}
    for one in sources:
        if by_name.setdefault(one.name.record, one).image.top.digest != one.image.top.digest:
            raise InvalidArgument(f"path: {contents.where} has two images with the name {one.name}: refused")
    for name in want.names:
        if name not in by_name:
            raise NotFound(f"names: {name} is not in {contents.where}; it has {', '.join(sorted(by_name))}")
    return [one for name, one in sorted(by_name.items()) if not want.names or name in want.names]


def _name(name: Reference, image: PackedImage, tag: str) -> Reference:
    if name.tag or name.digest:
        return name
    return Reference.parse(f"{name.name}:{tag or image.tag or 'latest'}", "name")


def _digest(engine: Engine, name: Reference) -> t.Optional[str]:
    try:
        return str(engine.images.get(name.record).target.digest)
    except NotFound:
        return None


def _loaded_before(want: WantedLoad, engine: Engine) -> t.List[Reference]:
    """The images that an earlier run has loaded from the same download, if all wanted ones are still present."""

    def is_complete(record: Image) -> bool:
        if want.options.platform:
            return not look_at(engine, record, want.options.platform, want.options.snapshotter).missing
        return not missing_platforms(engine, record, want.options, lambda child: is_stored(engine.content, child.digest))

    found = [record for record in engine.images.list() if record.labels.get(ARCHIVE) == want.checksum and "@" not in record.name]
    found = [record for record in found if record.labels.get(ASKED, "").endswith(":" + want.asked)]
    if not found or len(found) != int(found[0].labels[ASKED].partition(":")[0]) or not all(map(is_complete, found)):
        return []
    return [Reference.parse(record.name) for record in found]
