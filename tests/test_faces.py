"""Faces in photos: boxes, detectors, crops, and what a checkpoint says of its domain."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image

from models.data.images import open_image
from models.domains import FACES, domain_of, require_domain
from models.errors import UserError
from models.faces import lbp, yunet
from models.faces.boxes import FaceBox, grouped, largest_first, overlap, without_overlaps
from models.faces.crop import FaceRequest, chosen, crop_face, square
from models.faces.detectors import detector, find_faces

ROOT = Path(__file__).parent.parent
HOPPER = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"


def astronaut() -> Image.Image:
    from skimage.data import astronaut as pixels

    return Image.fromarray(pixels())


@lru_cache(maxsize=1)
def cascade() -> Any:
    """scikit-image's, which searches each picture once: for tests whose subject is not the detector."""
    searched: dict[tuple[object, ...], list[dict[str, int]]] = {}

    class Once:
        def detect_multi_scale(self, pixels: np.ndarray, **options: object) -> list[dict[str, int]]:
            key = pixels.shape, pixels.tobytes(), tuple(sorted(options.items()))
            if key not in searched:
                searched[key] = _cascade().detect_multi_scale(pixels, **options)
            return searched[key]

    return Once()


_cascade = lbp._cascade


@pytest.fixture
def searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lbp, "_cascade", cascade)


def montage() -> Image.Image:
    """Hopper's face is the larger one."""
    both = Image.new("RGB", (1024, 600))
    both.paste(astronaut(), (0, 0))
    both.paste(open_image(HOPPER), (512, 0))
    return both


