"""Images within tar shards and Parquet tables: each is read, found again by its id, and never taken for
another file; what is damaged or not understood is refused in one line."""

import io
import tarfile
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from explain.run.engine import run
from explain.run.images import original
from explain.run.reader import open_run
from models.classifier import Classifier
from models.data.images import UnreadableImage
from models.data.open import open_data
from models.data.packed.parquet_images import ParquetImages
from models.data.reopen import reopen
from models.data.source import ImageSource
from models.errors import UserError
from tests.archives import png, write_parquet, write_tar
from tests.command import launch


def greys(source: ImageSource) -> list[int]:
    return [int(np.asarray(source.load(i))[0, 0, 0]) for i in range(len(source))]


def labels(source: ImageSource) -> list[str]:
    return [item.label for item in source.items]


# -- shards ------------------------------------------------------------------------------------------------


def test_shards_are_read_in_place(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for k in range(2):
        members = {}
        for i in range(3):
            members[f"./a/{i}.PNG"] = png(10 * k + i)
            members[f"./a/{i}.cls"] = f"{i}\r\n".encode()
        write_tar(tmp_path / "s" / f"shard-{k}.tar", members)
    (tmp_path / "s" / "classes.txt").write_bytes("\ufeffcrane, bird\r\ndog\r\ncat\r\n".encode())
    source = open_data(str(tmp_path / "s"))
    assert [item.id for item in source.items] == [
        f"shard-{k}.tar/a/{i}.png" for k in (0, 1) for i in range(3)
    ]
    assert labels(source) == ["crane, bird", "dog", "cat"] * 2
    assert source.classes == ("cat", "crane, bird", "dog")
    assert greys(source) == [0, 1, 2, 10, 11, 12]
    assert source.note == "2 shards"
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == ["classes.txt", "shard-0.tar", "shard-1.tar"]
    assert len(open_data(str(tmp_path / "s" / "shard-1.tar"))) == 3


def test_what_shards_leave_out_is_counted(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "x.tar",
        [
            ("1.png", png(1)),
            ("1.json", b'{"label": "cat", "size": 3}'),
            ("1.npy", b"a mask"),
            ("2.png", png(2)),
            ("3.json", b'{"label": "dog"}'),
            ("1.png", png(9)),
            ("4.png", png(4)),
            ("4.json", b'{"label": 7}'),
            ("5.mp3", b"x"),
        ],
    )
    source = open_data(str(path))
    assert (labels(source), greys(source)) == (["cat", "7"], [1, 4])
    assert source.note == (
        "1 shard; 1 key without an image left out; 1 image without a label left out; 1 member that is in "
        "a shard again left out (the first: 1.png); 1 file not read, it is no picture of a known format "
        "(.mp3 1)"
    )


def test_the_same_image_under_two_labels_is_named(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for k, label in enumerate((b"cat", b"dog")):
        members = {"1.png": png(1), "1.cls": label, "2.png": png(2 + k), "2.cls": label}
        write_tar(tmp_path / "s" / f"{k}.tar", members)
    assert "1 image under different labels in different shards (0.tar/1.png is cat and dog)" in (
        open_data(str(tmp_path / "s")).note
    )


def test_one_of_several_images_is_named(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "x.tar", {"1.png": png(1), "1.seg.png": png(2), "1.cls": b"a", "1.txt": b"b c"}
    )
    with pytest.raises(UserError, match=r"several images \(\.png, \.seg\.png\).*--image-col"):
        open_data(str(path))
    assert greys(open_data(str(path), image_col="seg.png")) == [2]
    assert labels(open_data(str(path), image_col="png", label_col="txt")) == ["b c"]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (b"", "is no tar archive, or is cut off"),
        (b"x" * 2000, "is no tar archive, or is cut off"),
        (bytes(10240), "holds no images: its shards are empty"),
        ("cut", "is no tar archive, or is cut off"),
        ("claim", "is no tar archive, or is cut off"),
        ("long", "is no tar archive, or is cut off"),
        ("negative", "is no tar archive, or is cut off"),
        ("label", r"holds 1 image and no label for any.*beside the images are \.txt.*--label-col"),
    ],
)
def test_shards_that_cannot_be_used(made: bytes | str, message: str, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {"1.png": png(), "1.txt": b"a caption"})
    claim = tarfile.TarInfo("1.png")
    claim.size = 3 * 2**30
    name = tarfile.TarInfo("name")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 3 * 2**30
    back = tarfile.TarInfo("1.png")
    back.size = -1024
    contents = {
        "negative": tarfile.TarInfo("0.png").tobuf() * 3 + back.tobuf(tarfile.GNU_FORMAT) + bytes(1024),
        "cut": path.read_bytes()[:600],
        "claim": claim.tobuf() + bytes(512),
        "long": name.tobuf() + bytes(512),
        "label": path.read_bytes(),
    }
    path.write_bytes(contents[made] if isinstance(made, str) else made)
    with pytest.raises(UserError, match=message):
        open_data(str(path))


