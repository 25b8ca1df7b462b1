# SPDX-License-Identifier: Apache-2.0
"""Where the yard's sockets are: the same rules as every other program of the yard."""
from __future__ import annotations

import os
from typing import Optional


def run_directory(run: Optional[str] = None, home: Optional[str] = None) -> str:
    """``run``, else ``home``/run, else $MODELYARD_RUN, $MODELYARD_HOME/run, $XDG_RUNTIME_DIR/modelyard, /run/modelyard."""
    if run:
        return os.path.abspath(run)
    if home:
        return os.path.join(os.path.abspath(home), "run")
    given = os.environ
    if given.get("MODELYARD_RUN"):
        return os.path.abspath(given["MODELYARD_RUN"])
    if given.get("MODELYARD_HOME"):
        return os.path.join(os.path.abspath(given["MODELYARD_HOME"]), "run")
    if given.get("XDG_RUNTIME_DIR"):
        return os.path.join(given["XDG_RUNTIME_DIR"], "modelyard")
    return "/run/modelyard"
