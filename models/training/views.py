"""Random views of a batch, each image its own."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms.v2.functional import equalize

from models.inputs.channels import has_alpha
from models.training.strengths import AugmentationStrengths

WIDEST = 1 / 40  # largest sigma of a blur, as a fraction of the width: 3 pixels of 128


def varied(pixels: Tensor, s: AugmentationStrengths) -> Tensor:
    """uint8 (N, C, h, w) -> float (N, C, h, w) in 0..255 at the strengths `s`; draws from torch's global
    generator."""
    x = (_equalized(pixels, s) if s.equalize else pixels).float()
    x = _moved(x, s) if s.flip or s.rotation or s.shift or s.zoom else x
    x = _of_colors(partial(_lit, s=s), x) if s.light or s.contrast else x
    x = _blurred(x, s) if s.blur else x
    x = _of_colors(partial(_greyed, s=s), x) if s.grey and x.shape[1] >= 3 else x
    return _erased(x, s) if s.erase else x


def _equalized(pixels: Tensor, s: AugmentationStrengths) -> Tensor:
    """Before all else, as it counts whole values of pixels."""
    rows = (torch.rand(len(pixels)) < s.equalize).nonzero()[:, 0].to(pixels.device)
    if not len(rows):
        return pixels
    return pixels.index_copy(0, rows, _of_colors(equalize, pixels[rows]))


def _of_colors(change: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`change` of the colors; alpha, the last of two or four channels, stays as it is."""
    if not has_alpha(x.shape[1]):
        return change(x)
    return torch.cat([change(x[:, :-1]), x[:, -1:]], 1)


def _moved(x: Tensor, s: AugmentationStrengths) -> Tensor:
    n = len(x)
    angle, scale = _uniform(n, s.rotation * torch.pi / 180), 1 + _uniform(n, s.zoom)
    mirror = torch.where(torch.rand(n) < s.flip, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    across, down = _uniform(n, 2 * s.shift), _uniform(n, 2 * s.shift)
    theta = torch.stack(
        [torch.stack([cos * mirror, -sin, across], 1), torch.stack([sin * mirror, cos, down], 1)], 1
    )
    grid = F.affine_grid(theta.to(x.device), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def _lit(x: Tensor, s: AugmentationStrengths) -> Tensor:
    n, shape = len(x), (-1, 1, 1, 1)
    gain = (1 + _uniform(n, s.contrast)).view(shape).to(x.device)
    offset = (255 * _uniform(n, s.light)).view(shape).to(x.device)
    mean = x.mean((1, 2, 3), keepdim=True)
    return ((x - mean) * gain + mean + offset).clamp_(0, 255)


def _blurred(x: Tensor, s: AugmentationStrengths) -> Tensor:
    """Each chosen image by a Gaussian of its own, one axis after the other; sigma 1/5 to all of `WIDEST` of
    the width."""
    widest = WIDEST * x.shape[3]
    chosen, sigma = torch.rand(len(x)) < s.blur, (0.2 + 0.8 * torch.rand(len(x))) * widest
    if not chosen.any():
        return x
    reach = math.ceil(3 * widest)
    offsets = torch.arange(-reach, reach + 1)
    kernels = torch.exp(-(offsets**2) / (2 * sigma[chosen, None] ** 2))
    kernels = (kernels / kernels.sum(1, keepdim=True)).to(x)
    rows = chosen.nonzero()[:, 0].to(x.device)
    some = x[rows].transpose(0, 1)  # each image is a group of the convolution, its colors are the batch
    with torch.autocast(x.device.type, enabled=False):  # bfloat16 would round pixels to steps of 1
        some = F.conv2d(
            F.pad(some, (reach, reach, 0, 0), mode="replicate"),
            kernels[:, None, None, :],
            groups=len(kernels),
        )
        some = F.conv2d(
            F.pad(some, (0, 0, reach, reach), mode="replicate"),
            kernels[:, None, :, None],
            groups=len(kernels),
        )
    return x.index_copy(0, rows, some.transpose(0, 1))


def _greyed(x: Tensor, s: AugmentationStrengths) -> Tensor:
    chosen = (torch.rand(len(x)) < s.grey).view(-1, 1, 1, 1).to(x.device)
    luma = (x * x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    return torch.where(chosen, luma, x)


def _erased(x: Tensor, s: AugmentationStrengths) -> Tensor:
    n, height, width = len(x), x.shape[2], x.shape[3]
    area, aspect = 0.02 + 0.13 * torch.rand(n), torch.exp(_uniform(n, 1.0))
    tall, wide = (area * aspect).sqrt().clamp(max=0.9) * height, (area / aspect).sqrt().clamp(max=0.9) * width
    top, left = torch.rand(n) * (height - tall), torch.rand(n) * (width - wide)
    rows, columns = torch.arange(height)[None, :, None], torch.arange(width)[None, None, :]
    hit = (rows >= top[:, None, None]) & (rows < (top + tall)[:, None, None])
    hit = hit & (columns >= left[:, None, None]) & (columns < (left + wide)[:, None, None])
    hit = hit & (torch.rand(n) < s.erase)[:, None, None]
    filling = x.mean((1, 2, 3), keepdim=True)
    if has_alpha(x.shape[1]):  # the mean of the colors, and that of alpha
        means = [part.mean((1, 2, 3), keepdim=True) for part in (x[:, :-1], x[:, -1:])]
        filling = torch.cat([means[0].expand(-1, x.shape[1] - 1, -1, -1), means[1]], 1)
    return torch.where(hit[:, None].to(x.device), filling, x)


def _uniform(n: int, bound: float) -> Tensor:
    return (torch.rand(n) * 2 - 1) * bound
