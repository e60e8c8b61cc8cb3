"""All results of the analysis of a run: the evidence, whether anything may be concluded from it, and
proposals. `analyze` computes all of it and writes the slow part into the run's folder."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
from cachetools import LRUCache

from explain.analysis.binary.measures import BinaryScores, binary_scores
from explain.analysis.chance import inconclusive
from explain.analysis.clusters import Clustering
from explain.analysis.contrasts import Contrast, contrasts
from explain.analysis.duplicates import DuplicatePair
from explain.analysis.label_errors.confident_learning import Fit
from explain.analysis.label_errors.suspicion import Suspicion
from explain.analysis.mean_maps import MeanMaps, mean_maps_at, means_table
from explain.analysis.multi_label.proposals import label_set_findings
from explain.analysis.proposals.evidence import ABOUT, CONTRASTS, FILE, MEANS, Evidence
from explain.analysis.proposals.proposal import Proposal, of_labels
from explain.analysis.proposals.registry import proposals
from explain.analysis.ranking import by_recall
from explain.formatting import counted
from explain.quality.known import Stamp, first_method, stamp_of
from explain.run.format import TARGETS, write_json
from explain.run.outputs.label_sets import LabelRun
from explain.run.parquet import write
from explain.run.reader import RunData
from models.classes.names import find_class
from models.errors import UserError

AT_ONCE = 20_000
"""Images of a run up to which a page waits for what follows from kept results; of more, it is computed in the
background."""
THRESHOLDS = 4  # findings at other thresholds that are kept, at about 20 MB each for 50,000 images


class Findings(Evidence):
    """Of one run. Of two classes, `at` gives those at another threshold."""

    def __init__(self, run: RunData):
        run.require_one_class("The analysis of errors")
        super().__init__(run)
        self._ready = self.kept and len(run.table) <= AT_ONCE
        self._at: LRUCache[tuple[float, int], Findings] = LRUCache(THRESHOLDS)
        self._scores: dict[int, BinaryScores] = {}
        self._lock = threading.Lock()
        self._said: tuple[Stamp, list[Proposal]] | None = None

    @property
    def ready(self) -> bool:
        """Whether nothing slow is left to be computed; of a label, also of all labels together."""
        run = self.run
        return self._ready and (not isinstance(run, LabelRun) or label_set_findings(run.label_sets).ready)

    def set_ready(self) -> None:
        self._ready = True

    @property
    def stored(self) -> "Findings":
        """Those of the network's own predictions."""
        return self

    def at(self, threshold: float, positive: int) -> "Findings":
        """As `RunData.at`; the last few are kept."""
        key = (threshold, positive)
        if key == (0.5, self.run.positive):
            return self
        with self._lock:
            if key not in self._at:
                self._at[key] = FindingsAt(self, threshold, positive)
            return self._at[key]

    @property
    def scores(self) -> BinaryScores:
        """As `binary.measures.binary_scores`."""
        kept = self.stored._scores
        if self.run.positive not in kept:
            kept[self.run.positive] = binary_scores(self.run)
        return kept[self.run.positive]

    @cached_property
    def inconclusive(self) -> str:
        """As `chance.inconclusive`."""
        return inconclusive(self.run)

    @property
    def proposals(self) -> list[Proposal]:
        """As `proposals.registry.proposals`; none where nothing may be concluded. Anew where more is known of
        the maps."""
        stamp = stamp_of(self.run)
        if self._said is None or self._said[0] != stamp:
            self._said = stamp, self._proposals()
        return self._said[1]

    def _proposals(self) -> list[Proposal]:
        if self.inconclusive:
            return []
        if not isinstance(self.run, LabelRun):
            return proposals(self)
        compared = label_set_findings(self.run.label_sets).of_label(self.run.index)
        own = (replace(of_labels(p), label=self.run.index) for p in proposals(self))
        found = [*own, *compared]
        return sorted(found, key=lambda p: -p.errors)


class FindingsAt(Findings):
    """Of two classes at another threshold. What is said of labels, duplicates and the network as a whole, and
    proposals, are those of the network's own predictions; slices, means, clusters and contrasts follow the
    threshold. Nothing of it is written into the run's folder, or read from there."""

    def __init__(self, stored: Findings, threshold: float, positive: int):
        Evidence.__init__(self, stored.run.at(threshold, positive))
        self._of_network = stored
        self._tested: dict[tuple[str, str], list[Contrast]] = {}

    @property
    def stored(self) -> Findings:
        return self._of_network

    @property
    def kept(self) -> bool:
        return False

    @property
    def ready(self) -> bool:
        return self.stored.ready

    def at(self, threshold: float, positive: int) -> Findings:
        return self.stored.at(threshold, positive)

    @property
    def checked(self) -> pd.DataFrame:
        return self.stored.checked

    @property
    def several(self) -> Suspicion | None:
        return self.stored.several

    @property
    def suspicion(self) -> pd.Series:
        return self.stored.suspicion

    @property
    def fit(self) -> Fit:
        return self.stored.fit

    @property
    def duplicates(self) -> list[DuplicatePair]:
        return self.stored.duplicates

    @property
    def method(self) -> str:
        return self.stored.method

    @cached_property
    def inconclusive(self) -> str:
        return self.stored.inconclusive

    @property
    def proposals(self) -> list[Proposal]:
        return self.stored.proposals

    def contrasts(self, method: str, target: str = "pred") -> list[Contrast]:
        if (method, target) not in self._tested:
            self._tested[method, target] = contrasts(self.run, method, target)
        return self._tested[method, target]

    def means(self, method: str, target: str) -> MeanMaps:
        if (method, target) not in self._means:
            own = self.stored
            before = own.means(method, target)
            self._means[method, target] = mean_maps_at(own.run, before, self.run, method, target)
        return self._means[method, target]

    def clusters(
        self,
        label: int,
        method: str,
        target: str,
        raise_if_cancelled: Callable[[], None] = lambda: None,
    ) -> Clustering:
        """Of maps for the true class, which no threshold changes: the same clusters, with other errors."""
        if target != "label":
            return super().clusters(label, method, target, raise_if_cancelled)
        found, right = self.stored.clusters(label, method, target, raise_if_cancelled), self.run.ok["correct"]
        counted = [replace(c, wrong=int((~right.loc[c.rows]).sum())) for c in found.clusters]
        return replace(found, clusters=counted)

    def has_clusters(self, label: int, method: str, target: str) -> bool:
        if target != "label":
            return super().has_clusters(label, method, target)
        return self.stored.has_clusters(label, method, target)


