# Copyright (c) 2026, fleet.containerd contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that outlive a module, by verb. A verb is a module beside this one with main(arguments), and a line here.

Only the code of one verb is loaded, since most verbs stay in memory, or are part of a start.
"""

from __future__ import annotations

import posix as os
import sys

VERBS = {
    "log": "write the log of a task of containerd's",
    "shim": "hold a container of the embedded engine",
    "watch": "supervise a container whose shim or log writer was killed",
}


def main(arguments: list[str]) -> None:
    """arguments: the verb, and the verb's own arguments."""
    verb = arguments[0] if arguments else ""
    if verb not in VERBS:
        known = "".join(f"\n  {name:8}{what}" for name, what in VERBS.items())
        sys.stderr.write(f"there is no verb {verb!r}; the known ones are{known}\n")
        sys.stderr.flush()
        os._exit(2)
    module = __import__(f"{__package__}.{verb}", fromlist=["main"])
    os._exit(module.main(arguments[1:]))
