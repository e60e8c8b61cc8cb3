"""Values of events that need no thread are those that Gradio makes of them."""

import asyncio
import inspect
from typing import Any

import gradio as gr
import pytest
from fastapi import HTTPException
from gradio import routes
from gradio.state_holder import SessionState

from dashboard import light_events
from dashboard.components.clickable import clickable
from dashboard.page import Page
from dashboard.server.page_state import PageState


def controls() -> list[tuple[Any, Any]]:
    """Components and what the page sends of them."""
    return [
        (gr.Textbox(max_length=20), " a text "),
        (gr.Textbox(), None),
        (gr.Number(precision=0, minimum=1), 3.0),
        (gr.Number(), None),
        (gr.Dropdown(["a", ("B", "b")]), "b"),
        (gr.Dropdown(["a", "b"], type="index"), "b"),
        (gr.Dropdown(["a", "b"], multiselect=True), ["b", "a"]),
        (gr.Dropdown(["a"], allow_custom_value=True), "other"),
        (gr.Checkbox(), True),
        (gr.Radio(["one", "two"], type="index"), "two"),
        (gr.Slider(0, 1), 0.25),
        (gr.State({"kept": [1]}), None),
        (gr.JSON(), {"made": "by Gradio's own way"}),
    ]


def event(page: Page) -> Any:
    [found] = page.fns.values()
    return found


def test_inputs_are_those_of_gradio() -> None:
    with Page() as page:
        components, sent = (list(column) for column in zip(*controls(), strict=True))
        gr.Button().click(lambda *values: None, components, None)
    usual = asyncio.run(gr.Blocks.preprocess_data(page, event(page), sent, SessionState(page)))
    ours = asyncio.run(page.preprocess_data(event(page), sent, SessionState(page)))
    assert ours == usual
    assert [type(value) for value in ours] == [type(value) for value in usual]
    assert ours[2:8] == [3, None, "b", 1, ["b", "a"], "other"]


@pytest.mark.parametrize(
    ("control", "sent"),
    [
        (lambda: gr.Dropdown(["a", "b"]), "c"),
        (lambda: gr.Radio(["a", "b"]), "c"),
        (lambda: gr.Number(minimum=1), 0),
        (lambda: gr.Slider(0, 1), "no number"),
    ],
)
def test_what_a_component_refuses_is_refused_in_gradios_words(control: Any, sent: Any) -> None:
    with Page() as page:
        gr.Button().click(lambda *values: None, [control(), gr.Textbox()], None)
    said = []
    for read in (lambda *given: gr.Blocks.preprocess_data(page, *given), page.preprocess_data):
        with pytest.raises(Exception) as refused:
            asyncio.run(read(event(page), [sent, "fine"], SessionState(page)))
        said.append((type(refused.value), str(refused.value)))
    assert said[0] == said[1]


def test_choices_that_an_event_changed_are_those_of_the_page() -> None:
    with Page() as page:
        choice = gr.Dropdown(["a"])
        gr.Button().click(lambda value: None, choice, choice)
    state, same = SessionState(page), event(page)
    asyncio.run(page.postprocess_data(same, gr.Dropdown(choices=["b"]), state))
    assert asyncio.run(page.preprocess_data(same, ["b"], state)) == ["b"]
    with pytest.raises(gr.Error, match="not in the list"):
        asyncio.run(page.preprocess_data(same, ["a"], state))


def test_no_file_is_read_past_gradio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, also where a text is expected, go Gradio's way, which looks where they are."""
    asked: list[Any] = []

    async def rest(block_fn: Any, inputs: Any) -> list[Any]:
        asked.append((list(block_fn.inputs), list(inputs)))
        return list(inputs)

    with Page() as page:
        text, picture = gr.Textbox(), gr.Image()
        gr.Button().click(lambda *values: None, [text, picture, gr.Textbox()], None)
    file = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    sent = [file, file, "a"]
    assert asyncio.run(light_events.read(event(page), sent, SessionState(page), rest)) == sent
    assert asked == [([text, picture], [file, file])]


def test_outputs_are_those_of_gradio() -> None:
    with Page() as page:
        pieces = [clickable("", "vt-a"), gr.HTML(), gr.Markdown(), gr.State(0), gr.Textbox(), gr.JSON()]
        gr.Button().click(lambda: None, None, pieces)
    answer = ["<b>text</b>", "<b>bold</b>", "  # title", 5, gr.skip(), {"x": 1}]
    states = [SessionState(page), SessionState(page)]
    usual = asyncio.run(gr.Blocks.postprocess_data(page, event(page), answer, states[0]))
    ours = asyncio.run(page.postprocess_data(event(page), answer, states[1]))
    assert ours == usual
    assert ours[0] == "&lt;b&gt;text&lt;/b&gt;"
    assert states[1][pieces[3]._id] == 5
    assert ours[4] == gr.skip()


def test_a_piece_that_stays_is_the_same_and_still_escapes_texts() -> None:
    """Gradio makes it anew, without what `clickable` adds to it."""
    with Page() as page:
        piece, other = clickable("", "vt-a"), gr.HTML()
        gr.Button().click(lambda: None, None, [piece, other])
    state = SessionState(page)
    assert asyncio.run(page.postprocess_data(event(page), [gr.skip(), "x"], state)) == [gr.skip(), "x"]
    assert state[piece._id] is piece
    again = asyncio.run(page.postprocess_data(event(page), ["<i>", "x"], state))
    assert again == ["&lt;i&gt;", "x"]


def test_what_stays_is_said_by_an_answer_of_its_own() -> None:
    with Page() as page:
        gr.Button().click(lambda: None, None, [gr.HTML(), gr.HTML()])
    one, two = asyncio.run(page.postprocess_data(event(page), [gr.skip()] * 2, SessionState(page)))
    assert one is not two


def test_of_an_open_page_no_values_are_kept() -> None:
    with Page() as page:
        text, shown = gr.Textbox(), gr.HTML()
        gr.Button().click(lambda value: value, text, [shown, text])
    state = PageState(page)
    asyncio.run(page.preprocess_data(event(page), ["a text"], state))
    asyncio.run(page.postprocess_data(event(page), ["<b>", gr.Textbox("new", max_length=3)], state))
    assert not any(state.config_values.values())
    assert state[text._id].max_length == 3


def test_the_login_is_checked_without_a_thread() -> None:
    def login_check(user: str = "") -> None:
        if user != "ann":
            raise HTTPException(401)

    check = routes.Depends(login_check).dependency
    assert inspect.iscoroutinefunction(check)
    assert inspect.signature(check) == inspect.signature(login_check)
    asyncio.run(check(user="ann"))
    with pytest.raises(HTTPException):
        asyncio.run(check(user="bob"))


def test_one_output_and_what_does_not_fit() -> None:
    with Page() as page:
        gr.Button().click(lambda: None, None, gr.HTML())
    assert asyncio.run(page.postprocess_data(event(page), "x", SessionState(page))) == ["x"]
    with Page() as page:
        gr.Button().click(lambda: None, None, [gr.HTML(), gr.HTML()])
    with pytest.raises(ValueError, match="didn't return enough output values"):
        asyncio.run(page.postprocess_data(event(page), ["x"], SessionState(page)))
