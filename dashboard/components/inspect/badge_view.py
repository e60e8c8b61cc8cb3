"""What is said of one map in Inspect: a line below it, and the chart of its check."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from markupsafe import Markup

from dashboard.components.markup import NOTHING, action, html, join
from dashboard.components.panel import warning
from explain.quality.one_map.map_check import COMMAND, NAMES, OWN

if TYPE_CHECKING:
    import numpy as np

    from explain.quality.one_map.kept import Badge, Kept
    from explain.quality.one_map.map_check import MapCheck

CHARTS = (
    ("insertion", "Insertion", "strongest cells first, into the blurred image: a good map rises early"),
    ("deletion", "Deletion", "strongest cells blurred first: a good map falls early"),
)


def badge_lines(badge: "Badge | None", method: str, title: str, offered: bool) -> Markup:
    """Figures and flags as text, and the button that checks the map. `offered`: whether it may be asked
    for."""
    if badge is None:
        return NOTHING
    flags = join(html('<p class="vt-flag"><b>{}</b> {}</p>', flag.name, flag.reason) for flag in badge.flags)
    button = html(
        '<button class="vt-link" {} aria-label="Check this map: {}">Check this map</button>',
        action("check", method),
        title,
    )
    return html(
        '<div class="vt-badge">{}{}{}</div>',
        NOTHING if badge.kept is None else _kept(badge.kept),
        flags,
        button if offered and badge.ordered else NOTHING,
    )


def _kept(kept: "Kept") -> Markup:
    return html('<p title="{}">{}</p>', kept.details, kept.text)


def check_view(check: "MapCheck", title: str, of_run: str = "", caution: str = "") -> Markup:
    """Both curves of the map beside its controls, their areas, and what that says; then what is known of the
    method's maps over the run (`of_run`), or how that can be measured. `caution`: why nothing is concluded,
    which comes first; empty where something is."""
    low, high = check.range
    curves = {"insertion": check.insertion, "deletion": check.deletion}
    charts = join(_chart(name, note, curves[kind], check, (low, high), title) for kind, name, note in CHARTS)
    return html(
        '<section class="vt-map-check" aria-label="Check of {title}"><h3>Check of {title} '
        '<small>{quantity}</small></h3>{caution}<p class="vt-verdict">{sentence} {center}{dependence} '
        "{other}</p>"
        '<div class="vt-charts">{charts}</div>{areas}{one}</section>',
        title=title,
        quantity=check.quantity.name,
        caution=warning(caution) if caution else NOTHING,
        sentence=check.sentence if caution else html("<b>{}</b>", check.sentence),
        center=html("<b>{}</b> ", check.center) if check.center else NOTHING,
        dependence=check.dependence,
        other=check.other_image,
        charts=charts,
        areas=_areas(check),
        one=_over_the_run(of_run),
    )


def _over_the_run(of_run: str) -> Markup:
    one = "One image does not tell whether a method is good"
    if of_run:
        return html("<p>{}; over the run: <b>{}</b>.</p>", one, of_run)
    return html("<p>{}; <code>{}</code> measures it over a run.</p>", one, COMMAND)


def _chart(
    name: str,
    note: str,
    curves: "Mapping[str, np.ndarray]",
    check: "MapCheck",
    low_high: tuple[float, float],
    title: str,
) -> Markup:
    low, high = low_high
    value = check.quantity.value
    ends = [f"{NAMES[n]} from {value(float(c[0]))} to {value(float(c[-1]))}" for n, c in curves.items()]
    halfway = len(check.fractions) // 2
    middle = [f"{NAMES[n]} {value(float(c[halfway]))}" for n, c in curves.items()]
    drawn = [n for n in reversed(NAMES) if n in curves]  # the map last, above its controls
    return html(
        '<figure class="vt-chart"><figcaption><b>{name}</b> <small>{note}</small></figcaption>'
        '<div class="vt-plot"><span>{high}</span><span>{low}</span><svg viewBox="0 0 1000 100" '
        'preserveAspectRatio="none" role="img" aria-label="{name} of {title} and its controls: {text}">'
        "<title>{name} of {title}</title><desc>{text}</desc>{lines}</svg></div>"
        '<div class="vt-ends"><span>0 %</span><span>of the cells</span><span>100 %</span></div></figure>',
        name=name,
        note=note,
        high=value(high),
        low=value(low),
        title=title,
        text=f"{check.quantity.name}, {ends[0]}; at {100 * check.fractions[halfway]:.0f} % of the cells "
        f"{', '.join(middle)}",
        lines=join(_line(n, check.fractions, curves[n].tolist(), low, high) for n in drawn),
    )


def _line(name: str, fractions: tuple[float, ...], scores: list[float], low: float, high: float) -> Markup:
    span = (high - low) or 1
    points = (
        f"{1000 * x:.0f},{100 * (1 - (y - low) / span):.2f}" for x, y in zip(fractions, scores, strict=True)
    )
    return html('<polyline class="vt-trace vt-of-{}" points="{}"/>', name, " ".join(points))


def _areas(check: "MapCheck") -> Markup:
    """The table that is the legend, too."""
    rows = join(
        html(
            '<tr class="{}"><th scope="row"><svg viewBox="0 0 24 6" aria-hidden="true"><polyline '
            'class="vt-trace vt-of-{}" points="0,3 24,3"/></svg> {}</th><td>{}</td><td>{}</td>'
            "<td>{}</td></tr>",
            "vt-own" if name == OWN else "",
            name,
            NAMES[name],
            *map(check.text_of, (inserted, deleted, check.difference(name))),
        )
        for name, (inserted, deleted) in check.areas.items()
    )
    return html(
        '<table class="vt-areas"><caption>Area below each curve; larger differences are better</caption>'
        '<thead><tr><th scope="col">order of the cells</th><th scope="col">insertion</th>'
        '<th scope="col">deletion</th><th scope="col">difference</th></tr></thead><tbody>{}</tbody></table>',
        rows,
    )
