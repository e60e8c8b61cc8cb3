"""Notes about images: an editor below a card, and the list of all notes."""

import base64
import json

import pandas as pd
from markupsafe import Markup

from dashboard.components.markup import NOTHING, action, html, join, verbatim
from dashboard.components.panel import empty, panel, row, table
from dashboard.components.toolbar import controls_row
from explain.analysis.findings import Findings
from explain.formatting import counted
from explain.run.outputs.label_sets import LabelSets
from explain.run.outputs.number_run import NumbersRun
from explain.run.people.notes import UNKNOWN, Note, as_table, corrected_number, labels_table, tags_of
from explain.run.reader import RunData
from models.data.source import label_set
from models.files.csv_files import spreadsheet_safe

Notes = dict[str, Note]
TOGGLES = 40  # labels up to which each has one
BOXES = 8  # numbers up to which each has one
LISTED = 200  # notes in the table; the files have all
HEADS = tuple((name, "") for name in ("image", "true", "predicted", "correct label", "tags", "text", "by"))
CLASSES = "vt-class-names"  # the list that the editors' boxes complete from
HOW_TO = (
    "No notes yet. Open a confusion or a list of images: below each image is an editor for the correct "
    "label, for tags and for free text. Notes are kept in the run folder."
)


def class_names(run: RunData) -> Markup:
    """Once per page: the names that can be given as the correct label."""
    names = join(html("<option>{}</option>", verbatim(name)) for name in (*run.classes, UNKNOWN))
    return html('<datalist id="{}">{}</datalist>', CLASSES, names)


def note_editor(run: RunData, notes: Notes, row: int) -> Markup:
    """Reports `FIELD ROW` with what was typed, to be kept (`dashboard.session.notes_handler`)."""
    image = str(run.table.at[row, "id"])
    note = notes.get(image, Note(image))
    summary = _summary(note)
    if run.label_sets is not None:
        label = _label_set(run.label_sets, note, row)
    elif isinstance(run, NumbersRun):
        label = _numbers(run, note, row)
    else:
        label = _box(row, "label", note.label, "correct label, or ? if unknown", html("list={}", CLASSES))
    return html(
        '<details class="vt-note{noted}"><summary>{summary}</summary>{label}{tags}'
        '<textarea data-keep data-action="text {row}" rows="2" placeholder="free text" '
        'aria-label="free text">{text}</textarea></details>',
        noted=" vt-noted" if summary else "",
        summary=summary[:80] or "note",
        label=label,
        tags=_box(row, "tags", ", ".join(note.tags), "tags, separated by commas"),
        row=row,
        text=verbatim(note.text),
    )


def _label_set(sets: LabelSets, note: Note, row: int) -> Markup:
    """A toggle for each label, pressed where the image has it, or should have it; a box for all of them where
    there are many."""
    chosen = sets.names(row) if note.labels is None else note.labels
    if len(sets.classes) > TOGGLES:
        text = json.dumps(chosen) if any("|" in name for name in chosen) else label_set(chosen)
        return _box(row, "labels", text, "correct labels, separated by |, or ? if unknown")
    toggles = [(str(k), name, name in chosen) for k, name in enumerate(sets.classes)]
    if UNKNOWN not in sets.classes:
        toggles.append((UNKNOWN, "not known", UNKNOWN in chosen))
    return html(
        '<div class="vt-toggles" role="group" aria-label="correct labels">{}</div>',
        join(_toggle(row, *toggle) for toggle in toggles),
    )


def _numbers(run: NumbersRun, note: Note, row: int) -> Markup:
    """A box for each output, with its right number where it is corrected; of many outputs, for the one that
    is shown and for those that are corrected."""
    count = len(run.outputs)
    shown = [k for k in range(count) if count <= BOXES or k == run.index or run.outputs[k] in note.numbers]
    return join(
        _box(f"{row} {k}", "numbers", corrected_number(note, run.outputs[k]), _hint(run, row, k))
        for k in shown
    )


def _hint(run: NumbersRun, row: int, output: int) -> str:
    return f"correct {run.outputs[output]} (now {run.truth[row, output]:.6g}), or ? if unknown"


