"""pytorch-grad-cam as the independent reference for raw maps."""

from collections.abc import Mapping

import numpy as np
import pytorch_grad_cam as reference
import torch
from pytorch_grad_cam.activations_and_gradients import ActivationsAndGradients
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

PEERS = {
    "grad_cam": reference.GradCAM,
    "grad_cam_pp": reference.GradCAMPlusPlus,
    "layer_cam": reference.LayerCAM,
    "hires_cam": reference.HiResCAM,
    "xgrad_cam": reference.XGradCAM,
    "eigen_cam": reference.EigenCAM,
    "grad_cam_elementwise": reference.GradCAMElementWise,
    "eigen_grad_cam": reference.EigenGradCAM,
}


def raw_references(
    kinds: Mapping[str, type], model: nn.Module, layer: nn.Module, x: torch.Tensor, target: list[int]
) -> dict[str, np.ndarray]:
    """What pytorch-grad-cam computes before its ReLU, min-max and resize, by method; all of one pass of its
    recorder."""
    peers = {name: kind(model=model, target_layers=[]) for name, kind in kinds.items()}
    recorder = ActivationsAndGradients(model, [layer], None)
    targets = [ClassifierOutputTarget(t) for t in target]
    try:
        outputs = recorder(x)
        model.zero_grad()
        sum(t(o) for t, o in zip(targets, outputs, strict=True)).backward()
        activations, gradients = recorder.activations[0].cpu().numpy(), recorder.gradients[0].cpu().numpy()
        return {
            name: peer.get_cam_image(x, layer, targets, activations, gradients, False)
            for name, peer in peers.items()
        }
    finally:
        recorder.release()
        model.zero_grad()
