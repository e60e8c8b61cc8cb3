"""Which output of the network each class of the data is, and what is said about it before a run."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from explain.formatting import be, counted
from explain.run.engine import match
from explain.run.preflight.check import DOUBT, preflight
from models.classes.given_names import named_by_data, named_by_matching
from models.classes.mapping import read_mapping
from models.classes.names import names_by_data
from models.classes.order import ORDERS, UnclearOrder
from models.data.hints import near_classes, seen_in_training
from models.data.source import Subset
from models.errors import UserError
from models.faces.hint import not_cropped
from models.measures.chance import p_of_chance

if TYPE_CHECKING:
    from models.classifier import Classifier
    from models.data.source import ImageSource

MOST_NOTES = 12  # matched classes that are named one by one


@dataclass(frozen=True)
class Matched:
    """A classifier that knows which output each class of the data is, and the images of the classes that are
    not left out. `mapping` and `order` are arguments of `explain.run.engine.run`; `notes` are lines to print
    before the pass."""

    classifier: "Classifier"
    source: "ImageSource"
    mapping: dict[str, int] | None
    order: str
    notes: list[str]


def data_line(source: "ImageSource") -> str:
    """The images in one line."""
    what = f"of {counted(len(source.classes), 'class')}"
    if source.regression:
        what = f"with the number{'s' * (len(source.classes) > 1)} {', '.join(source.classes[:MOST_NOTES])}"
    note = f"{source.name}: {counted(len(source), 'image')} {what}; {source.note}"
    return note.rstrip("; ")


def matched_to(classifier: "Classifier", source: "ImageSource", classes: Path | None) -> Matched:
    """The classifier with the names that `--classes` or the data gives its outputs. Raises UserError where
    classes do not match."""
    order, settled = str(classes) if classes and str(classes) in ORDERS else "", ""
    if order and source.regression:
        raise UserError(f"--classes {order} orders classes, and the data has numbers: give a file, or none.")
    file = read_mapping(classes, classifier.names_from) if classes and not order else None
    source, left_out = _without(source, file.left_out(source.classes) if file else ())
    classifier, renamed = named_by_data(classifier, source.classes)
    mapping = file.outputs(source.classes, classifier.classes, classifier.names_from) if file else None
    try:
        matching = match(classifier, source, mapping, order)
    except UnclearOrder as unclear:
        if mapping:  # an order would take the place of its lines
            raise
        order, settled = _settled(classifier, source, unclear)
        matching = match(classifier, source, mapping, order)
    outputs = dict(zip(source.classes, matching.outputs, strict=True))
    if order == "sorted":
        named = names_by_data(classifier.classes, outputs)
        classifier = replace(classifier, classes=named, renamed=True)
    classifier = named_by_matching(classifier, outputs)
    notes = [
        left_out,
        renamed,
        settled,
        *_notes_on_matching(matching.notes, "outputs" if source.regression else "classes"),
        *_notes_on_data(classifier, source),
    ]
    return Matched(classifier, source, mapping, order, [note for note in notes if note])


def _without(source: "ImageSource", names: tuple[str, ...]) -> tuple["ImageSource", str]:
    """The images of all other classes, and one line that counts those that are left out."""
    if not names:
        return source, ""
    if source.regression:
        raise UserError(f"--classes leaves out {', '.join(names)}: name the other columns with --label-col.")
    kept = np.flatnonzero([item.label not in names for item in source.items])
    if not len(kept):
        raise UserError(f"--classes leaves out every image ({', '.join(names[:6])}): keep one class.")
    rest = Subset(source, kept)
    rest.classes = tuple(name for name in source.classes if name not in names)
    counts = Counter(item.label for item in source.items)
    shown = ", ".join(f"{name} ({counts[name]:,})" for name in names)
    return rest, f"left out by --classes: {counted(len(source) - len(kept), 'image')} of {shown}"


def _settled(classifier: "Classifier", source: "ImageSource", unclear: "UnclearOrder") -> tuple[str, str]:
    """The order of the classes that the images themselves show, and one line about it. Raises `unclear` where
    they do not show it beyond doubt."""
    found = {}
    for order in unclear.orders:
        outputs = match(classifier, source, None, order).outputs
        found[order] = preflight(classifier, source, outputs, order=order)
    best = max(found, key=lambda order: found[order].evaluation.accuracy)
    e, rest = found[best].evaluation, [order for order in found if order != best]
    others = [t for order in rest for t in found[order].tried if t.words == ("--classes", best)]
    if p_of_chance(e) > DOUBT / 10 or len(others) < len(rest) or any(t.p > DOUBT for t in others):
        raise unclear
    worse = "".join(f", {100 * found[order].evaluation.accuracy:.0f} % with '{order}'" for order in rest)
    return best, (
        f"order of the classes: '{best}', with which {100 * e.accuracy:.0f} % of "
        f"{counted(found[best].images, 'image')} {be(found[best].images)} right{worse}; --classes {best} "
        "says so"
    )


def _notes_on_matching(notes: list[str], what: str) -> list[str]:
    lines = [f"{what}: {note}" for note in notes[:MOST_NOTES] or ["all matched by equal names"]]
    if len(notes) > MOST_NOTES:
        lines.append(f"and {len(notes) - MOST_NOTES} more: {', '.join(notes[MOST_NOTES:])}")
    return lines


def _notes_on_data(classifier: "Classifier", source: "ImageSource") -> list[str]:
    """How images are read, and what may be wrong with the data; empty lines where nothing is."""
    one = f"Only one class ({source.classes[0]}): its errors are shown, but no comparison between classes"
    return [
        one if len(source.classes) == 1 and not source.regression else "",
        *source.read_for(classifier.preprocessing).reading,
        "" if source.regression else near_classes(source),
        seen_in_training(source, classifier.metadata),
        not_cropped(source, classifier.domain),
    ]
