"""Images per second on a GPU: the network alone, what a run computes of decoded images, decoding alone, and a
whole run from files; Grad-CAM beside pytorch-grad-cam and torch-cam. One JSON file.

The network alone and the run's batch take turns. What does not fit the memory, or the time, is named in the
file with the reason; nothing is left out in silence. On a machine without a GPU it shows that it works:

    python benchmarks/gpu.py --out gpu.json
    python benchmarks/gpu.py --device cpu --models mobilenet_v2 --batches 4 --seconds 30 --out dry.json
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor
from torchcam.methods import GradCAM as TorchCam

from benchmarks.run_overhead import write_pictures
from benchmarks.timing import hardware, take_turns
from explain.methods.compute import compute_maps
from explain.methods.inputs import Passes
from explain.methods.request import MapRequest
from explain.network.fused import fused_copy
from explain.network.hooks import logits
from explain.network.target_layers import default_layer
from explain.run.engine import plan, prepared, run
from explain.run.job import Job
from explain.run.loading import READERS, Loaded, load_each
from models.checkpoints import fingerprint
from models.classes.imagenet import imagenet_names
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.preprocessing import stack
from models.registry import load, spec

MODELS = ("mobilenet_v2", "resnet50", "vit_b_16", "fer_vgg:fer2013")
BATCHES = (64, 128, 256, 512, 1024)
PRECISIONS = ("fp32", "tf32", "bf16")
ROUNDS = 3
PHOTOS = 64  # different pictures of a batch; larger batches hold them several times
MAPS = 64  # images of which Grad-CAM is computed


@dataclass
class Report:
    """What is written: `rates` are images per second. `ends`: when no further measurement begins."""

    device: str
    ends: float
    rates: list[dict[str, Any]] = field(default_factory=list)
    grad_cam: list[dict[str, Any]] = field(default_factory=list)
    decoding: list[dict[str, Any]] = field(default_factory=list)
    runs: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)

    def measure(self, what: str, work: Callable[..., None], *given: Any) -> None:
        """`work(report, *given)`, or a note why not."""
        if time.monotonic() > self.ends:
            self.left_out.append({"what": what, "why": "the time is over"})
            return
        try:
            work(self, *given)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            self.left_out.append({"what": what, "why": "out of memory"})


@contextmanager
def rounded(precision: str) -> Any:
    """Products of float32 in TensorFloat-32, or as they are. Elsewhere than on NVIDIA's GPUs it changes
    nothing."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def kept_of(precision: str) -> str:
    """The precision of a run."""
    return "bf16" if precision == "bf16" else "fp32"


def finished(device: torch.device, work: Callable[[], object]) -> Callable[[], None]:
    """The work until the device has done it."""

    def done() -> None:
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return done


def opened(name: str, device: str) -> Classifier:
    """With shipped weights, or with random ones: the time does not depend on them."""
    if ":" in name:
        return load(name, device=device)
    entry = spec(name)
    torch.manual_seed(0)
    model = entry.build(None).eval().to(device).to(memory_format=torch.channels_last)
    return Classifier(entry.name, model, imagenet_names(), entry.preprocessing, "", fingerprint(model))


def batch_of(loaded: list[Loaded], size: int) -> list[Loaded]:
    return [replace(one, index=k % len(loaded)) for k, one in enumerate(islice(cycle(loaded), size))]


def on_device(classifier: Classifier, loaded: list[Loaded]) -> Tensor:
    pixels = stack([one.pixels for one in loaded if one.pixels is not None])
    return classifier.preprocessing.normalize(pixels, classifier.device)


def rates(report: Report, job: Job, loaded: list[Loaded], precision: str) -> None:
    """The network alone on a batch that lies on the device, and `Job.rows`: copied there, normalized, two
    targets of Grad-CAM, statistics, rows."""
    x = on_device(job.classifier, loaded)
    alone = finished(x.device, lambda: logits(job.classifier.model, x, kept_of(precision)))
    both = {"forward": alone, "run": finished(x.device, lambda: job.rows(loaded))}
    with rounded(precision):
        seconds = {name: median(times) for name, times in take_turns(both, ROUNDS).items()}
    found = {name: round(len(loaded) / value, 1) for name, value in seconds.items()}
    named = {"model": job.classifier.name, "precision": precision, "batch": len(loaded)}
    report.rates.append(named | found | {"share": round(seconds["forward"] / seconds["run"], 3)})


