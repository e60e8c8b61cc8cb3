"""Baselines, people, networks and models against fixations: the truths they are measured by, the folder that
is kept, and the commands."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats
from typer.testing import CliRunner

from explain.gaze.evaluate import evaluate, summary
from explain.gaze.folder import PEOPLE, GazeRun, open_gaze_run, write
from explain.gaze.format_text import markdown, table_lines
from explain.gaze.metrics import METRICS, scores
from explain.gaze.network import NetworkMaps, whole_picture
from explain.gaze.sources import Source, baselines, predictions
from explain.gaze.truths import Truths, one_against_the_rest
from launch import app
from models.classifier import Classifier
from models.errors import UserError
from models.gaze.density import density, distribution
from models.gaze.fixations import open_gaze
from models.gaze.gaze_set import GazeSet
from tests.test_capture import assert_as_found, snapshot


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures of two sizes; three people look at the same spot of each, one of them elsewhere as
    well."""
    root = tmp_path_factory.mktemp("looked")
    (root / "images").mkdir()
    rng, rows = np.random.default_rng(0), []
    for k in range(20):
        height, width = (40, 60) if k % 2 else (50, 50)
        at = rng.uniform([10, 10], [width - 10, height - 10])
        Image.fromarray(rng.integers(0, 255, (height, width, 3), np.uint8)).save(
            root / "images" / f"{k:02d}.png"
        )
        for person in range(3):
            spots = np.clip(rng.normal(at, 2.5, (5, 2)), 0, [width - 1, height - 1])
            rows += [(f"{k:02d}.png", x, y, person) for x, y in spots]
    pd.DataFrame(rows, columns=["image", "x", "y", "subject"]).to_csv(root / "fixations.csv", index=False)
    return root


@pytest.fixture(scope="module")
def looked(folder: Path) -> GazeSet:
    return open_gaze(str(folder))


def everything(truths: Truths, sources: list[Source], variant: str = "tuebingen"):  # type: ignore[no-untyped-def]
    *_, (fraction, made) = evaluate(truths, sources, variant)
    assert fraction == 1
    return made


def test_others_and_prior_leave_the_image_out(looked: GazeSet) -> None:
    """Against plain loops, for pictures of two sizes."""
    truths = Truths(looked, looked, 3.0)
    for image in (looked.images[4], looked.images[7]):
        truth = truths.of(image)
        expected = []
        for other in looked.images:
            if other.id == image.id:
                continue
            rows = [int(float(y) * (image.size[0] / other.size[0])) for y in other.y]
            cols = [int(float(x) * (image.size[1] / other.size[1])) for x in other.x]
            expected += list(zip(rows, cols, strict=True))
        assert truth.others is not None
        assert truth.borders is not None
        assert truth.prior is not None
        assert [tuple(p) for p in truth.others.tolist()] == expected
        assert truth.borders.tolist() == [15 * k for k in range(19)]
        assert truth.prior == pytest.approx(density(*np.array(expected).T, image.size, 3.0), abs=2e-7)


def test_images_from_elsewhere_see_all_others(looked: GazeSet) -> None:
    known = replace(looked, images=looked.images[:10])
    truth = Truths(looked, known, 3.0).of(looked.images[15])
    assert truth.others is not None
    assert len(truth.others) == 150


def test_one_person_and_the_rest(looked: GazeSet) -> None:
    image = looked.images[0]
    split = one_against_the_rest(image, np.random.default_rng(0))
    assert split is not None
    one, rest = split
    assert (len(one.x), len(rest.x)) == (5, 10)
    assert set(one.subject).isdisjoint(rest.subject)
    assert one_against_the_rest(image.only(image.subject == 0), np.random.default_rng(0)) is None


