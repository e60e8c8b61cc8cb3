"""Two runs of the same images: before and after a training, or two networks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from explain.analysis.on_maps import REMARK, command, not_said_of
from explain.analysis.similarity import map_similarity, partners
from explain.analysis.statistics.bootstrap import REPLICATES, Metric, Predictions, side_by_side
from explain.analysis.statistics.significance import holm
from explain.formatting import counted
from explain.quality.known import shared_method, state_of
from explain.run.image_stats import HASH
from explain.run.reader import RunData
from explain.text_table import columns
from models.classes.names import FOLDINGS, pair_names
from models.errors import UserError

APART = (
    26  # bits of 64 of the perceptual hash: different pictures differ in 32 on average, crops of one in fewer
)
EXACT = 1000  # discordant pairs up to which McNemar's test is exact


@dataclass(frozen=True, eq=False)
class Comparison:
    """`matched`: one row an image that both hold under the same label: `id`, `row_a`, `row_b`, `label`,
    `pred_a`, `pred_b` (numbers in `classes`), `confidence_a`, `confidence_b`, `loss_a`, `loss_b`, `right_a`,
    `right_b`, `similarity` (of the maps for the true class). `by_class`: one row a class: `images`,
    `recall_a`, `recall_b`, `only_a`, `only_b`, `p` (McNemar, Holm), `similarity` (median), `low`, `high`
    (quartiles), `control`. `relabeled`: images whose labels differ; they are left out. `maps_note`: as
    `maps_of_both`."""

    a: RunData
    b: RunData
    classes: tuple[str, ...]
    matched: pd.DataFrame
    metrics: list[Metric]
    p: float
    by_class: pd.DataFrame
    relabeled: int
    method: str | None
    maps_note: str = ""

    @property
    def only_a(self) -> pd.DataFrame:
        """Right in A and wrong in B, the surest mistakes first."""
        m = self.matched
        return m[m["right_a"] & ~m["right_b"]].sort_values("confidence_b", ascending=False)

    @property
    def only_b(self) -> pd.DataFrame:
        m = self.matched
        return m[~m["right_a"] & m["right_b"]].sort_values("confidence_a", ascending=False)

    @property
    def drifts(self) -> pd.DataFrame:
        """Images whose maps are least similar, where both maps vary."""
        return self.matched[self.matched["similarity"].notna()].sort_values("similarity")


def compare(
    a: RunData, b: RunData, method: str | None = None, replicates: int = REPLICATES, seed: int = 0
) -> Comparison:
    """Raises UserError where the runs share no image, or `method` is not in both. Runs that share no method
    are compared without maps; so are those of which `maps_of_both` says it, unless `method` is given."""
    must_be_of_one_kind(a, b)
    for run in (a, b):
        run.require_one_class("The comparison")
    shared = [m for m in a.manifest.request.methods if m in b.manifest.request.methods]
    if method and method not in shared:
        of_a, of_b = (", ".join(run.manifest.request.methods) for run in (a, b))
        raise UserError(f"No method '{method}' in both runs: A has {of_a}, B {of_b}.")
    named, method = bool(method), method or shared_method(a, b)
    note, passes = maps_of_both(a, b, method)
    classes, matched, relabeled = match(a, b)
    rows_a, rows_b = matched["row_a"].to_numpy(), matched["row_b"].to_numpy()
    control = np.full(len(matched), np.nan)
    compared = method if named or passes else None
    matched["similarity"] = map_similarity(a, b, rows_a, rows_b, compared) if compared else np.nan
    if compared and len(matched) > 1:
        others = rows_b[partners(matched["label"].to_numpy(), seed)]
        control = map_similarity(a, b, rows_a, others, compared)
    before, after = (_predictions(matched, which, len(classes)) for which in "ab")
    metrics = side_by_side(before, after, replicates, seed)
    only_a, only_b = (
        int((matched["right_a"] & ~matched["right_b"]).sum()),
        int((~matched["right_a"] & matched["right_b"]).sum()),
    )
    return Comparison(
        a,
        b,
        classes,
        matched,
        metrics,
        mcnemar(only_a, only_b),
        _by_class(matched, control),
        relabeled,
        method,
        note,
    )


def maps_of_both(a: RunData, b: RunData, method: str | None) -> tuple[str, bool]:
    """What is known of the maps of a method in both runs, in one line, and whether similarities may rest on
    them."""
    if method is None:
        return "", False
    runs = {"A": a, "B": b}
    for letter, run in runs.items():
        if unsaid := not_said_of(run, method, f"similarity of maps (run {letter})"):
            return unsaid, False
    unknown = [run for run in runs.values() if state_of(run, method) == "unknown"]
    commands = "; ".join(map(command, unknown))
    return (f"Similarities of maps are of {a.title(method)}. {REMARK} {commands}" if unknown else ""), True


def _predictions(matched: pd.DataFrame, which: str, classes: int) -> Predictions:
    pred, confidence, loss = (
        matched[f"{name}_{which}"].to_numpy() for name in ("pred", "confidence", "loss")
    )
    return Predictions(matched["label"].to_numpy(), pred, confidence, loss, classes)


def match(a: RunData, b: RunData) -> tuple[tuple[str, ...], pd.DataFrame, int]:
    """(classes of both, as in `Comparison.matched`, images whose labels differ). Classes are the same where
    their names are, exactly, or folded one to one for those that are left over: as the data calls them, where
    both runs know, for networks call them as they like. Two runs of one label compare its presence."""
    classes, to_b = list(a.data_names), same_names(a.data_names, b.data_names)
    if a.label_sets is not None and b.label_sets is not None:
        to_b = {0: 0, 1: 1}
    for k, name in enumerate(b.data_names):
        if k not in to_b:
            to_b[k] = len(classes)
            classes.append(name)
    tables = [
        _plain(a, np.arange(len(a.classes))),
        _plain(b, np.array([to_b[k] for k in range(len(b.classes))])),
    ]
    both = tables[0].merge(tables[1], on="id", suffixes=("_a", "_b"))
    if not len(both):
        first = [repr(str(t["id"].iloc[0])) if len(t) else "none" for t in tables]
        raise UserError(
            f"The runs share no image: A has {len(tables[0])} (first {first[0]}), B {len(tables[1])} (first "
            f"{first[1]}): run both networks on the same data."
        )
    same = both["label_a"] == both["label_b"]
    if not same.any():
        raise UserError(
            f"The runs share {counted(len(both), 'image')}, but none of them under the same label: run both "
            "networks on the same labels."
        )
    found = both[same].rename(columns={"label_a": "label"}).drop(columns="label_b").reset_index(drop=True)
    must_be_the_same_pictures(a, b, found)
    return (
        tuple(classes),
        found.assign(right_a=found["pred_a"] == found["label"], right_b=found["pred_b"] == found["label"]),
        int((~same).sum()),
    )


def must_be_of_one_kind(a: RunData, b: RunData) -> None:
    """Raises UserError where one run has classes, and the other one several labels or numbers."""
    if kind_of(a) != kind_of(b):
        raise UserError(
            f"'{a.folder}' is a run of {kind_of(a)}, and '{b.folder}' of {kind_of(b)}: compare two runs of "
            "one kind."
        )


def kind_of(run: RunData) -> str:
    """What a run answers of each image, in words."""
    if run.numbers:
        return "numbers"
    return "several labels per image" if run.all_labels else "one class per image"


def must_be_the_same_pictures(a: RunData, b: RunData, matched: pd.DataFrame) -> None:
    """Images are matched by their names, and 0.png of train is another than 0.png of test. Raises UserError
    where the runs read other folders and the pairs look no more similar than any two images."""
    if a.manifest.data_root == b.manifest.data_root or HASH not in a.ok or HASH not in b.ok:
        return
    hashes = [run.ok.loc[matched[f"row_{which}"], HASH].to_numpy() for run, which in ((a, "a"), (b, "b"))]
    known = ~(pd.isna(hashes[0]) | pd.isna(hashes[1]))
    first, second = (h[known].astype(np.uint64) for h in hashes)
    if known.any() and np.bitwise_count(first ^ second).mean() > APART:
        names = " and ".join(f"{run.manifest.request.data} in '{run.manifest.data_root}'" for run in (a, b))
        raise UserError(
            f"The runs share {counted(len(matched), 'name')} of images, but the pictures are others: they "
            f"are of {names}. Run both networks on the same images."
        )


def same_names(a: Sequence[str], b: Sequence[str]) -> dict[int, int]:
    """Index in b -> index in a of the class that is called the same; names that a folding does not
    distinguish stay separate."""
    index = {name: i for i, name in enumerate(a)}
    same = {k: index[name] for k, name in enumerate(b) if name in index}
    for folding in FOLDINGS.values():
        left = {i: name for i, name in enumerate(a) if i not in same.values()}
        pairs, _ = pair_names(folding, [name for k, name in enumerate(b) if k not in same], left)
        same |= {list(b).index(name): i for name, i in pairs.items()}
    return same


def _plain(run: RunData, to: np.ndarray) -> pd.DataFrame:
    """A run's readable images, each once, its classes as numbers of both."""
    ok = run.ok.drop_duplicates("id")
    return pd.DataFrame(
        {
            "id": ok["id"].to_numpy(),
            "row": ok.index.to_numpy(),
            "label": to[ok["label"]],
            "pred": to[ok["pred"]],
            "confidence": ok["confidence"].to_numpy(float),
            "loss": ok["loss"].to_numpy(float),
        }
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """p of both being right equally often (Q. McNemar, 1947): exact, or the chi-squared approximation with
    continuity correction for many."""
    n = only_a + only_b
    if n == 0:
        return 1.0
    if n <= EXACT:
        return float(stats.binomtest(only_a, n).pvalue)
    return float(stats.chi2.sf((abs(only_a - only_b) - 1) ** 2 / n, 1))


def _by_class(matched: pd.DataFrame, control: np.ndarray) -> pd.DataFrame:
    rows = []
    for label, group in matched.assign(control=control).groupby("label"):
        a, b = group["right_a"], group["right_b"]
        only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
        low, middle, high = group["similarity"].quantile([0.25, 0.5, 0.75])
        rows.append(
            {
                "label": label,
                "images": len(group),
                "recall_a": a.mean(),
                "recall_b": b.mean(),
                "only_a": only_a,
                "only_b": only_b,
                "p": mcnemar(only_a, only_b),
                "similarity": middle,
                "low": low,
                "high": high,
                "control": group["control"].median(),
            }
        )
    table = pd.DataFrame(rows).set_index("label")
    return table.assign(p=holm(table["p"].to_numpy()))


def as_table(c: Comparison) -> pd.DataFrame:
    """One row an image, with names of classes."""
    names = np.array(c.classes)
    m = c.matched
    return pd.DataFrame(
        {
            "id": m["id"],
            "true": names[m["label"]],
            "predicted_a": names[m["pred_a"]],
            "predicted_b": names[m["pred_b"]],
            **{k: m[k] for k in ("confidence_a", "confidence_b", "right_a", "right_b", "similarity")},
        }
    )


SIMILARITY = ("map correlation", "with another image")
"""Heads of the columns of the maps' similarity, and of its control."""


def format_text(c: Comparison, most: int = 12) -> list[str]:
    """For a terminal: metrics, flips, and the classes that changed most."""
    head = [run.unfinished for run in (c.a, c.b) if run.unfinished]
    head += [
        f"A          {c.a.manifest.network}, {c.a.folder}",
        f"B          {c.b.manifest.network}, {c.b.folder}",
        f"images     {len(c.matched)} in both"
        + (f"; {c.relabeled} whose labels differ left out" if c.relabeled else ""),
    ]
    flips = f"right in A alone {len(c.only_a)}, in B alone {len(c.only_b)}; McNemar p = {c.p:.3g}"
    note = ["", c.maps_note] if c.maps_note else []
    return [*head, "", _metrics_table(c), "", flips, "", _classes_table(c, most), *note]


def _metrics_table(c: Comparison) -> str:
    rows = [("", "A", "B", "B - A", "95 % interval", "")]
    rows += [
        (
            m.name,
            f"{m.a:.4f}",
            f"{m.b:.4f}",
            f"{m.difference:+.4f}",
            f"{m.interval[0]:+.4f} to {m.interval[1]:+.4f}",
            "*" if m.sure else "",
        )
        for m in c.metrics
    ]
    return columns(rows, right=(1, 2, 3))


def _or_dash(value: float) -> str:
    return "–" if value != value else f"{value:.2f}"


def _classes_table(c: Comparison, most: int) -> str:
    """The `most` classes whose recall differs most."""
    changed = (
        c.by_class.assign(change=(c.by_class["recall_b"] - c.by_class["recall_a"]).abs())
        .sort_values("change", ascending=False)
        .head(most)
    )
    table = [("class", "images", "recall A", "recall B", "only A", "only B", "p", *SIMILARITY)]
    table += [
        (
            c.classes[int(str(label))],
            str(row["images"]),
            f"{row['recall_a']:.3f}",
            f"{row['recall_b']:.3f}",
            str(row["only_a"]),
            str(row["only_b"]),
            f"{row['p']:.2g}",
            _or_dash(row["similarity"]),
            _or_dash(row["control"]),
        )
        for label, row in changed.astype(object).iterrows()
    ]
    return columns(table, right=range(1, 9))
