"""One batch of maps: Vitrine's shared pass against pytorch-grad-cam and torch-cam, same network, same layer, same images.

    python benchmarks/cam_vs_peers.py [--batch 16]
"""

import argparse
import sys
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torchcam.methods import GradCAM as TorchCam

from benchmarks.timing import hardware, take_turns
from explain.capture import capture, default_layer
from explain.case import explain
from models.registry import spec

FOUR = ["grad_cam", "grad_cam_pp", "layer_cam", "hires_cam"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=16)
    size = parser.parse_args().batch
    print(f"batch of {size} images of 224×224; {hardware()}")
    for name in ("mobilenet_v2", "resnet50"):
        torch.manual_seed(0)
        plain, ours = spec(name).build(None).eval(), spec(name).build(None).eval().to(memory_format=torch.channels_last)
        ours.load_state_dict(plain.state_dict())
        x = torch.randn(size, 3, 224, 224)
        fast = x.contiguous(memory_format=torch.channels_last)
        layer, target = default_layer(plain, x), torch.arange(size)
        peer = GradCAM(plain, [plain.get_submodule(layer)])

        def vitrine(methods: list[str], ours=ours, fast=fast, layer=layer, target=target) -> None:  # type: ignore[no-untyped-def]
            explain(capture(ours, fast, layer), methods, target)

        def pytorch_grad_cam(peer=peer, x=x, target=target) -> None:  # type: ignore[no-untyped-def]
            peer(x, [ClassifierOutputTarget(int(t)) for t in target])

        def torch_cam(plain=plain, x=x, layer=layer, target=target) -> None:  # type: ignore[no-untyped-def]
            with TorchCam(plain, target_layer=layer) as extractor:
                extractor(target.tolist(), plain(x))

        def forward(ours=ours, fast=fast) -> None:  # type: ignore[no-untyped-def]
            with torch.inference_mode():
                ours(fast)

        rounds = take_turns({
            "forward alone": forward, "Vitrine, Grad-CAM": lambda: vitrine(["grad_cam"]), "Vitrine, four methods": lambda: vitrine(FOUR),
            "pytorch-grad-cam, Grad-CAM": pytorch_grad_cam, "torch-cam, Grad-CAM": torch_cam,
        })  # fmt: skip
        seconds = {rival: median(times) for rival, times in rounds.items()}
        print(f"{name}, layer {layer}")
        for rival, value in seconds.items():
            print(f"  {rival:28} {value:7.3f} s   {value / seconds['Vitrine, Grad-CAM']:6.2f} × Vitrine's Grad-CAM")


if __name__ == "__main__":
    main()
