"""The command `data crop-faces`. Typer calls it; heavy packages are imported inside, so that `--help` answers
at once."""

from pathlib import Path
from typing import Annotated

import typer

from explain.cli.faces import FaceDetector, FaceMargin
from explain.cli.options import OutFolder
from explain.cli.output import progress_bar, say
from models.interrupts import listen


def crop_faces(
    folder: Annotated[
        Path, typer.Argument(help="Folder of photos; folders below it, such as those of classes, are kept.")
    ],
    out: OutFolder,
    face_detector: FaceDetector = "lbp",
    face_margin: FaceMargin = None,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole/--skip",
            help="Photos without a face: write them whole, or leave them out (default: leave them out).",
            show_default=False,
        ),
    ] = False,
) -> None:
    """Crop every photo of a folder to its largest face.

    Crops are PNG files of the same names; nothing is written into FOLDER.
    A command that was stopped is resumed by the same command."""
    from models.faces.crop import FaceRequest
    from models.faces.folder import FolderCrops

    listen()
    crops = FolderCrops(folder, out, FaceRequest("auto", face_detector, face_margin), whole)
    if crops.note:
        say(crops.note)
    try:
        with progress_bar("crop-faces") as on_progress:
            for problem in crops.steps(on_progress):
                say(problem)
    except KeyboardInterrupt:
        say(f"\nStopped. {crops.counts}. Run the same command to resume.")
        raise typer.Exit(130) from None
    say(f"{crops.counts}\nWritten to {out}.")
