"""Whether a run is better than chance: otherwise nothing may be concluded from it, neither about labels nor
about what to try."""

from explain.run.reader import RunData
from models.chance import LEVEL, chance_level, p_of_chance

ONE_CLASS, SLIGHT = 0.95, 0.2
"""Fraction of the predictions that are one class above which a network has collapsed, unless Cohen's kappa
says that it finds the others: below 0.2 it is slight (J. R. Landis, G. G. Koch, Biometrics 33, 1977). Where
97 % of the images are of one class, so may the predictions be."""
CHECK = (
    "Check the preprocessing (--input-size, --resize, --mean, --std), the order of the classes (--classes "
    "sorted, --classes numbers or a file) and the weights (--weights)."
)


def inconclusive(run: RunData) -> str:
    """Why nothing is concluded from a run: it has no answers, its accuracy is not above chance
    (`p_of_chance`), or one class is predicted for nearly all images; nothing where it says something."""
    if not len(run.ok):
        errors = run.table["error"].value_counts()
        first = f" ({int(errors.iloc[0]):,} times: {errors.index[0]})" if len(errors) else ""
        return (
            f"None of the {len(run.table):,} images has an answer{first}: there is nothing to conclude. "
            "Repair the images or the network, and run again."
        )
    e, n = run.evaluation, len(run.ok)
    if run.label_sets is not None and len(run.present) == 1:
        which = "Every image has" if run.present[0] == 1 else "No image has"
        return f"{which} the label {run.classes[1]}: nothing can be concluded about it."
    level, (low, high) = chance_level(e), e.interval
    called = e.confusion.sum(0)
    most = int(called.argmax())
    fraction, true = called[most] / n, e.support[most] / n
    if p_of_chance(e) > LEVEL:
        text = (
            f"accuracy {100 * e.accuracy:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f} %) of "
            f"{n:,} images is not above the {100 * level:.1f} % that guessing reaches"
        )
    elif fraction > ONE_CLASS and e.kappa < SLIGHT:
        text = (
            f"{100 * fraction:.1f} % of the images are predicted as '{run.classes[most]}', which "
            f"{100 * true:.1f} % are"
        )
    else:
        return ""
    return f"At chance: {text}, so nothing is concluded from this run. {CHECK}"
