"""Charts of a training as plain descriptions: the dashboard draws them with Plotly, `draw` as PNG and CSV."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.calibration import reliability, softmax
from models.evaluation import confusion_matrix
from models.roc import roc_curves
from models.training.trained import Trained

MEASURED = {"accuracy": "Accuracy", "ccc": "Concordance", "nss": "NSS", "psnr": "PSNR"}
"""Measures that the best epoch is chosen by, and their titles; the first that a training has."""


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


def charts(trained: Trained) -> list[Chart | Matrix]:
    """The charts of a training: curves always; the others once it was measured."""
    made: list[Chart | Matrix] = curves(trained.curves) if len(trained.curves) else []
    if trained.predictions is None or trained.task == "affect":
        return made
    part, logits, label = trained.judged
    prob = softmax(logits)
    areas = roc(prob, label, trained.classes, part)
    return [
        *made,
        *([areas] if areas.lines else []),
        *confusion(prob, label, trained.classes, part),
        calibrated(logits, label, trained.metrics["temperature"], part),
    ]


def curves(table: pd.DataFrame) -> list[Chart | Matrix]:
    """Loss, and accuracy, concordance, NSS or PSNR, over the epochs; the first epoch of every later step is
    marked."""
    epoch = table["epoch"].to_numpy(float)
    begins = table["step"].ne(table["step"].shift()).to_numpy().nonzero()[0][1:]
    marks = tuple((float(epoch[i]) - 0.5, str(table["step"].iloc[i])) for i in begins)

    def chart(key: str, title: str, lines: dict[str, str]) -> Chart:
        return Chart(
            key,
            title,
            "epoch",
            title.lower(),
            tuple(Line(name, epoch, table[c].to_numpy(float)) for name, c in lines.items()),
            marks,
        )

    measured = next(name for name in MEASURED if f"val_{name}" in table)
    shown = ({"training": measured} if measured in table else {}) | {"validation": f"val_{measured}"}
    return [
        chart("loss", "Loss", {"training": "loss", "validation": "val_loss"}),
        chart(measured, MEASURED[measured], shown),
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
