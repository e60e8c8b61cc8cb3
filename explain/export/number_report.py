"""The report of a run of numbers as one HTML file: images inside, no request to any host, light, dark and
print styles. No torch."""

from typing import Any

import numpy as np

from explain import render
from explain.analysis.numbers.chart import SIDE, errors_of, scatter_of
from explain.analysis.numbers.groups import FEW, GROUPS, number_group
from explain.analysis.numbers.proposals import CHECKS, number_findings
from explain.analysis.numbers.run_numbers import (
    CONTROL,
    SHUFFLED,
    bins_of,
    cautions,
    compared_measures,
    figures,
    left_out,
    plane_of,
)
from explain.analysis.numbers.text import number, signed_number
from explain.export.anonymize import eye_band, without_eyes
from explain.export.number_gallery import answer
from explain.export.report import PER_CLASS, charts_of, how_it_was_made
from explain.export.templating import page
from explain.export.trust import trust_values
from explain.formatting import counted, plural
from explain.run.outputs.number_run import NOT_KEPT, NumbersRun
from models.errors import UserError

Values = dict[str, Any]
PROPOSALS = "significant findings of this output, the most images first"
OUTPUTS = 12
"""Outputs that are shown, at most."""


def number_report(
    run: NumbersRun, method: str | None = None, per_group: int = 4, blur_eyes: bool = False
) -> str:
    """The whole page, of every output, or of the one that was asked for (`NumbersRun.output`). `method`: one
    of the run's (default: the first); `per_group`: over-estimates, under-estimates and best images of each
    output; `blur_eyes` covers the eyes of aligned faces.

    Raises UserError for a method that the run lacks, and for `blur_eyes` where the images are not aligned
    faces.
    """
    request = run.manifest.request
    method = method or request.methods[0]
    _check(run, method, per_group, blur_eyes)
    outputs = [run.index] if run.one_output else range(len(run.outputs))
    shown = list(outputs)[:OUTPUTS]
    more = len(outputs) - len(shown)
    return page(
        "number_report.html",
        title=f"{run.manifest.network} on {request.data}",
        model=run.manifest.network,
        data=request.data,
        subtitle=_subtitle(run, method),
        figures=figures(run, shown[0]) if len(shown) == 1 else [],
        control=CONTROL,
        shuffled=SHUFFLED,
        side=SIDE,
        outputs=[_output(run, k, method, per_group, blur_eyes) for k in shown],
        more=f"{more} more outputs are not shown." if more else "",
        proposals_note=PROPOSALS,
        checks=", ".join(CHECKS),
        charts=list(charts_of(run)),
        **trust_values(run),
        made=how_it_was_made(run, method),
    )


def _check(run: NumbersRun, method: str, per_group: int, blur_eyes: bool) -> None:
    """Raises UserError for options that do not fit the run."""
    methods = run.manifest.request.methods
    if method not in methods:
        raise UserError(f"The run has no method '{method}': it has {', '.join(methods)}.")
    if not 0 < per_group <= PER_CLASS:
        raise UserError(
            f"{counted(per_group, 'image')} per group {plural(per_group, 'does', 'do')} not fit into a "
            f"report: ask for 1 to {PER_CLASS}, or export them."
        )
    if blur_eyes:
        eye_band(run)


def _subtitle(run: NumbersRun, method: str) -> str:
    m = run.manifest
    state = m.finished[:16].replace("T", " ") + " UTC" if m.finished else "the run has not ended"
    outputs = f"{len(run.outputs):,} output{'s' * (len(run.outputs) != 1)}"
    return f"{counted(len(run.ok), 'image')}, {outputs} · {run.title(method)} at {m.request.where} · {state}"


def _output(run: NumbersRun, k: int, method: str, per_group: int, blur_eyes: bool) -> Values:
    plane = plane_of(run, k)
    groups = []
    for key, title in GROUPS.items():
        found = number_group(plane, key)
        rows = found.rows[:per_group].tolist() if found else []
        cards = _cards(run, rows, k, method, blur_eyes)
        count = f"{len(found.rows):,}" if found and key != "nearest" else ""
        groups.append({"title": title, "count": count, "bad": key != "nearest", "cards": cards})
    known, findings = cautions(run, k), number_findings(run, k)
    return {
        "name": run.outputs[k],
        "measures": compared_measures(run, k),
        "left_out": left_out(run, k),
        "cautions": known,
        "checked": findings.inconclusive not in known,  # else it says why nothing is concluded
        "inconclusive": findings.inconclusive,
        "proposals": findings.proposals,
        "maps_note": findings.maps_note,
        "scatter": _scatter(run, k) if len(plane.rows) else None,
        "bins": _bins(run, k),
        "groups": groups,
    }


def _scatter(run: NumbersRun, k: int) -> Values:
    plane = plane_of(run, k)
    drawn = scatter_of(plane)
    worst = drawn.worst.count("M")
    notes = [f"{counted(len(plane.rows), 'image')}"]
    if drawn.largest:
        notes.append(f"up to {drawn.largest:,} per cell")
    if worst:
        notes.append(f"in the second color the {worst} largest errors")
    if plane.outside:
        notes.append(f"{plane.outside:,} outside of the axes are drawn at their border")
    return {"drawn": drawn, "note": "; ".join(notes)}


def _bins(run: NumbersRun, k: int) -> list[Values]:
    """The rows of a table, each with its bar."""
    found = []
    for bar in errors_of(bins_of(run, k)).bars:
        b = bar.bin
        low, high = b.interval
        found.append(
            {
                "text": b.text,
                "count": f"{b.count:,}",
                "mean": signed_number(b.mean),
                "interval": f"{number(low)} to {number(high)}" if low == low else "",
                "spread": number(b.spread),
                "note": f"fewer than {FEW}" if b.few and b.count else "",
            }
        )
    return found


def _cards(run: NumbersRun, rows: list[int], k: int, method: str, blur_eyes: bool) -> list[Values]:
    if not rows:
        return []
    maps = run.maps_of(method, k, rows)
    return [_card(run, row, k, raw, blur_eyes) for row, raw in zip(rows, maps, strict=True)]


def _card(run: NumbersRun, row: int, k: int, raw: np.ndarray, blur_eyes: bool) -> Values:
    """The image alone, and with its map in it: it looks the same in every program and on paper."""
    picture = run.thumbnail_image(row)
    picture = without_eyes(picture, run) if blur_eyes else picture
    shown = (picture, render.signed_overlay(picture, render.signed(raw)))
    urls = [render.jpeg_url(render.jpeg_bytes(image, 128, 85)) for image in shown]
    caption = _caption(run, row, k, raw)
    tiles = [
        {"url": urls[0], "alt": "", "caption": "input of the network"},
        {"url": urls[1], "alt": f"map for {run.outputs[k]}", "caption": caption},
    ]
    return {"tiles": tiles, "id": run.table.at[row, "id"]} | answer(run, row, k)


def _caption(run: NumbersRun, row: int, k: int, raw: np.ndarray) -> str:
    """Which evidence there is."""
    if not run.has_map(k, row):
        return NOT_KEPT
    return render.signed_problem(raw) or "positive and negative evidence"
