"""What a preflight says: whether the network seems to be the one that one thinks it is."""

from collections.abc import Callable

from explain.analysis.numbers.verdict import NEARER, number_lines, number_sample, wrong_numbers
from explain.formatting import be, counted
from explain.run.preflight.check import AT_LEAST, DOUBT, PROMISING, Preflight, Trial
from models.errors import UserError
from models.measures.chance import LEVEL, chance_level, p_of_chance

SHOWN = 6  # classes, other readings
PAIRS = 4  # outputs that are named one by one


def wrong(found: Preflight, expect: float | None) -> str:
    """What is wrong, in one line; empty where nothing is."""
    e, better, right = found.evaluation, found.better, _right(found)
    if expect is not None and found.numbers is not None:
        raise UserError("--expect is an accuracy, and the outputs are numbers: leave it out.")
    if better is not None and better.words[-1] == "FILE":
        return f"{order_text(found, better)}{_alike(found, better)}"
    if better is not None:
        return (
            f"{100 * better.accuracy:.0f} % of the first {counted(len(better.right), 'image')} {right} with "
            f"{' '.join(better.words)} ({better.name}), {100 * found.as_now(better):.0f} % without "
            f"({_p(better.p)}): add it.{_alike(found, better)}{_further(found, better)}"
        )
    if found.numbers is not None:
        return wrong_numbers(found)
    if expect is not None and _below(found, expect):
        return (
            f"{100 * e.accuracy:.1f} % of {counted(found.images, 'image')} {be(found.images)} right, "
            f"{100 * expect:.1f} % are expected: check the weights, the data and the options of the input."
        )
    if p_of_chance(e) > LEVEL:
        return (
            f"{100 * e.accuracy:.1f} % of {counted(found.images, 'image')} {be(found.images)} right, which "
            f"is not clearly above the {100 * chance_level(e):.1f} % that guessing reaches: check the "
            "weights, the input and the classes."
        )
    return ""


def verdict(found: Preflight, expect: float | None) -> str:
    """What is wrong, or that no better reading is found, in one line."""
    tried = " that was tried" if found.untried else ""
    return wrong(found, expect) or f"no other reading{tried} is better beyond doubt"


def order_text(found: Preflight, better: Trial) -> str:
    """That the outputs seem to be in another order, which one, and what to do, in one line."""
    moved = {
        name: k for name, k in (better.outputs or {}).items() if k is not None and k != found.outputs[name]
    }
    in_order = sorted(moved, key=lambda name: moved[name])
    shown = ", ".join(
        f"output {moved[name]} {'answers ' if n == 0 else ''}"
        f"'{found.classes[found.outputs[name]] if found.names_from else name}'"
        for n, name in enumerate(in_order[:PAIRS])
    ) + (f" … ({len(in_order)} in all)" if len(in_order) > PAIRS else "")
    figures = (
        f"{100 * better.accuracy:.0f} % of the first {counted(len(better.right), 'image')} "
        f"{be(len(better.right))} right so, {100 * found.as_now(better):.0f} % as it is ({_p(better.p)})"
    )
    if source := found.names_from:
        return (
            f"the names in {source} seem to be in another order: {shown}. {figures}. Correct the order of "
            f"the names in {source}."
        )
    seem = f"{better.name}: {shown}"
    write = "check --write-classes FILE writes all lines, which --classes FILE then reads."
    if len(found.classes) == 2 and len(moved) == 2:
        seem = f"{better.name}: the two are exchanged, {shown}"
        lines = " and ".join(f"'{name}, output {moved[name]}'" for name in in_order)
        write = f"Write the lines {lines} into a file for --classes FILE; check --write-classes FILE does so."
    return f"{seem}. {figures}. {write}"


def _alike(found: Preflight, better: Trial) -> str:
    """Readings that a sample of this size cannot tell from the best one."""
    near = [
        " ".join(trial.words)
        for trial in found.tried
        if trial is not better and found.gain(trial) >= found.gain(better) - AT_LEAST and trial.p < DOUBT
    ]
    return (
        (f" Nearly as many are right with {' or '.join(near)}: which it was, only its training says.")
        if near
        else ""
    )


def _further(found: Preflight, better: Trial) -> str:
    """The reading with more changes that may be better still."""
    more = [t for t in found.tried if t.changes > better.changes and len(t.right) >= len(better.right)]
    best = max(more, key=found.gain, default=better)
    if found.gain(best) < found.gain(better) + PROMISING:
        return ""
    right = f"{100 * best.accuracy:.0f} %"
    return f" Perhaps with {' '.join(best.words)}, {right} of them: that is not beyond doubt."


def _below(found: Preflight, expect: float) -> bool:
    """Whether fewer are right than an accuracy of `expect` explains (one-sided binomial test, p < 0.01)."""
    from scipy.stats import binomtest

    hits = round(found.evaluation.accuracy * found.images)
    return float(binomtest(hits, found.images, expect, alternative="less").pvalue) < 0.01


def format_text(found: Preflight, expect: float | None) -> list[str]:
    """Lines: accuracy and chance, what is predicted, the other readings, and the verdict; of a regression the
    measures of each output instead."""
    if found.numbers is not None:
        return [*number_lines(found), *_readings(found), f"verdict    {verdict(found, expect)}"]
    e = found.evaluation
    low, high = e.interval
    all_labels = ", all labels right" if found.of_sets else ""
    kinds = "sets of labels" if found.of_sets else "classes"
    unread = f"; {found.unread} could not be read" if found.unread else ""
    called = e.confusion.sum(0)
    most = sorted(range(len(called)), key=lambda k: -called[k])[:SHOWN]
    shares = ", ".join(
        f"{found.classes[k]} {100 * called[k] / found.images:.0f} %" for k in most if called[k]
    )
    lines = [
        f"accuracy   {100 * e.accuracy:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f} %) of "
        f"{counted(found.images, 'image')}{all_labels}, spread over {int((e.support > 0).sum())} "
        f"{kinds}{unread}",
        f"chance     {100 * chance_level(e):.1f} % by guesses as frequent as these predictions",
        f"predicted  {shares}{', …' if (called > 0).sum() > SHOWN else ''}",
    ]
    return [*lines, *_readings(found), f"verdict    {verdict(found, expect)}"]


def _readings(found: Preflight) -> list[str]:
    lines = [
        f"read as    {trial.name}: {100 * trial.accuracy:.0f} % of {counted(len(trial.right), 'image')}, "
        f"{100 * found.as_now(trial):.0f} % as now"
        for trial in found.tried[:SHOWN]
    ]
    if found.untried:
        lines.append(f"read as    {found.untried} other ways were not tried: the time is over")
    return lines


def _right(found: Preflight) -> str:
    """What is counted of the images of a sample."""
    if found.numbers is not None:
        return NEARER
    return "have their labels before all others" if found.of_sets else "are right"


def require_right_reading(found: Preflight, force: bool, say: Callable[[str], None]) -> None:
    """Say in one line how a sample went. Raises UserError where another reading is better beyond doubt,
    unless `force`."""
    e, problem = found.evaluation, wrong(found, None)
    if found.numbers is not None:
        say(number_sample(found))
    else:
        say(
            f"sample     {100 * e.accuracy:.1f} % of {counted(found.images, 'image')} {_right(found)}, "
            f"guessing reaches {100 * chance_level(e):.1f} %"
        )
    if found.better is not None and not force:
        raise UserError(f"{problem} Or --force to run as it is.")
    if problem:
        say(f"           {problem}")


def _p(p: float) -> str:
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.4f}"
