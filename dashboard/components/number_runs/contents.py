"""What an export of a run of numbers contains."""

from collections.abc import Sequence

from markupsafe import Markup

from dashboard.components.markup import NOTHING, html, join
from dashboard.components.number_runs.cards import number_cards
from dashboard.components.panel import empty, panel
from explain.export.gallery import ExportOptions
from explain.export.number_gallery import Picked
from explain.formatting import counted, listed
from explain.run.outputs.number_run import NumbersRun

SHOWN = 12


def number_contents(
    run: NumbersRun, found: Sequence[Picked], methods: Sequence[str], options: ExportOptions, note: str
) -> Markup:
    """The files by kind, and the first images with their maps."""
    places = [(row, one.output) for one in found for row in one.rows]
    shown = join(
        card for row, output in places[:SHOWN] for card in number_cards(run, [row], output, methods[0], False)
    )
    n = len(places)
    named = listed([run.title(m) for m in methods])
    files = {
        "index.html": "a page that opens without a server",
        "sheet.png": "one picture with every group, as far as they fit",
        "overlays/": f"the input of the network, and {named} on it, "
        f"{counted(n * (1 + len(methods)), 'image')}",
        "maps/": f"{n * len(methods):,} raw maps (.npy)" if options.raw else "",
        "originals/": f"up to {counted(n, 'image')} at full size, without EXIF" if options.originals else "",
        "export.csv": "true and predicted number of these images, with their files",
        "predictions.csv": f"true and predicted number of all {counted(len(run.ok), 'image')}",
        "manifest.json": "model, data, versions, options, and a SHA-256 of every file",
    }
    rows = join(html("<dt>{}</dt><dd>{}</dd>", name, text) for name, text in files.items() if text)
    more = empty(f"and {n - SHOWN:,} more") if n > SHOWN else NOTHING
    body = html('<dl class="vt-files">{}</dl><div class="vt-handed">{}</div>{}', rows, shown, more)
    return panel("Contents", body, f"{n:,} image{'s' * (n != 1)}: {note}")
