"""FER2013 corrected by review, trained again, compared: what do corrected labels gain?

    python benchmarks/corrected_labels.py ferplus/labels.csv --out corrected/ [--seeds 0,1,2]

1. A small network is trained on the original labels of the train images.
2. It predicts these images. The `--suspicious` labels that look wrong most (`label_errors.noise`), and of the
others
   a random sample of `--sample`, are reviewed by a simulated reviewer, who answers as most of ten people do
   (FER+, Barsoum et al. 2016) and is unsure where no class has more than half of their votes.
3. The answers are the table that `notes --labels` writes, and a network is trained again as by `train
   --labels TABLE`: the same length, once for each seed. `--random`: so it is with as many answers on a random
   sample alone.

Networks are tested on the test images where most people give one of the seven classes: that is the truth, not
the original label. The best epoch is chosen on validation images with their original labels. Differences are
those of the same test images, the mean over the seeds; intervals (95 %) are bootstrapped over images and
seeds.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import pandas as pd
import torch

from benchmarks.fer_copies import majority
from benchmarks.label_truth import PEOPLE, VOTED
from explain.analysis.label_errors.noise import wrong_of
from explain.analysis.label_errors.sure_predictions import sure_labels
from explain.analysis.proposals.exchanged import pairs_of
from models.data.parts import Parts, open_parts
from models.data.source import ImageSource
from models.inputs.options import PreprocessingOptions
from models.registry import load
from models.training.recipe import Recipe
from models.training.train import Training

MODEL, COLUMN, RESAMPLES, BATCH = "tiny_conv", "fer2013", 2000, 256
OTHERS = ("unknown", "NF")
ORIGINAL, RANDOM, REVIEWED = "original", "random sample corrected", "suspicious and sample corrected"
FILES = {ORIGINAL: None, RANDOM: "random.csv", REVIEWED: "labels.csv"}


@dataclass(frozen=True, eq=False)
class People:
    """What most people say of each image: `label`, one of the classes of FER2013; absent where they give none
    of these."""

    label: dict[str, str]

    @classmethod
    def read(cls, table: Path) -> "People":
        votes = pd.read_csv(table).drop_duplicates("image").set_index("image")
        top = majority(votes[[*VOTED, *OTHERS]].to_numpy(float))
        names = list(PEOPLE)
        return cls({str(i): names[k] for i, k in zip(votes.index, top, strict=True) if 0 <= k < len(names)})

    def corrections(self, source: ImageSource, chosen: np.ndarray) -> pd.DataFrame:
        """The table of corrected labels, of the answers on these images: of those that contradict."""
        items = [source.items[i] for i in chosen]
        rows = [
            (source.name, item.id, self.label[item.id])
            for item in items
            if self.label.get(item.id, item.label) != item.label
        ]
        return pd.DataFrame(rows, columns=["data", "image", "label"])


def probabilities(file: Path, source: ImageSource) -> np.ndarray:
    """(n, K) float32, in the order of the source."""
    network = load(str(file))
    fed, found = network.preprocessing, []
    with torch.inference_mode():
        for start in range(0, len(source), BATCH):
            images = [source.load(i) for i in range(start, min(start + BATCH, len(source)))]
            found.append(network.model(fed.normalize(torch.stack([fed.tensor(i) for i in images]))))
    return torch.cat(found).softmax(1).numpy()


def trained(name: str, seed: int, given: argparse.Namespace) -> tuple[Path, Parts]:
    """The checkpoint of a training, as `train --labels` writes it; one that is there is kept."""
    file, labels = given.out / f"{name.split()[0]}.{seed}.safetensors", FILES[name]
    parts = open_parts(
        str(given.table),
        label_col=COLUMN,
        limit=given.limit,
        labels=None if labels is None else given.out / labels,
    )
    if not file.exists():
        recipe = Recipe(epochs=given.epochs, patience=given.epochs, seed=seed)
        options = PreprocessingOptions(input_size=str(given.side))
        Training(MODEL, None, parts, file, recipe, options=options).fit()
    return file, parts


def review(parts: Parts, file: Path, people: People, given: argparse.Namespace) -> None:
    """Write both tables of corrected labels, and print what was reviewed."""
    source = parts.training
    prob = probabilities(file, source)
    classes = load(str(file)).classes
    label = np.array([classes.index(item.label) for item in source.items])
    order = np.argsort(-wrong_of(prob, label), kind="stable")
    rng = np.random.default_rng(0)
    rest, everything = (rng.permutation(order[n:]) for n in (given.suspicious, 0))
    first = order[: given.suspicious]
    chosen = {
        REVIEWED: np.concatenate([first, rest[: given.sample]]),
        RANDOM: everything[: given.suspicious + given.sample],
    }
    names = [source.items[i] for i in first]
    known = [item for item in names if item.id in people.label]
    wrong = np.mean([people.label[item.id] != item.label for item in known])
    print(
        f"{len(first):,} most suspicious of {len(source):,}: {wrong:.0%} of {len(known):,} labels are wrong"
    )
    for name, rows in chosen.items():
        table = people.corrections(source, rows)
        table.to_csv(given.out / str(FILES[name]), index=False)
        print(f"{name}: {len(rows):,} answers, {len(table):,} labels corrected")
    counts, sure = sure_labels(prob.argmax(1), prob.max(1), label, len(classes))
    for x in pairs_of(counts, sure):
        print(f"of {x.sure} surest {classes[x.true]}, {x.count} are labeled {classes[x.label]}; {x.p:.1g}")


def test_answers(file: Path, parts: Parts, people: People) -> tuple[np.ndarray, np.ndarray]:
    """Whether each test image with a majority is predicted as people say (n,), and their classes (n,)."""
    assert parts.test is not None
    classes = load(str(file)).classes
    pred = probabilities(file, parts.test).argmax(1)
    rows = [i for i, item in enumerate(parts.test.items) if item.id in people.label]
    truth = np.array([classes.index(people.label[parts.test.items[i].id]) for i in rows])
    return pred[rows] == truth, truth


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % of the mean of values (seeds, images), of which both are drawn again."""
    rng = np.random.default_rng(0)
    seeds, images = values.shape
    means = [
        values[rng.integers(seeds, size=seeds)][:, rng.integers(images, size=images)].mean()
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def print_table(right: dict[str, np.ndarray], truth: np.ndarray) -> None:
    """One row a training: accuracy against people, its balanced form, and the difference from the first."""
    first = right[ORIGINAL]
    print("| labels | accuracy | mean recall of the classes | difference | 95 % interval |\n|" + " --- |" * 5)
    for name, each in right.items():
        recall = np.mean([each[:, truth == k].mean() for k in np.unique(truth)])
        low, high = interval(each - first)
        change = "" if name == ORIGINAL else f"{100 * (each - first).mean():+.1f}"
        between = "" if name == ORIGINAL else f"{100 * low:+.1f} to {100 * high:+.1f}"
        print(f"| {name} | {each.mean():.1%} | {recall:.1%} | {change} | {between} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--side", type=int, default=48, help="pixels of the network's input")
    parser.add_argument("--limit", type=int, default=28_000, help="train images")
    parser.add_argument("--suspicious", type=int, default=4000)
    parser.add_argument("--sample", type=int, default=800)
    parser.add_argument("--random", action="store_true")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    people, seeds = People.read(given.table), [int(s) for s in given.seeds.split(",")]
    file, parts = trained(ORIGINAL, seeds[0], given)
    review(parts, file, people, given)
    right = {name: list[np.ndarray]() for name in FILES if name != RANDOM or given.random}
    for seed in seeds:
        for name in right:
            file, parts = trained(name, seed, given)
            answers, truth = test_answers(file, parts, people)
            right[name].append(answers)
        print(f"\nseeds {seeds[: len(right[ORIGINAL])]}, {len(truth):,} test images")
        print_table({name: np.stack(each).astype(float) for name, each in right.items()}, truth)


if __name__ == "__main__":
    main()
