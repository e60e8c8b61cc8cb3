"""The parts of the Gaze tab: one image with human or predicted gaze and the network's map; the images of
largest disagreement; the table of all sources."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from dashboard.components.cards import Shown, tile
from dashboard.components.controls import pager, pages_of, select
from dashboard.components.markup import NOTHING, action, display_text, html, join
from dashboard.components.panel import empty, panel, table
from dashboard.components.toolbar import blend_controls, controls_row
from dashboard.links import linked
from dashboard.tabs.gaze_state import GazeView
from explain import render
from explain.analysis.on_maps import NOT_MEASURED, verdict_text
from explain.formatting import chance, counted
from explain.gaze.folder import PEOPLE, GazeRun
from explain.gaze.metrics import METRICS
from explain.gaze.sources import EARLIER_TITLES
from explain.quality.sample import target_name
from explain.run.reader import RunData

A_PAGE = 12
LARGE = 720  # longer side of the large image
ENLARGED = 160  # least longer side of a map: browsers show steps otherwise
MEANS = {
    "auc": "fixations against pixels; 0.5 is chance",
    "auc_borji": "fixations against random pixels",
    "sauc": "fixations against those of other images: a center bias does not help",
    "nss": "mean of the standardized map at fixations; 0 is chance",
    "cc": "correlation with the density of fixations",
    "sim": "intersection with the density of fixations",
    "kl": "divergence from the density of fixations; lower is better",
    "ig": "bits per fixation above the mean density of other images",
}


@dataclass(frozen=True, eq=False)
class GazeMap:
    """A map of one image: raw (h, w), its title, and the text below it."""

    raw: np.ndarray
    title: str
    below: str = ""


def large(
    image: bytes,
    size: tuple[int, int],
    maps: Sequence[GazeMap],
    title: str,
    note: str,
    dots: Markup = NOTHING,
    end: str = "",
    choice: Markup = NOTHING,
) -> Markup:
    """The image alone and under each map. `image`: JPEG; `size` (height, width); `dots`: fixations, drawn on
    the image and on the first map; `choice`: of what the map is for."""
    url, ratio = render.jpeg_url(image), size[1] / size[0]
    tiles = [tile(url, None, ratio=ratio, above=dots)]
    for k, one in enumerate(maps):
        shown = Shown(one.raw, html("<b>{}</b><br>{}", one.title, one.below), one.title)
        enlarge, above = max(1, ENLARGED // max(one.raw.shape)), dots if k == 0 else NOTHING
        tiles.append(tile(url, shown, enlarge=enlarge, ratio=ratio, above=above))
    body = controls_row(choice, blend_controls()) + html('<div class="vt-gaze">{}</div>', join(tiles))
    return panel(title, body, note, end)


def from_folder(found: GazeRun, row: int, first: str = "") -> Markup:
    """An image of a gaze folder, with its fixations and every map that is kept, that of the source `first`
    before the others."""
    item = found.images.loc[row]
    size = int(item["height"]), int(item["width"])
    count = f"{len(item['x']):,} fixations of {_people(item['subject'])}"
    maps = [GazeMap(found.map(row, PEOPLE), "where people looked", count)]
    order = sorted(found.kept, key=lambda name: name != first)
    maps += [
        GazeMap(found.map(row, name), found.titles[name], scored(found.score(row, name))) for name in order
    ]
    note = f"each map on its own scale; fixations blurred by {found.manifest['sigma']:g} pixels"
    dots, link = fixations(item["x"], item["y"], size), linked(GazeView(row=row).query(found))
    return large(item["thumbnail"], size, maps, str(item["id"]), note, dots, link)


def _people(subject: Sequence[int]) -> str:
    count = len({int(s) for s in subject if s >= 0})
    return f"{count} people" if count > 1 else "one person" if count else "people"


def scored(found: Mapping[str, Any], names: Sequence[str] = ("auc", "nss", "cc")) -> Markup:
    """Some metrics in a line, or why there are none."""
    if not found or not np.isfinite([float(found[name]) for name in names]).any():
        return display_text(found.get("why", "") or "not scored")
    return join((f"{METRICS[name].title} {two(float(found[name]))}" for name in names), " · ")


def fixations(x: Sequence[float], y: Sequence[float], size: tuple[int, int]) -> Markup:
    """A dot for each fixation, in the image's own coordinates."""
    radius = max(size) / 130
    return html(
        '<svg class="vt-dots" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" '
        'aria-label="fixations">{}</svg>',
        size[1],
        size[0],
        join(
            html('<circle cx="{:.0f}" cy="{:.0f}" r="{:.1f}"/>', a, b, radius)
            for a, b in zip(x, y, strict=True)
        ),
    )


