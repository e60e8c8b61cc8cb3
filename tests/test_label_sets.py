"""Runs of several labels per image: answers, maps and metrics against a plain loop of PyTorch and
scikit-learn, and each label as a run of two classes."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import functional as TF

from explain.analysis.binary.measures import binary_scores
from explain.analysis.findings import Findings, analyze
from explain.run.engine import run
from explain.run.format import BY_LABEL, MAPS, SAMPLES, maps_of, part_files, read_request
from explain.run.outputs.label_rows import MOST_HITS, mapped_classes
from explain.run.outputs.label_sets import LabelRun, LabelSetsRun
from explain.run.preflight.sample import numbered_sets
from explain.run.reader import open_run
from models.checkpoints import fingerprint
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.data.source import ImageSource, Item
from models.errors import Cancelled, UserError
from models.outputs.multi_label import is_multi_label
from models.outputs.probabilities import probabilities
from models.outputs.task import MULTI, SINGLE, as_asked, with_task
from tests.command import run_command
from tests.conftest import TINY, TinyNet

NAMES = ("red", "green", "blue", "grey")
BGR = ("--std", "0.15,0.13,0.21", "--channels", "bgr")


class Patches(ImageSource):
    """Pictures with a patch of each of its colors: the labels are the colors that are there."""

    multi_label = True

    def __init__(self, root: Path, count: int = 24):
        colors = np.array([(220, 40, 40), (40, 200, 60), (40, 60, 220), (128, 128, 128)])
        rng, self.root, self.name, self.classes = np.random.default_rng(3), str(root), "patches", NAMES
        self.items = []
        for k in range(count):
            picture = rng.integers(0, 60, (40, 48, 3)).astype(np.uint8)
            chosen = np.flatnonzero(rng.random(4) < 0.4)
            for c in chosen:
                y, x = 20 * (c // 2), 24 * (c % 2)
                picture[y : y + 16, x : x + 20] = colors[c]
            Image.fromarray(picture).save(root / f"{k}.png")
            self.items.append(Item.of_set(f"{k}.png", [NAMES[c] for c in chosen], NAMES))

    def load(self, index: int) -> Image.Image:
        return Image.open(Path(self.root) / self.items[index].id).convert("RGB")

    @property
    def truth(self) -> np.ndarray:
        return np.array([[name in (item.labels or ()) for name in NAMES] for item in self.items])


@pytest.fixture
def patches(tmp_path: Path) -> Patches:
    (tmp_path / "patches").mkdir()
    return Patches(tmp_path / "patches")


def answering() -> Classifier:
    """A network that answers about as often yes as no."""
    torch.manual_seed(1)
    model = TinyNet(4).eval()
    with torch.no_grad():
        model.head.weight.mul_(8)
        model.head.bias.copy_(torch.tensor([0.1, -0.3, 0.2, 0.0]))
    return with_task(Classifier("tiny", model, NAMES, TINY, "", fingerprint(model)), MULTI)


@pytest.fixture
def net() -> Classifier:
    return answering()


def plain_logits(net: Classifier, source: Patches) -> torch.Tensor:
    """Without Vitrine: PIL, torchvision and the module."""
    images = [
        TF.to_tensor(source.load(i).resize((32, 32), Image.Resampling.BILINEAR)) for i in range(len(source))
    ]
    with torch.inference_mode():
        return net.model(torch.stack([TF.normalize(x, [0.5] * 3, [0.5] * 3) for x in images]))


def test_answers_are_sigmoids_of_the_logits(net: Classifier, patches: Patches, tmp_path: Path) -> None:
    manifest = run(net, patches, tmp_path / "run", ["grad_cam", "layer_cam"], batch_size=5, part_rows=7)
    assert manifest.request.task == MULTI
    assert manifest.request.schema == 2
    rows = pd.read_parquet(tmp_path / "run" / SAMPLES).set_index("id").loc[[i.id for i in patches.items]]
    z = plain_logits(net, patches)
    np.testing.assert_allclose(np.stack(rows["logit"]), z, atol=2e-5)
    np.testing.assert_allclose(np.stack(rows["prob"]), z.sigmoid(), atol=1e-5)
    assert [list(labels) for labels in rows["labels"]] == [np.flatnonzero(t).tolist() for t in patches.truth]
    loss = nn.functional.binary_cross_entropy_with_logits(
        z, torch.from_numpy(patches.truth).float(), reduction="none"
    ).mean(1)
    np.testing.assert_allclose(rows["loss"], loss, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["grad_cam", "layer_cam"])
def test_maps_are_those_of_the_logit_of_the_class(
    method: str, net: Classifier, patches: Patches, tmp_path: Path
) -> None:
    """Equal to pytorch-grad-cam with RawScoresOutputTarget's sum replaced by one output."""
    from pytorch_grad_cam import GradCAM, LayerCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    run(net, patches, tmp_path / "run", [method], layer="features.4", batch_size=8)
    maps = pd.read_parquet(tmp_path / "run" / MAPS)
    kind = {"grad_cam": GradCAM, "layer_cam": LayerCAM}[method]
    chosen = mapped_classes(plain_logits(net, patches).sigmoid().numpy(), patches.truth)
    assert sorted(zip(maps["id"], maps["class"], strict=True)) == sorted(
        (item.id, c) for item, classes in zip(patches.items, chosen, strict=True) for c in classes
    )
    ids = [item.id for item in patches.items]
    h, w = read_request(tmp_path / "run").map_shape
    x = torch.stack(
        [
            TF.normalize(
                TF.to_tensor(patches.load(i).resize((32, 32), Image.Resampling.BILINEAR)),
                [0.5] * 3,
                [0.5] * 3,
            )
            for i in range(len(patches))
        ]
    )
    with kind(net.model, [net.model.features[4]]) as cam:
        for row in maps.itertuples():
            i = ids.index(row.id)
            cam(x[i : i + 1], [ClassifierOutputTarget(int(row[2]))])
            a, g = cam.activations_and_grads.activations[0], cam.activations_and_grads.gradients[0]
            expected = cam.get_cam_image(x[i : i + 1], None, None, a.numpy(), g.numpy(), False)[0]
            name = f"map.{method}.class"
            ours = (
                np.asarray(maps.at[row.Index, name], np.float32).reshape(h, w)
                * maps.at[row.Index, f"{name}.scale"]
            )
            np.testing.assert_allclose(
                np.maximum(ours, 0), np.maximum(expected, 0), atol=2e-3 * max(1e-6, np.abs(expected).max())
            )


