"""The command `run`: from options to a run folder. Typer calls it; heavy packages are imported inside, so
that `--help` answers at once."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from explain.cli.findings import analyzed
from explain.cli.options import (
    ClassNames,
    LabeledColumns,
    LabeledData,
    Layer,
    Network,
    Options,
    from_commas,
    option_groups,
)
from explain.cli.output import say
from models.interrupts import listen, raise_if_interrupted
from models.preprocessing_options import NO_OPTIONS, PreprocessingOptions
from models.program import program, typed

if TYPE_CHECKING:
    from explain.run.engine import Progress
    from models.classifier import Classifier
    from models.data.source import ImageSource

ClassMapping = Annotated[
    Path | None,
    typer.Option(
        help="Which output each class of the data is: a CSV file with lines 'data class, model class'; "
        "'sorted' (outputs are the sorted class names, as in torchvision's ImageFolder); or 'numbers' "
        "(class N is output N) (default: matched by name)."
    ),
]
MOST_NOTES = 12  # matched classes that are named one by one


@dataclass(frozen=True)
class RunOptions(Options):
    """What a run computes, and how."""

    methods: Annotated[
        str,
        typer.Option(
            help="Methods, separated by commas; 'methods' lists them. A run takes those that need one pass "
            "(default: grad_cam,layer_cam; of networks without layers input_x_gradient or occlusion)."
        ),
    ] = ""
    layer: Layer = None
    batch_size: Annotated[int, typer.Option(min=1, help="Images per pass through the network.")] = 32
    precision: Annotated[
        str, typer.Option(help="Number format: fp32, or bf16 (about twice as fast on many CPUs).")
    ] = "fp32"
    restart: Annotated[
        bool, typer.Option("--restart", help="Delete what --out holds of a run, and start again.")
    ] = False


DEFAULT_METHODS = {
    "modules": ["grad_cam", "layer_cam"],
    "layers": ["grad_cam", "layer_cam"],
    "gradients": ["input_x_gradient"],
    "scores": ["occlusion"],
}
"""How much of a network can be reached -> the methods of a run for which none is named."""


@dataclass(frozen=True)
class Matched:
    """A classifier that knows which output each class of the data is. `mapping` and `order` are arguments of
    `explain.run.engine.run`; `notes` are lines to print before the pass."""

    classifier: "Classifier"
    mapping: dict[str, int] | None
    order: str
    notes: list[str]


@option_groups
def run(
    *,
    network: Network,
    data: LabeledData,
    out: Annotated[Path, typer.Option(help="Run folder: a new one, or one to resume.")],
    options: RunOptions,
    columns: LabeledColumns,
    classes: ClassMapping = None,
    limit: Annotated[
        int | None, typer.Option(help="Maximum images, evenly spread over the data (default: all).")
    ] = None,
    class_names: ClassNames = None,
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Compute predictions and maps for every image of labeled data, and write a run folder.

    A run that was stopped is resumed by the same command; images that have changed are computed again."""
    from explain.analysis.format_text import format_proposals
    from explain.analysis.ranking import format_text

    source = data.open(columns, limit)
    classifier = network.load(preprocessing, class_names)
    if any(spelling in classifier.classes for spelling in source.merged):
        source = data.open(columns, limit, classifier.classes)
    say(f"input      {classifier.input_described}")
    for note in classifier.notes:
        say(f"network    {note}")
    matched = match_classes(classifier, source, classes)
    say(
        f"data       {source.name}: {len(source)} images of {len(source.classes)} classes; "
        f"{source.note}".rstrip("; ")
    )
    for note in matched.notes:
        say(f"           {note}")
    compute_run(matched, source, out, options)
    findings = analyzed(out)
    say("\n".join([*format_text(findings.run), *format_proposals(findings)]))
    say(f"next       {program()} serve --run {out}")


def compute_run(matched: Matched, source: "ImageSource", out: Path, options: RunOptions) -> None:
    """Write the run folder `out`.

    Raises `typer.Exit` where a person stops it."""
    from explain.run.engine import run as compute
    from models.memory import reuse_memory

    reuse_memory()
    listen()
    try:
        compute(
            matched.classifier,
            source,
            out,
            from_commas(options.methods) or DEFAULT_METHODS[matched.classifier.access],
            options.layer,
            precision=options.precision,
            batch_size=options.batch_size,
            mapping=matched.mapping,
            order=matched.order,
            restart=options.restart,
            command=typed(sys.argv[1:]),
            progress=_progress_bar(),
            say=say,
        )
    except KeyboardInterrupt:
        say(f"\nStopped. Results so far are in {out}; run the same command to resume.")
        raise typer.Exit(130) from None


def match_classes(classifier: "Classifier", source: "ImageSource", classes: Path | None) -> Matched:
    """The classifier with the names that `--classes` or the data gives its outputs. Raises UserError where
    classes do not match."""
    from explain.run.engine import match
    from models.class_mapping import read_mapping
    from models.class_names import named_by_data
    from models.class_order import ORDERS

    classifier, renamed = named_by_data(classifier, source.classes)
    order = str(classes) if classes and str(classes) in ORDERS else ""
    mapping = (
        read_mapping(classes).outputs(source.classes, classifier.classes) if classes and not order else None
    )
    matching = match(classifier, source, mapping, order)
    if order == "sorted":
        classifier = replace(classifier, classes=tuple(sorted(source.classes)), renamed=True)
    notes = [renamed, *_notes_on_matching(matching.notes), *_notes_on_data(classifier, source)]
    return Matched(classifier, mapping, order, [note for note in notes if note])


def _notes_on_matching(notes: list[str]) -> list[str]:
    lines = [f"classes: {note}" for note in notes[:MOST_NOTES] or ["all matched by equal names"]]
    if len(notes) > MOST_NOTES:
        lines.append(f"and {len(notes) - MOST_NOTES} more: {', '.join(notes[MOST_NOTES:])}")
    return lines


def _notes_on_data(classifier: "Classifier", source: "ImageSource") -> list[str]:
    """How images are read, and what may be wrong with the data; empty lines where nothing is."""
    from models.data.hints import near_classes, seen_in_training

    one = f"Only one class ({source.classes[0]}): its errors are shown, but no comparison between classes"
    return [
        one if len(source.classes) == 1 else "",
        *source.read_for(classifier.preprocessing).reading,
        near_classes(source),
        seen_in_training(source, classifier.metadata),
    ]


def _progress_bar() -> Callable[["Progress"], None]:
    """Images per second and the time left; a run that is resumed starts from where it was."""
    bars: list[tqdm] = []

    def show(now: "Progress") -> None:
        raise_if_interrupted()
        if not bars:
            bars.append(
                tqdm(total=now.total, initial=now.before, unit="image", smoothing=0.1, dynamic_ncols=True)
            )
        bars[0].update(now.done - bars[0].n)
        if now.failed:
            bars[0].set_postfix(failed=now.failed)
        if now.done == now.total:
            bars[0].close()

    return show
