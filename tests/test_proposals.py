"""What a run tells: on numbers with planted faults, each is found and named; on clean ones, nothing is
said."""

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cleanlab.filter import find_label_issues
from scipy import stats

from benchmarks.synthetic import Faults, synthetic_run
from explain.analysis.contrasts import contrasts
from explain.analysis.findings import ABOUT, Findings, analyze
from explain.analysis.label_errors.confident_learning import fit, mixture, scattered
from explain.analysis.mean_maps import mean_maps
from explain.analysis.proposals.model_checks import agreement, confused_pairs
from explain.analysis.proposals.proposal import Proposal
from explain.analysis.slices import slices
from explain.run.reader import RunData, open_run

Make = Callable[..., Findings]
CLEAN = Faults()


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def made(
        faults: Faults = CLEAN, images: int = 1600, classes: int = 8, seed: int = 0, apart: float = 3.0
    ) -> Findings:
        folder = tmp_path / f"run-{seed}-{images}-{classes}-{hash(faults)}"
        synthetic_run(folder, images, classes, faults, apart, seed)
        return Findings(open_run(folder))

    return made


def kinds(found: list[Proposal]) -> list[str]:
    return sorted(p.kind for p in found)


# -- planted faults ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("images", "classes", "apart"), [(800, 8, 3.0), (3000, 10, 2.5), (400, 4, 3.0)])
def test_clean_and_balanced_brings_no_alarm(
    make: Make, seed: int, images: int, classes: int, apart: float
) -> None:
    assert make(images=images, classes=classes, seed=seed, apart=apart).proposals == []


@pytest.mark.parametrize("seed", range(3))
def test_four_faults_at_once(make: Make, seed: int) -> None:
    findings = make(Faults(flipped=0.05, blurred=2, border=3, starved=4), seed=seed)
    found = {p.kind: p for p in findings.proposals}
    assert {"labels", "unlike", "border class", "few images"} <= set(found)
    assert set(found) <= {
        "labels",
        "unlike",
        "border class",
        "few images",
        "confidence",
    }  # it is as sure of what it cannot see
    run = findings.run
    assert found["unlike"].title == "class 2 is blurred."
    assert found["border class"].title == "class 3 may be recognized by its border."
    assert found["few images"].title == "class 4 has too few training images."
    assert set(run.ok.loc[found["unlike"].rows, "label"]) == {2}
    assert set(run.ok.loc[found["border class"].rows, "label"]) == {3}
    number = int(found["labels"].title.split()[1])
    assert 0.6 * 0.05 * len(run.ok) < number < 1.5 * 0.05 * len(run.ok)


@pytest.mark.parametrize(
    ("faults", "kind", "message"),
    [
        (Faults(flipped=0.05), "labels", "labels look wrong"),
        (Faults(blurred=2), "unlike", "class 2 is blurred"),
        (Faults(border=3), "border class", "class 3 may be recognized by its border"),
        (Faults(starved=4), "few images", "class 4 has too few training images"),
        (Faults(confidence=1.6), "confidence", "too sure"),
        (Faults(pair=(1, 5)), "pair", "is often predicted as class"),
        (Faults(dark=True), "slice", "Worse where brightness: lowest fifth"),
    ],
)
def test_each_fault_alone_is_named_first_or_second(
    make: Make, faults: Faults, kind: str, message: str
) -> None:
    found = make(faults, seed=11).proposals
    assert any(p.kind == kind and message in p.title for p in found[:2]), [p.title for p in found]
    assert all(p.option.startswith("--") for p in found)


def test_flipped_labels_are_among_the_suspects(make: Make) -> None:
    findings = make(Faults(flipped=0.05))
    clean = make(Faults())
    flipped = findings.run.ok["label"].to_numpy() != np.arange(1600) % 8
    assert flipped.sum() > 50
    suspects = findings.checked["issue"].to_numpy()
    seen = (
        findings.run.ok["pred"].to_numpy() == np.arange(1600) % 8
    )  # where the network is right about the picture
    assert suspects[flipped & seen].mean() > 0.85
    assert suspects[~flipped].mean() < 0.05
    assert (
        findings.checked["suggested"].to_numpy()[flipped & suspects]
        == (np.arange(1600) % 8)[flipped & suspects]
    ).mean() > 0.85
    assert findings.fit.flipped == pytest.approx(flipped.mean(), abs=0.02)
    assert clean.fit.p_flipped > 0.001