def test_which_classes_have_maps() -> None:
    """All that are missed or called in error, and of those that are found the least sure."""
    prob = np.array([[0.9, 0.2, 0.6, 0.1], [0.1, 0.2, 0.3, 0.4]])
    truth = np.array([[True, True, False, False], [False] * 4])
    assert mapped_classes(prob, truth) == [[0, 1, 2], []]
    many = np.linspace(0.99, 0.6, 9)[None]
    assert mapped_classes(many, np.ones((1, 9), bool)) == [[5, 6, 7, 8]]
    assert MOST_HITS == 4


@pytest.fixture
def opened(net: Classifier, patches: Patches, tmp_path: Path) -> LabelSetsRun:
    run(net, patches, tmp_path / "run", ["grad_cam"], batch_size=5, part_rows=7)
    whole = open_run(tmp_path / "run")
    assert isinstance(whole, LabelSetsRun)
    return whole


@pytest.mark.slow
def test_each_label_is_a_run_of_two_classes(opened: LabelSetsRun, net: Classifier, patches: Patches) -> None:
    p = plain_logits(net, patches).sigmoid().numpy()
    for index, name in enumerate(NAMES):
        one = opened.label_sets.label(index)
        assert one.classes == (f"no {name}", name)
        assert one.binary
        np.testing.assert_array_equal(one.ok["label"], patches.truth[:, index])
        np.testing.assert_array_equal(one.ok["pred"], p[:, index] >= 0.5)
        np.testing.assert_allclose(one.positive_score, p[:, index], atol=1e-5)
        right = np.where(patches.truth[:, index], p[:, index], 1 - p[:, index])
        np.testing.assert_allclose(one.ok["loss"], -np.log(right), rtol=1e-3)
        for threshold in (0.2, 0.8):
            at = one.at(threshold)
            np.testing.assert_array_equal(at.ok["pred"], p[:, index] >= threshold)


@pytest.mark.slow
def test_the_map_of_a_label_is_that_of_the_class_that_is_asked_for(opened: LabelSetsRun) -> None:
    """'red' has maps, 'no red' has none, and at another threshold they change places."""
    one = opened.label_sets.label(0)
    kept = opened.label_sets.places
    for run_ in (one, one.at(0.9), one.at(0.1)):
        for row, item in run_.ok.iterrows():
            stored = bool(((kept["class"] == 0) & (kept["row"] == row)).any())
            raw = run_.maps("grad_cam", "pred", [row])[0]
            assert np.isfinite(raw).all() == (stored and item["pred"] == 1)
            assert bool(run_.no_map(int(str(row)), "pred")) == (not (stored and item["pred"] == 1))
            if stored:
                target = "label" if item["label"] == 1 else "pred" if item["pred"] == 1 else "other"
                np.testing.assert_array_equal(
                    run_.maps("grad_cam", target, [row]), opened.maps_of("grad_cam", 0, [row])
                )


