"""The command line as a process of this server."""

import os
import subprocess
import sys
from typing import IO

from dashboard.server.upload_dir import UPLOADS
from dashboard.session.training_jobs import LAUNCH


def start_command(
    words: list[str],
    output: IO[bytes],
    errors: IO[bytes],
    *,
    own_session: bool = False,
    environment: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `launch.py` with these words. `own_session`: it keeps running when this server ends."""
    inherited = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", **(environment or {})}
    if UPLOADS:
        inherited.pop("GRADIO_TEMP_DIR", None)  # this server's own folder, which it removes
    return subprocess.Popen(
        [sys.executable, str(LAUNCH), *words],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        env=inherited,
        start_new_session=own_session,
    )
