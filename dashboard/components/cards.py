"""Heat cards: a picture with its map on it, blended in the browser, and what the network said."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dashboard.components.clickable import action, esc
from explain import render
from explain.formatting import decimal
from explain.run.reader import RunData


@dataclass(frozen=True, eq=False)
class Shown:
    """A map on a card: raw (h, w), for which class, and how it is captioned."""

    raw: np.ndarray
    caption: str
    alt: str


def tile(
    picture: str,
    shown: Shown | None,
    top: float | None = None,
    enlarge: int = 1,
    ratio: float = 1.0,
    above: str = "",
) -> str:
    """Two stacked images; the map is a grey PNG of the layer's own resolution that the page's filters color.
    `ratio`: width by height; `above`: markup on top of both."""
    overlay = reason = ""
    if shown is not None:
        if reason := render.problem(shown.raw):
            overlay = f'<span class="vt-none">{esc(reason)}</span>'
        if np.isfinite(shown.raw).any():
            overlay += (
                '<img class="vt-map" '
                f'src="{render.map_png(render.normalize(shown.raw, top), enlarge)}" '
                f'alt="{esc(shown.alt)}">'
            )
    caption = f"<figcaption>{shown.caption}</figcaption>" if shown else ""
    photo = f'<img class="vt-photo" src="{picture}" alt="" loading="lazy">'
    shape = f' style="aspect-ratio:{ratio:.4f}"' if ratio != 1 else ""
    return (
        '<figure class="vt-tile"><div '
        f'class="vt-stack"{shape}>{photo}{overlay}{above}</div>{caption}</figure>'
    )


def probability_bar(name: str, value: float, kind: str) -> str:
    width = 0 if np.isnan(value) else 100 * value
    return (
        f'<div class="vt-prob vt-{kind}"><span style="width:{width:.1f}%"></span><em>{esc(name)} '
        f"{decimal(value)}</em></div>"
    )


def cards(
    run: RunData, rows: Sequence[int], method: str, target: str, shared: bool, bars: bool = False
) -> list[str]:
    """One card for each row of the run's table. `target`: pred, label or both; right images have one map, it
    is the same."""
    if not len(rows):
        return []
    table = run.table.loc[list(rows)]
    pictures = run.thumbnails(rows)
    maps = {t: run.maps(method, t, rows) for t in ("pred", "label")}
    top = (
        float(np.nanmax([np.nanmax(np.nan_to_num(m), initial=0) for m in maps.values()])) if shared else None
    )
    made = []
    for k, (row, item) in enumerate(table.iterrows()):
        label, pred, wrong = (
            run.classes[int(item["label"])],
            run.classes[int(item["pred"])],
            item["label"] != item["pred"],
        )
        p_label, p_pred = float(np.exp(-item["loss"])), float(item["confidence"])
        text = f"{run.title(method)}, layer {run.manifest.request.layer}"
        shown = [Shown(maps["pred"][k], f"why {esc(pred)}", f"{text}, for {pred}, probability {p_pred:.2f}")]
        if wrong:
            of_label = Shown(
                maps["label"][k], f"why not {esc(label)}", f"{text}, for {label}, probability {p_label:.2f}"
            )
            shown = {"pred": shown, "label": [of_label], "both": [*shown, of_label]}[target]
        picture = render.jpeg_url(pictures[k])
        tiles = "".join(tile(picture, s, top) for s in shown)
        caption = (
            f'{esc(label)} → <b class="vt-bad">{esc(pred)}</b>'
            if wrong
            else f'<b class="vt-ok">{esc(pred)}</b>'
        )
        probabilities = probability_bar(pred, p_pred, "miss" if wrong else "hit") + (
            probability_bar(label, p_label, "hit") if wrong else ""
        )
        end = probabilities if bars else ""
        number = "" if bars else f" {decimal(p_pred)}"
        made.append(
            f'<div class="vt-card vt-{"wrong" if wrong else "right"} vt-of-{len(shown)}" tabindex="0" '
            'role="button" '
            f'aria-label="{esc(item["id"])}: {esc(label)} called {esc(pred)}, open in Inspect" '
            f'title="{esc(item["id"])}" '
            f'{action("open", row)}><div class="vt-two">{tiles}</div><div '
            f'class="vt-caption">{caption}{number}</div>{end}</div>'
        )
    return made
