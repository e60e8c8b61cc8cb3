"""The Chromium of the tests: where it is, and how it is started."""

import os
import shutil

import pytest

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
]
CHROMIUMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first opens a page in two thirds of the others' time."""


def executable() -> str:
    """The first that is here, or `CHROMIUM`; the test is skipped without one."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if not path:
        pytest.skip("no Chromium on this machine: install Debian's chromium-headless-shell, or set CHROMIUM")
    return path
