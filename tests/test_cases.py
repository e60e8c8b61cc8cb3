"""Networks and data of strangers with known answers (`VITRINE_CASES`), picture by picture: equal, or refused
in one line that says why."""

import importlib.util
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from explain.run.engine import match, run
from explain.run.reader import open_run
from models import checkpoints, registry
from models.classes.names import unnamed
from models.classifier import Classifier
from models.data.open import open_data
from models.data.reopen import reopen
from models.errors import UserError
from models.preprocessing import Preprocessing
from tests.command import run_command

ROOT = Path(__file__).parent.parent
FEW = 100
"""Images of the runs by the command line and of files: evenly spread over the 500, each with its answer."""
pytestmark = pytest.mark.data


def folder() -> Path:
    found = os.environ.get("VITRINE_CASES")
    if not found:
        pytest.skip("VITRINE_CASES is not set: it names the folder that the cases were built into")
    return Path(found)


@cache
def _entries(path: Path) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in json.loads((path / "expected.json").read_text())}


def case(name: str) -> dict[str, Any]:
    entries = _entries(folder())
    if name not in entries:
        pytest.skip(f"the cases were built without {name}")
    return entries[name]


def small_net(entry: dict[str, Any], classes: tuple[str, ...] | None = None) -> Classifier:
    """A user's own module, wrapped in Python."""
    spec = importlib.util.spec_from_file_location("usernet", folder() / "usernet.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    state, _ = checkpoints.read(folder() / next(f for f in entry["files"] if f.endswith(".pth")))
    outputs = len(state["head.bias"])
    model = module.build(outputs).eval()
    model.load_state_dict(state)
    p = entry["preprocessing"]
    fed = Preprocessing(tuple(p["size"]), None, tuple(p["mean"]), tuple(p["std"]), p["interpolation"])
    return Classifier("usernet", model, classes or unnamed(outputs), fed, "", checkpoints.fingerprint(model))


def answers(name: str) -> pd.DataFrame:
    return pd.read_csv(
        folder() / case(name)["predictions"], dtype={"label": str, "pred": str, "image": str}
    ).set_index("image")


def same(out: Path, name: str, files: bool = False, images: int = 0) -> None:
    """Every image's probabilities and prediction, and the accuracy. `files`: the answers name files without
    folders. `images`: how many the run has (default: all)."""
    entry, opened, expected = case(name), open_run(out), answers(name)
    order = entry["class_order"]
    outputs = opened.manifest.request.outputs
    ok = opened.ok
    assert len(ok) == (images or entry["images"])
    columns = [outputs[c] for c in order]
    named_there = [_name(one, expected) if files else one for one in ok["id"]]
    answered = expected.loc[named_there]
    wanted = answered[[f"prob_{c}" for c in order]].to_numpy(float)
    found = np.stack([opened.prob(int(row)) for row in ok.index])[:, columns]
    np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=2e-3)
    named = {i: c for c, i in outputs.items()}
    right = [named[p] == named[k] for p, k in zip(ok["pred"], ok["label"], strict=True)]
    if images:
        assert np.mean(right) == pytest.approx((answered["pred"] == answered["label"]).mean(), abs=2e-4)
    else:
        assert np.mean(right) == pytest.approx(entry["accuracy"], abs=2e-4)


def _name(item_id: str, expected: pd.DataFrame) -> str:
    """The answers' name of an image: its file's, or its key in a shard."""
    name = Path(item_id).name
    return name if name in expected.index else Path(name).stem


def command(*words: object, code: int = 0) -> str:
    done = run_command(*words)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


# -- classes ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["casing", "synonyms"])
def test_classes_that_differ_little(name: str, tmp_path: Path) -> None:
    entry = case(name)
    names = tuple((folder() / entry["files"][2]).read_text().split())
    run(small_net(entry, names), open_data(str(folder() / entry["data"])), tmp_path / "run", ["grad_cam"])
    same(tmp_path / "run", name)


@pytest.mark.slow
def test_numbers_sorted_as_text(tmp_path: Path) -> None:
    entry = case("num12")
    classifier, source = small_net(entry), open_data(str(folder() / entry["data"]))
    with pytest.raises(UserError, match=r"their order is ambiguous.*--classes sorted.*--classes numbers"):
        run(classifier, source, tmp_path / "run", ["grad_cam"])
    few = open_data(str(folder() / entry["data"]), limit=FEW)
    run(classifier, few, tmp_path / "run", ["grad_cam"], order="sorted")
    same(tmp_path / "run", "num12", images=FEW)


FORMATS = [
    "hf_csv",
    "hf_jsonl",
    "kaggle",
    "onehot",
    "windows",
    "half_missing",
    "list",
    "empty_class",
    "parquet",
    "webdataset_cls",
    "webdataset_json",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*(f"formats_{kind}" for kind in FORMATS), "mixed"])
