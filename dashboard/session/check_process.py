"""The command `check` as a process that is followed to its end."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dashboard.session.child_process import start_command
from dashboard.session.run_log import parse

EVERY = 0.3  # seconds between two looks
MOST = 20_000_000  # bytes of an answer


def check_in_steps(
    words: list[str], raise_if_cancelled: Callable[[], None]
) -> Iterator[str | dict[str, Any]]:
    """Run `check … --json`: texts of what it does, at last its object, which has the key `error` where it
    was refused. The process ends with the loop; what `raise_if_cancelled` raises ends it too."""
    with TemporaryDirectory() as folder:
        answer, told = Path(folder, "answer"), Path(folder, "told")
        with answer.open("wb") as output, told.open("wb") as errors:
            process = start_command([*words, "--json"], output, errors)
        try:
            said = ""
            while process.poll() is None:
                raise_if_cancelled()
                if (now := parse(_text(told)).message) != said:
                    said = now
                    yield now
                time.sleep(EVERY)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        yield _answer(_text(answer), _text(told), process.returncode)


def _answer(answer: str, told: str, code: int) -> dict[str, Any]:
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    if isinstance(found, dict) and ("verdict" in found or "error" in found):
        return found
    return {"error": parse(told).error or f"The check ended with code {code} and without an answer."}


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(MOST).decode("utf-8", "replace")
