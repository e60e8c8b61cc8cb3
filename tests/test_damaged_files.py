"""Files that a disk, a copy, or another program damaged: worked out anew, left out, or said; never a page
that does not open."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from explain.run.engine import run
from explain.run.format import part_files
from explain.run.reader import RunData, open_run
from models.classifier import Classifier
from models.data.folder import FolderSource
from models.errors import UserError
from tests.command import run_command

ROOT = Path(__file__).parent.parent


# -- parts ------------------------------------------------------------------------------------------------


def flip(path: Path, column: str) -> None:
    """Change one byte in the middle of a column's data, as a bad disk or cable does."""
    group = pq.ParquetFile(path).metadata.row_group(0)
    chunk = next(
        group.column(i)
        for i in range(group.num_columns)
        if group.column(i).path_in_schema.split(".list")[0] == column
    )
    begins = min(
        offset for offset in (chunk.data_page_offset, chunk.dictionary_page_offset) if offset is not None
    )
    data = bytearray(path.read_bytes())
    data[begins + chunk.total_compressed_size - 3] ^= 0x10  # of the last page
    path.write_bytes(data)


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "id", "confidence"])
def test_a_damaged_part_is_left_out_said_and_made_again(
    damage: str, tiny: Classifier, pictures: Path, tmp_path: Path
) -> None:
    whole = run(tiny, FolderSource(pictures), tmp_path / "run", ["grad_cam"], batch_size=5, part_rows=5)
    before = open_run(tmp_path / "run").table
    part = part_files(tmp_path / "run")[1]
    data = part.read_bytes()
    if damage in ("cut", "empty", "text"):
        part.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "text": b"a note"}[damage])
    else:
        flip(part, damage)
    opened = open_run(tmp_path / "run")
    assert len(opened.table) == len(before) - 5
    assert (opened.damaged, "1 of 4 files" in opened.unfinished) == (1, True)
    message: list[str] = []
    run(
        tiny,
        FolderSource(pictures),
        tmp_path / "run",
        ["grad_cam"],
        batch_size=5,
        part_rows=5,
        say=message.append,
    )
    again = open_run(tmp_path / "run")
    assert "damaged" in message[0]
    assert (again.damaged, again.unfinished) == (0, "")
    assert part.with_name(part.name + ".damaged").is_file()
    columns = ["id", "label", "pred", "confidence"]
    pd.testing.assert_frame_equal(
        before[columns].sort_values("id", ignore_index=True),
        again.table[columns].sort_values("id", ignore_index=True),
    )
    assert whole.counts == again.manifest.counts


@pytest.mark.parametrize("column", ["thumbnail", "map.grad_cam.pred", "prob"])
def test_damage_that_is_met_at_a_click_is_said(column: str, small_run: RunData) -> None:
    for part in part_files(small_run.folder):
        flip(part, column)
    opened = open_run(small_run.folder)
    asked = {"thumbnail": lambda: opened.thumbnails([0]), "prob": lambda: opened.prob(0)}.get(
        column, lambda: opened.maps("grad_cam", "pred", [0])
    )
    with pytest.raises(UserError, match="damaged"):
        asked()
    again = open_run(small_run.folder)  # without the part that is known by now
    assert again.damaged == 1
    assert again.table["id"].tolist() == opened.table["id"][opened.table["part"] != 0].tolist()


@pytest.mark.parametrize(("column", "command"), [("thumbnail", "report"), ("prob", "analyze")])
def test_a_command_goes_on_without_a_part_whose_damage_it_meets(
    column: str, command: str, small_run: RunData, tmp_path: Path
) -> None:
    part = part_files(small_run.folder)[1]
    flip(part, column)
    done = run_command(command, small_run.folder, *(["--out", tmp_path / "r.html"] * (command == "report")))
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("vitrine: ")]
    assert len(said) == 1
    assert f"'{part}' is damaged" in said[0]
    assert said[0].endswith("Its images are left out.")
    assert "1 of 2 files of the run is damaged and left out" in " ".join(done.stdout.split())


def test_a_run_of_damaged_parts_alone_is_one_line(small_run: RunData) -> None:
    for part in part_files(small_run.folder):
        part.write_bytes(b"x")
    with pytest.raises(UserError, match="damaged"):
        open_run(small_run.folder)


# -- what others left in a folder of ours -------------------------------------------------------------------

DERIVED_FILES = (
    ("analysis.json", "survey.json", "metadata.parquet", "notes.jsonl"),
    ("analysis.parquet", "strongest.parquet"),
    ("contrasts.parquet", "depth.parquet"),
)
"""All files of a group are damaged at once: whether one of them is read depends on none of the others."""


