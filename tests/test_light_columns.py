"""The light columns of a run in one file: the same table as from the parts, and never that of other parts."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from benchmarks.synthetic import Faults, synthetic_run
from dashboard.components import cards as _cards
from explain.render import map_png, normalize
from explain.run import column_cache, light_columns
from explain.run.format import COLUMNS, MANIFEST, part_files
from explain.run.reader import open_run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of five parts, from which the file is written."""
    monkeypatch.setattr(light_columns, "FEWEST", 5)
    synthetic_run(tmp_path / "run", 100, 3, Faults(flipped=0.1), part_rows=20)
    return tmp_path / "run"


def plain(folder: Path) -> pd.DataFrame:
    """The parts, one after the other."""
    parts = [pq.read_table(part).to_pandas() for part in part_files(folder)]
    return pd.concat([part.assign(part=i, row=range(len(part))) for i, part in enumerate(parts)])


def test_the_file_gives_the_table_of_the_parts(folder: Path) -> None:
    first, again = open_run(folder).table, open_run(folder).table
    assert (folder / COLUMNS).is_file()
    pd.testing.assert_frame_equal(first, again)
    expected = plain(folder).reset_index(drop=True)[list(again.columns)]
    pd.testing.assert_frame_equal(again, expected, check_dtype=False)


def test_the_file_is_read_instead_of_the_parts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_run(folder)
    monkeypatch.setattr("explain.run.reader.read_part", lambda *given: pytest.fail("read a part"))
    assert len(open_run(folder).table) == 100


@pytest.mark.parametrize("how", ["changed", "gone", "new", "touched"])
def test_other_parts_are_read(how: str, folder: Path) -> None:
    open_run(folder)
    last = part_files(folder)[-1]
    table = pq.read_table(last)
    if how == "gone":
        last.unlink()
    elif how == "touched":
        os.utime(last, ns=(0, 0))
    else:
        confidence = np.full(len(table), 0.25, np.float32)
        ids = [f"{how}{i}" for i in range(len(table))]
        at = table.schema.get_field_index("confidence")
        table = table.set_column(at, "confidence", [confidence]).set_column(0, "id", [ids])
        pq.write_table(table, last if how == "changed" else last.with_name("part-00009.parquet"))
    expected = plain(folder).reset_index(drop=True)
    for _ in range(2):  # from the parts, then from the new file
        found = open_run(folder).table
        pd.testing.assert_frame_equal(found, expected[list(found.columns)], check_dtype=False)


@pytest.mark.parametrize("damage", ["cut", "text", "label", "id", "other columns"])
def test_a_file_that_is_none_is_written_again(damage: str, folder: Path) -> None:
    before = open_run(folder).table
    file = folder / COLUMNS
    data, table = file.read_bytes(), pq.read_table(file)
    if damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "text":
        file.write_bytes(b"a note")
    elif damage == "other columns":
        pq.write_table(table.drop_columns(["loss"]), file)
    else:
        value = {"label": [7] * len(table), "id": ["a\0b"] * len(table)}[damage]
        pq.write_table(table.set_column(table.schema.get_field_index(damage), damage, [value]), file)
    for _ in range(2):
        pd.testing.assert_frame_equal(open_run(folder).table, before)


def test_no_file_of_a_run_that_has_not_ended_or_has_damaged_parts(folder: Path) -> None:
    manifest = (folder / MANIFEST).read_bytes()
    (folder / MANIFEST).unlink()
    assert len(open_run(folder).table) == 100
    (folder / MANIFEST).write_bytes(manifest)
    part_files(folder)[0].write_bytes(b"")
    opened = open_run(folder)
    assert (len(opened.table), opened.damaged) == (80, 1)
    assert not (folder / COLUMNS).exists()


def test_columns_that_are_read_ahead_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_cache, "_columns", column_cache._Columns())
    run, names = open_run(folder), ["thumbnail", "map.layer_cam.pred", "map.layer_cam.pred.scale"]
    run.read_ahead([3, 25, 30], names)  # of the first and the second part
    monkeypatch.setattr(column_cache, "_read", lambda *given: pytest.fail("read again"))
    run.read_ahead([0, 39], names)
    for part in part_files(folder)[:2]:
        for name in names:
            assert column_cache.column(part, name, run.stamp).equals(pq.read_table(part)[name])
    assert run.maps("layer_cam", "pred", [30, 3]).shape == (2, 7, 7)


@pytest.mark.parametrize("shared", [False, True])
def test_cards_of_many_parts_are_those_of_one_after_the_other(
    shared: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the cache holds no more than the parts that are read together; each column is read once."""
    run = open_run(folder)
    wrong = run.ok.index[~run.ok["correct"]][:6].tolist()
    groups = [[90, 3, 41], [], wrong, [22, 7, 99, 63]]
    expected = [
        [_cards.strips(run, [[row]], "layer_cam", "both", False)[0][0] for row in group] for group in groups
    ]
    _cards._CARDS.clear()  # or they would be those that are kept
    found = _cards.strips(run, groups, "layer_cam", "both", False)
    assert found == expected
    for card, row in zip(found[2], wrong, strict=True):
        for target in ("pred", "label"):
            assert map_png(normalize(run.maps("layer_cam", target, [row])[0])) in card
    kept, reads = column_cache._read, Counter[tuple[Path, str]]()
    monkeypatch.setattr(_cards, "AT_ONCE", 2)
    monkeypatch.setattr(column_cache, "_columns", fresh := column_cache._Columns())
    fresh._kept = column_cache.LRUCache(10, lambda column: 1)  # two parts, five columns of each
    monkeypatch.setattr(
        column_cache,
        "_read",
        lambda path, names, stamp: (reads.update((path, n) for n in names), kept(path, names, stamp))[1],
    )
    one_after_the_other = [_cards.cards(run, group, "layer_cam", "both", shared) for group in groups]
    reads.clear()
    fresh._kept.clear()
    _cards._CARDS.clear()
    assert _cards.strips(run, [[90, 3, 41, 22, 7, 99, 63]], "layer_cam", "both", False)
    assert set(reads.values()) == {1}
    _cards._CARDS.clear()
    assert _cards.strips(run, groups, "layer_cam", "both", shared) == one_after_the_other


def test_pictures_and_maps_are_stored_without_a_dictionary(folder: Path) -> None:
    group = pq.read_metadata(part_files(folder)[0]).row_group(0)
    columns = {c["path_in_schema"]: c for c in group.to_dict()["columns"]}
    assert columns["label"]["has_dictionary_page"]
    for name in ("thumbnail", "map.layer_cam.pred.list.element", "prob.list.element"):
        assert not columns[name]["has_dictionary_page"]
        assert columns[name]["statistics"] is None
