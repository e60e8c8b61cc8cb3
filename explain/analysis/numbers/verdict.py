"""What a preflight says of a network whose outputs are numbers."""

from explain.analysis.numbers.measures import NumberScores
from explain.analysis.numbers.text import headline, number
from explain.formatting import counted, listed
from explain.run.preflight.check import Preflight

NEARER = "are nearer to the true numbers than their mean"


def sample_scores(found: Preflight) -> NumberScores:
    """Of the sample. Raises ValueError for another task."""
    if found.numbers is None:
        raise ValueError("a preflight of classes")
    return NumberScores.of(found.numbers.truth, found.numbers.predicted, found.classes)


def wrong_numbers(found: Preflight) -> str:
    """What is wrong where no other reading is better, in one line; empty where nothing is."""
    scores = sample_scores(found)
    worse = [k for k, r2 in enumerate(scores.values["r2"]) if not r2 > 0]
    if not worse:
        return ""
    k = worse[0]
    of_mean = float(scores.truth[:, k].std())
    return (
        f"{listed([scores.names[k] for k in worse])}: the answers are no better than the mean of the data "
        f"(RMSE of {scores.names[k]} {number(float(scores.values['rmse'][k]))} of "
        f"{counted(scores.images, 'image')}, of the mean {number(of_mean)}): check the weights, the input "
        "and which column each output is."
    )


def number_lines(found: Preflight) -> list[str]:
    """The measures of each output, those of answering the mean, and how many images are nearer than it."""
    scores = sample_scores(found)
    unread = f"; {found.unread} could not be read" if found.unread else ""
    width = max(11, *(len(name) + 2 for name in scores.names))
    lines = [f"images     {scores.images}, spread over the data{unread}"]
    for k, name in enumerate(scores.names):
        lines.append(f"{name:{width}}{headline(scores, k)}")
        lines.append(f"{'':{width}}RMSE of answering the mean: {number(float(scores.truth[:, k].std()))}")
    nearer = f"{100 * found.evaluation.accuracy:.0f} % of the images {NEARER}"
    return [*lines, f"nearer     {nearer}"]


def number_sample(found: Preflight) -> str:
    """One line for the start of a run."""
    scores = sample_scores(found)
    each = " · ".join(
        f"{name} RMSE {number(float(scores.values['rmse'][k]))} "
        f"(of the mean {number(float(scores.truth[:, k].std()))})"
        for k, name in enumerate(scores.names)
    )
    return f"sample     {counted(scores.images, 'image')}: {each}"
