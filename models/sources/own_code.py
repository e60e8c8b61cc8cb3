"""A network that a person's own code builds: `net.py:build`, or `package.module:Class`.

Loading it runs that code. So it happens where a person names the code on the command line or in Python, and
where a run names code that this person has named before (`models.own_code.trusted`); never for a request of
the page.
"""

import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from shlex import quote
from types import ModuleType
from typing import Any

import torch
from torch import nn

from models import checkpoints
from models.classes.given_names import must_name_all
from models.classes.names import unnamed
from models.classifier import Classifier
from models.counts import counted
from models.errors import UserError
from models.foreign.parameter_sets import current
from models.inputs.options import words_for
from models.outputs.scores import giving_scores
from models.own_code.files import importing_from, module_at, one_line, relative_import
from models.own_code.identity import code_hash
from models.own_code.trusted import absolute, is_trusted, names_code, trust
from models.preprocessing import Preprocessing
from models.sources.asked import asked_preprocessing, example_of
from models.sources.base import ModelSource, ModelSpec, Told
from models.sources.module import plain

COUNTS = ("num_classes", "n_classes", "nb_classes", "num_labels", "classes")
"""Parameters of a factory that take the number of classes."""


class OwnCode(ModelSource):
    """The factory is a function or class that returns a `torch.nn.Module`, or such a module itself. It is
    called without arguments, or with the number of classes where it takes one (`COUNTS`)."""

    asks_input = True

    def recognizes(self, name: str) -> bool:
        return names_code(name)

    def spec(self, name: str) -> ModelSpec:
        """For trainings. Raises UserError for code that this person has not named before, as where a
        checkpoint of someone else names it."""
        source = absolute(name)
        if not is_trusted(source):
            raise UserError(
                f"A file names code, {source}, which is not run for that: give it as --model {quote(source)} "
                "--weights FILE."
            )

        loaded: list[ModuleType] = []

        def build(outputs: int | None, keys: Collection[str] | None = None) -> nn.Module:
            module, network = _built_for(source, outputs)
            loaded[:] = [module]
            return network

        def code(network: nn.Module) -> str:
            return code_hash(loaded[0], network)

        return ModelSpec(source, build, Preprocessing(), owner="your", asks_input=True, code=code)

    def load(
        self, name: str, weights: Path | None, classes: tuple[str, ...] | None, told: Told = None
    ) -> Classifier:
        source = absolute(name)
        state, about = checkpoints.read(weights) if weights else ({}, {})
        preprocessing, origin = _preprocessing(name, about, told)
        trust(source)
        one_output = classes is not None and len(classes) == 2 and _last_rows(state) == 1
        named = len(classes) if classes and not one_output else None
        module, model = _built(source, name, state, named)
        if weights:
            checkpoints.fit(model, state, name)
        model, narrow = _in_float32(model)
        task = current().task_by_loss(_last_rows(state))
        model, note = giving_scores(model.eval(), example_of(preprocessing), task)
        outputs = int(model(example_of(preprocessing)[None]).shape[1])
        names = tuple(about.get("classes", ())) or classes or unnamed(outputs)
        must_name_all(names, model, outputs, name)
        return Classifier(
            type(model).__name__,
            model,
            names,
            preprocessing,
            str(weights.resolve()) if weights else "",
            checkpoints.fingerprint(model),
            preprocessing_from=origin,
            source=source,
            options=tuple(words_for(preprocessing)),
            notes=tuple(filter(None, (narrow, note))),
            code=code_hash(module, model),
            task=task,
        )


def _in_float32(model: nn.Module) -> tuple[nn.Module, str]:
    """The network with parameters in float32, as images are; and a note where they were not."""
    kinds = {p.dtype for p in model.parameters() if p.is_floating_point()} - {torch.float32}
    if not kinds:
        return model, ""
    was = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
    return model.float(), f"its parameters were {was}, and are float32 now"


