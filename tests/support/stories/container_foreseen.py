# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode of containerd_container tells whether it will work: it fails as the run would, and says what it could not look at."""

from __future__ import annotations

import pathlib
import typing as t

from ansible_collections.fleet.containerd.tests.support.stories.sites import AnySite

Result = t.Dict[str, t.Any]


class Ground:
    """A site, and the module containerd_container in it. result: a run of that with options, failed or not."""

    def __init__(self, site: AnySite, result: t.Callable[..., Result]) -> None:
        self.site, self._result = site, result

    def run(self, check: bool = False, **options: t.Any) -> Result:
        wanted = {"name": "web", "command": ["sleep", "1000"], "stop_signal": "KILL", "retries": 0, **options}
        return self._result(**wanted, _ansible_check_mode=check)

    def check(self, *rows: Result) -> t.List[Result]:
        """In check mode, which changes nothing."""
        before = self.site.everything()
        found = [self.run(check=True, **options) for options in rows]
        assert self.site.everything() == before, "check mode has changed something"
        return found

    def fails_alike(self, *rows: Result) -> t.List[str]:
        """The messages of both modes."""
        messages = []
        for options, foreseen in zip(rows, self.check(*rows)):
            found = self.run(**options)
            assert foreseen.get("failed"), f"check mode did not see: {found}"
            assert found.get("failed"), f"only check mode says: {foreseen['msg']}"
            assert (foreseen["msg"], foreseen["error"]) == (found["msg"], found["error"])
            messages.append(str(found["msg"]))
        return messages


def warnings(result: Result) -> str:
    return " ".join(map(str, result.get("warnings", ())))


class Release(t.NamedTuple):
    """Names of images. silent: it has no command. two_platforms: not for riscv64. declaring: it has a volume."""

    busybox: str
    silent: str
    two_platforms: str
    declaring: str


def a_release_cannot_be_deployed(ground: Ground, release: Release, scratch: pathlib.Path) -> str:
    """Where there is no runtime kata. Leaves the container other, whose volume scratch/volume is gone.

    Returns what is said of 127.0.0.1:1, where no registry is.
    """
    busybox, repository = release.busybox, release.busybox.rpartition(":")[0]
    no_tag, no_registry, no_platform, no_volume, no_runtime, no_command = ground.fails_alike(
        {"image": f"{repository}:99"},
        {"image": "127.0.0.1:1/app:1"},
        {"image": release.two_platforms, "platform": "linux/riscv64"},
        {"image": busybox, "volumes": [f"{scratch}/gone:/v"]},
        {"image": busybox, "runtime": "kata"},
        {"image": release.silent, "command": None},
    )
    assert no_tag.startswith(f"{repository}:99 is not in the registry: GET ")
    assert "127.0.0.1:1" in no_registry
    assert "linux/riscv64" in no_platform
    assert no_volume == f"volumes: the source {scratch}/gone is not there on the target: create it first"
    assert no_runtime.startswith("runtime: kata is not installed on the target: ")
    assert "has neither a command nor" in no_command
    fine, missing = ground.check({"image": busybox}, {"image": f"{repository}:99"})
    assert fine["actions"] == [f"pull image {busybox}", "create container web", "start container web"]
    assert "check mode cannot tell whether the image has the command sleep" in warnings(fine)
    assert missing["failed_action"] == f"pull image {repository}:99"
    made = ground.run(image=busybox)
    assert "check mode" not in warnings(made)
    assert fine["diff"] == made["diff"]
    assert made["diff"]["after"]["image"] == {"name": busybox, "digest": made["container"]["Containerd"]["ManifestDigest"]}
    volume = scratch / "volume"
    volume.mkdir()
    assert ground.run(name="other", image=busybox, state="present", volumes=[f"{volume}:/v"])["changed"]
    volume.rmdir()
    # What the image declares is made by the first start.
    assert ground.run(name="third", image=release.declaring, state="present")["changed"]
    (third,) = ground.check({"name": "third"})
    assert third["actions"] == ["start container third"]
    return no_registry


def an_image_lacks_what_is_asked_for(ground: Ground, busybox: str, scratch: pathlib.Path) -> t.List[t.Tuple[Result, str]]:
    """The options and what both modes say of them."""
    (scratch / "file").touch()
    wrong: t.List[t.Tuple[Result, str]] = [
        ({"command": ["/bin/nothing"]}, "the command /bin/nothing is not in the image"),
        ({"command": ["nothing"]}, "the command nothing is not in the image's PATH"),
        ({"user": "nobody-here"}, "user: the image has no user 'nobody-here' in its /etc/passwd"),
        ({"working_dir": "/bin/sh"}, "working_dir: /bin/sh is not a directory in the image"),
        (
            {"volumes": [f"{scratch}/file:/bin"]},
            f"a file cannot be mounted on a directory, nor the other way round: {scratch}/file",
        ),
    ]
    rows: t.List[t.Tuple[Result, str]] = [({"image": busybox, **options}, message) for options, message in wrong]
    # The image is not here yet.
    (absent,) = ground.check(rows[0][0])
    assert "check mode cannot tell whether the image has the command /bin/nothing" in warnings(absent)
    assert ground.run(image=busybox)["changed"]
    assert ground.fails_alike(*(options for options, _message in rows)) == [message for _options, message in rows]
    return rows
