"""The commands `models` and `data preview`. Typer calls them; heavy packages are imported inside, so that
`--help` answers at once."""

from pathlib import Path
from typing import Annotated

import typer

from explain.cli.options import AugmentStrengths, Balance, BalanceBy, LabeledColumns, Seed, option_groups
from explain.cli.output import say
from models.inputs.options import NO_OPTIONS, PreprocessingOptions


def list_models(
    checkpoints: Annotated[
        list[Path] | None,
        typer.Argument(help="Checkpoints of 'train' to compare (default: list the networks to choose from)."),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="CSV file for the comparison (default: none).")] = None,
) -> None:
    """List the networks; or compare trained checkpoints: what each costs, and how accurate it is."""
    from models.files.csv_files import write_csv
    from models.registry import listed
    from models.training.compare import class_difference, class_measure, format_text, side_by_side
    from models.training.trained import open_trained

    if not checkpoints:
        say("\n".join(f"{name:22} {what}" for name, what in listed()))
        return
    trained = [open_trained(path) for path in checkpoints]
    table = side_by_side(trained)
    say(format_text(table).T.to_string())
    if len(trained) > 1 and (measure := class_measure(trained)):
        say(f"\n{measure}\n" + class_difference(trained, measure).round(3).to_string())
    if csv:
        write_csv(table, csv, index=True)


@option_groups
def data_preview(
    *,
    data: Annotated[str, typer.Argument(help="Labeled images, as --data of 'train'.")],
    out: Annotated[Path, typer.Option(help="Image file to write.")] = Path("preview.png"),
    model: Annotated[str, typer.Option(help="Network whose input size and crop are shown.")] = "fer_vgg",
    augment: AugmentStrengths = "default",
    balance: Balance = "none",
    balance_by: BalanceBy = "",
    columns: LabeledColumns,
    seed: Seed = 0,
    preprocessing: PreprocessingOptions = NO_OPTIONS,
) -> None:
    """Show three training images of every class before and after augmentation, and how often an epoch uses
    each class."""
    from models.data.hints import near_classes
    from models.registry import spec
    from models.training.augment import Augmentation
    from models.training.preview import format_text, preview, sheet
    from models.training.recipe import Recipe

    recipe = Recipe(balance=balance, balance_by=balance_by, augmentation=Augmentation.parse(augment))
    parts = columns.open_parts(data, None)
    per_epoch = format_text(parts.training, recipe)
    fed = preprocessing.apply(spec(model).preprocessing)
    classes = preview(parts.training, fed, recipe.augmentation, seed=seed)
    for c in classes:
        say(f"{c.count:8} {c.name}")
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet(classes).save(out)
    sources = filter(None, (parts.training, parts.validation, parts.test))
    for note in filter(None, (parts.note, near_classes(*sources))):
        say(note)
    say(f"{per_epoch}\ninput      {fed.described}\nimage      {out}")
