"""The report of all labels of a run of several labels per image, as one HTML file like
`explain.export.report`. No torch."""

from typing import Any

import numpy as np

from explain import render
from explain.analysis.binary.text import figure, interval_text
from explain.analysis.multi_label.counts import LabelCounts
from explain.analysis.multi_label.measures import LabelScores
from explain.analysis.multi_label.proposals import OF_ALL, label_set_findings
from explain.analysis.multi_label.scores import label_scores
from explain.analysis.multi_label.text import areas, averages, class_rows, with_interval
from explain.analysis.on_maps import maps_note
from explain.export.anonymize import without_eyes
from explain.export.report import charts_of, check_options, how_it_was_made, picture_with_map
from explain.export.templating import page
from explain.export.trust import trust_values
from explain.formatting import counted, decimal
from explain.run.format import CALLED
from explain.run.outputs.label_sets import NOT_KEPT, LabelSets

MATRIX, LISTED, ROWS, WORST = 24, 30, 200, 12
"""Maximum number of: labels of a matrix, pairs of the list beyond that, rows of the table of labels, labels
with images."""
KPIS = ("mAP", "micro F1", "macro F1", "subset accuracy", "Hamming loss")
INSTEAD = (
    "rows: the label that is missed; columns: the label that is called and not true; an image counts in "
    "every such pair"
)
TOGETHER = (
    "images that have both labels; in brackets how many would if they had nothing to do with each other"
)
PROPOSALS = "of all labels, those about the most errors first; of the network's own predictions, from 0.5"
Values = dict[str, Any]


def label_report(
    sets: LabelSets,
    thresholds: np.ndarray | None = None,
    method: str | None = None,
    per_outcome: int = 2,
    blur_eyes: bool = False,
) -> str:
    """The whole page. `thresholds` (K,): of each label (default: 0.5); `method`: one of the run's (default:
    the first); `per_outcome`: maximum missed, false alarm and found images of each label with images;
    `blur_eyes` covers the eyes of aligned faces. Raises UserError as `explain.export.report.report`."""
    run, request = sets.whole, sets.manifest.request
    method = method or request.methods[0]
    check_options(run, method, per_outcome, blur_eyes)
    scores = label_scores(sets)
    counts = scores.at(np.full(len(sets.classes), CALLED) if thresholds is None else thresholds)
    found = label_set_findings(sets)
    worst = [k for k in _order(counts) if counts.fp[k] + counts.fn[k]][:WORST]
    return page(
        "label_report.html",
        title=f"{run.manifest.network} on {request.data}",
        model=run.manifest.network,
        data=request.data,
        subtitle=_subtitle(sets, counts, run.title(method)),
        unfinished=run.unfinished,
        proposals=found.proposals,
        inconclusive=found.inconclusive,
        checks=", ".join(OF_ALL),
        maps_note=maps_note(found, OF_ALL, found.proposals),
        proposals_note=PROPOSALS,
        **_measures(scores, counts),
        **_labels(scores, counts),
        **_pairs(sets, scores, counts),
        samples=[_sample(sets, counts, k, method, per_outcome, blur_eyes) for k in worst],
        samples_note=_samples_note(sets, counts, method, per_outcome, len(worst)),
        charts=list(charts_of(run)),
        **trust_values(run),
        made=how_it_was_made(run, method),
    )


def _order(counts: LabelCounts) -> list[int]:
    """Labels, the most errors first."""
    return [int(k) for k in np.argsort(-(counts.fp + counts.fn), kind="stable")]


def _subtitle(sets: LabelSets, counts: LabelCounts, title: str) -> str:
    m, chosen = sets.manifest, np.unique(counts.thresholds)
    state = m.finished[:16].replace("T", " ") + " UTC" if m.finished else "the run has not ended"
    called = f"called from {chosen[0]:g}" if len(chosen) == 1 else "each label has a threshold of its own"
    sizes = f"{counted(counts.images, 'image')}, {counted(len(sets.classes), 'label')}"
    return f"{sizes} · {title} at {m.request.where} · {state} · {called}"


def _measures(scores: LabelScores, counts: LabelCounts) -> Values:
    found = [*areas(scores), *averages(counts)]
    by_name = {m.name: m for m in found}
    kpis = [
        {"name": name, "value": figure(by_name[name].value), "note": interval_text(by_name[name])}
        | {"meaning": by_name[name].meaning}
        for name in KPIS
    ]
    rows = [
        {
            "name": m.name,
            "value": figure(m.value),
            "interval": interval_text(m) if m.interval[0] == m.interval[0] else "",
            "note": m.note,
            "meaning": m.meaning,
        }
        for m in found
    ]
    left = f"{counted(scores.left_out, 'image')} without an answer left out" if scores.left_out else ""
    return {"figures": kpis, "measures": rows, "measures_note": left}


def _labels(scores: LabelScores, counts: LabelCounts) -> Values:
    rows, order = class_rows(scores, counts), _order(counts)
    found = [
        {
            "name": rows[k].name,
            "images": f"{rows[k].images:,}",
            "ap": with_interval(rows[k].average_precision),
            "chance": rows[k].average_precision.note.removesuffix(" by chance"),
            "precision": with_interval(rows[k].precision),
            "recall": with_interval(rows[k].recall),
            "f1": with_interval(rows[k].f1),
            "threshold": f"{rows[k].threshold:g}",
            "missed": f"{counts.fn[k]:,}",
            "alarms": f"{counts.fp[k]:,}",
        }
        for k in order[:ROWS]
    ]
    more = f"the {ROWS} with the most errors of {len(order):,}; " if len(order) > ROWS else ""
    note = f"{more}the most errors first; AP: average precision; 95 % intervals in brackets"
    return {"labels": found, "labels_note": note}


