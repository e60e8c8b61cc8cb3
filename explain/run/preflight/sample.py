"""A sample of labeled images, and which of them a network gets right in one reading or another."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from explain.network.hooks import logits
from models.classifier import Classifier
from models.data.images import UnreadableImage
from models.data.remote.errors import Unreachable
from models.data.source import ImageSource, label_set
from models.outputs.matching import true_numbers
from models.outputs.multi_label import is_multi_label
from models.preprocessing import Preprocessing, as_tensor, stack

BATCH = 16
Value = TypeVar("Value")


def batches(values: Sequence[Value], size: int = BATCH) -> Iterator[Sequence[Value]]:
    for k in range(0, len(values), size):
        yield values[k : k + size]


def spread_over_classes(source: ImageSource, most: int) -> list[int]:
    """At most `most` rows, as many of each class as there are, evenly spread within it; images with numbers
    are one class. The classes take turns, and so do the parts of a class (J. G. van der Corput's sequence,
    1935), so that the beginning is spread too."""
    rows = defaultdict[str, list[int]](list)
    for k, item in enumerate(source.items):
        rows["" if source.regression else item.label].append(k)
    each = -(-most // max(1, len(rows)))
    chosen = []
    for of in rows.values():
        places = np.unique(np.linspace(0, len(of) - 1, min(each, len(of))).astype(int))
        chosen.append([of[places[i]] for i in sorted(range(len(places)), key=lambda i: f"{i:032b}"[::-1])])
    turns = [of[k] for k in range(max(map(len, chosen), default=0)) for of in chosen if k < len(of)]
    return turns[:most]


def numbered_sets(
    truth: np.ndarray, called: np.ndarray, classes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Sets of labels as classes: the numbers (n,) of the true and of the called set of each image, and the
    names of the sets. `truth`, `called` (n, K) bool."""
    sets, number = np.unique(np.concatenate([truth, called]), axis=0, return_inverse=True)
    names = (label_set(np.array(classes)[row].tolist()) or "none" for row in sets)
    number = number.reshape(-1)
    return number[: len(truth)], number[len(truth) :], tuple(names)


@dataclass(frozen=True, eq=False)
class SampleNumbers:
    """Of a regression: true and predicted numbers (n, R) float64 of the sample."""

    truth: np.ndarray
    predicted: np.ndarray

    @property
    def better_than_mean(self) -> np.ndarray:
        """Of each output (R,) bool, whether the squared residuals are smaller than those of the mean of the
        true numbers."""
        of_mean = ((self.truth - self.truth.mean(0)) ** 2).sum(0)
        found: np.ndarray = ((self.predicted - self.truth) ** 2).sum(0) < of_mean
        return found


