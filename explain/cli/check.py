"""The command check, and the same look before a run."""

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explain.cli.check_json import json_answer, looked_at, written_order
from explain.cli.matching import ClassMapping, open_and_match
from explain.cli.options import (
    ClassNames,
    DataOfTask,
    LabeledColumns,
    Network,
    option_groups,
)
from explain.cli.output import say
from models.inputs.options import NO_OPTIONS, PreprocessingOptions

if TYPE_CHECKING:
    from explain.run.preflight.matched import Matched
    from models.data.source import ImageSource


Expected = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Accuracy that you know of, such as 0.91 (default: none)."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object; everything else goes to standard error.")
]
NewClasses = Annotated[
    Path | None,
    typer.Option(
        help="New file for the order of the outputs that is better beyond doubt, which --classes reads "
        "(default: not written)."
    ),
]


@option_groups
def check(
    *,
    network: Network,
    data: DataOfTask,
    columns: LabeledColumns,
    classes: ClassMapping = None,
    class_names: ClassNames = None,
    expect: Expected = None,
    as_json: AsJson = False,
    write_classes: NewClasses = None,
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Check preprocessing and class order: predict a sample, and compare with other ways to prepare the
    images (BGR, other normalization, other class order).

    Prints the accuracy, the chance level, and the option to add if another way is clearly better. The exit
    code is 1 if something is wrong."""
    if write_classes:
        from models.classes.mapping import require_new

        require_new(write_classes)
    if as_json:
        with redirect_stdout(sys.stderr):
            answer, refused = json_answer(
                network, data, columns, classes, class_names, preprocessing, expect, write_classes
            )
        say(json.dumps(answer))
        if refused is not None:
            raise refused
        raise typer.Exit(int(answer["wrong"]))
    matched, source = open_and_match(network, data, columns, classes, class_names, preprocessing)
    from explain.analysis.verdict import format_text, wrong

    found = looked_at(matched, source)
    say("\n".join(format_text(found, expect)))
    if write_classes:
        say(f"classes    {written_order(found, write_classes)}")
    if wrong(found, expect):
        raise typer.Exit(1)


def stop_where_wrong(matched: "Matched", source: "ImageSource", out: Path, again: bool, force: bool) -> None:
    """Before a run: `require_right_reading` of a sample. A run that is resumed, and not begun
    `again`, has been looked at."""
    from explain.analysis.verdict import require_right_reading
    from explain.run.format import REQUEST
    from explain.run.preflight.check import NoAnswers

    if not again and (out / REQUEST).is_file():
        return
    try:
        found = looked_at(matched, source, decisive=True)
    except NoAnswers as error:  # the run counts them all
        say(f"sample     {error}")
    else:
        require_right_reading(found, force, say)
