"""The report of a run as one HTML file: images inside, no request to any host, light, dark and print styles.
No torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from explain import render
from explain.analysis.binary.curves import curves
from explain.analysis.binary.measures import BinaryScores, Counts
from explain.analysis.binary.text import (
    areas,
    figure,
    interval_text,
    left_out_text,
    measures,
    outcome_text,
    proposals_note,
    threshold_text,
)
from explain.analysis.confusion import largest
from explain.analysis.findings import Findings, analyze
from explain.analysis.headline import headline
from explain.analysis.on_maps import maps_note, said_of
from explain.analysis.proposals.registry import checks_of
from explain.analysis.ranking import ClassSample, by_recall, overview, summary
from explain.export.anonymize import eye_band, without_eyes
from explain.export.templating import page
from explain.export.trust import trust_values
from explain.formatting import counted, decimal, evidence, plural
from explain.run.format import TARGETS
from explain.run.images import mean_pixels
from explain.run.reader import RunData
from models.errors import UserError
from models.files.atomic import output_file
from models.training.trained import described

MATRIX, LISTED, ROWS, CLASSES = 24, 30, 200, 40
"""Maximum number of: classes of a matrix, confusions of the list beyond that, rows of the class table,
classes with images."""
PER_CLASS = 10
Values = dict[str, Any]


def report(findings: Findings, method: str | None = None, per_class: int = 2, blur_eyes: bool = False) -> str:
    """The whole page. `method`: one of the run's (default: the one with the fewest empty maps); `blur_eyes`
    covers the eyes of aligned faces.

    Raises UserError for a method that the run lacks, and for `blur_eyes` where the images are not aligned
    faces.
    """
    run, request = findings.run, findings.run.manifest.request
    method = method or findings.method
    check_options(run, method, per_class, blur_eyes)
    for _ in analyze(findings, clicks=False):
        pass
    samples = overview(run, per_class, classes=by_recall(run)[:CLASSES])
    return page(
        "report.html",
        title=f"{run.manifest.network} on {request.data}",
        model=run.manifest.network,
        data=request.data,
        subtitle=_subtitle(run, method),
        figures=headline(run, method),
        proposals=findings.proposals,
        checks=", ".join(checks_of(run)),
        maps_note=maps_note(findings, checks_of(run), findings.proposals),
        inconclusive=findings.inconclusive,
        proposals_note=proposals_note(run),
        **_binary(findings),
        **_confusion(run),
        **_classes(run),
        samples=[_class(run, s, method, blur_eyes) for s in samples],
        samples_note=_samples_note(run, method, per_class, len(samples)),
        means=list(_means(findings, method, [s.index for s in samples], blur_eyes)),
        means_note=said_of(run, method),
        charts=list(charts_of(run)),
        **trust_values(run),
        made=how_it_was_made(run, method),
    )


def check_options(run: RunData, method: str, per_class: int, blur_eyes: bool) -> None:
    """Raises UserError for options that do not fit the run."""
    methods = run.manifest.request.methods
    if method not in methods:
        raise UserError(f"The run has no method '{method}': it has {', '.join(methods)}.")
    if not 0 < per_class <= PER_CLASS:
        raise UserError(
            f"{counted(per_class, 'image')} per class {plural(per_class, 'does', 'do')} not fit into a "
            f"report: ask for 1 to {PER_CLASS}, or export them."
        )
    if blur_eyes:
        eye_band(run)


def _samples_note(run: RunData, method: str, per_class: int, classes: int) -> str:
    note = (
        f"{per_class} wrong and {per_class} correct images of each class, the most confident first; "
        f"{run.title(method)}, each map on its own scale"
    )
    if classes < len(run.present):
        return f"the worst {classes} of {counted(len(run.present), 'class')}; {note}"
    return note


def write_report(text: str, out: Path) -> None:
    """Atomically. Raises UserError where it cannot be written."""
    with output_file(out, "free space, or choose another --out") as temporary:
        temporary.write_text(text, encoding="utf-8")


def _subtitle(run: RunData, method: str) -> str:
    m = run.manifest
    state = m.finished[:16].replace("T", " ") + " UTC" if m.finished else "the run has not ended"
    decision = f" · {run.decision}" if run.decision else ""
    return (
        f"{counted(len(run.ok), 'image')}, {counted(len(run.present), 'class')} · {run.title(method)} at "
        f"{m.request.where} · {state}{decision}"
    )


def _binary(findings: Findings) -> Values:
    """The measures of two classes, and what they are of."""
    run = findings.run
    if not run.binary:
        return {"measures": [], "curves": []}
    counts, scores = findings.scores.at(run.threshold), findings.scores
    rows = [
        {
            "name": m.name,
            "value": figure(m.value),
            "interval": interval_text(m),
            "note": m.note,
            "meaning": m.meaning,
        }
        for m in (*areas(scores), *measures(counts))
    ]
    note = f"positive: {run.classes[run.positive]}; threshold {threshold_text(findings)}"
    return {
        "measures": rows,
        "measures_note": note,
        "outcomes": _outcomes(scores, counts),
        "curves": curves(findings),
    }


def _outcomes(scores: BinaryScores, counts: Counts) -> str:
    parts = [scores.undefined, f"{outcome_text(counts)}.", left_out_text(scores)]
    return " ".join(filter(None, parts))


def _confusion(run: RunData) -> Values:
    confusion, support = run.evaluation.confusion, run.evaluation.support
    columns = sorted(set(run.present) | set(np.flatnonzero(confusion.sum(0)).tolist()))
    if len(columns) > MATRIX:
        found = [
            {"label": run.classes[i], "pred": run.classes[j], "count": f"{n:,}", "support": f"{support[i]:,}"}
            for i, j, n in largest(confusion, LISTED)
        ]
        return {
            "matrix": None,
            "largest": found,
            "confusion_note": f"the largest of {counted(len(run.present), 'class')}",
        }
    rows = [
        {
            "name": run.classes[i],
            "cells": [_cell(int(confusion[i, j]), int(support[i]), i == j) for j in columns],
        }
        for i in columns
        if i in run.present
    ]
    return {
        "matrix": {"columns": [run.classes[j] for j in columns], "rows": rows},
        "largest": [],
        "confusion_note": "rows true, columns predicted",
    }


def _cell(count: int, support: int, hit: bool) -> Values:
    return {
        "count": count,
        "kind": "hit" if hit else "miss",
        "strength": f"{0.85 * (count / max(support, 1)) ** 0.6:.3f}",
    }


def _classes(run: RunData) -> Values:
    table = summary(run)
    rows = [
        {"name": r["class"], "images": f"{r['images']:,}"}
        | {k: decimal(r[k]) for k in ("precision", "recall", "f1")}
        for _, r in table.head(ROWS).iterrows()
    ]
    return {
        "classes": rows,
        "classes_note": f"the worst {ROWS} of {len(table):,}"
        if len(table) > ROWS
        else "the worst recall first",
    }


def _class(run: RunData, s: ClassSample, method: str, blur_eyes: bool) -> Values:
    e = run.evaluation
    return {
        "name": run.classes[s.index],
        "recall": decimal(e.recall[s.index]),
        "images": f"{e.support[s.index]:,}",
        "wrong_count": f"{e.support[s.index] - e.confusion[s.index, s.index]:,}",
        "wrong": _cards(run, s.wrong, method, blur_eyes),
        "right": _cards(run, s.right, method, blur_eyes),
    }


def _cards(run: RunData, rows: np.ndarray, method: str, blur_eyes: bool) -> list[Values]:
    if not len(rows):
        return []
    maps = {target: run.maps(method, target, rows.tolist()) for target in TARGETS}
    return [
        _card(run, row, {target: raw[k] for target, raw in maps.items()}, blur_eyes)
        for k, row in enumerate(rows.tolist())
    ]


def _card(run: RunData, row: int, maps: dict[str, np.ndarray], blur_eyes: bool) -> Values:
    item, picture = run.table.loc[row], run.thumbnail_image(row)
    picture = without_eyes(picture, run) if blur_eyes else picture
    names, wrong = {t: run.classes[int(item[t])] for t in TARGETS}, bool(item["label"] != item["pred"])
    return {
        "tiles": [
            _tile(picture, maps[t], names[t], t, run.no_map(row, t))
            for t in (TARGETS if wrong else TARGETS[:1])
        ],
        "wrong": wrong,
        **names,
        "confidence": decimal(float(item["confidence"])),
        "id": item["id"],
    }


def _tile(picture: Image.Image, raw: np.ndarray, name: str, target: str, missing: str) -> Values:
    reason = missing or render.problem(raw)
    caption = f"{evidence(name, target)}{reason and ': '}{reason}"
    return picture_with_map(picture, render.normalize(raw), f"map for {name}", caption)


def picture_with_map(picture: Image.Image, scaled: np.ndarray, alt: str, caption: str) -> Values:
    """The map in the picture: it looks the same in every program and on paper."""
    return {
        "url": render.jpeg_url(render.jpeg_bytes(render.overlay(picture, scaled), 128, 85)),
        "alt": alt,
        "caption": caption,
    }


def _means(findings: Findings, method: str, classes: list[int], blur_eyes: bool) -> Iterator[Values]:
    run, means = findings.run, findings.means(method, "label")
    for label in classes:
        tiles = []
        for correct, when in ((0, "wrong"), (1, "correct")):
            if n := int(means.count[label, correct]):
                rows = run.ok.index[
                    (run.ok["label"] == label) & (run.ok["correct"] == bool(correct))
                ].to_numpy()
                picture = without_eyes(mean_pixels(run, rows), run) if blur_eyes else mean_pixels(run, rows)
                scaled = render.normalize(means.maps[label, correct], means.top)
                tiles.append(
                    picture_with_map(picture, scaled, f"mean map of {when} predictions", f"{when}, {n:,}")
                )
        if tiles:
            yield {"name": run.classes[label], "tiles": tiles}


def charts_of(run: RunData) -> Iterator[Values]:
    """Loss and accuracy of the training, where the network's checkpoint is here with its curves."""
    file = Path(run.manifest.weights or "-")
    if not (file.is_file() and described(file) and file.with_suffix(".csv").is_file()):
        return
    from models.training.charts import curves
    from models.training.draw import png
    from models.training.trained import open_trained

    table = open_trained(file).curves
    for chart in curves(table) if len(table) else ():
        yield {"url": render.png_url(png(chart, 90)), "alt": chart.title}


def how_it_was_made(run: RunData, method: str) -> list[tuple[str, str]]:
    """Model, data, methods, versions and the command, each with its name."""
    m, images = run.manifest, counted(len(run.table), "image")
    found = [
        ("model", m.network),
        ("weights", f"{Path(m.weights).name or 'shipped'}, SHA-256 {m.request.weights_hash}…"),
        ("data", f"{m.request.data}, {images}, fingerprint {m.request.data_fingerprint}"),
        ("methods", ", ".join(run.title(name) for name in m.request.methods)),
        ("shown here", run.title(method)),
        ("maps of", m.request.where),
        ("maps", "{} × {} positions, raw values in the run folder".format(*m.request.map_shape)),
        ("precision", m.request.precision),
        ("device", m.device),
        ("versions", ", ".join(f"{k} {v}" for k, v in m.versions.items())),
        ("finished", m.finished),
        ("command", m.command),
    ]
    return [(name, value) for name, value in found if value]
