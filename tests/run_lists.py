"""Folders of runs, and a server of one, for tests."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.synthetic import Faults, synthetic_run
from dashboard.server.served import Served, list_of_runs, runs_in
from dashboard.server.serving import ServeConfig, options
from dashboard.server.sharing import Sharing
from explain.run.format import REQUEST
from tests.conftest import TOON_RUN
from tests.ports import free_port

LOGIN = ("me", "secret")


def made(folder: Path) -> Path:
    """A whole run, one below a group, one of two classes at chance, and some that cannot be opened."""
    shutil.copytree(TOON_RUN, folder / "toon & co")
    synthetic_run(folder / "group" / "small", 60, 3, part_rows=30)
    synthetic_run(folder / "at chance", 60, 2, Faults(flipped=0.5), apart=0.05)
    for name, content in (("broken", "{"), ("newer", '{"schema": 99}')):
        (folder / name).mkdir()
        (folder / name / REQUEST).write_text(content)
    (folder / "begun").mkdir()
    shutil.copy(TOON_RUN / REQUEST, folder / "begun")
    (folder / "no run").mkdir()
    shutil.copytree(TOON_RUN, folder / ".hidden")
    return folder


@contextmanager
def listening(folder: Path, **wishes: Any) -> Iterator[tuple[str, Served]]:
    """The list, live: its address, and what is served."""
    sharing = Sharing(**wishes)
    found = runs_in(folder)
    assert found is not None
    found._every = 0
    config = ServeConfig(folder, sharing)
    served = list_of_runs(found, sharing, options(sharing), config.opened)
    rules = sharing.rules()
    rules.runs = served.runs
    login = sharing.login()
    named = options(sharing, login, rules) | {"server_name": "127.0.0.1"}
    _, url, _ = served.page.launch(prevent_thread_lock=True, server_port=free_port(), **named)
    yield url.rstrip("/"), served
    assert served.runs is not None
    served.runs.close()
    served.page.close(verbose=False)
    served.end()
