"""Two runs side by side: every statistic against SciPy, statsmodels, scikit-learn or a plain loop."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score, f1_score
from statsmodels.stats.contingency_tables import mcnemar as theirs

from benchmarks.synthetic import Faults, synthetic_run
from dashboard.components.compare_view import chooser, class_changes, flips, summary
from dashboard.session.context import Context
from dashboard.tabs.compare import Comparisons, pieces
from dashboard.tabs.compare_state import LISTS, Choice
from explain.analysis.compare import as_table, compare, format_text, match, mcnemar
from explain.analysis.similarity import map_similarity, partners
from explain.analysis.statistics.bootstrap import METRICS, Drawn, Predictions, side_by_side
from explain.run.reader import RunData, open_run
from models.errors import UserError
from models.measures.evaluation import evaluate

if TYPE_CHECKING:
    from models.classifier import Classifier


@pytest.fixture
def runs(tmp_path: Path) -> tuple[RunData, RunData]:
    """The second network is worse, and is wrong about other images."""
    synthetic_run(tmp_path / "a", 600, 5, apart=2.5, seed=1)
    synthetic_run(tmp_path / "b", 600, 5, apart=2.0, seed=2, shape=(8, 8))
    return open_run(tmp_path / "a"), open_run(tmp_path / "b")


def predictions(run: RunData) -> Predictions:
    ok = run.ok
    return Predictions(
        ok["label"].to_numpy(),
        ok["pred"].to_numpy(),
        ok["confidence"].to_numpy(float),
        ok["loss"].to_numpy(float),
        len(run.classes),
    )


def test_mcnemar() -> None:
    for only_a, only_b in ((3, 11), (0, 0), (40, 40), (7, 0), (900, 800)):
        assert mcnemar(only_a, only_b) == pytest.approx(
            theirs([[5, only_a], [only_b, 5]], exact=only_a + only_b <= 1000).pvalue
        )


def test_metrics_are_those_of_everywhere_else(runs: tuple[RunData, RunData]) -> None:
    p, one = predictions(runs[0]), np.ones(600)
    e = evaluate(p.label, p.pred, p.confidence, 5)
    found = {name: value(Drawn(p, one)) for name, (value, _) in METRICS.items()}
    assert found["accuracy"] == pytest.approx(e.accuracy)
    assert (
        found["macro F1"]
        == pytest.approx(e.macro_f1)
        == pytest.approx(f1_score(p.label, p.pred, average="macro"))
    )
    assert found["kappa"] == pytest.approx(cohen_kappa_score(p.label, p.pred))
    assert found["calibration error"] == pytest.approx(e.calibration_error)
    assert found["loss"] == pytest.approx(p.loss.mean())


def test_a_replicate_is_the_metric_of_the_images_drawn(runs: tuple[RunData, RunData]) -> None:
    p, rng = predictions(runs[0]), np.random.default_rng(0)
    drawn = rng.integers(0, 600, 600)
    weight = np.bincount(drawn, minlength=600).astype(float)
    again = Predictions(p.label[drawn], p.pred[drawn], p.confidence[drawn], p.loss[drawn], 5)
    for value, _ in METRICS.values():
        assert value(Drawn(p, weight)) == pytest.approx(value(Drawn(again, np.ones(600))))


@pytest.mark.slow
def test_intervals_are_scipys(runs: tuple[RunData, RunData]) -> None:
    a, b = map(predictions, runs)
    found = {m.name: m for m in side_by_side(a, b, replicates=3000)}
    hits = [(p.label == p.pred).astype(float) for p in (a, b)]
    paired = stats.bootstrap(
        hits,
        lambda x, y, axis: (y - x).mean(axis),
        paired=True,
        vectorized=True,
        n_resamples=3000,
        method="percentile",
        random_state=1,
    ).confidence_interval
    assert found["accuracy"].interval == pytest.approx((paired.low, paired.high), abs=0.006)
    assert found["accuracy"].difference == pytest.approx(hits[1].mean() - hits[0].mean())
    assert found["accuracy"].sure == (paired.high < 0 or paired.low > 0)
    assert found["loss"].better == -1


def test_similarity_by_a_plain_loop(runs: tuple[RunData, RunData]) -> None:
    a, b = runs
    rows = np.array([5, 3, 100, 599])
    same = map_similarity(a, a, rows, rows[::-1], "layer_cam")
    maps = np.maximum(a.maps("layer_cam", "label", rows), 0).reshape(4, -1)
    np.testing.assert_allclose(
        same, [stats.spearmanr(maps[i], maps[3 - i]).statistic for i in range(4)], atol=1e-6
    )
    ties = np.round(maps, 1)
    fake = replace(a, table=a.table)
    object.__setattr__(fake, "maps", lambda *_: ties.reshape(4, 7, 7))
    np.testing.assert_allclose(
        map_similarity(fake, a, rows, rows, "layer_cam"),
        [stats.spearmanr(ties[i], maps[i]).statistic for i in range(4)],
        atol=1e-6,
    )
    object.__setattr__(fake, "maps", lambda *_: np.zeros((4, 7, 7)))
    assert np.isnan(map_similarity(fake, a, rows, rows, "layer_cam")).all()
    other = map_similarity(a, b, rows, rows, "layer_cam")  # 7 × 7 and 8 × 8
    assert np.isfinite(other).all()
    assert map_similarity(a, a, rows, rows, "layer_cam") == pytest.approx(1)


def test_partners_are_other_images_of_the_class() -> None:
    label = np.array([0] * 5 + [1] * 3 + [2])
    for seed in range(5):
        other = partners(label, seed)
        assert (other != np.arange(9)).all()
        assert (label[other[:8]] == label[:8]).all()


def test_two_runs(runs: tuple[RunData, RunData]) -> None:
    a, b = runs
    c = compare(a, b, replicates=200)
    assert (len(c.matched), c.relabeled, c.method) == (600, 0, "layer_cam")
    right = [run.ok["correct"].to_numpy() for run in runs]
    assert set(c.only_a["id"]) == set(a.ok["id"][right[0] & ~right[1]])
    assert set(c.only_b["id"]) == set(a.ok["id"][~right[0] & right[1]])
    assert c.only_a["confidence_b"].is_monotonic_decreasing
    assert c.drifts["similarity"].is_monotonic_increasing
    assert c.p == pytest.approx(mcnemar(len(c.only_a), len(c.only_b)))
    one = c.by_class.loc[2]
    group = c.matched[c.matched["label"] == 2]
    assert one["recall_a"] == pytest.approx(a.evaluation.recall[2])
    assert one["similarity"] == pytest.approx(group["similarity"].median())
    assert one["images"] == 120
    assert abs(one["control"] - one["similarity"]) < 0.2  # these maps have nothing to do with the images
    assert "McNemar" in "\n".join(format_text(c))
    table = as_table(c)
    assert table["right_a"].mean() == pytest.approx(a.evaluation.accuracy)
    assert set(table["true"]) == set(a.classes)


def test_the_same_run_twice_differs_in_nothing(runs: tuple[RunData, RunData]) -> None:
    c = compare(runs[0], runs[0], replicates=50)
    assert all(m.difference == 0 and m.interval == (0, 0) and not m.sure for m in c.metrics)
    assert c.p == 1
    assert len(c.only_a) == len(c.only_b) == 0
    assert c.matched["similarity"].min() == pytest.approx(1)
    assert (c.by_class["control"] < 0.95).all()


def test_classes_are_matched_by_name(runs: tuple[RunData, RunData]) -> None:
    a, b = runs
    names = ("happy", "sad", "fear", "neutral", "anger")
    order = [3, 0, 4, 1, 2]  # of b
    a = replace(a, manifest=replace(a.manifest, request=replace(a.manifest.request, classes=names)))
    other = ("Neutral", "happiness", "angry", "SADNESS", "fearful")
    back = np.argsort(order)
    table = b.table.assign(label=back[b.table["label"]], pred=back[b.table["pred"]])
    swapped = replace(
        b, manifest=replace(b.manifest, request=replace(b.manifest.request, classes=other)), table=table
    )
    classes, found, relabeled = match(a, swapped)
    assert classes == names
    assert relabeled == 0
    np.testing.assert_array_equal(found["pred_b"], b.ok["pred"])


@pytest.mark.slow
def test_other_labels_and_images(runs: tuple[RunData, RunData]) -> None:
    a, b = runs
    some = b.table.copy()
    some.loc[:9, "label"] = (some.loc[:9, "label"] + 1) % 5
    some.loc[20:29, "error"] = "broken"
    c = compare(a, replace(b, table=some), replicates=10)
    assert (len(c.matched), c.relabeled) == (580, 10)
    with pytest.raises(UserError, match=r"share no image: A has 600 \(first '000000.png'\)"):
        compare(a, replace(b, table=b.table.assign(id=[f"x{i}" for i in range(600)])))
    with pytest.raises(UserError, match="none of them under the same label"):
        compare(a, replace(b, table=b.table.assign(label=(b.table["label"] + 1) % 5)))
    with pytest.raises(UserError, match="No method 'lime' in both runs: A has layer_cam, B layer_cam"):
        compare(a, b, "lime")
    twice = pd.concat([b.table, b.table.assign(label=0)], ignore_index=True)
    assert len(compare(a, replace(b, table=twice), replicates=10).matched) == 600


def test_runs_without_a_common_method(runs: tuple[RunData, RunData], tmp_path: Path) -> None:
    synthetic_run(tmp_path / "c", 600, 5, Faults(), methods=("grad_cam",))
    c = compare(runs[0], open_run(tmp_path / "c"), replicates=10)
    assert c.method is None
    assert c.matched["similarity"].isna().all()
    assert "A: " in flips(c, Choice(0))
    rows = format_text(c)[-1].splitlines()
    assert rows[0].split("  ")[-1].strip() == "with another image"
    assert rows[1].split()[-2:] == ["–", "–"]
    assert "nan" not in "\n".join(rows)


# -- the tab -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_tab(runs: tuple[RunData, RunData]) -> None:
    a, b = runs
    found = Comparisons(Context(a))
    assert found.names == ["b"]  # it lies beside
    html = pieces(found, Choice(0))
    assert f"{len(found.of(0).matched)} images in both" in html[1]
    assert html[2].count("<tr") == 6
    assert html[3].count('role="button"') == min(12, len(found.of(0).only_a))
    assert html[3].count('class="vt-map"') == 2 * min(12, len(found.of(0).only_a))
    assert "choose" in pieces(found, Choice())[0]
    assert "serve --run A --against B" in chooser([], Choice())
    with pytest.raises(UserError, match="No run number 7"):
        found.of(7)
    named = Context(a, against=(b.folder,))
    assert named.others == [b.folder]


@pytest.mark.slow
def test_choices_change_by_actions(runs: tuple[RunData, RunData]) -> None:
    c = compare(*runs, replicates=10)
    choice = Choice(0)
    for name, value in (("which", "x"), ("target", "x"), ("label", "x"), ("page", "-"), ("rm", "1")):
        assert choice.apply(name, value) == choice
    assert choice.apply("which", "b").apply("page", "2").apply("which", "drift").page == 0
    one = choice.apply("label", "3")
    assert one.label == 3
    assert one.apply("label", "3").label == -1
    lists = {"a": c.only_a, "b": c.only_b, "drift": c.drifts}
    assert set(lists) == set(LISTS)
    for which, listed in lists.items():
        text = "map similarity" if (listed["label"] == 3).any() else "None."
        for target in ("label", "pred"):
            assert text in flips(c, replace(one, which=which, target=target))
    assert "None." in flips(c, replace(choice, label=99))
    assert 'class="vt-on"' in class_changes(c, one)
    assert "McNemar" in summary(c)


@pytest.mark.slow
def test_other_pictures_of_the_same_names_are_refused(
    tiny: "Classifier", pictures: Path, tmp_path: Path
) -> None:
    """train/red/0.png and test/red/0.png; a copy of the same pictures elsewhere is the same data."""
    import shutil

    from PIL import Image

    from explain.run.engine import run
    from models.data.folder import FolderSource

    rng = np.random.default_rng(7)
    shutil.copytree(pictures, tmp_path / "copy")
    for path in pictures.rglob("*.png"):
        (tmp_path / "others" / path.parent.name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 48, 3), np.uint8)).save(
            tmp_path / "others" / path.parent.name / path.name
        )
    runs = []
    for folder in (pictures, tmp_path / "copy", tmp_path / "others"):
        run(tiny, FolderSource(folder), tmp_path / f"run-{folder.name}", ["grad_cam"])
        runs.append(open_run(tmp_path / f"run-{folder.name}"))
    assert len(compare(runs[0], runs[1], replicates=10).matched) == 18
    with pytest.raises(UserError, match=r"share 18 names of images, but the pictures are others"):
        compare(runs[0], runs[2])


def test_labels_are_compared_as_the_data_calls_them(
    tiny: "Classifier", pictures: Path, tmp_path: Path
) -> None:
    """Two networks that call their outputs otherwise, and in another order, answer the same data."""
    from dataclasses import replace as other

    from explain.run.engine import run
    from models.data.folder import FolderSource

    first, second = {"red": 0, "green": 1, "blue": 2}, {"red": 2, "green": 0, "blue": 1}
    run(tiny, FolderSource(pictures), tmp_path / "a", ["grad_cam"], mapping=first)
    run(
        other(tiny, classes=("x", "y", "red")),
        FolderSource(pictures),
        tmp_path / "b",
        ["grad_cam"],
        mapping=second,
    )
    c = compare(open_run(tmp_path / "a"), open_run(tmp_path / "b"), replicates=10)
    assert (len(c.matched), c.relabeled) == (18, 0)
    assert c.classes == ("red", "green", "blue")
    assert [c.classes[k] for k in c.matched["label"]] == [i.split("/")[0] for i in c.matched["id"]]
