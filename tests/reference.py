"""pytorch-grad-cam as the independent reference for raw maps."""

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


def raw_reference(
    kind: type, model: nn.Module, layer: nn.Module, x: torch.Tensor, target: list[int]
) -> np.ndarray:
    """What pytorch-grad-cam computes before its ReLU, min-max and resize."""
    peer = kind(model=model, target_layers=[layer])
    recorder: ActivationsAndGradients = peer.activations_and_grads
    targets = [ClassifierOutputTarget(t) for t in target]
    try:
        outputs = recorder(x)
        model.zero_grad()
        sum(t(o) for t, o in zip(targets, outputs, strict=True)).backward()
        activations, gradients = recorder.activations[0].cpu().numpy(), recorder.gradients[0].cpu().numpy()
        return peer.get_cam_image(x, layer, targets, activations, gradients, False)
    finally:
        recorder.release()
        model.zero_grad()
