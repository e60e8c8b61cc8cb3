"""Probable label errors against people: how good is the ranking, and how many labels are wrong?

    python launch.py run --model fer_vgg:fer2013 --data ferplus/labels.csv --label-col fer2013 --split test \\
        --methods grad_cam --out runs/test
    python benchmarks/label_truth.py runs/test --votes ferplus/labels.csv [--also runs/other]
    python benchmarks/label_truth.py runs/test --votes ferplus/labels.csv --review
    python benchmarks/label_truth.py runs/toon --plant fear:surprise:0.2
    python benchmarks/label_truth.py --drawn [--seeds 3 --images 1600]

`--votes`: a label is wrong where at least 6 of 10 people (FER+, Barsoum et al. 2016) give another class and
at most 1 gives it. `--plant`: a run of clean data, of whose first class that fraction gets the second one's
label. `--drawn`: images as points of normal distributions (`benchmarks/synthetic.py`), for networks that
never saw the wrong labels and for one that learned to expect them, the mean of several data sets.

`--also`: a run of another network on the same images; rankings are then those of the mean of the
probabilities.

`--review`: what a reviewer who answers as the people do makes of it (the Review tab): of 50 random samples,
after so many answers, the estimate with its 95 % interval, how often that contains the truth, and the average
precision of the ranking that learned from the answers, on all other images.

Average precision, AUC and the precision of the first 50, 100 and 200 images of each ranking, beside random
order; then the fraction of wrong labels beside what is estimated.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from benchmarks.synthetic import Faults, synthetic_run
from explain.analysis.label_errors.confident_learning import checked, fit
from explain.analysis.label_errors.noise import confident_joint, wrong_of, wrong_probability
from explain.analysis.label_errors.review_estimate import estimated, strata_of
from explain.analysis.label_errors.review_ranking import learned
from explain.analysis.label_errors.review_sample import next_image, sample_of
from explain.run.people.review import AGREE, OTHER, Answer
from explain.run.reader import RunData, open_run

PEOPLE = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    "surprise": "surprise",
}
"""FER2013's classes -> columns of FER+."""
VOTED = (*PEOPLE.values(), "contempt")
CLEAR, FEW, NEIGHBORS = 6, 1, 25
FIRST, REVIEWED = (50, 100, 200), (40, 100, 200, 400)


def wrong_by_votes(run: RunData, table: Path) -> np.ndarray:
    """(n,) bool in the rows of `run.ok`: labels that people contradict."""
    votes = pd.read_csv(table).drop_duplicates("image").set_index("image").loc[run.ok["id"]]
    names = [PEOPLE[run.classes[k]] for k in run.ok["label"]]
    given = np.array([votes[name].iloc[i] for i, name in enumerate(names)])
    others = votes[list(VOTED)].to_numpy().copy()
    others[np.arange(len(others)), [VOTED.index(name) for name in names]] = -1
    return np.asarray((others.max(1) >= CLEAR) & (given <= FEW))


def planted(run: RunData, words: str, seed: int = 0) -> tuple[RunData, np.ndarray]:
    """The run with a fraction of a class under the name of another, and which labels are wrong."""
    first, second, fraction = words.split(":")
    a, b = run.classes.index(first), run.classes.index(second)
    truth = run.ok["label"].to_numpy()
    wrong = (truth == a) & (np.random.default_rng(seed).random(len(truth)) < float(fraction))
    table = run.table.copy()
    table.loc[run.ok.index, "label"] = np.where(wrong, b, truth).astype(table["label"].dtype)
    return replace(run, table=table), wrong


@dataclass(frozen=True, eq=False)
class Answers:
    """A run's labels and probabilities (n, K); of several runs of the same images, their mean."""

    run: RunData
    prob: np.ndarray

    @cached_property
    def label(self) -> np.ndarray:
        return self.run.ok["label"].to_numpy()

    @cached_property
    def own(self) -> np.ndarray:
        return self.prob[np.arange(len(self.prob)), self.label]

    @cached_property
    def best_other(self) -> np.ndarray:
        others = self.prob.copy()
        others[np.arange(len(others)), self.label] = -1
        return np.asarray(others.max(1))


def answers_of(run: RunData, also: list[Path]) -> Answers:
    found = [np.concatenate([p for _, p in one.probabilities()]) for one in (run, *map(open_run, also))]
    return Answers(run, np.mean(found, axis=0, dtype=float))


def at_random(a: Answers) -> np.ndarray:
    return np.random.default_rng(0).random(len(a.label))


