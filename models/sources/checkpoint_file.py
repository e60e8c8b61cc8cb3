"""A checkpoint file that says its architecture: one that Vitrine wrote."""

from collections.abc import Callable
from pathlib import Path

from models.classifier import Classifier
from models.errors import UserError
from models.foreign.named_architecture import suggested
from models.program import program
from models.sources.base import ModelSource, ModelSpec, Told
from models.sources.parameters import filled, read_classifier

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".pth.tar", ".pt.tar", ".bin", ".pkl")


class CheckpointFile(ModelSource):
    """The path of a checkpoint. `spec_of`: the architecture of a name, whatever its kind."""

    def __init__(self, spec_of: Callable[[str], ModelSpec]):
        self.spec_of = spec_of

    def recognizes(self, name: str) -> bool:
        return name.endswith(SUFFIXES)

    def load(
        self, name: str, weights: Path | None, classes: tuple[str, ...] | None, told: Told = None
    ) -> Classifier:
        if weights is not None:
            raise UserError(
                f"--model {name} is a file, and so is --weights {weights}: give one of them, or the "
                "architecture's name as --model."
            )
        state, about = read_classifier(Path(name))
        if not about.get("architecture"):
            if found := suggested():
                raise UserError(
                    f"'{name}' was written by another program, and names its architecture: give "
                    f"--model {' or --model '.join(found)}, and --weights {name}."
                )
            raise UserError(
                f"'{name}' does not say its architecture: add --model NAME (see {program()} models)."
            )
        return filled(self.spec_of(about["architecture"]), Path(name), state, about, classes, told)
