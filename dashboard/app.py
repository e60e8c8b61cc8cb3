"""Build the page from TABS, and serve it."""

import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import check_all_files_in_cache

from dashboard.components.clickable import clickable
from dashboard.components.header import BLEND, header
from dashboard.context import Context
from dashboard.private import remove_uploads
from dashboard.tabs import TABS
from dashboard.theme import STYLE, theme
from explain.run_data import open_run
from models.errors import UserError
from models.memory import reuse_memory

FIRST_PORT, PORTS = 7860, 40
PATIENCE = 5.0  # seconds that the server has for its end


class Page(gr.Blocks):
    """Blocks that refuse every payload which names a file outside the upload folder, whatever its form."""

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False) -> Any:
        if not explicit_call:
            check_all_files_in_cache(inputs)  # type: ignore[arg-type]
        return await super().preprocess_data(block_fn, inputs, state, explicit_call)


def build(ctx: Context) -> gr.Blocks:
    """The whole page; nothing is computed but what the run already holds."""
    loads: list[tuple[Callable[..., Any], Any, Any]] = []
    selections: dict[str, tuple[Callable[..., Any], Any, Any]] = {}

    def gone(request: gr.Request) -> None:
        """Nobody waits any more for what was asked for on this page."""
        ctx.stops.stop(str(request.session_hash))

    ctx.on_load = lambda *event: loads.append(event)
    ctx.on_tab = lambda name, *event: selections.__setitem__(name, event)
    with Page(title="Vitrine", fill_width=True, analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        clickable(header(ctx.run), "vt-top", BLEND)
        ctx.opened = gr.State(None)
        with gr.Tabs(elem_id="vt-tabs") as ctx.tabs:
            for tab in TABS:
                with gr.Tab(tab.TITLE, id=tab.ID) as item:
                    tab.build(ctx)
                if tab.ID in selections:
                    item.select(*selections[tab.ID], api_visibility="private", concurrency_id="model", show_progress="hidden")
        for event in loads:
            page.load(*event, api_visibility="private", show_progress="hidden")
        page.unload(gone)
    page.queue(max_size=16, default_concurrency_limit=1, api_open=False)
    return page


def options() -> dict[str, Any]:
    """What every start of the server shares, the tests' too."""
    return {"theme": theme(), "css_paths": STYLE, "footer_links": [], "run_history": False, "allowed_paths": [], "max_threads": 8,
            "max_file_size": "20mb", "server_name": os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"), "state_session_capacity": 200,
            "share": False, "enable_monitoring": False, "quiet": True, "ssr_mode": False, "favicon_path": STYLE.parent / "favicon.svg"}  # fmt: skip


def serve(run: Path, weights: Path | None = None, port: int | None = None, device: str = "cpu", open_browser: bool = True,
          trainings: Path = Path("trainings")) -> None:  # fmt: skip
    """Serve a run on this machine until Ctrl-C. Raises UserError for a folder that is no run, or a port in use."""
    reuse_memory()
    ctx = Context(open_run(run), weights, device, trainings)
    port = port or _free_port()
    if _in_use(port):
        raise UserError(f"Port {port} is in use: leave --port out, or choose another.")
    page = build(ctx)
    page.launch(server_port=port, prevent_thread_lock=True, inbrowser=open_browser, **options())
    print(f"Vitrine is open at {page.local_url}  (Ctrl-C ends it)", flush=True)
    ctx.warm_up()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    while not ended.wait(0.5):  # woken now and then, so that signals are heard on every system
        pass
    deadline = threading.Timer(PATIENCE, _leave)
    deadline.daemon = True
    deadline.start()
    page.close(verbose=False)


def _leave() -> None:
    """A connection or a computation that does not end must not keep the process."""
    remove_uploads()
    os._exit(0)


def _in_use(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    """The port that the environment names, or the first free one."""
    if named := os.environ.get("GRADIO_SERVER_PORT"):
        return int(named)
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        if not _in_use(port):
            return port
    raise UserError(f"Ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} are all in use: choose another with --port.")
