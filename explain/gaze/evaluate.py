"""Score sources against people's fixations, image by image, and average."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from explain.gaze.metrics import METRICS, Truth, problem, scores
from explain.gaze.sources import Source
from explain.gaze.truths import Truths
from models.gaze.density import resized
from models.gaze.gaze_set import Viewed

CHUNK = 16  # images that a source gets at once
LONGEST = 60  # side of kept maps


@dataclass(eq=False)
class Evaluation:
    """`rows`: one dict for each image and source: `id`, `source`, every metric, `why` (a score is missing),
    `enlarged` (from that size). `maps`: source -> image -> map, of sources that keep them: small, to be
    drawn."""

    sources: list[Source]
    variant: str
    rows: list[dict[str, object]] = field(default_factory=list)
    maps: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)

    @property
    def table(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows, columns=["id", "source", *METRICS, "why", "enlarged"])

    @property
    def means(self) -> pd.DataFrame:
        """Of every source the mean of each metric over the images that have it, the number of scored images,
        and why others have no score."""
        return summary(self.table, {s.name: (s.title, s.kind) for s in self.sources})


def evaluate(
    truths: Truths, sources: Sequence[Source], variant: str = "tuebingen", seed: int = 0
) -> Iterator[tuple[float, Evaluation]]:
    """Yields (fraction that is done, results so far) after every few images; the caller may stop at any
    time."""
    made, images = Evaluation(list(sources), variant), list(truths.judged.images)
    for begin in range(0, len(images), CHUNK):
        part = images[begin : begin + CHUNK]
        answered = [(source, list(source.answers(part))) for source in sources]
        for k, image in enumerate(part):
            whole = truths.of(image)
            for source, answers in answered:
                _score(made, source, image, answers[k], whole, truths, seed)
        yield min(1.0, (begin + CHUNK) / len(images)), made


def _score(
    made: Evaluation,
    source: Source,
    image: Viewed,
    answer: tuple[np.ndarray, Viewed | None] | None,
    whole: Truth,
    truths: Truths,
    seed: int,
) -> None:
    if answer is None:
        made.rows.append({"id": image.id, "source": source.name, "why": "fewer than two people looked"})
        return
    values, theirs = answer
    truth = whole if theirs is None else truths.narrowed(whole, theirs)
    enlarged = "" if values.shape == image.size else f"{values.shape[0]} × {values.shape[1]}"
    metrics = scores(values, truth, made.variant, seed)
    why = problem(values, truth)
    why = why or ("" if len(truth.rows) else "only the density of fixations is known")
    made.rows.append({"id": image.id, "source": source.name, **metrics, "why": why, "enlarged": enlarged})
    if source.keep:
        made.maps.setdefault(source.name, {})[image.id] = small(values)


def small(values: np.ndarray) -> np.ndarray:
    """At most `LONGEST` a side, scaled to its own largest magnitude: for display, not for
    scores."""
    ratio = LONGEST / max(values.shape)
    if ratio < 1:
        values = resized(
            values, (max(1, round(values.shape[0] * ratio)), max(1, round(values.shape[1] * ratio)))
        )
    top = float(np.abs(np.nan_to_num(values)).max())
    return (values / top if top > 0 else values).astype(np.float16)


def summary(table: pd.DataFrame, named: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """One row a source: `title`, `kind`, `images`, mean of every metric, `missing` (reason: number)."""
    made = []
    for name, (title, kind) in named.items():
        rows = table[table["source"] == name]
        scored = rows[list(METRICS)].astype(float)
        reasons = rows["why"].fillna("")
        missing = "; ".join(f"{why}: {n}" for why, n in reasons[reasons != ""].value_counts().items())
        made.append(
            {
                "source": name,
                "title": title,
                "kind": kind,
                "images": int(scored.notna().any(axis=1).sum()),
                **scored.mean().to_dict(),
                "missing": missing,
            }
        )
    return pd.DataFrame(made)
