# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What playbooks that were written for docker's and podman's image modules read from results, condition by condition.

A story runs tasks, each of them in check mode first, and then evaluates conditions over the results, as assert does in a playbook:
pull_check is what the task pull told in check mode.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import typing as t

import jinja2
import pytest

from ansible_collections.fleet.containerd.tests.support.direct import Direct
from ansible_collections.fleet.containerd.tests.support.fake_registry import FakeRegistry
from ansible_collections.fleet.containerd.tests.support.images import Entry, Layout, tar_of
from ansible_collections.fleet.containerd.tests.support.memory_site import MemorySite


def nothing_to_pull(key: str, pulled: str) -> str:
    """The image is what the task pulled found or made it."""
    return f"""\
{key}_check is not changed
{key}_check.actions == []
{key}_check.diff.before.id == {pulled}.diff.after.id
{key}_check.diff.after.id == {pulled}.diff.after.id
{key} is not changed
{key}.actions == []
{key}.diff.before.id == {pulled}.diff.after.id
{key}.diff.after.id == {pulled}.diff.after.id"""


def nothing_to_remove(key: str) -> str:
    return f"""\
{key}_check is not changed
{key}_check.diff == {key}.diff
{key} is not changed
{key}.diff.before.exists is false
{key}.diff.after.exists is false
{key}.deleted | length == 0
{key}.untagged | length == 0
{key}_check.deleted == {key}.deleted
{key}_check.untagged == {key}.untagged"""


def one_name_less(key: str, names: int) -> str:
    """A task removes the tag key of tagged-1; the image had so many names."""
    return f"""\
{key}_check is changed
{key}_check.diff == {key}.diff
{key} is changed
{key}.diff.before.id == pulled.image.Id
{key}.diff.before.tags | length == {names}
{key}.diff.before.digests | length in [1, 2]
{key}.diff.after.id == pulled.image.Id
{key}.diff.after.tags | length == {names - 1}
{key}.diff.after.digests | length in [1, 2]
{key}.deleted | length == 0
{key}.untagged | length == 1
{key}.untagged[0] == 'tagged-1:{key}'
{key}_check.deleted == {key}.deleted
{key}_check.untagged == {key}.untagged"""


def tagged(key: str, *names: t.Tuple[str, str]) -> str:
    """Of each name of the task the image before ("" for none) and after."""
    lines = [f"{key}_check == {key}", f"{key} is changed", f"{key}.diff.before.images | length == {len(names)}"]
    for number, (before, after) in enumerate(names):
        then, now = (f"{key}.diff.{when}.images[{number}]" for when in ("before", "after"))
        lines += [f"{then} {'==' if before == after else '!='} {now}", f"{now}.id == {after}_pulled.image.Id"]
        lines += [f"{then}.id == {before}_pulled.image.Id" if before else f"{then}.exists is false"]
    return "\n".join(lines)


def nothing_to_tag(key: str, names: int) -> str:
    return f"""\
{key}_check == {key}
{key} is not changed
{key}.diff.before == {key}.diff.after
{key}.diff.before.images | length == {names}"""


def listed(key: str, *images: str) -> str:
    """What image_info lists, by the tasks that pulled them."""
    ids = [f"{key}_info.images[{number}].Id == {image}.image.Id" for number, image in enumerate(images)]
    return "\n".join([f"{key}_info.images | length == {len(images)}", *ids])


