"""Whether maps change when the network's weights become random: the model parameter randomization test
(MPRT, Adebayo et al. 2018, arXiv:1810.03292), smooth and efficient (Hedström et al. 2023, arXiv:2401.06465).

A map that stays the same shows the image, not what the network has learned. The opposite does not hold: a
map that changes need not be right.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from explain.quality.described.randomized import randomized, randomized_from_the_top
from explain.quality.similarity import is_flat, spearman, ssim

Maps = Callable[[nn.Module, Tensor], Tensor]
"""(network, images like x (N, C, H, W)) -> maps (N, h, w); row i explains the same class in every call, also
where another network, or a noisy copy of the image, would predict another one."""


@dataclass(frozen=True, eq=False)
class MapSimilarity:
    """How similar the maps of a network with random weights are to the network's own, for S steps and N
    images.

    `fractions` (S,) of the layers that are random, from the output; `layers` (S,): the last that was drawn.
    `signed` and `absolute` (S, N): Spearman's rank correlation of maps and of their magnitudes; `ssim` (S,
    N): structural similarity. Each lies between -1 and 1, 1 being the same map; NaN where one of the two maps
    is flat or not finite.
    """

    fractions: tuple[float, ...]
    layers: tuple[str, ...]
    signed: Tensor
    absolute: Tensor
    ssim: Tensor


def smooth_mprt(
    maps: Maps,
    model: nn.Module,
    x: Tensor,
    *,
    steps: int = 5,
    samples: int = 10,
    noise: float = 0.1,
    seed: int = 0,
    reference: Tensor | None = None,
    on_step: Callable[[float], None] = lambda fraction: None,
) -> MapSimilarity:
    """Smooth MPRT of images `x` (N, C, H, W): maps are averaged over the image and `samples` - 1 noisy copies
    of it, for the network and for copies whose layers are random, from the output down in `steps` groups.

    `noise`: standard deviation, as a fraction of the range of each image's values; all images and networks
    get the same draws. `samples` maps per image and network. `reference` (M, C, H, W): images that give the
    random networks the statistics of their batch norms (default: `x`); with the same ones, a batch gives what
    its images give alone. `on_step(fraction)` is called after each network, and may raise `Cancelled`. Raises
    UserError as `randomized` does.
    """
    own = smooth_maps(maps, model, x, samples, noise, seed)
    on_step(1 / (steps + 1))
    fractions, layers, found = list[float](), list[str](), list[Tensor]()
    networks = randomized_from_the_top(model, x if reference is None else reference, steps, seed)
    for done, (fraction, layer, network) in enumerate(networks, 2):
        other = smooth_maps(maps, network, x, samples, noise, seed)
        fractions.append(fraction)
        layers.append(layer)
        found.append(torch.stack([spearman(own, other), spearman(own, other, True), ssim(own, other)]))
        on_step(min(1.0, done / (steps + 1)))
    return MapSimilarity(tuple(fractions), tuple(layers), *torch.stack(found, 1))


def efficient_mprt(
    maps: Maps,
    model: nn.Module,
    x: Tensor,
    *,
    bins: int = 100,
    seed: int = 0,
    reference: Tensor | None = None,
) -> Tensor:
    """Efficient MPRT: (H(map of the random network) - H(map)) / H(map) with the discrete entropy H, for
    images `x` (N, C, H, W): (N,) float64. Positive: the map of the network is simpler than that of random
    weights.

    Two maps per image. `reference`: as in `smooth_mprt`. NaN where a map is flat or not finite. Raises
    UserError as `randomized` does.
    """
    network = randomized(model, seed, x if reference is None else reference)
    own = discrete_entropy(maps(model, x), bins)
    return (discrete_entropy(maps(network, x), bins) - own) / own


def smooth_maps(maps: Maps, model: nn.Module, x: Tensor, samples: int, noise: float, seed: int) -> Tensor:
    """The mean map (N, h, w) float64 of images `x` (N, C, H, W) and `samples` - 1 noisy copies of each."""
    generator = torch.Generator().manual_seed(seed)
    deviation = noise * (x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True))
    total = maps(model, x).double()
    for _ in range(samples - 1):
        draw = torch.randn(x.shape[1:], generator=generator).to(x)
        total = total + maps(model, x + deviation * draw).double()
    return total / samples


def discrete_entropy(maps: Tensor, bins: int = 100) -> Tensor:
    """Entropy in nats of the histogram of each map's values in `bins` equal bins from its smallest to its
    largest value; maps (N, h, w) -> (N,) float64. NaN for maps that are flat or not finite."""
    undefined = is_flat(maps) | ~maps.isfinite().flatten(1).all(1)
    values = maps.flatten(1).double()
    values = values.masked_fill(undefined[:, None], 0)
    low, high = values.amin(1, keepdim=True), values.amax(1, keepdim=True)
    edges = low + torch.arange(bins + 1, device=maps.device) * ((high - low) / bins)
    place = (torch.searchsorted(edges, values, right=True) - 1).clamp(0, bins - 1)
    counts = torch.zeros(len(maps), bins, dtype=torch.float64, device=maps.device)
    counts.scatter_add_(1, place, torch.ones_like(values))
    entropy = torch.special.entr(counts / values.shape[1]).sum(1)
    return entropy.masked_fill(undefined, float("nan"))
