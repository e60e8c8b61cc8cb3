"""Checks of the data: labels that look wrong, near duplicates that disagree, classes with few images, classes
unlike the others, slices."""

from collections import Counter
from collections.abc import Iterator
from shlex import quote

import numpy as np

from explain.analysis.duplicates import rows_of
from explain.analysis.other_labels import other_labels
from explain.analysis.proposals.evidence import Evidence
from explain.analysis.proposals.next_training import description_of
from explain.analysis.proposals.proposal import Proposal
from explain.analysis.slices import Slice
from explain.analysis.statistics.significance import each_against_the_rest, holm, more_errors
from explain.formatting import be, chance, counted, listed, percent, plural
from explain.run.image_stats import FACTS
from explain.run.reader import RunData
from models.measures.evaluation import wilson_interval

SIGNIFICANT = 1e-3
LEAST_FLIPPED, SURE_OF_FLIPS = (
    0.01,
    0.01,
)  # fraction of labels from which noise is reported; one in 400 clean runs reached this p
FEW = 1 / 3  # of the median class
UNLIKE = 0.8  # Cliff's delta: nine of ten images lie beyond those of other classes
_ADJECTIVES = {
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
_COMPARED = {
    ("brightness", False): "darker",
    ("brightness", True): "brighter",
    ("contrast", False): "of lower contrast",
    ("contrast", True): "of higher contrast",
    ("sharpness", False): "less sharp",
    ("sharpness", True): "sharper",
    ("colour", False): "less colorful",
    ("colour", True): "more colorful",
    ("width", False): "smaller",
    ("width", True): "larger",
}
_OPTIONS = {
    "brightness": "light=0.3",
    "contrast": "contrast=0.4",
    "sharpness": "blur=0.5",
    "colour": "grey=0.3",
    "width": "zoom=0.3",
    "size": "zoom=0.3",
}


def wrong_labels(evidence: Evidence) -> Iterator[Proposal]:
    """More contradictions than the network's own doubts explain, or others (`confident_learning.fit`)."""
    run, fit = evidence.run, evidence.fit
    if fit.flipped < LEAST_FLIPPED or fit.p_flipped > SURE_OF_FLIPS:
        return
    rows = evidence.suspects
    suggested = evidence.checked.loc[rows, "suggested"]
    pairs = Counter(zip(run.ok.loc[rows, "label"], suggested, strict=True)).most_common(2)
    most = listed([f"{count} {_contradicted(run, a, b)}" for (a, b), count in pairs])
    number = round(fit.flipped * len(run.ok))
    yield Proposal(
        "labels",
        f"About {counted(number, 'label')} {plural(number, 'looks', 'look')} wrong.",
        f"{percent(fit.flipped)} of {counted(len(run.ok), 'label')} contradict the network where its own "
        f"doubts would not ({chance(fit.p_flipped)}). {counted(len(rows), 'image')} {be(len(rows))} "
        f"suspect, first {most}.",
        "Mark in their notes which are wrong, and train on the corrected list.",
        "--labels labels.csv",
        rows,
        int(number),
    )


def _contradicted(run: RunData, label: int, suggested: int) -> str:
    """Images of a class that look like another; of a label, those that have it or lack it."""
    if run.label_sets is not None:
        return f"that {'have' if label else 'lack'} {run.classes[1]}"
    return f"{run.classes[label]} that look like {run.classes[suggested]}"


def disagreeing_duplicates(evidence: Evidence) -> Iterator[Proposal]:
    """The same picture under two labels: at least one is wrong."""
    rows = rows_of(evidence.duplicates)
    if len(rows) >= 6:
        pairs, all_pairs = len(rows) // 2, len(evidence.duplicates)
        yield Proposal(
            "duplicates",
            f"{pairs} near duplicates disagree.",
            f"Of {counted(all_pairs, 'pair')} of nearly the same picture, {pairs} "
            f"({percent(pairs / all_pairs)}) carry two different labels: one of each pair is wrong.",
            "Settle them in their notes, and train on the corrected list.",
            "--labels labels.csv",
            rows,
            int((~evidence.run.ok.loc[np.unique(rows), "correct"]).sum()),
        )


def training_counts(run: RunData) -> dict[int, int]:
    """Class -> images that the network was trained on, as its checkpoint says; empty where it does not."""
    counts = description_of(run.manifest).get("data", {}).get("counts", {})
    return {run.classes.index(name): int(count) for name, count in counts.items() if name in run.classes}


def few_images(evidence: Evidence) -> Iterator[Proposal]:
    """Classes with less than a third of the median class's images: in training where the checkpoint names
    them, otherwise in this run."""
    run, e = evidence.run, evidence.run.evaluation
    trained = training_counts(run)
    counts = trained or {i: int(e.support[i]) for i in run.present}
    median = float(np.median(list(counts.values()))) if len(counts) > 2 else 0.0
    few = sorted((i for i, n in counts.items() if n < FEW * median), key=lambda i: counts[i])
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
        "few images",
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


def unusual_classes(evidence: Evidence) -> Iterator[Proposal]:
    """A class whose pictures differ from all others' in one fact: blur always counts; light, contrast, color
    and size where recall is worse."""
    run, label = evidence.run, evidence.run.ok["label"].to_numpy()
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
    for f, i in zip(*np.nonzero((np.abs(delta) >= UNLIKE) & (adjusted < SIGNIFICANT)), strict=True):
        blurred = facts[f] == "sharpness" and delta[f, i] < 0
        twice = run.label_sets is not None and i == 0  # that of the images with the label, the other way
        if twice or e.support[i] < 10 or not (blurred or worse[run.present.index(i)] < 0.01):
            continue
        rows = run.ok.index[label == i].to_numpy()
        mine, others = (
            float(run.ok[facts[f]][label == i].median()),
            float(run.ok[facts[f]][label != i].median()),
        )
        beyond, above = (1 + abs(delta[f, i])) / 2, bool(delta[f, i] > 0)
        yield Proposal(
            "unlike",
            f"{run.classes[i]} is {_ADJECTIVES[facts[f], above]}.",
            f"Median {_fact(facts[f])} {mine:.3g}, {others:.3g} in the other classes; in {percent(beyond)} "
            f"of image pairs {run.classes[i]} is {_COMPARED[facts[f], above]} ({chance(adjusted[f, i])}). "
            f"Recall {e.recall[i]:.2f}, {_others(run, i):.2f} elsewhere.",
            f"The network may use {_fact(facts[f])} as a cue; vary it in training.",
            f"--augment {_OPTIONS[facts[f]]}",
            _wrong_first(run, rows),
            int(wrong[i]),
        )


def _fact(name: str) -> str:
    return name.replace("colour", "color")


def _others(run: RunData, label: int) -> float:
    rest = run.ok[run.ok["label"] != label]
    return float(rest["correct"].mean()) if len(rest) else float("nan")


def worse_slices(evidence: Evidence) -> Iterator[Proposal]:
    """At most three slices of pictures or of the data's own columns with more errors, also within each class;
    no two of the same images, and none of a shortcut, which is said by itself."""
    said = [s.name for s in evidence.shortcuts]
    for s in [s for s in _worst(evidence) if s.name not in said][:3]:
        picture = s.kind == "picture"
        yield Proposal(
            "slice",
            f"Worse where {s.name}.",
            f"{percent(s.rate)} of {len(s.rows)} are wrong, {percent(s.rest_rate)} of the rest "
            f"({chance(s.exact)} before, {chance(s.p)} after correction); its classes alone would give "
            f"{s.expected:.0f} errors, it has {s.wrong}.",
            "Vary it in training."
            if picture
            else "Collect more of them; until then draw every value as often.",
            f"--augment {_OPTIONS[s.attribute]}"
            if picture
            else f"--balance sampler --balance-by {quote(s.attribute)}",
            _wrong_first(evidence.run, s.rows),
            s.wrong,
        )


def _worst(evidence: Evidence) -> list[Slice]:
    """Significantly worse slices, the most significant first, without those of the same images."""
    labels = other_labels(evidence.run)
    candidates = [
        s
        for s in evidence.slices(evidence.method)
        if s.kind != "attention" and not (s.kind == "data" and s.attribute in labels)
    ]
    if not candidates:
        return []
    p = np.maximum(
        holm(np.array([s.exact for s in candidates])), holm(np.array([s.exact_within for s in candidates]))
    )
    taken: list[Slice] = []
    for i in np.argsort(p, kind="stable"):
        s = candidates[i]
        if (
            p[i] < SIGNIFICANT
            and s.end
            and s.wrong - s.expected >= 5
            and s.rate > 1.25 * s.rest_rate
            and not any(_overlap(s, t) for t in taken)
        ):
            taken.append(s)
    return taken


def _overlap(a: Slice, b: Slice) -> bool:
    both = len(np.intersect1d(a.rows, b.rows))
    return both > 0.6 * min(len(a.rows), len(b.rows))


def _wrong_first(run: RunData, rows: np.ndarray) -> np.ndarray:
    picked = run.ok.loc[rows]
    return np.asarray(picked.index[np.lexsort((-picked["confidence"].to_numpy(float), picked["correct"]))])
