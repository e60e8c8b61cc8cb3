"""What a network answers, and what the data asks: one class of an image, or any number of labels."""

from dataclasses import replace
from typing import TYPE_CHECKING

from models.errors import UserError

if TYPE_CHECKING:
    from models.classifier import Classifier
    from models.data.source import ImageSource

SINGLE, MULTI = "single-label", "multi-label"
TASKS = {
    SINGLE: "one class per image: softmax, or one output for two classes",
    MULTI: "any number of labels per image: a sigmoid for each output",
}


def require_task(text: str) -> str:
    """Raises UserError for a name that is no task; empty: found out by data and network."""
    if text in ("", *TASKS):
        return text
    raise UserError(f"No task '{text[:40]}': choose from {', '.join(TASKS)}.")


def asked_task(source: "ImageSource", told: str = "") -> str:
    """The task that was `told`, otherwise that of the data."""
    return told or (MULTI if source.multi_label else SINGLE)


def as_asked(classifier: "Classifier", source: "ImageSource", told: str = "") -> "Classifier":
    """The classifier for the task that was `told`, otherwise for that of the data. Raises UserError where the
    network's own file names another one, and where its outputs cannot be read so."""
    task = asked_task(source, told)
    if classifier.task and classifier.task != task and not told:
        raise UserError(
            f"{classifier.name} answers {_answer(classifier.task)}, as its file says, and the data has "
            f"{_labels(source)}: read it with --task {SINGLE} or --task {MULTI}."
        )
    return with_task(classifier, task)


def as_named(classifier: "Classifier") -> "Classifier":
    """The classifier for the task that its own file names, where that is not one class per image."""
    return with_task(classifier, MULTI) if classifier.task == MULTI else classifier


def with_task(classifier: "Classifier", task: str) -> "Classifier":
    """The classifier whose network answers so. Raises UserError where its outputs cannot be read so."""
    from models.multi_label import answering_each_class, is_multi_label, require_one_of_all
    from models.outputs import ONE_SUM, SIGMOID
    from models.sources.asked import example_of

    several = is_multi_label(classifier.model)
    if task == SINGLE and several:
        raise UserError(f"{classifier.name} was opened for several labels per image: open it again.")
    if task == SINGLE:
        require_one_of_all(classifier.model)
    if task == SINGLE or several:
        return replace(classifier, task=task)
    example = example_of(classifier.preprocessing).to(classifier.device)
    are_logits = classifier.metadata.get("outputs") == "logits"
    model, note = answering_each_class(classifier.model, example, are_logits)
    before = (
        n.replace(SIGMOID, "").replace(ONE_SUM, "").strip("; ") for n in classifier.notes
    )  # which is of a softmax
    return replace(classifier, model=model, task=task, notes=(*filter(None, before), note))


def require_same_task(classifier: "Classifier", source: "ImageSource") -> None:
    """Raises UserError where one has any number of labels per image and the other has not: `as_asked` was
    not called, or with other data."""
    if (classifier.task == MULTI) != source.multi_label:
        raise UserError(
            f"{classifier.name} answers {_answer(classifier.task)}, and the data has {_labels(source)}: "
            "make both of one task with --task."
        )


def _answer(task: str) -> str:
    return "with any number of labels" if task == MULTI else "with one class"


def _labels(source: "ImageSource") -> str:
    return "any number of labels per image" if source.multi_label else "one label per image"
