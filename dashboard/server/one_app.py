"""Gradio without the servers that it makes of a page before it is served: one where the page is built, one
where its queue is set, each with all routes. Nothing asks them; `launch` makes another."""

from typing import Any

from gradio import blocks
from gradio.routes import App

BEFORE = {"mcp_server": False}
"""What Gradio gives beside the page, other than in `launch`."""


class _App(App):
    @staticmethod
    def create_app(page: Any, *given: Any, **named: Any) -> Any:
        return App() if not given and named == BEFORE else App.create_app(page, *given, **named)


blocks.App = _App