def test_overlap_by_hand_and_by_pixels() -> None:
    assert overlap((0, 0, 4, 4), (2, 0, 4, 4)) == pytest.approx(8 / 24)
    assert overlap((0, 0, 4, 4), (4, 0, 4, 4)) == 0
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = rng.integers(1, 12, (2, 4))
        masks = np.zeros((2, 24, 24), bool)
        for mask, (left, top, width, height) in zip(masks, (a, b), strict=True):
            mask[top : top + height, left : left + width] = True
        assert overlap(a, b) == pytest.approx((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())


def test_windows_of_one_face_are_one_box_in_any_order() -> None:
    """scikit-image's own groups depend on the order in which its threads end."""
    windows = [(10.0 + d, 10.0 - d, 40.0, 40.0) for d in (-2, 0, 2)] + [(100.0, 100.0, 20.0, 20.0)]
    boxes = sorted(grouped(windows, 0.4))
    assert boxes == [FaceBox(10, 10, 40, 40, 3), FaceBox(100, 100, 20, 20, 1)]
    assert sorted(grouped(windows[::-1], 0.4)) == boxes


def test_the_better_of_two_boxes_on_one_face_is_kept() -> None:
    weak, strong, far = FaceBox(0, 0, 10, 10, 5), FaceBox(1, 1, 10, 10, 9), FaceBox(50, 0, 30, 30, 1)
    assert without_overlaps([weak, strong, far], 0.2) == [strong, far]
    assert largest_first([strong, far]) == (far, strong)


@pytest.mark.parametrize(
    ("box", "margin", "region"),
    [
        (FaceBox(40, 30, 20, 20, 1), 0.0, (40, 30, 60, 50)),
        (FaceBox(40, 30, 20, 20, 1), 0.5, (30, 20, 70, 60)),
        (FaceBox(40, 30, 20, 30, 1), 0.0, (35, 30, 65, 60)),  # an upright box: the square around it
        (FaceBox(0, 0, 20, 20, 1), 0.5, (0, 0, 40, 40)),  # moved into the picture, as large as elsewhere
        (FaceBox(85, 60, 20, 20, 1), 0.0, (80, 60, 100, 80)),
        (FaceBox(10, 10, 60, 60, 1), 1.0, (0, 0, 80, 80)),  # no larger than the shorter side
    ],
)
def test_square_around_a_box(box: FaceBox, margin: float, region: tuple[int, int, int, int]) -> None:
    assert square((100, 80), box, margin) == region


@pytest.mark.slow
@pytest.mark.usefixtures("searched_once")
def test_one_face_is_found_where_it_is() -> None:
    [box] = find_faces(astronaut())
    x, y = box.center
    assert 200 < x < 250
    assert 95 < y < 135
    assert 80 < box.side < 125
    assert box.score >= 1.5 * lbp.ENOUGH
    [box] = find_faces(open_image(HOPPER))
    x, y = box.center
    assert 245 < x < 290
    assert 190 < y < 245
    assert 180 < box.side < 245


@pytest.mark.slow
@pytest.mark.usefixtures("searched_once")
def test_two_faces_are_numbered_from_the_largest() -> None:
    both = montage()
    crops = [crop_face(both, FaceRequest(which)) for which in ("auto", "1", "2")]
    assert crops[0].region == crops[1].region
    assert crops[0].region is not None
    assert crops[2].region is not None
    assert crops[0].region[0] > 512 > crops[2].region[2]
    assert crops[0].described.startswith("2 faces found; the largest is used, with 1.2 % margin: ")
    assert "number 2 is used" in crops[2].described
    assert crops[2].of(both).size == (crops[2].region[2] - crops[2].region[0],) * 2
    with pytest.raises(UserError, match=r"--faces 3: 2 faces found .* a number up to 2"):
        crop_face(both, FaceRequest("3"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["coffee", "chelsea", "camera"])
def test_no_face_no_crop(name: str) -> None:
    import skimage.data

    picture = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    crop = crop_face(picture, FaceRequest())
    assert crop.boxes == ()
    assert crop.region is None
    assert crop.described == "No face found: the whole picture is used."
    assert crop.of(picture) is picture
    with pytest.raises(UserError, match=r"--faces 1: no face found .*give --faces auto, off\."):
        crop_face(picture, FaceRequest("1"))


@pytest.mark.slow
@pytest.mark.usefixtures("searched_once")
def test_a_face_that_fills_its_picture_is_used_whole() -> None:
    region = crop_face(astronaut(), FaceRequest()).region
    tight = astronaut().crop(region)
    crop = crop_face(tight, FaceRequest())
    assert len(crop.boxes) == 1
    assert crop.region is None
    assert crop.described == "1 face found; it fills the picture, so the whole picture is used."
    box = FaceBox(10, 10, 70, 70, 9)
    assert chosen((100, 100), [box], FaceRequest(margin=0.0)).region is not None
    assert chosen((100, 100), [box], FaceRequest(margin=0.1)).region is None
    assert chosen((100, 200), [box], FaceRequest(margin=0.1)).region is not None


def test_off_looks_for_nothing() -> None:
    crop = crop_face(astronaut(), FaceRequest("off"))
    assert (crop.boxes, crop.region) == ((), None)
    assert crop.described == "Faces are not looked for: the whole picture is used."


@pytest.mark.slow
def test_a_turned_photo_gives_the_same_crop(tmp_path: Path) -> None:
    """A phone writes pixels as its sensor lies, and says in EXIF how to turn them."""
    upright, exif = astronaut(), Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "phone.png", exif=exif)
    turned = open_image(tmp_path / "phone.png")
    assert turned.tobytes() == upright.tobytes()
    assert crop_face(turned, FaceRequest()) == crop_face(upright, FaceRequest())
    unturned = open_image(tmp_path / "phone.png", exif="ignore")
    assert crop_face(unturned, FaceRequest()).boxes == ()


@pytest.mark.slow
@pytest.mark.usefixtures("searched_once")
def test_alpha_sixteen_bits_and_grey(tmp_path: Path) -> None:
    expected = crop_face(astronaut().convert("L").convert("RGB"), FaceRequest())
    deep = np.asarray(astronaut().convert("L"), np.uint16) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert crop_face(open_image(tmp_path / "deep.png"), FaceRequest()) == expected
    with_alpha = astronaut().convert("RGBA")
    with_alpha.save(tmp_path / "alpha.png")
    assert (
        crop_face(open_image(tmp_path / "alpha.png", alpha=True), FaceRequest()).region
        == crop_face(astronaut(), FaceRequest()).region
    )


@pytest.mark.slow
@pytest.mark.usefixtures("searched_once")
def test_the_box_of_an_enlarged_photo_is_enlarged() -> None:
    """What is searched is of one size, so a photo of a phone costs no more."""
    [small] = find_faces(astronaut())
    [large] = find_faces(astronaut().resize((3072, 3072), Image.Resampling.BICUBIC))
    assert overlap(large.scaled(1 / 6)[:4], small[:4]) > 0.8
    assert find_faces(Image.new("RGB", (3000, 30))) == ()


@pytest.mark.parametrize("which", ["", "0", "-1", "first", "1.5", "1000"])
def test_what_is_no_choice_of_a_face(which: str) -> None:
    with pytest.raises(UserError, match="give auto, off, or the number of a face"):
        FaceRequest(which)


def test_what_is_no_detector_or_margin(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No face detector 'haar': choose from lbp, FILE\.onnx"):
        FaceRequest(detector="haar")
    for margin in (-0.1, 3.0, float("nan")):
        with pytest.raises(UserError, match="--face-margin"):
            FaceRequest(margin=margin)
    assert FaceRequest().used_margin == detector("lbp").margin
    assert replace(FaceRequest(), margin=0.3).used_margin == 0.3
    with pytest.raises(UserError, match=r"No file '.*none\.onnx': download"):
        find_faces(astronaut(), str(tmp_path / "none.onnx"))


def test_domain_of_a_checkpoint() -> None:
    assert domain_of({"domain": "faces"}) == FACES
    assert domain_of({}, "fer_vgg:fer2013") == FACES
    assert domain_of({}, "fer_vgg:toon_faces") == ""
    assert domain_of({}, "resnet50") == domain_of({}) == ""
    assert require_domain("") == ""
    with pytest.raises(UserError, match="No domain 'cats': choose from faces"):
        require_domain("cats")


def test_nothing_heavy_is_imported_before_a_photo_comes() -> None:
    code = "import models.faces.crop, models.domains, sys; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "skimage", "onnxruntime", "cv2", "gradio"} & set(out.stdout.split())


def test_boxes_of_yunet_by_hand() -> None:
    """One cell of each stride, at a known place: center (cell + shift) · stride, size exp · stride."""
    outputs: dict[str, np.ndarray] = {}
    for stride in (8, 16, 32):
        cells = (64 // stride) * (96 // stride)
        for kind, size in (("cls", 1), ("obj", 1), ("bbox", 4)):
            outputs[f"{kind}_{stride}"] = np.zeros((1, cells, size), np.float32)
    row, column = 1, 4  # of 6 columns at stride 16
    outputs["cls_16"][0, row * 6 + column] = 0.9
    outputs["obj_16"][0, row * 6 + column] = 1.2  # clipped to 1
    outputs["bbox_16"][0, row * 6 + column] = 0.5, 0.25, np.log(2), np.log(3)
    outputs["cls_32"][0, 0] = outputs["obj_32"][0, 0] = 0.6  # below the threshold
    [box] = yunet.decoded(outputs, 96)
    np.testing.assert_allclose(box, (72 - 16, 20 - 24, 32, 48, np.sqrt(0.9)), rtol=1e-6)


def _bright_squares(path: Path, height: int | str, width: int | str) -> None:
    """A network with the outputs of YuNet (2023mar): in every cell of a stride, the score is the mean of its
    pixels, and the box is twice the cell, centered."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, outputs, constants = [], [], []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    constant("scale", np.array(1 / 255, np.float32))
    for stride in (8, 16, 32):
        pooled, grey, flat, box = (f"{name}{stride}" for name in ("pool", "grey", "flat", "box"))
        square = {"kernel_shape": [stride] * 2, "strides": [stride] * 2}
        nodes += [
            helper.make_node("AveragePool", ["input"], [pooled], **square),
            helper.make_node("ReduceMean", [pooled, constant(f"axis{stride}", np.array([1]))], [grey]),
            helper.make_node("Mul", [grey, "scale"], [f"score{stride}"]),
            helper.make_node(
                "Reshape",
                [f"score{stride}", constant(f"one{stride}", np.array([1, -1, 1]))],
                [f"cls_{stride}"],
            ),
            helper.make_node("Identity", [f"cls_{stride}"], [f"obj_{stride}"]),
            helper.make_node("Mul", [f"cls_{stride}", constant(f"zero{stride}", np.float32(0))], [flat]),
            helper.make_node(
                "Add",
                [flat, constant(box, np.array([[[0.5, 0.5, np.log(2), np.log(2)]]], np.float32))],
                [f"bbox_{stride}"],
            ),
        ]
        marks = constant(f"ten{stride}", np.zeros((1, 1, 10), np.float32))  # landmarks, which OpenCV reads
        nodes.append(helper.make_node("Add", [flat, marks], [f"kps_{stride}"]))
        for kind, size in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            shape = [1, None, size]
            outputs.append(helper.make_tensor_value_info(f"{kind}_{stride}", TensorProto.FLOAT, shape))
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, height, width])
    graph = helper.make_graph(nodes, "squares", [given], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)


@pytest.mark.parametrize("side", [640, "side"])
def test_a_file_with_yunet_s_outputs_finds_what_is_planted(tmp_path: Path, side: int | str) -> None:
    """A white square of 32 × 32 pixels of the searched picture, which is half as large as the photo."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    _bright_squares(tmp_path / "squares.ONNX", side, side)
    photo = Image.new("RGB", (1280, 640))
    photo.paste("white", (128, 192, 192, 256))  # (64, 96) to (96, 128) there: one cell of stride 32
    boxes = find_faces(photo, str(tmp_path / "squares.ONNX"))
    expected = np.array([128 - 32, 192 - 32, 128, 128, 1.0])  # twice the cell, around it
    np.testing.assert_allclose(boxes[0], expected, atol=0.02)
    assert all(overlap(a[:4], b[:4]) <= yunet.APART for a in boxes for b in boxes if a != b)
    crop = crop_face(photo, FaceRequest(detector=str(tmp_path / "squares.ONNX")))
    assert crop.region == (96, 160, 224, 288)
    assert crop.as_dict()["detector"] == "squares.ONNX"  # visitors do not get folders of the server
    assert find_faces(Image.new("RGB", (1280, 640)), str(tmp_path / "squares.ONNX")) == ()


@pytest.mark.slow
def test_boxes_of_yunet_are_opencv_s(tmp_path: Path) -> None:
    """OpenCV's own reader of the same file is the reference."""
    cv2 = pytest.importorskip("cv2")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    if not hasattr(cv2, "FaceDetectorYN"):
        pytest.skip("this OpenCV has no FaceDetectorYN")
    _bright_squares(tmp_path / "squares.onnx", 640, 640)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20), np.uint8).repeat(32, 0).repeat(32, 1)
    photo = Image.fromarray(pixels).convert("RGB")
    reference = cv2.FaceDetectorYN.create(
        str(tmp_path / "squares.onnx"), "", photo.size, yunet.SURE, yunet.APART, 5000
    )
    _, found = reference.detect(np.asarray(photo)[..., ::-1].copy())
    mine = np.array(sorted(find_faces(photo, str(tmp_path / "squares.onnx"))))
    theirs = np.array(sorted((*row[:4], row[14]) for row in found.astype(float)))
    assert len(mine) == len(theirs) > 5
    np.testing.assert_allclose(mine, theirs, atol=1e-3)


def test_what_is_no_yunet_is_said_in_one_line(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    (tmp_path / "damaged.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match=r"cannot be opened by onnxruntime .*complete\?"):
        find_faces(astronaut(), str(tmp_path / "damaged.onnx"))
    _bright_squares(tmp_path / "other.onnx", 640, 640)
    model = onnx.load(tmp_path / "other.onnx")
    del model.graph.output[0]
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(UserError, match=r"is not YuNet \(2023mar\): it has no output cls_8"):
        find_faces(astronaut(), str(tmp_path / "other.onnx"))


def test_without_onnxruntime_it_is_said_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.onnx").write_bytes(b"")
    monkeypatch.setattr("models.extras.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install onnxruntime"):
        find_faces(astronaut(), str(tmp_path / "net.onnx"))


@pytest.mark.data
def test_yunet_finds_the_known_faces() -> None:
    """The file is not shipped: VITRINE_CASES/face_detection_yunet_2023mar.onnx."""
    file = Path(os.environ.get("VITRINE_CASES", "-")) / "face_detection_yunet_2023mar.onnx"
    if not file.is_file():
        pytest.skip(f"no {file.name} in VITRINE_CASES")
    pytest.importorskip("onnxruntime")
    for picture in (astronaut(), open_image(HOPPER)):
        [box], [known] = find_faces(picture, str(file)), find_faces(picture)
        assert overlap(box[:4], known[:4]) > 0.5
