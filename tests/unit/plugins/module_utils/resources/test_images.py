# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The resources of images over the engine in memory: what is told of a removal, of names, of several images, in check mode as in the run."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest

from ansible_collections.fleet.containerd.plugins.module_utils.engine.models import Container, Image
from ansible_collections.fleet.containerd.plugins.module_utils.errors import NotFound, ResourceExhausted
from ansible_collections.fleet.containerd.plugins.module_utils.oci.descriptor import Descriptor
from ansible_collections.fleet.containerd.plugins.module_utils.oci.digest import Digest
from ansible_collections.fleet.containerd.plugins.module_utils.oci.media_types import OCI_MANIFEST
from ansible_collections.fleet.containerd.plugins.module_utils.resources.image.failures import no_room, told
from ansible_collections.fleet.containerd.tests.support.direct import Direct
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, tar_of
from ansible_collections.fleet.containerd.tests.support.memory_engine import MemoryEngine
from ansible_collections.fleet.containerd.tests.support.registry import Registry


class Ground:
    """A registry with images, and modules over an engine in memory."""

    def __init__(self, engine: MemoryEngine, registry: Registry, layout: Layout) -> None:
        self.engine, self._registry, self._layout = engine, registry, layout
        self.modules = Direct({"engine": "embedded"}, engine)

    def built(self, word: str, architecture: str = "amd64") -> t.Dict[str, t.Any]:
        layer = tar_of([Entry("file", word.encode())])
        return self._layout.image([layer], {"Labels": {"word": word}}, architecture=architecture)

    def push(self, name: str, top: t.Mapping[str, t.Any], tag: str = "1") -> str:
        self._registry.push(self._layout.path, top, f"unit/{name}", tag)
        return f"{self._registry.address}/unit/{name}:{tag}"

    def index(self, *images: t.Mapping[str, t.Any]) -> t.Dict[str, t.Any]:
        return self._layout.index(images)

    def store(self, name: str, config: str) -> None:
        """A manifest whose config is no image's."""
        blobs = [b'{"name": "chart"}', b"archive"]
        parts = [{"mediaType": config, "digest": Digest.of(blob), "size": len(blob)} for blob in blobs]
        manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": parts[0], "layers": parts[1:]}
        with self.engine.lease():
            for data in (*blobs, json.dumps(manifest).encode()):
                descriptor = Descriptor(OCI_MANIFEST, Digest.of(data), len(data))
                with self.engine.content.writer(name, descriptor) as ingest:
                    ingest.write(data)
                    ingest.commit(len(data), descriptor.digest)
            self.engine.images.put(Image(name, descriptor))

    def pull(self, *names: str, **options: t.Any) -> t.Dict[str, t.Any]:
        result = self.modules.result("image", name=list(names), retries=0, **options)
        assert not result.get("failed"), result
        return result

    def remove(self, *names: str, **options: t.Any) -> t.Dict[str, t.Any]:
        """Check mode tells the same as the run."""
        told, done = self.modules.both("image", name=list(names), state="absent", **options)
        for key in ("changed", "actions", "untagged", "deleted", "diff", "image", "failed"):
            assert told.get(key) == done.get(key), key
        return done


@pytest.fixture
def ground(registry: Registry, tmp_path: pathlib.Path) -> t.Iterator[Ground]:
    engine = MemoryEngine()
    yield Ground(engine, registry, Layout(tmp_path / "layout"))
    engine.world.close()


def test_several_names_in_one_removal(ground: Ground) -> None:
    """The id is deleted with the last name, whichever image of the task that is.

    I31: a removal is changed when it has removed something, and the result says what.
    """
    name, other = ground.push("one", ground.built("one")), ground.push("two", ground.built("two"))
    pulled = ground.pull(name, other)["images"]
    ground.modules.result("image_tag", name=name, repository=["x:1", "x:2"])
    done = ground.remove("x:1", name)
    assert (done["untagged"], done["deleted"]) == (["x:1", name], [])
    done = ground.remove("x:2", other)
    assert (done["untagged"], done["deleted"]) == (["x:2", other], sorted(one["config_digest"] for one in pulled))
    assert done["diff"]["after"] == {"docker.io/library/x:2": {"exists": False}, other: {"exists": False}}
    assert done["bytes"] > 0
    assert ground.engine.images.list() == []
    again = ground.remove("x:2", other)
    assert (again["changed"], again["untagged"], again["deleted"], again["bytes"]) == (False, [], [], 0)