@pytest.mark.slow
def test_findings_of_each_label_are_kept_apart(opened: LabelSetsRun) -> None:
    for index in range(4):
        one = opened.label_sets.label(index)
        list(analyze(Findings(one)))
        assert Findings(one).kept
        assert (opened.folder / BY_LABEL / f"{index:04d}" / "analysis.json").is_file()
    assert not (opened.folder / "analysis.json").exists()


@pytest.mark.slow
def test_a_label_by_its_name(opened: LabelSetsRun) -> None:
    assert isinstance(open_run(opened.folder, "blue"), LabelRun)
    assert open_run(opened.folder, "blue").classes[1] == "blue"
    with pytest.raises(UserError, match=r"No label 'pink'.*red, green, blue, grey"):
        open_run(opened.folder, "pink")


@pytest.mark.slow
def test_a_stopped_run_goes_on(net: Classifier, patches: Patches, tmp_path: Path) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    run(net, patches, whole, ["grad_cam"], batch_size=4, part_rows=8)
    with pytest.raises(Cancelled):
        run(net, patches, halves, ["grad_cam"], batch_size=4, part_rows=8, stop=lambda: True)
    assert len(part_files(halves)) == 1
    run(net, patches, halves, ["grad_cam"], batch_size=4, part_rows=8)
    for folder in (SAMPLES, MAPS):
        pd.testing.assert_frame_equal(
            *(pd.read_parquet(f / folder).drop(columns="thumbnail", errors="ignore") for f in (whole, halves))
        )


def test_damaged_or_missing_maps_are_computed_again(
    net: Classifier, patches: Patches, tmp_path: Path
) -> None:
    out, said = tmp_path / "run", list[str]()
    run(net, patches, out, ["grad_cam"], part_rows=8, batch_size=8)
    before = pd.read_parquet(out / MAPS).sort_values(["id", "class"], ignore_index=True)
    maps_of(part_files(out)[1]).unlink()
    assert open_run(out).damaged == 1
    run(net, patches, out, ["grad_cam"], part_rows=8, batch_size=8, say=said.append)
    assert "1 of the run's files were damaged" in said[0]
    after = pd.read_parquet(out / MAPS).sort_values(["id", "class"], ignore_index=True)
    pd.testing.assert_frame_equal(after[["id", "class"]], before[["id", "class"]])


def test_images_that_cannot_be_read_are_counted(net: Classifier, patches: Patches, tmp_path: Path) -> None:
    (Path(patches.root) / "5.png").write_bytes(b"no picture")
    manifest = run(net, patches, tmp_path / "run", ["grad_cam"])
    assert manifest.counts == {"ok": 23, "failed": 1}
    one = open_run(tmp_path / "run", "green")
    assert len(one.ok) == 23
    assert len(one.table) == 24


def test_changed_labels_are_another_run(net: Classifier, patches: Patches, tmp_path: Path) -> None:
    run(net, patches, tmp_path / "run", ["grad_cam"])
    patches.items[0] = Item.of_set(patches.items[0].id, NAMES, NAMES)
    with pytest.raises(UserError, match="1 label changed"):
        run(net, patches, tmp_path / "run", ["grad_cam"])


class Sigmoids(nn.Module):
    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x).sigmoid()


def test_outputs_behind_a_sigmoid_are_probabilities(net: Classifier, tmp_path: Path) -> None:
    torch.manual_seed(1)
    inner = TinyNet(4).eval()
    both = [Classifier("n", m, NAMES, TINY, "", "") for m in (inner, Sigmoids(inner).eval())]
    logits, behind = (with_task(c, MULTI) for c in both)
    assert "a logit" in logits.notes[-1]
    assert "a probability" in behind.notes[-1]
    x = torch.rand(3, 3, 32, 32)
    with torch.inference_mode():
        p = [probabilities(c.model, c.model(x)) for c in (logits, behind)]
        torch.testing.assert_close(p[0], inner(x).sigmoid())
    torch.testing.assert_close(*p, atol=1e-6, rtol=0)
    assert not is_multi_label(inner)


def test_a_softmax_is_refused() -> None:
    net = Classifier("n", nn.Sequential(TinyNet(4), nn.LogSoftmax(1)).eval(), NAMES, TINY, "", "")
    with pytest.raises(UserError, match="probabilities sum to 1, so its classes exclude each other"):
        with_task(net, MULTI)


