"""What an export contains, its progress, and its result."""

from markupsafe import Markup

from dashboard.components.cards import cards
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.panel import empty, panel
from explain.export.gallery import ExportOptions
from explain.export.selection import Selection
from explain.formatting import counted, listed
from explain.run.reader import RunData

SHOWN = 12


def contents(run: RunData, selection: Selection, options: ExportOptions, methods: tuple[str, ...]) -> Markup:
    """The files by kind, and the first images with their maps."""
    rows = selection.rows
    shown = join(cards(run, rows[:SHOWN], methods[0], "both", False))
    images, classes = len(rows), len(selection.samples)
    note = (
        f"{counted(images, 'image')} of {counted(classes, 'class')}: "
        f"{'; '.join(filter(None, [selection.description, run.decision]))}"
    )
    body = html(
        '<dl class="vt-files">{}</dl><div class="vt-handed">{}</div>{}',
        join(
            html("<dt>{}</dt><dd>{}</dd>", name, description)
            for name, description in _files(run, selection, options, methods)
        ),
        shown,
        empty(f"and {images - SHOWN:,} more") if images > SHOWN else NOTHING,
    )
    return panel("Contents", body, note)


def _files(
    run: RunData, selection: Selection, options: ExportOptions, methods: tuple[str, ...]
) -> list[tuple[str, str]]:
    images = len(selection.rows)
    maps = len(methods) * (images + sum(len(s.wrong) for s in selection.samples))
    named = listed([run.title(m) for m in methods])
    raw = [("maps/", f"{counted(maps, 'raw map')} (.npy)")]
    originals = [("originals/", f"up to {counted(images, 'image')} at full size, without EXIF")]
    return [
        ("index.html", "a page that opens without a server"),
        ("sheet.png", "an overview of all classes, as far as they fit"),
        (
            "overlays/",
            f"{counted(images + maps, 'image')}: the input of the network, and {named} on it, for the "
            "predicted and the true class",
        ),
        *(raw if options.raw else []),
        *(originals if options.originals else []),
        ("export.csv", "all data of these images, with notes and map statistics"),
        ("predictions.csv", f"label, prediction and loss of all {counted(len(run.ok), 'image')}"),
        ("manifest.json", "model, data, versions, options, and a SHA-256 of every file"),
    ]


def progress(title: str, fraction: float | None) -> Markup:
    """`fraction` None: unknown."""
    if fraction is None:
        return panel(title, NOTHING)
    bar = html('<div class="vt-bar vt-long"><i style="width:{:.0f}%"></i></div>', 100 * fraction)
    cancel = html('<button class="vt-run" {}>Cancel</button>', action("stop"))
    return panel(title, bar, f"{100 * fraction:.0f} %", cancel)


def done(title: str, size: int) -> Markup:
    return panel(title, NOTHING, f"{size / 1e6:.1f} MB; kept on the server for ten minutes")


def failed(why: str) -> Markup:
    return html('<section class="vt-panel">{}</section>', empty(why))
