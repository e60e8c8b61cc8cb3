"""A loaded network with the input that a person describes on the command line."""

from dataclasses import replace

import torch
from torch import nn

from models.classifier import Classifier
from models.errors import UserError
from models.preprocessing import Preprocessing
from models.preprocessing_options import PreprocessingOptions, words_for
from models.sources.torchvision_models import AUXILIARY


def with_options(classifier: Classifier, options: PreprocessingOptions) -> Classifier:
    """The classifier, fed as the options say. Raises UserError for options that do not fit it."""
    if options.transform_input is not None:
        if classifier.transform_input is None:
            raise UserError(
                f"--transform-input is for torchvision's {' and '.join(AUXILIARY)}: {classifier.name} has "
                "no such setting."
            )
        classifier.model.transform_input = options.transform_input  # type: ignore[assignment]
    given = [option for option in options.given if not option.endswith("transform-input")]
    if not given:
        words = words_for(classifier.preprocessing, classifier.transform_input)
        return replace(classifier, options=tuple(words))
    changed = options.apply(classifier.preprocessing)
    rest = {"--input-size", "--resize", "--mean", "--std", "--interpolation"} - set(given)
    origin = f"{', '.join(given)} given" + (f"; the rest {classifier.preprocessing_from}" if rest else "")
    require_input_size(classifier.model, changed, classifier.name)
    return replace(
        classifier,
        preprocessing=changed,
        preprocessing_from=origin,
        options=tuple(words_for(changed, classifier.transform_input)),
    )


def require_input_size(model: nn.Module, preprocessing: Preprocessing, name: str) -> None:
    """Raises UserError where the network cannot take images of this size."""
    training = model.training
    try:
        with torch.inference_mode():
            model.eval()(torch.zeros(1, preprocessing.channels, *preprocessing.size))
    except (RuntimeError, AssertionError, ValueError) as error:
        height, width = preprocessing.size
        raise UserError(
            f"{name} does not take {height} × {width} pixels ({str(error).splitlines()[0][:100]}): give "
            "another --input-size."
        ) from error
    finally:
        model.train(training)
