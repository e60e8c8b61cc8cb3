"""How the representation changes with depth: its sparsity, the separability of its classes, and its
translation equivariance.

Translation equivariance is broken by strides, which keep only some positions (Zhang, "Making Convolutional
Networks Shift-Invariant Again", ICML 2019, arXiv:1904.11486), and by zero padding, which encodes where the
border is (Kayhan & van Gemert, CVPR 2020, arXiv:2003.07064).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor, lcm

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explain.network.hooks import read_maps, watch
from explain.network.receptive_field import Field
from explain.network.summary import Layer

FOLDS = 5
SMALL = 1e-3
"""Relative errors up to this are rounding."""


@dataclass(frozen=True)
class Step:
    """One layer's values, averaged over images. `zeros`: the fraction of zero activations. Relative errors of
    equivariance, NaN where there are no spatial positions: `by_one` for a shift by one pixel, `by_stride` for
    one by the largest stride, so that positions fall on positions in every layer; `..._inside`: only where
    neither receptive field reaches the border. `separable`: the fraction of images whose class mean is the
    nearest, cross-validated, or of several labels per image the average precision of a label
    (`label_separability`), or its mean over the labels; `shuffled`: the same with shuffled labels. Both NaN
    where they were not computed."""

    layer: str
    alias: str
    zeros: float
    by_one: float
    by_one_inside: float
    by_stride: float
    by_stride_inside: float
    separable: float = float("nan")
    shuffled: float = float("nan")


def step(
    layer: Layer, measured: Sequence[float], classes: tuple[float, float] = (float("nan"), float("nan"))
) -> Step:
    """`measured`: the five of `depth`; `classes`: the two of `separability`."""
    return Step(
        layer.name, layer.alias, measured[0], measured[1], measured[2], measured[3], measured[4], *classes
    )


def block_outputs(table: Sequence[Layer]) -> list[Layer]:
    """For each layer with weights, the layer whose output the next one takes: itself, or the last of the
    norms, ReLUs and pools behind it with the same spatial positions."""
    groups: list[list[Layer]] = []
    for layer in table:
        if layer.kind.startswith(("Conv", "Linear")) or not groups:
            groups.append([])
        if (
            layer.shape
            and layer.alias
            and not layer.is_passthrough
            and (not groups[-1] or layer.spatial == groups[-1][0].spatial)
        ):
            groups[-1].append(layer)
    return [group[-1] for group in groups if group]


def largest_shift(layers: Sequence[Layer], width: int) -> int:
    """In pixels: a common multiple of the strides, of as many as stay below a quarter of the image's
    width."""
    far = 1
    for layer in layers:
        stride = layer.field.stride[1] if layer.spatial and layer.field else Fraction(1)
        if stride.denominator == 1 and lcm(far, int(stride)) <= width // 4:
            far = lcm(far, int(stride))
    return far


def depth(model: nn.Module, x: Tensor, layers: Sequence[Layer]) -> dict[str, np.ndarray]:
    """(n, 5) for each layer and each of the images `x` (n, C, H, W): zeros, and the errors in the order of
    `Step`. One pass of 3 n images. Layers whose output is not one tensor with an entry per image are left
    out."""
    n, width = len(x), x.shape[3]
    far = largest_shift(layers, width)
    images = torch.cat([x, shifted(x, 1), shifted(x, far)]).contiguous(memory_format=torch.channels_last)
    named, measured = {model.get_submodule(layer.name): layer for layer in layers}, dict[str, np.ndarray]()

    def note(module: nn.Module, output: object) -> None:
        if not isinstance(output, Tensor) or len(output) != len(images):  # windows of images, as Swin's
            return
        layer, maps = named[module], read_maps(model, output, images)
        zeros = 1 - torch.stack([one.count_nonzero() for one in output[:n]]) / output[0].numel()
        errors = torch.full((4, n), torch.nan)
        if maps is not None and layer.field is not None and layer.spatial:
            plain, one, more = maps.float().split(n)
            errors = torch.stack(
                [
                    error
                    for moved, pixels in ((one, 1), (more, far))
                    for error in equivariance_errors(plain, moved, pixels, layer.field, width)
                ]
            )
        measured[layer.name] = torch.cat([zeros[None].cpu(), errors.cpu()]).T.numpy()

    watch(model, images, named, lambda module, given: None, note)
    return measured


def shifted(x: Tensor, pixels: int) -> Tensor:
    """The images (n, C, H, W) moved to the left; at the right the last column is repeated."""
    return F.pad(x, (0, pixels, 0, 0), mode="replicate")[..., pixels:]


def equivariance_errors(
    plain: Tensor, moved: Tensor, pixels: int, field: Field, width: int
) -> tuple[Tensor, Tensor]:
    """‖features of the shifted image - shifted features‖ / ‖shifted features‖, (n,), over all positions
    that both have, and over those whose receptive fields do not reach the border; NaN where there are none.
    Between positions, features are interpolated (linear)."""
    stride, start = float(field.stride[1]), float(field.start[1])
    whole = floor(pixels / stride)
    part = pixels / stride - whole
    count = plain.shape[3] - whole - (part > 0)
    nothing = torch.full((len(plain),), torch.nan, device=plain.device)
    if count < 1:
        return nothing, nothing
    expected = plain[..., whole : whole + count]
    if part:
        expected = (1 - part) * expected + part * plain[..., whole + 1 : whole + 1 + count]
    difference = moved[..., :count] - expected
    left = start + stride * torch.arange(count, device=plain.device)
    right = torch.inf if field.size is None else float(field.size[1])
    inside = (
        (left >= 0)
        & (left + right <= width - pixels)
        & (left + (whole + (part > 0)) * stride + right <= width)
    )
    return _fraction(difference, expected), _fraction(difference[..., inside], expected[..., inside]) if bool(
        inside.any()
    ) else nothing


def _fraction(difference: Tensor, expected: Tensor) -> Tensor:
    size = expected.flatten(1).norm(dim=1)
    return torch.where(
        size > 0,
        difference.flatten(1).norm(dim=1) / size,
        torch.where(difference.flatten(1).norm(dim=1) > 0, torch.inf, 0.0),
    )


def pooled(model: nn.Module, output: Tensor, images: Tensor) -> Tensor:
    """(n, C): the mean over spatial positions, or the values of a layer without them."""
    maps = read_maps(model, output, images)
    return output.flatten(1) if maps is None else maps.float().mean((2, 3))


def separability(features: np.ndarray, labels: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The fraction of `features` (n, C) nearest (Euclidean) to the mean of their own class, cross-validated
    in `FOLDS` stratified folds; and the same with shuffled labels. Classes of one image are left out; NaN
    where fewer than two classes remain."""
    counts = np.bincount(labels)
    keep = counts[labels] > 1
    if len(np.unique(labels[keep])) < 2:
        return float("nan"), float("nan")
    features, labels = features[keep].astype(np.float64), np.unique(labels[keep], return_inverse=True)[1]
    return _nearest_mean(features, labels), _nearest_mean(
        features, np.random.default_rng(seed).permutation(labels)
    )


