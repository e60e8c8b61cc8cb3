"""Small networks that run one activation, or one block, several times in a pass; and with separate
modules."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import nn


class Tokens(nn.Module):
    """Patches of 4 x 4 pixels as tokens behind a class token, with embeddings of their positions."""

    def __init__(self, width: int, positions: int):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.token, self.places = (nn.Parameter(torch.randn(1, n, width)) for n in (1, positions + 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        return torch.cat([self.token.expand(len(x), -1, -1), patches], 1) + self.places


class Block(nn.Module):
    """Attention written out, and a hidden layer; `attention`: its matrices (N, heads, T, T) of the last pass.
    `kernel`: computed by PyTorch's fused function instead."""

    def __init__(self, width: int, heads: int, kernel: bool):
        super().__init__()
        self.heads, self.kernel = heads, kernel
        self.before, self.qkv, self.out = (
            nn.LayerNorm(width),
            nn.Linear(width, 3 * width),
            nn.Linear(width, width),
        )
        self.hidden = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )
        nn.init.normal_(self.qkv.weight, 0, 0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(self.before(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if self.kernel:
            y = nn.functional.scaled_dot_product_attention(q, k, v)
        else:
            self.attention = (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).softmax(-1)
            y = self.attention @ v
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.hidden(x)


class Pool(nn.Module):
    """One query that attends to all tokens; `attention`: (N, heads, 1, T) of the last pass."""

    def __init__(self, width: int, heads: int, kernel: bool):
        super().__init__()
        self.heads, self.kernel = heads, kernel
        self.query, self.keys = nn.Parameter(torch.randn(1, 1, width)), nn.Linear(width, 2 * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        k, v = self.keys(x).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q = self.query.unflatten(2, (self.heads, -1)).transpose(1, 2).expand(len(x), -1, -1, -1)
        if self.kernel:
            return nn.functional.scaled_dot_product_attention(q, k, v).flatten(1)
        self.attention = (q @ k.transpose(2, 3) / q.shape[3] ** 0.5).softmax(-1)
        return (self.attention @ v).flatten(1)


class TinyViT(nn.Module):
    """Reads the class token (`reads` 'class'), the mean of the patches ('patches') or of both ('all'), or
    what one query attends to ('pool')."""

    def __init__(self, blocks: int = 3, kernel: bool = False, reads: str = "class", positions: int = 64):
        super().__init__()
        torch.manual_seed(7)
        made = (Block(12, 3, kernel) for _ in range(blocks))
        self.features, self.reads = nn.Sequential(Tokens(12, positions), *made), reads
        self.norm, self.dropout, self.head = nn.LayerNorm(12), nn.Dropout(0.5), nn.Linear(12, 3)
        self.pool = Pool(12, 3, kernel) if reads == "pool" else None

    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits of the tokens after any block."""
        y = self.norm(tokens)
        if self.pool is not None:
            return self.head(self.dropout(self.pool(y)))
        pooled = {"class": y[:, 0], "patches": y[:, 1:].mean(1), "all": y.mean(1)}[self.reads]
        return self.head(self.dropout(pooled))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.read(self.features(x))


CLASSES = torch.tensor([1, 3])
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "LeakyReLU": lambda: nn.LeakyReLU(0.2, inplace=True),
    "SiLU": lambda: nn.SiLU(inplace=True),
    "GELU": nn.GELU,
    "Hardswish": lambda: nn.Hardswish(inplace=True),
    "ReLU": lambda: nn.ReLU(inplace=True),
    "ReLU6": nn.ReLU6,
    "ELU": lambda: nn.ELU(inplace=True),
    "Mish": nn.Mish,
    "Softplus": nn.Softplus,
    "PReLU": lambda: nn.PReLU(6),
    "Tanh": nn.Tanh,
    "Sigmoid": nn.Sigmoid,
}


class Net(nn.Module):
    """Convolutions in a chain and in a residual block, and a hidden layer: five activations, four of them on
    maps.

    `acts`: the activations, one for each run, or the same one five times.
    """

    def __init__(self, acts: list[nn.Module]):
        super().__init__()
        torch.manual_seed(4)
        self.stem, self.norm, self.left = (
            nn.Conv2d(3, 6, 3, 2, 1),
            nn.BatchNorm2d(6),
            nn.Conv2d(6, 6, 3, 1, 1),
        )
        self.right, self.last = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 3, 2, 1)
        self.hidden, self.head = nn.Linear(6, 6), nn.Linear(6, 4)
        self.act0, self.act1, self.act2, self.act3, self.act4 = acts
        nn.init.normal_(self.norm.running_mean), nn.init.uniform_(self.norm.running_var, 0.5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.act0(self.norm(self.stem(4 * x)))
        y = y + self.right(self.act2(self.left(self.act1(y.clone()))))
        y = self.act3(self.last(y)).mean((2, 3))
        return self.head(self.act4(self.hidden(y)))


class Twice(nn.Module):
    """A chain in which a block and a pooling run twice; `blocks`: two, or the same one twice."""

    def __init__(self, blocks: list[nn.Module]):
        super().__init__()
        torch.manual_seed(5)
        self.stem, self.pool, self.head = nn.Conv2d(3, 6, 3, 2, 1), nn.MaxPool2d(3, 1, 1), nn.Linear(6, 4)
        self.first, self.second = blocks
        self.flat = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.pool(self.first(self.stem(x)))
        return self.head(self.flat(self.pool(self.second(y))))


def one_activation(kind: str) -> tuple[nn.Module, nn.Module]:
    """With a shared activation, and with separate ones."""
    act = ACTIVATIONS[kind]()
    return Net([act] * 5).eval(), Net([deepcopy(act) for _ in range(5)]).eval()


def one_block(kind: str) -> tuple[nn.Module, nn.Module]:
    """With a shared block, and with separate ones."""
    torch.manual_seed(6)
    block = nn.Sequential(nn.Conv2d(6, 6, 3, 1, 1), nn.BatchNorm2d(6), ACTIVATIONS[kind]())
    nn.init.normal_(block[1].running_mean), nn.init.normal_(block[1].bias)
    return Twice([block, block]).eval(), Twice([block, deepcopy(block)]).eval()


def state(model: nn.Module) -> list[Any]:
    """What must be the same after every method: modules by parent and name, modes, hooks, attributes,
    parameters."""
    children = [
        (parent, name, child) for parent in model.modules() for name, child in parent._modules.items()
    ]
    hooks = [
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()
    ]
    marks = [(m.training, getattr(m, "inplace", None), sorted(m.__dict__)) for m in model.modules()]
    return [children, hooks, marks, [(p.requires_grad, p.grad, p.data_ptr()) for p in model.parameters()]]
