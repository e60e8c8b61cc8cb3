"""Features of a frozen base for every image: computed once, stored in the cache folder, used for every head
and seed."""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from models.checkpoints import fingerprint
from models.data.source import ImageSource
from models.data.tensors import PixelDataset, workers
from models.files.atomic import atomic
from models.files.cache_folder import cache_folder
from models.preprocessing import Preprocessing


def features(
    model: nn.Module,
    head: str,
    preprocessing: Preprocessing,
    source: ImageSource,
    classes: tuple[str, ...],
    batch_size: int = 64,
    fitted: bool = False,
) -> tuple[Tensor, Tensor]:
    """The input of `head`, (n, C) float32, and the labels (`models.data.tensors.truth`; `targets` where
    `fitted`), in the order of the source. Without augmentation."""
    whole, device = model.get_submodule(head), next(model.parameters()).device
    model.set_submodule(head, nn.Identity())
    try:
        file = _place(model, preprocessing, source, fitted)
        data = PixelDataset(source, preprocessing, classes, fitted)
        if file.exists():
            kept = load_file(file)
            return kept["features"], kept["truth"]
        found: list[tuple[Tensor, Tensor]] = []
        model.eval()
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            loader = DataLoader(data, batch_size, num_workers=workers(len(data), batch_size))
            for x, y in tqdm(loader, desc=f"features of {source.name}", unit="batch", leave=False):
                found.append((model(preprocessing.normalize(x, device)).flatten(1).float().cpu(), y))
    finally:
        model.set_submodule(head, whole)
    x, y = (torch.cat(part) for part in zip(*found, strict=True))
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic(file, shared=True) as temporary:
        save_file({"features": x, "truth": y}, temporary)
    return x, y


def _place(base: nn.Module, preprocessing: Preprocessing, source: ImageSource, fitted: bool) -> Path:
    """A file name that depends on the weights, the preprocessing, the labels and the image files."""
    key = (
        f"{fingerprint(base)} {preprocessing} {source.root} {source.fingerprint()} {source.contents()} "
        f"{source.classes}{' sets' if source.multi_label else ''}"
        f"{' votes' if fitted and source.has_votes else ''}"
    )
    return cache_folder() / "features" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.safetensors"
