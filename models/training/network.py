"""The network that a recipe trains: random weights with its own head, or a trained base with a new one."""

from dataclasses import dataclass

import torch
from torch import nn

from models.errors import UserError
from models.inputs.options import PreprocessingOptions
from models.inputs.with_options import require_input_size
from models.layers.heads import attach
from models.preprocessing import Preprocessing
from models.registry import load, spec
from models.sources.asked import asked_preprocessing
from models.sources.base import ModelSpec
from models.training.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Network:
    """`head`: the name of the new head in `model`, None for a network with random weights. `base`: where its
    weights come from; `notes`: what was found out about them, a line each; `domain`: what the base is about
    (`models.domains`)."""

    model: nn.Module
    architecture: str
    preprocessing: Preprocessing
    head: str | None = None
    base: str = ""
    notes: tuple[str, ...] = ()
    domain: str = ""


def build(
    name: str,
    weights: str | None,
    outputs: int,
    recipe: Recipe,
    options: PreprocessingOptions | None = None,
    which: str = "",
) -> Network:
    """The network of a recipe. `options`: for its input; `which`: the parameters to read of a base with
    several sets. Raises UserError for unknown names, options that do not fit, and a base without weights."""
    if recipe.recipe == "scratch":
        if which:
            raise UserError(
                f"--which {which}: the recipe scratch begins with random weights; leave --which out, or "
                "choose the recipe features or finetune."
            )
        entry = spec(name)
        model = entry.build(outputs).to(memory_format=torch.channels_last)
        preprocessing = _preprocessing(entry, options)
        if options and options.transform_input is not None and hasattr(model, "transform_input"):
            model.transform_input = options.transform_input  # type: ignore[assignment]
        require_input_size(model, preprocessing, entry.name)
        return Network(model, entry.name, preprocessing)
    classifier = load(name, weights, options=options, which=which)
    preprocessing = classifier.preprocessing
    head = attach(classifier.model, recipe.head, outputs, preprocessing.size, preprocessing.channels)
    architecture = classifier.metadata.get("architecture") or spec(name).name
    model = classifier.model.to(memory_format=torch.channels_last)
    read = f", {classifier.which}" if classifier.which else ""
    base = f"{classifier.weights}{read} ({classifier.weights_hash})"
    return Network(model, architecture, preprocessing, head, base, classifier.notes, classifier.domain)


def _preprocessing(entry: ModelSpec, options: PreprocessingOptions | None) -> Preprocessing:
    if entry.asks_input:
        return asked_preprocessing(entry.name, options)[0]
    return options.apply(entry.preprocessing) if options else entry.preprocessing
