"""Preview of a training: images per class, some before and after augmentation, and the number of distinct
images per epoch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from models.counts import counted
from models.data.source import ImageSource
from models.data.tensors import truth
from models.errors import UserError
from models.palette import ACCENT
from models.preprocessing import Preprocessing, as_tensor, stack
from models.training.augment import Augmentation
from models.training.balance import groups_of, sampler
from models.training.recipe import Recipe

TILE, GAP, TEXT = 88, 4, 190


@dataclass(frozen=True)
class ClassPreview:
    """`count` images; `before`: some after resize and crop; `after`: the same, augmented once. Unreadable
    images are left out."""

    name: str
    count: int
    before: list[Image.Image]
    after: list[Image.Image]


def preview(
    source: ImageSource,
    preprocessing: Preprocessing,
    augmentation: Augmentation,
    each: int = 3,
    seed: int = 0,
) -> list[ClassPreview]:
    """`each` images of every class, chosen at random with the seed, the largest class first. Of any number of
    labels per image, those that have the label, perhaps beside others; of numbers, all images in one."""
    torch.manual_seed(seed)
    rng, labels = np.random.default_rng(seed), [item.labels or (item.label,) for item in source.items]
    names, made = source.classes, []
    if source.regression:
        names, labels = ("all",), [("all",)] * len(source)
    source = source.read_for(preprocessing)
    for name in names:
        rows = np.array([i for i, given in enumerate(labels) if name in given], int)
        before = _read(source, preprocessing, rng.permutation(rows), each)
        after = augmentation(stack([as_tensor(i) for i in before])) if before else torch.zeros(0, 3, 1, 1)
        pictures = [Image.fromarray(a.permute(1, 2, 0).round().byte().numpy()) for a in after]
        made.append(ClassPreview(name, len(rows), before, pictures))
    return sorted(made, key=lambda c: -c.count)


def _read(
    source: ImageSource, preprocessing: Preprocessing, rows: np.ndarray, each: int
) -> list[Image.Image]:
    found: list[Image.Image] = []
    for row in rows[: 10 * each]:
        if len(found) == each:
            break
        try:
            found.append(preprocessing.shown(source.load(int(row))))
        except UserError:  # shown as missing, counted by the training
            continue
    return found


def distinct_images(
    labels: np.ndarray, classes: int, balance: str, groups: Sequence[str] | None = None
) -> float:
    """Expected number of distinct images per epoch: all, or with the balanced sampler, which draws n times
    with replacement, the sum of 1 - (1 - p)^n. `labels` (n,), or (n, K) of 0 and 1."""
    n, weights = len(labels), sampler(torch.from_numpy(labels), balance, classes, 0, groups).weights
    return float(n) if weights is None else float((1 - (1 - weights / weights.sum()) ** n).sum())


def format_text(source: ImageSource, recipe: Recipe) -> str:
    """One line on the images of an epoch. Raises UserError where the data lacks the column to balance by."""
    labels, recipe = truth(source, source.classes).numpy(), recipe.of_data(source)
    distinct = distinct_images(
        labels, len(source.classes), recipe.balance, groups_of(source, recipe.balance_by)
    )
    pixels = "each newly augmented" if recipe.augmentation.varies else "with the same pixels every time"
    return f"One epoch draws {counted(len(labels), 'image')}, {distinct:.0f} of them distinct, {pixels}."


def sheet(previews: list[ClassPreview]) -> Image.Image:
    """One row per class: its name and count, its images, and the same after augmentation."""
    each = max((len(p.before) for p in previews), default=0)
    width, row, head = TEXT + 2 * each * (TILE + GAP) + 20, TILE + GAP, 26
    page = Image.new("RGB", (width, head + row * len(previews)), "white")
    draw, font, small = ImageDraw.Draw(page), _font(13), _font(11)
    second = TEXT + each * (TILE + GAP) + 12
    draw.text((TEXT, 6), "as they are", "#667085", small)
    draw.text((second, 6), "augmented", ACCENT.light, small)
    for k, p in enumerate(previews):
        top = head + k * row
        draw.text((8, top + 28), _short(p.name, 22), "#1d2939", font)
        draw.text((8, top + 46), f"{counted(p.count, 'image')}", "#667085", small)
        for left, pictures in ((TEXT, p.before), (second, p.after)):
            for i, picture in enumerate(pictures):
                page.paste(
                    picture.resize((TILE, TILE), Image.Resampling.BILINEAR), (left + i * (TILE + GAP), top)
                )
    return page


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from matplotlib.font_manager import findfont

    return ImageFont.truetype(findfont("DejaVu Sans"), size)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