class Sample:
    """Images that could be read and have an answer (`rows` of the source), and how many have none (`unread`,
    with the last `reason`). The pixels of the first `kept` of them stay, once for each geometry."""

    def __init__(self, classifier: Classifier, source: ImageSource, outputs: Mapping[str, int], kept: int):
        """`outputs`: class of the data -> output of the network, -1: none."""
        self.classifier, self.source = classifier, source.read_for(classifier.preprocessing)
        self.rows, self.unread, self.reason = list[int](), 0, ""
        self.outputs, self._kept, self._answers = outputs, kept, list[Tensor]()
        self._first = defaultdict[Preprocessing, list[Tensor]](list)

    @property
    def answers(self) -> Tensor:
        """Logits (n, K) in the reading that is used."""
        return torch.cat(self._answers)

    @property
    def label(self) -> np.ndarray:
        """The output that each image should have, (n,) int."""
        return self.label_by(self.outputs)

    def label_by(self, outputs: Mapping[str, int]) -> np.ndarray:
        return np.array([outputs[self.source.items[row].label] for row in self.rows])

    @property
    def truth(self) -> np.ndarray:
        """Of several labels per image: which outputs each image should have, (n, K) bool. Of a regression:
        the true number of each output, (n, R) float64."""
        if self.source.regression:
            items = [self.source.items[row] for row in self.rows]
            return true_numbers(items, self.outputs, self.source.classes)
        found = np.zeros((len(self.rows), len(self.classifier.classes)), bool)
        for k, row in enumerate(self.rows):
            labels = (self.outputs[name] for name in self.source.items[row].labels or ())
            found[k, [to for to in labels if to >= 0]] = True
        return found

    def nearer(self, predicted: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
        """Which of these images' predicted numbers (m, R) are nearer to the true ones than the mean of the
        data is, (m,) bool: by absolute differences, each output's in its standard deviations."""
        center, spread = self._center_and_spread
        truth = self.truth[list(numbers)]
        here, mean = (np.abs((values - truth) / spread).sum(1) for values in (predicted, center))
        found: np.ndarray = here < mean
        return found

    @cached_property
    def _center_and_spread(self) -> tuple[np.ndarray, np.ndarray]:
        """(R,) each, of the true numbers of the whole data; 1 for a standard deviation of 0."""
        truth = true_numbers(self.source.items, self.outputs, self.source.classes)
        spread = truth.std(0)
        return truth.mean(0), np.where(spread > 0, spread, 1)

    def read(self, rows: Sequence[int]) -> None:
        """Predict further images. Those that cannot be read are counted, as in a run. Raises
        `Unreachable`."""
        preprocessing, pictures = self.classifier.preprocessing, []
        self.source.prepare(rows)
        for row in rows:
            try:
                pictures.append((row, as_tensor(preprocessing.view(self.source.load(row)))))
            except Unreachable:
                raise
            except Exception as error:  # whatever a broken image does to a decoder
                reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
                self.unread, self.reason = self.unread + 1, reason
        if not pictures:
            return
        answers = self._predicted([view for _, view in pictures], preprocessing)
        finite = answers.isfinite().all(1)
        if not finite.all():
            self.unread, self.reason = self.unread + int((~finite).sum()), "the network answers NaN"
            pictures = [picture for picture, fine in zip(pictures, finite.tolist(), strict=True) if fine]
        self.rows += [row for row, _ in pictures]
        self._answers.append(answers[finite])
        first = self._first[self._geometry(preprocessing)]
        first += [view for _, view in pictures][: self._kept - len(first)]

    def differs(self, reading: Preprocessing, other: Preprocessing) -> bool:
        """Whether the first images are another input in this reading than in the `other`."""
        one, two = self._geometry(reading), self._geometry(other)
        values = [(p.mean, p.std, p.scale, p.order) for p in (reading, other)]
        if values[0] != values[1]:
            return True
        return one != two and not all(map(torch.equal, self._shown(one), self._shown(two)))

    def right(self, reading: Preprocessing, numbers: Sequence[int]) -> np.ndarray:
        """Which of these images the network gets right in this reading, (m,) bool: those whose labels come
        before all others, where they have several; `nearer`, where they have numbers. Raises
        `UnreadableImage` where one cannot be read in this way."""
        geometry = self._geometry(reading)
        if numbers[-1] < self._kept:
            views = [self._shown(geometry)[k] for k in numbers]
        else:
            views = self._load(geometry, numbers)
        answers = self._predicted(views, reading)
        if is_multi_label(self.classifier.model):
            hit = in_order(answers.numpy(), self.truth[list(numbers)])
        elif self.source.regression:
            hit = self.nearer(answers.double().numpy(), numbers)
        else:
            hit = answers.argmax(1).numpy() == self.label[list(numbers)]
        return hit & answers.isfinite().all(1).numpy()  # NaN has a largest output, and is none

    def _geometry(self, p: Preprocessing) -> Preprocessing:
        """What decides on the pixels before they are normalized: of floats, `scale` says which is white."""
        white = p.scale if self.source.has_floats else 255.0
        return replace(p, mean=(0.0,) * p.channels, std=(1.0,) * p.channels, scale=white, order="rgb")

    def _shown(self, geometry: Preprocessing) -> list[Tensor]:
        if geometry not in self._first:
            self._first[geometry] = self._load(geometry, range(min(self._kept, len(self.rows))))
        return self._first[geometry]

    def _load(self, geometry: Preprocessing, numbers: Sequence[int]) -> list[Tensor]:
        source = self.source.read_for(geometry)
        source.prepare([self.rows[k] for k in numbers])
        try:
            return [as_tensor(geometry.view(source.load(self.rows[k]))) for k in numbers]
        except Exception as error:  # whatever an image that is gone or does not fit does to a decoder
            raise UnreadableImage(str(error)) from error

    def _predicted(self, views: Sequence[Tensor], preprocessing: Preprocessing) -> Tensor:
        model, device = self.classifier.model, self.classifier.device
        parts = batches(views)
        return torch.cat(
            [logits(model, preprocessing.normalize(stack(list(part)), device)).cpu() for part in parts]
        )


def p_of_more(one: np.ndarray, two: np.ndarray) -> float:
    """p of as many more right images by chance: exact one-sided McNemar test (Q. McNemar, Psychometrika 12,
    1947) on the images of both, (n,) and (m,) bool."""
    from scipy.stats import binomtest

    size = min(len(one), len(two))
    won, lost = int((one[:size] & ~two[:size]).sum()), int((two[:size] & ~one[:size]).sum())
    return float(binomtest(won, won + lost, alternative="greater").pvalue) if won + lost else 1.0


def in_order(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Whether the labels that an image has come before all that it has not, (m,) bool; `scores` (m, K),
    `truth` (m, K) bool. Unlike answers at a threshold, this does not change where a reading moves all scores
    of an image alike."""
    lowest = np.where(truth, scores, np.inf).min(1)
    highest = np.where(truth, -np.inf, scores).max(1)
    found: np.ndarray = lowest > highest
    return found
