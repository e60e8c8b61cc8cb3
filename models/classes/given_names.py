"""Names for outputs whose checkpoint has none: `--class-names`, and ImageNet's where the data uses its
WordNet ids."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from models.classes.imagenet import imagenet_names, wordnet_ids
from models.classes.names import is_unnamed, names_by_data
from models.classes.names_file import names_in
from models.classifier import Classifier
from models.counts import counted
from models.errors import UserError
from models.outputs.one_logit import is_one_logit

if TYPE_CHECKING:
    from torch import nn

IMAGENET = "imagenet"


def read_names(text: str) -> tuple[str, ...]:
    """`imagenet`; or a file: text with one name a line, in the order of the outputs, JSON (`id2label`, a
    list, or class -> number) or CSV (`name`, or `index` and `name`). Raises UserError for anything else, and
    for repeated names."""
    if text == IMAGENET:
        return imagenet_names()
    path = Path(text).expanduser()
    try:
        names = names_in(path.read_text(encoding="utf-8-sig"), path)
    except UserError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--class-names {text}: no text file ({type(error).__name__}); give one with a class name per "
            f"line, in the order of the outputs, a .csv, a .json, or the word {IMAGENET}."
        ) from error
    must_differ(names, f"'{path}'")
    return names


def given_in(text: str) -> str:
    """Where the names of `--class-names` stand, for messages: the file's name."""
    return f"--class-names {text}" if text == IMAGENET else Path(text).name


def must_differ(names: Sequence[str], where: str) -> None:
    """Raises UserError where two outputs have the same name."""
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise UserError(
            f"{where} names class '{twice[0][:60]}' {Counter(names)[twice[0]]} times: every output needs a "
            "name of its own."
        )


def must_name_all(names: Sequence[str], model: "nn.Module", outputs: int, where: str) -> None:
    """Raises UserError where names and outputs differ in number; one output that says yes or no has two."""
    if len(names) == outputs:
        return
    given = f"{len(names)} class name{'' if len(names) == 1 else 's'}"
    if is_one_logit(model):
        raise UserError(
            f"{given} for the one output of {where}: give two, of the negative class first; or one, with "
            "--task regression (task=)."
        )
    raise UserError(f"{given} for {counted(outputs, 'output')} of {where}: name every output once.")


def named_by_data(classifier: Classifier, data: Sequence[str]) -> tuple[Classifier, str]:
    """The classifier with ImageNet's names where its 1000 outputs have none and the data's classes are
    ImageNet's WordNet ids; and one line about it, empty where nothing changed."""
    ids = wordnet_ids() if is_unnamed(classifier.classes) and len(classifier.classes) == 1000 else ()
    if not ids or not set(data) <= set(ids):
        return classifier, ""
    note = (
        "the data's classes are WordNet ids: the 1000 outputs are taken for ImageNet's, in ImageNet's order"
    )
    return replace(classifier, classes=imagenet_names(), wordnet_ids=ids), note


def named_by_matching(classifier: Classifier, outputs: Mapping[str, int]) -> Classifier:
    """The classifier with the data's names for outputs without names, where one class of the data is one
    output (`outputs`: class of the data -> output, -1: none)."""
    if not is_unnamed(classifier.classes):
        return classifier
    names = names_by_data(classifier.classes, outputs)
    return classifier if names == classifier.classes else replace(classifier, classes=names, renamed=True)
