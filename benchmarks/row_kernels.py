"""What a page asks of the rows of a large run, by NumPy as Vitrine does it, by pyarrow, and by DuckDB
(`pip install duckdb`), with the same results; CPU time on one thread, in one process.

python benchmarks/row_kernels.py [--images 1000000] [--classes 100]
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import duckdb  # type: ignore[import-not-found, unused-ignore]
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.timing import hardware, take_turns

Queries = dict[str, Callable[[], np.ndarray]]
NAMES = ("NumPy", "pyarrow", "DuckDB")


def columns(images: int, classes: int) -> dict[str, np.ndarray]:
    """Of a run whose network is right for four of five images."""
    random = np.random.default_rng(0)
    label = random.integers(0, classes, images)
    pred = np.where(random.random(images) < 0.8, label, random.integers(0, classes, images))
    return {
        "row": np.arange(images),
        "label": label.astype(np.int16),
        "pred": pred.astype(np.int16),
        "loss": random.permutation(images).astype(np.float32),  # all different: one right order
    }


def by_numpy(of: dict[str, np.ndarray], classes: int) -> Queries:
    label, pred, loss = of["label"], of["pred"], of["loss"]

    def errors() -> np.ndarray:
        rows = np.flatnonzero((label == 7) & (pred != 7))
        return rows[np.argsort(-loss[rows])]

    def largest() -> np.ndarray:
        rows = np.argpartition(-loss, 24)[:24]
        return rows[np.argsort(-loss[rows])]

    def confusion() -> np.ndarray:
        return np.bincount(label.astype(np.int64) * classes + pred, minlength=classes**2)

    def means() -> np.ndarray:
        return np.bincount(label, weights=loss, minlength=classes) / np.bincount(label, minlength=classes)

    return dict(zip(QUESTIONS, (errors, largest, confusion, means, lambda: np.argsort(loss)), strict=True))


def by_pyarrow(of: dict[str, np.ndarray], classes: int) -> Queries:
    table = pa.table(of)

    def errors() -> np.ndarray:
        of_class = table.filter(pc.and_(pc.equal(table["label"], 7), pc.not_equal(table["pred"], 7)))
        return of_class.sort_by([("loss", "descending")])["row"].to_numpy()

    def largest() -> np.ndarray:
        return pc.select_k_unstable(table, 24, sort_keys=[("loss", "descending")]).to_numpy()

    def confusion() -> np.ndarray:
        found = table.group_by(["label", "pred"]).aggregate([([], "count_all")])
        counts = np.zeros(classes**2, np.int64)
        cells = found["label"].to_numpy().astype(np.int64) * classes + found["pred"].to_numpy()
        counts[cells] = found["count_all"].to_numpy()
        return counts

    def means() -> np.ndarray:
        found = table.group_by("label").aggregate([("loss", "mean")]).sort_by("label")
        return found["loss_mean"].to_numpy()

    def ordered() -> np.ndarray:
        return pc.sort_indices(table, sort_keys=[("loss", "ascending")]).to_numpy()

    return dict(zip(QUESTIONS, (errors, largest, confusion, means, ordered), strict=True))


def by_duckdb(of: dict[str, np.ndarray], classes: int) -> Queries:
    database = duckdb.connect()
    database.execute("SET threads=1")
    database.register("arrays", pa.table(of))
    database.execute("CREATE TABLE run AS SELECT * FROM arrays")

    def asked(query: str) -> dict[str, np.ndarray]:
        return database.execute(query).fetchnumpy()

    def confusion() -> np.ndarray:
        found = asked("SELECT label, pred, count(*) AS n FROM run GROUP BY ALL")
        counts = np.zeros(classes**2, np.int64)
        counts[found["label"].astype(np.int64) * classes + found["pred"]] = found["n"]
        return counts

    return dict(
        zip(
            QUESTIONS,
            (
                lambda: asked("SELECT row FROM run WHERE label = 7 AND pred <> 7 ORDER BY loss DESC")["row"],
                lambda: asked("SELECT row FROM run ORDER BY loss DESC LIMIT 24")["row"],
                confusion,
                lambda: asked("SELECT avg(loss) AS m FROM run GROUP BY label ORDER BY label")["m"],
                lambda: asked("SELECT row FROM run ORDER BY loss")["row"],
            ),
            strict=True,
        )
    )


QUESTIONS = (
    "errors of a class, by loss",
    "the 24 largest losses",
    "confusion matrix",
    "mean loss of each class",
    "all images, by loss",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--classes", type=int, default=100)
    chosen = parser.parse_args()
    pa.set_cpu_count(1)
    of = columns(chosen.images, chosen.classes)
    made = [make(of, chosen.classes) for make in (by_numpy, by_pyarrow, by_duckdb)]
    print(f"{chosen.images:,} rows, {chosen.classes} classes, milliseconds of CPU time; {hardware()}")
    print(f"  {'':28}" + "".join(f"{name:>10}" for name in NAMES))
    for question in QUESTIONS:
        works = {name: queries[question] for name, queries in zip(NAMES, made, strict=True)}
        right = works["NumPy"]()
        for name, work in works.items():
            assert np.allclose(work(), right), (question, name)
        times = take_turns(works, 7, time.process_time)
        print(f"  {question:28}" + "".join(f"{1e3 * min(times[name]):10.2f}" for name in NAMES))


if __name__ == "__main__":
    main()