def test_baselines_stand_in_their_order(looked: GazeSet) -> None:
    """Random numbers at chance, people far above, and the prior gains nothing on itself."""
    truths = Truths(looked.part("all"), looked, 3.0)
    means = everything(truths, baselines(truths)).means.set_index("source")
    assert means.loc["random", "auc"] == pytest.approx(0.5, abs=0.05)
    assert means.loc["random", "nss"] == pytest.approx(0, abs=0.2)
    assert means.loc["prior", "ig"] == pytest.approx(0, abs=1e-6)
    assert means.loc["people", "nss"] > 3 > means.loc["centre", "nss"] > means.loc["random", "nss"]
    assert list(means["images"]) == [20] * 5
    assert list(means["kind"]) == ["control", "baseline", "baseline", "people", "people"]


def test_people_are_measured_against_the_one_left_out(looked: GazeSet) -> None:
    truths = Truths(looked, looked, 3.0)
    made = everything(truths, [s for s in baselines(truths) if s.name == "people"]).table.set_index("id")
    image = looked.images[2]
    found = []
    for person in image.subjects:
        one, rest = image.only(image.subject == person), image.only(image.subject != person)
        values = density(rest.rows, rest.cols, image.size, 3.0)
        found.append(scores(values, truths.narrowed(truths.of(image), one))["nss"])
    assert any(made.loc[image.id, "nss"] == pytest.approx(value, abs=1e-6) for value in found)


def test_what_cannot_be_scored_is_told(looked: GazeSet) -> None:
    flat = Source("flat", "a flat map", "model", lambda images: ((np.ones((4, 4)), None) for _ in images))
    alone = replace(looked, images=tuple(image.only(image.subject == 0) for image in looked.images))
    truths = Truths(alone, alone, 3.0)
    made = everything(truths, [flat, *baselines(truths)])
    missing = made.means.set_index("source")["missing"]
    assert missing["flat"] == "the map is the same everywhere: 20"
    assert missing["people"] == "fewer than two people looked: 20"
    assert made.means.set_index("source").loc["flat", "images"] == 0
    assert set(made.table[made.table["source"] == "flat"]["enlarged"]) == {"4 × 4"}
    lines = "\n".join(table_lines(made.means))
    assert "a flat map: not scored: the map is the same everywhere: 20" in lines
    assert "–" in lines
    assert markdown(made.means).count("\n") == len(made.sources) + 1


def test_summary_is_the_mean_of_what_is_there() -> None:
    rows = [
        {"id": "a", "source": "s", **dict.fromkeys(METRICS, 1.0), "why": ""},
        {"id": "b", "source": "s", "why": "none"},
        {"id": "c", "source": "s", **dict.fromkeys(METRICS, 4.0), "why": ""},
    ]
    found = summary(pd.DataFrame(rows), {"s": ("S", "model")}).iloc[0]
    assert (found["nss"], found["images"], found["missing"]) == (2.5, 2, "none: 1")


def test_a_network_shown_whole_pictures(tiny: Classifier, looked: GazeSet) -> None:
    """Its maps are those of the predicted class, of one pass, and the control has each under another picture;
    the model is as it was."""
    from explain.methods.inputs import MethodInputs
    from explain.network.hooks import logits
    from explain.network.target import Target
    from explain.network.target_layers import default_layer
    from tests.maps import maps_for

    x = whole_picture(tiny).batch([image.load() for image in looked.images[:5]])
    before = snapshot(tiny.model, x)
    maps = NetworkMaps(tiny, ["grad_cam", "layer_cam"])
    images = list(looked.images[:5])
    found = {s.name: list(s.answers(images)) for s in maps.sources()}
    assert_as_found(before, tiny.model, x)
    assert whole_picture(tiny).preprocessing.resize is None
    layer = default_layer(tiny.model, x[:1])
    expected = maps_for(
        MethodInputs(tiny.model, x, (layer,), Target(logits(tiny.model, x).argmax(1))), "grad_cam"
    ).maps.numpy()
    for k in range(5):
        assert found["grad_cam"][k][0] == pytest.approx(np.maximum(expected[k], 0), abs=1e-6)
        assert found["shuffled"][k][0] == pytest.approx(np.maximum(expected[(k + 1) % 5], 0), abs=1e-6)
    for numbers in ({"metadata": {"task": "affect"}}, {"task": "regression"}):
        with pytest.raises(UserError, match=r"answers with numbers .* takes networks that answer with cl"):
            NetworkMaps(replace(tiny, **numbers), ["grad_cam"])
    with pytest.raises(UserError, match="grad_camp"):
        NetworkMaps(tiny, ["grad_camp"])


