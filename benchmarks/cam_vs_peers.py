"""One batch of maps: Vitrine against pytorch-grad-cam, torch-cam and Captum called directly; same weights,
layer and images, channels_last for all.

Vitrine's own network is the fused one, as in its runs; what that alone brings stands beside it.

    python benchmarks/cam_vs_peers.py [--batch 16] [--models mobilenet_v2,resnet50]
"""

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

import captum.attr as captum
import torch
from pytorch_grad_cam import AblationCAM, GradCAM, ScoreCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from torchcam.methods import GradCAM as TorchCam

from benchmarks.timing import hardware, take_turns
from explain.methods.compute import compute_maps
from explain.methods.inputs import Passes
from explain.methods.request import MapRequest
from explain.network.fused import fused_copy
from explain.network.hooks import logits
from explain.network.target_layers import default_layer
from models.memory import reuse_memory
from models.registry import spec

EIGHT = [
    "grad_cam",
    "grad_cam_pp",
    "layer_cam",
    "hires_cam",
    "xgrad_cam",
    "grad_cam_elementwise",
    "eigen_cam",
    "eigen_grad_cam",
]


def batch(model: nn.Module, x: Tensor) -> None:
    """Gradient CAMs of a whole batch."""
    layer, target = default_layer(model, x), tuple(range(len(x)))
    quick, rough = fused_copy(model, x, [layer]), fused_copy(model, x, [layer], "bf16")
    peer, wanted = (
        GradCAM(model, [model.get_submodule(layer)]),
        [ClassifierOutputTarget(t) for t in target],
    )

    def torch_cam() -> None:
        with TorchCam(model, target_layer=layer) as extractor:
            extractor(list(target), model(x))

    def ours(network: nn.Module, methods: list[str], precision: str = "fp32") -> list[Tensor]:
        passes = Passes(network, x, precision)
        requests = [MapRequest(name, layer, target) for name in methods]
        return [compute_maps(network, x, request, passes=passes).maps for request in requests]

    told(
        {
            "Grad-CAM": lambda: ours(quick, ["grad_cam"]),
            "forward alone": lambda: logits(quick, x),
            "eight methods, one pass": lambda: ours(quick, EIGHT),
            "Grad-CAM, bf16": lambda: ours(rough, ["grad_cam"], "bf16"),
            "Grad-CAM, not fused": lambda: ours(model, ["grad_cam"]),
            "forward alone, not fused": lambda: logits(model, x),
            "Grad-CAM, not fused, bf16": lambda: ours(model, ["grad_cam"], "bf16"),
            "pytorch-grad-cam's Grad-CAM": lambda: peer(x, wanted),
            "torch-cam's Grad-CAM": torch_cam,
        }
    )
    peer.activations_and_grads.release()
    exact, near = (ours(m, ["grad_cam"], p)[0].flatten(1) for m, p in ((model, "fp32"), (rough, "bf16")))
    least = min(float(torch.corrcoef(torch.stack([a, b]))[0, 1]) for a, b in zip(exact, near, strict=True))
    print(f"  maps in bf16 and float32 correlate by {least:.4f} at least")


def again(model: nn.Module, x: Tensor, layer: str) -> None:
    """Maps of one image that run the network again; at the last block, for pytorch-grad-cam would leave out
    the body of a container."""
    one = x[:1]
    for name, kind in (("ablation_cam", AblationCAM), ("score_cam", ScoreCAM)):
        peer = kind(model, [model.get_submodule(layer)])
        peer.batch_size = 32
        told(
            {
                f"{name}": lambda name=name: compute_maps(model, one, MapRequest(name, layer, 3)),  # type: ignore[misc]
                f"pytorch-grad-cam's {name}": lambda peer=peer: peer(one, [ClassifierOutputTarget(3)]),  # type: ignore[misc]
            },
            rounds=1,
        )
        peer.activations_and_grads.release()


def by_hand(model: nn.Module, x: Tensor) -> None:
    """Captum's methods, and the same through Vitrine."""
    some, three = x[:4], torch.tensor([3, 3, 3, 3])
    layer, zero = default_layer(model, x), torch.zeros_like(some)
    pairs: dict[str, tuple[Callable[[], object], dict[str, int]]] = {
        "input_gradient": (lambda: captum.Saliency(model).attribute(some.clone(), three), {}),
        "integrated_gradients": (
            lambda: captum.IntegratedGradients(model).attribute(
                some.clone(), zero, three, n_steps=16, internal_batch_size=32
            ),
            {"steps": 16},
        ),
        "occlusion": (
            lambda: captum.Occlusion(model).attribute(
                some.clone(), (3, 34, 34), (3, 17, 17), zero, three, perturbations_per_eval=8
            ),
            {},
        ),
    }
    for name, (hand, given) in pairs.items():
        told(
            {
                name: lambda name=name, given=given: compute_maps(  # type: ignore[misc]
                    model, some, MapRequest(name, layer, 3, parameters=tuple(given.items()))
                ),
                f"Captum's {name} by hand": hand,
            },
            rounds=3,
        )


def told(rivals: dict[str, Callable[[], object]], rounds: int = 5) -> None:
    """Medians, and how many times the first one's they are."""
    seconds = {name: median(times) for name, times in take_turns(rivals, rounds).items()}
    first = next(iter(seconds.values()))
    for name, value in seconds.items():
        print(f"  {name:36} {value:8.3f} s   {value / first:7.2f} ×")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--models", default="mobilenet_v2,resnet50")
    given = parser.parse_args()
    reuse_memory()  # as in a run
    print(f"batch of {given.batch} images of 224×224; {hardware()}")
    warnings.simplefilter("ignore")
    for name in given.models.split(","):
        torch.manual_seed(0)
        model = spec(name).build(None).eval().to(memory_format=torch.channels_last)
        x = torch.randn(given.batch, 3, 224, 224).contiguous(memory_format=torch.channels_last)
        print(f"\n{name}, layer {default_layer(model, x)}")
        batch(model, x)
        if name == "mobilenet_v2":
            again(model, x, "features.18")
            by_hand(model, x)


if __name__ == "__main__":
    main()
