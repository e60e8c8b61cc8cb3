"""A run folder made by others: whatever its texts hold, the page shows them as text, or the folder is refused
in one line."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dashboard.components.errors.audit import audit
from dashboard.components.header import header
from dashboard.components.network.depth_view import depth_panel
from dashboard.tabs.errors import pieces
from dashboard.tabs.errors_state import LENSES, first_view
from dashboard.tabs.gaze import numbers
from explain.analysis.findings import Findings
from explain.export.report import report
from explain.features.top_activations import stored_counts
from explain.run.reader import open_run
from models.errors import UserError
from tests.markup import runs_nothing

ROOT = Path(__file__).parent.parent
EVIL = '"><img src=x onerror="document.title=1"><script>1</script>'


def texts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of every text in JSON."""
    if isinstance(value, str):
        yield path
    for key, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from texts(inner, (*path, key))


def planted(value: Any, path: tuple[Any, ...]) -> Any:
    if not path:
        return f"{value}{EVIL}"
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = planted(value[path[0]], path[1:])
    return copy


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evil") / "run"
    shutil.copytree(ROOT / "tests" / "toon_run", folder)
    return folder


def page_of(folder: Path) -> list[str]:
    """Everything that the Errors tab, the line above it and a report make of a folder."""
    run = open_run(folder)
    findings, view = Findings(run), first_view(run)
    made = [header(run), report(findings, per_class=1)]
    for lens in LENSES:
        made += pieces(findings, replace(view, lens=lens))
    return [*made, audit(findings, replace(view, by=run.manifest.request.statistics[-1]))]


@pytest.mark.slow
@pytest.mark.parametrize("file", ["request.json", "manifest.json"])
def test_texts_of_a_run_stay_texts(file: str, evil: Path) -> None:
    """A run is refused for one evil text, or the page shows it among all those that are not refused."""
    before = (evil / file).read_text()
    all_evil, shown, notices = json.loads(before), 0, list[str]()
    try:
        for path in texts(json.loads(before)):
            (evil / file).write_text(json.dumps(planted(json.loads(before), path)))
            try:
                header(open_run(evil))
            except UserError as error:
                notices.append(escape(str(error)))  # as Gradio is given its text
            else:
                all_evil, shown = planted(all_evil, path), shown + 1
        (evil / file).write_text(json.dumps(all_evil))
        made = page_of(evil)
    finally:
        (evil / file).write_text(before)
    assert shown > len(notices)
    assert any("&lt;img src=x" in piece for piece in map(str, made))
    assert all(map(runs_nothing, [*made, *notices]))


def test_statistics_of_maps_stay_texts(evil: Path) -> None:
    path = evil / "contrasts.parquet"
    before = pq.read_table(path)
    try:
        names = pa.array([f"{name}{EVIL}" for name in before["statistic"].to_pylist()])
        pq.write_table(before.set_column(before.column_names.index("statistic"), "statistic", names), path)
        run = open_run(evil)
        shown = audit(Findings(run), first_view(run))
        assert runs_nothing(shown)
        assert "&lt;img src=x" in shown
    finally:
        pq.write_table(before, path)


@pytest.mark.parametrize("text", [EVIL, None, [1], {"a": 1}])
def test_numbers_of_a_survey_are_numbers(text: Any, evil: Path) -> None:
    before = (evil / "survey.json").read_text()
    try:
        (evil / "survey.json").write_text(json.dumps(json.loads(before) | {"moved": text}))
        about = stored_counts(open_run(evil))
        assert about is None  # as if there were none: it can be made again
        assert runs_nothing(depth_panel([], None, 1, "", about, ""))
    finally:
        (evil / "survey.json").write_text(before)


def test_texts_of_a_gaze_folder_and_of_a_gaze_model_stay_texts() -> None:
    import pandas as pd

    from explain.gaze.metrics import METRICS

    row = {"kind": EVIL, "title": EVIL} | dict.fromkeys(METRICS, 0.5)

    class Model:
        run = None
        about: dict[str, Any] = {"metrics": {"gaze": {"part": EVIL, "images": EVIL, "table": [row]}}}  # noqa: RUF012

    opened = open_run(Path(__file__).parent / "toon_run")
    assert runs_nothing(numbers(Model(), opened))  # type: ignore[arg-type]

    class Run:
        manifest: dict[str, Any] = {"data": EVIL, "part": EVIL, "variant": EVIL}  # noqa: RUF012
        images, summary = pd.DataFrame(), pd.DataFrame([row])

        def network_against_chance(self) -> None:
            return None

    class Folder:
        run = Run()

    assert runs_nothing(numbers(Folder(), opened))  # type: ignore[arg-type]


@pytest.mark.slow
def test_thumbnails_are_small_jpegs(evil: Path) -> None:
    """EPS would start Ghostscript, a large PNG would take the memory."""
    import io

    from PIL import Image

    from explain.analysis.duplicates import near_duplicates
    from explain.run.thumbnails import open_thumbnail

    large, picture = io.BytesIO(), io.BytesIO()
    Image.new("1", (13_000, 13_000)).save(large, "PNG")
    Image.new("RGB", (2000, 20)).save(picture, "JPEG")
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    for data in (
        b"",
        b"x",
        eps,
        large.getvalue(),
        picture.getvalue(),
        picture.getvalue()[:300],
        b"x" * 2_000_000,
    ):
        with pytest.raises(UserError, match=r"is no small JPEG \(.*\): run it again"):
            open_thumbnail(data)
    path = evil / "samples" / "part-00000.parquet"
    before = pq.read_table(path)
    try:
        column = pa.array([eps] * len(before), pa.binary())
        pq.write_table(before.set_column(before.column_names.index("thumbnail"), "thumbnail", column), path)
        run = open_run(evil)
        near_duplicates(run)
        with pytest.raises(UserError, match="no small JPEG"):
            run.thumbnail_image(int(run.ok.index[0]))
    finally:
        pq.write_table(before, path)
