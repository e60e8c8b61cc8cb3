"""Checks of the data: labels that look wrong, near duplicates that disagree, starved classes, classes unlike
the others, slices."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from explain.analysis.findings import Findings, rows_of
from explain.analysis.proposal import Proposal
from explain.analysis.significance import each_against_the_rest, holm, more_errors
from explain.analysis.slices import Slice
from explain.formatting import chance, listed, percent
from explain.run.image_stats import FACTS
from explain.run.reader import RunData
from models.evaluation import wilson_interval

SURE = 1e-3
LEAST_FLIPPED, SURE_OF_FLIPS = (
    0.01,
    0.01,
)  # share of labels from which noise is worth a word; of clean runs, one in 400 reached this p
STARVED = 1 / 3  # of the median class
UNLIKE = 0.8  # Cliff's delta: nine of ten images lie beyond those of other classes
_SAID = {
    ("brightness", False): "dark",
    ("brightness", True): "bright",
    ("contrast", False): "flat",
    ("contrast", True): "of high contrast",
    ("sharpness", False): "blurred",
    ("sharpness", True): "sharp",
    ("colour", False): "pale",
    ("colour", True): "colorful",
    ("width", False): "small",
    ("width", True): "large",
}
_OPTIONS = {
    "brightness": "light=0.3",
    "contrast": "contrast=0.4",
    "sharpness": "blur=0.5",
    "colour": "grey=0.3",
    "width": "zoom=0.3",
    "size": "zoom=0.3",
}


def wrong_labels(findings: Findings) -> Iterator[Proposal]:
    """More contradictions than the network's own doubts explain, or others (`labels.fit`)."""
    run, fit = findings.run, findings.fit
    if fit.flipped < LEAST_FLIPPED or fit.p_flipped > SURE_OF_FLIPS:
        return
    checked = findings.checked[findings.checked["issue"]].sort_values("quality")
    rows = checked.index.to_numpy()
    pairs = Counter(zip(run.ok.loc[rows, "label"], checked["suggested"], strict=True)).most_common(2)
    most = listed([f"{count} {run.classes[a]} that look like {run.classes[b]}" for (a, b), count in pairs])
    number = round(fit.flipped * len(run.ok))
    yield Proposal(
        "labels",
        f"About {number} labels look wrong.",
        f"{percent(fit.flipped)} of {len(run.ok)} labels contradict the network where its own doubts would "
        "not "
        f"({chance(fit.p_flipped)}). {len(rows)} are suspect, first {most}.",
        "Say in their notes which are wrong, and train on the corrected list.",
        "--labels labels.csv",
        rows,
        int(number),
    )


def disagreeing_twins(findings: Findings) -> Iterator[Proposal]:
    """The same picture under two labels: at least one is wrong."""
    rows = rows_of(findings.duplicates)
    if len(rows) >= 6:
        pairs, all_pairs = len(rows) // 2, len(findings.duplicates)
        yield Proposal(
            "duplicates",
            f"{pairs} near duplicates disagree.",
            f"Of {all_pairs} pairs of nearly the same picture, {pairs} ({percent(pairs / all_pairs)}) "
            "carry two different labels: "
            "one of each pair is wrong.",
            "Settle them in their notes, and train on the corrected list.",
            "--labels labels.csv",
            rows,
            int((~findings.run.ok.loc[np.unique(rows), "correct"]).sum()),
        )


def training_counts(run: RunData) -> dict[int, int]:
    """Class -> images that the network was trained on, as its checkpoint tells; empty where it does not."""
    from models.training.trained import described

    file = Path(run.manifest.weights or "-")
    counts = described(file).get("data", {}).get("counts", {}) if file.is_file() else {}
    return {run.classes.index(name): int(count) for name, count in counts.items() if name in run.classes}


def starved(findings: Findings) -> Iterator[Proposal]:
    """Classes with less than a third of the median class's images: in training where the checkpoint tells,
    otherwise in this run."""
    run, e = findings.run, findings.run.evaluation
    trained = training_counts(run)
    counts = trained or {i: int(e.support[i]) for i in run.present}
    median = float(np.median(list(counts.values()))) if len(counts) > 2 else 0.0
    few = sorted((i for i, n in counts.items() if n < STARVED * median), key=lambda i: counts[i])
    if not few:
        return
    rows = run.ok.index[run.ok["label"].isin(few)].to_numpy()
    wrong, n = int((~run.ok.loc[rows, "correct"]).sum()), len(rows)
    where = "to train on" if trained else "here"
    names = listed([f"{run.classes[i]} {counts[i]}" for i in few])
    title = (
        f"{run.classes[few[0]]} has too few training images."
        if len(few) == 1
        else f"{len(few)} classes have too few training images."
    )
    yield Proposal(
        "starved",
        title,
        f"Images {where}: {names}; {median:.0f} in the median class. {_recall(run, n, wrong)}",
        "Collect more of them; until then draw every class as often.",
        "--balance sampler",
        _wrong_first(run, rows),
        wrong,
    )