def test_compressed_shards_and_wrong_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(b"x")
    with pytest.raises(UserError, match=r"is compressed: decompress it to a \.tar first"):
        open_data(str(tmp_path / "x.tar.gz"))
    path = write_tar(tmp_path / "x.tar", {"1.png": png(), "1.cls": b"2"})
    (tmp_path / "classes.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match=r"has the label '2', and 2 names are beside it"):
        open_data(str(path))
    (tmp_path / "classes.txt").write_text("a\n\nb\n")
    with pytest.raises(UserError, match=r"Line 2 of '.*classes.txt' is empty"):
        open_data(str(path))


def test_an_archive_beside_folders_of_classes_is_not_the_data(pictures: Path) -> None:
    write_tar(pictures / "all.tar", {"1.png": png(), "1.cls": b"2"})
    source = open_data(str(pictures))
    assert len(source) == 18
    assert source.note == "1 file not read, it is no picture of a known format (.tar 1)"


# -- Parquet -----------------------------------------------------------------------------------------------


def test_parquet_of_images(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "x.parquet",
        [(png(i), f"{i}.png", i % 2) for i in range(50)],
        ["zebra", "ant"],
        age=[float(i) for i in range(50)],
    )
    source = open_data(str(path))
    assert source.classes == ("ant", "zebra")
    assert labels(source)[:3] == ["zebra", "ant", "zebra"]
    assert [item.id for item in source.items][:2] == ["x.parquet/0.png", "x.parquet/1.png"]
    assert greys(source) == list(range(50))
    order = np.random.default_rng(0).permutation(50)
    assert [np.asarray(source.load(int(i)))[0, 0, 0] for i in order] == order.tolist()
    assert source.metadata is not None
    assert source.metadata["age"].tolist() == list(range(50))


def test_parquet_is_read_by_several_threads(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", [(png(i), None, "a") for i in range(90)])
    source, found = open_data(str(path)), {}

    def read(part: range) -> None:
        for i in part:
            found[i] = int(np.asarray(source.load(i))[0, 0, 0])

    threads = [threading.Thread(target=read, args=(range(k, 90, 3),)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: i for i in range(90)}


def test_rows_of_parquet_that_cannot_be_used(tmp_path: Path) -> None:
    rows = [
        (png(), "../x.png", 0),
        (png(), "/etc/x.png", -1),
        (None, None, 1),
        (b"", None, 1),
        (png(), "", None),
    ]
    source = open_data(str(write_parquet(tmp_path / "x.parquet", rows, ["crane", "crane", "dog"])))
    assert source.classes == ("crane (0)", "crane (1)", "dog")  # two classes of one name stay two
    assert [item.id for item in source.items] == ["x.parquet/0", "x.parquet/2", "x.parquet/3"]
    assert "2 rows without a label left out; no image of class dog" in source.note
    for i in (1, 2):
        with pytest.raises(UnreadableImage, match="the row holds no bytes of an image"):
            source.load(i)


def test_parquet_that_cannot_be_used(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", [(png(), None, 5)], ["a", "b"])
    with pytest.raises(UserError, match="has the label 5, and its schema names 2 classes"):
        open_data(str(path))
    with pytest.raises(UserError, match=r"has no column 'foo': choose one of label with --label-col"):
        open_data(str(path), label_col="foo")
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["label"]).append_column("foo", pa.array([1])), path)
    with pytest.raises(UserError, match=r"choose one of foo with --label-col"):
        open_data(str(path))
    pq.write_table(table.append_column("mask", table["image"]), path)
    with pytest.raises(UserError, match=r"2 columns of images: choose one of image, mask with --image-col"):
        open_data(str(path))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="cannot be read as a table"):
        open_data(str(path))


def test_each_column_of_images_is_found_again(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "x.parquet", [(png(1), "a.png", "x")])
    masks = pa.array([{"bytes": png(2), "path": "a.png"}])
    pq.write_table(pq.read_table(path).append_column("mask", masks), path)
    for column, grey in (("image", 1), ("mask", 2)):
        source = open_data(str(path), image_col=column)
        assert source.items[0].id == f"x.parquet/{column}/a.png"
        again = reopen(source.root, source.items[0].id)
        assert again is not None
        assert again.getpixel((0, 0)) == (grey,) * 3 == source.load(0).getpixel((0, 0))


def test_a_table_of_paths_is_still_one(pictures: Path) -> None:
    pd.DataFrame({"image": ["red/0.png"], "label": ["red"]}).to_parquet(pictures / "t.parquet")
    assert open_data(str(pictures / "t.parquet")).items[0].id == "red/0.png"
    assert len(open_data(str(pictures))) == 18


def test_a_cell_that_unpacks_to_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.data.packed.members.MAX_BYTES", 1000)
    path = write_parquet(tmp_path / "x.parquet", [(bytes(2000), None, "a"), (png(3), None, "a")])
    source = open_data(str(path))
    with pytest.raises(UnreadableImage, match=r"at most 0 MB are read within an archive"):
        source.load(0)
    assert np.asarray(source.load(1))[0, 0, 0] == 3
    monkeypatch.setattr("models.data.packed.parquet_images.MAX_BYTES", 1)
    with pytest.raises(UserError, match="hold more than fits in memory"):
        ParquetImages(path)


# -- splits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["{0}-00000-of-00001.parquet", "data/{0}-0.parquet", "{0}/x.parquet"])
def test_splits_are_never_mixed(form: str, tmp_path: Path) -> None:
    for k, part in enumerate(("train", "test")):
        rows = [(png(100 * k + i), None, i) for i in range(2)]
        write_parquet(tmp_path / "d" / form.format(part), rows, ["a", "b"])
    (tmp_path / "d" / "README.md").write_text("x")
    assert (open_data(str(tmp_path / "d")).name, greys(open_data(str(tmp_path / "d")))) == (
        "d/test",
        [100, 101],
    )
    assert greys(open_data(str(tmp_path / "d"), "train")) == [0, 1]
    with pytest.raises(UserError, match="has no split 'validation': it has test, train"):
        open_data(str(tmp_path / "d"), "validation")


def test_files_of_other_classes_and_of_no_split_are_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "d" / "a.parquet", [(png(), None, 0)], ["a", "b"])
    write_parquet(tmp_path / "d" / "b.parquet", [(png(), None, 0)], ["b", "a"])
    with pytest.raises(UserError, match=r"other names of the classes in column 'label' than 'a\.parquet'"):
        open_data(str(tmp_path / "d"))
    (tmp_path / "s").mkdir()
    for name in ("train-0", "test-0", "more"):
        write_tar(tmp_path / "s" / f"{name}.tar", {"1.png": png(), "1.cls": b"a"})
    with pytest.raises(UserError, match=r"files of splits, and 'more.tar' of none"):
        open_data(str(tmp_path / "s"))


