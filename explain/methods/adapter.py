"""Methods of pytorch-grad-cam, computed on a captured pass.

The library itself scales every map to [0, 1], leaves hooks behind after an error, overwrites the parameters'
gradients, and uses the first run of a layer that runs several times. Here activations and gradients are those
of `Capture`.
"""

import numpy as np
import torch
from torch import Tensor

from explain.methods.cam import grad_cam
from explain.methods.inputs import MethodInputs
from explain.methods.scorer import each
from models.errors import UserError

LARGEST = 112
"""Side of the largest map of KPCA-CAM: its kernel matrix takes 1.3 GB."""


def kpca_cam(inputs: MethodInputs, kernel: str = "sigmoid") -> Tensor:
    """The first component of a kernel PCA of the centered activations, its larger extreme made positive; the
    same for every class."""
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection_kernel

    activation = inputs.captured.activation
    h, w = activation.shape[2:]
    if h * w > LARGEST**2:
        raise UserError(
            f"Layer '{inputs.layer}' has {h} x {w} positions, and KPCA-CAM supports {LARGEST} x "
            f"{LARGEST}: choose a later layer, or Eigen-CAM."
        )
    maps = torch.from_numpy(get_2d_projection_kernel(activation.cpu().numpy(), kernel)).to(activation.device)
    flat = maps.flatten(1)
    extreme = flat.gather(1, flat.abs().argmax(1, keepdim=True))
    return maps * torch.where(extreme < 0, -1.0, 1.0)[..., None]


def finer_cam(inputs: MethodInputs, others: int = 3, alpha: float = 1.0) -> Tensor:
    """Grad-CAM of how much the class exceeds those most like it: Σ_k p_k (y - α y_k) / Σ_k p_k over the
    `others` classes of nearest score."""
    captured, plus = inputs.captured, inputs.target.plus.to(inputs.x.device)
    if inputs.target.contrast_class is not None:
        raise UserError(
            "FinerCAM chooses the classes to compare with itself: use Grad-CAM for the difference of "
            "two classes."
        )
    if captured.logits.shape[1] < 2:
        raise UserError("FinerCAM compares a class with others, and the network has one class: use Grad-CAM.")
    y = inputs.target.score(captured.logits)  # raises UserError for classes that do not exist
    distances = (captured.logits - y[:, None]).abs().scatter(1, plus[:, None], torch.inf)
    nearest = distances.argsort(stable=True, dim=1)[:, : min(others, captured.logits.shape[1] - 1)]

    def exceeds(logits: Tensor) -> Tensor:
        near = logits.gather(1, nearest)
        weights = near.softmax(1)  # p_k / Σ_k p_k, also where every p_k is too small for float32
        return (weights * (logits.gather(1, plus[:, None]) - alpha * near)).sum(1)

    return grad_cam(captured.activation, captured.gradients_of_score(exceeds)[0])


def concepts(inputs: MethodInputs, count: int = 5, which: int = 1) -> Tensor:
    """Where one of `count` concepts is: H of A ≈ W H, a non-negative factorization of the activations;
    `which`: 1 is the strongest."""
    from pytorch_grad_cam.feature_factorization.deep_feature_factorization import dff

    if which > count:
        raise UserError(f"which is {which}: there are {count} concepts.")

    def strongest(one: MethodInputs) -> Tensor:
        concept_maps, regions = dff(one.captured.activation.cpu().numpy().copy(), count)
        energy = np.linalg.norm(concept_maps - concept_maps.min(1, keepdims=True), axis=0) * np.linalg.norm(
            regions[0].reshape(count, -1), axis=1
        )
        return torch.from_numpy(regions[0][np.argsort(-energy)[which - 1]][None].astype(np.float32)).to(
            one.x.device
        )

    return each(inputs, strongest)
