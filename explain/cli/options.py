"""Options that several commands share, and groups of options. Typer reads a command's options from its
signature; a parameter whose type is an `Options` group stands for one option per field of the group.

Nothing heavy is imported here: `--help` answers at once.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from explain.cli.preprocessing import takes_preprocessing
from explain.cli.run_urls import run_path
from models.inputs.options import NO_OPTIONS, PreprocessingOptions

if TYPE_CHECKING:
    from models.classifier import Classifier
    from models.data.parts import Parts
    from models.data.source import ImageSource
    from models.data.tables.votes import VoteColumns

WEIGHTS_HELP = "Checkpoint file, .safetensors, .pth or .ckpt (default: the network's published weights)."
Run = Annotated[
    Path,
    typer.Argument(
        parser=run_path,
        metavar="RUN",
        help="Run folder, as the command 'run' writes it, or its URL, such as s3://bucket/runs/first.",
    ),
]
Picture = Annotated[Path, typer.Argument(help="Image file.")]
OutFolder = Annotated[Path, typer.Option("--out", help="Folder to write.")]
Weights = Annotated[Path | None, typer.Option(help=WEIGHTS_HELP)]
Which = Annotated[
    str,
    typer.Option(
        help="Which set of parameters to read if the checkpoint holds several, such as state_dict or "
        "state_dict_ema (default: the averaged set, EMA)."
    ),
]
OutputKind = Annotated[
    str,
    typer.Option(
        help="What the network returns: logits, probabilities, or percent (default: found out with two "
        "images, and printed)."
    ),
]
RunWeights = Annotated[
    Path | None,
    typer.Option(help="Checkpoint file of the run's network (default: the weights that the run names)."),
]
Device = Annotated[str, typer.Option(help="Device to compute on: cpu, cuda, cuda:1, mps.")]
Layer = Annotated[
    str | None,
    typer.Option(
        help="Layer to explain. Several, separated by commas, give one map together; all-stages names the "
        "last layer of each resolution (default: all-stages where no method is named, else the last layer "
        "whose output is a map)."
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of the random numbers.")]
ClassNames = Annotated[
    str | None,
    typer.Option(
        help="Class names of the outputs: a file with one name per line, a .csv, a .json (list or id2label), "
        "or 'imagenet' (default: the names in the checkpoint)."
    ),
]
Task = Annotated[
    str,
    typer.Option(
        help="single-label (one class per image), multi-label (any number of labels, a sigmoid for each "
        "output), or regression (a number for each output) (default: found by the labels of the data and the "
        "network's file)."
    ),
]
AllowData = Annotated[
    bool,
    typer.Option(
        "--allow-data", help="Read the images that a run names although the run was made on another machine."
    ),
]
BlurEyes = Annotated[bool, typer.Option("--blur-eyes", help="Cover the eyes of aligned faces.")]
Again = Annotated[bool, typer.Option("--again", help="Train again, and replace what --out holds.")]
Data = Annotated[
    str,
    typer.Option(
        help="Labeled images: a folder with one subfolder per class, or with metadata.csv; a .csv, .jsonl, "
        ".txt or .parquet table; Parquet files of images; .tar shards; toon_faces; toon_studios (drawn faces "
        "with a shortcut); toon_attributes (drawn faces with 14 labels); or torchvision:NAME. Folders, "
        "tables, Parquet and shards may be URLs, such as s3://bucket/folder."
    ),
]
TrainingLimit = Annotated[
    int | None, typer.Option(help="Maximum training images, evenly spread over the data (default: all).")
]
BalanceBy = Annotated[
    str,
    typer.Option(
        help="With --balance sampler: column of the data whose values are drawn equally often, too (default: "
        "none)."
    ),
]
AugmentStrengths = Annotated[
    str,
    typer.Option(
        help="Augmentation of training images: default, none, or strengths such as rotation=10,erase=0.25. "
        "Names: flip, rotation, shift, zoom, light, contrast, erase, blur, grey."
    ),
]
Balance = Annotated[
    str,
    typer.Option(
        help="Balance of classes: none; weights (rare classes weigh more in the loss); sampler (every class "
        "is drawn equally often; of several labels: positives of rare ones more often)."
    ),
]


class Options:
    """A group of options: subclasses are frozen dataclasses whose fields are annotated as Typer reads
    them."""


@dataclass(frozen=True)
class Network(Options):
    """A network and where it computes."""

    model: Annotated[
        str,
        typer.Option(
            help="Network: a name from 'models', a torchvision classifier, timm:NAME, hf:FOLDER, "
            "FILE.py:FUNCTION, or a file (.safetensors, .keras, .pt2, .pt, .onnx)."
        ),
    ]
    weights: Weights = None
    which: Which = ""
    outputs: OutputKind = ""
    device: Device = "cpu"

    def load(
        self,
        preprocessing: PreprocessingOptions = NO_OPTIONS,
        class_names: str | None = None,
        task: str = "",
    ) -> "Classifier":
        """`task`: as of `models.registry.load`, where it is known. Raises UserError, as that does."""
        from models.classes.given_names import given_in, read_names
        from models.registry import load

        names = read_names(class_names) if class_names else None
        given = (self.model, self.weights, names, self.device, preprocessing, self.which, self.outputs)
        found = load(*given, task)
        return replace(found, names_from=given_in(class_names)) if class_names else found


@dataclass(frozen=True)
class Columns(Options):
    """Columns of a table."""

    image_col: Annotated[
        str | None, typer.Option(help="Column with the images or their paths (default: found by its name).")
    ] = None
    label_col: Annotated[
        str | None,
        typer.Option(
            help="Column with the labels; of numbers, several separated by commas (default: found by its "
            "name)."
        ),
    ] = None
    label_columns: Annotated[
        str | None,
        typer.Option(
            help="In place of labels, columns with people's votes for each class, separated by commas: the "
            "label is the class with more than half of them, and a training uses their fractions (default: "
            "none)."
        ),
    ] = None
    other_columns: Annotated[
        str | None,
        typer.Option(
            help="With --label-columns: columns with votes for none of the classes, such as unknown "
            "(default: none)."
        ),
    ] = None

    @property
    def votes(self) -> "VoteColumns | None":
        """Raises UserError for names that cannot be columns of votes."""
        from models.data.tables.votes import VoteColumns

        return VoteColumns.parse(self.label_columns, self.other_columns)


@dataclass(frozen=True)
class LabeledColumns(Columns):
    """Columns of a table, and corrections of its labels."""

    labels: Annotated[
        Path | None,
        typer.Option(
            help="Corrected labels: a table with columns image, label and data, as 'notes' writes it "
            "(default: none)."
        ),
    ] = None

    def open_parts(self, data: str, limit: int | None, task: str = "") -> "Parts":
        """As `models.data.parts.open_parts`."""
        from models.data.parts import open_parts

        return open_parts(data, self.image_col, self.label_col, limit, task, self.labels, self.votes)


@dataclass(frozen=True)
class LabeledData(Options):
    """One part of a labeled set of images."""

    data: Data
    split: Annotated[
        str | None,
        typer.Option(
            help="Part of the data: train, validation or test (default: test, else validation, else train; "
            "all images if there are no parts)."
        ),
    ] = None

    @property
    def labels_as(self) -> str:
        """The task that labels are read for; empty: as they show."""
        return ""

    def open(
        self, columns: Columns, limit: int | None = None, known: Sequence[str] = (), labels_as: str = ""
    ) -> "ImageSource":
        """The images, with corrected labels where the columns name some. `known`: classes of the network;
        `labels_as`: the task that labels are read for, where a person names none."""
        from models.data.corrections import corrected, read_corrections
        from models.data.open import open_data

        source = open_data(
            self.data,
            self.split,
            columns.image_col,
            columns.label_col,
            limit,
            known=known,
            labels_as=self.labels_as or labels_as,
            votes=columns.votes,
        )
        labels = columns.labels if isinstance(columns, LabeledColumns) else None
        return corrected(source, read_corrections(labels)) if labels else source


@dataclass(frozen=True)
class DataOfTask(LabeledData):
    """The same, and what a network is asked about it."""

    task: Task = ""

    @property
    def labels_as(self) -> str:
        from models.outputs.task import require_task

        return require_task(self.task)


def option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """The command with one option per field in place of every `Options` parameter; a parameter
    `preprocessing` becomes the options of `explain.cli.preprocessing`."""
    signature = inspect.signature(command, eval_str=True)
    groups = {
        p.name: p.annotation
        for p in signature.parameters.values()
        if isinstance(p.annotation, type) and issubclass(p.annotation, Options)
    }
    names = {name: [f.name for f in fields(kind)] for name, kind in groups.items()}  # type: ignore[arg-type]

    @wraps(command)
    def called(**given: Any) -> None:
        for group, kind in groups.items():
            given[group] = kind(**{name: given.pop(name) for name in names[group]})
        command(**given)

    parameters = [
        option
        for p in signature.parameters.values()
        for option in (
            _options_of(groups[p.name])
            if p.name in groups
            else [p.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        )
    ]
    called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    del called.__wrapped__  # type: ignore[attr-defined] # Typer would read the annotations of what is wrapped
    return takes_preprocessing(called) if "preprocessing" in signature.parameters else called


def _options_of(kind: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            f.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if f.default is MISSING else f.default,
            annotation=hints[f.name],
        )
        for f in fields(kind)
    ]


def from_commas(text: str) -> list[str]:
    """'a, b' -> ['a', 'b']."""
    return [word.strip() for word in text.split(",") if word.strip()]
