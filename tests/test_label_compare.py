"""Two runs of several labels per image side by side: every figure against scikit-learn, statsmodels, SciPy or
a plain loop; the command and the Compare tab."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, hamming_loss
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from dashboard.session.context import Context
from dashboard.tabs.compare import Comparisons, label_pieces
from dashboard.tabs.compare_state import Choice, from_query
from dashboard.tabs.inspect import InspectTab, show_row
from dashboard.tabs.label_link import label_of_link
from explain.analysis.multi_label.compare import LabelComparison, compare_labels
from explain.analysis.statistics.intervals import resamples
from explain.run.engine import run
from explain.run.outputs.label_sets import LabelSets
from explain.run.reader import RunData, open_run
from models.classifier import Classifier
from models.data.source import Item
from models.errors import UserError
from tests.command import launch, one_line
from tests.test_label_sets import NAMES, Patches, answering


def other_network() -> Classifier:
    """Near to the first, with other errors."""
    net = answering()
    with torch.no_grad():
        net.model.head.weight.add_(torch.randn_like(net.model.head.weight))
    return net


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("two")
    (root / "patches").mkdir()
    patches = Patches(root / "patches", 40)
    run(answering(), patches, root / "a", ["grad_cam"], batch_size=8)
    run(other_network(), patches, root / "b", ["grad_cam"], batch_size=8)
    return root / "a", root / "b"


@pytest.fixture
def found(folders: tuple[Path, Path]) -> LabelComparison:
    return compare_labels(open_run(folders[0]), open_run(folders[1]))


def answers(folders: tuple[Path, Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth and probabilities of both, in the order of the names of the images."""
    a, b = (open_run(folder).label_sets for folder in folders)
    order = [np.argsort(sets.table["id"].to_numpy()) for sets in (a, b)]
    return a.truth[order[0]], a.prob[order[0]].astype(float), b.prob[order[1]].astype(float)


def sorted_like(found: LabelComparison, values: np.ndarray) -> np.ndarray:
    """Rows in the order of the comparison."""
    ids = found.a.table["id"].to_numpy()[found.rows[:, 0]]
    return values[np.argsort(np.argsort(ids))]