def test_what_contradicts_itself_is_refused(
    net: Classifier, patches: Patches, pictures: Path, tmp_path: Path
) -> None:
    from dataclasses import replace

    plain = Classifier("n", TinyNet(4).eval(), NAMES, TINY, "", "")
    assert as_asked(plain, patches).task == MULTI
    assert as_asked(plain, FolderSource(pictures)).task == SINGLE
    with pytest.raises(
        UserError, match="answers with one class, as its file says, and the data has any number"
    ):
        as_asked(replace(plain, task=SINGLE), patches)
    with pytest.raises(UserError, match=r"answers with any number of labels.*--task single-label or --task"):
        as_asked(replace(plain, task=MULTI), FolderSource(pictures))
    with pytest.raises(UserError, match="answers with any number of labels, and the data has one label"):
        run(net, FolderSource(pictures), tmp_path / "run", ["grad_cam"])


@pytest.mark.slow
def words_of(cases: Path, case: dict[str, Any], *leave_out: str) -> list[str]:
    """The options of a command on a case, without those that are left out."""
    fed = case["preprocessing"]
    options = {"input-size": "{}x{}".format(*fed["size"]), "resize": "squash"}
    options |= {name: ",".join(map(str, fed[name])) for name in ("mean", "std")}
    words = ["--model", f"{cases / 'usernet.py'}:build", "--weights", str(cases / case["files"][1])]
    words += ["--data", str(cases / case["data"])]
    return words + [
        w for name, value in options.items() if name not in leave_out for w in (f"--{name}", value)
    ]


@pytest.fixture
def case() -> tuple[Path, dict[str, Any]]:
    if not os.environ.get("VITRINE_CASES"):
        pytest.skip("VITRINE_CASES is not set")
    cases = Path(os.environ["VITRINE_CASES"])
    known = json.loads((cases / "expected.json").read_text())
    return cases, next(c for c in known if c["name"] == "multilabel_labels")


@pytest.mark.slow
@pytest.mark.data
def test_the_case_equals_its_answers(case: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """`multilabel` of the cases: every probability, F1, average precision and subset accuracy."""
    from sklearn.metrics import accuracy_score, average_precision_score, f1_score

    cases, known = case
    words = ["run", *words_of(cases, known), "--out", str(tmp_path / "run"), "--methods", "grad_cam"]
    result = run_command(*words)
    assert result.returncode == 0, result.stderr
    sets = open_run(tmp_path / "run").label_sets
    assert sets is not None
    answers = pd.read_csv(cases / known["predictions"], dtype={"labels": str}).fillna("")
    ids = list(sets.table["id"])
    order = [ids.index(Path(name).name if name not in ids else name) for name in answers["image"]]
    p, truth = sets.prob[order], sets.truth[order]
    expected = answers[[f"prob_{name}" for name in sets.classes]].to_numpy()
    assert np.abs(p - expected).max() < 2e-6
    assert ["|".join(np.array(sets.classes)[t]) for t in truth] == answers["labels"].tolist()
    called, m = p >= 0.5, known["metrics"]
    assert round(f1_score(truth, called, average="micro"), 4) == m["micro_f1"]
    assert round(accuracy_score(truth, called), 4) == m["subset_accuracy"]
    assert round(average_precision_score(truth, p), 4) == m["map"]
    each = [binary_scores(sets.label(k)).average_precision for k in range(len(sets.classes))]
    assert round(float(np.mean(each)), 4) == m["map"]


@pytest.mark.slow
@pytest.mark.data
def test_check_counts_images_whose_labels_are_all_right(case: tuple[Path, dict[str, Any]]) -> None:
    """And finds the colors of a network that is given BGR."""
    cases, known = case
    right = json.loads(run_command("check", *words_of(cases, known), "--json").stdout)
    low, high = right["interval"]
    assert low < known["metrics"]["subset_accuracy"] < high
    assert not right["wrong"]
    assert right["chance"] < 0.1
    wrong = run_command("check", *words_of(cases, known, "mean", "std"), "--mean", "0.48,0.28,0.26", *BGR)
    assert wrong.returncode == 1
    assert "images, all labels right, spread over" in wrong.stdout
    assert "--channels rgb" in wrong.stdout


def test_sets_of_labels_are_numbered() -> None:
    truth = np.array([[True, False], [True, True], [False, False]])
    called = np.array([[True, True], [True, True], [False, True]])
    label, pred, names = numbered_sets(truth, called, ("a", "b"))
    assert [names[k] for k in label] == ["a", "a | b", "none"]
    assert [names[k] for k in pred] == ["a | b", "a | b", "b"]
