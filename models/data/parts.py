"""The three splits of a training, from data that has all of them, some, or none."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from models.counts import counted
from models.data.corrections import Corrected, must_fit, read_corrections
from models.data.holdout import split_off
from models.data.open import open_data
from models.data.source import ImageSource, NoSuchPart, joined
from models.data.tables.votes import VoteColumns
from models.errors import UserError
from models.outputs.task_names import AFFECT, MULTI, REGRESSION, SINGLE

LABELS_AS = {"classes": SINGLE, MULTI: MULTI, REGRESSION: REGRESSION}
"""Task of a recipe -> how its labels are read; as they show for others."""


@dataclass(frozen=True)
class Parts:
    """`test` is None where the data has no test split; `note`: one line on what was held out and
    corrected."""

    training: ImageSource
    validation: ImageSource
    test: ImageSource | None
    note: str = ""


def open_parts(
    spec: str,
    image_col: str | None = None,
    label_col: str | None = None,
    limit: int | None = None,
    task: str = "",
    labels: Path | None = None,
    votes: VoteColumns | None = None,
) -> Parts:
    """The data after `--data` in its three splits; `limit` reduces train only. `labels`: corrected labels
    (`models.data.corrections`), applied before a validation split is held out of train. `task`: of a recipe;
    where it is empty and one split shows several labels of an image, or numbers, all are read so. `votes`: as
    of `open_data`. Raises UserError."""
    if labels and task == AFFECT:
        raise UserError(
            f"--labels {labels} corrects the columns of a table, which the task {task} does not name: train "
            f"with --task {REGRESSION} --label-col valence,arousal, or leave --labels out."
        )
    corrections = read_corrections(labels) if labels else None
    made: list[Corrected] = []

    def open_split(part: str, labels_as: str = LABELS_AS.get(task, "")) -> ImageSource:
        at_most, kind = limit if part == "train" else None, "affect" if task == "affect" else "classes"
        source = open_data(
            spec, part, image_col, label_col, at_most, task=kind, labels_as=labels_as, votes=votes
        )
        if corrections is None:
            return source
        made.append(Corrected(source, corrections))
        return made[-1]

    parts = parts_of(open_split)
    found = {part.task for part in (parts.training, parts.validation, parts.test) if part}
    for richer in (REGRESSION, MULTI):  # a split may happen to show whole numbers, or one label each
        if richer in found and len(found) > 1:
            parts = parts_of(lambda part, task=richer: open_split(part, task))  # type: ignore[misc]
            break
    return _with_corrections(parts, must_fit(made, corrections)) if corrections else parts


def _with_corrections(parts: Parts, lost: str) -> Parts:
    """Add the corrections of validation and test to the note, which has those of train."""
    others = [
        f"{part.name}: {part.summary}"
        for part in (parts.validation, parts.test)
        if isinstance(part, Corrected) and part.differs
    ]
    return replace(parts, note=joined(parts.note, *others, lost))


def parts_of(open_split: Callable[[str], ImageSource]) -> Parts:
    """Train, validation and test by their names; without a validation split, one is held out of train.

    Raises UserError where two splits are the same images, or a split has classes that train lacks.
    """
    training, test, note = open_split("train"), _if_there(open_split, "test"), ""
    validation = _if_there(open_split, "validation")
    if validation is None:
        training, validation = split_off(training, "validation")
        note = joined(training.note, f"validation: {counted(len(validation), 'image')} held out of train")
    elif _place(training) == _place(validation):
        raise UserError(
            f"{training.name}: train and validation are the same images; training needs two parts that "
            "differ."
        )
    if test and _place(test) in (_place(validation), _place(training)):
        test = None  # what was trained or chosen on is no test
    if len(training) < 2 or len(validation) < 1:
        raise UserError(
            f"{training.name} has {counted(len(training), 'image')}, {validation.name} {len(validation)}: "
            "add images."
        )
    for part in (validation, test):
        if part and (unknown := [c for c in part.classes if c not in training.classes]):
            raise UserError(
                f"{part.name} has classes that {training.name} lacks: {', '.join(unknown[:5])}; "
                f"train has {', '.join(training.classes[:8])}."
            )
    note = joined(note or training.note, *(_own_note(part, training) for part in (validation, test) if part))
    return Parts(training, validation, test, note)


def _own_note(part: ImageSource, training: ImageSource) -> str:
    """The notes of a split that train does not have, without those on corrections."""
    note = part.source.note if isinstance(part, Corrected) else part.note
    own = [note for note in note.split("; ") if note and note not in training.note.split("; ")]
    return f"{part.name}: {'; '.join(own)}" if own else ""


def _if_there(open_split: Callable[[str], ImageSource], name: str) -> ImageSource | None:
    try:
        return open_split(name)
    except NoSuchPart:
        return None


def _place(source: ImageSource) -> tuple[str, str]:
    return source.root, source.fingerprint()