# -- a run, and its images again ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_a_run_finds_its_images_again(kind: str, tiny: Classifier, pictures: Path, tmp_path: Path) -> None:
    files = sorted(pictures.rglob("*.png"))
    path = tmp_path / "packed" / f"x.{kind}"
    if kind == "tar":
        path.parent.mkdir()
        texts = {f"{f.parent.name}{f.stem}.cls": f.parent.name.encode() for f in files}
        write_tar(path, texts | {f"{f.parent.name}{f.stem}.png": f.read_bytes() for f in files})
    else:
        write_parquet(path, [(f.read_bytes(), f.name, f.parent.name) for f in files])
    source = open_data(str(path))
    run(tiny, source, tmp_path / "run", ["grad_cam"])
    made = open_run(tmp_path / "run")
    assert made.manifest.counts == {"ok": 18, "failed": 0}
    for row in range(18):
        with Image.open(files[row]) as file:
            again = original(made, row)
            assert again is not None
            assert again.tobytes() == file.tobytes()
    launch("export", tmp_path / "run", "--out", tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("originals/*/*.png"))) > 3
    launch("data", "preview", path, "--out", tmp_path / "preview.png")
    if kind == "tar":  # a shard that changed is another one
        path.write_bytes(b"")
    else:
        path.unlink()
    assert original(made, 0) is None


