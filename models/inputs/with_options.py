"""A loaded network with the input that a person describes on the command line."""

from dataclasses import replace

import torch
from torch import nn

from models.classifier import Classifier
from models.errors import UserError
from models.inputs.channels import channels_wanted, how_to_read
from models.inputs.options import PreprocessingOptions, words_for
from models.preprocessing import Preprocessing
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
    given, before = [o for o in options.given if not o.endswith("transform-input")], classifier.preprocessing
    changed = options.apply(before)
    if given:
        require_input_size(classifier.model, changed, classifier.name)
        described = {"--input-size", "--resize", "--mean", "--std", "--interpolation"}
        rest = "" if options.preprocess or described <= {*given} else classifier.preprocessing_from
        origin = replace(options, transform_input=None).origin + (f"; the rest {rest}" if rest else "")
        classifier = replace(classifier, preprocessing_from=origin)
    words = words_for(changed, classifier.transform_input, before)
    return replace(classifier, preprocessing=changed, options=tuple(words))


def require_channels(classifier: Classifier) -> None:
    """Raises UserError where the network takes other channels than its preprocessing gives."""
    first = next((m for m in classifier.model.modules() if isinstance(m, nn.Conv2d)), None)
    if first is not None and first.in_channels != classifier.channels:
        require_input_size(classifier.model, classifier.preprocessing, classifier.name)


def require_input_size(model: nn.Module, preprocessing: Preprocessing, name: str) -> None:
    """Raises UserError where the network cannot take images of this size, or of these channels."""
    training = model.training
    try:
        with torch.inference_mode():
            model.eval()(torch.zeros(1, preprocessing.channels, *preprocessing.size))
    except (RuntimeError, AssertionError, ValueError) as error:
        height, width = preprocessing.size
        count = preprocessing.channels
        of = "" if count == 3 else " of one channel" if count == 1 else f" of {count} channels"
        wanted = channels_wanted(error, count)
        remedy = how_to_read(wanted) if wanted else "give another --input-size"
        raise UserError(
            f"{name} does not take {height} × {width} pixels{of} ({str(error).splitlines()[0][:100]}): "
            f"{remedy}."
        ) from error
    finally:
        model.train(training)
