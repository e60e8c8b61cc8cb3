"""Pictures with alpha, and small networks that take two or four channels."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision import transforms as T

from models.checkpoints import fingerprint
from models.classifier import Classifier
from models.preprocessing import Preprocessing
from tests.conftest import COLORS, TinyNet

MODES = {2: "LA", 4: "RGBA"}
NAMES = {2: "grey-alpha", 4: "rgba"}
MEAN = {2: (0.4, 0.3), 4: (0.5, 0.4, 0.3, 0.2)}
STD = {2: (0.2, 0.5), 4: (0.2, 0.3, 0.4, 0.5)}
CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU()
        )
        self.head = nn.Linear(12, 3)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))

def made(channels):
    torch.manual_seed(channels)
    return Net(channels)

def two(): return made(2)
def four(): return made(4)
def five(): return made(5)
"""
FACTORY = {2: "two", 4: "four", 5: "five"}


def joined(values: tuple[float, ...]) -> str:
    return ",".join(map(str, values))


def told(channels: int) -> tuple[str, ...]:
    """Options of the command line for a network of so many channels."""
    how = ("--input-size", "24", "--resize", "28", "--channels", NAMES[channels])
    return (*how, "--mean", joined(MEAN[channels]), "--std", joined(STD[channels]))


def transparent(size: tuple[int, int], seed: int = 0) -> Image.Image:
    """Noise with an alpha of its own, of which a third is 0 and a third 255."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    values[..., 3] = np.clip(rng.integers(-255, 511, (size[1], size[0])), 0, 255)
    return Image.fromarray(values)


def alpha_pictures(folder: Path) -> Path:
    """Three classes; of each two RGBA, one LA and one RGB picture."""
    for k, (name, color) in enumerate(COLORS.items()):
        (folder / "data" / name).mkdir(parents=True)
        for i, mode in enumerate(("RGBA", "RGBA", "LA", "RGB")):
            picture = Image.blend(
                transparent((40 + i, 30), 9 * k + i), Image.new("RGBA", (40 + i, 30), color), 0.5
            )
            picture.convert(mode).save(folder / "data" / name / f"{i}.png")
    return folder / "data"


def code_below(folder: Path) -> Path:
    (folder / "net.py").write_text(CODE)
    return folder / "net.py"


def plain(channels: int) -> T.Compose:
    """The transform of `told` as torchvision has it."""
    steps = [T.Resize(28), T.CenterCrop(24), T.ToTensor(), T.Normalize(MEAN[channels], STD[channels])]
    return T.Compose([T.Lambda(lambda image: image.convert(MODES[channels])), *steps])


def network(channels: int) -> Classifier:
    torch.manual_seed(channels)
    model = TinyNet()
    model.features[0] = nn.Conv2d(channels, 8, 3, 2, 1)
    fed = Preprocessing((24, 24), None, MEAN[channels], STD[channels])
    return Classifier("tiny", model.eval(), tuple(COLORS), fed, "", fingerprint(model))
