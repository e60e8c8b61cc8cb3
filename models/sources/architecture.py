"""Kinds of models that are built by name and then filled with parameters: official ones, or those of a
file."""

from abc import abstractmethod
from pathlib import Path

from models import checkpoints
from models.classes.imagenet import imagenet_names, wordnet_ids
from models.classes.names import unnamed
from models.classifier import Classifier
from models.errors import UserError
from models.outputs.scores import as_told
from models.shipped import shipped
from models.sources.asked import example_of
from models.sources.base import ModelSource, ModelSpec, Told
from models.sources.parameters import from_file


class ArchitectureSource(ModelSource):
    """Subclasses tell which names they recognize, and the `ModelSpec` of each."""

    @abstractmethod
    def spec(self, name: str) -> ModelSpec: ...

    def load(
        self, name: str, weights: Path | None, classes: tuple[str, ...] | None, told: Told = None
    ) -> Classifier:
        spec = self.spec(name)
        return official(spec) if weights is None else from_file(spec, weights, classes, told)


def official(spec: ModelSpec) -> Classifier:
    """The network with its official weights. Raises UserError where there are none, or they cannot be
    downloaded."""
    if spec.pretrained is None:
        known = [name for name in shipped() if name.startswith(f"{spec.name}:")]
        hint = f" or --model {' or '.join(known)}" if known else ""
        raise UserError(f"{spec.name} has no official weights: give --weights FILE{hint}.")
    try:
        model, preprocessing, origin = spec.pretrained()
    except UserError:
        raise
    except Exception as error:  # the hubs raise everything from URLError to their own kinds
        raise UserError(
            f"{spec.name}: the official weights could not be downloaded ({type(error).__name__}): give a "
            "file with --weights FILE."
        ) from error
    model, note = as_told(model, example_of(preprocessing))
    outputs = int(model.state_dict()[checkpoints.head_key(model)].shape[0])
    classes, ids = (imagenet_names(), wordnet_ids()) if outputs == 1000 else (unnamed(outputs), ())
    return Classifier(
        spec.name,
        model,
        classes,
        preprocessing,
        origin,
        checkpoints.fingerprint(model),
        wordnet_ids=ids,
        preprocessing_from=f"from {origin}",
        notes=(note,) if note else (),
    )
