"""Gradio's Blocks with rules for every event: bounded inputs, no files but uploads, errors of one line."""

import logging
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path, PureWindowsPath
from typing import Any
from urllib.parse import quote

import gradio as gr
from pydantic import BaseModel

from dashboard import light_events
from dashboard.error_boundary import message_text, one_line
from dashboard.server import light_checks as light_checks
from dashboard.server import one_app as one_app
from dashboard.server import page_state as page_state
from dashboard.server import signatures as signatures
from dashboard.server.connections import limited
from dashboard.server.event_queue import OrderedQueue
from dashboard.server.uploads import only_uploads
from explain.formatting import counted
from models.data.remote.location import is_url

TEXT, PIECES, ALL = 10_000, 2_000, 100_000
"""Maximum characters of one text, items of a list, and characters of all texts of an event."""
EVENTS = 400
"""Events at once. Gradio takes as many as there are threads; those that wait for findings need no thread, and
would keep the clicks of all visitors waiting."""
LOOKS = 0.005
"""Seconds between two looks at events that wait. Gradio looks each millisecond, and each time takes the
interpreter from handlers that work."""
MESSAGE = 600  # characters of an error message; messages of Gradio repeat their input
_PATH = re.compile(r"""(?<![\w<>/.:])(?:~|[A-Za-z]:)?[\\/](?:[^\s'"<>|,;:\\/]+[\\/])+[^\s'"<>|,;:\\/]*""")
_QUOTED = re.compile(r"""'([^'\n]*[\\/][^'\n]*)'""")

log = logging.getLogger("vitrine")