def test_one_image_in_two_indexes(ground: Ground) -> None:
    """Docker's id is that of the config: it goes when the last index with it goes, and an id removes all of them."""
    ours = ground.built("ours")
    names = [ground.push("indexes", ground.index(ours, ground.built(word, "arm64")), word) for word in ("a", "b")]
    ids = {one["config_digest"] for one in ground.pull(*names)["images"]}
    assert len(ids) == 1
    first = ground.remove(names[0])
    assert (first["untagged"], first["deleted"], first["diff"]["after"]) == ([names[0]], [], {"exists": False})
    ground.pull(*names)
    by_id = ground.remove(*ids)
    assert (by_id["untagged"], by_id["deleted"]) == (sorted(names), list(ids))
    assert by_id["actions"] == [f"remove image {name}" for name in sorted(names)]


@pytest.mark.parametrize("first", ["id", "name"])
def test_one_image_named_in_two_ways(ground: Ground, first: str) -> None:
    name = ground.push("twice", ground.built("twice"))
    key = ground.pull(name)["config_digest"]
    done = ground.remove(*([key, name] if first == "id" else [name, key]))
    assert not done.get("failed")
    assert (done["untagged"], done["deleted"], done["actions"]) == ([name], [key], [f"remove image {name}"])
    assert ground.engine.images.list() == []


def test_an_artifact_that_is_no_image_hinders_nobody(ground: Ground) -> None:
    name, other = ground.push("beside", ground.built("beside")), ground.push("beside2", ground.built("beside2"))
    key = ground.pull(name, other)["images"][1]["config_digest"]
    ground.store("reg.test/chart:1", "application/vnd.cncf.helm.config.v1+json")
    assert ground.remove(name)["untagged"] == [name]
    assert ground.remove(key)["untagged"] == [other]
    assert [image.name for image in ground.engine.images.list()] == ["reg.test/chart:1"]


def test_a_pin_of_another_image_removes_nothing(ground: Ground) -> None:
    name = ground.push("pin", ground.built("pin"))
    ground.pull(name)
    nothing = ground.remove(f"{name}@sha256:{'0' * 64}")
    assert (nothing["changed"], nothing["diff"]) == (False, {"before": {"exists": False}, "after": {"exists": False}})
    assert [image.name for image in ground.engine.images.list()] == [name]


def test_an_image_in_use_stays_and_the_others_go(ground: Ground) -> None:
    used, free = ground.push("used", ground.built("used")), ground.push("free", ground.built("free"))
    ground.pull(used, free)
    ground.engine.containers.create(Container("a" * 64, used, {}, "native", "", {"nerdctl/name": "web"}))
    done = ground.remove(used, free)
    assert done["failed"]
    assert done["msg"] == f"the image {used} is used by the containers web: remove them first, or set force"
    assert done["untagged"] == [free]
    assert [row["changed"] for row in done["images"]] == [False, True]
    assert ground.remove(used, force=True)["untagged"] == [used]


def test_names_of_an_image(ground: Ground) -> None:
    """With every name that it has, as people write them, whichever module shows it."""
    name = ground.push("names", ground.built("names"))
    pulled = ground.pull(name)
    repository = name.rpartition(":")[0]
    wanted = {
        "RepoTags": sorted([name, "nginx:1", "team/app:latest", "ghcr.io/x/y:1"]),
        "RepoDigests": sorted(f"{one}@{pulled['digest']}" for one in (repository, "nginx", "team/app", "ghcr.io/x/y")),
        "NamesHistory": sorted([name, "docker.io/library/nginx:1", "docker.io/team/app:latest", "ghcr.io/x/y:1"]),
    }
    told, tagged = ground.modules.both("image_tag", name=name, repository=["nginx:1", "docker.io/team/app", "ghcr.io/x/y:1"])
    assert told == tagged
    again = ground.pull(name)
    (shown,) = ground.modules.result("image_info", name=["nginx:1"])["images"]
    for image in (tagged["image"], again["image"], shown):
        assert {key: image[key] for key in wanted} == wanted
    assert pulled["diff"]["after"].pop("bytes") == pulled["pulled"]["bytes"]
    assert again["diff"]["before"] == again["diff"]["after"] == pulled["diff"]["after"]