@pytest.fixture(scope="module")
def kept(looked: GazeSet, tmp_path_factory: pytest.TempPathFactory) -> GazeRun:
    """A folder with one network that looks where people do, and another kind of map."""
    truths = Truths(looked, looked, 3.0)
    like = Source(
        "grad_cam",
        "Grad-CAM",
        "network",
        lambda images: ((density(i.rows, i.cols, i.size, 8.0), None) for i in images),
        keep=True,
    )
    other = Source(
        "shuffled",
        "elsewhere",
        "control",
        lambda images: ((density(i.rows[:1], i.cols[:1] * 0, i.size, 8.0), None) for i in images),
    )
    model = predictions(
        "gaze",
        "a model",
        lambda pictures: np.stack([np.random.default_rng(k).random((6, 8)) for k in range(len(pictures))]),
    )
    out = tmp_path_factory.mktemp("kept") / "gaze"
    about = {"data": "looked", "part": "all", "note": "", "network": "a <b>net"}
    write(out, everything(truths, [model, like, other, *baselines(truths)]), truths, about)
    return open_gaze_run(out)


@pytest.mark.slow
def test_a_folder_holds_what_was_found(kept: GazeRun, looked: GazeSet) -> None:
    assert kept.kept == ["gaze", "grad_cam"]
    assert kept.images["id"].tolist() == [i.id for i in looked.images]
    for row, image in ((3, looked.images[3]), (4, looked.images[4])):
        expected = density(image.rows, image.cols, image.size, 3.0)
        assert kept.map(row, PEOPLE) == pytest.approx(expected / expected.max(), abs=2e-3)
        assert kept.images.at[row, "x"] == pytest.approx(image.x)
    table = pd.read_csv(kept.folder / "scores.csv")
    assert len(table) == 20 * 8
    mine = kept.scores[kept.scores["source"] == "grad_cam"]["nss"]
    assert kept.summary.set_index("source").loc["grad_cam", "nss"] == pytest.approx(mine.mean())
    worst = kept.worst("gaze", "nss")
    of = kept.scores[kept.scores["source"] == "gaze"].set_index("id")["nss"]
    assert [kept.images.at[r, "id"] for r in worst] == of.sort_values(kind="stable").index.tolist()
    kl = kept.scores[kept.scores["source"] == "gaze"].set_index("id")["kl"]
    assert kept.images.at[kept.worst("gaze", "kl")[0], "id"] == kl.idxmax()  # more is worse


def test_a_network_against_chance(kept: GazeRun) -> None:
    found = kept.network_against_chance()
    assert found is not None
    wide = kept.scores.pivot(index="id", columns="source", values="nss")
    assert found.p == pytest.approx(stats.wilcoxon(wide["grad_cam"], wide["shuffled"]).pvalue)
    assert found.difference == pytest.approx((wide["grad_cam"] - wide["shuffled"]).mean())


def test_maps_are_made_small(looked: GazeSet, tmp_path: Path) -> None:
    truths = Truths(looked.part("test"), looked, 3.0)
    large = Source(
        "large",
        "large",
        "model",
        lambda images: ((np.random.default_rng(0).random((240, 320)), None) for _ in images),
        keep=True,
    )
    write(tmp_path / "g", everything(truths, [large]), truths, {})
    assert open_gaze_run(tmp_path / "g").map(0, "large").shape == (45, 60)