def _recall(run: RunData, n: int, wrong: int) -> str:
    if not n:
        return "This run has none of them, so nothing is known of them."
    low, high = wilson_interval(n - wrong, n)
    all_wrong, total = int((~run.ok["correct"]).sum()), len(run.ok)
    worse = float(more_errors(np.array(wrong), np.array(n), all_wrong, total))
    rest = (total - n - all_wrong + wrong) / max(1, total - n)
    text = f"Recall {(n - wrong) / n:.2f} (interval {low:.2f} to {high:.2f})"
    return (
        f"{text} against {rest:.2f} of the others ({chance(worse)})."
        if worse < 0.05
        else f"{text}: too few to know more."
    )


def unlike(findings: Findings) -> Iterator[Proposal]:
    """A class whose pictures differ from all others' in one fact: blur always counts; light, contrast, color
    and size where recall is worse."""
    run, label = findings.run, findings.run.ok["label"].to_numpy()
    facts = [name for name in FACTS if name != "height" and name in run.ok]
    if len(run.present) < 2 or not facts:
        return
    delta, p = (
        np.array(x)
        for x in zip(
            *(each_against_the_rest(run.ok[f].to_numpy(float), label, len(run.classes)) for f in facts),
            strict=True,
        )
    )
    adjusted, e = holm(p.ravel()).reshape(p.shape), run.evaluation
    wrong = e.support - np.diag(e.confusion)
    worse = holm(more_errors(wrong, e.support, int(wrong.sum()), int(e.support.sum()))[run.present])
    for f, i in zip(*np.nonzero((np.abs(delta) >= UNLIKE) & (adjusted < SURE)), strict=True):
        blurred = facts[f] == "sharpness" and delta[f, i] < 0
        if e.support[i] < 10 or not (blurred or worse[run.present.index(i)] < 0.01):
            continue
        rows = run.ok.index[label == i].to_numpy()
        mine, others = (
            float(run.ok[facts[f]][label == i].median()),
            float(run.ok[facts[f]][label != i].median()),
        )
        beyond = (1 + abs(delta[f, i])) / 2
        yield Proposal(
            "unlike",
            f"{run.classes[i]} is {_SAID[facts[f], bool(delta[f, i] > 0)]}.",
            f"Median {facts[f]} {mine:.3g}, {others:.3g} in the other classes; {percent(beyond)} of all "
            "comparisons say so "
            f"({chance(adjusted[f, i])}). Recall {e.recall[i]:.2f}, {_others(run, i):.2f} elsewhere; the "
            "network may go by it.",
            "Vary it in training, so that it tells nothing.",
            f"--augment {_OPTIONS[facts[f]]}",
            _wrong_first(run, rows),
            int(wrong[i]),
        )


def _others(run: RunData, label: int) -> float:
    rest = run.ok[run.ok["label"] != label]
    return float(rest["correct"].mean()) if len(rest) else float("nan")


def worse_slices(findings: Findings) -> Iterator[Proposal]:
    """At most three slices of pictures or of the data's own columns with more errors, also within each class;
    no two of the same images."""
    candidates = [s for s in findings.slices(findings.method) if s.kind != "attention"]
    sure = (
        np.maximum(
            *(holm(np.array([getattr(s, name) for s in candidates])) for name in ("exact", "exact_within"))
        )
        if candidates
        else np.zeros(0)
    )
    taken: list[Slice] = []
    for i in np.argsort(sure, kind="stable"):
        s = candidates[i]
        if (
            sure[i] < SURE
            and s.end
            and s.wrong - s.expected >= 5
            and s.rate > 1.25 * s.rest_rate
            and not any(_alike(s, t) for t in taken)
        ):
            taken.append(s)
    for s in taken[:3]:
        option = (
            f"--augment {_OPTIONS[s.attribute]}"
            if s.kind == "picture"
            else f"--balance sampler --balance-by {_quoted(s.attribute)}"
        )
        advice = (
            "Vary it in training."
            if s.kind == "picture"
            else "Collect more of them; until then draw every value as often."
        )
        yield Proposal(
            "slice",
            f"Worse where {s.name}.",
            f"{percent(s.rate)} of {len(s.rows)} are wrong, {percent(s.rest_rate)} of the rest "
            f"({chance(s.exact)} before, "
            f"{chance(s.p)} after correction); its classes alone would give {s.expected:.0f} errors, it "
            f"has {s.wrong}.",
            advice,
            option,
            _wrong_first(findings.run, s.rows),
            s.wrong,
        )


def _alike(a: Slice, b: Slice) -> bool:
    both = len(np.intersect1d(a.rows, b.rows))
    return both > 0.6 * min(len(a.rows), len(b.rows))


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name


def _wrong_first(run: RunData, rows: np.ndarray) -> np.ndarray:
    picked = run.ok.loc[rows]
    return np.asarray(picked.index[np.lexsort((-picked["confidence"].to_numpy(float), picked["correct"]))])
