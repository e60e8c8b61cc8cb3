"""Notes: ten writers at once, kills in the middle, what may be said, and the files that come of it."""

import json
import multiprocessing as mp
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from explain.run.people.notes import (
    NOTES,
    UNKNOWN,
    Note,
    add,
    as_table,
    read,
    tags_of,
    write_labels,
    write_table,
)
from explain.run.reader import RunData
from models.data.corrections import corrected, read_corrections
from models.data.folder import FolderSource
from models.errors import UserError

ROOT = Path(__file__).parent.parent


def _write_many(folder: Path, who: int) -> None:
    for i in range(50):
        add(folder, f"{who}/{i}.png", "text", f"said by {who}" + " and more" * (i % 7), by=f"writer {who}")


@pytest.mark.slow
def test_ten_writers_at_once(tmp_path: Path) -> None:
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["pandas", "explain.run.people.notes"])
    writers = [context.Process(target=_write_many, args=(tmp_path, who)) for who in range(10)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 10
    lines = (tmp_path / NOTES).read_text().splitlines()
    assert len(lines) == 500
    assert all(json.loads(line) for line in lines)
    notes = read(tmp_path)
    assert len(notes) == 500
    assert notes["3/6.png"].text == "said by 3" + " and more" * 6
    assert notes["3/6.png"].by == "writer 3"


@pytest.mark.slow
def test_a_writer_that_is_killed_costs_at_most_its_line(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from explain.run.people.notes import add; import itertools, sys\n"
        "for i in itertools.count(): add(Path(sys.argv[1]), f'{i}.png', 'text', 'x' * 1500)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
    while not (tmp_path / NOTES).exists() or (tmp_path / NOTES).stat().st_size < 40_000:
        assert writer.poll() is None
        time.sleep(0.01)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    before = read(tmp_path)
    assert len(before) > 20
    add(tmp_path, "after.png", "text", "still here")  # the lock is free again
    after = read(tmp_path)
    assert after["after.png"].text == "still here"
    assert before.items() <= after.items()


def test_a_torn_line_is_closed_and_passed_over(tmp_path: Path) -> None:
    for i in range(3):
        add(tmp_path, f"{i}.png", "text", "whole")
    path = tmp_path / NOTES
    os.truncate(path, path.stat().st_size - 9)
    assert set(read(tmp_path)) == {"0.png", "1.png"}
    add(tmp_path, "3.png", "text", "whole")
    assert set(read(tmp_path)) == {"0.png", "1.png", "3.png"}
    with path.open("ab") as file:
        file.write(b'[1, 2]\n{"id": 4}\n\xff\xfe\n"text"\n')
    add(tmp_path, "5.png", "tags", ["Blurry", " blurry ", "Dark  Side"])
    assert read(tmp_path)["5.png"].tags == ("blurry", "dark side")
    assert len(read(tmp_path)) == 4


def test_the_last_word_counts(tmp_path: Path) -> None:
    classes = ("red", "green")
    add(tmp_path, "a", "label", "green", "ann", classes)
    add(tmp_path, "a", "tags", ["odd"], "bob")
    add(tmp_path, "a", "label", "red", "cy", classes)
    assert read(tmp_path)["a"] == Note("a", ("odd",), "red", "", "cy", read(tmp_path)["a"].at)
    assert read(tmp_path)["a"].wrong
    add(tmp_path, "a", "label", "", "", classes)
    add(tmp_path, "a", "tags", [])
    assert read(tmp_path) == {}  # all is taken back
    assert read(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("label", "blue", "No class 'blue'"),
        ("mood", "x", "No field 'mood'"),
        ("text", "x" * 2001, "2001 letters"),
        ("tags", ["x" * 41], "At most 12 tags"),
        ("tags", [str(i) for i in range(13)], "At most 12 tags"),
    ],
)
def test_what_cannot_be_said(tmp_path: Path, field: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        add(tmp_path, "a", field, value, classes=("red",))
    assert read(tmp_path) == {}


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written"):
        add(tmp_path / "file", "a", "text", "x")


def test_tables_and_labels(small_run: RunData, pictures: Path, tmp_path: Path) -> None:
    folder, classes = small_run.folder, small_run.classes
    add(folder, "green/1.png", "label", "blue", "ann", classes)
    add(folder, "green/1.png", "text", '=HYPERLINK("x")', "ann")
    add(folder, "red/0.png", "label", UNKNOWN, classes=classes)
    add(folder, "blue/0.png", "tags", ["dark", "odd"])
    add(folder, "not/here.png", "tags", ["dark"])
    notes = read(folder)
    assert tags_of(notes) == {"dark": 2, "odd": 1}
    table = as_table(small_run, notes)
    assert table["id"].tolist() == [
        "blue/0.png",
        "green/1.png",
        "red/0.png",
        "not/here.png",
    ]  # the run's order, strangers last
    assert write_table(small_run, tmp_path / "n.csv") == 4
    back = pd.read_csv(tmp_path / "n.csv", keep_default_na=False)
    assert back["text"].tolist()[1] == '\'=HYPERLINK("x")'  # no spreadsheet takes it for a formula
    assert back["true"].tolist() == ["blue", "green", "red", ""]
    assert write_labels(small_run, tmp_path / "labels.csv") == 2
    source = corrected(FolderSource(pictures), read_corrections(tmp_path / "labels.csv"))
    labels = {item.id: item.label for item in source.items}
    assert labels["green/1.png"] == "blue"
    assert "red/0.png" not in labels
    assert len(labels) == 17
    with pytest.raises(UserError, match="cannot be written"):
        write_table(small_run, pictures / "red" / "0.png" / "n.csv")
