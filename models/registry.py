"""From a name or a file to a `Classifier`: the kinds of models, and what loads them.

`SOURCES` has one entry for each kind (`models.sources`); a name belongs to the first that recognizes it.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.classifier import Classifier
from models.counts import counted
from models.errors import UserError
from models.foreign.parameter_sets import reading
from models.inputs.options import PreprocessingOptions
from models.inputs.with_options import require_channels, with_options
from models.own_code.trusted import trust
from models.preprocessing import Preprocessing, require_readable
from models.program import program
from models.sources.base import ModelSource, ModelSpec
from models.sources.checkpoint_file import CheckpointFile
from models.sources.exported_program import ExportedProgramFile
from models.sources.huggingface import CONFIG, HuggingFaceModels
from models.sources.keras_file import KerasFile
from models.sources.model_file import ModelFile
from models.sources.module import distinct_names, read_preprocess
from models.sources.onnx_file import OnnxFile
from models.sources.ours import OwnArchitectures, ShippedCheckpoints
from models.sources.own_code import OwnCode
from models.sources.registered import RegisteredModel, RegisteredModels
from models.sources.timm_hub import TimmHubModels
from models.sources.timm_models import TimmModels
from models.sources.torchscript import TorchScriptFile
from models.sources.torchvision_models import TorchvisionModels


def spec(name: str) -> ModelSpec:
    """The architecture of a name, for networks with new weights. Raises UserError with near names for an
    unknown one."""
    return _source(name).spec(name)


REGISTERED = RegisteredModels()
SOURCES: tuple[ModelSource, ...] = (
    ModelFile(lambda *given: load(*given), lambda name: _source(name).asks_input),
    TorchScriptFile(),
    ExportedProgramFile(),
    OnnxFile(),
    KerasFile(),
    HuggingFaceModels(),
    CheckpointFile(spec),
    REGISTERED,
    ShippedCheckpoints(),
    OwnArchitectures(),
    TorchvisionModels(),
    TimmHubModels(),
    TimmModels(),
    OwnCode(),
)
"""The kinds of models, in the order in which they are asked whether they recognize a name. A kind that looks
into a file stands before `CheckpointFile`, which goes by the suffix."""


def names() -> list[str]:
    """Names to choose from first; every other torchvision classifier and `timm:NAME` works too."""
    return [name for source in SOURCES for name, _ in source.listed()]


def listed() -> Iterator[tuple[str, str]]:
    """(name, one line about it) of every name to choose from."""
    for source in SOURCES:
        yield from source.listed()
    yield "any other", "torchvision classifier by its name, and any timm model as timm:NAME"


def load(
    name: str,
    weights: str | Path | None = None,
    classes: tuple[str, ...] | None = None,
    device: str = "cpu",
    options: PreprocessingOptions | Preprocessing | None = None,
    which: str = "",
    outputs: str = "",
    task: str = "",
) -> Classifier:
    """Load a network, ready to use: eval mode, channels_last, on the device.

    `name`: one of `names()`, any torchvision classifier, `timm:NAME`, or the path of a checkpoint that
    Vitrine wrote. `weights`: a checkpoint file (default: the official ones are fetched), with which `name`
    may be empty where it says its architecture. `classes`: names that the weights lack. `options`: what a
    person says about the input, or a run recorded. `which`: the set to read of a file with several.
    `outputs`: what the network returns (`models.outputs.kinds.KINDS`; empty: found out); of the `task` of
    several labels (`models.outputs.task.TASKS`), probabilities need not sum to 1, and of numbers, outputs are
    not read as those of classes. Raises UserError for what cannot be had or does not fit.
    """
    if weights and not name:
        name, weights = str(weights), None
    source = _source(name)
    with reading(which, outputs, task) as found:
        classifier = source.load(name, Path(weights) if weights else None, classes, options)
    require_readable(classifier.preprocessing)
    if which and not found.taken and not isinstance(options, Preprocessing):  # a person's, and no run's
        raise UserError(f"--which {which}: {weights or name} holds one set of parameters; leave --which out.")
    classifier = replace(classifier, which=found.taken, notes=(*classifier.notes, *found.notes))
    _require_names(classifier, classes)
    if isinstance(options, PreprocessingOptions) and options.given and not source.asks_input:
        classifier = with_options(classifier, options)
    elif not source.asks_input:
        require_channels(classifier)
    classifier.model.eval().to(_device(device)).to(memory_format=torch.channels_last)
    if classifier.source:
        trust(classifier.source)
    return classifier


def _require_names(classifier: Classifier, classes: tuple[str, ...] | None) -> None:
    """Raises UserError where the network names its outputs otherwise than a person."""
    if classes and classifier.classes != classes:
        raise UserError(
            f"{classifier.name} names its {counted(len(classifier.classes), 'output')} itself: leave "
            "--class-names out."
        )


def register_model(
    name: str,
    build: Callable[..., nn.Module],
    classes: Sequence[str],
    preprocess: Any,
    description: str = "",
) -> None:
    """Add a network of your own under a name: `load(name)`, `vitrine.load(name)` and recipes that train it
    find it in this process.

    `build`: `() -> nn.Module`, with the weights that it is to have, or `(outputs) -> nn.Module` for a given
    number of classes. Its output is (N, classes) scores. `classes`: their names, in the order of the outputs.
    `preprocess`: a torchvision transform, or a `models.preprocessing.Preprocessing`. `description`: one line
    for lists. A checkpoint that was trained from it names it as its architecture: register it before the
    checkpoint is loaded. Raises UserError for a name that is taken, repeated classes, and a transform that
    cannot be read.
    """
    if not re.fullmatch(r"\w[\w-]*", name, re.ASCII):
        raise UserError(f"'{name}' is no name for a model: use letters, digits, '-' and '_'.")
    if isinstance(build, nn.Module) or not callable(build):
        raise UserError(
            f"build= of '{name}' is a {type(build).__name__}: pass a function that returns the network, such "
            "as lambda: net."
        )
    if any(source.recognizes(name) for source in SOURCES):
        raise UserError(f"A model '{name}' exists: register yours under another name.")
    preprocessing, origin = read_preprocess(preprocess)
    REGISTERED.entries[name] = RegisteredModel(
        name, build, distinct_names(classes), preprocessing, origin, description
    )


def unregister_model(name: str) -> None:
    """Remove a registered model. Raises UserError where there is none of this name."""
    if REGISTERED.entries.pop(name, None) is None:
        raise UserError(f"No model '{name}' is registered: {', '.join(REGISTERED.entries) or 'none is'}.")


def _source(name: str) -> ModelSource:
    """The kind of model that the name belongs to. Raises UserError with near names where there is none."""
    for source in SOURCES:
        if source.recognizes(name):
            return source
    known = dict.fromkeys(n for source in SOURCES for n in source.names())
    if name.endswith(".py"):
        raise UserError(f"'{name}' is a file of code: name what builds the network in it, as {name}:build.")
    if (Path(name) / CONFIG).is_file():
        raise UserError(f"No model '{name}': it is a folder with {CONFIG}; for transformers give hf:{name}.")
    near = difflib.get_close_matches(name, known, 3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"see {program()} models"
    raise UserError(f"No model '{name}': {hint} (timm's are called timm:NAME).")


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"No device '{name}' here ({type(error).__name__}): use --device cpu, or cuda, mps if it exists."
        ) from error
    return device