def test_info_of_names(ground: Ground) -> None:
    one = ground.push("first", ground.index(ground.built("first"), ground.built("first", "arm64")))
    two = ground.push("second", ground.built("second"))
    ids = [row["image"]["Id"] for row in ground.pull(one, two)["images"]]
    ground.modules.result("image_tag", name=one, repository=["x"])
    rows: t.List[t.Tuple[t.List[str], t.List[str]]] = [
        ([two, one, "x"], [ids[1], ids[0], ids[0]]),
        ([one, "no/such", one], [ids[0], ids[0]]),
        ([ids[1], "x:latest", "x:other"], [ids[1], ids[0]]),
        ([f"{one}@sha256:{'0' * 64}"], []),
    ]
    for names, wanted in rows:
        assert [image["Id"] for image in ground.modules.result("image_info", name=names)["images"]] == wanted, names
    assert [image["Id"] for image in ground.modules.result("image_info")["images"]] == ids
    (other,) = ground.modules.result("image_info", name=[one], platform="linux/arm64")["images"]
    assert (other["Unpacked"], other["RepoTags"]) == (False, sorted([one, "x:latest"]))


def test_check_mode_of_several(ground: Ground) -> None:
    """What is not in the registry fails alone, as in the run; of the others the whole image is told."""
    name, arm = ground.push("told", ground.built("told")), ground.push("arm", ground.built("arm", "arm64"))
    missing = name.replace("told", "nothing")
    told, done = ground.modules.both("image", name=[name, missing], retries=0)
    assert told["failed"]
    assert told["msg"] == done["msg"]
    assert told["error"] == done["error"] == "NotFound"
    assert missing in told["msg"]
    for key in ("name", "changed", "failed", "msg", "digest", "manifest_digest", "config_digest"):
        assert [row.get(key) for row in told["images"]] == [row.get(key) for row in done["images"]], key
    shown, real = (dict(one["images"][0]["image"]) for one in (told, done))
    assert shown.pop("Metadata") != real.pop("Metadata")
    assert shown == real
    wrong = [ground.modules.result("image", check=check, name=[arm], platform=["amd64"], retries=0) for check in (True, False)]
    assert [one["msg"] for one in wrong] == [f"{arm}: it is an image for linux/arm64 only, not for linux/amd64"] * 2


def test_a_pin_is_told_before(ground: Ground) -> None:
    name = ground.push("pinned", ground.built("pinned"))
    told, done = ground.modules.both("image", name=[name], pinned=True)
    assert told["image"]["Pinned"] is done["image"]["Pinned"] is True
    assert told["diff"] == done["diff"]
    for wanted in (False, True):
        told, done = ground.modules.both("image", name=[name], pinned=wanted)
        assert told["image"]["Pinned"] is done["image"]["Pinned"] is wanted
        assert told["diff"] == done["diff"]


def test_a_run_with_nothing_to_do_asks_once(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """All names of an image are known from the one look at the records that a run takes anyway."""
    name = ground.push("quiet", ground.built("quiet"))
    ground.pull(name)
    calls: t.List[str] = []
    for method in ("get", "list", "put", "delete", "companions"):
        real = getattr(ground.engine.images, method)
        monkeypatch.setattr(
            ground.engine.images, method, lambda *given, real=real, method=method: calls.append(method) or real(*given)
        )
    again = ground.pull(name)
    assert (again["changed"], calls) == (False, ["list"])


def test_one_cause_is_told_once() -> None:
    full = ResourceExhausted("writing /x: No space left on device")
    failed = {"a": no_room("a", 1000, full), "b": no_room("b", 0, full)}
    lacking, other = NotFound("no library"), NotFound("c is not in the registry")
    assert told({"a": failed["a"]}) == (
        "there is no room for a (1000 bytes to transfer, more when unpacked): writing /x: No space left on device"
    )
    assert told({"a": failed["a"], "d": lacking, "b": failed["b"], "c": other, "e": lacking}) == (
        "there is no room for a (1000 bytes to transfer, more when unpacked), b: writing /x: No space left on device; "
        "d, e: no library; c is not in the registry"
    )
