"""What an export will hold, how far it is, and what came of it."""

from dashboard.components.cards import cards
from dashboard.components.clickable import action, esc
from dashboard.components.panel import panel
from explain.export.gallery import ExportOptions
from explain.export.selection import Selection
from explain.formatting import listed
from explain.run.reader import RunData

SHOWN = 12


def contents(run: RunData, selection: Selection, options: ExportOptions, methods: tuple[str, ...]) -> str:
    """The files by kind, and the first images with their maps."""
    rows = selection.rows
    wrong = sum(len(s.wrong) for s in selection.samples)
    pictures = len(rows) + len(methods) * (len(rows) + wrong)
    named = listed([run.title(m) for m in methods])
    lines = [
        ("index.html", "a page that opens without a server"),
        ("sheet.png", "one sheet with every class, as far as they fit"),
        (
            "overlays/",
            f"{pictures:,} pictures: what it saw, and {named} on it, for the called and the true class",
        ),
        ("maps/", f"{pictures - len(rows):,} raw maps (.npy)" if options.raw else ""),
        (
            "originals/",
            f"up to {len(rows):,} pictures at full size, without EXIF" if options.originals else "",
        ),
        ("export.csv", "everything known of these images, with notes and the numbers of their maps"),
        ("predictions.csv", f"label, prediction and loss of all {len(run.ok):,} images"),
        ("manifest.json", "model, data, versions, wishes, and a SHA-256 of every file"),
    ]
    files = "".join(
        f"<dt>{name}</dt><dd>{esc(description)}</dd>" for name, description in lines if description
    )
    shown = "".join(cards(run, rows[:SHOWN], methods[0], "both", False))
    more = f'<p class="vt-empty">and {len(rows) - SHOWN:,} more</p>' if len(rows) > SHOWN else ""
    images, classes = len(rows), len(selection.samples)
    note = (
        f"{images:,} image{'s' * (images != 1)} of {classes:,} class{'es' * (classes != 1)}: "
        f"{esc(selection.description)}"
    )
    return panel(
        "What it holds", f'<dl class="vt-files">{files}</dl><div class="vt-handed">{shown}</div>{more}', note
    )


def progress(title: str, fraction: float | None) -> str:
    """`fraction` None: nobody knows how far it is."""
    bar = (
        ""
        if fraction is None
        else f'<div class="vt-bar vt-long"><i style="width:{100 * fraction:.0f}%"></i></div>'
    )
    description = "" if fraction is None else f"{100 * fraction:.0f} %"
    return panel(
        esc(title),
        bar,
        description,
        f'<button class="vt-run" {action("stop")}>Cancel</button>' if fraction is not None else "",
    )


def done(title: str, size: int) -> str:
    return panel(esc(title), "", f"{size / 1e6:.1f} MB; kept on the server for ten minutes")


def failed(why: str) -> str:
    return f'<section class="vt-panel"><p class="vt-empty">{esc(why)}</p></section>'