def damaged(path: Path, how: str) -> None:
    data = path.read_bytes() if path.is_file() else b"{}"
    if how == "flipped":
        data = data[: len(data) // 3] + bytes([data[len(data) // 3] ^ 0x10]) + data[len(data) // 3 + 1 :]
    elif how == "others":
        if path.suffix == ".parquet":
            pd.DataFrame({"a": [1, 2]}).to_parquet(path)
        else:
            path.write_text('["a", {"b": null}]')
        return
    path.write_bytes(
        {"cut": data[: len(data) // 2], "empty": b"", "text": b"\x00\xff a note", "flipped": data}[how]
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cut", "empty", "text", "others", "flipped"])
@pytest.mark.parametrize("names", DERIVED_FILES, ids=lambda names: names[0])
def test_with_damaged_files_the_page_opens_and_every_click_is_answered(
    names: tuple[str, ...], how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dashboard.session.context import Context
    from tests.pages import served
    from tests.raw import Visitor

    monkeypatch.setattr("dashboard.components.errors.gallery.CLASSES_A_PAGE", 1)  # pictures are not damaged
    folder = tmp_path / "run"
    shutil.copytree(ROOT / "tests" / "toon_run", folder)
    for name in names:
        damaged(folder / name, how)
    with served(Context(open_run(folder), trainings=tmp_path / "trainings")) as url:
        visitor = Visitor(url)
        answers = [
            visitor.click("vt-table", "class", 2),
            visitor.click("vt-gallery", "lens", "slices"),
            visitor.click("vt-gallery", "lens", "audit"),
            visitor.click("vt-gallery", "open", 0),
            visitor.click("vt-table", "cell", "1,2"),
            visitor.ask(next(d for d in visitor.config["dependencies"] if d["api_name"] == "show")),
        ]
        answers += [
            visitor.ask(e, event={"index": "layer", "value": "features.0"})
            for e in visitor.events("vt-depth", "select")[:1]
        ]
    for answer in answers:
        assert answer["success"] or "damaged" in str(answer["output"]), answer


def test_one_bad_file_hides_no_training(tmp_path: Path) -> None:
    from dashboard.components.listed.training_list import training_list
    from models.training.trained import find_trained

    good = ROOT / "models" / "weights" / "fer_vgg.toon_faces.safetensors"
    for file in (good, good.with_suffix(".csv")):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    for n, about in enumerate(
        (
            "[]",
            "{}",
            '"x"',
            '{"task": 5, "metrics": "x"}',
            '{"metrics": {"test": {"accuracy": "high"}}}',
            "{",
            '{"task": "gaze", "metrics": {"gaze": 1}}',
            '{"training": 3}',
            '{"classes": 3, "metrics": [1]}',
        )
    ):
        save_file({"a": torch.zeros(1)}, tmp_path / f"bad{n}.safetensors", metadata={"vitrine": about})
        (tmp_path / f"bad{n}.csv").write_bytes(
            [b"", b"\xff\xfe", b"a,b\n1", b"epoch,val_accuracy\n1,high\n", b"epoch\nx\n"][n % 5]
        )
    (tmp_path / "cut.safetensors").write_bytes(good.read_bytes()[:100])
    for n, progress in enumerate(
        (
            "[]",
            "{",
            json.dumps({"plan": 3}),
            json.dumps({"plan": {}, "epoch": "x"}),
            json.dumps({"plan": {"recipe": 3}}),
        )
    ):
        (tmp_path / f"half{n}.progress.json").write_text(progress)
    found = find_trained(tmp_path)
    html = training_list([(t.name, t) for t in found], None, [])
    assert good.stem in html
    assert "test" in html


def test_one_bad_file_hides_no_decoder(tmp_path: Path) -> None:
    from dashboard.session.context import Context
    from models.inversion.decoder import load_decoders

    for file in (ROOT / "models" / "weights" / "inversion").glob("*.safetensors"):
        shutil.copy(file, tmp_path)
    for n, about in enumerate(
        (
            '{"task": "inversion"}',
            '{"task": "inversion", "depth": "x", "layer": 3}',
            "[]",
            '{"task": "inversion", "depth": 1, "layer": "a", "network": 3}',
        )
    ):
        save_file({"a": torch.zeros(1)}, tmp_path / f"bad{n}.safetensors", metadata={"vitrine": about})
    (tmp_path / "cut.safetensors").write_bytes(b"\x00" * 20)
    ctx = Context(open_run(ROOT / "tests" / "toon_run"), decoders=tmp_path)
    assert len(ctx.decoder_service.layers) == 5  # one claims to be one
    with ctx.classifier() as classifier:
        assert len(load_decoders(classifier, tmp_path)) == 4


# -- request, manifest and rows that no run writes
# ------------------------------------------------------------

WRONG = {
    "manifest.json": [
        [],
        {"titles": []},
        {"data_classes": 3},
        {"versions": None},
        {"status": 5},
        {"counts": "x"},
        {"data_root": "a\0b"},
        {"preprocessing": []},
        {"images_per_second": "fast"},
        {"command": ["x"]},
    ],
    "request.json": [
        [],
        {"classes": []},
        {"classes": ["a"]},
        {"methods": []},
        {"map_shape": [9, 9]},
        {"map_shape": [0, 1]},
        {"layer": None},
        {"outputs": {"a": "b"}},
        {"bits": "x"},
        {"schema": "x"},
        {"regions": 5},
        {"methods": "grad_cam"},
    ],
}


@pytest.mark.parametrize(
    ("name", "change"), [(n, c) for n, changes in WRONG.items() for c in changes], ids=str
)
def test_a_run_that_is_none_is_one_line(name: str, change: object, small_run: RunData) -> None:
    path = small_run.folder / name
    raw = json.loads(path.read_text())
    path.write_text(json.dumps(raw | change if isinstance(change, dict) else change))
    with pytest.raises(UserError):
        open_run(small_run.folder)


@pytest.mark.parametrize("name", ["manifest.json", "request.json"])
@pytest.mark.parametrize("text", ["[" * 90_000, "{", "3", "null", ""])
def test_json_that_is_none_is_one_line(name: str, text: str, small_run: RunData) -> None:
    (small_run.folder / name).write_text(text)
    with pytest.raises(UserError):
        open_run(small_run.folder)


def test_what_a_newer_version_wrote_is_passed_over(small_run: RunData) -> None:
    for name in ("manifest.json", "request.json"):
        path = small_run.folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | {"from_the_future": {"x": [1]}}))
    assert len(open_run(small_run.folder).table) == len(small_run.table)


@pytest.mark.parametrize(
    ("column", "value"), [("label", 99), ("label", None), ("pred", -3), ("id", None), ("id", "a\0b")]
)
def test_rows_that_no_run_writes_are_a_damaged_part(column: str, value: object, small_run: RunData) -> None:
    import pyarrow as pa

    part = part_files(small_run.folder)[0]
    table = pq.read_table(part)
    at = table.schema.get_field_index(column)
    values = [value, *table[column].to_pylist()[1:]]
    pq.write_table(table.set_column(at, column, pa.array(values, table.schema.field(column).type)), part)
    opened = open_run(small_run.folder)
    assert opened.damaged == 1


def test_an_analysis_of_other_types_is_worked_out_anew(small_run: RunData) -> None:
    from explain.analysis.findings import Findings, analyze

    list(analyze(Findings(small_run)))
    path = small_run.folder / "analysis.json"
    raw = json.loads(path.read_text())
    for fit in ({}, {"flipped": "x"}, [], dict.fromkeys(raw["fit"])):
        path.write_text(json.dumps(raw | {"fit": fit}))
        assert isinstance(Findings(small_run).fit.flipped, float)
    path.write_text("[" * 90_000)
    assert not Findings(small_run).kept


def test_metadata_of_other_types_is_left_out(small_run: RunData) -> None:
    from explain.run.format import METADATA

    ids = small_run.table["id"]
    pd.DataFrame({"id": ids, "nested": [{"a": 1}] * len(ids), "age": 3}).to_parquet(
        small_run.folder / METADATA
    )
    found = open_run(small_run.folder).metadata
    assert found is not None
    assert list(found.columns) == ["age"]


def test_pipes_in_a_run_folder_hang_nothing(small_run: RunData) -> None:
    import os

    from explain.run.people.notes import read

    os.mkfifo(small_run.folder / "notes.jsonl")
    os.mkfifo(small_run.folder / "samples" / "part-00009.parquet")
    (small_run.folder / "analysis.json").unlink(missing_ok=True)
    os.mkfifo(small_run.folder / "analysis.json")
    from explain.analysis.findings import Findings

    opened = open_run(small_run.folder)
    assert opened.damaged == 1
    assert read(small_run.folder) == {}
    assert not Findings(opened).kept
