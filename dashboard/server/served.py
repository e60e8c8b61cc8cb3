"""What a server serves: one run, or a list of runs with the page of each."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from gradio.routes import App

from dashboard.app import build
from dashboard.page import Page, folders
from dashboard.runs_page import build_list
from dashboard.server.open_runs import FREEING, OpenRuns, application
from dashboard.server.sharing import Sharing
from dashboard.session.context import Context
from dashboard.session.run_index import RunIndex
from explain.run.folder_of_runs import RunEntry, RunFolder, is_run


@dataclass
class Served:
    """`page`: the first page; `runs`: those of the runs of a list; `begin`: called when the page is open;
    `end`: called before it is closed, returns whether nothing computes any more."""

    page: Page
    runs: OpenRuns | None
    begin: Callable[[], None]
    end: Callable[[], bool]


def one_run(ctx: Context, measure: bool) -> Served:
    """`measure`: how far its maps can be trusted, in the background."""
    warming = list[threading.Thread | None]()

    def begin() -> None:
        warming.append(ctx.warm_up())
        if measure:
            ctx.measuring.start_when_idle(ctx.work_out)

    def end() -> bool:
        return ctx.measuring.close() and not any(t is not None and t.is_alive() for t in warming)

    return Served(build(ctx), None, begin, end)


def runs_in(folder: Path) -> RunFolder | None:
    """The runs of a folder; None where it is a run itself, or has none."""
    if is_run(folder) or not folder.is_dir():
        return None
    found = RunFolder(folder)
    return found if found.entries() else None


def list_of_runs(
    folder: RunFolder, sharing: Sharing, settings: dict[str, Any], context: Callable[[Path], Context]
) -> Served:
    """The list, with the page of each run below `runs/`. `settings`: of `Blocks.launch`; `context`: of a run
    folder, opened."""
    home = urlsplit(sharing.root_path).path.rstrip("/") + "/"

    def make(entry: RunEntry) -> tuple[Context, Page, App]:
        ctx = context(entry.folder)
        ctx.home, ctx.runs = home, folder.folder
        page = build(ctx)
        app = application(page, f"{sharing.root_path.rstrip('/')}/runs/{quote(entry.name)}", settings)
        ctx.warm_up()
        return ctx, page, app

    private = not sharing.access.computes
    index, runs = RunIndex(folder, private), OpenRuns(folder, make)

    def end() -> bool:
        index.close()
        return not any(thread.name in (FREEING, "warm-up", "figures") for thread in threading.enumerate())

    page = build_list(index, f"{home}runs/", folders([folder.folder / "run"]) if private else None)
    return Served(page, runs, lambda: None, end)
