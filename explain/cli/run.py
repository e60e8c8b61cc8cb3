"""The command `run`: from what was typed to a run folder, and what is said on the way. Typer calls it; heavy
packages are imported inside, so that `--help` answers at once."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from explain.cli.commands import progress_bar
from explain.cli.models import ClassNames, Data, Device, ImageCol, LabelCol, Model, Split, Weights, say
from models.preprocessing_options import NO_OPTIONS, PreprocessingOptions, takes_preprocessing
from models.program import program, typed

if TYPE_CHECKING:
    from explain.run.engine import Progress
    from models.classifier import Classifier
    from models.data.source import ImageSource

CLASSES_HELP = (
    "A CSV file with lines 'data class, model class'; or 'sorted': outputs in the order of the sorted "
    "class names, as ImageFolder has "
    "them; or 'numbers': class N is output N."
)
MOST_NOTES = 12  # matched classes that are named one by one


@takes_preprocessing
def run(
    model: Model,
    data: Data,
    out: Annotated[Path, typer.Option(help="The run folder: a new one, or one to go on with.")],
    weights: Weights = None,
    methods: Annotated[str, typer.Option(help="Names with commas between them.")] = "grad_cam,layer_cam",
    layer: Annotated[
        str | None, typer.Option(help="The layer to explain; by itself the last one with maps.")
    ] = None,
    split: Split = None,
    image_col: ImageCol = None,
    label_col: LabelCol = None,
    classes: Annotated[Path | None, typer.Option(help=CLASSES_HELP)] = None,
    limit: Annotated[int | None, typer.Option(help="Use only so many images, evenly spread.")] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Corrected labels: a table with columns image, label and data, as 'notes' writes it."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    precision: Annotated[
        str, typer.Option(help="fp32, or bf16 (about twice as fast on many CPUs).")
    ] = "fp32",
    device: Device = "cpu",
    class_names: ClassNames = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw away what OUT holds of a run, and begin anew.")
    ] = False,
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Predictions and maps of every image of a labeled set, into a run folder. Started again, it goes on;
    images that have changed are done again."""
    from explain.analysis.findings import Findings, analyze
    from explain.analysis.format_text import format_proposals
    from explain.analysis.ranking import format_text
    from explain.run.engine import run as compute
    from explain.run.reader import open_run
    from models.class_names import read_names
    from models.memory import reuse_memory
    from models.registry import load

    method_names = methods.replace(" ", "").split(",")
    names = read_names(class_names) if class_names else None
    source = _opened(data, split, image_col, label_col, limit, labels)
    classifier = load(model, weights, names, device, preprocessing)
    if any(spelling in classifier.classes for spelling in source.merged):
        source = _opened(data, split, image_col, label_col, limit, labels, classifier.classes)
    say(f"input      {classifier.input_described}")
    classifier, mapping, order, told = _named(classifier, source, classes)
    say(
        f"data       {source.name}: {len(source)} images of {len(source.classes)} classes; "
        f"{source.note}".rstrip("; ")
    )
    for note in told:
        say(f"           {note}")
    reuse_memory()
    try:
        compute(
            classifier,
            source,
            out,
            method_names,
            layer,
            precision=precision,
            batch_size=batch_size,
            mapping=mapping,
            order=order,
            restart=restart,
            command=typed(sys.argv[1:]),
            progress=_progress_bar(),
            say=say,
        )
    except KeyboardInterrupt:
        say(f"\nStopped. Results so far are in {out}; run the same command to resume.")
        raise typer.Exit(130) from None
    opened = open_run(out)
    findings = Findings(opened)
    with progress_bar("analyze") as on_progress:
        for fraction in analyze(findings):
            on_progress(fraction)
    say("\n".join([*format_text(opened), *format_proposals(findings)]))
    say(f"next       {program()} serve --run {out}")


def _opened(
    data: str,
    split: str | None,
    image_col: str | None,
    label_col: str | None,
    limit: int | None,
    labels: Path | None,
    known: Sequence[str] = (),
) -> "ImageSource":
    """The data with its corrected labels."""
    from models.data.corrections import corrected, read_corrections
    from models.data.open import open_data

    source = open_data(data, split, image_col, label_col, limit, known=known)
    return corrected(source, read_corrections(labels)) if labels else source


def _named(
    classifier: "Classifier", source: "ImageSource", classes: Path | None
) -> tuple["Classifier", dict[str, int] | None, str, list[str]]:
    """The classifier with the names that `--classes` or the data gives its outputs, the mapping and the order
    of `--classes`, and what to say before the pass: how classes were matched, how pictures are read, what
    else is worth a look. Raises UserError where classes do not match."""
    from explain.run.engine import match
    from models.class_mapping import read_mapping
    from models.class_names import named_by_data
    from models.class_order import ORDERS
    from models.data.hints import near_classes, seen_in_training

    classifier, told = named_by_data(classifier, source.classes)
    order = str(classes) if classes and str(classes) in ORDERS else ""
    mapping = (
        read_mapping(classes).outputs(source.classes, classifier.classes) if classes and not order else None
    )
    matched = match(classifier, source, mapping, order)
    if order == "sorted":
        classifier = replace(classifier, classes=tuple(sorted(source.classes)), renamed=True)
    notes = [
        told,
        *(f"classes: {note}" for note in matched.notes[:MOST_NOTES] or ["all matched by equal names"]),
    ]
    if len(matched.notes) > MOST_NOTES:
        notes.append(f"and {len(matched.notes) - MOST_NOTES} more: {', '.join(matched.notes[MOST_NOTES:])}")
    if len(source.classes) == 1:
        notes.append(
            f"Only one class ({source.classes[0]}): its errors are shown, but no comparison between classes"
        )
    notes += [
        *source.read_for(classifier.preprocessing).reading,
        near_classes(source),
        seen_in_training(source, classifier.metadata),
    ]
    return classifier, mapping, order, [note for note in notes if note]


def _progress_bar() -> Callable[["Progress"], None]:
    """Images a second and the time left; a run that goes on counts from where it was."""
    bars: list[tqdm] = []

    def show(now: "Progress") -> None:
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