# -- the numbers behind them ---------------------------------------------------------------------


def test_suspects_are_cleanlabs(make: Make) -> None:
    run = make(Faults(flipped=0.05)).run
    prob = np.concatenate([p for _, p in run.probabilities()])
    theirs = find_label_issues(run.ok["label"].to_numpy(), prob, filter_by="low_self_confidence", n_jobs=1)
    ours = Findings(run).checked["issue"].to_numpy()
    assert (ours == theirs).mean() > 0.995  # they differ where the confident class is the label itself
    assert not (ours & ~theirs).any()


@pytest.mark.slow
def test_fit_knows_temperature_and_flips(make: Make) -> None:
    hot = fit(make(Faults(confidence=2.0), images=4000).run)
    assert hot.temperature == pytest.approx(2.0, rel=0.12)
    assert hot.flipped < 0.01
    both = fit(make(Faults(confidence=1.5, flipped=0.08), images=4000).run)
    assert both.temperature == pytest.approx(1.5, rel=0.15)
    assert both.flipped == pytest.approx(0.08, abs=0.02)


def test_mixture_is_a_maximum(make: Make) -> None:
    run = make(Faults(flipped=0.05)).run
    prob = np.concatenate([p for _, p in run.probabilities()]).astype(float)
    label, k = run.ok["label"].to_numpy(), 8
    flipped, p_flipped, temperature, _ = mixture(np.log(np.maximum(prob, 1e-12)), label)

    def likelihood(temperature: float, e: float) -> float:
        q = np.maximum(prob, 1e-12) ** (1 / temperature)
        q = (q / q.sum(1, keepdims=True))[np.arange(len(label)), label]
        return float(np.log((1 - e) * q + e * (1 - q) / (k - 1)).sum())

    best = likelihood(temperature, flipped)
    for t, e in ((1.03, 1), (0.97, 1), (1, 1.15), (1, 0.85)):
        assert likelihood(temperature * t, flipped * e) < best + 0.02
    clean = max(likelihood(t, 0) for t in np.exp(np.linspace(-0.5, 1, 400)))
    assert p_flipped == pytest.approx(0.5 * stats.chi2.sf(2 * (best - clean), 1), rel=0.05, abs=1e-12)