def _built_for(source: str, outputs: int | None) -> tuple[ModuleType, nn.Module]:
    """The module of code and a network with new parameters. Raises UserError where the factory makes another
    number of outputs."""
    module, made = _built(source, source, {}, outputs, fallback=2)
    rows = made.state_dict()[checkpoints.head_key(made)].shape[0]
    if outputs is not None and rows != outputs:
        raise UserError(
            f"'{source}' makes {counted(rows, 'output')}, and {outputs} are needed: give it a parameter "
            "num_classes."
        )
    return module, made


def _preprocessing(name: str, about: dict[str, Any], told: Told) -> tuple[Preprocessing, str]:
    """Of a checkpoint that Vitrine wrote, as it says; otherwise a person is asked."""
    if not about.get("preprocessing") or isinstance(told, Preprocessing):
        return asked_preprocessing(name, told)
    base = Preprocessing.from_dict(about["preprocessing"])
    if not told or not told.given:
        return base, "from the checkpoint"
    return told.apply(base), f"{told.origin}; the rest from the checkpoint"


def _built(
    source: str, name: str, state: checkpoints.State, outputs: int | None, fallback: int | None = None
) -> tuple[ModuleType, nn.Module]:
    """The module of code, and what its factory returns: for `outputs` classes, or for as many as the
    parameters of a file have, or `fallback`. Raises UserError, also for whatever the code raises."""
    place, _, factory = source.rpartition(":")
    folder = Path(place).parent if place.endswith(".py") else Path.cwd()
    with importing_from(folder), one_line(name):
        try:
            module = module_at(place)
            made = getattr(module, factory, None)
        except ImportError as error:
            if advice := relative_import(place, factory, error):
                raise UserError(f"'{name}' {advice}.") from error
            raise
    if made is None:
        raise UserError(
            f"'{place}' has no '{factory}': give FILE.py:NAME of a function or class that builds the network."
        )
    if isinstance(made, nn.Module):
        return module, plain(made, f"'{name}'")
    if not callable(made):
        raise UserError(
            f"'{name}' is a {type(made).__name__}: name a function or class that builds the network."
        )
    with importing_from(folder), one_line(name):
        network = _called(made, name, state, outputs, fallback)
    if not isinstance(network, nn.Module):
        raise UserError(f"'{name}' returned {type(network).__name__}: it must return a torch.nn.Module.")
    return module, plain(network, f"What '{name}' returned")


def _called(
    factory: Callable[..., Any],
    name: str,
    state: checkpoints.State,
    outputs: int | None,
    fallback: int | None,
) -> Any:
    parameters = inspect.signature(factory).parameters
    required = [
        p.name
        for p in parameters.values()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    count = next((p for p in COUNTS if p in parameters), None)
    if others := [p for p in required if p != count]:
        raise UserError(
            f"'{name}' needs {', '.join(others)}: write a function without arguments that calls it, and "
            "name that."
        )
    if count is None:
        return factory()
    if outputs is None and count not in required:
        made = factory()
        outputs = _outputs_of(made, state) if isinstance(made, nn.Module) else None
        return made if outputs is None else factory(**{count: outputs})
    outputs = outputs or _last_rows(state) or fallback
    if outputs is None:
        raise UserError(
            f"'{name}' needs {count}: give the names of the classes with --class-names FILE, "
            "or --weights FILE."
        )
    return factory(**{count: outputs})


def _outputs_of(model: nn.Module, state: checkpoints.State) -> int | None:
    """How many outputs the parameters of a file have, where it is another number than the network's."""
    key = checkpoints.head_key(model)
    own = model.state_dict()
    rows = checkpoints.aligned(state, own).get(key)
    return int(rows.shape[0]) if rows is not None and rows.shape[0] != own[key].shape[0] else None


def _last_rows(state: checkpoints.State) -> int | None:
    """Rows of the last matrix of a file."""
    matrices = [tensor for tensor in state.values() if tensor.ndim == 2]
    return int(matrices[-1].shape[0]) if matrices else None
