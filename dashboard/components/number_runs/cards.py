"""Cards of a run of numbers: an image with the evidence for one output, its true and its predicted
number."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from dashboard.components.markup import NOTHING, action, html, join
from explain import render
from explain.analysis.numbers.text import number, signed_number
from explain.run.outputs.number_run import NOT_KEPT, NumbersRun


def number_cards(
    run: NumbersRun, rows: Sequence[int], output: int, method: str, shared: bool
) -> list[Markup]:
    """One card for each row of the run's table; `shared`: all maps on one scale."""
    if not len(rows):
        return []
    pictures, maps = run.thumbnails(rows), run.maps_of(method, output, rows)
    top = max(render.signed_peak(raw) for raw in maps) if shared else None
    about = alt(run, method, output)
    tiles = (
        signed_tile(render.jpeg_url(picture), raw, about, top, lacks(run, output, row))
        for row, picture, raw in zip(rows, pictures, maps, strict=True)
    )
    return [_card(run, row, output, picture) for row, picture in zip(rows, tiles, strict=True)]


def lacks(run: NumbersRun, output: int, row: int) -> str:
    """Why the run has no map; empty where it has one."""
    return "" if run.has_map(output, row) else NOT_KEPT


def alt(run: NumbersRun, method: str, output: int) -> str:
    return f"{run.title(method)} for {run.outputs[output]}"


def answer(run: NumbersRun, row: int, output: int) -> str:
    """'true 3.2 · predicted 5.1 · +1.9'."""
    true, predicted = float(run.truth[row, output]), float(run.predicted[row, output])
    return f"true {number(true)} · predicted {number(predicted)} · {signed_number(predicted - true)}"


def _card(run: NumbersRun, row: int, output: int, picture: Markup) -> Markup:
    image = run.table.at[row, "id"]
    return html(
        '<div class="vt-card vt-of-1" tabindex="0" role="button" aria-label="{id}: {name} {text}; open in '
        'Inspect" title="{id}" {open}><div class="vt-two">{picture}</div>'
        '<div class="vt-caption vt-answer">{text}</div></div>',
        id=image,
        name=run.outputs[output],
        text=answer(run, row, output),
        open=action("open", row),
        picture=picture,
    )


def signed_tile(
    picture: str,
    raw: np.ndarray,
    description: str,
    top: float | None = None,
    missing: str = "",
    caption: str = "",
) -> Markup:
    """A picture with a signed map (h, w): teal for what speaks for a larger number, orange for a smaller one.
    `caption`: Markup or text; `missing`: why there is no map."""
    reason, drawn = missing or render.signed_problem(raw), NOTHING
    if np.isfinite(raw).any():
        url = render.difference_png(render.signed(raw, top))
        drawn = html('<img class="vt-difference vt-signed" src="{}" alt="{}">', url, description)
    return html(
        '<figure class="vt-tile"><div class="vt-stack"><img class="vt-photo" src="{}" alt="" loading="lazy">'
        "{}{}</div>{}</figure>",
        picture,
        html('<span class="vt-none">{}</span>', reason) if reason else NOTHING,
        drawn,
        html("<figcaption>{}</figcaption>", caption) if caption else NOTHING,
    )


def signed_controls() -> Markup:
    """Map on or off, its opacity, and what its colors mean; nothing reaches the server."""
    return join(
        (
            html(
                '<label class="vt-check"><input type="checkbox" data-blend="on" checked> map</label>'
                '<label>opacity <input type="range" min="0" max="100" value="65" data-blend="opacity" '
                'aria-label="opacity of the map in percent"></label>'
            ),
            signs(),
        )
    )


def signs() -> Markup:
    return html('<span class="vt-signs">smaller<i></i>larger</span>')
