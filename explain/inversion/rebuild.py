"""Pictures from the output of one layer, by its decoder: as it is, with channels dropped, or from random
features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from explain.network.hooks import reach, turns
from models.classifier import Classifier
from models.errors import UserError
from models.inputs.channels import rgb_values
from models.inversion.decoder import Decoder, features_of
from models.outputs.multi_label import is_multi_label
from models.outputs.probabilities import probabilities
from models.outputs.regression import is_regression
from models.preprocessing import Preprocessing

EDITS = ("drop", "keep")
MOST_OUTPUTS = 4  # whose numbers are written


@dataclass(frozen=True, eq=False)
class Rebuilt:
    """`picture` (h, w, 3) uint8; `error`: distance from the original as a fraction of that between two
    images; `pred`, `prob`: the network's prediction for it, the most probable class; `labels` (K,): of
    several labels per image, the probability of each; `numbers` (R,): of numbers these, and then `prob` is
    NaN."""

    layer: str
    picture: np.ndarray
    error: float
    pred: int
    prob: float
    labels: np.ndarray | None = None
    numbers: np.ndarray | None = None


def layer_output(classifier: Classifier, x: Tensor, layer: str) -> Tensor:
    """The output of a layer for images (N, C, H, W), as maps (N, C, h, w) or vectors (N, D); the pass ends
    there. Raises UserError."""
    turn = turns(classifier.model, x[:1], layer)
    output = reach(classifier.model, x, layer, turn=turn)
    return features_of(
        output, classifier.input_size, getattr(classifier.model, "num_prefix_tokens", None)
    ).float()


def rebuild(classifier: Classifier, x: Tensor, decoder: Decoder, features: Tensor | None = None) -> Rebuilt:
    """Of one image `x` (1, C, H, W); `features`: those of another or of an edited output, instead of its
    own."""
    rebuilt = decoder.pictures(layer_output(classifier, x, decoder.layer) if features is None else features)
    return described(classifier, x, rebuilt, decoder.layer, decoder.scale)


def described(classifier: Classifier, x: Tensor, rebuilt: Tensor, layer: str, scale: float) -> Rebuilt:
    """A rebuilt picture `rebuilt` (1, C, H, W) beside its original."""
    with torch.inference_mode():
        prob = probabilities(classifier.model, classifier.model(rebuilt))[0].float().cpu().numpy()
    error = float((rebuilt - x).norm()) / scale
    picture = pixels_of(rebuilt, classifier.preprocessing)[0]
    if is_regression(classifier.model):
        return Rebuilt(layer, picture, error, 0, float("nan"), numbers=prob)
    labels = prob if is_multi_label(classifier.model) else None
    return Rebuilt(layer, picture, error, int(prob.argmax()), float(prob.max()), labels)


def format_numbers(numbers: "np.ndarray | None", outputs: Sequence[str], asked: int | None = None) -> str:
    """'age 31.2, valence 0.4': the first few, and the one that is asked for."""
    if numbers is None:
        return ""
    shown = [*range(min(len(outputs), MOST_OUTPUTS))]
    shown += [k for k in (asked,) if k is not None and k not in shown]
    more = " ..." if len(shown) < len(outputs) else ""
    return ", ".join(f"{outputs[k]} {numbers[k]:.4g}" for k in shown) + more


def edited(features: Tensor, units: Sequence[int], how: str) -> Tensor:
    """An output with some channels (or entries of a vector) dropped, or all but them: dropped ones are 0.
    Raises UserError for units it has not."""
    if how not in EDITS:
        raise UserError(f"No edit '{how}': choose from {', '.join(EDITS)}.")
    count = features.shape[1]
    if wrong := [u for u in units if not 0 <= u < count]:
        raise UserError(f"No unit {wrong[0]}: this layer has 0 to {count - 1}.")
    chosen = torch.zeros(count, dtype=torch.bool, device=features.device)
    chosen[list(units)] = True
    kept = chosen if how == "keep" else ~chosen
    return features * kept.view(-1, *[1] * (features.ndim - 2))


def random_features(decoder: Decoder, seed: int = 0) -> Tensor:
    """(1, *shape): normal numbers with each channel's own mean and deviation. What a decoder makes of
    them comes from its training, not from a picture."""
    noise = torch.randn((1, *decoder.shape), generator=torch.Generator().manual_seed(seed)).to(
        decoder.model.mean.device
    )
    view = (-1, *[1] * (len(decoder.shape) - 1))
    return noise * decoder.model.std.view(view) + decoder.model.mean.view(view)


def enlarged(picture: tuple[int, int], size: tuple[int, int]) -> str:
    """A note where a picture (width, height) is smaller than the network's input (height, width); otherwise
    nothing."""
    if picture[0] >= size[1] and picture[1] >= size[0]:
        return ""
    return (
        f"the picture has {picture[0]} × {picture[1]} pixels and is enlarged to the network's {size[1]} "
        f"× {size[0]}"
    )


def pixels_of(x: Tensor, preprocessing: Preprocessing) -> np.ndarray:
    """(N, h, w, 3) uint8 of normalized pictures, for a person (`models.inputs.channels.rgb_values`)."""
    pixels = unit(x, preprocessing).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return rgb_values(pixels)


def unit(x: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Normalized pictures as pixels in [0, 1], red before blue."""
    return preprocessing.restore(x).clamp(0, 1)