def self_confidence(a: Answers) -> np.ndarray:
    """1 - p of the label (Northcutt et al. 2021)."""
    return 1 - a.own


def normalized_margin(a: Answers) -> np.ndarray:
    """p of the most probable other class - p of the label (Northcutt et al. 2021)."""
    return a.best_other - a.own


def confidence_weighted_entropy(a: Answers) -> np.ndarray:
    """-log p of the label / entropy (J. Kuan, J. Mueller, *Model-agnostic label quality scoring*, 2022)."""
    logs = np.log(np.maximum(a.prob, 1e-12))
    entropy = -(a.prob * logs).sum(1) / np.log(a.prob.shape[1])
    return -np.log(np.maximum(a.own, 1e-12)) / np.maximum(entropy, 1e-6)


def by_class(a: Answers) -> np.ndarray:
    """*Prune by class* (Northcutt et al. 2021) as a ranking: the place of an image among those of its label,
    by self-confidence, divided by the number of wrong labels that the confident joint expects there."""
    joint, found = confident_joint(a.run), np.zeros(len(a.label))
    for k in np.unique(a.label):
        rows = np.flatnonzero(a.label == k)
        found[rows] = -rankdata(a.own[rows]) / max(joint[k].sum() - joint[k, k], 0.5)
    return found


def neighbors_disagree(a: Answers) -> np.ndarray:
    """Fraction of the nearest images, by the cosine of their centered log probabilities, that have another
    label (Z. Zhu et al., *Detecting corrupted labels without training a model to predict*, 2022, whose
    features are a network's; a run keeps none)."""
    logs = np.log(np.maximum(a.prob, 1e-6))
    logs -= logs.mean(1, keepdims=True)
    near = NearestNeighbors(n_neighbors=NEIGHBORS + 1, metric="cosine").fit(logs)
    found = near.kneighbors(logs, return_distance=False)[:, 1:]
    return np.asarray((a.label[found] != a.label[:, None]).mean(1))


def by_confident_joint(a: Answers) -> np.ndarray:
    """Bayes' rule with the confident joint, of the first run alone."""
    return wrong_probability(a.run, confident_joint(a.run)).to_numpy()


def posterior(a: Answers) -> np.ndarray:
    """What Vitrine uses: Bayes' rule with the labels of the surest predictions (`noise.wrong_of`)."""
    return wrong_of(a.prob, a.label)


def mean_rank(a: Answers) -> np.ndarray:
    """Mean of the ranks by posterior, normalized margin and neighbors."""
    return np.mean([rankdata(f(a)) for f in (posterior, normalized_margin, neighbors_disagree)], axis=0)


RANKINGS: dict[str, Callable[[Answers], np.ndarray]] = {
    "random order": at_random,
    "self-confidence": self_confidence,
    "normalized margin": normalized_margin,
    "confidence-weighted entropy": confidence_weighted_entropy,
    "prune by class": by_class,
    "nearest neighbors": neighbors_disagree,
    "Bayes with the confident joint, first run": by_confident_joint,
    "Bayes with the surest predictions": posterior,
    "mean rank of three": mean_rank,
}


def measured(a: Answers, wrong: np.ndarray) -> dict[str, list[float]]:
    """Ranking -> average precision, AUC, and the precisions of the first images."""
    found = {}
    for name, ranking in RANKINGS.items():
        score = ranking(a)
        first = np.argsort(-score, kind="stable")
        precision = [float(wrong[first[:n]].mean()) for n in FIRST]
        found[name] = [average_precision_score(wrong, score), roc_auc_score(wrong, score), *precision]
    return found


def print_rankings(found: dict[str, list[float]]) -> None:
    heads = ["ranking", "average precision", "AUC", *(f"first {n}" for n in FIRST)]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for name, figures in found.items():
        print(f"| {name} | {' | '.join(f'{f:.2f}' for f in figures)} |")


def print_fractions(a: Answers, wrong: np.ndarray) -> None:
    """The fraction of wrong labels, and estimates of it."""
    joint, run = confident_joint(a.run), a.run
    print(f"\nwrong labels: {wrong.mean():.1%} of {len(wrong):,}")
    print(f"  mean of Bayes with the surest predictions {posterior(a).mean():.1%}")
    print(f"  mean of Bayes with the confident joint   {by_confident_joint(a).mean():.1%}")
    print(f"  confident joint off its diagonal         {1 - np.trace(joint) / joint.sum():.1%}")
    print(f"  images that confident learning lists     {checked(run)['issue'].mean():.1%}")
    print(f"  flipped at random (labels.fit)           {fit(run).flipped:.1%}")


