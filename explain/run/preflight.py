"""Is this the network that you think it is? Predictions for a sample, and for the same images read in other
ways: normalized otherwise, with the colors in the other order, squashed or cropped, with the classes in
another order.

A wrong reading gives numbers that look right. So it is looked for before a run, and reported only where the
other reading is better beyond doubt.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from explain.network.hooks import logits
from models.class_matching import match_classes
from models.class_order import ORDERS
from models.classifier import Classifier
from models.data.source import ImageSource
from models.errors import UserError
from models.evaluation import Evaluation, confusion_matrix, evaluate
from models.one_logit import probabilities
from models.preprocessing import Preprocessing, as_tensor, stack

MOST, READ = 256, 64
"""Images that are predicted, and those of them that are read in other ways."""
SECONDS = 10.0
DOUBT = 0.001
"""p below which another reading is better: exact McNemar test, times the number of readings (Bonferroni)."""
AT_LEAST = 0.05
"""By how much its accuracy must be higher."""
BATCH = 16
NORMALIZATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "normalized as for ImageNet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "normalized to -1 ... 1": ((0.5,), (0.5,)),
    "not normalized": ((0.0,), (1.0,)),
}


@dataclass(frozen=True)
class Reading:
    """One way to read the images. `words`: the options that ask for it."""

    name: str
    words: tuple[str, ...]
    preprocessing: Preprocessing


@dataclass(frozen=True, eq=False)
class Trial:
    """Which of the first images a reading gets right, (n,) bool; `p`: of being better than the reading that
    is used, corrected for the number of readings."""

    name: str
    words: tuple[str, ...]
    right: np.ndarray
    p: float = 1.0

    @property
    def accuracy(self) -> float:
        return float(self.right.mean()) if len(self.right) else float("nan")


@dataclass(frozen=True, eq=False)
class Preflight:
    """`evaluation`: of the sample, for the network's classes; `tried`: the other readings, the best first;
    `used`: the reading that is used, on the images of `tried`; `unread`: images that could not be read."""

    evaluation: Evaluation
    classes: tuple[str, ...]
    used: Trial
    tried: tuple[Trial, ...]
    unread: int

    @property
    def images(self) -> int:
        return int(self.evaluation.support.sum())

    @property
    def better(self) -> Trial | None:
        """The best reading that is better beyond doubt."""
        sure = [
            trial
            for trial in self.tried
            if trial.p < DOUBT and trial.accuracy >= self.used.accuracy + AT_LEAST
        ]
        return sure[0] if sure else None


class NoAnswers(UserError):
    """No image of the sample can be read, or the network answers none of them with numbers."""


def preflight(
    classifier: Classifier,
    source: ImageSource,
    outputs: Sequence[int],
    seconds: float | None = None,
    order: str = "",
) -> Preflight:
    """Predict a sample of `source`, spread over its classes, and read it in other ways, for about `seconds`
    (default: `SECONDS`).

    `outputs`: for each class of the source, the network's output (-1: none). `order`: how classes were
    matched, one of `ORDERS` or ''. Nothing is written. Raises `NoAnswers`."""
    seconds = SECONDS if seconds is None else seconds
    began, index = time.monotonic(), dict(zip(source.classes, outputs, strict=True))
    sample = spread_over_classes(source, MOST)
    readings = other_readings(classifier)
    views = _Views(classifier, source, readings)
    for batch in _batches(sample, BATCH):
        views.read(batch, views.kept < READ)
        if views.kept >= READ and time.monotonic() - began > 0.4 * seconds:
            break
    if not views.rows:
        raise NoAnswers(f"None of the {views.unread} images that were tried has an answer: {views.reason}.")
    label = np.array([index[source.items[row].label] for row in views.rows])
    answers = views.answers
    pred, prob = answers.argmax(1).numpy(), probabilities(classifier.model, answers).amax(1).numpy()
    evaluation = evaluate(label, pred, prob, len(classifier.classes))
    used = Trial("as it is read now", (), (pred == label)[: views.kept])
    trials = [*_orders(classifier, source, views, order)]
    for reading in readings:
        if time.monotonic() - began > seconds:
            break
        if (again := views.again(reading)) is not None:
            trials.append(Trial(reading.name, reading.words, again.argmax(1).numpy() == label[: views.kept]))
    permuted = _permuted(label, pred, views.kept)
    if (permuted.right != used.right).any():  # the last: it fits much that has another cause
        trials.append(permuted)
    tried = sorted((_compared(t, used, len(trials)) for t in trials), key=lambda t: -t.accuracy)
    return Preflight(evaluation, classifier.classes, used, tuple(tried), views.unread)


def spread_over_classes(source: ImageSource, most: int) -> list[int]:
    """At most `most` rows, as many of each class as there are, evenly spread within it; the classes take
    turns, so that the beginning is spread too."""
    rows = defaultdict[str, list[int]](list)
    for k, item in enumerate(source.items):
        rows[item.label].append(k)
    each = -(-most // max(1, len(rows)))
    chosen = [
        [of[i] for i in np.unique(np.linspace(0, len(of) - 1, min(each, len(of))).astype(int))]
        for of in rows.values()
    ]
    turns = [of[k] for k in range(max(map(len, chosen), default=0)) for of in chosen if k < len(of)]
    return turns[:most]


def other_readings(classifier: Classifier) -> list[Reading]:
    """What a network may have been trained with instead."""
    p = classifier.preprocessing
    found = [*_normalizations(p)]
    if p.channels >= 3:
        order = "rgb" if p.order == "bgr" else "bgr"
        color = replace(p, order=order).color
        values = [(f"--{name}", getattr(p, name)) for name in ("mean", "std")]
        # where they differ, the option alone does not say in which order they are
        more = [w for name, v in values if len(set(v)) > 1 for w in (name, ",".join(map(str, v)))]
        words = ("--channels", color, *more)
        found.append(Reading(f"colors as {color.upper()}", words, replace(p, order=order)))
    if p.channels == 1:
        when, channels = ("before", "grey") if p.grey_last else ("after", "grey-last")
        other = replace(p, grey_last=not p.grey_last)
        found.append(Reading(f"grey {when} the resize", ("--channels", channels), other))
    if p.resize is None:
        short = round(min(p.size) * 256 / 224)
        found.append(Reading("cropped", ("--resize", str(short)), replace(p, resize=short)))
    else:
        whole = replace(p, resize=None, crop="center", fill=(0,))
        found.append(Reading("squashed", ("--resize", "squash"), whole))
    exif = "ignore" if p.exif == "apply" else "apply"
    found.append(Reading(f"EXIF orientation: {exif}", ("--exif", exif), replace(p, exif=exif)))
    return found


def _normalizations(p: Preprocessing) -> Iterator[Reading]:
    def told(values: tuple[float, ...]) -> str:
        return ",".join(f"{v:g}" for v in (values[:1] if len(set(values)) == 1 else values))

    scale = () if p.scale == 255 else ("--scale", "255")
    for name, (mean, std) in NORMALIZATIONS.items():
        if p.channels == 4 and len(mean) == 3:  # of the colors; alpha as it is
            mean, std = (*mean, 0.0), (*std, 1.0)
        if len(mean) not in (1, p.channels):
            continue
        means, stds = (v * p.channels if len(v) == 1 else v for v in (mean, std))
        yield Reading(
            name,
            (*scale, "--mean", told(means), "--std", told(stds)),
            replace(p, mean=means, std=stds, scale=255.0),
        )
    zeros, ones = (0.0,) * p.channels, (1.0,) * p.channels
    raw = replace(p, mean=zeros, std=ones, scale=1.0)
    yield Reading("pixels from 0 to 255", ("--scale", "1", "--mean", "0", "--std", "1"), raw)


class _Views:
    """The images of the sample: their answers, and of the first `READ` what other readings need."""

    def __init__(self, classifier: Classifier, source: ImageSource, readings: Sequence[Reading]):
        self.classifier, self.source = classifier, source.read_for(classifier.preprocessing)
        self.rows, self.unread, self.reason = list[int](), 0, ""
        self._answers, self._shown = list[Tensor](), defaultdict[Preprocessing, list[Tensor]](list)
        own = _geometry(classifier.preprocessing)
        self._own, self._ways = own, {_geometry(r.preprocessing) for r in readings} - {own}

    @property
    def answers(self) -> Tensor:
        """Logits (n, K)."""
        return torch.cat(self._answers)

    @property
    def kept(self) -> int:
        return len(self._shown[self._own])

    def read(self, rows: Sequence[int], keep: bool) -> None:
        pictures = []
        for row in rows:
            try:
                picture = self.source.load(row)
                pictures.append((row, picture, as_tensor(self.classifier.preprocessing.view(picture))))
            except Exception as error:  # as in a run: an image that breaks a decoder is counted
                reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
                self.unread, self.reason = self.unread + 1, reason
        if not pictures:
            return
        answers = self._predicted([view for _, _, view in pictures], self.classifier.preprocessing)
        finite = answers.isfinite().all(1)
        if not finite.all():
            self.unread, self.reason = self.unread + int((~finite).sum()), "the network answers NaN"
            pictures = [picture for picture, fine in zip(pictures, finite.tolist(), strict=True) if fine]
            if not pictures:
                return
        self.rows += [row for row, _, _ in pictures]
        self._answers.append(answers[finite])
        if keep:
            self._shown[self._own] += [view for _, _, view in pictures]
            for way in self._ways:
                source = self.source if way.exif == self._own.exif else self.source.read_for(way)
                read = [
                    picture if source is self.source else source.load(row) for row, picture, _ in pictures
                ]
                self._shown[way] += [as_tensor(way.view(picture)) for picture in read]

    def again(self, reading: Reading) -> Tensor | None:
        """Logits of the kept images, (m, K); None where the reading changes nothing."""
        way = _geometry(reading.preprocessing)
        shown, own = self._shown[way], self._shown[self._own]
        if reading.preprocessing == self.classifier.preprocessing or (
            way != self._own and all(torch.equal(a, b) for a, b in zip(shown, own, strict=True))
        ):
            return None
        return self._predicted(shown, reading.preprocessing)

    def _predicted(self, views: Sequence[Tensor], preprocessing: Preprocessing) -> Tensor:
        parts = [
            logits(
                self.classifier.model, preprocessing.normalize(stack(list(part)), self.classifier.device)
            ).cpu()
            for part in _batches(views, BATCH)
        ]
        return torch.cat(parts)


def _geometry(p: Preprocessing) -> Preprocessing:
    """What decides on the pixels before they are normalized."""
    return replace(p, mean=(0.0,) * p.channels, std=(1.0,) * p.channels, scale=255.0, order="rgb")


def _orders(classifier: Classifier, source: ImageSource, views: _Views, order: str) -> Iterator[Trial]:
    """Other orders of the classes, of outputs whose names are not known."""
    if not order:
        return
    pred = views.answers[: views.kept].argmax(1).numpy()
    for other in ORDERS:
        if other == order:
            continue
        try:
            outputs = match_classes(source.classes, classifier.classes, (), {}, other, source.empty).outputs
        except UserError:
            continue
        index = dict(zip(source.classes, outputs, strict=True))
        label = np.array([index[source.items[row].label] for row in views.rows[: views.kept]])
        yield Trial(f"classes in the order '{other}'", ("--classes", other), pred == label)


def _permuted(label: np.ndarray, pred: np.ndarray, kept: int) -> Trial:
    """The outputs under the permutation that makes most images right (the assignment problem on the confusion
    matrix, H. W. Kuhn 1955). Each half of the sample is judged with the permutation of the other, because the
    best one fits any data."""
    from scipy.optimize import linear_sum_assignment

    right, size = np.zeros(len(label), bool), int(max(label.max(), pred.max())) + 1
    turn = np.array([(label[:k] == own).sum() for k, own in enumerate(label)])  # within its class
    for half in (0, 1):
        fitted, judged = turn % 2 == half, turn % 2 != half
        matrix = confusion_matrix(label[fitted], pred[fitted], size)
        true, called = linear_sum_assignment(matrix, maximize=True)
        to = np.empty(size, int)
        to[called] = true
        right[judged] = to[pred[judged]] == label[judged]
    words = ("--classes", "FILE")
    return Trial("outputs in another order", words, right[:kept])


def _compared(trial: Trial, used: Trial, count: int) -> Trial:
    """With the p of an exact one-sided McNemar test (Q. McNemar, Psychometrika 12, 1947), times `count`."""
    from scipy.stats import binomtest

    won, lost = int((trial.right & ~used.right).sum()), int((used.right & ~trial.right).sum())
    p = float(binomtest(won, won + lost, alternative="greater").pvalue) if won + lost else 1.0
    return replace(trial, p=min(1.0, p * count))


def _batches(values: Sequence[object], size: int) -> Iterator[Sequence]:  # type: ignore[type-arg]
    for k in range(0, len(values), size):
        yield values[k : k + size]
