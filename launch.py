"""Vitrine's only entry: serve (default), and the commands of `explain` and `models`.

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

from pathlib import Path
from typing import Annotated

from explain.cli import commands as of_explain
from explain.cli import findings as of_findings
from explain.cli import gaze as of_gaze
from explain.cli import inversion as of_inversion
from explain.cli import models as of_models
from explain.cli import run as run_command
from explain.cli.data_question import AllowData
from explain.cli.models import Device, Weights
from models.errors import UserError

EXTRAS = {"lightning": "train", "lightning.pytorch": "train", "mcp": "mcp"}
"""Packages that are not needed for looking at runs, and what brings them along."""
DEMO = Path(__file__).parent / "dashboard" / "demo"
app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=False,
    help="Why does an image classifier fail? Class by class, with maps of where it looked.",
)


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    """Without a command: open the dashboard on the embedded demo."""
    if context.invoked_subcommand is None:
        serve()


@app.command()
def serve(
    run: Annotated[Path, typer.Option(help="Run folder made by 'run'.")] = DEMO,
    weights: Weights = None,
    host: Annotated[str, typer.Option(help="Address to listen on (default: this machine only).")] = "",
    port: Annotated[
        int | None, typer.Option(help="1 to 65535 (default: the first free one from 7860).")
    ] = None,
    root_path: Annotated[
        str, typer.Option(help="Path or address behind a reverse proxy: /vitrine, or https://name/vitrine.")
    ] = "",
    behind_proxy: Annotated[
        str, typer.Option(help="Address or network of the reverse proxy whose X-Forwarded headers are used.")
    ] = "",
    share: Annotated[bool, typer.Option("--share", help="Create a public link, with a password.")] = False,
    auth: Annotated[
        str,
        typer.Option(
            envvar="VITRINE_AUTH", help="user:password (default: generated when the page is shared)."
        ),
    ] = "",
    public: Annotated[bool, typer.Option("--public", help="No password.")] = False,
    allow_compute: Annotated[
        bool, typer.Option("--allow-compute", help="Visitors may also train, write notes and export.")
    ] = False,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Visitors may only look: no uploads, no live maps.")
    ] = False,
    mcp: Annotated[bool, typer.Option("--mcp", help="Offer MCP tools to agents on this machine.")] = False,
    device: Device = "cpu",
    trainings: Annotated[Path, typer.Option(help="Folder of the Train tab.")] = Path("trainings"),
    against: Annotated[
        list[Path] | None, typer.Option(help="Run of the same images, for Compare; may be repeated.")
    ] = None,
    gaze: Annotated[Path | None, typer.Option(help="Folder of 'gaze evaluate', for the Gaze tab.")] = None,
    gaze_model: Annotated[
        Path | None, typer.Option(help="Checkpoint of 'gaze train' (default: the shipped one).")
    ] = None,
    decoders: Annotated[
        Path | None, typer.Option(help="Folder of 'invert train', for the Inversion tab.")
    ] = None,
    allow_data: AllowData = False,
    open_browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
) -> None:
    """Open the dashboard on a run."""
    from dashboard.server.serving import ServeConfig
    from dashboard.server.serving import serve as start
    from dashboard.server.sharing import Sharing

    sharing = Sharing(host, port, root_path, share, auth, public, allow_compute, read_only, mcp, behind_proxy)
    start(
        ServeConfig(
            run=run,
            sharing=sharing,
            weights=weights,
            device=device,
            trainings=trainings,
            against=tuple(against or ()),
            gaze=gaze,
            gaze_model=gaze_model,
            decoders=decoders,
            allow_data=allow_data,
            open_browser=open_browser,
        )
    )


for command in (
    run_command.run,
    of_explain.export,
    of_explain.report,
    of_explain.explain,
    of_explain.methods,
    of_explain.layers,
    of_explain.filters,
    of_explain.survey,
    of_findings.analyze,
    of_findings.compare,
    of_findings.notes,
    of_models.train,
    of_models.study,
):
    app.command()(command)
app.command("analyse", hidden=True)(of_findings.analyze)  # its name before
app.command("models")(of_models.list_models)
data = typer.Typer(help="Look at data before it is trained on.")
data.command("preview")(of_models.data_preview)
app.add_typer(data, name="data")
app.add_typer(of_gaze.gaze, name="gaze")
app.add_typer(of_inversion.invert, name="invert")


def main() -> None:
    """Run the command line: errors that a person can mend are one line and exit code 2."""
    try:
        app()
    except UserError as error:
        typer.echo(f"vitrine: {error}", err=True)
        sys.exit(2)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (extra := EXTRAS.get(error.name or "")):
            typer.echo(
                f"vitrine: this needs the package {error.name}: pip install 'vitrine-xai[{extra}]'", err=True
            )
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
