"""What pytorch-grad-cam has beyond our own: its methods on a case, raw, and without what it leaves behind.

It scales every map to [0, 1], keeps hooks where something fails, empties the parameters' gradients, and lets an error in a `with`
block pass as no map: here the map is taken before it is scaled, and everything is put back, whatever happens.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from explain.capture import as_found, find_layer
from explain.explainers.scorer import WHOLE, each
from explain.target import Target
from models.errors import UserError

if TYPE_CHECKING:
    from explain.case import Case


@contextmanager
def peer(case: "Case", kind: type, **options: Any) -> Iterator[Any]:
    """An instance of a pytorch-grad-cam class for the case's layer, whose `raw` is the map (N, h, w) before its ReLU and its scaling."""
    layout = case.captured.layouts[0]

    class Raw(kind):  # type: ignore[misc]
        raw: np.ndarray

        def get_cam_image(self, *given: Any) -> np.ndarray:
            self.raw = np.asarray(super().get_cam_image(*given), np.float32)
            return self.raw

    gradients = [(p, p.grad) for p in case.model.parameters()]
    made = None
    try:
        with as_found(case.model), torch.inference_mode(False), torch.enable_grad():
            for p, _ in gradients:
                p.grad = None
            made = Raw(case.model, [find_layer(case.model, case.layer)], reshape_transform=None if layout.kind == "maps" else layout.maps, **options)
            yield made
    finally:
        if made is not None:
            made.activations_and_grads.release()
        for p, gradient in gradients:
            p.grad = gradient


def score_of(target: Target) -> Callable[[Tensor], Tensor]:
    """One image's target as pytorch-grad-cam asks for it; the output may be (K,) or (K, 1, 1)."""
    return lambda output: target.score(output.flatten()[None])[0]


def _maps(case: "Case", kind: type, **options: Any) -> Tensor:
    with peer(case, kind, **options) as made:
        made(case.x.detach().clone(), [score_of(case.target.rows(slice(n, n + 1))) for n in range(len(case.x))])
        return torch.from_numpy(made.raw).to(case.x.device)


def kpca_cam(case: "Case", kernel: str = "sigmoid") -> Tensor:
    """The first component of a kernel PCA of the centred activations, its larger extreme made positive; the same for every class."""
    from pytorch_grad_cam import KPCA_CAM

    maps = each(case, lambda one: _maps(one, KPCA_CAM, kernel=kernel))
    flat = maps.flatten(1)
    extreme = flat.gather(1, flat.abs().argmax(1, keepdim=True))
    return maps * torch.where(extreme < 0, -1.0, 1.0)[..., None]


def finer_cam(case: "Case", others: int = 3, alpha: float = 1.0) -> Tensor:
    """Grad-CAM of how much the class exceeds those most like it: Σ_k p_k (y - α y_k) / Σ_k p_k over the `others` classes of nearest score."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import FinerWeightedTarget

    if case.target.minus is not None:
        raise UserError("FinerCAM chooses the classes to be left out by itself: take Grad-CAM for the difference of two classes.")
    case.target.score(case.captured.logits)  # the classes are there

    def work(some: "Case") -> Tensor:
        wanted = []
        for plus, row in zip(some.target.plus.tolist(), some.captured.logits, strict=True):
            near = (row - row[plus]).abs().argsort().tolist()
            weighted = FinerWeightedTarget(plus, [k for k in near if k != plus][:others], alpha)
            wanted.append(lambda output, weighted=weighted: weighted(output.flatten()))
        with peer(some, GradCAM) as made:
            made(some.x.detach().clone(), wanted)
            return torch.from_numpy(made.raw).to(some.x.device)

    return each(case, work, WHOLE)


def concepts(case: "Case", count: int = 5, which: int = 1) -> Tensor:
    """Where one of `count` concepts is: H of A ≈ W H, a non-negative factorisation of the activations; `which`: 1 is the strongest."""
    from pytorch_grad_cam.feature_factorization.deep_feature_factorization import dff

    if which > count:
        raise UserError(f"which is {which}: there are {count} concepts.")

    def strongest(one: "Case") -> Tensor:
        found, regions = dff(one.captured.activation.cpu().numpy().copy(), count)
        energy = np.linalg.norm(found - found.min(1, keepdims=True), axis=0) * np.linalg.norm(regions[0].reshape(count, -1), axis=1)
        return torch.from_numpy(regions[0][np.argsort(-energy)[which - 1]][None].astype(np.float32)).to(one.x.device)

    return each(case, strongest)
