"""A small vision transformer that tells the six hair styles of toon faces, for measurements of maps.

    python benchmarks/small_vit.py OUT [--faces 8000] [--epochs 12]

Six blocks, 96 channels, 3 heads, patches of 8 × 8 pixels of images of 64 × 64; a class token. Hair styles,
not expressions: these are too small for a transformer that learns from so few faces. Writes
OUT/weights.safetensors, and the test faces as a folder OUT/faces; the same command resumes after the last
epoch that is done. Drawn faces are kept in OUT too.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.timing import hardware
from explain.network.hooks import logits
from models.data.toon_faces import ToonFaces
from models.preprocessing import Preprocessing

SIDE, BATCH, RATE = 64, 64, 1e-3
CLASSES = ("bald", "bun", "curly", "long", "short", "side")
TESTED = 800
HALF = (0.5, 0.5, 0.5)
PREPROCESSING = Preprocessing((SIDE, SIDE), None, HALF, HALF)


def network() -> nn.Module:
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(SIDE, 8, num_classes=len(CLASSES), embed_dim=96, depth=6, num_heads=3)


def drawn(folder: Path, split: str, count: int) -> tuple[Tensor, Tensor]:
    """Pixels (N, 3, 64, 64) uint8 and classes (N,) of the first faces of a split."""
    kept = folder / f"{split}_{count}.npz"
    if not kept.exists():
        faces = ToonFaces(split, count)
        small = (faces.load(k).resize((SIDE, SIDE), Image.Resampling.BILINEAR) for k in range(count))
        pixels = np.stack([np.asarray(face) for face in small])
        np.savez(kept, pixels=pixels)
    labels = [CLASSES.index(style) for style in ToonFaces(split, count).metadata["hair"]]
    with np.load(kept) as arrays:
        return torch.from_numpy(arrays["pixels"]).permute(0, 3, 1, 2), torch.tensor(labels)


def write_faces(folder: Path) -> None:
    """The test faces as PNG files in folders of their hair styles."""
    faces = ToonFaces("test", TESTED)
    for k, style in enumerate(faces.metadata["hair"]):
        (folder / style).mkdir(parents=True, exist_ok=True)
        faces.load(k).save(folder / style / f"{k:03d}.png")


def normalized(pixels: Tensor) -> Tensor:
    return pixels.float() / 127.5 - 1


def varied(x: Tensor) -> Tensor:
    """Mirrored at random, and shifted by up to 6 pixels, all images of a batch alike."""
    down, across = torch.randint(-6, 7, (2,)).tolist()
    shifted = F.pad(x, (6, 6, 6, 6), mode="replicate")[:, :, 6 + down :, 6 + across :][:, :, :SIDE, :SIDE]
    return torch.where((torch.rand(len(x)) < 0.5)[:, None, None, None], shifted.flip(3), shifted)


def train(folder: Path, faces: int, epochs: int) -> nn.Module:
    folder.mkdir(parents=True, exist_ok=True)
    pixels, labels = drawn(folder, "train", faces)
    torch.manual_seed(0)
    model, state = network(), folder / "state.pt"
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.05)
    steps = epochs * -(-faces // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.15)
    first = 0
    if state.exists():
        kept = torch.load(state, weights_only=True)
        model.load_state_dict(kept["model"])
        optimizer.load_state_dict(kept["optimizer"])
        schedule.load_state_dict(kept["schedule"])
        first = kept["epoch"]
    for epoch in range(first, epochs):
        began, losses = time.perf_counter(), []
        model.train()
        for of in torch.randperm(faces).split(BATCH):
            with torch.autocast("cpu", torch.bfloat16):
                answers = model(varied(normalized(pixels[of])))
            loss = F.cross_entropy(answers.float(), labels[of], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        states = {"model": model, "optimizer": optimizer, "schedule": schedule}
        torch.save({k: v.state_dict() for k, v in states.items()} | {"epoch": epoch + 1}, state)
        print(
            f"epoch {epoch + 1}: loss {np.mean(losses):.3f}, {time.perf_counter() - began:.0f} s", flush=True
        )
    return model.eval()


def trained(folder: Path) -> nn.Module:
    """The network that `main` wrote, in eval mode."""
    model = network()
    load_model(model, folder / "weights.safetensors")
    return model.eval()


def accuracy(model: nn.Module, pixels: Tensor, labels: Tensor) -> float:
    answers = torch.cat([logits(model, normalized(part)) for part in pixels.split(BATCH)])
    return float((answers.argmax(1) == labels).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--faces", type=int, default=8000)
    parser.add_argument("--epochs", type=int, default=12)
    given = parser.parse_args()
    print(hardware())
    model = train(given.out, given.faces, given.epochs)
    save_model(model, str(given.out / "weights.safetensors"))
    write_faces(given.out / "faces")
    found = {split: accuracy(model, *drawn(given.out, split, TESTED)) for split in ("validation", "test")}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
