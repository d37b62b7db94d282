# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_distribute: the plan of a play is made here, and each host gets its part of it.

Between the tasks the plan is a file in the temporary directory of this run of Ansible, which only its user can read, and which goes with
the run. So the secret of the play is in no variable, and in no result.
"""

from __future__ import annotations

import json
import os
import re
import typing as t

from ansible import constants as C
from ansible.utils.display import Display

from ..plugin_utils.distribution.parts import Limits, forecast, images_of, make_parts, partakers, summary, undecided
from ..plugin_utils.library import WithLibrary
from ..plugin_utils.progress import shown

display = Display()
_LOCAL_TMP: str = C.DEFAULT_LOCAL_TMP  # type: ignore[attr-defined]  # ansible-core makes its constants at run time
_ID = re.compile(r"[0-9a-f]{12}\Z")
Json = t.Dict[str, t.Any]


class ActionModule(WithLibrary):
    """The default action of a module for the steps of a host; the others are done here."""

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> t.Dict[str, t.Any]:
        from ..module_utils.errors import EngineError

        step, variables = self._task.args.get("step"), task_vars or {}
        try:
            if step == "look" and self._task.args.get("release"):
                return self._module(task_vars, images=self._released())
            if step == "plan":
                return self._plan(variables)
            if step == "report":
                return self._report(variables)
            if step in ("pull", "wait"):
                with shown(self, task_vars):
                    return self._part(step, task_vars)
            if step == "start":
                # In check mode nothing is started: the next step tells what would come.
                return {"changed": False} if self._task.check_mode else self._part(step, task_vars)
        except EngineError as error:
            return {"failed": True, "msg": str(error), "error": type(error).__name__}
        return dict(super().run(tmp, task_vars))

    def _part(self, step: str, task_vars: t.Any) -> Json:
        """A step that needs the part of this host."""
        part = self._read()["parts"][task_vars["inventory_hostname"]]
        return self._module(task_vars, step="foresee" if self._task.check_mode else step, part=json.dumps(part))

    def _module(self, task_vars: t.Any, **more: t.Any) -> Json:
        own = {key: value for key, value in self._task.args.items() if key not in ("plan", "results", "release")}
        result = dict(self._execute_module(module_args={**own, **more}, task_vars=task_vars))
        result.pop("invocation", None)
        return result

    def _released(self) -> t.List[str]:
        """The images, with the digests of the release file; all of it where none is named."""
        from ..module_utils.oci.reference import Reference
        from ..plugin_utils.release import read_release

        path, named = self._task.args["release"], self._task.args.get("images") or []
        release = read_release(self, path)
        names = named.split(",") if isinstance(named, str) else named
        return [
            str(release.pinned(Reference.parse(name, "images", "latest"), "images", path)) for name in names or release.images
        ]

    # The plan

    def _plan(self, variables: t.Any) -> Json:
        from ..module_utils.errors import InvalidArgument

        _valid, options = self.validate_argument_spec(_spec())
        if options["heads"] < 1:
            raise InvalidArgument(f"heads: {options['heads']} is not a positive number")
        _check_rate(options["rate"])
        looks = self._results(variables, options["results"])
        if not looks:
            raise InvalidArgument("results: no host of the play has looked for the images: use the role image_distribute")
        names = list(next(iter(looks.values()))["images"])
        asked = undecided(looks, names, options["pull"])
        resolved: Json = {}
        if asked:
            platforms = sorted({look["platform"] for look in looks.values()})
            answer = self._module(variables, step="resolve", images=asked, platforms=platforms)
            if answer.get("failed"):
                return answer
            resolved = answer["images"]
        images = images_of(looks, resolved, names)
        parts = make_parts(looks, images, Limits(options["heads"], options["timeout"], options["method"] != "relay"))
        first = next(iter(parts.values()))
        size = sum(first["blobs"].values())
        tls = certificate() if options["tls"] else {}
        content = {
            "parts": {name: {**part, **tls} for name, part in parts.items()},
            "size": size,
            "failed": self._failed(variables),
        }
        self._write(first["id"], content)
        return {
            "changed": False,
            "plan": first["id"],
            "images": {name: image["digest"] for name, image in images.items()},
            "hosts": partakers(looks, images, parts),
            "asked_registry": asked,
            "size": size,
        }

    def _results(self, variables: t.Any, name: str) -> t.Dict[str, Json]:
        """What a step has found, on the hosts that are still in the play, in the order of the inventory."""
        active = set(variables["ansible_play_hosts"])
        found = {}
        for host in variables["ansible_play_batch"]:
            result = variables["hostvars"][host].get(name) or {}
            if host in active and "images" in result:
                found[host] = dict(result)
        return found

    def _failed(self, variables: t.Any) -> t.Dict[str, str]:
        """The hosts that could not be looked at, and why."""
        name, found = self._task.args["results"], t.cast(t.Dict[str, str], {})
        for host in set(variables["ansible_play_hosts_all"]) - set(variables["ansible_play_hosts"]):
            result = variables["hostvars"][host].get(name) or {}
            if result.get("failed") or result.get("unreachable"):
                found[host] = str(result.get("msg", "it failed"))
        return found

    def _path(self, plan: str) -> str:
        from ..module_utils.errors import InvalidArgument

        if not _ID.match(str(plan)):
            raise InvalidArgument("plan: it is not the name of a plan: use the role image_distribute")
        return os.path.join(_LOCAL_TMP, f"fleet-plan-{plan}")

    def _write(self, plan: str, content: Json) -> None:
        with open(os.open(self._path(plan), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            json.dump(content, stream)

    def _read(self) -> Json:
        from ..module_utils.errors import InvalidArgument

        path = self._path(self._task.args.get("plan", ""))
        try:
            with open(path, encoding="utf-8") as stream:
                return t.cast(Json, json.load(stream))
        except OSError as error:
            raise InvalidArgument("plan: there is no such plan in this run of Ansible: use the role image_distribute") from error

    # The results

    def _report(self, variables: t.Any) -> Json:
        _valid, options = self.validate_argument_spec(_spec())
        name, rate = options["results"], _check_rate(options["rate"])
        plan = self._read()
        failed = {host: {"failed": True, "msg": why} for host, why in plan["failed"].items()}
        gone = {"failed": True, "msg": "it failed at its start, see above"}
        absent = {host: {} if host in variables["ansible_play_hosts"] else gone for host in plan["parts"]}
        known = {host: dict(variables["hostvars"][host].get(name) or absent[host]) for host in plan["parts"]}
        # Those that had nothing to do were skipped.
        known = {host: {} if one.get("skipped") else one for host, one in known.items()}
        found = {
            host: {**known, **failed}[host] for host in variables["ansible_play_hosts_all"] if host in known or host in failed
        }
        if self._task.check_mode:
            lines = forecast(found, rate)
            result: Json = {"changed": False, "table": lines}
        else:
            result = {"changed": False, **summary(found, plan["size"], rate)}
            lines = result["table"]
        for line in lines:
            display.display(line)
        return result


def _check_rate(rate: t.Optional[float]) -> t.Optional[float]:
    from ..module_utils.errors import InvalidArgument

    if rate is not None and not 0 < rate < float("inf"):
        raise InvalidArgument(f"rate: {rate:g} is not a positive number")
    return rate


def _spec() -> Json:
    from ..module_utils.argument_specs.containerd_image_distribute import SPEC

    spec = t.cast(t.Mapping[str, Json], SPEC["argument_spec"])
    found = {name: dict(option) for name, option in spec.items()}
    for option in found.values():
        option.pop("variable", None)
    return found


def certificate() -> t.Dict[str, str]:
    """A certificate of its own authority, for a day, and its key: all hosts of the play have it, and nobody else."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fleet.containerd")])
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Clocks of hosts differ.
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {"certificate": made.public_bytes(serialization.Encoding.PEM).decode(), "key": private.decode()}