PULLS = f"""
pull_check is changed
pull_check.diff.before.exists is false
pull_check.diff.after.id is string
pull is changed
pull.diff.before.exists is false
pull.diff.after.id is string
pull.diff.after.id == pull.image.Id
pull_check.diff == pull.diff
pull_check.image.Id == pull.image.Id
pull_check.image.Config == pull.image.Config
pull_check.image.RepoTags == pull.image.RepoTags
pull_check.image.RepoDigests == pull.image.RepoDigests
pull_check.digest == pull.digest
pull_check.config_digest == pull.config_digest
pull_check.actions | length == 1
pull.actions | length == 1
pull.actions == pull_check.actions
name in pull.actions[0]
name in pull.image.RepoTags
{nothing_to_pull("again", "pull")}
again_check.diff.before == again.diff.after
again_check.diff == again.diff
again_check.image == again.image
{nothing_to_pull("asked", "pull")}
asked.diff.before == again.diff.after
arm_check is changed
arm_check.actions | length == 1
arm_check.diff.before.id == pull.diff.after.id
arm_check.diff.after.id == arm.diff.after.id
arm_check.diff == arm.diff
arm is changed
arm.actions == arm_check.actions
arm.diff.before.id == pull.diff.after.id
arm.diff.after.id != pull.diff.after.id
arm.diff.after.id is string
arm.image.Architecture == 'arm64'
arm_check.image.Architecture == 'arm64'
{nothing_to_pull("arm_again", "arm")}
by_digest_check is changed
by_digest_check.diff.before.exists is false
by_digest is changed
by_digest.diff.before.exists is false
by_digest.diff.after.id is string
{nothing_to_pull("by_digest_again", "by_digest")}
moved_check is changed
moved_check.diff.before.id == first.image.Id
moved_check.diff.after.id == moved.image.Id
moved is changed
moved.diff.before.id == first.image.Id
moved.diff.after.id == moved.image.Id
moved_check.diff == moved.diff
moved_check.image.Id == moved.image.Id
moved_check.image.Config.Labels == moved.image.Config.Labels
foreign_check is changed
foreign is changed
foreign_check.image.Architecture == 'arm64'
foreign_check.diff == foreign.diff
foreign_again is not changed
by_id is failed
bad_tag is failed
missing_check is failed
missing is failed
no_platform_check is failed
no_platform is failed
"""

REMOVALS = f"""
{nothing_to_remove("nothing")}
nothing_info.images | length == 0
{one_name_less("latest", 4)}
latest_check.image == latest.image
latest_info.images | length == 0
{nothing_to_remove("latest_again")}
{one_name_less("foo", 3)}
{listed("two", "pulled", "pulled")}
{listed("one", "pulled")}
by_id_check is changed
by_id_check.diff == by_id.diff
by_id is changed
by_id.diff.before.id == pulled.image.Id
by_id.diff.before.tags | length == 2
by_id.diff.before.digests | length in [1, 2]
by_id.diff.after.exists is false
by_id.deleted | length >= 1
pulled.image.Id in by_id.deleted
by_id.untagged | length in [2, 3]
'tagged-1:bar' in by_id.untagged
hello in by_id.untagged
by_id_check.deleted | length == 1
by_id_check.deleted[0] == pulled.image.Id
by_id_check.untagged == by_id.untagged
none_info.images | length == 0
{nothing_to_remove("by_id_again")}
last.untagged == [hello]
last.deleted == [pulled.image.Id]
last_check.untagged == last.untagged
last_check.deleted == last.deleted
last.diff.after.exists is false
last_check.diff == last.diff
"""

TAGS = f"""
tag_check is changed
{tagged("tag", ("", "hello"), ("", "hello"))}
{listed("tag", "hello_pulled", "hello_pulled")}
tag.tagged_images == ['tagged-1:latest', 'tagged-1:foo']
{nothing_to_tag("same", 2)}
{nothing_to_tag("short", 2)}
{tagged("more", ("hello", "hello"), ("hello", "hello"), ("", "hello"))}
{listed("more", "hello_pulled", "hello_pulled", "hello_pulled")}
{tagged("keep", ("hello", "hello"), ("hello", "hello"), ("", "other"))}
{listed("keep", "hello_pulled", "hello_pulled", "other_pulled", "hello_pulled")}
{nothing_to_tag("kept", 3)}
{tagged("overwrite", ("hello", "other"), ("hello", "other"), ("other", "other"))}
{listed("overwrite", "other_pulled", "other_pulled", "other_pulled", "hello_pulled")}
{tagged("by_digest", ("hello", "digest"))}
{tagged("by_id", ("other", "digest"))}
to_digest is failed
to_id is failed
missing_check is failed
missing is failed
hello in hello_info.images[0].RepoTags
hello_info.images | length == 1
'tagged-2:qux' in hello_info.images[0].RepoTags
"""

