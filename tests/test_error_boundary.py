"""Events of the page: errors become one line, by one function for handlers and for the page itself."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from dashboard.error_boundary import error_boundary, message_text
from dashboard.page import Page
from models.errors import UserError


def asked(monkeypatch: pytest.MonkeyPatch, error: Exception, hidden: tuple[str, ...] | None = None) -> str:
    """The message of a page whose event raises `error`."""

    async def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(gr.Blocks, "process_api", fail)
    page = Page()
    page.hidden = hidden
    with pytest.raises(gr.Error) as raised:
        asyncio.run(page.process_api(SimpleNamespace(inputs=[]), []))
    assert raised.value.print_exception is False
    return str(raised.value.message)


def test_an_error_is_one_line_of_text(monkeypatch: pytest.MonkeyPatch) -> None:
    unexpected = "That did not work (KeyError); the log has more."
    assert asked(monkeypatch, KeyError("x")) == unexpected
    assert asked(monkeypatch, UserError("No class '\u202e\x1b<b>'.")) == "No class '\ufffd\ufffd&lt;b&gt;'."
    assert asked(monkeypatch, gr.Error("\u202e<i>")) == "\ufffd&lt;i&gt;"
    assert asked(monkeypatch, UserError("'/home/x/y.png' is gone"), ("/home",)) == "'y.png' is gone"

    @error_boundary
    def handler() -> None:
        raise KeyError("x")

    with pytest.raises(gr.Error, match="That did not work") as raised:
        handler()
    assert raised.value.message == unexpected
    assert message_text("a\tb 'c'") == "a\tb 'c'"


def test_the_end_of_a_handler_that_yields_changes_nothing() -> None:
    """What it yielded last is not sent once more: another event may have changed the component by then."""

    def steps() -> Iterator[str]:
        yield "first"
        yield "last"

    async def answers(page: Page) -> list[tuple[Any, bool]]:
        state, iterator, got = SessionState(page), None, list[tuple[Any, bool]]()
        while not got or got[-1][1]:
            output = await page.process_api(0, [], state=state, session_hash="x", iterator=iterator)
            got.append((output["data"], output["is_generating"]))
            iterator = output["iterator"]
        return got

    with Page() as page:
        gr.Button().click(steps, None, gr.Textbox())
    *_, (last, _), (end, _) = asyncio.run(answers(page))
    assert "last" in str(last)
    assert end == [gr.skip()]
