"""Data and a network that belong together: what `run` and `check` begin with. Typer calls them; heavy
packages are imported inside."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explain.cli.options import DataOfTask, LabeledColumns, Network
from explain.cli.output import say
from models.errors import UserError
from models.inputs.options import PreprocessingOptions

if TYPE_CHECKING:
    from explain.run.preflight.matched import Matched
    from models.classifier import Classifier
    from models.data.source import ImageSource

ClassMapping = Annotated[
    Path | None,
    typer.Option(
        help="Which output each class of the data is: a CSV file with lines 'data class, model class', or "
        "'data class,' to leave its images out; "
        "'sorted' (outputs are the sorted class names, as in torchvision's ImageFolder); 'numbers' "
        "(class N is output N); or 'numbers-from-1' (class N is output N - 1) (default: matched by name)."
    ),
]


def open_and_match(
    network: Network,
    data: DataOfTask,
    columns: LabeledColumns,
    classes: Path | None,
    class_names: str | None,
    preprocessing: PreprocessingOptions,
    limit: int | None = None,
) -> tuple["Matched", "ImageSource"]:
    """The network and the images that the options name; what was found out about them is printed. Raises
    UserError."""
    from explain.run.preflight.matched import data_line, matched_to

    classifier, source = open_both(network, data, columns, class_names, preprocessing, limit)
    matched = matched_to(classifier, source, classes)
    say(f"data       {data_line(source)}")
    for note in matched.notes:
        say(f"           {note}")
    return matched, matched.source


def open_both(
    network: Network,
    data: DataOfTask,
    columns: LabeledColumns,
    class_names: str | None,
    preprocessing: PreprocessingOptions,
    limit: int | None = None,
) -> tuple["Classifier", "ImageSource"]:
    """The same before their classes are matched; the network's input is printed. Raises UserError."""
    from models.data.label_sets import SEPARATORS
    from models.outputs.task import as_asked, asked_task, reads_as_numbers

    source = data.open(columns, limit)
    classifier = network.load(preprocessing, class_names, asked_task(source, data.labels_as))
    if reads_as_numbers(classifier, source, data.labels_as):
        source = _numbers_of(classifier, data, columns, limit) or source
    joined = source.multi_label and any(s in name for name in classifier.classes for s in SEPARATORS)
    if joined or any(spelling in classifier.classes for spelling in source.merged):
        source = data.open(columns, limit, classifier.classes)
    classifier = as_asked(classifier, source, data.labels_as)
    say(f"input      {classifier.input_described}")
    for note in classifier.notes:
        say(f"network    {note}")
    return classifier, source


def _numbers_of(
    classifier: "Classifier", data: DataOfTask, columns: LabeledColumns, limit: int | None
) -> "ImageSource | None":
    """The data with whole numbers read as numbers, where they are called as the outputs; otherwise None: they
    may be classes."""
    from models.outputs.task import REGRESSION

    try:
        found = data.open(columns, limit, labels_as=REGRESSION)
    except UserError:
        return None
    return found if set(found.classes) == set(classifier.classes) else None


@dataclass(frozen=True)
class Reopen:
    """Opens what the options name once more, on a device: for a worker of a run. `classes`: the file or order
    that was given, or was found. See `explain.run.engines.Reopen`."""

    network: Network
    data: DataOfTask
    columns: LabeledColumns
    classes: Path | None
    class_names: str | None
    preprocessing: PreprocessingOptions
    limit: int | None

    def __call__(self, device: str) -> "tuple[Classifier, ImageSource, dict[str, int]]":
        from explain.run.engine import prepared
        from explain.run.preflight.matched import matched_to

        network = replace(self.network, device=device)
        both = open_both(network, self.data, self.columns, self.class_names, self.preprocessing, self.limit)
        matched = matched_to(*both, self.classes)
        return prepared(matched.classifier, matched.source, matched.mapping, matched.order)
