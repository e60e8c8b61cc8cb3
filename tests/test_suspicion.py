"""Probable label errors by the mean of several networks: a loop, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from benchmarks.synthetic import Faults, synthetic_run
from explain.analysis.findings import Findings
from explain.analysis.groups import group
from explain.analysis.label_errors.noise import wrong_of, wrong_probability
from explain.analysis.label_errors.review import Review
from explain.analysis.label_errors.suspicion import keep_suspicion, kept_suspicion, mean_probabilities
from explain.run.reader import RunData, open_run
from models.errors import UserError
from tests.command import run_command

IMAGES, CLASSES = 800, 8


def made(folder: Path, seed: int, flipped: float = 0.1) -> RunData:
    """Networks of other seeds, on the same images and labels: only these are copied from seed 0."""
    synthetic_run(folder, IMAGES, CLASSES, Faults(), 2.0, seed)
    run = open_run(folder)
    rng, truth = np.random.default_rng(0), np.arange(IMAGES) % CLASSES
    flips = rng.random(IMAGES) < flipped
    label = np.where(flips, (truth + rng.integers(1, CLASSES, IMAGES)) % CLASSES, truth)
    return replace(run, table=run.table.assign(label=label.astype(np.int16)))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunData]:
    folder = tmp_path_factory.mktemp("several")
    return [made(folder / str(seed), seed) for seed in range(3)]


def answers(run: RunData) -> np.ndarray:
    return np.concatenate([p for _, p in run.probabilities()]).astype(float)


def test_the_mean_is_that_of_a_loop_over_images_and_classes_by_name(runs: list[RunData]) -> None:
    first, second = runs[:2]
    request = second.manifest.request
    turned = replace(request, classes=request.classes[::-1], outputs={})
    other = replace(
        second,
        manifest=replace(second.manifest, request=turned),
        table=second.table.assign(id=second.table["id"].to_numpy()[::-1]),
    )
    by_name = {}
    for name, prob in zip(other.ok["id"], answers(other), strict=True):
        by_name[name] = dict(zip(other.classes, prob, strict=True))
    expected = [
        [(p[k] + by_name[name][c]) / 2 for k, c in enumerate(first.classes)]
        for name, p in zip(first.ok["id"], answers(first), strict=True)
    ]
    np.testing.assert_allclose(mean_probabilities(first, [other]), expected, rtol=1e-9)


def test_several_networks_find_more(runs: list[RunData]) -> None:
    wrong = runs[0].ok["label"].to_numpy() != np.arange(IMAGES) % CLASSES
    label = runs[0].ok["label"].to_numpy()
    alone = [average_precision_score(wrong, wrong_of(answers(run), label)) for run in runs]
    assert average_precision_score(wrong, wrong_of(mean_probabilities(runs[0], runs[1:]), label)) > max(alone)


def test_arrays_and_a_run_give_the_same(runs: list[RunData]) -> None:
    run = runs[0]
    found = wrong_of(answers(run), run.ok["label"].to_numpy())
    np.testing.assert_allclose(found, wrong_probability(run).to_numpy(), atol=1e-9)


def test_what_is_kept_orders_the_list_until_the_run_changes(tmp_path: Path) -> None:
    for seed in range(2):
        synthetic_run(tmp_path / str(seed), 400, 4, Faults(flipped=0.1), 2.0)
    run, other = (open_run(tmp_path / str(seed)) for seed in range(2))
    other = replace(other, table=other.table.assign(pred=other.table["pred"]))
    own = Findings(run)
    assert own.several is None
    kept = keep_suspicion(run, [other], own.stamp)
    again = Findings(open_run(tmp_path / "0"))
    assert again.several is not None
    assert again.several.networks == kept.networks == ("synthetic",)
    assert (again.suspicion == kept.values).all()
    listed = group(again, {}, "labels")
    assert listed is not None
    assert "the mean with synthetic" in listed.note
    assert (np.diff(kept.values.loc[listed.rows]) <= 0).all()
    samples = [Review(findings).sample.orders for findings in (own, again)]
    for before, after in zip(*samples, strict=True):  # answers of reviewers keep their place
        np.testing.assert_array_equal(before, after)
    assert kept_suspicion(run, own.stamp | {"weights": "other"}) is None
    about = tmp_path / "0" / "suspicion.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"networks": 3}))
    assert kept_suspicion(run, own.stamp) is None


def test_what_does_not_fit_is_refused(runs: list[RunData]) -> None:
    first, second = runs[:2]
    with pytest.raises(UserError, match="is the run itself"):
        mean_probabilities(first, [first])
    fewer = replace(second, table=second.table.iloc[3:])
    with pytest.raises(UserError, match="lacks 3 of the 800 images"):
        mean_probabilities(first, [fewer])
    names = tuple(f"other {k}" for k in range(CLASSES))
    request = replace(second.manifest.request, classes=names)
    renamed = replace(second, manifest=replace(second.manifest, request=request))
    with pytest.raises(UserError, match="lacks the classes class 0"):
        mean_probabilities(first, [renamed])


@pytest.mark.slow
def test_the_command_keeps_it(tmp_path: Path) -> None:
    for seed in range(2):
        synthetic_run(tmp_path / str(seed), 160, 4, Faults(), 2.0, seed)
    done = run_command("analyze", tmp_path / "0", "--also", tmp_path / "1")
    assert done.returncode == 0, done.stderr
    assert "in the order of the mean with synthetic" in done.stdout
    assert Findings(open_run(tmp_path / "0")).several is not None
    refused = run_command("analyze", tmp_path / "0", "--also", tmp_path / "0")
    assert refused.returncode == 2
    assert "is the run itself" in refused.stderr
