"""Models that a user's own module registers, with `vitrine.register_model`."""

import inspect
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from models.classifier import Classifier
from models.counts import counted
from models.errors import UserError
from models.preprocessing import Preprocessing
from models.sources.base import ModelSource, ModelSpec, Told
from models.sources.module import from_module
from models.sources.parameters import from_file

ORIGIN = "registered"
"""What a run records as the weights of a registered model that was loaded without a file."""


@dataclass(frozen=True)
class RegisteredModel:
    """One entry: see `models.registry.register_model`."""

    name: str
    build: Callable[..., nn.Module]
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    preprocessing_from: str
    description: str = ""

    @property
    def takes_classes(self) -> bool:
        """Whether the builder requires an argument, the number of classes."""
        return any(
            p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
            for p in inspect.signature(self.build).parameters.values()
        )

    def built(self, outputs: int | None = None) -> nn.Module:
        """The network for as many classes. Raises UserError where the builder makes another number."""
        outputs = outputs or len(self.classes)
        made = self._build(outputs)
        if not isinstance(made, nn.Module):
            raise UserError(
                f"The builder of '{self.name}' returned {type(made).__name__}: it must return a network, a "
                "torch.nn.Module."
            )
        return made

    def _build(self, outputs: int) -> object:
        if self.takes_classes:
            return self.build(outputs)
        if outputs != len(self.classes):
            raise UserError(
                f"'{self.name}' is registered for {counted(len(self.classes), 'class')}, {outputs} are "
                "needed: register a builder that takes the number of classes."
            )
        return self.build()


class RegisteredModels(ModelSource):
    """The entries by their names."""

    def __init__(self) -> None:
        self.entries: dict[str, RegisteredModel] = {}

    def recognizes(self, name: str) -> bool:
        return name in self.entries

    def listed(self) -> Iterator[tuple[str, str]]:
        for name, entry in self.entries.items():
            yield name, entry.description or f"registered; {counted(len(entry.classes), 'class')}"

    def spec(self, name: str) -> ModelSpec:
        entry = self.entries[name]

        def build(outputs: int | None, keys: Collection[str] | None = None) -> nn.Module:
            return entry.built(outputs)

        return ModelSpec(name, build, entry.preprocessing, owner="the registered", classes=entry.classes)

    def load(
        self, name: str, weights: Path | None, classes: tuple[str, ...] | None, told: Told = None
    ) -> Classifier:
        if weights is not None:
            return from_file(self.spec(name), weights, classes, told)
        entry = self.entries[name]
        made = from_module(entry.built(), entry.classes, entry.preprocessing, name, ORIGIN)
        return replace(made, preprocessing_from=entry.preprocessing_from)
