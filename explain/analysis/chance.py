"""Whether a run is better than chance: otherwise nothing may be concluded from it, neither about labels nor
about what to try."""

from functools import lru_cache

from explain.analysis.multi_label.scores import is_at_chance, label_scores
from explain.analysis.numbers.measures import conclusion, scores_of_output
from explain.formatting import be, counted, listed, plural
from explain.run.outputs.label_sets import LabelRun, LabelSets, LabelSetsRun
from explain.run.outputs.number_run import NumbersRun
from explain.run.reader import RunData
from models.measures.chance import LEVEL, chance_level, p_of_chance, too_few

ONE_CLASS, SLIGHT = 0.95, 0.2
"""Fraction of the predictions that are one class above which a network has collapsed, unless Cohen's kappa
says that it finds the others: below 0.2 it is slight (J. R. Landis, G. G. Koch, Biometrics 33, 1977). Where
97 % of the images are of one class, so may the predictions be."""
CHECK = (
    "Check the preprocessing (--input-size, --resize, --mean, --std), the order of the classes (--classes "
    "sorted, --classes numbers or a file) and the weights (--weights)."
)


AT_CHANCE, FEW_IMAGES = "the network is at chance", "too few images to tell the network from guessing"
NO_MEAN = "the network is no better than answering the mean"


def in_few_words(run: RunData) -> str:
    """`inconclusive` in a few words: what the network is, or that the images are too few to tell."""
    if not inconclusive(run):
        return ""
    run = run.stored or run
    if run.numbers:
        return NO_MEAN
    return FEW_IMAGES if _one_class(run) and len(run.ok) and too_few(run.evaluation) else AT_CHANCE


def caution_of_check(run: RunData, target: int) -> str:
    """That nothing is concluded from the check of one map of the class, label or output `target`, because the
    network is at chance in the run, or its images are too few to tell; of several labels per image, that
    label decides, of numbers that number. Empty where the network is above chance."""
    if not run.all_labels:
        reason, of = in_few_words(run), ""
        if isinstance(run, NumbersRun) and len(run.ok):
            reason, of = (NO_MEAN if no_better_than_mean(run, target) else ""), f" for {run.outputs[target]}"
    else:
        one, of = run.label_sets.label(target), f" for the label {run.classes[target]}"
        if label_scores(run.label_sets).of_class(target).undefined:
            return inconclusive(one)
        reason = in_few_words(one)
    return (
        reason and f"{reason[0].upper()}{reason[1:]}{of} in this run: nothing is concluded from this check."
    )


def _one_class(run: RunData) -> bool:
    return not isinstance(run, NumbersRun | LabelSetsRun | LabelRun)


def inconclusive(run: RunData) -> str:
    """Why nothing is concluded from a run: it has no answers, its images are too few to tell (`too_few`), its
    accuracy is not above chance (`p_of_chance`), or one class is predicted for nearly all images; nothing
    where it says something. Of a label, whatever is predicted at 0.5: it ranks its images no higher than
    others (`is_at_chance`); of all labels: none is above chance. Of numbers: those of the output that is
    shown first, or asked for, are no better than the mean. Another threshold of two classes changes nothing
    of this."""
    run = run.stored or run
    if not len(run.ok):
        return no_answers(run)
    if isinstance(run, NumbersRun):
        return no_better_than_mean(run, run.index)
    if isinstance(run, LabelSetsRun):
        return _of_all_labels(run.label_sets)
    if isinstance(run, LabelRun):
        return _of_label(run)
    e, n = run.evaluation, len(run.ok)
    level, (low, high) = chance_level(e), e.interval
    called = e.confusion.sum(0)
    most = int(called.argmax())
    fraction, true = called[most] / n, e.support[most] / n
    if too_few(e):
        return (
            f"Too few images: {counted(n, 'image')} {be(n)} not enough to tell the network from guessing, "
            "even if it is right about all of them, so nothing is concluded from this run. Make a run of "
            "more images."
        )
    if p_of_chance(e) > LEVEL:
        text = (
            f"accuracy {100 * e.accuracy:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f} %) of "
            f"{counted(n, 'image')} is not clearly above the {100 * level:.1f} % that guessing reaches"
        )
    elif fraction > ONE_CLASS and e.kappa < SLIGHT:
        text = (
            f"{100 * fraction:.1f} % of the images are predicted as '{run.classes[most]}', which "
            f"{100 * true:.1f} % are"
        )
    else:
        return ""
    return f"At chance: {text}, so nothing is concluded from this run. {CHECK}"


def _of_label(run: LabelRun) -> str:
    name, scores, k = run.classes[1], label_scores(run.label_sets), run.index
    if scores.of_class(k).undefined:
        which = "Every image has" if scores.positives[k] else "No image has"
        return f"{which} the label {name}: nothing can be concluded about it."
    if not is_at_chance(scores, k):
        return ""
    low, high = scores.average_precision_interval[k]
    interval = f" (95 % interval {low:.3f} to {high:.3f})" if low == low else ""
    positives, n = scores.positives[k], scores.images
    return (
        f"At chance: the average precision of {name}, {scores.average_precision[k]:.3f}{interval}, is not "
        f"above the {positives / n:.3f} that guessing reaches ({positives:,} of {counted(n, 'image')} "
        f"{plural(positives, 'has', 'have')} it), so nothing is concluded about it. {CHECK}"
    )


@lru_cache(maxsize=4)
def _of_all_labels(sets: LabelSets) -> str:
    scores = label_scores(sets)
    at_chance = [name for k, name in enumerate(sets.classes) if is_at_chance(scores, k)]
    if len(at_chance) + len(scores.undefined) < len(sets.classes):
        return ""
    if not at_chance:
        return "No label is there in some images and not in others: nothing can be concluded."
    return (
        f"At chance: of no label ({listed(at_chance)}) is the average precision above what guessing reaches, "
        f"so nothing is concluded from this run. {CHECK}"
    )


@lru_cache(maxsize=512)
def no_better_than_mean(run: NumbersRun, output: int) -> str:
    """That the numbers of an output are no better than answering the mean; empty where they are."""
    said = conclusion(scores_of_output(run, output), 0)
    return said and f"{run.outputs[output]}: {said}."


def no_answers(run: RunData) -> str:
    """Of a run without a readable image."""
    errors = run.table["error"].value_counts()
    first = f" ({int(errors.iloc[0]):,} times: {errors.index[0]})" if len(errors) else ""
    return (
        f"None of the {counted(len(run.table), 'image')} has an answer{first}: there is nothing to conclude. "
        "Repair the images or the network, and run again."
    )
