"""Data that is nearly what `--data` takes: read where an option says how, or refused with what to do."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from explain.run.reader import open_run
from models.data.open import open_data
from models.data.reopen import reopen
from models.errors import UserError
from tests.alpha import FACTORY, alpha_pictures, code_below, told
from tests.archives import png, write_tar
from tests.command import launch, one_line, run_command


def saved(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)
    return path


def test_bytes_of_any_name_are_images_where_the_option_says_so(pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "raw.parquet"
    table = {"img_bytes": [png(3), png(4)], "category": ["a", "b"], "size": [1, 2]}
    pq.write_table(pa.table(table), path)
    with pytest.raises(UserError, match=r"choose one of img_bytes, category, size with --image-col"):
        open_data(str(path))
    source = open_data(str(path), image_col="img_bytes")
    assert [item.label for item in source.items] == ["a", "b"]
    assert [source.load(i).getpixel((0, 0)) for i in range(2)] == [(3,) * 3, (4,) * 3]
    assert [item.id for item in source.items] == ["raw.parquet/img_bytes/0", "raw.parquet/img_bytes/1"]
    again = reopen(source.root, source.items[1].id)
    assert again is not None
    assert again.getpixel((0, 0)) == (4,) * 3
    paths = {"image": ["red/0.png"], "label": ["red"], "hash": [b"\xff\xfe"]}
    pq.write_table(pa.table(paths), pictures / "paths.parquet")
    assert open_data(str(pictures / "paths.parquet")).items[0].id == "red/0.png"
    with pytest.raises(UserError, match=r"column 'hash' of .* holds bytes that are no text"):
        open_data(str(pictures / "paths.parquet"), label_col="hash")


def test_an_archive_of_class_folders_is_to_be_unpacked(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {"cat/0.png": png(1), "dog/0.png": png(2)})
    with pytest.raises(
        UserError, match=r"2 images in folders \(cat, dog ...\).*unpack it.*folder with --data"
    ):
        open_data(str(path))


def test_parts_beside_a_table_are_no_classes(pictures: Path, tmp_path: Path) -> None:
    root = tmp_path / "d"
    root.mkdir()
    (pictures / "red").rename(root / "train_images")
    (pictures / "blue").rename(root / "test_images")
    assert open_data(str(root)).classes == ("test_images", "train_images")  # nothing says what else they are
    for table in ("sample_submission.csv", "train.csv"):
        (root / table).write_text("id,label\n0,x\n")
    with pytest.raises(
        UserError, match=r"named like parts.*: if train.csv holds the labels, give --data '.*train"
    ):
        open_data(str(root))
    (pictures / "green").rename(root / "train_station")
    (root / "zebra").mkdir()
    assert len(open_data(str(root)).classes) == 4
    for name in ("train", "test"):
        saved(tmp_path / "flat" / name / "x.npy", np.zeros((4, 4), np.uint8))
    (tmp_path / "flat" / "train.csv").write_text("id,label\nx,1\n")
    with pytest.raises(UserError, match=r"if train.csv holds the labels, give --data"):
        open_data(str(tmp_path / "flat"))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_arrays_with_channels_first_are_named(channels: int, tmp_path: Path) -> None:
    saved(tmp_path / "d" / "a" / "x.npy", np.zeros((channels, 6, 8), np.uint8))
    shape = rf"a/x.npy: an array of shape \({channels}, 6, 8\): an image is .*\(h, w, 3\).*moveaxis"
    with pytest.raises(UserError, match=shape):
        open_data(str(tmp_path / "d"))


@pytest.mark.slow
def test_a_class_that_the_network_lacks_is_left_out(tmp_path: Path) -> None:
    """As if its folder were not there; counted, and in the answer of `check` too."""
    data, mapping = alpha_pictures(tmp_path), tmp_path / "map.csv"
    words = ("--model", f"{code_below(tmp_path)}:{FACTORY[4]}", *told(4), "--classes", mapping)
    once = ("--methods", "grad_cam", "--force")
    mapping.write_text("red, 2\ngreen, 1\nblue, 0\n")
    launch("run", *words, "--data", data, "--out", tmp_path / "without", *once)
    (data / "yellow").mkdir()
    for i in range(2):
        Image.new("RGB", (30, 30), "yellow").save(data / "yellow" / f"{i}.png")
    refused = one_line("run", *words, "--data", data, "--out", tmp_path / "run", *once)
    assert "or 'data class,' to leave it out" in refused
    mapping.write_text("red, 2\ngreen, 1\nblue, 0\nyellow,\n")
    said = launch("run", *words, "--data", data, "--out", tmp_path / "run", *once)
    assert "14 images of 4 classes" in said
    assert "left out by --classes: 2 images of yellow (2)" in said
    one, two = open_run(tmp_path / "without"), open_run(tmp_path / "run")
    assert one.table["id"].tolist() == two.table["id"].tolist()
    assert one.manifest.request.outputs == two.manifest.request.outputs == {"red": 2, "green": 1, "blue": 0}
    np.testing.assert_array_equal([one.prob(row) for row in range(12)], [two.prob(row) for row in range(12)])
    checked = run_command("check", *words, "--data", data)
    assert "left out by --classes: 2 images of yellow (2)" in checked.stdout
