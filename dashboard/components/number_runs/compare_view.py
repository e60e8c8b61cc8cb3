"""Two runs of numbers side by side: measures of every output with intervals, and the images whose predicted
numbers came nearer to the truth or went farther from it, with the maps of both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from dashboard.components.compare_view import A_PAGE, HEADS_OF_METRICS, of_runs
from dashboard.components.controls import pager, pages_of, segments, select
from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.number_runs.cards import lacks, signed_controls, signed_tile
from dashboard.components.panel import empty, panel, row, table, warning
from dashboard.components.toolbar import controls_row
from dashboard.tabs.compare_state import CHANGES, FARTHER, NEARER, Choice, list_of
from explain import render
from explain.analysis.numbers.compare import NumbersComparison, agreement, shared_text
from explain.analysis.numbers.text import number, signed_number
from explain.analysis.on_maps import said_of_both
from explain.analysis.statistics.bootstrap import Metric
from explain.formatting import counted
from explain.quality.known import shared_method
from explain.run.outputs.number_run import NumbersRun

BUTTONS = 5  # outputs that are buttons; more are a list
MOST = 200
"""Outputs that are listed."""
NO_METHOD = "no map: the runs share no method"


def number_summary(c: NumbersComparison, output: int) -> Markup:
    """Measures of every output, what the two runs are and what they share. `output`: the one that is
    chosen."""
    shown = [k for k in range(len(c.outputs)) if k < MOST or k == output]
    rows = join(_measures(c, k, k == output) for k in shown)
    left = len(c.outputs) - len(shown)
    body = html(
        '{}{}<div class="vt-tall">{}</div>{}{}',
        join(
            warning(f"{name}: {run.unfinished}") for name, run in (("A", c.a), ("B", c.b)) if run.unfinished
        ),
        of_runs(c.a, c.b),
        table(HEADS_OF_METRICS, rows, "vt-intervals"),
        empty(f"{counted(left, 'output')} more not listed.") if left else NOTHING,
        empty("MAE, RMSE: smaller is better; in color where the interval of the difference leaves 0 out."),
    )
    return panel("Metrics", body, shared_text(c))


def _measures(c: NumbersComparison, k: int, chosen: bool) -> Markup:
    """A row with the name of the output, which a click chooses, and one row a measure."""
    name = NOTHING
    if len(c.outputs) > 1:
        attributes = html(
            'class="{}" tabindex="0" role="button" aria-label="images of {}" {}',
            "vt-on" if chosen else "",
            c.outputs[k],
            action("asked", k),
        )
        name = row([html("<b>{}</b>", c.outputs[k]), "", "", ""], attributes)
    of_both = (row([measure, number(a, False), number(b, False), ""]) for measure, a, b in agreement(c, k))
    return name + join(map(_error, c.metrics[k])) + join(of_both)


def _error(m: Metric) -> Markup:
    """Both values, and their difference with its interval, in the unit of the output."""
    values = [
        html('<span title="95 % interval {}">{}</span>', _interval(ends), number(value))
        for value, ends in ((m.a, m.interval_a), (m.b, m.interval_b))
    ]
    kind = ("vt-ok" if m.difference * m.better > 0 else "vt-bad") if m.sure else ""
    ends = _interval(m.interval, signed_number)
    difference = html('<b class="{}">{}</b><small>{}</small>', kind, signed_number(m.difference), ends)
    return row([m.name, *values, difference])


def _interval(ends: tuple[float, float], text: Callable[[float], str] = number) -> str:
    """'−1.2 to 0.4', or a dash where there is none."""
    low, high = ends
    return f"{text(low)} to {text(high)}" if low == low else "–"


def changed_images(c: NumbersComparison, output: int, choice: Choice) -> Markup:
    """Images of one output whose predicted number came nearer to the truth, or went farther from it."""
    which = list_of(choice)
    lists = {NEARER: c.nearer(output), FARTHER: c.farther(output)}
    found, method = lists[which], shared_method(c.a, c.b)
    page, pages = pages_of(len(found), A_PAGE, choice.page)
    part = found[page * A_PAGE : (page + 1) * A_PAGE]
    controls = controls_row(
        _outputs(c, output),
        segments("which", CHANGES, which, "which images"),
        signed_controls(),
        pager(page, pages),
    )
    same = len(c.matched) - sum(map(len, lists.values()))
    note = f"{counted(len(found), 'image')} of {c.outputs[output]}, the largest change first"
    note += f"; {counted(same, 'image')} as near in both" if same else ""
    scale = "Each map scaled to a mean magnitude of 1, both of a pair on one scale"
    about = empty(f"{said_of_both(c.a, c.b, method)} {scale}.".strip())
    cards = html('<div class="vt-pairs">{}</div>', join(_cards(c, part, output, method)))
    return panel(CHANGES[which], controls + about + (cards if len(part) else empty("None.")), note)


def _outputs(c: NumbersComparison, output: int) -> Markup:
    """The choice of the output; nothing where there is one."""
    names = {str(k): name for k, name in enumerate(c.outputs)}
    if len(names) < 2:
        return NOTHING
    if len(names) > BUTTONS:
        return select("asked", "output", names, str(output))
    return segments("asked", names, str(output), "output")


def _cards(c: NumbersComparison, part: np.ndarray, output: int, method: str | None) -> list[Markup]:
    """`part`: rows of `matched`."""
    if not len(part):
        return []
    sides = [
        _side(c, letter, c.matched[f"row_{letter}"].to_numpy()[part].tolist(), output, method)
        for letter in ("a", "b")
    ]
    return [_card(c, int(i), output, pair) for i, *pair in zip(part, *sides, strict=True)]


@dataclass(frozen=True, eq=False)
class _Half:
    """What a card shows of one run: the picture's URL, its map (h, w), why it has none, and its text."""

    url: str
    raw: np.ndarray
    missing: str
    caption: str
    alt: str


