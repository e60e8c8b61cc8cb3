"""The pages of several runs in one server: each is made when it is first asked for, and closed again to make
room for others.

A page is a Gradio application of its own, below `/runs/NAME`, behind the request filter and the login of the
list of runs.
"""

import asyncio
import gc
import logging
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from gradio.routes import App
from gradio.utils import _parse_file_size

from dashboard.page import Page
from dashboard.server.bodies import Application, Message, Receive, Send, answer
from dashboard.server.middleware import KNOWN
from dashboard.session.context import Context
from explain.run.folder_of_runs import RunEntry, RunFolder
from models.counts import be, counted
from models.errors import UserError

MOST, MOST_IMAGES = 8, 2_000_000
"""Runs that are open at once, and the images of all of them together: a million images take half a gigabyte.
One run may have more."""
FREEING = "closed run"  # name of the threads that free memory
IN_USE = 60.0  # seconds after its last request for which a run is not closed for another
PATIENCE = 3.0  # seconds for the end of all of them
HEARTBEAT = "/gradio_api/heartbeat/"
ALIVE = 15.0  # seconds between two signs of life to a page whose run is closed
CLOSED = "This run was closed to make room for others: reload the page to open it again."


@dataclass(eq=False)
class OpenRun:
    """A run and its page. `used`: when it was asked for last, by `clock`; `under_way`: requests that are not
    answered yet."""

    entry: RunEntry
    ctx: Context
    page: Page
    app: App
    clock: Callable[[], float]
    used: float
    under_way: int = 0
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def images(self) -> int:
        return len(self.ctx.run.table)

    async def start(self) -> None:
        await self.stack.enter_async_context(self.app.router.lifespan_context(self.app))
        self.page.run_startup_events()
        await self.page.run_extra_startup_events()

    async def answer(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on; a heartbeat is no use of the run."""
        if scope["path"].startswith(HEARTBEAT):
            await self.app(scope, receive, send)
            return
        self.under_way += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.under_way -= 1
            self.used = self.clock()

    def in_use(self) -> bool:
        return self.under_way > 0 or self.clock() - self.used < IN_USE

    async def stop(self) -> None:
        """End its connections to browsers, and its measurement."""
        self.ctx.measuring.stop()
        self.app.stop_event.set()
        self.page._queue.close()
        await self.stack.aclose()

    async def close(self) -> None:
        """Stop; a thread frees what is held in memory when the step that is computed has ended."""
        await self.stop()
        self.app.state_holder.session_data.clear()
        threading.Thread(target=self._free, daemon=True, name=FREEING).start()

    def _free(self) -> None:
        self.ctx.end()
        _forget()


class OpenRuns:
    """`make`: the context of a run, and its page, ready to be served below a path; called in a thread, one at
    a time. `clock`: of the seconds of `IN_USE`."""

    def __init__(
        self,
        folder: RunFolder,
        make: Callable[[RunEntry], tuple[Context, Page, App]],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._folder, self._make, self._clock = folder, make, clock
        self._open: dict[str, OpenRun] = {}
        self._lock: asyncio.Lock | None = None  # of the loop of the server
        self._loop: asyncio.AbstractEventLoop | None = None

    def split(self, path: str) -> tuple[str, str]:
        """A path below `/runs/` -> the name of its run, and the path in its page. The name is empty for other
        paths; the path is where that of a page lacks the slash at its end."""
        if not path.startswith("/runs/") or path == "/runs/":
            return "", path
        rest = path.removeprefix("/runs/")
        if not (name := self._folder.named(rest)):
            self._folder.entries()  # it may be new
            name = self._folder.named(rest) or _as_if_known(rest)
        return name, rest.removeprefix(name)

    @property
    def names(self) -> list[str]:
        """Those that are open, the one that was used last at the end."""
        return sorted(self._open, key=lambda name: self._open[name].used)

    def serve(self, name: str) -> Application:
        """The page of a run; a request for the page itself opens it."""

        async def served(scope: Message, receive: Receive, send: Send) -> None:
            path = str(scope["path"])
            if self._folder.named(name) != name:
                await answer(send, 404, f"There is no run '{name[:80]}' here: go back to the list of runs.")
                return
            try:
                opens = path in ("/", "/config") and scope["method"] in ("GET", "HEAD")
                run = await self._opened(name) if opens else self._open.get(name)
            except UserError as error:
                await answer(send, 503, str(error))
                return
            except Exception:
                logging.getLogger("vitrine").exception("while a run was opened")
                await answer(send, 500, "This run cannot be opened; the log has more.")
                return
            if run is not None:
                await run.answer(scope, receive, send)
            elif path.startswith(HEARTBEAT):
                await _alive(receive, send)
            else:
                await answer(send, 503, CLOSED)

        return served

    def close(self) -> None:
        """Close all of them, from another thread than the server's."""
        if self._loop is not None and self._loop.is_running():
            with suppress(TimeoutError):
                asyncio.run_coroutine_threadsafe(self._close_all(), self._loop).result(PATIENCE)

    async def _close_all(self) -> None:
        for name in list(self._open):
            await self._open.pop(name).stop()

    async def _opened(self, name: str) -> OpenRun:
        """The run, opened where it is not, and again where it has changed since. Raises UserError for one
        that cannot be opened, and where others leave no room."""
        if self._lock is None:
            self._lock, self._loop = asyncio.Lock(), asyncio.get_running_loop()
        async with self._lock:
            entry = await asyncio.to_thread(self._folder.get, name)
            if (run := self._open.get(name)) is not None:
                if run.entry.stamp == entry.stamp:
                    return run
                await self._close(name)
            if entry.problem:
                raise UserError(entry.problem)
            await self._make_room(entry.images or 0)
            ctx, page, app = await asyncio.to_thread(self._make, entry)
            made = OpenRun(entry, ctx, page, app, self._clock, self._clock())
            await made.start()
            self._open[name] = made
            return made

    async def _make_room(self, images: int) -> None:
        """Close those that were not used for the longest time. Raises UserError where all are in use."""
        while self._open and not self._fits(images):
            name = min(self._open, key=lambda name: (self._open[name].in_use(), self._open[name].used))
            if self._open[name].in_use():
                n = len(self._open)
                raise UserError(
                    f"{counted(n, 'run')} {be(n)} open and in use, and this server has no room for another: "
                    "try again in a minute."
                )
            await self._close(name)

    def _fits(self, images: int) -> bool:
        """Whether there is room for one more run."""
        held = sum(run.images for run in self._open.values())
        return len(self._open) < MOST and held + images <= MOST_IMAGES

    async def _close(self, name: str) -> None:
        await self._open.pop(name).close()


def _as_if_known(rest: str) -> str:
    """The name of a run that there is not, so that nobody learns without the password which there are."""
    first, _, below = rest.partition("/")
    return first if KNOWN.fullmatch(f"/{below}") else "/".join(rest.split("/")[:2])


def _forget() -> None:
    """Empty the caches of results, whose keys are runs: a run that is closed would stay in memory. Those of
    other runs are computed again when they are asked for."""
    for module in [m for n, m in list(sys.modules.items()) if n.startswith(("explain.", "dashboard."))]:
        for value in list(vars(module).values()):
            if callable(clear := getattr(value, "cache_clear", None)):
                clear()
    gc.collect()


async def _alive(receive: Receive, send: Send) -> None:
    """What keeps the page of a closed run from asking again and again."""
    kind = (b"content-type", b"text/event-stream")
    await send({"type": "http.response.start", "status": 200, "headers": [kind]})
    while True:
        await send({"type": "http.response.body", "body": b"data: ALIVE\n\n", "more_body": True})
        try:
            if (await asyncio.wait_for(receive(), ALIVE))["type"] == "http.disconnect":
                return
        except TimeoutError:
            continue


def application(page: Page, root: str, settings: dict[str, Any]) -> App:
    """The page as an application that is served below `root`, a path or an address. `settings`: what
    `Blocks.launch` takes."""
    page.max_threads = settings["max_threads"]
    page.state_session_capacity = settings["state_session_capacity"]
    page.theme, page.css, page.css_paths = settings["theme"], settings["css"], [settings["css_paths"]]
    page.js, page.head, page.head_paths = "", settings["head"], []
    page.footer_links, page.run_history, page.dev_mode = [], False, False
    page.root_path, page.allowed_paths, page.blocked_paths = root, [], []
    page.auth, page.auth_message, page.favicon_path = None, None, settings["favicon_path"]
    page.show_error, page.pwa, page.ssr_mode, page.enable_monitoring = True, False, False, False
    page.max_file_size = _parse_file_size(settings["max_file_size"])
    page._set_html_css_theme_variables()
    page.validate_queue_settings()
    page.transpile_to_js(quiet=True)
    page.config = page.get_config_file()
    made = App.create_app(page, mcp_server=False)
    page.server_app = page.app = made
    page._queue.set_server_app(made)
    return made
