# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_image_load with source: controller: only the missing blobs of an archive are sent to a target.

The module tells what is missing. It runs with the documents of the archive first, and again as often as something is missing. So what
the target's store loses between two runs is sent too.
"""

from __future__ import annotations

import os
import tempfile
import typing as t

from ansible import constants as C
from ansible.errors import AnsibleFileNotFound
from ansible.plugins.action import ActionBase

from ..plugin_utils.library import WithLibrary
from ..plugin_utils.progress import Sending, Shown, shown

if t.TYPE_CHECKING:
    from ..module_utils.archive.parts import Sender

_LOCAL_TMP: str = C.DEFAULT_LOCAL_TMP  # type: ignore[attr-defined]  # ansible-core makes its constants at run time


class ActionModule(WithLibrary):
    """The default action of a module, except with source: controller."""

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> t.Dict[str, t.Any]:
        with shown(self, task_vars) as watch:
            return self._run(watch, tmp, task_vars)

    def _run(self, watch: Shown, tmp: t.Any, task_vars: t.Any) -> t.Dict[str, t.Any]:
        arguments = self._task.args
        if arguments.get("source") != "controller" or not arguments.get("path"):
            return dict(super().run(tmp, task_vars))
        from ..module_utils.archive.parts import Sender
        from ..module_utils.archive.read import open_archive
        from ..module_utils.errors import EngineError

        result = dict(ActionBase.run(self, tmp, task_vars))
        where = ""
        try:
            path = self._find(str(arguments["path"]))
            where = "on the controller: "
            with open_archive(path, _LOCAL_TMP) as archive:
                result.update(self._load(Sender(archive), path, task_vars, watch))
        except EngineError as error:
            result.update(failed=True, msg=f"{where}{error}", error=type(error).__name__)
        return result

    def _find(self, path: str) -> str:
        """The path of the archive. Raises InvalidArgument, NotFound."""
        from ..module_utils.errors import InvalidArgument, NotFound, printable

        if self._task.async_val:
            raise InvalidArgument(
                "async: it is not possible with source=controller: the controller has to send what is missing meanwhile"
            )
        if path.startswith(("http://", "https://")):
            raise InvalidArgument(
                "path: a URL is not possible with source=controller: leave source out, and the target downloads it"
            )
        if self._task.args.get("checksum"):
            raise InvalidArgument("checksum: it is for a URL only, a file on the controller is checked by the digests in it")
        try:
            return str(self._find_needle("files", path))
        except AnsibleFileNotFound as error:
            searched = f" (looked for: {', '.join(error.paths)})" if isinstance(error.paths, list) and error.paths else ""
            raise NotFound(f"path: there is no {printable(path, 300)} on the controller{printable(searched, 2000)}") from error

    def _load(self, sender: Sender, path: str, task_vars: t.Any, watch: Shown) -> t.Dict[str, t.Any]:
        """Run the module until nothing is missing. Returns its last result."""
        shell = self._connection._shell
        if shell.tmpdir is None:
            self._make_tmp_path()
        remote = shell.join_path(shell.tmpdir, "part.tar")
        asked: t.Set[str] = set()
        sent = 0
        while True:
            sent += self._send(sender, asked, remote, watch)
            result = dict(self._execute_module(module_args={**self._task.args, "path": remote}, task_vars=task_vars))
            # A blob that is not in the archive cannot be sent, however often a target names it. So this ends.
            missing = set(result.pop("unsent", ())) - asked
            more = sender.offers(missing) if missing else missing
            if not more:
                break
            asked |= more
        if "invocation" in result:
            result["invocation"]["module_args"]["path"] = path
        return {**result, "sent": sent}

    def _send(self, sender: Sender, asked: t.Set[str], remote: str, watch: Shown) -> int:
        """Send a part. Returns the number of bytes."""
        fd, local = tempfile.mkstemp(prefix="part-", suffix=".tar", dir=_LOCAL_TMP)
        os.close(fd)
        try:
            length = sender.write(local, asked)
            watch.sending = Sending(str(self._task.args["path"]), remote, length)
            self._transfer_file(local, remote)
        finally:
            watch.sending = None
            os.unlink(local)
        self._fixup_perms2((self._connection._shell.tmpdir, remote), execute=False)
        return length
