"""Is this the network that you think it is? Predictions for a sample, and for the same images read in other
ways: normalized otherwise, with the colors in the other order, squashed or cropped, with the classes in
another order, and with several of these together.

A wrong reading gives numbers that look right. So it is looked for before a run, and reported only where the
other reading is better beyond doubt.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from explain.formatting import counted
from explain.run.format import CALLED
from explain.run.preflight.output_order import outputs_found, right_when_permuted
from explain.run.preflight.readings import Reading, extended, pairs, possible, single_readings
from explain.run.preflight.sample import (
    BATCH,
    Sample,
    SampleNumbers,
    batches,
    in_order,
    numbered_sets,
    p_of_more,
    spread_over_classes,
)
from models.classes.matching import match_classes
from models.classes.names import unnamed
from models.classes.order import ORDERS
from models.classifier import Classifier
from models.data.images import UnreadableImage
from models.data.source import ImageSource
from models.errors import UserError
from models.measures.chance import LEVEL, p_of_chance
from models.measures.evaluation import Evaluation, evaluate
from models.outputs.multi_label import is_multi_label
from models.outputs.probabilities import probabilities

MOST, READ = 256, 64
"""Images that are predicted, and those of them that are read in other ways at first."""
SECONDS, FRACTION = 10.0, 0.05
"""The time of a preflight, or this fraction of the time of predicting all images, if that is more."""
DOUBT = 0.001
"""p below which another reading is better: exact McNemar test, times the number of comparisons
(Bonferroni)."""
AT_LEAST = 0.05
"""By how much its accuracy must be higher."""
PROMISING, LONGER = 0.025, 3
"""By how much the accuracy of the best reading must be higher for it, and as many others that are as good,
to be compared on all images."""
HOPELESS = 2
"""By how many right images fewer a reading is given up after one batch; later where it has fewer at all, or
gets the same ones right."""
ROUNDS = 2
"""How often a change is added to the best reading."""
PERMUTED = "outputs in another order"


@dataclass(frozen=True, eq=False)
class Trial:
    """Which of the first images a reading gets right, (n,) bool. `p`: of being better than the reading that
    is used, and than every simpler one, with some of its `changes` alone, that is so beyond doubt; corrected
    for the number of comparisons. `outputs`: where it is another order of the outputs, that of each class of
    the data, None where the sample does not show it."""

    name: str
    words: tuple[str, ...]
    right: np.ndarray
    p: float = 1.0
    changes: frozenset[str] = frozenset()
    reading: Reading | None = None
    outputs: Mapping[str, int | None] | None = None

    @property
    def accuracy(self) -> float:
        return float(self.right.mean()) if len(self.right) else float("nan")


@dataclass(frozen=True, eq=False)
class Preflight:
    """`evaluation`: of the sample, for the network's classes; `used`: the reading that is used; `tried`: the
    others, by their gain; `unread`: images that could not be read; `comparisons`: for how many each p is
    corrected; `untried`: readings for which there was no time; `outputs`: class of the data -> output (-1:
    none); `names_from`: as of the classifier; `of_sets`: whether `classes` are sets of labels, of images with
    several. `numbers`: of a regression, whose `classes` are the outputs; an image is then right where its
    numbers are nearer than the mean (`Sample.nearer`), and `evaluation` counts these alone."""

    evaluation: Evaluation
    classes: tuple[str, ...]
    used: Trial
    tried: tuple[Trial, ...]
    unread: int
    comparisons: int
    untried: int = 0
    outputs: Mapping[str, int] = field(default_factory=dict)
    names_from: str = ""
    of_sets: bool = False
    numbers: SampleNumbers | None = None

    @property
    def at_chance(self) -> bool:
        """Whether it may be guesses; of a regression, whether no output is better than the mean."""
        if self.numbers is not None:
            return not self.numbers.better_than_mean.any()
        return p_of_chance(self.evaluation) > LEVEL

    @property
    def images(self) -> int:
        return int(self.evaluation.support.sum())

    def as_now(self, trial: Trial) -> float:
        """The accuracy of the reading that is used, on the images of a trial."""
        return float(self.used.right[: len(trial.right)].mean())

    def gain(self, trial: Trial) -> float:
        """By how much its accuracy is higher, on the same images."""
        return trial.accuracy - self.as_now(trial)

    def is_sure(self, trial: Trial) -> bool:
        """Whether a reading is better than the one that is used, beyond doubt."""
        if self.numbers is not None and trial.accuracy <= 0.5:  # no better than the mean itself
            return False
        return trial.p < DOUBT and self.gain(trial) >= AT_LEAST

    @property
    def better(self) -> Trial | None:
        """The best reading that is better beyond doubt."""
        return next((trial for trial in self.tried if self.is_sure(trial)), None)


class NoAnswers(UserError):
    """No image of the sample can be read, or the network answers none of them with numbers."""


def preflight(
    classifier: Classifier,
    source: ImageSource,
    outputs: Sequence[int],
    seconds: float | None = None,
    order: str = "",
    decisive: bool = False,
) -> Preflight:
    """Predict a sample of `source`, spread over its classes, and read it in other ways, for about `seconds`
    (default: `SECONDS`, or `FRACTION` of the time of all images).

    `outputs`: for each class of the source, the network's output (-1: none). `order`: how classes were
    matched, one of `ORDERS` or ''. `decisive`: only what is better beyond doubt counts, so that nothing is
    read in other ways where that cannot be. Nothing is written. Raises `NoAnswers`."""
    sample = Sample(classifier, source, dict(zip(source.classes, outputs, strict=True)), READ)
    rows, clock = spread_over_classes(source, MOST), _Clock(len(source), seconds)
    for batch in batches(rows):
        sample.read(batch)
        clock.learn(len(sample.rows) + sample.unread)
        if len(sample.rows) >= READ and clock.used > 0.4:
            break
    if not sample.rows:
        raise NoAnswers(
            f"None of the {counted(sample.unread, 'image')} tried has an answer: {sample.reason}."
        )
    found, others = _as_read_now(classifier, sample, order)
    return _Search(sample, clock, found, others, len(rows)).found(decisive)


def _as_read_now(classifier: Classifier, sample: Sample, order: str) -> tuple[Preflight, list[Trial]]:
    """The reading that is used, and other orders of the outputs. Of several labels per image, each set of
    labels counts as a class; readings are compared by the images whose labels come before all others."""
    answers, of_sets = sample.answers, is_multi_label(classifier.model)
    if sample.source.regression:
        return _numbers_as_read_now(classifier, sample), []
    prob = probabilities(classifier.model, answers).numpy()
    if of_sets:
        label, pred, names = numbered_sets(sample.truth, prob >= CALLED, classifier.classes)
        confidence = np.where(prob >= CALLED, prob, 1 - prob).prod(1)
        right = in_order(answers.numpy(), sample.truth)
    else:
        label, pred, names = sample.label, answers.argmax(1).numpy(), classifier.classes
        confidence, right = prob.max(1), pred == label
    found = Preflight(
        evaluate(label, pred, confidence, len(names)),
        names,
        Trial("as it is read now", (), right),
        (),
        sample.unread,
        0,
        outputs=sample.outputs,
        names_from=classifier.names_from,
        of_sets=of_sets,
    )
    return found, [] if of_sets else _other_outputs(classifier, sample, order, pred)


def _numbers_as_read_now(classifier: Classifier, sample: Sample) -> Preflight:
    predicted = sample.answers.double().numpy()
    right = sample.nearer(predicted, range(len(sample.rows)))
    ones = np.ones(len(right), int)
    return Preflight(
        evaluate(ones, right.astype(int), ones.astype(float), 2),
        classifier.classes,
        Trial("as it is read now", (), right),
        (),
        sample.unread,
        0,
        outputs=sample.outputs,
        names_from=classifier.names_from,
        numbers=SampleNumbers(sample.truth, predicted),
    )


class _Clock:
    """How much of the time is used, as a fraction."""

    def __init__(self, images: int, seconds: float | None):
        self._images, self._began, self._given = images, time.monotonic(), seconds
        self._seconds = SECONDS if seconds is None else seconds

    def learn(self, done: int) -> None:
        """So many images are predicted by now."""
        if self._given is None:
            whole = (time.monotonic() - self._began) / done * self._images
            self._seconds = max(SECONDS, FRACTION * whole)

    @property
    def used(self) -> float:
        return (time.monotonic() - self._began) / self._seconds


class _Search:
    """The other readings, one after the other: each change alone; then a change more, where one alone is
    better beyond doubt, or seems so; two at once, where the network is at chance."""

    def __init__(self, sample: Sample, clock: _Clock, found: Preflight, others: list[Trial], size: int):
        """`others`: trials of the same answers with other outputs, of all images; `size`: of the sample."""
        self._sample, self._clock = sample, clock
        self._used = sample.classifier.preprocessing
        self._singles = single_readings(self._used)
        # What is tried depends on what was found before, so p is corrected for all that could have been
        # tried (Bonferroni); and for both looks, at the first images and at all, where there are more.
        looks = 2 if size > READ else 1
        self._found = replace(found, comparisons=looks * (possible(self._singles) + len(others)))
        self._others = {trial.changes: trial.right for trial in others}
        self._trials = [replace(trial, right=trial.right[:READ]) for trial in others]

    def found(self, decisive: bool) -> Preflight:
        wrong = int((~self._found.used.right).sum())
        least = 0.5**wrong * self._found.comparisons  # p of a reading with all of them right
        if decisive and least >= DOUBT:
            self._compare()
            return self._found
        self._try(self._singles)
        for _ in range(ROUNDS):
            before = self._found.better
            base = before or self._promising()
            if base is not None and base.reading is not None:
                self._try(extended(self._used, base.reading, self._singles), base)
            elif before is not None or self._found.at_chance:
                self._try(pairs(self._used, self._singles))  # an order of the outputs fits much else
            now = self._found.better
            if now is None or (before is not None and now.changes == before.changes):
                break
        return self._found

    def _promising(self) -> Trial | None:
        """The best reading that all images leave open, of a network that is not at chance."""
        best = next(iter(self._found.tried), None)
        if best is None or self._found.at_chance:
            return None
        return best if self._found.gain(best) >= PROMISING else None

    def _try(self, readings: Sequence[Reading], simpler: Trial | None = None) -> None:
        """Read the first images in these ways; then all of them in the best, where that may decide."""
        than = simpler or self._found.used
        before = than.reading.preprocessing if than.reading else self._used
        for k, reading in enumerate(readings):
            if self._clock.used > 1:
                self._found = replace(self._found, untried=self._found.untried + len(readings) - k)
                break
            try:
                if self._sample.differs(reading.preprocessing, before):
                    self._add(reading, self._first(reading, than))
            except UnreadableImage:  # gone meanwhile, or of a size that this way of reading does not take
                continue
        self._compare()
        for _ in range(LONGER):  # the best of the first images may not be the best of all
            for trial in self._undecided():
                self._read_on(trial)
            self._compare()

    def _first(self, reading: Reading, than: Trial) -> np.ndarray:
        """Which of the first images it gets right, until it is hopeless that it is better `than` another:
        giving up early finds nothing, so no p is to be corrected for it."""
        right, size = np.zeros(0, bool), min(READ, len(self._sample.rows))
        for numbers in batches(range(size)):
            right = np.concatenate([right, self._sample.right(reading.preprocessing, numbers)])
            before = than.right[: len(right)]
            gain, same = int(right.sum()) - int(before.sum()), bool((right == before).all())
            if gain <= -HOPELESS or (len(right) > BATCH and (gain < 0 or same)):
                break
        return right

    def _add(self, reading: Reading, right: np.ndarray) -> None:
        names = frozenset(name for _, name in reading.changes)
        self._trials.append(Trial(reading.name, reading.words, right, 1.0, names, reading))

    def _undecided(self) -> list[Trial]:
        """The best reading where more images may show that it is better, others as good, and the simpler ones
        that it is compared with."""
        tried, sure = self._found.tried, self._found.better
        if not tried or tried[0] is sure:
            return []
        gain, least = self._found.gain, self._found.gain(sure) if sure else 0.0
        if gain(tried[0]) < least + PROMISING:
            return []
        near = [t for t in tried if gain(t) >= gain(tried[0]) - PROMISING][:LONGER]
        return [t for t in tried if any(t is n or t.changes < n.changes for n in near)]

    def _read_on(self, trial: Trial) -> None:
        done = len(trial.right)
        if done >= len(self._sample.rows):
            return
        right = trial.right
        if trial.reading is None:
            right = self._others[trial.changes]
        else:
            for numbers in batches(range(done, len(self._sample.rows))):
                if self._clock.used > 1:
                    break
                try:
                    more = self._sample.right(trial.reading.preprocessing, numbers)
                except UnreadableImage:  # as in `_try`: the images before decide
                    break
                right = np.concatenate([right, more])
        longer = replace(trial, right=right)
        self._trials = [longer if t.changes == trial.changes else t for t in self._trials]

    def _compare(self) -> None:
        found, than = self._found, [self._found.used]
        compared = list[Trial]()
        for trial in sorted(self._trials, key=lambda t: len(t.changes)):  # the simple ones first
            p = max(p_of_more(trial.right, other.right) for other in than if other.changes < trial.changes)
            compared.append(replace(trial, p=min(1.0, p * found.comparisons)))
            than += [compared[-1]] if found.is_sure(compared[-1]) else []
        self._trials = compared
        # the simplest of those that are as good; an order of the outputs fits much that has another cause
        tried = sorted(self._trials, key=lambda t: (-found.gain(t), t.name == PERMUTED, len(t.changes)))
        self._found = replace(found, tried=tuple(tried))


def _other_outputs(classifier: Classifier, sample: Sample, order: str, pred: np.ndarray) -> list[Trial]:
    """Trials of the same answers with the outputs in another order."""
    trials, label, size = [*_orders(classifier, sample, order, pred)], sample.label, len(classifier.classes)
    right, now = right_when_permuted(label, pred), pred == label
    if (right == now).all():
        return trials
    if max(right[:n].mean() - now[:n].mean() for n in (READ, len(right))) < AT_LEAST:  # none is to be named
        return [*trials, Trial(PERMUTED, ("--classes", "FILE"), right, 1.0, frozenset({PERMUTED}))]
    found = outputs_found(label, pred, sample.outputs, size)
    words = ("--class-names" if classifier.names_from else "--classes", "FILE")
    if not classifier.names_from:
        orders = ((name, _by_order(classifier, sample.source, name)) for name in ORDERS)
        words = next((("--classes", name) for name, outputs in orders if _same(found, outputs)), words)
    if any(trial.words == words for trial in trials):  # the same one, by its name
        return trials
    return [*trials, Trial(PERMUTED, words, right, 1.0, frozenset({PERMUTED}), outputs=found)]


def _orders(classifier: Classifier, sample: Sample, order: str, pred: np.ndarray) -> Iterator[Trial]:
    """Other orders of the classes, of outputs whose names are not known."""
    for other in ORDERS:
        if not order or other == order:
            continue
        outputs = _by_order(classifier, sample.source, other)
        if outputs and not _same(outputs, sample.outputs):
            name = f"classes in the order '{other}'"
            right = pred == sample.label_by(outputs)
            yield Trial(name, ("--classes", other), right, 1.0, frozenset({name}), outputs=outputs)


def _by_order(classifier: Classifier, source: ImageSource, order: str) -> dict[str, int]:
    """The outputs of the data's classes in one of `ORDERS`; empty where it does not fit."""
    names = classifier.classes
    if classifier.renamed and not classifier.names_from:  # after the data, in the order that is in doubt
        names = unnamed(len(names))
    try:
        outputs = match_classes(source.classes, names, (), {}, order, source.empty).outputs
    except UserError:
        return {}
    return dict(zip(source.classes, outputs, strict=True))


def _same(found: Mapping[str, int | None], outputs: Mapping[str, int]) -> bool:
    """Whether classes have the same outputs, where both are known."""
    known = [name for name, output in found.items() if output is not None and output >= 0]
    return bool(known and outputs) and all(found[name] == outputs.get(name) for name in known)