def label_separability(features: np.ndarray, truth: np.ndarray, seed: int = 0) -> np.ndarray:
    """(K, 2): of each of K labels, `truth` (n, K) bool, the average precision of how much nearer (Euclidean)
    `features` (n, C) are to the mean of the images that have it than to that of the others, cross-validated
    in `FOLDS` random folds; and the same with shuffled labels. NaN where a fold leaves no image that has it,
    or none that has not."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(truth))
    fold, features = np.argsort(order) % FOLDS, features.astype(np.float64)
    found = [_nearer(features, t, fold) for t in (truth, truth[rng.permutation(len(truth))])]
    return np.stack(found, 1)


def _nearer(features: np.ndarray, truth: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(K,): the average precision of each label."""
    from sklearn.metrics import average_precision_score

    nearer = np.full(truth.shape, np.nan)
    for k in range(FOLDS):
        held, rest = fold == k, fold != k
        with np.errstate(divide="ignore", invalid="ignore"):  # of a label that all have, or none
            with_it, without = (
                t.T @ features[rest] / t.sum(0)[:, None]
                for t in (truth[rest].astype(float), (~truth[rest]).astype(float))
            )
        far = (without**2).sum(1) - (with_it**2).sum(1)
        nearer[held] = 2 * features[held] @ (with_it - without).T + far
    known = np.isfinite(nearer).all(0) & truth.any(0)
    return np.array(
        [
            average_precision_score(truth[:, k], nearer[:, k]) if known[k] else np.nan
            for k in range(truth.shape[1])
        ]
    )


def _nearest_mean(features: np.ndarray, labels: np.ndarray) -> float:
    rank = np.empty(len(labels), int)  # how many of its class stand before each
    for label in np.unique(labels):
        rank[labels == label] = np.arange((labels == label).sum())
    right, one_hot = 0, np.eye(labels.max() + 1)[labels]
    for fold in range(FOLDS):
        held = rank % FOLDS == fold
        counts = one_hot[~held].sum(0)
        means = one_hot[~held].T @ features[~held] / np.maximum(counts, 1)[:, None]
        distance = (means**2).sum(1) - 2 * features[held] @ means.T
        distance[:, counts == 0] = np.inf
        right += int((distance.argmin(1) == labels[held]).sum())
    return right / len(labels)


def what_breaks(steps: Sequence[Step], shift: int) -> str:
    """A sentence that says where equivariance is lost, and by what."""
    placed = [s for s in steps if not np.isnan(s.by_stride)]
    if not placed:
        return "No layer with spatial positions and a known receptive field: equivariance is not measured."
    last = placed[-1]
    pixels = f"{shift} pixel{'s' * (shift != 1)}"
    text = [
        f"If the image is shifted by {pixels}, the features of {last.alias} differ from shifted features by "
        f"{100 * last.by_stride:.0f} %; if by one pixel, by {100 * last.by_one:.0f} %."
    ]
    border = next((s for s in placed if s.by_stride > SMALL and s.by_stride_inside <= SMALL), None)
    stride = next((s for s in placed if s.by_one_inside > SMALL and s.by_stride_inside <= SMALL), None)
    mixing = next((s for s in placed if s.by_stride_inside > SMALL), None)
    if border:
        blind = next((s for s in placed if np.isnan(s.by_stride_inside)), None)
        tail = f"; from {blind.alias} on every receptive field reaches the border" if blind else ""
        text.append(f"Zero padding breaks shift equivariance from {border.alias} on{tail}.")
    if stride:
        text.append(
            f"Strides break shift equivariance from {stride.alias} on: one pixel falls between positions."
        )
    if mixing:
        text.append(
            f"Something other than padding and stride breaks shift equivariance from {mixing.alias} on."
        )
    if not border and not stride and not mixing:
        text.append("Nothing breaks shift equivariance.")
    return " ".join(text)