def _side(c: NumbersComparison, letter: str, rows: list[int], output: int, method: str | None) -> list[_Half]:
    """Of one run, with its own pictures: its maps fit on these."""
    run, k = (c.a, output) if letter == "a" else (c.b, c.to_b[output])
    maps, name = scaled_maps(run, k, rows, method), letter.upper()
    about = f"run {name}, {run.title(method) if method else 'no map'} for {c.outputs[output]}"
    return [
        _Half(
            render.jpeg_url(picture),
            raw,
            lacks(run, k, r) if method else NO_METHOD,
            f"{name}: evidence for {c.outputs[output]}",
            about,
        )
        for r, picture, raw in zip(rows, run.thumbnails(rows), maps, strict=True)
    ]


def scaled_maps(run: NumbersRun, output: int, rows: Sequence[int], method: str | None) -> np.ndarray:
    """Signed maps (n, h, w), scaled so that their mean magnitude is 1: values of two networks are not
    comparable otherwise. NaN where the run has none."""
    if method is None:
        return np.full((len(rows), *run.manifest.request.map_shape), np.nan)
    maps = run.maps_of(method, output, rows)
    total = np.abs(np.nan_to_num(maps)).mean((1, 2), keepdims=True)
    return np.divide(maps, total, out=maps.copy(), where=total > 0)


def _card(c: NumbersComparison, i: int, output: int, halves: Sequence[_Half]) -> Markup:
    top = max(render.signed_peak(np.nan_to_num(half.raw)) for half in halves) or None
    text = both_answers(c, i, output)
    return html(
        '<div class="vt-card vt-of-2" tabindex="0" role="button" aria-label="{id}: {name} {text}; open in '
        'Inspect" title="{id}" {click}><div class="vt-two">{tiles}</div>'
        '<div class="vt-caption vt-answer">{text}</div></div>',
        id=c.matched["id"].iat[i],
        name=c.outputs[output],
        text=text,
        click=action("open", int(c.matched["row_a"].iat[i])),
        tiles=join(
            signed_tile(half.url, half.raw, half.alt, top, half.missing, half.caption) for half in halves
        ),
    )


def both_answers(c: NumbersComparison, i: int, output: int) -> str:
    """'true 3.2 · A 5.1 · B 3.4', of a row of `matched`."""
    true, of_a, of_b = (number(float(v[i, output])) for v in (c.truth, c.predicted_a, c.predicted_b))
    return f"true {true} · A {of_a} · B {of_b}"
