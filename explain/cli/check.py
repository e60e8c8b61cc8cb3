"""The command check, and the same look before a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explain.cli.matching import ClassMapping, Matched, open_and_match
from explain.cli.options import (
    ClassNames,
    LabeledColumns,
    LabeledData,
    Network,
    option_groups,
)
from explain.cli.output import say
from models.errors import UserError
from models.preprocessing_options import NO_OPTIONS, PreprocessingOptions

if TYPE_CHECKING:
    from explain.run.preflight import Preflight
    from models.data.source import ImageSource

SHOWN = 6  # classes, other readings


@option_groups
def check(
    *,
    network: Network,
    data: LabeledData,
    columns: LabeledColumns,
    classes: ClassMapping = None,
    class_names: ClassNames = None,
    expect: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Accuracy that you know of, such as 0.91 (default: none)."),
    ] = None,
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Check that a network is the one you think it is: predict a sample, and read its images in other ways.

    Prints the accuracy, what guessing reaches, and the option to add where the images are right more often
    when they are read otherwise. The exit code is 1 where something is wrong."""
    matched, source = open_and_match(network, data, columns, classes, class_names, preprocessing)
    found = looked_at(matched, source)
    say("\n".join(format_text(found, expect)))
    if wrong(found, expect):
        raise typer.Exit(1)


def looked_at(matched: Matched, source: "ImageSource") -> "Preflight":
    """The preflight of a network whose classes are matched."""
    from explain.run.engine import match
    from explain.run.preflight import preflight

    outputs = match(matched.classifier, source, matched.mapping, matched.order).outputs
    return preflight(matched.classifier, source, outputs, order=matched.order)


def wrong(found: "Preflight", expect: float | None) -> str:
    """What is wrong, in one line; empty where nothing is."""
    from explain.analysis.chance import LEVEL, chance_level, p_of_chance

    e, better = found.evaluation, found.better
    if better is not None:
        return (
            f"{100 * better.accuracy:.0f} % of the first {len(better.right)} images are right with "
            f"{' '.join(better.words)} ({better.name}), {100 * found.used.accuracy:.0f} % without "
            f"({_p(better.p)}): add it."
        )
    if expect is not None and _below(found, expect):
        return (
            f"{100 * e.accuracy:.1f} % of {found.images} images are right, {100 * expect:.1f} % are "
            "expected: check the weights, the data and the options of the input."
        )
    if p_of_chance(e) > LEVEL:
        return (
            f"{100 * e.accuracy:.1f} % of {found.images} images are right, which is not above the "
            f"{100 * chance_level(e):.1f} % that guessing reaches: check the weights, the "
            "input and the classes."
        )
    return ""


def _below(found: "Preflight", expect: float) -> bool:
    """Whether fewer are right than an accuracy of `expect` explains (one-sided binomial test, p < 0.01)."""
    from scipy.stats import binomtest

    hits = round(found.evaluation.accuracy * found.images)
    return float(binomtest(hits, found.images, expect, alternative="less").pvalue) < 0.01


def format_text(found: "Preflight", expect: float | None) -> list[str]:
    """Lines: accuracy and chance, what is predicted, the other readings, and the verdict."""
    from explain.analysis.chance import chance_level

    e = found.evaluation
    low, high = e.interval
    unread = f"; {found.unread} could not be read" if found.unread else ""
    called = e.confusion.sum(0)
    most = sorted(range(len(called)), key=lambda k: -called[k])[:SHOWN]
    shares = ", ".join(
        f"{found.classes[k]} {100 * called[k] / found.images:.0f} %" for k in most if called[k]
    )
    lines = [
        f"accuracy   {100 * e.accuracy:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f} %) of "
        f"{found.images} images, spread over {int((e.support > 0).sum())} classes{unread}",
        f"chance     {100 * chance_level(e):.1f} % by guesses as frequent as these predictions",
        f"predicted  {shares}{', …' if (called > 0).sum() > SHOWN else ''}",
    ]
    lines += [
        f"read as    {trial.name}: {100 * trial.accuracy:.0f} % of {len(trial.right)} images, "
        f"{100 * found.used.accuracy:.0f} % as now"
        for trial in found.tried[:SHOWN]
    ]
    return [*lines, f"verdict    {wrong(found, expect) or 'no other reading is better beyond doubt'}"]


def stop_where_wrong(matched: Matched, source: "ImageSource", out: Path, force: bool) -> None:
    """Before a run: one line on a sample. Raises UserError where another reading is better beyond doubt,
    unless `force`. A run that is resumed has been looked at."""
    from explain.analysis.chance import chance_level
    from explain.run.format import REQUEST

    if (out / REQUEST).is_file():
        return
    found = looked_at(matched, source)
    e = found.evaluation
    say(
        f"sample     {100 * e.accuracy:.1f} % of {found.images} images are right, guessing reaches "
        f"{100 * chance_level(e):.1f} %"
    )
    problem = wrong(found, None)
    if found.better is None or force:
        if problem:
            say(f"           {problem}")
        return
    raise UserError(f"{problem[:-1]}, or --force to run as it is.")


def _p(p: float) -> str:
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.4f}"