def expecting(
    seed: int, flipped: float, apart: float, images: int = 2000, classes: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """log p and labels of which a share is flipped, by a network that learned to expect just that."""
    rng = np.random.default_rng(seed)
    truth = np.arange(images) % classes
    logits = apart * (rng.standard_normal((images, classes)) + apart * np.eye(classes)[truth])
    q = np.exp(logits - logits.max(1, keepdims=True))
    q /= q.sum(1, keepdims=True)
    label = np.where(
        rng.random(images) < flipped, (truth + rng.integers(1, classes, images)) % classes, truth
    )
    return np.log(np.maximum((1 - flipped) * q + flipped * (1 - q) / (classes - 1), 1e-12)), label


@pytest.mark.parametrize("apart", [2.5, 3.0, 4.5])
@pytest.mark.parametrize("seed", range(3))
def test_flips_that_the_network_expects(seed: int, apart: float) -> None:
    fraction, p = scattered(*expecting(seed, 0.05, apart))
    assert p < 0.01
    assert fraction == pytest.approx(0.05, abs=0.02)
    assert mixture(*expecting(seed, 0.05, apart))[1] > 0.01  # no likelihood tells


@pytest.mark.parametrize("apart", [0.0, 1.5, 2.5, 4.5])
@pytest.mark.parametrize("seed", range(3))
def test_doubts_are_no_flips(seed: int, apart: float) -> None:
    fraction, p = scattered(*expecting(seed, 0.0, apart))
    assert p > 0.05
    assert fraction < 0.01


def test_scattered_by_hand() -> None:
    """Ten answers of five classes, the surer half first: what contradicts them ranks 5, 4, 5, 3, 5 and 2, 2,
    3, 2, 2."""
    order = [4, 3, 4, 2, 4, 1, 1, 2, 1, 1]
    prob = np.array([[0.9 - 0.05 * i, *(0.1 + 0.05 * i) * np.array([0.4, 0.3, 0.2, 0.1])] for i in range(10)])
    fraction, p = scattered(np.log(prob), np.array(order))
    expected = stats.mannwhitneyu([4, 3, 4, 2, 4], [1, 1, 2, 1, 1], alternative="greater").pvalue
    assert p == pytest.approx(expected)  # ten of ten are contradicted: the other look is not taken
    assert fraction == 1.0  # four of five rank in the lower half, none of the doubts
    assert scattered(np.log(prob[:, :3]), np.minimum(order, 2)) == (0.0, 1.0)  # three classes leave no room


def test_slices_by_hand(make: Make) -> None:
    run = make(Faults(dark=True)).run
    table = run.ok
    found = next(
        s for s in slices(run, "layer_cam") if s.attribute == "brightness" and s.value.startswith("lowest")
    )
    chosen = table["brightness"] < np.quantile(table["brightness"], 0.2)
    assert set(found.rows) == set(table.index[chosen])
    wrong = ~table["correct"]
    assert (found.wrong, found.rest_wrong) == ((wrong & chosen).sum(), (wrong & ~chosen).sum())
    assert found.exact == pytest.approx(
        stats.fisher_exact(pd.crosstab(~chosen, ~wrong), alternative="greater").pvalue, rel=1e-6
    )
    assert found.rate > 3 * found.rest_rate


@pytest.mark.slow
def test_slices_of_the_datas_own_columns(make: Make) -> None:
    run = make().run
    camera = np.where(run.ok["correct"], "good", "bad").astype(object)
    camera[::7] = "other"
    pd.DataFrame({"id": run.ok["id"], "camera": camera, "plate": [f"x{i}" for i in range(1600)]}).to_parquet(
        run.folder / "metadata.parquet"
    )
    again = Findings(open_run(run.folder))
    names = [s.name for s in again.slices("layer_cam") if s.kind == "data"]
    assert {"camera: bad", "camera: good", "camera: other"} <= set(names)
    assert not any("plate" in name for name in names)  # every value once
    first = again.proposals[0]
    assert first.title == "Worse where camera: bad."
    assert first.option == "--balance sampler --balance-by camera"
    table = pd.read_parquet(run.folder / "metadata.parquet")
    table.rename(columns={"camera": "x $(touch y)"}).to_parquet(run.folder / "metadata.parquet")
    words = shlex.split(Findings(open_run(run.folder)).proposals[0].option or "")
    assert words == ["--balance", "sampler", "--balance-by", "x $(touch y)"]


def test_pairs_that_stand_out(make: Make) -> None:
    run = make(Faults(pair=(1, 5))).run
    first = confused_pairs(run)[:2]
    assert {(p.label, p.pred) for p in first} == {(1, 5), (5, 1)}
    wrong = run.evaluation.confusion - np.diag(np.diag(run.evaluation.confusion))
    one = next(p for p in first if p.label == 1)
    weights = (wrong.sum(0) + 1 - wrong[1]).astype(float)
    weights[1] = 0
    fraction = weights[5] / weights.sum()
    assert one.count == wrong[1, 5]
    assert one.expected == pytest.approx(wrong[1].sum() * fraction)
    assert one.p == pytest.approx(
        min(
            1,
            stats.binomtest(int(wrong[1, 5]), int(wrong[1].sum()), fraction, alternative="greater").pvalue
            * 56,
        )
    )


def test_agreement_of_two_maps_by_a_loop(make: Make) -> None:
    findings = make(Faults(pair=(1, 5)))
    rows = findings.run.ok.index[~findings.run.ok["correct"]].to_numpy()[:40]
    pred, label = (findings.run.maps("layer_cam", t, rows) for t in ("pred", "label"))
    pred, label = (np.array([m / m.sum() for m in maps]) for maps in (pred, label))
    found = agreement(findings, rows)
    assert found.overlap == pytest.approx(
        np.mean([np.minimum(a, b).sum() for a, b in zip(pred, label, strict=True)]), rel=1e-4
    )
    assert found.control == pytest.approx(
        np.mean([np.minimum(pred[i], label[i - 1]).sum() for i in range(40)]), rel=1e-4
    )


def test_contrasts_by_hand(make: Make) -> None:
    run = make(Faults(border=3)).run
    found = {(c.label, c.statistic): c for c in contrasts(run, "layer_cam")}
    group = run.ok[run.ok["label"] == 3]
    values = group["map.layer_cam.pred.border_mass"]
    theirs = stats.mannwhitneyu(values[~group["correct"]], values[group["correct"]])
    one = found[3, "border_mass"]
    assert one.delta == pytest.approx(2 * theirs.statistic / (one.n_wrong * one.n_right) - 1)
    assert one.delta < -0.5
    assert one.p >= theirs.pvalue
    assert one.right == pytest.approx(values[group["correct"]].mean(), rel=1e-5)
    assert {label for label, _ in found} == {-1, *range(8)}


def test_mean_maps_by_a_loop(make: Make) -> None:
    run = make(images=600, classes=3, apart=2.0).run
    found = mean_maps(run, "layer_cam", "pred")
    for label in range(3):
        for correct in (False, True):
            rows = run.ok.index[(run.ok["label"] == label) & (run.ok["correct"] == correct)]
            maps = [m / m.sum() for m in np.maximum(run.maps("layer_cam", "pred", rows), 0)]
            np.testing.assert_allclose(found.maps[label, int(correct)], np.mean(maps, 0), rtol=1e-4)
            assert found.count[label, int(correct)] == len(rows)
    np.testing.assert_allclose(found.difference(1), found.maps[1, 1] - found.maps[1, 0])
    assert found.top == pytest.approx(np.nanmax(found.maps))


# -- kept in the folder --------------------------------------------------------------------------


@pytest.mark.slow
def test_worked_out_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = make(Faults(flipped=0.05))
    assert not findings.ready
    assert list(analyze(findings))[-1] == 1
    again = Findings(open_run(findings.run.folder))
    assert again.ready
    monkeypatch.setattr("explain.analysis.proposals.evidence.checked", None)  # nothing is worked out again
    monkeypatch.setattr("explain.analysis.proposals.evidence.fit", None)
    monkeypatch.setattr("explain.analysis.proposals.evidence.contrasts", None)
    assert [p.text for p in again.proposals] == [p.text for p in findings.proposals]
    kept, first = (pd.DataFrame(f.contrasts("layer_cam")) for f in (again, findings))
    assert len(kept) == 45  # eight classes and all of them, five statistics
    pd.testing.assert_frame_equal(kept, first)


@pytest.mark.slow
def test_of_another_run_nothing_is_believed(make: Make) -> None:
    findings = make()
    list(analyze(findings))
    about = json.loads((findings.run.folder / ABOUT).read_text())
    (findings.run.folder / ABOUT).write_text(json.dumps(about | {"images": 7}))
    assert not Findings(open_run(findings.run.folder)).ready
    (findings.run.folder / ABOUT).write_text("{ torn")
    assert not Findings(open_run(findings.run.folder)).ready


@pytest.mark.slow
def test_a_folder_that_cannot_be_written(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    findings = make()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("explain.analysis.findings._write", full)
    list(analyze(findings))
    assert findings.ready
    assert not (findings.run.folder / ABOUT).exists()
    assert findings.proposals == []


def test_runs_without_errors_or_with_one_class_or_broken_maps(small_run: RunData) -> None:
    """Nothing is proposed, and what cannot be computed is NaN."""
    table = small_run.table
    broken = {c: np.nan for c in table if c.startswith("map.")}
    flawless, single, mapless = (
        Findings(replace(small_run, table=table.assign(**change)))
        for change in ({"pred": table["label"]}, {"label": 0}, broken)
    )
    for findings in (flawless, single, mapless):
        assert findings.proposals == []
        assert findings.slices("grad_cam") == []
        means = findings.means("grad_cam", "label")
        assert (np.isnan(means.maps).all((2, 3)) == (means.count == 0)).all()
    assert {(c.n_wrong, np.isnan(c.p)) for c in flawless.contrasts("grad_cam")} == {(0, True)}
    assert {c.label for c in single.contrasts("grad_cam")} == {-1, 0}
    assert {(c.n_wrong, c.n_right) for c in mapless.contrasts("grad_cam")} == {(0, 0)}
