# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only room that knows AnsibleModule: parameters in, one result or one clear error out."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import re
import sys
import time
import typing as t

from ansible.module_utils.basic import AnsibleModule, env_fallback

from ..errors import EngineError, MissingLibrary, from_os_error, printable
from .bytecode import ARCHIVE, Cache
from .converge import Facts, Resource, converge
from .interrupt import Interrupted, interruptible

EngineOf = t.Callable[[t.Mapping[str, t.Any]], t.ContextManager[t.Any]]
#: The parameters as check mode takes them.
Checked = t.Callable[[t.Mapping[str, t.Any]], t.Mapping[str, t.Any]]
#: Finds the secret values in the parameters whose options are not secret themselves.
Secrets = t.Callable[[t.Mapping[str, t.Any]], t.Iterable[str]]
_INTERPRETERS = ("/usr/bin/python3", "/usr/libexec/platform-python", "/usr/bin/python")
#: The password in a URL, or in user:password@host:port, as proxies are given.
_PASSWORD = r"(?:[A-Za-z][A-Za-z0-9+.-]*://[^/?#@\s:]*:([^/?#\s]+)@|[^/?#@\s:]+:([^/?#@\s]+)@[^/?#@\s:]+:[0-9]+/?\Z)"
#: The pauses between the tries to write the result.
_PAUSES = (0.01, 0.1, 0.0)
#: Has the exit status when the module has ended.
_status: t.List[int] = []


