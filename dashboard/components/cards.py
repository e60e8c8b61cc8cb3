"""Cards: an image with its heat map, blended in the browser, and the prediction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from dashboard.components.markup import NOTHING, action, html, join
from explain import render
from explain.analysis.votes import people_said
from explain.formatting import decimal, evidence
from explain.run.format import TARGETS, map_column
from explain.run.reader import RunData


@dataclass(frozen=True, eq=False)
class Shown:
    """A map on a card: raw (h, w), its caption (Markup or text), its alternative text, and why it is missing
    where that is known."""

    raw: np.ndarray
    caption: str
    alt: str
    missing: str = ""


def tile(
    picture: str,
    shown: Shown | None,
    top: float | None = None,
    enlarge: int = 1,
    ratio: float = 1.0,
    above: Markup = NOTHING,
) -> Markup:
    """Two stacked images; the map is a grey PNG of the layer's own resolution that the page's filters color.

    `picture`: its URL; `top`: the value drawn strongest, by default the map's own maximum; `ratio`: width by
    height; `above`: markup on top of both.
    """
    return html(
        '<figure class="vt-tile"><div class="vt-stack"{shape}>'
        '<img class="vt-photo" src="{picture}" alt="" loading="lazy">{overlay}{above}</div>'
        "{caption}</figure>",
        shape=html(' style="aspect-ratio:{:.4f}"', ratio) if ratio != 1 else "",
        picture=picture,
        overlay=_overlay(shown, top, enlarge) if shown else "",
        above=above,
        caption=html("<figcaption>{}</figcaption>", shown.caption) if shown else "",
    )


def _overlay(shown: Shown, top: float | None, enlarge: int) -> Markup:
    """The map, and the reason where there is nothing to draw."""
    reason, drawn = shown.missing or render.problem(shown.raw), NOTHING
    if np.isfinite(shown.raw).any():
        url = render.map_png(render.normalize(shown.raw, top), enlarge)
        drawn = html('<img class="vt-map" src="{}" alt="{}">', url, shown.alt)
    return (html('<span class="vt-none">{}</span>', reason) if reason else NOTHING) + drawn


def probability_bar(name: str, value: float, kind: str) -> Markup:
    """`kind`: 'hit' for the true class, 'miss' for a wrong one."""
    return html(
        '<div class="vt-prob vt-{kind}"><span style="width:{width:.1f}%"></span>'
        "<em>{name} {value}</em></div>",
        kind=kind,
        width=0 if np.isnan(value) else 100 * value,
        name=name,
        value=decimal(value),
    )


def cards(
    run: RunData, rows: Sequence[int], method: str, target: str, shared: bool, bars: bool = False
) -> list[Markup]:
    """One card for each row of the run's table. `target`: pred, label or both; a correct image has one map,
    the two are the same. `shared`: all maps on one scale; `bars`: with probabilities as bars."""
    if not len(rows):
        return []
    if not run.manifest.request.maps_apart and method in run.manifest.request.methods:
        of_maps = [f"{map_column(method, t)}{end}" for t in TARGETS for end in ("", ".scale")]
        run.read_ahead(rows, ["thumbnail", *of_maps])
    table, pictures = run.table.loc[list(rows)], run.thumbnails(rows)
    maps = {t: run.maps(method, t, rows) for t in ("pred", "label")}
    top = _largest(maps.values()) if shared else None
    return [
        _card(run, item, pictures[k], _maps_shown(run, item, maps, k, method, target), top, bars)
        for k, (_, item) in enumerate(table.iterrows())
    ]


def _largest(maps: Iterable[np.ndarray]) -> float:
    return float(np.nanmax([np.nanmax(np.nan_to_num(m), initial=0) for m in maps]))


def _classes_of(run: RunData, item: pd.Series) -> tuple[str, str, bool]:
    """True class, predicted class, and whether they differ."""
    return run.classes[int(item["label"])], run.classes[int(item["pred"])], item["label"] != item["pred"]


def _maps_shown(
    run: RunData, item: pd.Series, maps: dict[str, np.ndarray], k: int, method: str, target: str
) -> list[Shown]:
    label, pred, wrong = _classes_of(run, item)
    text = f"{run.title(method)}, {run.manifest.request.where}"
    of_pred = Shown(
        maps["pred"][k],
        evidence(pred, "pred"),
        f"{text}, for {pred}, probability {float(item['confidence']):.2f}",
        run.no_map(int(str(item.name)), "pred"),
    )
    if not wrong:
        return [of_pred]
    of_label = Shown(
        maps["label"][k],
        evidence(label, "label"),
        f"{text}, for {label}, probability {float(np.exp(-item['loss'])):.2f}",
        run.no_map(int(str(item.name)), "label"),
    )
    return {"pred": [of_pred], "label": [of_label], "both": [of_pred, of_label]}[target]


def _card(
    run: RunData, item: pd.Series, picture: bytes, shown: Sequence[Shown], top: float | None, bars: bool
) -> Markup:
    label, pred, wrong = _classes_of(run, item)
    url = render.jpeg_url(picture)
    name = html("<b>{}</b>", pred)
    if wrong:
        name = html("{} → <b>{}</b>", label, pred)
    said = people_said(run, int(str(item.name)))
    return html(
        '<div class="vt-card vt-{result} vt-of-{count}" tabindex="0" role="button" '
        'aria-label="{id}: true {label}, predicted {pred}; open in Inspect" title="{id}" {open}>'
        '<div class="vt-two">{tiles}</div><div class="vt-caption">{name}{number}</div>{said}{bars}</div>',
        result="misclassified" if wrong else "correct",
        count=len(shown),
        id=item["id"],
        label=label,
        pred=pred,
        open=action("open", item.name),
        tiles=join(tile(url, one, top) for one in shown),
        name=name,
        number="" if bars else f" {decimal(float(item['confidence']))}",
        said=html('<div class="vt-said">{}</div>', said) if said else "",
        bars=_bars(item, label, pred, wrong) if bars else "",
    )


def _bars(item: pd.Series, label: str, pred: str, wrong: bool) -> Markup:
    of_pred = probability_bar(pred, float(item["confidence"]), "miss" if wrong else "hit")
    return of_pred + probability_bar(label, float(np.exp(-item["loss"])), "hit") if wrong else of_pred
