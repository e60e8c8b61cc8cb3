"""The entry of the command line: `serve` (default), and the commands of `explain.cli`.

Heavy packages are imported inside the commands, so that `--help` answers at once.
"""

import os
import sys

if sys.version_info < (3, 11):
    sys.exit(
        f"Vitrine needs Python 3.11 or newer, this is {sys.version.split()[0]}: start it with a newer "
        "python3."
    )

try:
    import typer
except ModuleNotFoundError:
    sys.exit(
        "Vitrine's packages are not installed here: run 'make run', or 'pip install -r requirements.txt' "
        "first."
    )

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from explain.cli.check import check
from explain.cli.crop_faces import crop_faces
from explain.cli.explain import explain
from explain.cli.export import export, report
from explain.cli.faces import FaceDetector
from explain.cli.findings import analyze, compare, notes
from explain.cli.gaze import gaze as gaze_commands
from explain.cli.inversion import invert as inversion_commands
from explain.cli.models import data_preview, list_models
from explain.cli.network import filters, layers, methods, top_activations
from explain.cli.options import AllowData, Device, RunWeights
from explain.cli.run import run as run_command
from explain.cli.run_urls import with_runs
from explain.cli.serve_options import (
    Against,
    AllowCompute,
    Auth,
    BehindProxy,
    DecoderFolder,
    DemoOrRun,
    Faces,
    GazeFolder,
    GazeModel,
    Host,
    Mcp,
    MeasureTrust,
    OpenBrowser,
    Port,
    Public,
    ReadOnly,
    RootPath,
    RunsFolder,
    Share,
    Trainings,
)
from explain.cli.threshold import Label, Positive, Threshold
from explain.cli.training import study, train
from explain.cli.trust import trust
from explain.cli.usage import UsageError, as_user_error
from models import __version__
from models.errors import UserError
from models.extras import EXTRAS, missing_package

Version = Annotated[
    bool,
    typer.Option(
        "--version",
        callback=lambda wanted: _print_version(wanted),
        is_eager=True,
        help="Print the version of Vitrine and exit.",
    ),
]
DEMO = Path(__file__).parent / "dashboard" / "demo"
REPAIRED = DEMO.with_name("demo_repaired")
"""Runs that come with Vitrine: of a network with a fault, and of the same network without it, which Compare
has beside it."""
app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=False,
    help="Explain why an image classifier fails, class by class, with maps of what it responds to.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vitrine {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def default(context: typer.Context, version: Version = False) -> None:
    """Without a command: open the dashboard on the included demo run."""
    name = context.invoked_subcommand
    if name is None:
        serve()
    elif name in EARLIER_NAMES:
        typer.echo(f"note: the command '{name}' is now called '{EARLIER_NAMES[name]}'", err=True)


def serve(
    folder: RunsFolder = None,
    run: DemoOrRun = DEMO,
    weights: RunWeights = None,
    host: Host = "",
    port: Port = None,
    root_path: RootPath = "",
    behind_proxy: BehindProxy = "",
    share: Share = False,
    auth: Auth = "",
    public: Public = False,
    allow_compute: AllowCompute = False,
    read_only: ReadOnly = False,
    mcp: Mcp = False,
    device: Device = "cpu",
    trainings: Trainings = Path("trainings"),
    against: Against = None,
    gaze: GazeFolder = None,
    gaze_model: GazeModel = None,
    decoders: DecoderFolder = None,
    allow_data: AllowData = False,
    threshold: Threshold = "",
    positive: Positive = "",
    label: Label = "",
    measure_trust: MeasureTrust = False,
    faces: Faces = "",
    face_detector: FaceDetector = "lbp",
    open_browser: OpenBrowser = True,
) -> None:
    """Open the dashboard on a run, or on a folder of runs."""
    from dashboard.server import serving
    from dashboard.server.sharing import Sharing

    run = _opened(folder, run)
    sharing = Sharing(host, port, root_path, share, auth, public, allow_compute, read_only, mcp, behind_proxy)
    config = serving.ServeConfig(run, sharing, weights, device, trainings, open_browser=open_browser)
    beside = tuple(against or ((REPAIRED,) if run == DEMO else ()))
    config = replace(config, against=beside, gaze=gaze, gaze_model=gaze_model, decoders=decoders)
    config = replace(config, allow_data=allow_data, threshold=threshold, positive=positive, label=label)
    serving.serve(replace(config, measure_trust=measure_trust, faces=faces, face_detector=face_detector))


