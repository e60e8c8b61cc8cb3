"""Arrays, TIFF pages, DICOM and HEIC: what is read is read by its values, and the rest is refused by its
name."""

import io
import struct
import sys
import zlib
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageFile

from explain.methods.single_image import read_picture
from models.data.folder import FolderSource
from models.data.images import ImageFacts, UnreadableImage, about_image, is_image, open_image
from models.data.open import open_data
from models.errors import UserError
from models.preprocessing import Preprocessing
from tests.alpha import code_below, told
from tests.command import launch, run_command
from tests.conftest import COLORS

RNG = np.random.default_rng(0)


def saved(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)
    return path


def header(shape: tuple[int, ...], kind: str) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": kind, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


# -- arrays ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 8), (6, 8, 1), (6, 8, 3)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_bytes(shape: tuple[int, ...], order: str, tmp_path: Path) -> None:
    values = np.asarray(RNG.integers(0, 256, shape).astype(np.uint8), order=order)  # type: ignore[call-overload]
    found = open_image(saved(tmp_path / "x.npy", values))
    expected = np.broadcast_to(values.reshape(6, 8, -1), (6, 8, 3))
    assert np.array_equal(np.asarray(found), expected)
    assert np.array_equal(np.asarray(open_image((tmp_path / "x.npy").read_bytes())), expected)


@pytest.mark.parametrize("kind", ["<u2", ">u2"])
def test_deep_arrays_are_scaled_by_the_bits_of_the_data(kind: str, tmp_path: Path) -> None:
    values = RNG.integers(0, 1024, (6, 8, 3)).astype(kind)
    values[0, 0, 0] = 1023
    saved(tmp_path / "d" / "a" / "dark.npy", values)
    saved(tmp_path / "d" / "a" / "bright.npy", values * 4)
    source = FolderSource(tmp_path / "d")
    assert source.bits == 12
    for index, each in ((0, values * 4), (1, values)):
        assert np.abs(np.asarray(source.load(index)) - each * (255 / 4095)).max() <= 0.51
    assert about_image(tmp_path / "d" / "a" / "dark.npy") == ImageFacts(10, rounded=True)
    alone = read_picture(tmp_path / "d" / "a" / "dark.npy", Preprocessing(bits=12))
    assert np.abs(np.asarray(alone) - values * (255 / 4095)).max() <= 0.51


