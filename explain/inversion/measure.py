"""How much of a picture can be rebuilt from each layer: errors of its decoder over many pictures, with two
controls."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from explain.inversion.rebuild import layer_output, unit
from explain.text_table import columns
from models.classifier import Classifier
from models.data.images import UnreadableImage
from models.data.source import ImageSource
from models.errors import UserError
from models.inversion.decoder import Decoder
from models.inversion.training import mean_distance
from models.outputs.multi_label import is_multi_label
from models.outputs.regression import is_regression

BATCH = 16
COLUMNS = ("error", "mse", "psnr", "ssim", "same", "other", "mean")
"""`error`: ||rebuilt - x|| as a fraction of the mean distance between two images; `mse` of the normalized
picture; `psnr` in dB and `ssim` of pixels in [0, 1]; `same`: fraction whose predicted class stays, or of
several labels per image exactly the called labels, NaN of numbers; `other`: the error where another picture's
features are decoded; `mean`: that of the mean picture."""


def measure(
    classifier: Classifier, decoders: Sequence[Decoder], source: ImageSource, limit: int = 500
) -> Iterator[tuple[float, pd.DataFrame]]:
    """Yields (fraction that is done, one row a layer with `COLUMNS` and `images`, in the order of
    `decoders`). Errors are fractions of the mean distance between these images. Raises UserError where fewer
    than two can be read."""
    x = _read(classifier, source, limit)
    scale, total = mean_distance(x), dict[str, list[dict[str, float]]]()
    with torch.inference_mode():
        before = torch.cat([_called(classifier, part) for part in x.split(BATCH)])
    average = float((x - x.mean(0)).flatten(1).norm(dim=1).mean()) / scale
    done = 0
    for decoder in decoders:
        rows = total.setdefault(decoder.layer, [])
        for begin in range(0, len(x), BATCH):
            part = x[begin : begin + BATCH]
            features = layer_output(classifier, part, decoder.layer)
            rebuilt, others = decoder.pictures(features), decoder.pictures(features.roll(1, 0))
            rows += _rows(classifier, part, rebuilt, others, before[begin : begin + BATCH], scale)
            done += len(part)
            yield done / (len(x) * len(decoders)), _table(total, average)


def _called(classifier: Classifier, x: Tensor) -> Tensor:
    """What the network predicts of images: their classes (n, 1), or whether each label is called (n, K)."""
    scores = classifier.model(x)
    return scores >= 0 if is_multi_label(classifier.model) else scores.argmax(1, keepdim=True)


def _rows(
    classifier: Classifier, x: Tensor, rebuilt: Tensor, others: Tensor, before: Tensor, scale: float
) -> list[dict[str, float]]:
    with torch.inference_mode():
        same = (_called(classifier, rebuilt) == before).all(1).float().tolist()
    if is_regression(classifier.model):
        same = [float("nan")] * len(x)
    distance, away = ((p - x).flatten(1).norm(dim=1) / scale for p in (rebuilt, others))
    original, shown = (unit(p, classifier.preprocessing).cpu().numpy() for p in (x, rebuilt))
    squares = ((original - shown) ** 2).mean((1, 2, 3))
    return [
        {
            "error": float(distance[k]),
            "mse": float((rebuilt[k] - x[k]).square().mean()),
            "psnr": float(-10 * np.log10(max(squares[k], 1e-10))),
            "ssim": float(structural_similarity(original[k], shown[k], channel_axis=0, data_range=1.0)),
            "same": same[k],
            "other": float(away[k]) if len(x) > 1 else float("nan"),
        }
        for k in range(len(x))
    ]


def _table(total: dict[str, list[dict[str, float]]], average: float) -> pd.DataFrame:
    made: list[dict[str, Any]] = []
    for layer, rows in total.items():
        means = pd.DataFrame(rows).mean() if rows else pd.Series(dtype=float)
        made.append(
            {
                "layer": layer,
                **{name: float(means.get(name, np.nan)) for name in COLUMNS[:-1]},
                "mean": average,
                "images": len(rows),
            }
        )
    return pd.DataFrame(made)


def _read(classifier: Classifier, source: ImageSource, limit: int) -> Tensor:
    """Normalized pictures (N, C, H, W), evenly spread over the source; unreadable ones are left out."""
    step, images, source = max(1, len(source) // limit), [], source.read_for(classifier.preprocessing)
    for index in range(0, len(source), step):
        try:
            images.append(source.load(index))
        except UnreadableImage:
            continue
        if len(images) == limit:
            break
    if len(images) < 2:
        raise UserError(
            f"{source.name} has {len(images)} readable images: errors are measured on two at least."
        )
    # shuffled: neighbors are of one class in most sets, and another picture's features would be too much
    # like a picture's own
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return classifier.batch([images[k] for k in order.tolist()])


def format_text(table: pd.DataFrame) -> list[str]:
    """One line a layer, the shallowest first."""
    rows = [("layer", "error", "MSE", "PSNR", "SSIM", "same class", "other picture", "mean picture")]
    rows += [
        (
            str(row["layer"]),
            f"{row['error']:.3f}",
            f"{row['mse']:.3f}",
            f"{row['psnr']:.1f} dB",
            f"{row['ssim']:.3f}",
            f"{100 * row['same']:.0f} %" if row["same"] == row["same"] else "–",
            f"{row['other']:.3f}",
            f"{row['mean']:.3f}",
        )
        for _, row in table.iterrows()
    ]
    return columns(rows, right=range(1, 8)).splitlines()
