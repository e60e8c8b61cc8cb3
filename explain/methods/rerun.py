"""Class-activation maps that run the network again: without single channels, with single spatial positions,
with the image masked by each channel.

Every function takes `MethodInputs` and returns raw maps (N, h, w) of its layer. Of a layer that runs several
times in a pass, only the output of the run that `Capture` explains is changed.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from explain.methods.inputs import MethodInputs
from explain.network.hooks import capture, idle, replaced
from explain.network.model_state import as_found
from explain.network.oom import out_of_memory, shrinking
from models.errors import UserError
from models.outputs.one_by_one import takes_one_image
from models.outputs.probabilities import probabilities

GAUSSIAN = ((1 / 16, 1 / 8, 1 / 16), (1 / 8, 1 / 4, 1 / 8), (1 / 16, 1 / 8, 1 / 16))

TOGETHER = 2**27
"""At most so many bytes of a layer's maps are changed at once."""


def ablation_cam(inputs: MethodInputs, top: int = 0) -> Tensor:
    """M = Σ_c w_c A_c with w_c = (y - y without channel c) / |y|; the channel is set to zero.

    Only the layers behind it run again. `top`: only so many channels with the largest mean activation; 0 is
    all.
    """
    maps = []
    for row in range(len(inputs.x)):
        one, activation = inputs.row(row), inputs.captured.activation[row]
        y = one.target.score(inputs.captured.logits[row : row + 1])
        channels = _strongest(activation, top)
        without = one.target.repeated(len(channels)).score(
            _behind(one, channels, _without, partial(_report, inputs, row))
        )
        maps.append(torch.einsum("c,chw->hw", (y - without) / y.abs().clamp_min(1e-12), activation[channels]))
    return torch.stack(maps)


def recipro_cam(inputs: MethodInputs, gaussian: bool = True) -> Tensor:
    """M_ij = the class's probability when all spatial positions of the layer but (i, j) are zero; for two
    classes, the difference.

    `gaussian`: with its eight neighbors, weighted by a 3 × 3 Gaussian.
    """
    h, w = inputs.captured.activation.shape[2:]
    masks = torch.eye(h * w, device=inputs.x.device).reshape(h * w, 1, h, w)
    if gaussian:
        masks = F.conv2d(masks, torch.tensor(GAUSSIAN, device=masks.device)[None, None], padding=1)
    maps = []
    for row in range(len(inputs.x)):
        one = inputs.row(row)
        answers = _behind(one, masks, lambda mask, a: a * mask.to(a.dtype), partial(_report, inputs, row))
        maps.append(one.target.repeated(h * w).score(probabilities(one.model, answers)).reshape(h, w))
    return torch.stack(maps)


def score_cam(inputs: MethodInputs, top: int = 0) -> Tensor:
    """M = Σ_c w_c A_c with w = softmax over channels of the score of the image under channel c, enlarged
    (bilinear) and scaled to [0, 1].

    `top`: only so many channels with the largest mean activation; 0 is all.
    """
    maps = []
    for row in range(len(inputs.x)):
        image, activation = inputs.x[row : row + 1], inputs.captured.activation[row]
        channels = _strongest(activation, top)
        scores, done = [], 0
        for part in channels.split(inputs.batch_size):
            large = F.interpolate(
                activation[part][:, None], image.shape[2:], mode="bilinear", align_corners=True
            )
            low, high = large.amin((2, 3), keepdim=True), large.amax((2, 3), keepdim=True)
            masked = (image * ((large - low) / (high - low + 1e-8))).to(memory_format=torch.channels_last)
            scores.append(inputs.scores(masked, inputs.target.rows(slice(row, row + 1)).repeated(len(part))))
            done += len(part)
            _report(inputs, row, done / len(channels))
        maps.append(torch.einsum("c,chw->hw", torch.cat(scores).softmax(0), activation[channels]))
    return torch.stack(maps)


def shapley_cam(inputs: MethodInputs) -> Tensor:
    """M = Σ_c mean_ij(G - ½ H A) A, with the Hessian H of the score: the Shapley value of the channels to
    second order."""
    captured = inputs.captured
    try:
        curvature = captured.curvature(inputs.target)
    except RuntimeError:  # the fast kernels of attention have no second derivative; the plain one has
        with sdpa_kernel(SDPBackend.MATH):
            captured = capture(inputs.model, inputs.x, inputs.layer, inputs.precision)
            curvature = captured.curvature(inputs.target)
    weight = captured.gradient(inputs.target) - 0.5 * curvature
    return torch.einsum("nc,nchw->nhw", weight.mean((2, 3)), captured.activation)


