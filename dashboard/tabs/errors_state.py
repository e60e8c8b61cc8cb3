"""What the Errors tab shows, as a few keys: kept in the page's state, changed by one action at a time, put
into links."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from urllib.parse import urlencode

from dashboard.links import PAGE, number
from explain.analysis.binary.measures import PRESETS
from explain.analysis.confusion import NORMS, ORDERS
from explain.analysis.groups import EARLIER_NAMES, KINDS, lists_of
from explain.analysis.multi_label.scores import label_scores
from explain.analysis.ranking import SORTS
from explain.quality.known import first_method
from explain.run.format import CALLED
from explain.run.outputs.label_sets import LabelSets
from explain.run.reader import RunData
from models.classes.names import find_class
from models.errors import UserError

TARGETS = {"pred": "predicted", "label": "true", "both": "both"}
LENSES = {
    "images": "Images",
    "attention": "Attention",
    "means": "Mean maps",
    "clusters": "Clusters",
    "slices": "Slices",
    "notes": "Notes",
}
LABEL, THRESHOLDS = "label", "thresholds"  # of a link
LABELS = ("asked", "instead", "together", "all", "thresholds")
"""Actions of runs of several labels per image."""
PAIRS = {"instead": "called instead", "together": "together"}
"""Pairs of labels that are counted."""
LISTED = ""  # the order in which a group comes
_CHOICES = {
    "sort": {LISTED, *SORTS},
    "target": set(TARGETS),
    "lens": set(LENSES),
    "norm": set(NORMS),
    "order": set(ORDERS),
    "pairs": set(PAIRS),
}
_LINKED = ("method", "target", "sort", "lens", "group", "norm", "order", "by", "low", "high", "threshold")


@dataclass(frozen=True)
class View:
    """`label` None: all classes; `pred` given: the images of `label` that were called `pred`; `group`: a list
    of images (`explain.analysis.groups`). `norm`, `order`, `find`: of the confusion matrix. `by`, `low`,
    `high`: the column that the audit is sorted and filtered by. `threshold`, `positive`: of two classes, the
    probability from which that one is predicted. `asked`: of several labels per image, the number of the one
    that is looked at; `thresholds`: of the others, where they are not 0.5, by their numbers as text;
    `pairs`: the pairs of labels that are counted (`PAIRS`)."""

    label: int | None = None
    pred: int | None = None
    method: str = ""
    target: str = "both"
    sort: str = "most confident"
    shared: bool = False
    page: int = 0
    lens: str = "images"
    group: str = ""
    norm: str = "counts"
    order: str = "class"
    find: str = ""
    by: str = "border_mass"
    down: bool = True
    low: str = ""
    high: str = ""
    threshold: float = 0.5
    positive: int = 1
    asked: int = -1
    thresholds: dict[str, float] = field(default_factory=dict)
    pairs: str = "instead"

    @property
    def label_thresholds(self) -> dict[str, float]:
        """The thresholds of labels, by their number as text, with that of the label that is asked for."""
        return self.thresholds | {str(self.asked): self.threshold}

    def apply(self, action: str, value: str, run: RunData) -> "View":
        """The view after a click. What does not fit the run leaves the view as it is."""
        if action in ("overview", "class", "cell", "group"):
            return self._at(action, value, run)
        if action in _CHOICES and value in _CHOICES[action]:
            return replace(self, **{action: value}, page=self.page if action == "target" else 0)  # type: ignore[arg-type]
        if action == "page" and value.isdecimal():
            return replace(self, page=int(value))
        if action == "method" and value in run.manifest.request.methods:
            return replace(self, method=value)
        if action == "shared":
            return replace(self, shared=value == "true")
        if action == "find":
            return replace(self, find=value[:80])
        if action == "by" and value in (*AUDITED, *run.manifest.request.statistics):
            return replace(self, by=value, down=value != self.by or not self.down, page=0, low="", high="")
        if action in LABELS:
            return self._of_labels(action, value, run)
        if action in ("threshold", "positive"):
            return self._deciding(action, value, run)
        if action in ("low", "high") and (not value or _is_number(value)):
            return replace(self, **{action: value}, page=0)  # type: ignore[arg-type]
        return self

    def _of_labels(self, action: str, value: str, run: RunData) -> "View":
        """Another label of a run of several, from the start, in the same way of looking; images of two
        labels, or of a proposal for all labels; or other thresholds of all labels."""
        first, _, second = value.partition(",")
        asked, other = number(first), number(second)
        sets = run.label_sets
        if sets is None:
            return self
        if action == "thresholds":
            return self._with_thresholds(value, sets)
        if asked is None or asked >= len(sets.classes):
            return self
        there = self if asked == self.asked else self._asking(asked)
        if action == "asked" or other is None or (action != "all" and other >= len(sets.classes)):
            return there
        return replace(
            there, label=None, pred=None, group=f"{action}:{other}", sort=LISTED, lens="images", page=0
        )

    def _asking(self, asked: int) -> "View":
        kept = {k: v for k, v in self.label_thresholds.items() if v != CALLED}
        threshold = kept.pop(str(asked), CALLED)
        return View(
            method=self.method,
            target=self.target,
            lens=self.lens,
            pairs=self.pairs,
            asked=asked,
            threshold=threshold,
            thresholds=kept,
        )

    def _with_thresholds(self, name: str, sets: LabelSets) -> "View":
        """Those of a preset."""
        if name not in PRESETS:
            return self
        found = {str(k): float(t) for k, t in enumerate(label_scores(sets).thresholds(name))}
        threshold = found.pop(str(self.asked))
        return replace(self, threshold=threshold, thresholds={k: t for k, t in found.items() if t != CALLED})

    def _deciding(self, action: str, value: str, run: RunData) -> "View":
        """Another threshold, or another positive class, from 0.5 on."""
        if len(run.classes) != 2:
            return self
        if action == "positive" and run.label_sets is not None:  # the label is
            return self
        if action == "positive" and value in ("0", "1") and int(value) != self.positive:
            return replace(self, positive=int(value), threshold=0.5, page=0)
        if action == "threshold" and _is_number(value) and 0 <= float(value) <= 1:
            return replace(self, threshold=abs(float(value)), page=0)
        return self

    def _at(self, action: str, value: str, run: RunData) -> "View":
        """Other images."""
        everywhere = replace(
            self, label=None, pred=None, group="", page=0, sort=self.sort or "most confident"
        )
        row, _, column = value.partition(",")
        if action == "overview":
            return everywhere
        value = EARLIER_NAMES.get(value, value) if action == "group" else value
        if action == "group" and value.partition(":")[0] in (*lists_of(run), *KINDS):
            return replace(everywhere, group=value[:160], sort=LISTED, lens="images")
        if action in ("class", "cell") and row.isdecimal() and int(row) in run.present:
            if action == "class":
                return replace(everywhere, label=int(row))
            if column.isdecimal() and int(column) < len(run.classes):
                return replace(
                    everywhere, label=int(row), pred=None if row == column else int(column), lens="images"
                )
        return self

    def selection(self, run: RunData) -> str:
        """The view's images as `export --select` names them."""
        if self.group or self.label is None:
            return self.group
        name = run.classes[self.label]
        return f"class:{name}" if self.pred is None else f"pair:{name}>{run.classes[self.pred]}"

    def query(self, run: RunData) -> str:
        """The view as query parameters, with names instead of numbers."""
        names, first = {"class": self.label, "as": self.pred}, asdict(first_view(run))
        if self.positive != first["positive"]:
            names["positive"] = self.positive
        parts = {k: run.classes[v] for k, v in names.items() if v is not None}
        if run.label_sets is not None:
            parts[LABEL] = run.label_sets.classes[self.asked]
            if self.thresholds:
                parts[THRESHOLDS] = thresholds_text(self.thresholds)
        parts |= {k: str(v) for k, v in asdict(self).items() if k in _LINKED and v != first[k]}
        if self.method != run.manifest.request.methods[0]:
            parts["method"] = self.method  # also where it is shown first now: a measurement may change that
        return "?" + urlencode(parts | ({PAGE: str(self.page + 1)} if self.page else {}))