def _passwords(params: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """The passwords in those parameters that are a URL."""
    for value in params.values():
        found = re.match(_PASSWORD, value) if isinstance(value, str) and "@" in value else None
        if found:
            yield found[1] or found[2]


def _argument_spec(spec: t.Mapping[str, t.Mapping[str, t.Any]]) -> t.Dict[str, t.Dict[str, t.Any]]:
    """As AnsibleModule takes it. variable, in an entry of ours: where the environment has what counts if the option is not set."""
    found = {name: dict(option) for name, option in spec.items()}
    for option in found.values():
        variable = option.pop("variable", None)
        if variable:
            option["fallback"] = (env_fallback, [variable])
    return found


class _Module(AnsibleModule):
    """Hides secrets; a wrong parameter also gives a result with all parameters."""

    def __init__(self, spec: t.Mapping[str, t.Any], secrets: t.Optional[Secrets]) -> None:
        self._secrets = secrets
        # With no_log, the parameters are not written to the host's log, which would come before we can find the secrets in them.
        arguments = {**spec, "argument_spec": _argument_spec(spec["argument_spec"])}
        super().__init__(supports_check_mode=True, no_log=secrets is not None, **arguments)  # type: ignore[no-untyped-call]  # no types
        self._hide()

    def _hide(self) -> None:
        self.no_log_values.update(_passwords(self.params))
        if self._secrets:
            self.no_log_values.update(self._secrets(self.params))

    def fail_json(self, msg: str, **kwargs: t.Any) -> t.NoReturn:
        self._hide()
        super().fail_json(msg, **kwargs)
        raise AssertionError("fail_json does not return")


def _module(spec: t.Mapping[str, t.Any], secrets: t.Optional[Secrets] = None) -> AnsibleModule:
    # Do not use the caller's umask: only the owner may change our files, and we must be able to read them again.
    os.umask(0o022)
    if ARCHIVE:
        # Before others, so that it runs after them.
        atexit.register(_leave)
    return _Module(spec, secrets)


def _respawn(error: BaseException) -> None:
    """If another interpreter of the host has the missing library, start again with that one; then this does not return."""
    if isinstance(error, MissingLibrary):
        from .library import respawn

        known = respawn()
        interpreter = None if known.has_respawned() else known.probe_interpreters_for_module(_INTERPRETERS, error.library)
        if interpreter:
            known.respawn_module(interpreter)


def _fail(module: AnsibleModule, error: t.Union[EngineError, Interrupted]) -> t.NoReturn:
    """Fail with one clear message."""
    _respawn(error)
    details = {key: value for key, value in error.details.items() if value not in (None, "", [], 0)}
    module.fail_json(msg=str(error), error=type(error).__name__, **details)
    raise AssertionError("fail_json does not return")


def _unforeseen(error: OSError) -> EngineError:
    """The error for an unexpected refusal of the operating system: a broken disk, or too many open files."""
    import traceback

    found = from_os_error(error, f"working on {printable(str(error.filename or 'the target'), 200)}")
    found.details["exception"] = traceback.format_exc()
    return found


def _told(function: t.Callable[..., None]) -> t.Callable[..., None]:
    """Write the result before the module ends. If that is impossible, try to report it in one clear line."""

    @functools.wraps(function)
    def run_and_tell(*arguments: t.Any, **more: t.Any) -> None:
        try:
            function(*arguments, **more)
        except OSError as error:
            _cannot_tell(error)
        except SystemExit as ended:
            _flush()
            _status.append(ended.code if isinstance(ended.code, int) else 1)
            raise

    return run_and_tell


def _leave() -> None:
    """The last that a task does: Python would free everything it has imported, object by object, for a tenth of the time of a task."""
    if _status:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(_status[0])


def _flush() -> None:
    for pause in _PAUSES:
        try:
            sys.stdout.flush()
            return
        except OSError as error:
            last = error
            time.sleep(pause)
    _cannot_tell(last)


def _cannot_tell(error: OSError) -> t.NoReturn:
    """Report it on standard error; Python itself would end with the status 120 and a traceback."""
    with contextlib.suppress(OSError):
        os.write(2, f"the result of the module cannot be written to its output: {error.strerror}\n".encode())
    os._exit(1)


def no_engine(_params: t.Mapping[str, t.Any]) -> t.ContextManager[None]:
    """For modules that manage files of the host, or registries. Then the code of the engines is not sent to the target."""
    return contextlib.nullcontext()


def _end(module: AnsibleModule, cache: Cache, facts: Facts, **more: t.Any) -> t.NoReturn:
    """End the module with the result of a completed task."""
    if not module.check_mode:
        cache.save()
    for warning in facts.warnings:
        module.warn(warning)
    result = {**more, **facts.result}
    if facts.failure:
        module.fail_json(msg=facts.failure, **result)
    module.exit_json(**result)
    raise AssertionError("exit_json does not return")


@_told
def run(
    resource: Resource,
    spec: t.Mapping[str, t.Any],
    cache: Cache,
    engine_of: EngineOf = no_engine,
    secrets: t.Optional[Secrets] = None,
    in_check_mode: t.Optional[Checked] = None,
) -> None:
    """Run a module that manages a resource. engine_of: kernel.engines.opened if it needs an engine."""
    module = _module(spec, secrets)
    params = in_check_mode(module.params) if in_check_mode and module.check_mode else module.params
    try:
        with interruptible(), engine_of(params) as engine:
            outcome = converge(resource, params, engine, module.check_mode)
    except (EngineError, Interrupted) as error:
        _fail(module, error)
    except OSError as error:
        _fail(module, _unforeseen(error))
    more: t.Dict[str, t.Any] = {"changed": outcome.changed, "actions": outcome.actions}
    if outcome.changed or (isinstance(outcome.diff["before"], dict) and outcome.diff["before"]):
        # Also when nothing changes, since playbooks compare both sides; but not the text of a file, which is long.
        more["diff"] = outcome.diff
    for failure in outcome.failures:
        _respawn(failure)
        more.setdefault("error", type(failure).__name__)
    _end(module, cache, outcome.facts, **more)


@_told
def run_query(
    query: t.Callable[[t.Mapping[str, t.Any], t.Any], Facts],
    spec: t.Mapping[str, t.Any],
    cache: Cache,
    engine_of: EngineOf = no_engine,
) -> None:
    """Run a module that only reads: query(params, engine) returns its facts."""
    module = _module(spec)
    try:
        with engine_of(module.params) as engine:
            facts = query(module.params, engine)
    except EngineError as error:
        _fail(module, error)
    except OSError as error:
        _fail(module, _unforeseen(error))
    _end(module, cache, facts, changed=False)