OTHERS = f"""
absent_info.images | length == 0
two_info.images | length == 2
other in two_info.images[0].RepoTags
hello in two_info.images[1].RepoTags
{listed("mixed", "other_pulled", "hello_pulled")}
{listed("id", "hello_pulled")}
hello in all_info.images[0].RepoTags[0] or hello in all_info.images[1].RepoTags[0]
all_info.images | length == 2
hello_info.images[0].Digest is string
push_check is changed
push is changed
push.image.Id == hello_pulled.image.Id
push_check.image == push.image
push_check.diff == push.diff
push_again is not changed
push_again.image.Id == hello_pulled.image.Id
push_other is changed
push_other.image.Id == other_pulled.image.Id
push_missing is failed
push_id is failed
push_digest is failed
push_bad_tag is failed
export_check is changed
export is changed
export.images | length == 2
export.images | map(attribute='Id') | list == [hello_pulled.image.Id, other_pulled.image.Id]
export_check.images == export.images
export_again is not changed
manifest | map(attribute='Config') | map('replace', '.json', '') | map('replace', 'blobs/sha256/', '') | sort == ids | sort
load_check is changed
load is changed
load.image_names | sort == ['tagged-1:latest', other] | sort
load.image_names | length == load.images | length
load_check.image_names == load.image_names
load.images | map(attribute='Id') | sort == [hello_pulled.image.Id, other_pulled.image.Id] | sort
load_check.images | map(attribute='Id') | list == load.images | map(attribute='Id') | list
load.image != {{}}
load.image.Id == load.images[0].Id
load.image.NamesHistory | length > 0
load_again is not changed
load_again.image_names == load.image_names
load_again.images == load.images
tag_with_digest is not changed
tag_is_digest is not changed
"""

STORIES = {"pulls": PULLS, "removals": REMOVALS, "tags": TAGS, "others": OTHERS}


class Ground:
    """The images of a story, and modules that run against one engine."""

    def __init__(self, site: MemorySite, registry: FakeRegistry, layout: Layout) -> None:
        self.modules, self.registry, self.layout = Direct(site.defaults, site.memory), registry, layout
        self.results: t.Dict[str, t.Any] = {}

    def push(self, repository: str, *architectures: str, tag: str = "1", label: str = "") -> str:
        """An image, or an index of several, under a name in the registry."""
        layer = tar_of([Entry("file", repository.encode())])
        images = [self.layout.image([layer], {"Labels": {"of": repository + label}}, architecture=one) for one in architectures]
        top = images[0] if len(images) == 1 else self.layout.index(images)
        self.registry.push(self.layout.path, top, f"results/{repository}", tag)
        return f"{self.registry.address}/results/{repository}:{tag}"

    def both(self, key: str, kind: str, **options: t.Any) -> None:
        self.results[f"{key}_check"] = self.once(kind, check=True, **options)
        self.results[key] = self.once(kind, **options)

    def info(self, key: str, *names: str) -> None:
        self.results[f"{key}_info"] = self.once("image_info", name=list(names) or None)

    def once(self, kind: str, check: bool = False, **options: t.Any) -> t.Dict[str, t.Any]:
        more = {"retries": 0} if kind in ("image", "image_push") else {}
        return self.modules.result(kind, check, **more, **options)

    def failing(self, conditions: str) -> t.List[str]:
        """The conditions that do not hold."""
        environment = jinja2.Environment(autoescape=False)
        environment.tests["changed"] = lambda result: result["changed"]
        environment.tests["failed"] = lambda result: result.get("failed", False)
        found = []
        for condition in conditions.strip().splitlines():
            try:
                holds = environment.compile_expression(condition, undefined_to_none=False)(**self.results)
            except (jinja2.UndefinedError, KeyError, TypeError):
                holds = False
            if not holds or isinstance(holds, jinja2.Undefined):
                found.append(condition)
        return found


