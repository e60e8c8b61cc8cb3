"""Review: people look at labels, one image at a time, and learn how many are wrong."""

from typing import Any

import gradio as gr

from dashboard.components.clickable import clickable, script
from dashboard.components.panel import empty, panel
from dashboard.components.review_view import name_field, review_card, review_state
from dashboard.error_boundary import error_boundary
from dashboard.links import TAB, clicked_row, number
from dashboard.session.context import Context
from explain.analysis.label_errors.review import Review
from explain.run.people.review import OTHER, reviewer
from models.errors import UserError

TITLE, ID, NEEDS = "Review", "review", "computes"
ONE_CLASS = True
"""For runs of one class per image alone."""
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def build(ctx: Context) -> None:
    ReviewTab(ctx).listen()


class ReviewTab:
    """The components of the tab and its handlers. What is shown follows from the file of answers and the
    reviewer's name, which is the state of the page."""

    def __init__(self, ctx: Context):
        self._ctx = ctx
        self._review = Review(ctx.findings)
        self._name = gr.State("")
        with gr.Row(elem_classes="vt-main"):
            with gr.Column(scale=1, min_width=330, elem_classes="vt-left"):
                self._state = clickable("", "vt-review-state")
            with gr.Column(scale=2, min_width=330, elem_classes="vt-right"):
                waiting = panel("Review of labels", name_field("") + empty("Type your name to begin."))
                self._card = clickable(waiting, "vt-review-card", script("review.js"))

    def listen(self) -> None:
        outputs = [self._name, self._card, self._state]
        self._card.select(
            self.act, [self._name], outputs, trigger_mode="multiple", concurrency_id="review", **QUIET
        )
        self._ctx.on_tab(ID, self.opened, [self._name], outputs, concurrency_id="review")
        self._ctx.on_load(self.arrive, None, [self._ctx.tabs])

    def _shown(self, name: str) -> list[Any]:
        review = self._review
        shown = review.next(name) if name else None
        return [name, review_card(review, name, shown), review_state(review, review.progress())]

    @error_boundary
    def opened(self, name: str, request: gr.Request) -> list[Any]:
        """Begins with the name of the login, where there is one."""
        self._ctx.access.require_compute()
        name = name or " ".join(str(request.username or "").split())[:80]
        shown = self._shown(name)
        return shown if name else [name, gr.skip(), shown[2]]  # a name may be half typed by now

    @error_boundary
    def arrive(self, request: gr.Request) -> Any:
        """Opened by a link, which names no image: each reviewer has an order of their own."""
        return gr.Tabs(selected=ID) if request.query_params.get(TAB) == ID else gr.skip()

    @error_boundary
    def act(self, name: str, event: gr.SelectData) -> list[Any]:
        self._ctx.access.require_compute()
        action, value = str(event.index), str(event.value)
        if action == "name":
            name = reviewer(value) if value.strip() else ""
        elif action == "undo":
            self._review.undo(name)
        elif action == "say":
            row, kind, label = (*value.split(" "), "", "")[:3]
            self._answer(name, row, kind, label)
        elif action.startswith("pick:") and value:
            self._answer(name, action.removeprefix("pick:"), OTHER, value)
        return self._shown(name)

    def _answer(self, name: str, row: str, kind: str, label: str) -> None:
        """Raises UserError for a row or class that the run lacks, and for an answer that is none."""
        run, k = self._ctx.run, number(label)
        if kind == OTHER and (k is None or k >= len(run.classes)):
            raise UserError(f"The run has no class number '{label[:40]}': reload the page.")
        named = run.classes[k] if kind == OTHER and k is not None else ""
        self._review.answer(name, clicked_row(run, row), kind, named)