AUDITED = ("id", "label", "pred", "loss", "confidence")
"""Columns of the audit besides the maps' statistics."""


def _is_number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return False


def first_view(run: RunData, asked: int = -1) -> View:
    """The method whose maps are trusted most (`explain.quality.known.first_method`)."""
    return View(method=first_method(run), asked=asked)


def asked_label(parameters: Mapping[str, str], run: RunData) -> int | None:
    """The number of the label that a link names, of a run of several; None where it names none."""
    sets = run.label_sets
    return None if sets is None else number(_index(parameters.get(LABEL), sets.classes))


def from_query(parameters: dict[str, str], run: RunData, asked: int = -1) -> View:
    """The view that a link asks for, of the run of label `asked`."""
    view = first_view(run, asked)
    if run.label_sets is not None:
        given = read_thresholds(parameters.get(THRESHOLDS, ""), len(run.label_sets.classes))
        view = replace(view, thresholds={k: v for k, v in given.items() if k != str(asked)})
    view = view.apply("positive", _index(parameters.get("positive"), run.classes), run)
    view = view.apply("threshold", parameters.get("threshold", ""), run)
    label, pred = (_index(parameters.get(key), run.classes) for key in ("class", "as"))
    view = view.apply("cell", f"{label},{pred}", run) if pred else view.apply("class", label, run)
    for action in ("group", "method", "target", "sort", "lens", "norm", "order", "by", "low", "high"):
        if action in parameters and not (action == "by" and parameters["by"] == view.by):
            view = view.apply(action, parameters[action], run)
    page = parameters.get(PAGE, "1")
    return view.apply("page", str(max(0, int(page) - 1)) if page.isdecimal() else "0", run)


def read_thresholds(text: str, labels: int) -> dict[str, float]:
    """'0:0.3,4:0.7' of a link; what is none is left out."""
    pairs = (part.partition(":") for part in text[:65536].split(","))
    return {
        key: float(value)
        for key, _, value in pairs
        if (k := number(key)) is not None and 0 <= k < labels and _is_number(value) and 0 <= float(value) <= 1
    }


def is_thresholds(text: str) -> bool:
    """Whether a text of a link names thresholds by the numbers of labels, as `thresholds_text` writes it."""
    return bool(read_thresholds(text, 10**8))


def thresholds_text(thresholds: Mapping[str, float]) -> str:
    """'0:0.3,4:0.7', for links."""
    return ",".join(f"{k}:{v}" for k, v in thresholds.items())


def _index(name: str | None, classes: tuple[str, ...]) -> str:
    """The number of the class that a link names; empty where there is none, or several."""
    try:
        found = None if name is None else find_class(name, classes)
    except UserError:
        return ""
    return "" if found is None else str(found)


def is_view(parameters: dict[str, str]) -> bool:
    """Whether a link asks for anything of this tab."""
    return bool({"class", "as", "positive", PAGE, LABEL, *_LINKED} & set(parameters))
