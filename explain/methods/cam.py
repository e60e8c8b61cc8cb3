"""Class-activation maps from one captured pass.

Every function takes the activation A and the gradient G of the target's score with respect to it, both (N, C,
h, w), and returns raw maps (N, h, w): not clipped, not scaled. Indices: c channel, i j position; Z = h · w.
"""

import torch
from torch import Tensor

EPSILON_PP, EPSILON_X = 1e-6, 1e-7  # those of pytorch-grad-cam, so that maps can be compared with its own


def _weighted(weights: Tensor, activation: Tensor) -> Tensor:
    return torch.einsum("nc,nchw->nhw", weights, activation)


def grad_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """M = Σ_c (1/Z Σ_ij G) A."""
    return _weighted(gradient.mean((2, 3)), activation)


def grad_cam_pp(activation: Tensor, gradient: Tensor) -> Tensor:
    """M = Σ_c (Σ_ij α relu(G)) A with α = G² / (2 G² + G³ Σ_ij A)."""
    up = gradient.relu()  # where it is not positive, its product with α is zero
    square = up * up
    cube = square * up
    return _weighted(
        (cube / (cube * activation.sum((2, 3), keepdim=True)).add_(square, alpha=2).add_(EPSILON_PP)).sum(
            (2, 3)
        ),
        activation,
    )


def xgrad_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """M = Σ_c (Σ_ij G A / Σ_ij A) A."""
    total = activation.sum((2, 3)) + EPSILON_X
    return _weighted((gradient * activation).sum((2, 3)) / total, activation)


def layer_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """M = Σ_c relu(G) A."""
    return (gradient.relu() * activation).sum(1)


def hires_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """M = Σ_c G A."""
    return (gradient * activation).sum(1)


def grad_cam_elementwise(activation: Tensor, gradient: Tensor) -> Tensor:
    """M = Σ_c relu(G A)."""
    return (gradient * activation).relu().sum(1)


def fem(
    activation: Tensor, gradient: Tensor | None = None, sigmas: float = 2.0, weight: str = "activation"
) -> Tensor:
    """M = Σ_c mean_ij(A) B with B = 1 where A > mean_ij(A) + `sigmas` · deviation_ij(A); the same for every
    class.

    `weight` 'share' is pytorch-grad-cam's other reading: M = Σ_c mean_ij(B) A.
    """
    mean, deviation = (
        activation.mean((2, 3), keepdim=True),
        activation.std((2, 3), correction=0, keepdim=True),
    )
    strong = (activation > mean + sigmas * deviation).to(activation.dtype)
    return (
        _weighted(strong.mean((2, 3)), activation)
        if weight == "share"
        else _weighted(mean[..., 0, 0], strong)
    )


def eigen_grad_cam(activation: Tensor, gradient: Tensor) -> Tensor:
    """Eigen-CAM of G A: the positions projected on the first principal component of gradient times
    activation."""
    return eigen_cam(gradient * activation)


def eigen_cam(activation: Tensor, gradient: Tensor | None = None) -> Tensor:
    """The positions projected on the first principal component of the centered activations; the same for
    every class.

    A principal component has no sign of its own: here the larger extreme is made positive. Computed from the
    smaller of two matrices: of positions (h·w × h·w) at late layers, of channels (C × C) at early ones, whose
    first matrix would not fit into memory.
    """
    x = activation.nan_to_num().permute(0, 2, 3, 1).flatten(1, 2)
    x = x - x.mean(1, keepdim=True)
    scale = (
        x.abs().amax((1, 2), keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    )  # squares of small numbers would be zero
    x = x / scale
    if x.shape[1] <= x.shape[2]:
        values, vectors = torch.linalg.eigh(x @ x.transpose(1, 2))
        projection = vectors[..., -1] * values[..., -1:].clamp_min(0).sqrt()
    else:
        projection = (x @ torch.linalg.eigh(x.transpose(1, 2) @ x).eigenvectors[..., -1:])[..., 0]
    projection = projection * scale[..., 0]
    extreme = projection.gather(1, projection.abs().argmax(1, keepdim=True))
    projection = projection * torch.where(extreme < 0, -1.0, 1.0)
    return projection.unflatten(1, activation.shape[2:])
