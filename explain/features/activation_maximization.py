"""Activation maximization: pictures that maximize the activation of a filter, a neuron or a class.

A picture is parametrized by its Fourier coefficients, each frequency with the energy it has in photographs,
in decorrelated colors; in every step it is rotated, scaled and shifted a little, so that patterns of single
pixels are not rewarded. After Erhan et al. 2009 and Olah, Mordvintsev & Schubert, "Feature Visualization",
Distill 2017, doi:10.23915/distill.00007; the color matrix and the scale of the coefficients are those of its
authors' library Lucid.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import cos, sin

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explain.formatting import counted
from explain.network.fused import fused_copy
from explain.network.hooks import find_layer, reach, turns
from explain.network.oom import shrinking
from models.classifier import Classifier
from models.errors import UserError
from models.inputs.channels import rgb_values
from models.layers.layout import layout_of

BATCH = 16
PLACES = ("everywhere", "center")
CLASSES = ""
"""The layer whose units are the classes: the network itself."""
STEEP = (nn.ReLU, nn.ReLU6, nn.Sigmoid, nn.Hardtanh, nn.Hardsigmoid, nn.Threshold)
"""They have regions with zero gradient: their input is maximized instead, because they never decrease with
it."""
LOUDER = 6
"""In the first steps the noise grows for units that no gradient reaches."""
SLOPE = 0.05
"""Of values below the mean activation for noise, so that they have a gradient."""
COLORS = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])


@dataclass(frozen=True)
class Settings:
    """`place`: a filter at all spatial positions, or its neuron at the center. `turn` in degrees, `zoom` and
    `shift` as fractions of the side: how far each step moves the picture at most. Raises UserError for values
    out of range."""

    layer: str = CLASSES
    place: str = PLACES[0]
    steps: int = 128
    rate: float = 0.05
    turn: float = 10.0
    zoom: float = 0.35
    shift: float = 0.12
    seed: int = 0

    def __post_init__(self) -> None:
        if self.place == "centre":  # the name in older links and command lines
            object.__setattr__(self, "place", PLACES[1])
        if self.place not in PLACES:
            raise UserError(f"No place '{self.place}': choose from {', '.join(PLACES)}.")
        if not 1 <= self.steps <= 4096:
            raise UserError(f"{counted(self.steps, 'step')}: use 1 to 4096.")


@dataclass(frozen=True, eq=False)
class Maximized:
    """After `step` of `steps`: `pictures` (N, H, W, 3) uint8 of `units`; `answers` (N,): the activation of
    each unit for its picture, of a filter the largest; `began` (N,): the same for the noise that it began
    with; `moved` (N,): false for a unit that no gradient reached."""

    units: tuple[int, ...]
    step: int
    steps: int
    pictures: np.ndarray
    answers: np.ndarray
    began: np.ndarray
    moved: np.ndarray


class Canvas:
    """Pictures (N, C, h, w) in [0, 1] as functions of `spectrum`. Each begins with noise of its own seed, the
    same in every batch. Alpha is a channel like the others, and apart from the colors."""

    def __init__(
        self, units: Sequence[int], channels: int, size: tuple[int, int], seed: int, device: torch.device
    ):
        h, w = size
        frequency = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None])
        self.energy = torch.tensor(
            1 / np.maximum(frequency, 1 / max(h, w)), dtype=torch.float32, device=device
        )
        self.size, self.colors = size, None
        if channels >= 3:
            apart = COLORS / COLORS.norm(dim=0).max()
            self.colors = torch.block_diag(apart, torch.eye(channels - 3)).to(device)
        noise = [
            torch.randn(
                channels, h, w // 2 + 1, 2, generator=torch.Generator().manual_seed(seed * 1_000_003 + unit)
            )
            for unit in units
        ]
        self.spectrum = (0.01 * torch.stack(noise)).to(device)

    def pictures(self, spectrum: Tensor) -> Tensor:
        plain = torch.fft.irfft2(torch.view_as_complex(spectrum) * self.energy, s=self.size, norm="ortho") / 4
        return torch.sigmoid(
            plain if self.colors is None else torch.einsum("nchw,dc->ndhw", plain, self.colors)
        )


def maximize(classifier: Classifier, units: Sequence[int], settings: Settings) -> Iterator[Maximized]:
    """Yields the state after every step; the caller may stop at any time, and the network is as it was
    between steps. All `units` go in one batch; the picture of each depends on the unit and the settings only.
    Raises UserError for a layer that does not run, and for units that it lacks."""
    run = _Ascent(classifier, tuple(units), settings)
    yield run.now(0)
    for step in range(1, settings.steps + 1):
        run.advance(step)
        yield run.now(step)


class _Ascent:
    """Adam on the spectra, for the sum of the units' activations."""

    def __init__(self, classifier: Classifier, units: tuple[int, ...], settings: Settings):
        self.units, self.settings, self.model = units, settings, classifier.model
        self.canvas = Canvas(
            units, classifier.channels, classifier.input_size, settings.seed, classifier.device
        )
        self.spectrum = self.canvas.spectrum.clone()
        self.optimizer = torch.optim.Adam([self.spectrum], settings.rate)
        self.dice, self.moved = np.random.default_rng(settings.seed), np.zeros(len(units), bool)
        self.fed = classifier.preprocessing
        self.given = bool(settings.layer) and isinstance(find_layer(classifier.model, settings.layer), STEEP)
        first = self._input(self.canvas.pictures(self.spectrum[:1]))
        self.turn = turns(self.model, first, settings.layer)
        output = reach(self.model, first, settings.layer, given=self.given, turn=self.turn)
        layout = layout_of(output, 1, classifier.input_size, getattr(self.model, "num_prefix_tokens", None))
        self.layout = layout if layout and min(layout.size) > 1 else None
        count = layout.maps(output).shape[1] if layout and self.layout else output[0].numel()
        if wrong := [unit for unit in units if not 0 <= unit < count]:
            raise UserError(
                f"No unit {wrong[0]} in {settings.layer or 'the output'}: it has 0 to {count - 1}."
            )
        # one network for all steps: batch norms took a third of the time
        self.model = fused_copy(self.model, first, (settings.layer,) if self.layout else (), relus=False)
        started = self._shown()
        self.base = torch.cat(
            [output.flatten(1).mean(1) if output.ndim == 3 else output for output in started]
        )
        self.answers = self.began = self._answers(started)

    def now(self, step: int) -> Maximized:
        pictures = (
            (255 * self.canvas.pictures(self.spectrum))
            .round()
            .to(torch.uint8)
            .permute(0, 2, 3, 1)
            .cpu()
            .numpy()
        )
        shown = rgb_values(pictures)
        return Maximized(
            self.units, step, self.settings.steps, shown, self.answers, self.began, self.moved.copy()
        )

    def advance(self, step: int) -> None:
        moves = self._moves()
        self.spectrum.grad, self.answers = shrinking(lambda size: self._gradient(size, moves), BATCH)
        self.moved |= (self.spectrum.grad != 0).flatten(1).any(1).cpu().numpy()
        self.optimizer.step()
        if (
            step <= LOUDER and not self.moved.all()
        ):  # every ReLU before it outputs 0: louder noise may change that
            self.spectrum[~self.moved] = self.canvas.spectrum[~self.moved] * (4**step if step < LOUDER else 1)
        if step == self.settings.steps:
            self.answers = self._answers(self._shown())

    def _gradient(self, size: int, moves: Tensor) -> tuple[Tensor, np.ndarray]:
        """The gradient of minus the activations with respect to the spectra, `size` pictures at a time; and
        the activations."""
        gradients, answers = [], []
        for rows in torch.arange(len(self.units)).split(size):
            spectrum = self.spectrum[rows].requires_grad_()
            with torch.enable_grad():
                pictures = self.canvas.pictures(spectrum)
                grid = F.affine_grid(moves.expand(len(rows), 2, 3), list(pictures.shape), align_corners=False)
                shown = F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)
                output = self._output(shown, rows, graph=True)
                pull = self._pull(output, rows)
                # the output of a layer need not depend on the picture
                (gradient,) = (
                    torch.autograd.grad(-pull, spectrum, materialize_grads=True)
                    if pull.requires_grad
                    else (torch.zeros_like(spectrum),)
                )
            gradients.append(gradient)
            answers.append(output.detach())
        return torch.cat(gradients), self._answers(answers)

    def _shown(self) -> list[Tensor]:
        """The units' outputs for their unmoved pictures."""
        return [
            self._output(self.canvas.pictures(self.spectrum[rows]), rows)
            for rows in torch.arange(len(self.units)).split(BATCH)
        ]

    @staticmethod
    def _answers(outputs: list[Tensor]) -> np.ndarray:
        """The activations (n,): at the position where each is largest."""
        return (
            torch.cat([output.flatten(1).amax(1) if output.ndim == 3 else output for output in outputs])
            .cpu()
            .numpy()
        )

    def _output(self, pictures: Tensor, rows: Tensor, graph: bool = False) -> Tensor:
        """The output of each unit in `rows` for its own picture: (n, h, w), or (n,) for the neuron, or where
        there are no spatial positions."""
        output = reach(self.model, self._input(pictures), self.settings.layer, graph, self.given, self.turn)
        own, units = torch.arange(len(rows)), torch.tensor(self.units)[rows]
        if self.layout is None:
            return output.flatten(1)[own, units].float()
        maps = self.layout.maps(output)[own, units].float()
        return maps[:, maps.shape[1] // 2, maps.shape[2] // 2] if self.settings.place == PLACES[1] else maps

    def _pull(self, output: Tensor, rows: Tensor) -> Tensor:
        """The objective. Of a filter, the square of what exceeds its mean activation for noise: a strong
        activation somewhere rather than a weak one everywhere, which plain color gives in the first
        layers."""
        if output.ndim == 1:
            return output.sum()
        excess = output - self.base[rows, None, None]
        return (F.leaky_relu(excess, SLOPE) * excess.abs()).mean((1, 2)).sum()

    def _input(self, pictures: Tensor) -> Tensor:
        return self.fed.standardize(pictures).contiguous(memory_format=torch.channels_last)

    def _moves(self) -> Tensor:
        """A rotation, a scale and a shift, the same for all pictures of a step: (1, 2, 3)."""
        s = self.settings
        angle, zoom = (
            np.deg2rad(self.dice.uniform(-s.turn, s.turn)),
            self.dice.uniform(1 - s.zoom, 1 + s.zoom),
        )
        across, down = self.dice.uniform(-2 * s.shift, 2 * s.shift, 2)  # a side is 2 long
        rows = [[zoom * cos(angle), -zoom * sin(angle), across], [zoom * sin(angle), zoom * cos(angle), down]]
        return torch.tensor([rows], dtype=torch.float32, device=self.spectrum.device)