def disagreement(found: GazeRun, view: GazeView) -> Markup:
    """Cards, those first where the chosen map predicts people worst."""
    rows = found.worst(view.source, view.metric)
    page, pages = pages_of(len(rows), A_PAGE, view.page)
    part = rows[page * A_PAGE : (page + 1) * A_PAGE]
    controls = controls_row(
        select("source", "map", {name: found.titles[name] for name in found.kept}, view.source),
        select("metric", "by", {m.name: m.title for m in METRICS.values()}, view.metric),
        pager(page, pages),
    )
    cards = html('<div class="vt-pairs">{}</div>', join(_card(found, view, int(row)) for row in part))
    note = (
        f"{counted(len(rows), 'image')}, the worst {METRICS[view.metric].title} first; left human gaze, "
        "right the map"
    )
    body = cards if len(part) else empty("No image has this score.")
    return panel("Largest disagreement", controls + body, note)


def _card(found: GazeRun, view: GazeView, row: int) -> Markup:
    item = found.images.loc[row]
    mine, theirs = found.score(row, view.source), found.score(row, "people")
    people = html(" <small>people {}</small>", two(float(theirs[view.metric]))) if theirs else NOTHING
    return html(
        '<div class="vt-card vt-of-2{on}" tabindex="0" role="button" aria-label="{id}, show large" '
        'title="{id}" {click}><div class="vt-two">{tiles}</div>'
        '<div class="vt-caption">{metric} <b>{value}</b>{people}</div></div>',
        on=" vt-on" if row == view.row else "",
        id=item["id"],
        click=action("row", row),
        tiles=join(
            _small(found, row, source, title)
            for source, title in ((PEOPLE, "people"), (view.source, found.titles[view.source]))
        ),
        metric=METRICS[view.metric].title,
        value=two(float(mine[view.metric])),
        people=people,
    )


def _small(found: GazeRun, row: int, source: str, title: str) -> Markup:
    item, raw = found.images.loc[row], found.map(row, source)
    enlarge = max(1, ENLARGED // 2 // max(raw.shape))
    ratio = item["width"] / item["height"]
    return tile(render.jpeg_url(item["thumbnail"]), Shown(raw, title, title), enlarge=enlarge, ratio=ratio)


def gaze_table(means: pd.DataFrame, title: str, note: str, text: str = "") -> Markup:
    """Models, networks, baselines and people: one row each, in the order of NSS. `text`: a sentence above the
    table."""
    heads = [("source", "")] + [(m.title, MEANS[m.name]) for m in METRICS.values()]
    rows = join(
        html(
            '<tr class="vt-kind-{}"><td class="vt-name">{}</td>{}</tr>',
            row["kind"],
            EARLIER_TITLES.get(row["title"], row["title"]),
            join(html("<td>{}</td>", two(float(row[name]), 3)) for name in METRICS),
        )
        for _, row in means.sort_values("nss", ascending=False).iterrows()
    )
    above = html('<p class="vt-verdict">{}</p>', text) if text else NOTHING
    return panel(title, above + table(heads, rows, "vt-gaze-table vt-wide-first"), note)


def said_of_maps(found: GazeRun, run: RunData) -> str:
    """The verdict on the maps of the network that are compared with people, as beside the run's own maps;
    'not measured' where they are of other weights, another layer or output than those of `run`."""
    name = next(s["name"] for s in found.manifest["sources"] if s["kind"] == "network")
    request, about = run.manifest.request, found.manifest
    theirs = about.get("weights_hash"), about.get("layer"), about.get("output", "")
    if theirs == (request.weights_hash, request.layer, target_name(run)):
        return f"{found.titles[name]}: {verdict_text(run, name)}"
    return f"{found.titles[name]}: {NOT_MEASURED}"


def verdict(found: GazeRun, run: RunData) -> Markup:
    """Whether the network looks where people look, in a sentence with its numbers, and the verdict on the
    maps that say so; nothing where no network was evaluated."""
    answer = found.network_against_chance()
    if answer is None:
        return NOTHING
    nss = found.summary.set_index("source")["nss"]
    return html(
        "{network} looks where people look {more} than its maps of other images do: {title} has an NSS of "
        "<b>{nss}</b>, for other images {shuffled} ({p}); a center Gaussian {center}, people {people}. "
        "Maps: {maps}.",
        network=found.manifest.get("network", "the network"),
        more="more" if answer.p < 0.05 and answer.difference > 0 else "no more",
        title=found.titles[answer.source],
        nss=two(nss[answer.source]),
        shuffled=two(nss["shuffled"]),
        p=chance(answer.p),
        center=two(nss["centre"]),
        people=two(nss["people"]),
        maps=said_of_maps(found, run),
    )


def two(value: float, digits: int = 2) -> str:
    """With two decimals and a typographic minus; a dash for what is not defined."""
    return "–" if value != value else f"{value:.{digits}f}".replace("-", "−")
