# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_lock: a release file, which says which bytes the names of images mean (docs/adr/0048)."""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import typing as t

from ...errors import InvalidArgument, Unavailable, printable
from ...hostfs.atomic import check_parent, read_file, write_file
from ...hostfs.lock import locked
from ...image.inspect import CONFIG_LIMIT, choose_manifest, make_view, platform_problem
from ...image.source import RegistrySource, document_reader
from ...image.walk import blobs_of, is_document, walk
from ...kernel.converge import Facts, Plan, Step
from ...oci.descriptor import Descriptor, Resolved
from ...oci.image_config import ImageConfig
from ...oci.manifest import Index, Manifest
from ...oci.platform import Platform
from ...oci.reference import Reference
from ...oci.release import LIMIT, Release, ReleasedImage, ReleasedPlatform
from ..registry.client import registry_client
from ..registry.options import registry_options
from .push import selection_of

if t.TYPE_CHECKING:
    from ...image.api import Registry

#: How many images are asked for at the same time.
_PARALLEL = 8


class WantedRelease(t.NamedTuple):
    """names: of the images. platforms: of the fleet; none: all that an image has. asked: what the registries said, by name."""

    path: str
    names: t.Tuple[str, ...]
    platforms: t.Tuple[Platform, ...]
    asked: t.Mapping[str, ReleasedImage]

    def release(self, have: Release) -> Release:
        """The release as it shall be. Unavailable where a name has vanished from the file after the registries were asked."""
        images = {}
        for name in self.names:
            found = self.asked.get(name) or have.images.get(name)
            if found is None:
                raise Unavailable(f"path: {self.path} was changed by somebody else meanwhile: run the task again")
            kept = {key: one for key, one in found.platforms.items() if not self.platforms or key in self.platforms}
            images[name] = ReleasedImage(found.digest, kept)
        return Release(images)


class FoundRelease(t.NamedTuple):
    """text: of the file, empty without one. mode: its permissions."""

    release: Release
    text: str
    mode: int


class ImageLockResource:
    """No engine is needed."""

    def desired(self, params: t.Mapping[str, t.Any], engine: None) -> WantedRelease:
        names = [Reference.parse(name, "images") for name in params["images"]]
        if not names:
            raise InvalidArgument("images: give at least one image")
        twice = sorted({one.record for one in names if {one.digest} != {two.digest for two in names if two.record == one.record}})
        if twice:
            raise InvalidArgument(f"images: {twice[0]} is listed twice, with different digests")
        check_parent(params["path"], "path")
        options = registry_options(params)
        platforms = selection_of(params["platforms"] or ["all"]).platforms or ()
        want = WantedRelease(params["path"], tuple(one.record for one in names), platforms, {})
        have = self.observe(want, None).release
        with contextlib.closing(registry_client(options)) as client:
            return want._replace(asked=_ask(client, names, platforms, have, params["update"] == "always"))

    def observe(self, want: WantedRelease, engine: None) -> FoundRelease:
        data = read_file(want.path, LIMIT + 1)
        if data is None:
            return FoundRelease(Release({}), "", 0o644)
        release = Release.parse(data, want.path)
        return FoundRelease(release, data.decode(), stat.S_IMODE(os.stat(want.path).st_mode))

    def lock(self, want: WantedRelease, engine: None) -> t.ContextManager[t.Any]:
        directory = os.path.dirname(want.path)
        return locked(directory, directory)

    def plan(self, want: WantedRelease, have: FoundRelease, engine: None) -> Plan:
        release = want.release(have.release)
        text, facts = release.text(), functools.partial(_facts, want, have.release, release)
        if text == have.text:
            return Plan((), have.text, text, facts, want.path)
        step = Step(
            f"write the release file {want.path}: {_counts(have.release, release)}",
            lambda: write_file(want.path, text.encode(), have.mode),
        )
        return Plan([step], have.text, text, facts, want.path)


def _ask(
    client: Registry, names: t.Sequence[Reference], platforms: t.Sequence[Platform], have: Release, always: bool
) -> t.Dict[str, ReleasedImage]:
    """Ask the registries for what the file does not say, or for all."""
    from concurrent.futures import ThreadPoolExecutor

    asked: t.Dict[str, Reference] = {}
    for name in names:
        known = have.images.get(name.record)
        if known is None or always or name.digest not in (None, known.digest):
            asked[name.record] = name
        elif not set(platforms) <= set(known.platforms):
            # The name stays what it is; only other platforms of it are asked for.
            asked[name.record] = name._replace(tag="", digest=known.digest)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        return dict(zip(asked, pool.map(lambda name: _resolve(client, name, platforms), asked.values())))


def _resolve(client: Registry, name: Reference, platforms: t.Sequence[Platform]) -> ReleasedImage:
    source = RegistrySource(client, name)
    top = source.document()
    read = document_reader(source, top, CONFIG_LIMIT)
    chosen = {one: choose_manifest(read, top.descriptor, one) for one in platforms} or _every(read, top)
    for platform, (descriptor, manifest) in chosen.items():
        view = make_view(descriptor, manifest, read(manifest.config))
        for problem in platform_problem(top.descriptor, view, platform):
            raise InvalidArgument(f"platforms: {name}: {problem}")
    return ReleasedImage(
        top.descriptor.digest,
        {key: ReleasedPlatform(one.digest, _size(manifest)) for key, (one, manifest) in chosen.items()},
    )


def _every(read: t.Callable[[Descriptor], bytes], top: Resolved) -> t.Dict[Platform, t.Tuple[Descriptor, Manifest]]:
    """All platforms of an image; of two manifests for one of them the first, which is the one that is pulled."""
    found: t.Dict[Platform, t.Tuple[Descriptor, Manifest]] = {}
    for descriptor, manifest in walk(read, top.descriptor, _images).manifests:
        known = descriptor.platform
        if not known or not known.architecture:
            known = ImageConfig.parse(read(manifest.config), f"the image config {manifest.config.digest}").platform
        found.setdefault(known, (descriptor, manifest))
    return found


def _images(index: Index) -> t.List[Descriptor]:
    """The children of an index without its attestations, which are no platform."""
    return [one for one in index.manifests if is_document(one) and not (one.platform and one.platform.os == "unknown")]


def _size(manifest: Manifest) -> int:
    return sum({blob.digest: blob.size for blob in blobs_of(manifest)}.values())


def _counts(before: Release, after: Release) -> str:
    old, new = before.images, after.images
    counts = {
        "added": len(new.keys() - old.keys()),
        "changed": sum(old[name] != new[name] for name in new.keys() & old.keys()),
        "removed": len(old.keys() - new.keys()),
    }
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "its format"


def _facts(want: WantedRelease, before: Release, after: Release, _end: FoundRelease) -> Facts:
    """moved: the names that mean something else than before."""
    old, new = before.images, after.images
    moved = [name for name in sorted(new.keys() & old.keys()) if old[name].digest != new[name].digest]
    return Facts(
        {
            "path": printable(want.path),
            "images": {name: str(image.digest) for name, image in sorted(new.items())},
            "moved": [{"name": name, "before": str(old[name].digest), "after": str(new[name].digest)} for name in moved],
        }
    )
