"""Random views of faces, each image its own: what a camera and a head do to a face, and never a vertical flip."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

from models.errors import UserError

LIMITS = {"flip": 1.0, "rotation": 45.0, "shift": 0.5, "zoom": 0.5, "light": 1.0, "contrast": 1.0, "erase": 1.0}


@dataclass(frozen=True)
class Augmentation:
    """Strengths; 0 turns each off. The ranges of Hewitt & Gunes 2018 and of the usual FER2013 recipes.

    flip: share of images mirrored; rotation: degrees to either side; shift: share of the width; zoom: share of the size;
    light: share of the range added; contrast: share around the mean; erase: share of images that lose a rectangle (Zhong
    et al. 2020, *Random Erasing*; 2 to 15 % of the area, filled with the image's mean).
    """

    flip: float = 0.5
    rotation: float = 15.0
    shift: float = 0.08
    zoom: float = 0.1
    light: float = 0.0
    contrast: float = 0.0
    erase: float = 0.0

    def __post_init__(self) -> None:
        for name, most in LIMITS.items():
            if not 0 <= getattr(self, name) <= most:
                raise UserError(f"Augmentation {name} is {getattr(self, name)}: it must lie between 0 and {most:g}.")

    @classmethod
    def parse(cls, text: str) -> "Augmentation":
        """`none`, or strengths as in 'rotation=10, erase=0.25'; what is not named keeps its default."""
        if text.strip() in ("", "default"):
            return cls()
        if text.strip() == "none":
            return cls(*(0.0 for _ in fields(cls)))
        values = {}
        for part in text.split(","):
            name, _, value = (p.strip() for p in part.partition("="))
            try:
                values[name] = float(value)
            except ValueError:
                raise UserError(f"--augment '{part.strip()}' is not of the form NAME=NUMBER: names are {', '.join(LIMITS)}.") from None
            if name not in LIMITS:
                raise UserError(f"--augment has no '{name}': names are {', '.join(LIMITS)}.")
        return cls(**values)

    def __str__(self) -> str:
        changed = [f"{f.name}={getattr(self, f.name):g}" for f in fields(self)]
        return ",".join(changed)

    @property
    def varies(self) -> bool:
        """Whether an image ever looks different from one epoch to the next."""
        return any(getattr(self, f.name) for f in fields(self))

    def __call__(self, pixels: Tensor) -> Tensor:
        """uint8 (N, C, h, w) -> float (N, C, h, w) in 0..255; draws from torch's global generator."""
        x = pixels.float()
        x = self._moved(x) if self.flip or self.rotation or self.shift or self.zoom else x
        x = self._lit(x) if self.light or self.contrast else x
        return self._erased(x) if self.erase else x

    def _moved(self, x: Tensor) -> Tensor:
        n = len(x)
        angle, scale = _uniform(n, self.rotation * torch.pi / 180), 1 + _uniform(n, self.zoom)
        mirror = torch.where(torch.rand(n) < self.flip, -1.0, 1.0)
        cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
        across, down = _uniform(n, 2 * self.shift), _uniform(n, 2 * self.shift)
        theta = torch.stack([torch.stack([cos * mirror, -sin, across], 1), torch.stack([sin * mirror, cos, down], 1)], 1)
        grid = F.affine_grid(theta.to(x.device), list(x.shape), align_corners=False)
        return F.grid_sample(x, grid, padding_mode="border", align_corners=False)

    def _lit(self, x: Tensor) -> Tensor:
        n, shape = len(x), (-1, 1, 1, 1)
        gain = (1 + _uniform(n, self.contrast)).view(shape).to(x.device)
        offset = (255 * _uniform(n, self.light)).view(shape).to(x.device)
        mean = x.mean((1, 2, 3), keepdim=True)
        return ((x - mean) * gain + mean + offset).clamp_(0, 255)

    def _erased(self, x: Tensor) -> Tensor:
        n, height, width = len(x), x.shape[2], x.shape[3]
        area, aspect = 0.02 + 0.13 * torch.rand(n), torch.exp(_uniform(n, 1.0))
        tall, wide = (area * aspect).sqrt().clamp(max=0.9) * height, (area / aspect).sqrt().clamp(max=0.9) * width
        top, left = torch.rand(n) * (height - tall), torch.rand(n) * (width - wide)
        rows, columns = torch.arange(height)[None, :, None], torch.arange(width)[None, None, :]
        hit = (rows >= top[:, None, None]) & (rows < (top + tall)[:, None, None])
        hit = hit & (columns >= left[:, None, None]) & (columns < (left + wide)[:, None, None])
        hit = hit & (torch.rand(n) < self.erase)[:, None, None]
        return torch.where(hit[:, None].to(x.device), x.mean((1, 2, 3), keepdim=True), x)


def _uniform(n: int, bound: float) -> Tensor:
    return (torch.rand(n) * 2 - 1) * bound
