"""Text that is typed below an image, and labels that are chosen there, go into the notes of the run."""

from collections.abc import Iterable, Mapping
from typing import Any

import gradio as gr

from dashboard.error_boundary import error_boundary
from dashboard.links import clicked_row, number
from dashboard.session.context import Context
from explain.run.outputs.label_sets import LabelSets
from explain.run.outputs.number_run import NumbersRun
from explain.run.people.notes import UNKNOWN, Note, add, read
from models.data.label_sets import SetReading
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
    """`name`: FIELD ROW; of several labels per image also `labels ROW LABEL`, with whether the image has the
    label of that number; of numbers `numbers ROW OUTPUT`, with the right one, `UNKNOWN`, or nothing to remove
    it. Raises UserError for a field, row, label or number that does not exist."""
    ctx.access.require_compute()
    field, _, place = name.partition(" ")
    row, _, label = place.partition(" ")
    sets, clicked = ctx.run.label_sets, clicked_row(ctx.run, row)
    if isinstance(ctx.run, NumbersRun) and field not in ("tags", "text", "numbers"):
        raise UserError(f"A run of numbers has no field '{field[:40]}' in a note: reload the page.")
    if field == "numbers" and not isinstance(ctx.run, NumbersRun):
        raise UserError("A run of classes has no field 'numbers' in a note: reload the page.")
    if field == ("labels" if sets is None else "label"):
        other = "one label" if sets is None else "several labels"
        raise UserError(f"A run of {other} per image has no field '{field}' in a note: reload the page.")
    image = str(ctx.run.table.at[clicked, "id"])
    words: Any = value
    if field == "tags":
        words = [tag for tag in value.split(",") if tag.strip()]
    elif isinstance(ctx.run, NumbersRun) and field == "numbers":
        before = read(ctx.run.folder).get(image, Note(image)).numbers
        words = _right_numbers(ctx.run, clicked, before, label, value.strip())
    elif field == "labels":
        given = sets.names(clicked)
        note = read(ctx.run.folder).get(image, Note(image))
        now = given if note.labels is None else note.labels
        chosen = _toggled(sets, given, now, label, value == "true") if label else _typed(sets, value)
        words = None if set(chosen) == set(given) else chosen  # then nothing is corrected
    add(ctx.run.folder, image, field, words, by, ctx.run.classes)


def _right_numbers(
    run: NumbersRun, row: int, before: Mapping[str, float | None], output: str, text: str
) -> dict[str, float | None]:
    """The right numbers of an image, `before` with what was typed for an output, by its number. Raises
    UserError for an output that is none, and for a text that is no number."""
    k = number(output)
    if k is None or k >= len(run.outputs):
        raise UserError(f"The run has no output number '{output[:40]}': reload the page.")
    rest = {name: value for name, value in before.items() if name != run.outputs[k]}
    if text == UNKNOWN:
        return rest | {run.outputs[k]: None}
    if not text:
        return rest
    try:
        right = float(text)
    except ValueError:
        raise UserError(
            f"'{text[:40]}' is no number: type one such as 31.5, {UNKNOWN} where the right one is not known, "
            "or nothing."
        ) from None
    return rest if right == run.truth[row, k] else rest | {run.outputs[k]: right}


def _typed(sets: LabelSets, text: str) -> list[str]:
    """Names between '|' or a list in JSON, or `UNKNOWN`. Raises UserError for a name that the run lacks."""
    names = [str(name) for name in SetReading(True, ("|",), frozenset(sets.classes)).parts(text)]
    if names == [UNKNOWN]:
        return names
    return _in_order(sets, {sets.classes[sets.number(name)] for name in names})


def _toggled(sets: LabelSets, given: Iterable[str], before: Iterable[str], label: str, on: bool) -> list[str]:
    """The labels `before` with one of them, by its number, added or removed; `UNKNOWN` replaces all of them,
    and without it the `given` ones are back. Raises UserError for a number that is none."""
    if label == UNKNOWN:
        return [UNKNOWN] if on else list(given)
    k = number(label)
    if k is None or k >= len(sets.classes):
        raise UserError(f"The run has no label number '{label[:40]}': reload the page.")
    kept = {*before} - {sets.classes[k]}
    return _in_order(sets, kept | {sets.classes[k]} if on else kept)


def _in_order(sets: LabelSets, names: set[str]) -> list[str]:
    return [name for name in sets.classes if name in names]