def cam(inputs: MethodInputs) -> Tensor:
    """M = Σ_c w_c A_c with the weights w of the linear layer behind global average pooling; by its gradient,
    which is w / Z everywhere.

    Raises UserError for a network that ends otherwise: then the gradient changes with the position or with
    the activation.
    """
    gradient, activation = inputs.captured.gradients(inputs.target)[0], inputs.captured.activation
    spread = (gradient - gradient.mean((2, 3), keepdim=True)).abs().amax()
    first, levels = inputs.row(0), torch.tensor([0.0, 1.0, 2.0], device=inputs.x.device)[:, None, None, None]
    nothing, once, twice = first.target.repeated(3).score(
        _behind(first, levels, lambda level, a: a * level.to(a.dtype))
    )
    bend = (twice - 2 * once + nothing).abs() / (once - nothing).abs().clamp_min(1e-6)
    if float(spread) > 1e-3 * float(gradient.abs().amax()) or float(bend) > 1e-2:
        raise UserError(
            f"CAM needs global average pooling and one linear layer behind '{inputs.layer}': use HiResCAM, "
            "which is the same where CAM is defined."
        )
    return torch.einsum("nc,nchw->nhw", gradient.sum((2, 3)), activation)


def _strongest(activation: Tensor, top: int) -> Tensor:
    """Channel numbers, ascending."""
    if not 0 < top < len(activation):
        return torch.arange(len(activation), device=activation.device)
    return activation.mean((1, 2)).topk(top).indices.sort().values


def _without(channels: Tensor, activation: Tensor) -> Tensor:
    """(1, C, h, w) -> (M, C, h, w), each without one of the channels."""
    versions = activation.expand(len(channels), -1, -1, -1).clone()
    versions[torch.arange(len(channels), device=channels.device), channels] = 0
    return versions


def logits_with(
    model: nn.Module,
    x: Tensor,
    layer: str,
    change: Callable[[Tensor], Tensor],
    precision: str = "fp32",
    turn: int | None = None,
) -> Tensor:
    """Logits (M, K) of one image `x` (1, C, H, W) when the output of `layer` is replaced.

    `change` gets its maps (1, C, h, w) and returns M versions (M, C, h, w). The network before the layer runs
    once, the network behind it M times; where it joins the layer with branches in a way that one image does
    not fit, all of it runs M times. `turn`: the run of the layer, as in `Capture.turns`; default: found by
    one more pass. Raises UserError as `capture` does.
    """
    at = capture(model, x, layer, precision).turns[0] if turn is None else turn
    made: list[Tensor] = []

    def versions(maps: Tensor) -> Tensor:
        made[:] = [change(maps[:1])]
        return made[0]

    def run(images: Tensor) -> Tensor:
        with ExitStack() as stack:
            stack.enter_context(as_found(model))
            stack.enter_context(torch.inference_mode())
            stack.enter_context(replaced(model, layer, images, versions, at))
            stack.enter_context(torch.autocast(x.device.type, torch.bfloat16, enabled=precision == "bf16"))
            return model(images).flatten(1).float()

    try:
        answers = run(x)
    except Exception as error:  # shapes do not fit: of any kind, for a network may check them itself
        if not made or out_of_memory(error):
            raise
        answers = None
    if not made:
        raise UserError(idle(layer))
    count = len(made[0])
    return answers if answers is not None and len(answers) == count else run(x.expand(count, -1, -1, -1))


def _behind(
    one: MethodInputs,
    items: Tensor,
    change: Callable[[Tensor, Tensor], Tensor],
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> Tensor:
    """The logits (M, K) of one image with M other maps at its layer: `change(some items, maps)` makes as many
    as the items."""

    def work(size: int) -> Tensor:
        answers, turn = list[Tensor](), one.captured.turns[0]
        for part in items.split(size):
            versions = partial(change, part)
            answers.append(logits_with(one.model, one.x, one.layer, versions, one.precision, turn))
            on_progress(sum(map(len, answers)) / len(items))
        return torch.cat(answers)

    # the layers before it run once for so many
    most = min(TOGETHER // one.captured.activation[0].nbytes, 16 * one.batch_size)
    quarter = -(-len(items) // 4)  # at most: progress, and a chance to cancel
    return shrinking(work, 1 if takes_one_image(one.model) else max(1, min(most, quarter)))


def _report(inputs: MethodInputs, row: int, fraction: float) -> None:
    inputs.on_progress((row + fraction) / len(inputs.x))