def _toggle(row: int, key: str, name: str, on: bool) -> Markup:
    return html(
        '<label class="vt-chip"><input type="checkbox" data-keep data-action="labels {row} {key}"{on}>'
        "{name}</label>",
        row=row,
        key=verbatim(key),
        on=" checked" if on else "",
        name=name,
    )


def _summary(note: Note) -> str:
    unknown = UNKNOWN in (note.label, *(note.labels or ()))
    what = "numbers" if note.numbers else "label" if note.labels is None else "labels"
    label = f"{what} wrong" if unknown else f"{what}: {note.corrected}"
    return " · ".join([*note.tags, *([label] if note.wrong else []), *([note.text] if note.text else [])])


def _box(row: int | str, field: str, value: str, hint: str, more: Markup = NOTHING) -> Markup:
    return html(
        '<input data-keep data-action="{field} {row}" value="{value}" placeholder="{hint}" '
        'aria-label="{hint}" {more}>',
        field=field,
        row=row,
        value=verbatim(value),
        hint=hint,
        more=more,
    )


def notes_view(findings: Findings, notes: Notes, editable: bool = True) -> Markup:
    """Tags to filter by, the list, and two files. `editable`: whether notes can be written."""
    run = findings.run if findings.run.label_sets is None else findings.run.label_sets.whole
    return notes_of(run, notes, editable)


def notes_of(run: RunData, notes: Notes, editable: bool = True) -> Markup:
    """The same of a run of any task."""
    if not notes:
        return panel("Notes", empty(HOW_TO if editable else "No notes yet."))
    corrected, tags = labels_table(run, notes), tags_of(notes)
    chips = join(_chip(run, tag, count) for tag, count in tags.items())
    files, how = _file("notes.csv", as_table(run, notes)), NOTHING
    if len(corrected):
        files += _file("labels.csv", corrected)
        how = _how_to_use(len(corrected), run)
    rows = join(_row(run, note) for note in list(notes.values())[:LISTED])
    show = html('<button class="vt-link" {}>show images</button>', action("group", "notes"))
    return panel(
        "Notes", controls_row(chips, files) + how + table(HEADS, rows), counted(len(notes), "image"), show
    )


def _chip(run: RunData, tag: str, count: int) -> Markup:
    """A tag; a click shows its images, which the lists of numbers do not have."""
    if run.numbers:
        return html('<span class="vt-chip">{} <b>{}</b></span>', tag, count)
    return html('<button class="vt-chip" {}>{} <b>{}</b></button>', action("group", f"tag:{tag}"), tag, count)


def _how_to_use(count: int, run: RunData) -> Markup:
    what = ("label corrected", "labels corrected")
    if run.numbers:
        what = ("image with corrected numbers", "images with corrected numbers")
    elif run.label_sets is not None:
        what = ("set of labels corrected", "sets of labels corrected")
    return empty(
        html(
            "{}: <code>train --labels labels.csv</code> trains on them, "
            "<code>run --labels labels.csv</code> evaluates with them.",
            counted(count, *what),
        )
    )


def _row(run: RunData, note: Note) -> Markup:
    tags = ", ".join(note.tags)
    return row((note.id, *_classes(run, note.id), note.corrected, tags, note.text, note.by))


def _classes(run: RunData, image: str) -> tuple[str, str]:
    """True and predicted class, of several labels per image all of them; empty for an image that the run
    lacks."""
    found = run.ok[run.ok["id"] == image]
    if not len(found):
        return "", ""
    if run.all_labels or run.numbers:
        found = run.noted.loc[found.index]
        return str(found["labels"].iloc[0]), str(found["called"].iloc[0])
    return run.classes[int(found["label"].iloc[0])], run.classes[int(found["pred"].iloc[0])]


def _file(name: str, content: pd.DataFrame) -> Markup:
    """A link that holds the file itself."""
    data = base64.b64encode(spreadsheet_safe(content).to_csv(index=False).encode()).decode()
    return html(
        '<a class="vt-link" download="{name}" href="data:text/csv;base64,{data}">{name}</a>',
        name=name,
        data=data,
    )
