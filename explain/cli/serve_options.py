"""Options of `serve`, which `launch.py` defines: it alone may start the dashboard."""

from pathlib import Path
from typing import Annotated

import typer

from explain.cli.run_urls import run_path

RunsFolder = Annotated[
    Path | None,
    typer.Argument(
        parser=run_path,
        metavar="FOLDER",
        help="Run folder, or its URL, such as s3://bucket/runs/first, or a folder of runs, which opens as a "
        "list (default: the included demo).",
    ),
]
DemoOrRun = Annotated[
    Path,
    typer.Option(
        parser=run_path,
        metavar="PATH",
        help="The same as FOLDER (default: the included demo).",
        show_default=False,
    ),
]
Host = Annotated[str, typer.Option(help="Address to listen on (default: 127.0.0.1, this machine only).")]
Port = Annotated[int | None, typer.Option(help="Port, 1 to 65535 (default: the first free one from 7860).")]
RootPath = Annotated[
    str,
    typer.Option(
        help="Path or URL of the page behind a reverse proxy: /vitrine, or https://name/vitrine "
        "(default: none)."
    ),
]
BehindProxy = Annotated[
    str,
    typer.Option(
        help="Address or network of the reverse proxy whose X-Forwarded headers are trusted (default: none)."
    ),
]
Share = Annotated[
    bool,
    typer.Option(
        "--share", help="Create a public link with a password, valid while the server runs (at most 7 days)."
    ),
]
Auth = Annotated[
    str,
    typer.Option(
        envvar="VITRINE_AUTH",
        help="Login as user:password (default: generated when the page is shared).",
    ),
]
Public = Annotated[bool, typer.Option("--public", help="Require no password.")]
AllowCompute = Annotated[
    bool, typer.Option("--allow-compute", help="Let visitors train, write notes and export.")
]
ReadOnly = Annotated[
    bool, typer.Option("--read-only", help="Let visitors view only: no uploads, no new maps.")
]
Mcp = Annotated[
    bool, typer.Option("--mcp", help="Offer tools to agents on this machine (Model Context Protocol).")
]
MeasureTrust = Annotated[
    bool,
    typer.Option(
        "--measure-trust",
        help="Measure in the background how far the run's maps can be trusted, on 60 images (default: on "
        "request).",
    ),
]
Faces = Annotated[
    str,
    typer.Option(
        help="Faces of uploaded photos: auto (crop to the largest, or to the one that is clicked), or off "
        "(default: auto for networks about faces, off for others)."
    ),
]
Trainings = Annotated[Path, typer.Option(help="Folder of the Train tab.")]
Against = Annotated[
    list[Path] | None,
    typer.Option(
        parser=run_path,
        metavar="PATH",
        help="Run folder, or URL, of the same images, for the Compare tab. Repeat for several (default: "
        "none; for the included demo the run of its repaired network).",
    ),
]
GazeFolder = Annotated[
    Path | None, typer.Option(help="Folder of 'gaze evaluate', for the Gaze tab (default: none).")
]
GazeModel = Annotated[
    Path | None, typer.Option(help="Checkpoint of 'gaze train' (default: the included model).")
]
DecoderFolder = Annotated[
    Path | None,
    typer.Option(help="Folder of 'invert train', for the Inversion tab (default: the included decoders)."),
]
OpenBrowser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")]