def pulls(ground: Ground) -> None:
    name = ground.results["name"] = ground.push("two", "amd64", "arm64")
    other = ground.push("other", "amd64")
    ground.both("pull", "image", name=name, platform="amd64")
    ground.both("again", "image", name=name, platform="amd64", pull="missing")
    ground.both("asked", "image", name=name, platform="amd64", pull="always")
    ground.both("arm", "image", name=name, platform="arm64", pull="always")
    ground.both("arm_again", "image", name=name, platform="arm64", pull="missing")
    digest = ground.once("image", name=other)["digest"]
    ground.once("image", name=other, state="absent")
    repository = other.rpartition(":")[0]
    ground.both("by_digest", "image", name=f"{repository}@{digest}")
    ground.both("by_digest_again", "image", name=f"{repository}@{digest}", pull="missing")
    moving = ground.push("moving", "amd64", label="first")
    ground.results["first"] = ground.once("image", name=moving)
    ground.push("moving", "amd64", label="second")
    ground.both("moved", "image", name=moving, pull="always")
    # The tag was of one platform, and is of another one now.
    single = ground.layout.image([], {"Labels": {"of": "moving"}}, architecture="arm64")
    ground.registry.push(ground.layout.path, single, "results/moving", "1")
    ground.both("foreign", "image", name=moving, platform="arm64", pull="missing")
    ground.both("foreign_again", "image", name=moving, platform="arm64", pull="missing")
    ground.both("by_id", "image", name="sha256:" + "0" * 64)
    ground.both("bad_tag", "image", name=repository, tag="foo/bar")
    ground.both("missing", "image", name=f"{repository}:none")
    ground.both("no_platform", "image", name=other, platform="linux/s390x")


def removals(ground: Ground) -> None:
    hello = ground.results["hello"] = ground.push("hello", "amd64")
    names = [f"tagged-1:{tag}" for tag in ("latest", "foo", "bar")]
    ground.results["pulled"] = pulled = ground.once("image", name=hello)
    gone = {"state": "absent"}
    ground.both("nothing", "image", name="tagged-1:latest", **gone)
    ground.info("nothing", "tagged-1:latest")
    ground.once("image_tag", name=hello, repository=names)
    ground.both("latest", "image", name="tagged-1:latest", **gone)
    ground.info("latest", "tagged-1:latest")
    ground.both("latest_again", "image", name="tagged-1:latest", **gone)
    ground.info("two", *names[1:])
    ground.both("foo", "image", name="tagged-1:foo", force=True, **gone)
    ground.info("one", *names[1:])
    by_id = pulled["image"]["Id"]
    ground.both("by_id", "image", name=by_id, force=True, **gone)
    ground.info("none", *names[1:])
    ground.both("by_id_again", "image", name=by_id, force=True, **gone)
    ground.once("image", name=hello)
    ground.both("last", "image", name=hello, **gone)


def tags(ground: Ground) -> None:
    hello = ground.results["hello"] = ground.push("hello", "amd64")
    other, third = ground.push("other", "amd64"), ground.push("third", "amd64")
    for key, name in (("hello", hello), ("other", other), ("digest", third)):
        ground.results[f"{key}_pulled"] = ground.once("image", name=name)
    digest, by_id = (ground.results["digest_pulled"][key] for key in ("digest", "config_digest"))
    ground.once("image", name=f"{third.rpartition(':')[0]}@{digest}")
    names = ["tagged-1:latest", "tagged-1:foo", "tagged-1:bar", "tagged-2:baz"]
    ground.both("tag", "image_tag", name=hello, repository=names[:2])
    ground.info("tag", *names)
    ground.both("same", "image_tag", name=hello, repository=names[:2])
    ground.both("short", "image_tag", name=hello, tag="foo", repository=[names[0], "tagged-1"])
    ground.both("more", "image_tag", name=hello, repository=[*names[:2], names[3]])
    ground.info("more", *names)
    for key, existing in (("keep", "keep"), ("kept", "keep"), ("overwrite", "overwrite")):
        ground.both(key, "image_tag", name=other, existing_images=existing, repository=names[:3])
        ground.info(key, *names)
    ground.both("by_digest", "image_tag", name=f"{third.rpartition(':')[0]}@{digest}", repository=[names[3]])
    ground.both("by_id", "image_tag", name=by_id, repository=[names[1]])
    ground.both("to_digest", "image_tag", name=hello, repository=[f"tagged-2@{digest}"])
    ground.both("to_id", "image_tag", name=hello, repository=[digest])
    ground.both("missing", "image_tag", name="no/such:1", repository=["x"])
    ground.once("image_tag", name=hello, repository=["tagged-2:qux"])
    ground.info("hello", hello)


