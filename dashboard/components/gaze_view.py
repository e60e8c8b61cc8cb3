"""The parts of the Gaze tab: one picture with where people looked, or would, and where the network did; those
of largest disagreement; the table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dashboard.components.cards import Shown, tile
from dashboard.components.clickable import action, choices, esc
from dashboard.components.panel import empty, panel, table
from dashboard.components.toolbar import blend_controls, pages_control
from dashboard.links import linked
from dashboard.tabs.gaze_state import GazeView
from explain import render
from explain.formatting import chance
from explain.gaze.folder import PEOPLE, GazeRun
from explain.gaze.metrics import METRICS

A_PAGE = 12
LARGE = 720  # longer side of the picture that is looked at
ENLARGED = 160  # least longer side of a map: browsers show steps otherwise
MEANS = {
    "auc": "fixations against pixels; 0.5 is chance",
    "auc_borji": "fixations against random pixels",
    "sauc": "fixations against those of other images: the center does not help",
    "nss": "mean of the standardized map at fixations; 0 is chance",
    "cc": "correlation with the density of fixations",
    "sim": "intersection with it",
    "kl": "divergence from it; less is better",
    "ig": "bits a fixation above where people look in other images",
}
KINDS = {"model": "", "network": "", "baseline": "baseline", "people": "people", "control": "control"}


@dataclass(frozen=True, eq=False)
class GazeMap:
    """A map of one picture: raw (h, w), its name, and the numbers below it."""

    raw: np.ndarray
    title: str
    below: str = ""


def large(
    picture: bytes,
    size: tuple[int, int],
    looked: Sequence[GazeMap],
    title: str,
    note: str,
    dots: str = "",
    end: str = "",
) -> str:
    """The picture alone and under each map. `size` (height, width); `dots`: fixations, drawn on the picture
    and on the first map."""
    url, ratio = render.jpeg_url(picture), size[1] / size[0]
    tiles = [tile(url, None, ratio=ratio, above=dots)]
    for k, one in enumerate(looked):
        shown = Shown(one.raw, f"<b>{esc(one.title)}</b><br>{one.below}", one.title)
        tiles.append(
            tile(
                url,
                shown,
                enlarge=max(1, ENLARGED // max(one.raw.shape)),
                ratio=ratio,
                above=dots if k == 0 else "",
            )
        )
    return panel(
        title,
        f'<div class="vt-toolbar">{blend_controls()}</div><div class="vt-gaze">{"".join(tiles)}</div>',
        note,
        end,
    )


def from_folder(found: GazeRun, row: int, first: str = "") -> str:
    """An image of a gaze folder, with its fixations and every map that is kept, that of the source `first`
    before the others."""
    item = found.images.loc[row]
    size = int(item["height"]), int(item["width"])
    looked = [
        GazeMap(
            found.map(row, PEOPLE),
            "where people looked",
            f"{len(item['x']):,} fixations of {_people(item['subject'])}",
        )
    ]
    order = sorted(found.kept, key=lambda name: name != first)
    looked += [
        GazeMap(found.map(row, name), found.titles[name], scored(found.score(row, name))) for name in order
    ]
    note = f"each map on its own scale; fixations blurred by {found.manifest['sigma']:g} pixels"
    link = linked(GazeView(row=row).query(found))
    return large(
        item["thumbnail"], size, looked, esc(item["id"]), note, fixations(item["x"], item["y"], size), link
    )


def _people(subject: Sequence[int]) -> str:
    count = len({int(s) for s in subject if s >= 0})
    return f"{count} people" if count > 1 else "one person" if count else "people"


def scored(found: Mapping[str, Any], names: Sequence[str] = ("auc", "nss", "cc")) -> str:
    """Some metrics in a line, or why there are none."""
    if not found or not np.isfinite([float(found[name]) for name in names]).any():
        return esc(found.get("why", "")) or "not scored"
    return " · ".join(f"{METRICS[name].title} {_two(float(found[name]))}" for name in names)


def fixations(x: Sequence[float], y: Sequence[float], size: tuple[int, int]) -> str:
    """A dot for each fixation, in the picture's own coordinates."""
    radius = max(size) / 130
    dots = "".join(f'<circle cx="{a:.0f}" cy="{b:.0f}" r="{radius:.1f}"/>' for a, b in zip(x, y, strict=True))
    return (
        f'<svg class="vt-dots" viewBox="0 0 {size[1]} {size[0]}" preserveAspectRatio="none" role="img" '
        f'aria-label="fixations">{dots}</svg>'
    )