def test_data_as_it_comes(name: str, tmp_path: Path) -> None:
    entry = case(name)
    classifier = small_net(entry, tuple(entry["class_order"]))
    source = open_data(str(folder() / entry["data"]))
    manifest = run(classifier, source, tmp_path / "run", ["grad_cam"])
    assert manifest.counts["failed"] == (30 if name == "formats_half_missing" else 0)
    same(tmp_path / "run", name, files=name.startswith("formats"))
    message = {
        "formats_hf_csv": "labels from metadata.csv",
        "formats_hf_jsonl": "labels from metadata.jsonl",
        "formats_kaggle": "ids are images in",
        "formats_onehot": "labels from 10 columns of 0 and 1",
        "formats_webdataset_cls": "2 shards",
        "formats_windows": "read as '/'",
        "formats_half_missing": "30 of 60 images found",
        "formats_empty_class": "no image of class ten",
    }
    assert message.get(name, "") in source.note
    if name == "mixed":
        assert any("use 12 bits" in told for told in source.reading)
        assert any("EXIF rotation, which is applied" in told for told in source.reading)


@pytest.mark.parametrize("name", [f"formats_{kind}" for kind in FORMATS])
def test_images_labels_and_classes_of_every_form(name: str) -> None:
    """The same sixty images in the same order, pixel by pixel, but for those that are missing."""
    entry, truth = case(name), answers("formats_list")["label"]
    source = open_data(str(folder() / entry["data"]))
    assert source.classes == (
        tuple(sorted([*entry["class_order"], "ten"]))
        if name == "formats_empty_class"
        else tuple(entry["class_order"])
    )
    assert len(source) == 60
    files = list(truth.index)
    for index, item in enumerate(source.items):
        if "lost" in item.id:
            continue
        key = Path(item.id).name
        file = files[int(Path(item.id).stem)] if name.startswith("formats_webdataset") else key
        assert item.label == truth[file]
        with Image.open(folder() / "formats" / "images" / file) as expected:
            assert source.load(index).tobytes() == expected.convert("RGB").tobytes()
            again = reopen(source.root, item.id, trusted=False)
            assert again is not None
            assert again.tobytes() == expected.convert("RGB").tobytes()


@pytest.mark.parametrize("name", ["num12", "casing", "synonyms"])
def test_labels_of_folders(name: str) -> None:
    source = open_data(str(folder() / case(name)["data"]))
    assert source.classes == tuple(sorted(case(name)["class_order"]))
    assert {item.id: item.label for item in source.items} == answers(name)["label"].to_dict()


def test_pixels_of_every_kind_of_file() -> None:
    entry = case("mixed")
    source = open_data(str(folder() / entry["data"]))
    assert len(source) == 60
    for index, item in enumerate(source.items):
        expected = np.load(folder() / "mixed" / "pixels" / f"{item.id}.npy")
        assert np.abs(np.asarray(source.load(index), int) - expected).max() <= 1, item.id


# -- preprocessing, by the command line ------------------------------------------------------------------


