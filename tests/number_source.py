"""Pictures with numbers, and a network that answers them."""

import io
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torchvision.transforms import functional as TF

from explain.run.engine import run
from explain.run.outputs.number_run import NumbersRun
from explain.run.reader import open_run
from models.checkpoints import fingerprint
from models.classifier import Classifier
from models.data.source import ImageSource, Item
from models.outputs.task import REGRESSION, with_task
from tests.conftest import TINY, TinyNet

OUTPUTS = ("red", "blue", "light")


@cache
def _tinted_pictures(count: int) -> list[tuple[bytes, tuple[float, ...]]]:
    """PNG files, and the three numbers of each."""
    rng, made = np.random.default_rng(3), []
    for _ in range(count):
        color = rng.uniform(20, 235, 3)
        picture = np.clip(color + rng.normal(0, 20, (40, 48, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(file := io.BytesIO(), "PNG")
        made.append((file.getvalue(), (color[0] / 255, 10 * color[2] / 255 - 5, 100 + color.mean())))
    return made


class Tinted(ImageSource):
    """Noisy pictures, and how much red, blue and light they have, in units of their own."""

    regression = True

    def __init__(self, root: Path, count: int = 24):
        root.mkdir(exist_ok=True)
        self.root, self.name, self.classes = str(root), "tinted", OUTPUTS
        self.items = []
        for k, (file, numbers) in enumerate(_tinted_pictures(count)):
            (root / f"{k}.png").write_bytes(file)
            self.items.append(Item.of_numbers(f"{k}.png", numbers))

    def load(self, index: int) -> Image.Image:
        return Image.open(Path(self.root) / self.items[index].id).convert("RGB")

    @property
    def truth(self) -> np.ndarray:
        return np.array([item.numbers for item in self.items])

    def table(self, path: Path) -> Path:
        """The same as a CSV file."""
        images = [str(Path(self.root) / item.id) for item in self.items]
        numbers = dict(zip(OUTPUTS, self.truth.T, strict=True))
        pd.DataFrame({"image": images, **numbers}).to_csv(path, index=False)
        return path


def inputs(source: Tinted) -> torch.Tensor:
    """Without Vitrine: PIL and torchvision."""
    images = [
        TF.to_tensor(source.load(i).resize((32, 32), Image.Resampling.BILINEAR)) for i in range(len(source))
    ]
    return torch.stack([TF.normalize(x, [0.5] * 3, [0.5] * 3) for x in images])


def network(source: Tinted) -> TinyNet:
    """Its head is fitted to the images, by least squares."""
    torch.manual_seed(1)
    model = TinyNet(len(OUTPUTS)).eval()
    with torch.no_grad():
        features = model.features(inputs(source)).mean((2, 3))
        design = torch.cat([features, torch.ones(len(source), 1)], 1).double()
        found = torch.linalg.lstsq(design, torch.from_numpy(source.truth)).solution.float()
        model.head.weight.copy_(found[:-1].T)
        model.head.bias.copy_(found[-1])
    return model


def answering(source: Tinted, names: tuple[str, ...] = OUTPUTS) -> Classifier:
    model = network(source)
    return with_task(Classifier("tiny", model, names, TINY, "", fingerprint(model)), REGRESSION)


def opened(net: Classifier, source: Tinted, out: Path, *methods: str) -> NumbersRun:
    """A run in parts of seven images."""
    run(net, source, out, list(methods or ["grad_cam"]), batch_size=5, part_rows=7)
    found = open_run(out)
    assert isinstance(found, NumbersRun)
    return found


def plain_numbers(net: Classifier, source: Tinted) -> np.ndarray:
    with torch.inference_mode():
        found: np.ndarray = net.model(inputs(source)).numpy()
    return found