def print_review(a: Answers, wrong: np.ndarray, samples: int = 50) -> None:
    """Reviews of `samples` random samples by one who knows the truth."""
    run, strata = a.run, wrong_probability(a.run, confident_joint(a.run))
    suspicion = pd.Series(posterior(a), run.ok.index)
    rows, known = suspicion.index.to_numpy(), dict(zip(suspicion.index, map(bool, wrong), strict=True))
    names = {f"{row}": int(row) for row in rows}
    suggested = checked(run)["suggested"]
    heads = [
        "answers",
        "estimate (mean)",
        "standard deviation",
        "interval (mean width)",
        "contains the truth",
    ]
    heads += ["average precision", "without answers"]
    print(f"\n| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    found: dict[int, list[list[float]]] = {count: [] for count in REVIEWED}
    for seed in range(samples):
        sample, done, ranking = sample_of(strata, seed), list[int](), suspicion
        answers = dict[tuple[str, str], Answer]()
        for count in range(1, max(REVIEWED) + 1):
            shown = next_image(sample, done, lambda now=ranking: now)
            assert shown is not None
            done.append(shown.row)
            kind = OTHER if known[shown.row] else AGREE
            answers["-", str(shown.row)] = Answer(str(shown.row), "-", kind, "")
            if count % 5 == 0:
                verdicts = {row: known[row] for row in done}
                ranking = learned(suspicion, run.ok["label"], suggested, verdicts)
            if count in REVIEWED:
                e, rest = estimated(strata_of(sample, names, answers)), ~np.isin(rows, done)
                inside = float(e.low <= wrong.mean() <= e.high)
                ap = [average_precision_score(wrong[rest], r.to_numpy()[rest]) for r in (ranking, suspicion)]
                found[count].append([e.fraction, e.high - e.low, inside, *ap])
    for count, figures in found.items():
        fraction, width, inside, after, before = np.mean(figures, axis=0)
        spread = np.std([f[0] for f in figures])
        print(
            f"| {count} | {fraction:.1%} | {spread:.1%} | {width:.1%} | {inside:.0%} | {after:.2f} | "
            f"{before:.2f} |"
        )


def print_drawn(seeds: int, images: int) -> None:
    """The rankings of drawn data, by kind of noise and of network."""
    kinds = {
        "5 % at random": Faults(flipped=0.05),
        "20 % of one class as another": Faults(exchanged=(2, 5, 0.2)),
        "the same, expected by the network": Faults(exchanged=(2, 5, 0.2), expected=True),
    }
    for name, faults in kinds.items():
        found: list[dict[str, list[float]]] = []
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as folder:
                synthetic_run(Path(folder) / "run", images, 8, faults, 2.5, seed)
                run = open_run(Path(folder) / "run")
                wrong = run.ok["label"].to_numpy() != np.arange(images) % 8
                found.append(measured(answers_of(run, []), wrong))
        print(f"\n{name}")
        print_rankings({key: np.mean([f[key] for f in found], axis=0).tolist() for key in RANKINGS})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--votes", type=Path, help="table of the people's votes")
    parser.add_argument("--also", type=Path, action="append", default=[], help="a run of the same images")
    parser.add_argument("--plant", default="", help="CLASS:OTHER:FRACTION, instead of votes")
    parser.add_argument("--review", action="store_true", help="also simulated reviews")
    parser.add_argument("--drawn", action="store_true", help="drawn data instead of a run")
    parser.add_argument("--seeds", type=int, default=4, help="with --drawn: data sets of each kind")
    parser.add_argument("--images", type=int, default=2000, help="with --drawn: images of each")
    given = parser.parse_args()
    if given.drawn:
        print_drawn(given.seeds, given.images)
        return
    if given.run is None or bool(given.votes) == bool(given.plant):
        parser.error("give a run and either --votes TABLE or --plant CLASS:OTHER:FRACTION, or --drawn")
    run = open_run(given.run)
    if given.plant:
        run, wrong = planted(run, given.plant)
    else:
        wrong = wrong_by_votes(run, given.votes)
    answers = answers_of(run, given.also)
    print_rankings(measured(answers, wrong))
    print_fractions(answers, wrong)
    if given.review:
        print_review(answers, wrong)


if __name__ == "__main__":
    main()
