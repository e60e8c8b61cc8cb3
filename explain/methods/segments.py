"""Regions of one image that are removed or kept together: superpixels (SLIC), or a grid."""

import torch
from torch import Tensor

from models.errors import UserError
from models.inputs.channels import color_values

KINDS = ("superpixels", "grid")


def segments(image: Tensor, kind: str, count: int) -> Tensor:
    """(C, H, W) -> (H, W) of region numbers 0, 1, 2 ... without gaps, about `count` of them; superpixels of
    the colors, without alpha."""
    if kind == "grid":
        h, w = image.shape[1:]
        rows = max(1, round((count * h / w) ** 0.5))
        columns = max(1, round(count / rows))
        return (
            (torch.arange(h) * rows // h)[:, None]
            .mul(columns)
            .add(torch.arange(w) * columns // w)
            .to(image.device)
        )
    if kind != "superpixels":
        raise UserError(f"No regions '{kind}': choose from {', '.join(KINDS)}.")
    from skimage.segmentation import slic

    colors = torch.from_numpy(color_values(image.permute(1, 2, 0).cpu().numpy()))
    low, high = colors.amin(), colors.amax()
    shown = ((colors - low) / (high - low).clamp_min(1e-8)).double().numpy()
    color = shown.shape[2] == 3
    labels = torch.from_numpy(
        slic(
            shown,
            count,
            compactness=10 if color else 0.1,
            start_label=0,
            convert2lab=color,
            channel_axis=-1,
        )
    )
    numbered = labels.unique(return_inverse=True)[1].to(image.device)
    return numbered if int(numbered.max()) else segments(image, "grid", count)  # noise has no superpixels