def plain_precision(truth: np.ndarray, score: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Average precision of images, weighted (n,) or in many ways (..., n), one distinct score after the
    other: scikit-learn's, faster."""
    found = hits = called = np.zeros(weight.shape[:-1])
    for value in sorted(set(score.tolist()), reverse=True):
        here = score == value
        more = (weight * truth)[..., here].sum(-1)
        hits, called = hits + more, called + weight[..., here].sum(-1)
        found = found + more * hits / np.maximum(called, 1)
    return found / hits


def plain_f1(truth: np.ndarray, called: np.ndarray, average: str, weight: np.ndarray) -> float:
    """F1 of weighted images: scikit-learn's, faster."""
    hits, total = weight @ (truth & called), weight @ truth + weight @ called
    if average == "micro":
        return 2 * hits.sum() / total.sum()
    return float(np.mean([2 * h / n if n else 0.0 for h, n in zip(hits, total, strict=True)]))


def test_plain_measures_are_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        truth, called = rng.random((2, 30, 4)) < 0.4
        score, weight = rng.random(30).round(1), rng.integers(0, 3, 30)
        precision = average_precision_score(truth[:, 0], score, sample_weight=weight)
        assert plain_precision(truth[:, 0], score, weight) == pytest.approx(precision)
        for average in ("micro", "macro"):
            f1 = f1_score(truth, called, average=average, sample_weight=weight, zero_division=0)
            assert plain_f1(truth, called, average, weight) == pytest.approx(f1)


@pytest.mark.slow
def test_average_precision_and_its_difference(found: LabelComparison, folders: tuple[Path, Path]) -> None:
    truth, a, b = (sorted_like(found, values) for values in answers(folders))
    np.testing.assert_array_equal(found.scores_a.truth, truth)
    drawn = np.concatenate(list(resamples(len(truth))))
    gained = np.full((len(drawn), 4), np.nan)
    for k in range(4):
        of_a, of_b = (average_precision_score(truth[:, k], p[:, k]) for p in (a, b))
        assert found.scores_a.average_precision[k] == pytest.approx(of_a, abs=1e-9)
        assert found.gained[k] == pytest.approx(of_b - of_a, abs=1e-9)
        some = (drawn * truth[:, k]).sum(1)
        known = (some > 0) & (some < drawn.sum(1))
        of_a, of_b = (plain_precision(truth[:, k], p[:, k], drawn[known]) for p in (a, b))
        gained[known, k] = of_b - of_a
    expected = np.nanquantile(gained, [0.025, 0.975], axis=0).T
    np.testing.assert_allclose(found.gained_interval, expected, atol=1e-6)
    metric = found.mean_average_precision
    assert metric.difference == pytest.approx(found.gained.mean(), abs=1e-9)
    np.testing.assert_allclose(
        metric.interval, np.nanquantile(np.nanmean(gained, axis=1), [0.025, 0.975]), atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("threshold", ["0.5", "0.55", "best-f1"])
def test_outcomes_at_thresholds(threshold: str, found: LabelComparison, folders: tuple[Path, Path]) -> None:
    truth, *probs = (sorted_like(found, values) for values in answers(folders))
    changes = found.at_named(threshold)
    called = []
    for counts, p in zip((changes.counts_a, changes.counts_b), probs, strict=True):
        called.append(p >= counts.thresholds)
        np.testing.assert_allclose(counts.f1, f1_score(truth, called[-1], average=None, zero_division=0))
    right = [c == truth for c in called]
    p = []
    for k in range(4):
        a, b = right[0][:, k], right[1][:, k]
        only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
        assert (changes.only_a[k], changes.only_b[k]) == (only_a, only_b)
        p.append(mcnemar([[int((a & b).sum()), only_a], [only_b, int((~a & ~b).sum())]], exact=True).pvalue)
    np.testing.assert_allclose(changes.p, p)
    np.testing.assert_allclose(changes.adjusted_p, multipletests(p, method="holm")[1])
    by_name = {m.name: m for m in changes.metrics}
    draws = [block for part in resamples(len(truth)) for block in part]
    for name, average in (("micro F1", "micro"), ("macro F1", "macro")):
        of = [[plain_f1(truth, c, average, w) for c in called] for w in [np.ones(len(truth)), *draws[:500]]]
        whole, *samples = np.array(of)[:, 1] - np.array(of)[:, 0]
        assert by_name[name].difference == pytest.approx(whole)
        np.testing.assert_allclose(by_name[name].interval, np.quantile(samples, [0.025, 0.975]))
    assert by_name["Hamming loss"].b == pytest.approx(hamming_loss(truth, called[1]))
    exactly = [r.all(1) for r in right]
    samples = [((exactly[1].astype(float) - exactly[0]) * w).sum() / w.sum() for w in draws]
    metric = by_name["subset accuracy"]
    assert metric.difference == pytest.approx(exactly[1].mean() - exactly[0].mean())
    np.testing.assert_allclose(metric.interval, np.quantile(samples, [0.025, 0.975]))


@pytest.mark.slow
def test_a_label_opens_as_two_classes(found: LabelComparison) -> None:
    changes = found.at_named("0.6")
    for k in range(4):
        one = found.of_label(k, changes)
        assert one.classes == (f"no {NAMES[k]}", NAMES[k])
        assert (len(one.only_a), len(one.only_b)) == (changes.only_a[k], changes.only_b[k])
        assert one.p == pytest.approx(changes.p[k])


class Fewer(Patches):
    """Other images, in another order, of which one has another label."""

    def __init__(self, root: Path):
        super().__init__(root, 40)
        self.items = self.items[30:9:-1]
        first = self.items[0]
        self.items[0] = Item.of_set(first.id, set(first.labels or ()) ^ {"red"}, NAMES)


@pytest.mark.slow
def test_what_runs_share_is_said_in_one_line(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "patches").mkdir()
    net = other_network()
    renamed = Classifier(**{**vars(net), "classes": ("red", "Green", "blue", "pink")})
    patches = Fewer(tmp_path / "patches")
    patches.classes = renamed.classes
    names = {"red": "red", "green": "Green", "blue": "blue", "grey": "pink"}
    patches.items = [
        Item.of_set(i.id, [names[n] for n in i.labels or ()], renamed.classes) for i in patches.items
    ]
    run(renamed, patches, tmp_path / "b", ["grad_cam"])
    found = compare_labels(open_run(folders[0]), open_run(tmp_path / "b"))
    assert found.classes == ("red", "green", "blue")
    assert len(found.rows) == 20
    assert found.relabeled == 1
    ids = [run.table["id"].to_numpy()[found.rows[:, side]] for side, run in ((0, found.a), (1, found.b))]
    np.testing.assert_array_equal(*ids)
    text = launch("compare", folders[0], tmp_path / "b")
    assert (
        "shared     20 images and 3 labels in both; 1 image whose labels differ is left out; "
        "A alone has grey; B alone has pink\n"
    ) in text
    assert found.of_label(1, found.at_named("0.5")).classes == ("no green", "green")


@pytest.mark.slow
def test_the_command_prints_every_label(folders: tuple[Path, Path], tmp_path: Path) -> None:
    found = compare_labels(*(open_run(folder) for folder in folders))
    text = launch("compare", *folders, "--out", tmp_path / "t.csv")
    table = pd.read_csv(tmp_path / "t.csv")
    assert table["label"].tolist() == [NAMES[k] for k in found.order]
    np.testing.assert_allclose(table["ap_difference"], found.gained[found.order], atol=1e-6)
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.startswith(NAMES)}
    for k, name in enumerate(NAMES):
        assert lines[name][2] == f"{found.scores_a.average_precision[k]:.3f}"
        assert lines[name][4] == f"{found.gained[k]:+.3f}"
    assert "McNemar's exact test of right and wrong decisions, Holm over 4 labels" in text
    assert f"--label {NAMES[found.order[0]]}" in text
    assert "best F1 of each label, in each run by itself" in launch(
        "compare", *folders, "--threshold", "best-f1"
    )
    assert "recall A" in launch("compare", *folders, "--label", "red", "--threshold", "0.7")


@pytest.mark.slow
def test_what_cannot_be_compared_is_one_line(
    folders: tuple[Path, Path], small_run: RunData, tmp_path: Path
) -> None:
    a, b = folders
    assert "compare two runs of one kind" in one_line("compare", a, small_run.folder)
    assert "compare two runs of one kind" in one_line("compare", small_run.folder, a)
    assert "name it with --label" in one_line("compare", a, b, "--method", "grad_cam")
    assert "is no threshold" in one_line("compare", a, b, "--threshold", "most")
    assert "No label 'pink'" in one_line("compare", a, b, "--label", "pink")
    same = tmp_path / "same"
    shutil.copytree(a, same)
    equal = compare_labels(open_run(a), open_run(same))
    assert not equal.gained.any()
    assert np.isnan(equal.gained_interval).all()
    assert (equal.at_named("0.5").p == 1).all()
    sets: LabelSets = open_run(a).label_sets
    with pytest.raises(UserError, match="compare two runs of one kind"):
        compare_labels(sets.whole, sets.label(0))


@pytest.fixture
def comparisons(folders: tuple[Path, Path]) -> Comparisons:
    return Comparisons(Context(open_run(folders[0]), against=(folders[1],)))


@pytest.mark.slow
def test_the_tab_lists_labels_and_opens_one(comparisons: Comparisons, found: LabelComparison) -> None:
    first = Choice(other=0)
    _, metrics, _, right = label_pieces(comparisons, first, {})
    assert "40 images and 4 labels in both" in metrics
    for k, name in enumerate(NAMES):
        row = right[right.index(f'aria-label="compare {name}"') :].split("</tr>")[0]
        assert f"{found.scores_b.average_precision[k]:.3f}" in row
        assert f"{found.gained[k]:+.3f}" in row
        assert f'data-action="asked" data-value="{k}"' in row
    assert "Holm over 4 labels" in right
    k = int((found.at_named("0.5").only_a).argmax())
    choice = first.apply("asked", str(k))
    chooser, _, _, right = label_pieces(comparisons, choice, {})
    assert f"label={NAMES[k]}" in chooser
    assert right.count('class="vt-card') == min(int(found.at_named("0.5").only_a[k]), 12)
    assert f"A: evidence for {NAMES[k]}" in right
    assert "All labels" in right
    assert choice.apply("asked", "-1").asked == -1
    assert choice.apply("other", "0").asked == -1


@pytest.mark.slow
def test_the_tab_follows_the_thresholds(comparisons: Comparisons, found: LabelComparison) -> None:
    of_errors = {"0": 0.45, "2": 0.5}
    choice = Choice(other=0, asked=0)
    same = np.array([0.45, 0.5, 0.5, 0.5])
    for chosen, expected in (
        (choice, found.at(same, same)),
        (choice.apply("thresholds", "best-f1"), found.at_named("best-f1")),
        (choice.apply("thresholds", "0:0.55,9:0.1"), found.at(same + [0.1, 0, 0, 0], same + [0.1, 0, 0, 0])),
    ):
        changes = comparisons.changes(chosen, of_errors)
        np.testing.assert_array_equal(changes.only_b, expected.only_b)
        np.testing.assert_array_equal(changes.counts_b.thresholds, expected.counts_b.thresholds)
        right = label_pieces(comparisons, chosen.apply("which", "b"), of_errors)[3]
        assert f"{expected.only_b[0]} image" in right
    chooser = label_pieces(comparisons, choice, of_errors)[0]
    assert "thresholds=0%3A0.45" in chooser
    assert choice.apply("thresholds", "none") == choice


def test_a_link_opens_its_label(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    monkeypatch.setattr("gradio.Warning", warned.append)
    run = open_run(folders[0])
    assert label_of_link({"label": "GREEN"}, run) == 1
    assert label_of_link({}, run) is None
    assert not warned
    assert label_of_link({"label": "<pink>"}, run) is None
    assert len(warned) == 1
    assert warned[0].startswith(
        "The link names a label that is not there. No label '&lt;pink&gt;': the run has"
    )
    parameters = {"tab": "compare", "against": "b", "thresholds": "sensitivity-90"}
    assert from_query(parameters, ["b"], Choice()) == Choice(other=0, thresholds="sensitivity-90")


class Asked:
    """A request for the page with these parameters."""

    def __init__(self, **parameters: str):
        self.query_params = parameters


def test_a_link_of_inspect_has_its_label(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    monkeypatch.setattr("gradio.Warning", warned.append)
    tab = InspectTab.__new__(InspectTab)
    tab._ctx = Context(open_run(folders[0]))
    name = tab._ctx.run.table.at[5, "id"]
    for parameters, label, warnings in (
        ({"image": name, "label": "blue"}, 2, 0),
        ({"image": name}, None, 0),
        ({"image": name, "label": "pink"}, None, 0),  # Errors says it
        ({"tab": "inspect", "image": name, "label": "pink"}, None, 1),
    ):
        opened, _ = tab.arrive(Asked(**parameters))
        assert (opened["row"], opened["label"]) == (5, label)
        assert len(warned) == warnings
    _, facts, panel, _, _ = show_row(tab._ctx, 5, 2)
    assert f"?image={name}&amp;label=blue" in str(facts)
    assert "Maps of the run for blue" in str(panel)
