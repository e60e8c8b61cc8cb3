"""Notes about images: an editor below a card, and the list of all that was said."""

import base64

import pandas as pd

from dashboard.components.clickable import action, esc, held
from dashboard.components.panel import empty, panel, table
from explain.analysis.findings import Findings
from explain.run.notes import UNKNOWN, Note, as_table, labels_table, tags_of
from explain.run.reader import RunData
from models.csv_files import spreadsheet_safe

Notes = dict[str, Note]
LISTED = 200  # notes in the table; the files have all
HEADS = tuple((name, "") for name in ("image", "true", "called", "right label", "tags", "text", "by"))
CLASSES = "vt-class-names"  # the list that the editors' boxes complete from


def class_names(run: RunData) -> str:
    """Once a page: the names that can be given as the right label."""
    return (
        f'<datalist id="{CLASSES}">'
        f"{''.join(f'<option>{held(name)}</option>' for name in (*run.classes, UNKNOWN))}</datalist>"
    )


def note_editor(run: RunData, notes: Notes, row: int) -> str:
    """Reports `FIELD ROW` with what was typed, to be kept (`dashboard.session.notes_handler`)."""
    image = str(run.table.at[row, "id"])
    note = notes.get(image, Note(image))
    message = _in_short(note)
    return (
        f'<details class="vt-note{" vt-noted" if message else ""}"><summary>{esc(message[:80]) or "note"}'
        "</summary>"
        f"{_box(row, 'label', note.label, 'right label, or ? where it is not known', f'list={CLASSES}')}"
        f"{_box(row, 'tags', ', '.join(note.tags), 'tags, with commas')}"
        f'<textarea data-keep data-action="text {row}" rows="2" placeholder="anything else" '
        f'aria-label="free text">{held(note.text)}</textarea>'
        "</details>"
    )


def _in_short(note: Note) -> str:
    label = "label is wrong" if note.label == UNKNOWN else f"label: {note.label}"
    return " · ".join([*note.tags, *([label] if note.wrong else []), *([note.text] if note.text else [])])


def _box(row: int, field: str, value: str, hint: str, more: str = "") -> str:
    return (
        f'<input data-keep data-action="{field} {row}" value="{held(value)}" placeholder="{hint}" '
        f'aria-label="{hint}" {more}>'
    )


def notes_view(findings: Findings, notes: Notes, editable: bool = True) -> str:
    """Tags to filter by, the list, and two files. `editable`: whether there are places to write them."""
    run = findings.run
    if not notes and not editable:
        return panel("Notes", empty("No notes yet."))
    if not notes:
        return panel(
            "Notes",
            empty(
                "No notes yet. Open a confusion or a list of images: below each is a place for the right "
                "label where the "
                "given one is wrong, for tags, and for anything else. They are kept in the run's folder."
            ),
        )
    wrong, tags = labels_table(run, notes), tags_of(notes)
    chips = "".join(
        f'<button class="vt-chip" {action("group", f"tag:{tag}")}>{esc(tag)} <b>{tags[tag]}</b></button>'
        for tag in tags
    )
    files = _file("notes.csv", as_table(run, notes)) + (_file("labels.csv", wrong) if len(wrong) else "")
    how = (
        empty(
            f"{len(wrong)} labels corrected: <code>train --labels labels.csv</code> learns from them, "
            "<code>run --labels labels.csv</code> judges by them."
        )
        if len(wrong)
        else ""
    )
    show = f'<button class="vt-link" {action("group", "notes")}>show the images</button>'
    rows = "".join(_row(run, note) for note in list(notes.values())[:LISTED])
    return panel(
        "Notes",
        f'<div class="vt-toolbar">{chips}{files}</div>{how}{table(HEADS, rows)}',
        f"{len(notes)} images",
        show,
    )


def _row(run: RunData, note: Note) -> str:
    cells = (note.id, *_called(run, note.id), note.label, ", ".join(note.tags), note.text, note.by)
    return f"<tr>{''.join(f'<td>{esc(cell)}</td>' for cell in cells)}</tr>"


def _called(run: RunData, image: str) -> tuple[str, str]:
    found = run.ok[run.ok["id"] == image]
    return (
        (run.classes[int(found["label"].iloc[0])], run.classes[int(found["pred"].iloc[0])])
        if len(found)
        else ("", "")
    )


def _file(name: str, content: pd.DataFrame) -> str:
    data = base64.b64encode(spreadsheet_safe(content).to_csv(index=False).encode()).decode()
    return f'<a class="vt-link" download="{name}" href="data:text/csv;base64,{data}">{name}</a>'
