"""Charts of a training as plain descriptions: the dashboard draws them with Plotly, `draw` as PNG and CSV."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.measures.calibration import reliability, softmax
from models.measures.evaluation import confusion_matrix
from models.measures.roc import roc_curves
from models.outputs.task_names import MULTI
from models.training.trained import Trained

MEASURED = {"accuracy": "Accuracy", "mAP": "mAP", "ccc": "Concordance", "nss": "NSS", "psnr": "PSNR"}
"""Measures that the best epoch is chosen by, and their titles; the first that a training has."""
FURTHER = {"macro_f1": "Macro F1"}
"""Measures with a chart of their own, where a training has them."""


@dataclass(frozen=True)
class Line:
    """`style`: solid, dash, or bar."""

    name: str
    x: np.ndarray
    y: np.ndarray
    style: str = "solid"


@dataclass(frozen=True)
class Chart:
    """Lines over two axes; `marks` are vertical lines with a label; `square` charts have both axes from 0 to
    1."""

    key: str
    title: str
    x: str
    y: str
    lines: tuple[Line, ...]
    marks: tuple[tuple[float, str], ...] = ()
    square: bool = False

    def table(self) -> pd.DataFrame:
        """Long form: line, x, y."""
        return pd.concat(
            [pd.DataFrame({"line": line.name, self.x: line.x, self.y: line.y}) for line in self.lines],
            ignore_index=True,
        )


@dataclass(frozen=True)
class Matrix:
    """`values` (K, K), rows true, columns predicted; `fraction`: each row was divided by its sum."""

    key: str
    title: str
    classes: tuple[str, ...]
    values: np.ndarray
    fraction: bool = False

    def table(self) -> pd.DataFrame:
        return pd.DataFrame(
            self.values, index=pd.Index(self.classes, name="true \\ predicted"), columns=list(self.classes)
        ).reset_index()


@dataclass(frozen=True)
class Bars:
    """A horizontal bar of `values` (n,) from 0 to 1 for each of `names`, and a mark at `marks` (n,) in it;
    NaN for none. `x` says what values are, `marked` what the marks are."""

    key: str
    title: str
    x: str
    names: tuple[str, ...]
    values: np.ndarray
    marks: np.ndarray
    marked: str

    def table(self) -> pd.DataFrame:
        return pd.DataFrame({"name": self.names, self.x: self.values, self.marked: self.marks})


AnyChart = Chart | Matrix | Bars


def charts(trained: Trained) -> list[AnyChart]:
    """The charts of a training: curves always; the others once it was measured."""
    made: list[AnyChart] = [*curves(trained.curves)] if len(trained.curves) else []
    of_task = MEASURED_CHARTS.get(trained.task)
    return made if trained.predictions is None or of_task is None else [*made, *of_task(trained)]


def of_classes(trained: Trained) -> list[AnyChart]:
    """ROC, confusion and calibration."""
    part, logits, label = trained.judged
    prob = softmax(logits)
    areas = roc(prob, label, trained.classes, part)
    return [
        *([areas] if areas.lines else []),
        *confusion(prob, label, trained.classes, part),
        calibrated(logits, label, trained.metrics["temperature"], part),
    ]


def of_labels(trained: Trained) -> list[AnyChart]:
    """Average precision of each label, the best first, beside chance, which is its prevalence."""
    measured = trained.measured["classes"]
    values = {
        name: [np.nan if c[k] is None else c[k] for k in ("AP", "prevalence")] for name, c in measured.items()
    }
    ordered = sorted(values, key=lambda name: -np.nan_to_num(values[name][0], nan=-1.0))
    precision, prevalence = np.array([values[name] for name in ordered], float).reshape(-1, 2).T
    part = "test" if "test" in trained.metrics else "validation"
    title = f"Average precision of each label ({part})"
    return [
        Bars("ap", title, "average precision", tuple(ordered), precision, prevalence, "chance (prevalence)")
    ]


MEASURED_CHARTS = {"classes": of_classes, MULTI: of_labels}
"""Task -> its charts once it was measured."""


def curves(table: pd.DataFrame) -> list[Chart]:
    """Loss, and accuracy, mAP, concordance, NSS or PSNR, over the epochs, and macro F1 where there is one;
    the first epoch of every later step is marked."""
    epoch = table["epoch"].to_numpy(float)
    begins = table["step"].ne(table["step"].shift()).to_numpy().nonzero()[0][1:]
    marks = tuple((float(epoch[i]) - 0.5, str(table["step"].iloc[i])) for i in begins)

    def chart(key: str, title: str, lines: dict[str, str]) -> Chart:
        return Chart(
            key,
            title,
            "epoch",
            title if title == "mAP" else title.lower(),
            tuple(Line(name, epoch, table[c].to_numpy(float)) for name, c in lines.items()),
            marks,
        )

    measured = next(name for name in MEASURED if f"val_{name}" in table)
    shown = ({"training": measured} if measured in table else {}) | {"validation": f"val_{measured}"}
    more = [name for name in FURTHER if f"val_{name}" in table]
    return [
        chart("loss", "Loss", {"training": "loss", "validation": "val_loss"}),
        chart(measured, MEASURED[measured], shown),
        *(chart(name, FURTHER[name], {"validation": f"val_{name}"}) for name in more),
    ]


def roc(prob: np.ndarray, label: np.ndarray, classes: tuple[str, ...], part: str) -> Chart:
    """One class against the rest, micro and macro averages dashed, with the areas in the legend. Many
    classes: averages only. No line where the split has one class."""
    found = [c for c in roc_curves(label, prob, classes) if len(c.fpr)]
    found = found if len(classes) <= 20 else found[-2:]
    lines = [
        Line(f"{c.name} {c.area:.3f}", c.fpr, c.tpr, "dash" if c.name.endswith("average") else "solid")
        for c in found
    ]
    return Chart(
        "roc",
        f"ROC, one against the rest ({part})",
        "false positive rate",
        "true positive rate",
        tuple(lines),
        square=True,
    )


def confusion(prob: np.ndarray, label: np.ndarray, classes: tuple[str, ...], part: str) -> list[Matrix]:
    """Counts, and fractions of each true class."""
    counts = confusion_matrix(label, prob.argmax(1), len(classes))
    total = counts.sum(1, keepdims=True)
    fraction = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    return [
        Matrix("confusion", f"Confusion, images ({part})", classes, counts),
        Matrix(
            "confusion-normalized", f"Confusion, fraction of the true class ({part})", classes, fraction, True
        ),
    ]


def calibrated(logits: np.ndarray, label: np.ndarray, temperature: float, part: str) -> Chart:
    """Accuracy over confidence before and after temperature scaling; the diagonal is perfect calibration."""
    lines = [Line("perfect", np.array([0.0, 1.0]), np.array([0.0, 1.0]), "dash")]
    for name, t in (("as trained", 1.0), (f"temperature {temperature:.2f}", temperature)):
        prob = softmax(logits / t)
        r = reliability(prob.max(1), prob.argmax(1) == label)
        filled = r.count > 0
        lines.append(Line(name, r.confidence[filled], r.accuracy[filled]))
    return Chart("reliability", f"Reliability ({part})", "confidence", "accuracy", tuple(lines), square=True)