class Page(gr.Blocks):
    """`hidden`: folders of the server that are removed from what visitors get; None where the owner opens the
    page."""

    hidden: tuple[str, ...] | None = None
    _config: Any = None

    def launch(self, *args: Any, **kwargs: Any) -> Any:
        """Without Gradio's last look at the page (`_frontend`), which gives up after three seconds: on a busy
        machine it would say that localhost is not accessible, while the server answers. Without the
        certificates that it reads to ask this server to begin, by http."""
        with limited():
            return super().launch(*args, _frontend=False, **{"ssl_verify": False, **kwargs})

    def run_startup_events(self) -> None:
        self._queue.max_thread_count = EVENTS
        self._queue.sleep_when_free = LOOKS
        self._queue.__class__ = OrderedQueue  # Gradio has no parameter for it
        super().run_startup_events()

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> Any:
        if not explicit_call:
            only_uploads(inputs)

        async def rest(block_fn: Any, inputs: list[Any]) -> Any:
            return await super(Page, self).preprocess_data(block_fn, inputs, state, explicit_call)

        return await light_events.read(block_fn, inputs, state, rest)

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> Any:
        async def rest(block_fn: Any, predictions: Any) -> Any:
            return await super(Page, self).postprocess_data(block_fn, predictions, state)

        return await light_events.written(block_fn, predictions, state, rest)

    async def process_api(
        self, block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        try:
            with one_line("an event"):
                if not kwargs.get("explicit_call"):
                    click = getattr(kwargs.get("event_data"), "_data", None)
                    bounded([inputs, click])
                    inputs = completed(block_fn, inputs)
                    if getattr(block_fn, "collects_event_data", False):
                        named(click)
                output = await super().process_api(block_fn, inputs, *args, **kwargs)
        except gr.Error as error:
            if error.print_exception:  # one of Gradio's own; it would be written past our log, in full
                log.warning("refused: %s", error.message)
            error.message, error.print_exception = self._text(str(error.message)), False
            raise
        if (state := kwargs.get("state")) is not None:
            one_id_each(state)
        if kwargs.get("iterator") is not None and not output.get("is_generating"):
            output["data"] = nothing_again(output["data"])
        if self.hidden:
            output["data"] = without(output.get("data"), self.hidden)
        return output

    @property
    def config(self) -> Any:
        """What a page that is opened gets. Gradio writes it where the page is built, and anew where it is
        launched: here at the first need."""
        if self._config is None:
            self._config = self.get_config_file()
        return self._config

    @config.setter
    def config(self, value: Any) -> None:
        self._config = value

    def get_config_file(self, *args: Any, **kwargs: Any) -> Any:
        """With the first texts of the page, which no event returns; without the components that would follow
        the progress of an event that shows none. Gradio's page looks up and copies every component that
        follows one, whenever any event begins or ends: half of its time. None while the page is built."""
        if not self.exited:
            return None
        config = super().get_config_file(*args, **kwargs)
        for event in config["dependencies"]:
            if event["show_progress"] == "hidden":
                event["show_progress_on"] = []
        return without(config, self.hidden) if self.hidden else config

    def _text(self, message: str) -> str:
        """A message, cut, as text."""
        message = message if len(message) <= MESSAGE else f"{message[:MESSAGE]} …"
        return message_text(message if self.hidden is None else names_alone(message))


def one_id_each(state: Any) -> None:
    """Give every component its own number again. Gradio makes a new component for every update, under another
    number, and keeps all of them, with their values (130 kB a photo), as long as it knows the page."""
    for number, block in state.blocks_config.blocks.items():
        block._id = number


def nothing_again(data: Sequence[Any]) -> list[Any]:
    """What a handler that yields answers at its end. Gradio would send what it yielded last once more, over
    what another event may have changed by then."""
    return [gr.skip() for _ in data]


def bounded(value: Any, depth: int = 8) -> int:
    """The number of characters of all texts, keys included. Raises gr.Error above the limits."""
    total = len(value) if isinstance(value, str) else 0
    if total > TEXT:
        raise gr.Error(
            f"A text has {counted(total, 'character')}; at most {TEXT:,} are read.", print_exception=False
        )
    if isinstance(value, dict | list | tuple):
        if len(value) > PIECES or depth == 0:
            raise gr.Error(
                f"A list has {len(value):,} parts, or is nested; at most {PIECES:,} are read.",
                print_exception=False,
            )
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        total += sum(bounded(inner, depth - 1) for inner in parts)
    if total > ALL:
        raise gr.Error(f"All texts together have more than {ALL:,} characters.", print_exception=False)
    return total


def completed(block_fn: Any, inputs: list[Any]) -> list[Any]:
    """The inputs; a program may leave out the last ones of an endpoint that have a value of their own, as
    those of earlier versions do. Raises gr.Error where others are missing, and for too many; Gradio would
    write all of them into the log."""
    wanted = getattr(block_fn, "inputs", ())
    usual = [getattr(component, "value", None) for component in wanted[len(inputs) :]]
    missing = usual and (block_fn.api_visibility != "public" or None in usual)
    if missing or len(inputs) > len(wanted):
        raise gr.Error(f"Got {len(inputs)} inputs; this takes {len(wanted)}.", print_exception=False)
    return [*inputs, *usual]


def named(click: Any) -> None:
    """Raises gr.Error for a click without action and value."""
    parts = [click.get("index"), click.get("value")] if isinstance(click, dict) else [None]
    if not all(isinstance(part, str | int | float) for part in parts):
        raise gr.Error("A click came without its name and value: reload the page.", print_exception=False)


def names_alone(message: str) -> str:
    """A message in which every path is replaced by its last part."""
    message = _QUOTED.sub(lambda m: f"'{_last(m[1])}'" if _is_path(m[1]) else m[0], message)
    return _PATH.sub(lambda m: _last(m[0]), message)


def folders(paths: Iterable[Path | str | None]) -> tuple[str, ...]:
    """The absolute folders of these paths, and the buckets of URLs, the longest first, so that no part of one
    is left over."""
    named = [str(p) for p in paths if p and str(p) not in ("", "-")]
    parents = {
        "/".join(name.split("/")[:3]) if is_url(name) else str(Path(name).resolve().parent) for name in named
    } | {str(Path.home()), str(Path.cwd())}
    return tuple(sorted((f for f in parents if len(f) > 1), key=len, reverse=True))


def without(value: Any, hidden: tuple[str, ...]) -> Any:
    """The value without these folders in any of its texts."""
    if isinstance(value, str):
        for written in _written(hidden):
            if written in value:
                value = re.sub(f"{re.escape(written)}(/|%2F)?", lambda m: "" if m[1] else "…", value)
        return value
    if isinstance(
        value, dict
    ):  # files that are handed out keep their path: it is a key to the folder of uploads
        return (
            value
            if isinstance(value.get("path"), str) and "meta" in value
            else {k: without(v, hidden) for k, v in value.items()}
        )
    if isinstance(value, BaseModel):  # Gradio's own, as of gr.JSON
        return without(value.model_dump(), hidden)
    if isinstance(value, list | tuple):
        return type(value)(without(inner, hidden) for inner in value)
    return value


@lru_cache(maxsize=8)
def _written(hidden: tuple[str, ...]) -> tuple[str, ...]:
    """Each folder as texts may write it."""
    return tuple(text for folder in hidden for text in (folder, quote(folder), quote(folder, safe="")))


def _is_path(text: str) -> bool:
    return (
        text.count("/") + text.count("\\") > 1
        or text.startswith(("/", "~", "./", "../"))
        or Path(text).suffix != ""
    )


def _last(path: str) -> str:
    return PureWindowsPath(path.rstrip("/\\")).name or "…"
