"""The run: engine, folder, resume. Nothing lost, nothing twice, whatever happens."""

import json
import os
import signal
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from explain.network.hooks import capture
from explain.run.engine import Progress, run
from explain.run.format import done_ids, part_files
from explain.run.reader import RunData, open_run
from models import checkpoints
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.errors import Cancelled, UserError
from models.registry import spec
from tests.command import launch
from tests.forked import forked, paused_after, wait_until_paused
from tests.maps import maps_of_pass


def test_rows_hold_what_the_network_says(small_run: RunData, tiny: Classifier, pictures: Path) -> None:
    source, table = FolderSource(pictures), small_run.table
    assert sorted(table["id"]) == sorted(item.id for item in source.items)
    images = {item.id: source.load(i) for i, item in enumerate(source.items)}
    x = tiny.batch([images[i] for i in table["id"]])
    captured = capture(tiny.model, x, small_run.manifest.request.layer)
    prob = captured.logits.softmax(1).numpy()
    labels = torch.tensor([tiny.classes.index(i.split("/")[0]) for i in table["id"]])
    np.testing.assert_array_equal(table["label"], labels)
    np.testing.assert_array_equal(table["pred"], prob.argmax(1))
    np.testing.assert_allclose(table["confidence"], prob.max(1), rtol=1e-5)
    np.testing.assert_allclose(table["loss"], -np.log(prob[np.arange(18), labels]), rtol=1e-4)
    np.testing.assert_allclose(small_run.prob(7), prob[7], rtol=1e-5)
    for target, index in (("pred", torch.tensor(prob.argmax(1))), ("label", labels)):
        for method, maps in maps_of_pass(captured, ["grad_cam", "layer_cam"], index).items():
            raw, stored = maps.numpy(), small_run.maps(method, target, range(18))
            peak = np.abs(raw).max((1, 2), keepdims=True)
            assert (np.abs(stored - raw) / np.maximum(peak, 1e-12)).max() < 1e-3  # float16


def test_manifest(small_run: RunData) -> None:
    raw = json.loads((small_run.folder / "manifest.json").read_text())
    assert raw["status"] == "complete"
    assert raw["counts"] == {"ok": 18, "failed": 0}
    assert raw["versions"]["torch"] == torch.__version__.split("+")[0]
    request = json.loads((small_run.folder / "request.json").read_text())
    assert request["methods"] == ["grad_cam", "layer_cam"]
    assert request["map_shape"] == [8, 8]
    assert len(part_files(small_run.folder)) == 2
    assert small_run.title("layer_cam") == "LayerCAM"


def test_a_finished_run_is_not_run_again(small_run: RunData, tiny: Classifier, pictures: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in small_run.folder.rglob("*.*")}
    run(tiny, FolderSource(pictures), small_run.folder, ["grad_cam", "layer_cam"])
    assert {p: p.stat().st_mtime_ns for p in small_run.folder.rglob("*.*")} == before


@pytest.mark.parametrize("change", ["methods", "weights", "data"])
def test_another_run_does_not_mix_in(
    change: str, small_run: RunData, tiny: Classifier, pictures: Path
) -> None:
    from dataclasses import replace

    if change == "data":
        (pictures / "red" / "0.png").unlink()
    classifier = replace(tiny, weights_hash="other") if change == "weights" else tiny
    with pytest.raises(UserError, match="holds another run"):
        run(
            classifier,
            FolderSource(pictures),
            small_run.folder,
            ["hires_cam" if change == "methods" else "grad_cam", "layer_cam"],
        )


def test_out_that_is_no_run(tiny: Classifier, pictures: Path) -> None:
    with pytest.raises(UserError, match="exists and is no run"):
        run(tiny, FolderSource(pictures), pictures, ["grad_cam"])


def test_stopped_and_resumed(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    out, seen = tmp_path / "run", []
    with pytest.raises(Cancelled, match="10 of 18 images are kept"):
        run(
            tiny,
            FolderSource(pictures),
            out,
            ["grad_cam"],
            batch_size=5,
            stop=lambda: len(seen) == 2,
            progress=seen.append,
        )
    assert len(done_ids(out)) == 10
    assert open_run(out).manifest.status == "partial"
    steps: list[Progress] = []
    manifest = run(tiny, FolderSource(pictures), out, ["grad_cam"], batch_size=5, progress=steps.append)
    assert [(s.done, s.before) for s in steps] == [(15, 10), (18, 10)]
    assert manifest.counts == {"ok": 18, "failed": 0}
    assert open_run(out).table["id"].is_unique


def test_resumed_equals_uninterrupted(
    tiny: Classifier, pictures: Path, tmp_path: Path, small_run: RunData
) -> None:
    with pytest.raises(Cancelled):
        run(
            tiny,
            FolderSource(pictures),
            tmp_path / "again",
            ["grad_cam", "layer_cam"],
            batch_size=5,
            stop=lambda: True,
        )
    run(tiny, FolderSource(pictures), tmp_path / "again", ["grad_cam", "layer_cam"], batch_size=5)
    again = open_run(tmp_path / "again")
    a, b = small_run.table.sort_values("id"), again.table.sort_values("id")
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-4)
    np.testing.assert_allclose(
        small_run.maps("layer_cam", "label", a.index),
        again.maps("layer_cam", "label", b.index),
        rtol=2e-2,
        atol=1e-4,
    )