def png_of_16_bits(values: np.ndarray) -> bytes:
    """A PNG of (h, w, 2 to 4) uint16, written by the standard: Pillow writes none."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    h, w, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    about = struct.pack(">IIBBBBB", w, h, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", about)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_colors_of_16_bits_are_said_to_be_rounded(channels: int, tmp_path: Path) -> None:
    values = RNG.integers(0, 65536, (6, 8, channels)).astype(np.uint16)
    (tmp_path / "d" / "a").mkdir(parents=True)
    (tmp_path / "d" / "a" / "deep.png").write_bytes(png_of_16_bits(values))
    Image.new("RGB", (8, 6)).save(tmp_path / "d" / "a" / "plain.png")
    assert about_image(tmp_path / "d" / "a" / "deep.png") == ImageFacts(rounded=True)
    assert about_image(tmp_path / "d" / "a" / "plain.png") == ImageFacts()
    source = FolderSource(tmp_path / "d")
    assert source.bits == 0
    assert source.reading == [
        "1 of 2 files looked at holds more than 8 bits a channel: rounded to 256 levels"
    ]
    if channels > 2:  # as the upper 8 bits, which is what docs/inputs.md says
        assert np.array_equal(np.asarray(source.load(0)), values[..., :3] >> 8)


@pytest.mark.slow
def test_commands_begin_with_what_is_rounded(tmp_path: Path) -> None:
    data = tmp_path / "d"
    for name in COLORS:
        saved(data / name / "float.npy", RNG.random((30, 30)).astype(np.float32))
        saved(data / name / "deep.npy", np.full((30, 30), 16384, np.uint16))
    words = ("--model", f"{code_below(tmp_path)}:four", *told(4), "--out", tmp_path / "out")
    said = launch("run", *words, "--data", data, "--classes", "sorted", "--methods", "grad_cam", "--force")
    assert "6 of 6 files looked at hold more than 8 bits a channel: rounded to 256 levels" in said
    assert "use 16 bits (the largest value needs 15, cameras and scanners use 10, 12, 14 or 16" in said
    checked = run_command("check", *words[:-2], "--data", data, "--classes", "sorted")
    assert "6 of 6 files looked at hold more than 8 bits a channel" in checked.stdout
    said = launch("explain", data / "red" / "deep.npy", *words, "--methods", "grad_cam")
    assert "largest value needs 15 bits: read as 16 bits, so 65,535 is white; --bits says" in said
    assert "levels   the picture holds more than 8 bits a channel: rounded to 256 levels" in said
    said = launch("explain", data / "red" / "float.npy", *words, "--methods", "grad_cam")
    assert "rounded to 256 levels" in said


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floats_from_0_to_1(kind: type, tmp_path: Path) -> None:
    values = RNG.random((6, 8, 3)).astype(kind)
    found = np.asarray(open_image(saved(tmp_path / "x.npy", values)))
    assert np.abs(found - values.astype(float) * 255).max() <= 0.51
    assert about_image(tmp_path / "x.npy") == ImageFacts(floats=True, rounded=True)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.linspace(-1, 2.5, 48).reshape(6, 8), "floats with values from -1 to 2.5: floats are read from 0"),
        (np.full((6, 8), 255.0), "values from 255 to 255"),
        (np.full((6, 8), np.nan), "floats with NaN"),
        (np.full((6, 8), np.inf), "values from inf to inf"),
        (np.zeros((6, 8), np.int64), "an array of int64: uint8, uint16 and floats are read"),
        (np.zeros((6, 8), bool), "an array of bool"),
        (np.zeros((3, 6, 8), np.uint8), r"an array of shape \(3, 6, 8\): an image is \(h, w\)"),
        (np.zeros((6, 8, 4), np.uint8), r"shape \(6, 8, 4\)"),
        (np.zeros(5, np.uint8), r"shape \(5,\)"),
        (np.zeros((0, 8), np.uint8), r"shape \(0, 8\)"),
    ],
)
def test_other_arrays_are_refused(values: np.ndarray, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        open_image(saved(tmp_path / "x.npy", values))


def test_no_array_is_unpickled_or_believed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return open, (str(tmp_path / "written"),)

    np.save(tmp_path / "x.npy", np.array([[Evil()]], object), allow_pickle=True)
    for data, reason in (
        ((tmp_path / "x.npy").read_bytes(), "an array of object"),
        (header((9999, 9999, 3), "|u1"), "cut off: 0 of 299,940,003 bytes are there"),
        (header((9999, 9999, 3), "<f8"), "2,288 MB of values: at most 512 MB are read"),
        (header((99_999, 99_999), "|u1"), "99999 × 99999 pixels: at most 100 million are read"),
        (header((99_999, 10), "|u1"), "above 10,000 pixels a side"),
        (b"\x93NUMPY\x01\x00", "cannot be decoded"),
        (b"\x93NUMPY\x09\x00" + bytes(100), "an array in version 9 of the format"),
    ):
        with pytest.raises(UnreadableImage, match=reason):
            open_image(data)
        assert about_image(data) == ImageFacts()


def test_an_array_beside_an_image_is_something_about_it(tmp_path: Path) -> None:
    (tmp_path / "d" / "a").mkdir(parents=True)
    Image.new("RGB", (8, 6)).save(tmp_path / "d" / "a" / "1.PNG")
    saved(tmp_path / "d" / "a" / "1.npy", np.zeros((6, 8), np.uint8))
    saved(tmp_path / "d" / "a" / "2.npy", np.zeros((6, 8), np.uint8))
    saved(tmp_path / "d" / "a" / "features.npy", np.zeros(512))
    source = FolderSource(tmp_path / "d")
    assert [item.id for item in source.items] == ["a/1.PNG", "a/2.npy"]
    assert source.note == "2 files not read, they are no picture of a known format (.npy 2)"


# -- pages, DICOM, HEIC ------------------------------------------------------------------------------------


def test_a_tiff_of_several_pages_is_refused(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (8, 6), color) for color in ("red", "blue")]
    pages[0].save(tmp_path / "two.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(UnreadableImage, match=r"a TIFF of several pages.*save one page per file"):
        open_image(tmp_path / "two.tif")
    pages[0].save(tmp_path / "one.tif")
    assert open_image(tmp_path / "one.tif").getpixel((0, 0)) == (255, 0, 0)


def test_smaller_copies_and_masks_are_no_pages(tmp_path: Path) -> None:
    """As in pyramids and scans."""
    first, small = Image.new("RGB", (8, 6), "red"), Image.new("RGB", (4, 3), "blue")
    for kind in (1, 4):
        small.encoderinfo = {"tiffinfo": {254: kind}}  # type: ignore[attr-defined]
        first.save(tmp_path / "x.tif", save_all=True, append_images=[small])
        with Image.open(tmp_path / "x.tif") as image:
            image.seek(1)
            assert image.tag_v2[254] == kind  # type: ignore[attr-defined]
        assert open_image(tmp_path / "x.tif").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_a_damaged_second_page_is_none(tmp_path: Path) -> None:
    Image.new("RGB", (8, 6), "red").save(tmp_path / "one.tif")
    data = bytearray((tmp_path / "one.tif").read_bytes())
    start = int.from_bytes(data[4:8], "little")
    end = start + 2 + 12 * int.from_bytes(data[start : start + 2], "little")
    for where in (len(data) - 3, start, 10**9):
        data[end : end + 4] = where.to_bytes(4, "little")
        assert open_image(bytes(data)).getpixel((0, 0)) == (255, 0, 0)


def test_dicom_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "d" / "a").mkdir(parents=True)
    dicom = bytes(128) + b"DICM" + bytes(50)
    for name in ("1.dcm", "2.png"):
        (tmp_path / "d" / "a" / name).write_bytes(dicom)
        with pytest.raises(UnreadableImage, match=r"DICOM: save it as PNG or \.npy first"):
            open_image(tmp_path / "d" / "a" / name)
    (tmp_path / "d" / "a" / "2.png").unlink()
    with pytest.raises(UserError, match=r"No images in .*\(\.dcm 1\); DICOM: save it as PNG or \.npy first"):
        open_data(str(tmp_path / "d"))
    (tmp_path / "d" / "t.csv").write_text("id,label\na/1.dcm,x\n")
    with pytest.raises(UserError, match=r"names DICOM \(first: 'a/1\.dcm'\), which is not read: save it"):
        open_data(str(tmp_path / "d" / "t.csv"))
    (tmp_path / "d" / "t.csv").write_text("id,label\n1,x\n")
    with pytest.raises(UserError, match=r"'a/1\.dcm' is DICOM, which is not read: save it"):
        open_data(str(tmp_path / "d" / "t.csv"))


HEIC = bytes.fromhex("000000186674797068656963000000006d69663168656963") + bytes(100)
"""The first box of a photo of a phone: ftyp, brand heic, compatible with mif1 and heic."""


def images_with(plugin: object, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`models.data.images` as it is imported where `plugin` is the package pillow-heif; None: absent."""
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    path = Path(find_spec("models.data.images").origin)  # type: ignore[union-attr,arg-type]
    spec = spec_from_file_location("models.data.images_again", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_heic_names_the_package_that_reads_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    images = images_with(None, monkeypatch)
    assert not images.HEIC
    for brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1"):
        with pytest.raises(images.UnreadableImage) as refused:
            images.open_image(HEIC.replace(b"ftypheic", b"ftyp" + brand))
        assert str(refused.value) == "HEIC: install pillow-heif, or save it as JPEG or PNG"
    monkeypatch.setattr("models.data.skipped.REFUSED", images.REFUSED)
    monkeypatch.setattr("models.data.tables.table.REFUSED", images.REFUSED)
    monkeypatch.setattr("models.data.tables.ids.REFUSED", images.REFUSED)
    monkeypatch.setattr("models.data.folder.SUFFIXES", images.SUFFIXES)
    monkeypatch.setattr("models.data.tables.table.SUFFIXES", images.SUFFIXES)
    (tmp_path / "d" / "a").mkdir(parents=True)
    (tmp_path / "d" / "a" / "1.HEIC").write_bytes(HEIC)
    with pytest.raises(UserError, match=r"\(\.heic 1\); HEIC: install pillow-heif, or save"):
        open_data(str(tmp_path / "d"))
    for cell, line in (("a/1.HEIC", r"names HEIC \(first: 'a/1\.HEIC'\)"), ("1", r"'a/1\.HEIC' is HEIC")):
        (tmp_path / "d" / "t.csv").write_text(f"id,label\n{cell},x\n")
        with pytest.raises(UserError, match=f"{line}, which is not read: install pillow-heif") as refusal:
            open_data(str(tmp_path / "d" / "t.csv"))
        assert "\n" not in str(refusal.value)


def test_heic_is_read_by_the_opener_that_its_package_registers(monkeypatch: pytest.MonkeyPatch) -> None:
    class Opener(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self) -> None:
            self._size, self._mode = (3, 2), "RGB"
            self.tile = []

        def load(self) -> None:
            self.im = Image.new("RGB", (3, 2), (200, 100, 50)).im

    def register() -> None:
        Image.register_open("HEIF", Opener, lambda prefix: prefix[4:12] == b"ftypheic")

    for name in ("OPEN", "ID"):
        monkeypatch.setattr(Image, name, getattr(Image, name).copy())
    images = images_with(SimpleNamespace(register_heif_opener=register), monkeypatch)
    assert images.HEIC
    assert {".heic", ".heif", ".hif"} <= images.SUFFIXES
    assert ".heic" not in images.REFUSED
    picture = images.open_image(HEIC)
    assert (picture.size, picture.getpixel((2, 1))) == ((3, 2), (200, 100, 50))


def test_empty_files_and_text_are_no_images(tmp_path: Path) -> None:
    for data in (b"", b"hello", b"\x93NUMPY"):
        (tmp_path / "x").write_bytes(data)
        assert not is_image(tmp_path / "x")
        with pytest.raises(UnreadableImage):
            open_image(tmp_path / "x")


# -- folders -----------------------------------------------------------------------------------------------


def test_every_file_below_the_folder_is_counted(tmp_path: Path) -> None:
    (tmp_path / "d" / "a" / "Deep" / "er").mkdir(parents=True)
    (tmp_path / "d" / "empty").mkdir()
    for name in ("a/1.JPG", "a/Deep/er/2.JpEg", "a/Deep/3.Bmp", "loose.png"):
        Image.new("RGB", (8, 6)).save(tmp_path / "d" / name)
    for name in ("README.md", "a/Thumbs.db", "a/Deep/x.json", "a/Deep/y.json"):
        (tmp_path / "d" / name).write_text("x")
    (tmp_path / "d" / "a" / "link").symlink_to(tmp_path / "d" / "a")
    source = open_data(str(tmp_path / "d"))
    assert [item.id for item in source.items] == ["a/1.JPG", "a/Deep/3.Bmp", "a/Deep/er/2.JpEg"]
    assert source.note == (
        "no image of class empty; 1 links to folders that are read already not followed; 1 image in no "
        "folder of a class not used; 4 files not read, they are no picture of a known format (.json 2, .db "
        "1, .md 1)"
    )


def test_links_give_no_image_two_classes_unsaid(tmp_path: Path) -> None:
    (tmp_path / "d" / "b").mkdir(parents=True)
    (tmp_path / "d" / "c").mkdir()
    for i in range(2):
        Image.new("RGB", (8, 6)).save(tmp_path / "d" / "b" / f"{i}.png")
    (tmp_path / "d" / "a").symlink_to(tmp_path / "d" / "b")
    (tmp_path / "d" / "c" / "x.png").symlink_to(tmp_path / "d" / "b" / "0.png")
    source = open_data(str(tmp_path / "d"))
    assert [item.id for item in source.items] == ["b/0.png", "b/1.png", "c/x.png"]
    assert source.note == (
        "no image of class a; 1 links to folders that are read already not followed; 1 image in several "
        "classes, by links, and counted in each (c/x.png and b/0.png)"
    )


def test_what_save_to_disk_writes_is_refused_by_name(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / "d" / part).mkdir(parents=True)
        (tmp_path / "d" / part / "data-00000-of-00001.arrow").write_bytes(b"x")
    with pytest.raises(UserError, match=r"holds \.arrow files.*to_parquet"):
        open_data(str(tmp_path / "d"))


def test_a_table_beside_the_only_folder_is_hinted_at(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (pictures / "red").rename(tmp_path / "d" / "images")
    (tmp_path / "d" / "labels.csv").write_text("image,label\n0.png,x\n")
    assert "if labels.csv holds the labels, give --data '" in open_data(str(tmp_path / "d")).note