def others(ground: Ground, directory: pathlib.Path) -> None:
    hello, other = (ground.push(name, "amd64") for name in ("hello", "other"))
    ground.results.update(hello=hello, other=other)
    for key, name in (("hello", hello), ("other", other)):
        ground.results[f"{key}_pulled"] = ground.once("image", name=name)
    by_id = ground.results["hello_pulled"]["image"]["Id"]
    ground.info("absent", "no/such:1")
    ground.info("two", other, hello)
    ground.info("mixed", other, "no/such", hello)
    ground.info("id", by_id)
    ground.info("hello", hello)
    ground.info("all")
    digest = ground.results["hello_pulled"]["digest"]
    ground.both("tag_with_digest", "image", name=hello.rpartition(":")[0], tag=f"1@{digest}")
    pushed = f"{ground.registry.address}/results/pushed:1"
    ground.once("image_tag", name=hello, repository=[pushed])
    ground.both("push", "image_push", name=pushed)
    ground.both("push_again", "image_push", name=pushed)
    ground.once("image_tag", name=other, repository=[pushed])
    ground.both("push_other", "image_push", name=pushed)
    ground.once("image", name=pushed, state="absent")
    ground.both("push_missing", "image_push", name="registry.example.com:5000/foo/bar:baz")
    ground.both("push_id", "image_push", name=by_id)
    ground.both("push_digest", "image_push", name=f"{hello.rpartition(':')[0]}@{digest}")
    ground.both("push_bad_tag", "image_push", name=hello.rpartition(":")[0], tag="foo/bar")
    ground.once("image_tag", name=hello, repository=["tagged-1"])
    archive = str(directory / "archive.tar")
    ground.both("export", "image_export", names=["tagged-1", other], path=archive)
    ground.both("export_again", "image_export", names=["tagged-1", other], path=archive)
    shown = subprocess.run(["tar", "-xOf", archive, "manifest.json"], check=True, capture_output=True).stdout
    ids = [ground.results[f"{key}_pulled"]["image"]["Id"].partition(":")[2] for key in ("hello", "other")]
    ground.results.update(manifest=json.loads(shown), ids=ids)
    ground.once("image", name=["tagged-1", other, hello], state="absent")
    ground.both("load", "image_load", path=archive)
    ground.both("load_again", "image_load", path=archive)
    ground.once("image", name=f"{hello.rpartition(':')[0]}@{digest}")
    ground.both("tag_is_digest", "image", name=hello.rpartition(":")[0], tag=digest)


@pytest.fixture
def ground(site: MemorySite, registry: FakeRegistry, layout: Layout) -> Ground:
    return Ground(site, registry, layout)


@pytest.mark.parametrize("story", sorted(STORIES))
def test_conditions(ground: Ground, story: str, tmp_path: pathlib.Path) -> None:
    told: t.Dict[str, t.Callable[[], None]] = {
        "pulls": lambda: pulls(ground),
        "removals": lambda: removals(ground),
        "tags": lambda: tags(ground),
        "others": lambda: others(ground, tmp_path),
    }
    told[story]()
    failing = ground.failing(STORIES[story])
    total = len(STORIES[story].strip().splitlines())
    assert not failing, f"{total - len(failing)} of {total} hold, but not\n" + "\n".join(failing)
