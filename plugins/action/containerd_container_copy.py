# Copyright (c) 2026, fleet.containerd contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""containerd_container_copy with source: controller or content: the target is sent what it has not.

A content is never an argument of the module, so no log of the target has it. Of files, the module tells what is missing.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import typing as t

from ansible import constants as C
from ansible.errors import AnsibleError, AnsibleFileNotFound
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ..plugin_utils.library import WithLibrary

if t.TYPE_CHECKING:
    from ..plugin_utils.files_part import Files, Text

_LOCAL_TMP: str = C.DEFAULT_LOCAL_TMP  # type: ignore[attr-defined]  # ansible-core makes its constants at run time
_HIDDEN = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


class ActionModule(WithLibrary):
    """The default action of a module, except with source: controller or content."""

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> t.Dict[str, t.Any]:
        arguments = self._task.args
        has_content = arguments.get("content") is not None
        sends = arguments.get("source") == "controller" or has_content
        if not sends or arguments.get("direction", "into") != "into" or has_content == bool(arguments.get("path")):
            # Whatever is wrong with it, the module says it; but not with a content that a log of the target would have.
            if has_content:
                self._task.args = {**arguments, "content": ""}
            return dict(super().run(tmp, task_vars))
        from ..module_utils.errors import EngineError
        from ..plugin_utils.files_part import Problem

        result = dict(ActionBase.run(self, tmp, task_vars))
        try:
            result.update(self._copy(self._files(), task_vars))
        except EngineError as error:
            result.update(failed=True, msg=str(error), error=type(error).__name__)
        except (Problem, OSError, AnsibleError) as error:
            result.update(failed=True, msg=f"path: on the controller: {error}", error="InvalidArgument")
        return result

    def _files(self) -> t.Union[Files, Text]:
        """Raises InvalidArgument, NotFound, Problem."""
        from ..module_utils.errors import InvalidArgument, NotFound, printable
        from ..module_utils.oci.file_content import content_of
        from ..plugin_utils.files_part import Files, Text

        arguments = self._task.args
        if self._task.async_val:
            raise InvalidArgument(
                "async: it is not possible with source=controller or content: the controller has to send what is missing meanwhile"
            )
        if arguments.get("content") is not None:
            return Text(content_of(arguments["content"], boolean(arguments.get("content_is_b64", False))))
        given = str(arguments["path"])
        try:
            path = str(self._find_needle("files", given))
        except AnsibleFileNotFound as error:
            searched = f" (looked for: {', '.join(error.paths)})" if isinstance(error.paths, list) and error.paths else ""
            raise NotFound(f"path: there is no {printable(given, 300)} on the controller{printable(searched, 2000)}") from error
        return Files(path, given, boolean(arguments.get("local_follow", True)), self._plain)

    @contextlib.contextmanager
    def _plain(self, path: str) -> t.Iterator[str]:
        """The path of a file that is not encrypted."""
        if not boolean(self._task.args.get("decrypt", True)):
            yield path
            return
        real = self._loader.get_real_file(path)
        try:
            yield real
        finally:
            self._loader.cleanup_tmp_file(real)

    def _copy(self, files: t.Union[Files, Text], task_vars: t.Any) -> t.Dict[str, t.Any]:
        """Run the module until nothing is missing. Returns its last result."""
        shell = self._connection._shell
        if shell.tmpdir is None:
            self._make_tmp_path()
        remote = shell.join_path(shell.tmpdir, "files.tar")
        given = dict(self._task.args)
        arguments = {name: value for name, value in given.items() if name not in ("content", "content_is_b64")}
        asked: t.Set[str] = set()
        while True:
            self._send(files, asked, remote)
            module_args = {**arguments, "source": "controller", "path": remote}
            result = dict(self._execute_module(module_args=module_args, task_vars=task_vars))
            # A file that is not here cannot be sent, however often a target names it. So this ends.
            more = files.offers(result.pop("unsent", ())) - asked
            if not more:
                break
            asked |= more
        if "invocation" in result:
            known = {**result["invocation"]["module_args"], "path": given.get("path"), "source": given.get("source", "target")}
            result["invocation"]["module_args"] = {**known, "content": _HIDDEN} if "content" in given else known
        return result

    def _send(self, files: t.Union[Files, Text], asked: t.Set[str], remote: str) -> None:
        fd, local = tempfile.mkstemp(prefix="files-", suffix=".tar", dir=_LOCAL_TMP)
        os.close(fd)
        try:
            files.write(local, asked)
            self._transfer_file(local, remote)
        finally:
            os.unlink(local)
        self._fixup_perms2((self._connection._shell.tmpdir, remote), execute=False)
