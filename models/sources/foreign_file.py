"""A network in a file of another format as a `Classifier`."""

from pathlib import Path

import torch
from torch import nn

from models import checkpoints
from models.classes.given_names import must_name_all
from models.classes.names import unnamed
from models.classifier import Classifier
from models.errors import UserError
from models.inputs.options import words_for
from models.outputs.scores import giving_scores
from models.preprocessing import Preprocessing
from models.sources.asked import asked_preprocessing, example_of
from models.sources.base import Told


def _side(size: tuple[int, int]) -> str:
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def classifier_of(
    model: nn.Module,
    name: str,
    weights: Path | None,
    classes: tuple[str, ...] | None,
    told: Told,
    known: Preprocessing | None = None,
    fingerprint: str = "",
) -> Classifier:
    """The classifier in the file `name`, whose network is `model`. `known`: what the file fixes of its input;
    `fingerprint`: of the file, where the parameters are not to be had. Raises UserError for `weights`, and
    where the preprocessing or the names of classes do not fit."""
    if weights is not None:
        raise UserError(f"'{name}' has its own parameters: leave --weights out.")
    preprocessing, origin = asked_preprocessing(f"'{name}'", told, known)
    if known and preprocessing.size != known.size:
        (height, width), given = known.size, preprocessing.size
        raise UserError(
            f"'{name}' takes images of {height} × {width} alone, and they are prepared with {given[0]} × "
            f"{given[1]}: leave --input-size out, or give --input-size {_side(known.size)}; for other sizes "
            "export the network with a free height and width."
        )
    model, note = giving_scores(model.eval(), example_of(preprocessing))
    with torch.inference_mode():
        outputs = int(model(example_of(preprocessing)[None]).flatten(1).shape[1])
    names = classes or unnamed(outputs)
    must_name_all(names, model, outputs, f"'{name}'")
    path = Path(name).expanduser().resolve()
    return Classifier(
        Path(name).name,
        model,
        names,
        preprocessing,
        str(path),
        fingerprint or checkpoints.fingerprint(model),
        preprocessing_from=origin,
        source=str(path),
        options=tuple(words_for(preprocessing)),
        notes=(note,) if note else (),
    )