def _opened(folder: Path | None, run: Path) -> Path:
    """What `serve` opens. Raises UserError where two are named."""
    if folder is not None and run != DEMO:
        raise UserError(f"'{folder}' and --run '{run}' both name what is opened: give only one of them.")
    return folder or run


COMMANDS: dict[str, Callable[..., None]] = {
    "serve": serve,
    "run": run_command,
    "check": check,
    "export": export,
    "report": report,
    "explain": explain,
    "methods": methods,
    "layers": layers,
    "filters": filters,
    "top-activations": top_activations,
    "trust": trust,
    "analyze": analyze,
    "compare": compare,
    "notes": notes,
    "train": train,
    "study": study,
    "models": list_models,
}
EARLIER_NAMES = {"analyse": "analyze", "survey": "top-activations"}
"""Names of commands in earlier versions, which still work -> names today."""
for name, command in COMMANDS.items():
    app.command(name)(with_runs(command))
for name, current in EARLIER_NAMES.items():
    app.command(name, hidden=True)(with_runs(COMMANDS[current]))
data = typer.Typer(help="Look at data before training on it, and prepare it.", no_args_is_help=True)
data.command("preview")(data_preview)
data.command("crop-faces")(crop_faces)
app.add_typer(data, name="data")
app.add_typer(gaze_commands, name="gaze")
app.add_typer(inversion_commands, name="invert")


def refuse_empty(words: Sequence[str]) -> None:
    """Raises UserError for an empty value, as a script with an unset variable gives: as a path it would be
    the current folder."""
    for before, word in zip(("", *words), words, strict=False):
        name = word.removesuffix("=") if word.startswith("--") and word.endswith("=") else ""
        if not word or name:
            option = name or (before if before.startswith("--") else "an argument")
            raise UserError(f"The value of {option} is empty: give a value, or leave it out.")


def _without_damaged_parts() -> int | None:
    """What the command returns. Where it finds a part of a run damaged after it has opened the run, that is
    said in one line, and the command begins again without the part."""
    from explain.run.damaged_parts import is_damaged

    said = set[Path]()
    while True:
        try:
            return app(standalone_mode=False)
        except UserError as error:
            part = getattr(error, "path", None)
            if part is None or part in said or not is_damaged(part):
                raise
            said.add(part)
            typer.echo(f"vitrine: {error} Its images are left out.", err=True)


def main() -> None:
    """Run the command line. A `UserError`, and what Typer refuses, is one line and exit code 2."""
    try:
        refuse_empty(sys.argv[1:])
        sys.exit(_without_damaged_parts())
    except UserError as error:
        typer.echo(f"vitrine: {error}", err=True)
        sys.exit(2)
    except UsageError as error:
        if (refused := as_user_error(error, sys.argv[1:])) is not None:
            typer.echo(f"vitrine: {refused}", err=True)
        sys.exit(2)
    except typer.Abort:
        typer.echo("Aborted.", err=True)
        sys.exit(1)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
            typer.echo(f"vitrine: {missing_package(error.name)}", err=True)
            sys.exit(2)
        if os.environ.get("VITRINE_DEBUG"):
            raise
        typer.echo(
            f"vitrine: unexpected {type(error).__name__}: {str(error)[:200]} (set VITRINE_DEBUG=1 to see "
            "where).",
            err=True,
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