def _pairs(sets: LabelSets, scores: LabelScores, counts: LabelCounts) -> Values:
    """The two matrices, or the largest pairs of each where there are many labels."""
    return {
        "pairs": [
            {"title": "Called instead", "note": INSTEAD, "kind": "miss", "sign": "→"}
            | _matrix(sets.classes, counts.called_instead, None),
            {"title": "Together", "note": TOGETHER, "kind": "hit", "sign": "+"}
            | _matrix(sets.classes, np.triu(scores.together), scores.chance_of_together),
        ]
    }


def _matrix(names: tuple[str, ...], values: np.ndarray, expected: np.ndarray | None) -> Values:
    pairs = values.copy()
    np.fill_diagonal(pairs, 0)
    if len(names) > MATRIX or not pairs.any():
        order = np.argsort(-pairs, axis=None, kind="stable")[:LISTED]
        found = [(int(k) // len(names), int(k) % len(names)) for k in order if pairs.flat[k]]
        text = [[names[a], names[b], _count(pairs, expected, a, b)] for a, b in found]
        return {"matrix": None, "largest": text}
    whole = pairs if expected is None else pairs + pairs.T
    top = int(whole.max())
    rows = [
        {
            "name": names[a],
            "cells": [
                {
                    "count": "" if a == b else _count(whole, expected, a, b),
                    "strength": f"{0.85 * (whole[a, b] / top) ** 0.6:.3f}",
                }
                for b in range(len(names))
            ],
        }
        for a in range(len(names))
    ]
    return {"matrix": {"columns": names, "rows": rows}, "largest": []}


def _count(pairs: np.ndarray, expected: np.ndarray | None, a: int, b: int) -> str:
    return f"{pairs[a, b]:,}" + ("" if expected is None else f" ({expected[a, b]:.1f})")


def _samples_note(sets: LabelSets, counts: LabelCounts, method: str, per_outcome: int, shown: int) -> str:
    wrong = int(np.count_nonzero(counts.fp + counts.fn))
    which = f"{counted(shown, 'label')} with the most errors of {wrong}; " if shown < wrong else ""
    return (
        f"{which}at most {per_outcome} missed, false alarm and found images of each, the most confident "
        f"first; found ones among those whose map the run keeps; {sets.whole.title(method)} of the label, "
        "each map on its own scale"
    )


def _sample(sets: LabelSets, counts: LabelCounts, k: int, method: str, most: int, blur_eyes: bool) -> Values:
    threshold, fn, fp = float(counts.thresholds[k]), int(counts.fn[k]), int(counts.fp[k])
    rows = outcome_rows(sets, k, threshold, most)
    heads = (
        ("missed", "bad", f"{fn:,} of {fn + int(counts.tp[k]):,}"),
        ("false alarms", "bad", f"{fp:,}"),
        ("found", "ok", f"{int(counts.tp[k]):,}"),
    )
    groups = [
        {"name": name, "kind": kind, "count": count, "cards": _cards(sets, k, of, method, blur_eyes)}
        for (name, kind, count), of in zip(heads, rows, strict=True)
    ]
    return {"name": sets.classes[k], "threshold": f"{threshold:g}", "groups": groups}


def outcome_rows(sets: LabelSets, k: int, threshold: float, most: int) -> tuple[np.ndarray, ...]:
    """Rows of at most `most` missed, false alarm and found images of label k, the most confident first; found
    ones with a map before those without."""
    good = sets.table["error"].isna().to_numpy()
    prob = sets.prob[:, k].astype(float)
    called, true = prob >= threshold, sets.truth[:, k]
    missed, alarm, found = (np.flatnonzero(good & c) for c in (true & ~called, ~true & called, true & called))
    kept = np.array([sets.has_map(k, int(row)) for row in found], bool)
    return (
        missed[np.argsort(prob[missed], kind="stable")][:most],
        alarm[np.argsort(-prob[alarm], kind="stable")][:most],
        found[np.lexsort((-prob[found], ~kept))][:most],
    )


def _cards(sets: LabelSets, k: int, rows: np.ndarray, method: str, blur_eyes: bool) -> list[Values]:
    run, name, made = sets.whole, sets.classes[k], []
    maps = sets.maps(method, k, rows.tolist())
    for row, raw in zip(rows.tolist(), maps, strict=True):
        picture = run.thumbnail_image(row)
        picture = without_eyes(picture, run) if blur_eyes else picture
        reason = render.problem(raw) if sets.has_map(k, row) else NOT_KEPT
        caption = f"evidence for {name}{reason and ': '}{reason}"
        made.append(
            {
                "tile": picture_with_map(picture, render.normalize(raw), f"map for {name}", caption),
                "probability": decimal(float(sets.prob[row, k])),
                "labels": run.table.at[row, "labels"] or "no label",
                "id": run.table.at[row, "id"],
            }
        )
    return made
