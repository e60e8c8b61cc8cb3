"""The commands that read runs: analyze · compare · notes. Typer calls them; heavy packages are imported
inside, so that `--help` answers at once."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explain.cli.options import Run, option_groups
from explain.cli.output import progress_bar, say
from explain.cli.run_urls import run_path
from explain.cli.threshold import NETWORKS_OWN, Decision, Label, Threshold
from explain.formatting import counted
from explain.run.format import CALLED
from models.errors import UserError
from models.program import typed

if TYPE_CHECKING:
    import pandas as pd

    from explain.analysis.findings import Findings
    from explain.run.reader import RunData


Method = Annotated[
    str | None,
    typer.Option(
        help="Method whose maps are compared (default: one that beats its controls in both runs, "
        "otherwise the first that both have)."
    ),
]


Second = Annotated[
    Path, typer.Argument(parser=run_path, metavar="SECOND", help="Run folder, or URL, of the same images.")
]
Also = Annotated[
    list[Path] | None,
    typer.Option(
        parser=run_path,
        metavar="RUN",
        help="Run folder, or URL, of another network on the same images; may be given several times. "
        "Probable label errors, and what Review shows as suspicious, are then in the order of the mean of "
        "the probabilities (default: none).",
    ),
]


@option_groups
def analyze(*, run: Run, also: Also = None, decision: Decision) -> None:
    """Print what to try next, each with its numbers, and the worst slices; of two classes, AUC and measures
    at a threshold first; of several labels per image, measures of every label; of numbers, those of each
    output first.

    The results are kept in the run folder for the dashboard."""
    from explain.analysis.binary.text import format_binary
    from explain.analysis.format_text import format_text

    if also:
        _keep_suspicion(run, also, decision)
    if lines := label_lines(run, decision):
        say("\n".join(lines))
        return
    findings = analyzed(run, decision)
    say("\n".join([*format_binary(findings), *([""] if findings.run.binary else []), format_text(findings)]))


def _keep_suspicion(folder: Path, also: list[Path], decision: Decision) -> None:
    """Keep what several networks say of the labels. Raises UserError for runs without one class per image."""
    from explain.analysis.findings import Findings
    from explain.analysis.label_errors.suspicion import keep_suspicion
    from explain.run.reader import open_run

    opened = [open_run(one, decision.label) for one in (folder, *also)]
    for one in opened:
        one.require_one_class("--also")
    found = keep_suspicion(opened[0], opened[1:], Findings(opened[0]).stamp)
    say(f"labels     in the order of the mean with {', '.join(found.networks)}")


def label_lines(folder: Path, decision: Decision = NETWORKS_OWN, brief: bool = False) -> list[str]:
    """Of a run of several labels per image of which none is named: measures of all, then a line each. Then
    what to try for all of them; `brief`: the first proposals, a line each. Of a run of numbers: measures of
    each output, and what to try. Empty for other runs."""
    from explain.analysis.format_text import ALL_AT_HALF, format_label_sets, format_proposals
    from explain.analysis.multi_label.proposals import label_set_findings
    from explain.analysis.multi_label.scores import label_scores
    from explain.analysis.multi_label.text import class_rows, format_multi_label, with_interval
    from explain.run.reader import open_run
    from explain.text_table import columns

    run = open_run(folder, decision.label)
    if run.numbers:
        return [*number_lines(run, decision), *number_proposals(run, brief)]
    if not run.all_labels or run.label_sets is None or decision.positive:
        return []
    scores, found = label_scores(run.label_sets), label_set_findings(run.label_sets)
    counts = scores.at(scores.thresholds(decision.threshold or str(CALLED)))
    rows: list[tuple[str, ...]] = [("label", "images", "AP", "precision", "recall", "F1", "threshold")]
    for row in class_rows(scores, counts):
        measures = (row.average_precision, row.precision, row.recall, row.f1)
        rows.append((row.name, f"{row.images:,}", *map(with_interval, measures), f"{row.threshold:g}"))
    return [
        *([run.unfinished] if run.unfinished else []),
        *format_multi_label(scores, counts),
        "",
        columns(rows, right=range(1, 7)),
        "",
        *([ALL_AT_HALF, ""] if decision.threshold else []),
        *(format_proposals(found) if brief else [format_label_sets(found), ""]),
        f"next       {typed(['analyze', str(folder), '--label', run.classes[run.label_sets.most_errors]])}",
    ]


def number_lines(run: "RunData", decision: Decision) -> list[str]:
    """The measures of a run of numbers, of one output where it is named. Raises UserError for a threshold."""
    from explain.analysis.numbers.measures import scores_of
    from explain.analysis.numbers.text import format_regression
    from explain.run.outputs.number_run import NumbersRun

    assert isinstance(run, NumbersRun)
    decision.require_fitting(run)
    scores = scores_of(run)
    lines = format_regression(scores.only(run.index) if run.one_output else scores)
    head = [run.unfinished] if run.unfinished else []
    return [*head, f"{'images':{10}}{scores.images:,}", *lines]


def number_proposals(run: "RunData", brief: bool = False) -> list[str]:
    """What to try for a run of numbers: of the output that is named, or of the first `AHEAD`; `brief`: of the
    first output, a line each."""
    from explain.analysis.format_text import format_numbers, format_proposals
    from explain.analysis.numbers.proposals import number_findings
    from explain.analysis.numbers.run_numbers import AHEAD
    from explain.run.outputs.number_run import NumbersRun

    assert isinstance(run, NumbersRun)
    first = number_findings(run, run.index)
    if brief:
        return [] if first.inconclusive else format_proposals(first)
    outputs = [run.index] if run.one_output else range(min(len(run.outputs), AHEAD))
    texts = [format_numbers(number_findings(run, k), run.outputs[k]) for k in outputs]
    lines = [line for text in texts if text for line in ("", text)]
    if not run.one_output and len(run.outputs) > AHEAD:
        lines += [
            "",
            f"What to try for the other {counted(len(run.outputs) - AHEAD, 'output')}: analyze --label NAME.",
        ]
    return lines


def analyzed(folder: Path, decision: Decision = NETWORKS_OWN) -> "Findings":
    """The findings of a run, computed and kept in its folder. Raises UserError for what is no run, and for a
    threshold that does not fit it."""
    from explain.analysis.findings import analyze as compute

    findings = decision.findings(folder)
    with progress_bar("analyze") as on_progress:
        for fraction in compute(findings):
            on_progress(fraction)
    return findings


def compare(
    first: Run,
    second: Second,
    method: Method = None,
    label: Label = "",
    threshold: Threshold = "",
    out: Annotated[
        Path | None,
        typer.Option(
            help="CSV file for a table with one row per image; of several labels per image, of which --label "
            "names none, one row per label (default: none)."
        ),
    ] = None,
) -> None:
    """Compare two runs of the same images: metrics with intervals, McNemar's test, images that only one
    predicts correctly, and the similarity of their maps; of several labels per image, all labels side by
    side, or one of them with --label; of numbers, MAE and RMSE with intervals of their differences."""
    from explain.analysis.compare import as_table, format_text
    from explain.analysis.compare import compare as compare_runs
    from explain.analysis.compare_shortcuts import shortcut_changes, shortcut_table
    from explain.analysis.findings import at_threshold
    from explain.run.reader import open_run
    from models.files.csv_files import write_csv

    if first.resolve() == second.resolve():
        raise UserError(f"'{first}' is given twice: give two run folders.")
    a, b = (open_run(folder, label) for folder in (first, second))
    if a.numbers and b.numbers:
        lines, table = number_comparison(a, b, threshold, method)
    elif a.all_labels or b.all_labels:
        lines, table = label_comparison(a, b, threshold, method)
    else:
        comparison = compare_runs(at_threshold(a, threshold), at_threshold(b, threshold), method)
        changes = shortcut_changes(comparison)
        lines, table = format_text(comparison), as_table(comparison)
        lines += ["", shortcut_table(comparison, changes)] if changes else []
    say("\n".join(lines))
    if out:
        write_csv(table, out)
        say(f"table      {out}")


def number_comparison(
    a: "RunData", b: "RunData", threshold: str, method: str | None
) -> "tuple[list[str], pd.DataFrame]":
    """Of two runs of numbers: lines for a terminal, and one row per image. Raises UserError where they cannot
    be compared, and for what only classes have."""
    from explain.analysis.numbers.compare import as_table, compare_numbers, format_text
    from explain.run.outputs.number_run import NumbersRun

    assert isinstance(a, NumbersRun)
    assert isinstance(b, NumbersRun)
    if threshold:
        a.require_probabilities("--threshold")
    if method:
        raise UserError("--method is for runs of classes: leave it out for runs of numbers.")
    found = compare_numbers(a, b)
    return format_text(found), as_table(found)


def label_comparison(
    a: "RunData", b: "RunData", threshold: str, method: str | None
) -> "tuple[list[str], pd.DataFrame]":
    """Of two runs of several labels per image: lines for a terminal, and one row a label. Raises UserError
    where they cannot be compared, and for a method, which is that of one label."""
    from explain.analysis.multi_label.compare import compare_labels
    from explain.analysis.multi_label.compare_text import as_table, format_text

    found = compare_labels(a, b)
    if method:
        raise UserError("--method compares maps of one label: name it with --label.")
    threshold = threshold or str(CALLED)
    changes = found.at_named(threshold)
    most = a.classes[found.numbers[found.order[0], 0]]
    command = ["compare", str(a.folder), str(b.folder), "--label", most]
    lines = [*format_text(changes, threshold), "", f"next       {typed(command)}"]
    return lines, as_table(changes)


def _say_review(run: "RunData") -> None:
    """Answers of reviewers, and what they say of all labels."""
    from explain.run.people.review import read

    if not read(run.folder) or run.all_labels or run.label_sets is not None or run.numbers:
        return
    from explain.analysis.findings import Findings
    from explain.analysis.label_errors.review import Review, format_text

    for line in format_text(Review(Findings(run)).progress()):
        say(f"review     {line}")


def notes(
    run: Run,
    out: Annotated[Path | None, typer.Option(help="CSV file for all notes (default: none).")] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="CSV file for the corrected labels, for --labels of 'train' and 'run' (default: none)."
        ),
    ] = None,
) -> None:
    """Count the notes on the images of a run, and write them to files."""
    from explain.run.people.notes import corrections_of, read, tags_of, write_labels, write_table
    from explain.run.reader import open_run

    opened, by_image = open_run(run), read(run)
    wrong = sum(note.wrong for note in by_image.values())
    tags = ", ".join(f"{tag} {count}" for tag, count in tags_of(by_image).items()) or "none"
    several = "numbers" if opened.numbers else "labels" if opened.label_sets is not None else ""
    marked = f"{counted(wrong, 'image')} with {several}" if several else counted(wrong, "label")
    say(f"notes      {counted(len(by_image), 'image')}, {marked} marked as wrong; tags: {tags}")
    _say_review(opened)
    fitting, missing = corrections_of(opened, by_image)
    if missing:
        names = ", ".join(f"{name[:60]} {count}" for name, count in list(missing.items())[:8])
        left = counted(wrong - len(fitting), "correction names", "corrections name")
        say(f"left out   {left} labels that the run lacks: {names}")
    if labels and not fitting:
        raise UserError(
            "No label is marked as wrong, so there is nothing to correct: mark one in the dashboard, below "
            "an image."
        )
    if out:
        write_table(opened, out)
        say(f"table      {out}")
    if labels:
        write_labels(opened, labels)
        # no training takes several labels per image
        command = "train" if opened.label_sets is None else "run"
        say(f"labels     {labels}\nnext       {typed([command, '...', '--labels', str(labels)])}")