def grad_cams(report: Report, classifier: Classifier, x: Tensor, precision: str) -> None:
    """Milliseconds an image, of a batch that lies on the device; the others have no bfloat16, and torch-cam
    no tokens."""
    model, layer, target = classifier.model, default_layer(classifier.model, x[:1]), (0,) * len(x)
    quick = fused_copy(model, x, [layer], kept_of(precision))
    rivals = {"Vitrine": lambda: _ours(quick, x, layer, kept_of(precision))}
    if precision != "bf16":
        tokens = hasattr(model, "encoder")
        peer = GradCAM(model, [model.get_submodule(layer)], _as_grid if tokens else None)
        wanted = [ClassifierOutputTarget(t) for t in target]
        rivals["pytorch-grad-cam"] = lambda: peer(x, wanted)
        if not tokens:
            rivals["torch-cam"] = lambda: _torch_cam(model, x, layer)
    with rounded(precision):
        times = take_turns({name: finished(x.device, work) for name, work in rivals.items()}, ROUNDS)
    found = {name: round(1000 * median(seconds) / len(x), 4) for name, seconds in times.items()}
    named = {"model": classifier.name, "layer": layer, "precision": precision, "batch": len(x)}
    report.grad_cam.append(named | found)


def _ours(model: torch.nn.Module, x: Tensor, layer: str, precision: str) -> object:
    passes = Passes(model, x, precision)
    return compute_maps(model, x, MapRequest("grad_cam", layer, 0), passes=passes).maps


def _as_grid(tokens: Tensor) -> Tensor:
    """(N, 1 + side², C) -> (N, C, side, side), without the class token."""
    side = round((tokens.shape[1] - 1) ** 0.5)
    return tokens[:, 1:].transpose(1, 2).unflatten(2, (side, side))


def _torch_cam(model: torch.nn.Module, x: Tensor, layer: str) -> object:
    with TorchCam(model, target_layer=layer) as extractor:
        return extractor([0] * len(x), model(x))


def decoding(report: Report, classifier: Classifier, source: FolderSource) -> None:
    """Files read, decoded, cropped, with thumbnails and facts: the most that a run can have of this disk and
    these cores."""
    began, each = time.perf_counter(), [[k] for k in range(len(source))]
    count = sum(len(batch) for batch in load_each(source, each, classifier))
    rate = round(count / (time.perf_counter() - began), 1)
    report.decoding.append({"model": classifier.name, "threads": READERS, "images": count, "rate": rate})


def whole_run(report: Report, classifier: Classifier, source: FolderSource, out: Path, batch: int) -> None:
    """From the files to the finished folder."""
    began = time.perf_counter()
    run(classifier, source, out, ["grad_cam"], batch_size=batch, precision="bf16")
    rate = round(len(source) / (time.perf_counter() - began), 1)
    named = {"model": classifier.name, "precision": "bf16", "batch": batch, "images": len(source)}
    report.runs.append(named | {"rate": rate})


def measured(report: Report, name: str, folder: Path, batches: list[int]) -> None:
    """All of one network."""
    given = opened(name, report.device)
    write_pictures(folder / "data", max(PHOTOS, 4 * batches[0]), given.classes)
    classifier, source, to_model = prepared(given, FolderSource(folder / "data"), None, "")
    first = next(load_each(source, [range(PHOTOS)], classifier))
    for precision in PRECISIONS if classifier.device.type == "cuda" else ("fp32", "bf16"):
        request = plan(classifier, source, ["grad_cam"], None, kept_of(precision), to_model)
        job = Job(classifier, source, request, to_model)
        for size in batches:
            report.measure(f"{name}, {precision}, batch {size}", rates, job, batch_of(first, size), precision)
        x = on_device(classifier, batch_of(first, min(MAPS, batches[0])))
        report.measure(f"{name}, Grad-CAM, {precision}", grad_cams, classifier, x, precision)
    report.measure(f"{name}, decoding", decoding, classifier, source)
    report.measure(f"{name}, run", whole_run, classifier, source, folder / "run", batches[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)))
    parser.add_argument("--seconds", type=float, default=270, help="no measurement begins after them")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    on_gpu = chosen.device.startswith("cuda")
    if on_gpu and not torch.cuda.is_available():
        parser.error(f"--device {chosen.device}: PyTorch finds no GPU here; give --device cpu")
    if not on_gpu:
        print(f"No GPU is measured: {chosen.device} is. The JSON comes after each network.", flush=True)
    warnings.simplefilter("ignore")
    report = Report(chosen.device, time.monotonic() + chosen.seconds)
    gpu = torch.cuda.get_device_name(chosen.device) if on_gpu else "no GPU"
    batches = [*map(int, chosen.batches.split(","))]
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.models.split(","):
            report.measure(name, measured, name, Path(folder, name.replace(":", ".")), batches)
            found = {"hardware": ", ".join(filter(None, [gpu, hardware()]))} | asdict(report)
            del found["ends"]
            chosen.out.write_text(json.dumps(found, indent=1))
    print(chosen.out.read_text())


if __name__ == "__main__":
    main()
