"""How accurate is a network on faces as they are, and on changed copies of them? Beside what people agree on.

    python benchmarks/fer_copies.py fer_vgg:ferplus --data ferplus/labels.csv --split test \\
        --label-columns neutral,happiness,surprise,sadness,anger,disgust,fear,contempt \\
        --other-columns unknown,NF
    python benchmarks/fer_copies.py fer_vgg:fer2013 --data ferplus/labels.csv --split test --label-col fer2013

Copies: mirrored, the histogram equalized (Pillow), 40 gray levels brighter and darker, half of the contrast.
`flip` is the mean of the probabilities of an image and its mirror image. Wilson intervals of 95 %; the change
of a copy is that of the same images. Of data with votes, also people: the mean fraction of votes that a label
has, and how often one person agrees with the majority of the others, where these have one.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps

from explain.formatting import counted
from explain.network.fused import fused_copy
from models.classifier import Classifier
from models.data.open import open_data
from models.data.source import ImageSource
from models.data.tables.votes import MAJORITY, SINGLE_VOTES, VoteColumns
from models.measures.evaluation import evaluate
from models.registry import load

LEVELS = 40
COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda image: image,
    "mirrored": ImageOps.mirror,
    "equalized": ImageOps.equalize,
    "brighter": lambda image: image.point(lambda v: min(255, v + LEVELS)),
    "darker": lambda image: image.point(lambda v: max(0, v - LEVELS)),
    "half of the contrast": lambda image: image.point(lambda v: round(128 + (v - 128) / 2)),
}


def probabilities(
    net: Classifier, source: ImageSource, change: Callable[[Image.Image], Image.Image]
) -> np.ndarray:
    """(n, K) float64 of changed pictures, in float32."""
    fed = net.preprocessing
    model = fused_copy(net.model, torch.zeros(1, fed.channels, *fed.size))
    read, answers = source.read_for(fed), []
    with torch.inference_mode():
        for start in range(0, len(read), 64):
            images = [change(read.load(i)) for i in range(start, min(start + 64, len(read)))]
            x = fed.normalize(torch.stack([fed.tensor(image) for image in images]))
            answers.append(model(x).double().softmax(1))
    return torch.cat(answers).numpy()


def table(prob: dict[str, np.ndarray], truth: np.ndarray) -> str:
    """Accuracy, interval, change from the pictures as they are in points, macro F1 and calibration error."""
    lines = ["| pictures | accuracy | 95 % | change | macro F1 | ECE |", "| --- |" + " --- |" * 5]
    plain = None
    for name, each in prob.items():
        e = evaluate(truth, each.argmax(1), each.max(1), each.shape[1])
        plain = e.accuracy if plain is None else plain
        low, high = e.interval
        lines.append(
            f"| {name} | {100 * e.accuracy:.1f} % | {100 * low:.1f} to {100 * high:.1f} | "
            f"{100 * (e.accuracy - plain):+.1f} | {e.macro_f1:.3f} | {e.calibration_error:.3f} |"
        )
    return "\n".join(lines)


def per_class(prob: np.ndarray, truth: np.ndarray, classes: Sequence[str]) -> str:
    e = evaluate(truth, prob.argmax(1), prob.max(1), len(classes))
    rows = zip(classes, e.precision, e.recall, e.f1, e.support, strict=True)
    lines = ["| class | precision | recall | F1 | images |", "| --- |" + " --- |" * 4]
    return "\n".join([*lines, *(f"| {c} | {p:.3f} | {r:.3f} | {f:.3f} | {n} |" for c, p, r, f, n in rows)])


def majority(votes: np.ndarray) -> np.ndarray:
    """The column with more than half of whole votes (n, K), single ones not counted; -1 where there is
    none."""
    kept = np.where(votes > SINGLE_VOTES, votes, 0)
    return np.where(kept.max(1) > MAJORITY * kept.sum(1), kept.argmax(1), -1)


def agreement(votes: np.ndarray, classes: int) -> tuple[float, float]:
    """Of counts (n, K) with a majority for one of the first `classes` columns: the mean fraction of all votes
    that it has; and the fraction of votes that agree with the majority of the other votes of the same image,
    where these have one."""
    top = majority(votes)
    of = (top >= 0) & (top < classes)
    share = votes[of, top[of]] / votes[of].sum(1)
    right = total = 0.0
    for column in range(votes.shape[1]):
        there = votes[:, column] > 0
        others = votes[there].copy()
        others[:, column] -= 1
        said = majority(others)
        judged = (said >= 0) & (said < classes)
        total += votes[there, column][judged].sum()
        right += votes[there, column][judged & (said == column)].sum()
    return float(share.mean()), float(right / total)


def of_people(path: Path, columns: VoteColumns, ids: Sequence[str]) -> str:
    whole = pd.read_csv(path).drop_duplicates("image").set_index("image")
    part = next((c for c in ("split", "subset", "partition", "set") if c in whole), None)
    if part is not None:  # all images of the part, also those without a majority
        whole = whole[whole[part] == whole.loc[ids[0], part]]
    votes = whole[[*columns.classes, *columns.others]].to_numpy(float)
    share, alone = agreement(votes, len(columns.classes))
    return (
        f"people: the label has {100 * share:.1f} % of the votes for its image; one person agrees with the "
        f"majority of the others in {100 * alone:.1f} %"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split")
    parser.add_argument("--label-col")
    parser.add_argument("--label-columns")
    parser.add_argument("--other-columns")
    parser.add_argument("--limit", type=int)
    given = parser.parse_args()
    columns = VoteColumns.parse(given.label_columns, given.other_columns)
    net = load(given.model)
    source = open_data(
        given.data,
        given.split,
        label_col=given.label_col,
        limit=given.limit,
        known=net.classes,
        votes=columns,
    )
    truth = np.array([net.classes.index(item.label) for item in source.items])
    prob = {name: probabilities(net, source, change) for name, change in COPIES.items()}
    prob["flip"] = (prob["as it is"] + prob["mirrored"]) / 2
    print(f"{net.name}: {counted(len(source), 'image')} of {source.name}\n")
    print(table(prob, truth), per_class(prob["as it is"], truth, net.classes), sep="\n\n")
    if columns:
        print("", of_people(Path(given.data), columns, [item.id for item in source.items]), sep="\n")


if __name__ == "__main__":
    main()
