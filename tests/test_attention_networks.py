"""Maps of attention: networks that they do not fit, which stay as they were; runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from explain.methods.compute import compute_maps
from explain.methods.request import MapRequest
from explain.run.engine import run
from explain.run.reader import open_run
from models.checkpoints import fingerprint
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.errors import UserError
from models.preprocessing import Preprocessing
from tests.conftest import COLORS, TinyNet
from tests.maps import ATTENTION
from tests.networks import Block, TinyViT, Tokens, state

CLASSES = (1, 2)


def images(side: int = 16, count: int = 2) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(3))


def ours(model: nn.Module, x: Tensor, method: str) -> Tensor:
    return compute_maps(model, x, MapRequest(method, "", CLASSES)).maps


class Cut(nn.Module):
    """Windows of 4 x 4 patches, attention within each."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.block, self.head = nn.Conv2d(3, 12, 4, 4), Block(12, 3, True), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.patches(x).unflatten(3, (-1, 4)).unflatten(2, (-1, 4)).permute(0, 2, 4, 3, 5, 1)
        return self.head(self.block(y.flatten(0, 2).flatten(1, 2)).mean(1).unflatten(0, (len(x), -1)).mean(1))


class ReadsTwo(TinyViT):
    """The head reads the tokens after two blocks."""

    def __init__(self) -> None:
        super().__init__(positions=16, kernel=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = [self.features[:3](x)]
        tokens.append(self.features[3](tokens[0]))
        return self.read(tokens[0] + tokens[1])


class OneBlock(TinyViT):
    """The same block three times."""

    def __init__(self) -> None:
        super().__init__(1, positions=16, kernel=True)
        self.features = nn.Sequential(self.features[0], *[self.features[1]] * 3)


class Loose(TinyViT):
    """Attention in one list and the rest of the blocks in another: no module outputs the tokens after one."""

    def __init__(self) -> None:
        super().__init__(positions=16, kernel=True)
        self.attention, self.rest = nn.ModuleList(self.features[1:]), nn.ModuleList([nn.Linear(12, 12)] * 3)
        self.start = self.features[0]
        del self.features

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.start(x)
        for attention, rest in zip(self.attention, self.rest, strict=True):
            tokens = tokens + attention(tokens)
            tokens = tokens + rest(tokens)
        return self.read(tokens)


class Channels(nn.Module):
    """Attention between 12 channels of 16 tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.head = Tokens(12, 16), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.tokens(x).transpose(1, 2)[:, None]
        return self.head((y @ y.transpose(2, 3)).softmax(-1).matmul(y)[:, 0].mean(2))


NO_ATTENTION = "needs attention between patches, and this network has none: use HiResCAM"
OTHER_SHAPES = r"every patch to every patch in all blocks, and this network computes \("
TWO = "needs blocks with one attention each, and this network has others: use HiResCAM"


def swin() -> nn.Module:
    return timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=64, window_size=4, embed_dim=12, depths=(1, 1, 1, 1)
    )


def differential() -> nn.Module:
    """Two matrices a block."""
    return timm.create_model("vit_dlittle_patch16_reg1_gap_256", img_size=64, depth=2)


@pytest.mark.parametrize("method", sorted(ATTENTION))
@pytest.mark.parametrize(
    ("make", "side", "reason"),
    [
        (TinyNet, 32, NO_ATTENTION),
        (swin, 64, OTHER_SHAPES + r"16, 3, 16, 16\)"),
        (Cut, 32, OTHER_SHAPES + r"4, 3, 16, 16\) for one image \(windows"),
        (Channels, 16, OTHER_SHAPES + r"1, 1, 12, 12\)"),
        (differential, 64, TWO),
    ],
)
def test_networks_without(method: str, make: Any, side: int, reason: str) -> None:
    """One line that says what was found and what to use; the network is as it was."""
    model = make().train()
    before = state(model)
    with pytest.raises(UserError, match=reason) as wrong:
        ours(model, images(side), method)
    assert "\n" not in str(wrong.value)
    assert state(model) == before


@pytest.mark.parametrize(
    ("make", "reason"),
    [(ReadsTwo, "reads more"), (OneBlock, "module for each block"), (Loose, "module for each block")],
)
def test_networks_without_a_score_after_each_block(make: Any, reason: str) -> None:
    """LeGrad says so; the other methods need none."""
    model = make()
    before = state(model.train())
    with pytest.raises(UserError, match=f"{reason}.*use Attention relevance"):
        ours(model, images(), "legrad")
    assert ours(model, images(), "attention_relevance").shape == (2, 4, 4)
    assert ours(model, images(), "attention_rollout").amax() < 1
    assert state(model) == before


def test_a_head_of_zeros() -> None:
    """As torchvision's before training: no token is read."""
    model = TinyViT(positions=16)
    nn.init.zeros_(model.head.weight)
    assert float(ours(model, images(), "legrad").abs().max()) == 0
    with pytest.raises(UserError, match="depends on no token"):
        ours(model, images(), "attention_rollout")


@pytest.mark.parametrize("method", sorted(ATTENTION))
def test_bf16(method: str) -> None:
    model = TinyViT(positions=16, kernel=True)
    exact = ours(model, images(), method)
    rough = compute_maps(model, images(), MapRequest(method, "", CLASSES), precision="bf16").maps
    assert not torch.equal(exact, rough)
    for a, b in zip(exact.flatten(1), rough.flatten(1), strict=True):
        assert float(torch.corrcoef(torch.stack([a, b]))[0, 1]) > 0.99


def test_tokens_first() -> None:
    """`nn.TransformerEncoder` with (T, N, C): the same maps as with (N, T, C)."""

    class Encoder(nn.Module):
        def __init__(self, batch_first: bool):
            super().__init__()
            torch.manual_seed(2)
            layer = nn.TransformerEncoderLayer(12, 2, 16, batch_first=batch_first)
            self.first = batch_first
            self.tokens, self.encoder, self.head = (
                Tokens(12, 16),
                nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
                nn.Linear(12, 3),
            )
            for p in self.encoder.parameters():
                nn.init.normal_(p, 0, 0.4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.tokens(x)
            y = self.encoder(y) if self.first else self.encoder(y.transpose(0, 1)).transpose(0, 1)
            return self.head(y[:, 0])

    ones, others = Encoder(True), Encoder(False)
    others.load_state_dict(ones.state_dict())
    for method in ATTENTION:
        maps = ours(ones, images(), method)
        assert maps.std() > 0
        torch.testing.assert_close(ours(others, images(), method), maps, rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_a_run(pictures: Path, tmp_path: Path) -> None:
    """Maps of attention beside those of a layer, of the same size, in a folder that is read again."""
    torch.manual_seed(0)
    model = TinyViT(positions=64).eval()
    preprocessing = Preprocessing((32, 32), None, (0.5,) * 3, (0.5,) * 3)
    classifier = Classifier("vit", model, tuple(COLORS), preprocessing, "", fingerprint(model))
    methods = [*sorted(ATTENTION), "hires_cam"]
    manifest = run(classifier, FolderSource(pictures), tmp_path / "run", methods, batch_size=5)
    opened = open_run(tmp_path / "run")
    assert opened.manifest.request.map_shape == (8, 8)
    first = opened.table.iloc[0]
    image = classifier.batch([Image.open(pictures / first["id"])])
    request = MapRequest("legrad", "", int(first["pred"]))
    expected = compute_maps(model, image, request).maps[0].numpy()
    assert manifest.request.methods == tuple(methods)
    found = opened.maps("legrad", "pred", [0])[0]
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-3 * expected.max())


def test_a_run_of_a_network_without(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    """The reason, before any work."""
    with pytest.raises(UserError, match=NO_ATTENTION):
        run(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam", "legrad"])
    assert not (tmp_path / "run").exists()
