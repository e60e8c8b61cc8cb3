"""What a network answers, and what the data asks: one class of an image, any number of labels, or numbers."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from models.errors import UserError
from models.outputs.task_names import AFFECT, MULTI, REGRESSION, SINGLE, TASKS

if TYPE_CHECKING:
    from models.classifier import Classifier
    from models.data.source import ImageSource

__all__ = ["MULTI", "REGRESSION", "SINGLE", "TASKS"]

ANSWERS = {SINGLE: "with one class", MULTI: "with any number of labels", REGRESSION: "with numbers"}
LABELS = {
    SINGLE: "one label per image",
    MULTI: "any number of labels per image",
    REGRESSION: "numbers for each image",
}


def require_task(text: str) -> str:
    """Raises UserError for a name that is no task; empty: found out by data and network."""
    if text in ("", *TASKS):
        return text
    raise UserError(f"No task '{str(text)[:40]}': choose from {', '.join(TASKS)}.")


def asked_task(source: "ImageSource", told: str = "") -> str:
    """The task that was `told`, otherwise that of the data; empty where its labels are whole numbers, which
    may be classes or measured."""
    return told or ("" if _whole_numbers(source) else source.task)


def reads_as_numbers(classifier: "Classifier", source: "ImageSource", told: str = "") -> bool:
    """Whether whole numbers, which were read as classes, may be the numbers that the network's file says that
    it answers with."""
    return not told and classifier.task == REGRESSION and _whole_numbers(source)


def _whole_numbers(source: "ImageSource") -> bool:
    """Whether the classes of the data are whole numbers."""
    return source.task == SINGLE and all(name.lstrip("+-").isdecimal() for name in source.classes)


def as_asked(classifier: "Classifier", source: "ImageSource", told: str = "") -> "Classifier":
    """The classifier for the task that was `told`, otherwise for that of the data. Raises UserError where the
    network's own file names another one, and where its outputs cannot be read so."""
    task = told or source.task
    if classifier.task and classifier.task != task and not told:
        possible = [name for name in (SINGLE, MULTI, REGRESSION) if name in (classifier.task, task)]
        either = [f"--task {name}" for name in possible if _may_be(name, classifier, source)]
        advice = f"read it with {' or '.join(either)}" if either else "give data or a network of one task"
        raise UserError(
            f"{classifier.name} answers {ANSWERS[classifier.task]}, as its file says, and the data has "
            f"{LABELS[source.task]}: {advice}."
        )
    if task == SINGLE and not told:
        _require_classes(classifier, source)
    return with_task(classifier, task)


def _may_be(task: str, classifier: "Classifier", source: "ImageSource") -> bool:
    """Whether network and data can be of a task, by their counts: an output for each label or class, where
    one output is that of two classes; names that are numbers for numbers."""
    from models.outputs.one_logit import is_one_logit

    one = is_one_logit(classifier.model) or len(classifier.classes) == 1
    if task == MULTI:
        return not one
    if task == SINGLE:
        return not one or (len(source.classes) <= 2 and not source.multi_label)
    return source.regression or (not source.multi_label and all(map(_is_number, source.classes)))


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _require_classes(classifier: "Classifier", source: "ImageSource") -> None:
    """Raises UserError for a network of one output and data of many whole numbers: they may be classes or
    measured."""
    from models.outputs.one_logit import is_one_logit

    many = len(source.classes) > 2 and _whole_numbers(source)
    if many and is_one_logit(classifier.model):
        raise UserError(
            f"{classifier.name} has one output, and the labels of the data are {len(source.classes)} whole "
            f"numbers: read them as numbers with --task {REGRESSION}; as classes, the network needs one "
            "output for each."
        )


def require_classes(classifier: "Classifier", what: str) -> None:
    """Raises UserError for a network whose outputs are numbers."""
    if classifier.task == REGRESSION or classifier.metadata.get("task") == AFFECT:
        raise UserError(
            f"{classifier.name} answers with numbers ({', '.join(classifier.classes[:6])}), and {what} takes "
            "networks that answer with classes."
        )


def as_named(classifier: "Classifier") -> "Classifier":
    """The classifier for the task that its own file names, where that is not one class per image."""
    return classifier if classifier.task in ("", SINGLE) else with_task(classifier, classifier.task)


def with_task(classifier: "Classifier", task: str) -> "Classifier":
    """The classifier whose network answers so. Raises UserError where its outputs cannot be read so."""
    from models.outputs.multi_label import is_multi_label, require_one_of_all
    from models.outputs.regression import is_regression

    model = classifier.model
    opened = MULTI if is_multi_label(model) else REGRESSION if is_regression(model) else SINGLE
    if opened not in (SINGLE, task):
        what = "several labels per image" if opened == MULTI else "numbers"
        raise UserError(f"{classifier.name} was opened for {what}: open it again.")
    if task == SINGLE:
        require_one_of_all(model)
    if task == opened:
        return replace(classifier, task=task)
    return _with_labels(classifier) if task == MULTI else _with_numbers(classifier)


def _with_labels(classifier: "Classifier") -> "Classifier":
    from models.outputs.multi_label import answering_each_class
    from models.sources.asked import example_of

    example = example_of(classifier.preprocessing).to(classifier.device)
    are_logits = classifier.metadata.get("outputs") == "logits"
    model, note = answering_each_class(classifier.model, example, are_logits)
    return replace(classifier, model=model, task=MULTI, notes=(*_other_notes(classifier, MULTI), note))


def _with_numbers(classifier: "Classifier") -> "Classifier":
    from models.classes.names import is_unnamed, unnamed
    from models.outputs.one_logit import is_one_logit
    from models.outputs.regression import answering_numbers, described
    from models.sources.asked import example_of

    example = example_of(classifier.preprocessing).to(classifier.device)
    model, names = answering_numbers(classifier.model, example), classifier.classes
    if is_one_logit(classifier.model) and not is_unnamed(names):
        raise UserError(
            f"{classifier.name} has one output, and two names ({', '.join(names)}): for the task "
            f"{REGRESSION}, name it once."
        )
    if is_unnamed(names):
        names = unnamed(1 if is_one_logit(classifier.model) else len(names), "output")
    notes = (*_other_notes(classifier, REGRESSION), described(len(names)))
    return replace(classifier, model=model, classes=names, task=REGRESSION, notes=notes)


def _other_notes(classifier: "Classifier", task: str) -> tuple[str, ...]:
    """Those that are not about outputs which are read as those of one class per image."""
    from models.outputs.one_logit import NOTE
    from models.outputs.scores import ONE_SUM, SIGMOID

    of_classes = (SIGMOID, ONE_SUM) if task == MULTI else ("its outputs ", NOTE.partition("{")[0])
    parts = ([p for p in note.split("; ") if not p.startswith(of_classes)] for note in classifier.notes)
    return tuple(filter(None, map("; ".join, parts)))


def require_same_task(classifier: "Classifier", source: "ImageSource") -> None:
    """Raises UserError where the network answers another task than the data asks: `as_asked` was not called,
    or with other data."""
    task = classifier.task or SINGLE
    if task != source.task:
        raise UserError(
            f"{classifier.name} answers {ANSWERS[task]}, and the data has {LABELS[source.task]}: "
            "make both of one task with --task."
        )