# -- what an id may lead to --------------------------------------------------------------------------------


@pytest.mark.parametrize("trusted", [True, False])
def test_a_name_within_an_archive_is_never_a_path(trusted: bool, tmp_path: Path) -> None:
    """Not in the tar, and not by an id of a run folder."""
    (tmp_path / "data").mkdir()
    (tmp_path / "x.png").write_bytes(png(1))
    (tmp_path / "data" / "y.png").write_bytes(png(1))
    evil = [("../x.png", png(2)), ("../x.cls", b"a"), ("/x.png", png(2)), ("a/../y.png", png(2))]
    shard = write_tar(tmp_path / "data" / "x.tar", [*evil, ("ok.png", png(3)), ("ok.cls", b"a")])
    source = open_data(str(shard))
    assert [item.id for item in source.items] == ["x.tar/ok.png"]
    assert "4 members whose name leads out of the archive left out (the first: ../x.png)" in source.note
    write_parquet(tmp_path / "data" / "x.parquet", [(png(2), "../../x.png", "a")])
    root = str(tmp_path / "data")
    for name in (
        "x.tar/../x.png",
        "x.tar/../y.png",
        "x.tar/../../x.png",
        "x.tar//y.png",
        "x.tar/",
        "x.tar/y.png",
    ):
        assert reopen(root, name, trusted=trusted) is None, name
    for name in ("x.parquet/../x.png", "x.parquet/1", "x.parquet/-1", "x.parquet/", "x.parquet/label/0"):
        assert reopen(root, name, trusted=trusted) is None, name
    for name, grey in (("x.tar/ok.png", 3), ("x.parquet/0", 2)):
        found = reopen(root, name, trusted=trusted)
        assert found is not None
        assert found.getpixel((0, 0)) == (grey,) * 3


@pytest.mark.parametrize("kind", ["tar", "parquet"])
def test_an_archive_out_of_the_root_is_for_ones_own_data(kind: str, tmp_path: Path) -> None:
    for folder in ("data", "secret"):
        (tmp_path / folder).mkdir()
    secret = tmp_path / "secret" / f"x.{kind}"
    if kind == "tar":
        write_tar(secret, {"1.png": png(), "1.cls": b"a"})
    else:
        write_parquet(secret, [(png(), "1.png", "a")])
    (tmp_path / "data" / f"link.{kind}").symlink_to(secret)
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "secret")
    for name in (
        f"../secret/x.{kind}/1.png",
        f"{secret}/1.png",
        f"link.{kind}/1.png",
        f"linked/x.{kind}/1.png",
    ):
        assert reopen(str(tmp_path / "data"), name, trusted=False) is None, name
        assert reopen(str(tmp_path / "data"), name, trusted=True) is not None, name


def test_an_image_within_a_shard_is_opened_as_a_file_is(tmp_path: Path) -> None:
    """EXIF and bit depth included."""
    exif, buffer, deep = Image.Exif(), io.BytesIO(), io.BytesIO()
    exif[0x0112] = 6
    Image.new("RGB", (20, 10)).save(buffer, "JPEG", exif=exif)
    values = np.linspace(0, 4095, 240).reshape(12, 20).astype(np.uint16)
    Image.fromarray(values).save(deep, "PNG")
    path = write_tar(
        tmp_path / "x.tar",
        {"1.jpg": buffer.getvalue(), "1.cls": b"a", "2.png": deep.getvalue(), "2.cls": b"a"},
    )
    source = open_data(str(path))
    assert source.load(0).size == (10, 20)
    assert source.bits == 12
    assert any("use 12 bits" in line for line in source.reading)
    assert np.abs(np.asarray(source.load(1))[..., 0] - values * (255 / 4095)).max() <= 0.51
    again = reopen(source.root, source.items[0].id, exif="ignore")
    assert again is not None
    assert again.size == (20, 10)
