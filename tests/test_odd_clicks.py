"""Clicks that no page sends: each gets one line that says what is wrong, and never an unexpected error."""

import asyncio
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from dashboard.app import build
from dashboard.page import Page
from dashboard.session.context import Context
from explain.run.reader import open_run

NAMES = ["open", "class", "cell", "group", "page", "sort", "target", "method", "low", "high", "layer", "row"]
NAMES += [
    "unit",
    "maximized",
    "channel",
    "compute",
    "check",
    "save",
    "example",
    "other",
    "cancel",
    "resume",
    "show",
    "stop",
    "use",
    "output:0",
    "named:0",
]
NOTES = ["x 0", "tags", "tags x", "tags 99999", "label 0", "text -1", " 0", "tags 0 0"]
ODD = ["-1", "9" * 400, "\u00b2", "nan", "1e999", "\ud800", "a:b:c:d:e", "1,x"]
SHAPES = [None, {}, [], "x", 5, {"index": "layer"}, {"value": "x"}, {"index": None, "value": None}]
SHAPES += [{"index": [], "value": {}}, {"index": "open", "value": ["0"]}]
PAIRS = [(name, value) for name in NAMES + NOTES for value in ("x", "99999999")]
PAIRS += [(name, value) for name in ("open", "row", "target", "page", "cell") for value in ODD]
CLICKS = SHAPES + [{"index": name, "value": value} for name, value in PAIRS]


@pytest.fixture(scope="module")
def page(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    made = build(Context(open_run(demo), trainings=tmp_path_factory.mktemp("trainings")))
    yield made
    made.close(verbose=False)


@pytest.mark.slow
def test_every_odd_click_gets_one_line(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn has other tests: here the lists are of one class, which costs a tenth."""
    monkeypatch.setattr("dashboard.components.errors.gallery.CLASSES_A_PAGE", 1)
    monkeypatch.setattr("anyio.to_thread.run_sync", at_once)
    handlers = [handler for handler in page.fns.values() if handler.collects_event_data]
    assert len(handlers) > 10
    messages = asyncio.run(answers(page, handlers))
    assert len(messages) == len(handlers) * len(CLICKS)
    assert [found for found in messages if "did not work" in found[2] or "\n" in found[2]] == []
    assert sum(message != "" for *_, message in messages) >= len(handlers) * len(SHAPES)


async def at_once(function: Callable[..., Any], *given: Any, **_: Any) -> Any:
    """Without a thread of its own: nine of them wait for each click, one after the other."""
    return function(*given)


async def answers(page: Page, handlers: list[Any]) -> list[tuple[str, Any, str]]:
    """Of every handler to every click: handler, click and message."""
    messages = []
    for handler in handlers:
        arrived, inputs = SessionState(page), inputs_of(handler)
        for click in CLICKS:
            message = await _answer(page, handler, [*inputs], click, as_new(arrived))
            messages.append((handler.name, click, message))
    return messages


def as_new(arrived: SessionState) -> SessionState:
    """A session that has seen nothing yet, without the configuration of every component being made again."""
    session = copy(arrived)
    session.blocks_config, session.config_values = copy(arrived.blocks_config), dict(arrived.config_values)
    session.state_data, session._state_ttl = {}, {}
    return session


def inputs_of(handler: Any) -> list[Any]:
    """The values of its components, as the page sends them before anything was changed."""
    inputs = [None if isinstance(c, gr.State) else c.postprocess(c.value) for c in handler.inputs]
    return [value.model_dump() if hasattr(value, "model_dump") else value for value in inputs]


async def _answer(page: Page, handler: Any, inputs: list[Any], click: Any, state: SessionState) -> str:
    """The message of the error that a click ends with; '' where it is answered."""
    event = gr.EventData(None, click)
    try:
        await page.process_api(
            handler,
            inputs,
            state=state,
            request=gr.Request(session_hash="visitor"),
            event_data=event,
            in_event_listener=True,
        )
    except gr.Error as error:
        return str(error.message)
    return ""
