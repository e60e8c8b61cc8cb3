"""`model.json`, which a run writes: the network with all that was said about it. `--model RUN/model.json`
says it again."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.classifier import Classifier
from models.counts import counted
from models.errors import UserError
from models.files.atomic import atomic
from models.files.json_files import read_object
from models.foreign.parameter_sets import current
from models.inputs.options import words_for
from models.outputs.task import MULTI, REGRESSION
from models.own_code.trusted import is_trusted, names_code
from models.preprocessing import Preprocessing
from models.shipped import architecture
from models.sources.base import ModelSource, Told

FILE, SCHEMA = "model.json", 1
FETCHED = ("shipped", "torchvision", "timm", "registered")
"""How the origin of weights begins that come with the name of a network."""


class ModelFile(ModelSource):
    """The path of such a file. `load_other`: `models.registry.load`; `runs`: whether a name is of a kind that
    runs code or a program of others, such as TorchScript."""

    asks_input = True

    def __init__(self, load_other: Callable[..., Classifier], runs: Callable[[str], bool]):
        self.load_other, self.runs = load_other, runs

    def recognizes(self, name: str) -> bool:
        return Path(name).name.endswith(FILE)

    def load(
        self, name: str, weights: Path | None, classes: tuple[str, ...] | None, told: Told = None
    ) -> Classifier:
        raw = _read(Path(name))
        source, file = str(raw["model"]), weights or (Path(raw["weights"]) if raw.get("weights") else None)
        if not is_trusted(source) and (names_code(source) or self.runs(source)):
            raise UserError(
                f"'{name}' names {source}, which is not run because a file says so: give it as --model."
            )
        fed = Preprocessing.from_dict(raw["preprocessing"])
        if told is not None and not isinstance(told, Preprocessing):
            fed = told.apply(fed)
        elif isinstance(told, Preprocessing):
            fed = told
        which = current().which or str(raw.get("which", ""))
        outputs = current().outputs or str(raw.get("outputs", ""))
        task = str(raw["task"]) if raw.get("task") in (MULTI, REGRESSION) else ""
        made = self.load_other(source, file, None, "cpu", fed, which, outputs, current().task or task)
        current().taken = made.which
        if weights is None and made.weights_hash != raw["weights_hash"]:
            raise UserError(
                f"'{made.weights or source}' holds other weights than '{name}' names: give --weights."
            )
        if raw["transform_input"] is not None and made.transform_input is not None:
            made.model.transform_input = raw["transform_input"]
        names = tuple(map(str, raw["classes"]))
        if len(names) != len(made.classes):
            raise UserError(
                f"'{name}' names {counted(len(names), 'class')}, and the network has "
                f"{counted(len(made.classes), 'output')}."
            )
        return replace(
            made,
            classes=names,
            preprocessing=fed,
            preprocessing_from=f"from '{Path(name).name}'",
            options=tuple(words_for(fed, made.transform_input, always=True)),
            task=task or made.task,
        )


def write(folder: Path, classifier: Classifier) -> None:
    """Into `folder`. Nothing is written of networks that live in memory alone."""
    model, weights = classifier.source, ""
    if names_code(model) or Path(classifier.weights).is_file():
        weights = classifier.weights
    if model and not names_code(model):
        weights = ""  # it has its own
    if not model and not weights and not classifier.weights.startswith(FETCHED):
        return
    about = {
        "schema": SCHEMA,
        "model": model or (architecture(classifier.name) if weights else classifier.name),
        "weights": weights,
        "which": classifier.which,
        "outputs": classifier.output_kind,
        "weights_hash": classifier.weights_hash,
        "preprocessing": classifier.preprocessing.as_dict(),
        "transform_input": classifier.transform_input,
        "classes": list(classifier.classes),
        "task": classifier.task
        if classifier.task in (MULTI, REGRESSION)
        else classifier.metadata.get("task", "classes"),
    }
    with atomic(folder / FILE) as temporary:
        temporary.write_text(json.dumps(about, indent=1), encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = read_object(path)
        if raw.get("schema") != SCHEMA or not isinstance(raw["classes"], list):
            raise ValueError("of another format")
        Preprocessing.from_dict(raw["preprocessing"])
        return {**raw, "model": str(raw["model"]), "transform_input": raw.get("transform_input")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"'{path}' cannot be read ({type(error).__name__}): give the model.json of a run."
        ) from error