def test_folders_that_are_something_else(tmp_path: Path, looked: GazeSet) -> None:
    truths = Truths(looked.part("test"), looked, 3.0)
    made = everything(truths, baselines(truths)[:1])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="no gaze folder"):
        write(tmp_path / "mine", made, truths, {})
    with pytest.raises(UserError, match="gaze evaluate"):
        open_gaze_run(tmp_path / "mine")
    (tmp_path / "mine" / "gaze.json").write_text('{"schema": 9}')
    with pytest.raises(UserError, match="format 9"):
        open_gaze_run(tmp_path / "mine")


def told(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, ["gaze", *words])
    return found.exit_code, found.output + (
        str(found.exception) if isinstance(found.exception, UserError) else ""
    )


@pytest.mark.slow
@pytest.mark.usefixtures("narrow_salnet")
def test_the_commands(folder: Path, tmp_path: Path) -> None:
    """A small network is trained, measured, kept in a folder beside a classifier, and asked about one
    picture."""
    data, model = ("--data", str(folder / "fixations.csv")), tmp_path / "small.safetensors"
    (tmp_path / "photos").mkdir()
    for name in ("00.png", "01.png", "02.png"):
        shutil.copy(folder / "images" / name, tmp_path / "photos")
    code, text = told(
        "train", *data, "--model", "gaze_small", "--epochs", "1", "--sigma", "3", "--out", str(model)
    )
    assert code == 0, text
    assert "center Gaussian" in text
    code, text = told(
        "train",
        *data,
        "--model",
        "salnet-half",
        "--teacher",
        str(model),
        "--photos",
        str(tmp_path / "photos"),
        "--epochs",
        "1",
        "--sigma",
        "3",
        "--out",
        str(tmp_path / "taught.safetensors"),
    )
    assert code == 0, text
    out = tmp_path / "found"
    code, text = told(
        "evaluate",
        *data,
        "--gaze-model",
        str(model),
        "--model",
        "fer_vgg:toon_faces",
        "--methods",
        "grad_cam",
        "--variant",
        "mit",
        "--sigma",
        "3",
        "--out",
        str(out),
    )
    assert code == 0, text
    found = open_gaze_run(out)
    assert (found.manifest["variant"], found.kept, len(found.images)) == ("mit", ["gaze", "grad_cam"], 4)
    assert found.summary.set_index("source").loc["gaze", "title"] == f"gaze_small:{folder.name}"
    code, text = told("evaluate", *data, "--markdown", "--sigma", "3", "--part", "all")
    assert code == 0, text
    assert "| chance |" in text
    code, text = told(
        "predict",
        str(folder / "images" / "00.png"),
        "--gaze-model",
        str(model),
        "--out",
        str(tmp_path / "one"),
    )
    assert code == 0, text
    values = np.load(tmp_path / "one" / "00.gaze.npy")
    assert values.sum() == pytest.approx(1, abs=1e-3)
    assert Image.open(tmp_path / "one" / "00.gaze.png").size == (50, 50)


@pytest.mark.slow
def test_wishes_that_do_not_fit(folder: Path, tmp_path: Path) -> None:
    data = ("--data", str(folder / "fixations.csv"))
    for words, why in (
        (("evaluate", "--data", "nowhere.csv"), "No fixations at"),
        (("evaluate", *data, "--part", "dev"), "No part 'dev'"),
        (("evaluate", *data, "--variant", "oxford"), "No variant"),
        (("evaluate", *data, "--sigma", "0"), "above 0"),
        (("evaluate", *data, "--sigma-degrees", "1"), "--pixels-per-degree"),
        (("train", *data, "--model", "deepgaze", "--out", str(tmp_path / "x")), "gaze_readout"),
        (
            ("train", *data, "--photos", str(folder / "images"), "--out", str(tmp_path / "x")),
            "need a --teacher",
        ),
    ):
        code, text = told(*words)
        assert code != 0
        assert why in text


def test_distribution_of_a_prior_is_nowhere_impossible(looked: GazeSet) -> None:
    prior = Truths(looked, looked, 1.0).prior(looked.images[0])
    assert prior.min() > 0
    assert distribution(prior) == pytest.approx(prior, abs=1e-9)
