"""Errors by the true number: bins with the mean of predicted minus true, each a button that shows its
images."""

from markupsafe import Markup

from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.panel import empty, panel
from dashboard.tabs.numbers_state import NumbersView
from explain.analysis.numbers.chart import Bar, errors_of
from explain.analysis.numbers.groups import FEW, Bin
from explain.analysis.numbers.plane import region_text
from explain.analysis.numbers.run_numbers import bins_of
from explain.analysis.numbers.text import number, signed_number
from explain.run.outputs.number_run import NumbersRun

TITLE = "Error by true number"


def error_bars(run: NumbersRun, view: NumbersView) -> Markup:
    """One bar a bin of the true number."""
    found = bins_of(run, view.output)
    if not found:
        return panel(TITLE, empty("No image has a true and a predicted number."))
    chart = errors_of(found)
    body = html(
        '<div class="vt-bins"><span>{high}</span><span>{low}</span><i class="vt-zero" '
        'style="top:{zero:.2f}%"></i>{bars}</div><div class="vt-bin-edges">{edges}</div>',
        high=signed_number(chart.highest),
        low=signed_number(chart.lowest),
        zero=chart.zero,
        bars=join(_bar(bar, view) for bar in chart.bars),
        edges=join(html("<span>{}</span>", number(b.low)) for b in found),
    )
    few = any(b.few and b.count for b in found)
    keys = {"bar": "mean", "spread": "± standard deviation"} | (
        {"few": f"fewer than {FEW} images"} if few else {}
    )
    marks = join(html('<span class="vt-key-{}">{}</span>', *key) for key in keys.items())
    body += html('<div class="vt-keys vt-marks">{}</div>', marks)
    return panel(TITLE, body, "predicted minus true; click a bin")


def _bar(bar: Bar, view: NumbersView) -> Markup:
    b, box = bar.bin, region_text(bar.bin.box)
    spread = html('<u style="top:{:.2f}%;height:{:.2f}%"></u>', bar.spread_top, bar.spread_height)
    return html(
        '<button class="vt-bin{few}{on}" title="{text}" aria-label="{text}" {click}{off}>'
        '<i style="top:{top:.2f}%;height:{height:.2f}%"></i>{spread}</button>',
        few=" vt-few" if b.few else "",
        on=" vt-on" if view.group == box else "",
        text=description(b),
        click=action("region", box),
        off="" if b.count else " disabled",
        top=bar.top,
        height=bar.height,
        spread=spread if bar.spread_height else NOTHING,
    )


def description(b: Bin) -> str:
    """A bin as text."""
    if not b.count:
        return f"true {b.text}: no images"
    low, high = b.interval
    parts = [f"mean {signed_number(b.mean)}"]
    if low == low:
        parts[0] += f" (95 % interval {number(low)} to {number(high)})"
        parts.append(f"standard deviation {number(b.spread)}")
    return f"true {b.text}: {b.count:,} image{'s' * (b.count != 1)}, {', '.join(parts)}"