def test_unreadable_images_become_rows(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    (pictures / "red" / "0.png").write_text("no picture")
    (pictures / "blue" / "1.png").write_bytes((pictures / "blue" / "1.png").read_bytes()[:300])
    manifest = run(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam"])
    assert manifest.counts == {"ok": 16, "failed": 2}
    data = open_run(tmp_path / "run")
    assert set(data.table[data.table["error"].notna()]["id"]) == {"red/0.png", "blue/1.png"}
    assert len(data.ok) == 16
    assert np.isnan(data.maps("grad_cam", "pred", data.table.index[data.table["error"].notna()])).all()


def test_all_unreadable(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    for path in pictures.rglob("*.png"):
        path.write_text("x")
    assert run(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam"]).counts == {"ok": 0, "failed": 18}
    assert np.isnan(open_run(tmp_path / "run").evaluation.accuracy)


def test_broken_network_gives_marked_maps(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    with torch.no_grad():
        tiny.model.features[0].weight.fill_(float("nan"))  # type: ignore[index,union-attr]
    run(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam", "eigen_cam"])
    data = open_run(tmp_path / "run")
    assert np.isnan(data.maps("grad_cam", "pred", [0])).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ["grad_cam", "gradcam9"]}, "No method 'gradcam9': did you mean grad_cam"),
        ({"layer": "features.77"}, "No layer 'features.77': near are"),
        ({"layer": "head"}, "maps need a layer with"),
        ({"precision": "int4"}, "choose from fp32, bf16"),
        ({"methods": []}, "No method given"),
    ],
)
def test_requests_are_checked_before_any_work(
    change: dict[str, object], message: str, tiny: Classifier, pictures: Path, tmp_path: Path
) -> None:
    wanted = {"methods": ["grad_cam"]} | change
    with pytest.raises(UserError, match=message):
        run(tiny, FolderSource(pictures), tmp_path / "run", **wanted)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_label_that_the_model_lacks(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    (pictures / "red").rename(pictures / "purple")
    with pytest.raises(UserError, match="no class for purple"):
        run(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam"])
    run(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam"], mapping={"purple": "red"})
    assert len(open_run(tmp_path / "run").ok) == 18


def test_full_disk_keeps_the_parts_before(
    tiny: Classifier, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = pq.write_table, []

    def full(table: object, path: Path, **kwargs: object) -> None:
        calls.append(path)
        if len(calls) == 2:
            Path(path).write_bytes(b"half a part")
            raise OSError(28, "No space left on device")
        write(table, path, **kwargs)

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(UserError, match=r"No space left on device.*start the same command again"):
        run(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam"], batch_size=5, part_rows=5)
    assert len(done_ids(tmp_path / "run")) == 5
    assert not list(tmp_path.rglob("*.tmp"))
    monkeypatch.undo()
    assert run(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam"]).counts["ok"] == 18


def test_bf16_is_close(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    run(tiny, FolderSource(pictures), tmp_path / "half", ["grad_cam"], precision="bf16")
    run(tiny, FolderSource(pictures), tmp_path / "full", ["grad_cam"])
    half, full = open_run(tmp_path / "half"), open_run(tmp_path / "full")
    np.testing.assert_allclose(half.table["loss"], full.table["loss"], rtol=0.1, atol=0.02)


def test_runs_that_cannot_be_opened(tmp_path: Path, small_run: RunData) -> None:
    with pytest.raises(UserError, match="is no run folder"):
        open_run(tmp_path)
    (small_run.folder / "samples" / "part-00001.parquet").write_bytes(b"zzz")
    assert "1 of 2 files of the run is damaged" in open_run(small_run.folder).unfinished
    (small_run.folder / "samples" / "part-00000.parquet").write_bytes(b"zzz")
    with pytest.raises(UserError, match="is damaged"):
        open_run(small_run.folder)
    raw = json.loads((small_run.folder / "request.json").read_text()) | {"schema": 99}
    (small_run.folder / "request.json").write_text(json.dumps(raw))
    with pytest.raises(UserError, match="format 99"):
        open_run(small_run.folder)


def test_parts_are_written_as_they_fill(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    counts: list[int] = []
    run(
        tiny,
        FolderSource(pictures),
        tmp_path / "run",
        ["grad_cam"],
        batch_size=3,
        part_rows=6,
        progress=lambda _: counts.append(len(part_files(tmp_path / "run"))),
    )
    assert counts == [0, 1, 1, 2, 2, 3]
    assert asdict(open_run(tmp_path / "run").manifest.request)["layer"] == "features"


@pytest.fixture(scope="module")
def more_than_a_part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four classes, each of 160 noisy pictures; a part of a run holds 512."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("more_than_a_part")
    for name in ("happy", "Sad", "NEUTRAL", "anger"):
        (folder / name).mkdir()
        for i in range(160):
            pixels = rng.integers(0, 255, (48, 48, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.jpg")
    return folder


@pytest.fixture(scope="module")
def small_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that was not trained, of expressions."""
    file = tmp_path_factory.mktemp("network") / "small.safetensors"
    classes = ["happiness", "sadness", "neutral", "anger"]
    checkpoints.save(file, spec("small_conv").build(4), {"architecture": "small_conv", "classes": classes})
    return file


def paused(*words: str, batches: int, **options: Any) -> "subprocess.Popen[str]":
    """A run that stands still in the middle: after so many batches."""
    pause = paused_after(batches, "explain.run.engine:Job.rows")
    process = forked(*words, env=os.environ | {"COLUMNS": "80"} | pause, **options)
    wait_until_paused(process.pid)
    return process


@pytest.mark.slow
def test_killed_in_the_middle(more_than_a_part: Path, small_network: Path, tmp_path: Path) -> None:
    """kill -9, start again: nothing lost, nothing twice."""
    out = tmp_path / "run"
    words = ["run", "--model", str(small_network), "--data", str(more_than_a_part), "--out", str(out)]
    process = paused(*words, batches=18, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = done_ids(out)
    assert len(kept) == 512
    assert not (out / "manifest.json").exists()
    stamps = {p: p.stat().st_mtime_ns for p in part_files(out)}
    printed = launch(*words)
    data = open_run(out)
    assert len(data.table) == 640
    assert data.table["id"].is_unique
    assert data.manifest.counts == {"ok": 640, "failed": 0}
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in stamps.items())
    assert "accuracy" in printed


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_done(more_than_a_part: Path, small_network: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["run", "--model", str(small_network), "--data", str(more_than_a_part), "--out", str(out)]
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = paused(*words, "--batch-size", "8", batches=66, **pipes)
    assert len(done_ids(out)) == 512
    for number in (signal.SIGINT, signal.SIGCONT):
        process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command to resume" in stdout
    assert "Traceback" not in stderr
    assert len(done_ids(out)) > 512  # what the last part was to hold, too


@pytest.mark.data
@pytest.mark.slow
def test_imagenet_photos(imagenet: Path, mobilenet_weights: Path, tmp_path: Path) -> None:
    """MobileNetV2 on real photos answers as torchvision's own pipeline does, picture by picture."""
    from torchvision.models import MobileNet_V2_Weights

    from models.data.open import open_data
    from models.registry import load

    classifier, source = load("mobilenet_v2", mobilenet_weights), open_data(str(imagenet), limit=36)
    assert len(source) == 36
    run(classifier, source, tmp_path / "run", ["grad_cam"])
    data = open_run(tmp_path / "run")
    transform, own = MobileNet_V2_Weights.IMAGENET1K_V1.transforms(), []
    with torch.inference_mode():
        for i in range(len(source)):
            own.append(int(classifier.model(transform(source.load(i))[None]).argmax()))
    by_id = data.table.set_index("id").loc[[item.id for item in source.items]]
    assert by_id["pred"].tolist() == own
    assert data.evaluation.accuracy >= 0.75


@pytest.mark.data
@pytest.mark.slow
def test_maps_of_real_photos_are_those_of_pytorch_grad_cam(
    imagenet: Path, mobilenet_weights: Path, tmp_path: Path
) -> None:
    """What lies in the run folder, after float16 and back: within a thousandth of each map's largest
    value."""
    from models.data.open import open_data
    from models.registry import load
    from tests.reference import PEERS, raw_references

    classifier, source = load("mobilenet_v2", mobilenet_weights), open_data(str(imagenet), limit=8)
    methods = ["grad_cam", "layer_cam", "hires_cam", "xgrad_cam", "grad_cam_pp"]
    run(classifier, source, tmp_path / "run", methods)
    data = open_run(tmp_path / "run")
    x = classifier.batch([source.load(i) for i in range(8)])
    module = classifier.model.get_submodule(data.manifest.request.layer)
    for target in ("pred", "label"):
        classes = data.table[target].astype(int).tolist()
        peers = {method: PEERS[method] for method in methods}
        for method, theirs in raw_references(peers, classifier.model, module, x, classes).items():
            ours = data.maps(method, target, range(8))
            assert (np.abs(ours - theirs).max((1, 2)) / np.abs(theirs).max((1, 2))).max() < 1e-3, (
                method,
                target,
            )


def test_several_layers_are_fused_at_the_finest(tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    manifest = run(tiny, FolderSource(pictures), tmp_path / "fused", ["layer_cam"], "features.0, features")
    assert manifest.request.map_shape == (16, 16)
    assert open_run(tmp_path / "fused").maps("layer_cam", "pred", [0]).shape == (1, 16, 16)


def test_methods_that_run_the_network_again_are_for_single_images(
    tiny: Classifier, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="a run takes grad_cam"):
        run(tiny, FolderSource(pictures), tmp_path / "r", ["score_cam"])
    assert not (tmp_path / "r").exists()
