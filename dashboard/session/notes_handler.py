"""Text that is typed below an image goes into the notes of the run."""

from collections.abc import Iterable

import gradio as gr

from dashboard.error_boundary import error_boundary
from dashboard.links import clicked_row
from dashboard.session.context import Context
from explain.run.notes import add
from models.errors import UserError


def keep_notes(ctx: Context, areas: Iterable[gr.HTML]) -> None:
    """Listen to the note editors in these components. No change is dropped, however fast they follow."""

    @error_boundary
    def note(event: gr.EventData, request: gr.Request) -> None:
        write(ctx, str(event.index), str(event.value), str(request.username or ""))

    gr.on(
        [area.submit for area in areas],
        note,
        None,
        None,
        trigger_mode="multiple",
        show_progress="hidden",
        api_visibility="private",
    )


def write(ctx: Context, name: str, value: str, by: str) -> None:
    """`name`: FIELD ROW. Raises UserError for a field, row or label that does not exist."""
    ctx.access.require_compute()
    field, _, row = name.partition(" ")
    if field == "label" and ctx.run.label_sets is not None:
        raise UserError(
            "Labels of a run of several labels per image are not corrected here: write a tag or text."
        )
    words = [tag for tag in value.split(",") if tag.strip()] if field == "tags" else value
    image = str(ctx.run.table.at[clicked_row(ctx.run, row), "id"])
    add(ctx.run.folder, image, field, words, by, ctx.run.classes)
