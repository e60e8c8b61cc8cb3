"""Cards: an image with its heat map, blended in the browser, and the prediction."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd
from cachetools import LRUCache
from markupsafe import Markup

from dashboard.components.markup import NOTHING, action, html, join
from explain import render
from explain.analysis.votes import people_said
from explain.formatting import decimal, evidence
from explain.run.format import TARGETS, map_column
from explain.run.reader import RunData

AT_ONCE = 16  # images whose parts are read together
KEPT = 16 * 2**20  # characters of cards of a run that are kept: about a thousand cards
Key = tuple[int, str, str, bool]
"""Row, method, target, and whether it has bars."""


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
    return strips(run, [rows], method, target, shared, bars)[0]


def strips(
    run: RunData,
    groups: Sequence[Sequence[int]],
    method: str,
    target: str,
    shared: bool,
    bars: bool = False,
) -> list[list[Markup]]:
    """As `cards`, of several groups of rows, which are read together. `shared`: one scale in each group."""
    if shared:
        return _drawn(run, groups, method, target, shared, bars)
    keys = [[(int(row), method, target, bars) for row in group] for group in groups]
    return _CARDS.setdefault(run, _Cards()).of(run, keys)


@dataclass(eq=False)
class _Cards:
    """The cards of a run that were drawn last. Each has a scale of its own: it is the same in all views."""

    kept: LRUCache[Key, Markup] = field(default_factory=lambda: LRUCache(KEPT, getsizeof=len))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, run: RunData, groups: Sequence[Sequence[Key]]) -> list[list[Markup]]:
        """`groups` have method, target and bars in common."""
        with self.lock:
            known = {key: self.kept[key] for group in groups for key in group if key in self.kept}
        left = [key for key in dict.fromkeys(key for group in groups for key in group) if key not in known]
        if left:
            _, method, target, bars = left[0]
            [drawn] = _drawn(run, [[key[0] for key in left]], method, target, False, bars)
            known |= (made := dict(zip(left, drawn, strict=True)))
            with self.lock:
                self.kept.update({key: card for key, card in made.items() if len(card) <= KEPT})
        return [[known[key] for key in group] for group in groups]


_CARDS: WeakKeyDictionary[RunData, _Cards] = WeakKeyDictionary()


def _drawn(
    run: RunData,
    groups: Sequence[Sequence[int]],
    method: str,
    target: str,
    shared: bool,
    bars: bool,
) -> list[list[Markup]]:
    rows = [row for group in groups for row in group]
    if not rows:
        return [[] for _ in groups]
    table = run.table.loc[rows]
    pictures, maps = _pictures_and_maps(run, table, method)
    items = [item for _, item in table.iterrows()]
    made, begin = list[list[Markup]](), 0
    for group in groups:
        chosen = range(begin, begin := begin + len(group))
        top = _largest(m[chosen] for m in maps.values()) if shared and chosen else None
        shown = [_maps_shown(run, items[k], maps, k, method, target) for k in chosen]
        made.append(
            [_card(run, items[k], pictures[k], s, top, bars) for k, s in zip(chosen, shown, strict=True)]
        )
    return made


def _pictures_and_maps(
    run: RunData, table: pd.DataFrame, method: str
) -> tuple[dict[int, bytes], dict[str, np.ndarray]]:
    """Thumbnails, by the place of the row in `table`, and the maps (n, h, w) of each target. Of an image
    that is right, both are the same: one is read. A few parts at a time, so that what is read ahead is still
    in the cache when it is used."""
    pictures, maps = dict[int, bytes](), dict[str, np.ndarray]()
    columns = {t: [f"{map_column(method, t)}{end}" for end in ("", ".scale")] for t in TARGETS}
    ahead = not run.manifest.request.maps_apart and method in run.manifest.request.methods
    wrong = (table["label"] != table["pred"]).to_numpy(bool)
    order = np.argsort(table["part"].to_numpy(), kind="stable")
    for places in np.split(order, range(AT_ONCE, len(order), AT_ONCE)):
        differ = wrong[places]
        some, of_label = table.index[places].tolist(), table.index[places[differ]].tolist()
        if ahead:
            run.read_ahead(some, ["thumbnail", *columns["pred"]])
            run.read_ahead(of_label, columns["label"])
        pictures |= dict(zip(places.tolist(), run.thumbnails(some), strict=True))
        pred = run.maps(method, "pred", some)
        found = {"pred": pred, "label": pred.copy()}
        if of_label:
            found["label"][differ] = run.maps(method, "label", of_label)
        for target, raw in found.items():
            maps.setdefault(target, np.empty((len(table), *raw.shape[1:]), np.float32))[places] = raw
    return pictures, maps


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