def with_threshold(findings: Findings, threshold: str = "", positive: str = "") -> Findings:
    """At a threshold as people write it (`BinaryScores.threshold`), of the class of that name; empty: 0.5,
    the second output. Raises UserError for a run of other than two classes, and for names that it lacks."""
    run = findings.run
    if not threshold and not positive:
        return findings
    if run.all_labels:
        raise UserError(
            f"'{run.folder}' is a run of several labels per image: name one of them with --label."
        )
    if not run.binary:
        raise UserError(
            f"--threshold and --positive are for runs of two classes; '{run.folder}' has "
            f"{counted(len(run.classes), 'class')}: leave them out."
        )
    found = run.positive
    if positive and run.label_sets is not None:
        raise UserError(
            f"The positive class of a label is the label, {run.classes[1]}: leave --positive out."
        )
    if positive:
        names = [find_class(positive, known) for known in (run.classes, run.data_names)]
        known = [index for index in names if index is not None]
        if not known:
            raise UserError(f"No class '{positive[:60]}': the run has {' and '.join(run.classes)}.")
        found = known[0]
    of_class = findings.at(0.5, found)
    return findings.at(of_class.scores.threshold(threshold), found) if threshold else of_class


def at_threshold(run: RunData, threshold: str) -> RunData:
    """The run at a threshold as people write it, chosen from its own scores; empty: as it is. Raises
    UserError as `with_threshold`."""
    return with_threshold(Findings(run), threshold).run if threshold else run


def analyze(findings: Findings, clicks: bool = True) -> Iterator[float]:
    """Compute everything of the network's own predictions and write it into the run's folder, `ABOUT` last;
    yields the fraction that is done.
    Where the folder cannot be written, the results live as long as `findings`. `clicks`: also compute what
    the dashboard's first clicks would wait for."""
    findings = findings.stored
    if not findings.kept:
        for fraction, compute in _steps(findings):
            compute()
            yield fraction
        with suppress(OSError):
            _write(findings.run.derived, findings)
    if clicks:
        yield 0.9
        _ = findings.proposals
        if isinstance(findings.run, LabelRun):
            _ = label_set_findings(findings.run.label_sets).proposals
    findings.set_ready()
    if clicks:
        _soon_asked_for(findings)
    yield 1.0


def _steps(findings: Findings) -> Iterator[tuple[float, Callable[[], object]]]:
    """What is kept: (fraction that is done after it, what computes it)."""
    for fraction, name in ((0.1, "fit"), (0.35, "checked"), (0.5, "own_suspicion"), (0.6, "duplicates")):
        yield fraction, partial(getattr, findings, name)
    yield 0.75, lambda: findings._contrasts
    for method, target in _sets(findings.run):
        yield 0.85, partial(findings.means, method, target)


def _sets(run: RunData) -> list[tuple[str, str]]:
    """(method, target) of all maps for which means are kept; none of single labels of several."""
    if run.label_sets is not None:
        return []
    return [(method, target) for method in run.manifest.request.methods for target in TARGETS]


def _soon_asked_for(findings: Findings) -> None:
    """What the first clicks would wait for."""
    run, method = findings.run, first_method(findings.run)
    _ = run.margin, findings.means(method, "label")
    if run.binary and not findings.scores.undefined:
        _ = findings.scores.average_precision_interval
    for label in by_recall(run)[: 2 if run.binary else 1]:  # a threshold may change which is the worst
        with suppress(UserError):  # too few maps
            findings.clusters(label, method, "label")


def _as_written(pair: DuplicatePair) -> dict[str, object]:
    """With the keys of the format (docs/run_format.md), so that earlier versions read it, too."""
    return {"row": pair.row, "other": pair.other, "alike": pair.similarity, "agree": pair.agree}


def _write(folder: Path, findings: Findings) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    run = findings.run
    images = findings.checked.assign(suspicion=findings.own_suspicion)
    for name, table in ((FILE, images), (CONTRASTS, findings._contrasts)):
        write(pa.Table.from_pandas(table.reset_index(drop=True), preserve_index=False), folder / name)
    if means := [means_table(findings.means(*given), *given) for given in _sets(run)]:
        write(pa.concat_tables(means), folder / MEANS)
    write_json(
        folder / ABOUT,
        findings.stamp | {"fit": asdict(findings.fit), "twins": list(map(_as_written, findings.duplicates))},
    )