GREY_STEM = """
from torch import nn
from torchvision.models import shufflenet_v2_x0_5

def build(num_classes):
    model = shufflenet_v2_x0_5(num_classes=num_classes)
    model.conv1[0] = nn.Conv2d(1, 24, 3, 2, 1, bias=False)
    return model
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "shufflenet_half_norm",
        "shufflenet_half_precision",
        "shufflenet_unnormalized",
        "shufflenet_imagenet_example",
        "shufflenet_bgr",
        "shufflenet_gray_stem",
    ],
)
def test_preprocessing_is_told(name: str, tmp_path: Path) -> None:
    entry = case(name)
    p = entry["preprocessing"]
    channels = {"gray": "grey-last"}.get(p["channels"], p["channels"].lower())
    (tmp_path / "grey.py").write_text(GREY_STEM)
    words = [
        "run",
        "--model",
        f"{tmp_path}/grey.py:build" if channels == "grey-last" else "shufflenet_v2_x0_5",
        "--weights",
        folder() / entry["files"][0],
        "--data",
        folder() / entry["data"],
        *("--methods", "grad_cam", "--classes", "sorted", "--limit", FEW, "--out", tmp_path / "run"),
    ]
    told = [
        "--input-size",
        p["size"][0],
        "--resize",
        "squash" if p["resize"] == "squash" else p["size"][0],
        "--mean",
        ",".join(map(str, p["mean"])),
        "--std",
        ",".join(map(str, p["std"])),
        *(["--channels", channels] if channels != "rgb" else []),
    ]
    message = command(*words, *told)
    color = "grey (after resize and crop)" if channels == "grey-last" else channels.upper()
    assert message.splitlines()[0].startswith(f"input      {p['size'][1]} × {p['size'][0]} {color}")
    same(tmp_path / "run", name, images=FEW)
    otherwise = [*told, "--exif=ignore"] if channels == "grey-last" else []
    assert "holds another run (the preprocessing" in command(*words, *otherwise, code=2)


@pytest.mark.slow
def test_a_thousand_outputs_of_which_ten_are_trained(tmp_path: Path) -> None:
    entry = case("broken_thousand")
    (tmp_path / "map.csv").write_text(
        "".join(f"{name}, class {i}\n" for i, name in enumerate(entry["class_order"]))
    )
    words = [
        "run",
        "--model",
        "shufflenet_v2_x0_5",
        "--weights",
        folder() / entry["files"][0],
        "--data",
        folder() / entry["data"],
        *("--methods", "grad_cam", "--limit", FEW, "--out", tmp_path / "run"),
        "--input-size",
        64,
        "--resize",
        "squash",
        "--mean",
        0.5,
        "--std",
        0.5,
    ]
    assert "do not name their 1,000 outputs" in command(*words, code=2)
    command(*words, "--classes", tmp_path / "map.csv")
    same(tmp_path / "run", "broken_thousand", images=FEW)
    assert open_run(tmp_path / "run").classes[999] == "class 999"


# -- networks that cannot answer ---------------------------------------------------------------------------


@pytest.mark.slow
def test_nan_is_no_answer(tmp_path: Path) -> None:
    entry = case("broken_nan")
    manifest = run(
        small_net(entry, tuple(entry["class_order"])),
        open_data(str(folder() / entry["data"])),
        tmp_path / "run",
        ["grad_cam"],
    )
    assert manifest.counts == {"ok": 0, "failed": 500}
    assert "the network answered NaN (500)" in command("analyze", tmp_path / "run") + "\n".join(
        _outcome(tmp_path / "run")
    )
    assert "None of the 500 images has an answer" in command("analyze", tmp_path / "run")
    command("report", tmp_path / "run", "--out", tmp_path / "report.html")


def _outcome(out: Path) -> list[str]:
    from explain.analysis.ranking import format_text

    return format_text(open_run(out))


@pytest.mark.slow
def test_a_constant_answer_is_at_chance(tmp_path: Path) -> None:
    entry = case("broken_constant")
    run(
        small_net(entry, tuple(entry["class_order"])),
        open_data(str(folder() / entry["data"])),
        tmp_path / "run",
        ["grad_cam"],
    )
    same(tmp_path / "run", "broken_constant")
    message = " ".join(command("analyze", tmp_path / "run").split())
    assert message.startswith("At chance: accuracy 10.0 %")
    assert "train --" not in message


@pytest.mark.slow
def test_one_logit_is_two_classes(tmp_path: Path) -> None:
    """By the command line; the folders' order, which is the other one, is refused with what is right."""
    entry = case("sigmoid")
    p, names = entry["preprocessing"], tmp_path / "names.txt"
    fed = [
        *("--model", f"{folder() / 'usernet.py'}:SmallNet", "--weights", folder() / "sigmoid/net.pth"),
        *("--data", folder() / entry["data"], "--input-size", "32", "--resize", "squash"),
        *("--mean", ",".join(map(str, p["mean"])), "--std", ",".join(map(str, p["std"]))),
    ]
    names.write_text("\n".join(entry["class_order"]))
    message = command("run", *fed, "--class-names", names, "--out", tmp_path / "run")
    assert "one output, which is read as a logit" in message
    same(tmp_path / "run", "sigmoid")
    auc = next(line for line in message.splitlines() if line.startswith("AUC"))
    assert float(auc.split()[1]) == pytest.approx(entry["metrics"]["auc"], abs=6e-4)
    probable, opened = answers("sigmoid")["prob_large"], open_run(tmp_path / "run").at(0.9)
    expected = (probable.loc[opened.ok["id"]] >= 0.9).to_numpy()
    assert ((opened.ok["pred"] == 1).to_numpy() == expected).all()
    done = run_command("run", *fed, "--classes", "sorted", "--out", tmp_path / "other")
    assert done.returncode == 2
    assert "outputs in another order" in done.stderr


@pytest.mark.parametrize("name", ["multilabel_labels", "multilabel_onehot"])
def test_several_labels_an_image_are_read(name: str) -> None:
    source, expected = open_data(str(folder() / case(name)["data"])), {}
    for image, cell in answers(name)["labels"].items():
        expected[image] = tuple(sorted(str(cell).split("|")))
    assert source.multi_label
    assert source.classes == tuple(case(name)["class_order"])
    assert {item.id: item.labels for item in source.items} == expected


def test_other_tasks_are_refused() -> None:
    regression = case("regression")
    source = open_data(str(folder() / regression["data"]), label_col="ink")
    with pytest.raises(UserError, match="has one output"):
        run(
            small_net(regression),
            source,
            Path("never"),
            ["grad_cam"],
            mapping=dict.fromkeys(source.classes, 0),
        )
    assert not Path("never").exists()


def test_what_cannot_be_known_is_asked() -> None:
    """A wrong match never gets as far as a figure."""
    digits = case("shufflenet_half_norm")
    source = open_data(str(folder() / digits["data"]))
    classifier = registry.load("shufflenet_v2_x0_5", folder() / digits["files"][0])
    with pytest.raises(UserError, match=r"do not name their 10 outputs.*--classes sorted"):
        match(classifier, source)