def disagreement(found: GazeRun, view: GazeView) -> str:
    """Cards, those first where the chosen map predicts people worst."""
    rows = found.worst(view.source, view.metric)
    pages = max(1, -(-len(rows) // A_PAGE))
    page = min(view.page, pages - 1)
    part = rows[page * A_PAGE : (page + 1) * A_PAGE]
    controls = (
        choices("source", "map", {name: found.titles[name] for name in found.kept}, view.source)
        + choices("metric", "by", {m.name: m.title for m in METRICS.values()}, view.metric)
        + pages_control(page, pages)
    )
    cards = "".join(_card(found, view, int(row)) for row in part)
    body = f'<div class="vt-pairs">{cards}</div>' if len(part) else empty("No image has this score.")
    note = (
        f"{len(rows):,} images, the worst {METRICS[view.metric].title} first; left where people looked, "
        "right the map"
    )
    return panel("Largest disagreement", f'<div class="vt-toolbar">{controls}</div>{body}', note)


def _card(found: GazeRun, view: GazeView, row: int) -> str:
    item = found.images.loc[row]
    url, ratio, name = render.jpeg_url(item["thumbnail"]), item["width"] / item["height"], esc(item["id"])
    tiles = ""
    for source, title in ((PEOPLE, "people"), (view.source, found.titles[view.source])):
        raw = found.map(row, source)
        tiles += tile(
            url, Shown(raw, esc(title), title), enlarge=max(1, ENLARGED // 2 // max(raw.shape)), ratio=ratio
        )
    mine, theirs = found.score(row, view.source), found.score(row, "people")
    numbers = f"{METRICS[view.metric].title} <b>{_two(float(mine[view.metric]))}</b>"
    numbers += f" <small>people {_two(float(theirs[view.metric]))}</small>" if theirs else ""
    on = " vt-on" if row == view.row else ""
    return (
        f'<div class="vt-card vt-of-2{on}" tabindex="0" role="button" aria-label="{name}, show large" '
        f'title="{name}" {action("row", row)}>'
        f'<div class="vt-two">{tiles}</div><div class="vt-caption">{numbers}</div></div>'
    )


def standing(means: pd.DataFrame, title: str, note: str, text: str = "") -> str:
    """The table of models, networks, baselines and people: one row each, in the order of NSS. `text`: a
    sentence above it."""
    heads = [("source", "")] + [(m.title, MEANS[m.name]) for m in METRICS.values()]
    rows = "".join(
        f'<tr class="vt-kind-{esc(row["kind"])}"><td class="vt-name">{esc(row["title"])}</td>'
        f"{''.join(f'<td>{_two(float(row[name]), 3)}</td>' for name in METRICS)}</tr>"
        for _, row in means.sort_values("nss", ascending=False).iterrows()
    )
    return panel(
        title,
        (f'<p class="vt-said">{text}</p>' if text else "") + table(heads, rows, "vt-standing vt-wide-first"),
        note,
    )


def verdict(found: GazeRun) -> str:
    """Whether the network looks where people look, in a sentence with its numbers; nothing where no network
    was asked."""
    answer = found.network_against_chance()
    if answer is None:
        return ""
    nss = found.summary.set_index("source")["nss"]
    network = esc(found.manifest.get("network", "the network"))
    more = answer.p < 0.05 and answer.difference > 0
    sessions = f"looks where people look {'more' if more else 'no more'} than its maps of other pictures do"
    return (
        f"{network} {sessions}: {esc(found.titles[answer.source])} has an NSS of "
        f"<b>{_two(nss[answer.source])}</b>, under other pictures {_two(nss['shuffled'])} "
        f"({chance(answer.p)}); a Gaussian in the middle "
        f"{_two(nss['centre'])}, people {_two(nss['people'])}."
    )


def _two(value: float, digits: int = 2) -> str:
    return "–" if value != value else f"{value:.{digits}f}".replace("-", "−")
